//! How much SIP traffic one XMPP user, and one XMPP domain, may cause: token buckets that nobody can empty into oblivion.
//!
//! One stanza becomes a SIP request that is retransmitted, forked and answered, so whoever can send stanzas could multiply them. Each
//! bare JID and each domain has a bucket of [`BURST_SECONDS`] times its rate; a stanza needs a token in both, and the SIP requests it
//! made are taken out of both afterwards: what makes none costs nothing.
//!
//! JIDs cost a stranger nothing, so a bucket that is forgotten to make room would be full again for whoever makes enough of them. So
//! nothing is ever forgotten: the buckets are a table of fixed size, each JID has two places in it by a keyed hash, and the fuller one
//! counts. Others at one of the places can only take tokens, never bring any; who shares both with a flood waits with it, which for a
//! user of ours takes a flood from a good part of [`JIDS`] addresses.

use std::hash::BuildHasher;
use std::hash::Hasher;
use std::hash::RandomState;
use std::time::Duration;
use std::time::Instant;

use jid::Jid;

use crate::config::RateLimit;

/// A bucket holds the tokens of so many seconds: presence comes once a contact, all at once, when a user logs in.
const BURST_SECONDS: u32 = 10;

/// Places for bare JIDs: 1 MiB.
const JIDS: u32 = 1 << 17;

/// Places for domains: 64 KiB.
const DOMAINS: u32 = 1 << 13;

/// All buckets.
#[derive(Debug)]
pub(crate) struct Limiter {
    hash: RandomState,
    /// When the first stanza came: all buckets were full then.
    start: Option<Instant>,
    jids: Option<Buckets>,
    domains: Option<Buckets>,
}

/// Where the buckets of one sender are, and what time it is there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    now: u64,
    jid: u64,
    domain: u64,
}

/// Whose bucket is empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Empty {
    /// The user's.
    Jid,
    /// That of all users of the domain.
    Domain,
}

impl Limiter {
    /// `None` where nothing is limited.
    pub(crate) fn new(limit: RateLimit) -> Option<Self> {
        let [jids, domains] =
            [(limit.jid, JIDS), (limit.domain, DOMAINS)].map(|(rate, places)| (rate > 0).then(|| Buckets::new(rate, places)));
        (jids.is_some() || domains.is_some()).then(|| Self { hash: RandomState::new(), start: None, jids, domains })
    }

    /// The buckets of a sender; the error says which one is empty.
    pub(crate) fn account(&mut self, now: Instant, sender: &Jid) -> Result<Account, Empty> {
        let start = *self.start.get_or_insert(now);
        let now = u64::try_from(now.saturating_duration_since(start).as_nanos()).unwrap_or(u64::MAX);
        let mut hasher = self.hash.build_hasher();
        hasher.write(sender.domain().as_bytes());
        let domain = hasher.finish();
        // No domain has an `@`: no user's hash is that of a domain.
        hasher.write_u8(b'@');
        hasher.write(sender.node().map_or("", |node| node.as_str()).as_bytes());
        let account = Account { now, jid: hasher.finish(), domain };
        if self.jids.as_ref().is_some_and(|jids| !jids.has_token(now, account.jid)) {
            return Err(Empty::Jid);
        }
        if self.domains.as_ref().is_some_and(|domains| !domains.has_token(now, account.domain)) {
            return Err(Empty::Domain);
        }
        Ok(account)
    }

    /// Takes out what was used.
    pub(crate) fn take(&mut self, account: Account, tokens: usize) {
        let tokens = u64::try_from(tokens).unwrap_or(u64::MAX);
        if let Some(jids) = &mut self.jids {
            jids.take(account.now, account.jid, tokens);
        }
        if let Some(domains) = &mut self.domains {
            domains.take(account.now, account.domain, tokens);
        }
    }
}

/// Buckets of one size. A place holds the time, in nanoseconds, at which its bucket will be full (the generic cell rate algorithm,
/// ITU-T I.371 annex A): one number, and nothing to do as time goes by.
#[derive(Debug)]
struct Buckets {
    full_at: Vec<u64>,
    /// One less than the number of places, a power of two: a division would cost more than all the rest.
    mask: u64,
    /// Time in which one token comes.
    token: u64,
    /// Time in which an empty bucket fills.
    depth: u64,
}

impl Buckets {
    fn new(rate: u32, places: u32) -> Self {
        let places = places.next_power_of_two();
        let depth = u64::try_from(Duration::from_secs(BURST_SECONDS.into()).as_nanos()).unwrap_or(u64::MAX);
        let tokens = u64::from(rate).saturating_mul(BURST_SECONDS.into());
        // The kernel gives zeroed pages when they are written: what is not used takes no memory.
        Self {
            full_at: vec![0; usize::try_from(places).unwrap_or(0)],
            mask: u64::from(places.saturating_sub(1)),
            token: depth.checked_div(tokens).unwrap_or(0),
            depth,
        }
    }

    fn has_token(&self, now: u64, hash: u64) -> bool {
        self.full_at(hash).saturating_add(self.token) <= now.saturating_add(self.depth)
    }

    fn take(&mut self, now: u64, hash: u64, tokens: u64) {
        if tokens == 0 {
            return;
        }
        let full_at = self.full_at(hash).max(now).saturating_add(self.token.saturating_mul(tokens));
        // No debts: a stanza that made more requests than there were tokens leaves the bucket empty.
        let full_at = full_at.min(now.saturating_add(self.depth));
        for place in self.places(hash) {
            if let Some(known) = self.full_at.get_mut(place) {
                *known = full_at.max(*known);
            }
        }
    }

    /// That of the fuller of the two: the other has lost tokens to somebody else.
    fn full_at(&self, hash: u64) -> u64 {
        self.places(hash).into_iter().filter_map(|place| self.full_at.get(place).copied()).min().unwrap_or(0)
    }

    /// Two independent halves of the hash.
    fn places(&self, hash: u64) -> [usize; 2] {
        [hash & self.mask, (hash >> 32) & self.mask].map(|place| usize::try_from(place).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RATE: u32 = 20;
    const BUCKET: usize = (RATE * BURST_SECONDS) as usize;

    fn limiter(jid: u32, domain: u32) -> Limiter {
        Limiter::new(RateLimit { jid, domain }).unwrap()
    }

    /// How many of `count` stanzas that make one request each get through.
    fn through(limiter: &mut Limiter, now: Instant, sender: &str, count: usize) -> usize {
        let sender = Jid::new(sender).unwrap();
        (0..count).filter(|_| limiter.account(now, &sender).map(|account| limiter.take(account, 1)).is_ok()).count()
    }

    #[test]
    fn a_bucket_holds_ten_seconds_and_fills_at_its_rate() {
        let start = Instant::now();
        let mut limiter = limiter(RATE, 0);
        assert_eq!(through(&mut limiter, start, "a@b.example/1", 1000), BUCKET);
        assert_eq!(through(&mut limiter, start, "a@b.example/2", 1), 0, "a resource is no other user");
        assert_eq!(through(&mut limiter, start + Duration::from_secs(1), "a@b.example", 1000), 20);
        assert_eq!(through(&mut limiter, start + Duration::from_secs(3600), "a@b.example", 1000), BUCKET);
    }

    #[test]
    fn a_domain_has_a_bucket_for_all_its_users_and_a_user_who_may_not_takes_nothing_from_it() {
        let start = Instant::now();
        let mut limiter = limiter(1, 3);
        let all: usize = (0..100).map(|n| through(&mut limiter, start, &format!("u{n}@b.example"), 100)).sum();
        assert_eq!(all, 30);
        assert_eq!(limiter.account(start, &Jid::new("new@b.example").unwrap()).unwrap_err(), Empty::Domain);
        assert_eq!(limiter.account(start, &Jid::new("u0@b.example").unwrap()).unwrap_err(), Empty::Jid);
        assert_eq!(through(&mut limiter, start, "u@sub.b.example", 100), 10, "another domain");
    }

    #[test]
    fn what_makes_no_request_costs_nothing_and_what_makes_many_leaves_no_debt() {
        let start = Instant::now();
        let mut limiter = limiter(RATE, 0);
        let sender = Jid::new("a@b.example").unwrap();
        for tokens in [0, 0, usize::MAX] {
            let account = limiter.account(start, &sender).unwrap();
            limiter.take(account, tokens);
        }
        assert_eq!(limiter.account(start, &sender).unwrap_err(), Empty::Jid);
        assert_eq!(through(&mut limiter, start + Duration::from_secs(10), "a@b.example", 1000), BUCKET);
    }

    #[test]
    fn no_flood_of_other_addresses_fills_a_bucket_again() {
        let start = Instant::now();
        let mut limiter = limiter(RATE, 0);
        through(&mut limiter, start, "mallory@b.example", BUCKET);
        for n in 0..50_000 {
            through(&mut limiter, start, &format!("m{n}@b.example"), 1);
        }
        assert_eq!(through(&mut limiter, start, "mallory@b.example", 1), 0);
    }

    #[test]
    fn a_flood_of_a_thousand_addresses_hardly_meets_anybody_else() {
        let start = Instant::now();
        let mut limiter = limiter(RATE, 0);
        for n in 0..1000 {
            // One of them may have met others already.
            if let Ok(account) = limiter.account(start, &Jid::new(&format!("m{n}@evil.example")).unwrap()) {
                limiter.take(account, BUCKET);
            }
        }
        // Each is stopped with a chance of (2000 / 131 072)^2: of 10 000 two or three, and 40 never.
        let stopped = (0..10_000).filter(|n| through(&mut limiter, start, &format!("u{n}@b.example"), 1) == 0).count();
        assert!(stopped < 40, "{stopped}");
    }

    proptest! {
        /// Against a bucket counted one by one: never more than that lets through, whoever else shares the places.
        #[test]
        fn never_more_than_a_bucket_of_ones_own(
            rate in 1u32..5, steps in proptest::collection::vec((0u8..4, 0u64..3000, 1u32..4), 1..200),
        ) {
            let limiter = Limiter { jids: Some(Buckets::new(rate, 4)), ..limiter(rate, 0) };
            compare(limiter, rate, &steps)?;
        }
    }

    /// User, milliseconds before, tokens used.
    fn compare(mut limiter: Limiter, rate: u32, steps: &[(u8, u64, u32)]) -> Result<(), TestCaseError> {
        let start = Instant::now();
        let depth = f64::from(rate) * f64::from(BURST_SECONDS);
        let mut own = [(depth, 0.0); 4];
        let mut time = 0.0;
        for (user, pause, tokens) in steps {
            time += Duration::from_millis(*pause).as_secs_f64();
            let (level, last) = &mut own[usize::from(*user)];
            *level = (*level + f64::from(rate) * (time - *last)).min(depth);
            *last = time;
            let sender = Jid::new(&format!("u{user}@b.example")).unwrap();
            if let Ok(account) = limiter.account(start.checked_add(Duration::from_secs_f64(time)).unwrap(), &sender) {
                prop_assert!(*level > 0.999, "{level}");
                *level = (*level - f64::from(*tokens)).max(0.0);
                limiter.take(account, usize::try_from(*tokens).unwrap());
            }
        }
        Ok(())
    }
}
