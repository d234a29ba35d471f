//! Writing XML that is well-formed whatever the peer sent: stanzas, PIDF, dialog-info.
//!
//! [`XmlWriter`] escapes every value it is given and replaces the characters that XML 1.0 §2.2 forbids (most control characters,
//! U+FFFE, U+FFFF) by U+FFFD, so no text of a SIP user can end the XMPP stream. Names are `&'static str`: they come from this
//! source, never from a peer. It does not indent, declare entities or keep namespaces: the caller writes `xmlns` as an attribute.
//!
//! ```
//! let mut xml = xmpp_gateway::xml::XmlWriter::new();
//! xml.open("message").attribute("to", "romeo@example.net");
//! xml.open("body").text("a & b").close();
//! assert_eq!(xml.finish(), "<message to='romeo@example.net'><body>a &amp; b</body></message>");
//! ```

pub(crate) mod attributes;

/// Builds one XML element, top-down.
#[derive(Debug, Default)]
pub struct XmlWriter {
    out: String,
    open: Vec<&'static str>,
    /// The innermost start tag still lacks its `>`.
    tag_pending: bool,
}

impl XmlWriter {
    /// A writer for a stanza of usual size.
    pub fn new() -> Self {
        Self { out: String::with_capacity(512), ..Self::default() }
    }

    /// A writer whose output starts with the XML declaration, as SIP bodies do.
    pub fn document() -> Self {
        let mut writer = Self::new();
        writer.out.push_str("<?xml version='1.0' encoding='UTF-8'?>");
        writer
    }

    /// Starts a child element.
    pub fn open(&mut self, name: &'static str) -> &mut Self {
        self.end_tag();
        self.out.push('<');
        self.out.push_str(name);
        self.open.push(name);
        self.tag_pending = true;
        self
    }

    /// Adds an attribute to the element just opened. After text or a child it has no place any more and is dropped.
    pub fn attribute(&mut self, name: &'static str, value: &str) -> &mut Self {
        if self.tag_pending {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push_str("='");
            push_escaped(&mut self.out, value);
            self.out.push('\'');
        }
        self
    }

    /// Adds an attribute if there is a value.
    pub fn attribute_if(&mut self, name: &'static str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.attribute(name, value),
            None => self,
        }
    }

    /// Adds text to the innermost open element.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.end_tag();
        push_escaped(&mut self.out, text);
        self
    }

    /// Adds a finished element, made by another writer.
    pub fn element(&mut self, finished: &str) -> &mut Self {
        self.end_tag();
        self.out.push_str(finished);
        self
    }

    /// Ends the innermost open element.
    pub fn close(&mut self) -> &mut Self {
        let Some(name) = self.open.pop() else { return self };
        if self.tag_pending {
            self.out.push_str("/>");
            self.tag_pending = false;
        } else {
            self.out.push_str("</");
            self.out.push_str(name);
            self.out.push('>');
        }
        self
    }

    /// Ends all open elements and returns the text.
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.out
    }

    fn end_tag(&mut self) {
        if self.tag_pending {
            self.out.push('>');
            self.tag_pending = false;
        }
    }
}

/// Appends `text` so that it is safe as XML text and as a quoted attribute value.
///
/// Line ends and tabs are written as character references: a parser would turn them into spaces in an attribute, and CR into LF
/// anywhere (XML 1.0 §2.11, §3.3.3), and text has to arrive as it was sent.
pub fn push_escaped(out: &mut String, text: &str) {
    // No early exit: the compiler turns this into vector code, and nearly every text is clean.
    if !text.bytes().fold(false, |found, byte| found | may_need_care(byte)) {
        out.push_str(text);
        return;
    }
    let mut rest = text;
    // Bytes are quicker to look at than characters. All that are looked for start a character, so both halves are whole.
    while let Some((clean, tail)) = rest.bytes().position(may_need_care).and_then(|at| rest.split_at_checked(at)) {
        out.push_str(clean);
        let mut characters = tail.chars();
        match characters.next() {
            Some('&') => out.push_str("&amp;"),
            Some('<') => out.push_str("&lt;"),
            Some('>') => out.push_str("&gt;"),
            Some('\'') => out.push_str("&apos;"),
            Some('"') => out.push_str("&quot;"),
            Some('\r') => out.push_str("&#13;"),
            Some('\n') => out.push_str("&#10;"),
            Some('\t') => out.push_str("&#9;"),
            Some('\0'..='\u{1f}' | '\u{fffe}' | '\u{ffff}') => out.push(char::REPLACEMENT_CHARACTER),
            Some(legal) => out.push(legal),
            None => {}
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
}

fn may_need_care(byte: u8) -> bool {
    let markup = (byte == b'&') | (byte == b'<') | (byte == b'>') | (byte == b'\'') | (byte == b'"');
    markup | (byte < b' ') | (byte == FIRST_OF_NONCHARACTERS)
}

/// The first byte of U+FFFE and U+FFFF, and of many legal characters.
const FIRST_OF_NONCHARACTERS: u8 = 0xef;

/// Whether XML 1.0 allows all these characters (§2.2).
pub fn is_legal(text: &str) -> bool {
    let (words, rest) = text.as_bytes().as_chunks::<8>();
    // Eight bytes at a time; of those that have something to look at, each. Nearly every text has none but line ends.
    let found = words.iter().filter(|word| may_be_illegal(**word)).fold(0_u8, |found, word| found | classes(word));
    let found = found | classes(rest);
    found & CONTROL == 0 && (found & SUSPECT == 0 || !text.contains(['\u{fffe}', '\u{ffff}']))
}

const CONTROL: u8 = 1;
const SUSPECT: u8 = 2;

/// What is among these bytes.
fn classes(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |found, byte| {
        let control = *byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
        found | if control { CONTROL } else { 0 } | if *byte == FIRST_OF_NONCHARACTERS { SUSPECT } else { 0 }
    })
}

/// Whether one of these bytes is below a space or begins a noncharacter: a byte that is less than `n` borrows from its highest bit when `n`
/// is taken away. A borrow may reach the next byte, which is then looked at for nothing.
fn may_be_illegal(word: [u8; 8]) -> bool {
    const EACH: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_ne_bytes(word);
    let below = |word: u64, limit: u64| word.wrapping_sub(limit) & !word;
    let controls = below(word, EACH.wrapping_mul(0x20));
    let nonchars = below(word ^ EACH.wrapping_mul(0xef), EACH);
    (controls | nonchars) & EACH.wrapping_mul(0x80) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_text_cannot_end_the_element() {
        let mut xml = XmlWriter::new();
        xml.open("body").text("</body><x a='1'>&lt;");
        assert_eq!(xml.finish(), "<body>&lt;/body&gt;&lt;x a=&apos;1&apos;&gt;&amp;lt;</body>");
    }

    #[test]
    fn forbidden_characters_are_replaced() {
        let mut out = String::new();
        push_escaped(&mut out, "a\0b\u{1b}c\u{ffff}d\u{fffe}\u{1F600}");
        assert_eq!(out, "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}\u{1F600}");
        let mut legal = String::new();
        push_escaped(&mut legal, "\u{f000}\u{fffd}\u{feff}\u{e9}");
        assert_eq!(legal, "\u{f000}\u{fffd}\u{feff}\u{e9}");
    }

    #[test]
    fn illegal_characters_are_found_wherever_they_stand() {
        for at in 0..20 {
            for (character, legal) in [
                ('\u{1b}', false),
                ('\0', false),
                ('\u{ffff}', false),
                ('\u{fffe}', false),
                ('\n', true),
                ('\u{fffd}', true),
                ('\u{7f}', true),
            ] {
                let text = format!("{}{character}{}", "a".repeat(at), "é\u{f000}~!".repeat(3));
                assert_eq!(is_legal(&text), legal, "{text:?}");
            }
        }
    }

    #[test]
    fn line_ends_survive_as_references() {
        let mut xml = XmlWriter::new();
        xml.open("a").attribute("b", "x\r\ny\tz");
        assert_eq!(xml.finish(), "<a b='x&#13;&#10;y&#9;z'/>");
    }
}
