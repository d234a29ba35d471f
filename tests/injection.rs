//! Text of peers stays text: no field of a stanza adds a line to a SIP request, and none of a SIP request an element to a stanza.
//!
//! Every field is filled with arbitrary strings, control characters and markup among them, and what comes out is put together as the
//! hosts' tm does it and looked at line by line, or read by the parser of a server.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

use std::time::Instant;
use std::time::SystemTime;

use proptest::collection::vec;
use proptest::prelude::*;
use xmpp_gateway::address::Addresses;
use xmpp_gateway::config::Config;
use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::Gateway;
use xmpp_gateway::gateway::action::Action;
use xmpp_gateway::sip;
use xmpp_gateway::sip::dialog_info;
use xmpp_gateway::sip::pidf;
use xmpp_gateway::translate::disposition;
use xmpp_gateway::translate::disposition::Times;
use xmpp_gateway::translate::failure;
use xmpp_gateway::translate::message;
use xmpp_gateway::translate::message::StanzaType;
use xmpp_gateway::translate::message::ToXmpp;
use xmpp_gateway::translate::presence;
use xmpp_gateway::xml::XmlWriter;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::stanza;

const JULIET: &str = "juliet@sip.example.com";

/// What a stanza can hold: XML 1.0 leaves these of the control characters.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "(?s)[\\r\\n\\t\u{7f}-\u{9f}\u{2028}\u{feff}<>\"';:,@%\\\\a-cäß😀 ]{0,12}",
        1 => "(?s).{0,12}",
        1 => Just("x\r\nX-Evil: 1\r\n\r\nMESSAGE sip:a@b SIP/2.0".to_owned()),
        1 => Just("]]></body><x/>".to_owned()),
    ]
}

/// Bytes as a SIP request may hold them.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => "(?s).{0,16}".prop_map(String::into_bytes), 2 => text().prop_map(String::into_bytes), 1 => vec(any::<u8>(), 0..16)]
}

/// With addresses of each scheme in turn.
fn gateway(scheme: u8) -> Gateway {
    let base = Parameters {
        xmpp_domain: Some("sip.example.com".into()),
        xmpp_password: Some("secret".into()),
        server_address: Some("sip:gateway@sip.example.com".into()),
        rate_limit: Some(0),
        rate_limit_domain: Some(0),
        dialog_event: Some(1),
        ..Parameters::default()
    };
    let parameters = match scheme {
        0 => base,
        1 => Parameters { gwmap: vec!["phones.example=sip.example.com".into()], ..base },
        _ => Parameters { domain_separator: Some("*".into()), gateway_domain: Some("gw.example".into()), ..base },
    };
    Gateway::new(&Config::from_parameters(&parameters).unwrap(), Instant::now(), 1)
}

/// A request as tm writes it, one line after the other.
fn request_lines(action: Action) -> Vec<String> {
    let (method, uri, from, call_id, headers) = match action {
        Action::Stanza(stanza) => {
            assert!(Element::parse(&stanza).is_ok(), "{stanza}");
            return Vec::new();
        }
        Action::Message(sip::Message { to, from, call_id, headers, .. }) => ("MESSAGE", to, from, call_id, headers),
        Action::Publish(sip::Publish { presentity, id, body, .. }) => {
            assert!(id.bytes().all(|byte| byte.is_ascii_graphic()) && id.len() < 100, "{id:?}");
            assert!(body.is_none_or(|body| pidf::Document::parse(&body).is_ok_and(|document| document.tuples.len() == 1)));
            ("PUBLISH", presentity.clone(), presentity, None, sip::Headers::default())
        }
        Action::Withdraw(withdrawal) => {
            ("PUBLISH", withdrawal.presentity.clone(), withdrawal.presentity, None, sip::Headers::default())
        }
        Action::TellWatchers(presentity) => ("NOTIFY", presentity.clone(), presentity, None, sip::Headers::default()),
        Action::Lamp(sip::Publish { presentity, id, body, .. }) => {
            assert_eq!(id, "lamp");
            assert!(
                body.is_none_or(|body| dialog_info::Document::parse(&body).is_ok_and(|document| document.dialogs.len() == 1))
            );
            ("PUBLISH", presentity.clone(), presentity, None, sip::Headers::default())
        }
        Action::Subscribe(sip::Subscribe { presentity, watcher, .. }) => {
            ("SUBSCRIBE", presentity, watcher, None, sip::Headers::default())
        }
        // No stanza here meets a dialog; what may stand in one is tested where it is made.
        Action::Notify(_) | Action::EndDialog(_) => return Vec::new(),
        Action::Authorize { presentity_uri, .. } => {
            ("NOTIFY", presentity_uri.clone(), presentity_uri, None, sip::Headers::default())
        }
    };
    let call_id = call_id.map_or_else(|| "1@host".to_owned(), |call_id| call_id.to_string());
    let request = format!("{method} {uri} SIP/2.0\r\nTo: <{uri}>\r\nFrom: <{from}>;tag=1\r\nCall-ID: {call_id}\r\n{headers}\r\n");
    request.split("\r\n").map(str::to_owned).collect()
}

/// Whether these are the lines that were meant, and no others.
fn check(lines: &[String]) -> Result<(), TestCaseError> {
    let Some((end, lines)) = lines.split_last() else { return Ok(()) };
    let Some((empty, lines)) = lines.split_last() else { return Err(TestCaseError::fail("one line")) };
    prop_assert!(end.is_empty() && empty.is_empty());
    let mut known =
        ["To: <sip:", "From: <sip:", "Call-ID: ", "Content-Type: text/plain", "Content-Language: ", "Subject: "].iter();
    for (index, line) in lines.iter().enumerate() {
        prop_assert!(!line.contains(char::is_control), "{line:?}");
        if index == 0 {
            prop_assert_eq!(line.split(' ').count(), 3, "{:?}", line);
        } else {
            prop_assert!(known.any(|start| line.starts_with(start)), "{:?}", lines);
        }
        if index <= 2 {
            prop_assert!(line.is_ascii() && line.matches(['<', '>']).count() == if index == 0 { 0 } else { 2 }, "{line:?}");
        }
        if index == 3 {
            prop_assert!(
                line.strip_prefix("Call-ID: ").is_some_and(|id| id.bytes().all(|byte| byte.is_ascii_graphic())),
                "{line:?}"
            );
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn no_field_of_a_message_adds_a_line(
        scheme in 0u8..3, subject in text(), thread in text(), language in text(), body in text(), id in text(), kind in text(),
        node in text(), domain in text(), resource in text(), user in text(), device in text(),
    ) {
        let mut xml = XmlWriter::new();
        xml.open("message").attribute("type", &kind).attribute("id", &id).attribute("xml:lang", &language);
        xml.attribute("from", &format!("{node}@{domain}.example/{resource}")).attribute("to", &format!("{user}@sip.example.com/{device}"));
        xml.open("subject").text(&subject).close();
        xml.open("thread").text(&thread).close();
        xml.open("body").attribute("xml:lang", &language).text(&body);
        run(scheme, &xml.finish())?;
        // Of arbitrary addresses few are valid: the other fields once more, with plain ones.
        let mut xml = XmlWriter::new();
        xml.open("message").attribute("from", &format!("romeo@example.net/{resource}")).attribute("to", &format!("urn*b.example@sip.example.com/urn:{device}"));
        xml.attribute("xml:lang", &language).attribute("id", &id);
        xml.open("subject").text(&subject).close();
        xml.open("thread").text(&thread).close();
        xml.open("body").text(&body);
        run(scheme, &xml.finish())?;
    }

    #[test]
    fn no_field_of_a_presence_adds_a_line(
        scheme in 0u8..3, kind in 0usize..7, status in text(), show in text(), priority in text(), language in text(), node in text(),
        resource in text(), user in text(),
    ) {
        let mut xml = XmlWriter::new();
        xml.open("presence").attribute("from", &format!("{node}romeo@example.net/{resource}"));
        xml.attribute("to", &format!("{user}*b.example@sip.example.com")).attribute("xml:lang", &language);
        let kinds = ["subscribe", "subscribed", "unsubscribe", "unsubscribed", "probe", "unavailable"];
        xml.attribute_if("type", kinds.get(kind).copied());
        xml.open("show").text(&show).close();
        xml.open("priority").text(&priority).close();
        xml.open("status").attribute("xml:lang", &language).text(&status);
        run(scheme, &xml.finish())?;
    }

    #[test]
    fn no_field_of_a_message_from_sip_adds_an_element(
        body in bytes(), subject in bytes(), call_id in bytes(), branch in bytes(), language in bytes(), user in bytes(), gr in bytes(),
    ) {
        let addresses = Addresses::new(xmpp_gateway::address::Scheme::Transparent).unwrap();
        let uri = |user: &[u8], gr: &[u8]| [b"sip:".as_slice(), user, b"@a.example;gr=", gr].concat();
        for (from, request_uri) in [(uri(&user, &gr), uri(&user, b"")), (uri(b"c", b"d"), uri(b"a", b""))] {
            let request = sip::Request {
                request_uri, from, body: body.clone(), call_id: call_id.clone(), branch: branch.clone(),
                subject: Some(subject.clone()), content_language: Some(language.clone()), ..sip::Request::default()
            };
            let Ok(ToXmpp::Stanza(stanza, None)) = message::to_xmpp(&request, &addresses, StanzaType::Chat) else { continue };
            let element = Element::parse(&stanza).unwrap();
            let names: Vec<&str> = element.children().map(Element::name).collect();
            prop_assert!(matches!(names[..], ["subject", "body"] | ["subject", "body", "thread"]), "{}", stanza);
            prop_assert!(element.children().all(|child| child.children().next().is_none()), "{}", stanza);
            prop_assert!(xmpp_gateway::xml::is_legal(&stanza), "{stanza:?}");
        }
    }

    #[test]
    fn no_field_of_a_wrapped_message_adds_a_line_to_its_notification(
        id in bytes(), time in bytes(), to in bytes(), original in bytes(), route in bytes(), user in "[a-z%&'()]{1,8}",
    ) {
        let lines = [
            b"NS: imdn <urn:ietf:params:imdn>\r\nimdn.Disposition-Notification: negative-delivery\r\nimdn.Message-ID: x".as_slice(), &id,
            b"\r\nDateTime: ", &time, b"\r\nTo: <", &to, b">\r\nimdn.Original-To: <", &original,
            b">\r\nimdn.IMDN-Record-Route: <", &route, b">\r\n\r\nContent-Type: text/plain\r\n\r\nHi",
        ];
        let request = sip::Request {
            request_uri: format!("sip:{user}@a.example").into_bytes(), from: format!("sip:{user}@b.example").into_bytes(),
            content_type: Some(b"message/cpim".to_vec()), branch: b"1".to_vec(), body: lines.concat(), ..sip::Request::default()
        };
        let addresses = Addresses::new(xmpp_gateway::address::Scheme::Transparent).unwrap();
        let Ok(ToXmpp::Stanza(_, Some(wanted))) = message::to_xmpp(&request, &addresses, StanzaType::Chat) else { return Ok(()) };
        let times = Times { came: SystemTime::UNIX_EPOCH, now: SystemTime::UNIX_EPOCH };
        let Ok(message) = disposition::failed(&wanted, times, &addresses, 1, message::DEFAULT_LIMIT) else { return Ok(()) };
        let body = String::from_utf8(message.body).unwrap();
        let (head, rest) = body.split_once("\r\n\r\n").unwrap();
        let names: Vec<&str> = head.split("\r\n").map(|line| line.split(':').next().unwrap()).collect();
        let (known, routes) = names.split_at(5);
        prop_assert_eq!(known, ["From", "To", "DateTime", "NS", "imdn.Message-ID"]);
        prop_assert!(matches!(routes, [] | ["imdn.IMDN-Route"]), "{}", head);
        let (head, document) = rest.split_once("\r\n\r\n").unwrap();
        prop_assert_eq!(head.split("\r\n").count(), 3, "{}", head);
        let document = document.split_once("?>").unwrap().1;
        let names: Vec<String> = Element::parse(document).unwrap().children().map(|child| child.name().to_owned()).collect();
        let fixed = |name: &String| matches!(name.as_str(), "message-id" | "datetime" | "delivery-notification");
        let uri = |name: &String| matches!(name.as_str(), "recipient-uri" | "original-recipient-uri");
        prop_assert_eq!(names.iter().filter(|name| fixed(name)).count(), 3);
        prop_assert!(names.iter().all(|name| fixed(name) || uri(name)), "{}", document);
    }

    #[test]
    fn no_field_of_a_presence_document_adds_an_element(
        id in text(), note in text(), language in text(), uri in text(), header in bytes(), entity in text(),
    ) {
        let mut xml = XmlWriter::document();
        xml.open("presence").attribute("xmlns", "urn:ietf:params:xml:ns:pidf").attribute("entity", &entity);
        xml.open("tuple").attribute("id", &id);
        xml.open("status").open("basic").text("open").close().close();
        xml.open("contact").text(&uri).close();
        xml.open("note").attribute("xml:lang", &language).text(&note);
        let Ok(document) = pidf::Document::parse(xml.finish().as_bytes()) else { return Ok(()) };
        let language = sip::header::content_language(&header);
        for presence in presence::to_xmpp(&document, JULIET, "romeo@example.net", language, None) {
            let element = Element::parse(&presence.stanza).unwrap();
            prop_assert!(element.children().all(|child| child.name() == "status" && child.children().next().is_none()), "{:?}", presence);
            prop_assert!(xmpp_gateway::xml::is_legal(&presence.stanza), "{presence:?}");
        }
    }

    #[test]
    fn no_reason_phrase_and_no_contact_of_a_failure_adds_an_element(status in 300u16..700, reason in "(?s).{0,20}", contact in text(), id in text()) {
        let error = failure::to_xmpp(status, &reason, Some(&contact)).unwrap();
        let stanza = stanza::error_stanza(stanza::Kind::Message, JULIET, "romeo@example.net", Some(&id), &error);
        let element = Element::parse(&stanza).unwrap();
        prop_assert_eq!(element.children().map(Element::name).collect::<Vec<_>>(), ["error"]);
        let texts = element.children().flat_map(Element::children).filter(|child| child.name() == "text").count();
        prop_assert_eq!(texts, usize::from(!reason.is_empty()));
        prop_assert!(xmpp_gateway::xml::is_legal(&stanza), "{stanza:?}");
    }
}

/// Gives a stanza to a gateway and looks at all that it does.
fn run(scheme: u8, stanza: &str) -> Result<(), TestCaseError> {
    let mut actions = Vec::new();
    if gateway(scheme).stanza(Instant::now(), SystemTime::now(), &Element::parse(stanza).unwrap(), &mut actions).is_ok() {
        for action in actions {
            check(&request_lines(action))?;
        }
    }
    Ok(())
}

/// The properties above would hold if nothing ever came out.
#[test]
fn something_does_come_out() {
    for (scheme, kind, inside) in [
        (0, "message", "<subject>a&#13;&#10;X: y</subject><thread>a&#10;b</thread><body xml:lang='de'>&#10;</body>"),
        (1, "message", "<body>x</body>"),
        (2, "presence type='subscribe'", ""),
        (2, "presence", "<status>&#13;&#10;</status>"),
    ] {
        let name = kind.split(' ').next().unwrap();
        let stanza = format!("<{kind} from='romeo@example.net/a' to='u*b.example@sip.example.com'>{inside}</{name}>");
        let mut actions = Vec::new();
        gateway(scheme).stanza(Instant::now(), SystemTime::now(), &Element::parse(&stanza).unwrap(), &mut actions).unwrap();
        let lines: Vec<String> = actions.into_iter().flat_map(request_lines).collect();
        assert!(lines.len() > 4, "{stanza}: {lines:?}");
        check(&lines).unwrap();
    }
}
