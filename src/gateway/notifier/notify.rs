//! NOTIFYs: when one goes in a dialog, and what it says. The last one takes the dialog with it.

use super::Notifier;
use super::PACE;
use super::dialog::End;
use super::dialog::Lasts;
use super::dialog::Says;
use super::moment::Moment;
use super::virtual_subscription::Pair;
use super::virtual_subscription::Phase;
use crate::gateway::action::Action;
use crate::gateway::kept::DialogKey;
use crate::sip;
use crate::sip::HeaderName;
use crate::sip::Headers;
use crate::sip::Package;
use crate::sip::SubscriptionState;
use crate::sip::header::write_subscription_state;

impl Notifier {
    /// Whoever waits for a fetch gets it with the next tick: further resources answer in the same breath.
    pub(super) fn fetch_soon(&mut self, now: Moment, number: u64) {
        if let Some(dialog) = self.dialogs.get_mut(&number).filter(|dialog| dialog.lasts == Lasts::Once) {
            dialog.expires = now;
            self.look_again(number);
        }
    }

    /// The user makes more traffic than one may: what changes is said once in a while.
    pub(super) fn notify_later(&mut self, now: Moment, number: u64) {
        if let Some(dialog) = self.dialogs.get_mut(&number) {
            dialog.pause(now, PACE);
            self.look_again(number);
        }
    }

    /// Whether the dialog is of a lamp: it may change where presence does not.
    pub(super) fn is_lamp(&self, number: u64) -> bool {
        self.dialogs.get(&number).is_some_and(|dialog| dialog.sip.package() == Package::Dialog)
    }

    /// What is said next is more than a new state: it does not wait for its time.
    pub(super) fn owe(&mut self, number: u64) {
        if let Some(dialog) = self.dialogs.get_mut(&number).filter(|dialog| dialog.lasts == Lasts::Lasting) {
            dialog.owed = true;
        }
    }

    pub(super) fn end_all(&mut self, now: Moment, pair: &Pair, end: End, actions: &mut Vec<Action>) {
        let dialogs = self.known.get(pair).map(|known| known.dialogs.clone()).unwrap_or_default();
        for number in dialogs.as_slice().iter().copied() {
            self.end(now, number, end, actions);
        }
    }

    pub(super) fn end(&mut self, now: Moment, number: u64, end: End, actions: &mut Vec<Action>) {
        if let Some(dialog) = self.dialogs.get_mut(&number) {
            dialog.end = dialog.end.or(Some(end));
            self.notify(now, number, actions);
        }
    }

    /// Says in a dialog what was not said yet, unless it has to wait.
    pub(super) fn notify(&mut self, now: Moment, number: u64, actions: &mut Vec<Action>) {
        let Some(dialog) = self.dialogs.get_mut(&number) else { return };
        let Some(known) = self.known.get(&dialog.pair) else { return };
        let package = dialog.sip.package();
        let says = match package {
            Package::Presence => known.version,
            Package::Dialog => known.lamp_version(self.lights.as_ref()),
        };
        let news = dialog.owed || dialog.told != says;
        let waits = dialog.lasts == Lasts::Once || !news;
        if !dialog.is_free(now) || (dialog.end.is_none() && waits) {
            return;
        }
        let (end, left) = (dialog.end, dialog.seconds_left(now));
        let (state, seconds) = match (end, known.phase) {
            (Some(end), _) => (SubscriptionState::Terminated(end.reason), None),
            (None, Phase::Active) => (SubscriptionState::Active, Some(left)),
            (None, Phase::Pending | Phase::Fetch) => (SubscriptionState::Pending, Some(left)),
        };
        let cseq = dialog.goes(now, says);
        // Each NOTIFY of a lamp but the last has a document, so they are counted alike.
        let version = cseq.saturating_sub(1);
        let says = end.map_or(Says::State, |end| end.says);
        let document =
            known.said(says, package, version, (&dialog.pair, self.lights.as_ref(), self.composition, &self.addresses));
        if document.is_some() && !self.interval.is_zero() {
            dialog.pause(now, self.interval);
        }
        if dialog.is_to_be_kept() {
            self.changes.note(|| DialogKey(dialog.sip.clone()));
        }
        let dialog = dialog.sip.clone();
        let body = document.unwrap_or_default().into_bytes();
        let headers = self.headers(&dialog, state, seconds, (!body.is_empty()).then_some(package.content_type()));
        actions.push(Action::Notify(sip::Notify { number, dialog, cseq, headers, body }));
        match end {
            Some(_) => self.forget(number, actions),
            None => self.look_again(number),
        }
    }

    /// Of a NOTIFY.
    pub(super) fn headers(
        &self,
        dialog: &sip::Dialog,
        state: SubscriptionState,
        seconds: Option<u32>,
        content_type: Option<&str>,
    ) -> Headers {
        let mut headers = Headers::default();
        let package = dialog.package().name();
        match dialog.event_id() {
            "" => headers.push(HeaderName::Event, package),
            id => headers.push(HeaderName::Event, &[package, ";id=", id].concat()),
        }
        headers.push(HeaderName::SubscriptionState, &write_subscription_state(state, seconds));
        headers.push(HeaderName::Contact, &["<", &self.contact, ">"].concat());
        headers.push(HeaderName::ContentType, content_type.unwrap_or_default());
        headers
    }

    /// The dialog is over, and its virtual subscription with the last one.
    pub(super) fn forget(&mut self, number: u64, actions: &mut Vec<Action>) {
        let Some(dialog) = self.dialogs.remove(&number) else { return };
        self.numbers.remove(&self.digest(&dialog.sip));
        if let Some(due) = dialog.due {
            self.due.remove(&(due, number));
        }
        self.bounds.give_back(&dialog.pair);
        if dialog.lasts == Lasts::Lasting {
            self.changes.note(|| DialogKey(dialog.sip.clone()));
            actions.push(Action::EndDialog(dialog.sip));
        }
        let Some(known) = self.known.get_mut(&dialog.pair) else { return };
        known.dialogs.remove(number);
        if known.dialogs.as_slice().is_empty() {
            let is_left = known.phase == Phase::Active
                && dialog.end.is_none_or(|end| end.says != Says::Nothing)
                && dialog.lasts == Lasts::Lasting;
            self.known.remove(&dialog.pair);
            if is_left {
                self.left.push(dialog.pair);
            }
        }
    }
}
