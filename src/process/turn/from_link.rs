//! What the workers sent: stanzas that pass through, and events for the gateway.

use std::io;
use std::time::Instant;

use super::Turn;
use crate::gateway::event;
use crate::link::BATCH;
use crate::link::Inbox;
use crate::link::Received;
use crate::link::datagram;
use crate::process::host::Host;

/// Batches taken from the link before the others have their turn.
const LINK_BATCHES: usize = 8;

/// Batches taken from the link when the host stops: more than the link holds, unless workers go on.
const LAST_BATCHES: usize = 1024;

impl<'a, H: Host> Turn<'a, H> {
    /// Takes what the workers sent; how many datagrams the last batch had.
    pub(super) fn take_from_link(&mut self, inbox: &mut Inbox<'a>) -> io::Result<usize> {
        self.pace.gather();
        let mut taken = 0;
        for _ in 0..LINK_BATCHES {
            taken = self.receiver.receive(inbox)?;
            let now = Instant::now();
            self.pace.took(taken);
            for received in inbox.drain() {
                match received {
                    // Finished by the worker: the path of every MESSAGE.
                    Received::Stanza(stanza, place) => self.push(now, stanza, place),
                    Received::Event(bytes) => self.event(bytes),
                }
            }
            if taken < BATCH {
                break;
            }
        }
        self.take_call_notes(Instant::now());
        Ok(taken)
    }

    /// The host stops: what workers have been promised is sent, or counted as lost, before the stream is closed.
    pub(super) fn take_last_stanzas(&mut self, inbox: &mut Inbox<'a>) -> io::Result<()> {
        let now = Instant::now();
        for _ in 0..LAST_BATCHES {
            let taken = self.receiver.receive(inbox)?;
            for received in inbox.drain() {
                // An event is a state: the next start of the server begins with new ones.
                if let Received::Stanza(stanza, place) = received {
                    self.push(now, stanza, place);
                }
            }
            if taken < BATCH {
                break;
            }
        }
        Ok(())
    }

    fn event(&mut self, bytes: &[u8]) {
        if self.call_event(bytes) {
            return;
        }
        match datagram::decode(bytes) {
            Ok(mut event) => {
                if let event::Event::Watchers(event::Watchers { presentity, waiting, .. }) = &mut event {
                    waiting.retain(|watcher| self.decisions.is_open(watcher, presentity));
                }
                self.gateway.event(Instant::now(), event, &mut self.actions);
                self.act();
            }
            Err(error) => log::error!("a datagram of {} bytes on the link is no event: {error:?}", bytes.len()),
        }
    }
}
