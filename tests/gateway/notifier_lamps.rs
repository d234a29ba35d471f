//! SIP phones watch XMPP users as lamps, by dialogs with the gateway (`contact_lamp`, RFC 4235).

use std::time::Duration;

use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::action::Authorization;
use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::gateway::event::NotifyReply;
use xmpp_gateway::gateway::event::Place;
use xmpp_gateway::gateway::event::Subscribe;
use xmpp_gateway::sip::Dialog;

use crate::support::*;

const QUESTION: &str = "<presence from='juliet@sip.example.com' to='romeo@example.net' type='subscribe' id='ask-1'/>";
const PROBE: &str = "<presence from='juliet@sip.example.com' to='romeo@example.net' type='probe'/>";

/// Dialogs are numbered behind the seed, in the order in which they are made.
struct Phone(Scene);

impl Phone {
    fn new() -> Self {
        Self::with(Parameters::default())
    }

    fn with(parameters: Parameters) -> Self {
        Self(Scene::with(Parameters { rate_limit: Some(0), rate_limit_domain: Some(0), ..parameters }))
    }

    /// Juliet subscribes to Romeo's lamp (`dialog;`), or to his presence (nothing).
    fn subscribes(&mut self, call_id: &str, package: &str, expires: u32, decision: Authorization) -> Vec<String> {
        let place = Place::Initial { watcher: JULIET.into(), presentity: ROMEO.into(), decision };
        self.0.event(Event::Subscribe(Subscribe { dialog: dialog(call_id, package), cseq: 1, expires, place }))
    }

    fn ends(&mut self, call_id: &str, package: &str) -> Vec<String> {
        let (dialog, place) = (dialog(call_id, package), Place::InDialog);
        self.0.event(Event::Subscribe(Subscribe { dialog, cseq: 2, expires: 0, place }))
    }

    /// The NOTIFY in the n-th dialog, counted from 1, is answered.
    fn answers(&mut self, number: u64) -> Vec<String> {
        self.0.event(Event::NotifyReply(NotifyReply { number: number + 1, status: 200, retry_after: None }))
    }

    /// Romeo says what he is doing at this resource, and what was said to the first lamp is answered.
    fn presence(&mut self, resource: &str, content: &str) -> Vec<String> {
        let said = self.0.stanza(&format!("<presence from='{ROMEO}/{resource}' to='{JULIET}'>{content}</presence>"));
        self.answers(1);
        said
    }

    fn activity(&mut self, content: &str) -> Vec<String> {
        let activity = format!("<activity xmlns='http://jabber.org/protocol/activity'>{content}</activity>");
        let items = format!("<items node='http://jabber.org/protocol/activity'><item id='1'>{activity}</item></items>");
        let event = format!("<event xmlns='http://jabber.org/protocol/pubsub#event'>{items}</event>");
        let said = self.0.stanza(&format!("<message from='{ROMEO}' to='{JULIET}' type='headline'>{event}</message>"));
        self.answers(1);
        said
    }

    /// With a lamp, "1", of a Romeo who is at his desk.
    fn watching() -> Self {
        let mut phone = Self::new();
        assert_eq!(phone.subscribes("1", LAMP, 3600, Authorization::Allowed), [PROBE, "NOTIFY 1 1: active;expires=3600 v0"]);
        phone.answers(1);
        assert_eq!(phone.presence("desk", ""), ["NOTIFY 1 2: active;expires=3600 v1 xmpp=terminated"]);
        phone
    }
}

/// What the line of the event begins with in a subscription to a lamp.
const LAMP: &str = "dialog;";

fn dialog(call_id: &str, package: &str) -> Dialog {
    Dialog::of(&format!("{call_id}\nours\ntheirs\nsip:{ROMEO}\nsip:{JULIET}\nsip:juliet@192.0.2.1\n{package}\n")).unwrap()
}

#[test]
fn a_lamp_waits_for_permission_with_an_empty_document() {
    let mut phone = Phone::new();
    assert_eq!(phone.subscribes("1", LAMP, 3600, Authorization::Pending), ["NOTIFY 1 1: pending;expires=3600 v0", QUESTION]);
    phone.answers(1);
    assert_eq!(phone.presence("desk", "<show>dnd</show>"), NOTHING);
    let told = phone.0.romeo("subscribed");
    assert_eq!(told[0], "NOTIFY 1 2: active;expires=3600 v1 xmpp=confirmed");
}

#[test]
fn who_is_refused_sees_no_lamp() {
    let mut phone = Phone::new();
    phone.subscribes("1", LAMP, 3600, Authorization::Pending);
    phone.answers(1);
    assert_eq!(phone.0.romeo("unsubscribed")[..2], ["NOTIFY 1 2: terminated;reason=rejected", "dialog 1 is over"]);
    let told = phone.subscribes("2", LAMP, 3600, Authorization::Refused);
    assert_eq!(told, ["NOTIFY 2 1: terminated;reason=rejected", "dialog 2 is over"]);
}

#[test]
fn only_a_change_of_the_lamp_is_said() {
    let mut phone = Phone::watching();
    assert_eq!(phone.presence("desk", "<show>away</show><status>lunch</status>"), NOTHING);
    assert_eq!(phone.presence("desk", "<show>dnd</show>"), ["NOTIFY 1 3: active;expires=3600 v2 xmpp=confirmed"]);
    assert_eq!(phone.presence("desk", "<show>dnd</show><status>busy</status>"), NOTHING);
    assert_eq!(phone.presence("phone", ""), ["NOTIFY 1 4: active;expires=3600 v3 xmpp=terminated"]);
}

#[test]
fn an_activity_lights_the_lamp_and_leaves_presence_as_it_is() {
    let mut phone = Phone::watching();
    let told = phone.subscribes("2", "", 3600, Authorization::Allowed);
    assert_eq!(told, ["NOTIFY 2 1: active;expires=3600 ID-desk=Open"]);
    phone.answers(2);
    let talking = "<talking><on_the_phone/></talking>";
    assert_eq!(phone.activity(talking), ["NOTIFY 1 3: active;expires=3600 v2 xmpp=confirmed"]);
    assert_eq!(phone.activity(talking), NOTHING);
    assert_eq!(phone.activity(""), ["NOTIFY 1 4: active;expires=3600 v3 xmpp=terminated"]);
    let in_presence = format!("<activity xmlns='http://jabber.org/protocol/activity'>{talking}</activity>");
    assert_eq!(phone.presence("desk", &in_presence), ["NOTIFY 1 5: active;expires=3600 v4 xmpp=confirmed"]);
    assert_eq!(phone.presence("desk", ""), ["NOTIFY 1 6: active;expires=3600 v5 xmpp=terminated"]);
}

#[test]
fn presence_and_lamp_are_one_subscription_in_xmpp_and_end_apart() {
    let mut phone = Phone::new();
    let asked = phone.subscribes("1", LAMP, 3600, Authorization::Pending);
    assert_eq!(asked, ["NOTIFY 1 1: pending;expires=3600 v0", QUESTION]);
    assert_eq!(phone.subscribes("2", "", 3600, Authorization::Pending), ["NOTIFY 2 1: pending;expires=3600"]);
    phone.answers(1);
    phone.answers(2);
    phone.0.romeo("subscribed");
    phone.answers(1);
    phone.answers(2);
    phone.presence("desk", "<show>dnd</show>");
    phone.answers(2);
    let ended = phone.ends("1", LAMP);
    assert_eq!(ended, ["NOTIFY 1 4: terminated;reason=timeout v3 xmpp=terminated", "dialog 1 is over"]);
    assert_eq!(phone.presence("desk", ""), ["NOTIFY 2 4: active;expires=3600 ID-desk=Open"]);
    phone.answers(2);
    // XMPP learns that nobody watches when the last one ends.
    let gone = "<presence from='juliet@sip.example.com' to='romeo@example.net' type='unavailable'/>";
    let ended = phone.ends("2", "");
    assert_eq!(ended, ["NOTIFY 2 5: terminated;reason=timeout ID-=Closed", "dialog 2 is over", gone]);
}

#[test]
fn a_fetch_gets_the_lamp_once() {
    let mut phone = Phone::watching();
    phone.presence("desk", "<show>dnd</show>");
    let told = phone.subscribes("2", LAMP, 0, Authorization::Allowed);
    assert_eq!(told, ["NOTIFY 2 1: terminated;reason=timeout v0 xmpp=confirmed"]);
}

#[test]
fn a_user_who_leaves_puts_the_lamp_out() {
    let mut phone = Phone::watching();
    phone.presence("desk", "<show>dnd</show>");
    let told = phone.0.stanza(&format!("<presence from='{ROMEO}/desk' to='{JULIET}' type='unavailable'/>"));
    assert_eq!(told, ["NOTIFY 1 4: active;expires=3600 v3 xmpp=terminated"]);
}

#[test]
fn a_stream_that_breaks_leaves_the_lamp_until_nobody_answers() {
    let mut phone = Phone::watching();
    phone.presence("desk", "<show>dnd</show>");
    phone.0.stream_down();
    assert_eq!(phone.0.stream_up(), NOTHING);
    assert_eq!(phone.0.pass(Duration::from_secs(1)), [PROBE]);
    assert_eq!(phone.0.pass(Duration::from_secs(60)), ["NOTIFY 1 4: active;expires=3539 v3 xmpp=terminated"]);
}

#[test]
fn one_resource_that_stands_for_all_hides_no_activity_of_another() {
    let presence_composition = Some("most-available".to_owned());
    let mut phone = Phone::with(Parameters { presence_composition, ..Parameters::default() });
    phone.subscribes("1", LAMP, 3600, Authorization::Allowed);
    phone.answers(1);
    phone.presence("desk", "<priority>5</priority>");
    let activity = "<activity xmlns='http://jabber.org/protocol/activity'><talking><on_the_phone/></talking></activity>";
    assert_eq!(phone.presence("mobile", activity), ["NOTIFY 1 3: active;expires=3600 v2 xmpp=confirmed"]);
}
