//! SIP users from whom an XMPP user hides while others see it: by a block (XEP-0191), or by presence said to one alone.
//!
//! A server tells a contact who may not see any more `unavailable`, and says nothing to the others. A publication is for all watchers of the
//! presence server, so that one has to be shut out there. A user who leaves is told of to one contact after the other, so it is looked at a moment
//! later. Who was shown what is not known for certain either, after a broken stream say: so it is asked for in that SIP user's name first. Who is told
//! `available` sees, or sees again.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;

use jid::Jid;

use crate::gateway::Gateway;
use crate::gateway::action::Action;
use crate::gateway::action::Authorization;
use crate::gateway::action::Occasion;
use crate::gateway::presence_stanza;
use crate::gateway::publication::MAX_PUBLICATIONS;
use crate::gateway::share::Shares;

/// How long a server may take to tell all contacts that a user leaves.
const MOMENT: Duration = Duration::from_secs(2);

/// How long one may take to answer a probe.
const ANSWER: Duration = Duration::from_secs(5);

/// Pairs looked at in one tick.
const PER_TICK: usize = 100;

/// SIP users whom one XMPP user hides from at the most. From further ones nothing is hidden.
const MAX_PER_USER: usize = 1000;

/// XMPP user and SIP user, bare JIDs.
type Pair = (String, String);

/// Who was told `unavailable`, and who is shut out.
#[derive(Debug)]
pub(super) struct Hidden {
    /// Who was told `unavailable`, when it is looked at, and what was done so far.
    told: BTreeMap<Pair, (Instant, Stage)>,
    /// The same in the order of time.
    due: BTreeSet<(Instant, Pair)>,
    /// Who is shut out.
    shut_out: BTreeSet<Pair>,
    /// Who has how many of both.
    shares: Shares,
}

/// How far it is with one who was told `unavailable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Told,
    /// The XMPP user was probed.
    Asked,
}

impl Hidden {
    pub(super) fn new() -> Self {
        let (told, due, shut_out) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
        Self { told, due, shut_out, shares: Shares::new(MAX_PER_USER, MAX_PUBLICATIONS) }
    }

    /// The XMPP user is not there for a SIP user any more, and may be for others.
    pub(super) fn unavailable(&mut self, now: Instant, user: &str, to: &str) {
        let pair = (user.to_owned(), to.to_owned());
        if self.told.contains_key(&pair) || self.shut_out.contains(&pair) || self.shares.take(user).is_err() {
            return;
        }
        self.wait(now, MOMENT, (pair, Stage::Told));
    }

    fn wait(&mut self, now: Instant, time: Duration, (pair, stage): (Pair, Stage)) {
        let at = now.checked_add(time).unwrap_or(now);
        self.told.insert(pair.clone(), (at, stage));
        self.due.insert((at, pair));
    }

    /// It is there again, or the pair was decided on. [`Was::ShutOut`]: the SIP user is to be let in again.
    pub(super) fn is_over(&mut self, user: &str, to: &str) -> Was {
        if self.told.is_empty() && self.shut_out.is_empty() {
            return Was::LetIn;
        }
        let pair = (user.to_owned(), to.to_owned());
        let (told, shut_out) = (self.told.remove(&pair), self.shut_out.remove(&pair));
        if told.is_some() || shut_out {
            self.shares.give_back(user);
        }
        if let Some((at, _)) = told {
            self.due.remove(&(at, pair));
        }
        if shut_out { Was::ShutOut } else { Was::LetIn }
    }

    /// The next one whose time has come; its place is still taken.
    fn next(&mut self, now: Instant) -> Option<(Pair, Stage)> {
        let (at, pair) = self.due.first().cloned().filter(|(at, _)| *at <= now)?;
        self.due.remove(&(at, pair.clone()));
        let (_, stage) = self.told.remove(&pair)?;
        Some((pair, stage))
    }
}

impl Gateway {
    /// Looks at who was told `unavailable` a moment ago, while others still see the XMPP user.
    pub(super) fn look_for_hidden(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for _ in 0..PER_TICK {
            let Some((pair, stage)) = self.hidden.next(now) else { return };
            let (user, to) = &pair;
            if !self.publications.shows_any(user) || self.publications.is_shown(user, to) {
                self.hidden.shares.give_back(user);
                continue;
            }
            match stage {
                Stage::Told => {
                    actions.push(presence_stanza(to, user, "probe"));
                    self.hidden.wait(now, ANSWER, (pair, Stage::Asked));
                }
                Stage::Asked => {
                    log::info!("{user} is not there for {to} any more, and for others: {to} is shown nothing");
                    self.authorize_hiding(&pair, Authorization::Hidden, actions);
                    self.hidden.shut_out.insert(pair);
                }
            }
        }
    }

    /// The XMPP user is there for a SIP user.
    pub(super) fn is_not_hidden(&mut self, user: &str, to: &str, actions: &mut Vec<Action>) {
        if self.hidden.is_over(user, to) == Was::ShutOut {
            self.authorize_hiding(&(user.to_owned(), to.to_owned()), Authorization::Allowed, actions);
        }
    }

    fn authorize_hiding(&self, (user, to): &Pair, decision: Authorization, actions: &mut Vec<Action>) {
        let uri = Jid::new(user).ok().and_then(|jid| self.to_sip(&jid).ok());
        let (watcher, presentity) = (to.clone(), user.clone());
        actions.extend(uri.map(|presentity_uri| Action::Authorize {
            watcher,
            presentity,
            presentity_uri,
            decision,
            occasion: Occasion::Hiding,
        }));
    }
}

/// How it stood with a SIP user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Was {
    LetIn,
    ShutOut,
}
