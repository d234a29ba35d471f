//! What the sender of a MESSAGE is told when its `<message/>` is not delivered (RFC 5438).
//!
//! Only negative delivery notifications are made here. No notification is made of a notification: none asks for one.

use std::time::SystemTime;

use jid::Jid;

use super::hops;
use super::message::ToSipError;
use super::message::size;
use super::uri;
use crate::address::AddressError;
use crate::address::Addresses;
use crate::sip::HeaderName;
use crate::sip::Headers;
use crate::sip::Message;
use crate::sip::Uri;
use crate::sip::cpim;
use crate::sip::cpim::Content;
use crate::sip::cpim::Namespace;
use crate::sip::imdn;
use crate::sip::imdn::Disposition;
use crate::sip::imdn::Failure;
use crate::sip::imdn::Notification;

/// A `<message/>` whose sender wants to know if it is not delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// `from` of the stanza: the SIP user.
    pub from: String,
    /// `to` of the stanza: the XMPP user.
    pub to: String,
    /// `id` of the stanza.
    pub id: String,
    /// What it was to SIP.
    pub request: imdn::Request,
}

/// When things happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The message came.
    pub came: SystemTime,
    /// It is not delivered, and now that is known.
    pub now: SystemTime,
}

/// The MESSAGE that says so. `unique` and `limit` are as for [`super::message::to_sip`]; over the limit goes what the sender can do
/// without.
///
/// It goes to the sender of the MESSAGE, and not to the first address of IMDN-Record-Route: what any SIP user writes there is not where
/// the SIP server, which trusts its own requests, shall send them. Who has recorded its address can still see its route.
pub fn failed(wanted: &Wanted, times: Times, addresses: &Addresses, unique: u64, limit: usize) -> Result<Message, ToSipError> {
    let (from, to) = (jid(&wanted.to).map_err(ToSipError::From)?, jid(&wanted.from).map_err(ToSipError::To)?);
    let from = uri(addresses.jid_to_gruu(&from)).map_err(ToSipError::From)?;
    let to = uri(addresses.jid_to_recipient(&to)).map_err(ToSipError::To)?;
    let imdn::Request { message_id, date_time, recipient, original_recipient, record_route } = &wanted.request;
    let notification = Notification {
        message_id: message_id.clone(),
        date_time: date_time.clone().unwrap_or_else(|| cpim::date_time(times.came)),
        recipient: recipient.clone(),
        original_recipient: original_recipient.clone(),
        disposition: Disposition::NotDelivered(Failure::Failed),
    };
    let whole = message(&from, &to, &notification, record_route, times, unique);
    if size(&whole) <= limit {
        return Ok(whole);
    }
    let short = Notification { recipient: None, original_recipient: None, ..notification };
    let short = message(&from, &to, &short, &[], times, unique);
    if size(&short) > limit { Err(ToSipError::TooLong) } else { Ok(short) }
}

fn jid(text: &str) -> Result<Jid, AddressError> {
    Jid::new(text).map_err(|_| AddressError::User)
}

fn message(from: &Uri, to: &Uri, notification: &Notification, route: &[String], times: Times, unique: u64) -> Message {
    let mut wrapped = cpim::Message::default();
    wrapped.push(Namespace::Cpim, "From", &format!("<{from}>"));
    wrapped.push(Namespace::Cpim, "To", &format!("<{to}>"));
    wrapped.push(Namespace::Cpim, "DateTime", &cpim::date_time(times.now));
    wrapped.push(Namespace::Imdn, imdn::MESSAGE_ID, &format!("{unique:016x}"));
    for uri in route {
        wrapped.push(Namespace::Imdn, "IMDN-Route", &format!("<{uri}>"));
    }
    wrapped.content = Content {
        content_type: Some(imdn::MEDIA_TYPE.to_owned()),
        disposition: Some("notification".to_owned()),
        body: notification.to_xml().into_bytes().into(),
        ..Content::default()
    };
    let mut headers = Headers::default();
    headers.push(HeaderName::ContentType, cpim::MEDIA_TYPE);
    Message {
        to: to.clone(),
        from: from.clone(),
        call_id: None,
        unique,
        max_forwards: hops::FRESH,
        headers,
        body: wrapped.to_bytes(),
        origin: None,
    }
}
