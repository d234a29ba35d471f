//! What goes wrong on one side, said on the other (RFC 7247 §7), and what each error of this crate is to SIP and to XMPP.

use super::message::ToSipError;
use super::message::ToXmppError;
use super::presence::PresenceError;
use crate::address::AddressError;
use crate::sip::BodyError;
use crate::sip::one_line;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;

/// Which address of a user a stanza error came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The user as a whole.
    Bare,
    /// One of the user's devices.
    Full,
}

/// The stanza error for a SIP status (RFC 7247 §7.2); `None` below 300. `contact` is the URI of a 3xx.
pub fn to_xmpp(status: u16, reason: &str, contact: Option<&str>) -> Option<StanzaError> {
    let condition = condition(status)?;
    let error = StanzaError::new(condition);
    let error = match contact {
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

/// The reason phrase that `<text/>` makes: one line, empty if there is none.
pub fn reason_phrase(error: &StanzaError) -> String {
    one_line(error.text.as_deref().unwrap_or_default()).trim().to_owned()
}

/// The SIP status for a MESSAGE that has no stanza.
pub fn message_status(error: ToXmppError) -> u16 {
    match error {
        ToXmppError::To(error) => address_status(error),
        ToXmppError::From(AddressError::Foreign) => 403,
        ToXmppError::From(_) | ToXmppError::Encoding | ToXmppError::NoBody => 400,
        ToXmppError::UnsupportedType => 415,
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
        | BodyError::Attribute => 400,
    }
}

/// The SIP status for a recipient that has no XMPP address.
pub fn address_status(error: AddressError) -> u16 {
    match error {
        AddressError::Scheme | AddressError::Sips | AddressError::Tel => 416,
        AddressError::NoUser => 484,
        AddressError::TooLong => 414,
        AddressError::Ambiguous => 404,
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
