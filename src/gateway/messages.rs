//! Messages from XMPP, and what becomes of those that fail (RFC 7572, RFC 5438).

use std::time::Instant;
use std::time::SystemTime;

use super::Gateway;
use super::action::Action;
use super::undelivered::Failed;
use crate::process::host::HostError;
use crate::sip;
use crate::translate::disposition;
use crate::translate::failure;
use crate::translate::message;
use crate::xmpp::activity::Activity;
use crate::xmpp::element::Element;
use crate::xmpp::head::Head;
use crate::xmpp::stanza;
use crate::xmpp::stanza::Kind;
use crate::xmpp::stanza::MessageType;
use crate::xmpp::stanza_error::StanzaError;

impl Gateway {
    /// A stanza from the SIP side waited for the stream and was dropped.
    pub fn lost(&mut self, now: Instant, wall: SystemTime, head: &Head<'_>, actions: &mut Vec<Action>) {
        if let Some(failed) = self.undelivered.lost(now, wall, head) {
            self.tell(&failed, actions);
        }
    }

    /// The host did not take a MESSAGE: its sender is told, if there is one.
    pub fn message_refused(&mut self, refused: &sip::Message, error: HostError, actions: &mut Vec<Action>) {
        let Some(sip::Origin { from, to, id }) = &refused.origin else { return };
        let error = StanzaError::new(error.condition()).with_by(stanza::domain_of(to));
        actions.push(Action::Stanza(stanza::error_stanza(Kind::Message, to, from, id.as_deref(), &error)));
    }

    pub(super) fn message(
        &mut self,
        now: Instant,
        wall: SystemTime,
        stanza: &Element,
        stanza::Addresses { from, to }: &stanza::Addresses,
        actions: &mut Vec<Action>,
    ) -> Result<(), StanzaError> {
        if MessageType::of(stanza) == MessageType::Error {
            if let Some(failed) = self.undelivered.came_back(now, wall, stanza, from, to) {
                self.tell(&failed, actions);
            }
            return Ok(());
        }
        if let Some(activity) = Activity::of_event(stanza) {
            self.lamps.heard(from.to_bare().as_str(), activity);
            self.notifier.activity(now, (to.to_bare().as_str(), from.to_bare().as_str()), activity, actions);
            self.light_one(now, from.to_bare().as_str(), actions);
            return Ok(());
        }
        self.unique = self.unique.wrapping_add(1);
        match message::to_sip(stanza, from, to, &self.addresses, self.unique, message::DEFAULT_LIMIT) {
            Ok(message) => actions.push(Action::Message(message)),
            Err(error) => match failure::message_error(error) {
                Some(error) => return Err(error),
                None => log::debug!("a message from {from} is not for SIP: {error}"),
            },
        }
        Ok(())
    }

    /// Tells the sender of a MESSAGE that it was not delivered.
    pub(super) fn tell(&mut self, Failed { wanted, times }: &Failed, actions: &mut Vec<Action>) {
        self.unique = self.unique.wrapping_add(1);
        match disposition::failed(wanted, *times, &self.addresses, self.unique, message::DEFAULT_LIMIT) {
            Ok(message) => actions.push(Action::Message(message)),
            Err(error) => log::debug!("{} is not told that {} has not got a message: {error}", wanted.from, wanted.to),
        }
    }
}
