//! Several components: what happens to the stream of one domain is nothing to the users of another.

use std::time::Duration;

use crate::support::DOMAIN;
use crate::support::NOTHING;
use crate::support::ROMEO;
use crate::support::Scene;
use crate::support::reply;
use crate::support::watchers;
use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::gateway::event::SubscribeReply;

const OTHER: &str = "sip.example.org";

fn shown_to(scene: &mut Scene, user: &str) -> Vec<String> {
    scene.stanza(&format!("<presence from='romeo@example.net/orchard' to='{user}'/>"))
}

/// Romeo is seen by a user of each domain.
fn seen_by_both() -> Scene {
    let mut scene = Scene::of_components(&[DOMAIN, OTHER]);
    assert_eq!(scene.stream_up_of(OTHER), NOTHING);
    assert_eq!(shown_to(&mut scene, "juliet@sip.example.com").len(), 1);
    assert_eq!(shown_to(&mut scene, "nurse@sip.example.org"), NOTHING);
    scene
}

#[test]
fn presence_that_another_stream_confirms_stays() {
    let mut scene = seen_by_both();
    scene.stream_down();
    assert_eq!(scene.stream_up(), ["<presence from='juliet@sip.example.com' to='romeo@example.net' type='probe'/>"]);
    assert_eq!(scene.pass(Duration::from_secs(61)), NOTHING);
    // The last one who sees Romeo is told that he is gone.
    let gone = scene.stanza("<presence from='romeo@example.net/orchard' to='nurse@sip.example.org' type='unavailable'/>");
    assert_eq!(gone, ["PUBLISH sip:romeo@example.net ends"]);
}

#[test]
fn presence_that_no_stream_confirms_goes() {
    let mut scene = seen_by_both();
    scene.stream_down();
    scene.gateway.stream_down(OTHER);
    assert_eq!(scene.stream_up_of(OTHER), ["<presence from='nurse@sip.example.org' to='romeo@example.net' type='probe'/>"]);
    assert_eq!(scene.pass(Duration::from_secs(59)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(2)), ["PUBLISH sip:romeo@example.net ends"]);
    // Nobody could be asked over the other one.
    assert_eq!(scene.stream_up(), ["<presence from='juliet@sip.example.com' to='romeo@example.net' type='probe'/>"]);
    assert_eq!(shown_to(&mut scene, "juliet@sip.example.com"), ["PUBLISH sip:romeo@example.net for 3600"]);
}

/// He may have taken the permission from one contact alone.
#[test]
fn who_leaves_while_another_stream_is_down_is_asked_for_when_it_stands() {
    let mut scene = seen_by_both();
    scene.gateway.stream_down(OTHER);
    let gone = scene.stanza("<presence from='romeo@example.net/orchard' to='juliet@sip.example.com' type='unavailable'/>");
    assert_eq!(gone, ["PUBLISH sip:romeo@example.net ends"]);
    assert_eq!(scene.stream_up_of(OTHER), ["<presence from='nurse@sip.example.org' to='romeo@example.net' type='probe'/>"]);
    assert_eq!(shown_to(&mut scene, "nurse@sip.example.org"), ["PUBLISH sip:romeo@example.net for 3600"]);
    scene.stream_down();
    // By that the user may have left, and come back since.
    assert_eq!(scene.stream_up(), ["<presence from='juliet@sip.example.com' to='romeo@example.net' type='probe'/>"]);
}

#[test]
fn a_user_without_a_stream_is_spoken_for_later_and_the_others_now() {
    let mut scene = Scene::of_components(&[DOMAIN, OTHER]);
    let end = |scene: &mut Scene, user: &str| {
        scene.stanza(&format!("<presence from='romeo@example.net' to='{user}' type='subscribe'/>"));
        scene.event(Event::SubscribeReply(SubscribeReply {
            watcher: "romeo@example.net".into(),
            presentity: user.into(),
            ..reply(603)
        }))
    };
    let unsubscribed = |user: &str| format!("<presence from='{user}' to='romeo@example.net' type='unsubscribed'/>");
    assert_eq!(end(&mut scene, "juliet@sip.example.com"), [unsubscribed("juliet@sip.example.com")]);
    assert_eq!(end(&mut scene, "nurse@sip.example.org"), NOTHING);
    assert_eq!(scene.stream_up(), NOTHING);
    assert_eq!(scene.stream_up_of(OTHER), [unsubscribed("nurse@sip.example.org")]);
}

#[test]
fn questions_are_asked_again_where_the_stream_broke() {
    let mut scene = Scene::of_components(&[DOMAIN, OTHER]);
    scene.stream_up_of(OTHER);
    let waiting = |scene: &mut Scene| scene.event(watchers(ROMEO, &["juliet@sip.example.com", "nurse@sip.example.org"]));
    assert_eq!(waiting(&mut scene).len(), 2);
    scene.gateway.stream_down(OTHER);
    let asked = scene.stream_up_of(OTHER);
    assert_eq!(asked, ["<presence from='nurse@sip.example.org' to='romeo@example.net' type='subscribe' id='ask-2'/>"]);
    assert_eq!(waiting(&mut scene), NOTHING);
}
