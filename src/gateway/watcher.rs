//! SIP users who want to see XMPP users: who was asked, and what was decided (RFC 8048 §5.3, RFC 3857).
//!
//! The presence server lets its watchers wait; presence.winfo tells us of them, and each becomes one `subscribe`. The answer of the
//! XMPP user, or of a server that knows the answer already, goes back as an [`Authorization`]. So does an error: the watcher learns that
//! there is nothing to wait for, and may ask again later.
//!
//! Who does not answer for some days (`waiting_subs_daysno`) is asked no more until a watcher subscribes once more (RFC 3857 §4.7.1, giveup).
//!
//! A question stays open over a stream that breaks: it, or its answer, may have been lost, so it is asked again under the same id when the
//! stream stands. Where both had arrived the user notices nothing of it: a server shows nobody a request that waits already, and answers
//! by itself for who has agreed (RFC 6121 §3.1.3). If it still waits for the stream in our own queue, the new one takes its place there.

mod documents;
mod questions;
mod refusals;
mod released;

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::address::domain_of;
use crate::config::Config;
use crate::gateway::action::Action;
use crate::gateway::action::Authorization;
use crate::gateway::action::Occasion;
use crate::gateway::event;
use crate::gateway::kept::Changes;
use crate::gateway::tally::Tally;
use crate::sip;
use crate::sip::Reason;
use crate::xml::XmlWriter;
use documents::Documents;
use documents::Order;
use questions::Question;
use questions::Questions;
use refusals::Refusals;
use released::Released;

/// Questions that may wait for an answer. For a further one the oldest goes; it is asked again when a NOTIFY (presence.winfo) names it.
pub const MAX_QUESTIONS: usize = 100_000;

/// Those in the name of one SIP user.
pub const MAX_PER_WATCHER: usize = 1000;

/// How long a watcher is told at once that there is no such user, after an error said so.
pub const AGAIN: Duration = Duration::from_secs(10);

/// Lifetime of a presence.winfo subscription where the script names none, in seconds (RFC 3857 §4.3).
pub const WINFO_EXPIRES: u32 = 3600;

/// Watchers looked at in one tick: each costs the presence server a look at its database.
const PER_TICK: usize = 100;

/// What was asked and not answered yet.
#[derive(Debug)]
pub(super) struct Watchers {
    asked: Questions,
    /// How long a question waits for its answer.
    patience: Duration,
    refusals: Refusals,
    released: Released,
    documents: Documents,
    /// Who subscribes to the watchers of XMPP users.
    winfo_watcher: sip::Uri,
    /// Questions that went unanswered, as there were too many.
    dropped: Tally,
    /// Who was let go, and when they may be asked for again.
    ended: HashMap<Question, Instant>,
    /// The same in the order of time, with the URI of the presentity. An entry is valid as long as `ended` says the same time.
    due: VecDeque<(Instant, Question, sip::Uri)>,
    /// Domains of SIP users that have a stream.
    up: BTreeSet<String>,
    /// What is to be written.
    pub(super) changes: Changes<Question>,
}

/// What is known of a SIP user who wants to see an XMPP user, beside what was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// The question is open.
    Asked,
    /// The SIP user was let go just now, which is no decision.
    LetGo,
    Nothing,
}

impl Watchers {
    /// Nobody was asked yet.
    pub(super) fn new(config: &Config, keeps: bool) -> Self {
        Self {
            asked: Questions::new(MAX_PER_WATCHER, MAX_QUESTIONS),
            patience: config.waiting_subs,
            refusals: Refusals::new(config.ask_again),
            released: Released::default(),
            documents: Documents::default(),
            winfo_watcher: config.winfo_watcher(),
            dropped: Tally::default(),
            ended: HashMap::new(),
            due: VecDeque::new(),
            up: BTreeSet::new(),
            changes: Changes::new(keeps),
        }
    }

    /// Who watches an XMPP user, or waits for a decision. `uri` is the SIP URI of that user.
    pub(super) fn told(&mut self, now: Instant, told: event::Watchers, uri: Option<sip::Uri>, actions: &mut Vec<Action>) {
        let event::Watchers { presentity, mut waiting, given_up, document } = told;
        if document.is_some() {
            waiting.retain(|watcher| !self.released.is_news(now, watcher, &presentity));
        }
        match document.map_or(Order::Next, |document| self.documents.order(now, &presentity, &document)) {
            Order::Late => {
                log::debug!("who watches {presentity} is known from a newer document");
                return;
            }
            Order::Next => {}
            Order::Gap => actions.extend(uri.map(|presentity| {
                log::debug!("who watches {presentity} is asked for, as a document was missed");
                let (event, watcher) = (sip::Event::PresenceWinfo, self.winfo_watcher.clone());
                Action::Subscribe(sip::Subscribe { event, presentity, watcher, expires: WINFO_EXPIRES })
            })),
        }
        for watcher in given_up {
            let question = (watcher, presentity.clone());
            if self.asked.close(&question) {
                self.changes.note(|| question);
            }
        }
        self.waiting(now, &presentity, waiting, actions);
    }

    /// These SIP users wait for a decision of this XMPP user.
    pub(super) fn waiting(&mut self, now: Instant, presentity: &str, waiting: Vec<String>, actions: &mut Vec<Action>) {
        let until = now.checked_add(self.patience).unwrap_or(now);
        for watcher in waiting {
            let question = (watcher, presentity.to_owned());
            let Some(number) = self.asked.open(&question, until) else { continue };
            self.changes.note(|| question.clone());
            if self.up.contains(&*domain_of(&question.0)) {
                actions.push(ask(&question, number));
            }
            if let Some(surplus) = self.asked.surplus(&question.0) {
                if let Some(total) = self.dropped.count(now) {
                    let (watcher, presentity) = &surplus;
                    log::warn!(
                        "too many questions wait for an answer: that of {watcher} to {presentity} is dropped; {total} so far"
                    );
                }
                self.changes.note(|| surplus);
            }
        }
    }

    /// The XMPP user decided on a SIP watcher.
    pub(super) fn decided(
        &mut self,
        now: Instant,
        question: Question,
        presentity_uri: sip::Uri,
        decision: Authorization,
        actions: &mut Vec<Action>,
    ) {
        match decision {
            Authorization::Refused => self.refusals.insert(now, &question, presentity_uri.clone()),
            Authorization::Allowed | Authorization::Hidden | Authorization::Pending | Authorization::NoResource => {
                self.refusals.remove(&question);
            }
        }
        let occasion = if self.asked.close(&question) { Occasion::Asked } else { Occasion::Unasked };
        self.ended.remove(&question);
        self.changes.note(|| question.clone());
        actions.push(authorize(question, presentity_uri, decision, occasion));
    }

    /// An error of the XMPP user's server: whether it is the answer to a question, which is then open no more.
    pub(super) fn came_back(&mut self, watcher: &str, presentity: &str, error_id: Option<&str>) -> Occasion {
        let question = (watcher.to_owned(), presentity.to_owned());
        // RFC 6120 §8.3.1 has the id come back. Where it does not, a question is what is most often answered so.
        match self.asked.number(&question) {
            Some(number) if error_id.is_none_or(|error_id| error_id == id(number)) => {
                self.asked.close(&question);
                self.changes.note(|| question);
                Occasion::Asked
            }
            Some(_) | None => Occasion::Unasked,
        }
    }

    /// The SIP watcher sees the XMPP user no more, for this reason. It is no decision of the user: after [`AGAIN`] a new subscription is
    /// asked for anew. Not at once, as the presence server keeps the state for the next SUBSCRIBE, which may be on its way already.
    pub(super) fn end(
        &mut self,
        now: Instant,
        pair: Question,
        uri: sip::Uri,
        (reason, occasion): (Reason, Occasion),
        actions: &mut Vec<Action>,
    ) {
        self.changes.note(|| pair.clone());
        let decision = if reason == Reason::Rejected { Authorization::Refused } else { Authorization::NoResource };
        actions.push(authorize(pair.clone(), uri.clone(), decision, occasion));
        if self.due.len() >= MAX_QUESTIONS {
            actions.push(authorize(pair, uri, Authorization::Pending, occasion));
            return;
        }
        let again = now.checked_add(AGAIN).unwrap_or(now);
        self.ended.insert(pair.clone(), again);
        self.due.push_back((again, pair, uri));
    }

    /// Lets those be asked for again whose time has come, and forgets what was asked in vain.
    pub(super) fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for _ in 0..PER_TICK {
            let Some(question) = self.asked.too_old(now) else { break };
            let (watcher, presentity) = &question;
            log::info!("{presentity} has not decided on {watcher} and is asked no more until that user subscribes once more");
            self.changes.note(|| question);
        }
        self.released.tick(now);
        for _ in 0..PER_TICK {
            let Some((question, uri)) = self.refusals.ended(now) else { break };
            self.changes.note(|| question.clone());
            self.released.insert(now, question.clone());
            actions.push(authorize(question, uri, Authorization::Pending, Occasion::Unasked));
        }
        for _ in 0..PER_TICK {
            if self.due.front().is_none_or(|(again, ..)| *again > now) {
                return;
            }
            let Some((again, pair, uri)) = self.due.pop_front() else { return };
            if self.ended.get(&pair) == Some(&again) {
                self.ended.remove(&pair);
                self.changes.note(|| pair.clone());
                actions.push(authorize(pair, uri, Authorization::Pending, Occasion::Unasked));
            }
        }
    }

    /// The stream of a domain stands: asks for its users what came up while it did not, and what may be lost.
    pub(super) fn stream_up(&mut self, domain: &str, actions: &mut Vec<Action>) {
        self.up.insert(domain.to_owned());
        let asked = self.asked.iter().filter(|(_, (watcher, _))| domain_of(watcher) == domain);
        actions.extend(asked.map(|(number, question)| ask(question, number)));
    }

    /// The stream of a domain broke.
    pub(super) fn stream_down(&mut self, domain: &str) {
        self.up.remove(domain);
    }

    /// What is to be kept of this pair.
    pub(super) fn last(&self, watcher: &str, presentity: &str) -> Last {
        let question = (watcher.to_owned(), presentity.to_owned());
        match self.asked.number(&question) {
            Some(_) => Last::Asked,
            None if self.ended.contains_key(&question) => Last::LetGo,
            None => Last::Nothing,
        }
    }

    /// A refusal from before a restart: how long it has stood is not known, so its time begins anew.
    pub(super) fn restore_refusal(&mut self, now: Instant, question: &Question, presentity_uri: sip::Uri) {
        self.refusals.insert(now, question, presentity_uri);
    }

    /// A question from before a restart is open again, and is put when the stream stands.
    pub(super) fn restore(&mut self, now: Instant, question: Question) {
        let until = now.checked_add(self.patience).unwrap_or(now);
        if self.asked.open(&question, until).is_some() {
            self.asked.surplus(&question.0);
        }
    }
}

fn authorize((watcher, presentity): Question, presentity_uri: sip::Uri, decision: Authorization, occasion: Occasion) -> Action {
    Action::Authorize { watcher, presentity, presentity_uri, decision, occasion }
}

fn ask((watcher, presentity): &Question, number: u64) -> Action {
    let mut xml = XmlWriter::new();
    xml.open("presence").attribute("from", watcher).attribute("to", presentity).attribute("type", "subscribe");
    xml.attribute("id", &id(number));
    Action::Stanza(xml.finish())
}

/// By it an error is known to answer a question, and not a presence.
fn id(number: u64) -> String {
    format!("ask-{number:x}")
}
