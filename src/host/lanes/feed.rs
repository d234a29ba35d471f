//! The XMPP process's end of the lanes: tasks go in as they come, and the workers are told of several at a time.
//!
//! What finds no room in its lane waits here: one stanza may become a NOTIFY to each of thousands of watchers.

use std::collections::VecDeque;

use super::CALLS;
use super::Jobs;
use super::LANES;
use super::Lanes;
use super::SIZE;
use super::record;
use super::task::Task;
use crate::host::publications::Publications;
use crate::process::host::HostError;
use crate::process::host::Readiness;
use crate::sip::Publish;

/// Tasks after which the workers are told, before the round of work ends.
const TOGETHER: u32 = 16;

/// Bytes that wait here, from which on no stream is read.
const MUCH: usize = 1 << 20;

/// Bytes in the lane of calls from which on it takes no more: some thirty publications.
const CALLS_MUCH: usize = 1 << 16;

/// And the most of them. As one read of a stream brings MESSAGEs of half a megabyte, only NOTIFYs and the end of many publications at
/// once come near it.
const MOST: usize = 1 << 26;

/// The largest task: a lane has room for it.
const LARGEST: usize = SIZE / 2;

/// One, in the XMPP process.
pub(in crate::host) struct Feed<'a> {
    backlog: Backlog<'a>,
    /// In the presence server of this host.
    publications: Publications,
}

impl<'a> Feed<'a> {
    /// Into these lanes.
    pub(in crate::host) fn new(lanes: &'a Lanes) -> Self {
        let backlog = Backlog { lanes, waiting: Default::default(), size: 0, pushed: 0, record: Vec::new() };
        Self { backlog, publications: Publications::new() }
    }

    /// Whether it takes what a stream brings.
    pub(in crate::host) fn readiness(&self) -> Readiness {
        match self.backlog.size {
            0 => Readiness::Ready,
            size if size < MUCH => Readiness::Behind,
            _ => Readiness::Full,
        }
    }

    /// Whether it takes more publications of calls: what waits before a lane is what it was, and what waits with the calls is the newest.
    pub(in crate::host) fn takes_calls(&self) -> bool {
        let waits = self.backlog.waiting.get(CALLS).is_some_and(|waiting| !waiting.is_empty());
        !waits && self.backlog.lanes.waiting(CALLS) < CALLS_MUCH
    }

    /// Adds a task.
    pub(in crate::host) fn push(&mut self, task: Task<'_>, host: &impl Jobs) -> Result<(), HostError> {
        self.backlog.push(task, host)
    }

    /// Adds a state for the host's own presence server.
    pub(in crate::host) fn push_state(&mut self, publish: &Publish, host: &impl Jobs) -> Result<(), HostError> {
        self.publications.failed(self.backlog.lanes.failures());
        self.publications.hand_over(publish, |operation| self.backlog.push(Task::State(publish, operation), host))
    }

    /// Adds the lamp of an XMPP user, likewise.
    pub(in crate::host) fn push_lamp(&mut self, publish: &Publish, host: &impl Jobs) -> Result<(), HostError> {
        self.publications.failed(self.backlog.lanes.failures());
        self.publications.hand_over(publish, |operation| self.backlog.push(Task::Lamp(publish, operation), host))
    }

    /// A round of work is over, or the time to look again has come.
    pub(in crate::host) fn tick(&mut self, host: &impl Jobs) {
        self.backlog.refill();
        self.backlog.lanes.offer(host);
    }
}

/// What waits before the lanes.
struct Backlog<'a> {
    lanes: &'a Lanes,
    waiting: [VecDeque<Vec<u8>>; LANES],
    /// All of it, in bytes.
    size: usize,
    pushed: u32,
    record: Vec<u8>,
}

impl Backlog<'_> {
    fn push(&mut self, task: Task<'_>, host: &impl Jobs) -> Result<(), HostError> {
        record::of(task, &mut self.record).filter(|()| self.record.len() <= LARGEST).ok_or(HostError::Memory)?;
        let index = self.lanes.index(task.order());
        let waiting = self.waiting.get_mut(index).ok_or(HostError::Busy)?;
        if !waiting.is_empty() || self.lanes.put(index, &self.record).is_err() {
            let size = self.size.saturating_add(self.record.len());
            if size > MOST {
                return Err(HostError::Busy);
            }
            self.size = size;
            waiting.push_back(std::mem::take(&mut self.record));
        }
        self.pushed = self.pushed.wrapping_add(1);
        if self.pushed.is_multiple_of(TOGETHER) {
            self.lanes.offer(host);
        }
        Ok(())
    }

    fn refill(&mut self) {
        if self.size == 0 {
            return;
        }
        for (index, waiting) in self.waiting.iter_mut().enumerate() {
            while let Some(record) = waiting.front() {
                if self.lanes.put(index, record).is_err() {
                    break;
                }
                self.size = self.size.saturating_sub(record.len());
                waiting.pop_front();
            }
        }
    }
}
