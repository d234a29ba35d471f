//! SIP users from whom an XMPP user hides while others see it: by a block (XEP-0191), or by presence said to one alone.
//!
//! A server tells a contact who may not see any more `unavailable`, and says nothing to the others. A publication is for all watchers of the
//! presence server, so that one has to be shut out there. But a user who leaves is told of to one contact after the other, and who was shown what
//! is not known for certain, after a broken stream say. So servers are asked, who answer in order:
//!
//! ```text
//! Told   a probe in the name of a witness, another SIP user who is shown the XMPP user    answered: it has not left
//! Asked  probes in the names of those who were told, and that of the witness once more    answered: who has none by now is shut out
//! ```
//!
//! Where nobody answers, it is a matter of time. Who is told `available` sees, or sees again.

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
    /// XMPP users of whom somebody was told so since it was last looked.
    news: BTreeSet<String>,
    /// XMPP users who are asked, by bare JID.
    asked: BTreeMap<String, Asked>,
    /// Who was told `unavailable`, when it is looked at, and what was done so far.
    told: BTreeMap<Pair, (Instant, Stage)>,
    /// The same in the order of time.
    due: BTreeSet<(Instant, Pair)>,
    /// Who is shut out.
    shut_out: BTreeSet<Pair>,
    /// Who has how many of both.
    shares: Shares,
}

/// How an XMPP user is asked whether it has left.
#[derive(Debug)]
struct Asked {
    /// In whose name, a bare JID. If that one is told `unavailable` too, the user leaves, and nobody else is asked.
    witness: String,
    /// The resource that has answered already, a full JID: the next answer is that to the second probe.
    answered: Option<String>,
    /// When it is in vain.
    until: Instant,
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
        let (news, asked) = (BTreeSet::new(), BTreeMap::new());
        Self { news, asked, told, due, shut_out, shares: Shares::new(MAX_PER_USER, MAX_PUBLICATIONS) }
    }

    /// The XMPP user is not there for a SIP user any more, and may be for others.
    pub(super) fn unavailable(&mut self, now: Instant, user: &str, to: &str) {
        let pair = (user.to_owned(), to.to_owned());
        if self.told.contains_key(&pair) || self.shut_out.contains(&pair) || self.shares.take(user).is_err() {
            return;
        }
        self.news.insert(user.to_owned());
        self.wait(now, MOMENT, (pair, Stage::Told));
    }

    /// Those of an XMPP user who were told `unavailable`.
    fn told(&self, user: &str, stage: Stage) -> Vec<Pair> {
        let of_user = self.told.range((user.to_owned(), String::new())..).take_while(|((other, _), _)| other == user);
        of_user.filter(|(_, (_, told))| *told == stage).map(|(pair, _)| pair.clone()).take(PER_TICK).collect()
    }

    /// It is known what became of one; its place is still taken.
    fn take(&mut self, pair: &Pair) {
        if let Some((at, _)) = self.told.remove(pair) {
            self.due.remove(&(at, pair.clone()));
        }
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

    /// A SIP user was shut out before a restart.
    pub(super) fn restore(&mut self, user: String, to: String) {
        if self.shares.take(&user).is_ok() {
            self.shut_out.insert((user, to));
        }
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
    /// All that came together from XMPP was told: asks for those who were told `unavailable` while others still see the XMPP user.
    pub(super) fn look_at_news(&mut self, now: Instant, actions: &mut Vec<Action>) {
        while let Some(user) = self.hidden.news.pop_first() {
            self.ask_witness(now, &user, actions);
        }
    }

    fn ask_witness(&mut self, now: Instant, user: &str, actions: &mut Vec<Action>) {
        if self.hidden.asked.contains_key(user) || self.hidden.told(user, Stage::Told).is_empty() {
            return;
        }
        let Some(witness) = self.publications.witness(user) else { return };
        actions.push(presence_stanza(&witness, user, "probe"));
        let asked = Asked { witness, answered: None, until: now.checked_add(ANSWER).unwrap_or(now) };
        self.hidden.asked.insert(user.to_owned(), asked);
    }

    /// A resource of an XMPP user, a full JID, is there for a SIP user: maybe the answer for a witness.
    pub(super) fn witnessed(&mut self, now: Instant, (user, resource): (&str, &str), to: &str, actions: &mut Vec<Action>) {
        let Some(asked) = self.hidden.asked.get_mut(user).filter(|asked| asked.witness == to) else { return };
        match &asked.answered {
            None => {
                asked.answered = Some(resource.to_owned());
                for pair in self.hidden.told(user, Stage::Told) {
                    self.hidden.take(&pair);
                    self.ask(now, pair, actions);
                }
                actions.push(presence_stanza(to, user, "probe"));
            }
            Some(answered) if answered == resource => {
                self.hidden.asked.remove(user);
                for pair in self.hidden.told(user, Stage::Asked) {
                    self.hidden.take(&pair);
                    self.shut_out(pair, actions);
                }
                self.ask_witness(now, user, actions);
            }
            Some(_) => {}
        }
    }

    /// Looks at who was told `unavailable` some time ago, where no witness has answered.
    pub(super) fn look_for_hidden(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.hidden.asked.retain(|_, asked| asked.until > now);
        for _ in 0..PER_TICK {
            let Some((pair, stage)) = self.hidden.next(now) else { return };
            match stage {
                Stage::Told => self.ask(now, pair, actions),
                Stage::Asked => self.shut_out(pair, actions),
            }
        }
    }

    /// Asks whether the XMPP user is there for one who was told `unavailable`.
    fn ask(&mut self, now: Instant, pair: Pair, actions: &mut Vec<Action>) {
        if self.is_in_doubt(&pair) {
            actions.push(presence_stanza(&pair.1, &pair.0, "probe"));
            self.hidden.wait(now, ANSWER, (pair, Stage::Asked));
        }
    }

    fn shut_out(&mut self, pair: Pair, actions: &mut Vec<Action>) {
        if self.is_in_doubt(&pair) {
            let (user, to) = &pair;
            log::info!("{user} is not there for {to} any more, and for others: {to} is shown nothing");
            self.authorize_hiding(&pair, Authorization::Hidden, actions);
            self.hidden.shut_out.insert(pair);
        }
    }

    /// Whether others see the XMPP user. If not, the place of the pair is free.
    fn is_in_doubt(&mut self, (user, to): &Pair) -> bool {
        let is_in_doubt = self.publications.shows_any(user) && !self.publications.is_shown(user, to);
        if !is_in_doubt {
            self.hidden.shares.give_back(user);
        }
        is_in_doubt
    }

    /// The XMPP user is there for a SIP user.
    pub(super) fn is_not_hidden(&mut self, user: &str, to: &str, actions: &mut Vec<Action>) {
        if self.hidden.is_over(user, to) == Was::ShutOut {
            self.authorize_hiding(&(user.to_owned(), to.to_owned()), Authorization::Allowed, actions);
        }
    }

    fn authorize_hiding(&mut self, (user, to): &Pair, decision: Authorization, actions: &mut Vec<Action>) {
        let uri = Jid::new(user).ok().and_then(|jid| self.to_sip(&jid).ok());
        let (watcher, presentity) = (to.clone(), user.clone());
        self.watchers.changes.note(|| (watcher.clone(), presentity.clone()));
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
