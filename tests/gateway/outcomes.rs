//! What becomes of states that the host was given to publish: entity tags over a restart, and what is not taken.

use std::time::Duration;

use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::action::Action;
use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::gateway::event::Outcome;
use xmpp_gateway::gateway::event::Published;
use xmpp_gateway::gateway::kept::Clock;
use xmpp_gateway::gateway::notifier::CONFIRM;
use xmpp_gateway::sip::Publish;
use xmpp_gateway::sip::Uri;
use xmpp_gateway::store::entry::Entry;

use crate::support::*;

const URI: &str = "sip:romeo@example.net";
const PUBLISHED: [&str; 1] = ["PUBLISH sip:romeo@example.net for 3600"];
const ENDS: &str = "PUBLISH sip:romeo@example.net ends";
const OVERDUE: Duration = Duration::from_secs(35);

fn parameters(composition: &str) -> Parameters {
    Parameters {
        db_url: Some("sqlite:///db".into()),
        store: Some(1),
        presence_composition: Some(composition.into()),
        rate_limit: Some(0),
        rate_limit_domain: Some(0),
        ..Parameters::default()
    }
}

fn started(composition: &str) -> Scene {
    Scene::before_any_stream(&config(&[DOMAIN], parameters(composition)))
}

fn outcome(scene: &mut Scene, outcome: Outcome) -> Vec<String> {
    id_outcome(scene, "ID-desk", outcome)
}

fn id_outcome(scene: &mut Scene, id: &str, outcome: Outcome) -> Vec<String> {
    scene.event(Event::Published(Published { user: ROMEO.into(), presentity: URI.into(), id: id.into(), outcome }))
}

fn stored(tag: &str) -> Outcome {
    Outcome::Stored { entity_tag: Some(tag.into()), replaced: None }
}

fn romeo_is(scene: &mut Scene, show: &str) -> Vec<String> {
    scene.stanza(&format!("<presence from='{ROMEO}/desk' to='{JULIET}'><show>{show}</show></presence>"))
}

/// All rows of a gateway, in another one.
fn restarted(scene: &mut Scene, composition: &str) -> Scene {
    restarted_as(scene, started(composition))
}

fn restarted_as(scene: &mut Scene, mut other: Scene) -> Scene {
    let clock = Clock { now: scene.now, wall: WALL + Duration::from_secs(1000) };
    for key in scene.gateway.changes(usize::MAX) {
        let row = scene.gateway.entry(clock, &key, |_, _| None).map(|entry| entry.to_row());
        other.gateway.restore(clock, Entry::of_row(&row.unwrap()).unwrap());
    }
    other.stream_up();
    other
}

/// One that was published, and a gateway that has the row of it.
fn published_before(composition: &str, id: &str) -> Scene {
    let mut scene = started(composition);
    scene.stream_up();
    romeo_is(&mut scene, "away");
    id_outcome(&mut scene, id, stored("old"));
    restarted(&mut scene, composition)
}

#[test]
fn what_is_left_from_before_a_restart_is_withdrawn_once_the_new_state_is_there() {
    for (composition, id) in [("all", "ID-desk"), ("most-available", "ID-")] {
        let mut scene = published_before(composition, id);
        assert_eq!(romeo_is(&mut scene, "dnd"), PUBLISHED);
        assert_eq!(id_outcome(&mut scene, id, stored("new")), [format!("PUBLISH {URI} ends for old")], "{composition}");
        assert_eq!(romeo_is(&mut scene, "away"), PUBLISHED);
        assert_eq!(id_outcome(&mut scene, id, stored("newer")), NOTHING);
    }
}

#[test]
fn nothing_is_withdrawn_where_the_new_state_took_the_place_of_the_old_one() {
    for replaced in [Outcome::Stored { entity_tag: Some("new".into()), replaced: Some("old".into()) }, stored("old")] {
        let mut scene = published_before("all", "ID-desk");
        romeo_is(&mut scene, "dnd");
        assert_eq!(outcome(&mut scene, replaced), NOTHING);
    }
}

#[test]
fn who_left_meanwhile_is_taken_away_by_both_names() {
    let mut scene = published_before("all", "ID-desk");
    let mut actions = Vec::new();
    scene.now += CONFIRM;
    scene.gateway.tick(scene.now, &mut actions);
    let ended: Vec<Action> = actions.clone();
    assert_eq!(lines(actions), [ENDS]);
    let mut actions = Vec::new();
    let Action::Publish(publish) = &ended[0] else { panic!("{ended:?}") };
    scene.gateway.publication_ends(publish, &mut actions);
    assert_eq!(lines(actions), [format!("PUBLISH {URI} ends for old")]);
}

#[test]
fn a_state_that_is_not_taken_is_published_again_some_times() {
    let mut scene = Scene::new();
    assert_eq!(romeo_is(&mut scene, "dnd"), PUBLISHED);
    for pause in [1, 2, 4, 8, 16] {
        assert_eq!(outcome(&mut scene, Outcome::Failed), NOTHING);
        assert_eq!(scene.pass(Duration::from_secs(pause)), PUBLISHED, "after {pause} s");
    }
    assert_eq!(outcome(&mut scene, Outcome::Failed), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
    // Whatever it was may be over by then.
    assert_eq!(scene.pass(Duration::from_secs(240)), PUBLISHED);
    // Each change has its own tries.
    assert_eq!(romeo_is(&mut scene, "away"), PUBLISHED);
    outcome(&mut scene, Outcome::Failed);
    assert_eq!(scene.pass(Duration::from_secs(1)), PUBLISHED);
    outcome(&mut scene, stored("a"));
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
}

#[test]
fn where_the_host_tells_of_answers_a_state_without_one_is_published_again() {
    let mut scene = Scene::new();
    romeo_is(&mut scene, "dnd");
    assert_eq!(scene.pass(OVERDUE), NOTHING, "this host tells of none");
    outcome(&mut scene, stored("a"));
    romeo_is(&mut scene, "away");
    assert_eq!(scene.pass(OVERDUE), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), PUBLISHED);
    outcome(&mut scene, stored("b"));
    assert_eq!(scene.pass(OVERDUE), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), NOTHING);
}

#[test]
fn an_end_that_is_not_taken_is_said_again() {
    let mut scene = Scene::new();
    romeo_is(&mut scene, "dnd");
    assert_eq!(scene.romeo("unavailable"), [ENDS]);
    assert_eq!(outcome(&mut scene, Outcome::Failed), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), [ENDS]);
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
}

#[test]
fn watchers_who_could_not_be_told_of_a_decision_are_told_later() {
    let mut scene = Scene::new();
    assert_eq!(scene.event(Event::WatchersNotTold(URI.into())), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), [format!("the watchers of {URI} are told")]);
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
}

fn one_by_one() -> Scene {
    let mut scene = Scene::new();
    scene.gateway.publish_one_by_one();
    scene
}

/// Kamailio's pua would make another publication of it, and the first one would stay until it runs out.
#[test]
fn what_changes_before_the_answer_is_published_once_it_has_come() {
    let mut scene = one_by_one();
    assert_eq!(romeo_is(&mut scene, "dnd"), PUBLISHED);
    for show in ["away", "dnd", "xa"] {
        assert_eq!(romeo_is(&mut scene, show), NOTHING);
    }
    assert_eq!(outcome(&mut scene, stored("a")), PUBLISHED);
    assert_eq!(outcome(&mut scene, stored("b")), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING);
    assert_eq!(romeo_is(&mut scene, "away"), PUBLISHED);
}

#[test]
fn what_ends_before_the_answer_is_withdrawn_once_it_has_come() {
    let mut scene = one_by_one();
    romeo_is(&mut scene, "dnd");
    let mut actions = Vec::new();
    let gone = format!("<presence from='{ROMEO}/desk' to='{JULIET}' type='unavailable'/>");
    assert_eq!(scene.stanza(&gone), [ENDS]);
    let publish = Publish { presentity: Uri::new(URI.into()).unwrap(), id: "ID-desk".into(), body: None, expires: 0 };
    scene.gateway.publication_ends(&publish, &mut actions);
    assert_eq!(lines(actions), NOTHING);
    assert_eq!(outcome(&mut scene, stored("a")), [format!("PUBLISH {URI} ends for a")]);
    assert_eq!(outcome(&mut scene, stored("b")), NOTHING);
}

#[test]
fn who_is_back_before_the_answer_is_published_under_the_same_tag() {
    let mut scene = one_by_one();
    romeo_is(&mut scene, "dnd");
    let gone = format!("<presence from='{ROMEO}/desk' to='{JULIET}' type='unavailable'/>");
    scene.stanza(&gone);
    let publish = Publish { presentity: Uri::new(URI.into()).unwrap(), id: "ID-desk".into(), body: None, expires: 0 };
    scene.gateway.publication_ends(&publish, &mut Vec::new());
    assert_eq!(romeo_is(&mut scene, "away"), NOTHING);
    assert_eq!(outcome(&mut scene, stored("a")), PUBLISHED);
}

#[test]
fn a_state_behind_one_that_fails_takes_its_place() {
    let mut scene = one_by_one();
    romeo_is(&mut scene, "dnd");
    romeo_is(&mut scene, "away");
    assert_eq!(outcome(&mut scene, Outcome::Failed), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), PUBLISHED);
    assert_eq!(outcome(&mut scene, stored("a")), NOTHING);
    romeo_is(&mut scene, "dnd");
    romeo_is(&mut scene, "away");
    assert_eq!(scene.pass(OVERDUE), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), PUBLISHED);
}

/// OpenSIPS's pua has it wait by itself.
#[test]
fn where_the_host_takes_several_states_nothing_waits() {
    let mut scene = Scene::new();
    romeo_is(&mut scene, "dnd");
    outcome(&mut scene, stored("a"));
    for show in ["away", "dnd"] {
        assert_eq!(romeo_is(&mut scene, show), PUBLISHED);
    }
    let gone = format!("<presence from='{ROMEO}/desk' to='{JULIET}' type='unavailable'/>");
    assert_eq!(scene.stanza(&gone), [ENDS]);
    let publish = Publish { presentity: Uri::new(URI.into()).unwrap(), id: "ID-desk".into(), body: None, expires: 0 };
    scene.gateway.publication_ends(&publish, &mut Vec::new());
    assert_eq!(outcome(&mut scene, stored("b")), NOTHING);
}

fn one_by_one_of(composition: &str) -> Scene {
    let mut scene = started(composition);
    scene.stream_up();
    scene.gateway.publish_one_by_one();
    scene
}

/// His only resource is not there any more.
fn romeo_leaves(scene: &mut Scene, id: &str) -> Vec<String> {
    let lines = scene.stanza(&format!("<presence from='{ROMEO}/desk' to='{JULIET}' type='unavailable'/>"));
    if lines == [ENDS] {
        let publish = Publish { presentity: Uri::new(URI.into()).unwrap(), id: id.into(), body: None, expires: 0 };
        scene.gateway.publication_ends(&publish, &mut Vec::new());
    }
    lines
}

#[test]
fn who_is_back_before_an_answer_that_never_comes_is_published_when_it_is_overdue() {
    for (composition, id) in [("all", "ID-desk"), ("most-available", "ID-")] {
        let mut scene = one_by_one_of(composition);
        romeo_is(&mut scene, "dnd");
        assert_eq!(romeo_leaves(&mut scene, id), [ENDS]);
        assert_eq!(romeo_is(&mut scene, "away"), NOTHING);
        assert_eq!(scene.pass(Duration::from_secs(20)), NOTHING);
        // What changes meanwhile is no reason to wait longer.
        assert_eq!(romeo_is(&mut scene, "dnd"), NOTHING);
        assert_eq!(scene.pass(OVERDUE - Duration::from_secs(20)), NOTHING);
        assert_eq!(scene.pass(Duration::from_secs(1)), PUBLISHED, "{composition}");
        assert_eq!(id_outcome(&mut scene, id, stored("a")), NOTHING);
    }
}

#[test]
fn a_state_waits_as_long_as_one_of_another_resource_is_not_answered() {
    let mut scene = one_by_one_of("most-available");
    assert_eq!(romeo_is(&mut scene, "away"), PUBLISHED);
    scene.pass(Duration::from_secs(10));
    let phone = format!("<presence from='{ROMEO}/phone' to='{JULIET}'><show>dnd</show></presence>");
    assert_eq!(scene.stanza(&phone), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(25)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), PUBLISHED, "the answer was overdue");
    for _ in 0..12 {
        assert_eq!(scene.pass(Duration::from_secs(1)), NOTHING);
    }
}

#[test]
fn who_leaves_twice_before_the_answer_is_withdrawn_once_it_has_come() {
    for (composition, id) in [("all", "ID-desk"), ("most-available", "ID-")] {
        let mut scene = one_by_one_of(composition);
        romeo_is(&mut scene, "dnd");
        assert_eq!(romeo_leaves(&mut scene, id), [ENDS]);
        assert_eq!(romeo_is(&mut scene, "away"), NOTHING);
        assert_eq!(romeo_leaves(&mut scene, id), NOTHING);
        assert_eq!(id_outcome(&mut scene, id, stored("a")), [format!("PUBLISH {URI} ends for a")], "{composition}");
        assert_eq!(id_outcome(&mut scene, id, stored("b")), NOTHING);
    }
}

#[test]
fn an_end_that_was_not_taken_does_not_meet_who_is_back() {
    for (composition, id) in [("all", "ID-desk"), ("most-available", "ID-")] {
        let mut scene = started(composition);
        scene.stream_up();
        romeo_is(&mut scene, "dnd");
        assert_eq!(romeo_leaves(&mut scene, id), [ENDS]);
        assert_eq!(id_outcome(&mut scene, id, Outcome::Failed), NOTHING);
        assert_eq!(romeo_is(&mut scene, "away"), PUBLISHED);
        assert_eq!(scene.pass(Duration::from_secs(60)), NOTHING, "{composition}");
    }
}

/// Where the presence server is this host's own, nobody tells of what was taken.
#[test]
fn failures_long_ago_do_not_count() {
    let mut scene = Scene::new();
    romeo_is(&mut scene, "dnd");
    for _ in 0..10 {
        assert_eq!(outcome(&mut scene, Outcome::Failed), NOTHING);
        assert_eq!(scene.pass(Duration::from_secs(1)), PUBLISHED);
        assert_eq!(scene.pass(Duration::from_secs(121)), NOTHING);
    }
}

#[test]
fn a_state_that_waited_when_all_tries_had_failed_is_not_published_twice() {
    let mut scene = one_by_one();
    assert_eq!(romeo_is(&mut scene, "dnd"), PUBLISHED);
    for pause in [1, 2, 4, 8, 16] {
        outcome(&mut scene, Outcome::Failed);
        assert_eq!(scene.pass(Duration::from_secs(pause)), PUBLISHED);
    }
    assert_eq!(romeo_is(&mut scene, "away"), NOTHING);
    outcome(&mut scene, Outcome::Failed);
    assert_eq!(romeo_is(&mut scene, "xa"), PUBLISHED);
    assert_eq!(outcome(&mut scene, stored("a")), NOTHING);
}

/// It was pua before the restart; this host tells of no answers.
#[test]
fn entity_tags_of_pua_are_nothing_to_the_presence_server_of_this_host() {
    let mut scene = started("all");
    scene.stream_up();
    romeo_is(&mut scene, "away");
    outcome(&mut scene, stored("old"));
    let parameters = Parameters { presence_mode: Some("local".into()), ..parameters("all") };
    let mut scene = restarted_as(&mut scene, Scene::before_any_stream(&config(&[DOMAIN], parameters)));
    assert_eq!(romeo_is(&mut scene, "dnd"), PUBLISHED);
    for _ in 0..60 {
        assert_eq!(scene.pass(Duration::from_secs(1)), NOTHING);
    }
    assert_eq!(romeo_leaves(&mut scene, "ID-desk"), [ENDS]);
}
