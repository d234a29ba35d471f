//! The order of watcherinfo documents: which came late, and which was missed (RFC 3858 §4.1).
//!
//! Each document of a subscription has the version after that of the one before. A partial one behind a gap says that another was lost: the
//! subscription is refreshed, which brings a full one. What the partial one says holds all the same.
//!
//! Presence servers with several processes give two documents that are written at once the same version. So one of the version that is known
//! is read: it may name other watchers, and that it is the same once more changes nothing.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::time::Duration;
use std::time::Instant;

use crate::gateway::event::Document;
use crate::sip::winfo::State;

/// XMPP users whose documents are kept in order. Of further ones each is taken as it comes.
const MAX_PRESENTITIES: usize = 100_000;

/// Time between two refreshes of one subscription for what was missed: a presence server that counts in another way is not to be asked with each
/// of its documents.
const ASK_AGAIN: Duration = Duration::from_secs(32);

/// The newest document of each subscription.
#[derive(Debug, Default)]
pub(super) struct Documents {
    /// By presentity, a bare JID.
    newest: HashMap<String, Newest>,
    keys: RandomState,
}

#[derive(Debug)]
struct Newest {
    /// A digest of the Call-ID.
    dialog: u64,
    version: u32,
    /// When the subscription was last refreshed for what was missed.
    asked: Option<Instant>,
}

/// Where a document stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Order {
    /// A newer one was read: it says nothing.
    Late,
    /// It follows what is known.
    Next,
    /// It is to be read, but one before it was missed: a full one is to be asked for.
    Gap,
}

impl Documents {
    /// Takes note of a document about the watchers of `presentity`.
    pub(super) fn order(&mut self, now: Instant, presentity: &str, document: &Document) -> Order {
        let Document { call_id, version, state } = document;
        let dialog = self.keys.hash_one(call_id);
        let Some(newest) = self.newest.get_mut(presentity) else {
            let asked = (*state == State::Partial).then_some(now);
            if self.newest.len() < MAX_PRESENTITIES {
                self.newest.insert(presentity.to_owned(), Newest { dialog, version: *version, asked });
            }
            return if asked.is_some() { Order::Gap } else { Order::Next };
        };
        if newest.dialog == dialog && *version < newest.version {
            return Order::Late;
        }
        let follows = newest.dialog == dialog && *version <= newest.version.saturating_add(1);
        (newest.dialog, newest.version) = (dialog, *version);
        let was_asked = newest.asked.is_some_and(|asked| now.saturating_duration_since(asked) < ASK_AGAIN);
        if follows || *state == State::Full || was_asked {
            return Order::Next;
        }
        newest.asked = Some(now);
        Order::Gap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(documents: &mut Documents, now: Instant, (call_id, version, state): (&str, u32, State)) -> Order {
        documents.order(now, "romeo@example.net", &Document { call_id: call_id.into(), version, state })
    }

    #[test]
    fn what_is_older_is_late_and_what_is_missed_is_asked_for() {
        let (mut documents, now) = (Documents::default(), Instant::now());
        for (document, wanted) in [
            (("a", 0, State::Full), Order::Next),
            (("a", 1, State::Partial), Order::Next),
            (("a", 1, State::Partial), Order::Next),
            (("a", 3, State::Partial), Order::Gap),
            (("a", 2, State::Partial), Order::Late),
            (("a", 4, State::Full), Order::Next),
            (("a", 3, State::Full), Order::Late),
            (("a", 9, State::Full), Order::Next),
        ] {
            assert_eq!(order(&mut documents, now, document), wanted, "{document:?}");
        }
    }

    #[test]
    fn a_new_subscription_counts_from_anew_and_begins_with_a_full_document() {
        let (mut documents, now) = (Documents::default(), Instant::now());
        assert_eq!(order(&mut documents, now, ("a", 7, State::Full)), Order::Next);
        assert_eq!(order(&mut documents, now, ("b", 0, State::Full)), Order::Next);
        assert_eq!(order(&mut documents, now, ("c", 1, State::Partial)), Order::Gap);
        assert_eq!(order(&mut Documents::default(), now, ("a", 1, State::Partial)), Order::Gap);
    }

    #[test]
    fn it_is_not_asked_again_and_again() {
        let (mut documents, now) = (Documents::default(), Instant::now());
        order(&mut documents, now, ("a", 0, State::Full));
        assert_eq!(order(&mut documents, now, ("a", 2, State::Partial)), Order::Gap);
        assert_eq!(order(&mut documents, now, ("a", 4, State::Partial)), Order::Next);
        assert_eq!(order(&mut documents, now + ASK_AGAIN, ("a", 6, State::Partial)), Order::Gap);
    }
}
