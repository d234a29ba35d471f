//! XMPP users who watch SIP users: RFC 8048 §5.2, RFC 6665 §4.1.3.
//!
//! XMPP knows a long-lived authorization, SIP a dialog that has to be refreshed. The host's pua holds the dialog; this machine holds
//! what XMPP must not notice of it.
//!
//! ```text
//!  subscribe --> Asked --NOTIFY active--> Active --NOTIFY terminated (not rejected)--> Asked again, after a pause
//!                  |                        |
//!                  +--403 489 603, rejected-+--> gone, `unsubscribed`
//!                  +--404, 3xx, 406 ...--> gone, a stanza error
//!  unsubscribe --> Ending --any final reply--> gone, `unsubscribed`
//! ```
//!
//! A 2xx says nothing (RFC 8048 §5.2.1), nor does a NOTIFY pending: only the first NOTIFY active is `subscribed`.

mod dialogs;
mod kept;
mod renamed;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use crate::address::domain_of;
use crate::gateway::action::Action;
use crate::gateway::event::Notify;
use crate::gateway::event::SubscribeReply;
use crate::gateway::kept::Changes;
use crate::gateway::presence_stanza;
use crate::gateway::share::Full;
use crate::gateway::share::Shares;
use crate::gateway::tally::Tally;
use crate::sip;
use crate::sip::Reason;
use crate::sip::SubscriptionState;
use crate::translate::failure;
use crate::translate::presence::Availability;
use crate::translate::presence::TuplePresence;
use crate::xmpp::stanza::Kind;
use crate::xmpp::stanza::error_stanza;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;
use dialogs::Dialogs;
use dialogs::Says;

/// Subscriptions held at the most. One that finds no place is answered with `resource-constraint`.
pub const MAX_SUBSCRIPTIONS: usize = 100_000;

/// Those of one XMPP user.
pub const MAX_PER_USER: usize = 1000;

/// Lifetime asked for in a SUBSCRIBE, in seconds (RFC 3856 §6.4: 3600).
pub const EXPIRES: u32 = 3600;

/// Ends that wait for the stream at the most; more are logged and left to the next probe.
const MAX_FAREWELLS: usize = 100_000;

/// How long pua may be silent after a SUBSCRIBE: longer than its transaction lives (RFC 3261 §17.1.2.2: 32 s). It can be silent for
/// ever, where it could not send at all, or ends a subscription that it does not hold.
const SILENCE: Duration = Duration::from_secs(40);

/// Subscriptions looked at in one tick: where all are due at once, the rest of the process must not wait for them.
pub const PER_TICK: usize = 500;

/// The longest id of a stanza that is kept for its error.
const LONGEST_ID: usize = 1023;

/// The longest time between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// Who watches whom, as bare JIDs: the XMPP user, then the SIP user.
pub(super) type Pair = (String, String);

/// The same two users as bare SIP URIs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Uris {
    pub(super) watcher: sip::Uri,
    pub(super) presentity: sip::Uri,
}

/// All subscriptions of XMPP users.
#[derive(Debug)]
pub(super) struct Subscriptions {
    known: HashMap<Pair, Subscription>,
    /// How many each XMPP user has.
    shares: Shares,
    /// Those that found no place.
    refused: Tally,
    /// When to look at which again, earliest first. An entry is valid as long as its subscription still says the same time.
    due: BTreeMap<(Instant, Pair), ()>,
    /// Domains of SIP users that have a stream. While one has none, states are kept and told afterwards.
    up: BTreeSet<String>,
    /// What the map of today makes of the URIs of a subscription, and the names that it has.
    renamed: HashMap<Pair, Pair>,
    /// What ended while its stream was down, with the SIP user it is about: told when the stream stands again.
    farewells: Vec<(String, Action)>,
    /// What is to be written.
    pub(super) changes: Changes<Pair>,
}

#[derive(Debug)]
struct Subscription {
    phase: Phase,
    uris: Uris,
    /// A `subscribe` waits for its answer.
    announce: Announce,
    /// Whom a failure is told to.
    asked: Asked,
    dialogs: Dialogs,
    /// What the watcher was shown last, by resource: it answers probes, and tells which resource has vanished.
    shown: BTreeMap<String, TuplePresence>,
    /// What the presentity is called, as far as it told this watcher.
    display_name: Option<String>,
    /// Pauses so far without an active NOTIFY between them.
    failures: u32,
    /// When to look at it again, and why.
    due: Option<(Instant, Due)>,
}

/// Why a subscription is looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// A SUBSCRIBE was sent and nothing was heard.
    Silence,
    /// A pause is over.
    Retry,
    /// It is from before a restart: whether its dialog still stands has to be found out.
    Restored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Asked,
    Active,
    Ending,
}

/// The stanza that nothing has come of yet.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    /// None: the SUBSCRIBE is one of the gateway's own, under an authorization that stands.
    ByNobody,
    /// One with this id.
    By(Option<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Announce {
    Due,
    Done,
}

/// Why the machine was asked to subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// `<presence type='subscribe'/>`: wants an answer.
    Subscribe,
    /// `<presence type='probe'/>`: wants the present state.
    Probe,
}

impl Subscriptions {
    /// None yet.
    pub(super) fn new(keeps: bool) -> Self {
        Self {
            known: HashMap::new(),
            shares: Shares::new(MAX_PER_USER, MAX_SUBSCRIPTIONS),
            refused: Tally::default(),
            due: BTreeMap::new(),
            up: BTreeSet::new(),
            renamed: HashMap::new(),
            farewells: Vec::new(),
            changes: Changes::new(keeps),
        }
    }

    /// An XMPP user asks for a subscription, or for the state under one; `id` is that of the stanza.
    pub(super) fn ask(
        &mut self,
        now: Instant,
        pair: Pair,
        uris: Uris,
        (wish, id): (Wish, Option<&str>),
        actions: &mut Vec<Action>,
    ) {
        self.changes.note(|| pair.clone());
        let Some(known) = self.known.get_mut(&pair) else {
            if self.place(now, &pair).is_err() {
                actions.push(presence_error(&pair, id, &Condition::ResourceConstraint.into()));
                return;
            }
            self.supersede(&pair, actions);
            let announce = if wish == Wish::Subscribe { Announce::Due } else { Announce::Done };
            let mut subscription = Subscription::new(uris, Phase::Asked, announce);
            subscription.asked_by(wish, id);
            self.known.insert(pair.clone(), subscription);
            self.subscribe(now, &pair, actions);
            return;
        };
        known.asked_by(wish, id);
        match known.phase {
            Phase::Active => {
                if wish == Wish::Subscribe {
                    // RFC 6121 §3.1.3: who is authorized is told so again, without asking anybody.
                    actions.push(presence_stanza(&pair.1, &pair.0, "subscribed"));
                }
                actions.extend(known.shown.values().map(|presence| Action::Stanza(presence.stanza.clone())));
                if known.shown.is_empty() {
                    // So the last NOTIFY said, and the next one will say what changes.
                    actions.push(presence_stanza(&pair.1, &pair.0, "unavailable"));
                }
                return;
            }
            Phase::Asked => {
                if wish == Wish::Subscribe {
                    known.announce = Announce::Due;
                }
                if matches!(known.due, Some((_, Due::Silence))) {
                    // It is on its way: what comes of it answers this wish too.
                    return;
                }
            }
            Phase::Ending => {
                known.phase = Phase::Asked;
                if wish == Wish::Subscribe {
                    known.announce = Announce::Due;
                }
            }
        }
        self.subscribe(now, &pair, actions);
    }

    /// An XMPP user gives a subscription up.
    pub(super) fn unsubscribe(&mut self, now: Instant, pair: Pair, uris: Uris, actions: &mut Vec<Action>) {
        self.changes.note(|| pair.clone());
        if let Some(known) = self.known.get_mut(&pair) {
            if known.phase == Phase::Ending {
                // It is on its way: what comes of it answers this one too.
                return;
            }
            known.phase = Phase::Ending;
        } else if self.place(now, &pair).is_ok() {
            // One that we do not know may still live in the host's pua, from before a restart.
            self.known.insert(pair.clone(), Subscription::new(uris, Phase::Ending, Announce::Done));
        } else {
            actions.push(presence_stanza(&pair.1, &pair.0, "unsubscribed"));
            return;
        }
        self.subscribe(now, &pair, actions);
    }

    /// The final reply to a SUBSCRIBE.
    pub(super) fn reply(&mut self, now: Instant, reply: SubscribeReply, actions: &mut Vec<Action>) {
        let SubscribeReply { watcher, presentity, status, text, address, retry_after } = reply;
        let pair = &(watcher, presentity);
        let Some(known) = self.known.get_mut(pair) else { return };
        match (known.phase, status) {
            (Phase::Ending, _) => self.end(pair, actions),
            (_, 0..=299) => self.look_again(pair, None),
            // RFC 8048 §5.2.2: these end the authorization.
            (_, 403 | 489 | 603) => self.end(pair, actions),
            (Phase::Asked | Phase::Active, _) => {
                let error = failure::to_xmpp(status, text.as_deref().unwrap_or_default(), address.as_deref());
                match (std::mem::replace(&mut known.asked, Asked::ByNobody), error) {
                    (Asked::By(id), Some(error)) if failure::is_final(status) => {
                        self.forget(pair, actions);
                        self.farewell(&pair.1, presence_error(pair, id.as_deref(), &error), actions);
                    }
                    // All others may pass: the authorization stays, we try again.
                    (asked, _) => {
                        known.asked = asked;
                        self.pause(now, pair, status, retry_after);
                    }
                }
            }
        }
    }

    /// Presence came back: this XMPP user is not there to be told any more. The subscription ends on the SIP side, and nothing more is
    /// said to XMPP; should the user come back, its server sends a probe (RFC 6121 §4.3.1), with which it begins anew.
    pub(super) fn came_back(&mut self, pair: &Pair, actions: &mut Vec<Action>) {
        if let Some(known) = self.remove(pair) {
            log::info!("{} cannot be told of {} any more: the subscription ends", pair.0, pair.1);
            actions.push(known.end_in_sip());
        }
    }

    /// The host would not even send a SUBSCRIBE.
    pub(super) fn refused(&mut self, now: Instant, pair: &Pair, actions: &mut Vec<Action>) {
        match self.known.get(pair).map(|known| known.phase) {
            // It holds no such subscription: what was asked for is already so.
            Some(Phase::Ending) => self.end(pair, actions),
            Some(Phase::Asked | Phase::Active) => self.pause(now, pair, 500, None),
            None => {}
        }
    }

    /// What a NOTIFY says. `uris` gives the SIP URIs of a pair that is not known here.
    pub(super) fn notify(
        &mut self,
        now: Instant,
        notify: Notify,
        uris: impl FnOnce(&Pair) -> Option<Uris>,
        actions: &mut Vec<Action>,
    ) {
        let pair = (notify.watcher, notify.presentity);
        if !self.known.contains_key(&pair) {
            if matches!(notify.state, SubscriptionState::Terminated(_)) {
                return;
            }
            let Some(uris) = uris(&pair) else {
                log::error!("a NOTIFY for {} from {} has an address without counterpart", pair.0, pair.1);
                return;
            };
            if self.place(now, &pair).is_err() {
                return;
            }
            // The host's pua kept the dialog over a restart of ours: XMPP knows of it already.
            self.known.insert(pair.clone(), Subscription::new(uris, Phase::Asked, Announce::Done));
        }
        let Some(known) = self.known.get_mut(&pair) else { return };
        let says = match notify.state {
            SubscriptionState::Active | SubscriptionState::Pending => Says::GoesOn,
            SubscriptionState::Terminated(_) => Says::Ends,
        };
        if !known.dialogs.is_newest(notify.call_id, notify.cseq, says) {
            log::debug!("a NOTIFY for {} from {} came late and is dropped", pair.0, pair.1);
            return;
        }
        self.changes.note(|| pair.clone());
        match (known.phase, notify.state) {
            // The last one of a subscription that was given up: nobody is to see it.
            (Phase::Ending, _) => {}
            (_, SubscriptionState::Pending) => self.look_again(&pair, None),
            (_, SubscriptionState::Active) => {
                let gone = known.active(notify.presences);
                known.display_name = notify.display_name;
                self.look_again(&pair, None);
                for resource in gone {
                    self.farewell(&pair.1, presence_stanza(&with_resource(&pair.1, &resource), &pair.0, "unavailable"), actions);
                }
                if self.is_up(&pair.1)
                    && let Some(known) = self.known.get_mut(&pair)
                {
                    known.tell(&pair, actions);
                }
            }
            (_, SubscriptionState::Terminated(reason)) => self.terminated(now, &pair, (reason, notify.retry_after), actions),
        }
    }

    /// Whether there is a subscription of this pair.
    pub(super) fn holds(&self, pair: &Pair) -> bool {
        self.known.contains_key(pair)
    }

    /// What the presentity told this watcher to be called.
    pub(super) fn display_name(&self, pair: &Pair) -> Option<&str> {
        self.known.get(pair)?.display_name.as_deref()
    }

    /// Whether the watcher sees this resource of the presentity as available.
    pub(super) fn is_shown(&self, pair: &Pair, resource: &str) -> bool {
        let shown = self.known.get(pair).and_then(|known| known.shown.get(resource));
        shown.is_some_and(|presence| presence.availability == Availability::Available)
    }

    /// Whether the watcher sees any resource of the presentity as available.
    pub(super) fn shows_any(&self, pair: &Pair) -> bool {
        let shown = self.known.get(pair).map(|known| &known.shown);
        shown.is_some_and(|shown| shown.values().any(|presence| presence.availability == Availability::Available))
    }

    /// The stream of a domain stands: watchers of its users are told what they have missed.
    pub(super) fn stream_up(&mut self, domain: &str, actions: &mut Vec<Action>) {
        self.up.insert(domain.to_owned());
        let (told, kept) = std::mem::take(&mut self.farewells).into_iter().partition(|(user, _)| domain_of(user) == domain);
        self.farewells = kept;
        let told: Vec<(String, Action)> = told;
        actions.extend(told.into_iter().map(|(_, farewell)| farewell));
        for (pair, known) in &mut self.known {
            if known.phase == Phase::Active && domain_of(&pair.1) == domain {
                self.changes.note(|| pair.clone());
                known.tell(pair, actions);
            }
        }
    }

    /// The stream of a domain broke.
    pub(super) fn stream_down(&mut self, domain: &str) {
        self.up.remove(domain);
    }

    /// Whether there is a stream for this SIP user, a bare JID.
    fn is_up(&self, user: &str) -> bool {
        self.up.contains(domain_of(user).as_ref())
    }

    /// Tries again, or gives up, what is due.
    pub(super) fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for _ in 0..PER_TICK {
            let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) else { return };
            let ((_, pair), ()) = entry.remove_entry();
            let Some(known) = self.known.get_mut(&pair) else { continue };
            let due = known.due.take().map(|(_, due)| due);
            match (known.phase, due) {
                (_, Some(Due::Restored)) | (Phase::Asked | Phase::Active, Some(Due::Retry)) => {
                    self.subscribe(now, &pair, actions)
                }
                (Phase::Ending, _) => self.end(&pair, actions),
                (Phase::Asked | Phase::Active, Some(Due::Silence)) => self.pause(now, &pair, 408, None),
                (Phase::Asked | Phase::Active, None) => {}
            }
        }
    }

    /// Subscribes or unsubscribes, as the phase has it, and waits for what comes of it.
    fn subscribe(&mut self, now: Instant, pair: &Pair, actions: &mut Vec<Action>) {
        if let Some(known) = self.known.get(pair) {
            let expires = if known.phase == Phase::Ending { 0 } else { EXPIRES };
            actions.push(Action::Subscribe(sip::Subscribe {
                event: sip::Event::Presence,
                presentity: known.uris.presentity.clone(),
                watcher: known.uris.watcher.clone(),
                expires,
            }));
            self.look_again(pair, now.checked_add(SILENCE).map(|at| (at, Due::Silence)));
        }
    }

    /// Sets when the subscription is looked at again, in place of what was set.
    fn look_again(&mut self, pair: &Pair, due: Option<(Instant, Due)>) {
        let Some(known) = self.known.get_mut(pair) else { return };
        if let Some((before, _)) = known.due {
            self.due.remove(&(before, pair.clone()));
        }
        known.due = due;
        if let Some((at, _)) = due {
            self.due.insert((at, pair.clone()), ());
        }
    }

    fn terminated(&mut self, now: Instant, pair: &Pair, (reason, retry_after): (Reason, Option<u32>), actions: &mut Vec<Action>) {
        let retry_after = match reason {
            // The SIP user is not there any more: there is nobody left who could answer a further try.
            Reason::Rejected | Reason::Noresource => return self.end(pair, actions),
            Reason::Invariant => return,
            // Here it means nothing (RFC 6665 §4.1.3).
            Reason::Deactivated | Reason::Timeout => None,
            Reason::Unspecified | Reason::Probation | Reason::Giveup => retry_after,
        };
        let Some(known) = self.known.get_mut(pair) else { return };
        known.phase = Phase::Asked;
        known.dialogs.end();
        self.pause(now, pair, 0, retry_after);
    }

    /// The subscription is over, and XMPP is told: what was shown goes, then `unsubscribed`.
    fn end(&mut self, pair: &Pair, actions: &mut Vec<Action>) {
        if self.forget(pair, actions) {
            self.farewell(&pair.1, presence_stanza(&pair.1, &pair.0, "unsubscribed"), actions);
        }
    }

    /// Takes away the subscription and what was shown under it. False: there was none.
    fn forget(&mut self, pair: &Pair, actions: &mut Vec<Action>) -> bool {
        let Some(known) = self.remove(pair) else { return false };
        let (watcher, presentity) = pair;
        for resource in known.shown.keys() {
            self.farewell(presentity, presence_stanza(&with_resource(presentity, resource), watcher, "unavailable"), actions);
        }
        true
    }

    /// Takes a place for a subscription that is not known yet.
    fn place(&mut self, now: Instant, pair: &Pair) -> Result<(), Full> {
        self.shares.take(&pair.0).inspect_err(|full| {
            if let Some(total) = self.refused.count(now) {
                log::warn!("no place for the subscription of {} to {}: {full}; {total} so far", pair.0, pair.1);
            }
        })
    }

    fn remove(&mut self, pair: &Pair) -> Option<Subscription> {
        self.look_again(pair, None);
        let known = self.known.remove(pair)?;
        self.changes.note(|| pair.clone());
        self.shares.give_back(&pair.0);
        Some(known)
    }

    /// Something of this SIP user ended: told now, or when the stream stands again.
    fn farewell(&mut self, user: &str, farewell: Action, actions: &mut Vec<Action>) {
        if self.is_up(user) {
            actions.push(farewell);
        } else if self.farewells.len() < MAX_FAREWELLS {
            self.farewells.push((user.to_owned(), farewell));
        } else {
            log::warn!("more than {MAX_FAREWELLS} subscriptions and resources ended while the stream is down");
        }
    }

    /// Tries again later: after 1 s, 2 s, 4 s ... an hour, or after Retry-After where that is longer.
    fn pause(&mut self, now: Instant, pair: &Pair, status: u16, retry_after: Option<u32>) {
        let Some(known) = self.known.get_mut(pair) else { return };
        let pause = 1u64.checked_shl(known.failures).unwrap_or(u64::MAX).max(retry_after.unwrap_or_default().into());
        let pause = Duration::from_secs(pause).min(LONGEST_PAUSE);
        known.failures = known.failures.saturating_add(1);
        self.look_again(pair, now.checked_add(pause).map(|at| (at, Due::Retry)));
        log::info!("the subscription of {} to {} ({status}) is tried again in {} s", pair.0, pair.1, pause.as_secs());
    }
}

impl Subscription {
    fn new(uris: Uris, phase: Phase, announce: Announce) -> Self {
        let asked = Asked::ByNobody;
        let (dialogs, shown) = (Dialogs::default(), BTreeMap::new());
        Self { phase, uris, announce, asked, dialogs, shown, display_name: None, failures: 0, due: None }
    }

    /// Keeps the id of a stanza that waits for its answer. One that comes to an active subscription has it at once.
    fn asked_by(&mut self, wish: Wish, id: Option<&str>) {
        if self.phase != Phase::Active && (wish == Wish::Subscribe || self.announce == Announce::Done) {
            self.asked = Asked::By(id.filter(|id| id.len() <= LONGEST_ID).map(str::to_owned));
        }
    }

    fn end_in_sip(self) -> Action {
        let Uris { watcher, presentity } = self.uris;
        Action::Subscribe(sip::Subscribe { event: sip::Event::Presence, presentity, watcher, expires: 0 })
    }

    /// Takes the new state; what comes back are the resources that vanished.
    fn active(&mut self, presences: Vec<TuplePresence>) -> Vec<String> {
        self.phase = Phase::Active;
        self.asked = Asked::ByNobody;
        self.failures = 0;
        let before = std::mem::take(&mut self.shown);
        self.shown = presences.into_iter().map(|presence| (presence.resource.clone(), presence)).collect();
        before.into_keys().filter(|resource| !self.shown.contains_key(resource)).collect()
    }

    /// What the watcher is to know now.
    fn tell(&mut self, (watcher, presentity): &Pair, actions: &mut Vec<Action>) {
        if self.announce == Announce::Due {
            self.announce = Announce::Done;
            actions.push(presence_stanza(presentity, watcher, "subscribed"));
        }
        if self.shown.is_empty() {
            // RFC 8048 §5.2.1: active without a body is a state that is not known: nobody is there.
            actions.push(presence_stanza(presentity, watcher, "unavailable"));
        }
        actions.extend(self.shown.values().map(|presence| Action::Stanza(presence.stanza.clone())));
        // Said once: a resource that is gone is not shown to a probe.
        self.shown.retain(|_, presence| presence.availability == Availability::Available);
    }
}

fn with_resource(bare: &str, resource: &str) -> String {
    if resource.is_empty() { bare.to_owned() } else { format!("{bare}/{resource}") }
}

/// The error for a stanza with this id from the watcher to the presentity.
fn presence_error((watcher, presentity): &Pair, id: Option<&str>, error: &StanzaError) -> Action {
    Action::Stanza(error_stanza(Kind::Presence, presentity, watcher, id, error))
}
