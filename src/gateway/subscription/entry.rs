//! One subscription: what is remembered of it.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Instant;

use super::EXPIRES;
use super::LONGEST_ID;
use super::Pair;
use super::Uris;
use super::Wish;
use super::dialogs::Dialogs;
use super::table::Phase;
use crate::gateway::action::Action;
use crate::gateway::presence_stanza;
use crate::translate::presence::Availability;
use crate::translate::presence::TuplePresence;

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) phase: Phase,
    pub(super) uris: Uris,
    /// A `subscribe` waits for its answer.
    pub(super) announce: Announce,
    /// Whom a failure is told to.
    pub(super) asked: Asked,
    pub(super) dialogs: Dialogs,
    /// What the presentity said last, by resource: it answers probes, and tells what has changed and which resource has vanished.
    pub(super) shown: BTreeMap<String, TuplePresence>,
    /// The resources of which the watcher has not been told what is shown.
    pub(super) news: BTreeSet<String>,
    /// What the watcher was told in sum.
    pub(super) told: Told,
    /// What the presentity is called, as far as it told this watcher.
    pub(super) display_name: Option<String>,
    /// Whether the watcher is there, as far as it told this presentity.
    pub(super) watcher: Whereabouts,
    /// The lifetime to ask for, in seconds.
    pub(super) expires: u32,
    /// When the last SUBSCRIBE was sent.
    pub(super) sent: Option<Instant>,
    /// A NOTIFY has come since.
    pub(super) heard: bool,
    /// When the dialog runs out.
    pub(super) ends: Option<Instant>,
    /// Pauses so far without an active NOTIFY between them.
    pub(super) failures: u32,
    /// When to look at it again, and why.
    pub(super) due: Option<(Instant, Due)>,
}

/// Why a subscription is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Something was waited for and has not come.
    Silence,
    /// A pause is over.
    Retry,
    /// It is from before a restart: whether its dialog still stands has to be found out.
    Restored,
    /// The dialog would run out.
    Refresh,
    /// It is over, and no NOTIFY can be on its way any more.
    Forget,
}

/// The stanza that nothing has come of yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Asked {
    /// None: the SUBSCRIBE is one of the gateway's own, under an authorization that stands.
    ByNobody,
    /// One with this id.
    By(Option<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Announce {
    Due,
    Done,
}

/// Whom a watcher was told to be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It was told nothing yet.
    Nothing,
    Nobody,
    Somebody,
}

/// Where a watcher is, by what it told this presentity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Whereabouts {
    /// It has told nothing, or does not let the presentity know.
    Unknown,
    /// It lets the presentity know nothing: an `unavailable` does not mean that it is gone.
    Hidden,
    /// `unavailable`.
    Gone,
}

impl Subscription {
    pub(super) fn new(uris: Uris, phase: Phase, announce: Announce) -> Self {
        Self {
            phase,
            uris,
            announce,
            asked: Asked::ByNobody,
            dialogs: Dialogs::default(),
            shown: BTreeMap::new(),
            news: BTreeSet::new(),
            told: Told::Nothing,
            display_name: None,
            watcher: Whereabouts::Unknown,
            expires: EXPIRES,
            sent: None,
            heard: false,
            ends: None,
            failures: 0,
            due: None,
        }
    }

    /// Keeps the id of a stanza that waits for its answer. One that comes to an active subscription has it at once.
    pub(super) fn asked_by(&mut self, wish: Wish, id: Option<&str>) {
        if !self.is_known() && (wish == Wish::Subscribe || self.announce == Announce::Done) {
            self.asked = Asked::By(id.filter(|id| id.len() <= LONGEST_ID).map(str::to_owned));
        }
    }

    /// Whether the state of the presentity is known.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.phase, Phase::Active | Phase::Final)
    }

    /// Whether a SUBSCRIBE is on its way.
    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.due, Some((_, Due::Silence)))
    }

    /// Takes the new state; what comes back are the resources that vanished.
    pub(super) fn update(&mut self, presences: Vec<TuplePresence>) -> Vec<String> {
        self.asked = Asked::ByNobody;
        self.failures = 0;
        let before = std::mem::take(&mut self.shown);
        for presence in presences {
            if before.get(&presence.resource) != Some(&presence) {
                self.news.insert(presence.resource.clone());
            }
            self.shown.insert(presence.resource.clone(), presence);
        }
        let vanished = before.into_iter().filter(|(resource, _)| !self.shown.contains_key(resource));
        vanished.filter(|(_, presence)| presence.availability == Availability::Available).map(|(resource, _)| resource).collect()
    }

    /// Nothing is shown any more; what comes back are the resources that were.
    pub(super) fn withdraw(&mut self) -> Vec<String> {
        self.news.clear();
        if self.told == Told::Somebody {
            self.told = Told::Nobody;
        }
        let shown = std::mem::take(&mut self.shown).into_iter();
        shown.filter(|(_, presence)| presence.availability == Availability::Available).map(|(resource, _)| resource).collect()
    }

    /// What the watcher does not know yet. `vanished` were told to be unavailable just now.
    pub(super) fn tell_news(&mut self, pair: &Pair, vanished: &[String], actions: &mut Vec<Action>) {
        if self.announce == Announce::Due || self.told == Told::Nothing {
            return self.tell(pair, actions);
        }
        let news: Vec<&TuplePresence> = self.news.iter().filter_map(|resource| self.shown.get(resource)).collect();
        if news.is_empty() && vanished.is_empty() && self.told == Told::Somebody && !self.shows_any() {
            actions.push(presence_stanza(&pair.1, &pair.0, "unavailable"));
        }
        actions.extend(news.into_iter().map(|presence| Action::Stanza(presence.stanza.clone())));
        self.has_told();
    }

    /// All that the watcher is to know.
    pub(super) fn tell(&mut self, (watcher, presentity): &Pair, actions: &mut Vec<Action>) {
        if self.announce == Announce::Due {
            self.announce = Announce::Done;
            actions.push(presence_stanza(presentity, watcher, "subscribed"));
        }
        if self.shown.is_empty() {
            // RFC 8048 §5.2.1: active without a body is a state that is not known: nobody is there.
            actions.push(presence_stanza(presentity, watcher, "unavailable"));
        }
        actions.extend(self.shown.values().map(|presence| Action::Stanza(presence.stanza.clone())));
        self.has_told();
    }

    /// The answer to a probe: the resources that are there, or that nobody is (RFC 6121 §4.3.2).
    pub(super) fn answer(&self, (watcher, presentity): &Pair, actions: &mut Vec<Action>) {
        if !self.shows_any() {
            actions.push(presence_stanza(presentity, watcher, "unavailable"));
        }
        let there = self.shown.values().filter(|presence| presence.availability == Availability::Available);
        actions.extend(there.map(|presence| Action::Stanza(presence.stanza.clone())));
    }

    /// Whether a resource is available.
    pub(super) fn shows_any(&self) -> bool {
        self.shown.values().any(|presence| presence.availability == Availability::Available)
    }

    fn has_told(&mut self) {
        self.news.clear();
        self.told = if self.shows_any() { Told::Somebody } else { Told::Nobody };
    }
}
