//! What the XMPP server sends: judged, told apart by kind, and answered where an answer is allowed.

use std::time::Instant;
use std::time::SystemTime;

use super::Gateway;
use super::action::Action;
use super::admission::Verdict;
use super::iq;
use super::publication::When;
use crate::xmpp::element::Element;
use crate::xmpp::framer::Refused;
use crate::xmpp::stanza;
use crate::xmpp::stanza::AddressError;
use crate::xmpp::stanza::Kind;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;
use crate::xmpp::stream_error;

impl Gateway {
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
                    self.light(now, actions);
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
}
