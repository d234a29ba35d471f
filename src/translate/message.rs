//! Single messages: MESSAGE and `<message/>` (RFC 7572).

use jid::Jid;

use super::call_id;
use super::disposition::Wanted;
use super::failure;
use super::hops;
use super::uri;
use crate::address::AddressError;
use crate::address::Addresses;
use crate::sip::BodyError;
use crate::sip::HeaderName;
use crate::sip::Headers;
use crate::sip::Message;
use crate::sip::Origin;
use crate::sip::Reply;
use crate::sip::ReplySource;
use crate::sip::Request;
use crate::sip::cpim;
use crate::sip::cpim::CpimError;
use crate::sip::cpim::Namespace;
use crate::sip::header;
use crate::sip::imdn;
use crate::sip::imdn::Notification;
use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::ns;
use crate::xmpp::stanza;
use crate::xmpp::stanza::Kind;
use crate::xmpp::stanza::MessageType;

/// The type of the stanza that a MESSAGE becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StanzaType {
    /// `type='chat'`: our default, because clients show it in the conversation.
    #[default]
    Chat,
    /// No type, as RFC 7572 §5 has it; clients show it as a mail.
    Normal,
}

/// The size that a MESSAGE may have over any transport (RFC 3428 §8). What the host adds (Via, CSeq, tags) is not counted.
pub const DEFAULT_LIMIT: usize = 1300;

/// What a MESSAGE becomes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToXmpp {
    /// A stanza; and what there is to remember of it, where its sender wants to know if it is not delivered.
    Stanza(String, Option<Wanted>),
    /// Nothing: it is a notification (RFC 5438), and none of what comes from XMPP asks for one.
    Nothing(Notification),
}

/// The stanza for a MESSAGE (RFC 7572 §5), whose text may be wrapped (RFC 3862).
pub fn to_xmpp(request: &Request, addresses: &Addresses, stanza_type: StanzaType) -> Result<ToXmpp, ToXmppError> {
    let wrapped = wrapped(request)?;
    if let Some(notification) = wrapped.as_ref().and_then(notification) {
        return Ok(ToXmpp::Nothing(notification.map_err(ToXmppError::Notification)?));
    }
    let body = match &wrapped {
        Some(message) => wrapped_text(&message.content)?,
        None => text(request.content_type.as_deref(), &request.body)?,
    };
    let to = addresses.xmpp_user_to_jid(&request.request_uri).map_err(ToXmppError::To)?;
    let from = sender(request, addresses)?;
    let mut xml = XmlWriter::new();
    xml.open("message").attribute("from", from.as_str()).attribute("to", to.as_str());
    if stanza_type == StanzaType::Chat {
        xml.attribute("type", "chat");
    }
    let branch = request.branch.strip_prefix(MAGIC_COOKIE).unwrap_or(&request.branch);
    let id = std::str::from_utf8(branch).ok().filter(|id| !id.is_empty());
    xml.attribute_if("id", id);
    let language = wrapped.as_ref().and_then(|message| message.content.language.as_deref()).map(str::as_bytes);
    xml.attribute_if("xml:lang", language.or(request.content_language.as_deref()).and_then(header::content_language));
    write_subjects(&mut xml, request, wrapped.as_ref())?;
    xml.open("body").text(body).close();
    if let Some(thread) = call_id::to_thread(&request.call_id) {
        xml.open("thread").text(&thread).close();
    }
    hops::write(&mut xml, request.max_forwards.as_deref());
    let request = wrapped.as_ref().and_then(imdn::Request::of);
    let wanted = request.zip(id.filter(|id| id.len() <= LONGEST_REPORTED_ID)).map(|(request, id)| {
        let [from, to, id] = [from.as_str(), to.as_str(), id].map(str::to_owned);
        Wanted { from, to, id, request }
    });
    Ok(ToXmpp::Stanza(xml.finish(), wanted))
}

/// The MESSAGE for a stanza (RFC 7572 §4). `unique` is a number never used before, here or elsewhere: it keeps MESSAGEs apart.
/// `limit` bounds what is made here: addresses, headers and body.
pub fn to_sip(
    message: &Element,
    from: &Jid,
    to: &Jid,
    addresses: &Addresses,
    unique: u64,
    limit: usize,
) -> Result<Message, ToSipError> {
    match MessageType::of(message) {
        MessageType::Chat | MessageType::Normal => {}
        MessageType::Error => return Err(ToSipError::IsError),
        MessageType::Groupchat => return Err(ToSipError::Groupchat),
        MessageType::Headline => return Err(ToSipError::Headline),
    }
    if message.attribute("id").is_some_and(|id| id.len() > LONGEST_ID) {
        return Err(ToSipError::TooLong);
    }
    let body = choose(message, "body").ok_or(ToSipError::NoBody)?;
    let text = body.text();
    let language = body.attribute("xml:lang").or_else(|| message.attribute("xml:lang"));
    let mut headers = Headers::default();
    headers.push(HeaderName::ContentType, if text.is_ascii() { "text/plain" } else { "text/plain;charset=UTF-8" });
    if let Some(language) = language.filter(|language| header::is_language(language)) {
        headers.push(HeaderName::ContentLanguage, language);
    }
    if let Some(subject) = choose(message, "subject") {
        headers.push(HeaderName::Subject, &subject.text());
    }
    let sip = Message {
        to: uri(addresses.jid_to_recipient(to)).map_err(ToSipError::To)?,
        from: uri(addresses.jid_to_gruu(from)).map_err(ToSipError::From)?,
        call_id: message.child("thread", ns::CLIENT).and_then(|thread| call_id::from_thread(&thread.text(), unique)),
        unique,
        max_forwards: hops::of_stanza(message).ok_or(ToSipError::TooManyHops)?,
        headers,
        body: text.into_owned().into_bytes(),
        origin: Some(Origin {
            from: from.as_str().to_owned(),
            to: to.as_str().to_owned(),
            id: message.attribute("id").map(str::to_owned),
        }),
    };
    if size(&sip) > limit { Err(ToSipError::TooLong) } else { Ok(sip) }
}

/// The error for a stanza whose MESSAGE was answered so (RFC 6120 §8.3.1); `None` for a success. `domain` is ours: it made the error where
/// nobody answered. The stanza itself is not in it: nobody has it any more, and clients know their own by the id.
pub fn failed(origin: &Origin, reply: &Reply, addresses: &Addresses, domain: &str) -> Option<String> {
    let error = failure::of_reply(reply, addresses)?;
    let error = match reply.source {
        ReplySource::Network => error,
        ReplySource::Local => error.with_by(domain),
    };
    let Origin { from, to, id } = origin;
    Some(stanza::error_stanza(Kind::Message, to, from, id.as_deref(), &error))
}

/// Why a MESSAGE has no stanza. The sender is to blame for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToXmppError {
    /// From has no XMPP address.
    From(AddressError),
    /// The Request-URI has no XMPP address.
    To(AddressError),
    /// The body is of a type, or in a charset, that is not translated.
    UnsupportedType,
    /// The body or Subject is not the UTF-8 it has to be.
    Encoding,
    /// There is no body.
    NoBody,
    /// The body says that it is CPIM, and is none.
    Cpim(CpimError),
    /// The notification in it is none.
    Notification(BodyError),
}

impl std::fmt::Display for ToXmppError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::From(error) => write!(f, "From: {error}"),
            Self::To(error) => write!(f, "Request-URI: {error}"),
            Self::UnsupportedType => f.write_str("the body is of a type or charset that is not translated"),
            Self::Encoding => f.write_str("the body or Subject is not UTF-8"),
            Self::NoBody => f.write_str("the MESSAGE has no body"),
            Self::Cpim(error) => write!(f, "{error}"),
            Self::Notification(error) => write!(f, "the notification: {error}"),
        }
    }
}

impl std::error::Error for ToXmppError {}

/// Why a stanza has no MESSAGE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToSipError {
    /// The sender has no SIP address.
    From(AddressError),
    /// The recipient has no SIP address.
    To(AddressError),
    /// It has no body: a chat state, a receipt. No fault; there is nothing to send.
    NoBody,
    /// It is an error, which must not be answered.
    IsError,
    /// It is for a room, and there is none here.
    Groupchat,
    /// It is a headline, which asks for no answer.
    Headline,
    /// Longer than the limit (RFC 7572 §6).
    TooLong,
    /// It has been through gateways again and again.
    TooManyHops,
}

impl std::fmt::Display for ToSipError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::From(error) => write!(f, "`from`: {error}"),
            Self::To(error) => write!(f, "`to`: {error}"),
            Self::NoBody => f.write_str("the message has no body"),
            Self::IsError => f.write_str("the message is an error"),
            Self::Groupchat => f.write_str("the message is for a room"),
            Self::Headline => f.write_str("the message is a headline"),
            Self::TooLong => f.write_str("the message is too long for a SIP MESSAGE"),
            Self::TooManyHops => f.write_str("the message has been under way for too long"),
        }
    }
}

impl std::error::Error for ToSipError {}

/// The longest id of a stanza: the host's memory holds it as long as the MESSAGE is under way. A part of a JID has no more either.
const LONGEST_ID: usize = 1023;

/// What a branch begins with since RFC 3261 §8.1.1.7: no part of the transaction's own name.
const MAGIC_COOKIE: &[u8] = b"z9hG4bK";

/// The longest `id` of a stanza whose failure is reported.
const LONGEST_REPORTED_ID: usize = 256;

/// The body as a message with headers of its own, if that is what it says it is.
fn wrapped(request: &Request) -> Result<Option<cpim::Message<'_>>, ToXmppError> {
    let is_wrapped = request.content_type.as_deref().is_some_and(|value| header::is_media_type(value, cpim::MEDIA_TYPE));
    is_wrapped.then(|| cpim::Message::parse(&request.body).map_err(ToXmppError::Cpim)).transpose()
}

/// What is in a message, if it is a notification.
fn notification(message: &cpim::Message<'_>) -> Option<Result<Notification, BodyError>> {
    let content_type = message.content.content_type.as_deref()?.as_bytes();
    let is_notification = [imdn::MEDIA_TYPE, imdn::OTHER_MEDIA_TYPE].iter().any(|name| header::is_media_type(content_type, name));
    is_notification.then(|| Notification::parse(&message.content.body))
}

/// The text in a message; what is encoded for mail is not text here.
fn wrapped_text<'a>(content: &'a cpim::Content<'_>) -> Result<&'a str, ToXmppError> {
    let as_it_is = |encoding: &str| ["7bit", "8bit", "binary"].iter().any(|name| encoding.eq_ignore_ascii_case(name));
    if !content.transfer_encoding.as_deref().is_none_or(as_it_is) {
        return Err(ToXmppError::UnsupportedType);
    }
    text(content.content_type.as_deref().map(str::as_bytes), &content.body)
}

/// The subjects of the wrapped message, one a language; without one, that of the MESSAGE.
fn write_subjects(xml: &mut XmlWriter, request: &Request, wrapped: Option<&cpim::Message<'_>>) -> Result<(), ToXmppError> {
    let mut languages = Vec::new();
    for header in wrapped.iter().flat_map(|message| message.all(Namespace::Cpim, "Subject")) {
        if !languages.contains(&&header.language) {
            languages.push(&header.language);
            xml.open("subject").attribute_if("xml:lang", header.language.as_deref()).text(&header.value).close();
        }
    }
    if let Some(subject) = request.subject.as_deref().filter(|_| languages.is_empty()) {
        xml.open("subject").text(std::str::from_utf8(subject).map_err(|_| ToXmppError::Encoding)?.trim()).close();
    }
    Ok(())
}

/// A body, if it is text; one without Content-Type is taken for text, as its senders mean it.
fn text<'a>(content_type: Option<&[u8]>, body: &'a [u8]) -> Result<&'a str, ToXmppError> {
    if let Some(content_type) = content_type {
        let charset = header::charset(content_type).unwrap_or(b"utf-8");
        let known = charset.eq_ignore_ascii_case(b"utf-8") || charset.eq_ignore_ascii_case(b"us-ascii");
        if !known || !header::is_media_type(content_type, "text/plain") {
            return Err(ToXmppError::UnsupportedType);
        }
    }
    match std::str::from_utf8(body) {
        Ok("") => Err(ToXmppError::NoBody),
        Ok(text) => Ok(text),
        Err(_) => Err(ToXmppError::Encoding),
    }
}

/// From, and the device where From or, for the same user, Contact tells it.
fn sender(request: &Request, addresses: &Addresses) -> Result<Jid, ToXmppError> {
    let from = addresses.sip_user_to_jid(&request.from).map_err(ToXmppError::From)?;
    if from.is_full() {
        return Ok(from);
    }
    let Some(contact) = request.contact.as_deref().filter(|contact| memchr::memmem::find(contact, b"gr=").is_some()) else {
        return Ok(from);
    };
    match addresses.sip_to_jid(contact) {
        Ok(contact) if contact.to_bare() == from.to_bare() => Ok(contact),
        Ok(_) | Err(_) => Ok(from),
    }
}

/// Of several children that differ in language: the one without, else the first.
fn choose<'a>(message: &'a Element, name: &str) -> Option<&'a Element> {
    let all = || message.children().filter(|child| child.is(name, ns::CLIENT) && !child.text().is_empty());
    all().find(|child| child.attribute("xml:lang").is_none()).or_else(|| all().next())
}

/// What counts for the limit.
pub(super) fn size(message: &Message) -> usize {
    let call_id = message.call_id.as_ref().map_or(0, |call_id| call_id.len());
    // The recipient stands in the request line and in To.
    [message.to.len(), message.to.len(), message.from.len(), call_id, message.headers.len(), message.body.len()]
        .iter()
        .fold(0, |sum, part| sum.saturating_add(*part))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::address::Scheme;

    proptest! {
        /// Whatever a stanza holds, each line of the headers is one of ours, and ends with CRLF.
        #[test]
        fn headers_are_only_those_meant(
            subject in ".{0,20}", thread in ".{0,20}", language in ".{0,8}", resource in ".{1,20}", node in ".{1,20}",
        ) {
            let mut xml = XmlWriter::new();
            xml.open("message").attribute("xml:lang", &language);
            xml.open("subject").text(&subject).close();
            xml.open("thread").text(&thread).close();
            xml.open("body").text("x");
            let Ok(message) = Element::parse(&xml.finish()) else { return Ok(()) };
            let Ok(from) = Jid::new(&format!("a@b.example/{resource}")) else { return Ok(()) };
            let Ok(to) = Jid::new(&format!("{node}@c.example")) else { return Ok(()) };
            let addresses = Addresses::new(Scheme::Transparent).unwrap();
            let Ok(sip) = to_sip(&message, &from, &to, &addresses, 1, usize::MAX) else { return Ok(()) };
            for line in sip.headers.split_inclusive("\r\n") {
                let value = line.strip_suffix("\r\n").unwrap_or("\n");
                prop_assert!(!value.contains(char::is_control), "{:?}", sip.headers);
                let name = value.split_once(": ").map(|(name, _)| name);
                prop_assert!(matches!(name, Some("Content-Type" | "Content-Language" | "Subject")), "{:?}", sip.headers);
            }
            for field in [&*sip.to, &*sip.from, sip.call_id.as_deref().unwrap_or("-")] {
                prop_assert!(field.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'<' && byte != b'>'), "{}", field);
            }
        }

        /// Whatever a request holds, its stanza is one well-formed element with the text that was sent.
        #[test]
        fn the_stanza_is_one_element(body in ".{1,40}", call_id in ".{0,20}", branch in ".{0,20}", subject in ".{0,20}") {
            let request = Request {
                request_uri: b"sip:a@b.example".to_vec(),
                from: b"sip:c@d.example".to_vec(),
                body: body.clone().into_bytes(),
                call_id: call_id.into_bytes(),
                branch: branch.into_bytes(),
                subject: Some(subject.into_bytes()),
                ..Request::default()
            };
            let addresses = Addresses::new(Scheme::Transparent).unwrap();
            let Ok(ToXmpp::Stanza(stanza, None)) = to_xmpp(&request, &addresses, StanzaType::Chat) else { panic!("no stanza") };
            let stanza = Element::parse(&stanza).unwrap();
            let forbidden = |c: char| (c < ' ' && !"\r\n\t".contains(c)) || matches!(c, '\u{fffe}' | '\u{ffff}');
            let legal = body.replace(forbidden, "\u{fffd}");
            prop_assert_eq!(stanza.child("body", ns::CLIENT).unwrap().text(), legal);
        }
    }
}
