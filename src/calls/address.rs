//! Addresses as From, To, Contact, Referred-By and a script have them (RFC 3261 §20), and Replaces (RFC 3891).

use crate::sip::Uri;
use crate::sip::dialog_info::NameAddress;
use crate::sip::dialog_info::Replaces;

/// The longest URI, tag or Call-ID that is shown.
const MAX_TEXT: usize = 512;

/// The longest name that is shown, in characters.
const MAX_NAME: usize = 128;

/// The value of a header with an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Name and URI, the latter as it stands.
    pub address: NameAddress,
    /// The parameter `tag`; empty if there is none.
    pub tag: String,
}

/// Reads the first address of such a header. `None` where it has no usable one.
pub fn header_address(value: &[u8]) -> Option<Heard> {
    let value = std::str::from_utf8(value).ok()?.trim();
    let (name, uri, parameters) = match open_bracket(value) {
        Some((name, rest)) => {
            let (uri, parameters) = rest.split_once('>')?;
            (name, uri, parameters)
        }
        // Without brackets the parameters are those of the header (§20.10).
        None => {
            let end = value.find([';', ',', ' ', '\t']).unwrap_or(value.len());
            let (uri, parameters) = value.split_at_checked(end)?;
            ("", uri, parameters)
        }
    };
    let uri = uri.trim();
    if !is_plain(uri) || !uri.contains(':') {
        return None;
    }
    Some(Heard {
        address: NameAddress { uri: uri.to_owned(), display: display_name(name) },
        tag: parameter(parameters, "tag").filter(|tag| is_plain(tag)).unwrap_or_default().to_owned(),
    })
}

/// Whose state an address is published as: a SIP URI of user and host only.
pub fn address_of_record(uri: &str) -> Option<Uri> {
    let (scheme, rest) = uri.split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
        return None;
    }
    let (user_info, rest) = rest.split_once('@')?;
    let user = user_info.split_once(':').map_or(user_info, |(user, _password)| user);
    let end = match rest.strip_prefix('[') {
        Some(address) => address.find(']')?.checked_add(2)?,
        None => rest.find([':', ';', '?']).unwrap_or(rest.len()),
    };
    let host = rest.get(..end)?;
    if user.is_empty() || host.is_empty() || !is_plain(user) || !is_plain(host) {
        return None;
    }
    Uri::new(["sip:", user, "@", &host.to_ascii_lowercase()].concat())
}

/// Reads Replaces. Its tags are named from the side of whoever gets it: `to-tag` is that user's own.
pub fn replaces(value: &[u8]) -> Option<Replaces> {
    let value = std::str::from_utf8(value).ok()?;
    let (call_id, parameters) = value.split_once(';')?;
    let text = |text: &str| is_plain(text).then(|| text.to_owned());
    Some(Replaces {
        call_id: text(call_id.trim())?,
        local_tag: text(parameter(parameters, "to-tag")?)?,
        remote_tag: text(parameter(parameters, "from-tag")?)?,
    })
}

/// What stands before the `<` of an address, and what behind it; none inside of quotes.
fn open_bracket(value: &str) -> Option<(&str, &str)> {
    let mut quoted = false;
    let mut escaped = false;
    for (at, character) in value.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => return Some((value.get(..at)?, value.get(at..)?.strip_prefix('<')?)),
            _ => {}
        }
    }
    None
}

fn display_name(written: &str) -> Option<String> {
    let written = written.trim();
    let name: String = match written.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => {
            let mut escaped = false;
            let unescape = |character: &char| {
                escaped = *character == '\\' && !escaped;
                !escaped
            };
            quoted.chars().filter(unescape).take(MAX_NAME).collect()
        }
        None => written.chars().take(MAX_NAME).collect(),
    };
    Some(name.trim().to_owned()).filter(|name| !name.is_empty())
}

fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters.split([';', ',']).find_map(|parameter| {
        let (written, value) = parameter.split_once('=')?;
        written.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Neither too long nor with anything that could end a header or a URI.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT && !text.contains(|c: char| c.is_control() || matches!(c, ' ' | '<' | '>' | '"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_name_a_uri_and_a_tag() {
        for (value, name, uri, tag) in [
            ("<sip:a@x>;tag=1", None, "sip:a@x", "1"),
            ("Alice <sip:a@x;lr>;x=y;TAG=1", Some("Alice"), "sip:a@x;lr", "1"),
            (r#""A \"<\" \\ B" <sip:a@x>"#, Some(r#"A "<" \ B"#), "sip:a@x", ""),
            ("sip:a@x;tag=7", None, "sip:a@x", "7"),
            ("sip:a@x", None, "sip:a@x", ""),
            ("\"\" <sip:a@x>", None, "sip:a@x", ""),
            ("<sip:a@x>;q=0.5, <sip:b@x>", None, "sip:a@x", ""),
        ] {
            let heard = header_address(value.as_bytes()).unwrap();
            assert_eq!((heard.address.display.as_deref(), &*heard.address.uri, &*heard.tag), (name, uri, tag), "{value}");
        }
    }

    #[test]
    fn what_is_no_address_is_none() {
        let long = format!("<sip:{}@x>", "a".repeat(MAX_TEXT));
        for value in ["", "*", "<>", "<sip:a@x", "\"<sip:a@x>", "<sip:a\r\nb@x>", "alice", &long] {
            assert_eq!(header_address(value.as_bytes()), None, "{value}");
        }
        assert_eq!(header_address(b"<sip:\xff@x>"), None);
    }

    #[test]
    fn a_state_is_that_of_user_and_host() {
        for (uri, wanted) in [
            ("sip:a@x", Some("sip:a@x")),
            ("SIPS:a:secret@X.Example:5061;transport=tls?h=v", Some("sip:a@x.example")),
            ("sip:a;b?c@[2001:db8::1]:5060", Some("sip:a;b?c@[2001:db8::1]")),
            ("sip:x", None),
            ("sip:@x", None),
            ("tel:+1", None),
            ("sip:a@", None),
        ] {
            assert_eq!(address_of_record(uri).as_deref(), wanted, "{uri}");
        }
    }

    #[test]
    fn the_tags_of_replaces_are_named_by_who_gets_it() {
        let read = replaces(b"12345@192.0.2.1 ;from-tag=f ;to-tag=t;early-only").unwrap();
        assert_eq!((&*read.call_id, &*read.local_tag, &*read.remote_tag), ("12345@192.0.2.1", "t", "f"));
        assert_eq!(replaces(b"12345@192.0.2.1"), None);
        assert_eq!(replaces(b"1;to-tag=t"), None);
    }
}
