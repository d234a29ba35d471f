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
    scene.stream_down();
    scene.stream_up();
    assert_eq!(waiting(&mut scene, &[JULIET]), [presence(JULIET, "subscribe")]);
}
