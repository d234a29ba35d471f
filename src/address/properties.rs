//! What holds for every address, over generated ones: 250 for each of six properties, or as many for each as the environment variable
//! `XMPP_GATEWAY_CASES` says (`make test`: 3 500, which is 21 000 in all; `make test-long`: a million).

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::tests::encoded;
use super::tests::mapped;
use super::tests::transparent;
use super::*;

proptest! {
    #![proptest_config(cases())]

    /// Of a JID that has a URI: the URI is valid, and it is that JID again.
    #[test]
    fn a_jid_comes_back(user in users(), domain in domains(), resource in option::of(resources())) {
        let resource = resource.map_or(String::new(), |resource| format!("/{resource}"));
        let Ok(jid) = read_jid(&format!("{user}@{domain}{resource}")) else { return Ok(()) };
        prop_assert!(is_jid(&jid), "{}", jid);
        for addresses in schemes() {
            let Ok(uri) = addresses.jid_to_gruu(&jid) else { continue };
            prop_assert!(is_sip_uri(&uri), "{}", uri);
            prop_assert_eq!(addresses.sip_to_jid(uri.as_bytes()), Ok(jid.clone()), "{}", uri);
            let uri = addresses.jid_to_recipient(&jid).unwrap();
            prop_assert!(is_sip_uri(&uri), "{}", uri);
            let recipient = addresses.sip_to_jid(uri.as_bytes());
            prop_assert!(recipient == Ok(jid.clone()) || recipient == Ok(jid.to_bare().into()), "{} {:?}", uri, recipient);
        }
    }

    /// Of a URI that has a JID: the JID is valid, and its URI is the one canonical form.
    #[test]
    fn a_uri_has_one_canonical_form(uri in uris()) {
        for addresses in schemes() {
            let Ok(jid) = addresses.sip_to_jid(uri.as_bytes()) else { continue };
            prop_assert!(is_jid(&jid), "{} {}", uri, jid);
            let canonical = addresses.jid_to_gruu(&jid);
            prop_assert!(canonical.as_deref().is_ok_and(is_sip_uri), "{} {} {:?}", uri, jid, canonical);
            prop_assert_eq!(addresses.sip_to_jid(canonical.unwrap().as_bytes()), Ok(jid), "{}", uri);
        }
    }

    /// What is canonical is let through, whatever ASCII it is made of, and comes back letter by letter.
    #[test]
    fn a_canonical_uri_comes_back(user in "[!-@\\[-~]([ -@\\[-~]{0,20}[!-@\\[-~])?", device in option::of("[ -~]{1,20}")) {
        let mut uri = String::from("sip:");
        escape::percent_encode(&user, escape::USER, &mut uri);
        uri.push_str("@other.example");
        if let Some(device) = device {
            uri.push_str(";gr=");
            escape::percent_encode(&device, escape::PARAMETER, &mut uri);
        }
        prop_assert!(is_sip_uri(&uri), "{}", uri);
        for addresses in schemes() {
            let jid = addresses.sip_user_to_jid(uri.as_bytes());
            prop_assert!(jid.is_ok(), "{} {:?}", uri, jid);
            prop_assert_eq!(addresses.jid_to_gruu(&jid.unwrap()), Ok(uri.clone()));
        }
    }

    /// A sender's name, but for its case, is the one that a reply goes to.
    #[test]
    fn a_sender_can_be_answered(user in users(), domain in select(DOMAINS)) {
        let mut uri = String::from("sip:");
        escape::percent_encode(&user, escape::USER, &mut uri);
        let uri = format!("{uri}@{domain}");
        for addresses in schemes() {
            let Ok(jid) = addresses.sip_user_to_jid(uri.as_bytes()) else { continue };
            let answer = addresses.jid_to_sip(&jid).unwrap();
            let name = answer.strip_prefix("sip:").and_then(|rest| rest.split_once('@')).unwrap().0;
            let name = percent_decode(name.as_bytes()).unwrap().into_owned();
            let lower = user.to_lowercase();
            // The domain in a user part of the encoded scheme has a canonical form of its own.
            let domain_of = |name: &str| name.rsplit_once('*').and_then(|(_, written)| domain::canonical(written).ok().map(Cow::into_owned));
            prop_assert!(name == lower || (domain_of(&name).is_some() && domain_of(&name) == domain_of(&lower)), "{} {}", uri, name);
        }
    }

    #[test]
    fn a_global_number_comes_back(number in "\\+[0-9]([-.()]?[0-9]){1,14}", scheme in select(&["tel:", "sip:"])) {
        let uri = if scheme == "tel:" { format!("tel:{number}") } else { format!("sip:{number}@sip.example;user=phone") };
        let canonical = format!("sip:+{}@sip.example;user=phone", number.replace(|c: char| !c.is_ascii_digit(), ""));
        for addresses in schemes() {
            let jid = addresses.sip_to_jid(uri.as_bytes()).unwrap();
            prop_assert_eq!(addresses.jid_to_recipient(&jid), Ok(canonical.clone()));
            prop_assert_eq!(addresses.sip_to_jid(canonical.as_bytes()), Ok(jid));
        }
    }

    /// Bytes of any kind: no panic, and no JID that is none.
    #[test]
    fn no_bytes_make_it_panic(scheme in select(SCHEMES), bytes in vec(bytes(), 0..48), text in "\\PC{0,24}") {
        let with_scheme = [scheme.as_bytes(), &bytes].concat();
        for addresses in schemes() {
            for uri in [&bytes, &with_scheme] {
                if let Ok(jid) = addresses.sip_to_jid(uri) {
                    prop_assert!(is_jid(&jid), "{:?} {}", uri, jid);
                }
            }
            for text in [&String::from_utf8_lossy(&bytes), text.as_str()] {
                if let Ok(jid) = read_jid(text) {
                    prop_assert!(is_jid(&jid), "{:?} {}", text, jid);
                    let _ = addresses.jid_to_gruu(&jid);
                }
            }
        }
    }
}

fn cases() -> ProptestConfig {
    let cases = std::env::var("XMPP_GATEWAY_CASES").map_or(250, |cases| cases.parse().unwrap());
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn schemes() -> &'static [Addresses; 3] {
    static SCHEMES: LazyLock<[Addresses; 3]> =
        LazyLock::new(|| [transparent(), mapped(), encoded()].map(|addresses| addresses.with_tel_domain("sip.example").unwrap()));
    &SCHEMES
}

const SCHEMES: &[&str] = &["sip:", "SIP:", "im:", "pres:", "tel:", "sips:", "xmpp:"];

const DOMAINS: &[&str] = &[
    "sip.example",
    "xmpp.example",
    "a.example",
    "b.example",
    "gateway.example",
    "sip.im.example",
    "Sip.Example.",
    "münchen.example",
    "xn--mnchen-3ya.example",
    "MÜNCHEN.example",
    "straße.example",
    "xn--strae-oqa.example",
    "日本.example",
    "_sip.example",
    "r3---sn.example",
    "xn--a.example",
    "192.0.2.1",
    "192.0.2.999",
    "[2001:db8::1]",
    "[2001:DB8:0::1]",
    "[::ffff:192.0.2.1]",
    "[fe80::1%25eth0]",
    "h;lr",
    "",
];

fn domains() -> impl Strategy<Value = String> {
    prop_oneof![4 => select(DOMAINS).prop_map(str::to_owned), 1 => "[a-z][a-z0-9]{0,8}\\.example", 1 => "[!-~]{1,12}"]
}

fn users() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,20}",
        "[a-z\\\\*]{1,8}(20|22|26|27|2f|3a|3c|3e|40|5c|5C|zz){0,3}[a-z]{0,4}",
        "\\PC{1,12}",
        "[a-zA-Zäöüßéñşçłøåæøαβγςσабв中文日本אבגابج]{1,10}",
        "(\\+|\\+1-|7)[0-9().-]{1,12}(;ext=[0-9]{1,4})?",
        (users_of_domains(), domains()).prop_map(|(user, domain)| format!("{user}*{domain}")),
        Just("a".repeat(1023)),
        Just("'".repeat(342)),
    ]
}

fn users_of_domains() -> impl Strategy<Value = String> {
    "[a-z*]{1,6}"
}

fn resources() -> impl Strategy<Value = String> {
    prop_oneof!["[ -~]{1,20}", "\\PC{1,12}", "urn:uuid:[0-9a-f]{8}", Just("r".repeat(1023)), Just("ü".repeat(512))]
}

/// URIs as they come: any spelling of each part, any parameter, headers.
fn uris() -> impl Strategy<Value = String> {
    let parameter = prop_oneof![
        Just("gr=%F0%9F%93%B1".to_owned()),
        Just("GR=urn:uuid:1".to_owned()),
        Just("gr".to_owned()),
        Just("user=phone".to_owned()),
        Just("transport=tcp".to_owned()),
        resources().prop_map(|resource| percent(&resource, "gr=")),
        "[!-~]{0,8}",
    ];
    let tail = select(&["", ":5060", ":", "?Subject=x", ":secret"][..]);
    (
        select(SCHEMES),
        users(),
        select(&["", ":secret", "%00", "%", "%c3%bc", "\u{ad}"][..]),
        any::<bool>(),
        domains(),
        tail,
        vec(parameter, 0..3),
    )
        .prop_map(|(scheme, user, extra, is_encoded, domain, tail, parameters)| {
            let user = if is_encoded { percent(&user, "") } else { user };
            let parameters: String = parameters.iter().map(|parameter| format!(";{parameter}")).collect();
            format!("{scheme}{user}{extra}@{domain}{tail}{parameters}")
        })
}

/// Every second octet as `%hh` that need not be.
fn percent(text: &str, prefix: &str) -> String {
    let octet = |(index, byte): (usize, u8)| match byte {
        b'a'..=b'z' | b'0'..=b'9' if index % 2 == 0 => char::from(byte).to_string(),
        _ => format!("%{byte:02x}"),
    };
    text.bytes().enumerate().map(octet).fold(prefix.to_owned(), |all, octet| all + &octet)
}

fn bytes() -> impl Strategy<Value = u8> {
    prop_oneof![4 => select(&b"@:;?%=&/\\\"<>[]. *+-0aA\r\n\0"[..]), 1 => any::<u8>()]
}

/// RFC 7622 §3, and §3.3.1 for the characters that no localpart has; and it is read as what it is.
fn is_jid(jid: &Jid) -> bool {
    let parts =
        [jid.node().map(|node| node.as_str()), Some(jid.domain().as_str()), jid.resource().map(|resource| resource.as_str())];
    let fits = parts.iter().flatten().all(|part| !part.is_empty() && part.len() <= 1023 && !part.contains(char::is_control));
    let forbidden = |node: &str| node.contains(['"', '&', '\'', '/', ':', '<', '>', '@', ' ']);
    fits && !parts[0].is_some_and(forbidden)
        && Jid::new(jid.as_str()).is_ok_and(|again| again.as_str() == jid.as_str() && again.resource() == jid.resource())
        && read_jid(jid.as_str()).as_ref() == Ok(jid)
}

/// `SIP-URI` of RFC 3261 §25.1 with a user, in the subset that is written: no password, port or headers; names may have underscores.
fn is_sip_uri(uri: &str) -> bool {
    let Some((user, rest)) = uri.strip_prefix("sip:").and_then(|rest| rest.split_once('@')) else { return false };
    let (host, parameters) = rest.split_once(';').map_or((rest, None), |(host, parameters)| (host, Some(parameters)));
    let parameter = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        matches!(name, "gr" | "user") && !value.is_empty() && is_escaped(value, "-_.!~*'()[]/:&+$")
    };
    !user.is_empty()
        && is_escaped(user, "-_.!~*'()&=+$,;?/")
        && is_host(host)
        && parameters.is_none_or(|parameters| parameters.split(';').all(parameter))
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let label = |label: &str| {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        !label.is_empty() && label.chars().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    let top = host.rsplit('.').next().unwrap_or_default();
    host.parse::<std::net::Ipv4Addr>().is_ok()
        || (host.split('.').all(label) && top.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// Letters, digits, these marks, and `%HH` in upper case.
fn is_escaped(text: &str, marks: &str) -> bool {
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = if c == '%' { 3 } else { 1 };
        let Some((token, tail)) = rest.split_at_checked(length) else { return false };
        let hex = |digits: &str| digits.chars().all(|c| c.is_ascii_digit() || ('A'..='F').contains(&c));
        if !(token.strip_prefix('%').is_some_and(hex) || c.is_ascii_alphanumeric() || marks.contains(c)) {
            return false;
        }
        rest = tail;
    }
    true
}
