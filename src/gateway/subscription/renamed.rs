//! Subscriptions whose users got another JID or SIP URI while they live: the operator changed the map of addresses.
//!
//! The dialog goes on with the URIs that it was made with, and XMPP goes on with the JIDs that the watcher subscribed to; only a new
//! subscription has the new names. So what comes from SIP, translated by the map of today, is brought back to the names of then.

use std::time::Instant;

use super::Pair;
use super::Subscriptions;
use super::Uris;
use super::steps::Happened;
use super::table::Input;
use super::table::Phase;
use crate::gateway::action::Action;
use crate::gateway::event::Notify;

impl Subscriptions {
    /// The map changed. `today` translates the URIs of a dialog.
    pub(in crate::gateway) fn rename(&mut self, today: impl Fn(&Uris) -> Option<Pair>) {
        self.renamed = self
            .known
            .iter()
            .filter_map(|(pair, known)| Some((today(&known.uris)?, pair)))
            .filter(|(today, pair)| today != *pair)
            .map(|(today, pair)| (today, pair.clone()))
            .collect();
    }

    /// The URIs of a subscription that there is.
    pub(in crate::gateway) fn uris(&self, pair: &Pair) -> Option<&Uris> {
        self.known.get(pair).filter(|known| known.phase != Phase::Over).map(|known| &known.uris)
    }

    /// The names by which the watcher knows this subscription.
    pub(in crate::gateway) fn names(&self, today: Pair) -> Pair {
        match self.renamed.get(&today) {
            Some(pair) if self.known.contains_key(pair) => pair.clone(),
            Some(_) | None => today,
        }
    }

    /// A NOTIFY under those names.
    pub(in crate::gateway) fn under_its_names(&self, notify: Notify) -> Notify {
        let today = (notify.watcher, notify.presentity);
        let (watcher, presentity) = self.names(today.clone());
        let mut presences = notify.presences;
        if (&watcher, &presentity) != (&today.0, &today.1) {
            for presence in &mut presences {
                presence.readdress((&today.1, &today.0), (&presentity, &watcher));
            }
        }
        Notify { watcher, presentity, presences, ..notify }
    }

    /// A watcher subscribes under the names of today: the subscription under those of then is over, since the dialog is one.
    pub(super) fn supersede(&mut self, now: Instant, today: &Pair, actions: &mut Vec<Action>) {
        if let Some(pair) = self.renamed.remove(today) {
            self.happens(now, &pair, (Input::Denied, Happened::default()), actions);
            // NOTIFYs of the dialog are those of the new one from now on.
            self.remove(&pair);
        }
    }
}
