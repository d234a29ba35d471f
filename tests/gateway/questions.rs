//! Questions to the gateway itself (RFC 6120 §8.2.3, XEP-0030, XEP-0199).

use crate::support::*;

fn iq(kind: &str, payload: &str) -> String {
    format!("<iq from='{ROMEO}/orchard' to='sip.example.com' id='q1' type='{kind}'>{payload}</iq>")
}

#[test]
fn a_ping_is_answered() {
    let answer = Scene::new().stanza(&iq("get", "<ping xmlns='urn:xmpp:ping'/>"));
    assert_eq!(answer, ["<iq type='result' from='sip.example.com' to='romeo@example.net/orchard' id='q1'/>"]);
}

#[test]
fn it_says_that_it_is_a_gateway() {
    let answer = Scene::new().stanza(&iq("get", "<query xmlns='http://jabber.org/protocol/disco#info'/>"));
    assert!(answer[0].contains("<identity category='gateway' type='simple' name='SIP'/>"), "{answer:?}");
}

#[test]
fn no_question_is_left_without_an_answer() {
    for kind in ["get", "set"] {
        let answer = Scene::new().stanza(&iq(kind, "<query xmlns='urn:example:unknown'/>"));
        assert!(answer[0].contains("type='error'") && answer[0].contains("<service-unavailable "), "{answer:?}");
    }
}

#[test]
fn answers_are_not_answered() {
    for kind in ["result", "error"] {
        assert_eq!(Scene::new().stanza(&iq(kind, "")), NOTHING);
    }
}
