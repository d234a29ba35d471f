//! How many dialogs there may be: in all, of one watcher, on one presentity.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hash::RandomState;

use super::virtual_subscription::Pair;

/// Dialogs of SIP watchers at the most. One that finds no place is told to come back later.
pub const MAX_DIALOGS: usize = 200_000;

/// Those of one watcher: a hundred contacts on ten devices.
pub const MAX_PER_WATCHER: u32 = 1000;

/// Those on one presentity.
pub const MAX_PER_PRESENTITY: u32 = 20_000;

/// Who has how many. Names are digested with keys of this process: nobody can prepare two that count as one.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    keys: RandomState,
    taken: usize,
    of: HashMap<u64, u32>,
}

impl Bounds {
    /// Takes a place. False: there is none.
    pub(super) fn take(&mut self, pair: &Pair) -> bool {
        let [watcher, presentity] = self.digests(pair);
        let taken = |digest| self.of.get(&digest).copied().unwrap_or(0);
        if self.taken >= MAX_DIALOGS || taken(watcher) >= MAX_PER_WATCHER || taken(presentity) >= MAX_PER_PRESENTITY {
            return false;
        }
        self.taken = self.taken.saturating_add(1);
        for digest in [watcher, presentity] {
            let taken = self.of.entry(digest).or_default();
            *taken = taken.saturating_add(1);
        }
        true
    }

    /// Gives a place back.
    pub(super) fn give_back(&mut self, pair: &Pair) {
        self.taken = self.taken.saturating_sub(1);
        for digest in self.digests(pair) {
            match self.of.get_mut(&digest) {
                Some(taken @ 2..) => *taken = taken.saturating_sub(1),
                Some(_) | None => drop(self.of.remove(&digest)),
            }
        }
    }

    fn digests(&self, pair: &Pair) -> [u64; 2] {
        [self.keys.hash_one(("watcher", pair.watcher())), self.keys.hash_one(("presentity", pair.presentity()))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_watcher_has_so_many_and_others_have_theirs() {
        let mut bounds = Bounds::default();
        for number in 0..MAX_PER_WATCHER {
            assert!(bounds.take(&Pair::new("j@s", &format!("r{number}@x"))));
        }
        assert!(!bounds.take(&Pair::new("j@s", "one-more@x")));
        assert!(bounds.take(&Pair::new("k@s", "one-more@x")));
        bounds.give_back(&Pair::new("j@s", "r0@x"));
        assert!(bounds.take(&Pair::new("j@s", "one-more@x")));
    }

    #[test]
    fn what_is_given_back_is_forgotten() {
        let mut bounds = Bounds::default();
        let pair = Pair::new("j@s", "r@x");
        for _ in 0..3 {
            assert!(bounds.take(&pair) && bounds.take(&pair));
            bounds.give_back(&pair);
            bounds.give_back(&pair);
        }
        assert_eq!((bounds.taken, bounds.of.len()), (0, 0));
    }
}
