//! Which stanzas come in: those of the XMPP network to our own domain, of a domain that the operator allows, and not too many.
//!
//! | a stanza | what becomes of it |
//! | --- | --- |
//! | whose `from` is our own domain | dropped: an answer would only keep the loop alive |
//! | whose `to` is not | dropped: an answer would be sent `from` a domain that is not ours, and end the stream (RFC 6120 §4.9.3.9) |
//! | from a domain that is not allowed | `forbidden` |
//! | of a user or domain that made too much SIP traffic | `policy-violation`, type `wait` (RFC 6120 §8.3.3.12) |
//! | the same, and it says what a resource is doing | it waits: no server says it again, and what SIP users see would stay wrong |
//! | the same, and it ends what there is | comes in: it was counted when it began |
//!
//! None of them ends the stream, as RFC 6120 would have it for the first two between servers: over this stream come the stanzas of all
//! users, and a server that hosts several domains behind one component lets each of them write to any of these.

use std::time::Instant;

use jid::Jid;

use crate::address::Addresses;
use crate::config::RateLimit;
use crate::gateway::action::Action;
use crate::gateway::rate::Account;
use crate::gateway::rate::Empty;
use crate::gateway::rate::Limiter;
use crate::gateway::subscription::Subscriptions;
use crate::gateway::tally::Tally;
use crate::xmpp::element::Element;
use crate::xmpp::stanza;
use crate::xmpp::stanza::Kind;
use crate::xmpp::stanza::MessageType;
use crate::xmpp::stanza::PresenceType;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::ErrorType;
use crate::xmpp::stanza_error::StanzaError;

/// Decides, and counts what was decided against.
#[derive(Debug)]
pub(super) struct Admission {
    limiter: Option<Limiter>,
    own: Tally,
    foreign: Tally,
    denied: Tally,
    limited: Tally,
}

/// What becomes of a stanza.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It comes in; what it does is charged to this account.
    Admitted(Option<Account>),
    /// It comes in, but nothing is sent for it before its sender has a token.
    Delayed,
    /// It goes nowhere, and nobody is told.
    Dropped,
    /// Its sender is told.
    Refused(StanzaError),
}

impl Admission {
    pub(super) fn new(limit: RateLimit) -> Self {
        let tally = Tally::default;
        Self { limiter: Limiter::new(limit), own: tally(), foreign: tally(), denied: tally(), limited: tally() }
    }

    /// Looks at a stanza from the XMPP server.
    pub(super) fn check(
        &mut self,
        now: Instant,
        stanza: &Element,
        sent: &stanza::Addresses,
        addresses: &Addresses,
        subscriptions: &Subscriptions,
    ) -> Verdict {
        let stanza::Addresses { from, to } = sent;
        if addresses.is_sip_user(from) {
            if let Some(total) = self.own.count(now) {
                log::warn!("a stanza from {from} to {to}, one of our own, is dropped; {total} so far");
            }
            return Verdict::Dropped;
        }
        if !addresses.is_sip_user(to) {
            self.foreign(now, from.as_str(), to.as_str());
            return Verdict::Dropped;
        }
        if !addresses.is_allowed_peer(from) {
            if let Some(total) = self.denied.count(now) {
                log::info!("a stanza from {from} to {to} is refused: the domain is not allowed; {total} so far");
            }
            return Verdict::Refused(not_allowed());
        }
        let limiter = self.limiter.as_mut().filter(|_| makes_traffic(stanza, sent, subscriptions));
        match limiter.map(|limiter| limiter.account(now, from)).transpose() {
            Ok(account) => Verdict::Admitted(account),
            Err(empty) => {
                let whose = match empty {
                    Empty::Jid => "rate_limit",
                    Empty::Domain => "rate_limit_domain",
                };
                let waits = Kind::of(stanza) == Some(Kind::Presence) && PresenceType::of(stanza) == Some(PresenceType::Available);
                if let Some(total) = self.limited.count(now) {
                    let what = if waits { "waits" } else { "is refused" };
                    log::warn!("a stanza from {from} to {to} {what}: beyond {whose}; {total} so far");
                }
                if waits {
                    return Verdict::Delayed;
                }
                Verdict::Refused(too_much())
            }
        }
    }

    /// Whether a stanza that has no usable address may be answered: in the name of our own domain alone.
    pub(super) fn may_be_answered(&mut self, now: Instant, stanza: &Element, addresses: &Addresses) -> bool {
        let to = stanza.attribute("to").unwrap_or_default();
        let ours = addresses.is_sip_address(to);
        if !ours {
            self.foreign(now, stanza.attribute("from").unwrap_or_default(), to);
        }
        ours
    }

    /// Takes a token for one request on behalf of this JID; false: there is none.
    pub(super) fn take_token(&mut self, now: Instant, jid: &str) -> bool {
        let (Some(limiter), Ok(jid)) = (&mut self.limiter, Jid::new(jid)) else { return true };
        limiter.account(now, &jid).map(|account| limiter.take(account, 1)).is_ok()
    }

    /// Takes what a stanza made of SIP traffic from its sender's account.
    pub(super) fn charge(&mut self, account: Option<Account>, made: &[Action]) {
        if let (Some(limiter), Some(account)) = (&mut self.limiter, account) {
            limiter.take(account, made.iter().filter(|action| action.is_sip_traffic()).count());
        }
    }

    fn foreign(&mut self, now: Instant, from: &str, to: &str) {
        if let Some(total) = self.foreign.count(now) {
            let [from, to] = [from, to].map(str::escape_debug);
            log::warn!("a stanza from {from} to {to}, which is not ours, is dropped; {total} so far: look at the XMPP server");
        }
    }
}

/// Whether a stanza can make SIP traffic that nobody else has asked for. `unavailable` and `unsubscribed` only end what was counted when it
/// began, and so does `unsubscribe` where there is a subscription: what they end must not stay; an error makes no more than what a SIP user
/// has asked for, and nothing becomes, yet, of IQs.
fn makes_traffic(stanza: &Element, sent: &stanza::Addresses, subscriptions: &Subscriptions) -> bool {
    match Kind::of(stanza) {
        Some(Kind::Message) => MessageType::of(stanza) != MessageType::Error,
        Some(Kind::Presence) => match PresenceType::of(stanza) {
            Some(PresenceType::Available | PresenceType::Subscribe | PresenceType::Probe | PresenceType::Subscribed) => true,
            Some(PresenceType::Unsubscribe) => !subscriptions.holds(&sent.bare_pair()),
            Some(PresenceType::Error | PresenceType::Unavailable | PresenceType::Unsubscribed) | None => false,
        },
        Some(Kind::Iq) | None => false,
    }
}

/// The answer to who has caused too much SIP traffic.
pub(crate) fn too_much() -> StanzaError {
    let error = StanzaError::new(Condition::PolicyViolation).with_text("too much at once: try again later");
    StanzaError { error_type: ErrorType::Wait, ..error }
}

/// The answer to a domain with which there is no traffic.
pub(crate) fn not_allowed() -> StanzaError {
    StanzaError::new(Condition::Forbidden).with_text("this domain is not allowed here")
}
