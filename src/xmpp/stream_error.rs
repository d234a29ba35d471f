//! Stream errors (RFC 6120 §4.9): written to the peer, and read from it.

use std::fmt;

use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::ns;

/// A stream error as the peer sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamError {
    /// What is wrong.
    pub condition: Condition,
    /// What the peer says of it: shortened, and without control characters, so that it can be logged.
    pub text: Option<String>,
}

impl StreamError {
    /// Reads `<stream:error/>`; `None` if the element is something else.
    pub fn of(element: &Element) -> Option<Self> {
        if !element.is("error", ns::STREAMS) {
            return None;
        }
        let mut conditions = element.children().filter(|child| child.ns() == ns::STREAM_ERRORS && child.name() != "text");
        let condition = conditions.next().map_or(Condition::UndefinedCondition, Condition::of);
        let text = element.child("text", ns::STREAM_ERRORS).map(|text| printable(&text.text()));
        Some(Self { condition, text: text.filter(|text| !text.is_empty()) })
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.condition.name())?;
        if let Condition::SeeOtherHost(host) = &self.condition {
            write!(f, " ({host})")?;
        }
        match &self.text {
            Some(text) => write!(f, ": {text}"),
            None => Ok(()),
        }
    }
}

/// Closes a stream.
pub const STREAM_END: &str = "</stream:stream>";

macro_rules! conditions {
    ($($(#[$doc:meta])+ $variant:ident = $name:literal,)+) => {
        /// Conditions of a stream error (RFC 6120 §4.9.3).
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Condition {
            $($(#[$doc])+ $variant,)+
            /// `see-other-host`: the stream is served at this host (and port); empty if none was named.
            SeeOtherHost(String),
            /// One that the RFC does not define, by its name; fit for the log.
            Other(String),
        }

        impl Condition {
            /// Its name on the wire.
            pub fn name(&self) -> &str {
                match self {
                    Self::Other(name) => name,
                    Self::SeeOtherHost(_) => SEE_OTHER_HOST,
                    $(Self::$variant => $name,)+
                }
            }

            fn defined_name(&self) -> Option<&'static str> {
                match self {
                    Self::SeeOtherHost(_) | Self::Other(_) => None,
                    $(Self::$variant => Some($name),)+
                }
            }

            fn of(element: &Element) -> Self {
                match element.name() {
                    SEE_OTHER_HOST => Self::SeeOtherHost(printable(&element.text())),
                    // The name that RFC 3920 had.
                    "xml-not-well-formed" => Self::NotWellFormed,
                    $($name => Self::$variant,)+
                    other => Self::Other(printable(other)),
                }
            }
        }
    };
}

conditions! {
    /// XML that cannot be processed.
    BadFormat = "bad-format",
    /// A prefix that was not declared.
    BadNamespacePrefix = "bad-namespace-prefix",
    /// A new stream of the same name takes the place of this one: another component logged in.
    Conflict = "conflict",
    /// The peer believes the connection dead.
    ConnectionTimeout = "connection-timeout",
    /// The host named in the header is no longer served.
    HostGone = "host-gone",
    /// The host named in the header is not served.
    HostUnknown = "host-unknown",
    /// A stanza without `from` or `to`, or with one that is no JID.
    ImproperAddressing = "improper-addressing",
    /// The peer is broken.
    InternalServerError = "internal-server-error",
    /// `from` is not what was authenticated.
    InvalidFrom = "invalid-from",
    /// A namespace of stream or stanzas that is not supported.
    InvalidNamespace = "invalid-namespace",
    /// XML that breaks a schema.
    InvalidXml = "invalid-xml",
    /// Not logged in, or refused.
    NotAuthorized = "not-authorized",
    /// XML that is not well-formed.
    NotWellFormed = "not-well-formed",
    /// A local rule is broken: size, depth, rate.
    PolicyViolation = "policy-violation",
    /// The peer cannot reach a host it needs.
    RemoteConnectionFailed = "remote-connection-failed",
    /// The stream has to begin anew.
    Reset = "reset",
    /// The peer is out of resources.
    ResourceConstraint = "resource-constraint",
    /// A comment, processing instruction, DTD or entity.
    RestrictedXml = "restricted-xml",
    /// The peer shuts down.
    SystemShutdown = "system-shutdown",
    /// None of the others.
    UndefinedCondition = "undefined-condition",
    /// Not UTF-8.
    UnsupportedEncoding = "unsupported-encoding",
    /// A mandatory feature is not supported.
    UnsupportedFeature = "unsupported-feature",
    /// A first-level element that is not understood.
    UnsupportedStanzaType = "unsupported-stanza-type",
    /// A version of XMPP that is not supported.
    UnsupportedVersion = "unsupported-version",
}

/// What ends a stream of ours that met this condition. `see-other-host` and names of others are not ours to send.
pub(super) fn closing(condition: &Condition) -> String {
    let mut xml = XmlWriter::new();
    xml.open("stream:error").open(condition.defined_name().unwrap_or("undefined-condition"));
    xml.attribute("xmlns", ns::STREAM_ERRORS);
    let mut xml = xml.finish();
    xml.push_str(STREAM_END);
    xml
}

/// Text of a peer, made fit for a log line.
fn printable(text: &str) -> String {
    text.trim().chars().take(PRINTED).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const SEE_OTHER_HOST: &str = "see-other-host";

/// Characters of a peer's text that go to the log.
const PRINTED: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(children: &str) -> StreamError {
        let xml = format!("<stream:error>{children}</stream:error>");
        StreamError::of(&Element::parse(&xml).unwrap()).unwrap()
    }

    const NS: &str = "xmlns='urn:ietf:params:xml:ns:xmpp-streams'";

    #[test]
    fn condition_and_text_are_read() {
        let error = read(&format!("<conflict {NS}/><text {NS}>Component\nalready connected </text>"));
        assert_eq!(error.condition, Condition::Conflict);
        assert_eq!(error.to_string(), "conflict: Component already connected");
    }

    #[test]
    fn see_other_host_names_the_host() {
        let error = read(&format!("<see-other-host {NS}>[2001:db8::1]:5347</see-other-host>"));
        assert_eq!(error.to_string(), "see-other-host ([2001:db8::1]:5347)");
    }

    #[test]
    fn a_condition_that_is_not_defined_is_kept_by_name() {
        assert_eq!(read(&format!("<tea-time {NS}/>")).condition, Condition::Other("tea-time".into()));
        assert_eq!(read("<own xmlns='urn:own'/>").condition, Condition::UndefinedCondition);
    }

    #[test]
    fn a_long_text_is_cut() {
        let error = read(&format!("<reset {NS}/><text {NS}>{}</text>", "\u{e9}".repeat(5000)));
        assert_eq!(error.text.unwrap().chars().count(), PRINTED);
    }

    #[test]
    fn an_error_of_a_stanza_is_none_of_a_stream() {
        assert_eq!(StreamError::of(&Element::parse("<error/>").unwrap()), None);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for condition in [Condition::PolicyViolation, Condition::RestrictedXml, Condition::UnsupportedVersion] {
            let xml = closing(&condition);
            let error = Element::parse(xml.strip_suffix(STREAM_END).unwrap()).unwrap();
            assert_eq!(StreamError::of(&error), Some(StreamError { condition, text: None }));
        }
    }
}
