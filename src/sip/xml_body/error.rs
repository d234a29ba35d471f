//! Why the body of a request was not understood.

/// Why a body was not understood. Whoever sent it is to blame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyError {
    /// Longer than any that fits a UDP datagram.
    TooLong,
    /// Not UTF-8.
    Encoding,
    /// It has a DTD.
    Doctype,
    /// Nested deeper than 16 elements.
    TooDeep,
    /// More items than the format's own limit.
    TooMany,
    /// Not well-formed XML.
    Malformed,
    /// It ends before its root element does.
    Truncated,
    /// The root element is another.
    Root,
    /// A required attribute is missing or has no valid value.
    Attribute,
    /// A required element is missing or has no valid value.
    Element,
}

impl std::fmt::Display for BodyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the body is too long",
            Self::Encoding => "the body is not UTF-8",
            Self::Doctype => "the body has a DTD",
            Self::TooDeep => "the body is nested too deep",
            Self::TooMany => "the body has too many items",
            Self::Malformed => "the body is not well-formed XML",
            Self::Truncated => "the body ends too early",
            Self::Root => "the body is a document of another kind",
            Self::Attribute => "the body lacks a required attribute",
            Self::Element => "the body lacks a required element",
        })
    }
}

impl std::error::Error for BodyError {}
