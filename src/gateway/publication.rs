//! XMPP users whose presence SIP users see: one publication (RFC 3903) per resource, or one per user (`presence_composition`).
//!
//! An XMPP server sends a user's presence once per contact; all of them make one PUBLISH, because only a change is published. The
//! host's pua keeps the entity tag; here is what was published last, and when it has to be said again. It ends when the last of them
//! is told `unavailable`: a server tells that to a contact who may see the user no more, too (RFC 6121 §3.2.1). Whoever else was shown it
//! over a stream that is down just now cannot be told from one who is not: in that SIP user's name it is asked when the stream stands.
//!
//! A user over the limit of traffic is not told to say it again, as nobody would: the newest state of each resource waits for a token.

mod absent;
mod composed;
mod kept;
mod outcome;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;

use crate::address::domain_of;
use crate::config::PresenceComposition;
use crate::gateway::action::Action;
use crate::gateway::kept::Changes;
use crate::gateway::presence_stanza;
use crate::gateway::share::Shares;
use crate::gateway::tally::Tally;
use crate::sip;
use crate::translate::contact_lamp::Signs;
use crate::translate::presence::Rank;
use absent::Absent;
use composed::Composed;
use outcome::Answer;
use outcome::EntityTags;

/// Resources published at the most. One that finds no place is dropped with a log line.
pub const MAX_PUBLICATIONS: usize = 100_000;

/// Those of one user.
pub const MAX_PER_USER: usize = 100;

/// SIP users who are remembered as shown a resource at the most. Of further ones it does not matter when they are shown it no more.
const MAX_SHOWN_TO: usize = 1000;

/// Lifetime of a publication, in seconds.
pub const EXPIRES: u32 = 3600;

/// A publication is said again after this time, well before it runs out.
const REFRESH: Duration = Duration::from_secs(2700);

/// PUBLISHes in one tick: after a broken stream all are due at once, and the rest of the process must not wait for them. All that
/// there may be are through in 200 s, well within what the time of refreshing leaves.
pub const PER_TICK: usize = 500;

/// After a broken stream, a resource that does not answer a probe within this time is gone.
const CONFIRM: Duration = Duration::from_secs(60);

/// How often it is looked whether there is a token for a state that waits for one.
const WAIT: Duration = Duration::from_secs(1);

/// The published resources, by full JID.
#[derive(Debug)]
pub(super) struct Publications {
    known: BTreeMap<String, Publication>,
    composition: PresenceComposition,
    /// Where users are published, and not their resources.
    composed: Composed,
    /// How many each user has.
    shares: Shares,
    /// Those that found no place.
    refused: Tally,
    /// What to look at when, earliest first. An entry is valid as long as its publication still says the same time.
    due: BTreeMap<(Instant, String), ()>,
    /// Domains of SIP users that have a stream.
    up: BTreeSet<String>,
    absent: Absent,
    entity_tags: EntityTags,
    /// Whether the host tells what became of states that it was given.
    tells_outcomes: bool,
    /// Whether a state waits until the one before is answered.
    one_by_one: bool,
    /// Users of whom something was published, or taken away, bare JIDs.
    touched: BTreeSet<String>,
    /// What is to be written.
    pub(super) changes: Changes<String>,
}

#[derive(Debug)]
struct Publication {
    /// The newest state, which is said again before it runs out.
    publish: sip::Publish,
    /// How available the user is there.
    rank: Rank,
    /// What of it may light a lamp.
    signs: Signs,
    said: Said,
    answer: Answer,
    /// Whether its newest state waits for the answer to the one before.
    is_held: bool,
    /// The SIP users who are shown it over streams that stand, bare JIDs: in their names it can be probed. None: it is doubtful.
    shown_to: BTreeSet<String>,
    /// Those who were shown it over streams that broke since, or under another SIP URI of the same user. What they are shown now is not
    /// known.
    cut_off: BTreeSet<String>,
    /// It is doubtful, and was asked for: who does not answer in time is taken away. While its stream is down nobody can be asked.
    probed: bool,
    due: Instant,
}

/// What the host has of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    /// Its newest state.
    Newest,
    /// One from before.
    Older,
    /// None.
    Nothing,
}

/// Whether a state is published for what is new in it, or for its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Yes,
    No,
}

/// When a state may be published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum When {
    /// At once.
    Now,
    /// When its user has a token for it.
    WithToken,
}

impl Publications {
    /// None yet.
    pub(super) fn new(composition: PresenceComposition, keeps: bool) -> Self {
        Self {
            known: BTreeMap::new(),
            composition,
            composed: Composed::new(),
            shares: Shares::new(MAX_PER_USER, MAX_PUBLICATIONS),
            refused: Tally::default(),
            due: BTreeMap::new(),
            up: BTreeSet::new(),
            absent: Absent::new(),
            entity_tags: EntityTags::default(),
            tells_outcomes: false,
            one_by_one: false,
            touched: BTreeSet::new(),
            changes: Changes::new(keeps),
        }
    }

    /// A resource said what it is doing. `jid` is its full JID, `to` the SIP user it said it to, a bare JID.
    pub(super) fn available(
        &mut self,
        now: Instant,
        jid: &str,
        to: String,
        (publish, rank, signs, when): (sip::Publish, Rank, Signs, When),
        actions: &mut Vec<Action>,
    ) {
        self.changes.note(|| jid.to_owned());
        self.absent.remove(user_of(jid), &to);
        match self.known.get_mut(jid) {
            Some(known) => {
                known.show_to(to);
                let is_same = (&known.publish, known.signs) == (&publish, signs);
                if is_same && (known.said == Said::Newest || when == When::WithToken) {
                    return;
                }
                if known.publish.presentity != publish.presentity && self.composition == PresenceComposition::All {
                    // The map gave this user another SIP URI: the state under the old one would stay until it runs out.
                    known.take_away(actions);
                } else if known.said == Said::Newest {
                    known.said = Said::Older;
                }
                (known.publish, known.rank, known.signs) = (publish, rank, signs);
            }
            None => {
                if let Err(full) = self.shares.take(user_of(jid)) {
                    if let Some(total) = self.refused.count(now) {
                        log::warn!("no place for the presence of {jid}: {full}; {total} so far");
                    }
                    return;
                }
                let state = (publish, rank, signs);
                self.known.insert(jid.to_owned(), Publication::new(state, to, now.checked_add(REFRESH).unwrap_or(now)));
            }
        }
        match when {
            When::Now => self.publish(now, jid, News::Yes, actions),
            When::WithToken => self.look_again_at_last(jid, now.checked_add(WAIT)),
        }
    }

    /// A resource, or all of a user's where the JID is bare, is not there any more for one SIP user, a bare JID.
    pub(super) fn unavailable(&mut self, jid: &str, to: &str, actions: &mut Vec<Action>) {
        // A user without resources, as other gateways have them, was published under the bare JID itself.
        self.hide_from(to, jid, actions);
        if jid.contains('/') {
            return;
        }
        for full in self.resources(jid) {
            self.hide_from(to, &full, actions);
        }
    }

    /// A SIP user may see this XMPP user, bare JIDs: where nothing of it is published, it is asked for after the stream broke.
    pub(super) fn expect(&mut self, user: &str, to: &str) {
        if !self.is_shown(user, to) {
            self.absent.insert(user, to);
        }
    }

    /// A SIP user may see this XMPP user no more.
    pub(super) fn expect_no_more(&mut self, user: &str, to: &str) {
        self.absent.remove(user, to);
    }

    /// Whether one SIP user, a bare JID, is shown a resource of this user, a bare JID too.
    pub(super) fn is_shown(&self, jid: &str, to: &str) -> bool {
        let of_user = self.known.get(jid).into_iter().chain(self.of_user(jid).map(|(_, known)| known));
        of_user.into_iter().any(|known| known.shown_to.contains(to) || known.cut_off.contains(to))
    }

    /// One whose publications changed since it was told last, a bare JID.
    pub(super) fn touched(&mut self) -> Option<String> {
        self.touched.pop_first()
    }

    /// What the published resources of a user, a bare JID, say that may light a lamp.
    pub(super) fn signs(&self, user: &str) -> impl Iterator<Item = (&Rank, Signs)> {
        let of_user = self.known.get(user).into_iter().chain(self.of_user(user).map(|(_, known)| known));
        of_user.filter(|known| known.said != Said::Nothing).map(|known| (&known.rank, known.signs))
    }

    /// Whether any SIP user is shown a resource of this user, a bare JID, over a stream that stands.
    pub(super) fn shows_any(&self, jid: &str) -> bool {
        let of_user = self.known.get(jid).into_iter().chain(self.of_user(jid).map(|(_, known)| known));
        of_user.into_iter().any(|known| !known.shown_to.is_empty())
    }

    /// A SIP user who is shown a resource of this user, a bare JID, over a stream that stands.
    pub(super) fn witness(&self, jid: &str) -> Option<String> {
        let of_user = self.known.get(jid).into_iter().chain(self.of_user(jid).map(|(_, known)| known));
        of_user.into_iter().find_map(|known| known.shown_to.first().cloned())
    }

    /// The stream of a domain broke: what was said over it may have changed unheard.
    pub(super) fn stream_down(&mut self, domain: &str) {
        self.up.remove(domain);
        for known in self.known.values_mut() {
            let (cut_off, shown_to) = std::mem::take(&mut known.shown_to).into_iter().partition(|to| domain_of(to) == domain);
            known.shown_to = shown_to;
            let mut cut_off: BTreeSet<String> = cut_off;
            known.cut_off.append(&mut cut_off);
            known.probed = false;
        }
    }

    /// The stream of a domain stands again: asks for the presence of everyone whom its users were shown, and gives those whom nobody
    /// else is shown some time to answer.
    pub(super) fn stream_up(&mut self, now: Instant, domain: &str, actions: &mut Vec<Action>) {
        let deadline = now.checked_add(CONFIRM).unwrap_or(now);
        self.up.insert(domain.to_owned());
        let mut asked: BTreeMap<(String, String), String> = self.absent.of_domain(domain).collect();
        for (jid, known) in &mut self.known {
            let Some(shown_to) = known.cut_off.iter().find(|to| domain_of(to) == domain) else { continue };
            asked.insert((domain.to_owned(), user_of(jid).to_owned()), shown_to.clone());
            if known.shown_to.is_empty() {
                self.due.remove(&(known.due, jid.clone()));
                known.probed = true;
                known.due = deadline;
                self.due.insert((deadline, jid.clone()), ());
            }
        }
        actions.extend(asked.into_iter().map(|((_, user), shown_to)| presence_stanza(&shown_to, &user, "probe")));
    }

    /// The map of addresses changed. `today` gives the SIP URI of a full JID. Who has another one is asked for the presence to publish
    /// under it; who does not answer is taken away.
    pub(super) fn rename(&mut self, now: Instant, today: impl Fn(&str) -> Option<String>, actions: &mut Vec<Action>) {
        let deadline = now.checked_add(CONFIRM).unwrap_or(now);
        let mut asked: BTreeMap<(String, String), String> = BTreeMap::new();
        for (jid, known) in &mut self.known {
            // Who is doubtful already is asked, now or when the stream stands again.
            if known.shown_to.is_empty() || today(jid).as_deref() == Some(&*known.publish.presentity) {
                continue;
            }
            let user = user_of(jid);
            // Each domain has a stream of its own, and an answer over one tells nothing of the others.
            asked.extend(known.shown_to.iter().rev().map(|to| ((user.to_owned(), domain_of(to).into_owned()), to.clone())));
            known.cut_off.append(&mut known.shown_to);
            known.probed = true;
            self.due.remove(&(known.due, jid.clone()));
            known.due = deadline;
            self.due.insert((deadline, jid.clone()), ());
        }
        actions.extend(asked.into_iter().map(|((user, _), shown_to)| presence_stanza(&shown_to, &user, "probe")));
    }

    /// Refreshes what runs out, takes away what did not answer, and publishes what waits if `has_token` finds, and takes, one for that JID.
    pub(super) fn tick(&mut self, now: Instant, mut has_token: impl FnMut(&str) -> bool, actions: &mut Vec<Action>) {
        for _ in 0..PER_TICK {
            let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) else { return };
            let ((_, jid), ()) = entry.remove_entry();
            let Some(known) = self.known.get(&jid) else { continue };
            if known.shown_to.is_empty() && known.probed {
                self.remove(&jid, actions);
            } else if self.is_overdue(now, &jid) {
                // It has another time now.
            } else if self.known.get(&jid).is_some_and(|known| known.said == Said::Newest) {
                self.publish(now, &jid, News::No, actions);
            } else if has_token(&jid) {
                self.publish(now, &jid, News::Yes, actions);
            } else {
                self.look_again(&jid, now.checked_add(WAIT));
            }
        }
    }

    fn publish(&mut self, now: Instant, jid: &str, news: News, actions: &mut Vec<Action>) {
        if self.hold(now, jid) {
            return;
        }
        if let Some(known) = self.known.get_mut(jid) {
            known.said = Said::Newest;
            let before = actions.len();
            self.touched.insert(user_of(jid).to_owned());
            match self.composition {
                PresenceComposition::All => actions.push(Action::Publish(known.publish.clone())),
                PresenceComposition::MostAvailable => self.compose(user_of(jid), (news == News::No).then_some(jid), actions),
            }
            let overdue = if actions.len() > before { self.overdue(jid) } else { None };
            self.look_again(jid, now.checked_add(overdue.unwrap_or(REFRESH)));
        }
    }

    /// Sets when a publication is looked at again, in place of what was set.
    fn look_again(&mut self, jid: &str, at: Option<Instant>) {
        let (Some(known), Some(at)) = (self.known.get_mut(jid), at) else { return };
        self.due.remove(&(known.due, jid.to_owned()));
        known.due = at;
        self.due.insert((at, jid.to_owned()), ());
    }

    /// The same, unless it is looked at before.
    fn look_again_at_last(&mut self, jid: &str, at: Option<Instant>) {
        if self.known.get(jid).is_some_and(|known| at.is_some_and(|at| at < known.due)) {
            self.look_again(jid, at);
        }
    }

    fn hide_from(&mut self, to: &str, jid: &str, actions: &mut Vec<Action>) {
        let Some(known) = self.known.get_mut(jid) else { return };
        self.changes.note(|| jid.to_owned());
        known.shown_to.remove(to);
        known.cut_off.remove(to);
        if known.shown_to.is_empty() {
            self.remove(jid, actions);
        }
        self.expect(user_of(jid), to);
    }

    fn remove(&mut self, jid: &str, actions: &mut Vec<Action>) {
        let Some(mut known) = self.known.remove(jid) else { return };
        self.changes.note(|| jid.to_owned());
        self.touched.insert(user_of(jid).to_owned());
        self.shares.give_back(user_of(jid));
        self.due.remove(&(known.due, jid.to_owned()));
        match self.composition {
            PresenceComposition::All => known.take_away(actions),
            PresenceComposition::MostAvailable => self.compose(user_of(jid), None, actions),
        }
        for to in known.cut_off {
            self.absent.insert(user_of(jid), &to);
        }
    }

    fn resources(&self, bare: &str) -> Vec<String> {
        self.of_user(bare).map(|(jid, _)| jid.clone()).collect()
    }

    fn of_user(&self, bare: &str) -> impl Iterator<Item = (&String, &Publication)> {
        // '0' follows '/': between the two are all of the user's full JIDs.
        self.known.range(format!("{bare}/")..format!("{bare}0"))
    }
}

impl Publication {
    fn new((publish, rank, signs): (sip::Publish, Rank, Signs), to: String, due: Instant) -> Self {
        Self { rank, signs, shown_to: BTreeSet::from([to]), ..Self::of(publish, due) }
    }

    fn of(publish: sip::Publish, due: Instant) -> Self {
        let (shown_to, cut_off) = (BTreeSet::new(), BTreeSet::new());
        Self {
            publish,
            rank: Rank::default(),
            signs: Signs::default(),
            said: Said::Nothing,
            answer: Answer::Here,
            is_held: false,
            shown_to,
            cut_off,
            probed: false,
            due,
        }
    }

    /// The host is to have nothing of it any more.
    fn take_away(&mut self, actions: &mut Vec<Action>) {
        if self.said != Said::Nothing {
            self.said = Said::Nothing;
            actions.push(Self::end(self.publish.clone()));
        }
    }

    fn end(publish: sip::Publish) -> Action {
        Action::Publish(sip::Publish { body: None, expires: 0, ..publish })
    }

    fn show_to(&mut self, to: String) {
        // Who else of this domain was told `unavailable` while its stream was down is not known: the server says it again.
        let domain = domain_of(&to);
        self.cut_off.retain(|other| domain_of(other) != domain);
        if self.shown_to.len() < MAX_SHOWN_TO {
            self.shown_to.insert(to);
        }
    }
}

/// The user whose resource this is.
fn user_of(jid: &str) -> &str {
    jid.split('/').next().unwrap_or(jid)
}
