//! The start tag of a stanza that is finished already: from whom, to whom, and of what kind.
//!
//! Stanzas cross the link, and wait, as bytes that nobody parses again. Where one has to wait, this much is read of it. It takes what
//! [`crate::xml::XmlWriter`] writes, which escapes `>` in attributes; of anything else it may say nothing.

use std::borrow::Cow;

use crate::xmpp::stanza::Kind;
use crate::xmpp::stanza::PresenceType;
use crate::xmpp::tag;
use crate::xmpp::tag::Tag;

/// What a stanza says before its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head<'a> {
    /// Message, presence or iq.
    pub kind: Kind,
    /// The attribute `type`.
    pub stanza_type: Option<Cow<'a, str>>,
    /// The attribute `id`.
    pub id: Option<Cow<'a, str>>,
    /// The sender's JID; empty if there is none.
    pub from: Cow<'a, str>,
    /// The recipient's JID; empty if there is none: the server itself.
    pub to: Cow<'a, str>,
}

impl<'a> Head<'a> {
    /// Reads it; `None` if these bytes begin no stanza.
    pub fn of(stanza: &'a [u8]) -> Option<Self> {
        let end = memchr::memchr(b'>', stanza)?;
        let token = std::str::from_utf8(stanza.get(..=end)?).ok()?;
        let Ok(Tag::Start(tag)) = Tag::parse(token) else { return None };
        let kind = [Kind::Message, Kind::Presence, Kind::Iq].into_iter().find(|kind| kind.name() == tag.written)?;
        let mut head = Self { kind, stanza_type: None, id: None, from: Cow::default(), to: Cow::default() };
        for attribute in tag.attributes {
            let (name, written) = attribute.ok()?;
            let value = tag::attribute_value(written).ok()?;
            match (name.prefix, name.local) {
                ("", "from") => head.from = value,
                ("", "to") => head.to = value,
                ("", "type") => head.stanza_type = Some(value),
                ("", "id") => head.id = Some(value),
                (_, _) => {}
            }
        }
        Some(head)
    }

    /// The same, without the stanza.
    pub fn into_owned(self) -> Head<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        Head {
            kind: self.kind,
            stanza_type: self.stanza_type.map(owned),
            id: self.id.map(owned),
            from: owned(self.from),
            to: owned(self.to),
        }
    }

    /// The domain that the recipient is in: the peer.
    pub fn peer(&self) -> &str {
        let bare = self.to.split('/').next().unwrap_or_default();
        bare.split_once('@').map_or(bare, |(_, domain)| domain)
    }

    /// The type of a presence; `None` if it is no presence, or its type is not defined.
    pub fn presence_type(&self) -> Option<PresenceType> {
        if self.kind == Kind::Presence { PresenceType::from_attribute(self.stanza_type.as_deref()) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::XmlWriter;

    fn peer(to: &str) -> String {
        let mut xml = XmlWriter::new();
        xml.open("message").attribute("from", "juliet@sip.example.com").attribute("to", to);
        xml.open("body").text("x > y");
        Head::of(xml.finish().as_bytes()).unwrap().peer().to_owned()
    }

    #[test]
    fn the_peer_is_the_domain_of_the_recipient() {
        // RFC 7622 §3.2: the resource goes first, and may hold both separators.
        for to in ["example.net", "romeo@example.net", "romeo@example.net/a@b/c", "example.net/a@b", "o'neill>@example.net"] {
            assert_eq!(peer(to), "example.net", "{to}");
        }
        assert_eq!(peer(""), "");
    }

    #[test]
    fn kind_type_and_addresses_are_read() {
        let head = Head::of(b"<presence from='a@b/c&amp;d' to='e@f' type='subscribed' id='&lt;1'/>").unwrap();
        assert_eq!((head.from.as_ref(), head.to.as_ref(), head.id.as_deref()), ("a@b/c&d", "e@f", Some("<1")));
        assert_eq!(head.presence_type(), Some(PresenceType::Subscribed));
        let head = Head::of(b"<presence from='a@b'><show>away</show></presence>").unwrap();
        assert_eq!(head.presence_type(), Some(PresenceType::Available));
        assert_eq!(Head::of(b"<iq type='get' to='f'><ping/></iq>").unwrap().presence_type(), None);
    }

    #[test]
    fn what_is_no_stanza_has_no_head() {
        for bytes in ["", "<", "<message", "</message>", "<stream:features/>", "<message to=x>", "text"] {
            assert_eq!(Head::of(bytes.as_bytes()), None, "{bytes}");
        }
        assert_eq!(Head::of(b"<message to='\xff'/>"), None);
    }
}
