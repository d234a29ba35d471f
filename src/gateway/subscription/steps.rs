//! How the steps of the table are done.

use std::time::Duration;
use std::time::Instant;

use super::EXPIRES;
use super::Pair;
use super::SILENCE;
use super::Subscriptions;
use super::entry::Announce;
use super::entry::Asked;
use super::entry::Due;
use super::entry::Told;
use super::entry::Whereabouts;
use super::proof::Answer;
use super::proof::Question;
use super::table;
use super::table::Input;
use super::table::Phase;
use super::table::Step;
use crate::address::domain_of;
use crate::gateway::action::Action;
use crate::gateway::presence_stanza;
use crate::sip;
use crate::translate::presence::TuplePresence;
use crate::xmpp::stanza::Kind;
use crate::xmpp::stanza::error_stanza;
use crate::xmpp::stanza_error::StanzaError;

/// How long NOTIFYs of a dialog that is over may be on their way: as long as their transactions live (RFC 3261 §17.1.2.2).
pub(super) const ON_THEIR_WAY: Duration = Duration::from_secs(32);

/// The longest time between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);

/// How long the last state stands for one that is not known.
const GRACE: Duration = Duration::from_secs(30);

/// How old the last SUBSCRIBE has to be for the next one to go at once: a notifier that ends what it has just begun is not followed.
const JUST_NOW: Duration = Duration::from_secs(10);

/// The shortest time between two refreshes, whatever a notifier grants.
const SHORTEST_REFRESH: Duration = Duration::from_secs(30);

/// The part of its lifetime after which a subscription is refreshed: the host's pua ends what it is not told to keep some time before
/// its end.
const REFRESH_AFTER: f32 = 0.75;

/// The longest lifetime that a 423 may want.
const LONGEST_EXPIRES: u32 = 7 * 24 * 3600;

/// What the steps need to know of what happened.
#[derive(Debug, Default)]
pub(super) struct Happened {
    pub(super) status: u16,
    pub(super) error: Option<StanzaError>,
    pub(super) retry_after: Option<u32>,
    /// The lifetime that was granted, or is left.
    pub(super) expires: Option<u32>,
    pub(super) min_expires: Option<u32>,
    pub(super) presences: Vec<TuplePresence>,
    /// The resources that it lacks.
    pub(super) vanished: Vec<String>,
}

impl Subscriptions {
    /// Something happened to the subscription of this pair.
    pub(super) fn happens(&mut self, now: Instant, pair: &Pair, (input, happened): (Input, Happened), actions: &mut Vec<Action>) {
        let Some(known) = self.known.get_mut(pair) else { return };
        let (phase, steps) = table::row(known.phase, input);
        let before = std::mem::replace(&mut known.phase, phase);
        if !steps.iter().all(|step| matches!(step, Step::Confirm | Step::Show)) || phase != before {
            self.changes.note(|| pair.clone());
        }
        if matches!(input, Input::Terminated(_)) && matches!(phase, Phase::Asked | Phase::Final) {
            known.dialogs.end();
        }
        let mut happened = happened;
        for step in steps {
            self.step(now, pair, (*step, &mut happened), actions);
        }
        if phase == Phase::Over && before != Phase::Over {
            self.over(now, pair, before);
        }
    }

    fn step(&mut self, now: Instant, pair: &Pair, (step, happened): (Step, &mut Happened), actions: &mut Vec<Action>) {
        let (watcher, presentity) = (pair.0.as_str(), pair.1.as_str());
        let Some(known) = self.known.get_mut(pair) else { return };
        match step {
            Step::Subscribe => self.subscribe(now, pair, actions),
            // What comes of the one that is on its way answers this wish too.
            Step::SubscribeOnce if known.is_under_way() => {}
            Step::SubscribeOnce => self.subscribe(now, pair, actions),
            Step::Unsubscribe => self.subscribe(now, pair, actions),
            Step::Announce => known.announce = Announce::Due,
            Step::Confirm => actions.push(presence_stanza(presentity, watcher, "subscribed")),
            Step::Show => known.answer(pair, actions),
            Step::Last if happened.presences.is_empty() => {}
            Step::Last => {
                self.step(now, pair, (Step::Update, happened), actions);
                self.step(now, pair, (Step::Tell, happened), actions);
            }
            Step::Update => {
                happened.vanished = known.update(std::mem::take(&mut happened.presences));
                self.unavailable(pair, &happened.vanished, actions);
            }
            Step::Tell => {
                if self.farewells.is_up(presentity) {
                    known.tell_news(pair, &happened.vanished, actions);
                }
            }
            Step::Withdraw => {
                let gone = known.withdraw();
                self.unavailable(pair, &gone, actions);
            }
            Step::Forget => drop(known.withdraw()),
            Step::Unsubscribed => {
                self.farewells.say(presentity, presence_stanza(presentity, watcher, "unsubscribed"), actions);
            }
            Step::Error => {
                if let (Asked::By(id), Some(error)) = (std::mem::replace(&mut known.asked, Asked::ByNobody), &happened.error) {
                    self.farewells.say(presentity, presence_error(pair, id.as_deref(), error), actions);
                }
            }
            Step::Keep => self.keep(now, pair, happened.expires),
            Step::Heard => self.heard(now, pair, happened.expires),
            Step::Rest => self.look_again(pair, None),
            Step::AtOnce => match known.sent {
                Some(sent) if now.saturating_duration_since(sent) < JUST_NOW => self.pause(now, pair, (0, None), actions),
                Some(_) | None => self.subscribe(now, pair, actions),
            },
            Step::Pause => self.pause(now, pair, (happened.status, happened.retry_after), actions),
            Step::Lengthen => match happened.min_expires.filter(|least| (known.expires..=LONGEST_EXPIRES).contains(least)) {
                Some(least) if least > known.expires => {
                    known.expires = least;
                    self.subscribe(now, pair, actions);
                }
                Some(_) | None => self.pause(now, pair, (happened.status, happened.retry_after), actions),
            },
            Step::Prove => self.prove(now, pair, actions),
            Step::RunOut => {
                let at = known.ends.unwrap_or(now).checked_add(ON_THEIR_WAY);
                self.look_again(pair, at.map(|at| (at, Due::Silence)));
            }
        }
    }

    /// Subscribes or unsubscribes, as the phase has it, and waits for what comes of it.
    fn subscribe(&mut self, now: Instant, pair: &Pair, actions: &mut Vec<Action>) {
        let Some(known) = self.known.get_mut(pair) else { return };
        known.sent = Some(now);
        known.heard = false;
        actions.push(Action::Subscribe(sip::Subscribe {
            event: sip::Event::Presence,
            presentity: known.uris.presentity.clone(),
            watcher: known.uris.watcher.clone(),
            expires: match known.phase {
                Phase::Asked | Phase::Active | Phase::Final => known.expires,
                Phase::Ending | Phase::Leaving | Phase::Over => 0,
            },
        }));
        self.look_again(pair, now.checked_add(SILENCE).map(|at| (at, Due::Silence)));
    }

    /// A 2xx granted this lifetime. A NOTIFY has to follow (RFC 6665 §4.1.2.4): without one there is no subscription.
    fn keep(&mut self, now: Instant, pair: &Pair, expires: Option<u32>) {
        let Some(known) = self.known.get_mut(pair) else { return };
        let expires = Duration::from_secs(expires.unwrap_or(known.expires).into());
        known.ends = now.checked_add(expires);
        if known.heard || known.is_known() {
            self.refresh_within(now, pair, expires);
        }
    }

    /// A NOTIFY says how much of it is left, or nothing of that.
    fn heard(&mut self, now: Instant, pair: &Pair, expires: Option<u32>) {
        let Some(known) = self.known.get_mut(pair) else { return };
        known.heard = true;
        let named = expires.map(|left| Duration::from_secs(left.into()));
        let left = known.ends.map(|ends| ends.saturating_duration_since(now));
        let sooner = named.is_some_and(|named| left.is_none_or(|left| named < left));
        if sooner || !matches!(known.due, Some((_, Due::Refresh))) {
            let left = named.filter(|_| sooner).or(left).unwrap_or(Duration::from_secs(EXPIRES.into()));
            known.ends = now.checked_add(left);
            self.refresh_within(now, pair, left);
        }
    }

    /// Refreshes well before this time is over.
    fn refresh_within(&mut self, now: Instant, pair: &Pair, left: Duration) {
        let at = now.checked_add(left.mul_f32(REFRESH_AFTER).max(SHORTEST_REFRESH));
        self.look_again(pair, at.map(|at| (at, Due::Refresh)));
    }

    /// The state is as the presentity told it as long as the watcher is there to see it.
    fn prove(&mut self, now: Instant, pair: &Pair, actions: &mut Vec<Action>) {
        if !self.farewells.is_up(&pair.1) {
            return self.proven(now, pair, Answer::Unknown, actions);
        }
        match self.proofs.ask(now, pair) {
            Question::Ask => actions.push(presence_stanza(&domain_of(&pair.1), &pair.0, "probe")),
            Question::Wait => {}
            Question::Answered(answer) => self.proven(now, pair, answer, actions),
        }
    }

    /// What is known of the watcher. Where its server tells nothing, what it said to the presentity counts.
    pub(super) fn proven(&mut self, now: Instant, pair: &Pair, answer: Answer, actions: &mut Vec<Action>) {
        let Some(known) = self.known.get(pair) else { return };
        let input = match (answer, known.watcher) {
            (Answer::Gone, _) | (Answer::Unknown, Whereabouts::Gone) => Input::Gone,
            (Answer::There, _) | (Answer::Unknown, Whereabouts::Unknown | Whereabouts::Hidden) => Input::There,
        };
        if input == Input::Gone {
            log::debug!("{} is not there: its subscription to {} runs out", pair.0, pair.1);
        }
        // It may have been refreshed since, at the wish of the watcher.
        if known.due.is_none() {
            self.happens(now, pair, (input, Happened::default()), actions);
        }
    }

    /// Tries again later: after 1 s, 2 s, 4 s ... an hour, or after Retry-After where that is longer. If that is long, the watcher is not
    /// left with the last state.
    fn pause(&mut self, now: Instant, pair: &Pair, (status, retry_after): (u16, Option<u32>), actions: &mut Vec<Action>) {
        let Some(known) = self.known.get_mut(pair) else { return };
        let pause = 1u64.checked_shl(known.failures).unwrap_or(u64::MAX).max(retry_after.unwrap_or_default().into());
        let pause = Duration::from_secs(pause).min(LONGEST_PAUSE);
        known.failures = known.failures.saturating_add(1);
        log::info!("the subscription of {} to {} ({status}) is tried again in {} s", pair.0, pair.1, pause.as_secs());
        if pause > GRACE {
            let gone = known.withdraw();
            self.unavailable(pair, &gone, actions);
        }
        self.look_again(pair, now.checked_add(pause).map(|at| (at, Due::Retry)));
    }

    /// The subscription is over. It is kept as long as a NOTIFY of it may come: that is not one of a dialog from before a restart.
    fn over(&mut self, now: Instant, pair: &Pair, before: Phase) {
        let Some(known) = self.known.get_mut(pair) else { return };
        known.asked = Asked::ByNobody;
        known.announce = Announce::Done;
        known.told = Told::Nothing;
        known.display_name = None;
        known.failures = 0;
        let ended = matches!(before, Phase::Ending | Phase::Leaving);
        match now.checked_add(ON_THEIR_WAY) {
            Some(at) if ended || known.dialogs.have_been() => self.look_again(pair, Some((at, Due::Forget))),
            Some(_) | None => self.remove(pair),
        }
    }

    fn unavailable(&mut self, (watcher, presentity): &Pair, gone: &[String], actions: &mut Vec<Action>) {
        for resource in gone {
            let from = if resource.is_empty() { presentity.clone() } else { [presentity, "/", resource].concat() };
            self.farewells.say(presentity, presence_stanza(&from, watcher, "unavailable"), actions);
        }
    }

    /// Sets when the subscription is looked at again, in place of what was set.
    pub(super) fn look_again(&mut self, pair: &Pair, due: Option<(Instant, Due)>) {
        let Some(known) = self.known.get_mut(pair) else { return };
        if let Some((before, _)) = known.due {
            self.due.remove(&(before, pair.clone()));
        }
        known.due = due;
        if let Some((at, _)) = due {
            self.due.insert((at, pair.clone()), ());
        }
    }

    pub(super) fn remove(&mut self, pair: &Pair) {
        self.look_again(pair, None);
        if self.known.remove(pair).is_some() {
            self.changes.note(|| pair.clone());
            self.shares.give_back(&pair.0);
        }
    }
}

/// The error for a stanza with this id from the watcher to the presentity.
pub(super) fn presence_error((watcher, presentity): &Pair, id: Option<&str>, error: &StanzaError) -> Action {
    Action::Stanza(error_stanza(Kind::Presence, presentity, watcher, id, error))
}
