//! XMPP users whom SIP phones watch as lamps at the presence server of this host (`contact_lamp`): one publication of the event "dialog" a user,
//! as long as the lamp is lit.
//!
//! Whoever may see the user's presence may see the lamp, and nobody else: the presence server asks for both in the same way. It is lit by what
//! is published, so a state that waits for a token lights nothing yet. A lamp that is dark has no publication, so a restart that forgets one
//! leaves it lit until its lifetime is over, which is short. What the store knows of shows is not forgotten.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;

use crate::config::Config;
use crate::config::ContactLamp;
use crate::config::ContactState;
use crate::gateway::action::Action;
use crate::gateway::publication::MAX_PUBLICATIONS;
use crate::gateway::publication::PER_TICK;
use crate::gateway::share::Shares;
use crate::sip;
use crate::sip::pidf;
use crate::translate::contact_lamp;
use crate::translate::contact_lamp::Lamp;
use crate::translate::contact_lamp::Signs;
use crate::translate::presence::Rank;
use crate::xmpp::activity::Activity;

/// Lifetime of a publication, in seconds.
pub const EXPIRES: u32 = 600;

/// It is said again after this time.
pub const REFRESH: Duration = Duration::from_secs(450);

/// Tells these publications from others of the presentity.
const ID: &str = "lamp";

/// The lamps that are lit.
#[derive(Debug)]
pub(super) struct Lamps {
    /// `None`: this host has none to light.
    lights: Option<ContactLamp>,
    /// By bare JID.
    lit: BTreeMap<String, Lit>,
    /// When they are to be said again.
    due: BTreeSet<(Instant, String)>,
    /// Who is on the phone, as events of PEP say, bare JIDs.
    on_the_phone: BTreeSet<String>,
    shares: Shares,
}

#[derive(Debug)]
struct Lit {
    publish: sip::Publish,
    due: Instant,
}

impl Lamps {
    /// All are dark.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            lights: config.contact_lamp.clone().filter(|_| config.publishes_contact_lamps()),
            lit: BTreeMap::new(),
            due: BTreeSet::new(),
            on_the_phone: BTreeSet::new(),
            shares: Shares::new(1, MAX_PUBLICATIONS),
        }
    }

    /// What lights them; `None`: nobody is to be looked at.
    pub(super) fn lights(&self) -> Option<&ContactLamp> {
        self.lights.as_ref()
    }

    /// Whether PEP says that this user is on the phone.
    pub(super) fn is_on_the_phone(&self, user: &str) -> bool {
        self.on_the_phone.contains(user)
    }

    /// PEP says what a user, a bare JID, is at.
    pub(super) fn heard(&mut self, user: &str, activity: Activity) {
        if !self.lights.as_ref().is_some_and(|lights| lights.shows(ContactState::OnThePhone)) {
            return;
        }
        match activity {
            Activity::OnThePhone if self.is_on_the_phone(user) => {}
            Activity::OnThePhone => match self.shares.take(user) {
                Ok(()) => drop(self.on_the_phone.insert(user.to_owned())),
                Err(full) => log::debug!("no place for the activity of {user}: {full}"),
            },
            Activity::Other => {
                if self.on_the_phone.remove(user) {
                    self.shares.give_back(user);
                }
            }
        }
    }

    /// The lamp of a user is to be so. `uri` is the user's SIP URI.
    pub(super) fn set(&mut self, now: Instant, user: &str, uri: Option<sip::Uri>, lamp: Lamp, actions: &mut Vec<Action>) {
        let wanted = uri.filter(|_| lamp == Lamp::Lit);
        if let Some(known) = self.lit.get(user) {
            if wanted.as_ref() == Some(&known.publish.presentity) {
                return;
            }
            self.put_out(user, actions);
        }
        let Some(presentity) = wanted else { return };
        actions.push(Action::Lamp(self.light(now.checked_add(REFRESH).unwrap_or(now), user, presentity)));
    }

    /// Whether a state that was published before a restart, as PIDF, lit a lamp by itself.
    pub(super) fn was_lit(&self, published: &[u8]) -> bool {
        let signs = pidf::Document::parse(published).map(|document| Signs::of_pidf(&document)).unwrap_or_default();
        let lamp = |lights| contact_lamp::lamp(lights, [(&Rank::default(), signs)].into_iter(), false);
        self.lights.as_ref().is_some_and(|lights| lamp(lights) == Lamp::Lit)
    }

    /// The presence server may have this lamp from before a restart. It is said again with the next tick, unless the user has another state by
    /// then.
    pub(super) fn restore(&mut self, now: Instant, user: &str, presentity: sip::Uri) {
        if !self.lit.contains_key(user) {
            self.light(now, user, presentity);
        }
    }

    /// Says again what runs out.
    pub(super) fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for _ in 0..PER_TICK {
            let Some((due, user)) = self.due.first().filter(|(due, _)| *due <= now).cloned() else { return };
            self.due.remove(&(due, user.clone()));
            let Some(known) = self.lit.get_mut(&user) else { continue };
            known.due = now.checked_add(REFRESH).unwrap_or(now);
            self.due.insert((known.due, user));
            actions.push(Action::Lamp(known.publish.clone()));
        }
    }

    /// It is lit, and said again when it is due.
    fn light(&mut self, due: Instant, user: &str, presentity: sip::Uri) -> sip::Publish {
        let body = Some(contact_lamp::document(&presentity, 0, Some(Lamp::Lit)).into_bytes());
        let publish = sip::Publish { presentity, id: ID.to_owned(), body, expires: EXPIRES };
        self.due.insert((due, user.to_owned()));
        self.lit.insert(user.to_owned(), Lit { publish: publish.clone(), due });
        publish
    }

    fn put_out(&mut self, user: &str, actions: &mut Vec<Action>) {
        let Some(Lit { publish, due }) = self.lit.remove(user) else { return };
        self.due.remove(&(due, user.to_owned()));
        actions.push(Action::Lamp(sip::Publish { body: None, expires: 0, ..publish }));
    }
}
