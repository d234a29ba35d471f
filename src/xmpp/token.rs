//! Finds where a token of XML ends: a tag, a run of text, a CDATA section, the XML declaration.
//!
//! Resumable: each byte is looked at once, however the input is split. What XMPP forbids (RFC 6120 §11.1) is refused at the byte
//! that shows it, so a DTD is never read, let alone kept.

use quick_xml::parser::ElementParser;
use quick_xml::parser::Parser;
use quick_xml::parser::PiParser;

use crate::xmpp::fault::Fault;

/// Kinds of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    /// Characters and references up to the next `<`.
    Text,
    /// `<...>`: start, end or empty-element tag.
    Tag,
    /// `<![CDATA[...]]>`.
    CData,
    /// `<?...?>`, at the very start of the stream only.
    Declaration,
}

/// The search for the end of one token.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    place: Place,
}

/// Where in the stream the token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At the very first byte: an XML declaration may stand here.
    Start,
    /// Anywhere else.
    Inside,
}

#[derive(Debug)]
enum State {
    Idle,
    Text,
    Markup,
    Tag(ElementParser),
    Declaration(PiParser),
    /// After `<!`: so many bytes of `[CDATA[` were seen.
    Section(usize),
    /// In a CDATA section, after so many `]` in a row.
    CData(usize),
}

impl Scanner {
    /// A search that has not begun.
    pub(super) fn new(place: Place) -> Self {
        Self { state: State::Idle, place }
    }

    /// Whether no byte of the token was seen yet.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Whether the token is a tag, as far as its bytes tell.
    pub(super) fn is_in_tag(&self) -> bool {
        match self.state {
            State::Markup | State::Tag(_) => true,
            State::Idle | State::Text | State::Declaration(_) | State::Section(_) | State::CData(_) => false,
        }
    }

    /// Looks at bytes that follow those seen before. `Some`: the token ends before the byte of this index, and the search is idle
    /// again. `None`: it goes on behind them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Option<(Token, usize)>, Fault> {
        let mut at = 0_usize;
        while let Some((first, rest)) = bytes.get(at..).and_then(<[u8]>::split_first) {
            let end_at = |index: usize| at.saturating_add(index);
            match &mut self.state {
                State::Idle => self.state = if *first == b'<' { State::Markup } else { State::Text },
                State::Text => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    return Ok(memchr::memchr(b'<', rest).map(|index| self.end(Token::Text, end_at(index))));
                }
                State::Markup => {
                    self.state = match (*first, self.place) {
                        (b'!', _) => State::Section(0),
                        (b'?', Place::Start) => State::Declaration(PiParser::default()),
                        (b'?', Place::Inside) => return Err(Fault::Restricted),
                        // `<>`, and text that holds a bare `<`, are refused here: the search for `>` would run on into the next tag.
                        (b'>' | b'<' | b' ' | b'\t' | b'\r' | b'\n' | b'=' | b'\'' | b'"', _) => {
                            return Err(Fault::NotWellFormed);
                        }
                        _ => State::Tag(ElementParser::default()),
                    };
                }
                State::Tag(parser) => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    return Ok(parser.feed(rest).map(|index| self.end(Token::Tag, end_at(index).saturating_add(1))));
                }
                State::Declaration(parser) => {
                    let rest = bytes.get(at..).unwrap_or_default();
                    return Ok(parser.feed(rest).map(|index| self.end(Token::Declaration, end_at(index).saturating_add(1))));
                }
                State::Section(seen) => {
                    if CDATA.get(*seen) != Some(first) {
                        return Err(Fault::Restricted);
                    }
                    let seen = seen.saturating_add(1);
                    self.state = if seen == CDATA.len() { State::CData(0) } else { State::Section(seen) };
                }
                State::CData(brackets) => match *first {
                    b']' => *brackets = brackets.saturating_add(1),
                    b'>' if *brackets >= 2 => return Ok(Some(self.end(Token::CData, end_at(1)))),
                    _ => *brackets = 0,
                },
            }
            at = bytes.len().saturating_sub(rest.len());
        }
        Ok(None)
    }

    fn end(&mut self, token: Token, at: usize) -> (Token, usize) {
        *self = Self::new(Place::Inside);
        (token, at)
    }
}

const CDATA: &[u8] = b"[CDATA[";

#[cfg(test)]
mod tests {
    use super::*;

    fn first_token(xml: &str) -> Result<Option<(Token, usize)>, Fault> {
        Scanner::new(Place::Inside).feed(xml.as_bytes())
    }

    #[test]
    fn a_greater_than_in_quotes_does_not_end_a_tag() {
        assert_eq!(first_token("<a b='>' c=\">\">text"), Ok(Some((Token::Tag, 15))));
    }

    #[test]
    fn text_ends_before_the_next_tag() {
        assert_eq!(first_token("text<a>"), Ok(Some((Token::Text, 4))));
        assert_eq!(first_token("text"), Ok(None));
    }

    #[test]
    fn a_section_ends_at_two_or_more_brackets() {
        assert_eq!(first_token("<![CDATA[]] >]]]>x"), Ok(Some((Token::CData, 17))));
        assert_eq!(first_token("<![CDATA[]>]]>x"), Ok(Some((Token::CData, 14))));
    }

    #[test]
    fn what_xmpp_forbids_is_refused_at_the_byte_that_shows_it() {
        for xml in ["<!D", "<!-", "<?", "<![I", "<![CDATAx"] {
            assert_eq!(first_token(xml), Err(Fault::Restricted), "{xml}");
        }
    }

    #[test]
    fn a_declaration_has_its_place() {
        let declaration = b"<?xml version='1.0'?><a>";
        assert_eq!(Scanner::new(Place::Start).feed(declaration), Ok(Some((Token::Declaration, 21))));
        assert_eq!(Scanner::new(Place::Inside).feed(declaration), Err(Fault::Restricted));
    }
}
