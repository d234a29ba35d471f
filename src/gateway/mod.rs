//! The gateway's memory: who watches whom, whose presence is published. Sans-IO: events and stanzas in, actions out.
//!
//! Nothing here reads a clock or writes to a socket; `now` is an argument, and what is to be done is pushed onto a list of
//! [`Action`]s, which `process` carries out in order. So every machine runs in tests without a host, a server or time.

pub mod action;
pub mod event;
pub mod in_call;
pub mod kept;
pub mod notifier;
pub mod own_presence;
pub mod publication;
pub mod subscription;
pub mod watcher;

pub(crate) mod admission;
mod again;
pub(crate) mod entity;
mod hidden;
mod iq;
pub mod lamps;
mod messages;
mod names;
mod presence;
pub(crate) mod rate;
pub(crate) mod share;
mod stanzas;
pub(crate) mod tally;
mod undelivered;
mod wanted;

use std::time::Instant;

use jid::Jid;

use crate::address::Addresses;
use crate::address::domain_of;
use crate::config::Config;
use crate::config::ContactLamp;
use crate::config::PresenceMode;
use crate::process::host::HostError;
use crate::sip;
use crate::translate::contact_lamp;
use crate::xml::XmlWriter;
use action::Action;
use admission::Admission;
use again::Again;
use again::Wish;
use event::Event;
use event::NotifyReply;
use event::Outcome;
use event::Published;
use event::SubscribeReply;
use hidden::Hidden;
use iq::Answers;
use lamps::Lamps;
use names::pair;
use names::uris;
use notifier::Notifier;
use notifier::Wish as Question;
use own_presence::OwnPresence;
use publication::Publications;
use subscription::Pair;
use subscription::Subscriptions;
use subscription::Uris;
use undelivered::Undelivered;
use watcher::Watchers;

/// How long a NOTIFY waits that the host had no room for, in seconds.
const BUSY_PAUSE: u32 = 5;

/// All that the XMPP process remembers.
#[derive(Debug)]
pub struct Gateway {
    addresses: Addresses,
    presence_mode: PresenceMode,
    /// That of the map of addresses when names were last compared.
    generation: u64,
    admission: Admission,
    answers: Answers,
    own_presence: OwnPresence,
    subscriptions: Subscriptions,
    publications: Publications,
    lamps: Lamps,
    hidden: Hidden,
    watchers: Watchers,
    notifier: Notifier,
    started: Instant,
    undelivered: Undelivered,
    again: Again,
    /// Goes up with each MESSAGE: keeps the Call-IDs of one thread apart.
    unique: u64,
    /// Stanzas beyond a limit so far.
    refused: u64,
}

impl Gateway {
    /// An empty one.
    ///
    /// `seed` is any number that differs from start to start.
    pub fn new(config: &Config, now: Instant, seed: u64) -> Self {
        let keeps = config.state_table.is_some();
        Self {
            addresses: config.addresses.clone(),
            presence_mode: config.presence_mode,
            generation: config.addresses.generation(),
            admission: Admission::new(config.rate_limit),
            answers: Answers::new(config.contact_lamp.as_ref().and_then(ContactLamp::interest)),
            own_presence: OwnPresence::new(),
            subscriptions: Subscriptions::new(keeps),
            publications: Publications::new(config.presence_composition, keeps),
            lamps: Lamps::new(config),
            hidden: Hidden::new(),
            watchers: Watchers::new(config, keeps),
            notifier: Notifier::new(config, now, seed, keeps),
            started: now,
            undelivered: Undelivered::new(config.queue.ttl),
            again: Again::default(),
            unique: seed,
            refused: 0,
        }
    }

    /// The host wants no state of a publication before it has told what became of the one before.
    pub fn publish_one_by_one(&mut self) {
        self.publications.publish_one_by_one();
    }

    /// The XMPP server accepted the component of this domain: its users can be spoken for.
    pub fn stream_up(&mut self, now: Instant, domain: &str, actions: &mut Vec<Action>) {
        let domain = domain_of(domain);
        self.own_presence.stream_up(&domain, actions);
        self.subscriptions.stream_up(&domain, actions);
        self.publications.stream_up(now, &domain, actions);
        self.watchers.stream_up(&domain, actions);
        for (watcher, presentity) in self.notifier.stream_up(&domain) {
            self.watchers.waiting(now, &presentity, vec![watcher], actions);
        }
    }

    /// The stream of this component broke. Those of other domains are as they were.
    pub fn stream_down(&mut self, domain: &str) {
        let domain = domain_of(domain);
        self.subscriptions.stream_down(&domain);
        self.publications.stream_down(&domain);
        self.watchers.stream_down(&domain);
        self.notifier.stream_down(&domain);
    }

    /// The host stops, and the stream stands: what XMPP is to be told before it is closed.
    pub fn stop(&mut self, actions: &mut Vec<Action>) {
        self.own_presence.stop(actions);
    }

    /// Time has passed: call it about once a second.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.follow_the_map(now, actions);
        let (publications, notifier) = (&self.publications, &self.notifier);
        let is_there = |(xmpp_user, sip_user): &Pair| publications.shows_any(xmpp_user) || notifier.is_shown(sip_user, xmpp_user);
        self.subscriptions.tick(now, is_there, actions);
        let admission = &mut self.admission;
        self.publications.tick(now, |jid| admission.take_token(now, jid), actions);
        self.light(now, actions);
        self.lamps.tick(now, actions);
        self.look_for_hidden(now, actions);
        self.watchers.tick(now, actions);
        self.notifier.tick(now, actions);
        self.farewell(actions);
        self.undelivered.tick(now);
        let publications = &self.publications;
        self.again.tick(now, |user, presentity, id| publications.is_published(user, presentity, id), actions);
    }

    /// What came together from XMPP has been told.
    pub fn all_read(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.look_at_news(now, actions);
    }

    /// An event from the SIP side.
    pub fn event(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        self.follow_the_map(now, actions);
        match event {
            Event::Stanza(stanza) => actions.push(Action::Stanza(stanza)),
            Event::Wanted(wanted) => self.undelivered.remember(now, wanted),
            Event::Notify(notify) => {
                let addresses = &self.addresses;
                let notify = self.subscriptions.under_its_names(notify);
                self.subscriptions.notify(now, notify, |pair| uris(addresses, pair), actions);
            }
            Event::Watchers(told) => {
                let uri = Jid::new(&told.presentity).ok().and_then(|jid| self.to_sip(&jid).ok());
                self.watchers.told(now, told, uri, actions);
            }
            Event::SubscribeReply(reply) => {
                let (watcher, presentity) = self.subscriptions.names((reply.watcher, reply.presentity));
                self.subscriptions.reply(now, SubscribeReply { watcher, presentity, ..reply }, actions);
            }
            Event::Subscribe(subscribe) => {
                if let Question::Decision { watcher, presentity } = self.notifier.subscribe(now, subscribe, actions) {
                    self.watchers.waiting(now, &presentity, vec![watcher], actions);
                }
                self.farewell(actions);
            }
            Event::NotifyReply(reply) => {
                self.notifier.replied(now, reply, actions);
                self.farewell(actions);
            }
            Event::Published(published) => {
                let is_known = self.publications.published(now, &published, actions);
                let Published { user, presentity, id, outcome } = published;
                if let (false, Outcome::Failed, Some(uri)) = (is_known, outcome, sip::Uri::new(presentity.clone())) {
                    self.again.failed(now, Wish::End { user, presentity, id }, uri);
                }
            }
            Event::WatchersNotTold(presentity) => {
                if let Some(uri) = sip::Uri::new(presentity) {
                    self.again.failed(now, Wish::Watchers(uri.to_string()), uri);
                }
            }
        }
    }

    /// The host was told that a publication ends.
    pub fn publication_ends(&mut self, publish: &sip::Publish, actions: &mut Vec<Action>) {
        self.publications.ended(publish, actions);
    }

    /// The host did not take a SUBSCRIBE.
    pub fn subscribe_refused(&mut self, now: Instant, refused: &sip::Subscribe, actions: &mut Vec<Action>) {
        let uris = Uris { watcher: refused.watcher.clone(), presentity: refused.presentity.clone() };
        if let Some(today) = pair(&self.addresses, &uris) {
            let pair = self.subscriptions.names(today);
            self.subscriptions.refused(now, &pair, actions);
        }
    }

    /// The host did not take a NOTIFY: it is tried again if the host has too much to do, else it is as if nobody had answered.
    pub fn notify_refused(&mut self, now: Instant, refused: &sip::Notify, error: HostError, actions: &mut Vec<Action>) {
        let (status, retry_after) = match error {
            HostError::Busy => (503, Some(BUSY_PAUSE)),
            HostError::Refused(_) | HostError::Memory | HostError::Missing(_) => (408, None),
        };
        self.notifier.replied(now, NotifyReply { number: refused.number, status, retry_after }, actions);
        self.farewell(actions);
    }

    /// The lamps of those whose publications changed are lit, or put out.
    fn light(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for _ in 0..publication::PER_TICK {
            let Some(user) = self.publications.touched() else { return };
            self.light_one(now, &user, actions);
        }
    }

    fn light_one(&mut self, now: Instant, user: &str, actions: &mut Vec<Action>) {
        let Some(lights) = self.lamps.lights() else { return };
        let lamp = contact_lamp::lamp(lights, self.publications.signs(user), self.lamps.is_on_the_phone(user));
        let uri = Jid::new(user).ok().and_then(|jid| self.to_sip(&jid).ok());
        self.lamps.set(now, user, uri, lamp, actions);
    }

    /// XMPP users whom a SIP user watches no more are told so, unless they see this SIP user's own presence (RFC 8048 §5.3.3): of that,
    /// nothing has ended.
    fn farewell(&mut self, actions: &mut Vec<Action>) {
        for (watcher, presentity) in self.notifier.left() {
            let pair = (presentity, watcher);
            if !self.subscriptions.shows_any(&pair) {
                actions.push(presence_stanza(&pair.1, &pair.0, "unavailable"));
            }
        }
    }
}

/// A presence stanza that says nothing but its type.
fn presence_stanza(from: &str, to: &str, kind: &str) -> Action {
    let mut xml = XmlWriter::new();
    xml.open("presence").attribute("from", from).attribute("to", to).attribute("type", kind);
    Action::Stanza(xml.finish())
}
