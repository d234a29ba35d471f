//! What a well-behaved peer sends.

use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::fault::Fault;
use xmpp_gateway::xmpp::framer::Header;
use xmpp_gateway::xmpp::framer::Limits;
use xmpp_gateway::xmpp::framer::StreamEvent;
use xmpp_gateway::xmpp::ns;

use crate::HEADER;
use crate::read;
use crate::read_open;
use crate::read_within;

/// RFC 6120 §4.7.1 (header of a response), RFC 6121 §5.2.3 (message) and §4.7.2.1 (presence), then the end.
#[test]
fn the_examples_of_the_rfcs_are_read() {
    let outcome = read(
        "<?xml version='1.0'?>
         <stream:stream
             from='im.example.com'
             id='++TR84Sm6A3hnt3Q065SnAbbk3Y='
             to='juliet@im.example.com'
             version='1.0'
             xml:lang='en'
             xmlns='jabber:client'
             xmlns:stream='http://etherx.jabber.org/streams'>
         <message
             from='juliet@example.com/balcony'
             id='z94nb37h'
             to='romeo@example.net'
             type='chat'
             xml:lang='en'>
           <body>Wherefore art thou, Romeo?</body>
           <body xml:lang='cs'>PročeŽ jsi ty, Romeo?</body>
         </message>
         <presence xml:lang='en'><show>dnd</show><status>Wooing Juliet</status></presence>
         </stream:stream>",
    );
    assert_eq!(outcome.fault, None);
    let text = |text: &str| Some(text.to_owned());
    let header = Header {
        id: text("++TR84Sm6A3hnt3Q065SnAbbk3Y="),
        from: text("im.example.com"),
        to: text("juliet@im.example.com"),
        version: text("1.0"),
        lang: text("en"),
    };
    assert_eq!(outcome.events.first(), Some(&StreamEvent::Opened(header)));
    assert_eq!(outcome.events.last(), Some(&StreamEvent::Closed));
    let stanzas = outcome.stanzas();
    let [message, presence] = stanzas[..] else { panic!("two stanzas, not {stanzas:?}") };
    assert!(message.is("message", ns::CLIENT));
    assert_eq!(message.attribute("id"), Some("z94nb37h"));
    let bodies: Vec<_> = message.children().map(|body| (body.lang(), body.text())).collect();
    assert_eq!(bodies, [(None, "Wherefore art thou, Romeo?".into()), (Some("cs"), "PročeŽ jsi ty, Romeo?".into())]);
    assert_eq!(presence.child("show", ns::CLIENT).unwrap().text(), "dnd");
}

#[test]
fn a_component_stream_and_a_client_stream_give_the_same_stanzas() {
    let message = "<message to='a@b'><body>x</body></message>";
    for content in [ns::CLIENT, ns::SERVER, ns::COMPONENT_ACCEPT] {
        let header = format!("<stream:stream xmlns='{content}' xmlns:stream='{}'>", ns::STREAMS);
        assert_eq!(read(format!("{header}{message}")).stanzas(), [&Element::parse(message).unwrap()], "{content}");
    }
}

#[test]
fn prefixes_of_the_header_hold_for_every_stanza() {
    let outcome = read(
        "<s:stream xmlns:s='http://etherx.jabber.org/streams' xmlns:c='jabber:client' xmlns:d='urn:d'>\
         <c:message d:x='1'><d:a/><a/></c:message><s:error/></s:stream>",
    );
    let stanzas = outcome.stanzas();
    assert!(stanzas[0].is("message", ns::CLIENT));
    assert!(stanzas[0].child("a", "urn:d").is_some());
    assert!(stanzas[0].child("a", "").is_some());
    assert!(stanzas[1].is("error", ns::STREAMS));
    assert_eq!(outcome.events.last(), Some(&StreamEvent::Closed));
}

#[test]
fn a_declaration_ends_with_its_element() {
    let outcome = read_open("<iq><p:x xmlns:p='urn:p'/><p:y/></iq>");
    assert_eq!(outcome.fault, Some(Fault::Prefix));
    let outcome = read_open("<iq><x xmlns='urn:x'/><y/></iq><iq xmlns='urn:z'/><iq/>");
    assert!(outcome.stanzas()[0].child("y", ns::CLIENT).is_some());
    assert!(outcome.stanzas()[2].is("iq", ns::CLIENT));
}

#[test]
fn white_space_keeps_the_connection_alive() {
    let outcome = read_open(" \n<presence/>\t\r\n  <presence/> ");
    assert_eq!((outcome.stanzas().len(), outcome.fault), (2, None));
}

#[test]
fn text_arrives_as_it_was_sent() {
    let outcome = read_open(
        "<message><body> a\r\nb&#13;&#xA;&#x1F600;&lt;<![CDATA[<&amp;]]]]><![CDATA[>]]>\u{2028}\u{1F600}  </body></message>",
    );
    let body = outcome.stanzas()[0].child("body", ns::CLIENT).unwrap();
    assert_eq!(body.text(), " a\nb\r\n\u{1F600}<<&amp;]]>\u{2028}\u{1F600}  ");
}

#[test]
fn a_header_that_is_empty_opens_and_closes() {
    let outcome = read(HEADER.replace('>', "/>").replace("?/>", "?>"));
    assert!(matches!(outcome.events[..], [StreamEvent::Opened(_), StreamEvent::Closed]));
}

#[test]
fn nothing_is_read_behind_the_end() {
    let outcome = read_open("<presence/></stream:stream><presence/>\0<!DOCTYPE>");
    assert_eq!((outcome.events.len(), outcome.fault), (2, None));
}

#[test]
fn a_stanza_may_be_as_long_as_the_limit_and_no_longer() {
    let stanza = "<message><body>12345</body></message>";
    let limit = |stanza_bytes| Limits { stanza_bytes, depth: 2, ..Limits::default() };
    // The header is within any of these limits.
    let header = "<s:stream xmlns:s='http://etherx.jabber.org/streams'>";
    let padding = " ".repeat(100 - stanza.len());
    for (place, padded) in [
        ("text", stanza.replace("12345", &format!("12345{padding}"))),
        ("start tag", stanza.replace("<body", &format!("<body{padding}"))),
        ("end tag", stanza.replace("</body", &format!("</body{padding}"))),
        ("last tag", stanza.replace("</message", &format!("</message{padding}"))),
    ] {
        // Twice: what one stanza uses is not taken from the next.
        let input = format!("{header}{padded}  {padded}");
        let outcome = read_within(limit(100), input.as_bytes());
        assert_eq!((outcome.stanzas().len(), outcome.fault), (2, None), "{place}");
        for bytes in header.len()..100 {
            let outcome = read_within(limit(bytes), input.as_bytes());
            let faults: Vec<_> = outcome.refused().iter().map(|refused| refused.fault).collect();
            assert_eq!((outcome.stanzas().len(), outcome.fault), (0, None), "{place} with {bytes}");
            assert_eq!(faults, [Fault::Bytes; 2], "{place} with {bytes}");
        }
    }
}

#[test]
fn a_stanza_may_be_as_deep_as_the_limit_and_no_deeper() {
    let nested = |levels: usize| format!("<iq>{}{}</iq><iq/>", "<a>".repeat(levels - 1), "</a>".repeat(levels - 1));
    let outcome = read_open(nested(64));
    assert_eq!((outcome.stanzas().len(), outcome.fault), (2, None));
    // An empty element is a level of its own.
    for input in [nested(65), nested(64).replacen("</a>", "<b/></a>", 1)] {
        let outcome = read_open(input);
        let faults: Vec<_> = outcome.refused().iter().map(|refused| refused.fault).collect();
        assert_eq!((faults, outcome.stanzas().len(), outcome.fault), (vec![Fault::Depth], 1, None));
    }
}

#[test]
fn a_standalone_stanza_is_one_stanza() {
    assert!(Element::parse(" <presence/> \n").is_ok());
    assert_eq!(Element::parse("<presence/><presence/>"), Err(Fault::Format));
    assert_eq!(Element::parse("<presence>"), Err(Fault::NotWellFormed));
    assert_eq!(Element::parse(""), Err(Fault::NotWellFormed));
    assert_eq!(Element::parse("</stream:stream>"), Err(Fault::NotWellFormed));
    assert_eq!(Element::parse("<?xml version='1.0'?><presence/>"), Err(Fault::Restricted));
}
