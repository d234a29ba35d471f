//! Presence from XMPP: what each type of it means for subscriptions, publications and watchers (RFC 8048).

use std::time::Instant;
use std::time::SystemTime;

use jid::Jid;

use super::Gateway;
use super::action::Action;
use super::action::Authorization;
use super::action::Occasion;
use super::notifier::Heard;
use super::publication;
use super::publication::When;
use super::subscription::Answer;
use super::subscription::Pair;
use super::subscription::Uris;
use super::subscription::Whereabouts;
use super::subscription::Wish;
use super::watcher::Last;
use crate::config::PresenceMode;
use crate::sip::Reason;
use crate::translate::failure;
use crate::translate::presence;
use crate::translate::presence::PresenceError;
use crate::translate::presence::ResourcePresence;
use crate::xmpp::element::Element;
use crate::xmpp::stanza;
use crate::xmpp::stanza::PresenceType;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;

impl Gateway {
    pub(super) fn presence(
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
                self.watcher_answered(now, from, to.domain().as_str(), kind, actions);
                self.own_presence.received(from, to.domain().as_str(), kind, actions);
            }
            return Ok(());
        }
        let pair = (from.to_bare().into_inner(), to.to_bare().into_inner());
        let uris = self.uris(&pair, from, to, kind)?;
        match kind {
            PresenceType::Available => {
                self.subscriptions.watcher_is(&pair, Whereabouts::Unknown);
                if self.tell_watchers((now, wall), stanza, from, (&pair, when), actions) == Heard::Open {
                    self.available((now, wall), stanza, from, (pair.1.clone(), when), actions)?;
                }
                self.witnessed(now, (&pair.0, from.as_str()), &pair.1, actions);
            }
            PresenceType::Unavailable => {
                self.tell_watchers((now, wall), stanza, from, (&pair, when), actions);
                self.publications.unavailable(from.as_str(), &pair.1, actions);
                if self.publications.shows_any(&pair.0)
                    && !self.publications.is_shown(&pair.0, &pair.1)
                    // Servers tell it to who has just asked, too; in whose name a probe would be answered with a refusal.
                    && self.watchers.last(&pair.1, &pair.0) == Last::Nothing
                {
                    self.hidden.unavailable(now, &pair.0, &pair.1);
                }
                if !self.publications.is_shown(&pair.0, &pair.1) && !self.notifier.is_shown(&pair.1, &pair.0) {
                    self.subscriptions.watcher_is(&pair, Whereabouts::Gone);
                }
            }
            PresenceType::Subscribe => {
                self.subscriptions.ask(now, pair, uris, (Wish::Subscribe, stanza.attribute("id")), actions)
            }
            PresenceType::Probe => self.subscriptions.ask(now, pair, uris, (Wish::Probe, stanza.attribute("id")), actions),
            PresenceType::Unsubscribe => self.subscriptions.unsubscribe(now, pair, uris, actions),
            PresenceType::Subscribed => {
                self.subscriptions.watcher_is(&pair, Whereabouts::Unknown);
                self.decided(now, pair, uris, Authorization::Allowed, actions);
            }
            PresenceType::Unsubscribed => {
                self.subscriptions.watcher_is(&pair, Whereabouts::Hidden);
                self.decided(now, pair, uris, Authorization::Refused, actions);
            }
            PresenceType::Error => {}
        }
        Ok(())
    }

    /// What an XMPP user tells the gateway itself answers the probe that goes before a refresh.
    fn watcher_answered(&mut self, now: Instant, from: &Jid, domain: &str, kind: PresenceType, actions: &mut Vec<Action>) {
        let answer = match kind {
            PresenceType::Available | PresenceType::Subscribe | PresenceType::Probe => Answer::There,
            // One resource of several may go; the whole user is away only in the name of its bare JID (RFC 6121 §4.3.2).
            PresenceType::Unavailable if from.is_full() => return,
            PresenceType::Unavailable => Answer::Gone,
            PresenceType::Unsubscribed => Answer::Unknown,
            PresenceType::Subscribed | PresenceType::Unsubscribe | PresenceType::Error => return,
        };
        self.subscriptions.watcher_answered(now, (from.to_bare().as_str(), domain), answer, actions);
    }

    fn available(
        &mut self,
        (now, wall): (Instant, SystemTime),
        stanza: &Element,
        from: &Jid,
        (shown_to, when): (String, When),
        actions: &mut Vec<Action>,
    ) -> Result<(), StanzaError> {
        if self.presence_mode == PresenceMode::None {
            return Ok(());
        }
        let publication = received(stanza, from, wall).and_then(|resource| {
            let (rank, signs) = (resource.rank(), resource.signs());
            let publish = presence::to_publication(resource, from, &self.addresses, publication::EXPIRES);
            Ok((publish.map_err(PresenceError::From)?, rank, signs))
        });
        match publication {
            Ok((publish, rank, signs)) => {
                self.is_not_hidden(from.to_bare().as_str(), &shown_to, actions);
                self.publications.available(now, from.as_str(), shown_to, (publish, rank, signs, when), actions);
            }
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
        self.notifier.presence(now, (watcher, presentity, when), || received(stanza, from, wall).ok(), actions)
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
            let answer = if failure::end_of_watching(&error).is_some() { Answer::Gone } else { Answer::Unknown };
            self.subscriptions.watcher_answered(now, (from.as_str(), to.domain().as_str()), answer, actions);
            if answer == Answer::Gone {
                self.own_presence.came_back(from.as_str(), to.domain().as_str());
            }
            return;
        }
        let (user, sip_user) = (from.as_str(), to.to_bare().into_inner());
        let occasion = self.watchers.came_back(&sip_user, user, stanza.attribute("id"));
        let Some(reason) = failure::end_of_watching(&error) else { return };
        if occasion == Occasion::Unasked {
            self.subscriptions.came_back(now, &(user.to_owned(), sip_user.clone()), actions);
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
        self.hidden.is_over(&presentity, &watcher);
        let question = (watcher, presentity);
        match decision {
            Authorization::Allowed if self.is_published_for(&question) => self.publications.expect(&question.1, &question.0),
            Authorization::Allowed | Authorization::Hidden | Authorization::Pending => {}
            Authorization::Refused | Authorization::NoResource => self.publications.expect_no_more(&question.1, &question.0),
        }
        self.watchers.decided(now, question, uris.watcher, decision, actions);
    }
}

/// What it says, and when it was said, which is now where it does not tell.
fn received(stanza: &Element, from: &Jid, wall: SystemTime) -> Result<ResourcePresence, PresenceError> {
    let mut presence = ResourcePresence::read(stanza, from)?;
    presence.changed = presence.changed.or_else(|| wall.try_into().ok());
    Ok(presence)
}
