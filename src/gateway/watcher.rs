//! SIP users who want to see XMPP users: who was asked, and what was decided (RFC 8048 §5.3, RFC 3857).
//!
//! The presence server lets its watchers wait; presence.winfo tells us of them, and each becomes one `subscribe`. The answer of the
//! XMPP user, or of a server that knows the answer already, goes back as an [`Authorization`].

use std::collections::HashSet;

use crate::address::domain_of;
use crate::gateway::action::Action;
use crate::gateway::action::Authorization;
use crate::gateway::presence_stanza;
use crate::sip;

/// Questions that may wait for an answer; a further one is asked when the next NOTIFY (presence.winfo) names it again.
pub const MAX_QUESTIONS: usize = 100_000;

/// What was asked and not answered yet: watcher, presentity.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    asked: HashSet<(String, String)>,
}

impl Watchers {
    /// These SIP users wait for a decision of this XMPP user.
    pub(super) fn waiting(&mut self, presentity: &str, waiting: Vec<String>, actions: &mut Vec<Action>) {
        for watcher in waiting {
            let question = (watcher, presentity.to_owned());
            if self.asked.len() >= MAX_QUESTIONS || self.asked.contains(&question) {
                continue;
            }
            actions.push(presence_stanza(&question.0, presentity, "subscribe"));
            self.asked.insert(question);
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
        let (watcher, presentity) = question;
        actions.push(Action::Authorize { watcher, presentity, presentity_uri, decision });
    }

    /// The stream of a domain broke: questions of its users may not have arrived, so they may be asked again.
    pub(super) fn stream_down(&mut self, domain: &str) {
        self.asked.retain(|(watcher, _)| domain_of(watcher) != domain);
    }
}
