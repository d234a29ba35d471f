//! Messages whose senders want to know if they are not delivered, for as long as they may come back.
//!
//! A stanza that comes back is known by its `id` and by both users: who guesses an id has still not been written to. Devices do not
//! matter, as a message to a user may come back from one of the devices. What was told once is not told again.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::gateway::tally::Tally;
use crate::translate::disposition::Wanted;
use crate::xmpp::stanza::bare;

/// The most that are remembered; the oldest make room, as most of what comes back does so within seconds.
const MOST: usize = 1 << 16;

/// The most bytes that they take.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// How long a stanza may be under way: longer than servers try to reach another one.
const UNDER_WAY: Duration = Duration::from_secs(600);

/// All of them.
#[derive(Debug)]
pub(super) struct Memory {
    /// How long one is remembered: it may have to wait for the stream first.
    lifetime: Duration,
    stanzas: HashMap<Key, Due>,
    /// Oldest first. What was told stays here until its time is over.
    ages: VecDeque<Age>,
    bytes: usize,
    forgotten: Tally,
}

/// A notification that somebody waits for.
#[derive(Debug)]
pub(super) struct Due {
    /// What to tell, and whom.
    pub(super) wanted: Wanted,
    /// When the message came.
    pub(super) since: Instant,
}

/// `id`, and the bare JIDs of `from` and `to`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key(String, String, String);

#[derive(Debug)]
struct Age {
    since: Instant,
    key: Key,
    bytes: usize,
}

impl Memory {
    /// With nothing in it; a stanza waits for the stream no longer than `queue_ttl`.
    pub(super) fn new(queue_ttl: Duration) -> Self {
        let lifetime = queue_ttl.saturating_add(UNDER_WAY);
        Self { lifetime, stanzas: HashMap::new(), ages: VecDeque::new(), bytes: 0, forgotten: Tally::default() }
    }

    /// Remembers a stanza that is about to be sent.
    pub(super) fn remember(&mut self, now: Instant, wanted: Wanted) {
        let key = Key(wanted.id.clone(), bare(&wanted.from).to_owned(), bare(&wanted.to).to_owned());
        let bytes = cost(&wanted);
        while self.ages.len() >= MOST || self.bytes.saturating_add(bytes) > MOST_BYTES {
            if !self.forget_oldest() {
                break;
            }
            if let Some(total) = self.forgotten.count(now) {
                log::warn!("too many messages have senders who want to know of a failure: {total} forgotten so far");
            }
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.ages.push_back(Age { since: now, key: key.clone(), bytes });
        self.stanzas.insert(key, Due { wanted, since: now });
    }

    /// The stanza `id` between the two is not delivered: what is to be told, once.
    pub(super) fn take(&mut self, id: &str, from: &str, to: &str) -> Option<Due> {
        if self.stanzas.is_empty() {
            return None;
        }
        self.stanzas.remove(&Key(id.to_owned(), bare(from).to_owned(), bare(to).to_owned()))
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        while self.ages.front().is_some_and(|age| now.saturating_duration_since(age.since) >= self.lifetime) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> bool {
        let Some(Age { since, key, bytes }) = self.ages.pop_front() else { return false };
        self.bytes = self.bytes.saturating_sub(bytes);
        // The same stanza may have come again.
        if self.stanzas.get(&key).is_some_and(|due| due.since == since) {
            self.stanzas.remove(&key);
        }
        if self.ages.is_empty() {
            // A flood does not keep its memory.
            self.ages.shrink_to_fit();
            self.stanzas.shrink_to_fit();
        }
        true
    }
}

/// The memory that one takes: what names it stands in both lists too.
fn cost(wanted: &Wanted) -> usize {
    let Wanted { from, to, id, request } = wanted;
    let named = [from, to, id].iter().fold(0_usize, |sum, text| sum.saturating_add(text.len()));
    let optional = [&request.date_time, &request.recipient, &request.original_recipient];
    let texts = optional.into_iter().flatten().chain(&request.record_route).chain([&request.message_id]);
    texts.fold(OVERHEAD, |sum, text| sum.saturating_add(text.len())).saturating_add(named.saturating_mul(3))
}

/// What one takes beside its texts: entries of both lists, and what the allocator needs.
const OVERHEAD: usize = 512;
