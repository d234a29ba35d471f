//! The presence of the gateway itself: who asks for it is told that it is there, and, when it stops, that it is not (RFC 6121 §4.3, §4.6).
//!
//! Everybody may see it. An XMPP server probes it whenever a user who subscribed logs in, so nothing is kept over a restart.

use std::collections::BTreeSet;

use jid::Jid;

use crate::gateway::action::Action;
use crate::gateway::entity::Entity;
use crate::gateway::presence_stanza;
use crate::xml::XmlWriter;
use crate::xmpp::stanza::PresenceType;

/// Users who are remembered as told at the most. Further ones are answered, but not told when the gateway stops.
pub const MAX_TOLD: usize = 10_000;

/// Who was told that the gateway is there.
#[derive(Debug)]
pub(super) struct OwnPresence {
    domain: String,
    /// Its capabilities, as an element.
    caps: String,
    /// Bare JIDs.
    told: BTreeSet<String>,
}

impl OwnPresence {
    /// That of this domain; nobody knows of it yet.
    pub(super) fn new(domain: &str) -> Self {
        Self { domain: domain.to_owned(), caps: Entity::Gateway.caps().to_xml(), told: BTreeSet::new() }
    }

    /// Somebody sent the gateway a presence stanza.
    pub(super) fn received(&mut self, from: &Jid, kind: PresenceType, actions: &mut Vec<Action>) {
        let user = from.to_bare().into_inner();
        match kind {
            PresenceType::Subscribe => {
                actions.push(presence_stanza(&self.domain, &user, "subscribed"));
                actions.push(self.available(&user));
                self.remember(user);
            }
            PresenceType::Probe => {
                actions.push(self.available(from.as_str()));
                self.remember(user);
            }
            PresenceType::Unsubscribe => {
                self.told.remove(&user);
                actions.push(presence_stanza(&self.domain, &user, "unavailable"));
                actions.push(presence_stanza(&self.domain, &user, "unsubscribed"));
            }
            // What was said did not arrive.
            PresenceType::Error => drop(self.told.remove(&user)),
            // The gateway watches nobody.
            PresenceType::Available | PresenceType::Unavailable | PresenceType::Subscribed | PresenceType::Unsubscribed => {}
        }
    }

    /// The stream stands again: the servers may have taken the gateway for gone.
    pub(super) fn stream_up(&self, actions: &mut Vec<Action>) {
        actions.extend(self.told.iter().map(|user| self.available(user)));
    }

    /// The gateway stops.
    pub(super) fn stop(&mut self, actions: &mut Vec<Action>) {
        let told = std::mem::take(&mut self.told);
        actions.extend(told.into_iter().map(|user| presence_stanza(&self.domain, &user, "unavailable")));
    }

    fn remember(&mut self, user: String) {
        if self.told.len() < MAX_TOLD {
            self.told.insert(user);
        }
    }

    fn available(&self, to: &str) -> Action {
        let mut xml = XmlWriter::new();
        xml.open("presence").attribute("from", &self.domain).attribute("to", to).element(&self.caps);
        Action::Stanza(xml.finish())
    }
}
