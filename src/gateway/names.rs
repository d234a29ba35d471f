//! Which URIs go with which JIDs, today and before the last change of the map of addresses.

use std::time::Instant;

use jid::Jid;

use super::Gateway;
use super::action::Action;
use super::subscription::Pair;
use super::subscription::Uris;
use crate::address::Addresses;
use crate::sip;
use crate::translate;
use crate::translate::failure;
use crate::xmpp::stanza::PresenceType;
use crate::xmpp::stanza_error::StanzaError;

impl Gateway {
    /// The operator may have changed the map of addresses: what was translated before is compared with it once.
    pub(super) fn follow_the_map(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let generation = self.addresses.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        let addresses = &self.addresses;
        self.subscriptions.rename(|uris| pair(addresses, uris));
        let jid = |jid: Result<Jid, _>| jid.ok().map(|jid| jid.into_bare().into_inner());
        let today = |dialog: &sip::Dialog| {
            let presentity = jid(addresses.xmpp_user_to_jid(dialog.local_uri().as_bytes()))?;
            Some((jid(addresses.sip_user_to_jid(dialog.remote_uri().as_bytes()))?, presentity))
        };
        self.notifier.rename(now, today, actions);
        self.publications.rename(now, |jid| addresses.jid_to_sip(&Jid::new(jid).ok()?).ok(), actions);
    }

    pub(super) fn uris(&self, pair: &Pair, from: &Jid, to: &Jid, kind: PresenceType) -> Result<Uris, StanzaError> {
        match kind {
            PresenceType::Subscribe | PresenceType::Unsubscribe | PresenceType::Probe => match self.subscriptions.uris(pair) {
                // The dialog has the URIs that it was made with.
                Some(uris) => Ok(uris.clone()),
                None => Ok(Uris { watcher: self.to_sip(from)?, presentity: self.to_sip(to)? }),
            },
            // Said to whom a server has on its list, be it by a name from before.
            PresenceType::Available
            | PresenceType::Unavailable
            | PresenceType::Subscribed
            | PresenceType::Unsubscribed
            | PresenceType::Error => {
                let presentity = translate::uri(self.addresses.jid_to_sip_loosely(to)).map_err(failure::address_error)?;
                Ok(Uris { watcher: self.to_sip(from)?, presentity })
            }
        }
    }

    pub(super) fn to_sip(&self, jid: &Jid) -> Result<sip::Uri, StanzaError> {
        translate::uri(self.addresses.jid_to_sip(jid)).map_err(failure::address_error)
    }
}

/// The URIs of a subscription that is new to us. Names of a dialog from before a change of the map can be those of anybody.
pub(super) fn uris(addresses: &Addresses, (watcher, presentity): &Pair) -> Option<Uris> {
    let [watcher, presentity] = [Jid::new(watcher).ok()?, Jid::new(presentity).ok()?];
    if addresses.is_mapped() && (addresses.is_sip_user(&watcher) || !addresses.is_sip_user(&presentity)) {
        return None;
    }
    let uri = |jid: &Jid| translate::uri(addresses.jid_to_sip(jid)).ok();
    Some(Uris { watcher: uri(&watcher)?, presentity: uri(&presentity)? })
}

/// What the map of today makes of the URIs of a subscription.
pub(super) fn pair(addresses: &Addresses, uris: &Uris) -> Option<Pair> {
    let jid = |uri: &str| addresses.sip_to_jid_loosely(uri.as_bytes()).ok().map(|jid| jid.into_bare().into_inner());
    Some((jid(&uris.watcher)?, jid(&uris.presentity)?))
}
