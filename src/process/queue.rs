//! What waits for the XMPP server while the stream is down. Sans-IO: time is an argument, and what leaves is returned.
//!
//! - Everything leaves in the order in which it came: what is left is a part of what was put in, nothing twice.
//! - Of presence that says the same thing of the same pair (its `from` and `to` as they are written, with resources) only the newest
//!   stays: a state that is not true any more is told to nobody.
//! - Messages, iqs and errors live for [`Queue::new`]'s `ttl`. Presence does not end: the newest state stays true, and one that was
//!   thrown away would leave its recipient with a wrong one for ever.
//! - How many may enter is decided before, by [`crate::link::fill`]: each stanza brings its place, which it gives back when it leaves.
//!   Here is the last bound only, in bytes, for what nobody can be asked about any more.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::link::fill::cost;
use crate::xmpp::head::Head;
use crate::xmpp::stanza::PresenceType;

/// Stanzas that wait, each with its place `P`.
#[derive(Debug)]
pub(super) struct Queue<P> {
    ttl: Duration,
    most_bytes: usize,
    /// What they take, as [`cost`] counts it.
    bytes: usize,
    /// The number of the next one: the order over both lists.
    next: u64,
    /// Messages and all else that ends, oldest first.
    ending: VecDeque<(u64, Waiting<P>)>,
    /// Presence, by number.
    presences: BTreeMap<u64, (Subject, Waiting<P>)>,
    /// The number of the presence on each subject.
    newest: HashMap<Subject, u64>,
}

/// One stanza that waits, or has waited.
#[derive(Debug)]
pub(super) struct Waiting<P> {
    pub(super) stanza: Box<[u8]>,
    since: Instant,
    /// Given back when this is dropped.
    _place: P,
}

/// The queue holds as many bytes as it may: the stanza was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// What a presence is about: the newest of each is all that anybody needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Subject {
    from: String,
    to: String,
    matter: Matter,
}

/// Presence says four different things of a pair, none of which takes back another (RFC 6121 §3, §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Matter {
    /// Available or unavailable.
    State,
    /// `subscribe` or `unsubscribe`: what the sender wants.
    Request,
    /// `subscribed` or `unsubscribed`: what the sender allows.
    Answer,
    /// `probe`.
    Probe,
}

impl<P> Queue<P> {
    /// An empty one. What ends does so after `ttl`; `most_bytes` is what all together may take.
    pub(super) fn new(ttl: Duration, most_bytes: usize) -> Self {
        Self { ttl, most_bytes, bytes: 0, next: 0, ending: VecDeque::new(), presences: BTreeMap::new(), newest: HashMap::new() }
    }

    /// Adds a stanza behind all others. A presence takes the place of the one before it on the same subject.
    pub(super) fn push(&mut self, now: Instant, stanza: &[u8], place: P) -> Result<(), Full> {
        let subject = Head::of(stanza).as_ref().and_then(Subject::of);
        if let Some(subject) = &subject {
            self.forget(subject);
        }
        let bytes = self.bytes.saturating_add(cost(stanza.len()));
        if bytes > self.most_bytes {
            return Err(Full);
        }
        self.bytes = bytes;
        let waiting = Waiting { stanza: stanza.into(), since: now, _place: place };
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        match subject {
            Some(subject) => {
                self.newest.insert(subject.clone(), number);
                self.presences.insert(number, (subject, waiting));
            }
            None => self.ending.push_back((number, waiting)),
        }
        Ok(())
    }

    /// This stanza is about to be sent past the queue: what it makes untrue is forgotten.
    pub(super) fn supersede(&mut self, stanza: &[u8]) {
        if self.newest.is_empty() {
            return;
        }
        if let Some(subject) = Head::of(stanza).as_ref().and_then(Subject::of) {
            self.forget(&subject);
        }
    }

    /// Takes the oldest.
    pub(super) fn pop(&mut self) -> Option<Waiting<P>> {
        let ending = self.ending.front().map(|(number, _)| *number);
        let presence = self.presences.first_key_value().map(|(number, _)| *number);
        let waiting = match (ending, presence) {
            (Some(ending), Some(presence)) if presence < ending => self.pop_presence()?,
            (None, _) => self.pop_presence()?,
            (Some(_), _) => self.ending.pop_front()?.1,
        };
        self.left(&waiting);
        Some(waiting)
    }

    /// Takes one that has waited too long, the oldest first.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Waiting<P>> {
        let (_, oldest) = self.ending.front()?;
        if now.saturating_duration_since(oldest.since) < self.ttl {
            return None;
        }
        let (_, waiting) = self.ending.pop_front()?;
        self.left(&waiting);
        Some(waiting)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.ending.len().saturating_add(self.presences.len())
    }

    fn pop_presence(&mut self) -> Option<Waiting<P>> {
        let (_, (subject, waiting)) = self.presences.pop_first()?;
        self.newest.remove(&subject);
        Some(waiting)
    }

    fn forget(&mut self, subject: &Subject) {
        let older = self.newest.remove(subject).and_then(|number| self.presences.remove(&number));
        if let Some((_, waiting)) = older {
            self.left(&waiting);
        }
    }

    fn left(&mut self, waiting: &Waiting<P>) {
        self.bytes = self.bytes.saturating_sub(cost(waiting.stanza.len()));
        if self.bytes == 0 {
            // An outage does not keep its memory.
            self.ending.shrink_to_fit();
            self.newest.shrink_to_fit();
        }
    }
}

impl Subject {
    /// What a presence is about. `None` for all that has to arrive whatever comes after it.
    fn of(head: &Head<'_>) -> Option<Self> {
        let matter = match head.presence_type()? {
            PresenceType::Available | PresenceType::Unavailable => Matter::State,
            PresenceType::Subscribe | PresenceType::Unsubscribe => Matter::Request,
            PresenceType::Subscribed | PresenceType::Unsubscribed => Matter::Answer,
            PresenceType::Probe => Matter::Probe,
            PresenceType::Error => return None,
        };
        Some(Self { from: head.from.clone().into_owned(), to: head.to.clone().into_owned(), matter })
    }
}

#[cfg(test)]
mod tests;
