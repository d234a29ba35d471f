//! XMPP users who watch SIP users: RFC 8048 §5.2, RFC 6665 §4.1.
//!
//! XMPP knows a long-lived authorization, SIP a dialog that has to be refreshed. The host's pua holds the dialog; this machine holds
//! what XMPP must not notice of it. What becomes of what stands in `table`, how it is done in `steps`; here is what comes in.

mod dialogs;
mod entry;
mod farewells;
mod kept;
mod proof;
mod renamed;
mod steps;
mod table;

use std::collections::BTreeMap;
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
use crate::sip::SubscriptionState;
use crate::translate::failure;
use crate::translate::presence::Availability;
use crate::xmpp::stanza_error::Condition;
use dialogs::Says;
use entry::Announce;
use entry::Asked;
use entry::Due;
use entry::Subscription;
use entry::Told;
use farewells::Farewells;
use proof::Proofs;
use steps::Happened;
use steps::presence_error;
use table::Input;
use table::Phase;

pub(super) use self::entry::Whereabouts;
pub use self::proof::ANSWER;
pub(super) use self::proof::Answer;

/// Subscriptions held at the most. One that finds no place is answered with `resource-constraint`.
pub const MAX_SUBSCRIPTIONS: usize = 100_000;

/// Those of one XMPP user.
pub const MAX_PER_USER: usize = 1000;

/// Lifetime asked for in a SUBSCRIBE, in seconds (RFC 3856 §6.4: 3600). A notifier that wants a longer one says so with 423.
pub const EXPIRES: u32 = 3600;

/// How long pua may be silent after a SUBSCRIBE, and the first NOTIFY after a 2xx: longer than their transactions live (RFC 3261
/// §17.1.2.2, RFC 6665 §4.1.2.4: 32 s). pua can be silent for ever, where it could not send at all, or ends a subscription that it does
/// not hold.
const SILENCE: Duration = Duration::from_secs(40);

/// Subscriptions looked at in one tick: where all are due at once, the rest of the process must not wait for them.
pub const PER_TICK: usize = 500;

/// The longest id of a stanza that is kept for its error.
const LONGEST_ID: usize = 1023;

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
    /// Watchers who are asked whether they are there.
    proofs: Proofs,
    /// What the map of today makes of the URIs of a subscription, and the names that it has.
    renamed: HashMap<Pair, Pair>,
    farewells: Farewells,
    /// What is to be written.
    pub(super) changes: Changes<Pair>,
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
            proofs: Proofs::default(),
            renamed: HashMap::new(),
            farewells: Farewells::default(),
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
        if !self.known.contains_key(&pair) {
            if self.place(now, &pair).is_err() {
                actions.push(presence_error(&pair, id, &Condition::ResourceConstraint.into()));
                return;
            }
            self.supersede(now, &pair, actions);
            self.known.insert(pair.clone(), Subscription::new(uris.clone(), Phase::Asked, Announce::Done));
        }
        if let Some(known) = self.known.get_mut(&pair) {
            if known.phase == Phase::Over {
                known.uris = uris;
            }
            known.asked_by(wish, id);
            if !known.is_known() {
                // Whoever asks is told all that comes of it.
                known.told = Told::Nothing;
            }
            if known.watcher == Whereabouts::Gone {
                known.watcher = Whereabouts::Unknown;
            }
        }
        let input = match wish {
            Wish::Subscribe => Input::Subscribe,
            Wish::Probe => Input::Probe,
        };
        self.happens(now, &pair, (input, Happened::default()), actions);
    }

    /// An XMPP user gives a subscription up.
    pub(super) fn unsubscribe(&mut self, now: Instant, pair: Pair, uris: Uris, actions: &mut Vec<Action>) {
        if !self.known.contains_key(&pair) {
            if self.place(now, &pair).is_err() {
                actions.push(presence_stanza(&pair.1, &pair.0, "unsubscribed"));
                return;
            }
            // One that we do not know may still live in the host's pua, from before a restart.
            self.known.insert(pair.clone(), Subscription::new(uris, Phase::Asked, Announce::Done));
        }
        self.happens(now, &pair, (Input::Unsubscribe, Happened::default()), actions);
    }

    /// The final reply to a SUBSCRIBE.
    pub(super) fn reply(&mut self, now: Instant, reply: SubscribeReply, actions: &mut Vec<Action>) {
        let SubscribeReply { watcher, presentity, status, text, address, retry_after, expires, dialog, min_expires } = reply;
        let pair = (watcher, presentity);
        let Some(known) = self.known.get_mut(&pair) else { return };
        if let Some(dialog) = dialog {
            known.dialogs.made(dialog);
        }
        let is_asked = matches!((&known.asked, known.phase), (Asked::By(_), Phase::Asked | Phase::Active));
        // A reply to the end of a subscription need not say that nothing is left.
        let ends = matches!(known.phase, Phase::Ending | Phase::Leaving);
        let error = failure::to_xmpp(status, text.as_deref().unwrap_or_default(), address.as_deref());
        let input = match status {
            0..=299 if expires == Some(0) || (ends && expires.is_none()) => Input::Closed,
            0..=299 => Input::Accepted,
            403 | 489 | 603 => Input::Denied,
            423 => Input::TooBrief,
            _ if is_asked && failure::is_final(status) && error.is_some() => Input::Failed,
            _ => Input::Passing,
        };
        let happened = Happened { status, error, retry_after, expires, min_expires, ..Happened::default() };
        self.happens(now, &pair, (input, happened), actions);
    }

    /// Presence came back: this XMPP user is not there to be told any more. The subscription ends on the SIP side, and nothing more is
    /// said to XMPP; should the user come back, its server sends a probe (RFC 6121 §4.3.1), with which it begins anew.
    pub(super) fn came_back(&mut self, now: Instant, pair: &Pair, actions: &mut Vec<Action>) {
        if self.holds(pair) {
            log::info!("{} cannot be told of {} any more: the subscription ends", pair.0, pair.1);
        }
        self.happens(now, pair, (Input::CameBack, Happened::default()), actions);
    }

    /// The host would not even send a SUBSCRIBE. To one that ends a subscription this means: it holds none, so it is as was asked for.
    pub(super) fn refused(&mut self, now: Instant, pair: &Pair, actions: &mut Vec<Action>) {
        self.happens(now, pair, (Input::Passing, Happened { status: 500, ..Happened::default() }), actions);
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
        let (says, input) = match notify.state {
            SubscriptionState::Active => (Says::GoesOn, Input::Notified),
            SubscriptionState::Pending => (Says::GoesOn, Input::Pending),
            SubscriptionState::Terminated(reason) => (Says::Ends, Input::Terminated(reason)),
        };
        if !known.dialogs.is_newest(notify.dialog, notify.cseq, says) {
            log::debug!("a NOTIFY for {} from {} came late and is dropped", pair.0, pair.1);
            return;
        }
        if input == Input::Notified {
            known.display_name = notify.display_name;
        }
        let (retry_after, expires, presences) = (notify.retry_after, notify.expires, notify.presences);
        // To these it means nothing (RFC 6665 §4.1.3).
        let at_once = matches!(input, Input::Terminated(sip::Reason::Deactivated | sip::Reason::Timeout));
        let retry_after = retry_after.filter(|_| !at_once);
        self.happens(now, &pair, (input, Happened { retry_after, expires, presences, ..Happened::default() }), actions);
    }

    /// Whether there is a subscription of this pair.
    pub(super) fn holds(&self, pair: &Pair) -> bool {
        self.known.get(pair).is_some_and(|known| known.phase != Phase::Over)
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
        self.known.get(pair).is_some_and(Subscription::shows_any)
    }

    /// The stream of a domain stands: watchers of its users are told what they have missed.
    pub(super) fn stream_up(&mut self, domain: &str, actions: &mut Vec<Action>) {
        self.farewells.stream_up(domain, actions);
        for (pair, known) in &mut self.known {
            if known.is_known() && domain_of(&pair.1) == domain {
                self.changes.note(|| pair.clone());
                known.tell(pair, actions);
            }
        }
    }

    /// The stream of a domain broke.
    pub(super) fn stream_down(&mut self, domain: &str) {
        self.farewells.stream_down(domain);
    }

    /// The watcher let this presentity know where it is, or that it is told no more.
    pub(super) fn watcher_is(&mut self, pair: &Pair, whereabouts: Whereabouts) {
        if let Some(known) = self.known.get_mut(pair)
            && (known.watcher, whereabouts) != (Whereabouts::Hidden, Whereabouts::Gone)
        {
            known.watcher = whereabouts;
        }
    }

    /// What a watcher, or its server, told the gateway itself on this domain.
    pub(super) fn watcher_answered(
        &mut self,
        now: Instant,
        (watcher, domain): (&str, &str),
        answer: Answer,
        actions: &mut Vec<Action>,
    ) {
        for pair in self.proofs.answered(now, watcher, domain, answer) {
            self.proven(now, &pair, answer, actions);
        }
    }

    /// Tries again, refreshes or gives up what is due. `is_there` tells of a watcher whose own presence is seen.
    pub(super) fn tick(&mut self, now: Instant, is_there: impl Fn(&Pair) -> bool, actions: &mut Vec<Action>) {
        for pair in self.proofs.overdue(now) {
            self.proven(now, &pair, Answer::Unknown, actions);
        }
        for _ in 0..PER_TICK {
            let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) else { return };
            let ((_, pair), ()) = entry.remove_entry();
            let due = self.known.get_mut(&pair).and_then(|known| known.due.take());
            let input = match due.map(|(_, due)| due) {
                Some(Due::Silence) => Input::Silence,
                Some(Due::Retry) => Input::Retry,
                Some(Due::Restored) => Input::Restored,
                Some(Due::Refresh)
                    if self.known.get(&pair).is_some_and(|known| known.phase == Phase::Active) && is_there(&pair) =>
                {
                    Input::There
                }
                Some(Due::Refresh) => Input::Refresh,
                Some(Due::Forget) => {
                    self.remove(&pair);
                    continue;
                }
                None => continue,
            };
            self.happens(now, &pair, (input, Happened { status: 408, ..Happened::default() }), actions);
        }
    }

    /// Takes a place for a subscription that is not known yet.
    fn place(&mut self, now: Instant, pair: &Pair) -> Result<(), Full> {
        self.shares.take(&pair.0).inspect_err(|full| {
            if let Some(total) = self.refused.count(now) {
                log::warn!("no place for the subscription of {} to {}: {full}; {total} so far", pair.0, pair.1);
            }
        })
    }
}
