//! The event package "dialog" (RFC 4235) in the presence server of the SIP server: which calls a user is in, for whoever watches.
//!
//! ```text
//!  documents of all publishers         host: presence           watchers
//!  -------------------------->  aggregate()  -->  Aggregate
//!                                  ended: what is over              notification(), each watcher
//!                                  publication: what was read       subscription: version, what was told
//!                                  crossing: who else is at it
//!                                                                   profile: what this phone can bear
//! ```
//!
//! The host keeps documents and subscriptions, and sends NOTIFYs; here is decided what stands in them. All workers do this at the same time.
//! What they have to agree on is in memory that they share ([`ended`], [`subscription`], [`crossing`]); all else each process has for itself. Time is an
//! argument: seconds of a clock that is the same for all processes.

pub mod aggregate;
pub mod crossing;
pub mod ended;
mod notification;
pub mod profile;
mod publication;
pub mod subscription;

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicU64;

use crate::config;
use aggregate::Aggregate;
use aggregate::Claim;
use aggregate::Memory;
use crossing::Act;
use crossing::Again;
use crossing::Crossings;
use crossing::Stay;
use ended::Ended;
use notification::Purpose;
use profile::View;
use publication::Publications;
use subscription::Due;
use subscription::Subscribe;
use subscription::Subscriptions;

/// The event package.
#[derive(Debug)]
pub struct DialogEvent {
    settings: config::DialogEvent,
    /// The same in all processes, and unknown outside.
    digests: RandomState,
    /// Likewise, for digests of long texts.
    key: u64,
    ended: Ended,
    subscriptions: Subscriptions,
    crossings: Crossings,
    /// Each process has its own.
    process: Mutex<Process>,
}

#[derive(Debug, Default)]
struct Process {
    publications: Publications,
    /// What was aggregated last, under the name that the host gave its document.
    last: Option<(usize, Aggregate)>,
    /// Where this process is, until [`DialogEvent::ends`].
    stays: Vec<(String, Stay)>,
}

/// Presentities that one request is about: one.
const MAX_STAYS: usize = 8;

/// How often one worker tells the watchers again, at the most: each time means that another has come and gone meanwhile.
const MAX_TOLD_AGAIN: usize = 64;

/// Memory that is zero, and shared by all processes that are forked from now on.
#[derive(Debug, Clone, Copy)]
pub struct SharedMemory {
    /// [`ended::ENDED`] words.
    pub ended: &'static [AtomicU64],
    /// [`subscription::WORDS`] words.
    pub subscriptions: &'static [AtomicU64],
    /// [`crossing::WORDS`] words.
    pub crossings: &'static [AtomicU64],
}

/// Who is notified.
#[derive(Debug, Clone, Copy)]
pub struct Watcher<'a> {
    /// A SIP URI.
    pub uri: &'a str,
    /// Where the host knows it.
    pub user_agent: Option<&'a str>,
    /// Of its subscription.
    pub call_id: &'a [u8],
    /// Likewise: the From tag of SUBSCRIBE.
    pub tag: &'a [u8],
    /// How many NOTIFYs the host has counted before this one.
    pub notified: u32,
}

impl DialogEvent {
    /// In mod_init.
    pub fn new(settings: config::DialogEvent, memory: SharedMemory) -> Self {
        let digests = RandomState::new();
        Self {
            settings,
            key: digests.hash_one(()),
            digests,
            ended: Ended::over(memory.ended),
            subscriptions: Subscriptions::over(memory.subscriptions),
            crossings: Crossings::over(memory.crossings),
            process: Mutex::default(),
        }
    }

    /// For how long a request counts that does not say it, in seconds.
    pub fn default_expires(&self) -> u32 {
        self.settings.default_expires
    }

    /// Makes one of all documents of a presentity, in the order in which they were published. The one with the number `withdrawn` is just
    /// being taken back.
    pub fn aggregate(&self, presentity: &str, documents: &[&[u8]], withdrawn: Option<usize>, now: u32) -> Aggregate {
        let mut process = self.process();
        let claim = |number| if withdrawn == Some(number) { Claim::Withdrawn } else { Claim::Valid };
        let documents = documents.iter().enumerate();
        let documents = documents.map(|(number, body)| (claim(number), process.publications.read(body, self.key)));
        Aggregate::new(presentity.to_owned(), documents, self.memory(now))
    }

    /// Keeps an aggregate until [`forget`](Self::forget), or until the next one, for the watchers that its document is handed out to.
    pub fn keep(&self, name: usize, aggregate: Aggregate) {
        self.process().last = Some((name, aggregate));
    }

    /// The host has done with the document of this name.
    pub fn forget(&self, name: usize) {
        let last = &mut self.process().last;
        if last.as_ref().is_some_and(|(kept, _)| *kept == name) {
            *last = None;
        }
    }

    /// The host is about to read what is published of this presentity, a SIP URI, and to tell watchers.
    pub fn begins(&self, presentity: &str, act: Act, now: u32) {
        if let Some(stay) = self.enter(presentity, act, now) {
            let stays = &mut self.process().stays;
            if stays.len() < MAX_STAYS {
                stays.push((presentity.to_owned(), stay));
            }
        }
    }

    /// It has: `tell` has all watchers told once more where they may have heard the older state last.
    pub fn ends(&self, now: u32, tell: impl Fn(&str)) {
        let stays = std::mem::take(&mut self.process().stays);
        for (presentity, stay) in stays {
            let mut stay = Some(stay);
            for _ in 0..MAX_TOLD_AGAIN {
                if stay.take().is_none_or(|stay| stay.leave() == Again::No) {
                    break;
                }
                stay = self.enter(&presentity, Act::Tell, now);
                log::debug!("Event dialog: the watchers of {presentity} are told again, as two were at it at once");
                tell(&presentity);
            }
        }
    }

    fn enter(&self, presentity: &str, act: Act, now: u32) -> Option<Stay> {
        self.crossings.enter(self.digests.hash_one(presentity.to_ascii_lowercase()), act, now)
    }

    /// A SUBSCRIBE: what follows is for this watcher.
    pub fn subscribed(&self, watcher: &Watcher<'_>, request: Subscribe, now: u32) {
        if let Some(subscription) = self.subscriptions.enter(self.digest(watcher), now) {
            let profile =
                self.settings.profiles.iter().position(|profile| profile.watchers.have(watcher.uri, watcher.user_agent));
            let profile = profile.unwrap_or(self.settings.profiles.len());
            subscription.subscribed(request, u8::try_from(profile).unwrap_or(u8::MAX));
        }
    }

    /// Nobody has decided on this watcher, and it is told so without a document.
    pub fn waits(&self, watcher: &Watcher<'_>, now: u32) {
        if let Some(subscription) = self.subscriptions.enter(self.digest(watcher), now) {
            subscription.waits();
        }
    }

    /// What this watcher is sent of the aggregate of that name, or of that document if the aggregate is gone.
    pub fn notification(&self, name: usize, presentity: &str, document: &[u8], watcher: &Watcher<'_>, now: u32) -> String {
        let mut process = self.process();
        match &mut process.last {
            Some((kept, aggregate)) if *kept == name => {
                aggregate.recall(self.memory(now));
                self.notify(aggregate, watcher, now)
            }
            _ => {
                drop(process);
                self.notify(&self.aggregate(presentity, &[document], None, now), watcher, now)
            }
        }
    }

    fn notify(&self, aggregate: &Aggregate, watcher: &Watcher<'_>, now: u32) -> String {
        let subscription = self.subscriptions.enter(self.digest(watcher), now);
        let view = self.view(watcher, subscription.and_then(|subscription| subscription.profile()));
        let order = &self.settings.order;
        let Some(subscription) = subscription else {
            let purpose = Purpose { version: watcher.notified, due: Due::Full, view, told: &[] };
            return aggregate.notification(purpose, order);
        };
        let told = subscription.told();
        let (version, due) = subscription.next(watcher.notified);
        subscription.tell(aggregate.marks());
        aggregate.notification(Purpose { version, due, view, told: &told }, order)
    }

    fn memory(&self, now: u32) -> Memory<'_> {
        Memory { ended: self.ended, digests: &self.digests, now }
    }

    fn view(&self, watcher: &Watcher<'_>, noted: Option<usize>) -> View {
        let profiles = &self.settings.profiles;
        let profile = match noted {
            Some(number) => profiles.get(number),
            None => profiles.iter().find(|profile| profile.watchers.have(watcher.uri, watcher.user_agent)),
        };
        profile.map_or(self.settings.view, |profile| profile.view)
    }

    fn digest(&self, watcher: &Watcher<'_>) -> u64 {
        self.digests.hash_one((watcher.call_id, watcher.tag))
    }

    fn process(&self) -> MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
