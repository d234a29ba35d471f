//! Messages of SIP users that did not reach XMPP users: those that came back as errors, and those that waited for the stream in vain.
//!
//! The transaction of the MESSAGE is over by then: it was answered when the stanza was on its way (RFC 3428 §7: a 202 promises nothing
//! more). So nobody waits for a SIP status, and what a SIP user agent can be told is the notification that it asked for in the request
//! (`negative-delivery`, RFC 5438). Of all others a log line says what became of which request.

use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use jid::Jid;

use crate::gateway::wanted::Due;
use crate::gateway::wanted::Memory;
use crate::translate::disposition::Times;
use crate::translate::disposition::Wanted;
use crate::translate::failure;
use crate::translate::failure::Source;
use crate::xmpp::element::Element;
use crate::xmpp::head::Head;
use crate::xmpp::stanza::Kind;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::ErrorType;
use crate::xmpp::stanza_error::StanzaError;

/// Characters of an id or a text that a log line shows.
const SHOWN: usize = 100;

/// How many there were, and who is to be told of which.
#[derive(Debug)]
pub(super) struct Undelivered {
    count: u64,
    wanted: Memory,
}

/// A notification to be made.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) wanted: Wanted,
    pub(super) times: Times,
}

impl Undelivered {
    /// None yet. A stanza may wait for the stream for as long as `queue_ttl`.
    pub(super) fn new(queue_ttl: Duration) -> Self {
        Self { count: 0, wanted: Memory::new(queue_ttl) }
    }

    /// A message is about to be sent whose sender wants to know if it is not delivered.
    pub(super) fn remember(&mut self, now: Instant, wanted: Wanted) {
        self.wanted.remember(now, wanted);
    }

    /// A message came back from `from`, who did not get it, to `to`, who sent it.
    pub(super) fn came_back(&mut self, now: Instant, wall: SystemTime, stanza: &Element, from: &Jid, to: &Jid) -> Option<Failed> {
        let error = StanzaError::of(stanza).unwrap_or_else(|| Condition::UndefinedCondition.into());
        self.log(&error, stanza.attribute("id").unwrap_or_default(), from, to);
        if error.error_type == ErrorType::Continue {
            // A warning (RFC 6120 §8.3.2): it was delivered.
            return None;
        }
        let due = self.wanted.take(stanza.attribute("id")?, to.as_str(), from.as_str())?;
        Some(due.failed(now, wall))
    }

    /// A stanza that waited for the stream was dropped.
    pub(super) fn lost(&mut self, now: Instant, wall: SystemTime, head: &Head<'_>) -> Option<Failed> {
        match head.kind {
            Kind::Message => {}
            Kind::Presence | Kind::Iq => return None,
        }
        let due = self.wanted.take(head.id.as_deref()?, &head.from, &head.to)?;
        Some(due.failed(now, wall))
    }

    /// Time has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        self.wanted.tick(now);
    }

    fn log(&mut self, error: &StanzaError, id: &str, from: &Jid, to: &Jid) {
        self.count = self.count.saturating_add(1);
        // Anybody can make these: the log is not to be filled by one.
        let level = if self.count.is_power_of_two() { log::Level::Info } else { log::Level::Debug };
        if !log::log_enabled!(level) {
            return;
        }
        let source = if from.is_full() { Source::Full } else { Source::Bare };
        let (status, condition) = (failure::to_sip(error, source), error.condition.name());
        // The id is the branch of the request, without what all branches begin with.
        let [id, text] = [id, &failure::reason_phrase(error)]
            .map(|text| text.chars().take(SHOWN).flat_map(char::escape_debug).collect::<String>());
        log::log!(
            level,
            "a message of {to} (branch {id}) did not reach {from}: {condition} \"{text}\", {status} in SIP; {} came back so far",
            self.count
        );
    }
}

impl Due {
    fn failed(self, now: Instant, wall: SystemTime) -> Failed {
        let ago = now.saturating_duration_since(self.since);
        Failed { wanted: self.wanted, times: Times { came: wall.checked_sub(ago).unwrap_or(wall), now: wall } }
    }
}
