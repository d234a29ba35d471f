//! The presence of the gateway itself: told to who asks, taken back when it stops (RFC 6121 §4.3, §4.6).

use xmpp_gateway::gateway::own_presence::MAX_TOLD;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::ns;

use crate::support::*;

const GATEWAY: &str = "sip.example.com";

/// What was sent to this JID comes back.
fn come_back(scene: &mut Scene, from: &str, kind: &str, condition: &str) {
    let error = format!("<error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
    let stanza = format!("<presence from='{from}' to='{GATEWAY}' type='error'>{error}</presence>");
    assert_eq!(scene.stanza(&stanza), NOTHING);
}

fn send(scene: &mut Scene, from: &str, kind: &str) -> Vec<String> {
    scene.stanza(&format!("<presence from='{from}' to='{GATEWAY}' type='{kind}'/>"))
}

/// Whether this is available presence of the gateway to this JID, with its capabilities.
fn is_available(stanza: &str, to: &str) -> bool {
    let presence = Element::parse(stanza).unwrap();
    let attributes = ["from", "to", "type"].map(|name| presence.attribute(name));
    attributes == [Some(GATEWAY), Some(to), None] && presence.child("c", ns::CAPS).is_some()
}

fn from_gateway(to: &str, kind: &str) -> String {
    format!("<presence from='{GATEWAY}' to='{to}' type='{kind}'/>")
}

#[test]
fn who_subscribes_is_subscribed_and_shown_the_gateway() {
    let answer = send(&mut Scene::new(), ROMEO, "subscribe");
    assert_eq!(answer.len(), 2);
    assert_eq!(answer[0], from_gateway(ROMEO, "subscribed"));
    assert!(is_available(&answer[1], ROMEO), "{answer:?}");
}

#[test]
fn who_probes_is_shown_the_gateway() {
    for from in [ROMEO, "romeo@example.net/orchard"] {
        let answer = send(&mut Scene::new(), from, "probe");
        assert_eq!(answer.len(), 1);
        assert!(is_available(&answer[0], from), "{answer:?}");
    }
}

#[test]
fn who_was_told_is_told_of_the_end_once() {
    let mut scene = Scene::new();
    send(&mut scene, ROMEO, "subscribe");
    send(&mut scene, "romeo@example.net/orchard", "probe");
    send(&mut scene, "tybalt@example.net/sword", "probe");
    let end = [from_gateway(ROMEO, "unavailable"), from_gateway("tybalt@example.net", "unavailable")];
    assert_eq!(scene.stop(), end);
    assert_eq!(scene.stop(), NOTHING);
}

#[test]
fn after_a_broken_stream_the_gateway_is_there_again() {
    let mut scene = Scene::new();
    send(&mut scene, ROMEO, "subscribe");
    scene.stream_down();
    let again = scene.stream_up();
    assert_eq!(again.len(), 1);
    assert!(is_available(&again[0], ROMEO), "{again:?}");
}

#[test]
fn who_unsubscribes_sees_it_no_more() {
    let mut scene = Scene::new();
    send(&mut scene, ROMEO, "subscribe");
    let end = [from_gateway(ROMEO, "unavailable"), from_gateway(ROMEO, "unsubscribed")];
    assert_eq!(send(&mut scene, ROMEO, "unsubscribe"), end);
    assert_eq!(scene.stop(), NOTHING);
}

#[test]
fn who_cannot_be_told_is_forgotten() {
    let mut scene = Scene::new();
    for error in ["gone", "remote-server-not-found", "forbidden"] {
        send(&mut scene, ROMEO, "subscribe");
        come_back(&mut scene, ROMEO, "cancel", error);
        assert_eq!(scene.stop(), NOTHING, "{error}");
    }
}

#[test]
fn who_cannot_be_told_just_now_is_told_later() {
    let mut scene = Scene::new();
    send(&mut scene, ROMEO, "subscribe");
    come_back(&mut scene, ROMEO, "wait", "remote-server-timeout");
    scene.stream_down();
    let again = scene.stream_up();
    assert!(again.len() == 1 && is_available(&again[0], ROMEO), "{again:?}");
    assert_eq!(scene.stop(), [from_gateway(ROMEO, "unavailable")]);
}

#[test]
fn a_device_that_is_gone_is_not_the_user() {
    let mut scene = Scene::new();
    send(&mut scene, "romeo@example.net/orchard", "probe");
    come_back(&mut scene, "romeo@example.net/orchard", "cancel", "service-unavailable");
    assert_eq!(scene.stop(), [from_gateway(ROMEO, "unavailable")]);
}

#[test]
fn what_asks_for_nothing_is_not_answered() {
    let mut scene = Scene::new();
    for kind in ["unavailable", "subscribed", "unsubscribed", "error"] {
        assert_eq!(send(&mut scene, ROMEO, kind), NOTHING, "{kind}");
    }
    assert_eq!(scene.stanza(&format!("<presence from='{ROMEO}/orchard' to='{GATEWAY}'/>")), NOTHING);
    assert_eq!(scene.stop(), NOTHING);
    let odd = send(&mut scene, ROMEO, "odd");
    assert!(odd[0].contains("<bad-request "), "{odd:?}");
}

#[test]
fn another_domain_is_not_spoken_for() {
    let mut scene = Scene::new();
    for kind in ["subscribe", "probe", "unsubscribe"] {
        let stanza = format!("<presence from='{ROMEO}' to='elsewhere.example.com' type='{kind}'/>");
        assert_eq!(scene.stanza(&stanza), NOTHING, "{kind}");
    }
}

#[test]
fn who_finds_no_place_is_answered_all_the_same() {
    let mut scene = Scene::new();
    for number in 0..=MAX_TOLD {
        send(&mut scene, &format!("u{number}@d{}.example.net", number % 2), "probe");
    }
    assert!(is_available(&send(&mut scene, ROMEO, "probe")[0], ROMEO));
    let told = scene.stop();
    assert_eq!(told.len(), MAX_TOLD);
    assert!(!told.iter().any(|stanza| stanza.contains(ROMEO)));
}

#[test]
fn one_domain_leaves_places_to_others() {
    let mut scene = Scene::new();
    for number in 0..MAX_TOLD {
        send(&mut scene, &format!("u{number}@evil.example"), "probe");
    }
    send(&mut scene, ROMEO, "probe");
    assert!(scene.stop().contains(&from_gateway(ROMEO, "unavailable")));
}
