//! Whether watchers are there, before their subscriptions are refreshed (RFC 8048 §8.1): a gateway must not keep SIP traffic going for
//! somebody who has gone.
//!
//! Most servers tell a gateway that is in nobody's roster nothing: `unsubscribed`, or no answer. Then nobody can tell, and only what the
//! watcher itself said to the presentity counts.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use super::Pair;
use crate::address::domain_of;

/// How long an answer is waited for: longer than a server needs to ask another one.
pub const ANSWER: Duration = Duration::from_secs(20);

/// How long an answer counts, for the other subscriptions of the watcher: those of one login are refreshed within it.
const COUNTS: Duration = Duration::from_secs(60);

/// What was heard of a watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Answer {
    /// It has a resource that is available.
    There,
    /// It has none, or does not exist.
    Gone,
    /// Nobody can tell.
    Unknown,
}

/// The probe of one watcher.
type Asked = (String, String);

/// All that are asked about. No more than there are subscriptions.
#[derive(Debug, Default)]
pub(super) struct Proofs {
    /// By watcher and domain that asks.
    asked: BTreeMap<Asked, Proof>,
    /// Oldest first; the times are those of `ANSWER`, then `COUNTS`.
    deadlines: VecDeque<(Instant, Asked)>,
    forgotten: VecDeque<(Instant, Asked)>,
}

#[derive(Debug)]
enum Proof {
    /// Its answer is waited for by these subscriptions.
    Waiting(Vec<Pair>),
    Known(Answer),
}

/// What a question comes to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// A probe has to be sent.
    Ask,
    /// One is on its way.
    Wait,
    /// It was answered just now.
    Answered(Answer),
}

impl Proofs {
    /// The subscription of this pair needs to know.
    pub(super) fn ask(&mut self, now: Instant, pair: &Pair) -> Question {
        let asked = (pair.0.clone(), domain_of(&pair.1).into_owned());
        match self.asked.get_mut(&asked) {
            Some(Proof::Known(answer)) => return Question::Answered(*answer),
            Some(Proof::Waiting(pairs)) => {
                pairs.push(pair.clone());
                return Question::Wait;
            }
            None => {}
        }
        self.deadlines.push_back((now.checked_add(ANSWER).unwrap_or(now), asked.clone()));
        self.asked.insert(asked, Proof::Waiting(vec![pair.clone()]));
        Question::Ask
    }

    /// The watcher, or its server, has answered this domain: the subscriptions that wait for it.
    pub(super) fn answered(&mut self, now: Instant, watcher: &str, domain: &str, answer: Answer) -> Vec<Pair> {
        let asked = (watcher.to_owned(), domain.to_owned());
        match self.asked.get_mut(&asked) {
            Some(proof @ Proof::Waiting(_)) => {
                let before = std::mem::replace(proof, Proof::Known(answer));
                self.forgotten.push_back((now.checked_add(COUNTS).unwrap_or(now), asked));
                if let Proof::Waiting(pairs) = before { pairs } else { Vec::new() }
            }
            // Nobody asked, or the question was answered before.
            Some(Proof::Known(_)) | None => Vec::new(),
        }
    }

    /// The subscriptions whose watchers have not answered in time.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Pair> {
        while let Some(asked) = first_due(&mut self.forgotten, now) {
            self.asked.remove(&asked);
        }
        let mut overdue = Vec::new();
        while let Some((watcher, domain)) = first_due(&mut self.deadlines, now) {
            overdue.append(&mut self.answered(now, &watcher, &domain, Answer::Unknown));
        }
        overdue
    }
}

fn first_due(deadlines: &mut VecDeque<(Instant, Asked)>, now: Instant) -> Option<Asked> {
    deadlines.front().filter(|(at, _)| *at <= now)?;
    deadlines.pop_front().map(|(_, asked)| asked)
}
