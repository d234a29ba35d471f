//! The presence of the gateway itself: who asks for it is told that it is there, and, when it stops, that it is not (RFC 6121 §4.3, §4.6).
//!
//! Everybody may see it. An XMPP server probes it whenever a user who subscribed logs in, so nothing is kept over a restart.

use std::collections::BTreeSet;

use jid::Jid;

use crate::address::domain_of;
use crate::config::MAX_COMPONENTS;
use crate::gateway::action::Action;
use crate::gateway::entity::Entity;
use crate::gateway::presence_stanza;
use crate::gateway::share::Shares;
use crate::xml::XmlWriter;
use crate::xmpp::stanza::PresenceType;

/// Users who are remembered as told at the most. Further ones are answered, but not told when the gateway stops.
pub const MAX_TOLD: usize = 10_000;

/// Who was told that the gateway is there.
#[derive(Debug)]
pub(super) struct OwnPresence {
    /// Its capabilities, as an element.
    caps: String,
    told: BTreeSet<Told>,
    /// How many of them are of each domain.
    shares: Shares,
}

/// One who was told.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Told {
    /// Bare JID.
    user: String,
    /// The domain of ours that the user asked.
    domain: String,
}

impl OwnPresence {
    /// Nobody knows of it yet.
    pub(super) fn new() -> Self {
        Self { caps: Entity::Gateway.caps(None).to_xml(), told: BTreeSet::new(), shares: Shares::new(MAX_COMPONENTS, MAX_TOLD) }
    }

    /// Somebody sent a presence stanza to this domain of ours.
    pub(super) fn received(&mut self, from: &Jid, domain: &str, kind: PresenceType, actions: &mut Vec<Action>) {
        let asker = Told { user: from.to_bare().into_inner(), domain: domain.to_owned() };
        match kind {
            PresenceType::Subscribe => {
                actions.push(presence_stanza(domain, &asker.user, "subscribed"));
                actions.push(self.available(domain, &asker.user));
                self.remember(asker);
            }
            PresenceType::Probe => {
                actions.push(self.available(domain, from.as_str()));
                self.remember(asker);
            }
            PresenceType::Unsubscribe => {
                actions.push(presence_stanza(domain, &asker.user, "unavailable"));
                actions.push(presence_stanza(domain, &asker.user, "unsubscribed"));
                self.came_back(&asker.user, domain);
            }
            // The gateway watches nobody.
            PresenceType::Available | PresenceType::Unavailable | PresenceType::Subscribed | PresenceType::Unsubscribed => {}
            // What ends by it, ends in `came_back`.
            PresenceType::Error => {}
        }
    }

    /// Presence of this domain of ours came back: this user, a bare JID, is not there to be told any more. Who is there again is told
    /// when its server probes.
    pub(super) fn came_back(&mut self, user: &str, domain: &str) {
        let told = Told { user: user.to_owned(), domain: domain.to_owned() };
        if self.told.remove(&told) {
            self.shares.give_back(&told.user);
        }
    }

    /// The stream of a domain stands again: the servers may have taken the gateway for gone.
    pub(super) fn stream_up(&self, domain: &str, actions: &mut Vec<Action>) {
        let told = self.told.iter().filter(|told| domain_of(&told.domain) == domain);
        actions.extend(told.map(|told| self.available(&told.domain, &told.user)));
    }

    /// The gateway stops.
    pub(super) fn stop(&mut self, actions: &mut Vec<Action>) {
        for told in std::mem::take(&mut self.told) {
            self.shares.give_back(&told.user);
            actions.push(presence_stanza(&told.domain, &told.user, "unavailable"));
        }
    }

    fn remember(&mut self, asker: Told) {
        if !self.told.contains(&asker) && self.shares.take(&asker.user).is_ok() {
            self.told.insert(asker);
        }
    }

    fn available(&self, domain: &str, to: &str) -> Action {
        let mut xml = XmlWriter::new();
        xml.open("presence").attribute("from", domain).attribute("to", to).element(&self.caps);
        Action::Stanza(xml.finish())
    }
}
