//! Subscriptions in motion: what a NOTIFY may belong to before pua has a dialog for it, or when pua has let go of it already.
//!
//! pua's dialog does not span the life of a subscription. Where it does not, answering 481 would end a subscription that is wanted
//! (RFC 6665 §4.1.2.4), or trouble the operator with one that is not. The hosts note here what they send, for as long as its
//! transaction may last:
//!
//! ```text
//!                       send_subscribe() of pua            2xx read by a worker               SUBSCRIBE, Expires: 0
//! the pair              [------------------]
//! Call-ID and tag                          [------------- 32 s -------------]
//! pua's dialog                                             [---------------------------------- ... ----]
//! the pair, ended                                                                              [--- 32 s ---]
//! ```
//!
//! The notifier sends its first NOTIFY right behind the 2xx, and on the same machine even before `send_subscribe()` has returned, when
//! nobody but tm knows the Call-ID. So the pair of watcher and presentity counts while that call runs, and no longer: a stranger may
//! know both.
//!
//! A table of fixed size in the host's shared memory, atomics only, as no process may wait for another. An entry holds part of a
//! keyed digest, and the time; where there is no room, the oldest goes.

use std::ffi::c_void;
use std::hash::BuildHasher;
use std::hash::Hash;
use std::hash::RandomState;
use std::iter;
use std::ptr;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::sip;
use crate::sip::SubscriptionState;
use crate::sip::header;

/// How many there may be; 512 KiB.
const ENTRIES: usize = 1 << 16;

/// How far from its own place an entry may stand.
const PROBES: usize = 16;

/// Timer F (RFC 3261 §17.1.2.2): a SUBSCRIBE without a reply is over after 64 * T1.
const LIFETIME: u64 = 32;

/// The low bits of an entry are its time in seconds, the others belong to the digest. 24 bits last 194 days.
const TIME: u64 = (1 << 24) - 1;

/// The table.
pub(super) struct Pending {
    entries: &'static [AtomicU64],
    keys: RandomState,
    start: Instant,
}

impl Pending {
    /// Bytes of the block that the table takes.
    pub(super) const SIZE: usize = ENTRIES.saturating_mul(size_of::<AtomicU64>());

    /// Takes a block, in mod_init. `None`: the host has none.
    ///
    /// # Safety
    /// NULL, or a fresh block of [`Self::SIZE`] bytes of the host's shared memory, never given back [H5].
    pub(super) unsafe fn over(block: *mut c_void) -> Option<Self> {
        let block = NonNull::new(block.cast::<AtomicU64>()).filter(|block| block.is_aligned())?;
        // SAFETY: [H5] as the caller promises; nobody else knows the block yet.
        unsafe { ptr::write_bytes(block.as_ptr(), 0, ENTRIES) };
        // SAFETY: [H4][H5] initialised, aligned, never given back, and shared with all processes.
        let entries = unsafe { slice::from_raw_parts(block.as_ptr(), ENTRIES) };
        Some(Self { entries, keys: RandomState::new(), start: Instant::now() })
    }

    /// Sends a SUBSCRIBE, and knows its NOTIFYs meanwhile.
    pub(super) fn sending<T>(&self, subscribe: &sip::Subscribe, send: impl FnOnce() -> T) -> T {
        let pair = Pair::of_subscribe(subscribe);
        if subscribe.expires == 0 {
            self.insert(&Key::Ended(pair));
        }
        self.insert(&Key::Sending(pair));
        let sent = send();
        self.remove(&Key::Sending(pair));
        sent
    }

    /// A SUBSCRIBE has been sent with this Call-ID and this From-tag.
    #[cfg(any(host = "opensips", test))]
    pub(super) fn sent(&self, subscribe: &sip::Subscribe, call_id: &[u8], tag: &[u8]) {
        self.insert(&Key::Sent { pair: Pair::of_subscribe(subscribe), call_id, tag });
    }

    /// Notes it, for [`LIFETIME`] or until [`Self::remove`]. The same key may be noted more than once.
    fn insert(&self, key: &Key<'_>) {
        let (digest, now) = (self.keys.hash_one(key), self.now());
        // Others may want the same place at the same time: then there is another one.
        for _ in 0..PROBES {
            // An entry that is free counts as the oldest.
            let oldest =
                self.places(digest).map(|entry| (entry, entry.load(Ordering::Relaxed))).max_by_key(|(_, held)| match held {
                    0 => u64::MAX,
                    held => age(*held, now),
                });
            let Some((entry, held)) = oldest else { return };
            let new = (digest & !TIME) | now;
            if entry.compare_exchange(held, new, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Takes one note of it away.
    fn remove(&self, key: &Key<'_>) {
        let digest = self.keys.hash_one(key);
        for entry in self.places(digest) {
            let held = entry.load(Ordering::Relaxed);
            let found = held != 0 && held & !TIME == digest & !TIME;
            if found && entry.compare_exchange(held, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Whether a NOTIFY belongs to a subscription in motion.
    pub(super) fn knows(&self, notify: &sip::Request) -> bool {
        let pair = Pair::of_notify(notify);
        // In this order: whoever sends notes the Call-ID first and takes the pair away then.
        self.contains(&Key::Sending(pair))
            || self.contains(&Key::Sent { pair, call_id: &notify.call_id, tag: &notify.to_tag })
            || (is_last(notify) && self.contains(&Key::Ended(pair)))
    }

    fn contains(&self, key: &Key<'_>) -> bool {
        let (digest, now) = (self.keys.hash_one(key), self.now());
        self.places(digest).any(|entry| {
            let held = entry.load(Ordering::Acquire);
            held != 0 && held & !TIME == digest & !TIME && age(held, now) <= LIFETIME
        })
    }

    fn places(&self, digest: u64) -> impl Iterator<Item = &AtomicU64> {
        // The low bits choose the place: the entry itself holds the others.
        let first = usize::try_from(digest & TIME).unwrap_or(0) & ENTRIES.wrapping_sub(1);
        let indices = iter::successors(Some(first), |index| Some(index.wrapping_add(1) & ENTRIES.wrapping_sub(1)));
        indices.take(PROBES).filter_map(|index| self.entries.get(index))
    }

    /// Seconds, never 0: an entry of 0 is a free one.
    fn now(&self) -> u64 {
        (self.start.elapsed().as_secs() & TIME).max(1)
    }
}

/// What is noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key<'a> {
    /// A SUBSCRIBE that has been sent: its Call-ID and From-tag, and for whom: its notifier can speak for nobody else.
    Sent { pair: Pair<'a>, call_id: &'a [u8], tag: &'a [u8] },
    /// A SUBSCRIBE that is being sent: its Call-ID is not known yet.
    Sending(Pair<'a>),
    /// A subscription that is being ended, of which one NOTIFY is to come: the last.
    Ended(Pair<'a>),
}

/// Who watches whom for what, as the URIs are spelled in From and To.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Pair<'a> {
    package: &'a [u8],
    watcher: &'a [u8],
    presentity: &'a [u8],
}

impl<'a> Pair<'a> {
    /// The pair of a SUBSCRIBE of ours.
    fn of_subscribe(subscribe: &'a sip::Subscribe) -> Self {
        let package: &[u8] = match subscribe.event {
            sip::Event::Presence => b"presence",
            sip::Event::PresenceWinfo => b"presence.winfo",
        };
        Self { package, watcher: subscribe.watcher.as_bytes(), presentity: subscribe.presentity.as_bytes() }
    }

    /// The pair of a NOTIFY: From is who is watched, To is who watches.
    fn of_notify(notify: &'a sip::Request) -> Self {
        let package = header::event_package(notify.event.as_deref().unwrap_or_default());
        Self { package, watcher: &notify.to, presentity: &notify.from }
    }
}

fn is_last(notify: &sip::Request) -> bool {
    let state = notify.subscription_state.as_deref().and_then(header::subscription_state);
    matches!(state, Some(SubscriptionState::Terminated(_)))
}

/// How old an entry is, in seconds.
fn age(entry: u64, now: u64) -> u64 {
    now.wrapping_sub(entry & TIME) & TIME
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Event;
    use crate::sip::Subscribe;

    fn table() -> Pending {
        let block: Vec<AtomicU64> = (0..ENTRIES).map(|_| AtomicU64::new(u64::MAX)).collect();
        let block = Box::leak(block.into_boxed_slice()).as_mut_ptr();
        // SAFETY: fresh, of that size, and never given back.
        unsafe { Pending::over(block.cast()) }.expect("a table")
    }

    fn subscribe(expires: u32) -> Subscribe {
        Subscribe {
            event: Event::Presence,
            presentity: sip::Uri::new("sip:alice@sip.example".to_owned()).unwrap(),
            watcher: sip::Uri::new("sip:juliet@xmpp.example".to_owned()).unwrap(),
            expires,
        }
    }

    fn notify(call_id: &str, state: &str) -> sip::Request {
        sip::Request {
            from: b"sip:alice@sip.example".to_vec(),
            to: b"sip:juliet@xmpp.example".to_vec(),
            to_tag: b"tag".to_vec(),
            call_id: call_id.as_bytes().to_vec(),
            event: Some(b"presence;id=1".to_vec()),
            subscription_state: Some(state.as_bytes().to_vec()),
            ..sip::Request::default()
        }
    }

    #[test]
    fn a_notify_is_known_while_its_subscribe_is_being_sent() {
        let pending = table();
        assert!(!pending.knows(&notify("any", "active")));
        pending.sending(&subscribe(3600), || assert!(pending.knows(&notify("any", "active"))));
        assert!(!pending.knows(&notify("any", "active")), "whoever knows the pair could speak in it");
    }

    #[test]
    fn nobody_else_is_known_meanwhile() {
        let pending = table();
        pending.sending(&subscribe(3600), || {
            let other = sip::Request { from: b"sip:bob@sip.example".to_vec(), ..notify("any", "active") };
            assert!(!pending.knows(&other));
            let other = sip::Request { event: Some(b"presence.winfo".to_vec()), ..notify("any", "active") };
            assert!(!pending.knows(&other));
        });
    }

    #[test]
    fn one_of_two_that_are_sent_at_once_ends_alone() {
        let pending = table();
        pending.sending(&subscribe(3600), || {
            pending.sending(&subscribe(3600), || ());
            assert!(pending.knows(&notify("any", "active")));
        });
    }

    #[test]
    fn once_it_is_sent_call_id_and_tag_count() {
        let pending = table();
        pending.sending(&subscribe(3600), || pending.sent(&subscribe(3600), b"call", b"tag"));
        assert!(pending.knows(&notify("call", "active")));
        assert!(!pending.knows(&notify("made-up", "active")));
        assert!(!pending.knows(&sip::Request { to_tag: b"made-up".to_vec(), ..notify("call", "active") }));
        let of_another = sip::Request { from: b"sip:bob@sip.example".to_vec(), ..notify("call", "active") };
        assert!(!pending.knows(&of_another), "a notifier speaks for itself only");
    }

    #[test]
    fn after_the_end_only_the_last_notify_is_known() {
        let pending = table();
        pending.sending(&subscribe(0), || ());
        assert!(pending.knows(&notify("any", "terminated;reason=timeout")));
        assert!(!pending.knows(&notify("any", "active;expires=5")));
    }

    #[test]
    fn the_oldest_goes_where_there_is_no_room() {
        let pending = table();
        let entries = u32::try_from(ENTRIES).expect("a small number").saturating_mul(2);
        for number in 0..entries {
            pending.sent(&subscribe(3600), &number.to_ne_bytes(), b"tag");
        }
        let last = entries.saturating_sub(1).to_ne_bytes();
        assert!(pending.contains(&Key::Sent { pair: Pair::of_subscribe(&subscribe(3600)), call_id: &last, tag: b"tag" }));
    }
}
