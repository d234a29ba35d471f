//! What is to be written to the table of accounts, and when the database is left alone.
//!
//! The host's database API is for the one thread of a process, and waits: while it does, no session of this process goes on. So rows are written in
//! few statements, and a database that fails is asked again only after a rest.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use super::Note;
use super::Registrar;
use crate::process::backoff::Backoff;
use crate::process::backoff::dice;

/// Rows to be written.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// By user.
    notes: BTreeMap<String, Note>,
    /// Until then the database is left alone.
    rests: Option<Instant>,
    backoff: Backoff,
}

impl Notes {
    /// What is to be written of a user.
    pub(super) fn of(&mut self, user: &str) -> &mut Note {
        self.notes.entry(user.to_owned()).or_insert_with(|| Note { user: user.to_owned(), session: None, trouble: None })
    }

    /// Writes what has changed, a batch at a time; what cannot be written is tried again with what comes next.
    pub(super) fn write(&mut self, now: Instant, registrar: &mut impl Registrar) {
        while !self.notes.is_empty() && !self.rests(now) {
            let batch: Vec<Note> = self.notes.values().take(BATCH).cloned().collect();
            let done = registrar.keep(&batch).is_ok();
            self.answered(now, done);
            if done {
                batch.iter().for_each(|note| drop(self.notes.remove(&note.user)));
            }
        }
    }

    /// Writes for the last time: whether the database rests or not.
    pub(super) fn write_last(&mut self, registrar: &mut impl Registrar) {
        self.rests = None;
        self.write(Instant::now(), registrar);
    }

    /// Whether the database did, or did not, what it was asked for.
    pub(super) fn answered(&mut self, now: Instant, done: bool) {
        if done {
            (self.rests, self.backoff) = (None, Backoff::default());
        } else {
            self.rests = now.checked_add(self.backoff.pause(now, REST, dice()));
        }
    }

    /// Whether the database is to be left alone.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rests.is_some_and(|until| now < until)
    }
}

/// The shortest rest of a database that failed, as each try may hold up all sessions for seconds; further ones are longer, up to a minute.
const REST: Duration = Duration::from_secs(5);

/// Rows that are written at once, in one transaction: few when the host stops with ten thousand sessions.
const BATCH: usize = 1024;
