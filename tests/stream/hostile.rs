//! What a broken or hostile server sends: each case ends the stream with the fault that RFC 6120 §4.9.3 names, and costs no more
//! than the limits allow.

use xmpp_gateway::xmpp::fault::Fault;
use xmpp_gateway::xmpp::framer::Framer;
use xmpp_gateway::xmpp::framer::Limits;
use xmpp_gateway::xmpp::stanza::AddressError;
use xmpp_gateway::xmpp::stanza::Addresses;

use crate::HEADER;
use crate::read;
use crate::read_open;
use crate::read_pieces;

#[track_caller]
fn refused_in_a_stream(fault: Fault, inputs: &[&str]) {
    for input in inputs {
        let outcome = read_open(input);
        assert_eq!((outcome.fault, outcome.stanzas().len()), (Some(fault), 0), "{input}");
    }
}

#[track_caller]
fn refused_as_a_stream(fault: Fault, inputs: &[&str]) {
    for input in inputs {
        let outcome = read(input);
        assert_eq!((outcome.fault, outcome.events.len()), (Some(fault), 0), "{input}");
    }
}

#[test]
fn what_rfc_6120_11_1_forbids_is_restricted_xml() {
    let billion_laughs = "<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;&lol;&lol;'>]><message>&lol2;</message>";
    refused_in_a_stream(
        Fault::Restricted,
        &[
            billion_laughs,
            "<!DOCTYPE",
            "<message><!DOCTYPE x></message>",
            "<!-- comment -->",
            "<message><!-- comment --></message>",
            "<?xml-stylesheet href='x'?>",
            "<message><?php ?></message>",
            "<?xml version='1.0'?><message/>",
            "<message>&lol;</message>",
            "<message>&nbsp;</message>",
            "<message to='&file;'/>",
            "<!ENTITY x 'y'>",
            "<![INCLUDE[",
        ],
    );
    refused_as_a_stream(
        Fault::Restricted,
        &["<!DOCTYPE lolz [<!ENTITY lol 'lol'>]>", "<!-- -->", "<?php ?>", " <?xml version='1.0'?>"],
    );
}

#[test]
fn what_is_no_xml_is_not_well_formed() {
    refused_in_a_stream(
        Fault::NotWellFormed,
        &[
            "<message></presence>",
            "<message><body></message></body>",
            "</message>",
            "<message to='a' to='b'/>",
            "<message xmlns='a' xmlns='b'/>",
            "<message xmlns:a='urn:a' xmlns:b='urn:a' a:x='' b:x=''/>",
            "<message xmlns:a=''/>",
            "<message xmlns:xml='urn:x'/>",
            "<message xmlns:xmlns='urn:x'/>",
            "<message xmlns='http://www.w3.org/XML/1998/namespace'/>",
            "<message to=a/>",
            "<message to/>",
            "<message to='<'/>",
            "<message <body/>",
            "<message to='a'id='b'/>",
            "< message/>",
            "<>",
            "<<message/>",
            "<message>]]></message>",
            "<message>&#0;</message>",
            "<message>&#x1B;</message>",
            "<message>&#xFFFF;</message>",
            "<message to='&#0;'/>",
            "<message>&amp</message>",
            "<message>a & b</message>",
            "<message>\0</message>",
            "<message>\u{1b}</message>",
            "<message to='\u{1}'/>",
            "<message>\u{ffff}</message>",
            "<message><![CDATA[\0]]></message>",
            "<mess\u{fffe}age/>",
            "<a:b:c xmlns:a='urn:a'/>",
            "<message / >",
            "<message/ >",
            "<message\u{c}to='a'/>",
        ],
    );
}

#[test]
fn bytes_that_are_no_utf_8_are_not_well_formed() {
    // Overlong, surrogate, lone continuation, beyond U+10FFFF, cut short by the tag; read_open() splits inside each.
    for bytes in [&b"\xc0\x80"[..], b"\xed\xa0\x80", b"\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"\xff", b"\xfe"] {
        for (before, behind) in [("<message>", "</message>"), ("<message to='", "'/>"), ("<message><![CDATA[", "]]></message>")] {
            let outcome = read_open([before.as_bytes(), bytes, behind.as_bytes()].concat());
            assert_eq!(outcome.fault, Some(Fault::NotWellFormed), "{before} {bytes:?}");
        }
    }
}

#[test]
fn other_encodings_are_unsupported() {
    let declared = HEADER.replace("version='1.0'", "version='1.0' encoding='ISO-8859-1'");
    refused_as_a_stream(Fault::Encoding, &[&declared]);
    for utf_16 in [&b"\xff\xfe<\0"[..], b"\xfe\xff\0<", b"\0<\0s"] {
        assert_eq!(read(utf_16).fault, Some(Fault::Encoding));
    }
    let declared = HEADER.replace("version='1.0'", "version=\"1.0\" encoding=\"utf-8\" standalone='yes' ");
    assert_eq!(read(declared).fault, None);
}

#[test]
fn a_byte_order_mark_is_text_before_the_root() {
    refused_as_a_stream(Fault::NotWellFormed, &[&format!("\u{feff}{HEADER}")]);
}

#[test]
fn xml_declarations_that_xml_forbids_are_not_well_formed() {
    let declarations = [
        "<?xml?>",
        "<?xml ?>",
        "<?xml version='1.1'?>",
        "<?xml encoding='UTF-8' version='1.0'?>",
        "<?xml version='1.0' standalone='maybe'?>",
        "<?xml version='1.0' other='x'?>",
        "<?xml version='1.0'encoding='UTF-8'?>",
    ];
    for declaration in declarations {
        let fault = read(declaration).fault;
        assert!(matches!(fault, Some(Fault::NotWellFormed | Fault::Restricted)), "{declaration}: {fault:?}");
    }
}

#[test]
fn what_is_no_stream_is_refused() {
    refused_as_a_stream(
        Fault::Namespace,
        &[
            "<message to='a@b'/>",
            "<stream:stream xmlns:stream='http://etherx.jabber.org/stream' xmlns='jabber:client'>",
            "<stream xmlns='jabber:client'>",
            "<stream:stream xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:component:connect'>",
            "<html>",
        ],
    );
    refused_as_a_stream(Fault::Format, &["<stream:flow xmlns:stream='http://etherx.jabber.org/streams' xmlns='jabber:client'>"]);
    refused_as_a_stream(Fault::Prefix, &["<stream:stream>"]);
    refused_as_a_stream(Fault::NotWellFormed, &["HTTP/1.1 400 Bad Request\r\n", " text", "</stream:stream>", "<![CDATA[]]>"]);
}

#[test]
fn what_is_no_stanza_between_stanzas_is_refused() {
    refused_in_a_stream(
        Fault::Format,
        &["text", " text<message/>", "&#32;", "<![CDATA[]]>", "\u{feff}", "\u{c}<message/>", HEADER.split_once("?>").unwrap().1],
    );
}

#[test]
fn undeclared_prefixes_are_refused() {
    refused_in_a_stream(Fault::Prefix, &["<x:message/>", "<message><x:y/></message>", "<message x:y='z'/>"]);
}

#[test]
fn a_header_that_is_too_long_is_refused() {
    let long = "x".repeat(300 * 1024);
    for input in [format!("<stream:stream id='{long}"), format!("<stream:stream id='{long}'>"), format!("<?xml {long}")] {
        let outcome = read(&input);
        assert_eq!((outcome.fault, outcome.events.len()), (Some(Fault::Bytes), 0));
    }
    let attributes: String = (0..65).map(|number| format!(" a{number}=''")).collect();
    assert_eq!(read(HEADER.replace(" from=", &format!("{attributes} from="))).fault, Some(Fault::Attributes));
}

#[test]
fn a_mebibyte_takes_away_one_stanza_and_nothing_else() {
    let long = "b".repeat(1024 * 1024);
    for (head, tail) in [("<body>", "</body>"), ("<body><![CDATA[", "]]></body>"), ("<x a='", "'/>"), ("", "")] {
        let message = format!("<message from='a@b' to='c@d' id='1'>{head}{long}{tail}</message>");
        let input = format!("{HEADER}{message}<presence/>").into_bytes();
        let outcome = read_pieces(Limits::default(), [&input[..]]);
        // Byte by byte this would take a while.
        assert_eq!(read_pieces(Limits::default(), input.chunks(1448)), outcome);
        assert_eq!(outcome.fault, None, "{head}");
        assert_eq!(outcome.refused()[0].fault, Fault::Bytes);
        assert_eq!(outcome.refused()[0].stanza.as_ref().unwrap().attribute("id"), Some("1"));
        assert!(outcome.stanzas()[0].is("presence", "jabber:client"));
    }
}

#[test]
fn ten_thousand_levels_take_away_one_stanza_and_nothing_else() {
    let deep = ["<x>".repeat(10_000), "</x>".repeat(10_000)].concat();
    let outcome = read_open(format!("<message id='1'>{deep}</message><presence/>"));
    assert_eq!((outcome.fault, outcome.refused()[0].fault), (None, Fault::Depth));
    assert!(outcome.stanzas()[0].is("presence", "jabber:client"));
}

#[test]
fn the_longest_addresses_are_read_and_longer_ones_are_no_addresses() {
    let part = "a".repeat(1023);
    let of = |labels| format!("{part}@{}/{part}", vec!["d".repeat(62); labels].join("."));
    // RFC 7622 §3.2 lets a domain have 1023 octets, and asks for a name that DNS can have: that ends at 253.
    let (longest, beyond) = (of(4), of(16));
    let addresses = |from: &str, to: &str| Addresses::of(read_open(format!("<iq from='{from}' to='{to}'/>")).stanzas()[0]);
    assert_eq!(addresses(&longest, &longest).map(|read| read.from.to_string()), Ok(longest.clone()));
    assert_eq!(addresses(&beyond, "c@d"), Err(AddressError::From));
    assert_eq!(addresses(&format!("a{longest}"), "c@d"), Err(AddressError::From));
    assert_eq!(addresses("a@b", &format!("{longest}a")), Err(AddressError::To));
}

/// XML 1.0 §3.3.3: written as they are they become spaces; written as references they stay, and make no address.
#[test]
fn line_ends_make_no_address() {
    let addresses = |from: &str| Addresses::of(read_open(format!("<iq from='{from}' to='c@d'/>")).stanzas()[0]);
    for evil in
        ["a&#13;&#10;@b", "a@b&#13;&#10;", "a@b/c&#13;&#10;X-Evil: 1", "a@b/&#133;", "a@b/&#8232;", "a@b/&#x7f;", "a\r\nb@c"]
    {
        assert_eq!(addresses(evil), Err(AddressError::From), "{evil}");
    }
    assert_eq!(addresses("a@b/c\r\nd").unwrap().from.as_str(), "a@b/c d");
}

/// One namespace name is shared by all elements under it: were it copied, this stanza would take a gigabyte.
#[test]
fn a_long_namespace_is_not_multiplied() {
    let outcome = read_open(format!("<a xmlns='{}'>{}</a>", "n".repeat(128 * 1024), "<b/>".repeat(8000)));
    assert_eq!(outcome.stanzas()[0].children().count(), 8000);
}

/// Were each piece a reason to look at all that is held, this would take many minutes.
#[test]
fn bytes_one_by_one_cost_no_more_than_at_once() {
    let long = "x".repeat(2 * 1024 * 1024);
    let mut framer = Framer::new(Limits { stanza_bytes: 8 * 1024 * 1024, depth: 2, ..Limits::default() });
    let mut stanzas = 0;
    for byte in format!("{HEADER}<message to='{long}'><body>{long}</body></message>").as_bytes().chunks(1) {
        let mut input = byte;
        while framer.next(&mut input).unwrap().is_some() {
            stanzas += 1;
        }
    }
    assert_eq!(stanzas, 2, "the header and the message");
}
