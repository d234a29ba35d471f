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
use crate::config::Backend;
use crate::config::Config;
use crate::sip;
use crate::translate::failure;
use crate::translate::message;
use crate::translate::presence;
use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::stanza;
use crate::xmpp::stanza::StanzaError;
use action::Action;
use action::Authorization;
use event::Event;
use publication::Available;
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
    /// Our domain on the XMPP side.
    domain: String,
    subscriptions: Subscriptions,
    publications: Publications,
    watchers: Watchers,
}

impl Gateway {
    /// An empty one.
    pub fn new(config: &Config) -> Self {
        let Backend::Component(component) = &config.backend;
        Self {
            addresses: config.addresses.clone(),
            domain: component.domain.clone(),
            subscriptions: Subscriptions::default(),
            publications: Publications::default(),
            watchers: Watchers::default(),
        }
    }

    /// The XMPP server accepted us.
    pub fn stream_up(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.subscriptions.stream_up(actions);
        self.publications.stream_up(now, actions);
    }

    /// The stream broke.
    pub fn stream_down(&mut self) {
        self.subscriptions.stream_down();
        self.publications.stream_down();
        self.watchers.stream_down();
    }

    /// Time has passed: call it about once a second.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        self.subscriptions.tick(now, actions);
        self.publications.tick(now, actions);
    }

    /// A stanza from the XMPP server.
    pub fn stanza(&mut self, now: Instant, stanza: &Element, actions: &mut Vec<Action>) {
        let refused = match stanza.name() {
            "message" => self.message(stanza, actions),
            "presence" => self.presence(now, stanza, actions),
            "iq" => iq::answer(&self.domain, stanza, actions),
            _ => Err(StanzaError::from(stanza::Condition::FeatureNotImplemented)),
        };
        if let Err(error) = refused
            && let Some(reply) = stanza::error_reply(stanza, &error)
        {
            actions.push(Action::Stanza(reply));
        }
    }

    /// An event from the SIP side.
    pub fn event(&mut self, now: Instant, event: Event, actions: &mut Vec<Action>) {
        match event {
            Event::Stanza(stanza) => actions.push(Action::Stanza(stanza)),
            Event::Notify(notify) => {
                let pair = (notify.watcher.clone(), notify.presentity.clone());
                match self.uris(&pair) {
                    Some(uris) => self.subscriptions.notify(now, notify, uris, actions),
                    None => log::error!("a NOTIFY for {} from {} has an address without counterpart", pair.0, pair.1),
                }
            }
            Event::Watchers { presentity, waiting } => self.watchers.waiting(&presentity, waiting, actions),
            Event::SubscribeReply { watcher, presentity, status } => {
                self.subscriptions.reply(now, &(watcher, presentity), status, actions);
            }
        }
    }

    /// The host did not take a MESSAGE: its sender is told.
    pub fn message_refused(&mut self, refused: &sip::Message, actions: &mut Vec<Action>) {
        let error = failure::status_to_xmpp(500);
        actions.push(Action::Stanza(stanza::error_message(&refused.origin, &error)));
    }

    /// The host did not take a SUBSCRIBE.
    pub fn subscribe_refused(&mut self, now: Instant, refused: &sip::Subscribe, actions: &mut Vec<Action>) {
        let jid = |uri: &str| self.addresses.sip_to_jid(uri.as_bytes()).ok().map(|jid| jid.to_bare().to_string());
        if let (Some(watcher), Some(presentity)) = (jid(&refused.watcher), jid(&refused.presentity)) {
            self.subscriptions.refused(now, &(watcher, presentity), actions);
        }
    }

    fn message(&mut self, stanza: &Element, actions: &mut Vec<Action>) -> Result<(), StanzaError> {
        if let Some(message) = message::to_sip(stanza, &self.addresses).map_err(|error| failure::message_to_xmpp(&error))? {
            actions.push(Action::Message(message));
        }
        Ok(())
    }

    fn presence(&mut self, now: Instant, stanza: &Element, actions: &mut Vec<Action>) -> Result<(), StanzaError> {
        let (from, to) = stanza::addresses(stanza)?;
        if to.node().is_none() {
            // Presence to the gateway itself: it has none, and remembers none.
            return Ok(());
        }
        let pair = (from.to_bare().to_string(), to.to_bare().to_string());
        let uris = Uris { watcher: self.to_sip(&from)?, presentity: self.to_sip(&to)? };
        match stanza.attribute("type") {
            None => self.available(now, stanza, &from, pair, uris, actions),
            Some("unavailable") => self.publications.unavailable(from.as_str(), actions),
            Some("subscribe") => self.subscriptions.ask(pair, uris, Wish::Subscribe, actions),
            Some("probe") => self.subscriptions.ask(pair, uris, Wish::Probe, actions),
            Some("unsubscribe") => self.subscriptions.unsubscribe(pair, uris, actions),
            Some("subscribed") => self.decided(pair, uris, Authorization::Allowed, actions),
            Some("unsubscribed") => self.decided(pair, uris, Authorization::Refused, actions),
            // What we sent could not be delivered; the next change of state will be sent again.
            Some("error") => log::debug!("presence for {} came back as an error", pair.0),
            Some(_) => return Err(StanzaError::from(stanza::Condition::BadRequest)),
        }
        Ok(())
    }

    fn available(&mut self, now: Instant, stanza: &Element, from: &Jid, pair: Pair, uris: Uris, actions: &mut Vec<Action>) {
        let presence::Published { id, body } = presence::to_sip(stanza, from, &uris.watcher);
        let available =
            Available { jid: from.to_string(), seen_by: pair.1, presentity: uris.watcher, id, body: body.into_bytes() };
        self.publications.available(now, available, actions);
    }

    /// The XMPP user, who sent it, decided on the SIP user it was sent to.
    fn decided(&mut self, pair: Pair, uris: Uris, decision: Authorization, actions: &mut Vec<Action>) {
        let (presentity, watcher) = pair;
        self.watchers.decided(watcher, presentity, uris.watcher, decision, actions);
    }

    fn to_sip(&self, jid: &Jid) -> Result<String, StanzaError> {
        self.addresses.jid_to_sip(jid).map_err(|error| failure::address_to_xmpp(error))
    }

    fn uris(&self, (watcher, presentity): &Pair) -> Option<Uris> {
        let uri = |jid: &str| Jid::new(jid).ok().and_then(|jid| self.addresses.jid_to_sip(&jid).ok());
        Some(Uris { watcher: uri(watcher)?, presentity: uri(presentity)? })
    }
}

/// A presence stanza that says nothing but its type.
fn presence_stanza(from: &str, to: &str, kind: &str) -> Action {
    let mut xml = XmlWriter::new();
    xml.open("presence").attribute("from", from).attribute("to", to).attribute("type", kind);
    Action::Stanza(xml.finish())
}
