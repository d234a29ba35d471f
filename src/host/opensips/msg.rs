//! Copies what the gateway needs of a request out of host memory.

use std::fmt;
use std::ptr;
use std::slice;
use std::str;

use super::sys;
use crate::sip::Request;
use crate::sip::header::plain_from;

/// Which headers are worth copying: those of the other method cost time on the path of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// MESSAGE (RFC 3428): Subject, Content-Language.
    Message,
    /// NOTIFY (RFC 6665): Event, Subscription-State.
    Notify,
    /// SUBSCRIBE (RFC 6665): Contact, Record-Route, Event, Expires, Accept.
    Subscribe,
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

/// Who made the request, as it says.
///
/// # Safety
/// `msg` is a request of the host, which lives for `'a`.
pub(super) unsafe fn user_agent<'a>(msg: *mut sys::sip_msg) -> Option<&'a [u8]> {
    // SAFETY: [H1][H2] the host's parser on the host's message.
    if unsafe { sys::host_parse_all_headers(msg) } < 0 {
        return None;
    }
    // SAFETY: [H2] as the caller promises.
    let msg = unsafe { msg.as_ref() }?;
    // SAFETY: [H2] NULL, or a header of the message.
    let header = unsafe { msg.user_agent.as_ref() }?;
    Some(view(&header.body).trim_ascii())
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
    if wanted != Wanted::Notify {
        // SAFETY: [H1][H2] as above. A Contact that cannot be parsed is one that is not there.
        unsafe { sys::host_parse_contact(msg) };
    }
    let mut body = sys::str_ { s: ptr::null_mut(), len: 0 };
    // SAFETY: [H1][H2] as above; `body` points into the message afterwards.
    if unsafe { sys::host_body(msg, &raw mut body) } < 0 {
        return Err(Error::Body);
    }
    // SAFETY: [H2] the message lives through this call, and now that it is parsed nobody writes to it before we return.
    let parsed = Parsed(unsafe { msg.as_ref() }.ok_or(Error::Headers)?);

    let (from, from_tag) = parsed.from(msg).ok_or(Error::From)?;
    let to = parsed.to().ok_or(Error::To)?;
    let mut request = Request {
        request_uri: parsed.request_uri(),
        from: from.to_vec(),
        from_tag: from_tag.to_vec(),
        to: text(&to.uri),
        to_tag: text(&to.tag_value),
        call_id: parsed.value(|msg| msg.callid).ok_or(Error::CallId)?,
        cseq: parsed.cseq().ok_or(Error::Cseq)?,
        branch: parsed.branch(),
        content_type: parsed.value(|msg| msg.content_type),
        content_language: parsed.other(b"Content-Language"),
        body: text(&body),
        ..Request::default()
    };
    match wanted {
        Wanted::Message => {
            request.subject = parsed.value(|msg| msg.subject);
            request.max_forwards = parsed.value(|msg| msg.maxforwards);
            request.contact = parsed.contact();
        }
        Wanted::Notify => {
            request.event = parsed.value(|msg| msg.event);
            request.subscription_state = parsed.other(b"Subscription-State");
        }
        Wanted::Subscribe => {
            request.contact = parsed.contact();
            request.record_route = parsed.all(sys::HDR_RECORDROUTE_T).unwrap_or_default();
            request.event = parsed.value(|msg| msg.event);
            request.expires = parsed.value(|msg| msg.expires);
            request.accept = parsed.all(sys::HDR_ACCEPT_T);
            request.socket = parsed.socket();
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
    unsafe { string.as_ref() }.map_or_else(Vec::new, text)
}

/// The same without a copy, for as long as the caller says.
///
/// # Safety
/// NULL, or a `str` of the host that lives for `'a` as it is.
pub(super) unsafe fn bytes_at<'a>(string: *const sys::str_) -> &'a [u8] {
    // SAFETY: [H2] as the caller promises.
    unsafe { string.as_ref() }.map_or(&[], view)
}

/// A request with all headers found, and From, To, CSeq, Via and Contact parsed by the host.
///
/// Whoever makes one promises that the host made the message, and that it stays as it is while this lives: so every pointer in it
/// is NULL or good, and `parsed` of a header is NULL or of the type that belongs to the header.
struct Parsed<'a>(&'a sys::sip_msg);

impl<'a> Parsed<'a> {
    /// URI and tag. A From that is no plain one is parsed by the host, which costs an allocation of it.
    fn from(&self, msg: *mut sys::sip_msg) -> Option<(&'a [u8], &'a [u8])> {
        if let Some(plain) = plain_from(view(&self.header(self.0.from)?.body)) {
            return Some(plain);
        }
        // SAFETY: [H1][H2] the same message, whose headers are parsed: the parser writes to the From header only, of which no
        // reference is held here.
        if unsafe { sys::parse_from_header(msg) } < 0 {
            return None;
        }
        let header = self.header(self.0.from)?;
        // SAFETY: [H2] the type that belongs to From.
        let from = unsafe { header.parsed.cast::<sys::to_body>().as_ref() }.filter(|from| from.error == sys::PARSE_OK)?;
        Some((view(&from.uri), view(&from.tag_value)))
    }

    fn to(&self) -> Option<&'a sys::to_body> {
        let header = self.header(self.0.to)?;
        // SAFETY: [H2] the type that belongs to To.
        unsafe { header.parsed.cast::<sys::to_body>().as_ref() }.filter(|to| to.error == sys::PARSE_OK)
    }

    /// Where the message came in.
    fn socket(&self) -> Vec<u8> {
        // SAFETY: [H2] NULL, or a socket of the host, which lives as long as it.
        unsafe { self.0.rcv.bind_address.as_ref() }.map_or_else(Vec::new, |socket| text(&socket.sock_str))
    }

    fn cseq(&self) -> Option<u32> {
        let header = self.header(self.0.cseq)?;
        // SAFETY: [H2] the type that belongs to CSeq.
        let cseq = unsafe { header.parsed.cast::<sys::cseq_body>().as_ref() }?;
        str::from_utf8(view(&cseq.number)).ok()?.parse().ok()
    }

    /// The URI of the first contact.
    fn contact(&self) -> Option<Vec<u8>> {
        let header = self.header(self.0.contact)?;
        // SAFETY: [H2] the type that belongs to Contact.
        let contacts = unsafe { header.parsed.cast::<sys::contact_body_t>().as_ref() }?;
        // SAFETY: [H2] the list is the host's and lives as long as the header.
        let first = unsafe { contacts.contacts.as_ref() }?;
        Some(text(&first.uri))
    }

    /// branch of the top Via.
    fn branch(&self) -> Vec<u8> {
        // SAFETY: [H2] the host's, parsed before any script runs.
        let via = unsafe { self.0.via1.as_ref() };
        // SAFETY: [H2] as above.
        let branch = via.and_then(|via| unsafe { via.branch.as_ref() });
        branch.map(|branch| text(&branch.value)).unwrap_or_default()
    }

    /// The Request-URI as the script left it.
    fn request_uri(&self) -> Vec<u8> {
        if self.0.new_uri.len > 0 {
            return text(&self.0.new_uri);
        }
        // SAFETY: [H2] our functions may stand in request routes only: this is the request of the union.
        let line = unsafe { &self.0.first_line.u.request };
        text(&line.uri)
    }

    /// The whole value of a header, without the white space around it.
    fn value(&self, of: impl FnOnce(&sys::sip_msg) -> *mut sys::hdr_field) -> Option<Vec<u8>> {
        let header = self.header(of(self.0))?;
        Some(view(&header.body).trim_ascii().to_vec())
    }

    /// The values of all headers of this type, as one list.
    fn all(&self, kind: i32) -> Option<Vec<u8>> {
        let mut values: Option<Vec<u8>> = None;
        let mut next = self.0.headers;
        while let Some(header) = self.header(next) {
            if header.type_ == kind {
                let list = values.get_or_insert_default();
                if !list.is_empty() {
                    list.push(b',');
                }
                list.extend_from_slice(view(&header.body).trim_ascii());
            }
            next = header.next;
        }
        values
    }

    /// The value of a header for which the host has no type of its own.
    fn other(&self, name: &[u8]) -> Option<Vec<u8>> {
        let mut next = self.0.headers;
        loop {
            let header = self.header(next)?;
            if header.type_ == sys::HDR_OTHER_T && view(&header.name).eq_ignore_ascii_case(name) {
                return Some(view(&header.body).trim_ascii().to_vec());
            }
            next = header.next;
        }
    }

    fn header(&self, header: *const sys::hdr_field) -> Option<&'a sys::hdr_field> {
        // SAFETY: [H2] NULL or a header of this message.
        unsafe { header.as_ref() }
    }
}

fn text(string: &sys::str_) -> Vec<u8> {
    view(string).to_vec()
}

/// The bytes of a `str`: a type that only the host makes, here of the message that it has parsed.
fn view(string: &sys::str_) -> &[u8] {
    match usize::try_from(string.len) {
        // SAFETY: [H2][H3] length and pointer are checked; the bytes are of the message, which nobody writes to now.
        Ok(length) if length > 0 && !string.s.is_null() => unsafe { slice::from_raw_parts(string.s.cast(), length) },
        _ => &[],
    }
}
