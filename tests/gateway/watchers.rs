//! SIP users want to see XMPP users (RFC 8048 §5.3, RFC 3857).

use std::time::Duration;

use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::action::Action;
use xmpp_gateway::gateway::action::Occasion;
use xmpp_gateway::gateway::event::Document;
use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::gateway::event::Watchers;
use xmpp_gateway::gateway::watcher::MAX_PER_WATCHER;
use xmpp_gateway::sip::winfo::State;
use xmpp_gateway::xmpp::element::Element;

use crate::support::*;

/// What each question to Romeo looks like.
fn question(watcher: &str, number: u32) -> String {
    format!("<presence from='{watcher}' to='{ROMEO}' type='subscribe' id='ask-{number}'/>")
}

/// Presence of Juliet comes back from Romeo.
fn came_back(scene: &mut Scene, from: &str, id: &str, condition: &str) -> Vec<String> {
    let error = format!("<error type='cancel'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
    scene.stanza(&format!("<presence from='{from}' to='{JULIET}' type='error' {id}>{error}</presence>"))
}

fn waiting(scene: &mut Scene, waiting: &[&str]) -> Vec<String> {
    scene.event(watchers(ROMEO, waiting))
}

/// A NOTIFY (presence.winfo) about Romeo: who waits, and whom the presence server waited for too long.
fn document(scene: &mut Scene, (version, state): (u32, State), waiting: &[&str], given_up: &[&str]) -> Vec<String> {
    let [waiting, given_up] = [waiting, given_up].map(|names| names.iter().map(|name| (*name).to_owned()).collect());
    let document = Some(Document { call_id: "1@presence".into(), version, state });
    scene.event(Event::Watchers(Watchers { presentity: ROMEO.into(), waiting, given_up, document }))
}

#[test]
fn each_waiting_watcher_becomes_one_subscribe() {
    let mut scene = Scene::new();
    let asked = waiting(&mut scene, &[JULIET, "nurse@sip.example.com"]);
    assert_eq!(asked, [question(JULIET, 1), question("nurse@sip.example.com", 2)]);
    assert_eq!(waiting(&mut scene, &[JULIET]), NOTHING);
}

#[test]
fn the_answer_of_the_xmpp_user_reaches_the_presence_server() {
    let mut scene = Scene::new();
    waiting(&mut scene, &[JULIET]);
    assert_eq!(scene.romeo("subscribed"), ["sip:romeo@example.net answers juliet@sip.example.com: Allowed"]);
    assert_eq!(scene.romeo("unsubscribed"), ["sip:romeo@example.net answers juliet@sip.example.com: Refused"]);
}

#[test]
fn a_question_that_may_be_lost_is_asked_again() {
    let mut scene = Scene::new();
    waiting(&mut scene, &[JULIET]);
    for _ in 0..2 {
        scene.stream_down();
        assert_eq!(waiting(&mut scene, &[JULIET]), NOTHING);
        assert_eq!(scene.stream_up(), [question(JULIET, 1)]);
        assert_eq!(waiting(&mut scene, &[JULIET]), NOTHING);
    }
}

/// It may have been written, or wait in the queue, when the stream broke.
#[test]
fn an_answer_to_a_question_from_before_the_stream_broke_is_one() {
    for decision in ["subscribed", "unsubscribed"] {
        let mut scene = Scene::new();
        waiting(&mut scene, &[JULIET]);
        scene.stream_down();
        scene.stream_up();
        assert_eq!(occasion(&mut scene, decision), Occasion::Asked);
        scene.stream_down();
        assert!(!scene.stream_up().contains(&question(JULIET, 1)));
    }
    let mut scene = Scene::new();
    waiting(&mut scene, &[JULIET]);
    scene.stream_down();
    scene.stream_up();
    assert_eq!(came_back(&mut scene, ROMEO, "id='ask-1'", "item-not-found"), told("NoResource"));
}

/// What led to this decision of Romeo on Juliet.
fn occasion(scene: &mut Scene, decision: &str) -> Occasion {
    let stanza = format!("<presence from='{ROMEO}' to='{JULIET}' type='{decision}'/>");
    let mut actions = Vec::new();
    scene.gateway.stanza(scene.now, WALL, &Element::parse(&stanza).unwrap(), &mut actions).unwrap();
    match actions.pop() {
        Some(Action::Authorize { occasion, .. }) => occasion,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_answer_is_told_from_what_nobody_asked_for() {
    let mut scene = Scene::new();
    assert_eq!(occasion(&mut scene, "subscribed"), Occasion::Unasked);
    waiting(&mut scene, &[JULIET]);
    assert_eq!(occasion(&mut scene, "subscribed"), Occasion::Asked);
    assert_eq!(occasion(&mut scene, "unsubscribed"), Occasion::Unasked, "a change of mind");
}

#[test]
fn of_too_many_questions_of_one_watcher_the_oldest_may_be_asked_again() {
    let mut scene = Scene::new();
    let mut ask = |watcher: &str, number: usize| scene.event(watchers(&format!("u{number}@example.net"), &[watcher])).len();
    assert_eq!(ask("nurse@sip.example.com", 0), 1);
    assert!((0..MAX_PER_WATCHER).all(|number| ask(JULIET, number) == 1));
    assert_eq!(ask(JULIET, 0), 0);
    assert_eq!(ask(JULIET, MAX_PER_WATCHER), 1);
    assert_eq!((ask(JULIET, 0), ask(JULIET, MAX_PER_WATCHER)), (1, 0));
    assert_eq!(ask("nurse@sip.example.com", 0), 0, "nobody else's is dropped");
}

fn told(decision: &str) -> [String; 1] {
    [format!("sip:romeo@example.net answers {JULIET}: {decision}")]
}

#[test]
fn a_question_that_comes_back_ends_the_waiting_and_may_be_asked_again_later() {
    for (condition, decision) in
        [("item-not-found", "NoResource"), ("remote-server-not-found", "NoResource"), ("forbidden", "Refused")]
    {
        let mut scene = Scene::new();
        waiting(&mut scene, &[JULIET]);
        assert_eq!(came_back(&mut scene, ROMEO, "id='ask-1'", condition), told(decision));
        assert_eq!(came_back(&mut scene, ROMEO, "id='ask-1'", condition), NOTHING, "an answer counts once");
        assert_eq!(scene.pass(Duration::from_secs(9)), NOTHING);
        assert_eq!(scene.pass(Duration::from_secs(1)), told("Pending"));
        assert_eq!(scene.pass(Duration::from_secs(3600)), NOTHING);
        assert_eq!(waiting(&mut scene, &[JULIET]), [question(JULIET, 2)]);
    }
}

#[test]
fn what_the_user_decides_after_an_error_stays() {
    let mut scene = Scene::new();
    waiting(&mut scene, &[JULIET]);
    came_back(&mut scene, ROMEO, "id='ask-1'", "item-not-found");
    assert_eq!(scene.romeo("subscribed"), told("Allowed"));
    assert_eq!(scene.pass(Duration::from_secs(3600)), NOTHING);
}

#[test]
fn an_error_without_id_answers_the_question() {
    let mut scene = Scene::new();
    waiting(&mut scene, &[JULIET]);
    assert_eq!(came_back(&mut scene, ROMEO, "", "gone"), told("NoResource"));
}

#[test]
fn an_error_that_may_pass_ends_nothing_and_the_question_may_be_asked_again() {
    let mut scene = Scene::new();
    waiting(&mut scene, &[JULIET]);
    let error = "<error type='wait'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    let stanza = format!("<presence from='{ROMEO}' to='{JULIET}' type='error' id='ask-1'>{error}</presence>");
    assert_eq!(scene.stanza(&stanza), NOTHING);
    assert_eq!(waiting(&mut scene, &[JULIET]), [question(JULIET, 2)]);
}

#[test]
fn an_error_for_another_stanza_or_from_a_device_answers_no_question() {
    let mut scene = Scene::new();
    waiting(&mut scene, &[JULIET]);
    assert_eq!(came_back(&mut scene, ROMEO, "id='ask-2'", "item-not-found"), NOTHING);
    assert_eq!(came_back(&mut scene, "romeo@example.net/orchard", "id='ask-1'", "item-not-found"), NOTHING);
    assert_eq!(waiting(&mut scene, &[JULIET]), NOTHING, "it is still open");
}

#[test]
fn a_user_who_vanishes_is_shown_to_the_watcher_no_more() {
    let mut scene = Scene::new();
    scene.romeo("subscribed");
    scene.stanza(&format!("<presence from='{ROMEO}/orchard' to='{JULIET}'/>"));
    let ended = ["PUBLISH sip:romeo@example.net ends", "sip:romeo@example.net answers juliet@sip.example.com: NoResource"];
    assert_eq!(came_back(&mut scene, ROMEO, "", "gone"), ended);
    assert_eq!(came_back(&mut scene, ROMEO, "", "gone"), NOTHING);
}

/// It may be asked again and again while nobody hears it: once is enough.
#[test]
fn what_is_asked_while_the_stream_is_down_is_asked_once_when_it_stands() {
    let mut scene = Scene::new();
    scene.gateway.stream_down("sip.example.com");
    assert_eq!(waiting(&mut scene, &[JULIET]), NOTHING);
    assert_eq!(waiting(&mut scene, &[JULIET]), NOTHING);
    assert_eq!(scene.stream_up(), [question(JULIET, 1)]);
    assert_eq!(waiting(&mut scene, &[JULIET]), NOTHING);
}

#[test]
fn a_question_that_was_answered_is_not_asked_when_the_stream_stands_again() {
    let mut scene = Scene::new();
    waiting(&mut scene, &[JULIET]);
    scene.romeo("subscribed");
    scene.gateway.stream_down("sip.example.com");
    assert_eq!(scene.stream_up(), ["<presence from='juliet@sip.example.com' to='romeo@example.net' type='probe'/>"]);
}

#[test]
fn a_document_that_comes_late_is_not_read() {
    let mut scene = Scene::new();
    assert_eq!(document(&mut scene, (0, State::Full), &[JULIET], &[]), [question(JULIET, 1)]);
    assert_eq!(document(&mut scene, (2, State::Full), &[], &[]), NOTHING);
    assert_eq!(document(&mut scene, (1, State::Partial), &["nurse@sip.example.com"], &[]), NOTHING);
    assert_eq!(
        document(&mut scene, (3, State::Partial), &["nurse@sip.example.com"], &[]),
        [question("nurse@sip.example.com", 2)]
    );
}

#[test]
fn a_document_that_was_missed_is_asked_for() {
    let refresh = || "SUBSCRIBE sip:gateway@sip.example.com -> watchers of sip:romeo@example.net for 3600".to_owned();
    let mut scene = Scene::new();
    assert_eq!(
        document(&mut scene, (4, State::Partial), &[JULIET], &[]),
        [refresh(), question(JULIET, 1)],
        "we began in the middle"
    );
    assert_eq!(document(&mut scene, (5, State::Full), &[JULIET], &[]), NOTHING);
    scene.pass(Duration::from_secs(60));
    assert_eq!(document(&mut scene, (7, State::Partial), &[], &[]), [refresh()]);
    assert_eq!(document(&mut scene, (9, State::Partial), &[], &[]), NOTHING, "one is on its way");
    assert_eq!(document(&mut scene, (10, State::Full), &["nurse@sip.example.com"], &[]), [question("nurse@sip.example.com", 2)]);
}

#[test]
fn who_was_waited_for_too_long_is_asked_for_anew() {
    let mut scene = Scene::new();
    document(&mut scene, (0, State::Full), &[JULIET], &[]);
    assert_eq!(document(&mut scene, (1, State::Partial), &[], &[JULIET]), NOTHING);
    scene.stream_down();
    assert_eq!(scene.stream_up(), NOTHING);
    assert_eq!(document(&mut scene, (2, State::Partial), &[JULIET], &[]), [question(JULIET, 2)]);
}

#[test]
fn a_question_is_forgotten_after_some_days_and_asked_anew() {
    let day = Duration::from_secs(24 * 3600);
    let mut scene = Scene::with(Parameters { waiting_subs_daysno: Some(2), ..Parameters::default() });
    waiting(&mut scene, &[JULIET]);
    scene.pass(day);
    waiting(&mut scene, &["nurse@sip.example.com"]);
    assert_eq!(waiting(&mut scene, &[JULIET]), NOTHING);
    scene.pass(day);
    scene.stream_down();
    assert_eq!(scene.stream_up(), [question("nurse@sip.example.com", 2)]);
    assert_eq!(waiting(&mut scene, &[JULIET]), [question(JULIET, 3)]);
}

/// RFC 6665 §4.1.3: phones are not to come back by themselves, and do.
#[test]
fn who_was_refused_is_asked_for_again_after_some_time_and_not_before() {
    let mut scene = Scene::with(Parameters { ask_again_interval: Some(3600), ..Parameters::default() });
    waiting(&mut scene, &[JULIET]);
    assert_eq!(scene.romeo("unsubscribed"), told("Refused"));
    assert_eq!(scene.pass(Duration::from_secs(3599)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), told("Pending"));
    assert_eq!(scene.pass(Duration::from_secs(3600)), NOTHING);
    assert_eq!(waiting(&mut scene, &[JULIET]), [question(JULIET, 2)]);
}

#[test]
fn who_is_let_in_after_a_refusal_stays_so() {
    let mut scene = Scene::with(Parameters { ask_again_interval: Some(3600), ..Parameters::default() });
    for decision in ["unsubscribed", "subscribed"] {
        scene.romeo(decision);
    }
    assert_eq!(scene.pass(Duration::from_secs(3600)), NOTHING);
}

/// A presence server that is told so tells the gateway that they are pending: nobody has subscribed.
#[test]
fn that_a_watcher_may_ask_again_is_no_question() {
    let mut scene = Scene::with(Parameters { ask_again_interval: Some(3600), ..Parameters::default() });
    document(&mut scene, (0, State::Full), &[JULIET], &[]);
    scene.romeo("unsubscribed");
    assert_eq!(scene.pass(Duration::from_secs(3600)), told("Pending"));
    assert_eq!(document(&mut scene, (1, State::Partial), &[JULIET], &[]), NOTHING);
    scene.pass(Duration::from_secs(60));
    assert_eq!(document(&mut scene, (2, State::Partial), &[JULIET], &[]), [question(JULIET, 2)]);
}
