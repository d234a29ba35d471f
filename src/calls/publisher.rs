//! Calls in, publications out: sans-IO, time is an argument.
//!
//! Each branch of a call is a dialog of the caller and one of the callee, with an id of its own made of Call-ID, tag, CSeq and branch: a host that
//! restarts, or another one on the way of the call, gives it the same. Each of the two is one publication, so that the watchers of one
//! user learn what has changed of one dialog; the presence server puts them together. Each is a partial one: there may be others.
//!
//! | dialog | lives in the presence server |
//! | --- | --- |
//! | before it is answered | as long as it may ring, and not refreshed: without any word of its end the lamp goes out by then |
//! | confirmed | for `override_lifetime`, and refreshed as long as the call lasts |
//! | terminated | for 10 s, in which watchers learn how it ended; a host that tells it at once may take it away |

mod overtaken;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::time::Duration;
use std::time::Instant;

use data_encoding::HEXLOWER;
use sha1::Digest;
use sha1::Sha1;

use super::Begun;
use super::CallKey;
use super::Ending;
use super::Event;
use super::Side;
use super::What;
use super::address_of_record;
use super::call::Call;
use super::document::Subject;
use super::users::Users;
use crate::config::CallDocuments;
use crate::gateway::tally::Tally;
use crate::sip;
use crate::sip::dialog_info::Replaces;
use crate::sip::dialog_state::DialogState;
use crate::sip::dialog_state::End;
use crate::translate::call::UserCall;
use overtaken::Overtaken;

/// Calls that are followed at the most. A further one is not shown; the log says so.
pub const MAX_CALLS: usize = 100_000;

/// How long a dialog that is over stays in the presence server, in seconds.
pub const TERMINATED_EXPIRES: u32 = 10;

/// How long a call that is over is remembered: whatever comes late finds it ended.
const REMEMBERED: Duration = Duration::from_secs(64);

/// How long a call without an answer is remembered, should nobody tell its end.
const UNANSWERED: Duration = Duration::from_secs(3600);

/// How much later than announced the host may end a call.
const GRACE: Duration = Duration::from_secs(60);

/// What the presence server did not take is said again after this time, a few times.
const RETRY: Duration = Duration::from_secs(5);
const MAX_FAILURES: u8 = 5;

/// A PUBLISH that was not answered by now is not under way any more (RFC 3261 §17.1.2.2, timer F).
const ANSWERED: Duration = Duration::from_secs(40);

/// All calls, and what watchers have been told of them.
#[derive(Debug)]
pub struct Publisher {
    wanted: CallDocuments,
    watchers: Watchers,
    /// By digest.
    numbers: HashMap<u64, u64>,
    /// By digest of Call-ID and tag: the last INVITE with these.
    newest: HashMap<u64, u64>,
    overtaken: Overtaken,
    calls: HashMap<u64, Followed>,
    /// Of the last call.
    last: u64,
    /// What may have to be published, in order; each once.
    queue: VecDeque<Name>,
    /// Publications that the presence server has not answered yet, by id.
    under_way: HashMap<String, Name>,
    /// What to look at when, earliest first.
    due: BTreeMap<(Instant, Due), ()>,
    users: Users,
    /// Those of the notes on calls.
    digests: RandomState,
    refused: Tally,
}

/// Whether anybody is told of the dialogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Watchers {
    Told,
    None,
}

#[derive(Debug)]
struct Followed {
    key: CallKey,
    call: Call,
    told: BTreeMap<(u16, Side), Told>,
    /// The presence server may have something from before a restart.
    is_restored: bool,
    /// When it is forgotten.
    until: Option<Instant>,
}

/// One publication: a branch of a call, as one side sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    pub(crate) call: u64,
    pub(crate) branch: u16,
    pub(crate) side: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    Publication(Name),
    Answer(Name),
    Call(u64),
}

#[derive(Debug, Default)]
struct Told {
    is_queued: bool,
    held: Held,
    /// It was said that the dialog is over.
    has_ended: bool,
    /// How often in succession the host did not take it.
    failures: u8,
    /// When it is said again, as it is.
    again: Option<Instant>,
    /// It is under way, until then at the most: what comes next has to wait, or it would begin another publication.
    answered: Option<Instant>,
    /// Something does.
    waits: bool,
}

/// What the presence server has.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Held {
    #[default]
    Nothing,
    /// It may have something.
    Unknown,
    /// The document of this digest.
    Document(u64),
}

/// One operation of RFC 3903 §4.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// For [`Publisher::failed`].
    pub name: Name,
    /// What to publish.
    pub publish: sip::Publish,
    /// What the presence server has of it.
    pub step: Step,
}

impl std::fmt::Display for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = self.publish.body.as_deref().unwrap_or_default();
        write!(
            f,
            "{} for {}, {:?}, {} s: {}",
            self.publish.id,
            self.publish.presentity,
            self.step,
            self.publish.expires,
            body.escape_ascii()
        )
    }
}

/// What the presence server has when it gets a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Initial,
    /// Maybe something: from before a restart or a failure.
    Adopt,
    /// Another document.
    Modify,
    /// The same document: watchers need not be told.
    Refresh,
}

impl Publisher {
    /// Follows no call yet. The keys are those of the digests in [`ended`](Self::ended).
    pub fn new(wanted: CallDocuments, digests: RandomState) -> Self {
        Self {
            wanted,
            watchers: Watchers::Told,
            numbers: HashMap::new(),
            newest: HashMap::new(),
            overtaken: Overtaken::default(),
            calls: HashMap::new(),
            last: 0,
            queue: VecDeque::new(),
            under_way: HashMap::new(),
            due: BTreeMap::new(),
            users: Users::default(),
            digests,
            refused: Tally::default(),
        }
    }

    /// Publishes nothing: what is known of calls is for who asks for their users.
    #[must_use]
    pub fn without_watchers(self) -> Self {
        Self { watchers: Watchers::None, ..self }
    }

    /// Something happened to a call.
    pub fn event(&mut self, now: Instant, Event { call: key, what }: Event) {
        if let What::Begun(begun) = what {
            self.begin(now, key, *begun);
            return;
        }
        let Some(number) = self.numbers.get(&self.digests.hash_one(&key)).copied() else { return };
        let Some(followed) = self.calls.get_mut(&number) else { return };
        let replaced = matches!(what, What::Answered { .. }).then(|| followed.call.begun.replaces.clone()).flatten();
        let is_kept = matches!(what, What::Offer { .. } | What::Kept { .. });
        followed.call.event(what);
        let names = self.look_at(now, number);
        if is_kept {
            names.into_iter().for_each(|name| self.users.keep(name));
        }
        if let Some(replaced) = replaced {
            self.replace(&replaced);
        }
    }

    /// The call of this digest is over, as a note says: its beginning may come later.
    pub fn ended(&mut self, now: Instant, call: u64, ending: Ending) {
        match self.numbers.get(&call).copied() {
            Some(number) => {
                if let Some(followed) = self.calls.get_mut(&number) {
                    followed.call.event(What::Ended(ending));
                    self.look_at(now, number);
                }
            }
            None => self.overtaken.add(now, call),
        }
    }

    /// Whether anything may have to be published.
    pub fn has_work(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Publishes up to `count` of what has changed.
    pub fn work(&mut self, now: Instant, count: usize) -> Vec<Publication> {
        let mut publications = Vec::new();
        while publications.len() < count
            && let Some(name) = self.queue.pop_front()
        {
            publications.extend(self.publication(now, name));
        }
        publications
    }

    /// The host did not take a publication: it is said again later.
    pub fn failed(&mut self, now: Instant, name: Name) {
        self.under_way.retain(|_, under_way| *under_way != name);
        let Some(told) = told(&mut self.calls, name) else { return };
        remind(&mut self.due, &mut told.answered, None, Due::Answer(name));
        told.waits = false;
        told.held = Held::Unknown;
        told.has_ended = false;
        told.failures = told.failures.saturating_add(1);
        let again = (told.failures < MAX_FAILURES).then(|| now.checked_add(RETRY)).flatten();
        remind(&mut self.due, &mut told.again, again, Due::Publication(name));
    }

    /// The host has sent a publication, and will tell when it is answered.
    pub fn is_under_way(&mut self, now: Instant, Publication { name, publish, .. }: Publication) {
        let Some(told) = told(&mut self.calls, name) else { return };
        remind(&mut self.due, &mut told.answered, now.checked_add(ANSWERED), Due::Answer(name));
        self.under_way.insert(publish.id, name);
    }

    /// The publication with this id was answered.
    pub fn answered(&mut self, id: &str) {
        if let Some(name) = self.under_way.remove(id) {
            self.go_on(name);
        }
    }

    /// Time has passed: call it about once a second.
    pub fn tick(&mut self, now: Instant) {
        self.overtaken.tick(now);
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) {
            match entry.remove_entry().0.1 {
                Due::Publication(name) => self.enqueue(name),
                Due::Answer(name) => {
                    self.under_way.retain(|_, under_way| *under_way != name);
                    self.go_on(name);
                }
                Due::Call(number) => self.time_is_over(now, number),
            }
        }
    }

    /// Users, by SIP URI, whose call is another one than before, or over.
    pub fn changed_users(&mut self) -> Vec<(String, Option<UserCall>)> {
        self.users.take_changed()
    }

    /// Users, by SIP URI, of whose calls one was shown to go on.
    pub fn kept_users(&mut self) -> BTreeSet<String> {
        self.users.take_kept()
    }

    /// Whoever was told of users' calls has forgotten them.
    pub fn tell_users_again(&mut self) {
        self.users.change_all();
    }

    /// Somebody could not be told of the call of this user: [`Self::untold_user`] has it again.
    pub fn tell_user_later(&mut self, user: &str) {
        self.users.tell_later(user);
    }

    /// Somebody is to be told of all users who are in a call.
    pub fn tell_users_later(&mut self) {
        self.users.tell_all_later();
    }

    /// One who is to be told of later, and the call as it is now.
    pub fn untold_user(&mut self) -> Option<(String, Option<UserCall>)> {
        self.users.take_untold()
    }

    /// Whether there is one.
    pub fn has_untold_users(&self) -> bool {
        self.users.are_untold()
    }

    /// Calls that are followed.
    pub fn calls(&self) -> usize {
        self.calls.len()
    }

    fn begin(&mut self, now: Instant, key: CallKey, begun: Begun) {
        let digest = self.digests.hash_one(&key);
        if self.overtaken.take(digest) || !self.make_room(digest) {
            return;
        }
        if self.calls.len() >= MAX_CALLS {
            if let Some(total) = self.refused.count(now) {
                log::warn!("{MAX_CALLS} calls are shown; a further one is not: {total} so far");
            }
            return;
        }
        self.last = self.last.wrapping_add(1);
        let is_restored = begun.answered.is_some();
        self.newest.insert(self.digests.hash_one((&key.call_id, &key.from_tag)), self.last);
        let followed = Followed { key, call: Call::new(begun), told: BTreeMap::new(), is_restored, until: None };
        self.calls.insert(self.last, followed);
        self.numbers.insert(digest, self.last);
        self.look_at(now, self.last);
    }

    /// A call is answered that takes the place of another.
    fn replace(&mut self, Replaces { call_id, local_tag, remote_tag }: &Replaces) {
        for from_tag in [local_tag, remote_tag] {
            if let Some(followed) =
                self.newest.get(&self.digests.hash_one((call_id, from_tag))).and_then(|number| self.calls.get_mut(number))
            {
                followed.call.replace();
            }
        }
    }

    /// Queues whatever of a call its watchers may have to be told, and sets when the call is forgotten. Its dialogs.
    fn look_at(&mut self, now: Instant, number: u64) -> Vec<Name> {
        let Some(followed) = self.calls.get_mut(&number) else { return Vec::new() };
        let call = &followed.call;
        let until = match (call.is_over, call.is_answered()) {
            (true, _) => REMEMBERED,
            (false, true) => Duration::from_secs(u64::from(call.begun.lifetime)).saturating_add(GRACE),
            (false, false) => UNANSWERED,
        };
        if !call.is_over && call.is_answered() {
            log::debug!(
                "the call {} lasts for {} s unless more is heard of it",
                sip::one_line(&followed.key.call_id),
                until.as_secs()
            );
        }
        remind(&mut self.due, &mut followed.until, now.checked_add(until), Due::Call(number));
        let mut names = Vec::new();
        for (branch, state) in &call.branches {
            for side in Side::BOTH {
                let name = Name { call: number, branch: *branch, side };
                self.users.see(name, call, state, side);
                names.push(name);
            }
        }
        names.iter().for_each(|name| self.enqueue(*name));
        names
    }

    /// The host has not told the end of a call, or it is time to forget it.
    fn time_is_over(&mut self, now: Instant, number: u64) {
        let Some(followed) = self.calls.get_mut(&number) else { return };
        followed.until = None;
        if !followed.call.is_over {
            log::warn!("nobody told the end of the call {}", sip::one_line(&followed.key.call_id));
            followed.call.event(What::Ended(Ending::Expired));
            self.look_at(now, number);
            return;
        }
        self.forget(number);
    }

    /// Whether a call can begin under this digest. The same INVITE once more, after the host has forgotten it, takes the place of a call that is over if
    /// nobody was told of that.
    fn make_room(&mut self, digest: u64) -> bool {
        let Some(number) = self.numbers.get(&digest).copied() else { return true };
        let was_told = |followed: &Followed| followed.told.values().any(|told| told.held != Held::Nothing);
        if self.calls.get(&number).is_some_and(|followed| !followed.call.is_over || was_told(followed)) {
            return false;
        }
        self.forget(number);
        true
    }

    fn forget(&mut self, number: u64) {
        if let Some(mut followed) = self.calls.remove(&number) {
            remind(&mut self.due, &mut followed.until, None, Due::Call(number));
            self.numbers.remove(&self.digests.hash_one(&followed.key));
            let newest = self.digests.hash_one((&followed.key.call_id, &followed.key.from_tag));
            if self.newest.get(&newest) == Some(&number) {
                self.newest.remove(&newest);
            }
            for ((branch, side), mut told) in followed.told {
                let name = Name { call: number, branch, side };
                remind(&mut self.due, &mut told.again, None, Due::Publication(name));
                if told.answered.is_some() {
                    remind(&mut self.due, &mut told.answered, None, Due::Answer(name));
                    self.under_way.remove(&publication_id(&followed.key, name));
                }
            }
        }
    }

    fn go_on(&mut self, name: Name) {
        let Some(told) = told(&mut self.calls, name) else { return };
        remind(&mut self.due, &mut told.answered, None, Due::Answer(name));
        if std::mem::take(&mut told.waits) {
            self.enqueue(name);
        }
    }

    fn enqueue(&mut self, name: Name) {
        if self.watchers == Watchers::None {
            return;
        }
        let Some(followed) = self.calls.get_mut(&name.call) else { return };
        let told = followed.told.entry((name.branch, name.side)).or_default();
        if !told.is_queued && !told.has_ended {
            told.is_queued = true;
            self.queue.push_back(name);
        }
    }

    /// What is to be said of one dialog now, if anything.
    fn publication(&mut self, now: Instant, name: Name) -> Option<Publication> {
        let Self { wanted, calls, digests, due, .. } = self;
        let Followed { key, call, told, is_restored, .. } = calls.get_mut(&name.call)?;
        let told = told.get_mut(&(name.branch, name.side))?;
        told.is_queued = false;
        if told.answered.is_some() {
            told.waits = true;
            return None;
        }
        let branch = call.branches.get(&name.branch)?;
        let subject = Subject { key, call, branch, side: name.side };
        let seen = subject.state(wanted);
        let is_shown = call.shows(branch, name.side) && (wanted.publish_on_trying || seen >= DialogState::Early);
        let state = if is_shown { seen } else { DialogState::Terminated(End::default()) };
        let has_ended = matches!(state, DialogState::Terminated(_));
        // Of what was never seen nobody is told that it is over.
        let was_seen = told.held != Held::Nothing || (*is_restored && is_shown);
        if told.has_ended || (has_ended && !was_seen) {
            return None;
        }
        let entity = address_of_record(&call.identity(branch, name.side).uri)?;
        let id = publication_id(key, name);
        let body = subject.document(id.clone(), state, &entity, wanted);
        let digest = digests.hash_one(&body);
        let is_due = told.again.is_some_and(|again| again <= now);
        let step = match told.held {
            Held::Nothing if !*is_restored => Step::Initial,
            Held::Nothing | Held::Unknown => Step::Adopt,
            Held::Document(held) if held != digest => Step::Modify,
            Held::Document(_) if is_due => Step::Refresh,
            Held::Document(_) => return None,
        };
        // A caller who is shown as talking while it rings is so only as long as it may ring.
        let is_answered = !has_ended && branch.state(name.side) == DialogState::Confirmed;
        let expires = match (has_ended, is_answered) {
            (true, _) => TERMINATED_EXPIRES,
            (false, true) => wanted.lifetime,
            (false, false) => wanted.ring_time,
        };
        if matches!(told.held, Held::Document(_)) {
            // So it was taken.
            told.failures = 0;
        }
        (told.held, told.has_ended) = (Held::Document(digest), has_ended);
        let again = is_answered.then(|| now.checked_add(Duration::from_secs(u64::from(expires / 2)))).flatten();
        remind(due, &mut told.again, again, Due::Publication(name));
        Some(Publication { name, publish: sip::Publish { presentity: entity, id, body: Some(body.into_bytes()), expires }, step })
    }
}

fn told(calls: &mut HashMap<u64, Followed>, name: Name) -> Option<&mut Told> {
    calls.get_mut(&name.call)?.told.get_mut(&(name.branch, name.side))
}

/// Sets when something is looked at, in place of what was set.
fn remind(due: &mut BTreeMap<(Instant, Due), ()>, set: &mut Option<Instant>, at: Option<Instant>, what: Due) {
    if let Some(before) = set.take() {
        due.remove(&(before, what));
    }
    if let Some(at) = at {
        due.insert((at, what), ());
    }
    *set = at;
}

/// The same after a restart, and on every host that sees the call: of Call-ID, tag, CSeq, branch and side. It gives away none of the former. An
/// INVITE that is sent again with another CSeq is another dialog, as what has ended stays so for whoever is told.
fn publication_id(key: &CallKey, name: Name) -> String {
    let mut digest = Sha1::new();
    digest.update(key.call_id.as_bytes());
    digest.update([0]);
    digest.update(key.from_tag.as_bytes());
    if key.cseq != 0 {
        digest.update([0]);
        digest.update(key.cseq.to_be_bytes());
    }
    let digest = HEXLOWER.encode(&digest.finalize());
    let side = match name.side {
        Side::Caller => 'a',
        Side::Callee => 'b',
    };
    format!("{}.{:x}{side}", digest.get(..DIGEST).unwrap_or_default(), name.branch)
}

/// Digits of the digest: two calls at a time with one of 80 bits do not happen.
const DIGEST: usize = 20;

#[cfg(test)]
mod tests;
