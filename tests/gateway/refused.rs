//! Stanzas beyond a limit: their senders are told, and nobody else notices (RFC 6120 §8.3).

use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::fault::Fault;
use xmpp_gateway::xmpp::stanza_error::Condition;
use xmpp_gateway::xmpp::stanza_error::ErrorType;
use xmpp_gateway::xmpp::stanza_error::StanzaError;

use crate::support::*;

#[test]
fn every_kind_of_stanza_is_returned_to_its_sender() {
    for (name, kind) in [
        ("message", ""),
        ("message", "type='chat'"),
        ("message", "type='groupchat'"),
        ("presence", ""),
        ("presence", "type='subscribe'"),
        ("presence", "type='probe'"),
        ("presence", "type='unavailable'"),
        ("iq", "type='get'"),
        ("iq", "type='set'"),
        ("iq", "type='other'"),
        ("iq", ""),
    ] {
        let stanza = format!("<{name} from='{ROMEO}/orchard' to='{JULIET}' id='x1' {kind}/>");
        let answer = Scene::new().refused(Some(&stanza), Fault::Depth);
        assert_eq!(answer.len(), 1, "{stanza}: {answer:?}");
        let answer = Element::parse(&answer[0]).unwrap();
        assert_eq!(answer.name(), name);
        let attributes = ["type", "from", "to", "id"].map(|name| answer.attribute(name).unwrap());
        assert_eq!(attributes, ["error", JULIET, "romeo@example.net/orchard", "x1"]);
        let StanzaError { condition, error_type, text, .. } = StanzaError::of(&answer).unwrap();
        assert_eq!((condition, error_type), (Condition::PolicyViolation, ErrorType::Modify));
        assert!(text.unwrap().contains("nested too deep"), "the text names the limit");
    }
}

#[test]
fn the_limit_is_named() {
    let faults = [Fault::Bytes, Fault::Depth, Fault::Attributes, Fault::Elements, Fault::Declarations];
    let stanza = format!("<message from='{ROMEO}' to='{JULIET}'/>");
    let mut texts: Vec<_> = faults.iter().flat_map(|fault| Scene::new().refused(Some(&stanza), *fault)).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), faults.len(), "{texts:?}");
}

#[test]
fn errors_and_answers_are_not_answered() {
    for stanza in ["message type='error'", "presence type='error'", "iq type='error'", "iq type='result'"] {
        let stanza = format!("<{stanza} from='{ROMEO}' to='{JULIET}' id='x1'/>");
        assert_eq!(Scene::new().refused(Some(&stanza), Fault::Bytes), NOTHING, "{stanza}");
    }
}

#[test]
fn what_has_no_sender_is_not_answered() {
    assert_eq!(Scene::new().refused(None, Fault::Bytes), NOTHING);
    for addresses in [format!("to='{JULIET}'"), format!("from='@@' to='{JULIET}'"), format!("from='{ROMEO}'")] {
        assert_eq!(Scene::new().refused(Some(&format!("<message {addresses}/>")), Fault::Bytes), NOTHING, "{addresses}");
    }
}

#[test]
fn what_is_for_another_domain_or_from_our_own_is_not_answered() {
    for (from, to) in [(ROMEO, "juliet@example.org"), (ROMEO, "example.net"), ("mallory@sip.example.com", JULIET)] {
        let stanza = format!("<message from='{from}' to='{to}' id='x1'/>");
        assert_eq!(Scene::new().refused(Some(&stanza), Fault::Bytes), NOTHING, "{stanza}");
    }
}

#[test]
fn a_refused_presence_changes_nothing() {
    let mut scene = Scene::new();
    let subscribe = format!("<presence from='{ROMEO}' to='{JULIET}' type='subscribe'/>");
    assert_eq!(scene.refused(Some(&subscribe), Fault::Bytes).len(), 1);
    assert_eq!(scene.romeo("subscribe"), SUBSCRIBED_FOR_AN_HOUR);
}
