//! What an XMPP user has a say in, as it stands in a SIP request: URIs, Call-ID, header values.
//!
//! The hosts' tm and pua write these between headers of their own and look at none of them. So each is a type without a value that
//! could end its line: no CR, no LF, no NUL, no other control character (RFC 3261 §25.1), whatever a peer sent. There is no other way
//! into a [`Message`](super::Message), [`Publish`](super::Publish) or [`Subscribe`](super::Subscribe); bodies are framed by
//! Content-Length, and those of presence are written by [`XmlWriter`](crate::xml::XmlWriter).
//!
//! ```
//! use xmpp_gateway::sip::{HeaderName, Headers, Uri};
//!
//! let mut headers = Headers::default();
//! headers.push(HeaderName::Subject, "tea\r\nX-Evil: 1");
//! assert_eq!(&*headers, "Subject: tea  X-Evil: 1\r\n");
//! assert_eq!(Uri::new("sip:a@b\r\nX-Evil: 1".into()), None);
//! ```

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

/// A SIP URI that may stand between `<` and `>` and in a request line: visible ASCII without `<`, `>` and `"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Uri(String);

impl Uri {
    /// `None` for what is no `sip:` URI, or holds anything else. Nothing is repaired: another URI is another user.
    pub fn new(uri: String) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b'"');
        let rest = uri.strip_prefix("sip:")?;
        (!rest.is_empty() && rest.bytes().all(plain)).then_some(Self(uri))
    }
}

/// A Call-ID: visible ASCII, of which RFC 3261 §25.1 leaves out `,`, `;` and a few more that no `word` has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallId(String);

impl CallId {
    /// `None` for what is empty or holds anything else.
    pub fn new(call_id: String) -> Option<Self> {
        let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b',' | b';' | b'=' | b'&' | b'#' | b'$' | b'^' | b'|');
        (!call_id.is_empty() && call_id.bytes().all(plain)).then_some(Self(call_id))
    }
}

/// The headers that we add to a MESSAGE, a NOTIFY or a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderName {
    /// `Content-Type`
    ContentType,
    /// `Content-Language`
    ContentLanguage,
    /// `Subject`
    Subject,
    /// `Event`
    Event,
    /// `Subscription-State`
    SubscriptionState,
    /// `Contact`
    Contact,
    /// `Expires`
    Expires,
    /// `SIP-If-Match`
    SipIfMatch,
}

impl HeaderName {
    fn name(self) -> &'static str {
        match self {
            Self::ContentType => "Content-Type",
            Self::ContentLanguage => "Content-Language",
            Self::Subject => "Subject",
            Self::Event => "Event",
            Self::SubscriptionState => "Subscription-State",
            Self::Contact => "Contact",
            Self::Expires => "Expires",
            Self::SipIfMatch => "SIP-If-Match",
        }
    }
}

/// A block of header lines, each ended by CRLF. No line is longer, shorter or another than those pushed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Headers(String);

impl Headers {
    /// A block that another process made; `None` for what is none.
    pub fn of(block: String) -> Option<Self> {
        let is_line = |line: &str| !line.is_empty() && !line.contains(char::is_control);
        let is_block = block.is_empty() || block.strip_suffix("\r\n").is_some_and(|lines| lines.split("\r\n").all(is_line));
        is_block.then_some(Self(block))
    }

    /// Adds one line. Control characters become spaces; a value that is empty then gives no line.
    pub fn push(&mut self, name: HeaderName, value: &str) {
        let line = one_line(value);
        let value = line.trim();
        if value.is_empty() {
            return;
        }
        if self.0.is_empty() {
            self.0.reserve(128);
        }
        for part in [name.name(), ": ", value, "\r\n"] {
            self.0.push_str(part);
        }
    }
}

/// The same text on one line: each control character, CR and LF first of all, is a space.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) { Cow::Owned(text.replace(char::is_control, " ")) } else { Cow::Borrowed(text) }
}

macro_rules! reads_as_text {
    ($($name:ident)+) => {
        $(
            impl Deref for $name {
                type Target = str;

                fn deref(&self) -> &str {
                    &self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str(&self.0)
                }
            }
        )+
    };
}

reads_as_text!(Uri CallId Headers);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_block_has_the_lines_that_were_pushed_and_no_others(values in proptest::collection::vec("(?s).{0,30}", 0..6)) {
            let mut headers = Headers::default();
            for value in &values {
                headers.push(HeaderName::Subject, value);
            }
            let expected = values.iter().filter(|value| value.chars().any(|c| !c.is_control() && !c.is_whitespace())).count();
            let lines: Vec<&str> = headers.split_inclusive("\r\n").collect();
            prop_assert_eq!(lines.len(), expected, "{:?}", headers);
            for line in lines {
                let value = line.strip_prefix("Subject: ").and_then(|line| line.strip_suffix("\r\n"));
                prop_assert!(value.is_some_and(|value| !value.is_empty() && !value.contains(char::is_control)), "{:?}", headers);
            }
        }

        #[test]
        fn no_uri_and_no_call_id_ends_its_line(text in "(?s).{1,40}") {
            for accepted in [Uri::new(format!("sip:{text}")).map(|uri| uri.0), CallId::new(text).map(|call_id| call_id.0)] {
                prop_assert!(accepted.is_none_or(|text| text.bytes().all(|byte| byte.is_ascii_graphic())));
            }
        }
    }

    #[test]
    fn a_block_of_another_process_is_looked_at() {
        let mut headers = Headers::default();
        assert_eq!(Headers::of(headers.to_string()).as_ref(), Some(&headers));
        headers.push(HeaderName::ContentType, "text/plain");
        headers.push(HeaderName::Subject, "tea");
        assert_eq!(Headers::of(headers.to_string()).as_ref(), Some(&headers));
        for bad in ["\r\n", "A: b", "A: b\r\n\r\n", "A: b\r\n\r\nC: d\r\n", "A: b\nC: d\r\n", "A: \0\r\n", "\r\nA: b\r\n"] {
            assert_eq!(Headers::of(bad.into()), None, "{bad:?}");
        }
    }

    #[test]
    fn every_control_character_is_one() {
        for control in (0..=0x1f).chain(0x7f..=0x9f).filter_map(char::from_u32) {
            let text = format!("a{control}b");
            assert_eq!(one_line(&text), "a b", "{control:?}");
            assert_eq!(Uri::new(format!("sip:{text}")), None, "{control:?}");
            assert_eq!(CallId::new(text), None, "{control:?}");
        }
    }

    #[test]
    fn a_uri_cannot_leave_its_brackets() {
        for bad in ["sip:", "sips:a@b", "a@b", "sip:a@b>;tag=1", "sip:a@b <sip:c@d>", "sip:\"a\"@b", "sip:\u{e9}@b", ""] {
            assert_eq!(Uri::new(bad.into()), None, "{bad}");
        }
        assert!(Uri::new("sip:o'malley%20x@[2001:db8::1]:5060;gr=a:b?c=d".into()).is_some());
    }
}
