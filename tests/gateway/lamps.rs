//! XMPP users as lamps at the presence server of this host (`contact_lamp`, RFC 4235).

use std::time::Duration;

use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::lamps::REFRESH;

use crate::support::*;

const ON: &str = "lamp of sip:romeo@example.net on";
const OFF: &str = "lamp of sip:romeo@example.net off";
const PUBLISHED: &str = "PUBLISH sip:romeo@example.net for 3600";
const ENDS: &str = "PUBLISH sip:romeo@example.net ends";

fn lamps(set: impl FnOnce(&mut Parameters)) -> Scene {
    let mut parameters =
        Parameters { dialog_event: Some(1), rate_limit: Some(0), rate_limit_domain: Some(0), ..Parameters::default() };
    set(&mut parameters);
    Scene::with(parameters)
}

/// Romeo says what he is doing at this resource.
fn presence(scene: &mut Scene, resource: &str, content: &str) -> Vec<String> {
    scene.stanza(&format!("<presence from='{ROMEO}/{resource}' to='{JULIET}'>{content}</presence>"))
}

fn unavailable(scene: &mut Scene, resource: &str) -> Vec<String> {
    scene.stanza(&format!("<presence from='{ROMEO}/{resource}' to='{JULIET}' type='unavailable'/>"))
}

/// An event of PEP.
fn activity(scene: &mut Scene, content: &str) -> Vec<String> {
    let activity = format!("<activity xmlns='http://jabber.org/protocol/activity'>{content}</activity>");
    let items = format!("<items node='http://jabber.org/protocol/activity'><item id='1'>{activity}</item></items>");
    let event = format!("<event xmlns='http://jabber.org/protocol/pubsub#event'>{items}</event>");
    scene.stanza(&format!("<message from='{ROMEO}' to='{JULIET}/call' type='headline'>{event}</message>"))
}

const ON_THE_PHONE: &str = "<talking><on_the_phone/></talking>";

#[test]
fn a_lamp_is_lit_and_goes_out_with_the_state() {
    let mut scene = lamps(|_| {});
    assert_eq!(presence(&mut scene, "desk", ""), [PUBLISHED]);
    assert_eq!(presence(&mut scene, "desk", "<show>dnd</show>"), [PUBLISHED, ON]);
    assert_eq!(presence(&mut scene, "desk", "<show>dnd</show><status>busy</status>"), [PUBLISHED]);
    assert_eq!(presence(&mut scene, "desk", "<show>away</show>"), [PUBLISHED, OFF]);
    assert_eq!(presence(&mut scene, "desk", "<show>dnd</show>"), [PUBLISHED, ON]);
    assert_eq!(unavailable(&mut scene, "desk"), [ENDS, OFF]);
}

#[test]
fn the_resource_that_stands_for_the_user_counts() {
    let mut scene = lamps(|_| {});
    assert_eq!(presence(&mut scene, "desk", "<show>dnd</show>"), [PUBLISHED, ON]);
    assert_eq!(presence(&mut scene, "phone", ""), [PUBLISHED, OFF]);
    assert_eq!(unavailable(&mut scene, "phone"), [ENDS, ON]);
}

#[test]
fn an_activity_lights_it_by_pep_and_in_presence() {
    let mut scene = lamps(|_| {});
    presence(&mut scene, "desk", "");
    assert_eq!(activity(&mut scene, ON_THE_PHONE), [ON]);
    assert_eq!(activity(&mut scene, ON_THE_PHONE), NOTHING);
    assert_eq!(presence(&mut scene, "desk", "<show>away</show>"), [PUBLISHED]);
    assert_eq!(activity(&mut scene, ""), [OFF]);
    let in_presence = format!("<activity xmlns='http://jabber.org/protocol/activity'>{ON_THE_PHONE}</activity>");
    // PIDF has nothing of it, so it is the state from before that is published.
    assert_eq!(presence(&mut scene, "desk", &format!("<show>away</show>{in_presence}")), [PUBLISHED, ON]);
    assert_eq!(presence(&mut scene, "desk", "<show>away</show>"), [PUBLISHED, OFF]);
}

#[test]
fn who_is_not_there_is_not_on_the_phone() {
    let mut scene = lamps(|_| {});
    assert_eq!(activity(&mut scene, ON_THE_PHONE), NOTHING);
    assert_eq!(presence(&mut scene, "desk", ""), [PUBLISHED, ON]);
    assert_eq!(unavailable(&mut scene, "desk"), [ENDS, OFF]);
    assert_eq!(presence(&mut scene, "desk", ""), [PUBLISHED, ON]);
}

#[test]
fn the_states_are_the_operators_choice() {
    let mut scene = lamps(|parameters| parameters.contact_lamp = Some("away,xa".into()));
    assert_eq!(presence(&mut scene, "desk", "<show>dnd</show>"), [PUBLISHED]);
    assert_eq!(activity(&mut scene, ON_THE_PHONE), NOTHING);
    assert_eq!(presence(&mut scene, "desk", "<show>xa</show>"), [PUBLISHED, ON]);
    assert_eq!(presence(&mut scene, "desk", "<show>away</show>"), [PUBLISHED]);
}

#[test]
fn no_lamp_is_lit_where_nobody_serves_it() {
    for set in [
        |parameters: &mut Parameters| parameters.contact_lamp = Some("off".into()),
        |parameters: &mut Parameters| parameters.dialog_event = Some(0),
        |parameters: &mut Parameters| parameters.presence_mode = Some("none".into()),
    ] {
        let mut scene = lamps(set);
        let said = [presence(&mut scene, "desk", "<show>dnd</show>"), activity(&mut scene, ON_THE_PHONE)].concat();
        assert!(said.iter().all(|line| line == PUBLISHED), "{said:?}");
    }
}

#[test]
fn a_lamp_that_is_lit_is_said_again_before_it_runs_out() {
    let mut scene = lamps(|_| {});
    presence(&mut scene, "desk", "<show>dnd</show>");
    assert_eq!(scene.pass(REFRESH - Duration::from_secs(1)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), [ON]);
    assert_eq!(scene.pass(REFRESH), [ON]);
    presence(&mut scene, "desk", "");
    assert_eq!(scene.pass(REFRESH), NOTHING);
}

#[test]
fn a_state_that_waits_for_a_token_lights_nothing_yet() {
    let mut scene = lamps(|parameters| parameters.rate_limit = Some(1));
    let mut said: Vec<String> = Vec::new();
    for number in 0..50 {
        said = presence(&mut scene, "desk", &format!("<status>{number}</status>"));
    }
    assert_eq!(said, NOTHING);
    assert_eq!(presence(&mut scene, "desk", "<show>dnd</show>"), NOTHING);
    let mut later = Vec::new();
    for _ in 0..120 {
        later.extend(scene.pass(Duration::from_secs(1)));
    }
    assert_eq!(later, [PUBLISHED, ON]);
}

#[test]
fn a_user_whom_the_broken_stream_has_taken_away_leaves_no_lamp() {
    let mut scene = lamps(|_| {});
    presence(&mut scene, "desk", "<show>dnd</show>");
    scene.stream_down();
    scene.stream_up();
    assert_eq!(scene.pass(Duration::from_secs(60)), [ENDS, OFF]);
}
