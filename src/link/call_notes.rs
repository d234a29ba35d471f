//! What a worker has to say of calls and must not be lost, whether or not the link has room: that a call is over, and that the host did
//! not take a publication. Without the first a lamp stays lit until the call's longest time is over.
//!
//! A ring of notes of fixed size in memory that all processes share. Each worker may write, the XMPP process alone reads, when it has read
//! the link and once a second. A note names its call by a digest, as it would be of no fixed size otherwise. There are more places than
//! calls that are followed, and each call ends once.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::calls::Ending;
use crate::calls::Side;
use crate::calls::publisher::Name;

/// Places. 3 MiB, resident as far as used.
pub(super) const NOTES: usize = 1 << 17;

const _: () = assert!(NOTES > crate::calls::publisher::MAX_CALLS);

/// The ring.
#[repr(C)]
pub(super) struct CallNotes {
    /// How many were begun to be written.
    written: AtomicU64,
    /// How many were read.
    read: AtomicU64,
    places: [Place; NOTES],
}

/// A place is written and read in turns: at an even number it is free for that round of the ring, at the odd one after it, it has a note.
#[repr(C)]
struct Place {
    turn: AtomicU64,
    what: AtomicU64,
    which: AtomicU64,
}

/// One note.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallNote {
    /// The call of this digest is over.
    Ended(u64, Ending),
    /// The host did not take this publication.
    Refused(Name),
    /// The phone process knows of no call, and is to be told of all.
    Asked,
}

impl CallNotes {
    /// Leaves a note. False: there is no place.
    pub(super) fn leave(&self, note: CallNote) -> bool {
        let mut number = self.written.load(Ordering::Relaxed);
        loop {
            let Some((place, free)) = self.place(number) else { return false };
            let turn = place.turn.load(Ordering::Acquire);
            if turn < free {
                // Nobody has read what was left here one round ago.
                return false;
            }
            let next = number.wrapping_add(1);
            if turn > free {
                number = self.written.load(Ordering::Relaxed);
            } else if let Err(now) = self.written.compare_exchange_weak(number, next, Ordering::AcqRel, Ordering::Relaxed) {
                number = now;
            } else {
                let (what, which) = encode(note);
                place.what.store(what, Ordering::Relaxed);
                place.which.store(which, Ordering::Relaxed);
                place.turn.store(free.wrapping_add(1), Ordering::Release);
                return true;
            }
        }
    }

    /// Takes the oldest. For the XMPP process only.
    pub(super) fn take(&self) -> Option<CallNote> {
        let number = self.read.load(Ordering::Relaxed);
        let (place, free) = self.place(number)?;
        if place.turn.load(Ordering::Acquire) != free.wrapping_add(1) {
            return None;
        }
        let note = decode(place.what.load(Ordering::Relaxed), place.which.load(Ordering::Relaxed));
        place.turn.store(free.wrapping_add(2), Ordering::Release);
        self.read.store(number.wrapping_add(1), Ordering::Relaxed);
        Some(note)
    }

    /// Where the note of this number stands, and the turn at which it may be written.
    fn place(&self, number: u64) -> Option<(&Place, u64)> {
        let places = u64::try_from(NOTES).ok()?;
        let place = self.places.get(usize::try_from(number.checked_rem(places)?).ok()?)?;
        Some((place, number.checked_div(places)?.wrapping_mul(2)))
    }
}

const BYE: u64 = 0;
const REFUSED: u64 = 1;
const SERVER: u64 = 2;
const EXPIRED: u64 = 3;
const PUBLICATION: u64 = 4;
const ASKED: u64 = 5;

/// In the first word: what it is, and from these bits on, of what side and with which status or branch.
const SIDE: u32 = 8;
const NUMBER: u32 = 16;

fn encode(note: CallNote) -> (u64, u64) {
    let with = |what: u64, side: Side, number: u16| what | u64::from(side == Side::Callee) << SIDE | u64::from(number) << NUMBER;
    match note {
        CallNote::Ended(call, Ending::Bye(side)) => (with(BYE, side, 0), call),
        CallNote::Ended(call, Ending::Refused(status)) => (with(REFUSED, Side::Caller, status), call),
        CallNote::Ended(call, Ending::Server) => (SERVER, call),
        CallNote::Ended(call, Ending::Expired) => (EXPIRED, call),
        CallNote::Refused(Name { call, branch, side }) => (with(PUBLICATION, side, branch), call),
        CallNote::Asked => (ASKED, 0),
    }
}

fn decode(what: u64, which: u64) -> CallNote {
    let side = if what >> SIDE & 1 == 0 { Side::Caller } else { Side::Callee };
    let number = u16::try_from(what >> NUMBER & u64::from(u16::MAX)).unwrap_or_default();
    match what & 0xff {
        BYE => CallNote::Ended(which, Ending::Bye(side)),
        REFUSED => CallNote::Ended(which, Ending::Refused(number)),
        SERVER => CallNote::Ended(which, Ending::Server),
        ASKED => CallNote::Asked,
        PUBLICATION => CallNote::Refused(Name { call: which, branch: number, side }),
        _ => CallNote::Ended(which, Ending::Expired),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::mapping;

    fn ring() -> &'static CallNotes {
        let ring = mapping::shared::<CallNotes>().unwrap();
        // SAFETY: [H4] mapped just now for this very type, zeroes are valid atomics, and it is never unmapped.
        unsafe { ring.as_ref() }
    }

    fn ended(call: u64) -> CallNote {
        CallNote::Ended(call, Ending::Refused(486))
    }

    #[test]
    fn each_kind_comes_out_as_it_went_in() {
        let ring = ring();
        let notes = [
            CallNote::Ended(u64::MAX, Ending::Bye(Side::Caller)),
            CallNote::Ended(1, Ending::Bye(Side::Callee)),
            CallNote::Ended(2, Ending::Refused(699)),
            CallNote::Ended(3, Ending::Server),
            CallNote::Ended(4, Ending::Expired),
            CallNote::Refused(Name { call: 7, branch: u16::MAX, side: Side::Callee }),
            CallNote::Refused(Name { call: 8, branch: 0, side: Side::Caller }),
            CallNote::Asked,
        ];
        assert!(notes.iter().all(|note| ring.leave(*note)));
        assert_eq!(notes.map(|_| ring.take().unwrap()), notes);
        assert_eq!(ring.take(), None);
    }

    #[test]
    fn as_many_wait_as_there_are_places_and_the_ring_goes_on() {
        let ring = ring();
        let count = u64::try_from(NOTES).unwrap();
        for round in 0..3 {
            assert!((0..count).all(|call| ring.leave(ended(call + round))));
            assert!(!ring.leave(ended(0)));
            assert!((0..count).all(|call| ring.take() == Some(ended(call + round))));
            // So the next round begins elsewhere.
            assert!(ring.leave(ended(5)) && ring.take() == Some(ended(5)) && ring.take().is_none());
        }
    }

    #[test]
    fn of_four_workers_that_write_at_once_no_note_is_lost_or_comes_twice() {
        const EACH: u64 = 60_000;
        let ring = ring();
        let mut taken = Vec::new();
        std::thread::scope(|scope| {
            for worker in 0..4 {
                scope.spawn(move || (0..EACH).for_each(|call| while !ring.leave(ended(worker * EACH + call)) {}));
            }
            while taken.len() < usize::try_from(4 * EACH).unwrap() {
                taken.extend(ring.take());
            }
        });
        assert_eq!(ring.take(), None);
        let calls = |wanted: u64| {
            let of = |note: &CallNote| match note {
                CallNote::Ended(call, _) => *call,
                CallNote::Refused(_) | CallNote::Asked => panic!("{note:?}"),
            };
            taken.iter().map(of).filter(|call| call / EACH == wanted).collect::<Vec<_>>()
        };
        assert!((0..4).all(|worker| calls(worker) == (worker * EACH..(worker + 1) * EACH).collect::<Vec<_>>()));
    }
}
