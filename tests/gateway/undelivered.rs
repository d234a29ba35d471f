//! Messages of SIP users that do not reach XMPP users: who asked for it is notified, once.

use std::time::Duration;

use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::action::Action;
use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::process::host::HostError;
use xmpp_gateway::sip::imdn;
use xmpp_gateway::translate::disposition::Wanted;
use xmpp_gateway::xmpp::element::Element;

use crate::support::*;

const ERROR: &str = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
const NOTIFICATION: [&str; 1] = ["MESSAGE sip:romeo@example.net -> sip:juliet@sip.example.com"];

/// Juliet (SIP) has written to Romeo (XMPP), and wants to know if that fails.
fn wanted(id: &str) -> Event {
    wanted_from(JULIET, id)
}

fn wanted_from(from: &str, id: &str) -> Event {
    let request = imdn::Request {
        message_id: format!("{id}-of-juliet"),
        date_time: None,
        recipient: None,
        original_recipient: None,
        record_route: Vec::new(),
    };
    Event::Wanted(Wanted { from: from.into(), to: ROMEO.into(), id: id.into(), request })
}

fn error(from: &str, to: &str, id: &str) -> String {
    format!("<message type='error' from='{from}' to='{to}' id='{id}'>{ERROR}</message>")
}

/// A scene in which the message `m1` is under way.
fn scene() -> Scene {
    let mut scene = Scene::new();
    assert_eq!(scene.event(wanted("m1")), NOTHING);
    scene
}

#[test]
fn a_message_that_comes_back_is_told_once_to_who_asked() {
    let mut scene = scene();
    assert_eq!(scene.stanza(&error(ROMEO, JULIET, "m1")), NOTIFICATION);
    assert_eq!(scene.stanza(&error(ROMEO, JULIET, "m1")), NOTHING);
}

#[test]
fn it_may_come_back_from_a_device_and_to_one() {
    let mut scene = scene();
    assert_eq!(scene.stanza(&error(&format!("{ROMEO}/orchard"), &format!("{JULIET}/phone"), "m1")), NOTIFICATION);
}

#[test]
fn who_was_not_written_to_cannot_make_a_message_fail() {
    let mut scene = scene();
    for (from, to, id) in [
        ("mallory@example.net", JULIET, "m1"),
        (ROMEO, "nurse@sip.example.com", "m1"),
        (ROMEO, JULIET, "m2"),
        (ROMEO, JULIET, ""),
    ] {
        assert_eq!(scene.stanza(&error(from, to, id)), NOTHING, "{from} {to} {id}");
    }
    assert_eq!(scene.stanza(&format!("<message type='error' from='{ROMEO}' to='{JULIET}'>{ERROR}</message>")), NOTHING);
    assert_eq!(scene.stanza(&error(ROMEO, JULIET, "m1")), NOTIFICATION);
}

#[test]
fn a_warning_is_no_failure() {
    let mut scene = scene();
    let warning = ERROR.replace("cancel", "continue");
    assert_eq!(scene.stanza(&format!("<message type='error' from='{ROMEO}' to='{JULIET}' id='m1'>{warning}</message>")), NOTHING);
    assert_eq!(scene.stanza(&error(ROMEO, JULIET, "m1")), NOTIFICATION);
}

#[test]
fn an_answer_with_the_same_id_is_a_message_like_others() {
    let mut scene = scene();
    let answer = format!("<message type='chat' from='{ROMEO}' to='{JULIET}' id='m1'><body>Hi</body></message>");
    assert_eq!(scene.stanza(&answer), NOTIFICATION, "which looks the same here");
    assert_eq!(scene.stanza(&error(ROMEO, JULIET, "m1")), NOTIFICATION);
}

#[test]
fn the_notification_says_which_message_and_when_it_came() {
    let mut scene = scene();
    scene.now += Duration::from_secs(30);
    let wall = WALL + Duration::from_secs(3600);
    let mut actions = Vec::new();
    scene.gateway.stanza(scene.now, wall, &Element::parse(&error(ROMEO, JULIET, "m1")).unwrap(), &mut actions).unwrap();
    let Some(Action::Message(message)) = actions.pop() else { panic!("no MESSAGE") };
    let body = String::from_utf8(message.body.clone()).unwrap();
    assert!(body.contains("DateTime: 1970-01-01T01:00:00Z\r\n"), "{body}");
    assert!(body.contains("<message-id>m1-of-juliet</message-id><datetime>1970-01-01T00:59:30Z</datetime>"), "{body}");
    scene.gateway.message_refused(&message, HostError::Busy, &mut actions);
    assert_eq!(lines(actions), NOTHING, "nobody is told of a notification that fails");
}

#[test]
fn a_message_that_waited_in_vain_is_told_too() {
    let mut scene = scene();
    for other in [
        format!("<message from='{JULIET}' to='{ROMEO}' id='m2'><body>Hi</body></message>"),
        format!("<message from='{JULIET}' to='{ROMEO}'><body>Hi</body></message>"),
        format!("<presence from='{JULIET}' to='{ROMEO}' id='m1'/>"),
    ] {
        assert_eq!(scene.lost(&other), NOTHING, "{other}");
    }
    let message = format!("<message from='{JULIET}/phone' to='{ROMEO}' id='m1'><body>Hi</body></message>");
    assert_eq!(scene.lost(&message), NOTIFICATION);
    assert_eq!(scene.lost(&message), NOTHING);
}

#[test]
fn what_has_not_come_back_in_time_is_forgotten() {
    // 60 s in the queue and 600 s under way.
    let mut scene = Scene::with(Parameters { queue_ttl: Some(60), ..Parameters::default() });
    scene.event(wanted("m1"));
    scene.pass(Duration::from_secs(100));
    scene.event(wanted("m2"));
    scene.event(wanted("m1"));
    scene.pass(Duration::from_secs(559));
    assert_eq!(scene.stanza(&error(ROMEO, JULIET, "m2")), NOTIFICATION);
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.stanza(&error(ROMEO, JULIET, "m1")), NOTIFICATION, "it came a second time");
    scene.event(wanted("m3"));
    scene.pass(Duration::from_secs(660));
    assert_eq!(scene.stanza(&error(ROMEO, JULIET, "m3")), NOTHING);
}

#[test]
fn a_flood_pushes_out_the_oldest_only() {
    let mut scene = Scene::new();
    for number in 0..66_000 {
        scene.event(wanted_from("j@sip.example.com", &number.to_string()));
    }
    let mut came_back = |number: u32| !scene.stanza(&error(ROMEO, "j@sip.example.com", &number.to_string())).is_empty();
    assert!(!came_back(0) && came_back(65_999) && came_back(50_000));
}

#[test]
fn long_texts_cannot_take_more_memory_than_short_ones() {
    let mut scene = Scene::new();
    let long = |number: u32| format!("{number:0>100}");
    let from = format!("{}@sip.example.com", "j".repeat(150));
    for number in 0..20_000 {
        scene.event(wanted_from(&from, &long(number)));
    }
    let mut came_back = |number: u32| !scene.stanza(&error(ROMEO, &from, &long(number))).is_empty();
    assert!(!came_back(5_000) && came_back(19_999));
}
