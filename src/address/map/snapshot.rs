//! One snapshot of a map: two indexes and the users, in words that are written and read as atomics.
//!
//! Nothing here trusts what it reads, for a reader may stand in the middle of a change: places are looked up with a check, probes are
//! counted, and text is checked to be text. Whether what was found counts is the caller's to say.

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::Duplicate;
use super::Name;
use super::ReplaceError;
use super::Row;
use super::Side;
use super::Translated;

/// The words of one snapshot.
///
/// ```text
///  count  capacity | index by SIP URI | index by JID | users
///  index: 0, or 32 bits of the hash and the user's place    user: four lengths, then the octets of the four parts
/// ```
#[derive(Clone, Copy)]
pub(super) struct Snapshot<'a> {
    pub(super) words: &'a [AtomicU64],
    pub(super) keys: &'a RandomState,
}

impl Snapshot<'_> {
    pub(super) fn count(self) -> usize {
        self.size_at(COUNT)
    }

    pub(super) fn find(self, side: Side, user: &str, domain: &str) -> Option<Translated<'static>> {
        let hash = self.hash(user, domain);
        for place in self.places(side, hash) {
            let entry = self.words.get(place)?.load(Ordering::Relaxed);
            if entry == 0 {
                return None;
            }
            if entry >> 32 != hash >> 32 {
                continue;
            }
            let Some([sip_user, sip_domain, xmpp_user, xmpp_domain]) = self.user(usize::try_from(entry & PLACE).ok()?) else {
                continue;
            };
            match side {
                Side::Sip if sip_user == user && sip_domain == domain => return Some((xmpp_user.into(), xmpp_domain.into())),
                Side::Xmpp if xmpp_user == user && xmpp_domain == domain => return Some((sip_user.into(), sip_domain.into())),
                Side::Sip | Side::Xmpp => {}
            }
        }
        None
    }

    /// Empties the half and fills it.
    pub(super) fn write(self, rows: &[Row]) -> Result<Vec<Duplicate>, ReplaceError> {
        // Half full at the most: a probe is short.
        let capacity = rows.len().saturating_mul(2).max(2).next_power_of_two();
        let users = HEAD.saturating_add(capacity.saturating_mul(2));
        self.words.get(..users).ok_or(ReplaceError::TooLarge)?.iter().for_each(|word| word.store(0, Ordering::Relaxed));
        self.put(CAPACITY, u64::try_from(capacity).unwrap_or(0))?;
        let mut duplicates = Vec::new();
        let (mut free, mut count) = (users, 0_u64);
        for row in rows {
            let taken = [(Side::Sip, &row.sip), (Side::Xmpp, &row.xmpp)]
                .into_iter()
                .find(|(side, name)| self.find(*side, &name.user, &name.domain).is_some());
            if let Some((side, _)) = taken {
                duplicates.push(Duplicate { id: row.id, side });
                continue;
            }
            let place = free;
            free = self.append(place, row)?;
            self.index(Side::Sip, &row.sip, place)?;
            self.index(Side::Xmpp, &row.xmpp, place)?;
            count = count.saturating_add(1);
        }
        self.put(COUNT, count)?;
        Ok(duplicates)
    }

    /// Writes one user; the place after it.
    fn append(self, place: usize, row: &Row) -> Result<usize, ReplaceError> {
        let parts = [&row.sip.user, &row.sip.domain, &row.xmpp.user, &row.xmpp.domain];
        let mut lengths = 0;
        let mut octets = Vec::new();
        for part in parts {
            let length = u16::try_from(part.len()).map_err(|_| ReplaceError::TooLarge)?;
            lengths = lengths << 16 | u64::from(length);
            octets.extend_from_slice(part.as_bytes());
        }
        self.put(place, lengths)?;
        let mut at = place.saturating_add(1);
        for chunk in octets.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            self.put(at, u64::from_le_bytes(word))?;
            at = at.saturating_add(1);
        }
        Ok(at)
    }

    fn index(self, side: Side, name: &Name, user: usize) -> Result<(), ReplaceError> {
        let hash = self.hash(&name.user, &name.domain);
        let user = u32::try_from(user).map_err(|_| ReplaceError::TooLarge)?;
        let free = self.places(side, hash).find(|place| self.word(*place) == Some(0)).ok_or(ReplaceError::TooLarge)?;
        self.put(free, hash & !PLACE | u64::from(user))
    }

    /// The four parts of a user. `None` where a writer is at work.
    fn user(self, place: usize) -> Option<[String; 4]> {
        let lengths = self.word(place)?;
        let [sip_user, sip_domain, xmpp_user, xmpp_domain] =
            [48, 32, 16, 0].map(|shift| usize::try_from(lengths >> shift & 0xffff).unwrap_or(0));
        let total = sip_user.saturating_add(sip_domain).saturating_add(xmpp_user).saturating_add(xmpp_domain);
        let mut octets = Vec::with_capacity(total.saturating_add(8));
        for word in self.words.get(place.checked_add(1)?..)?.iter().take(total.div_ceil(8)) {
            octets.extend_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        let mut rest = octets.as_slice();
        let mut part = |length| {
            let (part, after) = rest.split_at_checked(length)?;
            rest = after;
            String::from_utf8(part.to_vec()).ok()
        };
        Some([part(sip_user)?, part(sip_domain)?, part(xmpp_user)?, part(xmpp_domain)?])
    }

    /// Where this hash may stand, the likeliest first.
    fn places(self, side: Side, hash: u64) -> impl Iterator<Item = usize> {
        let capacity = self.size_at(CAPACITY);
        let base = match side {
            Side::Sip => HEAD,
            Side::Xmpp => HEAD.saturating_add(capacity),
        };
        let mask = capacity.saturating_sub(1);
        let first = usize::try_from(hash & PLACE).unwrap_or(0);
        (0..capacity).map(move |step| base.saturating_add(first.wrapping_add(step) & mask))
    }

    fn hash(self, user: &str, domain: &str) -> u64 {
        self.keys.hash_one((user, domain))
    }

    fn size_at(self, at: usize) -> usize {
        self.word(at).and_then(|word| usize::try_from(word).ok()).unwrap_or(0)
    }

    fn word(self, at: usize) -> Option<u64> {
        self.words.get(at).map(|word| word.load(Ordering::Relaxed))
    }

    fn put(self, at: usize, value: u64) -> Result<(), ReplaceError> {
        self.words.get(at).ok_or(ReplaceError::TooLarge)?.store(value, Ordering::Relaxed);
        Ok(())
    }
}

/// The words before the indexes of a snapshot.
pub(super) const HEAD: usize = 2;
const COUNT: usize = 0;
/// How many places each index has: a power of two.
const CAPACITY: usize = 1;

/// The part of an index word that says where the user stands; in a hash, where the search begins.
const PLACE: u64 = 0xffff_ffff;
