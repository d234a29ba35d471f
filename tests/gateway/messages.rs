//! Messages through the gateway, and what goes back when they fail.

use xmpp_gateway::gateway::action::Action;
use xmpp_gateway::process::host::HostError;
use xmpp_gateway::xmpp::element::Element;

use crate::support::*;

fn message(kind: &str, body: &str) -> String {
    format!("<message from='{ROMEO}/orchard' to='{JULIET}' id='m1' type='{kind}'>{body}</message>")
}

#[test]
fn a_chat_becomes_a_message() {
    let sent = Scene::new().stanza(&message("chat", "<body>Hi</body>"));
    assert_eq!(sent, ["MESSAGE sip:romeo@example.net;gr=orchard -> sip:juliet@sip.example.com"]);
}

#[test]
fn a_message_that_the_host_refuses_comes_back_as_an_error() {
    let mut scene = Scene::new();
    let mut actions = Vec::new();
    let stanza = Element::parse(&message("chat", "<body>Hi</body>")).unwrap();
    scene.gateway.stanza(scene.now, WALL, &stanza, &mut actions).unwrap();
    let Some(Action::Message(refused)) = actions.pop() else { panic!("no MESSAGE") };
    scene.gateway.message_refused(&refused, HostError::Refused(-1), &mut actions);
    let back = lines(actions);
    assert_eq!(back.len(), 1);
    let head = "<message type='error' from='juliet@sip.example.com' to='romeo@example.net/orchard' id='m1'>";
    assert!(back[0].starts_with(head) && back[0].contains("<internal-server-error "), "{back:?}");
}

#[test]
fn a_chat_state_without_text_sends_nothing() {
    let state = message("chat", "<composing xmlns='http://jabber.org/protocol/chatstates'/>");
    assert_eq!(Scene::new().stanza(&state), NOTHING);
}

#[test]
fn an_error_is_not_answered_and_sends_nothing() {
    let error = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    assert_eq!(Scene::new().stanza(&message("error", error)), NOTHING);
    assert_eq!(Scene::new().stanza(&message("error", "<body>Hi</body>")), NOTHING);
}

#[test]
fn a_malformed_recipient_is_an_error_and_a_missing_sender_ends_the_stream() {
    let mut scene = Scene::new();
    let back = scene.stanza(&format!("<message from='{ROMEO}' to='a b@sip.example.com' id='m1'><body>Hi</body></message>"));
    assert!(back[0].contains("<jid-malformed "), "{back:?}");
    let nobody = Element::parse(&format!("<message to='{JULIET}'><body>Hi</body></message>")).unwrap();
    assert!(scene.gateway.stanza(scene.now, WALL, &nobody, &mut Vec::new()).is_err());
}

#[test]
fn a_sender_that_only_its_server_finds_valid_costs_itself_an_error_and_nobody_the_stream() {
    let mut scene = Scene::new();
    let back = scene.stanza(&format!("<message from='{ROMEO}/\u{1F600}' to='{JULIET}' id='m1'><body>Hi</body></message>"));
    assert!(back[0].contains("to='romeo@example.net/\u{1F600}' id='m1'") && back[0].contains("<jid-malformed "), "{back:?}");
}

#[test]
fn what_comes_from_the_gateways_own_domain_goes_nowhere() {
    let mut scene = Scene::new();
    for name in ["message", "presence", "iq"] {
        let stanza = format!("<{name} from='mallory@sip.example.com/x' to='{JULIET}' type='get'><body>Hi</body></{name}>");
        assert_eq!(scene.stanza(&stanza), NOTHING);
    }
    assert_eq!(scene.stanza(&format!("<presence from='mallory@sip.example.com/x' to='{JULIET}'/>")), NOTHING);
}

#[test]
fn an_error_of_the_gateway_names_the_gateway() {
    let mut scene = Scene::new();
    let long = format!("<body>{}</body>", "x".repeat(2000));
    for (kind, body) in [("groupchat", "<body>Hi</body>"), ("chat", long.as_str())] {
        let back = scene.stanza(&message(kind, body));
        assert!(back[0].contains(" by='sip.example.com'") && back[0].contains(" id='m1'"), "{back:?}");
    }
}
