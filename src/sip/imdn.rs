//! Instant Message Disposition Notification (RFC 5438): what the sender of a message wants to be told of it, and what it is told.
//!
//! The wish stands in headers of the message, which is CPIM for that ([`super::cpim`]); the notification is an XML document,
//! `message/imdn+xml`, in a CPIM message of its own.

use super::cpim;
use super::cpim::Namespace;
use super::xml_body::BodyError;
use super::xml_body::Ns;
use super::xml_body::XmlBody;
use crate::xml::XmlWriter;

/// The longest Message-ID of a message that is reported on.
pub const LONGEST_ID: usize = 256;

/// The longest URI that is kept of a message that is reported on.
pub const LONGEST_URI: usize = 256;

/// The most intermediaries that are kept of it.
pub const MOST_ROUTES: usize = 8;

/// A message whose sender wants to know if it is not delivered: what the notification says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The sender's name for the message.
    pub message_id: String,
    /// When it was sent, as the sender has written it.
    pub date_time: Option<String>,
    /// The URI of To.
    pub recipient: Option<String>,
    /// The URI of Original-To: whom it was for before an intermediary changed that.
    pub original_recipient: Option<String>,
    /// The URIs of IMDN-Record-Route: intermediaries that want to see the notification.
    pub record_route: Vec<String>,
}

impl Request {
    /// What the headers ask for; `None` unless that is `negative-delivery`, of a message that has an ID.
    pub fn of(message: &cpim::Message<'_>) -> Option<Self> {
        let wanted = message.all(Namespace::Imdn, "Disposition-Notification").flat_map(|header| header.value.split(','));
        // Each may have parameters.
        let mut wanted = wanted.filter_map(|wanted| wanted.split(';').next());
        if !wanted.any(|wanted| wanted.trim().eq_ignore_ascii_case("negative-delivery")) {
            return None;
        }
        let message_id = message.value(Namespace::Imdn, MESSAGE_ID).filter(|id| id.len() <= LONGEST_ID)?.to_owned();
        let date_time = message.value(Namespace::Cpim, "DateTime").filter(|time| time.len() <= LONGEST_TIME).map(str::to_owned);
        let uri = |address: &str| cpim::uri(address).filter(|uri| is_plain(uri)).map(str::to_owned);
        Some(Self {
            message_id,
            date_time,
            recipient: message.value(Namespace::Cpim, "To").and_then(uri),
            original_recipient: message.value(Namespace::Imdn, "Original-To").and_then(uri),
            record_route: message
                .all(Namespace::Imdn, "IMDN-Record-Route")
                .filter_map(|header| uri(&header.value))
                .take(MOST_ROUTES)
                .collect(),
        })
    }
}

/// The sender's name for a message.
pub const MESSAGE_ID: &str = "Message-ID";

/// Longer than any time of RFC 3339 has to be.
const LONGEST_TIME: usize = 64;

/// Whether this can stand between brackets in a header.
fn is_plain(uri: &str) -> bool {
    uri.len() <= LONGEST_URI && uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\".contains(&byte))
}

/// The document `message/imdn+xml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The Message-ID of the message.
    pub message_id: String,
    /// When the message was sent.
    pub date_time: String,
    /// Whom the message was for in the end.
    pub recipient: Option<String>,
    /// Whom its sender had written to.
    pub original_recipient: Option<String>,
    /// What became of it.
    pub disposition: Disposition,
}

/// Which step a message took, or did not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It was delivered to the user's device.
    Delivered,
    /// It was not delivered.
    NotDelivered(Failure),
    /// It was shown to the user.
    Displayed,
    /// It was not shown, or nobody is to know.
    NotDisplayed(Failure),
    /// An intermediary has dealt with it.
    Processed,
    /// An intermediary keeps it for later.
    Stored,
    /// An intermediary has not dealt with it.
    NotProcessed(Failure),
}

/// Why a message did not take a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// It could not. This is said of deliveries only.
    Failed,
    /// The recipient does not want that told.
    Forbidden,
    /// Something broke.
    Error,
}

/// The media type of RFC 5438.
pub const MEDIA_TYPE: &str = "message/imdn+xml";

/// Another one under which it is seen: read, never written.
pub const OTHER_MEDIA_TYPE: &str = "application/imdn+xml";

impl Notification {
    /// Reads a document.
    pub fn parse(body: &[u8]) -> Result<Self, BodyError> {
        let (mut body, root) = XmlBody::new(body)?;
        if root.ns != Ns::Imdn || root.name() != "imdn" {
            return Err(BodyError::Root);
        }
        let (mut message_id, mut date_time, mut recipient, mut original_recipient) = (None, None, None, None);
        let mut disposition = None;
        while let Some(child) = body.child()? {
            let text = match (child.ns, child.name()) {
                (Ns::Imdn, "message-id") => &mut message_id,
                (Ns::Imdn, "datetime") => &mut date_time,
                (Ns::Imdn, "recipient-uri") => &mut recipient,
                (Ns::Imdn, "original-recipient-uri") => &mut original_recipient,
                (Ns::Imdn, kind) => {
                    disposition = disposition.or(Self::disposition(kind, &mut body)?);
                    continue;
                }
                (_, _) => {
                    body.skip()?;
                    continue;
                }
            };
            *text = Some(body.text()?.trim().to_owned()).filter(|text| !text.is_empty());
        }
        Ok(Self {
            message_id: message_id.ok_or(BodyError::Attribute)?,
            date_time: date_time.ok_or(BodyError::Attribute)?,
            recipient,
            original_recipient,
            disposition: disposition.ok_or(BodyError::Attribute)?,
        })
    }

    /// Writes it.
    pub fn to_xml(&self) -> String {
        let (kind, status) = self.disposition.names();
        let mut xml = XmlWriter::document();
        xml.open("imdn").attribute("xmlns", NS);
        xml.open("message-id").text(&self.message_id).close();
        xml.open("datetime").text(&self.date_time).close();
        for (name, uri) in [("recipient-uri", &self.recipient), ("original-recipient-uri", &self.original_recipient)] {
            if let Some(uri) = uri {
                xml.open(name).text(uri).close();
            }
        }
        xml.open(kind).open("status").open(status);
        xml.finish()
    }

    /// Reads an element up to its end; `None` if it is about no disposition, or says none that is known.
    fn disposition(kind: &str, body: &mut XmlBody<'_>) -> Result<Option<Disposition>, BodyError> {
        let mut disposition = None;
        while let Some(child) = body.child()? {
            if child.ns != Ns::Imdn || child.name() != "status" {
                body.skip()?;
                continue;
            }
            while let Some(status) = body.child()? {
                if status.ns == Ns::Imdn {
                    disposition = disposition.or_else(|| Disposition::of(kind, status.name()));
                }
                body.skip()?;
            }
        }
        Ok(disposition)
    }
}

/// The namespace of the document; that of the headers is another one.
pub(super) const NS: &str = "urn:ietf:params:xml:ns:imdn";

const DELIVERY: &str = "delivery-notification";
const DISPLAY: &str = "display-notification";
const PROCESSING: &str = "processing-notification";

impl Disposition {
    /// All there are.
    const ALL: [Self; 11] = [
        Self::Delivered,
        Self::NotDelivered(Failure::Failed),
        Self::NotDelivered(Failure::Forbidden),
        Self::NotDelivered(Failure::Error),
        Self::Displayed,
        Self::NotDisplayed(Failure::Forbidden),
        Self::NotDisplayed(Failure::Error),
        Self::Processed,
        Self::Stored,
        Self::NotProcessed(Failure::Forbidden),
        Self::NotProcessed(Failure::Error),
    ];

    fn of(kind: &str, status: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|disposition| disposition.names() == (kind, status))
    }

    /// The element that names the step, and the one in it that says how it went.
    pub fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Delivered => (DELIVERY, "delivered"),
            Self::NotDelivered(failure) => (DELIVERY, failure.name()),
            Self::Displayed => (DISPLAY, "displayed"),
            Self::NotDisplayed(failure) => (DISPLAY, failure.name()),
            Self::Processed => (PROCESSING, "processed"),
            Self::Stored => (PROCESSING, "stored"),
            Self::NotProcessed(failure) => (PROCESSING, failure.name()),
        }
    }
}

impl Failure {
    fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Forbidden => "forbidden",
            Self::Error => "error",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What RFC 5438 §7 has, with a document of another namespace in it.
    const EXAMPLE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
        <imdn xmlns=\"urn:ietf:params:xml:ns:imdn\">\n\
        <message-id>34jk324j</message-id>\n\
        <datetime>2006-04-04T12:16:49-05:00</datetime>\n\
        <recipient-uri>im:bob@example.com</recipient-uri>\n\
        <original-recipient-uri>im:bob@example.com</original-recipient-uri>\n\
        <x xmlns=\"urn:other\"><message-id>no</message-id></x>\n\
        <delivery-notification>\n\
        <status><e:delivered xmlns:e=\"urn:other\"/><failed/><delivered/></status>\n\
        </delivery-notification>\n\
        </imdn>\n";

    fn document(inside: &str) -> String {
        format!("<imdn xmlns='{NS}'><message-id>1</message-id><datetime>2</datetime>{inside}</imdn>")
    }

    fn wants(lines: &str) -> Option<Request> {
        let body = format!("NS: imdn <urn:ietf:params:imdn>\r\n{lines}\r\n\r\nContent-Type: text/plain\r\n\r\nHello World");
        Request::of(&cpim::Message::parse(body.as_bytes()).unwrap())
    }

    #[test]
    fn the_example_is_read_and_written() {
        let uri = Some("im:bob@example.com".to_owned());
        let expected = Notification {
            message_id: "34jk324j".into(),
            date_time: "2006-04-04T12:16:49-05:00".into(),
            recipient: uri.clone(),
            original_recipient: uri,
            disposition: Disposition::NotDelivered(Failure::Failed),
        };
        assert_eq!(Notification::parse(EXAMPLE.as_bytes()), Ok(expected.clone()));
        let written = "<?xml version='1.0' encoding='UTF-8'?><imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>34jk324j</message-id>\
            <datetime>2006-04-04T12:16:49-05:00</datetime><recipient-uri>im:bob@example.com</recipient-uri>\
            <original-recipient-uri>im:bob@example.com</original-recipient-uri>\
            <delivery-notification><status><failed/></status></delivery-notification></imdn>";
        assert_eq!(expected.to_xml(), written);
    }

    #[test]
    fn every_disposition_is_read_as_it_is_written() {
        for disposition in Disposition::ALL {
            let (kind, status) = disposition.names();
            let notification =
                Notification::parse(document(&format!("<{kind}><status><{status}/></status></{kind}>")).as_bytes()).unwrap();
            assert_eq!(notification.disposition, disposition);
            assert_eq!(Notification::parse(notification.to_xml().as_bytes()), Ok(notification));
        }
    }

    #[test]
    fn what_is_no_notification_is_refused() {
        let delivered = "<delivery-notification><status><delivered/></status></delivery-notification>";
        for (body, error) in [
            (format!("<imdn>{delivered}</imdn>"), BodyError::Root),
            (format!("<message xmlns='{NS}'/>"), BodyError::Root),
            (format!("<imdn xmlns='{NS}'><datetime>2</datetime>{delivered}</imdn>"), BodyError::Attribute),
            (
                format!("<imdn xmlns='{NS}'><message-id> </message-id><datetime>2</datetime>{delivered}</imdn>"),
                BodyError::Attribute,
            ),
            (format!("<imdn xmlns='{NS}'><message-id>1</message-id>{delivered}</imdn>"), BodyError::Attribute),
            (document(""), BodyError::Attribute),
            (document("<display-notification><status><delivered/></status></display-notification>"), BodyError::Attribute),
            (document("<status><delivered/></status>"), BodyError::Attribute),
            (document(&"<delivery-notification>".repeat(20)), BodyError::TooDeep),
            (format!("<!DOCTYPE a [<!ENTITY b 'c'>]>{}", document(delivered)), BodyError::Doctype),
        ] {
            assert_eq!(Notification::parse(body.as_bytes()), Err(error), "{body}");
        }
    }

    #[test]
    fn every_truncation_is_an_error() {
        for end in 0..EXAMPLE.trim_end().len() {
            assert!(Notification::parse(&EXAMPLE.as_bytes()[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn the_wish_for_a_failure_is_told_from_others() {
        let id = "\r\nimdn.Message-ID: 34jk324j";
        for wanted in [
            "positive-delivery, negative-delivery",
            "negative-delivery",
            "display,Negative-Delivery ;x=y;z",
            "display\r\nimdn.Disposition-Notification: negative-delivery",
        ] {
            let request = wants(&format!("imdn.Disposition-Notification: {wanted}{id}"));
            assert_eq!(request.map(|request| request.message_id).as_deref(), Some("34jk324j"), "{wanted}");
        }
        for wanted in ["positive-delivery, display", "processing", "negative-delivery2", "x;negative-delivery"] {
            assert_eq!(wants(&format!("imdn.Disposition-Notification: {wanted}{id}")), None, "{wanted}");
        }
        assert_eq!(wants("imdn.Disposition-Notification: negative-delivery"), None, "without an ID");
        assert_eq!(wants("Disposition-Notification: negative-delivery\r\nMessage-ID: 1"), None, "of another namespace");
    }

    #[test]
    fn what_is_kept_of_a_message_is_bounded_and_fits_its_place() {
        let long = "x".repeat(LONGEST_ID + 1);
        let wish = "imdn.Disposition-Notification: negative-delivery\r\n";
        assert_eq!(wants(&format!("{wish}imdn.Message-ID: {long}")), None);
        let routes: String = (0..20).map(|number| format!("\r\nimdn.IMDN-Record-Route: <sip:s{number}@example.com>")).collect();
        let request = wants(&format!(
            "{wish}imdn.Message-ID: 1\r\nDateTime: {long}\r\nTo: <im:{long}>\r\nimdn.Original-To: <im:a\\r\\nb@c>\r\n\
             imdn.IMDN-Record-Route: <im:\u{e9}@c>{routes}"
        ));
        let request = request.unwrap();
        assert_eq!((request.date_time, request.recipient, request.original_recipient), (None, None, None));
        assert_eq!(request.record_route.len(), MOST_ROUTES);
        assert_eq!(request.record_route[0], "sip:s0@example.com");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(noise in proptest::collection::vec(any::<u8>(), 0..20), at in 0usize..700) {
            let mut body = EXAMPLE.as_bytes().to_vec();
            let at = at.min(body.len());
            body.splice(at..at, noise);
            if let Ok(notification) = Notification::parse(&body) {
                prop_assert_eq!(Notification::parse(notification.to_xml().as_bytes()), Ok(notification));
            }
        }
    }
}
