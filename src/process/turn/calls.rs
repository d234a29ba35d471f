//! Calls: what workers saw of them, and what is published.

use std::time::Instant;

use jid::BareJid;

use super::Turn;
use crate::link::call_datagram;
use crate::link::call_datagram::Told;
use crate::link::call_notes::CallNote;
use crate::process::host::Host;
use crate::process::host::Taken;

/// Publications of calls in one turn.
const CALLS_A_TURN: usize = 16;

impl<H: Host> Turn<'_, H> {
    /// Takes what a worker saw of a call; whether the datagram was of one.
    pub(super) fn call_event(&mut self, bytes: &[u8]) -> bool {
        match call_datagram::decode(bytes) {
            None => return false,
            Some(Ok(Told::Event(event))) => {
                self.calls.event(Instant::now(), event);
                self.tell_of_calls();
            }
            Some(Ok(Told::Answered(id))) => self.calls.answered(&id),
            Some(Err(error)) => {
                log::error!("a datagram of {} bytes on the link is no event of a call: {error:?}", bytes.len());
            }
        }
        true
    }

    /// Takes what workers could not leave to the link.
    pub(super) fn take_call_notes(&mut self, now: Instant) {
        let mut has_ended = false;
        while let Some(note) = self.receiver.shared().take_call_note() {
            match note {
                CallNote::Ended(call, ending) => {
                    self.calls.ended(now, call, ending);
                    has_ended = true;
                }
                CallNote::Refused(name) => self.calls.failed(now, name),
                CallNote::Asked => self.calls.tell_users_later(),
            }
        }
        if has_ended {
            self.tell_of_calls();
        }
    }

    /// XMPP contacts of users whose calls have changed see it.
    pub(super) fn tell_of_calls(&mut self) {
        for (user, call) in self.calls.changed_users() {
            // Behind those who wait: the last that is told has to be the last that was.
            if self.calls.has_untold_users() || !self.host.call_changed(&user, call.as_ref()) {
                self.calls.tell_user_later(&user);
            }
            // Who has no JID has no contacts.
            if let Ok(jid) = self.addresses.sip_user_to_jid(user.as_bytes()) {
                let stanzas = self.in_call.changed(jid.into_bare().as_str(), call);
                self.push_all(stanzas);
            }
        }
        self.calls.kept_users().iter().for_each(|user| self.host.call_kept(user));
    }

    /// The phone process is told what it had no room for, or has asked for, as far as there is room.
    pub(super) fn tell_untold_calls(&mut self) {
        while let Some((user, call)) = self.calls.untold_user() {
            if !self.host.call_changed(&user, call.as_ref()) {
                self.calls.tell_user_later(&user);
                return;
            }
        }
    }

    /// A stanza of the gateway, with what calls make of it.
    pub(super) fn push_with_calls(&mut self, stanza: String) {
        let addresses = self.addresses;
        let is_user = |bare: &str| BareJid::new(bare).is_ok_and(|jid| addresses.is_sip_user(&jid.into()));
        let stanzas = self.in_call.outgoing(stanza, is_user);
        self.push_all(stanzas);
    }

    pub(super) fn push_all(&mut self, stanzas: Vec<String>) {
        stanzas.into_iter().for_each(|stanza| self.push(Instant::now(), stanza.as_bytes(), None));
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
