//! Publications over a restart. What is published then may have changed unheard: it is as after a broken stream, so each user is probed, and
//! who does not answer is taken away.

use std::time::Instant;

use super::EXPIRES;
use super::Publication;
use super::Publications;
use super::REFRESH;
use super::Said;
use super::user_of;
use crate::config::PresenceComposition;
use crate::sip;
use crate::sip::pidf;
use crate::store::entry;
use crate::translate::contact_lamp::Signs;
use crate::translate::presence::Rank;

/// Of those who are shown a resource so many are kept: one of each domain is enough to probe in their names.
const MAX_SHOWN_TO: usize = 16;

impl Publications {
    /// What is to be kept of one.
    pub(in crate::gateway) fn entry(&self, jid: &str) -> Option<entry::Publication> {
        let known = self.known.get(jid)?;
        let shown_to = known.shown_to.iter().chain(&known.cut_off).take(MAX_SHOWN_TO);
        Some(entry::Publication {
            jid: jid.to_owned(),
            presentity: known.publish.presentity.clone(),
            id: known.publish.id.clone(),
            body: known.publish.body.clone().unwrap_or_default(),
            entity_tag: self.entity_tag(&known.publish),
            shown_to: shown_to.cloned().collect(),
        })
    }

    /// What the host was given, as far as that is known when everything is taken back: of each resource, or of the one that stood for all
    /// of a user's.
    pub(in crate::gateway) fn host_had(&self) -> impl Iterator<Item = sip::Publish> {
        let (each, composed) = match self.composition {
            PresenceComposition::All => (Some(self.known.values().map(|known| known.publish.clone())), None),
            PresenceComposition::MostAvailable => (None, Some(self.composed.keys().filter_map(|user| self.newest_of(user)))),
        };
        each.into_iter().flatten().chain(composed.into_iter().flatten())
    }

    /// Takes one back. False: there is no place for it.
    pub(in crate::gateway) fn restore(&mut self, now: Instant, kept: entry::Publication) -> bool {
        let entry::Publication { jid, presentity, id, body, entity_tag, shown_to } = kept;
        if self.known.contains_key(&jid) || shown_to.is_empty() || self.shares.take(user_of(&jid)).is_err() {
            return false;
        }
        let publish = sip::Publish { presentity, id, body: (!body.is_empty()).then_some(body), expires: EXPIRES };
        let due = now.checked_add(REFRESH).unwrap_or(now);
        // The host may have lost it: what it is told next is no refresh.
        let document = publish.body.as_deref().and_then(|body| pidf::Document::parse(body).ok());
        let publication = Publication {
            signs: document.as_ref().map(Signs::of_pidf).unwrap_or_default(),
            rank: document.as_ref().map(Rank::of_pidf).unwrap_or_default(),
            said: Said::Older,
            cut_off: shown_to.into_iter().collect(),
            ..Publication::of(publish, due)
        };
        if let Some(entity_tag) = entity_tag {
            self.inherit(&publication.publish, entity_tag);
        }
        if self.composition == PresenceComposition::MostAvailable {
            self.restore_composed(user_of(&jid), &publication.publish);
        }
        self.touched.insert(user_of(&jid).to_owned());
        self.known.insert(jid.clone(), publication);
        self.due.insert((due, jid), ());
        true
    }
}
