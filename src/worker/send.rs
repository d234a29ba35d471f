//! Onto the link to the XMPP process, without waiting.

use super::ScriptResult;
use super::Worker;
use crate::gateway::event::Event;
use crate::link::SendError;
use crate::link::datagram;
use crate::translate::failure::Refusal;
use crate::xmpp::head::Head;

impl Worker {
    pub(super) fn send_stanza(&self, stanza: &str) -> ScriptResult {
        self.send(stanza.as_bytes())
    }

    /// Sends a stanza that has to wait, if there is a place for it: the answer is needed now.
    pub(super) fn queue_stanza(&self, stanza: &str) -> ScriptResult {
        let head = Head::of(stanza.as_bytes());
        let peer = head.as_ref().map_or("", Head::peer);
        let shared = self.link.shared();
        let Some(place) = shared.take_place(peer, stanza.len(), self.queue_size) else {
            if let Some(total) = shared.counters().refused.add(1) {
                log::warn!("the queue for {peer} is full while the XMPP server is away: {total} messages refused so far");
            }
            return ScriptResult::Busy;
        };
        let mut bytes = Vec::new();
        datagram::encode_reserved(stanza, &mut bytes);
        let result = self.send(&bytes);
        if result == ScriptResult::Done {
            // The XMPP process gives it back.
            place.keep();
        }
        result
    }

    pub(super) fn send_event(&self, event: &Event) -> ScriptResult {
        let mut bytes = Vec::new();
        datagram::encode(event, &mut bytes);
        self.send(&bytes)
    }

    fn send(&self, bytes: &[u8]) -> ScriptResult {
        match self.link.send(bytes) {
            Ok(()) => ScriptResult::Done,
            Err(SendError::Full) => {
                log::warn!("the XMPP process does not keep up: the link to it is full");
                ScriptResult::Busy
            }
            Err(SendError::TooLarge) => {
                log::warn!("a stanza of {} bytes is too large for the link", bytes.len());
                ScriptResult::Refused(Refusal::TOO_LARGE)
            }
            Err(SendError::Socket(errno)) => {
                log::error!("the link to the XMPP process failed: errno {errno}");
                ScriptResult::Failed
            }
        }
    }
}
