//! Subscriptions over a restart. What a watcher was shown comes back with them, so a probe is answered as before; each is refreshed, so that
//! what changed meanwhile is heard. The host's pua finds its dialog again, or makes another; XMPP notices neither.

use std::time::Instant;

use super::Pair;
use super::Subscriptions;
use super::Uris;
use super::entry::Announce;
use super::entry::Due;
use super::entry::Subscription;
use super::entry::Told;
use super::table::Phase;
use crate::store::entry;
use crate::translate::presence::Availability;
use crate::translate::presence::TuplePresence;

impl Subscriptions {
    /// What is to be kept of one.
    pub(in crate::gateway) fn entry(&self, pair: &Pair) -> Option<entry::Subscription> {
        let known = self.known.get(pair)?;
        let shown = known.shown.values().map(|presence| entry::Shown {
            resource: presence.resource.clone(),
            stanza: presence.stanza.clone(),
            is_available: presence.availability == Availability::Available,
        });
        Some(entry::Subscription {
            watcher: pair.0.clone(),
            presentity: pair.1.clone(),
            uris: (known.uris.watcher.clone(), known.uris.presentity.clone()),
            phase: match known.phase {
                Phase::Asked => entry::Phase::Asked,
                // A state that will never change is asked for once more.
                Phase::Active | Phase::Final => entry::Phase::Active,
                Phase::Ending => entry::Phase::Ending,
                // Nobody waits for its end.
                Phase::Leaving | Phase::Over => return None,
            },
            is_announced: known.announce == Announce::Done,
            display_name: known.display_name.clone(),
            shown: shown.collect(),
        })
    }

    /// Takes one back. False: there is no place for it.
    pub(in crate::gateway) fn restore(&mut self, now: Instant, kept: entry::Subscription) -> bool {
        let pair = (kept.watcher, kept.presentity);
        if self.known.contains_key(&pair) || self.place(now, &pair).is_err() {
            return false;
        }
        let phase = match kept.phase {
            entry::Phase::Asked => Phase::Asked,
            entry::Phase::Active => Phase::Active,
            entry::Phase::Ending => Phase::Ending,
        };
        let announce = if kept.is_announced { Announce::Done } else { Announce::Due };
        let uris = Uris { watcher: kept.uris.0, presentity: kept.uris.1 };
        let mut subscription = Subscription::new(uris, phase, announce);
        subscription.display_name = kept.display_name;
        subscription.shown = kept.shown.into_iter().map(|shown| (shown.resource.clone(), presence(shown))).collect();
        if subscription.is_known() {
            subscription.told = if subscription.shows_any() { Told::Somebody } else { Told::Nobody };
        }
        self.known.insert(pair.clone(), subscription);
        self.look_again(&pair, Some((now, Due::Restored)));
        true
    }
}

fn presence(entry::Shown { resource, stanza, is_available }: entry::Shown) -> TuplePresence {
    let availability = if is_available { Availability::Available } else { Availability::Unavailable };
    TuplePresence { resource, availability, stanza }
}
