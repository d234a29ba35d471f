//! SIP users want to see XMPP users (RFC 8048 §5.3, RFC 3857).

use xmpp_gateway::gateway::event::Event;

use crate::support::*;

fn waiting(scene: &mut Scene, watchers: &[&str]) -> Vec<String> {
    let waiting = watchers.iter().map(|watcher| (*watcher).to_owned()).collect();
    scene.event(Event::Watchers { presentity: ROMEO.into(), waiting })
}

#[test]
fn each_waiting_watcher_becomes_one_subscribe() {
    let mut scene = Scene::new();
    let asked = waiting(&mut scene, &[JULIET, "nurse@sip.example.com"]);
    assert_eq!(asked, [presence(JULIET, "subscribe"), presence("nurse@sip.example.com", "subscribe")]);
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
    scene.gateway.stream_down();
    scene.stream_up();
    assert_eq!(waiting(&mut scene, &[JULIET]), [presence(JULIET, "subscribe")]);
}

/// It may be asked again and again while nobody hears it: once is enough.
#[test]
fn what_is_asked_while_the_stream_is_down_is_asked_once_when_it_stands() {
    let mut scene = Scene::new();
    scene.gateway.stream_down();
    assert_eq!(waiting(&mut scene, &[JULIET]), NOTHING);
    assert_eq!(waiting(&mut scene, &[JULIET]), NOTHING);
    assert_eq!(scene.stream_up(), [presence(JULIET, "subscribe")]);
    assert_eq!(waiting(&mut scene, &[JULIET]), NOTHING);
}

#[test]
fn a_question_that_was_answered_is_not_asked_when_the_stream_stands_again() {
    let mut scene = Scene::new();
    waiting(&mut scene, &[JULIET]);
    scene.romeo("subscribed");
    scene.gateway.stream_down();
    assert_eq!(scene.stream_up(), NOTHING);
}
