//! What a token says: names, attributes and characters, checked as XML 1.0 and Namespaces in XML ask.
//!
//! White space is trimmed as ASCII white space: form feed, which XML does not count, is refused as a character before.
//! quick-xml leaves these checks to its user. A stanza that passes here is well-formed, so nothing that breaks another parser gets
//! through the gateway.

use std::borrow::Cow;

use quick_xml::escape::EscapeError;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::escape::unescape_with;
use quick_xml::events::BytesText;

use crate::xml::is_legal;
use crate::xmpp::fault::Fault;

/// A tag.
#[derive(Debug)]
pub(super) enum Tag<'a> {
    /// `<name ...>` or `<name .../>`.
    Start(StartTag<'a>),
    /// `</name>`, by its name as written.
    End(&'a str),
}

/// A start or empty-element tag.
#[derive(Debug)]
pub(super) struct StartTag<'a> {
    /// The name as written: the end tag repeats it.
    pub(super) written: &'a str,
    /// The name in its parts.
    pub(super) name: Name<'a>,
    /// Its attributes as written.
    pub(super) attributes: Attributes<'a>,
    /// `<name/>`: there is no end tag.
    pub(super) is_empty: bool,
}

impl<'a> Tag<'a> {
    /// Reads a token that starts with `<` and ends at the first `>` outside quotes.
    pub(super) fn parse(token: &'a str) -> Result<Self, Fault> {
        let inside = token.strip_prefix('<').and_then(|token| token.strip_suffix('>')).ok_or(Fault::NotWellFormed)?;
        if memchr::memchr(b'<', inside.as_bytes()).is_some() {
            return Err(Fault::NotWellFormed);
        }
        if let Some(name) = inside.strip_prefix('/') {
            return Ok(Self::End(name.trim_ascii_end()));
        }
        let (inside, is_empty) = match inside.strip_suffix('/') {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let end = inside.bytes().position(|byte| byte.is_ascii_whitespace()).unwrap_or(inside.len());
        let (written, attributes) = inside.split_at_checked(end).ok_or(Fault::NotWellFormed)?;
        let name = Name::parse(written)?;
        Ok(Self::Start(StartTag { written, name, attributes: Attributes { rest: attributes }, is_empty }))
    }
}

impl StartTag<'_> {
    /// How many bytes its names and values can take, each with one byte behind it.
    pub(super) fn bytes(&self) -> usize {
        self.written.len().saturating_add(self.attributes.rest.len()).saturating_add(1)
    }
}

/// A qualified name (Namespaces in XML §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Name<'a> {
    /// Empty if there is none.
    pub(super) prefix: &'a str,
    /// The part after the colon.
    pub(super) local: &'a str,
}

impl<'a> Name<'a> {
    /// Splits and checks a name.
    fn parse(written: &'a str) -> Result<Self, Fault> {
        let name = match split(written, b':') {
            Some((prefix, local)) if is_name(prefix) => Self { prefix, local },
            Some(_) => return Err(Fault::NotWellFormed),
            None => Self { prefix: "", local: written },
        };
        if is_name(name.local) { Ok(name) } else { Err(Fault::NotWellFormed) }
    }
}

/// The attributes of a start tag, with their values as written.
#[derive(Debug, Clone)]
pub(super) struct Attributes<'a> {
    rest: &'a str,
}

impl<'a> Attributes<'a> {
    /// Reads the pseudo-attributes of an XML declaration.
    pub(super) fn of_declaration(token: &'a str) -> Option<Self> {
        let rest = token.strip_prefix("<?xml")?.strip_suffix("?>")?;
        rest.starts_with(|c: char| c.is_ascii_whitespace()).then_some(Self { rest })
    }

    fn read(&mut self) -> Option<(Name<'a>, &'a str)> {
        let written = self.rest.trim_ascii_start();
        if written.len() == self.rest.len() {
            return None;
        }
        let (name, value) = split(written, b'=')?;
        let value = value.trim_ascii_start();
        let (value, rest) = match value.strip_prefix('\'') {
            Some(value) => split(value, b'\'')?,
            None => split(value.strip_prefix('"')?, b'"')?,
        };
        self.rest = rest;
        Some((Name::parse(name.trim_ascii_end()).ok()?, value))
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(Name<'a>, &'a str), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.trim_ascii_start().is_empty() {
            return None;
        }
        let attribute = self.read();
        if attribute.is_none() {
            self.rest = "";
        }
        Some(attribute.ok_or(Fault::NotWellFormed))
    }
}

/// Checks an XML declaration (XML 1.0 §2.8). Any other processing instruction is forbidden (RFC 6120 §11.1).
pub(super) fn check_declaration(token: &str) -> Result<(), Fault> {
    let attributes: Vec<_> = Attributes::of_declaration(token).ok_or(Fault::Restricted)?.take(4).collect::<Result<_, _>>()?;
    let mut fields = attributes.iter().map(|(name, value)| (name.local, *value)).peekable();
    if fields.next() != Some(("version", "1.0")) {
        return Err(Fault::NotWellFormed);
    }
    if let Some((_, encoding)) = fields.next_if(|(name, _)| *name == "encoding")
        && !encoding.eq_ignore_ascii_case("utf-8")
    {
        return Err(Fault::Encoding);
    }
    fields.next_if(|field| matches!(field, ("standalone", "yes" | "no")));
    if fields.next().is_some() { Err(Fault::NotWellFormed) } else { Ok(()) }
}

/// The text of a token, if it is UTF-8 and holds only characters that XML 1.0 §2.2 allows.
pub(super) fn characters(token: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(token).map_err(|_| Fault::NotWellFormed)?;
    if is_legal(text) { Ok(text) } else { Err(Fault::NotWellFormed) }
}

/// The value of an attribute: references resolved, white space normalised (XML 1.0 §3.3.3).
pub(super) fn attribute_value(written: &str) -> Result<Cow<'_, str>, Fault> {
    if !written.bytes().any(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r')) {
        return Ok(Cow::Borrowed(written));
    }
    // Before references are resolved: white space that was written as a reference stays.
    resolve(&section_text(written).replace(['\t', '\n'], " "))
}

/// Text between tags: references resolved, line ends normalised (XML 1.0 §2.11).
pub(super) fn text(written: &str) -> Result<Cow<'_, str>, Fault> {
    if memchr::memchr3(b'&', b'\r', b'>', written.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(written));
    }
    if written.contains("]]>") {
        return Err(Fault::NotWellFormed);
    }
    resolve(&section_text(written))
}

/// Text of a CDATA section: line ends normalised, no references.
pub(super) fn section_text(written: &str) -> Cow<'_, str> {
    BytesText::from_escaped(written).xml10_content()
}

fn resolve(written: &str) -> Result<Cow<'static, str>, Fault> {
    let text = unescape_with(written, resolve_xml_entity).map_err(reference_fault)?;
    if is_legal(&text) { Ok(Cow::Owned(text.into_owned())) } else { Err(Fault::NotWellFormed) }
}

fn reference_fault(error: EscapeError) -> Fault {
    match error {
        EscapeError::UnrecognizedEntity(_, name) if is_name(&name) => Fault::Restricted,
        EscapeError::UnrecognizedEntity(..)
        | EscapeError::UnterminatedEntity(_)
        | EscapeError::InvalidCharRef(_)
        | EscapeError::TooManyNestedEntities => Fault::NotWellFormed,
    }
}

/// What stands before and behind the first such byte, which is ASCII.
fn split(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(byte, text.as_bytes())?;
    Some((text.get(..at)?, text.get(at.saturating_add(1)..)?))
}

/// NCName (Namespaces in XML §3).
fn is_name(name: &str) -> bool {
    if name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') {
        return !name.is_empty() && !name.starts_with('-');
    }
    let mut characters = name.chars();
    characters.next().is_some_and(is_name_start) && characters.all(is_name_character)
}

fn is_name_character(c: char) -> bool {
    matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}') || is_name_start(c)
}

fn is_name_start(c: char) -> bool {
    matches!(c,
        'a'..='z' | 'A'..='Z' | '_'
        | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}' | '\u{370}'..='\u{37d}'
        | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}' | '\u{2c00}'..='\u{2fef}'
        | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}' | '\u{10000}'..='\u{effff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(token: &str) -> Result<Vec<(Name<'_>, &str)>, Fault> {
        match Tag::parse(token)? {
            Tag::Start(tag) => tag.attributes.collect(),
            Tag::End(_) => Ok(Vec::new()),
        }
    }

    #[test]
    fn both_quotes_and_spaces_around_equals_are_read() {
        let expected = vec![(Name { prefix: "", local: "b" }, "1"), (Name { prefix: "x", local: "c" }, "2'")];
        assert_eq!(attributes("<a b = '1'\n x:c=\"2'\" />"), Ok(expected));
    }

    #[test]
    fn tags_that_xml_forbids_are_refused() {
        let tags = [
            "<a b>",
            "<a b=1>",
            "<a b='1'c='2'>",
            "<a b='<'>",
            "<1>",
            "<a:>",
            "<:a>",
            "<a:b:c>",
            "<a =''>",
            "<a/ >",
            "<a b=''/ >",
            "<a b'='1'>",
            "<a\u{b7}\u{d7}>",
            "<>",
            "</a",
            "<a$>",
        ];
        for tag in tags {
            assert_eq!(attributes(tag).err(), Some(Fault::NotWellFormed), "{tag}");
        }
    }

    #[test]
    fn line_ends_are_normalised_and_references_are_not() {
        assert_eq!(text("a\r\nb\rc&#13;&amp;lt;").as_deref(), Ok("a\nb\nc\r&lt;"));
        assert_eq!(attribute_value("a\r\nb\tc&#10;&quot;").as_deref(), Ok("a b c\n\""));
    }

    #[test]
    fn references_to_forbidden_characters_are_refused() {
        for reference in
            ["&#0;", "&#x1;", "&#xFFFF;", "&#xD800;", "&#x110000;", "&#;", "&#x;", "&#-1;", "&#1a;", "&;", "&amp", "& b;"]
        {
            assert_eq!(text(reference), Err(Fault::NotWellFormed), "{reference}");
            assert_eq!(attribute_value(reference), Err(Fault::NotWellFormed), "{reference}");
        }
        assert_eq!(text("&lol;"), Err(Fault::Restricted));
        assert_eq!(attribute_value("&nbsp;"), Err(Fault::Restricted));
    }

    #[test]
    fn forbidden_characters_are_refused() {
        for bytes in [&b"a\0"[..], b"\x1b", "\u{ffff}".as_bytes(), "\u{fffe}".as_bytes(), b"\xff", b"\xed\xa0\x80", b"\xc0\x80"] {
            assert_eq!(characters(bytes), Err(Fault::NotWellFormed), "{bytes:?}");
        }
        assert_eq!(characters("\u{7f}\u{85}\u{feff}\u{fffd}\t".as_bytes()), Ok("\u{7f}\u{85}\u{feff}\u{fffd}\t"));
    }
}
