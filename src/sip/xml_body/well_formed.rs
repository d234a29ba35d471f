//! What quick-xml leaves to its user of what XML is (XML 1.0).

use std::borrow::Cow;

use memchr::memmem;
use quick_xml::escape::unescape;
use quick_xml::events::BytesRef;
use quick_xml::events::BytesStart;
use quick_xml::events::BytesText;

use super::BodyError;
use crate::xml::attributes::Attributes;
use crate::xml::attributes::Name;
use crate::xml::attributes::NotWellFormed;
use crate::xml::is_legal;

/// What quick-xml lets pass: names that are none, attributes that are written wrong or twice, references that there are none of.
pub(super) fn check_tag(tag: &BytesStart<'_>) -> Result<(), BodyError> {
    let malformed = |NotWellFormed| BodyError::Malformed;
    Name::parse(tag.name().into_inner()).map_err(malformed)?;
    let attributes = tag.attributes_raw();
    if attributes.is_empty() {
        return Ok(());
    }
    let mut names = Vec::new();
    for attribute in Attributes::new(attributes) {
        let (name, value) = attribute.map_err(malformed)?;
        if value.contains('<') || value.contains('&') && unescape(value).is_err() {
            return Err(BodyError::Malformed);
        }
        names.push((name.prefix, name.local));
    }
    // Not each with each: there may be thousands.
    names.sort_unstable();
    if names.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) { Err(BodyError::Malformed) } else { Ok(()) }
}

/// XML 1.0 §2.4.
pub(super) fn check_text(text: &BytesText<'_>) -> Result<(), BodyError> {
    if memmem::find(text.as_bytes(), b"]]>").is_some() { Err(BodyError::Malformed) } else { Ok(()) }
}

/// What a reference brought in may be no more than what can stand there itself (XML 1.0 §4.1, Legal Character).
pub(super) fn legal(value: Cow<'_, str>) -> Result<Cow<'_, str>, BodyError> {
    // What is borrowed stands in the body as it is, and was looked at with it.
    if matches!(&value, Cow::Owned(resolved) if !is_legal(resolved)) { Err(BodyError::Malformed) } else { Ok(value) }
}

pub(super) fn resolve(reference: &BytesRef<'_>) -> Result<Cow<'static, str>, BodyError> {
    if let Some(c) = reference.resolve_char_ref().map_err(|_| BodyError::Malformed)? {
        return Ok(Cow::Owned(c.to_string()));
    }
    Ok(Cow::Borrowed(match reference.xml10_content().as_ref() {
        "amp" => "&",
        "lt" => "<",
        "gt" => ">",
        "apos" => "'",
        "quot" => "\"",
        _ => return Err(BodyError::Malformed),
    }))
}
