//! What a token says: names, attributes and characters, checked as XML 1.0 and Namespaces in XML ask.
//!
//! White space is trimmed as ASCII white space: form feed, which XML does not count, is refused as a character before.
//! quick-xml leaves these checks to its user. A stanza that passes here is well-formed, so nothing that breaks another parser gets
//! through the gateway.

use std::borrow::Cow;

use quick_xml::escape::EscapeError;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::escape::unescape_with;
use quick_xml::events::BytesText;

use crate::xml::attributes::Attributes;
use crate::xml::attributes::Name;
use crate::xml::attributes::is_name;
use crate::xml::is_legal;
use crate::xmpp::fault::Fault;

/// A tag.
#[derive(Debug)]
pub(super) enum Tag<'a> {
    /// `<name ...>` or `<name .../>`.
    Start(StartTag<'a>),
    /// `</name>`, by its name as written.
    End(&'a str),
}

/// A start or empty-element tag.
#[derive(Debug)]
pub(super) struct StartTag<'a> {
    /// The name as written: the end tag repeats it.
    pub(super) written: &'a str,
    /// The name in its parts.
    pub(super) name: Name<'a>,
    /// Its attributes as written.
    pub(super) attributes: Attributes<'a>,
    /// `<name/>`: there is no end tag.
    pub(super) is_empty: bool,
}

impl<'a> Tag<'a> {
    /// Reads a token that starts with `<` and ends at the first `>` outside quotes.
    pub(super) fn parse(token: &'a str) -> Result<Self, Fault> {
        let inside = token.strip_prefix('<').and_then(|token| token.strip_suffix('>')).ok_or(Fault::NotWellFormed)?;
        if memchr::memchr(b'<', inside.as_bytes()).is_some() {
            return Err(Fault::NotWellFormed);
        }
        if let Some(name) = inside.strip_prefix('/') {
            return Ok(Self::End(name.trim_ascii_end()));
        }
        let (inside, is_empty) = match inside.strip_suffix('/') {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let end = inside.bytes().position(|byte| byte.is_ascii_whitespace()).unwrap_or(inside.len());
        let (written, attributes) = inside.split_at_checked(end).ok_or(Fault::NotWellFormed)?;
        let name = Name::parse(written)?;
        Ok(Self::Start(StartTag { written, name, attributes: Attributes::new(attributes), is_empty }))
    }
}

impl StartTag<'_> {
    /// How many bytes its names and values can take, each with one byte behind it.
    pub(super) fn bytes(&self) -> usize {
        self.written.len().saturating_add(self.attributes.len()).saturating_add(1)
    }
}

/// Checks an XML declaration (XML 1.0 §2.8). Any other processing instruction is forbidden (RFC 6120 §11.1).
pub(super) fn check_declaration(token: &str) -> Result<(), Fault> {
    let attributes: Vec<_> = Attributes::of_declaration(token).ok_or(Fault::Restricted)?.take(4).collect::<Result<_, _>>()?;
    let mut fields = attributes.iter().map(|(name, value)| (name.local, *value)).peekable();
    if fields.next() != Some(("version", "1.0")) {
        return Err(Fault::NotWellFormed);
    }
    if let Some((_, encoding)) = fields.next_if(|(name, _)| *name == "encoding")
        && !encoding.eq_ignore_ascii_case("utf-8")
    {
        return Err(Fault::Encoding);
    }
    fields.next_if(|field| matches!(field, ("standalone", "yes" | "no")));
    if fields.next().is_some() { Err(Fault::NotWellFormed) } else { Ok(()) }
}

/// The text of a token, if it is UTF-8 and holds only characters that XML 1.0 §2.2 allows.
pub(super) fn characters(token: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(token).map_err(|_| Fault::NotWellFormed)?;
    if is_legal(text) { Ok(text) } else { Err(Fault::NotWellFormed) }
}

/// The value of an attribute: references resolved, white space normalised (XML 1.0 §3.3.3).
pub(super) fn attribute_value(written: &str) -> Result<Cow<'_, str>, Fault> {
    if !written.bytes().any(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r')) {
        return Ok(Cow::Borrowed(written));
    }
    // Before references are resolved: white space that was written as a reference stays.
    resolve(&section_text(written).replace(['\t', '\n'], " "))
}

/// Text between tags: references resolved, line ends normalised (XML 1.0 §2.11).
pub(super) fn text(written: &str) -> Result<Cow<'_, str>, Fault> {
    if memchr::memchr3(b'&', b'\r', b'>', written.as_bytes()).is_none() {
        return Ok(Cow::Borrowed(written));
    }
    if written.contains("]]>") {
        return Err(Fault::NotWellFormed);
    }
    resolve(&section_text(written))
}

/// Text of a CDATA section: line ends normalised, no references.
pub(super) fn section_text(written: &str) -> Cow<'_, str> {
    BytesText::from_escaped(written).xml10_content()
}

fn resolve(written: &str) -> Result<Cow<'static, str>, Fault> {
    let text = unescape_with(written, resolve_xml_entity).map_err(reference_fault)?;
    if is_legal(&text) { Ok(Cow::Owned(text.into_owned())) } else { Err(Fault::NotWellFormed) }
}

fn reference_fault(error: EscapeError) -> Fault {
    match error {
        EscapeError::UnrecognizedEntity(_, name) if is_name(&name) => Fault::Restricted,
        EscapeError::UnrecognizedEntity(..)
        | EscapeError::UnterminatedEntity(_)
        | EscapeError::InvalidCharRef(_)
        | EscapeError::TooManyNestedEntities => Fault::NotWellFormed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(token: &str) -> Result<Vec<(Name<'_>, &str)>, Fault> {
        match Tag::parse(token)? {
            Tag::Start(tag) => Ok(tag.attributes.collect::<Result<_, _>>()?),
            Tag::End(_) => Ok(Vec::new()),
        }
    }

    #[test]
    fn both_quotes_and_spaces_around_equals_are_read() {
        let expected = vec![(Name { prefix: "", local: "b" }, "1"), (Name { prefix: "x", local: "c" }, "2'")];
        assert_eq!(attributes("<a b = '1'\n x:c=\"2'\" />"), Ok(expected));
    }

    #[test]
    fn tags_that_xml_forbids_are_refused() {
        let tags = [
            "<a b>",
            "<a b=1>",
            "<a b='1'c='2'>",
            "<a b='<'>",
            "<1>",
            "<a:>",
            "<:a>",
            "<a:b:c>",
            "<a =''>",
            "<a/ >",
            "<a b=''/ >",
            "<a b'='1'>",
            "<a\u{b7}\u{d7}>",
            "<>",
            "</a",
            "<a$>",
        ];
        for tag in tags {
            assert_eq!(attributes(tag).err(), Some(Fault::NotWellFormed), "{tag}");
        }
    }

    #[test]
    fn line_ends_are_normalised_and_references_are_not() {
        assert_eq!(text("a\r\nb\rc&#13;&amp;lt;").as_deref(), Ok("a\nb\nc\r&lt;"));
        assert_eq!(attribute_value("a\r\nb\tc&#10;&quot;").as_deref(), Ok("a b c\n\""));
    }

    #[test]
    fn references_to_forbidden_characters_are_refused() {
        for reference in
            ["&#0;", "&#x1;", "&#xFFFF;", "&#xD800;", "&#x110000;", "&#;", "&#x;", "&#-1;", "&#1a;", "&;", "&amp", "& b;"]
        {
            assert_eq!(text(reference), Err(Fault::NotWellFormed), "{reference}");
            assert_eq!(attribute_value(reference), Err(Fault::NotWellFormed), "{reference}");
        }
        assert_eq!(text("&lol;"), Err(Fault::Restricted));
        assert_eq!(attribute_value("&nbsp;"), Err(Fault::Restricted));
    }

    #[test]
    fn forbidden_characters_are_refused() {
        for bytes in [&b"a\0"[..], b"\x1b", "\u{ffff}".as_bytes(), "\u{fffe}".as_bytes(), b"\xff", b"\xed\xa0\x80", b"\xc0\x80"] {
            assert_eq!(characters(bytes), Err(Fault::NotWellFormed), "{bytes:?}");
        }
        assert_eq!(characters("\u{7f}\u{85}\u{feff}\u{fffd}\t".as_bytes()), Ok("\u{7f}\u{85}\u{feff}\u{fffd}\t"));
    }
}
