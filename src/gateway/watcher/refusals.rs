//! Refusals that pass: after some time a watcher who subscribes once more is asked for once more (`ask_again_interval`).
//!
//! RFC 6665 §4.1.3 has a watcher who was rejected not come back by itself, and phones do. XMPP forgets a refusal: the next `subscribe` is a
//! new question (RFC 6121 §3.1). So a refusal stands for a while, whatever phones do, and not for ever.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use super::questions::Question;
use crate::gateway::share::Shares;
use crate::sip;

/// Refusals that end at the most. Further ones stay.
pub(super) const MAX_REFUSALS: usize = 100_000;

/// Those of one XMPP user: who sends them for watchers that do not exist takes no place from others.
const MAX_PER_USER: usize = 1000;

/// Who was refused.
#[derive(Debug)]
pub(super) struct Refusals {
    /// How long one stands; `None`: for ever.
    interval: Option<Duration>,
    ends: HashMap<Question, Instant>,
    /// The same in the order of time, with the URI of the presentity. An entry is valid as long as `ends` says the same time.
    due: VecDeque<(Instant, Question, sip::Uri)>,
    shares: Shares,
}

impl Refusals {
    pub(super) fn new(interval: Option<Duration>) -> Self {
        let (ends, due) = (HashMap::new(), VecDeque::new());
        Self { interval, ends, due, shares: Shares::new(MAX_PER_USER, MAX_REFUSALS) }
    }

    /// The XMPP user refused a watcher.
    pub(super) fn insert(&mut self, now: Instant, question: &Question, uri: sip::Uri) {
        let Some(end) = self.interval.and_then(|interval| now.checked_add(interval)) else { return };
        // Said twice, it stands as long as when it was said first: nobody makes the queue longer by that.
        if self.ends.contains_key(question) || self.due.len() >= MAX_REFUSALS || self.shares.take(&question.1).is_err() {
            return;
        }
        self.ends.insert(question.clone(), end);
        self.due.push_back((end, question.clone(), uri));
    }

    /// The XMPP user decided otherwise.
    pub(super) fn remove(&mut self, question: &Question) {
        if self.ends.remove(question).is_some() {
            self.shares.give_back(&question.1);
        }
    }

    /// One that has ended.
    pub(super) fn ended(&mut self, now: Instant) -> Option<(Question, sip::Uri)> {
        while self.due.front().is_some_and(|(end, ..)| *end <= now) {
            let (end, question, uri) = self.due.pop_front()?;
            if self.ends.get(&question) == Some(&end) {
                self.remove(&question);
                return Some((question, uri));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn refuse(refusals: &mut Refusals, now: Instant, watcher: &str, presentity: &str) {
        refusals.insert(now, &(watcher.to_owned(), presentity.to_owned()), sip::Uri::new("sip:r@x".to_owned()).unwrap());
    }

    fn ended(refusals: &mut Refusals, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| refusals.ended(now)).map(|((watcher, _), _)| watcher).collect()
    }

    #[test]
    fn a_refusal_stands_for_its_time_and_what_was_taken_back_ends_not() {
        let (mut refusals, now) = (Refusals::new(Some(HOUR)), Instant::now());
        for watcher in ["a@s", "b@s", "a@s"] {
            refuse(&mut refusals, now, watcher, "r@x");
        }
        refusals.remove(&("b@s".into(), "r@x".into()));
        refuse(&mut refusals, now + HOUR / 2, "b@s", "r@x");
        assert_eq!(ended(&mut refusals, now + HOUR - Duration::from_secs(1)), [""; 0]);
        assert_eq!(ended(&mut refusals, now + HOUR), ["a@s"]);
        assert_eq!(ended(&mut refusals, now + 2 * HOUR), ["b@s"]);
        assert!(refusals.ends.is_empty() && refusals.due.is_empty());
    }

    #[test]
    fn one_user_takes_no_place_from_others() {
        let (mut refusals, now) = (Refusals::new(Some(HOUR)), Instant::now());
        for number in 0..2 * MAX_PER_USER {
            refuse(&mut refusals, now, &format!("u{number}@s"), "r@x");
        }
        refuse(&mut refusals, now, "a@s", "m@x");
        assert_eq!(ended(&mut refusals, now + HOUR).len(), MAX_PER_USER + 1);
    }

    #[test]
    fn it_may_stand_for_ever() {
        let (mut refusals, now) = (Refusals::new(None), Instant::now());
        refuse(&mut refusals, now, "a@s", "r@x");
        assert_eq!(refusals.due.len(), 0);
    }
}
