//! The form of a [`gateway::event::Event`](crate::gateway::event::Event) on the link.
//!
//! A finished stanza is a datagram as it stands: it begins with `<`, or with `+` where a place in the queue was taken for it. Any other event is one tag byte and then fields, each a
//! little-endian `u32` length and that many bytes; numbers are fields of their own fixed width. Both ends are the same binary, so
//! there is no version; what does not decode is a bug of ours and is dropped with a log line.

mod fields;

use crate::gateway::action::Authorization;
use crate::gateway::event::Document;
use crate::gateway::event::Event;
use crate::gateway::event::Notify;
use crate::gateway::event::NotifyReply;
use crate::gateway::event::Outcome;
use crate::gateway::event::Place;
use crate::gateway::event::Published;
use crate::gateway::event::Subscribe;
use crate::gateway::event::SubscribeReply;
use crate::gateway::event::Watchers;
use crate::sip;
use crate::sip::Reason;
use crate::sip::SubscriptionState;
use crate::sip::imdn;
use crate::sip::winfo;
use crate::translate::disposition::Wanted;
use crate::translate::presence::Availability;
use crate::translate::presence::TuplePresence;
use fields::count;
use fields::push_optional;
use fields::text;

pub(super) use self::fields::Fields;
pub(super) use self::fields::push_number;
pub(super) use self::fields::push_text;

/// Why a datagram is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// The tag byte is none of ours.
    Tag,
    /// It ends inside a field.
    Truncated,
    /// It goes on after the last field.
    Trailing,
    /// A text field is not UTF-8.
    Text,
}

/// The first byte of a stanza, and of no other event.
const STANZA: u8 = b'<';
/// Before a stanza that has a place in the queue.
const RESERVED: u8 = b'+';
const NOTIFY: u8 = 2;
const WATCHERS: u8 = 3;
const SUBSCRIBE_REPLY: u8 = 4;
const SUBSCRIBE: u8 = 6;
const REFRESH: u8 = 7;
const NOTIFY_REPLY: u8 = 8;
const WANTED: u8 = 5;
const WATCHER: u8 = 9;
const STORED: u8 = 12;
const NOT_STORED: u8 = 13;
const NOT_TOLD: u8 = 14;

/// Writes the event as one datagram into `out`, which is cleared first.
pub fn encode(event: &Event, out: &mut Vec<u8>) {
    out.clear();
    match event {
        Event::Stanza(stanza) => out.extend_from_slice(stanza.as_bytes()),
        Event::Notify(notify) => {
            out.push(NOTIFY);
            push_text(out, &notify.watcher);
            push_text(out, &notify.presentity);
            push_text(out, &notify.dialog);
            push_number(out, notify.cseq);
            push_number(out, state_number(notify.state));
            push_number(out, notify.retry_after.unwrap_or_default());
            push_optional(out, notify.expires);
            push_text(out, notify.display_name.as_deref().unwrap_or(""));
            push_number(out, count(notify.presences.len()));
            for presence in &notify.presences {
                push_text(out, &presence.resource);
                push_number(out, u32::from(presence.availability == Availability::Available));
                push_text(out, &presence.stanza);
            }
        }
        Event::Watchers(Watchers { presentity, waiting, given_up, document }) => {
            out.push(if document.is_some() { WATCHERS } else { WATCHER });
            push_text(out, presentity);
            for watchers in [waiting, given_up] {
                push_number(out, count(watchers.len()));
                for watcher in watchers {
                    push_text(out, watcher);
                }
            }
            if let Some(Document { call_id, version, state }) = document {
                push_text(out, call_id);
                push_number(out, *version);
                push_number(out, u32::from(*state == winfo::State::Full));
            }
        }
        Event::SubscribeReply(SubscribeReply {
            watcher,
            presentity,
            status,
            text,
            address,
            retry_after,
            expires,
            dialog,
            min_expires,
        }) => {
            out.push(SUBSCRIBE_REPLY);
            push_text(out, watcher);
            push_text(out, presentity);
            push_number(out, u32::from(*status));
            // Neither is ever present and empty, nor is a time of 0 one.
            push_text(out, text.as_deref().unwrap_or_default());
            push_text(out, address.as_deref().unwrap_or_default());
            push_number(out, retry_after.unwrap_or_default());
            push_optional(out, *expires);
            push_text(out, dialog.as_deref().unwrap_or_default());
            push_optional(out, *min_expires);
        }
        Event::Subscribe(Subscribe { dialog, cseq, expires, place }) => {
            out.push(if *place == Place::InDialog { REFRESH } else { SUBSCRIBE });
            push_text(out, dialog.as_text());
            push_number(out, *cseq);
            push_number(out, *expires);
            if let Place::Initial { watcher, presentity, decision } = place {
                push_text(out, watcher);
                push_text(out, presentity);
                push_number(out, decision_number(*decision));
            }
        }
        Event::NotifyReply(NotifyReply { number, status, retry_after }) => {
            out.push(NOTIFY_REPLY);
            out.extend_from_slice(&number.to_le_bytes());
            push_number(out, u32::from(*status));
            // A time of 0 is one here: the NOTIFY may go again at once.
            push_optional(out, *retry_after);
        }
        Event::Published(Published { user, presentity, id, outcome }) => {
            out.push(if *outcome == Outcome::Failed { NOT_STORED } else { STORED });
            for text in [user, presentity, id] {
                push_text(out, text);
            }
            if let Outcome::Stored { entity_tag, replaced } = outcome {
                push_text(out, entity_tag.as_deref().unwrap_or_default());
                push_text(out, replaced.as_deref().unwrap_or_default());
            }
        }
        Event::WatchersNotTold(presentity) => {
            out.push(NOT_TOLD);
            push_text(out, presentity);
        }
        Event::Wanted(Wanted { from, to, id, request }) => {
            out.push(WANTED);
            push_text(out, from);
            push_text(out, to);
            push_text(out, id);
            push_text(out, &request.message_id);
            // None of the three is ever present and empty.
            push_text(out, request.date_time.as_deref().unwrap_or_default());
            push_text(out, request.recipient.as_deref().unwrap_or_default());
            push_text(out, request.original_recipient.as_deref().unwrap_or_default());
            push_number(out, count(request.record_route.len()));
            for uri in &request.record_route {
                push_text(out, uri);
            }
        }
    }
}

/// Reads one datagram.
pub fn decode(datagram: &[u8]) -> Result<Event, DecodeError> {
    let (tag, rest) = datagram.split_first().ok_or(DecodeError::Truncated)?;
    let mut fields = Fields::of(rest);
    let event = match *tag {
        STANZA => return Ok(Event::Stanza(text(datagram)?)),
        NOTIFY => Event::Notify(Notify {
            watcher: fields.text()?,
            presentity: fields.text()?,
            dialog: fields.text()?,
            cseq: fields.number()?,
            state: state_from_number(fields.number()?)?,
            retry_after: Some(fields.number()?).filter(|seconds| *seconds > 0),
            expires: fields.optional_number()?,
            display_name: fields.optional()?,
            presences: fields.list(|fields| {
                Ok(TuplePresence {
                    resource: fields.text()?,
                    availability: availability(fields.number()?)?,
                    stanza: fields.text()?,
                })
            })?,
        }),
        WATCHER | WATCHERS => Event::Watchers(Watchers {
            presentity: fields.text()?,
            waiting: fields.list(Fields::text)?,
            given_up: fields.list(Fields::text)?,
            document: match *tag {
                WATCHERS => Some(Document {
                    call_id: fields.text()?,
                    version: fields.number()?,
                    state: match fields.number()? {
                        0 => winfo::State::Partial,
                        1 => winfo::State::Full,
                        _ => return Err(DecodeError::Tag),
                    },
                }),
                _ => None,
            },
        }),
        SUBSCRIBE_REPLY => Event::SubscribeReply(SubscribeReply {
            watcher: fields.text()?,
            presentity: fields.text()?,
            status: u16::try_from(fields.number()?).map_err(|_| DecodeError::Tag)?,
            text: fields.optional()?,
            address: fields.optional()?,
            retry_after: Some(fields.number()?).filter(|seconds| *seconds > 0),
            expires: fields.optional_number()?,
            dialog: fields.optional()?,
            min_expires: fields.optional_number()?,
        }),
        SUBSCRIBE | REFRESH => Event::Subscribe(Subscribe {
            dialog: sip::Dialog::of(&fields.text()?).ok_or(DecodeError::Text)?,
            cseq: fields.number()?,
            expires: fields.number()?,
            place: match *tag {
                REFRESH => Place::InDialog,
                _ => {
                    Place::Initial { watcher: fields.text()?, presentity: fields.text()?, decision: decision(fields.number()?)? }
                }
            },
        }),
        NOTIFY_REPLY => Event::NotifyReply(NotifyReply {
            number: fields.long_number()?,
            status: u16::try_from(fields.number()?).map_err(|_| DecodeError::Tag)?,
            retry_after: fields.optional_number()?,
        }),
        STORED | NOT_STORED => Event::Published(Published {
            user: fields.text()?,
            presentity: fields.text()?,
            id: fields.text()?,
            outcome: match *tag {
                STORED => Outcome::Stored { entity_tag: fields.optional()?, replaced: fields.optional()? },
                _ => Outcome::Failed,
            },
        }),
        NOT_TOLD => Event::WatchersNotTold(fields.text()?),
        WANTED => Event::Wanted(Wanted {
            from: fields.text()?,
            to: fields.text()?,
            id: fields.text()?,
            request: imdn::Request {
                message_id: fields.text()?,
                date_time: fields.optional()?,
                recipient: fields.optional()?,
                original_recipient: fields.optional()?,
                record_route: fields.list(Fields::text)?,
            },
        }),
        _ => return Err(DecodeError::Tag),
    };
    fields.end().map(|()| event)
}

/// Whether a place in the queue was taken for a stanza ([`super::fill`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// It was: the stream was down. Whoever reads the datagram has the place.
    Yes,
    /// It was not: the stream was up.
    No,
}

/// Writes a stanza that has a place in the queue as one datagram into `out`, which is cleared first.
pub fn encode_reserved(stanza: &str, out: &mut Vec<u8>) {
    out.clear();
    out.push(RESERVED);
    out.extend_from_slice(stanza.as_bytes());
}

/// The stanza of a datagram that is one, without copying it: the path of every MESSAGE.
pub fn stanza_of(datagram: &[u8]) -> Option<(Reserved, &[u8])> {
    match datagram.split_first()? {
        (&STANZA, _) => Some((Reserved::No, datagram)),
        (&RESERVED, stanza) => Some((Reserved::Yes, stanza)),
        (_, _) => None,
    }
}

const STATES: [SubscriptionState; 10] = [
    SubscriptionState::Active,
    SubscriptionState::Pending,
    SubscriptionState::Terminated(Reason::Deactivated),
    SubscriptionState::Terminated(Reason::Probation),
    SubscriptionState::Terminated(Reason::Rejected),
    SubscriptionState::Terminated(Reason::Timeout),
    SubscriptionState::Terminated(Reason::Giveup),
    SubscriptionState::Terminated(Reason::Noresource),
    SubscriptionState::Terminated(Reason::Invariant),
    SubscriptionState::Terminated(Reason::Unspecified),
];

fn decision_number(decision: Authorization) -> u32 {
    match decision {
        Authorization::Pending => 0,
        Authorization::Allowed => 1,
        Authorization::Refused => 2,
        Authorization::NoResource => 3,
        Authorization::Hidden => 4,
    }
}

fn decision(number: u32) -> Result<Authorization, DecodeError> {
    match number {
        0 => Ok(Authorization::Pending),
        1 => Ok(Authorization::Allowed),
        2 => Ok(Authorization::Refused),
        3 => Ok(Authorization::NoResource),
        4 => Ok(Authorization::Hidden),
        _ => Err(DecodeError::Tag),
    }
}

fn availability(number: u32) -> Result<Availability, DecodeError> {
    match number {
        0 => Ok(Availability::Unavailable),
        1 => Ok(Availability::Available),
        _ => Err(DecodeError::Tag),
    }
}

fn state_number(state: SubscriptionState) -> u32 {
    (0u32..).zip(STATES).find(|(_, known)| *known == state).map_or(0, |(number, _)| number)
}

fn state_from_number(number: u32) -> Result<SubscriptionState, DecodeError> {
    let index = usize::try_from(number).map_err(|_| DecodeError::Tag)?;
    STATES.get(index).copied().ok_or(DecodeError::Tag)
}

#[cfg(test)]
mod tests;
