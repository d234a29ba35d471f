//! The gateway's memory: who watches whom, whose presence is published. Sans-IO: events and stanzas in, actions out.
//!
//! Nothing here reads a clock or writes to a socket; `now` is an argument, and what is to be done is pushed onto a list of
//! [`Action`]s, which `process` carries out in order. So every machine runs in tests without a host, a server or time.

pub mod action;
pub mod event;
pub mod publication;
pub mod subscription;
pub mod watcher;

mod iq;

use std::time::Instant;

use jid::Jid;

use crate::address::Addresses;
use crate::address::domain_of;
use crate::config::Config;
use crate::sip;
use crate::translate::failure;
use crate::translate::message;
use crate::translate::presence;
use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::framer::Refused;
use crate::xmpp::stanza;
use crate::xmpp::stanza::AddressError;
use crate::xmpp::stanza::Kind;
use crate::xmpp::stanza::PresenceType;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;
use crate::xmpp::stream_error;
use action::Action;
use action::Authorization;
use event::Event;
use publication::Publications;
use subscription::Pair;
use subscription::Subscriptions;
use subscription::Uris;
use subscription::Wish;
use watcher::Watchers;

/// All that the XMPP process remembers.
#[derive(Debug)]
pub struct Gateway {
    addresses: Addresses,
    subscriptions: Subscriptions,
    publications: Publications,
    watchers: Watchers,
    /// Goes up with each MESSAGE: keeps the Call-IDs of one thread apart.
    unique: u64,
    /// Stanzas beyond a limit so far.
    refused: u64,
}

impl Gateway {
    /// An empty one.
    ///
    /// `seed` is any number that differs from start to start.
    pub fn new(config: &Config, seed: u64) -> Self {
        Self {
            addresses: config.addresses.clone(),
            subscriptions: Subscriptions::default(),
            publications: Publications::default(),
            watchers: Watchers::default(),
            unique: seed,
            refused: 0,
        }
    }

    /// The XMPP server accepted the component of this domain: its users can be spoken for.
    pub fn stream_up(&mut self, now: Instant, domain: &str, actions: &mut Vec<Action>) {
        let domain = domain_of(domain);
        self.subscriptions.stream_up(&domain, actions);
        self.publications.stream_up(now, &domain, actions);
    }

    /// The stream of this component broke. Those of other domains are as they were.
    pub fn stream_down(&mut self, domain: &str) {
        let domain = domain_of(domain);
        self.subscriptions.stream_down(&domain);
        self.publications.stream_down(&domain);
        self.watchers.stream_down(&domain);
    }

    /// Time has passed: call it about once a second.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.subscriptions.tick(now, actions);
        self.publications.tick(now, actions);
    }

    /// A stanza from the XMPP server. An error is one of the server's making, which ends the stream.
    pub fn stanza(&mut self, now: Instant, stanza: &Element, actions: &mut Vec<Action>) -> Result<(), stream_error::Condition> {
        let done = match stanza::Addresses::of(stanza) {
            // The server takes care of that; answering would only keep the loop alive.
            Ok(addresses) if self.addresses.is_sip_user(&addresses.from) => {
                log::debug!("a stanza from {}, one of our own, is dropped", addresses.from);
                return Ok(());
            }
            Ok(addresses) => self.addressed(now, stanza, &addresses, actions),
            Err(AddressError::From | AddressError::To) => Err(Condition::JidMalformed.into()),
            // RFC 6120 §8.1.2: the server stamps and routes by both.
            Err(AddressError::NoFrom | AddressError::NoTo) => return Err(stream_error::Condition::ImproperAddressing),
        };
        if let Err(error) = done
            && let Some(reply) = stanza::error_reply(stanza, &error)
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
        if let Some((stanza, _)) = addressed {
            let error =
                StanzaError::new(Condition::PolicyViolation).with_text(&format!("beyond a limit of the gateway: {fault}"));
            actions.extend(stanza::error_reply(stanza, &error).map(Action::Stanza));
        }
    }

    /// An event from the SIP side.
    pub fn event(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Stanza(stanza) => actions.push(Action::Stanza(stanza)),
            Event::Notify(notify) => {
                let addresses = &self.addresses;
                self.subscriptions.notify(now, notify, |pair| uris(addresses, pair), actions);
            }
            Event::Watchers { presentity, waiting } => self.watchers.waiting(&presentity, waiting, actions),
            Event::SubscribeReply { watcher, presentity, status } => {
                self.subscriptions.reply(now, &(watcher, presentity), status, actions);
            }
        }
    }

    /// The host did not take a MESSAGE: its sender is told.
    pub fn message_refused(&mut self, refused: &sip::Message, actions: &mut Vec<Action>) {
        let sip::Origin { from, to, id } = &refused.origin;
        let error = Condition::InternalServerError.into();
        actions.push(Action::Stanza(stanza::error_stanza(Kind::Message, to, from, id.as_deref(), &error)));
    }

    /// The host did not take a SUBSCRIBE.
    pub fn subscribe_refused(&mut self, now: Instant, refused: &sip::Subscribe, actions: &mut Vec<Action>) {
        let jid = |uri: &str| self.addresses.sip_to_jid(uri.as_bytes()).ok().map(|jid| jid.into_bare().into_inner());
        if let (Some(watcher), Some(presentity)) = (jid(&refused.watcher), jid(&refused.presentity)) {
            self.subscriptions.refused(now, &(watcher, presentity), actions);
        }
    }

    fn addressed(
        &mut self,
        now: Instant,
        stanza: &Element,
        addresses: &stanza::Addresses,
        actions: &mut Vec<Action>,
    ) -> Result<(), StanzaError> {
        match Kind::of(stanza) {
            Some(Kind::Message) => self.message(stanza, addresses, actions),
            Some(Kind::Presence) => self.presence(now, stanza, addresses, actions),
            Some(Kind::Iq) => iq::answer(addresses.to.domain().as_str(), stanza, actions),
            None => Ok(()),
        }
    }

    fn message(
        &mut self,
        stanza: &Element,
        stanza::Addresses { from, to }: &stanza::Addresses,
        actions: &mut Vec<Action>,
    ) -> Result<(), StanzaError> {
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

    fn presence(
        &mut self,
        now: Instant,
        stanza: &Element,
        stanza::Addresses { from, to }: &stanza::Addresses,
        actions: &mut Vec<Action>,
    ) -> Result<(), StanzaError> {
        let kind = PresenceType::of(stanza).ok_or(Condition::BadRequest)?;
        if to.node().is_none() || kind == PresenceType::Error {
            // The gateway itself has no presence; and what came back is sent again with the next change.
            return Ok(());
        }
        let pair = (from.to_bare().into_inner(), to.to_bare().into_inner());
        let uris = Uris { watcher: self.to_sip(from)?, presentity: self.to_sip(to)? };
        match kind {
            PresenceType::Available => self.available(now, stanza, from, pair.1, actions),
            PresenceType::Unavailable => self.publications.unavailable(from.as_str(), &pair.1, actions),
            PresenceType::Subscribe => self.subscriptions.ask(now, pair, uris, Wish::Subscribe, actions),
            PresenceType::Probe => self.subscriptions.ask(now, pair, uris, Wish::Probe, actions),
            PresenceType::Unsubscribe => self.subscriptions.unsubscribe(now, pair, uris, actions),
            PresenceType::Subscribed => self.decided(pair, uris, Authorization::Allowed, actions),
            PresenceType::Unsubscribed => self.decided(pair, uris, Authorization::Refused, actions),
            PresenceType::Error => {}
        }
        Ok(())
    }

    fn available(&mut self, now: Instant, stanza: &Element, from: &Jid, shown_to: String, actions: &mut Vec<Action>) {
        match presence::to_sip(stanza, from, &self.addresses, publication::EXPIRES) {
            Ok(publish) => self.publications.available(now, from.as_str(), shown_to, publish, actions),
            Err(error) => log::debug!("the presence of {from} is not for SIP: {error}"),
        }
    }

    /// The XMPP user, who sent it, decided on the SIP user it was sent to.
    fn decided(&mut self, pair: Pair, uris: Uris, decision: Authorization, actions: &mut Vec<Action>) {
        let (presentity, watcher) = pair;
        self.watchers.decided(watcher, presentity, uris.watcher, decision, actions);
    }

    fn to_sip(&self, jid: &Jid) -> Result<String, StanzaError> {
        self.addresses.jid_to_sip(jid).map_err(failure::address_error)
    }
}

fn uris(addresses: &Addresses, (watcher, presentity): &Pair) -> Option<Uris> {
    let uri = |jid: &str| Jid::new(jid).ok().and_then(|jid| addresses.jid_to_sip(&jid).ok());
    Some(Uris { watcher: uri(watcher)?, presentity: uri(presentity)? })
}

/// A presence stanza that says nothing but its type.
fn presence_stanza(from: &str, to: &str, kind: &str) -> Action {
    let mut xml = XmlWriter::new();
    xml.open("presence").attribute("from", from).attribute("to", to).attribute("type", kind);
    Action::Stanza(xml.finish())
}
