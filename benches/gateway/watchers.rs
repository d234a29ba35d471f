//! SIP users who watch XMPP users, with the gateway as notifier (`xmpp_handle_subscribe()`).

use std::io;
use std::time::Duration;

use crate::directions::XMPP_DOMAIN;
use crate::host::XMPP_PROCESS;
use crate::load::History;
use crate::load::Kind;
use crate::load::Limits;
use crate::load::Load;
use crate::load::drive;
use crate::marker::HOLE;
use crate::marker::Template;
use crate::rig::Rig;
use crate::xmpp_server::COMPONENT;

/// SIP watchers of each XMPP user whose presence changes.
const WATCHERS: usize = 10;

/// XMPP users whose presence changes.
const USERS: usize = 100;

/// SUBSCRIBEs sent before the gateway gets time to follow.
const PORTION: usize = 2000;

/// Stanzas sent before what they cause is looked at.
const TOGETHER: usize = 100;

/// Who watches whom, one pair a number.
#[derive(Clone, Copy)]
pub(crate) struct Pairs {
    users: usize,
    watchers: usize,
}

impl Pairs {
    /// Users whose presence is told to ten watchers each.
    pub(crate) const TOLD: Self = Self { users: USERS, watchers: WATCHERS };

    /// As many as the memory of one is measured with.
    pub(crate) const MANY: Self = Self { users: 1000, watchers: 100 };

    /// How many they are.
    pub(crate) fn count(self) -> usize {
        self.users * self.watchers
    }

    /// XMPP user and SIP watcher.
    fn names(self, pair: usize) -> (String, String) {
        (format!("user{:04}@{XMPP_DOMAIN}", pair / self.watchers), format!("watcher{:03}@{COMPONENT}", pair % self.watchers))
    }

    /// All subscribe, and all are let in.
    pub(crate) fn subscribe(self, rig: &mut Rig, limits: &Limits, history: &mut History) -> io::Result<()> {
        for first in (0..self.count()).step_by(PORTION) {
            let count = PORTION.min(self.count() - first);
            let once = Limits { window: 64, time: Duration::from_secs(60), count, aftermath: Duration::ZERO, ..*limits };
            let round = drive(rig, &mut Subscribes { pairs: self, first, port: rig.peer_port() }, &once, history)?;
            if round.completed < count {
                let asked = first + count;
                return Err(io::Error::other(format!("{} of {asked} SUBSCRIBEs were not accepted", round.lost())));
            }
            // A worker answers faster than the XMPP process can follow.
            rig.rest(Duration::from_millis(100))?;
        }
        for pair in 0..self.count() {
            let (user, watcher) = self.names(pair);
            rig.xmpp.send_text(&format!("<presence from='{user}' to='{watcher}' type='subscribed'/>"));
            if pair % TOGETHER == 0 {
                rig.rest(Duration::from_millis(5))?;
            }
        }
        rig.rest(Duration::from_secs(1))
    }

    /// What a virtual subscription takes of the memory of the XMPP process, in bytes: both are online, and the SIP user has one phone.
    pub(crate) fn memory(self, rig: &mut Rig, limits: &Limits, history: &mut History) -> io::Result<Option<u64>> {
        let resident = |rig: &Rig| rig.host.memory_of(XMPP_PROCESS, "RssAnon:");
        let before = resident(rig);
        self.subscribe(rig, limits, history)?;
        let once = Limits { window: 64, time: Duration::from_secs(120), count: self.count(), ..*limits };
        let round = drive(rig, &mut Presence { pairs: self }, &once, history)?;
        if round.lost() > 0 {
            return Err(io::Error::other(format!("{} of {} presences became no NOTIFY", round.lost(), self.count())));
        }
        rig.rest(Duration::from_secs(1))?;
        let used = resident(rig).zip(before).map(|(after, before)| after.saturating_sub(before) << 10);
        Ok(used.map(|bytes| bytes / self.count() as u64))
    }
}

/// The SUBSCRIBE of each pair.
struct Subscribes {
    pairs: Pairs,
    /// The number of the first pair.
    first: usize,
    port: u16,
}

impl Load for Subscribes {
    fn send(&mut self, rig: &mut Rig, slot: usize, id: u64) {
        let (port, (user, watcher)) = (self.port, self.pairs.names(self.first + slot));
        let subscribe = format!(
            "SUBSCRIBE sip:{user} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-b{HOLE}\r\nMax-Forwards: 70\r\n\
             From: <sip:{watcher}>;tag=t{HOLE}\r\nTo: <sip:{user}>\r\nCall-ID: c{HOLE}@127.0.0.1\r\nCSeq: {HOLE} SUBSCRIBE\r\n\
             Contact: <sip:juliet@127.0.0.1:{port}>\r\nEvent: presence\r\nExpires: 3600\r\nAccept: application/pidf+xml\r\n\
             Content-Length: 0\r\n\r\n"
        );
        rig.sip.send(&Template::new(subscribe), id);
    }

    fn awaited(&self) -> &[Kind] {
        &[Kind::Reply]
    }

    fn slots(&self) -> usize {
        PORTION
    }
}

/// The presence of each user to each of the watchers, as an XMPP server sends it: a stanza each. Each says something new.
pub(crate) struct Presence {
    /// To whom.
    pub(crate) pairs: Pairs,
}

impl Load for Presence {
    fn send(&mut self, rig: &mut Rig, slot: usize, id: u64) {
        let (user, watcher) = self.pairs.names(slot);
        rig.xmpp.send_text(&format!(
            "<presence from='{user}/balcony' to='{watcher}'><show>away</show><status>On the balcony #m{id:09}#</status>\
             <priority>5</priority></presence>"
        ));
    }

    fn awaited(&self) -> &[Kind] {
        &[Kind::Notify]
    }

    fn slots(&self) -> usize {
        self.pairs.count()
    }
}
