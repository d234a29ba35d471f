//! The few header values whose inside matters here: From, Record-Route, Event, Expires, Accept, Subscription-State, Content-Type,
//! Content-Language.

use super::Reason;
use super::SubscriptionState;

/// Reads Subscription-State (RFC 6665 §8.2.3), spaces and case as they come. `None` for a state that is none of the three.
pub fn subscription_state(value: &[u8]) -> Option<SubscriptionState> {
    let (state, parameters) = first(value);
    match state {
        _ if state.eq_ignore_ascii_case(b"active") => Some(SubscriptionState::Active),
        _ if state.eq_ignore_ascii_case(b"pending") => Some(SubscriptionState::Pending),
        _ if state.eq_ignore_ascii_case(b"terminated") => {
            let known = |reason: &[u8]| REASONS.iter().find(|(name, _)| reason.eq_ignore_ascii_case(name.as_bytes()));
            let reason = parameter(parameters, b"reason").and_then(known).map_or(Reason::Unspecified, |(_, reason)| *reason);
            Some(SubscriptionState::Terminated(reason))
        }
        _ => None,
    }
}

/// `retry-after` of a Subscription-State (RFC 6665 §4.1.3), in seconds: the notifier wants no new SUBSCRIBE before.
pub fn retry_after(subscription_state: &[u8]) -> Option<u32> {
    let value = parameter(first(subscription_state).1, b"retry-after")?;
    // A number that is too large for us is a long time all the same.
    let digits = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(value).ok().and_then(|value| value.parse().ok()).unwrap_or(u32::MAX))
}

/// `expires` of a Subscription-State (RFC 6665 §4.1.3): the seconds that are left of it.
pub fn time_left(subscription_state: &[u8]) -> Option<u32> {
    expires(parameter(first(subscription_state).1, b"expires")?)
}

/// URI and tag of a From in the form that nearly all have: `[name without quotes] <uri> [;parameters]`, RFC 3261 §20.20.
///
/// `None` for any other form, also for a correct one: then the host's own parser has to look at it, which costs more.
pub fn plain_from(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = memchr::memchr2(b'<', b'"', value).filter(|at| value.get(*at) == Some(&b'<'))?;
    let (name, rest) = value.split_at_checked(start)?;
    let rest = rest.strip_prefix(b"<")?;
    let (uri, parameters) = rest.split_at_checked(memchr::memchr(b'>', rest)?)?;
    let parameters = parameters.strip_prefix(b">")?.trim_ascii();
    let plain = |byte: &u8| byte.is_ascii_graphic() && !b"<>\",".contains(byte);
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || b" \t-.!%*_+`'~".contains(byte);
    if uri.is_empty() || !uri.iter().all(|byte| byte.is_ascii_graphic() && !b"<\"".contains(byte)) || !name.iter().all(word) {
        return None;
    }
    let mut tag = &b""[..];
    if !parameters.is_empty() {
        for parameter in parameters.strip_prefix(b";")?.split(|byte| *byte == b';') {
            if !parameter.iter().all(plain) {
                return None;
            }
            if let Some((name, value)) = parameter.split_at_checked(4)
                && name.eq_ignore_ascii_case(b"tag=")
            {
                tag = value;
            }
        }
    }
    Some((uri, tag))
}

/// The package that an Event header names, without its parameters (RFC 6665 §8.2.1).
pub fn event_package(value: &[u8]) -> &[u8] {
    first(value).0
}

/// The parameter `id` of an Event header (RFC 6665 §4.5.2); empty if there is none.
pub fn event_id(value: &[u8]) -> &[u8] {
    parameter(first(value).1, b"id").unwrap_or_default()
}

/// The seconds of an Expires (RFC 3261 §20.19). `None` for what is no number; one that is too large is as large as can be.
pub fn expires(value: &[u8]) -> Option<u32> {
    let digits = value.trim_ascii();
    let all = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    all.then(|| std::str::from_utf8(digits).ok()?.parse().ok()).map(|seconds| seconds.unwrap_or(u32::MAX))
}

/// Whether an Accept (RFC 3261 §20.1) lets this media type through. A `q` of 0 is not looked for: nobody names what they cannot take.
pub fn accepts(value: &[u8], media_type: &str) -> bool {
    let (kind, _) = media_type.split_once('/').unwrap_or_default();
    let range = [kind, "/*"].concat();
    value.split(|byte| *byte == b',').any(|one| [media_type, &range, "*/*"].iter().any(|range| is_media_type(one, range)))
}

/// The URIs of a list of addresses, each in its brackets, as Record-Route has them (RFC 3261 §20.30). `None` for any other form.
pub fn bracketed_uris(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut uris = Vec::new();
    let mut rest = value.trim_ascii();
    while !rest.is_empty() {
        let start = skip_name(rest)?;
        let (uri, after) = start.split_at_checked(memchr::memchr(b'>', start)?)?;
        uris.push(uri.trim_ascii());
        // Parameters of the header, if any, hold no URI.
        let end = memchr::memchr2(b',', b'<', after).unwrap_or(after.len());
        let next = after.get(end..)?.trim_ascii();
        rest = match next.split_first() {
            None => next,
            Some((b',', more)) if !more.trim_ascii().is_empty() => more.trim_ascii(),
            Some(_) => return None,
        };
    }
    Some(uris)
}

/// What follows the `<` behind a name, in quotes or not.
fn skip_name(value: &[u8]) -> Option<&[u8]> {
    let mut bytes = value.iter();
    let mut quoted = false;
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' if quoted => _ = bytes.next(),
            b'"' => quoted = !quoted,
            b'<' if !quoted => return Some(bytes.as_slice()),
            b',' if !quoted => return None,
            _ => {}
        }
    }
    None
}

/// Writes Subscription-State (RFC 6665 §8.2.3), with the seconds that are left, or those after which to try again.
pub fn write_subscription_state(state: SubscriptionState, seconds: Option<u32>) -> String {
    let with = |text: String, name: &str| match seconds {
        Some(seconds) => format!("{text};{name}={seconds}"),
        None => text,
    };
    match state {
        SubscriptionState::Active => with("active".to_owned(), "expires"),
        SubscriptionState::Pending => with("pending".to_owned(), "expires"),
        SubscriptionState::Terminated(reason) => {
            let known = REASONS.iter().find(|(_, known)| *known == reason);
            with(known.map_or("terminated".to_owned(), |(name, _)| format!("terminated;reason={name}")), "retry-after")
        }
    }
}

/// Whether a Content-Type names this media type; parameters and case do not matter.
pub fn is_media_type(content_type: &[u8], media_type: &str) -> bool {
    let (value, _) = first(content_type);
    match media_type.split_once('/') {
        Some((kind, subtype)) => {
            let mut parts = value.splitn(2, |byte| *byte == b'/').map(<[u8]>::trim_ascii);
            parts.next().is_some_and(|part| part.eq_ignore_ascii_case(kind.as_bytes()))
                && parts.next().is_some_and(|part| part.eq_ignore_ascii_case(subtype.as_bytes()))
        }
        None => false,
    }
}

/// The charset parameter of a Content-Type, without its quotes.
pub fn charset(content_type: &[u8]) -> Option<&[u8]> {
    parameter(first(content_type).1, b"charset")
}

/// The first language of a Content-Language (RFC 3261 §20.13), if it is one.
pub fn content_language(value: &[u8]) -> Option<&str> {
    let first = value.split(|byte| *byte == b',').next()?;
    std::str::from_utf8(first.trim_ascii()).ok().filter(|language| is_language(language))
}

/// Whether this has the form of a language tag (RFC 5646 §2.1): safe as a header value and as `xml:lang`.
pub fn is_language(language: &str) -> bool {
    language.len() <= MAX_LANGUAGE
        && language.starts_with(|c: char| c.is_ascii_alphabetic())
        && language.split('-').all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// RFC 5646 §4.4.1 asks for room for 35 characters.
const MAX_LANGUAGE: usize = 64;

const REASONS: [(&str, Reason); 7] = [
    ("deactivated", Reason::Deactivated),
    ("probation", Reason::Probation),
    ("rejected", Reason::Rejected),
    ("timeout", Reason::Timeout),
    ("giveup", Reason::Giveup),
    ("noresource", Reason::Noresource),
    ("invariant", Reason::Invariant),
];

/// The value before the first `;`, and what follows it.
fn first(value: &[u8]) -> (&[u8], &[u8]) {
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    let (first, rest) = value.split_at_checked(end).unwrap_or((value, b""));
    (first.trim_ascii(), rest)
}

fn parameter<'a>(parameters: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    parameters.split(|byte| *byte == b';').find_map(|parameter| {
        let (written, value) = parameter.split_at_checked(memchr::memchr(b'=', parameter)?)?;
        let value = value.split_first()?.1.trim_ascii();
        let unquoted = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value);
        written.trim_ascii().eq_ignore_ascii_case(name).then_some(unquoted)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_from_is_read_without_the_host() {
        let plain = |value: &'static str| plain_from(value.as_bytes());
        let uri = &b"sip:juliet@example.com;gr=a"[..];
        assert_eq!(plain("<sip:juliet@example.com;gr=a>;tag=1928"), Some((uri, &b"1928"[..])));
        assert_eq!(plain(" Juliet C. <sip:juliet@example.com;gr=a> ;x=y;TAG=b.c"), Some((uri, &b"b.c"[..])));
        assert_eq!(plain("<sip:juliet@example.com;gr=a>"), Some((uri, &b""[..])));
    }

    #[test]
    fn any_other_from_is_left_to_the_host() {
        for value in [
            "",
            "sip:juliet@example.com;tag=1",
            "\"Juliet <x>\" <sip:juliet@example.com>;tag=1",
            "<sip:juliet@example.com",
            "<>;tag=1",
            "<sip:a@b>;tag=\"1\"",
            "<sip:a@b>;tag=1 ;x",
            "<sip:a@b>, <sip:c@d>",
            "<sip:a@b>x;tag=1",
            "<sip:a b@c>;tag=1",
            "<<sip:a@b>;tag=1",
            "<sip:a@b<sip:c@d>;tag=1",
            "<sip:a@b>;tag=1\r\n ;x=y",
            "J\u{e9} <sip:a@b>;tag=1",
            "<sip:a@b>;tag=1;y=<z>",
        ] {
            assert_eq!(plain_from(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn subscription_state_is_read_whatever_its_spacing() {
        for (value, state) in [
            ("active;expires=3599", SubscriptionState::Active),
            (" Pending ; expires = 600", SubscriptionState::Pending),
            ("terminated;reason=timeout", SubscriptionState::Terminated(Reason::Timeout)),
            ("terminated; reason=timeout", SubscriptionState::Terminated(Reason::Timeout)),
            ("Terminated ;expires=0; REASON = \"Rejected\"", SubscriptionState::Terminated(Reason::Rejected)),
            ("terminated;reason=noresource;retry-after=3", SubscriptionState::Terminated(Reason::Noresource)),
            ("terminated;reason=giveup", SubscriptionState::Terminated(Reason::Giveup)),
            ("terminated;reason=probation", SubscriptionState::Terminated(Reason::Probation)),
            ("terminated;reason=deactivated", SubscriptionState::Terminated(Reason::Deactivated)),
            ("terminated;reason=invariant", SubscriptionState::Terminated(Reason::Invariant)),
            ("terminated", SubscriptionState::Terminated(Reason::Unspecified)),
            ("terminated;reason=on-a-whim", SubscriptionState::Terminated(Reason::Unspecified)),
        ] {
            assert_eq!(subscription_state(value.as_bytes()), Some(state), "{value}");
        }
        for value in ["", ";", "activeX", "act", "terminated reason=timeout", "\u{e9}"] {
            assert_eq!(subscription_state(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn subscription_state_is_written_as_it_is_read() {
        for (state, seconds, value) in [
            (SubscriptionState::Active, Some(3599), "active;expires=3599"),
            (SubscriptionState::Pending, Some(60), "pending;expires=60"),
            (SubscriptionState::Terminated(Reason::Timeout), None, "terminated;reason=timeout"),
            (SubscriptionState::Terminated(Reason::Probation), Some(60), "terminated;reason=probation;retry-after=60"),
            (SubscriptionState::Terminated(Reason::Unspecified), None, "terminated"),
        ] {
            assert_eq!(write_subscription_state(state, seconds), value);
            assert_eq!(subscription_state(value.as_bytes()), Some(state));
        }
    }

    #[test]
    fn expires_is_a_number_of_seconds() {
        for (value, seconds) in [
            ("3600", Some(3600)),
            (" 0 ", Some(0)),
            ("99999999999999", Some(u32::MAX)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("60;x", None),
            ("Tue", None),
        ] {
            assert_eq!(expires(value.as_bytes()), seconds, "{value}");
        }
    }

    #[test]
    fn retry_after_is_read_whatever_its_spacing() {
        for (value, seconds) in [
            ("terminated;reason=probation;retry-after=30", Some(30)),
            ("terminated ; Retry-After = 5 ; reason=giveup", Some(5)),
            ("terminated;retry-after=99999999999", Some(u32::MAX)),
            ("terminated;retry-after=soon", None),
            ("terminated;retry-after=-1", None),
            ("terminated;retry-after=", None),
            ("terminated;reason=probation", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value.as_bytes()), seconds, "{value}");
        }
    }

    #[test]
    fn an_accept_lets_through_what_it_names_or_covers() {
        for (value, accepted) in [
            ("application/pidf+xml", true),
            ("application/xpidf+xml, Application/PIDF+xml;q=0.5", true),
            ("application/*", true),
            ("text/plain , */*", true),
            ("text/*, application/rlmi+xml", false),
            ("", false),
        ] {
            assert_eq!(accepts(value.as_bytes(), "application/pidf+xml"), accepted, "{value}");
        }
    }

    #[test]
    fn the_uris_of_record_route_are_found_in_their_order() {
        let uris = |value: &'static str| bracketed_uris(value.as_bytes());
        assert_eq!(uris(""), Some(vec![]));
        assert_eq!(uris("<sip:p1;lr>"), Some(vec![&b"sip:p1;lr"[..]]));
        assert_eq!(
            uris("\"a, <b> \\\"\" <sip:p1;lr>;x=y ,<sip:p2;lr;r2=on>,P < sip:p3 >"),
            Some(vec![&b"sip:p1;lr"[..], b"sip:p2;lr;r2=on", b"sip:p3"])
        );
        for bad in ["sip:p1;lr", "<sip:p1", "<sip:p1>,", "<sip:p1>,sip:p2", "<sip:p1> <sip:p2>", "\"<sip:p1>", ","] {
            assert_eq!(uris(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_id_of_an_event_is_found() {
        assert_eq!(
            (event_id(b"presence; id = 42"), event_id(b"presence"), event_id(b"presence;x=y")),
            (&b"42"[..], &b""[..], &b""[..])
        );
    }

    #[test]
    fn media_type_and_charset() {
        let value = b"Text / Plain ; charset = \"UTF-8\"";
        assert!(is_media_type(value, "text/plain"));
        assert_eq!(charset(value), Some(&b"UTF-8"[..]));
        assert_eq!(charset(b"text/plain"), None);
        for other in [&b"text/plainer"[..], b"text", b"", b"text/html", b"application/pidf+xml", b"\xff/\xff"] {
            assert!(!is_media_type(other, "text/plain"));
        }
    }

    #[test]
    fn a_language_cannot_carry_anything_else() {
        assert_eq!(content_language(b" de-DE , en"), Some("de-DE"));
        for bad in [&b"de'x"[..], b"", b"de\r\nX: y", b"-de", b"de--x", b"\xff", b"abcdefghi"] {
            assert_eq!(content_language(bad), None);
        }
    }
}
