//! Messages of SIP users that came back from XMPP as errors.
//!
//! The transaction of the MESSAGE is over by then: it was answered when the stanza was on its way (RFC 3428 §7: a 202 promises nothing
//! more). So nobody waits for a SIP status, and what is left is to say in the log what became of which request. What a SIP user agent
//! can be told later is a notification that it asked for in the request (IMDN, RFC 5438); those are not translated yet, and this is where
//! a failed one would begin.

use jid::Jid;

use crate::translate::failure;
use crate::translate::failure::Source;
use crate::xmpp::element::Element;
use crate::xmpp::stanza_error::Condition;
use crate::xmpp::stanza_error::StanzaError;

/// Characters of an id or a text that a log line shows.
const SHOWN: usize = 100;

/// How many there were.
#[derive(Debug, Default)]
pub(super) struct Undelivered {
    count: u64,
}

impl Undelivered {
    /// A message came back from `from`, who did not get it, to `to`, who sent it.
    pub(super) fn message(&mut self, stanza: &Element, from: &Jid, to: &Jid) {
        self.count = self.count.saturating_add(1);
        // Anybody can make these: the log is not to be filled by one.
        let level = if self.count.is_power_of_two() { log::Level::Info } else { log::Level::Debug };
        if !log::log_enabled!(level) {
            return;
        }
        let error = StanzaError::of(stanza).unwrap_or_else(|| Condition::UndefinedCondition.into());
        let source = if from.is_full() { Source::Full } else { Source::Bare };
        let (status, condition) = (failure::to_sip(&error, source), error.condition.name());
        // The id is the branch of the request, without what all branches begin with.
        let [id, text] = [stanza.attribute("id").unwrap_or_default(), &failure::reason_phrase(&error)]
            .map(|text| text.chars().take(SHOWN).flat_map(char::escape_debug).collect::<String>());
        log::log!(
            level,
            "a message of {to} (branch {id}) did not reach {from}: {condition} \"{text}\", {status} in SIP; {} came back so far",
            self.count
        );
    }
}
