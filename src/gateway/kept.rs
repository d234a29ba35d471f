//! What is to survive a restart: which of it has changed since it was last written, and how it comes back.
//!
//! A machine only notes the key of what has changed. The row is made when it is written: what changes often is written once.

use std::collections::HashSet;
use std::hash::Hash;
use std::hash::Hasher;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use jid::Jid;

use crate::config::PresenceMode;
use crate::gateway::Gateway;
use crate::gateway::action::Authorization as Decision;
use crate::gateway::watcher::Last;
use crate::sip;
use crate::store::Id;
use crate::store::entry;
use crate::store::entry::Entry;
use crate::store::entry::Standing;

/// Changes of one kind that wait to be written at the most: while the database is away. More are lost until the same thing changes again.
pub const MOST: usize = 1 << 18;

/// What has changed, by key.
#[derive(Debug)]
pub(super) struct Changes<K> {
    is_on: bool,
    keys: HashSet<K>,
    lost: u64,
}

/// The key of one thing that is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// SIP watcher and XMPP user, bare JIDs.
    Authorization(String, String),
    /// XMPP watcher and SIP user, bare JIDs.
    Subscription(String, String),
    /// A full JID.
    Publication(String),
    /// That of a SIP watcher.
    Dialog(sip::Dialog),
}

/// A dialog, whatever its target is now.
#[derive(Debug, Clone)]
pub(super) struct DialogKey(pub(super) sip::Dialog);

/// The time, by both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// That of the machines.
    pub now: Instant,
    /// That of the rows.
    pub wall: SystemTime,
}

impl<K: Hash + Eq> Changes<K> {
    /// Without a store nothing is noted.
    pub(super) fn new(is_on: bool) -> Self {
        Self { is_on, keys: HashSet::new(), lost: 0 }
    }

    /// This has changed, begun or ended.
    pub(super) fn note(&mut self, key: impl FnOnce() -> K) {
        if !self.is_on {
            return;
        }
        if self.keys.len() < MOST {
            self.keys.insert(key());
            return;
        }
        self.lost = self.lost.saturating_add(1);
        if self.lost.is_power_of_two() {
            log::warn!("the database does not take what is to survive a restart: {} changes are lost so far", self.lost);
        }
    }

    /// Takes up to so many.
    pub(super) fn take(&mut self, most: usize) -> Vec<K> {
        if self.keys.len() <= most {
            return std::mem::take(&mut self.keys).into_iter().collect();
        }
        let mut left = most;
        self.keys.extract_if(|_| left.checked_sub(1).inspect(|less| left = *less).is_some()).collect()
    }
}

impl Key {
    /// The key of its row.
    pub fn id(&self) -> Id {
        match self {
            Self::Authorization(watcher, presentity) => entry::Authorization::id(watcher, presentity),
            Self::Subscription(watcher, presentity) => entry::Subscription::id(watcher, presentity),
            Self::Publication(jid) => entry::Publication::id(jid),
            Self::Dialog(dialog) => entry::Dialog::id(dialog),
        }
    }
}

impl PartialEq for DialogKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.id() == other.0.id()
    }
}

impl Eq for DialogKey {}

impl Hash for DialogKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.id().hash(state);
    }
}

impl Clock {
    /// A time of the machines, in seconds since 1970.
    pub(super) fn seconds_at(&self, at: Instant) -> u64 {
        self.seconds().saturating_add(at.saturating_duration_since(self.now).as_secs())
    }

    /// The present, likewise.
    pub(super) fn seconds(&self) -> u64 {
        self.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// A time in seconds since 1970, for the machines. `None`: it is over.
    pub(super) fn instant_at(&self, seconds: u64) -> Option<Instant> {
        let left = seconds.checked_sub(self.seconds()).filter(|left| *left > 0)?;
        self.now.checked_add(Duration::from_secs(left))
    }
}

impl Gateway {
    /// Takes the keys of up to so many things of each kind that have changed.
    pub fn changes(&mut self, most: usize) -> Vec<Key> {
        let authorizations =
            self.watchers.changes.take(most).into_iter().map(|(watcher, user)| Key::Authorization(watcher, user));
        let subscriptions = self.subscriptions.changes.take(most).into_iter().map(|(user, other)| Key::Subscription(user, other));
        let publications = self.publications.changes.take(most).into_iter().map(Key::Publication);
        let dialogs = self.notifier.changes.take(most).into_iter().map(|DialogKey(dialog)| Key::Dialog(dialog));
        authorizations.chain(subscriptions).chain(publications).chain(dialogs).collect()
    }

    /// What is to be kept of it; `None`: it is over. `decision` is what an XMPP user decided on a SIP watcher, which workers know too.
    pub fn entry(&mut self, clock: Clock, key: &Key, decision: impl FnOnce(&str, &str) -> Option<Decision>) -> Option<Entry> {
        match key {
            Key::Authorization(watcher, presentity) => {
                let standing = match self.watchers.last(watcher, presentity) {
                    Last::Asked => Standing::Asked,
                    Last::LetGo => return None,
                    Last::Nothing => standing(decision(watcher, presentity)?)?,
                };
                let (watcher, presentity) = (watcher.clone(), presentity.clone());
                Some(Entry::Authorization(entry::Authorization { watcher, presentity, standing }))
            }
            Key::Subscription(watcher, presentity) => {
                self.subscriptions.entry(&(watcher.clone(), presentity.clone())).map(Entry::Subscription)
            }
            Key::Publication(jid) => self.publications.entry(jid).map(Entry::Publication),
            Key::Dialog(dialog) => self.notifier.entry(clock, dialog).map(Entry::Dialog),
        }
    }

    /// The states that the host was given before, when everything is taken back.
    pub fn host_had(&self) -> impl Iterator<Item = sip::Publish> {
        self.publications.host_had()
    }

    /// Takes back what was kept, before any stream stands. False: it is over, or there is no place for it.
    pub fn restore(&mut self, clock: Clock, entry: Entry) -> bool {
        match entry {
            Entry::Authorization(entry::Authorization { watcher, presentity, standing }) => {
                let question = (watcher, presentity);
                match standing {
                    Standing::Asked => self.watchers.restore(clock.now, question),
                    Standing::Refused => {
                        if let Some(uri) = Jid::new(&question.1).ok().and_then(|jid| self.to_sip(&jid).ok()) {
                            self.watchers.restore_refusal(clock.now, &question, uri);
                        }
                    }
                    Standing::Allowed => {
                        if self.is_published_for(&question) {
                            self.publications.expect(&question.1, &question.0);
                        }
                    }
                    Standing::Hidden => self.hidden.restore(question.1, question.0),
                }
                true
            }
            Entry::Subscription(kept) => {
                if self.addresses.is_mapped() {
                    // Its names may be those of an older map: the next event compares them.
                    self.generation = self.addresses.generation().wrapping_sub(1);
                }
                self.subscriptions.restore(clock.now, kept)
            }
            Entry::Publication(mut kept) => {
                if self.presence_mode != PresenceMode::Pua {
                    // It was pua's: this host's own presence server knows nothing of it, and tells of no answers.
                    kept.entity_tag = None;
                }
                let lit = self.lamps.was_lit(&kept.body).then(|| (kept.jid.clone(), kept.presentity.clone()));
                let is_restored = self.publications.restore(clock.now, kept);
                if let Some((jid, presentity)) = lit.filter(|_| is_restored) {
                    self.lamps.restore(clock.now, jid.split('/').next().unwrap_or_default(), presentity);
                }
                is_restored
            }
            Entry::Dialog(kept) => {
                self.publications.expect_no_more(&kept.presentity, &kept.watcher);
                self.notifier.restore(clock, kept)
            }
        }
    }

    /// Whether a SIP watcher sees an XMPP user by what is published, as far as is known.
    pub(super) fn is_published_for(&self, (watcher, presentity): &(String, String)) -> bool {
        self.presence_mode != PresenceMode::None && !self.notifier.knows(watcher, presentity)
    }
}

/// What a decision is in the store. `None`: nothing that lasts.
fn standing(decision: Decision) -> Option<Standing> {
    match decision {
        Decision::Allowed => Some(Standing::Allowed),
        Decision::Hidden => Some(Standing::Hidden),
        Decision::Refused => Some(Standing::Refused),
        Decision::Pending | Decision::NoResource => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_written_once_and_so_many_at_a_time() {
        let mut changes = Changes::new(true);
        for key in [1, 2, 3, 1, 2, 3] {
            changes.note(|| key);
        }
        let mut taken = [changes.take(2), changes.take(2)];
        assert_eq!(taken.each_ref().map(Vec::len), [2, 1]);
        let mut all = taken.each_mut().iter_mut().flat_map(|keys| keys.drain(..)).collect::<Vec<_>>();
        all.sort_unstable();
        assert_eq!((all, changes.take(2).len()), (vec![1, 2, 3], 0));
    }

    #[test]
    fn without_a_store_nothing_is_noted() {
        let mut changes = Changes::new(false);
        changes.note(|| 1);
        assert!(changes.take(1).is_empty());
    }

    #[test]
    fn what_waits_has_an_end() {
        let mut changes = Changes::new(true);
        for key in 0..=MOST {
            changes.note(|| key);
        }
        assert_eq!(changes.take(usize::MAX).len(), MOST);
    }
}
