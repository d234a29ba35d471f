//! The form of a [`Fact`] on the line to the phone process; what holds for [`super::datagram`] holds here.

use std::time::Duration;

use crate::link::datagram::DecodeError;
use crate::link::datagram::Fields;
use crate::link::datagram::push_number;
use crate::link::datagram::push_text;
use crate::phone::state::State;
use crate::phone::users::Fact;
use crate::phone::users::What;
use crate::translate::call::Phase;

/// What the phone process is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something happened to a user.
    Fact(Fact),
    /// The table of accounts is to be read again.
    Reload,
    /// A message to a phone has come to nothing: the answer to it.
    Answer {
        /// The full JID in whose name it is.
        from: String,
        /// The stanza.
        xml: String,
    },
}

const CONTACT: u32 = 0;
const CONTACT_GONE: u32 = 1;
const PUBLISHED: u32 = 2;
const CALL: u32 = 3;
const NO_CALL: u32 = 4;
const CALL_KEPT: u32 = 5;
const TOLD: u32 = 6;
const RELOAD: u32 = 7;
const ANSWER: u32 = 8;

/// Writes it as one datagram into `out`, which is cleared first.
pub fn encode(told: &Told, out: &mut Vec<u8>) {
    out.clear();
    let Fact { user, what } = match told {
        Told::Fact(fact) => fact,
        Told::Reload => return push_number(out, RELOAD),
        Told::Answer { from, xml } => {
            push_number(out, ANSWER);
            push_text(out, from);
            return push_text(out, xml);
        }
    };
    let (kind, number, text, phone) = match what {
        What::Contact { uri, phone, lifetime } => (CONTACT, seconds(*lifetime), &**uri, &**phone),
        What::ContactGone { uri } => (CONTACT_GONE, 0, &**uri, ""),
        What::Published(lifetime) => (PUBLISHED, seconds(*lifetime), "", ""),
        What::Call(Some((phase, other))) => (CALL, phase_number(*phase), &**other, ""),
        What::Call(None) => (NO_CALL, 0, "", ""),
        What::CallKept => (CALL_KEPT, 0, "", ""),
        What::Told(state) => (TOLD, 0, state.name(), ""),
    };
    push_number(out, kind);
    push_number(out, number);
    push_text(out, user);
    push_text(out, text);
    push_text(out, phone);
}

/// Reads one datagram.
pub fn decode(datagram: &[u8]) -> Result<Told, DecodeError> {
    let mut fields = Fields::of(datagram);
    let kind = fields.number()?;
    if kind == RELOAD {
        return fields.end().map(|()| Told::Reload);
    }
    if kind == ANSWER {
        let answer = Told::Answer { from: fields.text()?, xml: fields.text()? };
        return fields.end().map(|()| answer);
    }
    let (number, user, text, phone) = (fields.number()?, fields.text()?, fields.text()?, fields.text()?);
    fields.end()?;
    let lifetime = Duration::from_secs(number.into());
    let what = match kind {
        CONTACT => What::Contact { uri: text, phone, lifetime },
        CONTACT_GONE => What::ContactGone { uri: text },
        PUBLISHED => What::Published(lifetime),
        CALL => What::Call(Some((phase(number)?, text))),
        NO_CALL => What::Call(None),
        CALL_KEPT => What::CallKept,
        TOLD => What::Told(State::named(&text).ok_or(DecodeError::Tag)?),
        _ => return Err(DecodeError::Tag),
    };
    Ok(Told::Fact(Fact { user, what }))
}

fn seconds(lifetime: Duration) -> u32 {
    u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)
}

fn phase_number(phase: Phase) -> u32 {
    match phase {
        Phase::Calling => 0,
        Phase::Ringing => 1,
        Phase::OnHold => 2,
        Phase::Talking => 3,
    }
}

fn phase(number: u32) -> Result<Phase, DecodeError> {
    match number {
        0 => Ok(Phase::Calling),
        1 => Ok(Phase::Ringing),
        2 => Ok(Phase::OnHold),
        3 => Ok(Phase::Talking),
        _ => Err(DecodeError::Tag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Told> {
        let phone = || "<urn:uuid:1>".to_owned();
        let phases = [Phase::Calling, Phase::Ringing, Phase::OnHold, Phase::Talking];
        let calls = phases.map(|phase| What::Call(Some((phase, "Romeo".to_owned()))));
        let whats = [
            What::Contact { uri: "sip:a@192.0.2.1".to_owned(), phone: phone(), lifetime: Duration::from_secs(600) },
            What::ContactGone { uri: "sip:a@192.0.2.1".to_owned() },
            What::Published(Duration::ZERO),
            What::Call(None),
            What::CallKept,
        ];
        let told = State::ALL.map(What::Told);
        let answer = Told::Answer { from: "juliet@example.com/SIP-phone".to_owned(), xml: "<message/>".to_owned() };
        let facts = whats.into_iter().chain(calls).chain(told);
        facts
            .map(|what| Told::Fact(Fact { user: "sip:juliet@example.com".to_owned(), what }))
            .chain([Told::Reload, answer])
            .collect()
    }

    #[test]
    fn what_is_written_is_read_back() {
        for told in all() {
            let mut datagram = Vec::new();
            encode(&told, &mut datagram);
            assert_eq!(decode(&datagram).unwrap(), told);
        }
    }

    #[test]
    fn what_is_cut_or_goes_on_is_refused() {
        for told in all() {
            let mut datagram = Vec::new();
            encode(&told, &mut datagram);
            for length in 0..datagram.len() {
                assert!(decode(&datagram[..length]).is_err());
            }
            datagram.push(0);
            assert!(decode(&datagram).is_err());
        }
        assert!(decode(&99_u32.to_le_bytes()).is_err());
    }
}
