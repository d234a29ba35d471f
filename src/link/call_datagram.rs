//! The form of a [`calls::Event`](crate::calls::Event) on the link; what holds for [`super::datagram`] holds here.

use crate::calls::Begun;
use crate::calls::CallKey;
use crate::calls::Ending;
use crate::calls::Event;
use crate::calls::Parties;
use crate::calls::Peer;
use crate::calls::Rendering;
use crate::calls::Side;
use crate::calls::Streams;
use crate::calls::What;
use crate::link::datagram::DecodeError;
use crate::link::datagram::Fields;
use crate::link::datagram::push_number;
use crate::link::datagram::push_text;
use crate::sip::dialog_info::NameAddress;
use crate::sip::dialog_info::Replaces;

/// The first byte of an event, and that of nothing else on the link.
const CALL: u8 = b'c';

/// The first byte of the answer to a publication.
const ANSWER: u8 = b'a';

/// What a worker tells of calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// Something happened to one.
    Event(Event),
    /// The publication with this id was answered.
    Answered(String),
}

const BEGUN: u32 = 0;
const SHOWN: u32 = 1;
const CALLEE: u32 = 2;
const MUTED: u32 = 3;
const PROVISIONAL: u32 = 4;
const REFUSED: u32 = 5;
const FAILED: u32 = 6;
const ANSWERED: u32 = 7;
const OFFER: u32 = 8;
const ENDED: u32 = 9;
const KEPT: u32 = 10;
const ANSWER_TO_OFFER: u32 = 11;

/// Writes the event as one datagram into `out`, which is cleared first.
pub fn encode(Event { call, what }: &Event, out: &mut Vec<u8>) {
    out.clear();
    out.push(CALL);
    push_text(out, &call.call_id);
    push_text(out, &call.from_tag);
    push_number(out, call.cseq);
    match what {
        What::Begun(begun) => {
            push_number(out, BEGUN);
            push_begun(out, begun);
        }
        What::Shown(parties) => push_numbers(out, &[SHOWN, letters(*parties)]),
        What::Callee { branch, callee } => {
            push_numbers(out, &[CALLEE, u32::from(*branch)]);
            push_address(out, callee.as_ref());
        }
        What::Muted { branch, parties } => push_numbers(out, &[MUTED, u32::from(*branch), letters(*parties)]),
        What::Provisional { branch, status, peer } => {
            push_numbers(out, &[PROVISIONAL, u32::from(*branch), u32::from(*status)]);
            push_peer(out, peer);
        }
        What::Refused { branch, status } => push_numbers(out, &[REFUSED, u32::from(*branch), u32::from(*status)]),
        What::Failed { branches, status } => push_numbers(out, &[FAILED, u32::from(*branches), u32::from(*status)]),
        What::Answered { branch, peer, lifetime } => {
            push_numbers(out, &[ANSWERED, u32::from(*branch), *lifetime]);
            push_peer(out, peer);
        }
        What::Offer { from, cseq, rendering, lifetime } => {
            push_numbers(out, &[OFFER, side_number(*from), *cseq, u32::from(*rendering == Rendering::Yes), *lifetime]);
        }
        What::Answer { from, streams, lifetime } => {
            let streams = match streams {
                Streams::Played => 0,
                Streams::Sent => 1,
                Streams::Inactive => 2,
            };
            push_numbers(out, &[ANSWER_TO_OFFER, side_number(*from), streams, *lifetime]);
        }
        What::Kept { lifetime } => push_numbers(out, &[KEPT, *lifetime]),
        What::Ended(ending) => {
            let (kind, detail) = match ending {
                Ending::Bye(side) => (0, side_number(*side)),
                Ending::Refused(status) => (1, u32::from(*status)),
                Ending::Server => (2, 0),
                Ending::Expired => (3, 0),
            };
            push_numbers(out, &[ENDED, kind, detail]);
        }
    }
}

/// Writes the answer to a publication as one datagram into `out`, which is cleared first.
pub fn encode_answer(id: &str, out: &mut Vec<u8>) {
    out.clear();
    out.push(ANSWER);
    push_text(out, id);
}

/// Reads one datagram; `None` where it is none of a call.
pub fn decode(datagram: &[u8]) -> Option<Result<Told, DecodeError>> {
    let (tag, rest) = datagram.split_first()?;
    let mut fields = Fields::of(rest);
    let told = match *tag {
        CALL => event(&mut fields).map(Told::Event),
        ANSWER => fields.text().map(Told::Answered),
        _ => return None,
    };
    Some(told.and_then(|told| fields.end().map(|()| told)))
}

fn event(fields: &mut Fields<'_>) -> Result<Event, DecodeError> {
    let call = CallKey { call_id: fields.text()?, from_tag: fields.text()?, cseq: fields.number()? };
    let what = match fields.number()? {
        BEGUN => What::Begun(Box::new(begun(fields)?)),
        SHOWN => What::Shown(parties(fields)?),
        CALLEE => What::Callee { branch: small(fields)?, callee: address(fields)? },
        MUTED => What::Muted { branch: small(fields)?, parties: parties(fields)? },
        PROVISIONAL => What::Provisional { branch: small(fields)?, status: small(fields)?, peer: peer(fields)? },
        REFUSED => What::Refused { branch: small(fields)?, status: small(fields)? },
        FAILED => What::Failed { branches: small(fields)?, status: small(fields)? },
        ANSWERED => {
            let (branch, lifetime) = (small(fields)?, fields.number()?);
            What::Answered { branch, peer: peer(fields)?, lifetime }
        }
        OFFER => What::Offer {
            from: side(fields)?,
            cseq: fields.number()?,
            rendering: if fields.number()? == 0 { Rendering::No } else { Rendering::Yes },
            lifetime: fields.number()?,
        },
        ANSWER_TO_OFFER => What::Answer {
            from: side(fields)?,
            streams: match fields.number()? {
                0 => Streams::Played,
                1 => Streams::Sent,
                2 => Streams::Inactive,
                _ => return Err(DecodeError::Tag),
            },
            lifetime: fields.number()?,
        },
        KEPT => What::Kept { lifetime: fields.number()? },
        ENDED => What::Ended(match fields.number()? {
            0 => Ending::Bye(side(fields)?),
            1 => Ending::Refused(small(fields)?),
            2 => fields.number().map(|_| Ending::Server)?,
            3 => fields.number().map(|_| Ending::Expired)?,
            _ => return Err(DecodeError::Tag),
        }),
        _ => return Err(DecodeError::Tag),
    };
    Ok(Event { call, what })
}

fn push_begun(out: &mut Vec<u8>, begun: &Begun) {
    push_number(out, letters(begun.shown));
    push_address(out, Some(&begun.caller));
    push_text(out, begun.target.as_deref().unwrap_or_default());
    push_address(out, Some(&begun.callee));
    push_address(out, begun.referred_by.as_ref());
    push_number(out, begun.lifetime);
    push_number(out, u32::from(begun.replaces.is_some()));
    if let Some(Replaces { call_id, local_tag, remote_tag }) = &begun.replaces {
        push_text(out, call_id);
        push_text(out, local_tag);
        push_text(out, remote_tag);
    }
    push_number(out, u32::from(begun.answered.is_some()));
    if let Some((branch, peer)) = &begun.answered {
        push_number(out, u32::from(*branch));
        push_peer(out, peer);
    }
}

fn begun(fields: &mut Fields<'_>) -> Result<Begun, DecodeError> {
    Ok(Begun {
        shown: parties(fields)?,
        caller: address(fields)?.ok_or(DecodeError::Truncated)?,
        target: fields.optional()?,
        callee: address(fields)?.ok_or(DecodeError::Truncated)?,
        referred_by: address(fields)?,
        lifetime: fields.number()?,
        replaces: match fields.number()? {
            0 => None,
            _ => Some(Replaces { call_id: fields.text()?, local_tag: fields.text()?, remote_tag: fields.text()? }),
        },
        answered: match fields.number()? {
            0 => None,
            _ => Some((small(fields)?, peer(fields)?)),
        },
    })
}

fn push_numbers(out: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|number| push_number(out, *number));
}

/// A URI is never empty.
fn push_address(out: &mut Vec<u8>, address: Option<&NameAddress>) {
    push_text(out, address.map_or("", |address| &address.uri));
    push_text(out, address.and_then(|address| address.display.as_deref()).unwrap_or_default());
}

fn address(fields: &mut Fields<'_>) -> Result<Option<NameAddress>, DecodeError> {
    let (uri, display) = (fields.text()?, fields.optional()?);
    Ok(Some(NameAddress { uri, display }).filter(|address| !address.uri.is_empty()))
}

fn push_peer(out: &mut Vec<u8>, peer: &Peer) {
    push_text(out, &peer.tag);
    push_text(out, peer.target.as_deref().unwrap_or_default());
}

fn peer(fields: &mut Fields<'_>) -> Result<Peer, DecodeError> {
    Ok(Peer { tag: fields.text()?, target: fields.optional()? })
}

fn letters(parties: Parties) -> u32 {
    u32::from(parties.caller) | (u32::from(parties.callee) << 1)
}

fn parties(fields: &mut Fields<'_>) -> Result<Parties, DecodeError> {
    let letters = fields.number()?;
    Ok(Parties { caller: letters & 1 != 0, callee: letters & 2 != 0 })
}

fn side_number(side: Side) -> u32 {
    match side {
        Side::Caller => 0,
        Side::Callee => 1,
    }
}

fn side(fields: &mut Fields<'_>) -> Result<Side, DecodeError> {
    match fields.number()? {
        0 => Ok(Side::Caller),
        1 => Ok(Side::Callee),
        _ => Err(DecodeError::Tag),
    }
}

/// A branch or a status.
fn small(fields: &mut Fields<'_>) -> Result<u16, DecodeError> {
    u16::try_from(fields.number()?).map_err(|_| DecodeError::Tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<What> {
        let address = |uri: &str, display: Option<&str>| NameAddress { uri: uri.into(), display: display.map(str::to_owned) };
        let peer = Peer { tag: "t".into(), target: Some("sip:b@192.0.2.2".into()) };
        let begun = Begun {
            shown: Parties { caller: false, callee: true },
            caller: address("sip:a@x", Some("Alice")),
            target: None,
            callee: address("sip:b@x", None),
            replaces: None,
            referred_by: None,
            lifetime: 3600,
            answered: None,
        };
        let replaces = Replaces { call_id: "1".into(), local_tag: "l".into(), remote_tag: "r".into() };
        let restored = Begun {
            target: Some("sip:a@192.0.2.1".into()),
            replaces: Some(replaces),
            referred_by: Some(address("sip:c@x", None)),
            answered: Some((3, peer.clone())),
            ..begun.clone()
        };
        let mut examples = vec![
            What::Begun(Box::new(begun)),
            What::Begun(Box::new(restored)),
            What::Shown(Parties::BOTH),
            What::Callee { branch: 1, callee: Some(address("sip:d@x", Some("D"))) },
            What::Callee { branch: 1, callee: None },
            What::Muted { branch: 2, parties: Parties::NONE },
            What::Provisional { branch: 0, status: 180, peer: peer.clone() },
            What::Refused { branch: 0, status: 486 },
            What::Failed { branches: 2, status: 408 },
            What::Answered { branch: 0, peer, lifetime: 7 },
        ];
        for side in [Side::Caller, Side::Callee] {
            examples.push(What::Offer { from: side, cseq: 9, rendering: Rendering::No, lifetime: 1 });
            examples.push(What::Ended(Ending::Bye(side)));
        }
        for streams in [Streams::Played, Streams::Sent, Streams::Inactive] {
            examples.push(What::Answer { from: Side::Callee, streams, lifetime: 9 });
        }
        examples.push(What::Kept { lifetime: 3600 });
        examples.push(What::Offer { from: Side::Caller, cseq: 9, rendering: Rendering::Yes, lifetime: 1 });
        examples.extend([Ending::Refused(603), Ending::Server, Ending::Expired].map(What::Ended));
        examples
    }

    #[test]
    fn every_event_comes_back_and_no_part_of_it_is_one() {
        for what in examples() {
            let event = Event { call: CallKey { call_id: "c@h".into(), from_tag: "f".into(), cseq: 7 }, what };
            let mut datagram = Vec::new();
            encode(&event, &mut datagram);
            assert_eq!(decode(&datagram), Some(Ok(Told::Event(event))));
            for end in 1..datagram.len() {
                assert!(matches!(decode(&datagram[..end]), Some(Err(_))), "{end}");
            }
            datagram.push(0);
            assert_eq!(decode(&datagram), Some(Err(DecodeError::Trailing)));
        }
    }

    #[test]
    fn what_is_of_no_call_is_left_to_others() {
        let mut answer = Vec::new();
        encode_answer("id", &mut answer);
        assert_eq!(decode(&answer), Some(Ok(Told::Answered("id".into()))));
        assert_eq!(decode(b"<message/>"), None);
        assert_eq!(decode(b""), None);
        assert_eq!(decode(&[CALL, 255]), Some(Err(DecodeError::Truncated)));
    }
}
