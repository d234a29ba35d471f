//! XMPP resources as tuple ids (RFC 8048 §6.2: `ID-` and the resource).
//!
//! A tuple id is an `xs:ID` and a resource may be any text: what an id may not hold is written `_xHHHH_`, the code point in
//! hexadecimal, as SQL/XML (ISO 9075-14) does with names. That is reversible; a name too long for the hosts is replaced by its hash.

use std::borrow::Cow;

use sha1::Digest;
use sha1::Sha1;

/// The longest tuple id: Kamailio's pua refuses to publish a longer one, and that of OpenSIPS copies it into a buffer of 128 bytes.
pub(super) const MAX_TUPLE_ID: usize = 49;

const PREFIX: &str = "ID-";

/// Before the hash. No resource gives it: after `ID`, they go on with `-`.
const HASH_PREFIX: &str = "ID.";

/// The tuple id of a resource; that of the bare JID is `ID-`.
pub(super) fn tuple_id(resource: &str) -> String {
    let mut id = String::with_capacity(PREFIX.len().saturating_add(resource.len()));
    id.push_str(PREFIX);
    let mut rest = resource.chars();
    while let Some(c) = rest.next() {
        if id.len() > MAX_TUPLE_ID {
            break;
        }
        let reads_as_escape = c == '_' && rest.as_str().starts_with('x');
        if matches!(c, 'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_') && !reads_as_escape {
            id.push(c);
        } else {
            id.push_str(&format!("_x{:04X}_", u32::from(c)));
        }
    }
    if id.len() <= MAX_TUPLE_ID { id } else { hashed(resource) }
}

/// The resource for a tuple id, whoever made it: without `ID-` and with the escapes resolved.
pub(super) fn resource(tuple_id: &str) -> Cow<'_, str> {
    let Some(written) = tuple_id.strip_prefix(PREFIX) else { return Cow::Borrowed(tuple_id) };
    if !written.contains("_x") {
        return Cow::Borrowed(written);
    }
    let mut resource = String::with_capacity(written.len());
    let mut rest = written;
    while let Some((before, after)) = rest.split_once("_x") {
        resource.push_str(before);
        match code_point(after) {
            Some((c, tail)) => {
                resource.push(c);
                rest = tail;
            }
            None => {
                resource.push_str("_x");
                rest = after;
            }
        }
    }
    resource.push_str(rest);
    Cow::Owned(resource)
}

fn code_point(after: &str) -> Option<(char, &str)> {
    let (digits, tail) = after.split_once('_')?;
    if !(4..=6).contains(&digits.len()) || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    Some((char::from_u32(u32::from_str_radix(digits, 16).ok()?)?, tail))
}

fn hashed(resource: &str) -> String {
    let mut id = String::from(HASH_PREFIX);
    for byte in Sha1::digest(resource.as_bytes()) {
        id.push_str(&format!("{byte:02x}"));
    }
    id
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_valid_and_short() {
        assert_eq!(tuple_id("balcony"), "ID-balcony");
        assert_eq!(tuple_id("home phone"), "ID-home_x0020_phone");
        assert_eq!(tuple_id("a_b_x_"), "ID-a_b_x005F_x_");
        assert_eq!(tuple_id("\u{1F600}"), "ID-_x1F600_");
        assert_eq!(tuple_id(""), "ID-");
        assert_eq!(tuple_id(&"a".repeat(46)).len(), 49);
        assert_eq!(tuple_id(&"a".repeat(47)), "ID.25883f7a0e732e9ab10e594ea59425dfe4d90359");
    }

    #[test]
    fn ids_of_others_keep_what_is_no_escape() {
        assert_eq!(resource("ID-a_xyz_"), "a_xyz_");
        assert_eq!(resource("ID-a_x00_"), "a_x00_");
        assert_eq!(resource("ID-_xD800_"), "_xD800_");
        assert_eq!(resource("t31f5"), "t31f5");
        assert_eq!(resource(""), "");
    }

    proptest! {
        #[test]
        fn a_resource_comes_back(text in "\\PC{0,12}|[_x0-9A-F]{0,16}") {
            let id = tuple_id(&text);
            prop_assert!(id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)));
            if !id.starts_with(HASH_PREFIX) {
                prop_assert_eq!(resource(&id), text);
            }
        }

        #[test]
        fn long_resources_keep_apart(a in "[a-z]{47,300}", b in "[a-z]{47,300}") {
            prop_assert!(tuple_id(&a).len() <= MAX_TUPLE_ID);
            prop_assert_eq!(tuple_id(&a) == tuple_id(&b), a == b);
        }
    }
}
