//! XMPP users whose presence SIP users see: one publication (RFC 3903) per resource.
//!
//! An XMPP server sends a user's presence once per contact; all of them make one PUBLISH, because only a change is published. The
//! host's pua keeps the entity tag; here is what was published last, and when it has to be said again. It ends when the last of them
//! is told `unavailable`: a server tells that to a contact who may see the user no more, too (RFC 6121 §3.2.1).

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;

use crate::address::domain_of;
use crate::gateway::action::Action;
use crate::gateway::presence_stanza;
use crate::sip;

/// Resources published at the most. One that finds no place is dropped with a log line.
pub const MAX_PUBLICATIONS: usize = 100_000;

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
    /// The SIP users who are shown it over streams that stand, bare JIDs: in their names it can be probed. None: it is doubtful.
    shown_to: BTreeSet<String>,
    /// Those who were shown it over streams that broke since, or under another SIP URI of the same user. What they are shown now is not
    /// known.
    cut_off: BTreeSet<String>,
    /// It is doubtful, and was asked for: who does not answer in time is taken away. While its stream is down nobody can be asked.
    probed: bool,
    due: Instant,
}

impl Publications {
    /// A resource said what it is doing. `jid` is its full JID, `to` the SIP user it said it to, a bare JID.
    pub(super) fn available(&mut self, now: Instant, jid: &str, to: String, publish: sip::Publish, actions: &mut Vec<Action>) {
        let due = now.checked_add(REFRESH).unwrap_or(now);
        let full = self.known.len() >= MAX_PUBLICATIONS;
        match self.known.get_mut(jid) {
            Some(known) => {
                known.show_to(to);
                if known.publish == publish {
                    return;
                }
                if known.publish.presentity != publish.presentity {
                    // The map gave this user another SIP URI: the state under the old one would stay until it runs out.
                    actions.push(take_away(known.publish.clone()));
                }
                self.due.remove(&(known.due, jid.to_owned()));
                known.publish = publish.clone();
                known.due = due;
            }
            None if full => {
                log::warn!("no place for the presence of {jid}: {MAX_PUBLICATIONS} resources are published");
                return;
            }
            None => {
                let (publish, shown_to) = (publish.clone(), BTreeSet::from([to]));
                self.known
                    .insert(jid.to_owned(), Publication { publish, shown_to, cut_off: BTreeSet::new(), probed: false, due });
            }
        }
        self.due.insert((due, jid.to_owned()), ());
        actions.push(Action::Publish(publish));
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

    /// Whether one SIP user, a bare JID, is shown a resource of this user, a bare JID too.
    pub(super) fn is_shown(&self, jid: &str, to: &str) -> bool {
        let of_user = self.known.get(jid).into_iter().chain(self.of_user(jid).map(|(_, known)| known));
        of_user.into_iter().any(|known| known.shown_to.contains(to) || known.cut_off.contains(to))
    }

    /// The stream of a domain broke: what was said over it may have changed unheard.
    pub(super) fn stream_down(&mut self, domain: &str) {
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
        let mut asked: BTreeMap<&str, &str> = BTreeMap::new();
        for (jid, known) in &mut self.known {
            let Some(shown_to) = known.cut_off.iter().find(|to| domain_of(to) == domain) else { continue };
            asked.insert(jid.split('/').next().unwrap_or(jid), shown_to);
            if known.shown_to.is_empty() {
                self.due.remove(&(known.due, jid.clone()));
                known.probed = true;
                known.due = deadline;
                self.due.insert((deadline, jid.clone()), ());
            }
        }
        actions.extend(asked.into_iter().map(|(user, shown_to)| presence_stanza(shown_to, user, "probe")));
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
            let user = jid.split('/').next().unwrap_or(jid);
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

    /// Refreshes what runs out, takes away what did not answer.
    pub(super) fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for _ in 0..PER_TICK {
            let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= now) else { return };
            let ((_, jid), ()) = entry.remove_entry();
            let Some(known) = self.known.get_mut(&jid) else { continue };
            if known.shown_to.is_empty() && known.probed {
                self.remove(&jid, actions);
                continue;
            }
            known.due = now.checked_add(REFRESH).unwrap_or(now);
            actions.push(Action::Publish(known.publish.clone()));
            self.due.insert((known.due, jid), ());
        }
    }

    fn hide_from(&mut self, to: &str, jid: &str, actions: &mut Vec<Action>) {
        let Some(known) = self.known.get_mut(jid) else { return };
        known.shown_to.remove(to);
        known.cut_off.remove(to);
        if known.shown_to.is_empty() {
            self.remove(jid, actions);
        }
    }

    fn remove(&mut self, jid: &str, actions: &mut Vec<Action>) {
        let Some(known) = self.known.remove(jid) else { return };
        self.due.remove(&(known.due, jid.to_owned()));
        actions.push(take_away(known.publish));
    }

    fn resources(&self, bare: &str) -> Vec<String> {
        self.of_user(bare).map(|(jid, _)| jid.clone()).collect()
    }

    fn of_user(&self, bare: &str) -> impl Iterator<Item = (&String, &Publication)> {
        // '0' follows '/': between the two are all of the user's full JIDs.
        self.known.range(format!("{bare}/")..format!("{bare}0"))
    }
}

fn take_away(publish: sip::Publish) -> Action {
    Action::Publish(sip::Publish { body: None, expires: 0, ..publish })
}

impl Publication {
    fn show_to(&mut self, to: String) {
        // Who else of this domain was told `unavailable` while its stream was down is not known: the server says it again.
        let domain = domain_of(&to);
        self.cut_off.retain(|other| domain_of(other) != domain);
        if self.shown_to.len() < MAX_SHOWN_TO {
            self.shown_to.insert(to);
        }
    }
}
