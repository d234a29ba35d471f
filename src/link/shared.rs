//! What workers and the XMPP process both see without a message: which streams are up, how full the queue is, who may see whom, and which
//! dialogs of SIP watchers are alive.
//!
//! Anonymous memory, mapped before the host forks and the same for all its processes. Only atomics live in it: no process waits for
//! another, and one that dies holds nothing.
//!
//! [`Shared::authorization`] answers the presence server in every worker: may this SIP user see that XMPP user? It is a table of
//! fixed size with open addressing; a key is a 62-bit digest of the pair, so two pairs of a million meet with odds of one in ten
//! million. Digests are keyed with a number drawn at start: nobody can prepare a collision.

use std::hash::BuildHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::hash::RandomState;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::calls::CallKey;
use crate::gateway::action::Authorization;
use crate::link::call_notes::CallNote;
use crate::link::call_notes::CallNotes;
use crate::link::counters::Counters;
use crate::link::dialogs;
use crate::link::fill::Fill;
use crate::link::fill::Place;
use crate::link::mapping;
use crate::sip::Dialog;

/// Pairs the table holds; what finds no place stays pending. 8 MiB, resident as far as used.
pub const AUTHORIZATIONS: usize = 1 << 20;

/// How far from its own place a pair may stand.
const PROBES: usize = 64;

/// The shared memory.
pub struct Shared {
    page: NonNull<Page>,
    keys: RandomState,
}

#[repr(C)]
struct Page {
    /// One bit a component, in the order of the configuration.
    streams_up: AtomicU64,
    /// Likewise.
    outputs_full: AtomicU64,
    /// Not 0: there may be dialogs that are not entered.
    awaits_dialogs: AtomicU64,
    counters: Counters,
    fill: Fill,
    dialogs: dialogs::Dialogs,
    call_notes: CallNotes,
    authorizations: [AtomicU64; AUTHORIZATIONS],
}

// SAFETY: [H1] the page holds atomics only, which may be used from anywhere, and it is never unmapped while a `Shared` lives.
unsafe impl Send for Shared {}
// SAFETY: [H1] as above.
unsafe impl Sync for Shared {}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("streams_up", &self.page().streams_up).finish_non_exhaustive()
    }
}

impl Shared {
    /// Maps it, all zeroes: stream down, nothing decided.
    pub fn new() -> io::Result<Self> {
        let page = mapping::shared()?;
        Ok(Self { page, keys: RandomState::new() })
    }

    /// Whether an XMPP server has accepted this component, counted in the order of the configuration.
    pub fn stream_is_up(&self, component: usize) -> bool {
        self.page().streams_up.load(Ordering::Acquire) & bit(component) != 0
    }

    /// Said by the XMPP process only.
    pub fn set_stream(&self, component: usize, state: StreamState) {
        match state {
            StreamState::Up => self.page().streams_up.fetch_or(bit(component), Ordering::AcqRel),
            StreamState::Down => self.page().streams_up.fetch_and(!bit(component), Ordering::AcqRel),
        };
    }

    /// Said by the XMPP process only: none is up, and nothing waits to be written.
    pub fn set_all_streams_down(&self) {
        self.page().streams_up.store(0, Ordering::Release);
        self.page().outputs_full.store(0, Ordering::Release);
    }

    /// Whether so much waits for the XMPP server of this component, which does not read, that no more is to be sent for it.
    pub fn output_is_full(&self, component: usize) -> bool {
        self.page().outputs_full.load(Ordering::Acquire) & bit(component) != 0
    }

    /// Said by the XMPP process only.
    pub fn set_output(&self, component: usize, state: OutputState) {
        match state {
            OutputState::Full => self.page().outputs_full.fetch_or(bit(component), Ordering::AcqRel),
            OutputState::Open => self.page().outputs_full.fetch_and(!bit(component), Ordering::AcqRel),
        };
    }

    /// Takes a place for a stanza of this length in the queue of a peer domain, of which at most `stanzas` may be taken. `None`: that
    /// queue is full, or all together are.
    pub fn take_place(&self, domain: &str, length: usize, stanzas: u32) -> Option<Place<'_>> {
        self.page().fill.take(self.digest(DOMAIN, domain), length, stanzas)
    }

    /// Takes a place whether there is one or not: for what was promised before the stream broke.
    pub fn take_place_anyway(&self, domain: &str, length: usize) -> Place<'_> {
        self.page().fill.take_anyway(self.digest(DOMAIN, domain), length)
    }

    /// The place that a worker took, and kept, for a stanza of this length.
    pub fn place_taken(&self, domain: &str, length: usize) -> Place<'_> {
        self.page().fill.taken(self.digest(DOMAIN, domain), length)
    }

    /// How full the queue is.
    pub fn fill(&self) -> &Fill {
        &self.page().fill
    }

    /// What became of stanzas that could not be sent at once.
    pub fn counters(&self) -> &Counters {
        &self.page().counters
    }

    /// What the XMPP user `presentity` decided on the SIP user `watcher`, both bare JIDs; pending until then.
    pub fn authorization(&self, watcher: &str, presentity: &str) -> Authorization {
        self.decision(watcher, presentity).unwrap_or(Authorization::Pending)
    }

    /// The same; `None`: nothing was said since the start of the server.
    pub fn decision(&self, watcher: &str, presentity: &str) -> Option<Authorization> {
        self.entry(watcher, presentity).map(decode)
    }

    /// Whether this pair has a place in the table.
    pub fn knows(&self, watcher: &str, presentity: &str) -> bool {
        self.entry(watcher, presentity).is_some()
    }

    /// Keeps a decision. False: the table is full around this pair.
    pub fn authorize(&self, watcher: &str, presentity: &str, decision: Authorization) -> bool {
        let digest = self.digest(watcher, presentity);
        let wanted = digest & !STATE | encode(decision);
        for place in self.places(digest) {
            let mut entry = place.load(Ordering::Acquire);
            while entry == EMPTY || entry | STATE == digest | STATE {
                match place.compare_exchange_weak(entry, wanted, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => return true,
                    // Another process was quicker: what it wrote decides whether the place is still ours.
                    Err(now) => entry = now,
                }
            }
        }
        false
    }

    /// From now on the gateway answers for who may see this XMPP user, a bare JID.
    pub fn answer_for(&self, presentity: &str) {
        if !self.answers_for(presentity) {
            self.authorize(NOBODY, presentity, Authorization::Allowed);
        }
    }

    /// Whether the gateway answers for who may see this XMPP user.
    pub fn answers_for(&self, presentity: &str) -> bool {
        self.authorization(NOBODY, presentity) == Authorization::Allowed
    }

    /// A SIP watcher's SUBSCRIBE makes this dialog with us. False: there is no place for it.
    pub fn begin_dialog(&self, dialog: &Dialog) -> bool {
        self.page().dialogs.begin(self.dialog_digest(dialog))
    }

    /// Whether there is a dialog with this Call-ID, tag of ours and tag of the watcher, for this event package.
    pub fn has_dialog(&self, dialog: &Dialog) -> bool {
        self.page().dialogs.is_alive(self.dialog_digest(dialog))
    }

    /// A dialog is over.
    pub fn end_dialog(&self, dialog: &Dialog) {
        self.page().dialogs.end(self.dialog_digest(dialog));
    }

    /// Whether the table has all dialogs there are. Said by the XMPP process, and before there is one.
    pub fn set_dialogs(&self, dialogs: Dialogs) {
        self.page().awaits_dialogs.store(u64::from(dialogs == Dialogs::Awaited), Ordering::Release);
    }

    /// Whether a dialog that [`Self::has_dialog`] does not know may yet come back from the store.
    pub fn awaits_dialogs(&self) -> bool {
        self.page().awaits_dialogs.load(Ordering::Acquire) != 0
    }

    /// All are over: nobody remembers them.
    pub fn end_all_dialogs(&self) {
        self.page().dialogs.end_all();
    }

    /// Leaves a note on a call for the XMPP process. False: there is no place.
    pub fn leave_call_note(&self, note: CallNote) -> bool {
        self.page().call_notes.leave(note)
    }

    /// Takes the oldest note on a call. For the XMPP process only.
    pub fn take_call_note(&self) -> Option<CallNote> {
        self.page().call_notes.take()
    }

    /// What notes name a call by.
    pub fn call_digest(&self, call: &CallKey) -> u64 {
        self.keys.hash_one(call)
    }

    /// The keys of these digests, the same in all processes.
    pub fn keys(&self) -> RandomState {
        self.keys.clone()
    }

    fn dialog_digest(&self, dialog: &Dialog) -> u64 {
        self.keys.hash_one((dialog.id(), dialog.package()))
    }

    fn entry(&self, watcher: &str, presentity: &str) -> Option<u64> {
        let digest = self.digest(watcher, presentity);
        let entries = self.places(digest).map(|place| place.load(Ordering::Acquire));
        entries.take_while(|entry| *entry != EMPTY).find(|entry| entry | STATE == digest | STATE)
    }

    fn places(&self, digest: u64) -> impl Iterator<Item = &AtomicU64> {
        let table = &self.page().authorizations;
        let start = usize::try_from(digest >> 24).unwrap_or(0);
        (0..PROBES).filter_map(move |step| table.get(start.wrapping_add(step) % AUTHORIZATIONS))
    }

    /// Without the process's key nobody can prepare two that are equal.
    fn digest(&self, watcher: &str, presentity: &str) -> u64 {
        let mut hasher = self.keys.build_hasher();
        watcher.hash(&mut hasher);
        presentity.hash(&mut hasher);
        hasher.finish()
    }

    fn page(&self) -> &Page {
        // SAFETY: [H1] mapped in `new`, aligned to a page, zeroes are valid atomics, and unmapped in no process while it runs.
        unsafe { self.page.as_ref() }
    }
}

/// Whether stanzas can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamState {
    /// The handshake was accepted.
    Up,
    /// Not connected, or not yet accepted.
    Down,
}

/// Whether more can be added to what waits to be written to an XMPP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputState {
    /// It can.
    Open,
    /// Not before the server has read some of it.
    Full,
}

/// What the table of dialogs has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialogs {
    /// All there are.
    Known,
    /// Not yet those that the store keeps.
    Awaited,
}

/// Stands for "anyone" in the watcher's place: no JID is empty.
const NOBODY: &str = "";

/// Stands in the watcher's place where a domain, and no pair, is digested.
const DOMAIN: &str = "/";

/// [`MAX_COMPONENTS`](crate::config::MAX_COMPONENTS) of them fit; a further one would have none and never be up.
fn bit(component: usize) -> u64 {
    u32::try_from(component).ok().and_then(|component| 1u64.checked_shl(component)).unwrap_or(0)
}

const EMPTY: u64 = 0;
const STATE: u64 = 0b111;

/// Never 0 in the low bits: an entry in use is never [`EMPTY`].
fn encode(decision: Authorization) -> u64 {
    match decision {
        Authorization::Pending => 1,
        Authorization::Allowed => 2,
        Authorization::Refused => 3,
        Authorization::NoResource => 4,
        Authorization::Hidden => 5,
    }
}

fn decode(entry: u64) -> Authorization {
    match entry & STATE {
        2 => Authorization::Allowed,
        3 => Authorization::Refused,
        4 => Authorization::NoResource,
        5 => Authorization::Hidden,
        _ => Authorization::Pending,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_seen_and_can_change() {
        let shared = Shared::new().unwrap();
        assert_eq!(shared.authorization("j@s", "r@x"), Authorization::Pending);
        assert!(shared.authorize("j@s", "r@x", Authorization::Allowed));
        assert_eq!(shared.authorization("j@s", "r@x"), Authorization::Allowed);
        assert_eq!(shared.authorization("r@x", "j@s"), Authorization::Pending);
        assert!(shared.knows("j@s", "r@x") && !shared.knows("r@x", "j@s"));
        assert!(shared.authorize("j@s", "r@x", Authorization::Refused));
        assert_eq!(shared.authorization("j@s", "r@x"), Authorization::Refused);
        assert!(shared.authorize("j@s", "r@x", Authorization::NoResource));
        assert_eq!(shared.authorization("j@s", "r@x"), Authorization::NoResource);
    }

    #[test]
    fn each_component_has_a_state_of_its_own() {
        let shared = Shared::new().unwrap();
        let up = || (0..80).filter(|component| shared.stream_is_up(*component)).collect::<Vec<_>>();
        let full = || (0..80).filter(|component| shared.output_is_full(*component)).collect::<Vec<_>>();
        for component in [0, 63, 2] {
            shared.set_stream(component, StreamState::Up);
            shared.set_output(component, OutputState::Full);
        }
        shared.set_stream(2, StreamState::Down);
        shared.set_output(0, OutputState::Open);
        assert_eq!((up(), full()), (vec![0, 63], vec![2, 63]));
        shared.set_all_streams_down();
        assert_eq!((up(), full()), (vec![], vec![]));
    }

    fn dialog(number: u32) -> Dialog {
        Dialog::of(&format!("{number}\nl\nr\nsip:r@x\nsip:j@s\nsip:j@h\n\n")).unwrap()
    }

    #[test]
    fn a_dialog_is_known_until_it_ends() {
        let shared = Shared::new().unwrap();
        for number in 0..20_000 {
            assert!(shared.begin_dialog(&dialog(number)) && shared.begin_dialog(&dialog(number)));
        }
        for number in 0..10_000 {
            shared.end_dialog(&dialog(number));
        }
        for number in 0..20_000 {
            assert_eq!(shared.has_dialog(&dialog(number)), number >= 10_000);
        }
        shared.end_all_dialogs();
        assert!((0..20_000).all(|number| !shared.has_dialog(&dialog(number))));
    }

    #[test]
    fn many_pairs_keep_apart() {
        let shared = Shared::new().unwrap();
        for number in 0..20_000u32 {
            let decision = if number % 2 == 0 { Authorization::Allowed } else { Authorization::Refused };
            assert!(shared.authorize(&format!("w{number}@s"), "r@x", decision));
        }
        for number in 0..20_000u32 {
            let wanted = if number % 2 == 0 { Authorization::Allowed } else { Authorization::Refused };
            assert_eq!(shared.authorization(&format!("w{number}@s"), "r@x"), wanted);
        }
    }
}
