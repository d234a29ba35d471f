//! The event package "dialog" (RFC 4235) in the presence server of the SIP server: which calls a user is in, for whoever watches.
//!
//! ```text
//!  documents of all publishers         host: presence           watchers
//!  -------------------------->  aggregate()  -->  Aggregate
//!                                  ended: what is over              notification(), each watcher
//!                                  publication: what was read       subscription: version, what was told
//!                                                                   profile: what this phone can bear
//! ```
//!
//! The host keeps documents and subscriptions, and sends NOTIFYs; here is decided what stands in them. All workers do this at the same time.
//! What they have to agree on is in memory that they share ([`ended`], [`subscription`]); all else each process has for itself. Time is an
//! argument: seconds of a clock that is the same for all processes.

pub mod aggregate;
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
    /// Each process has its own.
    process: Mutex<Process>,
}

#[derive(Debug, Default)]
struct Process {
    publications: Publications,
    /// What was aggregated last, under the name that the host gave its document.
    last: Option<(usize, Aggregate)>,
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
    /// In mod_init: both are zero, and shared by all processes that are forked from now on. Their lengths are [`ended::ENDED`] and
    /// [`subscription::WORDS`].
    pub fn new(settings: config::DialogEvent, ended: &'static [AtomicU64], subscriptions: &'static [AtomicU64]) -> Self {
        let digests = RandomState::new();
        Self {
            settings,
            key: digests.hash_one(()),
            digests,
            ended: Ended::over(ended),
            subscriptions: Subscriptions::over(subscriptions),
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
        Aggregate::new(presentity.to_owned(), documents, Memory { ended: self.ended, digests: &self.digests, now })
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

    /// A SUBSCRIBE: what follows is for this watcher.
    pub fn subscribed(&self, watcher: &Watcher<'_>, request: Subscribe, now: u32) {
        if let Some(subscription) = self.subscriptions.enter(self.digest(watcher), now) {
            let profile =
                self.settings.profiles.iter().position(|profile| profile.watchers.have(watcher.uri, watcher.user_agent));
            let profile = profile.unwrap_or(self.settings.profiles.len());
            subscription.subscribed(request, u8::try_from(profile).unwrap_or(u8::MAX));
        }
    }

    /// What this watcher is sent of the aggregate of that name, or of that document if the aggregate is gone.
    pub fn notification(&self, name: usize, presentity: &str, document: &[u8], watcher: &Watcher<'_>, now: u32) -> String {
        let process = self.process();
        match &process.last {
            Some((kept, aggregate)) if *kept == name => self.notify(aggregate, watcher, now),
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
