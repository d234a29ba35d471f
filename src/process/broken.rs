//! Why a stream is over, as the log says it.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::xmpp::component::Reason;
use crate::xmpp::stream_error;

/// How long the server may take to accept us once it is connected.
pub(super) const LOGIN_TIMEOUT: Duration = Duration::from_secs(15);

/// A server that takes none of our bytes for so long is gone.
pub(super) const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a stream is over.
pub(super) enum Broken {
    Closed,
    Io(io::Error),
    /// The stream itself ended it.
    Stream(Reason),
    /// The server sent what no server may send.
    Fault(stream_error::Condition),
    LoginTimeout,
    WriteTimeout,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the server closed the connection"),
            Self::Io(error) => write!(f, "{error}"),
            Self::Stream(reason) => write!(f, "{reason}"),
            Self::Fault(condition) => write!(f, "its stanza had no usable address ({})", condition.name()),
            Self::LoginTimeout => write!(f, "no answer within {} s", LOGIN_TIMEOUT.as_secs()),
            Self::WriteTimeout => write!(f, "the server took nothing for {} s", WRITE_TIMEOUT.as_secs()),
        }
    }
}
