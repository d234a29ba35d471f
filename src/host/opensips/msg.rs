//! Copies what the gateway needs of a request out of host memory.

use std::fmt;
use std::slice;
use std::str;

use super::sys;
use crate::sip::Request;

/// Which headers are worth copying: those of the other method cost time on the path of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// MESSAGE (RFC 3428): Subject, Content-Language.
    Message,
    /// NOTIFY (RFC 6665): Contact, Event, Subscription-State.
    Notify,
}

/// A request that cannot be used; its sender is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Error {
    /// The host could not parse the headers.
    Headers,
    /// From is missing or malformed.
    From,
    /// To is missing or malformed.
    To,
    /// Call-ID is missing.
    CallId,
    /// CSeq is missing or has no number.
    Cseq,
    /// The host could not find the body.
    Body,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Headers => "request with malformed headers",
            Self::From => "request without a usable From",
            Self::To => "request without a usable To",
            Self::CallId => "request without Call-ID",
            Self::Cseq => "request without a usable CSeq",
            Self::Body => "request whose body cannot be found",
        })
    }
}

/// Parses what is not parsed yet, and copies.
///
/// # Safety
/// `msg` is the request of the running script.
pub(super) unsafe fn copy(msg: *mut sys::sip_msg, wanted: Wanted) -> Result<Request, Error> {
    // SAFETY: [H1][H2] the host's parser on the host's message; it finds all headers, as the body needs anyway.
    if unsafe { sys::host_parse_all_headers(msg) } < 0 {
        return Err(Error::Headers);
    }
    // SAFETY: [H1][H2] as above; what is parsed already is not parsed again.
    if unsafe { sys::parse_from_header(msg) } < 0 {
        return Err(Error::From);
    }
    let mut body = NONE;
    // SAFETY: [H1][H2] as above; `body` points into the message afterwards.
    if unsafe { sys::host_body(msg, &raw mut body) } < 0 {
        return Err(Error::Body);
    }
    // SAFETY: [H2] the message lives through this call, and nobody writes to it while we read: all parsing but Contact's is done,
    // and that writes to the header, which we hold no reference to.
    let parsed = unsafe { msg.as_ref() }.ok_or(Error::Headers)?;

    let from: &sys::to_body = parsed_body(parsed.from).filter(|from| from.error == sys::PARSE_OK).ok_or(Error::From)?;
    let to: &sys::to_body = parsed_body(parsed.to).filter(|to| to.error == sys::PARSE_OK).ok_or(Error::To)?;
    let cseq: &sys::cseq_body = parsed_body(parsed.cseq).ok_or(Error::Cseq)?;
    let mut request = Request {
        request_uri: request_uri(parsed),
        from: text(from.uri),
        from_tag: text(from.tag_value),
        to: text(to.uri),
        to_tag: text(to.tag_value),
        call_id: value(parsed.callid).ok_or(Error::CallId)?,
        cseq: number(cseq.number).ok_or(Error::Cseq)?,
        branch: branch(parsed),
        content_type: value(parsed.content_type),
        body: text(body),
        ..Request::default()
    };
    match wanted {
        Wanted::Message => {
            request.subject = value(parsed.subject);
            request.content_language = other(parsed, b"Content-Language");
        }
        Wanted::Notify => {
            request.contact = contact(parsed.contact);
            request.event = value(parsed.event);
            request.subscription_state = other(parsed, b"Subscription-State");
        }
    }
    Ok(request)
}

/// The bytes of a `str` that the host points to.
///
/// # Safety
/// NULL, or a `str` of the host that lives through this call.
pub(super) unsafe fn bytes(string: *const sys::str_) -> Vec<u8> {
    // SAFETY: [H2] as the caller promises.
    unsafe { string.as_ref() }.map_or_else(Vec::new, |string| text(*string))
}

const NONE: sys::str_ = sys::str_ { s: std::ptr::null_mut(), len: 0 };

/// The Request-URI as the script left it.
fn request_uri(msg: &sys::sip_msg) -> Vec<u8> {
    let changed = text(msg.new_uri);
    if !changed.is_empty() {
        return changed;
    }
    // SAFETY: [H2] script functions are called for requests only, so this is the request of the union.
    let line = unsafe { msg.first_line.u.request };
    text(line.uri)
}

fn branch(msg: &sys::sip_msg) -> Vec<u8> {
    // SAFETY: [H2] the host's parsed Via lives as long as the message.
    let via = unsafe { msg.via1.as_ref() };
    // SAFETY: [H2] as above, its branch parameter.
    let branch = via.and_then(|via| unsafe { via.branch.as_ref() });
    branch.map(|branch| text(branch.value)).unwrap_or_default()
}

/// The URI of the first contact; only this header is not parsed yet.
fn contact(header: *mut sys::hdr_field) -> Option<Vec<u8>> {
    if header.is_null() {
        return None;
    }
    // SAFETY: [H1][H2] the host's parser on the host's header.
    if unsafe { sys::parse_contact(header) } < 0 {
        return None;
    }
    let contacts: &sys::contact_body_t = parsed_body(header)?;
    // SAFETY: [H2] the parsed list lives as long as the message.
    let first = unsafe { contacts.contacts.as_ref() }?;
    Some(text(first.uri))
}

/// The value of a header for which the host has no type of its own.
fn other(msg: &sys::sip_msg, name: &[u8]) -> Option<Vec<u8>> {
    let mut next = msg.headers;
    loop {
        // SAFETY: [H2] the host's list of headers lives as long as the message and ends with NULL.
        let header = unsafe { next.as_ref() }?;
        if header.type_ == sys::HDR_OTHER_T && is_named(header.name, name) {
            return value(next);
        }
        next = header.next;
    }
}

fn is_named(host: sys::str_, name: &[u8]) -> bool {
    // SAFETY: [H2][H3] the name of a parsed header.
    unsafe { view(&host) }.eq_ignore_ascii_case(name)
}

/// The whole value of a header, without the white space around it.
fn value(header: *const sys::hdr_field) -> Option<Vec<u8>> {
    // SAFETY: [H2] NULL or a header of the message.
    let header = unsafe { header.as_ref() }?;
    // SAFETY: [H2][H3] its body points into the message.
    Some(unsafe { view(&header.body) }.trim_ascii().to_vec())
}

/// What the host's parser made of a header whose parsed form is `T`.
fn parsed_body<'a, T>(header: *const sys::hdr_field) -> Option<&'a T> {
    // SAFETY: [H2] NULL or a header of the message.
    let header = unsafe { header.as_ref() }?;
    // SAFETY: [H2] `parsed` is NULL or the type that belongs to the header; it lives as long as the message.
    unsafe { header.parsed.cast::<T>().as_ref() }
}

fn text(string: sys::str_) -> Vec<u8> {
    // SAFETY: [H2][H3] a `str` of the host's message, which lives through this call.
    unsafe { view(&string) }.to_vec()
}

fn number(string: sys::str_) -> Option<u32> {
    // SAFETY: [H2][H3] as above.
    str::from_utf8(unsafe { view(&string) }).ok()?.parse().ok()
}

/// # Safety
/// `string` is empty or points to that many bytes, which live as long as the reference.
unsafe fn view(string: &sys::str_) -> &[u8] {
    match usize::try_from(string.len) {
        // SAFETY: [H3] length and pointer are checked, and the caller promises the rest.
        Ok(length) if length > 0 && !string.s.is_null() => unsafe { slice::from_raw_parts(string.s.cast(), length) },
        _ => &[],
    }
}
