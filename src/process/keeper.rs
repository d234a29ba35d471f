//! What is to survive a restart, from the XMPP process's side: changes go to the store process in batches, and come back when a life begins.
//!
//! One batch is under way at a time. What changes meanwhile is noted by key in the gateway, once however often it changes, so a database
//! that is slow or away costs memory within bounds and nothing else.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use crate::gateway::Gateway;
use crate::gateway::action::Authorization;
use crate::gateway::kept::Clock;
use crate::gateway::kept::Key;
use crate::link::shared::Shared;
use crate::link::store::End;
use crate::process::backoff::dice;
use crate::store::Id;
use crate::store::Row;
use crate::store::entry::Entry;
use crate::store::entry::Standing;
use crate::store::message::Answer;
use crate::store::message::Datagram;
use crate::store::message::load;

/// How long changes gather before they are written.
const GATHER: Duration = Duration::from_millis(100);

/// Keys of one kind that are taken at once.
const PORTION: usize = 256;

/// Datagrams that are sent when the host stops.
const LAST: usize = 64;

/// The XMPP process's end of the line; without a store it does nothing.
pub(super) struct Keeper<'a> {
    end: Option<&'a End>,
    /// The number of what was asked for.
    load: u64,
    /// A batch that is not answered yet: nothing else is sent.
    is_under_way: bool,
    sent: Option<Instant>,
    /// Keys that were taken and found no place in the datagram.
    left: Vec<Key>,
    /// Rows that were read and are over.
    over: Vec<Id>,
}

/// What an answer of the store process means to who waits for what there is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Loaded {
    /// Some of it; more follows.
    Rows(Vec<Row>),
    /// All of it has come.
    All,
    /// It cannot be had.
    Failed,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(end: Option<&'a End>) -> Self {
        Self { end, load: 0, is_under_way: false, sent: None, left: Vec::new(), over: Vec::new() }
    }

    /// What becomes readable when the store process answers.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'a>> {
        self.end.map(AsFd::as_fd)
    }

    /// Asks for everything there is, under a number of its own: rows for a life that ended by a bug may still be on their way.
    pub(super) fn load(&mut self) {
        self.load = dice();
        if let Some(end) = self.end
            && let Err(error) = end.send(&load(self.load))
        {
            log::error!("the store process cannot be asked: {error:?}");
        }
    }

    /// A row that came is over.
    pub(super) fn forget(&mut self, id: Id) {
        self.over.push(id);
    }

    /// What the store process has answered; `None`: nothing now.
    pub(super) fn heard(&mut self) -> io::Result<Option<Loaded>> {
        let Some(end) = self.end else { return Ok(None) };
        while let Some(datagram) = end.receive()? {
            match Answer::decode(&datagram) {
                Some(Answer::Written) => self.is_under_way = false,
                Some(Answer::Rows(number, _) | Answer::End(number) | Answer::Failed(number)) if number != self.load => {}
                Some(Answer::Rows(_, rows)) => return Ok(Some(Loaded::Rows(rows))),
                Some(Answer::End(_)) => return Ok(Some(Loaded::All)),
                Some(Answer::Failed(_)) => return Ok(Some(Loaded::Failed)),
                None => log::error!("an answer of {} bytes from the store process says nothing", datagram.len()),
            }
        }
        Ok(None)
    }

    /// Time has passed, or something was done: writes what has changed, if it is time.
    pub(super) fn write(&mut self, now: Instant, gateway: &mut Gateway, shared: &Shared) {
        let Some(end) = self.end else { return };
        let gathered = self.sent.is_none_or(|sent| now.saturating_duration_since(sent) >= GATHER);
        if self.is_under_way || !gathered {
            return;
        }
        let datagram = self.batch(now, gateway, shared);
        if datagram.is_empty() {
            return;
        }
        self.sent = Some(now);
        match end.send(datagram.as_bytes()) {
            Ok(()) => self.is_under_way = true,
            // Nobody reads although nothing is under way: the process is gone, and the host stops.
            Err(error) => log::error!("changes cannot be told to the store process: {error:?}"),
        }
    }

    /// The host stops: all that has changed is sent, without waiting for anything.
    pub(super) fn write_last(&mut self, now: Instant, gateway: &mut Gateway, shared: &Shared) {
        let Some(end) = self.end else { return };
        for _ in 0..LAST {
            let datagram = self.batch(now, gateway, shared);
            if datagram.is_empty() || end.send(datagram.as_bytes()).is_err() {
                return;
            }
        }
    }

    fn batch(&mut self, now: Instant, gateway: &mut Gateway, shared: &Shared) -> Datagram {
        let clock = Clock { now, wall: SystemTime::now() };
        let mut datagram = Datagram::write();
        while !datagram.is_full()
            && let Some(id) = self.over.pop()
        {
            datagram.forget(&id);
        }
        if self.left.is_empty() {
            self.left = gateway.changes(PORTION);
        }
        while !datagram.is_full()
            && let Some(key) = self.left.pop()
        {
            match gateway.entry(clock, &key, |watcher, presentity| shared.decision(watcher, presentity)) {
                Some(entry) => datagram.keep(&entry.to_row()),
                None => datagram.forget(&key.id()),
            }
        }
        datagram
    }
}

/// Tells workers, in whose place the gateway decides nothing, what a row says: decisions and dialogs count from the first request on.
pub(crate) fn show(entry: &Entry, shared: &Shared) {
    match entry {
        Entry::Authorization(kept) => {
            let decision = match kept.standing {
                Standing::Asked => Authorization::Pending,
                Standing::Allowed => Authorization::Allowed,
                Standing::Hidden => Authorization::Hidden,
                Standing::Refused => Authorization::Refused,
            };
            shared.answer_for(&kept.presentity);
            // After a panic the table knows something newer.
            if !shared.knows(&kept.watcher, &kept.presentity) && !shared.authorize(&kept.watcher, &kept.presentity, decision) {
                log::error!("no place to keep what {} decided on {}", kept.presentity, kept.watcher);
            }
        }
        Entry::Dialog(kept) => {
            shared.begin_dialog(&kept.dialog);
        }
        Entry::Subscription(_) | Entry::Publication(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::store::pair;

    /// A life that ended by a bug in the middle of loading is followed by another one, which asks again.
    #[test]
    fn answers_to_an_earlier_life_are_passed_over() {
        let (gateway, store) = pair().unwrap();
        let number = |store: &End| {
            let asked = store.receive().unwrap().unwrap();
            u64::from_le_bytes(asked[1..].try_into().unwrap())
        };
        Keeper::new(Some(&gateway)).load();
        let earlier = number(&store);
        let mut keeper = Keeper::new(Some(&gateway));
        keeper.load();
        let own = number(&store);
        for answer in [Answer::Rows(earlier, Vec::new()), Answer::End(earlier), Answer::Failed(earlier)] {
            store.send(&answer.encode()).unwrap();
        }
        assert_eq!(keeper.heard().unwrap(), None);
        store.send(&Answer::End(own).encode()).unwrap();
        assert_eq!(keeper.heard().unwrap(), Some(Loaded::All));
    }
}
