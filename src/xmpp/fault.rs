//! What is wrong with the bytes of a stream: each fault has its stream error, and some are of one stanza only.

use std::fmt;

use crate::xml::attributes::NotWellFormed;
use crate::xmpp::stream_error::Condition;

/// What is wrong. The server is to blame and the stream ends, except for the limits of a stanza: its sender is to blame then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It breaks XML 1.0 or Namespaces in XML: tags, quotes, names, characters, UTF-8, duplicate attributes.
    NotWellFormed,
    /// It holds a comment, a processing instruction, a DTD or an entity of its own (RFC 6120 §11.1).
    Restricted,
    /// It says or shows that it is not UTF-8 (RFC 6120 §11.6).
    Encoding,
    /// The root is not in the namespace of streams, or its stanzas are of a kind unknown here (RFC 6120 §4.8).
    Namespace,
    /// A prefix was not declared (RFC 6120 §4.9.3.2).
    Prefix,
    /// Well-formed, but no XMPP: text between stanzas, a root of another name, a stream in the stream.
    Format,
    /// A stanza is longer than [`Limits::stanza_bytes`](crate::xmpp::framer::Limits::stanza_bytes).
    Bytes,
    /// Elements are nested deeper than [`Limits::depth`](crate::xmpp::framer::Limits::depth).
    Depth,
    /// An element has too many attributes.
    Attributes,
    /// A stanza has too many elements.
    Elements,
    /// Too many namespace declarations are in force at once.
    Declarations,
}

impl Fault {
    /// Whether it is a limit of ours that a stanza is beyond, and not a fault of the XML.
    pub fn is_limit(self) -> bool {
        match self {
            Self::Bytes | Self::Depth | Self::Attributes | Self::Elements | Self::Declarations => true,
            Self::NotWellFormed | Self::Restricted | Self::Encoding | Self::Namespace | Self::Prefix | Self::Format => false,
        }
    }

    /// The stream error that tells the peer (RFC 6120 §4.9.3).
    pub fn condition(self) -> Condition {
        match self {
            Self::NotWellFormed => Condition::NotWellFormed,
            Self::Restricted => Condition::RestrictedXml,
            Self::Encoding => Condition::UnsupportedEncoding,
            Self::Namespace => Condition::InvalidNamespace,
            Self::Prefix => Condition::BadNamespacePrefix,
            Self::Format => Condition::BadFormat,
            Self::Bytes | Self::Depth | Self::Attributes | Self::Elements | Self::Declarations => Condition::PolicyViolation,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotWellFormed => "the XML is not well-formed",
            Self::Restricted => "a comment, processing instruction, DTD or entity, which XMPP forbids",
            Self::Encoding => "the stream is not UTF-8",
            Self::Namespace => "this is no XMPP stream: wrong namespace",
            Self::Prefix => "an undeclared namespace prefix",
            Self::Format => "well-formed XML that is no XMPP",
            Self::Bytes => "a stanza with too many bytes",
            Self::Depth => "elements nested too deep",
            Self::Attributes => "an element with too many attributes",
            Self::Elements => "a stanza with too many elements",
            Self::Declarations => "too many namespace declarations",
        })
    }
}

impl std::error::Error for Fault {}

impl From<NotWellFormed> for Fault {
    fn from(NotWellFormed: NotWellFormed) -> Self {
        Self::NotWellFormed
    }
}
