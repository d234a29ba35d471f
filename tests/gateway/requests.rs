//! IQ requests to the gateway and to SIP users: each gets one answer, and the right one (RFC 6120 §8.2.3, §10.5).

use std::time::Duration;

use data_encoding::BASE64;
use sha1::Digest;
use sha1::Sha1;

use xmpp_gateway::sip::SubscriptionState;
use xmpp_gateway::translate::presence::Availability;
use xmpp_gateway::xmpp::activity;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::ns;
use xmpp_gateway::xmpp::stanza_error::Condition;
use xmpp_gateway::xmpp::stanza_error::StanzaError;

use crate::support::*;

const GATEWAY: &str = "sip.example.com";
const BALCONY: &str = "juliet@sip.example.com/balcony";

/// What can be asked for, by its feature.
const SERVICES: [(&str, &str); 7] = [
    ("http://jabber.org/protocol/disco#info", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
    ("http://jabber.org/protocol/disco#items", "<query xmlns='http://jabber.org/protocol/disco#items'/>"),
    ("jabber:iq:last", "<query xmlns='jabber:iq:last'/>"),
    ("jabber:iq:version", "<query xmlns='jabber:iq:version'/>"),
    ("urn:xmpp:ping", "<ping xmlns='urn:xmpp:ping'/>"),
    ("urn:xmpp:time", "<time xmlns='urn:xmpp:time'/>"),
    ("vcard-temp", "<vCard xmlns='vcard-temp'/>"),
];

/// Romeo asks; the answer goes to him, from whom he asked, with his id.
fn ask(scene: &mut Scene, to: &str, kind: &str, payload: &str) -> Element {
    ask_as(scene, "romeo@example.net/orchard", to, kind, payload)
}

fn ask_as(scene: &mut Scene, from: &str, to: &str, kind: &str, payload: &str) -> Element {
    let answers = scene.stanza(&format!("<iq from='{from}' to='{to}' type='{kind}' id='q1'>{payload}</iq>"));
    assert_eq!(answers.len(), 1, "{answers:?}");
    let answer = Element::parse(&answers[0]).unwrap();
    assert_eq!(["from", "to", "id"].map(|name| answer.attribute(name)), [Some(to), Some(from), Some("q1")]);
    answer
}

fn condition(answer: &Element) -> Option<Condition> {
    StanzaError::of(answer).map(|error| error.condition)
}

fn is_result(answer: &Element) -> bool {
    answer.attribute("type") == Some("result")
}

/// Romeo watches Juliet and is shown her balcony.
fn watching() -> Scene {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    scene.notify(SubscriptionState::Active, &[("balcony", Availability::Available), ("chamber", Availability::Unavailable)]);
    scene
}

fn info(answer: &Element) -> (Vec<&str>, Vec<&str>) {
    let query = answer.child("query", ns::DISCO_INFO).unwrap();
    let values = |name, attributes: &'static [&str]| {
        let found = query.children().filter(move |child| child.is(name, ns::DISCO_INFO));
        found.flat_map(|child| attributes.iter().map(|attribute| child.attribute(attribute).unwrap())).collect()
    };
    (values("identity", &["category", "type", "name"]), values("feature", &["var"]))
}

#[test]
fn what_disco_promises_is_answered_and_nothing_else_is() {
    for to in [GATEWAY, JULIET, BALCONY] {
        let mut scene = watching();
        let promised = ask(&mut scene, to, "get", SERVICES[0].1);
        let (_, features) = info(&promised);
        for (feature, payload) in SERVICES {
            let answer = ask(&mut scene, to, "get", payload);
            if features.contains(&feature) {
                assert!(is_result(&answer), "{to}: {feature}");
            } else {
                assert_eq!(condition(&answer), Some(Condition::ServiceUnavailable), "{to}: {feature}");
            }
        }
        // All others are said in presence or in messages, not asked for.
        let others: Vec<_> = features.iter().filter(|known| SERVICES.iter().all(|(feature, _)| feature != *known)).collect();
        let wanted = if to == GATEWAY { vec![&ns::CAPS, &ns::SHIM] } else { vec![&activity::NOTIFY, &ns::CAPS, &ns::SHIM] };
        assert_eq!(others, wanted, "{to}");
    }
}

#[test]
fn the_gateway_is_a_gateway_and_a_user_has_a_phone() {
    let mut scene = watching();
    assert_eq!(info(&ask(&mut scene, GATEWAY, "get", SERVICES[0].1)).0, ["gateway", "simple", "SIP gateway"]);
    for to in [JULIET, BALCONY] {
        let answer = ask(&mut scene, to, "get", SERVICES[0].1);
        assert_eq!(info(&answer).0, ["client", "phone", "SIP"]);
        assert!(!info(&answer).1.contains(&"jabber:iq:version"));
    }
}

#[test]
fn there_are_no_items() {
    for to in [GATEWAY, JULIET] {
        let answer = ask(&mut watching(), to, "get", SERVICES[1].1);
        assert_eq!(answer.child("query", ns::DISCO_ITEMS).unwrap().children().count(), 0);
    }
}

#[test]
fn the_node_of_the_capabilities_answers_as_none_does() {
    let mut scene = watching();
    let presence = Element::parse(&scene.stanza(&format!("<presence from='{ROMEO}' to='{GATEWAY}' type='probe'/>"))[0]).unwrap();
    let caps = presence.child("c", ns::CAPS).unwrap();
    let node = format!("{}#{}", caps.attribute("node").unwrap(), caps.attribute("ver").unwrap());
    let without = ask(&mut scene, GATEWAY, "get", SERVICES[0].1);
    let with = ask(&mut scene, GATEWAY, "get", &format!("<query xmlns='{}' node='{node}'/>", ns::DISCO_INFO));
    assert_eq!(info(&with), info(&without));
    assert_eq!(with.child("query", ns::DISCO_INFO).unwrap().attribute("node"), Some(node.as_str()));

    // The hash, made from what was answered (XEP-0115 §5.1).
    let (identity, mut features) = info(&with);
    features.sort_unstable();
    let text = format!("{}/{}//{}<{}<", identity[0], identity[1], identity[2], features.join("<"));
    assert_eq!(caps.attribute("ver"), Some(BASE64.encode(&Sha1::digest(text)).as_str()));
    assert_eq!(caps.attribute("hash"), Some("sha-1"));
}

#[test]
fn an_unknown_node_is_not_found() {
    for (_, payload) in &SERVICES[..2] {
        for to in [GATEWAY, JULIET] {
            let answer = ask(&mut Scene::new(), to, "get", &payload.replace("/>", " node='other'/>"));
            assert_eq!(condition(&answer), Some(Condition::ItemNotFound), "{to} {payload}");
        }
    }
}

#[test]
fn a_ping_is_answered_with_nothing_inside() {
    for to in [GATEWAY, JULIET, BALCONY] {
        assert_eq!(ask(&mut watching(), to, "get", SERVICES[4].1).children().count(), 0);
    }
}

#[test]
fn the_gateway_tells_its_name_and_version() {
    let answer = ask(&mut Scene::new(), GATEWAY, "get", SERVICES[3].1);
    let query = answer.child("query", ns::VERSION).unwrap();
    assert_eq!(query.child("name", ns::VERSION).unwrap().text(), "xmpp_gateway");
    assert_eq!(query.child("version", ns::VERSION).unwrap().text(), env!("CARGO_PKG_VERSION"));
    assert_eq!(query.children().count(), 2);
}

#[test]
fn the_gateway_tells_the_time_it_is_given() {
    let answer = ask(&mut Scene::new(), GATEWAY, "get", SERVICES[5].1);
    let time = answer.child("time", ns::TIME).unwrap();
    assert_eq!(time.child("utc", ns::TIME).unwrap().text(), "1970-01-01T00:00:00Z");
    assert_eq!(time.child("tzo", ns::TIME).unwrap().text(), "+00:00");
}

#[test]
fn the_gateway_tells_how_long_it_runs() {
    let mut scene = Scene::new();
    scene.pass(Duration::from_millis(3_723_999));
    let answer = ask(&mut scene, GATEWAY, "get", SERVICES[2].1);
    assert_eq!(answer.child("query", ns::LAST).unwrap().attribute("seconds"), Some("3723"));
}

#[test]
fn a_vcard_has_the_name_that_presence_brought_and_only_for_who_saw_it() {
    let mut scene = watching();
    let name = |answer: Element| {
        let card = answer.child("vCard", ns::VCARD).unwrap();
        card.child("FN", ns::VCARD).map(|name| name.text().into_owned())
    };
    assert_eq!(name(ask(&mut scene, JULIET, "get", SERVICES[6].1)).as_deref(), Some("Juliet Capulet"));
    assert_eq!(name(ask_as(&mut scene, "tybalt@example.net/sword", JULIET, "get", SERVICES[6].1)), None);
    assert_eq!(name(ask(&mut scene, "nobody@sip.example.com", "get", SERVICES[6].1)), None);
    assert_eq!(name(ask(&mut scene, GATEWAY, "get", SERVICES[6].1)).as_deref(), Some("SIP gateway"));
    scene.notify(SubscriptionState::Terminated(xmpp_gateway::sip::Reason::Rejected), &[]);
    assert_eq!(name(ask(&mut scene, JULIET, "get", SERVICES[6].1)), None);
}

#[test]
fn a_device_answers_whom_its_presence_is_shown() {
    let mut scene = watching();
    for (from, to) in [
        ("tybalt@example.net/sword", BALCONY),
        ("romeo@example.net/orchard", "juliet@sip.example.com/chamber"),
        ("romeo@example.net/orchard", "juliet@sip.example.com/other"),
    ] {
        for (_, payload) in SERVICES {
            let answer = ask_as(&mut scene, from, to, "get", payload);
            assert_eq!(condition(&answer), Some(Condition::ServiceUnavailable), "{from} {to} {payload}");
        }
    }
    // ejabberd asks in its own name what the capabilities in a presence mean.
    assert!(is_result(&ask_as(&mut scene, "example.net", BALCONY, "get", SERVICES[0].1)));
    let ping = ask_as(&mut scene, "example.net", BALCONY, "get", SERVICES[4].1);
    assert_eq!(condition(&ping), Some(Condition::ServiceUnavailable));
}

#[test]
fn nobody_lives_at_other_addresses() {
    for to in ["sip.example.com/x", r"a\5cb@sip.example.com"] {
        for (_, payload) in SERVICES {
            let answer = ask(&mut Scene::new(), to, "get", payload);
            assert_eq!(condition(&answer), Some(Condition::ServiceUnavailable), "{to} {payload}");
        }
    }
}

#[test]
fn every_other_request_is_answered_with_service_unavailable() {
    for to in [GATEWAY, JULIET, BALCONY] {
        let others = [
            "<query xmlns='jabber:iq:roster'/>",
            "<query xmlns='urn:xmpp:ping'/>",
            "<ping xmlns='http://jabber.org/protocol/disco#info'/>",
            "<ping/>",
            "<x xmlns=''/>",
        ];
        for payload in others {
            let answer = ask(&mut watching(), to, "get", payload);
            assert_eq!(condition(&answer), Some(Condition::ServiceUnavailable), "{to} {payload}");
        }
        for payload in others.into_iter().chain(SERVICES.map(|(_, payload)| payload)) {
            let answer = ask(&mut watching(), to, "set", payload);
            assert_eq!(condition(&answer), Some(Condition::ServiceUnavailable), "set {to} {payload}");
        }
    }
}

#[test]
fn a_malformed_request_is_a_bad_request() {
    let ping = SERVICES[4].1;
    for (attributes, payload) in [
        ("type='get'", ping.to_owned()),
        ("id='q1'", ping.to_owned()),
        ("id='q1' type='fetch'", ping.to_owned()),
        ("id='q1' type='get'", String::new()),
        ("id='q1' type='set'", "text".to_owned()),
        ("id='q1' type='get'", format!("{ping}{ping}")),
        ("id='q1' type='set'", format!("{ping}<x xmlns='urn:x'/>")),
    ] {
        for to in [GATEWAY, JULIET, BALCONY, "sip.example.com/x"] {
            let answers = Scene::new().stanza(&format!("<iq from='{ROMEO}' to='{to}' {attributes}>{payload}</iq>"));
            assert_eq!(answers.len(), 1, "{attributes} {payload}");
            let answer = Element::parse(&answers[0]).unwrap();
            assert_eq!(condition(&answer), Some(Condition::BadRequest), "{attributes} {payload}");
            assert_eq!(answer.attribute("id"), attributes.contains("id=").then_some("q1"));
        }
    }
}

#[test]
fn an_answer_that_nobody_waits_for_is_dropped() {
    for to in [GATEWAY, JULIET, BALCONY] {
        for (kind, payload) in [
            ("result", ""),
            ("result", SERVICES[0].1),
            ("error", ""),
            ("error", "<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"),
        ] {
            for id in ["", "id='q1'"] {
                let stanza = format!("<iq from='{ROMEO}' to='{to}' type='{kind}' {id}>{payload}{payload}</iq>");
                assert_eq!(watching().stanza(&stanza), NOTHING, "{stanza}");
            }
        }
    }
}
