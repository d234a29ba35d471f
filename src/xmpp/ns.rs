//! XML namespaces of XMPP, by the names that RFCs and XEPs give them.

/// Stanzas of a client stream (RFC 6120 §4.8.2); the one content namespace that layers above the framer see.
pub const CLIENT: &str = "jabber:client";
/// Stanzas of a server stream (RFC 6120 §4.8.2); becomes [`CLIENT`] at the stream edge.
pub const SERVER: &str = "jabber:server";
/// Stanzas of a component stream (XEP-0114); becomes [`CLIENT`] at the stream edge.
pub const COMPONENT_ACCEPT: &str = "jabber:component:accept";
/// `<stream/>`, `<error/>` and `<features/>` of a stream (RFC 6120 §4.8.1).
pub const STREAMS: &str = "http://etherx.jabber.org/streams";
/// Conditions of a stream error (RFC 6120 §4.9.2).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Conditions of a stanza error (RFC 6120 §8.3.2).
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// The prefix `xml` (Namespaces in XML §3).
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";
/// The prefix `xmlns` (Namespaces in XML §3).
pub const XMLNS: &str = "http://www.w3.org/2000/xmlns/";
/// User activity (XEP-0108).
pub const ACTIVITY: &str = "http://jabber.org/protocol/activity";
/// Chat states (XEP-0085).
pub const CHAT_STATES: &str = "http://jabber.org/protocol/chatstates";
/// Delivery receipts (XEP-0184).
pub const RECEIPTS: &str = "urn:xmpp:receipts";
/// Chat markers (XEP-0333).
pub const CHAT_MARKERS: &str = "urn:xmpp:chat-markers:0";
/// Delayed delivery (XEP-0203).
pub const DELAY: &str = "urn:xmpp:delay";
/// Service discovery, what an entity is and can do (XEP-0030).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Service discovery, what an entity holds (XEP-0030).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Entity capabilities (XEP-0115).
pub const CAPS: &str = "http://jabber.org/protocol/caps";
/// Ping (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Software version (XEP-0092).
pub const VERSION: &str = "jabber:iq:version";
/// Entity time (XEP-0202).
pub const TIME: &str = "urn:xmpp:time";
/// Last activity (XEP-0012).
pub const LAST: &str = "jabber:iq:last";
/// vCards (XEP-0054).
pub const VCARD: &str = "vcard-temp";
/// Nicknames (XEP-0172).
pub const NICK: &str = "http://jabber.org/protocol/nick";
/// Idle time (XEP-0319).
pub const IDLE: &str = "urn:xmpp:idle:1";
/// Stable stanza ids (XEP-0359).
pub const STANZA_ID: &str = "urn:xmpp:sid:0";
/// Message processing hints (XEP-0334).
pub const HINTS: &str = "urn:xmpp:hints";
/// Stanza headers (XEP-0131).
pub const SHIM: &str = "http://jabber.org/protocol/shim";
/// XHTML-IM (XEP-0071).
pub const XHTML_IM: &str = "http://jabber.org/protocol/xhtml-im";
/// XHTML, the body of XHTML-IM.
pub const XHTML: &str = "http://www.w3.org/1999/xhtml";
/// Joining a room (XEP-0045).
pub const MUC: &str = "http://jabber.org/protocol/muc";
/// What a room says of an occupant (XEP-0045).
pub const MUC_USER: &str = "http://jabber.org/protocol/muc#user";
/// Avatar of a vCard in presence (XEP-0153).
pub const VCARD_UPDATE: &str = "vcard-temp:x:update";
/// Events of publish-subscribe (XEP-0060).
pub const PUBSUB_EVENT: &str = "http://jabber.org/protocol/pubsub#event";
/// Publish-subscribe (XEP-0060).
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// `<body/>` of BOSH (XEP-0124).
pub const HTTPBIND: &str = "http://jabber.org/protocol/httpbind";
/// What XMPP adds to BOSH (XEP-0206).
pub const XBOSH: &str = "urn:xmpp:xbosh";
/// Authentication (RFC 6120 §6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// TLS on the same connection (RFC 6120 §5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// Resource binding (RFC 6120 §7).
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// The session that RFC 3921 §3 asked for after the resource.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";

/// The constant for a namespace met on a stream: what is known here costs no allocation per element.
pub(super) fn known(uri: &str) -> Option<&'static str> {
    match uri {
        "" => Some(""),
        CLIENT | SERVER | COMPONENT_ACCEPT => Some(CLIENT),
        _ => KNOWN.iter().copied().find(|known| *known == uri),
    }
}

const KNOWN: [&str; 29] = [
    ACTIVITY,
    SHIM,
    CHAT_STATES,
    RECEIPTS,
    CHAT_MARKERS,
    DELAY,
    CAPS,
    STANZA_ID,
    HINTS,
    IDLE,
    NICK,
    VCARD_UPDATE,
    STANZA_ERRORS,
    STREAM_ERRORS,
    STREAMS,
    PING,
    DISCO_INFO,
    DISCO_ITEMS,
    VERSION,
    TIME,
    LAST,
    VCARD,
    XHTML_IM,
    XHTML,
    MUC,
    MUC_USER,
    PUBSUB_EVENT,
    HTTPBIND,
    XML,
];
