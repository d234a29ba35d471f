//! XMPP users whose presence SIP users see: one publication (RFC 3903) per resource.
//!
//! An XMPP server sends a user's presence once per contact; all of them make one PUBLISH, because only a change is published. The
//! host's pua keeps the entity tag; here is what was published last, and when it has to be said again.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use crate::gateway::action::Action;
use crate::gateway::presence_stanza;
use crate::sip;

/// Resources published at the most. One that finds no place is dropped with a log line.
pub const MAX_PUBLICATIONS: usize = 100_000;

/// Lifetime of a publication, in seconds.
pub const EXPIRES: u32 = 3600;

/// A publication is said again after this time, well before it runs out.
const REFRESH: Duration = Duration::from_secs(2700);

/// PUBLISHes in one tick: after a broken stream all are due at once, and the rest of the process must not wait for them. All that
/// there may be are through in 200 s, well within what [`REFRESH`] leaves.
pub const PER_TICK: usize = 500;

/// After a broken stream, a resource that does not answer a probe within this time is gone.
const CONFIRM: Duration = Duration::from_secs(60);

/// The published resources, by full JID.
#[derive(Debug, Default)]
pub(super) struct Publications {
    known: BTreeMap<String, Publication>,
    /// What to look at when, earliest first. An entry is valid as long as its publication still says the same time.
    due: BTreeMap<(Instant, String), ()>,
}

#[derive(Debug)]
struct Publication {
    /// What was published last, and is said again before it runs out.
    publish: sip::Publish,
    /// A SIP user who was shown it, bare JID: in this name it can be probed.
    seen_by: String,
    due: Instant,
    trust: Trust,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trust {
    /// Said over the stream that stands.
    Confirmed,
    /// Said over a stream that broke since; probed.
    Doubtful,
}

impl Publications {
    /// A resource said what it is doing. `jid` is its full JID, `seen_by` the SIP user it said it to, a bare JID.
    pub(super) fn available(
        &mut self,
        now: Instant,
        jid: &str,
        seen_by: String,
        publish: sip::Publish,
        actions: &mut Vec<Action>,
    ) {
        let due = now.checked_add(REFRESH).unwrap_or(now);
        let full = self.known.len() >= MAX_PUBLICATIONS;
        match self.known.get_mut(jid) {
            Some(known) if known.publish == publish => {
                known.trust = Trust::Confirmed;
                return;
            }
            Some(known) => {
                self.due.remove(&(known.due, jid.to_owned()));
                *known = Publication { publish: publish.clone(), seen_by, due, trust: Trust::Confirmed };
            }
            None if full => {
                log::warn!("no place for the presence of {jid}: {MAX_PUBLICATIONS} resources are published");
                return;
            }
            None => {
                let publish = publish.clone();
                self.known.insert(jid.to_owned(), Publication { publish, seen_by, due, trust: Trust::Confirmed });
            }
        }
        self.due.insert((due, jid.to_owned()), ());
        actions.push(Action::Publish(publish));
    }

    /// A resource left, or all of a user's where the JID is bare.
    pub(super) fn unavailable(&mut self, jid: &str, actions: &mut Vec<Action>) {
        // A user without resources, as other gateways have them, was published under the bare JID itself.
        self.remove(jid, actions);
        if jid.contains('/') {
            return;
        }
        for full in self.resources(jid) {
            self.remove(&full, actions);
        }
    }

    /// The stream broke: what was said over it may have changed unheard.
    pub(super) fn stream_down(&mut self) {
        for known in self.known.values_mut() {
            known.trust = Trust::Doubtful;
        }
    }

    /// The stream stands again: asks for everyone's presence, and gives them some time to answer.
    pub(super) fn stream_up(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let deadline = now.checked_add(CONFIRM).unwrap_or(now);
        let mut asked: BTreeMap<&str, &str> = BTreeMap::new();
        for (jid, known) in &mut self.known {
            self.due.remove(&(known.due, jid.clone()));
            known.due = deadline;
            self.due.insert((deadline, jid.clone()), ());
        }
        for (jid, known) in &self.known {
            asked.insert(jid.split('/').next().unwrap_or(jid), &known.seen_by);
        }
        actions.extend(asked.into_iter().map(|(user, seen_by)| presence_stanza(seen_by, user, "probe")));
    }

    /// Refreshes what runs out, takes away what did not answer.
    pub(super) fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for _ in 0..PER_TICK {
            let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) else { return };
            let ((_, jid), ()) = entry.remove_entry();
            let Some(known) = self.known.get_mut(&jid) else { continue };
            if known.trust == Trust::Doubtful {
                self.remove(&jid, actions);
                continue;
            }
            known.due = now.checked_add(REFRESH).unwrap_or(now);
            actions.push(Action::Publish(known.publish.clone()));
            self.due.insert((known.due, jid), ());
        }
    }

    fn remove(&mut self, jid: &str, actions: &mut Vec<Action>) {
        let Some(known) = self.known.remove(jid) else { return };
        self.due.remove(&(known.due, jid.to_owned()));
        actions.push(Action::Publish(sip::Publish { body: None, expires: 0, ..known.publish }));
    }

    fn resources(&self, bare: &str) -> Vec<String> {
        // '0' follows '/': between the two are all of the user's full JIDs.
        self.known.range(format!("{bare}/")..format!("{bare}0")).map(|(jid, _)| jid.clone()).collect()
    }
}
