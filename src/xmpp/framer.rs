//! Bytes of an XMPP stream to its header and its stanzas (RFC 6120 §4, §11).
//!
//! Each byte is looked at once, however the input is split, and a stanza is built while its bytes come in: what is kept of it is
//! its tree and at most one unfinished token. A split of the input never changes what comes out. A stanza beyond a limit is skipped
//! ([`Refused`]); any other [`Fault`] ends the stream. After that, or the end of the stream, further input is dropped unread.
//!
//! ```
//! # use xmpp_gateway::xmpp::framer::{Framer, StreamEvent};
//! let mut framer = Framer::default();
//! let mut input: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1'><presence/>";
//! assert!(matches!(framer.next(&mut input), Ok(Some(StreamEvent::Opened(header))) if header.id.as_deref() == Some("1")));
//! assert!(matches!(framer.next(&mut input), Ok(Some(StreamEvent::Stanza(stanza))) if stanza.name() == "presence"));
//! assert!(matches!(framer.next(&mut input), Ok(None)));
//! ```

use std::mem;

use crate::xmpp::element::Element;
use crate::xmpp::fault::Fault;
use crate::xmpp::ns;
use crate::xmpp::skip::Skip;
use crate::xmpp::tag;
use crate::xmpp::tag::StartTag;
use crate::xmpp::tag::Tag;
use crate::xmpp::token::Place;
use crate::xmpp::token::Scanner;
use crate::xmpp::token::Token;
use crate::xmpp::tree::Completed;
use crate::xmpp::tree::Tree;

/// What a stanza may be at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a stanza, and of the stream header. RFC 6120 §13.12 asks for 10 000 at least.
    pub stanza_bytes: usize,
    /// Levels of elements in a stanza, the stanza itself being the first.
    pub depth: usize,
    /// How many more bytes of a refused stanza are read for its end. That many end the stream.
    pub skipped_bytes: usize,
}

/// 256 KiB is what common servers take from their own clients; stanzas in use are nested about ten deep. What servers take from
/// each other is far below 16 MiB: one that sends more has no bound of its own.
impl Default for Limits {
    fn default() -> Self {
        Self { stanza_bytes: 256 * 1024, depth: 64, skipped_bytes: 16 * 1024 * 1024 }
    }
}

/// What comes out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamEvent {
    /// The peer opened its stream.
    Opened(Header),
    /// A first-level element: a stanza, or an element of the stream itself such as `<stream:error/>`.
    Stanza(Element),
    /// A stanza beyond a limit. It was read to its end and thrown away: one user's stanza must not end the stream of all.
    Refused(Refused),
    /// The peer closed its stream. Nothing follows.
    Closed,
}

/// A stanza that was not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The stanza without anything inside: enough to answer it. If its start tag has too many attributes, it has those that a
    /// reply needs; if that has too many bytes, there is none.
    pub stanza: Option<Element>,
    /// Which limit it is beyond.
    pub fault: Fault,
}

/// The attributes of a stream header (RFC 6120 §4.7).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Header {
    /// `id`.
    pub id: Option<String>,
    /// `from`.
    pub from: Option<String>,
    /// `to`.
    pub to: Option<String>,
    /// `version`; a component stream has none.
    pub version: Option<String>,
    /// `xml:lang`.
    pub lang: Option<String>,
}

/// The reading side of one stream.
#[derive(Debug)]
pub struct Framer {
    limits: Limits,
    state: State,
    scanner: Scanner,
    tree: Tree,
    /// Bytes of a token that is not complete.
    held: Vec<u8>,
    /// Bytes of this stanza in tokens that are complete.
    used: usize,
    /// A stanza beyond a limit, and the search for its end.
    skipped: Option<(Refused, Skip)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No byte was read.
    Start,
    /// The stream header is to come.
    Header,
    /// In the stream.
    Open,
    /// The header was an empty-element tag: the stream is over as soon as it has begun.
    Empty,
    /// After the end, or a fault.
    Over,
}

impl Framer {
    /// A framer for one stream.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Start,
            scanner: Scanner::new(Place::Start),
            tree: Tree::new(limits.depth),
            held: Vec::new(),
            used: 0,
            skipped: None,
        }
    }

    /// Takes bytes from the front of `input` up to the next event. `None`: all were taken, more are needed.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<StreamEvent>, Fault> {
        let outcome = self.advance(input);
        if matches!(outcome, Err(_) | Ok(Some(StreamEvent::Closed))) {
            // Frees what was built and held.
            *self = Self { state: State::Over, ..Self::new(self.limits) };
        }
        outcome
    }

    fn advance(&mut self, input: &mut &[u8]) -> Result<Option<StreamEvent>, Fault> {
        loop {
            match self.state {
                State::Over => *input = &[],
                State::Empty => return Ok(Some(StreamEvent::Closed)),
                State::Start | State::Header | State::Open => {}
            }
            if let Some((_, skip)) = &mut self.skipped {
                let is_at_end = skip.feed(&mut self.scanner, input)?;
                return Ok(self.skipped.take_if(|_| is_at_end).map(|(refused, _)| StreamEvent::Refused(refused)));
            }
            if self.scanner.is_idle() && !self.tree.is_in_stanza() {
                self.skip_space(input)?;
            }
            if input.is_empty() {
                return Ok(None);
            }
            // Only what the stanza may still hold is looked at, so that the limit strikes at the same byte in every split.
            let budget = self.limits.stanza_bytes.saturating_sub(self.used).saturating_sub(self.held.len());
            let window = input.get(..budget).unwrap_or(input);
            let Some((token, end)) = self.scanner.feed(window)? else {
                let is_over = window.len() == budget;
                self.held.extend_from_slice(window);
                *input = input.get(window.len()..).unwrap_or_default();
                if is_over {
                    self.refuse_token()?;
                    continue;
                }
                return Ok(None);
            };
            let (bytes, rest) = input.split_at_checked(end).unwrap_or((input, &[]));
            *input = rest;
            if let Some(event) = self.take(token, bytes)? {
                return Ok(Some(event));
            }
        }
    }

    /// The stanza ends within its limit no more: goes on without it, in the middle of a token.
    fn refuse_token(&mut self) -> Result<(), Fault> {
        let begun = mem::take(&mut self.held);
        let (stanza, open) = match self.tree.abandon() {
            Some((stanza, open)) => (Some(stanza), open),
            // Its own start tag does not end.
            None if self.state == State::Open && self.scanner.is_in_tag() && !begun.starts_with(b"</") => (None, 0),
            None => return Err(Fault::Bytes),
        };
        self.used = 0;
        let skip = Skip::new(open, &begun, self.limits.skipped_bytes);
        self.skipped = Some((Refused { stanza, fault: Fault::Bytes }, skip));
        Ok(())
    }

    /// The stanza goes beyond a limit with this tag: goes on without it. `Some`: it has ended with the tag.
    fn refuse_tag(&mut self, tag: &StartTag<'_>, fault: Fault) -> Result<Option<StreamEvent>, Fault> {
        let (stanza, open) = match self.tree.abandon() {
            Some(abandoned) => abandoned,
            None => (self.tree.addresses(tag)?, 0),
        };
        let open = open.saturating_add(usize::from(!tag.is_empty));
        let refused = Refused { stanza: Some(stanza), fault };
        self.used = 0;
        if open == 0 {
            return Ok(Some(StreamEvent::Refused(refused)));
        }
        self.skipped = Some((refused, Skip::new(open, b"", self.limits.skipped_bytes)));
        Ok(None)
    }

    /// Drops white space between stanzas, which peers send to keep the connection alive (RFC 6120 §4.6.1).
    fn skip_space(&mut self, input: &mut &[u8]) -> Result<(), Fault> {
        *input = match self.state {
            // Before the header it is allowed too, but then no XML declaration can follow.
            State::Start if input.first().is_some_and(|byte| is_space(*byte)) => {
                self.state = State::Header;
                self.scanner = Scanner::new(Place::Inside);
                trim_space(input)
            }
            State::Start => input,
            State::Header | State::Open | State::Empty | State::Over => trim_space(input),
        };
        match (input.first(), self.state) {
            (None | Some(b'<'), _) => Ok(()),
            (Some(0 | 0xfe | 0xff), State::Start) => Err(Fault::Encoding),
            (Some(_), State::Start | State::Header) => Err(Fault::NotWellFormed),
            (Some(_), State::Open | State::Empty | State::Over) => Err(Fault::Format),
        }
    }

    /// Takes a token whose last bytes are these; the ones before them are held.
    fn take(&mut self, token: Token, bytes: &[u8]) -> Result<Option<StreamEvent>, Fault> {
        if self.held.is_empty() {
            return self.read(token, bytes);
        }
        let mut whole = mem::take(&mut self.held);
        whole.extend_from_slice(bytes);
        let event = self.read(token, &whole);
        whole.clear();
        whole.shrink_to(KEPT);
        self.held = whole;
        event
    }

    fn read(&mut self, token: Token, bytes: &[u8]) -> Result<Option<StreamEvent>, Fault> {
        self.used = self.used.saturating_add(bytes.len());
        let characters = tag::characters(bytes)?;
        match token {
            Token::Text => self.tree.text(&tag::text(characters)?)?,
            Token::CData if self.state != State::Open => return Err(Fault::NotWellFormed),
            Token::CData => {
                let section = characters.strip_prefix("<![CDATA[").and_then(|section| section.strip_suffix("]]>"));
                self.tree.text(&tag::section_text(section.unwrap_or_default()))?;
            }
            Token::Declaration => {
                tag::check_declaration(characters)?;
                self.state = State::Header;
                self.used = 0;
            }
            Token::Tag => return self.tag(Tag::parse(characters)?),
        }
        Ok(None)
    }

    fn tag(&mut self, tag: Tag<'_>) -> Result<Option<StreamEvent>, Fault> {
        let completed = match tag {
            Tag::Start(tag) if self.state == State::Open => match self.tree.start(&tag) {
                Err(fault) if fault.is_limit() => return self.refuse_tag(&tag, fault),
                completed => completed?,
            },
            Tag::Start(tag) => return self.header(&tag).map(Some),
            Tag::End(written) => self.tree.end(written)?,
        };
        if !self.tree.is_in_stanza() {
            self.used = 0;
        }
        Ok(match completed {
            Completed::Nothing => None,
            Completed::Stanza(stanza) => Some(StreamEvent::Stanza(stanza)),
            Completed::Root => Some(StreamEvent::Closed),
        })
    }

    fn header(&mut self, tag: &StartTag<'_>) -> Result<StreamEvent, Fault> {
        let root = self.tree.root(tag)?;
        if root.ns() != ns::STREAMS || !matches!(self.tree.content_ns(), "" | ns::CLIENT) {
            return Err(Fault::Namespace);
        }
        if root.name() != "stream" {
            return Err(Fault::Format);
        }
        self.used = 0;
        self.state = if tag.is_empty { State::Empty } else { State::Open };
        let attribute = |name| root.attribute(name).map(str::to_owned);
        Ok(StreamEvent::Opened(Header {
            id: attribute("id"),
            from: attribute("from"),
            to: attribute("to"),
            version: attribute("version"),
            lang: root.lang().map(str::to_owned),
        }))
    }
}

impl Default for Framer {
    fn default() -> Self {
        Self::new(Limits::default())
    }
}

impl Element {
    /// Reads one stanza that stands alone: in the namespace `jabber:client` unless it says otherwise, with the limits and rules of
    /// a stream. For tests and golden cases.
    pub fn parse(xml: &str) -> Result<Self, Fault> {
        Self::read(xml.as_bytes(), Limits::default())
    }

    /// Reads one element that stands alone, as [`Self::parse`] does, within these limits.
    pub(super) fn read(mut input: &[u8], limits: Limits) -> Result<Self, Fault> {
        let mut framer = Framer::new(limits);
        framer.next(&mut &STANDALONE[..])?;
        let element = match framer.next(&mut input)? {
            Some(StreamEvent::Stanza(element)) => element,
            Some(StreamEvent::Refused(refused)) => return Err(refused.fault),
            Some(StreamEvent::Opened(_) | StreamEvent::Closed) | None => return Err(Fault::NotWellFormed),
        };
        if !trim_space(input).is_empty() {
            return Err(Fault::Format);
        }
        Ok(element)
    }
}

fn trim_space(input: &[u8]) -> &[u8] {
    let start = input.iter().position(|byte| !is_space(*byte)).unwrap_or(input.len());
    input.get(start..).unwrap_or_default()
}

/// White space of XML 1.0 §2.3, which has no form feed.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

const STANDALONE: &[u8] = b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";

/// What the buffer for an unfinished token keeps after a long one.
const KEPT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_token_leaves_no_long_buffer() {
        let mut framer = Framer::default();
        let stanza = format!("<message to='{0}'>{0}</message>", "x".repeat(100_000));
        let input = [STANDALONE, stanza.as_bytes()].concat();
        let (mut longest, mut stanzas) = (0, 0);
        for mut piece in input.chunks(1000) {
            while let Some(event) = framer.next(&mut piece).unwrap() {
                stanzas += usize::from(matches!(event, StreamEvent::Stanza(_)));
            }
            longest = longest.max(framer.held.capacity());
        }
        assert_eq!(stanzas, 1);
        assert!(longest > 99_000, "the token was held, in {longest} bytes");
        assert!(framer.held.capacity() <= KEPT);
    }

    #[test]
    fn nothing_is_held_of_a_refused_stanza() {
        for (start, more) in [("<a b='", "xxxx"), ("<![CDATA[", "xxxx"), ("", "xxxx"), ("", "<a>"), ("", "<a/>text")] {
            let mut framer = Framer::new(Limits { stanza_bytes: 50_000, ..Limits::default() });
            framer.next(&mut &STANDALONE[..]).unwrap();
            let unclosed = format!("<message id='1'>{start}{}", more.repeat(20_000));
            for mut piece in unclosed.as_bytes().chunks(1000) {
                framer.next(&mut piece).unwrap();
            }
            let Some((refused, _)) = &framer.skipped else { panic!("{start}{more}") };
            assert_eq!(refused.stanza, Element::parse("<message id='1'/>").ok());
            assert!(framer.held.capacity() <= KEPT && !framer.tree.is_in_stanza(), "{start}{more}");
        }
    }

    #[test]
    fn nothing_is_held_after_a_fault() {
        let mut framer = Framer::default();
        framer.next(&mut &STANDALONE[..]).unwrap();
        for mut piece in "<message><body>".bytes().chain([b'x'; 50_000]).chain([b'<', b'>']).collect::<Vec<_>>().chunks(1000) {
            let _ = framer.next(&mut piece);
        }
        assert_eq!(framer.state, State::Over);
        assert_eq!(framer.held.capacity(), 0);
        assert!(!framer.tree.is_in_stanza());
    }
}
