//! What pua does for a publication otherwise, where the presence server is this host's own (`presence_mode` local): which operation of
//! RFC 3903 §4.1 it is, under which entity tag.
//!
//! The entity tag of a publication is made of its id, and is the same all its life. So after a restart the next state of a resource
//! takes the place of the one from before, in a presence server that keeps its states in a database, and does not stand beside it.

use std::collections::HashMap;
use std::ffi::c_int;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crate::gateway::publication;
use crate::gateway::publication::MAX_PUBLICATIONS;
use crate::process::host::HostError;
use crate::sip::Publish;

/// How long the presence server may have publications from before a restart.
const INHERITED: Duration = Duration::from_secs(publication::EXPIRES as u64);

/// The publications that the presence server got from this process.
#[derive(Debug)]
pub(super) struct Publications {
    started: Instant,
    keys: RandomState,
    /// By a digest of presentity and id: the digest of the document. `None`: whether it was stored is not known.
    held: HashMap<u64, Option<u64>>,
    /// How many the presence server did not take.
    failures: u64,
}

/// What the presence server is to do with the state of a `Publish`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// It is the first.
    Initial,
    /// It is the first one of this process: there may be one, from before a restart or a failure.
    Adopt,
    /// It is another one.
    Modify,
    /// It is the same one for longer: nobody is to be told.
    Refresh,
    /// None any more.
    Remove,
    /// Where it has run out: none any more.
    Expire,
}

impl Publications {
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), keys: RandomState::new(), held: HashMap::new(), failures: 0 }
    }

    /// So many were not taken by now: if that is news, any of them may not be stored as it was handed over.
    pub(super) fn failed(&mut self, failures: u64) {
        if failures != self.failures {
            self.failures = failures;
            self.held.values_mut().for_each(|document| *document = None);
        }
    }

    /// Hands one over: `store` has it done.
    pub(super) fn hand_over(
        &mut self,
        publish: &Publish,
        store: impl FnOnce(Operation) -> Result<(), HostError>,
    ) -> Result<(), HostError> {
        let key = self.keys.hash_one((&*publish.presentity, &publish.id));
        let Some(body) = &publish.body else {
            self.held.remove(&key);
            return store(Operation::Remove);
        };
        let document = self.keys.hash_one(body);
        let operation = match self.held.get(&key) {
            Some(Some(held)) if *held == document => Operation::Refresh,
            Some(Some(_)) => Operation::Modify,
            None if self.started.elapsed() > INHERITED => Operation::Initial,
            Some(None) | None => Operation::Adopt,
        };
        let stored = store(operation);
        if self.held.len() >= MAX_PUBLICATIONS && !self.held.contains_key(&key) {
            // More than the gateway publishes: what it forgot after a panic. Each is taken for new when it comes again.
            self.held.clear();
            self.started = Instant::now();
        }
        self.held.insert(key, stored.is_ok().then_some(document));
        stored
    }
}

/// While it lives, the presence server gives no new entity tags to publications that are changed: of ours it would not tell us the next
/// one. A PUBLISH that another process is at meanwhile may keep its tag too, as its sender sees in the reply.
pub(super) struct KeepsTags {
    setting: &'static AtomicI32,
    before: c_int,
}

impl KeepsTags {
    /// # Safety
    /// `etag_not_new` of an event, which lives as long as the server.
    pub(super) unsafe fn begin(etag_not_new: *mut c_int) -> Self {
        // SAFETY: [H4] by the contract of this function. Other processes read it, and write to it here only, after the first fork.
        let setting = unsafe { AtomicI32::from_ptr(etag_not_new) };
        Self { setting, before: setting.swap(1, Ordering::Relaxed) }
    }
}

impl Drop for KeepsTags {
    fn drop(&mut self) {
        self.setting.store(self.before, Ordering::Relaxed);
    }
}

/// The entity tag of a publication, unique among those of its presentity: under 64 bytes, which the tables of both hosts hold.
pub(super) fn entity_tag(publish: &Publish) -> String {
    ["xmpp.", &publish.id].concat()
}

/// User and host of a presentity, as they stand in its URI.
pub(super) fn user_and_host(publish: &Publish) -> (&str, &str) {
    let address = publish.presentity.strip_prefix("sip:").unwrap_or_default();
    address.split_once('@').unwrap_or(("", address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::Uri;

    fn state(body: Option<&str>) -> Publish {
        let presentity = Uri::new("sip:romeo@example.net".into()).unwrap();
        let expires = if body.is_some() { publication::EXPIRES } else { 0 };
        Publish { presentity, id: "ID-orchard".into(), body: body.map(|body| body.as_bytes().to_vec()), expires }
    }

    /// What the presence server is asked for, and whether it does it.
    fn handed_over(publications: &mut Publications, body: Option<&str>, done: Result<(), HostError>) -> String {
        let mut asked = String::new();
        let answer = publications.hand_over(&state(body), |operation| {
            asked = match operation {
                Operation::Initial => "initial",
                Operation::Adopt => "adopt",
                Operation::Modify => "modify",
                Operation::Refresh => "refresh",
                Operation::Remove => "remove",
                Operation::Expire => "expire",
            }
            .to_owned();
            done
        });
        assert_eq!(answer, done);
        asked
    }

    #[test]
    fn only_a_change_is_told() {
        let mut publications = Publications::new();
        let states = [Some("away"), Some("away"), Some("dnd"), Some("dnd"), None, Some("away")];
        let asked = states.map(|body| handed_over(&mut publications, body, Ok(())));
        assert_eq!(asked, ["adopt", "refresh", "modify", "refresh", "remove", "adopt"]);
    }

    #[test]
    fn after_an_hour_nothing_is_left_from_before_a_restart() {
        let started = Instant::now().checked_sub(INHERITED + Duration::from_secs(1)).unwrap();
        let mut publications = Publications { started, ..Publications::new() };
        assert_eq!(handed_over(&mut publications, Some("away"), Ok(())), "initial");
    }

    #[test]
    fn what_failed_may_have_been_stored() {
        let started = Instant::now().checked_sub(INHERITED + Duration::from_secs(1)).unwrap();
        let mut publications = Publications { started, ..Publications::new() };
        let failed = Err(HostError::Refused(-1));
        let asked = [failed, failed, Ok(()), failed, Ok(())].map(|done| handed_over(&mut publications, Some("away"), done));
        assert_eq!(asked, ["initial", "adopt", "adopt", "refresh", "adopt"]);
    }

    #[test]
    fn after_a_failure_none_is_taken_for_stored() {
        let mut publications = Publications::new();
        let mut told = |failures| {
            publications.failed(failures);
            handed_over(&mut publications, Some("away"), Ok(()))
        };
        assert_eq!([0, 0, 1, 1, 3, 3].map(&mut told), ["adopt", "refresh", "adopt", "refresh", "adopt", "refresh"]);
    }

    #[test]
    fn an_entity_tag_fits_into_the_tables() {
        let longest = Publish { id: "x".repeat(49), ..state(None) };
        assert!(entity_tag(&longest).len() <= 64);
        assert_eq!(user_and_host(&state(None)), ("romeo", "example.net"));
    }
}
