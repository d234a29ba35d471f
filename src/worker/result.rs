//! What script functions answer.

use crate::translate::failure::Refusal;

/// What a script function answers. Only `host/guard.rs` turns it into the `int` of the host, and never into 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptResult {
    /// Done: 1.
    Done,
    /// The request cannot be translated: -1. The cause is in the log, and what to reply is in it.
    Refused(Refusal),
    /// A function of the host or of ours failed: -1. The cause is in the log.
    Failed,
    /// The XMPP server is not connected, and nothing waits for it (`queue_size` 0): -2. Nothing was sent.
    XmppDown,
    /// There is no room: the link to the XMPP process is full, the XMPP server does not read, or it is not connected and the queue for it
    /// is full: -3. Nothing was sent.
    Busy,
    /// A NOTIFY of no subscription of ours, or a SUBSCRIBE in no dialog: -4. Its sender is to be told (481, RFC 6665 §4.1.3), and nobody
    /// else.
    UnknownDialog,
}

impl ScriptResult {
    /// What the script can reply; `None` where nothing is wrong.
    pub fn refusal(self) -> Option<Refusal> {
        Some(match self {
            Self::Done => return None,
            Self::Refused(refusal) => refusal,
            Self::Failed => Refusal::BROKEN,
            Self::XmppDown => Refusal::XMPP_DOWN,
            Self::Busy => Refusal::BUSY,
            Self::UnknownDialog => Refusal::UNKNOWN_DIALOG,
        })
    }
}
