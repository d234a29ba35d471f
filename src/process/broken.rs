//! Why a stream is over or did not come about: what the log says of it, and what is to be done about it (RFC 6120 §4.9.3).

use std::fmt;
use std::io;
use std::time::Duration;

use crate::net::ConnectError;
use crate::xmpp::component::Reason;
use crate::xmpp::stream_error::Condition;

/// How long the server may take to accept us once it is connected.
pub(super) const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);

/// A server that takes none of our bytes for so long is gone.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a stream is over, or did not come about.
#[derive(Debug)]
pub(super) enum Broken {
    /// There was no connection.
    Connect(ConnectError),
    /// The task that connects failed; its panic is in the log.
    Lost,
    Closed,
    Io(io::Error),
    /// The stream itself ended it.
    Stream(Reason),
    /// The server sent what no server may send.
    Fault(Condition),
    LoginTimeout,
    /// It took none of our bytes for so long.
    WriteTimeout(Duration),
    /// It did not answer a ping for so long.
    PingTimeout(Duration),
}

/// What follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing special: the usual pause.
    Retry,
    /// We asked too much of the server: not at once again.
    Later,
    /// Nothing changes before the operator changes it: the longest pause.
    Operator,
    /// The server says that it stops: it may be back in a moment.
    ComesBack,
    /// The stream is served there.
    Elsewhere(String),
}

impl Broken {
    /// What is to be done, and what the operator should look at, where that is known.
    pub(super) fn remedy(&self) -> (Remedy, Option<&'static str>) {
        match self {
            Self::Connect(error) if error.is_about_the_certificate() => {
                (Remedy::Operator, Some("check xmpp_tls_ca, and that the certificate is one for the name in xmpp_host"))
            }
            Self::Stream(Reason::Server(error)) => of_condition(&error.condition),
            Self::Connect(_)
            | Self::Lost
            | Self::Closed
            | Self::Io(_)
            | Self::Stream(Reason::Closed | Reason::Fault(_) | Reason::NoId | Reason::NoHandshake)
            | Self::Fault(_)
            | Self::LoginTimeout
            | Self::WriteTimeout(_)
            | Self::PingTimeout(_) => (Remedy::Retry, None),
        }
    }
}

fn of_condition(condition: &Condition) -> (Remedy, Option<&'static str>) {
    match condition {
        Condition::Conflict => {
            (Remedy::Operator, Some("another connection holds this component's name: is a second gateway running with it?"))
        }
        Condition::NotAuthorized => {
            (Remedy::Operator, Some("check xmpp_password (secret of xmpp_component) against the server's"))
        }
        Condition::HostUnknown | Condition::HostGone => {
            (Remedy::Operator, Some("the server has no such component: check xmpp_domain (domain of xmpp_component)"))
        }
        Condition::InvalidNamespace => (Remedy::Operator, Some("is xmpp_port the server's component port?")),
        Condition::InvalidFrom => (Remedy::Retry, Some("we sent a stanza that is not the component's own: a bug of this module")),
        Condition::PolicyViolation | Condition::ResourceConstraint => {
            (Remedy::Later, Some("the server's limits for this component were met"))
        }
        Condition::SystemShutdown => (Remedy::ComesBack, None),
        Condition::SeeOtherHost(host) => (Remedy::Elsewhere(host.clone()), None),
        Condition::BadFormat
        | Condition::BadNamespacePrefix
        | Condition::ConnectionTimeout
        | Condition::ImproperAddressing
        | Condition::InternalServerError
        | Condition::InvalidXml
        | Condition::NotWellFormed
        | Condition::RemoteConnectionFailed
        | Condition::Reset
        | Condition::RestrictedXml
        | Condition::UndefinedCondition
        | Condition::UnsupportedEncoding
        | Condition::UnsupportedFeature
        | Condition::UnsupportedStanzaType
        | Condition::UnsupportedVersion
        | Condition::Other(_) => (Remedy::Retry, None),
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "{error}"),
            Self::Lost => f.write_str("connecting failed inside"),
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Stream(reason) => write!(f, "{reason}"),
            Self::Fault(condition) => write!(f, "its stanza had no usable address ({})", condition.name()),
            Self::LoginTimeout => write!(f, "no answer within {} s", LOGIN_TIMEOUT.as_secs()),
            Self::WriteTimeout(time) => write!(f, "the server took nothing for {} s", time.as_secs()),
            Self::PingTimeout(time) => write!(f, "the server was silent and did not answer a ping within {} s", time.as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::stream_error::StreamError;

    fn said(condition: Condition) -> (Remedy, &'static str) {
        let (remedy, advice) = Broken::Stream(Reason::Server(StreamError { condition, text: None })).remedy();
        (remedy, advice.unwrap_or(""))
    }

    #[test]
    fn what_the_operator_must_change_is_named() {
        for (condition, named) in [
            (Condition::NotAuthorized, "xmpp_password"),
            (Condition::HostUnknown, "xmpp_domain"),
            (Condition::HostGone, "xmpp_domain"),
            (Condition::Conflict, "second gateway"),
            (Condition::InvalidNamespace, "xmpp_port"),
        ] {
            let (remedy, advice) = said(condition.clone());
            assert_eq!(remedy, Remedy::Operator, "{condition:?}");
            assert!(advice.contains(named), "{condition:?}: {advice}");
        }
    }

    #[test]
    fn each_end_has_its_remedy() {
        assert_eq!(said(Condition::PolicyViolation).0, Remedy::Later);
        assert_eq!(said(Condition::SystemShutdown).0, Remedy::ComesBack);
        assert_eq!(said(Condition::SeeOtherHost("b:1".into())).0, Remedy::Elsewhere("b:1".into()));
        assert_eq!(said(Condition::Reset).0, Remedy::Retry);
        assert_eq!(Broken::Closed.remedy(), (Remedy::Retry, None));
    }
}
