//! What becomes of a SUBSCRIBE: a dialog that begins, goes on or ends.

use std::time::Duration;
use std::time::Instant;

use super::FETCH_PATIENCE;
use super::Notifier;
use super::PROBATION;
use super::dialog::Dialog;
use super::dialog::End;
use super::dialog::Lasts;
use super::virtual_subscription::Pair;
use super::virtual_subscription::Phase;
use super::virtual_subscription::VirtualSubscription;
use crate::gateway::action::Action;
use crate::gateway::action::Authorization;
use crate::gateway::event::Place;
use crate::gateway::event::Subscribe;
use crate::sip;
use crate::sip::Reason;
use crate::sip::SubscriptionState;

/// What XMPP is to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::gateway) enum Wish {
    Nothing,
    /// `subscribe`, once.
    Decision {
        watcher: String,
        presentity: String,
    },
}

impl Notifier {
    /// A SUBSCRIBE came, and was answered with 200.
    pub(in crate::gateway) fn subscribe(&mut self, now: Instant, subscribe: Subscribe, actions: &mut Vec<Action>) -> Wish {
        let Subscribe { dialog, cseq, expires, place } = subscribe;
        match (self.number_of(&dialog), place) {
            // A retransmission of the first one, too, names the dialog that it has made.
            (Some(number), _) => self.refresh(now, number, &dialog, (cseq, expires), actions),
            (None, Place::Initial { watcher, presentity, decision }) => {
                self.begin(now, dialog, (cseq, expires), (&watcher, &presentity, decision), actions)
            }
            (None, Place::InDialog) => {
                log::debug!("a SUBSCRIBE in the dialog {}, which has ended", dialog.call_id());
                actions.push(Action::EndDialog(dialog));
                Wish::Nothing
            }
        }
    }

    /// A dialog that is not known yet.
    fn begin(
        &mut self,
        now: Instant,
        dialog: sip::Dialog,
        (cseq, expires): (u32, u32),
        (watcher, presentity, decision): (&str, &str, Authorization),
        actions: &mut Vec<Action>,
    ) -> Wish {
        let pair = Pair::new(watcher, presentity);
        let phase = match (self.known.get(&pair), decision) {
            (Some(known), _) if known.phase != Phase::Fetch => known.phase,
            // From whom the user hides, here it tells each watcher for itself.
            (_, Authorization::Allowed | Authorization::Hidden) => Phase::Active,
            (_, Authorization::Pending) if expires == 0 => Phase::Fetch,
            (_, Authorization::Pending) => Phase::Pending,
            (_, Authorization::Refused) => return self.refuse(dialog, (Reason::Rejected, None), actions),
            (_, Authorization::NoResource) => return self.refuse(dialog, (Reason::Noresource, None), actions),
        };
        if !self.bounds.take(&pair) {
            if let Some(total) = self.refused.count(now) {
                log::warn!("no place for the subscription of {watcher} to {presentity}: it may come back later; {total} so far");
            }
            return self.refuse(dialog, (Reason::Probation, Some(PROBATION)), actions);
        }
        let pair = self.known.get_key_value(&pair).map_or(pair, |(pair, _)| pair.clone());
        self.last = self.last.wrapping_add(1);
        let number = self.last;
        let known = self.known.entry(pair.clone()).or_insert_with(|| VirtualSubscription::new(phase).into());
        if known.phase == Phase::Fetch {
            known.phase = phase;
        }
        known.dialogs.push(number);
        let knows_state = known.knows_state();
        self.numbers.insert(self.digest(&dialog), number);
        let (lasts, lifetime) = match expires {
            0 => (Lasts::Once, FETCH_PATIENCE),
            seconds => (Lasts::Lasting, Duration::from_secs(seconds.into())),
        };
        let now = self.moment(now);
        self.dialogs.insert(number, Dialog::new(dialog, pair.clone(), cseq, now.after(lifetime), lasts).into());
        self.keep(number);
        self.look_again(number);
        if phase != Phase::Pending && !knows_state {
            self.probe(&pair, actions);
        }
        match lasts {
            // From what is known, or as a watcher who may not see yet.
            Lasts::Once if knows_state || phase == Phase::Pending => self.end(now, number, End::FETCHED, actions),
            Lasts::Once => {}
            Lasts::Lasting => self.notify(now, number, actions),
        }
        wish(&pair, phase, lasts)
    }

    /// A further SUBSCRIBE in a dialog.
    fn refresh(
        &mut self,
        now: Instant,
        number: u64,
        by: &sip::Dialog,
        (cseq, expires): (u32, u32),
        actions: &mut Vec<Action>,
    ) -> Wish {
        let now = self.moment(now);
        let Some(dialog) = self.dialogs.get_mut(&number) else { return Wish::Nothing };
        if !dialog.is_refreshed(cseq, by) {
            return Wish::Nothing;
        }
        let pair = dialog.pair.clone();
        if expires == 0 {
            self.end(now, number, End::TIMEOUT, actions);
            return Wish::Nothing;
        }
        dialog.expires = now.after(Duration::from_secs(expires.into()));
        dialog.owed = true;
        let lasts = dialog.lasts;
        self.keep(number);
        self.look_again(number);
        self.notify(now, number, actions);
        self.known.get(&pair).map_or(Wish::Nothing, |known| wish(&pair, known.phase, lasts))
    }

    /// A subscription that ends as soon as it has begun.
    fn refuse(&mut self, dialog: sip::Dialog, (reason, retry_after): (Reason, Option<u32>), actions: &mut Vec<Action>) -> Wish {
        self.last = self.last.wrapping_add(1);
        let headers = self.headers(&dialog, SubscriptionState::Terminated(reason), retry_after, None);
        actions.push(Action::Notify(sip::Notify {
            number: self.last,
            dialog: dialog.clone(),
            cseq: 1,
            headers,
            body: Vec::new(),
        }));
        actions.push(Action::EndDialog(dialog));
        Wish::Nothing
    }

    pub(super) fn number_of(&self, dialog: &sip::Dialog) -> Option<u64> {
        let number = self.numbers.get(&self.digest(dialog))?;
        self.dialogs.get(number).filter(|known| known.sip.id() == dialog.id()).map(|_| *number)
    }
}

/// Who waits for a decision is asked for. The question is put once, however often this is said.
fn wish(pair: &Pair, phase: Phase, lasts: Lasts) -> Wish {
    match (phase, lasts) {
        (Phase::Pending, Lasts::Lasting) => {
            let (watcher, presentity) = pair.to_names();
            Wish::Decision { watcher, presentity }
        }
        (Phase::Pending, Lasts::Once) | (Phase::Active | Phase::Fetch, _) => Wish::Nothing,
    }
}
