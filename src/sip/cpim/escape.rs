//! What a line of CPIM cannot hold, written with backslashes (RFC 3862).

use std::borrow::Cow;

/// The text that was meant (`Escape` of RFC 3862). A backslash before anything else stands for itself: it was forgotten to write two.
pub(super) fn unescaped(written: &str) -> Cow<'_, str> {
    if !written.contains('\\') {
        return Cow::Borrowed(written);
    }
    let mut text = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, after)) = rest.split_once('\\') {
        text.push_str(before);
        let mut characters = after.chars();
        let escaped = match characters.next() {
            Some('b') => Some('\u{8}'),
            Some('t') => Some('\t'),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some(itself @ ('"' | '\'' | '\\')) => Some(itself),
            Some('u') => characters.as_str().split_at_checked(4).and_then(|(digits, tail)| {
                characters = tail.chars();
                code_point(digits)
            }),
            Some(_) | None => None,
        };
        rest = if escaped.is_some() { characters.as_str() } else { after };
        text.push(escaped.unwrap_or('\\'));
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Four hexadecimal digits; half of a surrogate pair is no character.
fn code_point(digits: &str) -> Option<char> {
    if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    u32::from_str_radix(digits, 16).ok().map(|code| char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// Writes a value so that it stays on its line.
pub(super) fn push_escaped(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            control if control.is_control() => out.push_str(&format!("\\u{:04X}", u32::from(control))),
            plain => out.push(plain),
        }
    }
}
