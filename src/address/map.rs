//! Users whose address on the other side the operator chose: SIP AoR and bare JID, one to one, in front of the address scheme.
//!
//! [`Map`] is a snapshot in memory that all processes of the SIP server share. Lookups are for the hot path of every process: no
//! lock, no system call, no allocation unless a user is found. [`Map::replace`] puts a new snapshot in place while they run, from
//! whatever process was told to. How a table of the database becomes [`Row`]s is [`rows`].
//!
//! # Why a reader never sees half a snapshot
//!
//! There is room for two. Snapshot *n* stands in half *n* mod 2, so that number *n* + 1 is written where nobody reads *n*. The one
//! number `generation` says which counts; it only grows.
//!
//! ```text
//!  writer                                          reader
//!  1 takes the lock                                a  g = generation        (acquire)
//!  2 fence                  (release)              b  reads half g mod 2    (relaxed)
//!  3 writes half (g+1) mod 2 (relaxed)             c  fence                 (acquire)
//!  4 generation = g + 1     (release)              d  generation == g: what it read counts; else from a again
//!  5 gives the lock back
//! ```
//!
//! What a reader finds under *g* was written before step 4 of its writer, which step a synchronizes with. Before a writer changes
//! that half again, number *g* + 1 was published, by itself or by a process whose lock it took over (1), and its fence (2) comes after
//! that. A reader that has seen any of the new words meets that fence by its own (c), so it then sees a `generation` above *g* (d), and
//! drops what it read. It is written in atomics only, so reading what is being written is no data race; and whatever a reader
//! makes of a mixture is bounded: places are looked up with a check, probes are counted.
//!
//! Nobody is waited for and nobody is registered. A reader starts over only when a whole reload ended during its lookup; a process
//! that dies while it reads holds nothing; one that dies while it writes leaves the snapshot that counts alone. Old memory is not
//! given back but used again by the snapshot after the next: two snapshots are the bound.

pub mod rows;
mod snapshot;

use std::borrow::Cow;
use std::hash::RandomState;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;

use super::AddressError;
use super::Change;
use super::escape;
use super::node_of;
use super::scheme::Compiled;
use snapshot::Snapshot;

/// Users that a map holds at the most. A table with more is refused as a whole.
pub const MAX_ROWS: usize = 1 << 20;

/// The memory of a map, in words: two snapshots of 256 MiB, resident as far as used. [`MAX_ROWS`] users of 220 octets fit.
pub const WORDS: usize = HEAD + 2 * HALF;

const HALF: usize = 1 << 25;

/// The words before the halves.
const HEAD: usize = 8;
const GENERATION: usize = 0;
const LOCK: usize = 1;

/// The mapped users, the same for all processes. A copy is another view of the same memory.
#[derive(Clone)]
pub struct Map {
    memory: &'static [AtomicU64],
    /// Drawn once, before the host forks: nobody outside can prepare names that meet.
    keys: RandomState,
}

/// One user: both addresses in the form in which they are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What the table calls it: for the log.
    pub id: i64,
    /// User (not encoded, lower case) and host of the SIP URI.
    pub sip: Name,
    /// Localpart (not escaped) and domain (A-labels) of the JID.
    pub xmpp: Name,
}

/// User and domain of one side, neither escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The user.
    pub user: String,
    /// The domain, in its canonical SIP form.
    pub domain: String,
}

/// Why a map was not replaced. The one before stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplaceError {
    /// Another process is at it.
    Busy,
    /// More than [`MAX_ROWS`] users, or more octets than there is room for.
    TooLarge,
}

/// A row that is not taken because an earlier one has the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// The row that is not taken.
    pub id: i64,
    /// Which of its addresses is the other's.
    pub side: Side,
}

/// One of the two addresses of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The SIP URI.
    Sip,
    /// The JID.
    Xmpp,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Sip => Self::Xmpp,
            Self::Xmpp => Self::Sip,
        }
    }
}

/// Which spellings of an address are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// Only the one that comes back.
    Canonical,
    /// Also the one that the address scheme alone gives, as a dialog from before a change of the map has it.
    Any,
}

/// User and domain.
type Translated<'a> = (Cow<'a, str>, Cow<'a, str>);

/// What the map knows of an address.
enum Found {
    Partner(Translated<'static>),
    Taken,
    Nothing,
}

impl Map {
    /// A map in this memory, which is zero or holds one already. All of it is used, up to [`WORDS`].
    pub fn over(memory: &'static [AtomicU64]) -> Self {
        Self { memory, keys: RandomState::new() }
    }

    /// Goes up with every [`Self::replace`]; 0: there was none.
    pub fn generation(&self) -> u64 {
        self.head(GENERATION).map_or(0, |word| word.load(Ordering::Acquire))
    }

    /// How many users it holds.
    pub fn len(&self) -> usize {
        self.read(|snapshot| snapshot.count()).unwrap_or(0)
    }

    /// Whether it holds no user.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts these users in the place of all that were there. Of two rows with the same address the first is taken.
    ///
    /// # Errors
    /// The map is as it was.
    pub fn replace(&self, rows: &[Row]) -> Result<Vec<Duplicate>, ReplaceError> {
        if rows.len() > MAX_ROWS {
            return Err(ReplaceError::TooLarge);
        }
        let (generation, lock) = self.head(GENERATION).zip(self.head(LOCK)).ok_or(ReplaceError::TooLarge)?;
        let _held = Lock::take(lock).ok_or(ReplaceError::Busy)?;
        let next = generation.load(Ordering::Relaxed).wrapping_add(1);
        let snapshot = self.snapshot(next).ok_or(ReplaceError::TooLarge)?;
        fence(Ordering::Release);
        let duplicates = snapshot.write(rows)?;
        generation.store(next, Ordering::Release);
        Ok(duplicates)
    }

    /// What [`Compiled::to_xmpp`] does, with the mapped users in front.
    pub(super) fn to_xmpp<'a>(
        &self,
        scheme: &'a Compiled,
        user: &'a str,
        host: &'a str,
        spelling: Spelling,
    ) -> Result<Translated<'a>, AddressError> {
        self.translated(Side::Sip, (&fold(user)?, host), scheme.to_xmpp(user, host), spelling)
    }

    /// What [`Compiled::to_sip`] does, with the mapped users in front.
    pub(super) fn to_sip<'a>(
        &self,
        scheme: &'a Compiled,
        user: &'a str,
        domain: &'a str,
        spelling: Spelling,
    ) -> Result<Translated<'a>, AddressError> {
        self.translated(Side::Xmpp, (user, domain), scheme.to_sip(user, domain), spelling)
    }

    /// The partner of a mapped user; else what the scheme says, unless that is a mapped user's: it is reached from its partner alone,
    /// since from anything else it would not come back.
    fn translated<'a>(
        &self,
        side: Side,
        (user, domain): (&str, &str),
        by_scheme: Result<Translated<'a>, AddressError>,
        spelling: Spelling,
    ) -> Result<Translated<'a>, AddressError> {
        let folded = match &by_scheme {
            Ok((user, domain)) if spelling == Spelling::Canonical => Some((fold(user)?, domain)),
            Ok(_) | Err(_) => None,
        };
        let is_taken = |snapshot: Snapshot<'_>| {
            folded.as_ref().is_some_and(|(user, domain)| snapshot.find(side.other(), user, domain).is_some())
        };
        let found = self.read(|snapshot| match snapshot.find(side, user, domain) {
            Some(partner) => Found::Partner(partner),
            None if is_taken(snapshot) => Found::Taken,
            None => Found::Nothing,
        });
        match found {
            Some(Found::Partner(partner)) => Ok(partner),
            Some(Found::Taken) => Err(AddressError::Ambiguous),
            Some(Found::Nothing) | None => by_scheme,
        }
    }

    /// Steps a to d. `None`: there is no snapshot yet.
    fn read<T>(&self, look: impl Fn(Snapshot<'_>) -> T) -> Option<T> {
        let generation = self.head(GENERATION)?;
        loop {
            let before = generation.load(Ordering::Acquire);
            if before == 0 {
                return None;
            }
            let found = look(self.snapshot(before)?);
            fence(Ordering::Acquire);
            if generation.load(Ordering::Relaxed) == before {
                return Some(found);
            }
        }
    }

    fn head(&self, at: usize) -> Option<&AtomicU64> {
        self.memory.get(at)
    }

    fn snapshot(&self, generation: u64) -> Option<Snapshot<'_>> {
        let halves = self.memory.get(HEAD..)?;
        let (even, odd) = halves.split_at_checked(halves.len() / 2)?;
        Some(Snapshot { words: if generation.is_multiple_of(2) { even } else { odd }, keys: &self.keys })
    }
}

impl std::fmt::Debug for Map {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Map").field("generation", &self.generation()).field("len", &self.len()).finish()
    }
}

/// Held by the one process that writes; given back when it is done, or panics. A process that dies takes the whole server with it.
struct Lock<'a>(&'a AtomicU64);

impl<'a> Lock<'a> {
    fn take(word: &'a AtomicU64) -> Option<Self> {
        word.compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed).ok().map(|_| Self(word))
    }
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

/// The user part of a SIP URI as it is compared: as the localpart that it would be, since that has no case.
fn fold(user: &str) -> Result<Cow<'_, str>, AddressError> {
    if user.is_ascii() {
        return Ok(if user.bytes().any(|byte| byte.is_ascii_uppercase()) {
            Cow::Owned(user.to_ascii_lowercase())
        } else {
            Cow::Borrowed(user)
        });
    }
    let node = node_of(user, Change::Any)?;
    Ok(match (escape::unescape(node.as_str()), node.as_str() == user) {
        (Cow::Borrowed(_), true) => Cow::Borrowed(user),
        (folded, _) => Cow::Owned(folded.into_owned()),
    })
}

#[cfg(test)]
mod tests;
