//! What one SIP user knows of one XMPP user, in however many dialogs (RFC 8048 §5.3): whether it may see it, and what it sees.

use std::rc::Rc;

use jid::Jid;

use super::dialog::Says;
use super::numbers::Numbers;
use crate::address::Addresses;
use crate::config::ContactLamp;
use crate::config::PresenceComposition;
use crate::sip::Package;
use crate::sip::pidf::MAX_TUPLES;
use crate::translate::contact_lamp;
use crate::translate::contact_lamp::Lamp;
use crate::translate::presence::Availability;
use crate::translate::presence::Rank;
use crate::translate::presence::ResourcePresence;
use crate::translate::presence::most_available;
use crate::translate::presence::to_pidf;

/// Octets of notes that are kept for one; what goes beyond has its notes taken away.
const MAX_NOTE_OCTETS: usize = 8192;

/// The two users, bare JIDs, in one block of text. A copy of it is a reference.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Pair(Rc<str>);

impl Pair {
    pub(super) fn new(watcher: &str, presentity: &str) -> Self {
        Self([watcher, "\n", presentity].concat().into())
    }

    /// The SIP user.
    pub(super) fn watcher(&self) -> &str {
        self.names().0
    }

    /// The XMPP user.
    pub(super) fn presentity(&self) -> &str {
        self.names().1
    }

    pub(super) fn to_names(&self) -> (String, String) {
        (self.watcher().to_owned(), self.presentity().to_owned())
    }

    /// No JID has a line feed in it.
    fn names(&self) -> (&str, &str) {
        self.0.split_once('\n').unwrap_or_default()
    }
}

/// As long as it has a dialog.
#[derive(Debug)]
pub(super) struct VirtualSubscription {
    pub(super) phase: Phase,
    /// Goes up with each change that a watcher can see; never 0.
    pub(super) version: u32,
    /// The numbers of its dialogs.
    pub(super) dialogs: Numbers,
    /// The resources that are there or, where none is, the last one that was. Empty: nothing is known.
    shown: Vec<Shown>,
    /// How often the stream broke: the answer to an earlier probe clears no later doubt.
    pub(super) doubts: u32,
    /// From before a restart: its watchers were shown what is not known here.
    is_restored: bool,
    /// As events of PEP say.
    pub(super) on_the_phone: bool,
}

/// What the XMPP user has to do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nobody asked for more than the state of the moment.
    Fetch,
    /// Was asked, and has not decided.
    Pending,
    /// Agreed.
    Active,
}

#[derive(Debug)]
struct Shown {
    presence: ResourcePresence,
    /// The stream broke since it was heard.
    doubtful: bool,
}

/// Whether a watcher sees a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Visible,
    None,
}

impl Shown {
    /// Its resource is not there any more.
    fn gone(&self) -> ResourcePresence {
        ResourcePresence::gone(self.presence.resource())
    }
}

impl VirtualSubscription {
    pub(super) fn new(phase: Phase) -> Self {
        let (dialogs, shown) = (Numbers::default(), Vec::new());
        Self { phase, version: 1, dialogs, shown, doubts: 0, is_restored: false, on_the_phone: false }
    }

    /// One from before a restart.
    pub(super) fn restored(phase: Phase) -> Self {
        Self { is_restored: true, ..Self::new(phase) }
    }

    /// Whether the state of the XMPP user was ever heard.
    pub(super) fn knows_state(&self) -> bool {
        !self.shown.is_empty()
    }

    /// Whether a resource of the XMPP user is there, beyond doubt.
    pub(super) fn is_there(&self) -> bool {
        self.shown.iter().any(|shown| !shown.doubtful && shown.presence.availability() == Availability::Available)
    }

    /// The XMPP user agreed.
    pub(super) fn activate(&mut self) -> Change {
        if self.phase == Phase::Active {
            return Change::None;
        }
        self.phase = Phase::Active;
        self.next_version();
        Change::Visible
    }

    /// A resource said what it is doing; one that leaves is forgotten, unless it is the last.
    pub(super) fn heard(&mut self, presence: ResourcePresence, composition: PresenceComposition) -> Change {
        if self.phase == Phase::Pending && presence.availability() == Availability::Unavailable {
            // Servers take note of a `subscribe` in this way, whether the user is there or not.
            return Change::None;
        }
        let before = self.stands_for_all(composition);
        let octets: usize = self.shown.iter().map(|shown| shown.presence.note_octets()).sum();
        let too_long = octets.saturating_add(presence.note_octets()) > MAX_NOTE_OCTETS;
        let presence = if too_long { presence.without_notes() } else { presence };
        let change = match presence.availability() {
            Availability::Available => self.available(presence),
            Availability::Unavailable => self.unavailable(presence),
        };
        self.changed(change, before, composition)
    }

    /// The stream broke: what is known may have changed unheard.
    pub(super) fn doubt(&mut self) {
        self.doubts = self.doubts.wrapping_add(1);
        for shown in &mut self.shown {
            shown.doubtful = true;
        }
    }

    /// What was not heard since [`Self::doubt`] is gone.
    pub(super) fn believe_no_more(&mut self, composition: PresenceComposition) -> Change {
        let before = self.stands_for_all(composition);
        let mut change = Change::None;
        if self.is_restored && self.shown.is_empty() {
            change = self.unavailable(ResourcePresence::gone(""));
        }
        let doubtful: Vec<ResourcePresence> = self.shown.iter().filter(|shown| shown.doubtful).map(Shown::gone).collect();
        for gone in doubtful {
            if self.unavailable(gone) == Change::Visible {
                change = Change::Visible;
            }
        }
        self.changed(change, before, composition)
    }

    /// What a NOTIFY says of it: a document of this package; `version` is that of a lamp.
    pub(super) fn said(
        &self,
        says: Says,
        package: Package,
        version: u32,
        (pair, lights, composition, addresses): (&Pair, Option<&ContactLamp>, PresenceComposition, &Addresses),
    ) -> Option<String> {
        let lamp = |lamp| lamp_document(pair.presentity(), version, lamp, addresses);
        match (says, package) {
            (Says::State, Package::Presence) => self.document(pair, composition, addresses),
            (Says::State, Package::Dialog) => lamp(self.lamp(lights)),
            (Says::Closed, Package::Presence) if self.phase == Phase::Active => closed(pair.presentity(), addresses),
            (Says::Closed, Package::Dialog) if self.phase == Phase::Active => lamp(Some(Lamp::Dark)),
            (Says::Closed | Says::Nothing, Package::Presence | Package::Dialog) => None,
        }
    }

    /// What the watcher sees, as PIDF; `None` where nothing is known, or it may not be seen.
    fn document(&self, pair: &Pair, composition: PresenceComposition, addresses: &Addresses) -> Option<String> {
        if self.phase == Phase::Pending || self.shown.is_empty() {
            return None;
        }
        let user = Jid::new(pair.presentity()).ok()?;
        let resources = self.shown.iter().map(|shown| &shown.presence);
        match composition {
            PresenceComposition::All => to_pidf(&user, resources, addresses).ok(),
            PresenceComposition::MostAvailable => to_pidf(&user, most_available(resources), addresses).ok(),
        }
    }

    /// Whether it lights a lamp; `None` where nothing is known, or it may not be seen.
    fn lamp(&self, lights: Option<&ContactLamp>) -> Option<Lamp> {
        if self.phase == Phase::Pending || self.shown.is_empty() {
            return None;
        }
        let there = || {
            let all = self.shown.iter().map(|shown| &shown.presence);
            all.filter(|presence| presence.availability() == Availability::Available)
        };
        let ranks: Vec<Rank> = there().map(ResourcePresence::rank).collect();
        Some(contact_lamp::lamp(lights?, ranks.iter().zip(there().map(ResourcePresence::signs)), self.on_the_phone))
    }

    /// The same as a number that is never 0: what a watcher of the lamp was told last.
    pub(super) fn lamp_version(&self, lights: Option<&ContactLamp>) -> u32 {
        match (self.phase, self.lamp(lights)) {
            (Phase::Pending, _) => 1,
            (Phase::Active | Phase::Fetch, None) => 2,
            (Phase::Active | Phase::Fetch, Some(Lamp::Dark)) => 3,
            (Phase::Active | Phase::Fetch, Some(Lamp::Lit)) => 4,
        }
    }

    fn available(&mut self, presence: ResourcePresence) -> Change {
        let known = self.shown.iter_mut().find(|shown| shown.presence.resource() == presence.resource());
        if let Some(known) = known {
            known.doubtful = false;
            if known.presence.says_the_same(&presence) {
                known.presence.on_the_phone = presence.on_the_phone;
                return Change::None;
            }
            known.presence = presence;
        } else {
            if self.shown.len() >= MAX_TUPLES {
                return Change::None;
            }
            self.shown.reserve_exact(1);
            self.shown.push(Shown { presence, doubtful: false });
        }
        self.shown.retain(|shown| shown.presence.availability() == Availability::Available);
        Change::Visible
    }

    fn unavailable(&mut self, presence: ResourcePresence) -> Change {
        let was_there = |shown: &Shown| shown.presence.availability() == Availability::Available;
        let before = (self.shown.iter().filter(|shown| was_there(shown)).count(), self.shown.is_empty());
        // From the bare JID it is said of all of them.
        self.shown.retain(|shown| {
            was_there(shown) && !presence.resource().is_empty() && shown.presence.resource() != presence.resource()
        });
        let after = self.shown.len();
        if after > 0 {
            return if after == before.0 { Change::None } else { Change::Visible };
        }
        self.shown.reserve_exact(1);
        self.shown.push(Shown { presence, doubtful: false });
        // That nobody is there was known, or there was somebody.
        if before.0 == 0 && !before.1 { Change::None } else { Change::Visible }
    }

    /// The resource that is shown for all, if one is.
    fn stands_for_all(&self, composition: PresenceComposition) -> Option<ResourcePresence> {
        match composition {
            PresenceComposition::All => None,
            PresenceComposition::MostAvailable => most_available(self.shown.iter().map(|shown| &shown.presence)).cloned(),
        }
    }

    /// What changed while it may not be seen is no change for the watcher, nor is that of a resource that another stands for; `before` stood for
    /// all until now.
    fn changed(&mut self, change: Change, before: Option<ResourcePresence>, composition: PresenceComposition) -> Change {
        let after = self.stands_for_all(composition);
        let is_hidden = before.zip(after).is_some_and(|(before, after)| before.says_the_same(&after));
        if change == Change::None || self.phase == Phase::Pending || is_hidden {
            return Change::None;
        }
        self.next_version();
        Change::Visible
    }

    fn next_version(&mut self) {
        self.version = self.version.checked_add(1).unwrap_or(1);
    }
}

/// The lamp of an XMPP user.
fn lamp_document(presentity: &str, version: u32, lamp: Option<Lamp>, addresses: &Addresses) -> Option<String> {
    let entity = addresses.jid_to_sip(&Jid::new(presentity).ok()?).ok()?;
    Some(contact_lamp::document(&entity, version, lamp))
}

/// That an XMPP user is not there, as PIDF.
fn closed(presentity: &str, addresses: &Addresses) -> Option<String> {
    let user = Jid::new(presentity).ok()?;
    to_pidf(&user, [&ResourcePresence::gone("")], addresses).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_may_be_hundreds_of_thousands() {
        let [known, shown] = [size_of::<VirtualSubscription>(), size_of::<Shown>()];
        assert!(known <= 56 && shown <= 96, "{known} and {shown} bytes");
    }
}
