//! What the XMPP process has the SIP side do, on its way to the workers: sending a request costs several times what reading and
//! translating its stanza does, it may wait for a name server, and the workers share it.
//!
//! A lane is a ring of bytes in memory that all processes share. The XMPP process writes; one worker at a time, who holds the lane,
//! reads. What has an order goes by the same lane ([`task::Order`]), so it is done in that order.
//!
//! ```text
//! XMPP process   put ... put, then offer: nobody holds the lane -> hold it, and make a job for any worker
//! worker         do_job: take, perform, take, perform ...  nothing left -> let go, and look once more
//!                                                          still some   -> the next job, so that SIP has its turn
//! ```
//!
//! No process waits for another. What finds no room in a lane waits in the XMPP process ([`feed`]); if that is much, it stops reading its
//! streams, and TCP tells the XMPP servers to wait. Where the host takes no job now, a worker lets go, and the XMPP process does by itself
//! what it finds when it offers again: it does so after each round of work, and at least once a second.

pub(super) mod feed;
mod record;
pub(super) mod task;

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::io;
use std::mem::offset_of;
use std::ptr;
use std::ptr::NonNull;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use self::task::Order;
use self::task::Task;
use crate::link::mapping;

/// How many workers may send at the same time.
const SENDERS: usize = 4;

/// The lane of the host's own presence server.
const PRESENCE_SERVER: usize = SENDERS;

/// That of calls.
const CALLS: usize = SENDERS + 1;

const LANES: usize = SENDERS + 2;

/// Bytes of a lane: some thousand requests.
const SIZE: usize = 1 << 20;

/// Tasks that a worker does in one job, at the most.
const JOB: usize = 16;

/// No task is begun in a job that has lasted so long: those of the presence server take many times as long as a MESSAGE.
const JOB_TIME: Duration = Duration::from_micros(300);

/// All lanes, made in mod_init.
pub(super) struct Lanes {
    heads: &'static [Head; LANES],
    failures: &'static AtomicU64,
    bytes: NonNull<[u8; SIZE]>,
    keys: RandomState,
}

/// From `read` to `written` the ring holds what waits. Both count without end: their remainders are places.
#[repr(C, align(128))]
struct Head {
    /// Moved by the XMPP process.
    written: AtomicU64,
    /// Moved by the holder: on a cache line of its own.
    reader: Reader,
}

#[repr(C, align(64))]
struct Reader {
    read: AtomicU64,
    held: AtomicBool,
}

#[repr(C)]
struct Table {
    heads: [Head; LANES],
    failures: AtomicU64,
    bytes: [[u8; SIZE]; LANES],
}

// SAFETY: [H1] atomics, and bytes that belong to the writer or to the holder, as the counters say.
unsafe impl Send for Lanes {}
// SAFETY: [H1] as above.
unsafe impl Sync for Lanes {}

/// The lane has no room for this record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// What the host does for the lanes, in any process.
pub(super) trait Jobs {
    /// Does it, now.
    fn perform(&self, task: Task<'_>);
    /// Has some worker call [`Lanes::do_job`] with this number, soon and once. False: not without waiting for a worker, or not at all.
    fn make(&self, lane: usize) -> bool;
    /// Whether a SIP message waits to be read by this process: then a job ends.
    fn is_awaited(&self) -> bool;
}

/// What is left in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Nothing; the lane is let go.
    Nothing,
    /// More; the lane is still held.
    More,
}

impl Lanes {
    /// Maps them, before the fork.
    pub(super) fn new() -> io::Result<Self> {
        let table = mapping::shared::<Table>()?;
        // SAFETY: [H4] mapped and never unmapped; zeroes are valid atomics. The reference covers the heads and not the bytes.
        let heads = unsafe { table.cast::<[Head; LANES]>().as_ref() };
        let bytes = table.cast::<u8>().as_ptr().wrapping_add(offset_of!(Table, bytes));
        let bytes = NonNull::new(bytes.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        let failures = table.cast::<u8>().as_ptr().wrapping_add(offset_of!(Table, failures)).cast();
        // SAFETY: [H4] mapped and never unmapped, and aligned, as it is a field of the table.
        let failures = unsafe { AtomicU64::from_ptr(failures) };
        Ok(Self { heads, failures, bytes, keys: RandomState::new() })
    }

    /// How many states the presence server did not take, in any process.
    fn failures(&self) -> u64 {
        self.failures.load(Ordering::Acquire)
    }

    /// It did not take one.
    fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::AcqRel);
    }

    /// The lane for what has this order.
    fn index(&self, order: Order<'_>) -> usize {
        match order {
            Order::PresenceServer => PRESENCE_SERVER,
            Order::Calls => CALLS,
            Order::Conversation(..) | Order::Presentity(_) | Order::Subscription(..) => {
                usize::try_from(self.keys.hash_one(order)).unwrap_or(0) % SENDERS
            }
            // Not the one whose holder waits for a name server.
            Order::None => (0..SENDERS).max_by_key(|index| self.lane(*index).map_or(0, Lane::free)).unwrap_or(0),
        }
    }

    /// How many bytes wait in a lane.
    fn waiting(&self, index: usize) -> usize {
        self.lane(index).map_or(0, |lane| SIZE.saturating_sub(lane.free()))
    }

    /// Adds a record. For the XMPP process only.
    fn put(&self, index: usize, record: &[u8]) -> Result<(), Full> {
        self.lane(index).ok_or(Full)?.put(record)
    }

    /// Has a job made for each lane that has something in it and no holder, or does what is in it. For the XMPP process only.
    pub(super) fn offer(&self, host: &impl Jobs) {
        for index in (0..LANES).filter(|index| self.hold(*index)) {
            if !host.make(index) {
                // It comes to an end: nobody but us adds more.
                // SAFETY: [H5] held, and no job is on its way.
                while unsafe { self.drain(index, host) } == Left::More {}
            }
        }
    }

    /// Does a job: what is in the lane, up to [`JOB`] and [`JOB_TIME`].
    ///
    /// # Safety
    /// The job was made by [`Jobs::make`], and this is the only time that it is done: only then has its lane one holder.
    pub(super) unsafe fn do_job(&self, index: usize, host: &impl Jobs) {
        // SAFETY: [H5] a job is made for a lane that is held for it.
        if unsafe { self.drain(index, host) } == Left::More && !host.make(index) {
            // A worker has SIP to do: the XMPP process finds what is left.
            self.let_go(index);
        }
    }

    /// Takes the lane, if there is something in it and nobody has it.
    fn hold(&self, index: usize) -> bool {
        self.lane(index).is_some_and(|lane| !lane.is_empty() && !lane.head.reader.held.swap(true, Ordering::SeqCst))
    }

    fn let_go(&self, index: usize) {
        if let Some(lane) = self.lane(index) {
            lane.head.reader.held.store(false, Ordering::SeqCst);
        }
    }

    /// Does what is there, up to [`JOB`] and [`JOB_TIME`], and at least one task.
    ///
    /// # Safety
    /// The caller has the lane.
    unsafe fn drain(&self, index: usize, host: &impl Jobs) -> Left {
        let Some(lane) = self.lane(index) else { return Left::Nothing };
        let _held = Held(&lane.head.reader.held);
        let (mut record, begun) = (Vec::new(), Instant::now());
        for _ in 0..JOB {
            // SAFETY: [H5] as the caller promises.
            while !unsafe { lane.take(&mut record) } {
                lane.head.reader.held.store(false, Ordering::SeqCst);
                // What came since the last look has no job.
                if !self.hold(index) {
                    return Left::Nothing;
                }
            }
            if record::with(&record, |task| host.perform(task)).is_none() {
                log::error!("{} bytes in a lane are no task", record.len());
            }
            if begun.elapsed() >= JOB_TIME || host.is_awaited() {
                break;
            }
        }
        Left::More
    }

    fn lane(&self, index: usize) -> Option<Lane> {
        let bytes = NonNull::new(self.bytes.as_ptr().wrapping_add(index))?.cast();
        self.heads.get(index).map(|head| Lane { head, bytes })
    }
}

/// A bug below `perform` costs its task, and not the lane: the next offer finds it free.
struct Held<'a>(&'a AtomicBool);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(false, Ordering::SeqCst);
        }
    }
}

#[derive(Clone, Copy)]
struct Lane {
    head: &'static Head,
    bytes: NonNull<u8>,
}

impl Lane {
    fn is_empty(self) -> bool {
        self.head.written.load(Ordering::SeqCst) == self.head.reader.read.load(Ordering::SeqCst)
    }

    fn free(self) -> usize {
        let waiting = self.head.written.load(Ordering::Relaxed).wrapping_sub(self.head.reader.read.load(Ordering::Acquire));
        SIZE.saturating_sub(usize::try_from(waiting).unwrap_or(SIZE))
    }

    /// Adds a record, with its length before it. For the XMPP process only.
    fn put(self, record: &[u8]) -> Result<(), Full> {
        let length = u32::try_from(record.len()).map_err(|_| Full)?.to_ne_bytes();
        if record.len().checked_add(length.len()).is_none_or(|size| size > self.free()) {
            return Err(Full);
        }
        let start = self.head.written.load(Ordering::Relaxed);
        // SAFETY: [H5] free bytes, which are ours until `written` moves over them.
        let next = unsafe { self.copy_in(start, &length) };
        // SAFETY: [H5] as above.
        let end = unsafe { self.copy_in(next, record) };
        self.head.written.store(end, Ordering::SeqCst);
        Ok(())
    }

    /// Takes the first record; false if there is none.
    ///
    /// # Safety
    /// The caller holds the lane.
    unsafe fn take(self, record: &mut Vec<u8>) -> bool {
        let start = self.head.reader.read.load(Ordering::Relaxed);
        if self.head.written.load(Ordering::Acquire) == start {
            return false;
        }
        let mut length = [0; size_of::<u32>()];
        // SAFETY: [H5] `written` has moved over a whole record, and the holder alone moves `read`.
        let next = unsafe { self.copy_out(start, &mut length) };
        record.clear();
        record.resize(usize::try_from(u32::from_ne_bytes(length)).unwrap_or(0).min(SIZE), 0);
        // SAFETY: [H5] as above.
        let end = unsafe { self.copy_out(next, record) };
        self.head.reader.read.store(end, Ordering::Release);
        true
    }

    /// Copies into the ring; the count behind it.
    ///
    /// # Safety
    /// These bytes of the ring are the caller's.
    unsafe fn copy_in(self, start: u64, from: &[u8]) -> u64 {
        let (place, before_end) = split(start, from.len());
        let (head, tail) = from.split_at(before_end);
        // SAFETY: [H5] within the ring, as `split` says.
        unsafe { ptr::copy_nonoverlapping(head.as_ptr(), self.bytes.as_ptr().wrapping_add(place), head.len()) };
        // SAFETY: [H5] and from its beginning.
        unsafe { ptr::copy_nonoverlapping(tail.as_ptr(), self.bytes.as_ptr(), tail.len()) };
        start.wrapping_add(from.len() as u64)
    }

    /// Copies out of the ring; the count behind it.
    ///
    /// # Safety
    /// These bytes of the ring are the caller's.
    unsafe fn copy_out(self, start: u64, to: &mut [u8]) -> u64 {
        let (place, before_end) = split(start, to.len());
        let length = to.len() as u64;
        let (head, tail) = to.split_at_mut(before_end);
        // SAFETY: [H5] within the ring, as `split` says.
        unsafe { ptr::copy_nonoverlapping(self.bytes.as_ptr().wrapping_add(place), head.as_mut_ptr(), head.len()) };
        // SAFETY: [H5] and from its beginning.
        unsafe { ptr::copy_nonoverlapping(self.bytes.as_ptr(), tail.as_mut_ptr(), tail.len()) };
        start.wrapping_add(length)
    }
}

/// The place in the ring, and how many of so many bytes stand before its end.
fn split(count: u64, length: usize) -> (usize, usize) {
    let place = usize::try_from(count).unwrap_or(0) % SIZE;
    (place, length.min(SIZE.saturating_sub(place)))
}

#[cfg(test)]
mod tests;
