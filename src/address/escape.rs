//! The two escapings: `%hh` of SIP (RFC 3261 §25.1) and `\hh` of XMPP localparts (XEP-0106).

use std::borrow::Cow;

/// ASCII characters that stay as they are.
#[derive(Clone, Copy)]
pub(super) struct Plain([bool; 128]);

/// `user` of a SIP URI: unreserved and user-unreserved (RFC 3261 §25.1).
pub(super) const USER: Plain = Plain::alphanumeric_and(b"-_.!~*'()&=+$,;?/");

/// `pvalue` of a URI parameter: unreserved and param-unreserved (RFC 3261 §25.1).
pub(super) const PARAMETER: Plain = Plain::alphanumeric_and(b"-_.!~*'()[]/:&+$");

/// What may stand in every part of an `xmpp:` URI: unreserved and the sub-delims without `&` and `'` (RFC 5122 §2.2).
const XMPP_URI: Plain = Plain::alphanumeric_and(b"-._~!$()*+,;=");

impl Plain {
    #[allow(clippy::indexing_slicing, clippy::arithmetic_side_effects)] // Evaluated by the compiler only.
    const fn alphanumeric_and(punctuation: &[u8]) -> Self {
        let mut plain = [false; 128];
        let mut c = 0;
        while c < 128u8 {
            plain[c as usize] = c.is_ascii_alphanumeric();
            c += 1;
        }
        let mut i = 0;
        while i < punctuation.len() {
            plain[punctuation[i] as usize] = true;
            i += 1;
        }
        Self(plain)
    }

    fn has(&self, byte: u8) -> bool {
        self.0.get(usize::from(byte)).copied().unwrap_or(false)
    }
}

/// Appends `text` with every octet outside `plain` as `%HH`.
pub(super) fn percent_encode(text: &str, plain: Plain, out: &mut String) {
    if text.bytes().all(|byte| plain.has(byte)) {
        out.push_str(text);
        return;
    }
    for byte in text.bytes() {
        if plain.has(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(hex_digit(byte >> 4).to_ascii_uppercase());
            out.push(hex_digit(byte & 15).to_ascii_uppercase());
        }
    }
}

/// Appends a part of a JID as it stands in an `xmpp:` URI.
pub(crate) fn percent_encode_iri_part(part: &str, out: &mut String) {
    percent_encode(part, XMPP_URI, out);
}

/// Decodes `%hh`. `None` if one is cut short or no hexadecimal, or if the result is no UTF-8 or has a control character.
pub(crate) fn percent_decode(text: &[u8]) -> Option<Cow<'_, str>> {
    let decoded = match memchr::memchr(b'%', text) {
        None => Cow::Borrowed(std::str::from_utf8(text).ok()?),
        Some(_) => Cow::Owned(String::from_utf8(decode_octets(text)?).ok()?),
    };
    if decoded.chars().any(char::is_control) { None } else { Some(decoded) }
}

fn decode_octets(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut octets = Vec::with_capacity(text.len());
    while let Some((&byte, rest)) = text.split_first() {
        text = rest;
        if byte == b'%' {
            let (&[high, low], rest) = text.split_first_chunk::<2>()?;
            octets.push((hex_value(high)? << 4) | hex_value(low)?);
            text = rest;
        } else {
            octets.push(byte);
        }
    }
    Some(octets)
}

/// Writes the ten characters of XEP-0106 as `\hh`; a backslash only where it begins what would read as one of those sequences.
pub(super) fn escape(user: &str) -> Cow<'_, str> {
    if !user.contains([' ', '"', '&', '\'', '/', ':', '<', '>', '@', '\\']) {
        return Cow::Borrowed(user);
    }
    let mut escaped = String::with_capacity(user.len().saturating_add(16));
    let mut characters = user.chars();
    while let Some(c) = characters.next() {
        if c == '\\' && sequence(characters.as_str()).is_none() {
            escaped.push(c);
            continue;
        }
        match SEQUENCES.iter().find(|(plain, _)| *plain == c) {
            Some((_, hex)) => {
                escaped.push('\\');
                escaped.push_str(hex);
            }
            None => escaped.push(c),
        }
    }
    if escaped == user { Cow::Borrowed(user) } else { Cow::Owned(escaped) }
}

/// Reads the ten sequences of XEP-0106 back.
pub(super) fn unescape(node: &str) -> Cow<'_, str> {
    if !node.contains('\\') {
        return Cow::Borrowed(node);
    }
    let mut plain = String::with_capacity(node.len());
    let mut rest = node;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        match sequence(after) {
            Some((c, tail)) => {
                plain.push(c);
                rest = tail;
            }
            None => {
                plain.push('\\');
                rest = after;
            }
        }
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

const SEQUENCES: [(char, &str); 10] = [
    (' ', "20"),
    ('"', "22"),
    ('&', "26"),
    ('\'', "27"),
    ('/', "2f"),
    (':', "3a"),
    ('<', "3c"),
    ('>', "3e"),
    ('@', "40"),
    ('\\', "5c"),
];

/// The character that the two digits after a backslash stand for, and what follows them. Digits in upper case count: nodeprep
/// makes them lower case.
fn sequence(after: &str) -> Option<(char, &str)> {
    let (digits, tail) = after.split_at_checked(2)?;
    SEQUENCES.iter().find(|(_, hex)| digits.eq_ignore_ascii_case(hex)).map(|(plain, _)| (*plain, tail))
}

fn hex_value(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

fn hex_digit(value: u8) -> char {
    char::from_digit(u32::from(value), 16).unwrap_or('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Table 1 of XEP-0106 §4.3 in the forms that matter here.
    #[test]
    fn a_backslash_is_escaped_only_where_it_would_be_read_as_an_escape() {
        for (plain, escaped) in [
            ("space cadet", r"space\20cadet"),
            (r#"call me "ishmael""#, r"call\20me\20\22ishmael\22"),
            ("at&t guy", r"at\26t\20guy"),
            ("d'artagnan", r"d\27artagnan"),
            ("/.fanboy", r"\2f.fanboy"),
            ("::foo::", r"\3a\3afoo\3a\3a"),
            ("<foo>", r"\3cfoo\3e"),
            ("user@host", r"user\40host"),
            (r"c:\net", r"c\3a\net"),
            (r"c:\\net", r"c\3a\\net"),
            (r"c:\cool stuff", r"c\3a\cool\20stuff"),
            (r"c:\5commas", r"c\3a\5c5commas"),
            (r"\3and\2is\5cool", r"\5c3and\2is\5c5cool"),
            (r"\\20", r"\\5c20"),
        ] {
            assert_eq!(escape(plain), escaped);
            assert_eq!(unescape(escaped), plain);
        }
    }

    #[test]
    fn percent_decoding_refuses_what_is_no_text() {
        assert_eq!(percent_decode(b"f%C3%BC").as_deref(), Some("fü"));
        assert_eq!(percent_decode("fü".as_bytes()).as_deref(), Some("fü"));
        for bad in [&b"%"[..], b"%4", b"%zz", b"%+1", b"%C3", b"%00", b"a%0d%0ab", b"%7f", b"\xff", b"%ED%A0%80"] {
            assert_eq!(percent_decode(bad), None, "{bad:?}");
        }
    }
}
