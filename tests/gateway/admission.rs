//! What does not come in: stanzas of our own domain, for another, of a domain that is not allowed, and too many of one user.

use std::time::Duration;

use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::action::Action;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::stanza_error::Condition;
use xmpp_gateway::xmpp::stanza_error::ErrorType;
use xmpp_gateway::xmpp::stanza_error::StanzaError;

use crate::support::*;

const KINDS: [(&str, &str, &str); 7] = [
    ("message", "type='chat'", "<body>Hi</body>"),
    ("presence", "", ""),
    ("presence", "type='subscribe'", ""),
    ("presence", "type='probe'", ""),
    ("presence", "type='unsubscribe'", ""),
    ("iq", "type='get'", "<ping xmlns='urn:xmpp:ping'/>"),
    ("iq", "type='set'", "<x xmlns='urn:x'/>"),
];

fn stanza((name, kind, inside): (&str, &str, &str), from: &str, to: &str) -> String {
    format!("<{name} from='{from}' to='{to}' id='x1' {kind}>{inside}</{name}>")
}

fn chat(from: &str) -> String {
    stanza(KINDS[0], from, JULIET)
}

/// The one answer that there is, if it is an error.
fn error(answers: &[String]) -> (Condition, ErrorType) {
    let [answer] = answers else { panic!("{answers:?}") };
    let error = StanzaError::of(&Element::parse(answer).unwrap()).unwrap();
    (error.condition, error.error_type)
}

fn limited(rate_limit: i64, rate_limit_domain: i64) -> Scene {
    Scene::with(Parameters { rate_limit: Some(rate_limit), rate_limit_domain: Some(rate_limit_domain), ..Parameters::default() })
}

fn with_domains(allow: &[&str], deny: &[&str]) -> Scene {
    let owned = |domains: &[&str]| domains.iter().map(|domain| (*domain).to_owned()).collect();
    Scene::with(Parameters { allow_domain: owned(allow), deny_domain: owned(deny), ..Parameters::default() })
}

#[test]
fn what_is_for_another_domain_goes_nowhere_and_the_stream_goes_on() {
    let mut scene = Scene::new();
    for kind in KINDS {
        for to in [
            "juliet@example.net",
            "sip.example.org",
            "juliet@sub.sip.example.com",
            "juliet@example.com/x",
            "@@",
            "a b@example.net",
        ] {
            assert_eq!(scene.stanza(&stanza(kind, ROMEO, to)), NOTHING, "{kind:?} to {to}");
        }
    }
    assert_eq!(scene.stanza(&chat(ROMEO)).len(), 1, "ours still comes in");
}

#[test]
fn what_is_from_our_own_domain_goes_nowhere() {
    let mut scene = Scene::new();
    for kind in KINDS {
        for from in ["mallory@sip.example.com/x", "sip.example.com", "mallory@SIP.example.com"] {
            assert_eq!(scene.stanza(&stanza(kind, from, JULIET)), NOTHING, "{kind:?} from {from}");
        }
    }
}

#[test]
fn any_other_domain_of_the_network_comes_in() {
    for from in ["romeo@example.net", "romeo@com", "romeo@sub.sip.example.com", "romeo@xn--mnchen-3ya.example", "romeo@192.0.2.1"]
    {
        assert_eq!(Scene::new().stanza(&chat(from)).len(), 1, "{from}");
    }
}

#[test]
fn a_denied_domain_is_forbidden_whatever_it_sends_and_makes_no_sip_traffic() {
    let mut scene = with_domains(&[], &["*.example.net;example.net", "evil.example"]);
    for kind in KINDS {
        for from in ["romeo@example.net/x", "romeo@a.b.example.net", "evil.example", "romeo@EVIL.example"] {
            let answers = scene.stanza(&stanza(kind, from, JULIET));
            assert_eq!(error(&answers), (Condition::Forbidden, ErrorType::Auth), "{kind:?} from {from}");
        }
        assert_eq!(scene.stanza(&stanza((kind.0, "type='error'", ""), ROMEO, JULIET)), NOTHING, "never an error for an error");
    }
    assert!(scene.stanza(&chat("romeo@example.org"))[0].starts_with("MESSAGE "));
}

#[test]
fn where_domains_are_allowed_all_others_are_denied() {
    let mut scene = with_domains(&["example.net"], &[]);
    assert!(scene.stanza(&chat(ROMEO))[0].starts_with("MESSAGE "));
    assert_eq!(error(&scene.stanza(&chat("romeo@example.org"))).0, Condition::Forbidden);
}

#[test]
fn beyond_the_limit_of_a_user_the_answer_is_to_wait_and_later_it_goes_on() {
    let mut scene = limited(1, 0);
    for _ in 0..10 {
        assert!(scene.stanza(&chat(ROMEO))[0].starts_with("MESSAGE "));
    }
    for kind in [KINDS[0], KINDS[2], KINDS[3], KINDS[4]] {
        let answers = scene.stanza(&stanza(kind, &format!("{ROMEO}/another"), JULIET));
        assert_eq!(error(&answers), (Condition::PolicyViolation, ErrorType::Wait), "{kind:?}");
    }
    assert!(scene.stanza(&chat("mercutio@example.net"))[0].starts_with("MESSAGE "), "others are not held up");
    scene.pass(Duration::from_secs(1));
    assert!(scene.stanza(&chat(ROMEO))[0].starts_with("MESSAGE "));
    assert_eq!(error(&scene.stanza(&chat(ROMEO))).0, Condition::PolicyViolation);
}

#[test]
fn beyond_the_limit_of_a_domain_all_its_users_wait() {
    let mut scene = limited(0, 1);
    let through = (0..50).filter(|n| scene.stanza(&chat(&format!("u{n}@example.net")))[0].starts_with("MESSAGE ")).count();
    assert_eq!(through, 10);
    assert!(scene.stanza(&chat("romeo@example.org"))[0].starts_with("MESSAGE "));
}

#[test]
fn beyond_the_limit_errors_and_questions_to_the_gateway_are_treated_as_ever() {
    let mut scene = limited(1, 1);
    for _ in 0..10 {
        scene.stanza(&chat(ROMEO));
    }
    assert_eq!(scene.stanza(&stanza(("message", "type='error'", ""), ROMEO, JULIET)), NOTHING);
    assert_eq!(scene.stanza(&stanza(("presence", "type='error'", ""), ROMEO, JULIET)), NOTHING);
    let ping = scene.stanza(&stanza(KINDS[5], ROMEO, JULIET));
    assert!(ping[0].starts_with("<iq type='result'"), "{ping:?}");
}

#[test]
fn presence_that_changes_nothing_costs_nothing_and_an_end_is_never_held_up() {
    let mut scene = limited(1, 0);
    let shown = |n: usize| format!("<presence from='{ROMEO}/x' to='u{n}@sip.example.com'/>");
    let published: Vec<_> = (0..100).flat_map(|n| scene.stanza(&shown(n))).collect();
    assert_eq!(published, ["PUBLISH sip:romeo@example.net for 3600"], "one user in a hundred contact lists");
    for _ in 0..9 {
        scene.stanza(&chat(ROMEO));
    }
    assert_eq!(error(&scene.stanza(&chat(ROMEO))).0, Condition::PolicyViolation);
    let gone: Vec<_> =
        (0..100).map(|n| format!("<presence from='{ROMEO}/x' to='u{n}@sip.example.com' type='unavailable'/>")).collect();
    assert_eq!(scene.stanzas(&gone), ["PUBLISH sip:romeo@example.net ends"]);
    // His server has taken the permission back already, and will not say so twice.
    let refused = scene.stanza(&format!("<presence from='{ROMEO}' to='{JULIET}' type='unsubscribed'/>"));
    assert_eq!(refused, ["sip:romeo@example.net answers juliet@sip.example.com: Refused"]);
}

fn shows(scene: &mut Scene, show: &str) -> Vec<String> {
    scene.stanza(&format!("<presence from='{ROMEO}/x' to='{JULIET}'><show>{show}</show></presence>"))
}

fn published(actions: &[Action]) -> Vec<String> {
    let body = |action: &Action| {
        let Action::Publish(publish) = action else { panic!("{action:?}") };
        String::from_utf8_lossy(publish.body.as_deref().unwrap_or(b"none")).into_owned()
    };
    actions.iter().map(body).collect()
}

/// Romeo has no token left; one comes every second.
fn empty() -> Scene {
    let mut scene = limited(1, 0);
    for _ in 0..10 {
        scene.stanza(&chat(ROMEO));
    }
    assert_eq!(error(&scene.stanza(&chat(ROMEO))).0, Condition::PolicyViolation);
    scene
}

#[test]
fn presence_beyond_the_limit_waits_and_the_newest_is_published_for_a_token() {
    let mut scene = empty();
    assert_eq!(shows(&mut scene, "away"), NOTHING);
    assert_eq!(scene.pass(Duration::from_millis(900)), NOTHING);
    assert_eq!(shows(&mut scene, "dnd"), NOTHING);
    let mut actions = Vec::new();
    scene.now += Duration::from_millis(100);
    scene.gateway.tick(scene.now, &mut actions);
    let published = published(&actions);
    assert!(published.len() == 1 && published[0].contains(">dnd</show>"), "{published:?}");
    assert_eq!(error(&scene.stanza(&chat(ROMEO))).0, Condition::PolicyViolation, "it has cost its token");
    assert_eq!(shows(&mut scene, "dnd"), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(2690)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(10)), ["PUBLISH sip:romeo@example.net for 3600"], "and is refreshed as any other");
}

#[test]
fn presence_that_waits_is_published_with_the_next_stanza_that_finds_a_token() {
    let mut scene = empty();
    shows(&mut scene, "away");
    scene.now += Duration::from_secs(1);
    assert_eq!(shows(&mut scene, "away"), ["PUBLISH sip:romeo@example.net for 3600"]);
    assert_eq!(scene.pass(Duration::from_secs(100)), NOTHING);
}

#[test]
fn of_a_resource_that_is_gone_before_its_turn_nothing_is_heard() {
    let gone = format!("<presence from='{ROMEO}/x' to='{JULIET}' type='unavailable'/>");
    let mut scene = empty();
    shows(&mut scene, "away");
    assert_eq!(scene.stanza(&gone), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(100)), NOTHING);
    // What was published before is taken away.
    assert_eq!(shows(&mut scene, "away").len(), 1);
    while scene.stanza(&chat(ROMEO))[0].starts_with("MESSAGE ") {}
    assert_eq!(shows(&mut scene, "dnd"), NOTHING);
    assert_eq!(scene.stanza(&gone), ["PUBLISH sip:romeo@example.net ends"]);
    assert_eq!(scene.pass(Duration::from_secs(100)), NOTHING);
}

#[test]
fn the_end_of_a_subscription_is_never_held_up_and_comes_once() {
    let mut scene = limited(1, 0);
    assert_eq!(scene.romeo("subscribe"), SUBSCRIBED_FOR_AN_HOUR);
    while scene.stanza(&chat(ROMEO))[0].starts_with("MESSAGE ") {}
    assert_eq!(scene.romeo("unsubscribe"), ["SUBSCRIBE sip:romeo@example.net -> sip:juliet@sip.example.com for 0"]);
    assert_eq!(scene.romeo("unsubscribe"), NOTHING, "free of charge is what makes no traffic");
    assert_eq!(scene.reply(200), [presence(JULIET, "unsubscribed")]);
    assert_eq!(error(&scene.romeo("unsubscribe")), (Condition::PolicyViolation, ErrorType::Wait), "of what there is not");
}

#[test]
fn without_a_limit_there_is_none_and_by_default_there_is() {
    let through = |scene: &mut Scene| (0..5000).filter(|_| scene.stanza(&chat(ROMEO))[0].starts_with("MESSAGE ")).count();
    assert_eq!(through(&mut limited(0, 0)), 5000);
    assert_eq!(through(&mut Scene::with(Parameters::default())), 1000);
}
