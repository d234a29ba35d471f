//! What every stanza has: its kind and type, its addresses, and the replies made from them (RFC 6120 §8, RFC 6121).
//!
//! Payloads are not looked at here; translate does that.

use jid::Jid;

use crate::address::read_jid;
use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::ns;
use crate::xmpp::stanza_error::StanzaError;

/// The three kinds of stanza (RFC 6120 §8.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `<message/>`: push.
    Message,
    /// `<presence/>`: broadcast.
    Presence,
    /// `<iq/>`: request and response.
    Iq,
}

impl Kind {
    /// The kind of a first-level element; `None` if it is no stanza.
    pub fn of(element: &Element) -> Option<Self> {
        match element.name() {
            _ if element.ns() != ns::CLIENT => None,
            "message" => Some(Self::Message),
            "presence" => Some(Self::Presence),
            "iq" => Some(Self::Iq),
            _ => None,
        }
    }

    /// The name of its element.
    pub fn name(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Presence => "presence",
            Self::Iq => "iq",
        }
    }
}

/// The `from` of a stanza as [`XmlWriter`] has written it, still escaped; `None` if it has none.
pub fn sender(stanza: &[u8]) -> Option<&str> {
    const FROM: &[u8] = b" from='";
    let tag = stanza.get(..memchr::memchr(b'>', stanza)?)?;
    // No value has a bare quote, so this is no part of one.
    let start = memchr::memmem::find(tag, FROM)?.checked_add(FROM.len())?;
    let value = tag.get(start..)?;
    std::str::from_utf8(value.get(..memchr::memchr(b'\'', value)?)?).ok()
}

/// Types of `<message/>` (RFC 6121 §5.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageType {
    /// Part of a conversation between two.
    Chat,
    /// A message that was sent could not be delivered.
    Error,
    /// Part of a conversation in a room.
    Groupchat,
    /// News, to which no reply is expected.
    Headline,
    /// A single message.
    Normal,
}

impl MessageType {
    /// The type of a message. None, or one that is not defined, is `normal`.
    pub fn of(message: &Element) -> Self {
        match message.attribute("type") {
            Some("chat") => Self::Chat,
            Some("error") => Self::Error,
            Some("groupchat") => Self::Groupchat,
            Some("headline") => Self::Headline,
            Some(_) | None => Self::Normal,
        }
    }
}

/// Types of `<presence/>` (RFC 6121 §4.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceType {
    /// No type: the sender is available.
    Available,
    /// A presence that was sent could not be delivered.
    Error,
    /// A request for the current presence.
    Probe,
    /// The sender wants to subscribe.
    Subscribe,
    /// The sender allows the recipient to subscribe.
    Subscribed,
    /// The sender is not available any more.
    Unavailable,
    /// The sender ends its subscription.
    Unsubscribe,
    /// A subscription is refused or was cancelled.
    Unsubscribed,
}

impl PresenceType {
    /// The type of a presence; `None` if it is not defined: the answer is `bad-request`.
    pub fn of(presence: &Element) -> Option<Self> {
        Self::from_attribute(presence.attribute("type"))
    }

    /// The type that an attribute `type` says.
    pub(super) fn from_attribute(attribute: Option<&str>) -> Option<Self> {
        Some(match attribute {
            None => Self::Available,
            Some("error") => Self::Error,
            Some("probe") => Self::Probe,
            Some("subscribe") => Self::Subscribe,
            Some("subscribed") => Self::Subscribed,
            Some("unavailable") => Self::Unavailable,
            Some("unsubscribe") => Self::Unsubscribe,
            Some("unsubscribed") => Self::Unsubscribed,
            Some(_) => return None,
        })
    }
}

/// Types of `<iq/>` (RFC 6120 §8.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IqType {
    /// A request for information.
    Get,
    /// A request to change something.
    Set,
    /// The answer to a request.
    Result,
    /// A request failed.
    Error,
}

impl IqType {
    /// The type of an IQ; `None` if it has none or one that is not defined: the answer is `bad-request`.
    pub fn of(iq: &Element) -> Option<Self> {
        Some(match iq.attribute("type") {
            Some("get") => Self::Get,
            Some("set") => Self::Set,
            Some("result") => Self::Result,
            Some("error") => Self::Error,
            Some(_) | None => return None,
        })
    }
}

/// Sender and recipient of a stanza, in their normal form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Who sent it.
    pub from: Jid,
    /// Who shall get it.
    pub to: Jid,
}

/// What is wrong with the addresses of a stanza. The server is to blame for the first two, the sender for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressError {
    /// `from` is missing. The server stamps it on what it routes, so this is the stream error `improper-addressing`
    /// (RFC 6120 §4.9.3.7, §8.1.2): there is nobody to answer.
    NoFrom,
    /// `to` is missing: `improper-addressing` too, as the server routes by it.
    NoTo,
    /// `from` is no JID for us: `jid-malformed`. Servers let more through than stringprep does, resources with characters newer than
    /// Unicode 3.2 for one (RFC 3454 §7), and no user may end the stream of all by a name.
    From,
    /// `to` is no JID: the stanza error `jid-malformed` (RFC 6120 §8.3.3.8).
    To,
}

impl Addresses {
    /// Reads `from` and `to`.
    pub fn of(stanza: &Element) -> Result<Self, AddressError> {
        let from = stanza.attribute("from").filter(|from| !from.is_empty()).ok_or(AddressError::NoFrom)?;
        let from = read_jid(from).map_err(|_| AddressError::From)?;
        let to = read_jid(stanza.attribute("to").ok_or(AddressError::NoTo)?).map_err(|_| AddressError::To)?;
        Ok(Self { from, to })
    }

    /// Sender and recipient as bare JIDs.
    pub fn bare_pair(&self) -> (String, String) {
        (self.from.to_bare().into_inner(), self.to.to_bare().into_inner())
    }
}

/// The stanza that returns another to its sender with an error (RFC 6120 §8.3): `from` and `to` swapped, same `id`.
///
/// `None` where no error may be sent: for an error, for the result of an IQ (§8.2.3), for what has no `from` or is no stanza.
pub fn error_reply(stanza: &Element, error: &StanzaError) -> Option<String> {
    if matches!(stanza.attribute("type"), Some("error" | "result")) {
        return None;
    }
    let mut xml = reply(stanza, "error")?;
    error.write(&mut xml);
    Some(xml.finish())
}

/// An error for a stanza that is not at hand any more (RFC 6120 §8.3): `from` was its recipient, `to` its sender.
pub fn error_stanza(kind: Kind, from: &str, to: &str, id: Option<&str>, error: &StanzaError) -> String {
    let mut xml = XmlWriter::new();
    xml.open(kind.name()).attribute("type", "error").attribute("from", from).attribute("to", to).attribute_if("id", id);
    error.write(&mut xml);
    xml.finish()
}

/// The stanza that answers an IQ request, with a finished payload or without. `None` if the stanza asks for no answer.
pub fn iq_result(request: &Element, payload: Option<&str>) -> Option<String> {
    match (Kind::of(request)?, IqType::of(request)?) {
        (Kind::Iq, IqType::Get | IqType::Set) => {}
        (Kind::Iq, IqType::Result | IqType::Error) | (Kind::Message | Kind::Presence, _) => return None,
    }
    let mut xml = reply(request, "result")?;
    if let Some(payload) = payload {
        xml.element(payload);
    }
    Some(xml.finish())
}

/// Opens a stanza of the same kind back to the sender.
fn reply(stanza: &Element, reply_type: &str) -> Option<XmlWriter> {
    let to = stanza.attribute("from")?;
    let mut xml = XmlWriter::new();
    xml.open(Kind::of(stanza)?.name()).attribute("type", reply_type);
    xml.attribute_if("from", stanza.attribute("to")).attribute("to", to).attribute_if("id", stanza.attribute("id"));
    Some(xml)
}

/// A JID that was checked before, without its resource.
pub(crate) fn bare(jid: &str) -> &str {
    jid.split('/').next().unwrap_or_default()
}

/// The domain of a JID that was checked before.
pub(crate) fn domain_of(jid: &str) -> &str {
    bare(jid).rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::stanza_error::Condition;

    fn parse(xml: &str) -> Element {
        Element::parse(xml).expect("a stanza")
    }

    #[test]
    fn the_sender_is_found_in_the_start_tag_only() {
        let written = |from: Option<&str>, id: &str| {
            let mut xml = XmlWriter::new();
            xml.open("message").attribute("to", "b@y").attribute("id", id).attribute_if("from", from);
            xml.open("delay").attribute("from", "z").close();
            xml.finish()
        };
        assert_eq!(sender(written(Some("a@x/r"), "1").as_bytes()), Some("a@x/r"));
        assert_eq!(sender(written(Some("o'malley@x"), "> from='evil'").as_bytes()), Some("o&apos;malley@x"));
        assert_eq!(sender(written(None, " from='evil'").as_bytes()), None);
        assert_eq!(sender(b"<message from='a@x"), None);
    }

    #[test]
    fn an_error_goes_back_with_the_same_id() {
        let message = parse("<message from='romeo@a/b' to='juliet@c' id='x&amp;1' type='chat'><body>Hi</body></message>");
        let reply = error_reply(&message, &StanzaError::new(Condition::ItemNotFound)).unwrap();
        let reply = parse(&reply);
        assert_eq!(Kind::of(&reply), Some(Kind::Message));
        assert_eq!(MessageType::of(&reply), MessageType::Error);
        assert_eq!(reply.attribute("from"), Some("juliet@c"));
        assert_eq!(reply.attribute("to"), Some("romeo@a/b"));
        assert_eq!(reply.attribute("id"), Some("x&1"));
        assert_eq!(StanzaError::of(&reply), Some(StanzaError::new(Condition::ItemNotFound)));
    }

    #[test]
    fn errors_and_results_are_never_answered() {
        let error = StanzaError::new(Condition::BadRequest);
        for stanza in [
            "<message from='a@b' type='error'/>",
            "<presence from='a@b' type='error'/>",
            "<iq from='a@b' id='1' type='error'/>",
            "<iq from='a@b' id='1' type='result'/>",
            "<message to='a@b'/>",
            "<handshake from='a@b'/>",
            "<message xmlns='urn:other' from='a@b'/>",
        ] {
            assert_eq!(error_reply(&parse(stanza), &error), None, "{stanza}");
        }
    }

    #[test]
    fn a_result_answers_a_request_only() {
        let request = parse("<iq from='a@b' to='c' id='1' type='get'><ping xmlns='urn:xmpp:ping'/></iq>");
        assert_eq!(iq_result(&request, None).unwrap(), "<iq type='result' from='c' to='a@b' id='1'/>");
        let with_payload = parse(&iq_result(&request, Some("<query xmlns='urn:q'/>")).unwrap());
        assert!(with_payload.child("query", "urn:q").is_some());
        for stanza in ["<iq from='a@b' type='result'/>", "<iq from='a@b'/>", "<message from='a@b' type='get'/>"] {
            assert_eq!(iq_result(&parse(stanza), None), None, "{stanza}");
        }
    }

    #[test]
    fn addresses_are_normalised_or_refused() {
        let addresses = Addresses::of(&parse("<presence from='Romeo@EXAMPLE.net/Orchard' to='juliet@example.com'/>")).unwrap();
        assert_eq!(addresses.from.as_str(), "romeo@example.net/Orchard");
        let malformed = [
            ("<presence to='a@b'/>", AddressError::NoFrom),
            ("<presence from='' to='a@b'/>", AddressError::NoFrom),
            ("<presence from='a@b/\u{1F600}' to='a@b'/>", AddressError::From),
            ("<presence from='@b' to='a@b'/>", AddressError::From),
            ("<presence from='a@b' to='a@b@c'/>", AddressError::To),
            ("<presence from='a@b' to='a@b/'/>", AddressError::To),
            ("<presence from='a@b' to='a b@c'/>", AddressError::To),
            ("<presence from='a@b' to=''/>", AddressError::To),
            ("<presence from='a@b'/>", AddressError::NoTo),
        ];
        for (stanza, error) in malformed {
            assert_eq!(Addresses::of(&parse(stanza)), Err(error), "{stanza}");
        }
    }

    #[test]
    fn types_that_are_not_defined_are_told_apart() {
        assert_eq!(MessageType::of(&parse("<message type='other'/>")), MessageType::Normal);
        assert_eq!(PresenceType::of(&parse("<presence/>")), Some(PresenceType::Available));
        assert_eq!(PresenceType::of(&parse("<presence type='available'/>")), None);
        assert_eq!(IqType::of(&parse("<iq/>")), None);
    }
}
