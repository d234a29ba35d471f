//! A MESSAGE as the bytes that it is in a lane. Both ends are the same binary, so the form has no version.

use crate::sip::CallId;
use crate::sip::Headers;
use crate::sip::Message;
use crate::sip::Origin;
use crate::sip::Uri;

/// Each text and the body with its length; a text that is absent has the length `u32::MAX`.
pub(super) fn of(message: &Message) -> Option<Vec<u8>> {
    let Message { to, from, call_id, unique, headers, body, origin } = message;
    let fields: [_; FIELDS] = [
        Some(to.as_bytes()),
        Some(from.as_bytes()),
        call_id.as_deref().map(str::as_bytes),
        Some(headers.as_bytes()),
        Some(body.as_slice()),
        origin.as_ref().map(|origin| origin.from.as_bytes()),
        origin.as_ref().map(|origin| origin.to.as_bytes()),
        origin.as_ref().and_then(|origin| origin.id.as_deref()).map(str::as_bytes),
    ];
    let size = fields.iter().flatten().try_fold(FIXED, |size, field| size.checked_add(field.len()))?;
    let mut record = Vec::with_capacity(size);
    record.extend_from_slice(&unique.to_ne_bytes());
    for field in fields {
        let length = field.map_or(Some(ABSENT), |field| u32::try_from(field.len()).ok())?;
        record.extend_from_slice(&length.to_ne_bytes());
        record.extend_from_slice(field.unwrap_or_default());
    }
    Some(record)
}

const ABSENT: u32 = u32::MAX;

/// Bytes of a record without its fields.
const FIXED: usize = size_of::<u64>() + FIELDS * size_of::<u32>();

const FIELDS: usize = 8;

/// The MESSAGE of a record; `None` if it is none.
pub(super) fn message(record: &[u8]) -> Option<Message> {
    let (unique, mut rest) = record.split_first_chunk()?;
    let mut field = || {
        let (length, after) = rest.split_first_chunk()?;
        let (field, after) = match u32::from_ne_bytes(*length) {
            ABSENT => (None, after),
            length => after.split_at_checked(usize::try_from(length).ok()?).map(|(field, after)| (Some(field), after))?,
        };
        rest = after;
        Some(field.map(<[u8]>::to_vec))
    };
    let text = |field: Vec<u8>| String::from_utf8(field).ok();
    let (to, from) = (Uri::new(text(field()??)?)?, Uri::new(text(field()??)?)?);
    let call_id = field()?.and_then(text).and_then(CallId::new);
    let (headers, body) = (Headers::of(text(field()??)?)?, field()??);
    let mut optional = || field().map(|field| field.and_then(text));
    let (origin_from, origin_to, id) = (optional()?, optional()?, optional()?);
    let origin = origin_from.zip(origin_to).map(|(from, to)| Origin { from, to, id });
    Some(Message { to, from, call_id, unique: u64::from_ne_bytes(*unique), headers, body, origin })
}
