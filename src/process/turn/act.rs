//! Carrying out what the gateway decided.

use std::time::Instant;

use super::Turn;
use crate::gateway::action::Action;
use crate::process::decisions::Kept;
use crate::process::host::Host;
use crate::sip::Uri;

impl<H: Host> Turn<'_, H> {
    /// Carries out what the gateway decided.
    pub(super) fn act(&mut self) {
        // What the host refuses makes further actions: stanza errors, mostly.
        while !self.actions.is_empty() {
            let mut actions = std::mem::take(&mut self.actions);
            for action in actions.drain(..) {
                self.act_on(action);
            }
            if self.actions.is_empty() {
                self.actions = actions;
                return;
            }
        }
    }

    fn act_on(&mut self, action: Action) {
        match action {
            Action::Stanza(stanza) => self.push_with_calls(stanza),
            Action::Message(message) => {
                if let Err(error) = self.host.message(&message) {
                    log::error!("a MESSAGE to {} cannot be sent: {error}", message.to);
                    self.gateway.message_refused(&message, error, &mut self.actions);
                }
            }
            Action::Publish(publish) => {
                if publish.body.is_none() {
                    self.gateway.publication_ends(&publish, &mut self.actions);
                }
                if let Err(error) = self.host.publish(&publish) {
                    log::error!("the presence of {} cannot be published: {error}", publish.presentity);
                }
            }
            Action::Lamp(publish) => {
                if let Err(error) = self.host.lamp(&publish) {
                    log::error!("the lamp of {} cannot be published: {error}", publish.presentity);
                }
            }
            Action::Subscribe(subscribe) => {
                if let Err(error) = self.host.subscribe(&subscribe) {
                    log::info!("no SUBSCRIBE of {} to {}: {error}", subscribe.watcher, subscribe.presentity);
                    self.gateway.subscribe_refused(Instant::now(), &subscribe, &mut self.actions);
                }
            }
            Action::Notify(notify) => {
                if let Err(error) = self.host.notify(&notify) {
                    log::error!("no NOTIFY to {}: {error}", notify.dialog.remote_target());
                    self.gateway.notify_refused(Instant::now(), &notify, error, &mut self.actions);
                }
            }
            Action::Withdraw(withdrawal) => {
                if let Err(error) = self.host.withdraw(&withdrawal) {
                    log::warn!("what was published of {} before a restart cannot be taken away: {error}", withdrawal.presentity);
                }
            }
            Action::TellWatchers(presentity) => self.tell_watchers(&presentity),
            Action::EndDialog(dialog) => self.receiver.shared().end_dialog(&dialog),
            Action::Authorize { watcher, presentity, presentity_uri, decision, occasion } => {
                if self.decisions.keep(&watcher, &presentity, decision, occasion) == Kept::Changed {
                    self.tell_watchers(&presentity_uri);
                }
            }
        }
    }

    fn tell_watchers(&mut self, presentity: &Uri) {
        if let Err(error) = self.host.watchers_changed(presentity) {
            log::error!("the watchers of {presentity} cannot be told of a decision: {error}");
        }
    }
}
