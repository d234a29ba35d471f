//! Calls: what workers saw of them, and what is published.

use std::time::Instant;

use super::Turn;
use crate::link::call_datagram;
use crate::link::call_datagram::Told;
use crate::process::host::Host;
use crate::process::host::Taken;

/// Publications of calls in one turn.
const CALLS_A_TURN: usize = 16;

impl<H: Host> Turn<'_, H> {
    /// Takes what a worker saw of a call; whether the datagram was of one.
    pub(super) fn call_event(&mut self, bytes: &[u8]) -> bool {
        match call_datagram::decode(bytes) {
            None => return false,
            Some(Ok(Told::Event(event))) => self.calls.event(Instant::now(), event),
            Some(Ok(Told::Answered(id))) => self.calls.answered(&id),
            Some(Err(error)) => {
                log::error!("a datagram of {} bytes on the link is no event of a call: {error:?}", bytes.len());
            }
        }
        true
    }

    /// Publishes some of what has changed of calls: the rest waits until all others have had their turn, and what changes again meanwhile
    /// is published once.
    pub(super) fn publish_calls(&mut self, now: Instant) {
        for publication in self.calls.work(now, CALLS_A_TURN) {
            log::debug!("publishing a call: {publication}");
            match self.host.publish_call(&publication) {
                Ok(Taken::Done) => {}
                Ok(Taken::UnderWay) => self.calls.is_under_way(now, publication),
                Err(error) => {
                    log::error!("a call of {} cannot be published: {error}", publication.publish.presentity);
                    self.calls.failed(now, publication.name);
                }
            }
        }
    }
}
