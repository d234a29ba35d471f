//! What XMPP users show, in memory that all processes share: for a presence server of this host that asks for it and keeps none of it.
//!
//! Each place has room for two texts: the one that counts, and the one that is written next. So a reader waits for nobody; one that was
//! overtaken by a whole change looks again. One process writes at a time. What finds no place near its own, or is longer than a place
//! holds, is not taken: the presence server can keep it.

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::atomic::fence;

use super::mapping;
use crate::gateway::publication::MAX_PER_USER;
use crate::gateway::publication::MAX_PUBLICATIONS;

/// More than are published. 512 MiB, resident as far as used: a page each.
const PLACES: usize = 1 << 17;

const _: () = assert!(PLACES > MAX_PUBLICATIONS);

/// How far from its own place a state may stand.
const PROBES: usize = 256;

const _: () = assert!(PROBES > 2 * MAX_PER_USER);

/// Words of a text: [`HEAD`], and what it says.
const WORDS: usize = 255;

/// When it runs out, when it was said, and two lengths.
const HEAD: usize = 3;

/// The octets of presentity, id and body that one place holds: several times those of most.
pub const MOST_OCTETS: usize = (WORDS - HEAD) * size_of::<u64>();

/// The owner of a free place.
const NOBODY: u64 = 0;

/// All of them, made in mod_init.
#[derive(Debug)]
pub struct States {
    table: &'static Table,
    /// Nobody outside can prepare presentities that want one place.
    keys: RandomState,
}

#[repr(C)]
#[derive(Debug)]
struct Table {
    is_written: AtomicBool,
    /// How often anything changed.
    changes: AtomicU64,
    /// By place, the digest of the presentity whose state stands there.
    owners: [AtomicU64; PLACES],
    places: [Place; PLACES],
}

#[repr(C)]
#[derive(Debug)]
struct Place {
    /// How often it was written. Whether that is odd says which text counts.
    version: AtomicU64,
    texts: [[AtomicU64; WORDS]; 2],
}

/// The state of one resource, or of all of a user's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct State {
    /// Whose it is: a URI.
    pub presentity: String,
    /// Tells it from others of the same presentity.
    pub id: String,
    /// Its document.
    pub body: Vec<u8>,
    /// Seconds since 1970.
    pub expires: u64,
    /// The later, the greater.
    said: u64,
}

impl States {
    /// Maps the table, before the host forks.
    pub fn new() -> io::Result<Self> {
        let table = mapping::shared::<Table>()?;
        // SAFETY: [H4] mapped and never unmapped; zeroes are valid atomics.
        Ok(Self { table: unsafe { table.as_ref() }, keys: RandomState::new() })
    }

    /// Takes a state in place of the one before. False: it is not taken, and there is none of this resource.
    pub fn put(&self, presentity: &str, id: &str, body: &[u8], expires: u64) -> bool {
        let _alone = Alone::wait_for(&self.table.is_written);
        let known = self.index(presentity, id);
        let octets = presentity.len().saturating_add(id.len()).saturating_add(body.len());
        let free = || self.near(presentity).find(|index| self.owner(*index) == NOBODY);
        let Some(index) = known.or_else(free).filter(|_| octets <= MOST_OCTETS) else {
            known.inspect(|index| self.give(*index, NOBODY));
            return false;
        };
        let said = self.table.changes.fetch_add(1, Ordering::Relaxed);
        let (presentity, id, body) = (presentity.to_owned(), id.to_owned(), body.to_vec());
        let digest = self.digest(&presentity);
        self.write(index, &State { presentity, id, body, expires, said });
        self.give(index, digest);
        true
    }

    /// The same state for longer. False: there is none, or it has run out, as its watchers may know.
    pub fn refresh(&self, presentity: &str, id: &str, now: u64, expires: u64) -> bool {
        let _alone = Alone::wait_for(&self.table.is_written);
        let known = self.index(presentity, id).and_then(|index| Some((index, self.read(index)?)));
        let Some((index, known)) = known.filter(|(_, known)| known.expires > now) else { return false };
        self.write(index, &State { expires, ..known });
        true
    }

    /// Takes one away.
    pub fn remove(&self, presentity: &str, id: &str) {
        let _alone = Alone::wait_for(&self.table.is_written);
        self.index(presentity, id).inspect(|index| self.give(*index, NOBODY));
    }

    /// One state, whether it has run out or not.
    pub fn get(&self, presentity: &str, id: &str) -> Option<State> {
        self.read(self.index(presentity, id)?)
    }

    /// All states of a presentity that have not run out, and the one whose id is `ending`: what was said last comes last.
    pub fn of(&self, presentity: &str, now: u64, ending: Option<&str>) -> Vec<State> {
        let counts = |state: &State| state.expires > now || ending == Some(&*state.id);
        let mut states: Vec<State> = self.of_presentity(presentity).map(|(_, state)| state).filter(counts).collect();
        states.sort_by_key(|state| state.said);
        states
    }

    /// Those of so many places, counted from one on, that have run out; then the next place to look at.
    pub fn run_out(&self, from: usize, count: usize, now: u64) -> (Vec<State>, usize) {
        let places = (0..count).map(|step| from.wrapping_add(step) % PLACES);
        let taken = places.filter(|index| self.owner(*index) != NOBODY).filter_map(|index| self.read(index));
        (taken.filter(|state| state.expires <= now).collect(), from.wrapping_add(count) % PLACES)
    }

    fn index(&self, presentity: &str, id: &str) -> Option<usize> {
        self.of_presentity(presentity).find(|(_, state)| state.id == id).map(|(index, _)| index)
    }

    fn of_presentity(&self, presentity: &str) -> impl Iterator<Item = (usize, State)> {
        let digest = self.digest(presentity);
        let near = self.near(presentity).filter(move |index| self.owner(*index) == digest);
        let states = near.filter_map(|index| Some((index, self.read(index)?)));
        states.filter(move |(_, state)| state.presentity == presentity)
    }

    fn near(&self, presentity: &str) -> impl Iterator<Item = usize> + use<> {
        let start = usize::try_from(self.digest(presentity) >> 24).unwrap_or(0);
        (0..PROBES).map(move |step| start.wrapping_add(step) % PLACES)
    }

    fn digest(&self, presentity: &str) -> u64 {
        self.keys.hash_one(presentity) | 1
    }

    fn owner(&self, index: usize) -> u64 {
        self.table.owners.get(index).map_or(NOBODY, |owner| owner.load(Ordering::Acquire))
    }

    fn give(&self, index: usize, owner: u64) {
        if let Some(place) = self.table.owners.get(index) {
            place.store(owner, Ordering::Release);
        }
    }

    fn read(&self, index: usize) -> Option<State> {
        let Place { version, texts } = self.table.places.get(index)?;
        loop {
            let before = version.load(Ordering::Acquire);
            let state = State::read(newest(texts, before)?);
            fence(Ordering::Acquire);
            if version.load(Ordering::Relaxed) == before {
                return state;
            }
        }
    }

    fn write(&self, index: usize, state: &State) {
        let Some(Place { version, texts }) = self.table.places.get(index) else { return };
        let next = version.load(Ordering::Relaxed).wrapping_add(1);
        // Who sees a word of what follows sees the change before, too, and so that the text it was reading counts no more.
        fence(Ordering::Release);
        if let Some(text) = newest(texts, next) {
            state.write(text);
        }
        version.store(next, Ordering::Release);
    }
}

impl State {
    /// `None`: the text is being written, or was never.
    fn read(text: &[AtomicU64; WORDS]) -> Option<Self> {
        let word = |index: usize| text.get(index).map_or(0, |word| word.load(Ordering::Relaxed));
        let (expires, said, lengths) = (word(0), word(1), word(2));
        let [presentity, id, body] = [lengths >> 48, lengths >> 32 & 0xffff, lengths & 0xffff_ffff];
        let [presentity, id, body] = [presentity, id, body].map(|length| usize::try_from(length).unwrap_or(0));
        let octets = presentity.checked_add(id)?.checked_add(body).filter(|octets| *octets <= MOST_OCTETS)?;
        let words = octets.div_ceil(size_of::<u64>());
        let mut all: Vec<u8> = (HEAD..HEAD.saturating_add(words)).flat_map(|index| word(index).to_ne_bytes()).collect();
        all.truncate(octets);
        let body = all.split_off(presentity.saturating_add(id).min(octets));
        let id = all.split_off(presentity.min(all.len()));
        Some(Self { presentity: String::from_utf8(all).ok()?, id: String::from_utf8(id).ok()?, body, expires, said })
    }

    fn write(&self, text: &[AtomicU64; WORDS]) {
        let Self { presentity, id, body, expires, said } = self;
        let [presentity_length, id_length, body_length] =
            [presentity.len(), id.len(), body.len()].map(|length| u64::try_from(length).unwrap_or(0));
        let head = [*expires, *said, presentity_length << 48 | id_length << 32 | body_length];
        let all = [presentity.as_bytes(), id.as_bytes(), body].concat();
        let words = all.chunks(size_of::<u64>()).map(|octets| {
            let mut word = [0; size_of::<u64>()];
            word.iter_mut().zip(octets).for_each(|(to, from)| *to = *from);
            u64::from_ne_bytes(word)
        });
        for (to, from) in text.iter().zip(head.into_iter().chain(words)) {
            to.store(from, Ordering::Relaxed);
        }
    }
}

fn newest(texts: &[[AtomicU64; WORDS]; 2], version: u64) -> Option<&[AtomicU64; WORDS]> {
    texts.get(usize::from(!version.is_multiple_of(2)))
}

/// The right to write, as long as it lives. Who has it copies some hundred bytes, and waits for nothing.
struct Alone<'a>(&'a AtomicBool);

impl<'a> Alone<'a> {
    fn wait_for(is_written: &'a AtomicBool) -> Self {
        while is_written.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            std::thread::yield_now();
        }
        Self(is_written)
    }
}

impl Drop for Alone<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    const ROMEO: &str = "sip:romeo@example.net";

    fn bodies(states: &States, now: u64) -> Vec<String> {
        states.of(ROMEO, now, None).into_iter().map(|state| String::from_utf8(state.body).unwrap()).collect()
    }

    #[test]
    fn a_presentity_has_a_state_of_each_resource_the_newest_last() {
        let states = States::new().unwrap();
        assert!(states.put(ROMEO, "desk", b"at the desk", 10));
        assert!(states.put(ROMEO, "phone", b"on the phone", 20));
        assert!(states.put("sip:juliet@example.net", "desk", b"elsewhere", 20));
        assert_eq!(bodies(&states, 9), ["at the desk", "on the phone"]);
        assert!(states.put(ROMEO, "desk", b"away", 20));
        assert_eq!(bodies(&states, 9), ["on the phone", "away"]);
        states.remove(ROMEO, "phone");
        states.remove(ROMEO, "phone");
        assert_eq!((bodies(&states, 9), states.get(ROMEO, "phone")), (vec!["away".to_owned()], None));
    }

    #[test]
    fn what_has_run_out_is_not_shown_and_is_found() {
        let states = States::new().unwrap();
        states.put(ROMEO, "desk", b"here", 10);
        assert!(states.refresh(ROMEO, "desk", 9, 20));
        assert!(!states.refresh(ROMEO, "phone", 9, 20));
        assert_eq!((bodies(&states, 19).len(), bodies(&states, 20).len()), (1, 0));
        let run_out = |now| {
            let (mut found, mut place) = (Vec::new(), 0);
            for _ in 0..PLACES / 1024 {
                let (some, next) = states.run_out(place, 1024, now);
                found.extend(some.into_iter().map(|state| state.id));
                place = next;
            }
            assert_eq!(place, 0);
            found
        };
        assert_eq!((run_out(19), run_out(20)), (vec![], vec!["desk".to_owned()]));
    }

    /// Its watchers are told that it ends, in a document in which it stands.
    #[test]
    fn what_is_about_to_end_is_among_the_states_though_it_has_run_out() {
        let states = States::new().unwrap();
        states.put(ROMEO, "desk", b"at the desk", 10);
        states.put(ROMEO, "phone", b"on the phone", 10);
        let ids = |ending| states.of(ROMEO, 10, ending).into_iter().map(|state| state.id).collect::<Vec<_>>();
        assert_eq!((ids(None), ids(Some("phone")), ids(Some("tablet"))), (vec![], vec!["phone".to_owned()], vec![]));
    }

    /// Its watchers are to be told that it is back.
    #[test]
    fn what_has_run_out_is_not_the_same_state_for_longer() {
        let states = States::new().unwrap();
        states.put(ROMEO, "desk", b"here", 10);
        assert!(states.refresh(ROMEO, "desk", 9, 20));
        assert!(!states.refresh(ROMEO, "desk", 20, 30));
        assert!(states.of(ROMEO, 20, None).is_empty());
    }

    #[test]
    fn what_is_too_long_takes_the_place_of_nothing() {
        let states = States::new().unwrap();
        let room = MOST_OCTETS - ROMEO.len() - "desk".len();
        assert!(states.put(ROMEO, "desk", &vec![b'x'; room], 10));
        assert_eq!(bodies(&states, 0), ["x".repeat(room)]);
        assert!(!states.put(ROMEO, "desk", &vec![b'x'; room + 1], 10));
        assert!(bodies(&states, 0).is_empty());
    }

    #[test]
    fn where_no_place_is_left_it_is_not_taken() {
        let states = States::new().unwrap();
        let put = |number: usize| states.put(ROMEO, &number.to_string(), b"here", 10);
        assert!((0..PROBES).all(put));
        assert!(!put(PROBES));
        assert!(put(0), "it has a place");
        states.remove(ROMEO, "1");
        assert!(put(PROBES));
    }

    #[test]
    fn a_reader_sees_a_whole_state_whatever_is_written() {
        let (states, is_over) = (States::new().unwrap(), AtomicBool::new(false));
        states.put(ROMEO, "desk", b"", u64::MAX);
        std::thread::scope(|scope| {
            let reader = || {
                while !is_over.load(Ordering::Relaxed) {
                    let state = states.get(ROMEO, "desk").unwrap();
                    assert!(state.body.iter().all(|byte| *byte == state.body[0]), "{:?}", state.body);
                    assert!(state.body.first().is_none_or(|byte| state.body.len() == 8 * usize::from(*byte)));
                }
            };
            let readers = [scope.spawn(reader), scope.spawn(reader)];
            for number in 0..30_000_u32 {
                let byte = u8::try_from(number % 200).unwrap();
                states.put(ROMEO, "desk", &vec![byte; 8 * usize::from(byte)], u64::MAX);
            }
            is_over.store(true, Ordering::Relaxed);
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
    }
}
