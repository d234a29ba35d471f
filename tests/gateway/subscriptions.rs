//! XMPP users watch SIP users (RFC 8048 §5.2, RFC 6665 §4.1.3).

use std::time::Duration;

use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::gateway::event::Notify;
use xmpp_gateway::gateway::event::SubscribeReply;
use xmpp_gateway::gateway::subscription::ANSWER;
use xmpp_gateway::gateway::subscription::MAX_PER_USER;
use xmpp_gateway::gateway::subscription::PER_TICK;
use xmpp_gateway::sip::Reason;
use xmpp_gateway::sip::SubscriptionState::Active;
use xmpp_gateway::sip::SubscriptionState::Pending;
use xmpp_gateway::sip::SubscriptionState::Terminated;
use xmpp_gateway::translate::presence::Availability::Available;
use xmpp_gateway::translate::presence::Availability::Unavailable;
use xmpp_gateway::translate::presence::TuplePresence;

use crate::support::*;

const BALCONY: &str = "<presence from='juliet@sip.example.com/balcony' to='romeo@example.net'/>";

fn subscribed_scene() -> Scene {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    scene.reply(200);
    scene.notify(Active, &[("balcony", Available)]);
    scene
}

#[test]
fn subscribe_becomes_a_subscription() {
    assert_eq!(Scene::new().romeo("subscribe"), SUBSCRIBED_FOR_AN_HOUR);
}

#[test]
fn a_2xx_says_nothing() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    assert_eq!(scene.reply(200), NOTHING);
    assert_eq!(scene.reply(202), NOTHING);
}

#[test]
fn pending_says_nothing_and_shows_nothing() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    assert_eq!(scene.notify(Pending, &[("balcony", Available)]), NOTHING);
}

#[test]
fn the_first_active_is_subscribed_and_the_same_state_is_not_told_again() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    scene.notify(Pending, &[]);
    let first = scene.notify(Active, &[("balcony", Available)]);
    assert_eq!(first, [presence(JULIET, "subscribed"), BALCONY.to_owned()]);
    assert_eq!(scene.notify(Active, &[("balcony", Available)]), NOTHING);
    let away = presence("juliet@sip.example.com/balcony", "unavailable");
    assert_eq!(scene.notify(Active, &[("balcony", Unavailable)]), [away]);
    assert_eq!(scene.notify(Active, &[("balcony", Unavailable)]), NOTHING);
    assert_eq!(scene.notify(Active, &[("balcony", Available)]), [BALCONY]);
}

#[test]
fn active_without_a_body_is_unavailable() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    assert_eq!(scene.notify(Active, &[]), [presence(JULIET, "subscribed"), presence(JULIET, "unavailable")]);
}

#[test]
fn a_vanished_tuple_becomes_unavailable_once() {
    let mut scene = subscribed_scene();
    let [balcony, chamber] = ["juliet@sip.example.com/balcony", "juliet@sip.example.com/chamber"];
    let appears = "<presence from='juliet@sip.example.com/chamber' to='romeo@example.net'/>";
    assert_eq!(scene.notify(Active, &[("balcony", Available), ("chamber", Available)]), [appears]);
    assert_eq!(scene.notify(Active, &[("chamber", Available)]), [presence(balcony, "unavailable")]);
    assert_eq!(scene.notify(Active, &[]), [presence(chamber, "unavailable")]);
    assert_eq!(scene.notify(Active, &[]), NOTHING);
}

#[test]
fn a_closed_tuple_is_said_to_be_unavailable_once() {
    let mut scene = subscribed_scene();
    let gone = presence("juliet@sip.example.com/balcony", "unavailable");
    assert_eq!(scene.notify(Active, &[("balcony", Unavailable)]), [gone]);
    assert_eq!(scene.notify(Active, &[]), NOTHING);
    assert_eq!(scene.romeo("probe"), [presence(JULIET, "unavailable")]);
}

#[test]
fn a_refusal_is_unsubscribed() {
    for status in [403, 489, 603] {
        let mut scene = Scene::new();
        scene.romeo("subscribe");
        assert_eq!(scene.reply(status), [presence(JULIET, "unsubscribed")], "{status}");
    }
}

#[test]
fn rejected_ends_what_was_shown() {
    let mut scene = subscribed_scene();
    assert_eq!(
        scene.notify(Terminated(Reason::Rejected), &[]),
        [presence("juliet@sip.example.com/balcony", "unavailable"), presence(JULIET, "unsubscribed")]
    );
}

#[test]
fn an_unknown_user_is_an_error_and_is_forgotten() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    let answer = scene.reply(404);
    assert_eq!(answer.len(), 1);
    assert!(answer[0].contains("type='error'") && answer[0].contains("<item-not-found "), "{answer:?}");
    assert_eq!(scene.pass(Duration::from_secs(7200)), NOTHING);
}

#[test]
fn what_may_pass_is_tried_again_after_growing_pauses_and_xmpp_hears_nothing() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    for pause in [1, 2, 4, 8] {
        assert_eq!(scene.reply(408), NOTHING);
        assert_eq!(scene.pass(Duration::from_millis(pause * 1000 - 1)), NOTHING);
        assert_eq!(scene.pass(Duration::from_millis(1)), SUBSCRIBED_FOR_AN_HOUR);
    }
}

#[test]
fn a_subscription_that_ran_out_is_made_again_without_a_word() {
    for reason in [Reason::Timeout, Reason::Deactivated, Reason::Unspecified, Reason::Probation, Reason::Giveup] {
        let mut scene = subscribed_scene();
        assert_eq!(scene.notify(Terminated(reason), &[]), NOTHING, "{reason:?}");
        assert_eq!(scene.pass(Duration::from_secs(1)), SUBSCRIBED_FOR_AN_HOUR, "{reason:?}");
        assert_eq!(scene.notify_as("2@gateway", 1, Active, &[("balcony", Available)]), NOTHING, "{reason:?}");
        assert_eq!(scene.romeo("probe"), [BALCONY], "{reason:?}");
    }
}

/// Its client may know nothing of what was shown before.
#[test]
fn who_asks_while_a_subscription_is_made_again_is_told_all() {
    for wish in ["probe", "subscribe"] {
        let mut scene = subscribed_scene();
        scene.pass(Duration::from_secs(3000));
        scene.notify(Terminated(Reason::Timeout), &[]);
        assert_eq!(scene.romeo(wish), NOTHING, "one SUBSCRIBE is on its way");
        let told = scene.notify_as("2@gateway", 1, Active, &[("balcony", Available)]);
        assert_eq!(told.last().map(String::as_str), Some(BALCONY), "{wish}");
    }
}

#[test]
fn invariant_keeps_the_last_state() {
    let mut scene = subscribed_scene();
    assert_eq!(scene.notify(Terminated(Reason::Invariant), &[]), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(7200)), NOTHING);
    assert_eq!(scene.romeo("probe"), [BALCONY]);
}

#[test]
fn unsubscribe_ends_the_dialog_and_is_confirmed_by_its_reply() {
    let mut scene = subscribed_scene();
    assert_eq!(scene.romeo("unsubscribe"), ["SUBSCRIBE sip:romeo@example.net -> sip:juliet@sip.example.com for 0"]);
    assert_eq!(scene.notify(Terminated(Reason::Timeout), &[]), NOTHING);
    assert_eq!(scene.reply(200), [presence("juliet@sip.example.com/balcony", "unavailable"), presence(JULIET, "unsubscribed")]);
}

#[test]
fn who_is_subscribed_is_told_again_without_asking() {
    let mut scene = subscribed_scene();
    assert_eq!(scene.romeo("subscribe"), [presence(JULIET, "subscribed"), BALCONY.to_owned()]);
}

#[test]
fn a_probe_is_answered_from_what_is_known() {
    assert_eq!(subscribed_scene().romeo("probe"), [BALCONY]);
}

/// Where the SIP user is away, too (RFC 6121 §4.3.2).
#[test]
fn the_probes_of_a_login_make_no_sip_requests() {
    let mut scene = Scene::with(Parameters { rate_limit_domain: Some(0), ..Parameters::default() });
    let contact = |number: usize| format!("contact{number}@sip.example.com");
    let stanza = |number, kind| format!("<presence from='{ROMEO}' to='{}' type='{kind}'/>", contact(number));
    let shown = |number| format!("<presence from='{}/desk' to='{ROMEO}'/>", contact(number));
    for number in 0..500 {
        scene.pass(Duration::from_secs(1));
        scene.stanza(&stanza(number, "subscribe"));
        let desk = TuplePresence { resource: "desk".into(), availability: Available, stanza: shown(number) };
        scene.event(Event::Notify(Notify {
            watcher: ROMEO.into(),
            presentity: contact(number),
            dialog: format!("{number}@gateway"),
            cseq: 1,
            state: Active,
            retry_after: None,
            expires: None,
            display_name: None,
            presences: if number % 2 == 0 { vec![desk] } else { Vec::new() },
        }));
    }
    for _ in 0..2 {
        for number in 0..500 {
            let away = format!("<presence from='{}' to='{ROMEO}' type='unavailable'/>", contact(number));
            let wanted = if number % 2 == 0 { shown(number) } else { away };
            assert_eq!(scene.stanza(&stanza(number, "probe")), [wanted]);
        }
    }
}

#[test]
fn a_probe_of_the_unknown_asks_and_is_never_answered_subscribed() {
    let mut scene = Scene::new();
    assert_eq!(scene.romeo("probe"), SUBSCRIBED_FOR_AN_HOUR);
    assert_eq!(scene.notify(Active, &[("balcony", Available)]), [BALCONY]);
}

#[test]
fn a_notify_that_came_late_is_dropped() {
    let mut scene = subscribed_scene();
    assert_eq!(scene.notify_as("1@gateway", 9, Active, &[("balcony", Unavailable)]).len(), 1);
    assert_eq!(scene.notify_as("1@gateway", 8, Active, &[("balcony", Available)]), NOTHING);
}

#[test]
fn what_happened_while_the_stream_was_down_is_told_afterwards() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    scene.stream_down();
    assert_eq!(scene.notify(Active, &[("balcony", Available)]), NOTHING);
    assert_eq!(scene.stream_up(), [presence(JULIET, "subscribed"), BALCONY.to_owned()]);
}

#[test]
fn a_resource_that_vanished_while_the_stream_was_down_is_told_too() {
    let mut scene = subscribed_scene();
    scene.stream_down();
    assert_eq!(scene.notify(Active, &[("chamber", Available)]), NOTHING);
    assert!(scene.stream_up().contains(&presence("juliet@sip.example.com/balcony", "unavailable")));
}

#[test]
fn a_subscription_ended_while_the_stream_was_down_is_told_too() {
    let mut scene = subscribed_scene();
    scene.stream_down();
    assert_eq!(scene.notify(Terminated(Reason::Rejected), &[]), NOTHING);
    assert!(scene.stream_up().contains(&presence(JULIET, "unsubscribed")));
}

#[test]
fn an_unsubscribe_that_nobody_answers_ends_all_the_same() {
    let mut scene = Scene::new();
    scene.romeo("unsubscribe");
    assert_eq!(scene.pass(Duration::from_secs(39)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), [presence(JULIET, "unsubscribed")]);
    assert_eq!(scene.pass(Duration::from_secs(7200)), NOTHING);
}

#[test]
fn a_subscribe_that_nobody_answers_is_tried_again() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    assert_eq!(scene.pass(Duration::from_secs(40)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), SUBSCRIBED_FOR_AN_HOUR);
}

#[test]
fn once_answered_it_waits_for_the_decision_and_is_kept_alive() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    scene.reply(202);
    scene.notify(Pending, &[]);
    for _ in 0..100 {
        assert_eq!(scene.pass(Duration::from_secs(2699)), NOTHING);
        // Romeo may have gone: he is to have his answer all the same.
        assert_eq!(scene.pass(Duration::from_secs(1)), SUBSCRIBED_FOR_AN_HOUR);
        scene.reply(200);
        scene.notify(Pending, &[]);
    }
}

/// RFC 6665 §4.1.2.4.
#[test]
fn without_a_first_notify_there_is_no_subscription() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.reply(200), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(38)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), SUBSCRIBED_FOR_AN_HOUR);
}

#[test]
fn tries_that_are_due_at_once_are_spread_over_ticks() {
    let mut scene = Scene::new();
    for number in 0..PER_TICK + 1 {
        let watcher = format!("watcher{number}@example.net");
        scene.stanza(&format!("<presence from='{watcher}' to='{JULIET}' type='subscribe'/>"));
        scene.event(Event::SubscribeReply(SubscribeReply { watcher, ..reply(503) }));
    }
    assert_eq!(scene.pass(Duration::from_secs(1)).len(), PER_TICK);
    assert_eq!(scene.pass(Duration::from_millis(1)).len(), 1);
}

#[test]
fn a_wish_while_a_subscribe_is_on_its_way_sends_no_second_one() {
    let mut scene = Scene::new();
    assert_eq!(scene.romeo("probe"), SUBSCRIBED_FOR_AN_HOUR);
    assert_eq!(scene.romeo("subscribe"), NOTHING);
    assert_eq!(scene.romeo("probe"), NOTHING);
    scene.reply(200);
    let answer = scene.notify(Active, &[("balcony", Available)]);
    assert_eq!(answer, [presence(JULIET, "subscribed"), BALCONY.to_owned()]);
}

fn asked_with_id(scene: &mut Scene, kind: &str) -> Vec<String> {
    scene.stanza(&format!("<presence from='{ROMEO}' to='{JULIET}' type='{kind}' id='s1'/>"))
}

fn failed(condition: &str, kind: &str) -> String {
    let condition = format!("<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>");
    format!("<presence type='error' from='{JULIET}' to='{ROMEO}' id='s1'><error type='{kind}'>{condition}</error></presence>")
}

#[test]
fn a_failure_that_is_final_comes_back_with_the_id_of_what_asked() {
    for (status, condition, kind) in [
        (300, "redirect", "modify"),
        (400, "bad-request", "modify"),
        (401, "not-authorized", "auth"),
        (404, "item-not-found", "cancel"),
        (405, "feature-not-implemented", "cancel"),
        (406, "not-acceptable", "modify"),
        (407, "registration-required", "auth"),
        (410, "gone", "cancel"),
        (416, "not-acceptable", "modify"),
        (484, "item-not-found", "cancel"),
        (513, "policy-violation", "modify"),
        (604, "item-not-found", "cancel"),
        (606, "not-acceptable", "modify"),
    ] {
        for kind_of_stanza in ["subscribe", "probe"] {
            let mut scene = Scene::new();
            assert_eq!(asked_with_id(&mut scene, kind_of_stanza), SUBSCRIBED_FOR_AN_HOUR);
            assert_eq!(scene.reply(status), [failed(condition, kind)], "{status}");
            assert_eq!(asked_with_id(&mut scene, kind_of_stanza), SUBSCRIBED_FOR_AN_HOUR, "{status}: nothing is remembered");
        }
    }
}

#[test]
fn a_failure_that_may_pass_is_not_told() {
    for status in [408, 423, 480, 481, 486, 491, 500, 502, 503, 504, 600] {
        let mut scene = Scene::new();
        asked_with_id(&mut scene, "subscribe");
        assert_eq!(scene.reply(status), NOTHING, "{status}");
        assert_eq!(scene.pass(Duration::from_secs(1)), SUBSCRIBED_FOR_AN_HOUR, "{status}");
        // Whoever asked is still the one who waits.
        assert_eq!(scene.reply(404), [failed("item-not-found", "cancel")]);
    }
}

#[test]
fn a_failure_names_where_the_user_has_gone() {
    let mut scene = Scene::new();
    asked_with_id(&mut scene, "subscribe");
    let told = scene.reply_with(301, Some("Moved"), Some("xmpp:juliet@example.org"), None);
    assert!(told[0].contains(">xmpp:juliet@example.org</gone>") && told[0].contains(">Moved</text>"), "{told:?}");
}

#[test]
fn a_failure_that_nobody_asked_for_ends_no_authorization() {
    let mut scene = subscribed_scene();
    scene.notify(Terminated(Reason::Timeout), &[]);
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.reply(404), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(2)), SUBSCRIBED_FOR_AN_HOUR);
}

#[test]
fn retry_after_is_waited_for() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    assert_eq!(scene.reply_with(503, None, None, Some(30)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(29)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), SUBSCRIBED_FOR_AN_HOUR);
    assert_eq!(scene.reply_with(503, None, None, Some(u32::MAX)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(3600)), SUBSCRIBED_FOR_AN_HOUR);
}

#[test]
fn a_notifier_that_names_a_time_is_left_alone_for_so_long() {
    for (reason, seconds) in [(Reason::Probation, 30), (Reason::Giveup, 30), (Reason::Unspecified, 30), (Reason::Timeout, 1)] {
        let mut scene = subscribed_scene();
        scene.retry_after = Some(30);
        scene.notify(Terminated(reason), &[]);
        assert_eq!(scene.pass(Duration::from_millis(seconds * 1000 - 1)), NOTHING, "{reason:?}");
        assert_eq!(scene.pass(Duration::from_millis(1)), SUBSCRIBED_FOR_AN_HOUR, "{reason:?}");
    }
}

#[test]
fn the_end_of_the_dialog_before_ends_nothing() {
    let mut scene = subscribed_scene();
    assert_eq!(scene.notify_as("2@gateway", 1, Active, &[("balcony", Available)]), NOTHING);
    for reason in [Reason::Timeout, Reason::Rejected] {
        assert_eq!(scene.notify_as("1@gateway", 99, Terminated(reason), &[]), NOTHING, "{reason:?}");
    }
    assert_eq!(scene.pass(Duration::from_secs(2000)), NOTHING);
    assert_eq!(scene.romeo("probe"), [BALCONY]);
    assert_eq!(scene.notify_as("2@gateway", 2, Terminated(Reason::Rejected), &[]).len(), 2);
}

#[test]
fn an_end_that_comes_twice_is_one() {
    let mut scene = subscribed_scene();
    scene.notify_as("1@gateway", 5, Terminated(Reason::Timeout), &[]);
    assert_eq!(scene.pass(Duration::from_secs(1)), SUBSCRIBED_FOR_AN_HOUR);
    assert_eq!(scene.notify_as("1@gateway", 5, Terminated(Reason::Rejected), &[]), NOTHING);
    let news = scene.notify_as("2@gateway", 1, Active, &[("balcony", Available), ("chamber", Available)]);
    assert_eq!(news.len(), 1, "{news:?}");
}

#[test]
fn one_user_has_so_many_subscriptions_and_no_more() {
    let mut scene = Scene::new();
    let ask = |scene: &mut Scene, from: &str, number: usize, kind: &str| {
        scene.stanza(&format!("<presence from='{from}' to='u{number}@sip.example.com' type='{kind}'/>"))
    };
    for number in 0..MAX_PER_USER {
        assert!(ask(&mut scene, ROMEO, number, "subscribe")[0].starts_with("SUBSCRIBE "), "{number}");
    }
    let refused = ask(&mut scene, ROMEO, MAX_PER_USER, "subscribe");
    assert!(refused.len() == 1 && refused[0].contains("<resource-constraint "), "{refused:?}");
    assert_eq!(ask(&mut scene, ROMEO, MAX_PER_USER, "unsubscribe").len(), 1);
    assert!(ask(&mut scene, "tybalt@example.net", 0, "subscribe")[0].starts_with("SUBSCRIBE "));
    ask(&mut scene, ROMEO, 0, "unsubscribe");
    // The reply, and what may still be on its way, is waited for.
    for _ in 0..80 {
        scene.pass(Duration::from_secs(1));
    }
    assert!(ask(&mut scene, ROMEO, MAX_PER_USER, "subscribe")[0].starts_with("SUBSCRIBE "));
}

#[test]
fn presence_that_comes_back_ends_the_subscription_in_sip() {
    let came_back = |kind: &str, condition: &str| {
        let error = format!("<error type='{kind}'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
        format!("<presence from='{ROMEO}' to='{JULIET}' type='error'>{error}</presence>")
    };
    let mut scene = subscribed_scene();
    assert_eq!(scene.stanza(&came_back("wait", "remote-server-timeout")), NOTHING);
    let ended = ["SUBSCRIBE sip:romeo@example.net -> sip:juliet@sip.example.com for 0"];
    assert_eq!(scene.stanza(&came_back("cancel", "remote-server-not-found")), ended);
    assert_eq!(scene.stanza(&came_back("cancel", "remote-server-not-found")), NOTHING);
    assert_eq!(scene.reply(200), NOTHING);
    assert_eq!(scene.notify(Terminated(Reason::Timeout), &[]), NOTHING);
    assert_eq!(scene.romeo("probe"), SUBSCRIBED_FOR_AN_HOUR, "who is back is told again");
}

fn refresh_is_due(scene: &mut Scene) -> Vec<String> {
    scene.reply(200);
    scene.pass(Duration::from_secs(2700))
}

fn gateway_probes() -> [String; 1] {
    [presence(DOMAIN, "probe")]
}

/// RFC 8048 §5.2.2, §8.1.
#[test]
fn before_a_refresh_the_watcher_is_asked_whether_it_is_there() {
    for (answer, refreshed) in [
        ("<presence from='romeo@example.net/orchard' to='sip.example.com'/>", true),
        // Nobody can tell.
        ("<presence from='romeo@example.net' to='sip.example.com' type='unsubscribed'/>", true),
        // One resource of several.
        ("<presence from='romeo@example.net/orchard' to='sip.example.com' type='unavailable'/>", true),
        ("<presence from='romeo@example.net' to='sip.example.com' type='unavailable'/>", false),
        (
            "<presence from='romeo@example.net' to='sip.example.com' type='error'><error type='cancel'>\
             <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
            false,
        ),
    ] {
        let mut scene = subscribed_scene();
        assert_eq!(refresh_is_due(&mut scene), gateway_probes());
        let mut done = scene.stanza(answer);
        done.extend(scene.pass(ANSWER));
        let gone = presence("juliet@sip.example.com/balcony", "unavailable");
        assert_eq!(done, if refreshed { SUBSCRIBED_FOR_AN_HOUR.map(str::to_owned) } else { [gone] }, "{answer}");
    }
}

#[test]
fn who_cannot_be_asked_is_taken_for_there() {
    let mut scene = subscribed_scene();
    assert_eq!(refresh_is_due(&mut scene), gateway_probes());
    assert_eq!(scene.pass(ANSWER - Duration::from_secs(1)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), SUBSCRIBED_FOR_AN_HOUR);
}

#[test]
fn who_told_the_sip_user_to_be_gone_is_gone_where_nobody_else_can_tell() {
    let told = |kinds: &[&str]| {
        let mut scene = subscribed_scene();
        for kind in kinds {
            scene.romeo(kind);
        }
        refresh_is_due(&mut scene);
        scene.pass(ANSWER)
    };
    let gone = [presence("juliet@sip.example.com/balcony", "unavailable")];
    assert_eq!(told(&["unavailable"]), gone);
    assert_eq!(told(&["unavailable", "probe"]), SUBSCRIBED_FOR_AN_HOUR);
    // It hides from her, and may be there: servers say both, in either order (RFC 6121 §3.2.1).
    assert_eq!(told(&["unavailable", "unsubscribed"]), SUBSCRIBED_FOR_AN_HOUR);
    assert_eq!(told(&["unsubscribed", "unavailable"]), SUBSCRIBED_FOR_AN_HOUR);
    assert_eq!(told(&["unsubscribed", "subscribed", "unavailable"]), gone);
}

#[test]
fn who_is_seen_by_any_sip_user_needs_no_question() {
    let mut scene = subscribed_scene();
    scene.stanza(&format!("<presence from='{ROMEO}/orchard' to='nurse@sip.example.com'/>"));
    assert!(refresh_is_due(&mut scene).contains(&SUBSCRIBED_FOR_AN_HOUR[0].to_owned()));
}

#[test]
fn a_login_is_one_question_however_many_the_contacts() {
    let mut scene = Scene::new();
    for number in 0..100 {
        scene.stanza(&format!("<presence from='{ROMEO}' to='contact{number}@sip.example.com' type='subscribe'/>"));
        scene.event(Event::Notify(Notify {
            watcher: ROMEO.into(),
            presentity: format!("contact{number}@sip.example.com"),
            dialog: format!("{number}@gateway"),
            cseq: 1,
            state: Active,
            retry_after: None,
            expires: Some(3600),
            display_name: None,
            presences: Vec::new(),
        }));
    }
    assert_eq!(scene.pass(Duration::from_secs(2700)), gateway_probes());
    let refreshed = scene.stanza("<presence from='romeo@example.net/orchard' to='sip.example.com'/>");
    assert_eq!(refreshed.len(), 100);
}

#[test]
fn a_dialog_that_runs_out_says_nothing_to_xmpp_and_a_login_makes_it_anew() {
    let mut scene = subscribed_scene();
    refresh_is_due(&mut scene);
    scene.stanza("<presence from='romeo@example.net' to='sip.example.com' type='unavailable'/>");
    assert_eq!(scene.notify(Active, &[("chamber", Available)]), NOTHING);
    assert_eq!(scene.notify(Terminated(Reason::Timeout), &[]), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(7200)), NOTHING);
    assert_eq!(scene.romeo("probe"), SUBSCRIBED_FOR_AN_HOUR);
    assert_eq!(scene.notify_as("2@gateway", 1, Active, &[("balcony", Available)]), [BALCONY], "the authorization stood");
}

#[test]
fn who_comes_back_before_the_dialog_has_run_out_keeps_it() {
    let mut scene = subscribed_scene();
    refresh_is_due(&mut scene);
    scene.stanza("<presence from='romeo@example.net' to='sip.example.com' type='unavailable'/>");
    assert_eq!(scene.romeo("probe"), SUBSCRIBED_FOR_AN_HOUR);
    scene.reply(200);
    assert_eq!(scene.notify(Active, &[("balcony", Available)]), [BALCONY]);
}

#[test]
fn what_was_granted_counts_and_not_what_was_asked_for() {
    for (granted, refresh) in [(600, 450), (40, 30), (1, 30), (86_400, 64_800)] {
        let mut scene = Scene::new();
        scene.romeo("subscribe");
        scene.event(Event::SubscribeReply(SubscribeReply { expires: Some(granted), ..reply(200) }));
        scene.notify(Pending, &[]);
        assert_eq!(scene.pass(Duration::from_secs(refresh - 1)), NOTHING, "{granted}");
        assert_eq!(scene.pass(Duration::from_secs(1)), SUBSCRIBED_FOR_AN_HOUR, "{granted}");
    }
}

/// RFC 6665 §4.1.3: it may shorten the time, and never lengthens it.
#[test]
fn a_notify_may_shorten_what_was_granted() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    scene.reply(200);
    for left in [600, 590] {
        scene.expires = Some(left);
        scene.notify(Pending, &[]);
        assert_eq!(scene.pass(Duration::from_secs(10)), NOTHING);
    }
    assert_eq!(scene.pass(Duration::from_secs(429)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), SUBSCRIBED_FOR_AN_HOUR);
}

#[test]
fn a_lifetime_that_is_too_brief_is_asked_for_as_wanted_from_then_on() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    let wants = |seconds| Event::SubscribeReply(SubscribeReply { min_expires: Some(seconds), ..reply(423) });
    let longer = ["SUBSCRIBE sip:romeo@example.net -> sip:juliet@sip.example.com for 7200"];
    assert_eq!(scene.event(wants(7200)), longer);
    // One who wants what it gets, or a year, is not followed.
    assert_eq!(scene.event(wants(7200)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(1)), longer);
    assert_eq!(scene.event(wants(31_536_000)), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(2)), longer);
}

/// A state that is not known is not left standing.
#[test]
fn after_a_while_without_a_subscription_nobody_is_shown() {
    let mut scene = subscribed_scene();
    scene.notify(Terminated(Reason::Timeout), &[]);
    let gone = presence("juliet@sip.example.com/balcony", "unavailable");
    for (pause, told) in [(1, None), (2, None), (4, None), (8, None), (16, Some(&gone)), (32, None), (64, None)] {
        assert_eq!(scene.pass(Duration::from_secs(pause)), SUBSCRIBED_FOR_AN_HOUR);
        assert_eq!(scene.reply(503).first(), told, "{pause}");
    }
    let mut scene = subscribed_scene();
    scene.retry_after = Some(31);
    assert_eq!(scene.notify(Terminated(Reason::Probation), &[]), [gone]);
    assert_eq!(scene.pass(Duration::from_secs(31)), SUBSCRIBED_FOR_AN_HOUR);
    assert_eq!(scene.notify_as("2@gateway", 1, Active, &[("balcony", Available)]), [BALCONY]);
}

/// A notifier that ends what it has just begun is not followed as fast as it goes.
#[test]
fn a_subscription_that_ran_out_is_made_again_at_once_unless_it_was_new() {
    let mut scene = subscribed_scene();
    scene.pass(Duration::from_secs(9));
    assert_eq!(scene.notify_as("1@gateway", 50, Terminated(Reason::Deactivated), &[]), NOTHING);
    let mut scene = subscribed_scene();
    scene.pass(Duration::from_secs(10));
    assert_eq!(scene.notify_as("1@gateway", 50, Terminated(Reason::Deactivated), &[]), SUBSCRIBED_FOR_AN_HOUR);
}

/// RFC 6665 §4.4.1: one dialog a tag. That of the 2xx is kept; until then, the one heard last counts.
#[test]
fn of_the_dialogs_of_a_forked_subscribe_that_of_the_2xx_is_kept() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    assert_eq!(scene.notify_as("1@gateway;a", 1, Active, &[("balcony", Available)]).len(), 2);
    let taken_over = scene.notify_as("1@gateway;b", 1, Active, &[("chamber", Available)]);
    assert_eq!(taken_over.len(), 2, "the balcony goes, the chamber comes: {taken_over:?}");
    assert_eq!(scene.event(Event::SubscribeReply(SubscribeReply { dialog: Some("1@gateway;b".into()), ..reply(200) })), NOTHING);
    assert_eq!(scene.notify_as("1@gateway;a", 2, Active, &[("balcony", Available)]), NOTHING);
    assert_eq!(scene.notify_as("1@gateway;a", 3, Terminated(Reason::Noresource), &[]), NOTHING);
    assert_eq!(scene.notify_as("1@gateway;b", 2, Active, &[("chamber", Unavailable)]).len(), 1);
}

/// What a client does that takes a contact out of its roster (RFC 6121 §2.5.2).
#[test]
fn a_contact_taken_out_of_the_roster_ends_both_ways() {
    for order in [["unsubscribe", "unsubscribed"], ["unsubscribed", "unsubscribe"]] {
        let mut scene = subscribed_scene();
        scene.event(watchers(ROMEO, &[JULIET]));
        scene.romeo("subscribed");
        let mut done: Vec<String> = order.iter().flat_map(|kind| scene.romeo(kind)).collect();
        done.sort();
        assert_eq!(
            done,
            [
                "SUBSCRIBE sip:romeo@example.net -> sip:juliet@sip.example.com for 0",
                "sip:romeo@example.net answers juliet@sip.example.com: Refused"
            ]
        );
        assert_eq!(scene.reply(200).len(), 2);
    }
}

/// Both want to see the other, and ask at the same time.
#[test]
fn subscriptions_from_both_ends_at_once_are_two() {
    let mut scene = Scene::new();
    assert_eq!(scene.romeo("subscribe"), SUBSCRIBED_FOR_AN_HOUR);
    let asked = scene.event(watchers(ROMEO, &[JULIET]));
    assert!(asked.len() == 1 && asked[0].contains("type='subscribe'"), "{asked:?}");
    assert_eq!(scene.romeo("subscribed"), ["sip:romeo@example.net answers juliet@sip.example.com: Allowed"]);
    assert_eq!(scene.reply(200), NOTHING);
    assert_eq!(scene.notify(Active, &[("balcony", Available)]), [presence(JULIET, "subscribed"), BALCONY.to_owned()]);
    // Who sees no more is seen all the same.
    assert_eq!(scene.romeo("unsubscribed"), ["sip:romeo@example.net answers juliet@sip.example.com: Refused"]);
    assert_eq!(scene.romeo("probe"), [BALCONY]);
}

#[test]
fn a_notify_that_was_on_its_way_brings_nothing_back() {
    let mut scene = subscribed_scene();
    scene.romeo("unsubscribe");
    assert_eq!(scene.reply(200).len(), 2);
    assert_eq!(scene.notify(Active, &[("balcony", Available)]), NOTHING);
    assert_eq!(scene.pass(Duration::from_secs(31)), NOTHING);
    assert_eq!(scene.notify(Active, &[("balcony", Available)]), NOTHING);
    // After that nothing of it is remembered, and a dialog that the host's pua holds is one from before a restart.
    assert_eq!(scene.pass(Duration::from_secs(1)), NOTHING);
    assert_eq!(scene.notify(Active, &[("balcony", Available)]), [BALCONY]);
}

#[test]
fn presence_that_comes_back_is_sent_no_more_though_a_notify_is_on_its_way() {
    let mut scene = subscribed_scene();
    let error = "<error type='cancel'><remote-server-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    scene.stanza(&format!("<presence from='{ROMEO}' to='{JULIET}' type='error'>{error}</presence>"));
    assert_eq!(scene.notify(Active, &[("chamber", Available)]), NOTHING);
    assert_eq!(scene.reply(200), NOTHING);
    assert_eq!(scene.notify(Active, &[("balcony", Available)]), NOTHING);
}
