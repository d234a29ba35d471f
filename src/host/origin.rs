//! Where each MESSAGE of ours came from, kept until its transaction ends: its reply may come in any process of the host.
//!
//! tm carries one pointer for us. It leads to a slot of a table that all processes share or, where an origin finds no place there, to
//! a block of the host's shared memory. The table is there for speed: the host's allocator searches under a lock that every worker
//! wants, a slot costs one exchange of an atomic. What was used last is used next, so only as much of the table is ever resident as
//! there were MESSAGEs under way at once.

use std::ffi::c_void;
use std::io;
use std::mem::ManuallyDrop;
use std::mem::MaybeUninit;
use std::mem::offset_of;
use std::ptr;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::link::mapping;
use crate::sip::Origin;

/// How many there may be: as many transactions take a gigabyte of the host.
const SLOTS: usize = 1 << 17;

/// Two JIDs and an id seldom need half of it.
const SLOT: usize = 512;

type Slot = [u8; SLOT];

/// The length of a text that is absent.
const ABSENT: u32 = u32::MAX;

/// All of them, made in mod_init.
pub(super) struct Origins {
    list: &'static List,
    slots: NonNull<Slot>,
    memory: HostMemory,
}

/// The host's shared memory.
#[derive(Clone, Copy)]
pub(super) struct HostMemory {
    /// NULL where there is none left.
    pub(super) allocate: fn(usize) -> *mut c_void,
    /// Takes what `allocate` gave, once.
    pub(super) free: unsafe fn(*mut c_void),
}

/// Which slots are free: a stack without locks. Slots are counted from 1 here; 0 is none.
#[repr(C)]
struct List {
    /// In the low half the slot on top. The high half counts the exchanges: without it, a process that stood still in one could not
    /// tell that the same slot came back with another one below it.
    top: AtomicU64,
    /// Slots that were ever taken: those above were never free.
    taken: AtomicU32,
    /// For each free slot the one below it.
    below: [AtomicU32; SLOTS],
}

#[repr(C)]
struct Table {
    list: List,
    slots: [Slot; SLOTS],
}

// SAFETY: [H1] atomics, and slots of which each has one owner at a time.
unsafe impl Send for Origins {}
// SAFETY: [H1] as above.
unsafe impl Sync for Origins {}

impl Origins {
    /// Maps the table, before the fork.
    pub(super) fn new(memory: HostMemory) -> io::Result<Self> {
        let table = mapping::shared::<Table>()?;
        // SAFETY: [H4] mapped and never unmapped; zeroes are valid atomics. The reference covers the list and not the slots.
        let list = unsafe { table.cast::<List>().as_ref() };
        let slots = table.cast::<u8>().as_ptr().wrapping_add(offset_of!(Table, slots));
        let slots = NonNull::new(slots.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { list, slots, memory })
    }

    /// Keeps an origin for tm, until [`Self::take_back`]; NULL where nobody is to be told. `None`: the host has no shared memory left.
    pub(super) fn leave(&self, origin: Option<&Origin>) -> Option<*mut c_void> {
        match origin {
            Some(origin) => self.keep(origin).map(Kept::leave),
            None => Some(ptr::null_mut()),
        }
    }

    fn keep(&self, origin: &Origin) -> Option<Kept<'_>> {
        let texts = [Some(origin.from.as_str()), Some(origin.to.as_str()), origin.id.as_deref()];
        let size = texts.iter().flatten().try_fold(HEAD, |size, text| size.checked_add(text.len()))?;
        let slot = if size <= SLOT { self.take_slot() } else { None };
        let block = slot.or_else(|| NonNull::new((self.memory.allocate)(size)))?;
        let kept = Kept { origins: self, block };
        // SAFETY: [H5] at least `size` bytes, and nobody else knows them.
        let room = unsafe { slice::from_raw_parts_mut(block.cast::<MaybeUninit<u8>>().as_ptr(), size) };
        let mut room = room.iter_mut();
        let mut put = |bytes: &[u8]| room.by_ref().zip(bytes).for_each(|(place, byte)| _ = place.write(*byte));
        put(&u32::try_from(size).ok()?.to_ne_bytes());
        for text in texts {
            put(&text.map_or(Some(ABSENT), |text| u32::try_from(text.len()).ok())?.to_ne_bytes());
        }
        texts.into_iter().flatten().for_each(|text| put(text.as_bytes()));
        Some(kept)
    }

    /// Takes an origin back.
    ///
    /// # Safety
    /// NULL, or what [`Self::leave`] gave, which nobody has taken back yet.
    pub(super) unsafe fn take_back(&self, block: *mut c_void) -> Option<Kept<'_>> {
        NonNull::new(block).map(|block| Kept { origins: self, block })
    }

    /// `None`: all are taken.
    fn take_slot(&self) -> Option<NonNull<c_void>> {
        let mut top = self.list.top.load(Ordering::Acquire);
        loop {
            let Some(index) = index_of(low_half(top)) else { return self.take_new_slot() };
            let below = self.list.below.get(index)?.load(Ordering::Relaxed);
            match self.list.top.compare_exchange_weak(top, after(top, below), Ordering::Acquire, Ordering::Acquire) {
                Ok(_) => return self.slot(index),
                Err(now) => top = now,
            }
        }
    }

    /// A slot that nobody ever had.
    fn take_new_slot(&self) -> Option<NonNull<c_void>> {
        let next =
            |taken: u32| taken.checked_add(1).filter(|_| index_of(taken.wrapping_add(1)).is_some_and(|index| index < SLOTS));
        let taken = self.list.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).ok()?;
        self.slot(usize::try_from(taken).ok()?)
    }

    fn give_slot_back(&self, index: usize) {
        let (Some(below), Some(number)) = (self.list.below.get(index), number_of(index)) else { return };
        let mut top = self.list.top.load(Ordering::Relaxed);
        loop {
            below.store(low_half(top), Ordering::Relaxed);
            match self.list.top.compare_exchange_weak(top, after(top, number), Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => top = now,
            }
        }
    }

    fn slot(&self, index: usize) -> Option<NonNull<c_void>> {
        NonNull::new(self.slots.as_ptr().wrapping_add(index).cast())
    }

    /// Which slot this is. `None`: a block of the host.
    fn slot_index(&self, block: NonNull<c_void>) -> Option<usize> {
        let offset = block.addr().get().checked_sub(self.slots.addr().get())?;
        Some(offset / SLOT).filter(|index| *index < SLOTS)
    }
}

/// An origin in shared memory; given back when it is dropped.
pub(super) struct Kept<'a> {
    origins: &'a Origins,
    block: NonNull<c_void>,
}

/// The whole size, and the length of each text: then the texts.
const HEAD: usize = 4 * size_of::<u32>();

impl Kept<'_> {
    /// What [`Origins::take_back`] takes.
    fn leave(self) -> *mut c_void {
        ManuallyDrop::new(self).block.as_ptr()
    }

    /// A copy of it.
    pub(super) fn origin(&self) -> Option<Origin> {
        // SAFETY: [H5] `keep` wrote the size, and no block is smaller or less aligned.
        let size = usize::try_from(unsafe { self.block.cast::<u32>().read() }).ok()?;
        // SAFETY: [H5] `keep` wrote `size` bytes, and the block has no other owner.
        let bytes = unsafe { slice::from_raw_parts(self.block.cast::<u8>().as_ptr(), size) };
        let (head, mut rest) = bytes.split_first_chunk::<HEAD>()?;
        let (numbers, _) = head.as_chunks::<4>();
        let mut texts = numbers.iter().skip(1).map(|length| match u32::from_ne_bytes(*length) {
            ABSENT => Some(None),
            length => {
                let (text, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
                rest = after;
                Some(Some(String::from_utf8_lossy(text).into_owned()))
            }
        });
        let mut text = || texts.next().flatten();
        Some(Origin { from: text()??, to: text()??, id: text()? })
    }
}

impl Drop for Kept<'_> {
    fn drop(&mut self) {
        match self.origins.slot_index(self.block) {
            Some(index) => self.origins.give_slot_back(index),
            // SAFETY: [H5] it came from `allocate`, and this was its only owner.
            None => unsafe { (self.origins.memory.free)(self.block.as_ptr()) },
        }
    }
}

fn index_of(number: u32) -> Option<usize> {
    usize::try_from(number).ok()?.checked_sub(1)
}

fn number_of(index: usize) -> Option<u32> {
    u32::try_from(index).ok()?.checked_add(1)
}

fn low_half(top: u64) -> u32 {
    (top & u64::from(u32::MAX)) as u32
}

/// The next value of [`List::top`], with this slot.
fn after(top: u64, number: u32) -> u64 {
    (top >> 32).wrapping_add(1) << 32 | u64::from(number)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Blocks of the "host" that are not given back.
    static BLOCKS: AtomicUsize = AtomicUsize::new(0);

    const MEMORY: HostMemory = HostMemory {
        allocate: |size| {
            BLOCKS.fetch_add(1, Ordering::Relaxed);
            // SAFETY: any size is allowed.
            unsafe { libc::malloc(size) }
        },
        free: |block| {
            BLOCKS.fetch_sub(1, Ordering::Relaxed);
            // SAFETY: made by `malloc`, freed once.
            unsafe { libc::free(block) }
        },
    };

    fn origin(number: usize) -> Origin {
        Origin {
            from: format!("romeo{number}@x/orchard"),
            to: "juliet@s".to_owned(),
            id: (!number.is_multiple_of(3)).then(|| number.to_string()),
        }
    }

    #[test]
    fn what_tm_carries_comes_back_as_it_was() {
        let origins = Origins::new(MEMORY).unwrap();
        for origin in [origin(0), origin(1), Origin { id: Some(String::new()), ..origin(2) }] {
            let block = origins.leave(Some(&origin)).unwrap();
            // SAFETY: just left, taken back once.
            assert_eq!(unsafe { origins.take_back(block) }.unwrap().origin(), Some(origin));
        }
    }

    #[test]
    fn nobody_takes_no_room() {
        let origins = Origins::new(MEMORY).unwrap();
        let block = origins.leave(None).unwrap();
        // SAFETY: just left, taken back once.
        assert!(block.is_null() && unsafe { origins.take_back(block) }.is_none());
    }

    #[test]
    fn a_slot_that_came_back_is_the_next() {
        let origins = Origins::new(MEMORY).unwrap();
        let first = origins.keep(&origin(1)).unwrap().block;
        let second = origins.keep(&origin(2)).unwrap();
        assert_eq!(second.block, first);
        assert_ne!(origins.keep(&origin(3)).unwrap().block, second.block);
    }

    #[test]
    fn what_finds_no_slot_goes_to_the_host() {
        let origins = Origins::new(MEMORY).unwrap();
        let long = Origin { id: Some("i".repeat(SLOT)), ..origin(1) };
        let kept = origins.keep(&long).unwrap();
        assert_eq!((kept.origin(), BLOCKS.load(Ordering::Relaxed)), (Some(long), 1));
        drop(kept);
        assert_eq!(BLOCKS.load(Ordering::Relaxed), 0);
        let all: Vec<_> = (0..=SLOTS).map(|number| origins.keep(&origin(number)).unwrap()).collect();
        assert_eq!(BLOCKS.load(Ordering::Relaxed), 1);
        assert!(all.iter().enumerate().all(|(number, kept)| kept.origin() == Some(origin(number))));
        drop(all);
        assert_eq!(BLOCKS.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn many_at_once_keep_apart() {
        let origins = Origins::new(MEMORY).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let origins = &origins;
                scope.spawn(move || {
                    for round in 0..5_000 {
                        let wanted: Vec<_> =
                            (0..round % 7).map(|number| origin(thread * 100_000 + round * 10 + number)).collect();
                        let kept: Vec<_> = wanted.iter().map(|origin| origins.keep(origin).unwrap()).collect();
                        assert!(kept.iter().zip(wanted).all(|(kept, wanted)| kept.origin() == Some(wanted)));
                    }
                });
            }
        });
        let used = origins.list.taken.load(Ordering::Relaxed);
        assert!(used <= 4 * 6, "slots are used again: {used}");
    }
}
