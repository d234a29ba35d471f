//! What goes wrong on one side, said on the other (RFC 7247 §7), and what each error of this crate is to SIP and to XMPP.
//!
//! What a script replies to a request that has no stanza is a [`Refusal`].

use super::message::ToSipError;
use super::message::ToXmppError;
use super::new_address;
use super::presence::PresenceError;
use crate::address::AddressError;
use crate::address::Addresses;
use crate::sip::BodyError;
use crate::sip::Reason;
use crate::sip::Reply;
use crate::sip::cpim::CpimError;
use crate::sip::one_line;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::ErrorType;
use crate::xmpp::stanza_error::StanzaError;

/// Which address of a user a stanza error came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The user as a whole.
    Bare,
    /// One of the user's devices.
    Full,
}

/// The stanza error for the final reply to a request that came from XMPP; `None` for a success.
pub fn of_reply(reply: &Reply, addresses: &Addresses) -> Option<StanzaError> {
    let address = reply.contact.as_deref().filter(|_| reply.status < 400);
    let address = address.and_then(|contact| new_address::to_xmpp(contact, addresses));
    to_xmpp(reply.status, &reply.reason, address.as_deref())
}

/// The stanza error for a SIP status (RFC 7247 §7.2); `None` below 300. `address` is the URI that a 3xx gives, in the terms of XMPP.
pub fn to_xmpp(status: u16, reason: &str, address: Option<&str>) -> Option<StanzaError> {
    let condition = condition(status)?;
    let error = StanzaError::new(condition);
    let error = match address {
        Some(uri) if matches!(condition, Condition::Gone | Condition::Redirect) => error.with_address(uri),
        Some(_) | None => error,
    };
    Some(if reason.is_empty() { error } else { error.with_text(reason) })
}

fn condition(status: u16) -> Option<Condition> {
    Some(match status {
        0..=299 => return None,
        301 | 410 => Condition::Gone,
        380 | 406 | 415 | 416 | 421 | 482 | 483 | 488 | 505 | 606 => Condition::NotAcceptable,
        300..=399 => Condition::Redirect,
        401 => Condition::NotAuthorized,
        403 => Condition::Forbidden,
        404 | 481 | 484 | 485 | 604 => Condition::ItemNotFound,
        405 | 420 | 439 | 501 => Condition::FeatureNotImplemented,
        407 => Condition::RegistrationRequired,
        408 | 504 => Condition::RemoteServerTimeout,
        413 | 414 | 440 | 489 | 513 => Condition::PolicyViolation,
        423 => Condition::ResourceConstraint,
        430 | 480 | 486 | 487 => Condition::RecipientUnavailable,
        491 => Condition::UnexpectedRequest,
        400..=499 => Condition::BadRequest,
        502 => Condition::RemoteServerNotFound,
        500..=599 => Condition::InternalServerError,
        600.. => Condition::RecipientUnavailable,
    })
}

/// Whether there is no use in sending the same SUBSCRIBE again after this status: who asked is told. What may pass is tried again.
pub fn is_final(status: u16) -> bool {
    match status {
        // A dialog that the notifier has forgotten: the next SUBSCRIBE begins another (RFC 6665 §4.1.2.2).
        481 => false,
        // Of the failures of a server these alone are of the request.
        500..=599 => matches!(status, 501 | 505 | 513),
        _ => condition(status).is_some_and(|condition| condition.default_type() != ErrorType::Wait),
    }
}

/// The SIP status for a stanza error (RFC 7247 §7.1).
///
/// Where the RFC leaves a choice, ours: `service-unavailable` is 403, since it also hides a refusal and 503 would take the whole
/// gateway out of service; `remote-server-not-found` 404; `unexpected-request` 491.
pub fn to_sip(error: &StanzaError, source: Source) -> u16 {
    let by_source = |full, bare| match source {
        Source::Full => full,
        Source::Bare => bare,
    };
    match error.condition {
        Condition::FeatureNotImplemented => by_source(405, 501),
        Condition::Forbidden => by_source(403, 603),
        Condition::ItemNotFound => by_source(404, 604),
        Condition::NotAcceptable => by_source(406, 606),
        Condition::RecipientUnavailable => by_source(480, 600),
        Condition::Gone if error.address.is_some() => 301,
        Condition::Gone => 410,
        Condition::Redirect => 302,
        Condition::NotAuthorized => 401,
        Condition::NotAllowed | Condition::PolicyViolation | Condition::ServiceUnavailable => 403,
        Condition::RemoteServerNotFound => 404,
        Condition::RegistrationRequired => 407,
        Condition::RemoteServerTimeout => 408,
        Condition::UnexpectedRequest => 491,
        Condition::InternalServerError | Condition::ResourceConstraint => 500,
        Condition::BadRequest
        | Condition::Conflict
        | Condition::JidMalformed
        | Condition::SubscriptionRequired
        | Condition::UndefinedCondition => 400,
    }
}

/// Why a SIP watcher of an XMPP user sees it no more, once the `subscribe` or the `probe` in the watcher's name has come back with this
/// error (RFC 6665 §4.1.3). `None`: it may pass (RFC 6120 §8.3.2, type `wait`), so it ends nothing.
pub fn end_of_watching(error: &StanzaError) -> Option<Reason> {
    match error.error_type {
        ErrorType::Wait | ErrorType::Continue => return None,
        ErrorType::Auth | ErrorType::Cancel | ErrorType::Modify => {}
    }
    Some(match error.condition {
        Condition::Forbidden
        | Condition::NotAcceptable
        | Condition::NotAllowed
        | Condition::NotAuthorized
        | Condition::PolicyViolation
        | Condition::RegistrationRequired
        | Condition::SubscriptionRequired => Reason::Rejected,
        Condition::BadRequest
        | Condition::Conflict
        | Condition::FeatureNotImplemented
        | Condition::Gone
        | Condition::InternalServerError
        | Condition::ItemNotFound
        | Condition::JidMalformed
        | Condition::RecipientUnavailable
        | Condition::Redirect
        | Condition::RemoteServerNotFound
        | Condition::RemoteServerTimeout
        | Condition::ResourceConstraint
        | Condition::ServiceUnavailable
        | Condition::UndefinedCondition
        | Condition::UnexpectedRequest => Reason::Noresource,
    })
}

/// The reason phrase that `<text/>` makes: one line, empty if there is none.
pub fn reason_phrase(error: &StanzaError) -> String {
    one_line(error.text.as_deref().unwrap_or_default()).trim().to_owned()
}

/// What a script can reply to a request that is refused here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// The reason phrase.
    pub reason: &'static str,
    /// A header that the status asks for, ended by CRLF; empty where it asks for none.
    pub header: &'static str,
}

/// What MESSAGE may carry (RFC 3261 §21.4.13).
const ACCEPT_TEXT: &str = "Accept: text/plain, message/cpim\r\n";

/// What NOTIFY (presence) may carry.
const ACCEPT_PIDF: &str = "Accept: application/pidf+xml\r\n";

/// What NOTIFY (presence.winfo) may carry.
const ACCEPT_WINFO: &str = "Accept: application/watcherinfo+xml\r\n";

impl Refusal {
    /// The XMPP server is not connected, for all that we know for some seconds.
    pub const XMPP_DOWN: Self = Self { status: 480, reason: "XMPP Server Unavailable", header: "Retry-After: 10\r\n" };

    /// The XMPP process does not keep up.
    pub const BUSY: Self = Self { status: 503, reason: "Gateway Busy", header: "Retry-After: 5\r\n" };

    /// The gateway has begun anew, and does not know yet which dialogs there are: with 481 the watcher would give its up (RFC 6665 §4.1.2.2).
    pub const RESTORING: Self = Self { status: 500, reason: "Gateway Restarting", header: "Retry-After: 2\r\n" };

    /// A NOTIFY of no subscription (RFC 6665 §4.1.3).
    pub const UNKNOWN_DIALOG: Self = Self::plain(481, "Subscription Does Not Exist");

    /// The host or the gateway failed.
    pub const BROKEN: Self = Self::plain(500, "Gateway Failure");

    /// A request whose headers cannot be used.
    pub const MALFORMED: Self = Self::plain(400, "Malformed Headers");

    /// More than the XMPP process takes at once.
    pub const TOO_LARGE: Self = Self::plain(413, "Request Entity Too Large");

    /// A NOTIFY of an event package that is not ours (RFC 6665 §8.3.2).
    pub const EVENT: Self = Self { status: 489, reason: "Bad Event", header: "Allow-Events: presence, presence.winfo\r\n" };

    /// A SUBSCRIBE for an event package that is not ours (RFC 6665 §4.2.1.1).
    pub const SUBSCRIBE_EVENT: Self = Self { status: 489, reason: "Bad Event", header: "Allow-Events: presence\r\n" };

    /// The same where an XMPP user is a lamp, too.
    pub const SUBSCRIBE_EVENT_OR_LAMP: Self =
        Self { status: 489, reason: "Bad Event", header: "Allow-Events: presence, dialog\r\n" };

    /// A SUBSCRIBE whose sender does not read PIDF.
    pub const NOT_ACCEPTABLE: Self = Self::plain(406, "Not Acceptable");

    /// A SUBSCRIBE for less than a minute (RFC 6665 §4.2.1.1).
    pub const INTERVAL_TOO_BRIEF: Self = Self { status: 423, reason: "Interval Too Brief", header: "Min-Expires: 60\r\n" };

    /// A SUBSCRIBE whose Expires is no number.
    pub const EXPIRES: Self = Self::plain(400, "Bad Expires");

    /// A SUBSCRIBE that does not say where NOTIFYs go.
    pub const NO_CONTACT: Self = Self::plain(400, "No Contact");

    /// A NOTIFY without a usable Subscription-State.
    pub const SUBSCRIPTION_STATE: Self = Self::plain(400, "Bad Subscription-State");

    /// For a MESSAGE that has no stanza.
    pub fn of_message(error: ToXmppError) -> Self {
        let status = message_status(error);
        match error {
            ToXmppError::To(error) => Self::plain(status, address_reason(error)),
            ToXmppError::From(AddressError::Foreign) => Self::plain(status, "Sender Not In Our Domain"),
            ToXmppError::From(_) => Self::plain(status, "From Cannot Be Translated"),
            ToXmppError::UnsupportedType | ToXmppError::Cpim(CpimError::Required) => {
                Self { status, reason: "Unsupported Media Type", header: ACCEPT_TEXT }
            }
            ToXmppError::Encoding | ToXmppError::Cpim(CpimError::Encoding) => Self::plain(status, "Not UTF-8"),
            ToXmppError::NoBody => Self::plain(status, "No Body"),
            ToXmppError::Cpim(CpimError::TooLong | CpimError::TooMany) => Self::TOO_LARGE,
            ToXmppError::Cpim(CpimError::Malformed | CpimError::Truncated) => Self::plain(status, "Body Cannot Be Read"),
            ToXmppError::Notification(error) => Self::of_body(error, Named::AsSuch, ACCEPT_TEXT),
        }
    }

    /// For an address that has no counterpart, in the Request-URI or where it stands for one.
    pub fn of_address(error: AddressError) -> Self {
        Self::plain(address_status(error), address_reason(error))
    }

    /// For a NOTIFY (presence) whose body is no PIDF that can be read; `named`: its Content-Type says that it is one.
    pub fn of_pidf(error: BodyError, named: Named) -> Self {
        Self::of_body(error, named, ACCEPT_PIDF)
    }

    /// The same for watcher information.
    pub fn of_winfo(error: BodyError, named: Named) -> Self {
        Self::of_body(error, named, ACCEPT_WINFO)
    }

    fn of_body(error: BodyError, named: Named, accept: &'static str) -> Self {
        match (named, body_status(error)) {
            (Named::Otherwise, _) => Self { status: 415, reason: "Unsupported Media Type", header: accept },
            (Named::AsSuch, 413) => Self::TOO_LARGE,
            (Named::AsSuch, status) => Self::plain(status, "Body Cannot Be Read"),
        }
    }

    const fn plain(status: u16, reason: &'static str) -> Self {
        Self { status, reason, header: "" }
    }
}

/// What the Content-Type says of a body that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// That it is of the type that was expected, or nothing.
    AsSuch,
    /// That it is of another type.
    Otherwise,
}

fn address_reason(error: AddressError) -> &'static str {
    match error {
        AddressError::Scheme | AddressError::Sips | AddressError::Tel => "Unsupported URI Scheme",
        AddressError::NoUser => "Address Incomplete",
        AddressError::TooLong => "Request-URI Too Long",
        AddressError::Ambiguous | AddressError::TemporaryGruu => "Not Found",
        AddressError::Foreign | AddressError::Denied => "Forbidden",
        AddressError::Loop => "Loop Detected",
        AddressError::User | AddressError::Resource | AddressError::Domain => "Address Cannot Be Translated",
    }
}

/// The SIP status for a MESSAGE that has no stanza.
pub fn message_status(error: ToXmppError) -> u16 {
    match error {
        ToXmppError::To(error) => address_status(error),
        ToXmppError::From(AddressError::Foreign) => 403,
        // RFC 5079: the sender wants to be unknown, and cannot be.
        ToXmppError::From(AddressError::TemporaryGruu) => 433,
        ToXmppError::From(_) | ToXmppError::Encoding | ToXmppError::NoBody => 400,
        ToXmppError::UnsupportedType => 415,
        ToXmppError::Cpim(error) => match error {
            CpimError::TooLong | CpimError::TooMany => 413,
            CpimError::Encoding | CpimError::Malformed | CpimError::Truncated => 400,
            CpimError::Required => 415,
        },
        ToXmppError::Notification(error) => body_status(error),
    }
}

/// The stanza error for a `<message/>` that has no MESSAGE; `None` where nothing is to be said.
pub fn message_error(error: ToSipError) -> Option<StanzaError> {
    match error {
        ToSipError::From(error) | ToSipError::To(error) => Some(address_error(error)),
        ToSipError::NoBody | ToSipError::IsError | ToSipError::Headline => None,
        ToSipError::Groupchat => Some(StanzaError::new(Condition::ServiceUnavailable)),
        ToSipError::TooLong => {
            Some(StanzaError::new(Condition::PolicyViolation).with_text("the message is too long for a SIP MESSAGE"))
        }
        // As 483 is.
        ToSipError::TooManyHops => Some(StanzaError::new(Condition::NotAcceptable).with_text("Too Many Hops")),
    }
}

/// The stanza error for a `<presence/>` that has no PIDF; `None` where nothing is to be said.
pub fn presence_error(error: PresenceError) -> Option<StanzaError> {
    match error {
        PresenceError::NotState => None,
        PresenceError::From(error) => Some(address_error(error)),
    }
}

/// The SIP status for a body that is not understood.
pub fn body_status(error: BodyError) -> u16 {
    match error {
        BodyError::TooLong | BodyError::TooMany => 413,
        BodyError::Encoding
        | BodyError::Doctype
        | BodyError::TooDeep
        | BodyError::Malformed
        | BodyError::Truncated
        | BodyError::Root
        | BodyError::Attribute
        | BodyError::Element => 400,
    }
}

/// The SIP status for a recipient that has no XMPP address.
pub fn address_status(error: AddressError) -> u16 {
    match error {
        AddressError::Scheme | AddressError::Sips | AddressError::Tel => 416,
        AddressError::NoUser => 484,
        AddressError::TooLong => 414,
        AddressError::Ambiguous | AddressError::TemporaryGruu => 404,
        AddressError::Denied | AddressError::Foreign => 403,
        AddressError::Loop => 482,
        AddressError::User | AddressError::Resource | AddressError::Domain => 400,
    }
}

/// The stanza error for a JID that has no SIP address.
pub fn address_error(error: AddressError) -> StanzaError {
    StanzaError::new(match error {
        AddressError::NoUser | AddressError::Ambiguous | AddressError::Foreign | AddressError::Loop => Condition::ItemNotFound,
        AddressError::Denied => Condition::Forbidden,
        AddressError::Scheme
        | AddressError::Sips
        | AddressError::Tel
        | AddressError::TemporaryGruu
        | AddressError::User
        | AddressError::Resource
        | AddressError::Domain
        | AddressError::TooLong => Condition::JidMalformed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 503 would make a proxy take the whole gateway for down (RFC 3261 §21.5.4).
    #[test]
    fn no_stanza_error_becomes_503() {
        for condition in Condition::ALL {
            for source in [Source::Bare, Source::Full] {
                let status = to_sip(&StanzaError::new(*condition), source);
                assert!((300..700).contains(&status) && status != 503, "{condition:?} {status}");
            }
        }
    }

    #[test]
    fn every_failure_has_a_condition_and_no_success_has() {
        for status in 0..=u16::MAX {
            assert_eq!(to_xmpp(status, "", None).is_some(), status >= 300, "{status}");
        }
    }

    #[test]
    fn a_reason_phrase_is_one_line() {
        let error = StanzaError::new(Condition::Gone).with_text("gone\r\nVia: x\u{7}");
        assert_eq!(reason_phrase(&error), "gone  Via: x");
    }
}
