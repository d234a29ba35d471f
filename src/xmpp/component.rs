//! The login of a component and its stream (XEP-0114, `jabber:component:accept`).
//!
//! ```text
//!  start() -> header      header with id      <handshake/>          </stream:stream> or error
//!  Idle ------------> Header ----------> Handshake ----------> Ready ---------------> Over
//!                                 (handshake sent)         (stanzas both ways)
//! ```
//!
//! Sans-IO: the driver feeds what it read to [`Component::next`] and writes what [`Component::take_output`] gives. Stanzas do not
//! pass through here: the driver writes them while [`Component::is_ready`]. Time limits are the driver's too: nothing here ends a
//! login that the server leaves unanswered.

use std::fmt;
use std::fmt::Write;

use sha1::Digest;
use sha1::Sha1;

use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::fault::Fault;
use crate::xmpp::framer::Framer;
use crate::xmpp::framer::Header;
use crate::xmpp::framer::Limits;
use crate::xmpp::framer::Refused;
use crate::xmpp::framer::StreamEvent;
use crate::xmpp::ns;
use crate::xmpp::stanza::Kind;
use crate::xmpp::stream_error;
use crate::xmpp::stream_error::Condition;
use crate::xmpp::stream_error::STREAM_END;
use crate::xmpp::stream_error::StreamError;

/// One connection to the server, from the first byte to the last. The next connection takes a new one.
pub struct Component {
    domain: String,
    secret: String,
    state: State,
    framer: Framer,
    output: Vec<u8>,
    output_end: OutputEnd,
}

/// What the stream brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The server accepted the secret: stanzas may be sent.
    Ready,
    /// `<message/>`, `<presence/>` or `<iq/>`, in `jabber:client`.
    Stanza(Element),
    /// A stanza beyond a limit, in `jabber:client` if its start tag is known. It is to be answered, and nothing else.
    Refused(Refused),
    /// It is over: write the rest of the output and close the connection. Nothing follows.
    Ended(Reason),
}

/// Why a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The server closed it, or answered our closing.
    Closed,
    /// The server sent a stream error; a wrong secret is `not-authorized`.
    Server(StreamError),
    /// The server sent what cannot be read.
    Fault(Fault),
    /// The server gave its stream no id: there is nothing to prove the secret with.
    NoId,
    /// The server sent something else than `<handshake/>`.
    NoHandshake,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Our header was not asked for yet.
    Idle,
    /// The server's header is to come.
    Header,
    /// A header without id came: an error that says why may follow, and is worth waiting for.
    NoId,
    /// The handshake is sent.
    Handshake,
    /// Logged in.
    Ready,
    /// The stream of the server has ended.
    Over,
}

/// Whether our own stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OutputEnd {
    /// It does.
    Open,
    /// `</stream:stream>` is sent.
    Closed,
}

impl Component {
    /// A component of this domain, with the limits that are usual.
    pub fn new(domain: &str, secret: &str) -> Self {
        Self::with_limits(domain, secret, Limits::default())
    }

    /// A component of this domain that takes stanzas within these limits.
    pub fn with_limits(domain: &str, secret: &str, limits: Limits) -> Self {
        Self {
            domain: domain.to_owned(),
            secret: secret.to_owned(),
            state: State::Idle,
            framer: Framer::new(limits),
            output: Vec::new(),
            output_end: OutputEnd::Open,
        }
    }

    /// The stream header: the first bytes to send.
    pub fn start(&mut self) -> String {
        if self.state == State::Idle {
            self.state = State::Header;
        }
        let mut xml = XmlWriter::new();
        xml.open("stream:stream").attribute("xmlns", ns::COMPONENT_ACCEPT).attribute("xmlns:stream", ns::STREAMS);
        xml.attribute("to", &self.domain);
        // A header is a start tag; the writer knows whole elements only.
        let mut header = String::from("<?xml version='1.0'?>");
        header.push_str(xml.finish().trim_end_matches("/>"));
        header.push('>');
        header
    }

    /// Takes bytes from the front of `input` up to the next event. `None`: all were taken, more are needed.
    pub fn next(&mut self, input: &mut &[u8]) -> Option<Event> {
        while self.state != State::Over {
            let event = match self.framer.next(input) {
                Ok(None) => return None,
                Ok(Some(StreamEvent::Opened(header))) => {
                    self.opened(&header);
                    continue;
                }
                Ok(Some(StreamEvent::Stanza(element))) => self.element(element),
                Ok(Some(StreamEvent::Refused(refused))) => self.refused(refused),
                Ok(Some(StreamEvent::Closed)) if self.state == State::NoId => Some(self.end(Reason::NoId, None)),
                Ok(Some(StreamEvent::Closed)) => Some(self.end(Reason::Closed, None)),
                Err(fault) => Some(self.end(Reason::Fault(fault), Some(&fault.condition()))),
            };
            if event.is_some() {
                return event;
            }
        }
        *input = &[];
        None
    }

    /// Moves what is to be written behind what is in `out`: the handshake, or the end of our stream with its error. Stanzas are the
    /// driver's own and go behind it, while [`Component::is_ready`].
    pub fn take_output(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.output);
    }

    /// Ends our side; returns what to write behind the output taken so far, empty if it was ended before. Stanzas may come until
    /// the server ends its side (RFC 6120 §4.4).
    pub fn close(&mut self) -> &'static str {
        match (self.state, self.output_end) {
            (State::Idle, _) | (_, OutputEnd::Closed) => "",
            (State::Header | State::NoId | State::Handshake | State::Ready | State::Over, OutputEnd::Open) => {
                self.output_end = OutputEnd::Closed;
                STREAM_END
            }
        }
    }

    /// Ends our side with a stream error: for what only upper layers see, such as a stanza without `from` (improper-addressing).
    pub fn fail(&mut self, condition: &Condition) {
        if self.state != State::Idle && self.output_end == OutputEnd::Open {
            self.output_end = OutputEnd::Closed;
            self.output.extend_from_slice(stream_error::closing(condition).as_bytes());
        }
    }

    /// Whether stanzas may be sent: the server has accepted us, and neither side has ended.
    pub fn is_ready(&self) -> bool {
        self.state == State::Ready && self.output_end == OutputEnd::Open
    }

    fn opened(&mut self, header: &Header) {
        // Prosody opens its stream with an empty id when all it has to say is an error.
        self.state = match header.id.as_deref() {
            None | Some("") => State::NoId,
            Some(id) if self.output_end == OutputEnd::Open => {
                self.output.extend_from_slice(handshake(id, &self.secret).as_bytes());
                State::Handshake
            }
            Some(_) => State::Handshake,
        };
    }

    fn element(&mut self, element: Element) -> Option<Event> {
        if let Some(error) = StreamError::of(&element) {
            return Some(self.end(Reason::Server(error), None));
        }
        match self.state {
            State::Ready if Kind::of(&element).is_some() => Some(Event::Stanza(element)),
            // What nobody negotiated may be ignored; ending the stream for it would harm every user of the gateway.
            State::Ready | State::Over => None,
            // XEP-0114 knows none, but a server that sends them means no harm.
            State::Idle | State::Header | State::NoId | State::Handshake if element.is("features", ns::STREAMS) => None,
            State::Handshake if element.is("handshake", ns::CLIENT) => {
                self.state = State::Ready;
                Some(Event::Ready)
            }
            State::NoId => Some(self.end(Reason::NoId, Some(&Condition::BadFormat))),
            State::Idle | State::Header | State::Handshake => {
                Some(self.end(Reason::NoHandshake, Some(&Condition::NotAuthorized)))
            }
        }
    }

    fn refused(&mut self, refused: Refused) -> Option<Event> {
        let fault = refused.fault;
        if self.state != State::Ready {
            // No user speaks here: it is the server that we cannot read.
            return Some(self.end(Reason::Fault(fault), Some(&fault.condition())));
        }
        match &refused.stanza {
            Some(element) if Kind::of(element).is_none() => {
                StreamError::of(element).map(|error| self.end(Reason::Server(error), None))
            }
            Some(_) | None => Some(Event::Refused(refused)),
        }
    }

    fn end(&mut self, reason: Reason, error: Option<&Condition>) -> Event {
        match error {
            Some(condition) => self.fail(condition),
            None => {
                let end = self.close();
                self.output.extend_from_slice(end.as_bytes());
            }
        }
        self.state = State::Over;
        Event::Ended(reason)
    }
}

/// Without secret, handshake and stanzas.
impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { domain, state, output_end, .. } = self;
        f.debug_struct("Component")
            .field("domain", domain)
            .field("state", state)
            .field("output_end", output_end)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the server closed the stream"),
            Self::Server(error) => write!(f, "the server says {error}"),
            Self::Fault(fault) => write!(f, "the server sent what cannot be read: {fault}"),
            Self::NoId => f.write_str("the server gave its stream no id"),
            Self::NoHandshake => f.write_str("the server did not answer the handshake"),
        }
    }
}

/// The proof of the secret: SHA-1 of the stream's id and the secret, in lower-case hex (XEP-0114 §3).
fn handshake(id: &str, secret: &str) -> String {
    let digest = Sha1::new().chain_update(id).chain_update(secret).finalize();
    let mut xml = String::from("<handshake>");
    for byte in digest {
        // Writing to a String cannot fail.
        let _ = write!(xml, "{byte:02x}");
    }
    xml.push_str("</handshake>");
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_handshake_is_that_of_the_specification() {
        // XEP-0114 §3 shows an id and a digest but no secret: this digest is from sha1sum.
        let expected = "<handshake>a984b871214a298f0f743fcd25f99b10838ba12b</handshake>";
        assert_eq!(handshake("3BF96D32", "s3cret"), expected);
    }

    #[test]
    fn the_secret_is_not_shown() {
        let mut component = Component::new("sip.example.net", "s3cret");
        component.start();
        let mut input: &[u8] = b"<s:stream xmlns:s='http://etherx.jabber.org/streams' id='3BF96D32'>";
        assert_eq!(component.next(&mut input), None);
        let shown = format!("{component:?}");
        assert!(shown.contains("Handshake"), "{shown}");
        // As text, and as the numbers that bytes are shown as.
        assert!(!shown.contains("s3cret") && !shown.contains("115, 51, 99"), "{shown}");
    }
}
