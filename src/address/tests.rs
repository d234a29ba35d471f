use jid::Jid;
use proptest::prelude::*;

use super::*;

fn transparent() -> Addresses {
    Addresses::new(Scheme::Transparent).unwrap()
}

fn pair(sip: &str, xmpp: &str) -> DomainPair {
    DomainPair { sip: sip.into(), xmpp: xmpp.into() }
}

fn mapped() -> Addresses {
    Addresses::new(Scheme::Mapped(vec![pair("sip.example", "xmpp.example"), pair("a.example", "b.example")])).unwrap()
}

fn encoded() -> Addresses {
    Addresses::new(Scheme::Encoded {
        separator: "*".into(),
        gateway_domain: "gateway.example".into(),
        xmpp_domain: "sip.im.example".into(),
        pairs: vec![pair("a.example", "b.example")],
    })
    .unwrap()
}

#[test]
fn a_component_speaks_for_one_domain() {
    let transparent = transparent().of_component("sip.im.example").unwrap();
    let encoded = encoded().of_component("SIP.im.example.").unwrap();
    for (addresses, sip_user, xmpp_user) in [
        (&transparent, "sip:juliet@sip.im.example", "sip:romeo@im.example"),
        (&encoded, "sip:juliet@any.example", "sip:romeo*im.example@gateway.example"),
    ] {
        assert!(addresses.sip_user_to_jid(sip_user.as_bytes()).is_ok());
        assert!(addresses.xmpp_user_to_jid(xmpp_user.as_bytes()).is_ok());
        assert_eq!(addresses.sip_user_to_jid(xmpp_user.as_bytes()), Err(AddressError::Foreign));
        assert_eq!(addresses.xmpp_user_to_jid(sip_user.as_bytes()), Err(AddressError::Loop));
    }
}

#[test]
fn a_user_of_characters_that_are_mapped_to_nothing_is_nobody() {
    for addresses in [transparent(), mapped(), encoded()] {
        for user in ["%C2%AD", "%E2%80%8B%C2%AD"] {
            assert_eq!(addresses.sip_to_jid(format!("sip:{user}@any.example").as_bytes()), Err(AddressError::User));
        }
    }
}

/// With a domain behind it, a name written from right to left would be none (RFC 3454 §6).
#[test]
fn an_encoded_user_of_another_direction_comes_back() {
    let (addresses, jid) = (encoded(), Jid::new("\u{688}@im.example").unwrap());
    assert_eq!(addresses.sip_to_jid(addresses.jid_to_sip(&jid).unwrap().as_bytes()), Ok(jid));
}

/// The table of RFC 7247 §6.2 to §6.5 and what its algorithm leaves out.
#[test]
fn examples_of_rfc_7247_and_xep_0106() {
    let addresses = transparent();
    for (uri, jid) in [
        ("sip:f%C3%BC@h.example", "fü@h.example"),
        ("sip:o'malley@h.example", r"o\27malley@h.example"),
        ("sip:foo@h.example;gr=bar", "foo@h.example/bar"),
        ("sip:m&m@h.example", r"m\26m@h.example"),
        ("sip:baz@h.example;gr=qux", "baz@h.example/qux"),
        ("sip:a@h.example;gr=home%20phone", "a@h.example/home phone"),
        ("sip:a@h.example;gr=urn:uuid:f81d4fae", "a@h.example/urn:uuid:f81d4fae"),
        ("sip:user%40host@h.example", r"user\40host@h.example"),
        ("sip:a%20b%3Cc%3E%22%3A/@h.example", r"a\20b\3cc\3e\22\3a\2f@h.example"),
        ("sip:%5C3and%5C2is%5C5cool@h.example", r"\5c3and\2is\5c5cool@h.example"),
        ("sip:a@xn--mnchen-3ya.example", "a@münchen.example"),
        ("sip:a@[2001:db8::1]", "a@[2001:db8::1]"),
        ("sip:a@192.0.2.1", "a@192.0.2.1"),
    ] {
        let translated = addresses.sip_to_jid(uri.as_bytes()).unwrap();
        assert_eq!(translated.as_str(), jid);
        assert_eq!(addresses.jid_to_gruu(&translated).as_deref(), Ok(uri));
    }
}

/// Nodeprep maps ß to ss: the JID that RFC 7247 shows for this URI is one that no XMPP server would take as it stands.
#[test]
fn the_localpart_is_prepared_as_xmpp_servers_do() {
    assert_eq!(transparent().sip_to_jid(b"sip:Tsch%C3%BCss@H.example").unwrap().as_str(), "tschüss@h.example");
    assert_eq!(transparent().sip_to_jid(b"sip:stra%C3%9Fe@h.example").unwrap().as_str(), "strasse@h.example");
}

#[test]
fn what_cannot_be_a_localpart_is_refused() {
    let addresses = transparent();
    let long = format!("sip:{}@h.example", "a".repeat(1024));
    for (uri, error) in [
        ("sip:%20a@h.example", AddressError::User),
        ("sip:a%20@h.example", AddressError::User),
        ("sip:a%00@h.example", AddressError::User),
        ("sip:a%0d%0aX@h.example", AddressError::User),
        ("sip:%FF@h.example", AddressError::User),
        ("sip:%EF%BC%A0@h.example", AddressError::User), // U+FF20, which nodeprep makes an @
        ("sip:%EF%BC%BC20a@h.example", AddressError::User), // U+FF3C: would become `\20a`
        ("sip:%F0%9C%B3%96@h.example", AddressError::User), // U+1CCD6: prepared once it is `A`, twice `a`
        ("sip:a@h.example;gr=%00", AddressError::Resource),
        ("sip:a@b@h.example", AddressError::Domain),
        (&long, AddressError::TooLong),
    ] {
        assert_eq!(addresses.sip_to_jid(uri.as_bytes()), Err(error), "{uri}");
    }
}

#[test]
fn the_longest_localpart_is_translated() {
    let uri = format!("sip:{}@h.example", "a".repeat(1023));
    let jid = transparent().sip_to_jid(uri.as_bytes()).unwrap();
    assert_eq!(transparent().jid_to_sip(&jid), Ok(uri));
}

#[test]
fn a_jid_without_user_or_with_a_second_spelling_is_refused() {
    for (jid, error) in [
        ("h.example", AddressError::NoUser),
        (r"a\5cb@h.example", AddressError::Ambiguous),
        (r"\20a@h.example", AddressError::User),
        (r"a\20@h.example", AddressError::User),
        ("a@h;lr", AddressError::Domain),
    ] {
        assert_eq!(transparent().jid_to_sip(&Jid::new(jid).unwrap()), Err(error), "{jid}");
    }
}

#[test]
fn mapped_domains_change_and_others_stay() {
    let addresses = mapped();
    for (uri, jid) in [
        ("sip:juliet@sip.example", "juliet@xmpp.example"),
        ("sip:juliet@a.example", "juliet@b.example"),
        ("sip:juliet@other.example", "juliet@other.example"),
    ] {
        let translated = addresses.sip_to_jid(uri.as_bytes()).unwrap();
        assert_eq!(translated.as_str(), jid);
        assert_eq!(addresses.jid_to_sip(&translated).as_deref(), Ok(uri));
    }
    assert_eq!(addresses.sip_to_jid(b"sip:x@xmpp.example"), Err(AddressError::Ambiguous));
    assert_eq!(addresses.jid_to_sip(&Jid::new("x@sip.example").unwrap()), Err(AddressError::Ambiguous));
}

#[test]
fn the_encoded_scheme_takes_the_last_separator() {
    let addresses = encoded();
    for (uri, jid) in [
        ("sip:romeo*xmpp.example@gateway.example", "romeo@xmpp.example"),
        ("sip:ro*meo*xmpp.example@gateway.example", "ro*meo@xmpp.example"),
        ("sip:juliet@sip.example", "juliet*sip.example@sip.im.example"),
        ("sip:ju*liet@sip.example", "ju*liet*sip.example@sip.im.example"),
        ("sip:juliet@[2001:db8::1]", r"juliet*[2001\3adb8\3a\3a1]@sip.im.example"),
        ("sip:romeo*xn--mnchen-3ya.example@gateway.example", "romeo@münchen.example"),
        ("sip:juliet@xn--strae-oqa.example", "juliet*xn--strae-oqa.example@sip.im.example"),
        ("sip:juliet@a.example", "juliet@b.example"),
    ] {
        let translated = addresses.sip_to_jid(uri.as_bytes()).unwrap();
        assert_eq!(translated.as_str(), jid);
        assert_eq!(addresses.jid_to_sip(&translated).as_deref(), Ok(uri));
    }
}

#[test]
fn an_encoded_address_that_has_a_shorter_form_is_refused() {
    let addresses = encoded();
    for (uri, error) in [
        ("sip:romeo@gateway.example", AddressError::NoUser),
        ("sip:*xmpp.example@gateway.example", AddressError::NoUser),
        ("sip:romeo*@gateway.example", AddressError::Domain),
        ("sip:a*sip.example*sip.im.example@gateway.example", AddressError::Ambiguous),
        ("sip:a*b.example@gateway.example", AddressError::Ambiguous),
    ] {
        assert_eq!(addresses.sip_to_jid(uri.as_bytes()), Err(error), "{uri}");
    }
    let twice = Jid::new("a*xmpp.example*gateway.example@sip.im.example").unwrap();
    assert_eq!(addresses.jid_to_sip(&twice), Err(AddressError::Ambiguous));
}

#[test]
fn a_scheme_that_could_not_be_reversed_is_refused() {
    let two = |second: DomainPair| Addresses::new(Scheme::Mapped(vec![pair("a.example", "b.example"), second])).err();
    assert_eq!(two(pair("A.example.", "c.example")), Some(SchemeError::SipTwice("a.example".into())));
    assert_eq!(two(pair("c.example", "b.example")), Some(SchemeError::XmppTwice("b.example".into())));
    assert_eq!(two(pair("c d", "e.example")), Some(SchemeError::Domain("c d".into())));
    for separator in ["", ".", "-", "a", "9", "_", " ", "\\", ":", "]", "*********", "é"] {
        let scheme = Scheme::Encoded {
            separator: separator.into(),
            gateway_domain: "g.example".into(),
            xmpp_domain: "x.example".into(),
            pairs: Vec::new(),
        };
        assert_eq!(Addresses::new(scheme).err(), Some(SchemeError::Separator(separator.into())));
    }
}

fn domains() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("sip.example".to_string()),
        Just("xmpp.example".to_string()),
        Just("a.example".to_string()),
        Just("b.example".to_string()),
        Just("gateway.example".to_string()),
        Just("sip.im.example".to_string()),
        Just("münchen.example".to_string()),
        Just("straße.example".to_string()),
        Just("[2001:db8::1]".to_string()),
        "[a-z][a-z0-9]{0,8}\\.example",
    ]
}

fn users() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{1,20}",
        "[a-z\\\\*]{1,8}(20|22|26|27|2f|3a|3c|3e|40|5c|zz){0,3}[a-z]{0,4}",
        "\\PC{1,12}",
        "[a-z*]{1,6}\\*(sip|xmpp|a|b|gateway|sip\\.im)\\.example",
    ]
}

fn schemes() -> [Addresses; 3] {
    [transparent(), mapped(), encoded()]
}

proptest! {
    /// Whatever JID is let through comes back as it was.
    #[test]
    fn a_jid_comes_back(user in users(), domain in domains(), resource in proptest::option::of("\\PC{1,12}")) {
        let text = match resource {
            Some(resource) => format!("{user}@{domain}/{resource}"),
            None => format!("{user}@{domain}"),
        };
        let Ok(jid) = Jid::new(&text) else { return Ok(()) };
        for addresses in schemes() {
            if let Ok(uri) = addresses.jid_to_gruu(&jid) {
                prop_assert!(uri.bytes().all(|byte| byte.is_ascii_graphic()), "{}", uri);
                prop_assert_eq!(addresses.sip_to_jid(uri.as_bytes()), Ok(jid.clone()), "{}", uri);
            }
        }
    }

    /// A SIP URI that is let through has one canonical form: that of its JID.
    #[test]
    fn a_sip_uri_comes_back_canonical(user in users(), domain in domains()) {
        let mut uri = String::from("sip:");
        escape::percent_encode(&user, escape::USER, &mut uri);
        uri.push('@');
        uri.push_str(&domain);
        for addresses in schemes() {
            if let Ok(jid) = addresses.sip_to_jid(uri.as_bytes()) {
                let canonical = addresses.jid_to_sip(&jid);
                prop_assert!(canonical.is_ok(), "{} {} {:?}", uri, jid, canonical);
                let canonical = canonical.unwrap();
                prop_assert_eq!(addresses.sip_to_jid(canonical.as_bytes()), Ok(jid));
                if user.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'*') && domain.is_ascii() {
                    prop_assert_eq!(canonical, uri.clone());
                }
            }
        }
    }

    #[test]
    fn no_uri_makes_it_panic(uri in proptest::collection::vec(any::<u8>(), 0..64)) {
        let mut with_scheme = b"sip:".to_vec();
        with_scheme.extend_from_slice(&uri);
        for addresses in schemes() {
            let _ = addresses.sip_to_jid(&uri);
            let _ = addresses.sip_to_jid(&with_scheme);
        }
    }
}
