//! What became of publications: the entity tags under which a presence server has them (RFC 3903 §4.1), and those that it did not take.
//!
//! pua keeps the tags, and after a crash it knows old ones or none. What it publishes then stands beside the state from before, until that
//! runs out. So the tags are kept here too: once a state is published anew, or is to end, what is left under the old tag is withdrawn. If pua
//! knew that tag, there is nothing under it by then, and the withdrawal fails (412), as it should.
//!
//! Until the first PUBLISH is answered there is no tag: Kamailio's pua would make another publication of the next state, and nothing of an
//! end. So there is one PUBLISH under way for each publication there. States between are left out, and an end is made good when the answer
//! comes. OpenSIPS's pua has them wait by itself.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use super::News;
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

/// When it is tried again after that.
const GIVEN_UP: Duration = Duration::from_secs(300);

/// Failures that far apart are none in a row. Some hosts tell of no success.
const IN_A_ROW: Duration = Duration::from_secs(120);

/// When an answer is overdue: a request without one is over by then (RFC 3261 §17.1.2.2), and pua tells of no other failure on each host.
const OVERDUE: Duration = Duration::from_secs(35);

/// The same for what is published first after a restart. pua may have used a tag that is not valid any more.
const OVERDUE_AFTER_RESTART: Duration = Duration::from_secs(10);

/// Entity tags at the most, when those whose publications have ended are forgotten.
const MOST: usize = 2 * super::MAX_PUBLICATIONS;

/// By presentity, a SIP URI, and id.
#[derive(Debug, Default)]
pub(super) struct EntityTags(HashMap<(String, String), EntityTag>);

#[derive(Debug, Default)]
struct EntityTag {
    newest: Option<String>,
    /// The newest from before a restart.
    inherited: Option<String>,
    /// Whether a PUBLISH is not answered yet, where the next one waits for that.
    is_awaited: bool,
    /// Whether the publication has ended since; what came after it is not published yet.
    is_over: bool,
}

/// How it stands with what was published last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has come, or is not waited for.
    Here,
    /// It is waited for; so often it failed before.
    Awaited(u32),
    /// It was none; so often by now, the last time then. It is published again.
    Failed(u32, Instant),
}

/// What is left of a publication that ended before it was answered.
fn left_over(presentity: &str, outcome: &Outcome) -> Option<Withdrawal> {
    match outcome {
        Outcome::Stored { entity_tag: Some(entity_tag), .. } => {
            Some(Withdrawal { presentity: sip::Uri::new(presentity.to_owned())?, entity_tag: entity_tag.clone() })
        }
        Outcome::Stored { entity_tag: None, .. } | Outcome::Failed => None,
    }
}

fn key(publish: &sip::Publish) -> (String, String) {
    (publish.presentity.to_string(), publish.id.clone())
}

impl Publications {
    /// From now on one PUBLISH is under way for each publication.
    pub(in crate::gateway) fn publish_one_by_one(&mut self) {
        (self.tells_outcomes, self.one_by_one) = (true, true);
    }

    /// Whether the host was given a state of this user, a bare JID, under this presentity and id, and that has not ended.
    pub(in crate::gateway) fn is_published(&self, user: &str, presentity: &str, id: &str) -> bool {
        if id == COMPOSED_ID && self.composition == PresenceComposition::MostAvailable {
            return self.composed.get(user).is_some_and(|composed| &*composed.presentity == presentity);
        }
        let of_user = self.known.get(user).into_iter().chain(self.of_user(user).map(|(_, known)| known));
        let mut published = of_user.filter(|known| known.said != Said::Nothing).map(|known| &known.publish);
        published.any(|publish| &*publish.presentity == presentity && publish.id == id)
    }

    /// A state was published, or not. False: it has ended since.
    pub(in crate::gateway) fn published(&mut self, now: Instant, published: &Published, actions: &mut Vec<Action>) -> bool {
        let Published { user, presentity, id, outcome } = published;
        let is_composed = id == COMPOSED_ID && self.composition == PresenceComposition::MostAvailable;
        let is_it = |known: &Publication| &*known.publish.presentity == presentity && (is_composed || known.publish.id == *id);
        let of_user = self.known.get_key_value(user).into_iter().chain(self.of_user(user));
        let resources: Vec<String> = of_user.filter(|(_, known)| is_it(known)).map(|(jid, _)| jid.clone()).collect();
        let tag = self.entity_tags.0.get_mut(&(presentity.clone(), id.clone()));
        let was_over = tag.is_some_and(|tag| {
            tag.is_awaited = false;
            tag.is_over
        });
        let Some(first) = resources.first() else {
            if was_over {
                self.entity_tags.0.remove(&(presentity.clone(), id.clone()));
                actions.extend(left_over(presentity, outcome).map(Action::Withdraw));
            }
            return was_over;
        };
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
                    self.let_go(now, jid, actions);
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

    /// A state that waited for the answer to the one before is published now.
    fn let_go(&mut self, now: Instant, jid: &str, actions: &mut Vec<Action>) {
        if let Some(known) = self.known.get_mut(jid).filter(|known| known.is_held) {
            known.is_held = false;
            self.publish(now, jid, News::Yes, actions);
        }
    }

    /// Whether a state has to wait for the answer to the one before; then it is published later.
    pub(super) fn hold(&mut self, now: Instant, jid: &str) -> bool {
        let key = self.known.get(jid).map(|known| self.key_of(&known.publish));
        // If the one before is over, that stays so: this one may end before it is published, and the host is told of no end then.
        if !key.and_then(|key| self.entity_tags.0.get(&key)).is_some_and(|tag| tag.is_awaited) {
            return false;
        }
        if let Some(known) = self.known.get_mut(jid) {
            let waits_already = std::mem::replace(&mut known.is_held, true) && known.due > now;
            if known.said == Said::Newest {
                known.said = Said::Older;
            }
            if !waits_already && !matches!(known.answer, Answer::Awaited(_)) {
                self.look_again(jid, now.checked_add(OVERDUE));
            }
        }
        true
    }

    /// Under which key the publication of a resource is.
    fn key_of(&self, publish: &sip::Publish) -> (String, String) {
        let (presentity, id) = key(publish);
        match self.composition {
            PresenceComposition::All => (presentity, id),
            PresenceComposition::MostAvailable => (presentity, COMPOSED_ID.to_owned()),
        }
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
            Answer::Failed(_, last) if now.saturating_duration_since(last) > IN_A_ROW => 0,
            Answer::Awaited(failures) | Answer::Failed(failures, _) => failures,
        };
        known.is_held = false;
        if before >= TRIES {
            log::warn!(
                "the presence of {jid} is not published {before} times in a row; it is tried again in 5 min, or with the next change"
            );
            known.answer = Answer::Here;
            self.look_again(jid, now.checked_add(GIVEN_UP));
            return;
        }
        known.answer = Answer::Failed(before.saturating_add(1), now);
        known.said = Said::Older;
        self.look_again(jid, now.checked_add(Duration::from_secs(1 << before)));
    }

    /// An answer is overdue, if one is waited for: then it is as if it were none.
    pub(super) fn is_overdue(&mut self, now: Instant, jid: &str) -> bool {
        let Some(known) = self.known.get(jid) else { return false };
        let key = self.key_of(&known.publish);
        let is_awaited = |known: &Publication| matches!(known.answer, Answer::Awaited(_));
        // The answer may be to what this resource, or another one, said before it left.
        let user = user_of(jid);
        let of_user = || self.known.get(user).into_iter().chain(self.of_user(user).map(|(_, other)| other));
        let is_left_behind = || known.is_held && !of_user().any(|other| is_awaited(other) && self.key_of(&other.publish) == key);
        let is_overdue = is_awaited(known) || is_left_behind();
        if is_overdue {
            if let Some(tag) = self.entity_tags.0.get_mut(&key) {
                tag.is_awaited = false;
            }
            if let Some(composed) = self.composed.get_mut(user) {
                composed.body = None;
            }
            self.failed(now, jid);
        }
        is_overdue
    }

    /// A state goes out: when its answer is overdue, where the host tells of answers.
    pub(super) fn overdue(&mut self, jid: &str) -> Option<Duration> {
        let key = self.known.get(jid).filter(|_| self.tells_outcomes).map(|known| self.key_of(&known.publish))?;
        let tag = self.entity_tags.0.entry(key).or_default();
        (tag.is_awaited, tag.is_over) = (self.one_by_one, false);
        let is_inherited = tag.inherited.is_some();
        let known = self.known.get_mut(jid)?;
        let (failures, patience) = match known.answer {
            Answer::Here => (0, OVERDUE),
            Answer::Awaited(failures) | Answer::Failed(failures, _) => (failures, OVERDUE),
        };
        known.answer = Answer::Awaited(failures);
        Some(if is_inherited { OVERDUE_AFTER_RESTART } else { patience })
    }

    /// A publication ends: what is left of it from before a restart ends too.
    pub(in crate::gateway) fn ended(&mut self, publish: &sip::Publish, actions: &mut Vec<Action>) {
        let Some(tag) = self.entity_tags.0.get_mut(&key(publish)) else { return };
        let inherited = tag.inherited.take();
        tag.is_over = true;
        if !tag.is_awaited {
            self.entity_tags.0.remove(&key(publish));
        } else if self.entity_tags.0.len() > MOST {
            // Answers that never came.
            self.entity_tags.0.retain(|_, tag| !tag.is_over);
        }
        let presentity = publish.presentity.clone();
        actions.extend(inherited.map(|entity_tag| Action::Withdraw(Withdrawal { presentity, entity_tag })));
    }

    /// The tag of a resource, to be kept.
    pub(super) fn entity_tag(&self, publish: &sip::Publish) -> Option<String> {
        self.entity_tags.0.get(&self.key_of(publish))?.newest.clone()
    }

    /// The tag that a resource had before a restart.
    pub(super) fn inherit(&mut self, publish: &sip::Publish, entity_tag: String) {
        self.tells_outcomes = true;
        let tag = EntityTag { newest: Some(entity_tag.clone()), inherited: Some(entity_tag), ..EntityTag::default() };
        self.entity_tags.0.insert(self.key_of(publish), tag);
    }
}
