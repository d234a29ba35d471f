//! MESSAGEs on their way from the XMPP process to the SIP workers, who hand them to tm: sending one costs several times what reading
//! and translating its stanza does, and the workers share it.
//!
//! A lane is a ring of bytes in memory that all processes share. The XMPP process writes; one worker at a time, who holds the lane,
//! reads. All MESSAGEs of a conversation go by the same lane, so they are sent in their order.
//!
//! ```text
//! XMPP process   push ... push, then offer: nobody holds the lane -> hold it, and make a job for any worker
//! worker         do_job: take, send, take, send ...  nothing left -> let go, and look once more
//!                                                    still some   -> the next job, so that SIP has its turn
//! ```
//!
//! No process waits for another. When a lane runs full, the XMPP process stops reading its stream ([`Lanes::have_room`]), and TCP tells
//! the XMPP server to wait.

mod record;

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::io;
use std::mem::offset_of;
use std::ptr;
use std::ptr::NonNull;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::link::mapping;
use crate::sip::Message;

/// How many workers may send at the same time.
const LANES: usize = 4;

/// Bytes of a lane: some thousand MESSAGEs.
const SIZE: usize = 1 << 20;

/// What one read of the stream may become. JIDs grow when they become URIs and are kept as well, but no stanza grows eightfold.
const ROOM: usize = 1 << 19;

/// MESSAGEs that a worker sends in one job: about a tenth of a millisecond.
const JOB: usize = 16;

/// All lanes, made in mod_init.
pub(super) struct Lanes {
    heads: &'static [Head; LANES],
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
    bytes: [[u8; SIZE]; LANES],
}

// SAFETY: [H1] atomics, and bytes that belong to the writer or to the holder, as the counters say.
unsafe impl Send for Lanes {}
// SAFETY: [H1] as above.
unsafe impl Sync for Lanes {}

/// The lane has no room for this MESSAGE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// What the host does for the lanes, in any process.
pub(super) trait Jobs {
    /// Sends a MESSAGE, now.
    fn send(&self, message: &Message);
    /// Has some worker call [`Lanes::do_job`] with this number, soon and once. False: it cannot.
    fn make(&self, lane: usize) -> bool;
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
        Ok(Self { heads, bytes, keys: RandomState::new() })
    }

    /// Whether all that one read of the stream brings will find room.
    pub(super) fn have_room(&self) -> bool {
        (0..LANES).filter_map(|index| self.lane(index)).all(|lane| lane.free() >= ROOM)
    }

    /// Adds a MESSAGE. For the XMPP process only.
    pub(super) fn push(&self, message: &Message) -> Result<(), Full> {
        let conversation = self.keys.hash_one((&message.from, &message.to));
        let index = usize::try_from(conversation).unwrap_or(0) % LANES;
        let record = record::of(message).ok_or(Full)?;
        self.lane(index).ok_or(Full)?.put(&record)
    }

    /// Has a job made for each lane that has something in it and no holder.
    pub(super) fn offer(&self, host: &impl Jobs) {
        (0..LANES).filter(|index| self.hold(*index)).for_each(|index| self.make_job(index, host));
    }

    /// Does a job: sends what is in the lane, up to [`JOB`].
    ///
    /// # Safety
    /// The job was made by [`Jobs::make`], and this is the only time that it is done: only then has its lane one holder.
    pub(super) unsafe fn do_job(&self, index: usize, host: &impl Jobs) {
        // SAFETY: [H5] a job is made for a lane that is held for it.
        if unsafe { self.drain(index, host) } == Left::More {
            self.make_job(index, host);
        }
    }

    fn make_job(&self, index: usize, host: &impl Jobs) {
        if !host.make(index) {
            // Whoever is here has the lane, and does it all.
            // SAFETY: [H5] held, and no job is on its way.
            while unsafe { self.drain(index, host) } == Left::More {}
        }
    }

    /// Takes the lane, if there is something in it and nobody has it.
    fn hold(&self, index: usize) -> bool {
        self.lane(index).is_some_and(|lane| !lane.is_empty() && !lane.head.reader.held.swap(true, Ordering::SeqCst))
    }

    /// Sends what is there, up to [`JOB`].
    ///
    /// # Safety
    /// The caller has the lane.
    unsafe fn drain(&self, index: usize, host: &impl Jobs) -> Left {
        let Some(lane) = self.lane(index) else { return Left::Nothing };
        let _held = Held(&lane.head.reader.held);
        let mut record = Vec::new();
        for _ in 0..JOB {
            // SAFETY: [H5] as the caller promises.
            while !unsafe { lane.take(&mut record) } {
                lane.head.reader.held.store(false, Ordering::SeqCst);
                // What came since the last look has no job.
                if !self.hold(index) {
                    return Left::Nothing;
                }
            }
            match record::message(&record) {
                Some(message) => host.send(&message),
                None => log::error!("{} bytes in a lane are no MESSAGE", record.len()),
            }
        }
        Left::More
    }

    fn lane(&self, index: usize) -> Option<Lane> {
        let bytes = NonNull::new(self.bytes.as_ptr().wrapping_add(index))?.cast();
        self.heads.get(index).map(|head| Lane { head, bytes })
    }
}

/// A bug below `send` costs its MESSAGE, and not the lane: the next offer finds it free.
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
mod tests {
    use std::cell::RefCell;
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::sync::mpsc;

    use super::*;
    use crate::sip::CallId;
    use crate::sip::HeaderName;
    use crate::sip::Headers;
    use crate::sip::Origin;
    use crate::sip::Uri;

    /// Sends into a list, and keeps the jobs for later.
    #[derive(Default)]
    struct Later {
        sent: RefCell<Vec<Message>>,
        jobs: RefCell<Vec<usize>>,
    }

    impl Jobs for Later {
        fn send(&self, message: &Message) {
            self.sent.borrow_mut().push(message.clone());
        }

        fn make(&self, lane: usize) -> bool {
            self.jobs.borrow_mut().push(lane);
            true
        }
    }

    impl Later {
        fn do_all(&self, lanes: &Lanes) {
            lanes.offer(self);
            while let Some(job) = { self.jobs.borrow_mut().pop() } {
                // SAFETY: made above, done once.
                unsafe { lanes.do_job(job, self) };
            }
        }
    }

    fn message(conversation: u64, number: u64) -> Message {
        let mut headers = Headers::default();
        headers.push(HeaderName::ContentType, "text/plain");
        Message {
            to: Uri::new(format!("sip:juliet{conversation}@s")).unwrap(),
            from: Uri::new("sip:romeo@x".to_owned()).unwrap(),
            call_id: number.is_multiple_of(2).then(|| CallId::new(format!("call-{number}")).unwrap()),
            unique: number,
            headers,
            body: vec![b'b'; usize::try_from(number % 1300).unwrap()],
            origin: (!number.is_multiple_of(5)).then(|| Origin {
                from: "romeo@x/y".to_owned(),
                to: "juliet@s".to_owned(),
                id: number.is_multiple_of(3).then(String::new),
            }),
        }
    }

    #[test]
    fn what_goes_in_comes_out() {
        let lanes = Lanes::new().unwrap();
        // More bytes than a ring has: it goes round.
        for number in 0..5_000 {
            let host = Later::default();
            lanes.push(&message(0, number)).unwrap();
            host.do_all(&lanes);
            assert_eq!(host.sent.take(), [message(0, number)]);
        }
    }

    #[test]
    fn a_lane_has_one_job_at_a_time() {
        let (lanes, host) = (Lanes::new().unwrap(), Later::default());
        lanes.push(&message(0, 1)).unwrap();
        lanes.offer(&host);
        lanes.push(&message(0, 2)).unwrap();
        lanes.offer(&host);
        assert_eq!(host.jobs.borrow().len(), 1);
        host.do_all(&lanes);
        assert_eq!(host.sent.take(), [message(0, 1), message(0, 2)]);
        lanes.offer(&host);
        assert!(host.jobs.take().is_empty(), "there is nothing to do");
        lanes.push(&message(0, 3)).unwrap();
        lanes.offer(&host);
        assert_eq!(host.jobs.take().len(), 1);
    }

    #[test]
    fn a_job_is_short() {
        let (lanes, host) = (Lanes::new().unwrap(), Later::default());
        (0..=JOB).for_each(|_| lanes.push(&message(0, 1)).unwrap());
        lanes.offer(&host);
        let job = host.jobs.borrow_mut().pop().unwrap();
        // SAFETY: made above, done once.
        unsafe { lanes.do_job(job, &host) };
        assert_eq!((host.sent.borrow().len(), host.jobs.borrow().len()), (JOB, 1));
        host.do_all(&lanes);
        assert_eq!(host.sent.borrow().len(), JOB + 1);
    }

    #[test]
    fn where_no_worker_can_be_had_it_is_done_at_once() {
        struct Alone(RefCell<Vec<u64>>);
        impl Jobs for Alone {
            fn send(&self, message: &Message) {
                self.0.borrow_mut().push(message.unique);
            }
            fn make(&self, _: usize) -> bool {
                false
            }
        }
        let (lanes, host) = (Lanes::new().unwrap(), Alone(RefCell::default()));
        (0..100).for_each(|number| lanes.push(&message(0, number)).unwrap());
        lanes.offer(&host);
        assert!(host.0.take().into_iter().eq(0..100));
    }

    #[test]
    fn a_bug_while_one_is_sent_costs_that_one() {
        struct Buggy;
        impl Jobs for Buggy {
            fn send(&self, _: &Message) {
                panic!("asked to");
            }
            fn make(&self, _: usize) -> bool {
                false
            }
        }
        let (lanes, host) = (Lanes::new().unwrap(), Later::default());
        lanes.push(&message(0, 1)).unwrap();
        lanes.push(&message(0, 2)).unwrap();
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lanes.offer(&Buggy))).is_err());
        host.do_all(&lanes);
        assert_eq!(host.sent.take(), [message(0, 2)]);
    }

    #[test]
    fn a_full_lane_says_so_and_loses_nothing() {
        let (lanes, host) = (Lanes::new().unwrap(), Later::default());
        let (mut pushed, mut room) = (0, true);
        while lanes.push(&message(0, pushed)).is_ok() {
            pushed += 1;
            room = lanes.have_room();
        }
        assert!(!room, "the stream is not read any more long before");
        host.do_all(&lanes);
        assert!(host.sent.take().into_iter().map(|message| message.unique).eq(0..pushed));
        assert!(lanes.have_room());
    }

    /// Workers with a queue of jobs between them.
    struct Workers {
        sent: Mutex<HashMap<String, Vec<u64>>>,
        job: mpsc::Sender<usize>,
    }

    impl Jobs for Workers {
        fn send(&self, message: &Message) {
            self.sent.lock().unwrap().entry(message.to.to_string()).or_default().push(message.unique);
        }

        fn make(&self, lane: usize) -> bool {
            self.job.send(lane).is_ok()
        }
    }

    #[test]
    fn conversations_keep_their_order_whoever_sends_them() {
        const MESSAGES: u64 = 20_000;
        let lanes = Lanes::new().unwrap();
        let (job, jobs) = mpsc::channel();
        let (jobs, workers) = (Mutex::new(jobs), Workers { sent: Mutex::default(), job });
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Ok(index) = { jobs.lock().unwrap().recv() }
                        && index < LANES
                    {
                        // SAFETY: the queue gives each job once.
                        unsafe { lanes.do_job(index, &workers) };
                    }
                });
            }
            for number in 0..MESSAGES {
                while lanes.push(&message(number % 7, number)).is_err() {
                    std::thread::yield_now();
                }
                lanes.offer(&workers);
            }
            while (0..LANES).any(|index| lanes.lane(index).unwrap().head.reader.held.load(Ordering::SeqCst)) {
                std::thread::yield_now();
            }
            (0..3).for_each(|_| workers.job.send(LANES).unwrap());
        });
        let sent = workers.sent.into_inner().unwrap();
        assert_eq!(sent.values().map(Vec::len).sum::<usize>(), usize::try_from(MESSAGES).unwrap());
        assert!(sent.values().all(|numbers| numbers.is_sorted()));
    }
}
