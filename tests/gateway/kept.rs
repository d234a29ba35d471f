//! What survives a restart: rows as they are written, and a new gateway that has only them.

use std::collections::BTreeMap;
use std::time::Duration;

use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::action::Authorization;
use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::gateway::event::NotifyReply;
use xmpp_gateway::gateway::event::Place;
use xmpp_gateway::gateway::event::Subscribe;
use xmpp_gateway::gateway::kept::Clock;
use xmpp_gateway::gateway::notifier::CONFIRM;
use xmpp_gateway::sip::Dialog;
use xmpp_gateway::sip::Reason;
use xmpp_gateway::sip::SubscriptionState;
use xmpp_gateway::store::Id;
use xmpp_gateway::store::Row;
use xmpp_gateway::store::entry::Entry;
use xmpp_gateway::translate::presence::Availability;

use crate::support::*;

const QUESTION: &str = "<presence from='juliet@sip.example.com' to='romeo@example.net' type='subscribe' id='ask-1'/>";
const PROBE: &str = "<presence from='juliet@sip.example.com' to='romeo@example.net' type='probe'/>";

/// A gateway, and the table that it writes to.
struct Kept {
    scene: Scene,
    table: BTreeMap<Id, Row>,
    /// What Romeo decided on Juliet: in the server this is known to all workers.
    decision: Option<Authorization>,
    /// Seconds since 1970.
    time: u64,
}

impl Kept {
    fn new() -> Self {
        let mut kept = Self { scene: started(), table: BTreeMap::new(), decision: None, time: 1000 };
        kept.scene.stream_up();
        kept
    }

    /// What has changed is written; all rows there are.
    fn rows(&mut self) -> Vec<String> {
        self.write();
        self.table.values().map(Row::to_string).collect()
    }

    fn write(&mut self) {
        let clock = self.clock();
        for key in self.scene.gateway.changes(usize::MAX) {
            match self.scene.gateway.entry(clock, &key, |_, _| self.decision) {
                Some(entry) => {
                    let row = entry.to_row();
                    assert_eq!(row.id, key.id());
                    self.table.insert(row.id.clone(), row);
                }
                None => drop(self.table.remove(&key.id())),
            }
        }
    }

    /// After so many seconds there is another gateway, whose stream does not stand yet.
    fn restart(&mut self, seconds: u64) {
        self.write();
        self.time += seconds;
        self.scene = started();
        self.take_back();
    }

    fn take_back(&mut self) {
        let clock = self.clock();
        for row in self.table.values() {
            self.scene.gateway.restore(clock, Entry::of_row(row).unwrap());
        }
    }

    fn clock(&self) -> Clock {
        Clock { now: self.scene.now, wall: WALL + Duration::from_secs(self.time) }
    }

    fn watch(&mut self, call_id: &str, expires: u32, decision: Authorization) -> Vec<String> {
        let place = Place::Initial { watcher: JULIET.into(), presentity: ROMEO.into(), decision };
        self.scene.event(Event::Subscribe(Subscribe { dialog: dialog(call_id), cseq: 1, expires, place }))
    }

    fn refresh(&mut self, call_id: &str, cseq: u32, expires: u32) -> Vec<String> {
        let (dialog, place) = (dialog(call_id), Place::InDialog);
        self.scene.event(Event::Subscribe(Subscribe { dialog, cseq, expires, place }))
    }

    fn replied(&mut self) {
        self.scene.event(Event::NotifyReply(NotifyReply { number: 2, status: 200, retry_after: None }));
    }

    fn romeo_is(&mut self, content: &str) -> Vec<String> {
        self.scene.stanza(&format!("<presence from='{ROMEO}/desk' to='{JULIET}'>{content}</presence>"))
    }
}

fn started() -> Scene {
    let parameters = Parameters {
        db_url: Some("sqlite:///db".into()),
        store: Some(1),
        dialog_event: Some(1),
        rate_limit: Some(0),
        rate_limit_domain: Some(0),
        ..Parameters::default()
    };
    Scene::before_any_stream(&config(&[DOMAIN], parameters))
}

fn dialog(call_id: &str) -> Dialog {
    Dialog::of(&format!("{call_id}\nours\ntheirs\nsip:{ROMEO}\nsip:{JULIET}\nsip:juliet@192.0.2.1\n\n")).unwrap()
}

const ACTIVE: SubscriptionState = SubscriptionState::Active;
const DESK: [(&str, Availability); 1] = [("desk", Availability::Available)];
const SHOWN: &str = "<presence from='juliet@sip.example.com/desk' to='romeo@example.net'/>";

#[test]
fn without_a_store_nothing_is_noted() {
    let mut scene = Scene::new();
    scene.romeo("subscribe");
    scene.notify(ACTIVE, &DESK);
    scene.stanza(&format!("<presence from='{ROMEO}/desk' to='{JULIET}'/>"));
    assert!(scene.gateway.changes(usize::MAX).is_empty());
}

#[test]
fn a_subscription_has_a_row_as_long_as_it_lasts() {
    let mut kept = Kept::new();
    kept.scene.romeo("subscribe");
    let uris = "watcher_uri sip:romeo@example.net; presentity_uri sip:juliet@sip.example.com";
    assert_eq!(kept.rows(), [format!("subscription [{ROMEO}] [{JULIET}] phase asked; announced no; {uris} until 0")]);
    kept.scene.notify(ACTIVE, &DESK);
    let shown = "shown desk <presence%20from=%27juliet@sip.example.com/desk%27%20to=%27romeo@example.net%27/>";
    assert_eq!(
        kept.rows(),
        [format!(
            "subscription [{ROMEO}] [{JULIET}] phase active; announced yes; {uris}; name Juliet%20Capulet; {shown} until 0"
        )]
    );
    kept.scene.notify(SubscriptionState::Terminated(Reason::Rejected), &[]);
    assert_eq!(kept.rows(), NOTHING);
}

#[test]
fn a_watcher_notices_nothing_of_a_restart_and_hears_what_has_changed() {
    let mut kept = Kept::new();
    kept.scene.romeo("subscribe");
    kept.scene.notify(ACTIVE, &DESK);
    kept.restart(60);
    assert_eq!(kept.scene.stream_up(), [SHOWN]);
    // A client that logs in meanwhile is answered as before, and no dialog is made for it.
    assert_eq!(kept.scene.romeo("probe"), [SHOWN]);
    assert_eq!(kept.scene.pass(Duration::ZERO), SUBSCRIBED_FOR_AN_HOUR, "the one dialog is refreshed");
    assert_eq!(kept.scene.reply(200), NOTHING);
    assert_eq!(kept.scene.notify(ACTIVE, &DESK), NOTHING, "it was told when the stream stood");
    assert_eq!(kept.scene.notify(ACTIVE, &[]), [presence(&format!("{JULIET}/desk"), "unavailable")]);
}

#[test]
fn a_question_of_an_xmpp_user_is_answered_after_a_restart() {
    let mut kept = Kept::new();
    kept.scene.romeo("subscribe");
    kept.restart(1);
    assert_eq!(kept.scene.stream_up(), NOTHING);
    assert_eq!(kept.scene.pass(Duration::ZERO), SUBSCRIBED_FOR_AN_HOUR);
    assert_eq!(kept.scene.notify(ACTIVE, &DESK), [presence(JULIET, "subscribed").as_str(), SHOWN]);
    kept.restart(1);
    assert_eq!(kept.scene.stream_up(), [SHOWN], "it is not told again");
}

#[test]
fn a_subscription_that_was_given_up_ends_after_a_restart() {
    let mut kept = Kept::new();
    kept.scene.romeo("subscribe");
    kept.scene.notify(ACTIVE, &DESK);
    kept.scene.romeo("unsubscribe");
    kept.restart(1);
    kept.scene.stream_up();
    let ends = "SUBSCRIBE sip:romeo@example.net -> sip:juliet@sip.example.com for 0";
    assert_eq!(kept.scene.pass(Duration::ZERO), [ends]);
    let told = kept.scene.reply(200);
    assert_eq!(told, [presence(&format!("{JULIET}/desk"), "unavailable"), presence(JULIET, "unsubscribed")]);
    assert_eq!(kept.rows(), NOTHING);
}

#[test]
fn an_open_question_is_put_again_and_a_decision_has_a_row() {
    let mut kept = Kept::new();
    assert_eq!(kept.watch("1", 3600, Authorization::Pending), ["NOTIFY 1 1: pending;expires=3600", QUESTION]);
    let row = |standing| format!("authorization [{JULIET}] [{ROMEO}] standing {standing} until 0");
    assert!(kept.rows().contains(&row("asked")));
    kept.restart(1);
    assert_eq!(kept.scene.stream_up(), [QUESTION]);
    let told = kept.scene.romeo("subscribed");
    assert_eq!(told.last().unwrap(), &format!("sip:{ROMEO} answers {JULIET}: Allowed"));
    kept.decision = Some(Authorization::Allowed);
    assert!(kept.rows().contains(&row("allowed")));
    kept.scene.romeo("unsubscribed");
    kept.decision = Some(Authorization::Refused);
    kept.replied();
    assert_eq!(kept.rows(), [row("refused")]);
}

#[test]
fn who_is_let_go_for_a_while_is_not_kept_as_refused() {
    let mut kept = Kept::new();
    kept.watch("1", 3600, Authorization::Pending);
    let error = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>";
    kept.scene.stanza(&format!("<presence from='{ROMEO}' to='{JULIET}' type='error' id='ask-1'>{error}</presence>"));
    kept.replied();
    kept.decision = Some(Authorization::NoResource);
    assert_eq!(kept.rows(), NOTHING);
}

#[test]
fn a_dialog_goes_on_after_a_restart_with_higher_cseqs() {
    let mut kept = Kept::new();
    kept.watch("1", 3600, Authorization::Allowed);
    kept.replied();
    kept.romeo_is("");
    kept.replied();
    kept.restart(100);
    assert_eq!(kept.scene.stream_up(), NOTHING, "the watcher knows what it was told");
    assert_eq!(kept.scene.pass(Duration::ZERO), [PROBE]);
    let told = kept.romeo_is("<show>away</show>");
    let [notify] = told.as_slice() else { panic!("{told:?}") };
    let (cseq, rest) = notify.strip_prefix("NOTIFY 1 ").unwrap().split_once(':').unwrap();
    assert!(cseq.parse::<u32>().unwrap() > 2, "{notify}");
    assert_eq!(rest, " active;expires=3500 ID-desk=Openaway");
    // Once more, before the row was written again.
    let higher: u32 = cseq.parse().unwrap();
    let row = kept.table.clone();
    kept.write();
    kept.table = row;
    kept.time += 1;
    let table = kept.table.clone();
    kept.scene = started();
    let clock = kept.clock();
    for row in table.values() {
        kept.scene.gateway.restore(clock, Entry::of_row(row).unwrap());
    }
    kept.scene.stream_up();
    let told = kept.romeo_is("<show>dnd</show>");
    let (cseq, _) = told[0].strip_prefix("NOTIFY 1 ").unwrap().split_once(':').unwrap();
    assert!(cseq.parse::<u32>().unwrap() > higher, "{told:?}");
}

#[test]
fn a_restored_dialog_is_refreshed_and_ended_by_its_watcher() {
    let mut kept = Kept::new();
    kept.watch("1", 3600, Authorization::Allowed);
    kept.restart(1);
    kept.scene.stream_up();
    let told = kept.refresh("1", 2, 600);
    assert!(told[0].ends_with(": active;expires=600"), "{told:?}");
    kept.replied();
    let told = kept.refresh("1", 3, 0);
    assert!(told[0].contains(": terminated;reason=timeout ") && told[1] == "dialog 1 is over", "{told:?}");
    assert_eq!(kept.rows(), NOTHING);
}

#[test]
fn who_is_not_there_after_a_restart_is_not_shown_any_more() {
    let mut kept = Kept::new();
    kept.watch("1", 3600, Authorization::Allowed);
    kept.replied();
    kept.romeo_is("");
    kept.restart(1);
    kept.scene.stream_up();
    kept.scene.pass(Duration::ZERO);
    let told = kept.scene.pass(CONFIRM);
    assert!(matches!(told.as_slice(), [notify] if notify.ends_with("=Closed")), "{told:?}");
}

#[test]
fn a_dialog_that_ran_out_meanwhile_is_not_taken_back() {
    let mut kept = Kept::new();
    kept.watch("1", 60, Authorization::Allowed);
    kept.restart(60);
    kept.scene.stream_up();
    assert_eq!(kept.scene.pass(CONFIRM), NOTHING);
    assert_eq!(kept.refresh("1", 2, 600), ["dialog 1 is over"]);
}

#[test]
fn a_publication_is_confirmed_after_a_restart_or_taken_away() {
    for answers in [true, false] {
        let mut kept = Kept::new();
        assert_eq!(kept.romeo_is(""), ["PUBLISH sip:romeo@example.net for 3600"]);
        assert_eq!(kept.rows().len(), 1);
        kept.restart(60);
        assert_eq!(kept.scene.stream_up(), [PROBE]);
        if answers {
            assert_eq!(kept.romeo_is(""), ["PUBLISH sip:romeo@example.net for 3600"]);
            assert_eq!(kept.scene.pass(CONFIRM), NOTHING);
            assert_eq!(kept.rows().len(), 1);
        } else {
            assert_eq!(kept.scene.pass(CONFIRM), ["PUBLISH sip:romeo@example.net ends"]);
            assert_eq!(kept.rows(), NOTHING);
        }
    }
}

#[test]
fn a_lamp_that_was_lit_before_a_restart_is_lit_again_or_goes_out() {
    for (show, said) in [("dnd", NOTHING.as_slice()), ("away", &["lamp of sip:romeo@example.net off"])] {
        let mut kept = Kept::new();
        assert_eq!(kept.romeo_is("<show>dnd</show>").len(), 2);
        kept.restart(60);
        assert_eq!(kept.scene.stream_up(), [PROBE]);
        // Before the first tick.
        let published = kept.romeo_is(&format!("<show>{show}</show>"));
        assert_eq!(published[0], "PUBLISH sip:romeo@example.net for 3600");
        assert_eq!(&published[1..], said);
        let ticked = kept.scene.pass(Duration::from_secs(1));
        assert_eq!(ticked.contains(&"lamp of sip:romeo@example.net on".to_owned()), show == "dnd", "{ticked:?}");
    }
}

#[test]
fn what_the_host_had_is_each_resource_or_the_one_that_stood_for_all() {
    for (composition, had) in [("all", vec!["ID-desk", "ID-tablet"]), ("most-available", vec!["ID-"])] {
        let parameters = || Parameters {
            presence_composition: Some(composition.into()),
            store: Some(1),
            db_url: Some("sqlite:///db".into()),
            ..Parameters::default()
        };
        let mut kept = Kept::new();
        kept.scene = Scene::with(parameters());
        kept.scene.stream_up();
        kept.romeo_is("<show>dnd</show>");
        kept.scene
            .stanza(&format!("<presence from='{ROMEO}/tablet' to='{JULIET}'><show>away</show><priority>5</priority></presence>"));
        kept.write();
        kept.scene = Scene::before_any_stream(&config(&[DOMAIN], parameters()));
        kept.take_back();
        let host_had: Vec<_> = kept.scene.gateway.host_had().collect();
        assert_eq!(host_had.iter().map(|publish| &*publish.id).collect::<Vec<_>>(), had);
        // The tablet is more available.
        let last = String::from_utf8(host_had.last().unwrap().body.clone().unwrap()).unwrap();
        assert!(last.contains("away"), "{last}");
    }
}

/// Nobody tells of it again: that one is shut out is known to the gateway alone.
#[test]
fn who_is_hidden_from_stays_so_after_a_restart_and_is_let_in_again() {
    let nurse = "nurse@sip.example.com";
    let mut kept = Kept::new();
    let nurse_is_told = |kept: &mut Kept| kept.scene.stanza(&format!("<presence from='{ROMEO}/desk' to='{nurse}'/>"));
    kept.romeo_is("");
    nurse_is_told(&mut kept);
    kept.scene.romeo("unavailable");
    nurse_is_told(&mut kept);
    assert_eq!(nurse_is_told(&mut kept), [format!("sip:{ROMEO} answers {JULIET}: Hidden")]);
    kept.decision = Some(Authorization::Hidden);
    let row = format!("authorization [{JULIET}] [{ROMEO}] standing hidden until 0");
    assert!(kept.rows().contains(&row));
    kept.restart(60);
    kept.scene.stream_up();
    nurse_is_told(&mut kept);
    let told = kept.romeo_is("");
    assert_eq!(told, [format!("sip:{ROMEO} answers {JULIET}: Allowed")]);
    kept.decision = Some(Authorization::Allowed);
    assert!(!kept.rows().contains(&row));
}

/// What Romeo did while there was no gateway nobody tells.
#[test]
fn whoever_may_be_seen_and_was_not_there_is_asked_for_after_a_restart() {
    let mut kept = Kept::new();
    kept.scene.romeo("subscribed");
    kept.decision = Some(Authorization::Allowed);
    kept.restart(60);
    assert_eq!(kept.scene.stream_up(), [PROBE]);
    // Whom dialogs with the gateway show: in their names it is probed already.
    kept.watch("1", 3600, Authorization::Allowed);
    kept.restart(60);
    assert_eq!(kept.scene.stream_up(), NOTHING);
    assert_eq!(kept.scene.pass(Duration::ZERO), [PROBE]);
}
