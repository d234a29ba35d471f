use jid::Jid;

use super::*;

pub(super) fn transparent() -> Addresses {
    Addresses::new(Scheme::Transparent).unwrap()
}

fn pair(sip: &str, xmpp: &str) -> DomainPair {
    DomainPair { sip: sip.into(), xmpp: xmpp.into() }
}

pub(super) fn mapped() -> Addresses {
    Addresses::new(Scheme::Mapped(vec![pair("sip.example", "xmpp.example"), pair("a.example", "b.example")])).unwrap()
}

pub(super) fn encoded() -> Addresses {
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
            assert_eq!(addresses.sip_to_jid(format!("sip:{user}@any.example").as_bytes()), Err(AddressError::NoUser));
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
        ("sip:a@h.example;gr=%F0%9F%93%B1", AddressError::Resource), // U+1F4F1, newer than Unicode 3.2
        ("sip:tgruu.7hs==jd7@h.example;gr", AddressError::TemporaryGruu),
        ("tel:+12015550123", AddressError::Tel),
        ("sip:a@b@h.example", AddressError::Domain),
        (&long, AddressError::TooLong),
    ] {
        assert_eq!(addresses.sip_to_jid(uri.as_bytes()), Err(error), "{uri}");
    }
}

/// What counts is the length once it is escaped and prepared (RFC 7622 §3.3, §3.4).
#[test]
fn the_longest_parts_are_translated_and_one_octet_more_is_not() {
    let addresses = transparent();
    for (user, longest) in [("a", 1023), ("'", 341), ("%C3%BC", 511), ("%EF%B7%B2", 127)] {
        let uri = |count| format!("sip:{}@h.example", user.repeat(count));
        let jid = addresses.sip_to_jid(uri(longest).as_bytes()).unwrap();
        assert!(jid.node().unwrap().as_str().len() <= MAX_PART);
        assert!(addresses.jid_to_sip(&jid).is_ok());
        assert_eq!(addresses.sip_to_jid(uri(longest + 1).as_bytes()), Err(AddressError::TooLong), "{user}");
    }
    let device = |count| format!("sip:a@h.example;gr={}", "%20".repeat(count));
    let jid = addresses.sip_to_jid(device(1023).as_bytes()).unwrap();
    assert_eq!(addresses.jid_to_gruu(&jid), Ok(device(1023)));
    assert_eq!(addresses.sip_to_jid(device(1024).as_bytes()), Err(AddressError::TooLong));
    assert_eq!(addresses.sip_to_jid(device(5000).as_bytes()), Err(AddressError::TooLong));
}

/// A reply would go to somebody else, or to nobody.
#[test]
fn a_sip_user_whose_name_xmpp_changes_is_refused_as_a_sender() {
    let addresses = transparent();
    for (user, change) in [
        ("Juliet", Ok("juliet")),
        ("F%C3%9C", Ok("fü")),
        ("stra%C3%9Fe", Err("strasse")),
        ("ad%C2%ADmin", Err("admin")), // U+00AD, a hyphen that is not shown
        ("%EF%BD%81", Err("a")),       // U+FF41, a wide letter
        ("u%CC%88", Err("ü")),         // U+0308, two dots on the letter before
    ] {
        let uri = format!("sip:{user}@h.example");
        let jid = |node: &str| Jid::new(&format!("{node}@h.example")).unwrap();
        assert_eq!(addresses.sip_user_to_jid(uri.as_bytes()), change.map(jid).map_err(|_| AddressError::Ambiguous), "{user}");
        assert_eq!(addresses.xmpp_user_to_jid(uri.as_bytes()), Ok(jid(change.unwrap_or_else(|node| node))), "{user}");
    }
}

#[test]
fn a_telephone_number_is_a_user_of_its_domain() {
    let addresses = transparent().with_tel_domain("Tel.example.").unwrap();
    let jid = Jid::new("+12015550123@tel.example").unwrap();
    for uri in [
        "tel:+12015550123",
        "TEL:+1-201-555-0123;tgrp=x",
        "sip:+1(201)555.0123@tel.example;user=phone",
        "sip:%2B12015550123@tel.example",
        "sip:+12015550123@tel.example:5060;transport=tcp",
    ] {
        assert_eq!(addresses.sip_to_jid(uri.as_bytes()), Ok(jid.clone()), "{uri}");
    }
    assert_eq!(addresses.jid_to_recipient(&jid).as_deref(), Ok("sip:+12015550123@tel.example;user=phone"));
    assert_eq!(addresses.jid_to_sip(&jid).as_deref(), Ok("sip:+12015550123@tel.example"));
    for uri in ["tel:7042", "tel:7042;phone-context=tel.example", "tel:+1201x", "tel:", "tel:+"] {
        assert_eq!(addresses.sip_to_jid(uri.as_bytes()), Err(AddressError::Tel), "{uri}");
    }
}

#[test]
fn only_a_number_in_the_domain_of_numbers_is_marked_as_one() {
    let addresses = transparent().with_tel_domain("tel.example").unwrap();
    for (jid, uri) in [
        ("+12015550123@h.example", "sip:+12015550123@h.example"),
        ("alice@tel.example", "sip:alice@tel.example"),
        ("7042@tel.example", "sip:7042@tel.example"),
        ("+1-201@tel.example", "sip:+1-201@tel.example"),
        ("+1201;ext=12@tel.example", "sip:+1201;ext=12@tel.example;user=phone"),
        ("+1201@tel.example/desk", "sip:+1201@tel.example;user=phone"),
        ("+1201@tel.example/urn:uuid:1", "sip:+1201@tel.example;user=phone;gr=urn:uuid:1"),
    ] {
        assert_eq!(addresses.jid_to_recipient(&Jid::new(jid).unwrap()).as_deref(), Ok(uri));
    }
}

#[test]
fn numbers_take_part_in_the_other_schemes() {
    let mapped = mapped().with_tel_domain("sip.example").unwrap();
    let encoded = encoded().with_tel_domain("sip.example").unwrap();
    for (addresses, jid) in [(mapped, "+1201@xmpp.example"), (encoded, "+1201*sip.example@sip.im.example")] {
        let translated = addresses.sip_to_jid(b"tel:+1-201").unwrap();
        assert_eq!(translated.as_str(), jid);
        assert_eq!(addresses.jid_to_recipient(&translated).as_deref(), Ok("sip:+1201@sip.example;user=phone"));
    }
}

#[test]
fn a_jid_is_read_with_one_form_of_its_domain() {
    for (text, jid) in [
        ("Juliet@Example.NET/Balcony", "juliet@example.net/Balcony"),
        ("a@h.example./r", "a@h.example/r"),
        ("h.example.", "h.example"),
        ("h.example./a@b/c", "h.example/a@b/c"),
        ("a@[2001:DB8:0::1]/r", "a@[2001:db8::1]/r"),
        ("a@xn--mnchen-3ya.example", "a@münchen.example"),
        ("a@MÜNCHEN.example", "a@münchen.example"),
        ("a@straße.example", "a@xn--strae-oqa.example"),
        ("a@192.0.2.1", "a@192.0.2.1"),
    ] {
        let read = read_jid(text).unwrap();
        assert_eq!(read.as_str(), jid);
        assert_eq!(read, Jid::new(jid).unwrap());
        assert_eq!(read.resource(), Jid::new(jid).unwrap().resource());
    }
    for text in [
        "",
        "@h",
        "a@",
        "a@h/",
        "a@b@c",
        "a@.",
        "a@h..",
        "a@[::1",
        "a@::1",
        "a@h.1",
        "a@xn--a",
        "a\u{0}@h",
        "a@h./",
        "\u{1CCD6}@h",
    ] {
        assert!(read_jid(text).is_err(), "{text}");
    }
}

#[test]
fn a_jid_without_user_or_with_a_second_spelling_is_refused() {
    for (jid, error) in [
        ("h.example", AddressError::NoUser),
        (r"a\5cb@h.example", AddressError::Ambiguous),
        (r"\20a@h.example", AddressError::User),
        (r"a\20@h.example", AddressError::User),
        ("a@h;lr", AddressError::Domain),
        ("a@h.1", AddressError::Domain),
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
    // Encoded twice, and domains in another spelling.
    for user in ["a*xmpp.example*gateway.example", "a*sip.example.", "a*münchen.example", r"a*[2001\3adb8\3a0\3a\3a1]"] {
        let jid = Jid::new(&format!("{user}@sip.im.example")).unwrap();
        assert_eq!(addresses.jid_to_sip(&jid), Err(AddressError::Ambiguous), "{user}");
    }
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
