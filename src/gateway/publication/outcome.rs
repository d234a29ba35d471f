//! What became of publications: the entity tags under which a presence server has them (RFC 3903 §4.1), and those that it did not take.
//!
//! pua keeps the tags, and after a crash it knows old ones or none. What it publishes then stands beside the state from before, until that
//! runs out. So the tags are kept here too: once a state is published anew, or is to end, what is left under the old tag is withdrawn. If pua
//! knew that tag, there is nothing under it by then, and the withdrawal fails (412), as it should.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use super::Publication;
use super::Publications;
use super::Said;
use super::user_of;
use crate::config::PresenceComposition;
use crate::gateway::action::Action;
use crate::gateway::event::Outcome;
use crate::gateway::event::Published;
use crate::sip;
use crate::sip::Withdrawal;
use crate::translate::presence::COMPOSED_ID;

/// How often a state is published again that was not taken.
const TRIES: u32 = 5;

/// When an answer is overdue: a request without one is over by then (RFC 3261 §17.1.2.2), and pua tells of no other failure on each host.
const OVERDUE: Duration = Duration::from_secs(35);

/// The same for what is published first after a restart. pua may have used a tag that is not valid any more.
const OVERDUE_AFTER_RESTART: Duration = Duration::from_secs(10);

/// By presentity, a SIP URI, and id.
#[derive(Debug, Default)]
pub(super) struct EntityTags(HashMap<(String, String), EntityTag>);

#[derive(Debug, Default)]
struct EntityTag {
    newest: Option<String>,
    /// The newest from before a restart.
    inherited: Option<String>,
}

/// How it stands with what was published last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has come, or is not waited for.
    Here,
    /// It is waited for; so often it failed before.
    Awaited(u32),
    /// It was none; so often by now. It is published again.
    Failed(u32),
}

impl EntityTags {
    fn newest(&self, publish: &sip::Publish) -> Option<&String> {
        self.0.get(&key(publish))?.newest.as_ref()
    }
}

fn key(publish: &sip::Publish) -> (String, String) {
    (publish.presentity.to_string(), publish.id.clone())
}

impl Publications {
    /// A state was published, or not. False: it has ended since.
    pub(in crate::gateway) fn published(&mut self, now: Instant, published: &Published, actions: &mut Vec<Action>) -> bool {
        let Published { user, presentity, id, outcome } = published;
        let is_composed = id == COMPOSED_ID && self.composition == PresenceComposition::MostAvailable;
        let is_it = |known: &Publication| &*known.publish.presentity == presentity && (is_composed || known.publish.id == *id);
        let of_user = self.known.get_key_value(user).into_iter().chain(self.of_user(user));
        let resources: Vec<String> = of_user.filter(|(_, known)| is_it(known)).map(|(jid, _)| jid.clone()).collect();
        let Some(first) = resources.first() else { return false };
        match outcome {
            Outcome::Stored { entity_tag, replaced } => {
                self.tells_outcomes = true;
                self.stored(first, (presentity, id), [entity_tag, replaced], actions);
                for jid in &resources {
                    self.changes.note(|| jid.clone());
                    if let Some(known) = self.known.get_mut(jid).filter(|known| known.answer != Answer::Here) {
                        known.answer = Answer::Here;
                        if known.said == Said::Newest {
                            self.look_again(jid, now.checked_add(super::REFRESH));
                        }
                    }
                }
            }
            Outcome::Failed => {
                if is_composed && let Some(composed) = self.composed.get_mut(user) {
                    // Whatever comes is another state.
                    composed.body = None;
                }
                self.failed(now, first);
            }
        }
        true
    }

    fn stored(
        &mut self,
        jid: &str,
        (presentity, id): (&str, &str),
        [entity_tag, replaced]: [&Option<String>; 2],
        actions: &mut Vec<Action>,
    ) {
        let tag = self.entity_tags.0.entry((presentity.to_owned(), id.to_owned())).or_default();
        tag.newest.clone_from(entity_tag);
        let old = tag.inherited.take().filter(|old| ![entity_tag, replaced].contains(&&Some(old.clone())));
        let presentity = self.known.get(jid).map(|known| known.publish.presentity.clone());
        actions
            .extend(old.zip(presentity).map(|(entity_tag, presentity)| Action::Withdraw(Withdrawal { presentity, entity_tag })));
    }

    /// The state of a resource was not taken: it is published again, a little later each time.
    fn failed(&mut self, now: Instant, jid: &str) {
        let Some(known) = self.known.get_mut(jid) else { return };
        let before = match known.answer {
            Answer::Here => 0,
            Answer::Awaited(failures) | Answer::Failed(failures) => failures,
        };
        if before >= TRIES {
            log::warn!("the presence of {jid} is not published {before} times in a row; it is tried again with the next change");
            known.answer = Answer::Here;
            self.look_again(jid, now.checked_add(super::REFRESH));
            return;
        }
        known.answer = Answer::Failed(before.saturating_add(1));
        known.said = Said::Older;
        self.look_again(jid, now.checked_add(Duration::from_secs(1 << before)));
    }

    /// An answer is overdue, if one is waited for: then it is as if it were none.
    pub(super) fn is_overdue(&mut self, now: Instant, jid: &str) -> bool {
        let is_awaited = self.known.get(jid).is_some_and(|known| matches!(known.answer, Answer::Awaited(_)));
        if is_awaited {
            let user = user_of(jid).to_owned();
            if let Some(composed) = self.composed.get_mut(&user) {
                composed.body = None;
            }
            self.failed(now, jid);
        }
        is_awaited
    }

    /// A state goes out: when its answer is overdue, where the host tells of answers.
    pub(super) fn overdue(&mut self, jid: &str) -> Option<Duration> {
        let known = self.known.get_mut(jid).filter(|_| self.tells_outcomes)?;
        let (failures, patience) = match known.answer {
            Answer::Here => (0, OVERDUE),
            Answer::Awaited(failures) | Answer::Failed(failures) => (failures, OVERDUE),
        };
        let is_inherited = self.entity_tags.0.get(&key(&known.publish)).is_some_and(|tag| tag.inherited.is_some());
        known.answer = Answer::Awaited(failures);
        Some(if is_inherited { OVERDUE_AFTER_RESTART } else { patience })
    }

    /// A publication ends: what is left of it from before a restart ends too.
    pub(in crate::gateway) fn ended(&mut self, publish: &sip::Publish, actions: &mut Vec<Action>) {
        let inherited = self.entity_tags.0.remove(&key(publish)).and_then(|tag| tag.inherited);
        let presentity = publish.presentity.clone();
        actions.extend(inherited.map(|entity_tag| Action::Withdraw(Withdrawal { presentity, entity_tag })));
    }

    /// The tag of a resource, to be kept.
    pub(super) fn entity_tag(&self, publish: &sip::Publish) -> Option<String> {
        match self.composition {
            PresenceComposition::All => self.entity_tags.newest(publish).cloned(),
            PresenceComposition::MostAvailable => {
                self.entity_tags.newest(&sip::Publish { id: COMPOSED_ID.to_owned(), body: None, ..publish.clone() }).cloned()
            }
        }
    }

    /// The tag that a resource had before a restart.
    pub(super) fn inherit(&mut self, publish: &sip::Publish, entity_tag: String) {
        let id = match self.composition {
            PresenceComposition::All => publish.id.clone(),
            PresenceComposition::MostAvailable => COMPOSED_ID.to_owned(),
        };
        self.tells_outcomes = true;
        let tag = EntityTag { newest: Some(entity_tag.clone()), inherited: Some(entity_tag) };
        self.entity_tags.0.insert((publish.presentity.to_string(), id), tag);
    }
}
