//! Why a session is over.

use std::fmt;

use super::body::Unreadable;
use crate::xmpp::fault::Fault;
use crate::xmpp::stream_error::StreamError;

/// Why a session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// We have ended it.
    Ours,
    /// The connection manager has.
    Terminated(Condition),
    /// It answered with this status of HTTP.
    Status(u16),
    /// It said again and again that our requests are not what they should be.
    Refused,
    /// There was no connection for too long.
    Lost,
    /// Its answers cannot be read.
    Fault(Fault),
    /// What answers is no connection manager.
    NoBody,
    /// It made no session.
    NoSession,
    /// The numbers of requests are used up.
    Numbers,
}

/// Conditions with which a connection manager ends a session (XEP-0124 §17.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A request was not as it has to be: one of us is wrong.
    BadRequest,
    /// The domain is not served any more.
    HostGone,
    /// The domain is not served.
    HostUnknown,
    /// `to` is missing.
    ImproperAddressing,
    /// It broke.
    InternalServerError,
    /// It does not know the session: it was silent for too long, or it has started anew.
    ItemNotFound,
    /// Another request under way has ended the session.
    OtherRequest,
    /// We asked too often, or for too much.
    PolicyViolation,
    /// It has lost the XMPP server, or not found it.
    RemoteConnectionFailed,
    /// The XMPP server has ended the stream, for this reason if it is known.
    RemoteStreamError(Option<StreamError>),
    /// Another address serves the session, or the user.
    SeeOtherUri(Option<String>),
    /// It goes down.
    SystemShutdown,
    /// Any other.
    Undefined,
}

impl From<Unreadable> for Reason {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::Fault(fault) => Self::Fault(fault),
            Unreadable::NoBody => Self::NoBody,
        }
    }
}

impl Condition {
    pub(super) fn of(name: Option<&str>, uri: Option<String>, stream_error: Option<StreamError>) -> Self {
        match name {
            Some("bad-request") => Self::BadRequest,
            Some("host-gone") => Self::HostGone,
            Some("host-unknown") => Self::HostUnknown,
            Some("improper-addressing") => Self::ImproperAddressing,
            Some("internal-server-error") => Self::InternalServerError,
            Some("item-not-found") => Self::ItemNotFound,
            Some("other-request") => Self::OtherRequest,
            Some("policy-violation") => Self::PolicyViolation,
            Some("remote-connection-failed") => Self::RemoteConnectionFailed,
            Some("remote-stream-error") => Self::RemoteStreamError(stream_error),
            Some("see-other-uri") => Self::SeeOtherUri(uri),
            Some("system-shutdown") => Self::SystemShutdown,
            Some(_) | None => stream_error.map_or(Self::Undefined, |error| Self::RemoteStreamError(Some(error))),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ours => f.write_str("ended here"),
            Self::Terminated(condition) => condition.fmt(f),
            Self::Status(status) => write!(f, "the answer is HTTP status {status}"),
            Self::Refused => f.write_str("the connection manager does not take the requests"),
            Self::Lost => f.write_str("no answer"),
            Self::Fault(fault) => write!(f, "the answer cannot be read: {fault}"),
            Self::NoBody => f.write_str("what answers is no BOSH connection manager"),
            Self::NoSession => f.write_str("the connection manager makes no session"),
            Self::Numbers => f.write_str("the numbers of requests are used up"),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BadRequest => "bad-request",
            Self::HostGone => "host-gone",
            Self::HostUnknown => "host-unknown",
            Self::ImproperAddressing => "improper-addressing",
            Self::InternalServerError => "internal-server-error",
            Self::ItemNotFound => "item-not-found: the session is not known any more",
            Self::OtherRequest => "other-request",
            Self::PolicyViolation => "policy-violation",
            Self::RemoteConnectionFailed => "remote-connection-failed",
            Self::RemoteStreamError(Some(error)) => return write!(f, "remote-stream-error: {error}"),
            Self::RemoteStreamError(None) => "remote-stream-error",
            Self::SeeOtherUri(_) => "see-other-uri",
            Self::SystemShutdown => "system-shutdown",
            Self::Undefined => "undefined-condition",
        })
    }
}
