//! The gateway's memory: who watches whom, whose presence is published. Sans-IO: events and stanzas in, actions out.
//!
//! Nothing here reads a clock or writes to a socket; `now` is an argument, and what is to be done is pushed onto a list of
//! [`Action`]s, which `process` carries out in order. So every machine runs in tests without a host, a server or time.

pub mod action;
pub mod event;
pub mod notifier;
pub mod own_presence;
pub mod publication;
pub mod subscription;
pub mod watcher;

mod admission;
pub(crate) mod entity;
mod iq;
mod rate;
pub(crate) mod share;
mod tally;
mod undelivered;
mod wanted;

use std::time::Instant;
use std::time::SystemTime;

use jid::Jid;

use crate::address::Addresses;
use crate::address::domain_of;
use crate::config::Config;
use crate::process::host::HostError;
use crate::sip;
use crate::sip::Reason;
use crate::translate;
use crate::translate::disposition;
use crate::translate::failure;
use crate::translate::message;
use crate::translate::presence;
use crate::translate::presence::ResourcePresence;
use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::framer::Refused;
use crate::xmpp::head::Head;
use crate::xmpp::stanza;
use crate::xmpp::stanza::AddressError;
use crate::xmpp::stanza::Kind;
use crate::xmpp::stanza::MessageType;
use crate::xmpp::stanza::PresenceType;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;
use crate::xmpp::stream_error;
use action::Action;
use action::Authorization;
use action::Occasion;
use admission::Admission;
use admission::Verdict;
use event::Event;
use event::NotifyReply;
use event::SubscribeReply;
use iq::Answers;
use notifier::Heard;
use notifier::Notifier;
use notifier::Wish as Question;
use own_presence::OwnPresence;
use publication::Publications;
use publication::When;
use subscription::Pair;
use subscription::Subscriptions;
use subscription::Uris;
use subscription::Wish;
use undelivered::Failed;
use undelivered::Undelivered;
use watcher::Watchers;

/// How long a NOTIFY waits that the host had no room for, in seconds.
const BUSY_PAUSE: u32 = 5;

/// All that the XMPP process remembers.
#[derive(Debug)]
pub struct Gateway {
    addresses: Addresses,
    /// That of the map of addresses when names were last compared.
    generation: u64,
    admission: Admission,
    answers: Answers,
    own_presence: OwnPresence,
    subscriptions: Subscriptions,
    publications: Publications,
    watchers: Watchers,
    notifier: Notifier,
    started: Instant,
    undelivered: Undelivered,
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
        Self {
            addresses: config.addresses.clone(),
            generation: config.addresses.generation(),
            admission: Admission::new(config.rate_limit),
            answers: Answers::new(),
            own_presence: OwnPresence::new(),
            subscriptions: Subscriptions::new(),
            publications: Publications::new(),
            watchers: Watchers::new(),
            notifier: Notifier::new(config.addresses.clone(), config.server_address.clone(), seed),
            started: now,
            undelivered: Undelivered::new(config.queue.ttl),
            unique: seed,
            refused: 0,
        }
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
        self.subscriptions.tick(now, actions);
        let admission = &mut self.admission;
        self.publications.tick(now, |jid| admission.take_token(now, jid), actions);
        self.watchers.tick(now, actions);
        self.notifier.tick(now, actions);
        self.farewell(actions);
        self.undelivered.tick(now);
    }

    /// A stanza from the XMPP server; `wall` is the time of day. An error is one of the server's making, which ends the stream.
    pub fn stanza(
        &mut self,
        now: Instant,
        wall: SystemTime,
        stanza: &Element,
        actions: &mut Vec<Action>,
    ) -> Result<(), stream_error::Condition> {
        self.follow_the_map(now, actions);
        let done = match stanza::Addresses::of(stanza) {
            Ok(addresses) => match self.admission.check(now, stanza, &addresses, &self.addresses, &self.subscriptions) {
                Verdict::Admitted(account) => {
                    let before = actions.len();
                    let done = self.addressed(now, wall, stanza, &addresses, actions);
                    self.admission.charge(account, actions.get(before..).unwrap_or_default());
                    done
                }
                Verdict::Delayed => self.presence((now, wall), stanza, &addresses, When::WithToken, actions),
                Verdict::Dropped => return Ok(()),
                Verdict::Refused(error) => Err(error),
            },
            Err(AddressError::From | AddressError::To) if !self.admission.may_be_answered(now, stanza, &self.addresses) => {
                return Ok(());
            }
            Err(AddressError::From | AddressError::To) => Err(Condition::JidMalformed.into()),
            // RFC 6120 §8.1.2: the server stamps and routes by both.
            Err(AddressError::NoFrom | AddressError::NoTo) => return Err(stream_error::Condition::ImproperAddressing),
        };
        if let Err(error) = done
            && let Some(reply) =
                stanza::error_reply(stanza, &error.with_by(stanza::domain_of(stanza.attribute("to").unwrap_or_default())))
        {
            actions.push(Action::Stanza(reply));
        }
        Ok(())
    }

    /// A stanza beyond a limit: nothing is done but to tell its sender, where RFC 6120 §8.3 allows that.
    pub fn refused(&mut self, Refused { stanza, fault }: &Refused, actions: &mut Vec<Action>) {
        let addressed = stanza.as_ref().and_then(|stanza| Some((stanza, stanza::Addresses::of(stanza).ok()?.from)));
        let from = addressed.as_ref().map_or("an unknown sender", |(_, from)| from.as_str());
        self.refused = self.refused.saturating_add(1);
        // Any user can make these: the log is not to be filled by one.
        let level = if self.refused.is_power_of_two() { log::Level::Warn } else { log::Level::Debug };
        log::log!(level, "a stanza of {from} is refused: {fault}; {} refused so far", self.refused);
        if let Some((stanza, from)) = addressed
            && !self.addresses.is_sip_user(&from)
            && self.addresses.is_sip_address(stanza.attribute("to").unwrap_or_default())
        {
            let error =
                StanzaError::new(Condition::PolicyViolation).with_text(&format!("beyond a limit of the gateway: {fault}"));
            let error = error.with_by(stanza::domain_of(stanza.attribute("to").unwrap_or_default()));
            actions.extend(stanza::error_reply(stanza, &error).map(Action::Stanza));
        }
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
            Event::Watchers { presentity, waiting } => self.watchers.waiting(now, &presentity, waiting, actions),
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
        }
    }

    /// A stanza from the SIP side waited for the stream and was dropped.
    pub fn lost(&mut self, now: Instant, wall: SystemTime, head: &Head<'_>, actions: &mut Vec<Action>) {
        if let Some(failed) = self.undelivered.lost(now, wall, head) {
            self.tell(&failed, actions);
        }
    }

    /// The host did not take a MESSAGE: its sender is told, if there is one.
    pub fn message_refused(&mut self, refused: &sip::Message, error: HostError, actions: &mut Vec<Action>) {
        let Some(sip::Origin { from, to, id }) = &refused.origin else { return };
        let error = StanzaError::new(error.condition()).with_by(stanza::domain_of(to));
        actions.push(Action::Stanza(stanza::error_stanza(Kind::Message, to, from, id.as_deref(), &error)));
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

    /// The operator may have changed the map of addresses: what was translated before is compared with it once.
    fn follow_the_map(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let generation = self.addresses.generation();
        if generation == self.generation {
            return;
        }
        self.generation = generation;
        let addresses = &self.addresses;
        self.subscriptions.rename(|uris| pair(addresses, uris));
        let jid = |jid: Result<Jid, _>| jid.ok().map(|jid| jid.into_bare().into_inner());
        let today = |dialog: &sip::Dialog| {
            let presentity = jid(addresses.xmpp_user_to_jid(dialog.local_uri().as_bytes()))?;
            Some((jid(addresses.sip_user_to_jid(dialog.remote_uri().as_bytes()))?, presentity))
        };
        self.notifier.rename(now, today, actions);
        self.publications.rename(now, |jid| addresses.jid_to_sip(&Jid::new(jid).ok()?).ok(), actions);
    }

    fn addressed(
        &mut self,
        now: Instant,
        wall: SystemTime,
        stanza: &Element,
        addresses: &stanza::Addresses,
        actions: &mut Vec<Action>,
    ) -> Result<(), StanzaError> {
        match Kind::of(stanza) {
            Some(Kind::Message) => self.message(now, wall, stanza, addresses, actions),
            Some(Kind::Presence) => self.presence((now, wall), stanza, addresses, When::Now, actions),
            Some(Kind::Iq) => self.iq(now, wall, stanza, addresses, actions),
            None => Ok(()),
        }
    }

    fn iq(
        &self,
        now: Instant,
        wall: SystemTime,
        stanza: &Element,
        addresses: &stanza::Addresses,
        actions: &mut Vec<Action>,
    ) -> Result<(), StanzaError> {
        let circumstances = iq::Circumstances {
            addresses: &self.addresses,
            subscriptions: &self.subscriptions,
            wall,
            uptime: now.saturating_duration_since(self.started),
        };
        match self.answers.answer(stanza, addresses, &circumstances)? {
            Some(answer) => actions.push(Action::Stanza(answer)),
            None => log::debug!("{} answers what the gateway has not asked", addresses.from),
        }
        Ok(())
    }

    fn message(
        &mut self,
        now: Instant,
        wall: SystemTime,
        stanza: &Element,
        stanza::Addresses { from, to }: &stanza::Addresses,
        actions: &mut Vec<Action>,
    ) -> Result<(), StanzaError> {
        if MessageType::of(stanza) == MessageType::Error {
            if let Some(failed) = self.undelivered.came_back(now, wall, stanza, from, to) {
                self.tell(&failed, actions);
            }
            return Ok(());
        }
        self.unique = self.unique.wrapping_add(1);
        match message::to_sip(stanza, from, to, &self.addresses, self.unique, message::DEFAULT_LIMIT) {
            Ok(message) => actions.push(Action::Message(message)),
            Err(error) => match failure::message_error(error) {
                Some(error) => return Err(error),
                None => log::debug!("a message from {from} is not for SIP: {error}"),
            },
        }
        Ok(())
    }

    /// Tells the sender of a MESSAGE that it was not delivered.
    fn tell(&mut self, Failed { wanted, times }: &Failed, actions: &mut Vec<Action>) {
        self.unique = self.unique.wrapping_add(1);
        match disposition::failed(wanted, *times, &self.addresses, self.unique, message::DEFAULT_LIMIT) {
            Ok(message) => actions.push(Action::Message(message)),
            Err(error) => log::debug!("{} is not told that {} has not got a message: {error}", wanted.from, wanted.to),
        }
    }

    fn presence(
        &mut self,
        (now, wall): (Instant, SystemTime),
        stanza: &Element,
        stanza::Addresses { from, to }: &stanza::Addresses,
        when: When,
        actions: &mut Vec<Action>,
    ) -> Result<(), StanzaError> {
        let kind = PresenceType::of(stanza).ok_or(Condition::BadRequest)?;
        if kind == PresenceType::Error {
            self.presence_came_back(now, stanza, from, to, actions);
            return Ok(());
        }
        if to.node().is_none() {
            if self.addresses.is_sip_user(to) {
                self.own_presence.received(from, to.domain().as_str(), kind, actions);
            }
            return Ok(());
        }
        let pair = (from.to_bare().into_inner(), to.to_bare().into_inner());
        let uris = self.uris(&pair, from, to, kind)?;
        match kind {
            PresenceType::Available => {
                if self.tell_watchers((now, wall), stanza, from, (&pair, when), actions) == Heard::Open {
                    self.available(now, stanza, from, (pair.1, when), actions)?;
                }
            }
            PresenceType::Unavailable => {
                self.tell_watchers((now, wall), stanza, from, (&pair, when), actions);
                self.publications.unavailable(from.as_str(), &pair.1, actions);
            }
            PresenceType::Subscribe => {
                self.subscriptions.ask(now, pair, uris, (Wish::Subscribe, stanza.attribute("id")), actions)
            }
            PresenceType::Probe => self.subscriptions.ask(now, pair, uris, (Wish::Probe, stanza.attribute("id")), actions),
            PresenceType::Unsubscribe => self.subscriptions.unsubscribe(now, pair, uris, actions),
            PresenceType::Subscribed => self.decided(now, pair, uris, Authorization::Allowed, actions),
            PresenceType::Unsubscribed => self.decided(now, pair, uris, Authorization::Refused, actions),
            PresenceType::Error => {}
        }
        Ok(())
    }

    fn available(
        &mut self,
        now: Instant,
        stanza: &Element,
        from: &Jid,
        (shown_to, when): (String, When),
        actions: &mut Vec<Action>,
    ) -> Result<(), StanzaError> {
        match presence::to_sip(stanza, from, &self.addresses, publication::EXPIRES) {
            Ok(publish) => self.publications.available(now, from.as_str(), shown_to, (publish, when), actions),
            Err(error) => match failure::presence_error(error) {
                Some(error) => return Err(error),
                None => log::debug!("the presence of {from} is not for SIP: {error}"),
            },
        }
        Ok(())
    }

    /// The SIP user who is told this presence may watch by dialogs with us.
    fn tell_watchers(
        &mut self,
        (now, wall): (Instant, SystemTime),
        stanza: &Element,
        from: &Jid,
        ((presentity, watcher), when): (&Pair, When),
        actions: &mut Vec<Action>,
    ) -> Heard {
        let read = || {
            let mut presence = ResourcePresence::read(stanza, from).ok()?;
            presence.changed = presence.changed.or_else(|| wall.try_into().ok());
            Some(presence)
        };
        self.notifier.presence(now, (watcher, presentity, when), read, actions)
    }

    /// Presence that we sent in the name of `to` has come back from `from`: what ends by it, both ways.
    fn presence_came_back(&mut self, now: Instant, stanza: &Element, from: &Jid, to: &Jid, actions: &mut Vec<Action>) {
        let error = StanzaError::of(stanza).unwrap_or_else(|| Condition::UndefinedCondition.into());
        log::debug!("presence of {to} came back from {from}: {}", error.condition.name());
        if from.is_full() {
            // An error comes from where the stanza went (RFC 6120 §8.3.1), and what one device answers is not true of the user.
            return;
        }
        if to.node().is_none() {
            if failure::end_of_watching(&error).is_some() {
                self.own_presence.came_back(from.as_str(), to.domain().as_str());
            }
            return;
        }
        let (user, sip_user) = (from.as_str(), to.to_bare().into_inner());
        let occasion = self.watchers.came_back(&sip_user, user, stanza.attribute("id"));
        let Some(reason) = failure::end_of_watching(&error) else { return };
        if occasion == Occasion::Unasked {
            self.subscriptions.came_back(&(user.to_owned(), sip_user.clone()), actions);
            if !self.publications.is_shown(user, &sip_user) && !self.notifier.knows(&sip_user, user) {
                return;
            }
            self.publications.unavailable(user, &sip_user, actions);
        }
        let decision = if reason == Reason::Rejected { Authorization::Refused } else { Authorization::NoResource };
        if self.notifier.decided(now, (&sip_user, user), decision, actions) == Heard::Taken {
            return;
        }
        if let Ok(uri) = self.to_sip(from) {
            self.watchers.end(now, (sip_user, user.to_owned()), uri, (reason, occasion), actions);
        }
    }

    /// The XMPP user, who sent it, decided on the SIP user it was sent to.
    fn decided(&mut self, now: Instant, pair: Pair, uris: Uris, decision: Authorization, actions: &mut Vec<Action>) {
        let (presentity, watcher) = pair;
        if self.notifier.decided(now, (&watcher, &presentity), decision, actions) == Heard::Taken {
            return;
        }
        self.watchers.decided(watcher, presentity, uris.watcher, decision, actions);
    }

    fn uris(&self, pair: &Pair, from: &Jid, to: &Jid, kind: PresenceType) -> Result<Uris, StanzaError> {
        match kind {
            PresenceType::Subscribe | PresenceType::Unsubscribe | PresenceType::Probe => match self.subscriptions.uris(pair) {
                // The dialog has the URIs that it was made with.
                Some(uris) => Ok(uris.clone()),
                None => Ok(Uris { watcher: self.to_sip(from)?, presentity: self.to_sip(to)? }),
            },
            // Said to whom a server has on its list, be it by a name from before.
            PresenceType::Available
            | PresenceType::Unavailable
            | PresenceType::Subscribed
            | PresenceType::Unsubscribed
            | PresenceType::Error => {
                let presentity = translate::uri(self.addresses.jid_to_sip_loosely(to)).map_err(failure::address_error)?;
                Ok(Uris { watcher: self.to_sip(from)?, presentity })
            }
        }
    }

    fn to_sip(&self, jid: &Jid) -> Result<sip::Uri, StanzaError> {
        translate::uri(self.addresses.jid_to_sip(jid)).map_err(failure::address_error)
    }
}

/// The URIs of a subscription that is new to us. Names of a dialog from before a change of the map can be those of anybody.
fn uris(addresses: &Addresses, (watcher, presentity): &Pair) -> Option<Uris> {
    let [watcher, presentity] = [Jid::new(watcher).ok()?, Jid::new(presentity).ok()?];
    if addresses.is_mapped() && (addresses.is_sip_user(&watcher) || !addresses.is_sip_user(&presentity)) {
        return None;
    }
    let uri = |jid: &Jid| translate::uri(addresses.jid_to_sip(jid)).ok();
    Some(Uris { watcher: uri(&watcher)?, presentity: uri(&presentity)? })
}

/// What the map of today makes of the URIs of a subscription.
fn pair(addresses: &Addresses, uris: &Uris) -> Option<Pair> {
    let jid = |uri: &str| addresses.sip_to_jid_loosely(uri.as_bytes()).ok().map(|jid| jid.into_bare().into_inner());
    Some((jid(&uris.watcher)?, jid(&uris.presentity)?))
}

/// A presence stanza that says nothing but its type.
fn presence_stanza(from: &str, to: &str, kind: &str) -> Action {
    let mut xml = XmlWriter::new();
    xml.open("presence").attribute("from", from).attribute("to", to).attribute("type", kind);
    Action::Stanza(xml.finish())
}
