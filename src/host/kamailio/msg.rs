//! A request of the script, read out of Kamailio's `sip_msg`.
//!
//! Kamailio parses a header when somebody first asks for it. The body is behind the last header, so all of them are found here; what
//! is inside Contact is parsed on top of that, and inside a From that is not a plain one.

use std::ffi::c_char;
use std::fmt;
use std::ptr;
use std::slice;

use super::sys;
use crate::sip::Request;
use crate::sip::header;

/// A request whose headers are parsed. Borrows the host's message: lives in one callback only.
pub(super) struct Received<'a> {
    msg: &'a sys::sip_msg,
    /// From, where it stands in the message.
    pub(super) from: Sender<'a>,
    /// To, likewise.
    pub(super) to: &'a sys::to_body,
    call_id: &'a sys::hdr_field,
}

/// Why a message is no request for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// A reply, or no message at all: the script called from the wrong route.
    NotARequest,
    /// Its headers do not parse.
    Headers,
    /// No usable header of this name.
    Header(&'static str),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARequest => f.write_str("called outside of a request"),
            Self::Headers => f.write_str("the headers do not parse"),
            Self::Header(name) => write!(f, "no usable {name} header"),
        }
    }
}

/// What From says.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    /// Its URI.
    pub(super) uri: &'a [u8],
    /// Its tag; empty if there is none.
    pub(super) tag: &'a [u8],
}

impl<'a> Sender<'a> {
    /// Reads it, or has the core parse it where it is no plain one: its parsed form costs an allocation of the core.
    fn of(msg: &'a sys::sip_msg) -> Option<Self> {
        if let Some((uri, tag)) = header::plain_from(body(msg.from)?) {
            return Some(Self { uri, tag });
        }
        // SAFETY: [H1][H2] a message whose headers are parsed: the parser writes to the From header only, of which we hold nothing.
        if unsafe { sys::parse_from_header(ptr::from_ref(msg).cast_mut()) } < 0 {
            return None;
        }
        let parsed: &sys::to_body = parsed(msg.from)?;
        Some(Self { uri: bytes(parsed.uri), tag: bytes(parsed.tag_value) })
    }
}

impl<'a> Received<'a> {
    /// Parses what is not parsed yet.
    ///
    /// # Safety
    /// `msg` is NULL or the message that the host passed to the running callback, which lives for `'a` [H2].
    pub(super) unsafe fn parse(msg: *mut sys::sip_msg) -> Result<Self, Malformed> {
        // SAFETY: [H2] by the contract of this function; the reference ends before the host writes to the message below.
        let first_line = unsafe { msg.as_ref() }.ok_or(Malformed::NotARequest)?.first_line;
        if i32::from(first_line.type_) != sys::SIP_REQUEST {
            return Err(Malformed::NotARequest);
        }
        // SAFETY: [H1][H2] the message is the callback's; the parser writes to it, and we hold no reference.
        if unsafe { sys::parse_headers(msg, sys::XMPP_GATEWAY_HDR_EOH_F, 0) } < 0 {
            return Err(Malformed::Headers);
        }
        // SAFETY: [H1][H2] as above.
        if unsafe { sys::parse_to_header(msg) } < 0 {
            return Err(Malformed::Header("To"));
        }
        // SAFETY: [H1][H2] nothing writes to the message while `Self` lives: the parsers called below write to its headers only.
        let msg: &sys::sip_msg = unsafe { msg.as_ref() }.ok_or(Malformed::NotARequest)?;
        let from = Sender::of(msg).ok_or(Malformed::Header("From"))?;
        let to = parsed(msg.to).ok_or(Malformed::Header("To"))?;
        // SAFETY: [H2] NULL or a header of the message.
        let call_id = unsafe { msg.callid.as_ref() }.ok_or(Malformed::Header("Call-ID"))?;
        Ok(Self { msg, from, to, call_id })
    }

    /// Call-ID.
    pub(super) fn call_id(&self) -> sys::str_ {
        self.call_id.body
    }

    /// Who made the request.
    pub(super) fn user_agent(&self) -> Option<&'a [u8]> {
        self.header(b"User-Agent")
    }

    /// The event package: Event up to its first parameter.
    pub(super) fn event_package(&self) -> &'a [u8] {
        let event = body(self.msg.event).unwrap_or_default();
        event.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii()
    }

    /// Who subscribes to whom by this SUBSCRIBE; `None` where it ends a subscription. A fetch (Expires: 0 outside a dialog) is none that
    /// ends: whoever asks just once wants to be let in, too.
    pub(super) fn subscription(&self) -> Option<(&'a [u8], &'a [u8])> {
        if bytes(self.to.tag_value).is_empty() {
            return Some((self.from.uri, self.request_uri()));
        }
        let ends = body(self.msg.expires).is_some_and(|expires| expires.trim_ascii() == b"0");
        (!ends).then_some((self.from.uri, bytes(self.to.uri)))
    }

    /// The copy that leaves the host layer.
    pub(super) fn request(&self) -> Result<Request, Malformed> {
        let msg = self.msg;
        Ok(Request {
            request_uri: self.request_uri().to_vec(),
            from: self.from.uri.to_vec(),
            from_tag: self.from.tag.to_vec(),
            to: bytes(self.to.uri).to_vec(),
            to_tag: bytes(self.to.tag_value).to_vec(),
            call_id: bytes(self.call_id.body).to_vec(),
            cseq: self.cseq().ok_or(Malformed::Header("CSeq"))?,
            branch: self.branch().to_vec(),
            // Only a MESSAGE names a device by it; that of a NOTIFY is the notifier's.
            contact: if msg.event.is_null() { self.contact().map(<[u8]>::to_vec) } else { None },
            event: body(msg.event).map(<[u8]>::to_vec),
            subscription_state: body(msg.subscription_state).map(<[u8]>::to_vec),
            content_type: body(msg.content_type).map(<[u8]>::to_vec),
            content_language: self.header(b"Content-Language").map(<[u8]>::to_vec),
            subject: body(msg.subject).map(<[u8]>::to_vec),
            max_forwards: body(msg.maxforwards).map(<[u8]>::to_vec),
            body: self.body().to_vec(),
            ..Request::default()
        })
    }

    /// The copy of a SUBSCRIBE, with what a dialog needs.
    pub(super) fn subscribe(&self) -> Result<Request, Malformed> {
        Ok(Request {
            contact: self.contact().map(<[u8]>::to_vec),
            record_route: self.all(sys::HDR_RECORDROUTE_T).unwrap_or_default(),
            expires: body(self.msg.expires).map(<[u8]>::to_vec),
            accept: self.all(sys::HDR_ACCEPT_T),
            socket: self.socket().to_vec(),
            ..self.request()?
        })
    }

    /// As it is after changes of the script.
    fn request_uri(&self) -> &'a [u8] {
        if self.msg.new_uri.len > 0 {
            return bytes(self.msg.new_uri);
        }
        // SAFETY: [H2] the union holds a request: `parse` looked at its type.
        bytes(unsafe { self.msg.first_line.u.request.uri })
    }

    /// Where the message came in.
    fn socket(&self) -> &'a [u8] {
        // SAFETY: [H2] NULL, or a socket of the core, which lasts.
        unsafe { self.msg.rcv.bind_address.as_ref() }.map_or(&[], |socket| bytes(socket.sock_str))
    }

    fn cseq(&self) -> Option<u32> {
        let cseq: &sys::cseq_body = parsed(self.msg.cseq)?;
        std::str::from_utf8(bytes(cseq.number)).ok()?.parse().ok()
    }

    fn branch(&self) -> &'a [u8] {
        // SAFETY: [H2] NULL, or the first Via of the message, parsed by the core.
        let Some(via) = (unsafe { self.msg.via1.as_ref() }) else { return &[] };
        // SAFETY: [H2] NULL, or a parameter of that Via.
        unsafe { via.branch.as_ref() }.map_or(&[], |branch| bytes(branch.value))
    }

    fn contact(&self) -> Option<&'a [u8]> {
        if self.msg.contact.is_null() {
            return None;
        }
        // SAFETY: [H1][H2] a header of the message; its parsed form is stored in it, and freed with the message by the core.
        if unsafe { sys::parse_contact(self.msg.contact) } < 0 {
            return None;
        }
        let contacts: &sys::contact_body = parsed(self.msg.contact)?;
        let mut first: Option<sys::str_> = None;
        let mut next = contacts.contacts;
        // SAFETY: [H2] a list that ends with NULL, empty for "*". Its order is the parser's, not that of the header.
        while let Some(contact) = unsafe { next.as_ref() } {
            first = first.filter(|first| first.s < contact.uri.s).or(Some(contact.uri));
            next = contact.next;
        }
        first.map(bytes)
    }

    /// The values of all headers of this type, as one list.
    fn all(&self, kind: sys::hdr_types_t) -> Option<Vec<u8>> {
        let mut values: Option<Vec<u8>> = None;
        let mut next = self.msg.headers;
        // SAFETY: [H2] a list that ends with NULL, of headers of the message.
        while let Some(header) = unsafe { next.as_ref() } {
            if header.type_ == kind {
                let list = values.get_or_insert_default();
                if !list.is_empty() {
                    list.push(b',');
                }
                list.extend_from_slice(bytes(header.body));
            }
            next = header.next;
        }
        values
    }

    /// A header that the core keeps no shortcut for.
    fn header(&self, name: &[u8]) -> Option<&'a [u8]> {
        let mut next = self.msg.headers;
        // SAFETY: [H2] a list that ends with NULL, of headers of the message.
        while let Some(header) = unsafe { next.as_ref() } {
            if bytes(header.name).eq_ignore_ascii_case(name) {
                return Some(bytes(header.body));
            }
            next = header.next;
        }
        None
    }

    fn body(&self) -> &'a [u8] {
        content(self.msg)
    }
}

/// What follows the empty line of a message whose headers are parsed, as far as Content-Length says, and never past what was received.
fn content(msg: &sys::sip_msg) -> &[u8] {
    // SAFETY: [H1][H2] all headers are parsed, so this only computes a pointer into the received text.
    let start = unsafe { sys::get_body(ptr::from_ref(msg).cast_mut()) };
    let Ok(received) = usize::try_from(msg.len) else { return &[] };
    let Some(offset) = start.addr().checked_sub(msg.buf.addr()) else { return &[] };
    let Some(rest) = received.checked_sub(offset).filter(|_| !start.is_null()) else { return &[] };
    // SAFETY: [H2] the message is the callback's.
    let said = unsafe { sys::xmpp_gateway_content_length(msg) };
    let length = usize::try_from(said).map_or(rest, |said| said.min(rest));
    // SAFETY: [H2] `start` lies in the received text, with `rest` bytes to its end, and `length` is no more than that.
    unsafe { slice::from_raw_parts(start.cast(), length) }
}

/// The body of a message whose headers are parsed.
///
/// # Safety
/// `msg` is NULL or a message that lives for `'a` [H2].
pub(super) unsafe fn body_of<'a>(msg: *const sys::sip_msg) -> &'a [u8] {
    // SAFETY: [H2] by the contract of this function.
    unsafe { msg.as_ref() }.map_or(&[], content)
}

/// The bytes of a host string.
fn bytes<'a>(text: sys::str_) -> &'a [u8] {
    match usize::try_from(text.len) {
        // SAFETY: [H2][H3] a pointer that is not NULL with that many bytes, in the message that the caller borrows for 'a.
        Ok(length) if !text.s.is_null() => unsafe { slice::from_raw_parts(text.s.cast::<u8>(), length) },
        _ => &[],
    }
}

/// The value of a header of the message, if there is one.
fn body<'a>(header: *const sys::hdr_field) -> Option<&'a [u8]> {
    // SAFETY: [H2] NULL, or a header of the message that the caller borrows for 'a.
    unsafe { header.as_ref() }.map(|header| bytes(header.body))
}

/// The parsed form of a header; `T` is the type that the core documents for it.
fn parsed<'a, T>(header: *const sys::hdr_field) -> Option<&'a T> {
    // SAFETY: [H2] NULL, or a header of the message that the caller borrows for 'a.
    let header = unsafe { header.as_ref() }?;
    // SAFETY: [H2] NULL, or what the header's parser made, of the type that belongs to the header.
    unsafe { header.parsed.cast::<T>().as_ref() }
}

/// The text behind a parameter or a reply, for a callback that passes no message.
///
/// # Safety
/// `text` is a host string that lives for `'a` [H2].
pub(super) unsafe fn text<'a>(text: sys::str_) -> &'a [u8] {
    bytes(text)
}

/// The same, behind a pointer that may be NULL.
///
/// # Safety
/// As for [`text`]; the pointer too.
pub(super) unsafe fn text_at<'a>(text: *const sys::str_) -> &'a [u8] {
    // SAFETY: [H2] by the contract of this function.
    unsafe { text.as_ref() }.map_or(&[], |text| bytes(*text))
}

/// A host string over our bytes, to be read by the host during one call.
pub(super) fn host_text(bytes: &[u8]) -> sys::str_ {
    let len = std::ffi::c_int::try_from(bytes.len()).unwrap_or(0);
    sys::str_ { s: bytes.as_ptr().cast::<c_char>().cast_mut(), len }
}
