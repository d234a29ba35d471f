//! One publication a user (`presence_composition` most-available): that of the resource where it is most available.

use std::cmp::Reverse;
use std::collections::HashMap;

use super::Publication;
use super::Publications;
use super::Said;
use crate::gateway::action::Action;
use crate::sip;
use crate::translate::presence::COMPOSED_ID;

/// What was published last of each user, by bare JID.
pub(super) type Composed = HashMap<String, sip::Publish>;

impl Publications {
    /// Publishes for a user, a bare JID, what changed. `refreshed` is the full JID of a resource whose state runs out.
    pub(super) fn compose(&mut self, user: &str, refreshed: Option<&str>, actions: &mut Vec<Action>) {
        let Some((jid, newest)) = self.stands_for(user) else {
            actions.extend(self.composed.remove(user).map(Publication::end));
            return;
        };
        let is_refreshed = refreshed == Some(jid);
        match self.composed.get(user) {
            Some(before) if *before == newest && !is_refreshed => return,
            // It would stay under the URI that the user had.
            Some(before) if before.presentity != newest.presentity => actions.push(Publication::end(before.clone())),
            Some(_) | None => {}
        }
        actions.push(Action::Publish(newest.clone()));
        self.composed.insert(user.to_owned(), newest);
    }

    /// The state of the resource that stands for this user now.
    pub(super) fn newest_of(&self, user: &str) -> Option<sip::Publish> {
        self.stands_for(user).map(|(_, newest)| newest)
    }

    fn stands_for(&self, user: &str) -> Option<(&str, sip::Publish)> {
        let user_itself = self.known.get_key_value(user).into_iter();
        let said = user_itself.chain(self.of_user(user)).filter(|(_, known)| known.said != Said::Nothing);
        let (jid, newest) = said.min_by_key(|(jid, known)| (Reverse(&known.rank), *jid))?;
        Some((jid, sip::Publish { id: COMPOSED_ID.to_owned(), ..newest.publish.clone() }))
    }

    /// Something was published of this user before a restart; what is not known, so that whatever comes is another state.
    pub(super) fn restore_composed(&mut self, user: &str, one: &sip::Publish) {
        let before = || sip::Publish { id: COMPOSED_ID.to_owned(), body: None, ..one.clone() };
        self.composed.entry(user.to_owned()).or_insert_with(before);
    }
}
