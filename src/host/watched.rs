//! SUBSCRIBEs for XMPP users that the script of this process is at (`presence_mode` local).
//!
//! The presence server shows them to us before it stores them. An XMPP server may answer at once, and an answer that finds no
//! subscription changes none: the watcher would wait for ever. So the gateway is told when the script has ended.

use std::mem;
use std::sync::Mutex;
use std::sync::PoisonError;

use crate::worker::Worker;

/// SUBSCRIBEs of one script: one, but for scripts that make more.
const MAX_WATCHED: usize = 64;

/// Who subscribed to whom, SIP URIs. Each process has its own.
#[derive(Debug)]
pub(super) struct Watched(Mutex<Vec<(Vec<u8>, Vec<u8>)>>);

impl Watched {
    pub(super) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The presence server has a SUBSCRIBE of this watcher.
    pub(super) fn note(&self, watcher: Vec<u8>, presentity: Vec<u8>) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.len() < MAX_WATCHED {
            noted.push((watcher, presentity));
        }
    }

    /// The script has ended.
    pub(super) fn tell(&self, worker: &Worker) {
        let noted = mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for (watcher, presentity) in noted {
            worker.watched(&watcher, &presentity);
        }
    }
}
