//! What the gateway needs of the SIP server. Owned by its user, the XMPP process; implemented by host/* and by tests.

use std::os::fd::BorrowedFd;

use crate::calls;
use crate::calls::publisher::Publication;
use crate::sip;
use crate::translate::call::UserCall;
use crate::xmpp::stanza_error::Condition;

/// The most bytes that one read of a stream brings.
pub const READ: usize = 64 * 1024;

/// The SIP server, seen from the XMPP process.
///
/// None of these waits for the network or a database: the host takes it, and does it a little later, what has an order in that order.
/// What it cannot do then reaches the functions of `worker` that end in `_refused`.
pub trait Host {
    /// Sends a MESSAGE through tm. The reply reaches `worker::message_reply`.
    fn message(&mut self, message: &sip::Message) -> Result<(), HostError>;
    /// Whether it takes what one read of a stream, of [`READ`] bytes, can bring.
    fn readiness(&self) -> Readiness;
    /// Whether it wants no state of a publication before it has told what became of the one before ([`crate::worker::Worker::publish_reply`]).
    fn publishes_one_by_one(&self) -> bool;
    /// Publishes, refreshes or takes away, through pua or in process.
    fn publish(&mut self, publish: &sip::Publish) -> Result<(), HostError>;
    /// It was published before a restart, and its watchers know it: for a presence server that keeps it in memory only.
    fn restored(&mut self, _: &sip::Publish) {}
    /// Ends what the presence server has under an entity tag that pua may not know. Nobody is told how that went.
    fn withdraw(&mut self, withdrawal: &sip::Withdrawal) -> Result<(), HostError>;
    /// Publishes, refreshes or takes away the lamp of an XMPP user, in the presence server of this host, if it serves the event "dialog".
    fn lamp(&mut self, publish: &sip::Publish) -> Result<(), HostError>;
    /// Publishes the dialog of a call: through pua, or in the presence server of this host (`dialog_mode`).
    fn publish_call(&mut self, publication: &Publication) -> Result<Taken, HostError>;

    /// Whether it takes more publications of calls now: what waits here is published once, however often it changes.
    fn takes_calls(&self) -> bool;

    /// The calls of a SIP user have changed: for the phone process, if there is one. False: it has no room for that now.
    fn call_changed(&mut self, _user: &str, _call: Option<&UserCall>) -> bool {
        true
    }

    /// A call of a SIP user goes on: likewise.
    fn call_kept(&mut self, _user: &str) {}

    /// The calls that the host has from before its restart, once.
    fn restored_calls(&mut self) -> Vec<calls::Event>;

    /// Subscribes, refreshes or unsubscribes through pua. The reply reaches `worker::subscribe_reply`.
    fn subscribe(&mut self, subscribe: &sip::Subscribe) -> Result<(), HostError>;
    /// Sends a NOTIFY through tm, in the dialog of its watcher. The reply reaches `worker::notify_reply`.
    fn notify(&mut self, notify: &sip::Notify) -> Result<(), HostError>;
    /// Has the presence server, if there is one, ask again who may see this XMPP user (bare SIP URI), and tell its watchers.
    fn watchers_changed(&mut self, presentity: &sip::Uri) -> Result<(), HostError>;
    /// Sends a MESSAGE through tm and forgets it: no callback, nothing of ours. The yardstick of the benchmark.
    #[cfg(feature = "bench")]
    fn bare_request(&mut self, message: &sip::Message) -> Result<(), HostError>;
    /// A descriptor that becomes readable when the host wants this process: its IPC, its stop signal.
    fn wake_descriptor(&self) -> BorrowedFd<'_>;
    /// Handles what made the descriptor readable, without blocking.
    fn wake(&mut self) -> Flow;
    /// Called once a second and after each round of work: what was taken in this round goes on now, and the host's own housekeeping.
    fn tick(&mut self);
}

/// How much more the host takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// Whatever comes.
    Ready,
    /// Whatever comes; but it wants [`Host::tick`] in a moment.
    Behind,
    /// As `Behind`, and no stream is to be read until then.
    Full,
}

/// What became of a publication.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// The host can be given the next one.
    Done,
    /// It is under way: the answer reaches `worker::call_published`.
    UnderWay,
}

/// Whether the process goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Continue,
    /// The host stops: close the stream and return.
    Stop,
}

/// What the host could not do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostError {
    /// The host's function returned this error: its log says more.
    Refused(i32),
    /// The host is out of memory.
    Memory,
    /// More is on its way than the host can send.
    Busy,
    /// The module that does this is not loaded.
    Missing(&'static str),
}

impl HostError {
    /// What an XMPP user is told of it.
    pub(crate) fn condition(self) -> Condition {
        match self {
            Self::Memory | Self::Busy => Condition::ResourceConstraint,
            Self::Refused(_) | Self::Missing(_) => Condition::InternalServerError,
        }
    }
}

impl std::fmt::Display for HostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(code) => write!(f, "the SIP server's function returned {code}"),
            Self::Memory => f.write_str("the SIP server is out of memory"),
            Self::Busy => f.write_str("the SIP server does not keep up"),
            Self::Missing(module) => write!(f, "the module {module} is not loaded"),
        }
    }
}

impl std::error::Error for HostError {}
