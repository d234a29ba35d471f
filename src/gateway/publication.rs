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
    presentity: String,
    id: String,
    body: Vec<u8>,
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

/// One presence stanza, translated.
#[derive(Debug)]
pub(super) struct Available {
    /// The resource's full JID.
    pub(super) jid: String,
    /// The SIP user it was sent to, bare JID.
    pub(super) seen_by: String,
    /// The XMPP user's bare SIP URI.
    pub(super) presentity: String,
    /// The id of its tuple, and of its publication.
    pub(super) id: String,
    /// The PIDF.
    pub(super) body: Vec<u8>,
}

impl Publications {
    /// A resource said what it is doing.
    pub(super) fn available(&mut self, now: Instant, available: Available, actions: &mut Vec<Action>) {
        let due = now.checked_add(REFRESH).unwrap_or(now);
        let Available { jid, seen_by, presentity, id, body } = available;
        match self.known.get_mut(&jid) {
            Some(known) if known.body == body => {
                known.trust = Trust::Confirmed;
                return;
            }
            Some(known) => {
                self.due.remove(&(known.due, jid.clone()));
                known.body.clone_from(&body);
                known.due = due;
                known.trust = Trust::Confirmed;
            }
            None if self.known.len() >= MAX_PUBLICATIONS => {
                log::warn!("no place for the presence of {jid}: {MAX_PUBLICATIONS} resources are published");
                return;
            }
            None => {
                let (presentity, id, body) = (presentity.clone(), id.clone(), body.clone());
                let trust = Trust::Confirmed;
                self.known.insert(jid.clone(), Publication { presentity, id, body, seen_by, due, trust });
            }
        }
        self.due.insert((due, jid), ());
        actions.push(Action::Publish(sip::Publish { presentity, id, body: Some(body), expires: EXPIRES }));
    }

    /// A resource left, or all of a user's where the JID is bare.
    pub(super) fn unavailable(&mut self, jid: &str, actions: &mut Vec<Action>) {
        if jid.contains('/') {
            self.remove(jid, actions);
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
        while let Some(entry) = self.due.first_entry() {
            if entry.key().0 > now {
                return;
            }
            let ((_, jid), ()) = entry.remove_entry();
            let Some(known) = self.known.get_mut(&jid) else { continue };
            if known.trust == Trust::Doubtful {
                self.remove(&jid, actions);
                continue;
            }
            known.due = now.checked_add(REFRESH).unwrap_or(now);
            actions.push(Action::Publish(sip::Publish {
                presentity: known.presentity.clone(),
                id: known.id.clone(),
                body: Some(known.body.clone()),
                expires: EXPIRES,
            }));
            self.due.insert((known.due, jid), ());
        }
    }

    fn remove(&mut self, jid: &str, actions: &mut Vec<Action>) {
        let Some(known) = self.known.remove(jid) else { return };
        self.due.remove(&(known.due, jid.to_owned()));
        let Publication { presentity, id, .. } = known;
        actions.push(Action::Publish(sip::Publish { presentity, id, body: None, expires: 0 }));
    }

    fn resources(&self, bare: &str) -> Vec<String> {
        // '0' follows '/': between the two are all of the user's full JIDs.
        self.known.range(format!("{bare}/")..format!("{bare}0")).map(|(jid, _)| jid.clone()).collect()
    }
}
