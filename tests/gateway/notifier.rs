//! SIP users watch XMPP users by dialogs with the gateway (RFC 6665 §4.2, RFC 8048 §5.3).

use std::time::Duration;

use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::action::Authorization;
use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::gateway::event::NotifyReply;
use xmpp_gateway::gateway::event::Place;
use xmpp_gateway::gateway::event::Subscribe;
use xmpp_gateway::gateway::notifier::CONFIRM;
use xmpp_gateway::gateway::notifier::FETCH_PATIENCE;
use xmpp_gateway::gateway::notifier::PACE;
use xmpp_gateway::gateway::notifier::bounds::MAX_PER_WATCHER;
use xmpp_gateway::sip::Dialog;

use crate::support::*;

const QUESTION: &str = "<presence from='juliet@sip.example.com' to='romeo@example.net' type='subscribe' id='ask-1'/>";
const PROBE: &str = "<presence from='juliet@sip.example.com' to='romeo@example.net' type='probe'/>";
const GONE: &str = "<presence from='juliet@sip.example.com' to='romeo@example.net' type='unavailable'/>";

fn dialog(call_id: &str) -> Dialog {
    Dialog::of(&format!("{call_id}\nours\ntheirs\nsip:{ROMEO}\nsip:{JULIET}\nsip:juliet@192.0.2.1\n\n")).unwrap()
}

fn subscribe(call_id: &str, cseq: u32, expires: u32, place: Place) -> Event {
    Event::Subscribe(Subscribe { dialog: dialog(call_id), cseq, expires, place })
}

fn initial(decision: Authorization) -> Place {
    Place::Initial { watcher: JULIET.into(), presentity: ROMEO.into(), decision }
}

/// A scene whose NOTIFYs are answered by hand: the numbers of dialogs begin behind the seed.
struct Watched {
    scene: Scene,
}

impl Watched {
    fn new() -> Self {
        Self { scene: Scene::new() }
    }

    /// Where one resource stands for all.
    fn most_available() -> Self {
        let presence_composition = Some("most-available".to_owned());
        let (rate_limit, rate_limit_domain) = (Some(0), Some(0));
        let scene = Scene::with(Parameters { presence_composition, rate_limit, rate_limit_domain, ..Parameters::default() });
        Self { scene }
    }

    /// With dialog "1", in which a new state is told every 5 s at most; Romeo has just been seen at his desk.
    fn paced() -> Self {
        let (rate_limit, rate_limit_domain) = (Some(0), Some(0));
        let parameters = Parameters { notify_interval: Some(5), rate_limit, rate_limit_domain, ..Parameters::default() };
        let mut watched = Self { scene: Scene::with(parameters) };
        watched.begin("1", 3600, Authorization::Allowed);
        watched.reply(1, 200);
        assert_eq!(watched.presence("desk", ""), ["NOTIFY 1 2: active;expires=3600 ID-desk=Open"]);
        watched.reply(1, 200);
        watched
    }

    /// Juliet subscribes to Romeo.
    fn begin(&mut self, call_id: &str, expires: u32, decision: Authorization) -> Vec<String> {
        self.scene.event(subscribe(call_id, 1, expires, initial(decision)))
    }

    fn refresh(&mut self, call_id: &str, cseq: u32, expires: u32) -> Vec<String> {
        self.scene.event(subscribe(call_id, cseq, expires, Place::InDialog))
    }

    /// The NOTIFY in the dialog that was made as the n-th, counted from 1, is answered.
    fn reply(&mut self, dialog: u64, status: u16) -> Vec<String> {
        self.reply_with(dialog, status, None)
    }

    fn reply_with(&mut self, dialog: u64, status: u16, retry_after: Option<u32>) -> Vec<String> {
        self.scene.event(Event::NotifyReply(NotifyReply { number: dialog + 1, status, retry_after }))
    }

    /// Romeo says what he is doing at this resource.
    fn presence(&mut self, resource: &str, content: &str) -> Vec<String> {
        self.scene.stanza(&format!("<presence from='{ROMEO}/{resource}' to='{JULIET}'>{content}</presence>"))
    }

    fn unavailable(&mut self, resource: &str) -> Vec<String> {
        self.scene.stanza(&format!("<presence from='{ROMEO}/{resource}' to='{JULIET}' type='unavailable'/>"))
    }

    /// With one dialog, "1", in which Juliet sees Romeo at his desk.
    fn watching() -> Self {
        let mut watched = Self::new();
        watched.begin("1", 3600, Authorization::Allowed);
        watched.reply(1, 200);
        assert_eq!(watched.presence("desk", ""), ["NOTIFY 1 2: active;expires=3600 ID-desk=Open"]);
        watched.reply(1, 200);
        watched
    }
}

fn over(call_id: &str) -> String {
    format!("dialog {call_id} is over")
}

fn answers(decision: &str) -> String {
    format!("sip:{ROMEO} answers {JULIET}: {decision}")
}

#[test]
fn who_is_not_let_in_yet_is_pending_and_asked_for_once() {
    let mut watched = Watched::new();
    assert_eq!(watched.begin("1", 3600, Authorization::Pending), ["NOTIFY 1 1: pending;expires=3600", QUESTION]);
    assert_eq!(watched.begin("2", 600, Authorization::Pending), ["NOTIFY 2 1: pending;expires=600"]);
    assert_eq!(watched.reply(1, 200), NOTHING);
    assert_eq!(watched.refresh("1", 2, 1800), ["NOTIFY 1 2: pending;expires=1800"]);
}

#[test]
fn who_is_let_in_is_active_in_every_dialog_and_the_state_is_asked_for() {
    let mut watched = Watched::new();
    watched.begin("1", 3600, Authorization::Pending);
    watched.begin("2", 3600, Authorization::Pending);
    watched.reply(1, 200);
    watched.reply(2, 200);
    let told = watched.scene.romeo("subscribed");
    assert_eq!(told, [PROBE, "NOTIFY 1 2: active;expires=3600", "NOTIFY 2 2: active;expires=3600", &answers("Allowed")]);
    assert_eq!(watched.scene.romeo("subscribed"), [answers("Allowed")]);
}

/// So does Prosody.
#[test]
fn a_server_that_takes_note_of_the_question_by_unavailable_says_no_state() {
    let mut watched = Watched::new();
    watched.begin("1", 3600, Authorization::Pending);
    watched.reply(1, 200);
    assert_eq!(watched.scene.romeo("unavailable"), NOTHING);
    assert_eq!(watched.scene.romeo("subscribed"), [PROBE, "NOTIFY 1 2: active;expires=3600", &answers("Allowed")]);
}

#[test]
fn who_was_let_in_before_is_active_at_once() {
    let mut watched = Watched::new();
    assert_eq!(watched.begin("1", 3600, Authorization::Allowed), [PROBE, "NOTIFY 1 1: active;expires=3600"]);
    watched.presence("desk", "");
    assert_eq!(watched.begin("2", 3600, Authorization::Allowed), ["NOTIFY 2 1: active;expires=3600 ID-desk=Open"]);
}

#[test]
fn who_is_refused_is_told_and_the_dialogs_end() {
    let mut watched = Watched::new();
    watched.begin("1", 3600, Authorization::Pending);
    watched.reply(1, 200);
    let told = watched.scene.romeo("unsubscribed");
    assert_eq!(told, ["NOTIFY 1 2: terminated;reason=rejected", &over("1"), &answers("Refused")]);
    assert_eq!(watched.refresh("1", 2, 3600), [over("1")]);
}

#[test]
fn who_was_refused_before_is_not_asked_for_again() {
    for (decision, reason) in [(Authorization::Refused, "rejected"), (Authorization::NoResource, "noresource")] {
        let told = Watched::new().begin("1", 3600, decision);
        assert_eq!(told, [format!("NOTIFY 1 1: terminated;reason={reason}"), over("1")]);
    }
}

#[test]
fn a_question_that_comes_back_ends_the_dialogs() {
    for (condition, reason, decision) in [("item-not-found", "noresource", "NoResource"), ("forbidden", "rejected", "Refused")] {
        let mut watched = Watched::new();
        watched.begin("1", 3600, Authorization::Pending);
        watched.reply(1, 200);
        let error = format!("<error type='cancel'><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>");
        let stanza = format!("<presence from='{ROMEO}' to='{JULIET}' type='error' id='ask-1'>{error}</presence>");
        let told = watched.scene.stanza(&stanza);
        assert_eq!(told, [format!("NOTIFY 1 2: terminated;reason={reason}"), over("1"), answers(decision)]);
    }
}

#[test]
fn each_resource_is_a_tuple_of_one_document() {
    let mut watched = Watched::watching();
    assert_eq!(
        watched.presence("phone", "<show>away</show>"),
        ["NOTIFY 1 3: active;expires=3600 ID-desk=Open ID-phone=Openaway"]
    );
    watched.reply(1, 200);
    assert_eq!(watched.unavailable("desk"), ["NOTIFY 1 4: active;expires=3600 ID-phone=Openaway"]);
    watched.reply(1, 200);
    assert_eq!(watched.unavailable("phone"), ["NOTIFY 1 5: active;expires=3600 ID-phone=Closed"]);
}

#[test]
fn the_same_state_is_not_said_again() {
    let mut watched = Watched::watching();
    assert_eq!(watched.presence("desk", ""), NOTHING);
    assert_eq!(watched.presence("desk", "<delay xmlns='urn:xmpp:delay' stamp='2026-11-21T03:00:00Z'/>"), NOTHING);
    assert_eq!(watched.unavailable("phone"), NOTHING);
}

#[test]
fn what_may_not_be_seen_yet_is_not_said() {
    let mut watched = Watched::new();
    watched.begin("1", 3600, Authorization::Pending);
    watched.reply(1, 200);
    assert_eq!(watched.presence("desk", "directed"), NOTHING);
    assert_eq!(watched.refresh("1", 2, 3600), ["NOTIFY 1 2: pending;expires=3600"]);
    watched.reply(1, 200);
    assert_eq!(watched.scene.romeo("subscribed"), ["NOTIFY 1 3: active;expires=3600 ID-desk=Open", &answers("Allowed")]);
}

#[test]
fn one_notify_is_under_way_at_a_time_and_the_next_says_all() {
    let mut watched = Watched::watching();
    watched.presence("desk", "<show>away</show>");
    assert_eq!(watched.presence("desk", "<show>dnd</show>"), NOTHING);
    assert_eq!(watched.presence("phone", ""), NOTHING);
    assert_eq!(watched.reply(1, 200), ["NOTIFY 1 4: active;expires=3600 ID-phone=Open ID-desk=Opendnd"]);
    assert_eq!(watched.reply(1, 200), NOTHING);
}

#[test]
fn a_dialog_whose_notify_got_no_answer_at_all_goes_on() {
    let mut watched = Watched::watching();
    watched.presence("desk", "<show>away</show>");
    watched.scene.pass(Duration::from_secs(41));
    assert_eq!(watched.presence("desk", ""), ["NOTIFY 1 4: active;expires=3559 ID-desk=Open"]);
}

#[test]
fn a_refresh_is_answered_with_the_state() {
    let mut watched = Watched::watching();
    watched.scene.pass(Duration::from_secs(1800));
    assert_eq!(watched.refresh("1", 2, 3600), ["NOTIFY 1 3: active;expires=3600 ID-desk=Open"]);
    watched.reply(1, 200);
    assert_eq!(watched.scene.pass(Duration::from_secs(3599)), NOTHING);
}

#[test]
fn a_request_that_comes_again_or_late_does_nothing() {
    let mut watched = Watched::watching();
    assert_eq!(watched.begin("1", 3600, Authorization::Allowed), NOTHING);
    watched.refresh("1", 5, 3600);
    watched.reply(1, 200);
    assert_eq!(watched.refresh("1", 5, 3600), NOTHING);
    assert_eq!(watched.refresh("1", 4, 0), NOTHING);
}

#[test]
fn who_gives_up_sees_nobody_and_xmpp_is_told() {
    let mut watched = Watched::watching();
    let told = watched.refresh("1", 2, 0);
    assert_eq!(told, ["NOTIFY 1 3: terminated;reason=timeout ID-=Closed", &over("1"), GONE]);
    assert_eq!(watched.presence("desk", "<show>away</show>"), ["PUBLISH sip:romeo@example.net for 3600"]);
}

#[test]
fn who_does_not_refresh_is_let_go() {
    let mut watched = Watched::watching();
    assert_eq!(watched.scene.pass(Duration::from_secs(3599)), NOTHING);
    let told = watched.scene.pass(Duration::from_secs(1));
    assert_eq!(told, ["NOTIFY 1 3: terminated;reason=timeout ID-=Closed", &over("1"), GONE]);
}

#[test]
fn xmpp_is_told_when_the_last_phone_is_gone() {
    let mut watched = Watched::watching();
    watched.begin("2", 3600, Authorization::Allowed);
    watched.reply(2, 200);
    assert_eq!(watched.refresh("2", 2, 0).last(), Some(&over("2")));
    assert_eq!(watched.refresh("1", 2, 0).last().map(String::as_str), Some(GONE));
}

#[test]
fn a_notify_that_fails_ends_its_dialog() {
    for status in [404, 408, 481, 500, 603] {
        let mut watched = Watched::new();
        watched.begin("1", 3600, Authorization::Allowed);
        assert_eq!(watched.reply(1, status), [over("1"), GONE.to_owned()], "{status}");
        assert_eq!(watched.presence("desk", ""), ["PUBLISH sip:romeo@example.net for 3600"]);
    }
}

#[test]
fn who_asks_to_wait_is_told_later() {
    let mut watched = Watched::watching();
    watched.presence("desk", "<show>away</show>");
    assert_eq!(watched.reply_with(1, 503, Some(10)), NOTHING);
    assert_eq!(watched.presence("desk", "<show>dnd</show>"), NOTHING);
    assert_eq!(watched.scene.pass(Duration::from_secs(9)), NOTHING);
    assert_eq!(watched.scene.pass(Duration::from_secs(1)), ["NOTIFY 1 4: active;expires=3590 ID-desk=Opendnd"]);
    assert_eq!(watched.reply_with(1, 481, Some(10)), [over("1"), GONE.to_owned()]);
}

/// Who is beyond the limit is still seen, but does not send a NOTIFY with each stanza.
#[test]
fn who_makes_too_much_traffic_is_told_of_once_in_a_while() {
    let mut watched = Watched { scene: Scene::with(Parameters { rate_limit: Some(1), ..Parameters::default() }) };
    watched.begin("1", 3600, Authorization::Allowed);
    watched.reply(1, 200);
    watched.presence("desk", "");
    watched.reply(1, 200);
    let shows = ["away", "dnd", "xa", "chat"].iter().cycle().take(100);
    let said: Vec<String> = shows
        .flat_map(|show| {
            let said = watched.presence("desk", &format!("<show>{show}</show>"));
            watched.reply(1, 200);
            said
        })
        .collect();
    assert!(said.len() < 20, "{said:?}");
    watched.reply(1, 200);
    assert_eq!(watched.scene.pass(PACE).len(), 1);
}

#[test]
fn a_fetch_is_answered_from_what_is_known() {
    let mut watched = Watched::watching();
    let told = watched.begin("2", 0, Authorization::Allowed);
    assert_eq!(told, ["NOTIFY 2 1: terminated;reason=timeout ID-desk=Open"]);
    assert_eq!(watched.presence("desk", "<show>away</show>"), ["NOTIFY 1 3: active;expires=3600 ID-desk=Openaway"]);
}

#[test]
fn a_fetch_of_what_is_not_known_is_answered_when_all_resources_have() {
    let mut watched = Watched::new();
    assert_eq!(watched.begin("1", 0, Authorization::Pending), [PROBE]);
    assert_eq!(watched.presence("desk", ""), NOTHING);
    assert_eq!(watched.presence("phone", ""), NOTHING);
    let told = watched.scene.pass(Duration::ZERO);
    assert_eq!(told, ["NOTIFY 1 1: terminated;reason=timeout ID-desk=Open ID-phone=Open"]);
    assert_eq!(watched.presence("desk", ""), ["PUBLISH sip:romeo@example.net for 3600"], "it has left nothing");
}

#[test]
fn a_fetch_that_nobody_answers_says_nothing() {
    let mut watched = Watched::new();
    watched.begin("1", 0, Authorization::Pending);
    assert_eq!(watched.scene.pass(FETCH_PATIENCE), ["NOTIFY 1 1: terminated;reason=timeout"]);
}

/// A server says so of anybody who is not on the list (RFC 6121 §4.3.2): nobody was asked, so nobody has refused.
#[test]
fn who_may_not_fetch_may_still_ask() {
    let mut watched = Watched::new();
    watched.begin("1", 0, Authorization::Pending);
    assert_eq!(watched.scene.romeo("unsubscribed"), ["NOTIFY 1 1: terminated;reason=rejected"]);
    assert_eq!(watched.begin("2", 3600, Authorization::Pending), ["NOTIFY 2 1: pending;expires=3600", QUESTION]);
}

#[test]
fn a_dialog_that_is_not_known_is_over() {
    assert_eq!(Watched::new().refresh("9", 2, 3600), [over("9")]);
}

#[test]
fn over_a_broken_stream_the_state_is_doubtful() {
    let mut watched = Watched::watching();
    watched.presence("phone", "");
    watched.reply(1, 200);
    watched.scene.stream_down();
    assert_eq!(watched.refresh("1", 2, 3600), ["NOTIFY 1 4: active;expires=3600 ID-desk=Open ID-phone=Open"]);
    watched.reply(1, 200);
    assert_eq!(watched.scene.stream_up(), NOTHING);
    assert_eq!(watched.scene.pass(Duration::ZERO), [PROBE]);
    assert_eq!(watched.presence("phone", ""), NOTHING);
    assert_eq!(watched.scene.pass(CONFIRM), ["NOTIFY 1 5: active;expires=3540 ID-phone=Open"]);
}

#[test]
fn who_comes_while_the_stream_is_down_is_asked_for_when_it_stands() {
    let mut watched = Watched::new();
    watched.scene.stream_down();
    assert_eq!(watched.begin("1", 3600, Authorization::Pending), ["NOTIFY 1 1: pending;expires=3600"]);
    assert_eq!(watched.scene.stream_up(), [QUESTION]);
}

#[test]
fn one_watcher_has_so_many_dialogs_and_no_more() {
    let mut watched = Watched::new();
    for number in 0..MAX_PER_WATCHER {
        watched.begin(&number.to_string(), 3600, Authorization::Allowed);
    }
    let told = watched.begin("one-more", 3600, Authorization::Allowed);
    assert_eq!(told, ["NOTIFY one-more 1: terminated;reason=probation;retry-after=300", &over("one-more")]);
}

/// Presence of a SIP user is the SIP user's: that its phone watches nobody any more does not make it unavailable.
#[test]
fn who_is_seen_stays_seen_when_it_watches_no_more() {
    let mut watched = Watched::watching();
    watched.scene.romeo("subscribe");
    watched.scene.notify(
        xmpp_gateway::sip::SubscriptionState::Active,
        &[("phone", xmpp_gateway::translate::presence::Availability::Available)],
    );
    assert_eq!(watched.refresh("1", 2, 0).last(), Some(&over("1")));
}

#[test]
fn where_one_resource_stands_for_all_a_watcher_is_told_of_that_alone() {
    let mut watched = Watched::most_available();
    watched.begin("1", 3600, Authorization::Allowed);
    watched.reply(1, 200);
    assert_eq!(watched.presence("desk", "<show>away</show>"), ["NOTIFY 1 2: active;expires=3600 ID-desk=Openaway"]);
    watched.reply(1, 200);
    assert_eq!(watched.presence("phone", "<show>dnd</show>"), NOTHING);
    assert_eq!(watched.presence("phone", "<show>chat</show>"), ["NOTIFY 1 3: active;expires=3600 ID-phone=Openchat"]);
    watched.reply(1, 200);
    assert_eq!(watched.unavailable("desk"), NOTHING);
    assert_eq!(watched.unavailable("phone"), ["NOTIFY 1 4: active;expires=3600 ID-phone=Closed"]);
}

/// RFC 3856 §6.10.
#[test]
fn new_states_may_be_told_once_in_a_while_and_then_the_newest() {
    let mut watched = Watched::paced();
    for show in ["away", "xa", "dnd"] {
        assert_eq!(watched.presence("desk", &format!("<show>{show}</show>")), NOTHING);
    }
    assert_eq!(watched.scene.pass(Duration::from_secs(4)), NOTHING);
    assert_eq!(watched.scene.pass(Duration::from_secs(1)), ["NOTIFY 1 3: active;expires=3595 ID-desk=Opendnd"]);
    watched.reply(1, 200);
    assert_eq!(watched.scene.pass(Duration::from_secs(60)), NOTHING);
    assert_eq!(watched.presence("desk", ""), ["NOTIFY 1 4: active;expires=3535 ID-desk=Open"]);
}

#[test]
fn a_refresh_and_an_end_wait_for_no_time_between_new_states() {
    let mut watched = Watched::paced();
    watched.presence("desk", "<show>away</show>");
    assert_eq!(watched.refresh("1", 2, 3600), ["NOTIFY 1 3: active;expires=3600 ID-desk=Openaway"]);
    watched.reply(1, 200);
    watched.presence("desk", "<show>dnd</show>");
    let told = watched.scene.romeo("unsubscribed");
    assert_eq!(told, ["NOTIFY 1 4: terminated;reason=rejected", &over("1"), &answers("Refused")]);
}

/// Nobody who is refused sees any more, however much is going on.
#[test]
fn a_user_over_the_limit_of_traffic_ends_a_subscription_at_once() {
    let mut watched = Watched { scene: Scene::with(Parameters { rate_limit: Some(1), ..Parameters::default() }) };
    watched.begin("1", 3600, Authorization::Allowed);
    watched.reply(1, 200);
    for number in 0..50 {
        watched.presence("desk", &format!("<status>{number}</status>"));
        watched.reply(1, 200);
    }
    assert_eq!(watched.presence("desk", "<show>dnd</show>"), NOTHING, "the limit is reached");
    let told = watched.scene.romeo("unsubscribed");
    assert!(told.first().is_some_and(|told| told.contains("terminated;reason=rejected")), "{told:?}");
}
