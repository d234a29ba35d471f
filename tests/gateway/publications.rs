//! XMPP users' presence for SIP users (RFC 8048 §6.2, RFC 3903).

use std::time::Duration;

use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::publication::MAX_PER_USER;
use xmpp_gateway::gateway::publication::PER_TICK;

use crate::support::*;

const PUBLISHED: [&str; 1] = ["PUBLISH sip:romeo@example.net for 3600"];
const ENDS: [&str; 1] = ["PUBLISH sip:romeo@example.net ends"];

fn available(scene: &mut Scene, resource: &str, to: &str, show: &str) -> Vec<String> {
    scene.stanza(&format!("<presence from='{ROMEO}/{resource}' to='{to}'><show>{show}</show></presence>"))
}

#[test]
fn presence_is_published_once_for_all_contacts() {
    let mut scene = Scene::new();
    assert_eq!(available(&mut scene, "orchard", JULIET, "away"), PUBLISHED);
    assert_eq!(available(&mut scene, "orchard", "nurse@sip.example.com", "away"), NOTHING);
}

#[test]
fn a_user_with_many_contacts_costs_one_publication_a_change() {
    let mut scene = Scene::with(Parameters::default());
    let contacts: Vec<String> = (0..500).map(|number| format!("contact{number}@sip.example.com")).collect();
    for show in ["away", "dnd", "away"] {
        for again in [&PUBLISHED[..], &NOTHING] {
            let published: Vec<String> =
                contacts.iter().flat_map(|contact| available(&mut scene, "orchard", contact, show)).collect();
            assert_eq!(published, again, "{show}");
        }
    }
    let gone = |contact: &String| format!("<presence from='{ROMEO}/orchard' to='{contact}' type='unavailable'/>");
    let gone: Vec<String> = contacts.iter().map(gone).collect();
    assert_eq!(scene.stanzas(&gone), ENDS);
}

/// So it is when the user cancels one contact's subscription (RFC 6121 §3.2.1), or blocks one.
#[test]
fn who_is_not_there_for_one_contact_stays_there_for_the_others() {
    let mut scene = Scene::new();
    let nurse = "nurse@sip.example.com";
    available(&mut scene, "orchard", JULIET, "away");
    available(&mut scene, "orchard", nurse, "away");
    let gone = |to: &str| format!("<presence from='{ROMEO}/orchard' to='{to}' type='unavailable'/>");
    assert_eq!(scene.stanza(&gone("peter@sip.example.com")), [probe(JULIET)]);
    assert_eq!(scene.stanza(&gone(JULIET)), NOTHING);
    assert_eq!(scene.stanza(&gone(nurse)), ENDS);
}

#[test]
fn a_contact_lost_while_the_stream_was_down_keeps_nothing_alive() {
    let mut scene = Scene::new();
    let nurse = "nurse@sip.example.com";
    available(&mut scene, "orchard", JULIET, "away");
    available(&mut scene, "orchard", nurse, "away");
    scene.stream_down();
    scene.stream_up();
    available(&mut scene, "orchard", JULIET, "away");
    assert_eq!(scene.romeo("unavailable"), ENDS);
}

#[test]
fn a_change_is_published() {
    let mut scene = Scene::new();
    available(&mut scene, "orchard", JULIET, "away");
    assert_eq!(available(&mut scene, "orchard", JULIET, "dnd"), PUBLISHED);
}

#[test]
fn each_resource_has_its_own_publication() {
    let mut scene = Scene::new();
    assert_eq!(available(&mut scene, "orchard", JULIET, "away"), PUBLISHED);
    assert_eq!(available(&mut scene, "street", JULIET, "away"), PUBLISHED);
    let gone = format!("<presence from='{ROMEO}/street' to='{JULIET}' type='unavailable'/>");
    assert_eq!(scene.stanza(&gone), ENDS);
    assert_eq!(scene.stanza(&gone), NOTHING);
}

#[test]
fn unavailable_from_the_bare_jid_ends_all_resources_of_that_user_only() {
    let mut scene = Scene::new();
    for resource in ["orchard", "street"] {
        available(&mut scene, resource, JULIET, "away");
    }
    scene.stanza(&format!("<presence from='romeo@example.network/x' to='{JULIET}'/>"));
    assert_eq!(scene.romeo("unavailable").len(), 2);
}

#[test]
fn a_publication_is_refreshed_before_it_runs_out() {
    let mut scene = Scene::new();
    available(&mut scene, "orchard", JULIET, "away");
    assert_eq!(scene.pass(Duration::from_secs(2699)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), PUBLISHED);
    assert_eq!(scene.pass(Duration::from_secs(2700)), PUBLISHED);
}

#[test]
fn after_a_broken_stream_who_does_not_answer_a_probe_is_gone() {
    let mut scene = Scene::new();
    for resource in ["orchard", "street"] {
        available(&mut scene, resource, JULIET, "away");
    }
    scene.stream_down();
    scene.pass(Duration::from_secs(10));
    assert_eq!(scene.stream_up(), ["<presence from='juliet@sip.example.com' to='romeo@example.net' type='probe'/>"]);
    assert_eq!(available(&mut scene, "street", JULIET, "away"), NOTHING);
    let after_a_minute = scene.pass(Duration::from_secs(60));
    assert_eq!(after_a_minute, [ENDS[0], PUBLISHED[0]]);
    assert_eq!(scene.pass(Duration::from_secs(2700)), PUBLISHED);
}

/// Nobody can be asked meanwhile: that a refresh falls into the time without a stream says nothing about the user.
#[test]
fn a_refresh_while_the_stream_is_down_takes_nobody_away() {
    let mut scene = Scene::new();
    available(&mut scene, "street", JULIET, "away");
    scene.pass(Duration::from_secs(2695));
    scene.stream_down();
    let meanwhile = scene.pass(Duration::from_secs(10));
    assert!(meanwhile.iter().all(|action| !action.ends_with("ends")), "{meanwhile:?}");
    assert_eq!(scene.stream_up(), ["<presence from='juliet@sip.example.com' to='romeo@example.net' type='probe'/>"]);
}

#[test]
fn a_user_without_resources_is_published_and_leaves() {
    let mut scene = Scene::new();
    assert_eq!(scene.stanza(&format!("<presence from='{ROMEO}' to='{JULIET}'/>")), PUBLISHED);
    assert_eq!(scene.romeo("unavailable"), ENDS);
    assert_eq!(scene.pass(Duration::from_secs(2700)), NOTHING);
}

#[test]
fn refreshes_that_are_due_at_once_are_spread_over_ticks() {
    let mut scene = Scene::new();
    for number in 0..PER_TICK * 2 {
        scene.stanza(&format!("<presence from='u{number}@example.net/x' to='{JULIET}'/>"));
    }
    assert_eq!(scene.pass(Duration::from_secs(2700)).len(), PER_TICK);
    assert_eq!(scene.pass(Duration::from_secs(1)).len(), PER_TICK);
    assert_eq!(scene.pass(Duration::from_secs(1)), NOTHING);
}

#[test]
fn one_user_has_so_many_resources_and_no_more() {
    let mut scene = Scene::new();
    for number in 0..MAX_PER_USER {
        assert_eq!(available(&mut scene, &number.to_string(), JULIET, "away"), PUBLISHED);
    }
    assert_eq!(available(&mut scene, "one more", JULIET, "away"), NOTHING);
    assert_eq!(available(&mut scene, "0", JULIET, "dnd"), PUBLISHED, "those that are there go on");
    assert_eq!(scene.stanza(&format!("<presence from='tybalt@example.net/x' to='{JULIET}'/>")).len(), 1);
    scene.stanza(&format!("<presence from='{ROMEO}/0' to='{JULIET}' type='unavailable'/>"));
    assert_eq!(available(&mut scene, "one more", JULIET, "away"), PUBLISHED);
}

/// As for SIP clients that read one tuple only.
fn most_available() -> Scene {
    let presence_composition = Some("most-available".to_owned());
    Scene::with(Parameters { presence_composition, rate_limit: Some(0), rate_limit_domain: Some(0), ..Parameters::default() })
}

#[test]
fn where_one_resource_stands_for_all_there_is_one_publication() {
    let mut scene = most_available();
    let gone = |resource: &str| format!("<presence from='{ROMEO}/{resource}' to='{JULIET}' type='unavailable'/>");
    assert_eq!(available(&mut scene, "desk", JULIET, "away"), PUBLISHED);
    assert_eq!(available(&mut scene, "phone", JULIET, "dnd"), NOTHING, "the desk is more available");
    assert_eq!(available(&mut scene, "phone", JULIET, "xa"), NOTHING);
    assert_eq!(available(&mut scene, "phone", JULIET, "chat"), PUBLISHED);
    assert_eq!(available(&mut scene, "desk", JULIET, "dnd"), NOTHING);
    assert_eq!(scene.stanza(&gone("phone")), PUBLISHED, "the desk is left");
    assert_eq!(scene.stanza(&gone("desk")), ENDS);
    assert_eq!(scene.stanza(&gone("desk")), NOTHING);
}

#[test]
fn the_one_publication_is_said_again_once_in_its_time() {
    let mut scene = most_available();
    available(&mut scene, "desk", JULIET, "away");
    available(&mut scene, "phone", JULIET, "dnd");
    assert_eq!(scene.pass(Duration::from_secs(2699)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), PUBLISHED);
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
}

/// Who comes while the stream is down says it to nobody.
#[test]
fn whoever_may_be_seen_and_is_not_there_is_asked_for_when_the_stream_stands_again() {
    let probe = ["<presence from='juliet@sip.example.com' to='romeo@example.net' type='probe'/>"];
    let mut scene = Scene::new();
    scene.romeo("subscribed");
    scene.stream_down();
    assert_eq!(scene.stream_up(), probe);
    available(&mut scene, "orchard", JULIET, "away");
    scene.romeo("unavailable");
    scene.stream_down();
    assert_eq!(scene.stream_up(), probe);
    scene.romeo("unsubscribed");
    scene.stream_down();
    assert_eq!(scene.stream_up(), NOTHING);
}

#[test]
fn where_there_is_no_presence_server_nothing_is_published() {
    let mut scene = Scene::with(Parameters { presence_mode: Some("none".to_owned()), ..Parameters::default() });
    scene.romeo("subscribed");
    assert_eq!(available(&mut scene, "orchard", JULIET, "away"), NOTHING);
    scene.stream_down();
    assert_eq!(scene.stream_up(), NOTHING);
    assert_eq!(scene.romeo("unavailable"), NOTHING);
}

const NURSE: &str = "nurse@sip.example.com";

fn probe(from: &str) -> String {
    format!("<presence from='{from}' to='romeo@example.net' type='probe'/>")
}

fn told(decision: &str) -> [String; 1] {
    [format!("sip:romeo@example.net answers {JULIET}: {decision}")]
}

/// Juliet and her nurse see Romeo.
fn seen_by_two() -> Scene {
    let mut scene = Scene::new();
    available(&mut scene, "orchard", JULIET, "away");
    available(&mut scene, "orchard", NURSE, "away");
    scene
}

/// A block (XEP-0191): others see the user as before, and one publication is for all.
#[test]
fn who_is_told_alone_that_the_user_is_gone_is_shown_nothing() {
    let mut scene = seen_by_two();
    assert_eq!(scene.romeo("unavailable"), [probe(NURSE)]);
    assert_eq!(available(&mut scene, "orchard", NURSE, "away"), [probe(JULIET), probe(NURSE)]);
    assert_eq!(available(&mut scene, "orchard", NURSE, "away"), told("Hidden"));
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
    assert_eq!(available(&mut scene, "orchard", JULIET, "away"), told("Allowed"));
}

#[test]
fn who_is_told_alone_is_shown_nothing_although_nobody_answers() {
    let mut scene = seen_by_two();
    assert_eq!(scene.romeo("unavailable"), [probe(NURSE)]);
    assert_eq!(scene.pass(Duration::from_secs(2)), [probe(JULIET)]);
    assert_eq!(scene.romeo("unavailable"), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(5)), told("Hidden"));
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
    assert_eq!(available(&mut scene, "orchard", JULIET, "away"), told("Allowed"));
}

#[test]
fn who_is_answered_by_the_user_goes_on_seeing() {
    let mut scene = Scene::new();
    available(&mut scene, "orchard", NURSE, "away");
    // Nobody has said to Juliet what Romeo does there, since the stream broke say.
    let street = format!("<presence from='{ROMEO}/street' to='{JULIET}' type='unavailable'/>");
    assert_eq!(scene.stanza(&street), [probe(NURSE)]);
    assert_eq!(available(&mut scene, "orchard", NURSE, "away").len(), 2);
    available(&mut scene, "orchard", JULIET, "away");
    assert_eq!(available(&mut scene, "orchard", NURSE, "away"), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
}

/// Both resources answer each probe.
#[test]
fn the_answer_of_another_resource_to_the_first_probe_is_none_to_the_second() {
    let mut scene = seen_by_two();
    available(&mut scene, "street", NURSE, "away");
    assert_eq!(scene.romeo("unavailable"), [probe(NURSE)]);
    assert_eq!(available(&mut scene, "orchard", NURSE, "away").len(), 2);
    assert_eq!(available(&mut scene, "street", NURSE, "away"), NOTHING);
    assert_eq!(available(&mut scene, "orchard", NURSE, "away"), told("Hidden"));
}

#[test]
fn of_a_user_who_leaves_slowly_one_witness_is_asked() {
    let mut scene = seen_by_two();
    let friar = "friar@sip.example.com";
    available(&mut scene, "orchard", friar, "away");
    assert_eq!(scene.romeo("unavailable"), [probe(friar)]);
    let gone = |to: &str| format!("<presence from='{ROMEO}/orchard' to='{to}' type='unavailable'/>");
    assert_eq!(scene.stanza(&gone(friar)), NOTHING);
    assert_eq!(scene.stanza(&gone(NURSE)).len(), 1);
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
}

#[test]
fn a_user_who_leaves_hides_from_nobody_and_nobody_is_asked() {
    let mut scene = seen_by_two();
    let gone = |to: &str| format!("<presence from='{ROMEO}/orchard' to='{to}' type='unavailable'/>");
    let leaves = scene.stanzas(&[gone(JULIET), gone(NURSE)]);
    assert_eq!(leaves.len(), 1, "the publication ends: {leaves:?}");
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
}

/// Prosody says so to who asks for a subscription, and refuses who is not subscribed and probes.
#[test]
fn for_who_waits_for_a_decision_nobody_is_asked() {
    let mut scene = Scene::new();
    available(&mut scene, "orchard", NURSE, "away");
    scene.event(watchers(ROMEO, &[JULIET]));
    assert_eq!(scene.romeo("unavailable"), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
}
