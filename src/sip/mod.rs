//! SIP as the gateway sees it: owned types without any host in them, and the bodies that have an inside.
//!
//! A worker copies what it needs of a request into [`Request`] (host/*/msg.rs); what the gateway wants sent it says as
//! [`Message`], [`Publish`] or [`Subscribe`], which the host's tm and pua carry out. No parsing of SIP itself happens here: that
//! is the host's work.

pub mod cpim;
pub mod dialog;
pub mod dialog_info;
pub mod dialog_state;
pub mod header;
pub mod imdn;
pub mod pidf;
pub mod winfo;

mod field;
mod reply;
mod xml_body;

pub use self::dialog::Dialog;
pub use self::dialog::Notify;
pub use self::dialog::Package;
pub use self::field::CallId;
pub use self::field::HeaderName;
pub use self::field::Headers;
pub use self::field::Uri;
pub use self::field::one_line;
pub use self::reply::Reply;
pub use self::reply::ReplySource;
pub use self::reply::dialog_name;
pub use self::xml_body::BodyError;

/// A request that a script handed to the gateway, copied out of host memory. SIP text is bytes: it is not always UTF-8.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// The Request-URI as it is now (after script changes).
    pub request_uri: Vec<u8>,
    /// URI of From, without display name and parameters of the header.
    pub from: Vec<u8>,
    /// tag of From.
    pub from_tag: Vec<u8>,
    /// URI of To.
    pub to: Vec<u8>,
    /// tag of To; empty outside a dialog.
    pub to_tag: Vec<u8>,
    /// Call-ID.
    pub call_id: Vec<u8>,
    /// Number of CSeq.
    pub cseq: u32,
    /// branch parameter of the top Via.
    pub branch: Vec<u8>,
    /// URI of the first Contact, if there is one.
    pub contact: Option<Vec<u8>>,
    /// Record-Route, all values as one list in their order: of a SUBSCRIBE only.
    pub record_route: Vec<u8>,
    /// Expires, whole header value: of a SUBSCRIBE only.
    pub expires: Option<Vec<u8>>,
    /// Accept, all values as one list: of a SUBSCRIBE only.
    pub accept: Option<Vec<u8>>,
    /// Where it came in, as the host writes its sockets: of a SUBSCRIBE only.
    pub socket: Vec<u8>,
    /// Max-Forwards, whole header value, where it is a MESSAGE.
    pub max_forwards: Option<Vec<u8>>,
    /// Event, whole header value.
    pub event: Option<Vec<u8>>,
    /// Subscription-State, whole header value.
    pub subscription_state: Option<Vec<u8>>,
    /// Content-Type, whole header value.
    pub content_type: Option<Vec<u8>>,
    /// Content-Language, whole header value.
    pub content_language: Option<Vec<u8>>,
    /// Subject.
    pub subject: Option<Vec<u8>>,
    /// The body; empty if there is none.
    pub body: Vec<u8>,
}

/// A MESSAGE outside a dialog (RFC 3428), to be sent by the host's tm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Request-URI and To.
    pub to: Uri,
    /// From.
    pub from: Uri,
    /// Call-ID wanted (from `<thread/>`, RFC 7572 §4); without one it is made of `unique`.
    pub call_id: Option<CallId>,
    /// A number that no other MESSAGE has, of this gateway or another: its From-tag, so that no peer takes the MESSAGE for an earlier
    /// one that came round again (RFC 3261 §8.2.2.2, §19.3).
    pub unique: u64,
    /// Max-Forwards.
    pub max_forwards: u8,
    /// Further headers: Content-Type, Content-Language, Subject.
    pub headers: Headers,
    /// The body.
    pub body: Vec<u8>,
    /// Whom to tell when it fails; `None` for a notification, of which nobody is notified (RFC 5438).
    pub origin: Option<Origin>,
}

/// Where a MESSAGE came from on the XMPP side: what a stanza error needs (RFC 6120 §8.3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// `from` of the stanza: the error goes there.
    pub from: String,
    /// `to` of the stanza: the error comes from there.
    pub to: String,
    /// `id` of the stanza.
    pub id: Option<String>,
}

/// One publication (RFC 3903): the state of one XMPP resource, kept and refreshed by the host's pua.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Whose state: bare SIP URI.
    pub presentity: Uri,
    /// Separates the publications of one presentity; under 50 bytes.
    pub id: String,
    /// The PIDF; `None` takes the publication away (Expires: 0).
    pub body: Option<Vec<u8>>,
    /// Lifetime in seconds.
    pub expires: u32,
}

/// The end of a publication that the host's pua does not know, by its entity tag (RFC 3903 §4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// Whose state it was: bare SIP URI.
    pub presentity: Uri,
    /// What the presence server calls it: a token.
    pub entity_tag: String,
}

impl Withdrawal {
    /// The header block of its PUBLISH.
    pub fn headers(&self) -> Headers {
        let mut headers = Headers::default();
        headers.push(HeaderName::Event, "presence");
        headers.push(HeaderName::Expires, "0");
        headers.push(HeaderName::SipIfMatch, &self.entity_tag);
        headers
    }
}

/// An entity tag as a presence server gave it. `None`: it is none (RFC 3903 §11.3.1), or longer than what anybody makes.
pub fn entity_tag(value: &[u8]) -> Option<String> {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
    let tag = value.trim_ascii();
    let is_tag = !tag.is_empty() && tag.len() <= LONGEST_ENTITY_TAG && tag.iter().all(is_token);
    std::str::from_utf8(tag).ok().filter(|_| is_tag).map(str::to_owned)
}

const LONGEST_ENTITY_TAG: usize = 256;

/// A subscription (RFC 6665) of an XMPP user to a SIP user, or a fetch, kept and refreshed by the host's pua.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Which event package.
    pub event: Event,
    /// Whose state: bare SIP URI; becomes the Request-URI and To.
    pub presentity: Uri,
    /// Who asks: bare SIP URI; becomes From.
    pub watcher: Uri,
    /// Lifetime in seconds; 0 ends the subscription.
    pub expires: u32,
}

/// The event packages the gateway subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// `presence` (RFC 3856).
    Presence,
    /// `presence.winfo` (RFC 3857).
    PresenceWinfo,
}

/// Subscription-State of a NOTIFY (RFC 6665 §4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionState {
    /// `active`.
    Active,
    /// `pending`.
    Pending,
    /// `terminated`, with its reason.
    Terminated(Reason),
}

/// Why a subscription ended (RFC 6665 §4.1.3, RFC 7621 §4 for `invariant`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Subscribe again at once.
    Deactivated,
    /// Subscribe again later.
    Probation,
    /// Refused: do not subscribe again.
    Rejected,
    /// Not refreshed in time.
    Timeout,
    /// No decision was made in time; may be tried again.
    Giveup,
    /// The resource does not exist (any more).
    Noresource,
    /// The state will never change: keep the last one.
    Invariant,
    /// No reason given, or one unknown here: treated as `deactivated` (RFC 6665 §4.1.3).
    Unspecified,
}
