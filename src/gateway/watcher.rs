//! SIP users who want to see XMPP users: who was asked, and what was decided (RFC 8048 §5.3, RFC 3857).
//!
//! The presence server lets its watchers wait; presence.winfo tells us of them, and each becomes one `subscribe`. The answer of the
//! XMPP user, or of a server that knows the answer already, goes back as an [`Authorization`]. So does an error: the watcher learns that
//! there is nothing to wait for, and may ask again later. While the stream is down, who waits is remembered here, and asked about when it stands again.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::address::domain_of;
use crate::gateway::action::Action;
use crate::gateway::action::Authorization;
use crate::sip;
use crate::sip::Reason;
use crate::xml::XmlWriter;

/// Questions that may wait for an answer; a further one is asked when the next NOTIFY (presence.winfo) names it again.
pub const MAX_QUESTIONS: usize = 100_000;

/// How long a watcher is told at once that there is no such user, after an error said so.
pub const AGAIN: Duration = Duration::from_secs(10);

/// Watchers looked at in one tick: each costs the presence server a look at its database.
const PER_TICK: usize = 100;

/// What was asked and not answered yet.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// The number of the question for watcher and presentity.
    asked: HashMap<(String, String), u64>,
    questions: u64,
    /// Who was let go, watcher and presentity, and when they may be asked for again.
    ended: HashMap<(String, String), Instant>,
    /// The same in the order of time, with the URI of the presentity. An entry is valid as long as `ended` says the same time.
    due: VecDeque<(Instant, (String, String), sip::Uri)>,
    /// Domains of SIP users that have a stream.
    up: BTreeSet<String>,
}

impl Watchers {
    /// These SIP users wait for a decision of this XMPP user.
    pub(super) fn waiting(&mut self, presentity: &str, waiting: Vec<String>, actions: &mut Vec<Action>) {
        for watcher in waiting {
            let question = (watcher, presentity.to_owned());
            if self.asked.len() >= MAX_QUESTIONS || self.asked.contains_key(&question) {
                continue;
            }
            self.questions = self.questions.wrapping_add(1);
            if self.up.contains(&*domain_of(&question.0)) {
                actions.push(ask(&question, self.questions));
            }
            self.asked.insert(question, self.questions);
        }
    }

    /// The XMPP user decided on a SIP watcher.
    pub(super) fn decided(
        &mut self,
        watcher: String,
        presentity: String,
        presentity_uri: sip::Uri,
        decision: Authorization,
        actions: &mut Vec<Action>,
    ) {
        let question = (watcher, presentity);
        self.asked.remove(&question);
        self.ended.remove(&question);
        actions.push(authorize(question, presentity_uri, decision));
    }

    /// An error of the XMPP user's server: whether it is the answer to a question, which is then open no more.
    pub(super) fn came_back(&mut self, watcher: &str, presentity: &str, error_id: Option<&str>) -> bool {
        let question = (watcher.to_owned(), presentity.to_owned());
        // RFC 6120 §8.3.1 has the id come back. Where it does not, a question is what is most often answered so.
        let answers = self.asked.get(&question).is_some_and(|number| error_id.is_none_or(|error_id| error_id == id(*number)));
        if answers {
            self.asked.remove(&question);
        }
        answers
    }

    /// The SIP watcher sees the XMPP user no more, for this reason. It is no decision of the user: after [`AGAIN`] a new subscription is
    /// asked for anew. Not at once, as the presence server keeps the state for the next SUBSCRIBE, which may be on its way already.
    pub(super) fn end(&mut self, now: Instant, pair: (String, String), uri: sip::Uri, reason: Reason, actions: &mut Vec<Action>) {
        let decision = if reason == Reason::Rejected { Authorization::Refused } else { Authorization::NoResource };
        actions.push(authorize(pair.clone(), uri.clone(), decision));
        if self.due.len() >= MAX_QUESTIONS {
            actions.push(authorize(pair, uri, Authorization::Pending));
            return;
        }
        let again = now.checked_add(AGAIN).unwrap_or(now);
        self.ended.insert(pair.clone(), again);
        self.due.push_back((again, pair, uri));
    }

    /// Lets those be asked for again whose time has come.
    pub(super) fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for _ in 0..PER_TICK {
            if self.due.front().is_none_or(|(again, ..)| *again > now) {
                return;
            }
            let Some((again, pair, uri)) = self.due.pop_front() else { return };
            if self.ended.get(&pair) == Some(&again) {
                self.ended.remove(&pair);
                actions.push(authorize(pair, uri, Authorization::Pending));
            }
        }
    }

    /// The stream of a domain stands: asks for its users what came up while it did not.
    pub(super) fn stream_up(&mut self, domain: &str, actions: &mut Vec<Action>) {
        self.up.insert(domain.to_owned());
        let asked = self.asked.iter().filter(|((watcher, _), _)| domain_of(watcher) == domain);
        actions.extend(asked.map(|(question, number)| ask(question, *number)));
    }

    /// The stream of a domain broke: questions of its users may not have arrived, so they may be asked again.
    pub(super) fn stream_down(&mut self, domain: &str) {
        self.up.remove(domain);
        self.asked.retain(|(watcher, _), _| domain_of(watcher) != domain);
    }
}

fn authorize((watcher, presentity): (String, String), presentity_uri: sip::Uri, decision: Authorization) -> Action {
    Action::Authorize { watcher, presentity, presentity_uri, decision }
}

/// By it an error is known to answer a question, and not a presence.
fn ask((watcher, presentity): &(String, String), question: u64) -> Action {
    let mut xml = XmlWriter::new();
    xml.open("presence").attribute("from", watcher).attribute("to", presentity).attribute("type", "subscribe");
    xml.attribute("id", &id(question));
    Action::Stanza(xml.finish())
}

fn id(question: u64) -> String {
    format!("ask-{question:x}")
}
