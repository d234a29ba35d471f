use std::cell::RefCell;
use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::config::DialogEvent as Settings;
use crate::dialog_event::profile::Dialogs;
use crate::dialog_event::profile::Identities;
use crate::dialog_event::profile::Idle;
use crate::dialog_event::profile::Profile;
use crate::dialog_event::profile::View;
use crate::dialog_event::profile::Watchers;
use crate::sip::dialog_info::Document;
use crate::sip::dialog_info::State;

const BOB: &str = "sip:bob@example.com";

fn words(count: usize) -> &'static [AtomicU64] {
    Vec::leak((0..count).map(|_| AtomicU64::new(0)).collect())
}

fn event_with(settings: Settings) -> DialogEvent {
    let memory = SharedMemory { ended: words(1 << 12), subscriptions: words(1 << 13), crossings: words(1 << 8) };
    DialogEvent::new(settings, memory)
}

fn event() -> DialogEvent {
    event_with(Settings::default())
}

/// `1 early, 2@c confirmed`: ids, Call-IDs after `@`, states.
fn published(dialogs: &str) -> String {
    let dialogs = dialogs.split(',').filter(|dialog| !dialog.trim().is_empty()).map(|dialog| {
        let (name, state) = dialog.trim().split_once(' ').unwrap();
        let (id, call_id) =
            name.split_once('@').map_or((name, String::new()), |(id, call_id)| (id, format!(" call-id='{call_id}'")));
        format!("<dialog id='{id}'{call_id}><state>{state}</state></dialog>")
    });
    let dialogs: String = dialogs.collect();
    format!(
        "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='0' state='full' entity='{BOB}'>{dialogs}</dialog-info>"
    )
}

fn aggregate(event: &DialogEvent, documents: &[&str], withdrawn: Option<usize>, now: u32) -> Aggregate {
    let documents: Vec<String> = documents.iter().map(|dialogs| published(dialogs)).collect();
    let documents: Vec<&[u8]> = documents.iter().map(String::as_bytes).collect();
    event.aggregate(BOB, &documents, withdrawn, now)
}

/// Ids and states of a document that is as the schema wants it.
fn shown(document: &str) -> String {
    let read = Document::parse(document.as_bytes()).unwrap();
    assert_eq!(read.to_xml(), document);
    assert_eq!(read.entity, BOB);
    read.dialogs.iter().map(|dialog| format!("{} {}", dialog.id, dialog.state.name())).collect::<Vec<_>>().join(", ")
}

/// What all documents together say at this time, dialogs that have ended too.
fn all(event: &DialogEvent, documents: &[&str], now: u32) -> String {
    shown(&aggregate(event, documents, None, now).document())
}

fn watcher(tag: &str) -> Watcher<'_> {
    Watcher { uri: "sip:alice@example.com", user_agent: None, call_id: b"call", tag: tag.as_bytes(), notified: 0 }
}

/// How many NOTIFYs of this subscription the host has counted before.
fn count(event: &DialogEvent, tag: &str) -> u32 {
    thread_local!(static COUNTS: RefCell<HashMap<(u64, String), u32>> = RefCell::default());
    COUNTS.with_borrow_mut(|counts| {
        let next = counts.entry((event.key, tag.to_owned())).or_default();
        let count = *next;
        *next = next.wrapping_add(1);
        count
    })
}

/// What this watcher is told of these documents: version, state, dialogs.
fn told(event: &DialogEvent, documents: &[&str], withdrawn: Option<usize>, tag: &str) -> (u32, State, String) {
    let aggregate = aggregate(event, documents, withdrawn, 5);
    event.keep(1, aggregate);
    let document = event.notification(1, BOB, b"", &Watcher { notified: count(event, tag), ..watcher(tag) }, 5);
    let read = Document::parse(document.as_bytes()).unwrap();
    (read.version, read.state, shown(&document))
}

fn full(version: u32, dialogs: &str) -> (u32, State, String) {
    (version, State::Full, dialogs.to_owned())
}

#[test]
fn publishers_of_one_dialog_are_believed_as_far_as_the_furthest_goes() {
    for (documents, merged) in [
        (&["a@x early", "a@x confirmed"][..], "a confirmed"),
        (&["a@x confirmed", "a@x early"], "a confirmed"),
        (&["a@x terminated", "a@x confirmed"], "a terminated"),
        (&["a@x confirmed", "a early", "a terminated"], "a terminated"),
        (&["b@y early", "a@x early"], "a early, b early"),
        (&["", "a@x trying", ""], "a trying"),
        (&[], ""),
    ] {
        assert_eq!(all(&event(), documents, 0), merged, "{documents:?}");
    }
}

#[test]
fn two_phones_that_count_from_one_have_two_dialogs() {
    let event = event();
    let document = aggregate(&event, &["1@x early", "1@y confirmed"], None, 0).document();
    let read = Document::parse(document.as_bytes()).unwrap();
    let [one, other] = &read.dialogs[..] else { panic!("{document}") };
    assert_ne!(one.id, other.id);
    assert_eq!([one.state.name(), other.state.name()], ["early", "confirmed"]);
    // The end of the one is not that of the other.
    assert_eq!(all(&event, &["1@x terminated"], 0), "1 terminated");
    assert_eq!(all(&event, &["1@x early"], 1), "1 terminated");
    assert_eq!(all(&event, &["1@y confirmed"], 1), "1 confirmed");
}

#[test]
fn what_has_ended_is_not_lit_again_by_a_document_that_comes_late() {
    let event = event();
    assert_eq!(all(&event, &["a@x early"], 0), "a early");
    assert_eq!(all(&event, &["a@x terminated"], 10), "a terminated");
    for now in [10, 11, 3000, 6000, 9000] {
        // Each time that it is said again it is remembered for longer.
        assert_eq!(all(&event, &["a@x early"], now), "a terminated", "{now}");
        assert_eq!(all(&event, &["a@x confirmed"], now), "a terminated", "{now}");
    }
    assert_eq!(all(&event, &["a@x confirmed"], 9000 + 3601), "a confirmed");
}

#[test]
fn a_phone_without_call_ids_may_use_an_id_again() {
    let event = event();
    assert_eq!(all(&event, &["1 terminated"], 0), "1 terminated");
    assert_eq!(all(&event, &["1 early"], 10), "1 terminated");
    assert_eq!(all(&event, &["1 early"], 11), "1 early");
}

#[test]
fn what_stood_beside_the_end_stays_dark_without_call_ids_too() {
    let event = event();
    assert_eq!(all(&event, &["1 confirmed", "1 terminated"], 0), "1 terminated");
    for now in [30, 3000, 6000] {
        assert_eq!(all(&event, &["1 confirmed"], now), "1 terminated", "{now}");
    }
}

#[test]
fn the_ended_dialogs_of_one_user_are_not_those_of_another() {
    let event = event();
    assert_eq!(all(&event, &["a@x terminated"], 0), "a terminated");
    let document = published("a@x early").replace("sip:bob@", "sip:carol@");
    let aggregate = event.aggregate("sip:carol@example.com", &[document.as_bytes()], None, 0);
    assert!(aggregate.document().contains("early"));
}

#[test]
fn documents_that_cannot_be_used_are_left_out_and_the_rest_is_served() {
    let good = published("a early");
    for bad in [
        "hello".to_owned(),
        String::new(),
        published("a early").replace("ns:dialog-info", "ns:pidf"),
        published("a bored"),
        published("a early").replace("id='a'", ""),
        format!("<!DOCTYPE a>{}", published("b early")),
        published("b early").replace(BOB, "sip:mallory@example.com"),
        published(&(0..10_000).map(|number| format!("{number} early")).collect::<Vec<_>>().join(",")),
    ] {
        let aggregate = event().aggregate(BOB, &[bad.as_bytes(), good.as_bytes(), bad.as_bytes()], None, 0);
        assert_eq!(shown(&aggregate.document()), "a early", "{bad:.200}");
    }
}

#[test]
fn an_entity_may_be_written_in_many_ways() {
    for entity in ["", "sip:bob@192.0.2.7:5062;transport=tcp", "sips:Bob@example.com", "tel:+1", "sip:example.com", "bob"] {
        let document = published("a early").replace(BOB, entity);
        assert_eq!(shown(&event().aggregate(BOB, &[document.as_bytes()], None, 0).document()), "a early", "{entity}");
    }
}

#[test]
fn versions_begin_with_0_and_go_up_by_one_in_each_subscription() {
    let event = event();
    event.subscribed(&watcher("one"), Subscribe::First, 0);
    assert_eq!(told(&event, &[], None, "one"), full(0, ""));
    assert_eq!(told(&event, &["a@x early"], None, "one"), full(1, "a early"));
    event.subscribed(&watcher("other"), Subscribe::First, 0);
    assert_eq!(told(&event, &["a@x early"], None, "other"), full(0, "a early"));
    assert_eq!(told(&event, &["a@x confirmed"], None, "one"), full(2, "a confirmed"));
    assert_eq!(told(&event, &["a@x confirmed"], None, "other"), full(1, "a confirmed"));
}

#[test]
fn an_end_is_told_once_to_each_watcher() {
    let event = event();
    for tag in ["one", "other"] {
        event.subscribed(&watcher(tag), Subscribe::First, 0);
        told(&event, &["a@x early"], None, tag);
    }
    let over = &["a@x terminated", "b@y early"][..];
    assert_eq!(told(&event, over, None, "one"), full(1, "a terminated, b early"));
    assert_eq!(told(&event, over, None, "one"), full(2, "b early"));
    assert_eq!(told(&event, over, None, "other"), full(1, "a terminated, b early"));
    assert_eq!(told(&event, over, None, "other"), full(2, "b early"));
    // Who comes later knew nothing of it, and who asks again was told.
    event.subscribed(&watcher("late"), Subscribe::First, 0);
    assert_eq!(told(&event, over, None, "late"), full(0, "b early"));
    event.subscribed(&watcher("one"), Subscribe::Refresh, 0);
    assert_eq!(told(&event, over, None, "one"), full(3, "b early"));
}

#[test]
fn what_is_withdrawn_is_over_but_may_come_back() {
    let event = event();
    event.subscribed(&watcher("one"), Subscribe::First, 0);
    assert_eq!(told(&event, &["a@x confirmed", "b@y early"], None, "one"), full(0, "a confirmed, b early"));
    assert_eq!(told(&event, &["a@x confirmed", "b@y early"], Some(0), "one"), full(1, "a terminated, b early"));
    assert_eq!(told(&event, &["b@y early"], None, "one"), full(2, "b early"));
    assert_eq!(told(&event, &["b@y early", "a@x confirmed"], None, "one"), full(3, "a confirmed, b early"));
    // Another publisher goes on saying it.
    assert_eq!(told(&event, &["a@x confirmed", "a@x early"], Some(0), "one"), full(4, "a early"));
    assert_eq!(aggregate(&event, &["a@x confirmed"], Some(0), 5).document(), aggregate(&event, &[], None, 5).document());
}

#[test]
fn one_dialog_is_the_most_interesting_one() {
    let view = View { dialogs: Dialogs::Single, ..View::default() };
    let single = |documents: &[&str], order: Option<&str>| {
        let order = order.map(|order| profile::Order::parse(order).unwrap()).unwrap_or_default();
        told(&event_with(Settings { view, order, ..Settings::default() }), documents, None, "one").2
    };
    assert_eq!(single(&["a@x confirmed, b@y early", "c@z trying"], None), "b early");
    assert_eq!(single(&["a@x confirmed", "b@y proceeding", "c@z trying"], None), "a confirmed");
    assert_eq!(single(&["a@x terminated", "c@z trying"], None), "c trying");
    // The one that was published last.
    assert_eq!(single(&["b@y early", "a@x early"], None), "a early");
    assert_eq!(single(&["a@x early", "b@y early"], None), "b early");
    let calls_first = "terminated,trying,proceeding,early,confirmed";
    assert_eq!(single(&["a@x confirmed, b@y early", "c@z trying"], Some(calls_first)), "a confirmed");
    assert_eq!(single(&[], None), "");
}

#[test]
fn a_phone_that_needs_one_is_given_a_dialog_that_is_over() {
    let event = event_with(Settings { view: View { idle: Idle::Dummy, ..View::default() }, ..Settings::default() });
    event.subscribed(&watcher("one"), Subscribe::First, 0);
    assert_eq!(told(&event, &[], None, "one"), full(0, "idle terminated"));
    assert_eq!(told(&event, &["a@x early"], None, "one"), full(1, "a early"));
    assert_eq!(told(&event, &["a@x terminated"], None, "one"), full(2, "a terminated"));
    assert_eq!(told(&event, &["a@x terminated"], None, "one"), full(3, "idle terminated"));
}

#[test]
fn who_takes_changes_is_given_all_first_and_then_what_has_changed() {
    let event = event_with(Settings { view: View { dialogs: Dialogs::Partial, ..View::default() }, ..Settings::default() });
    let partial = |version, dialogs: &str| (version, State::Partial, dialogs.to_owned());
    event.subscribed(&watcher("one"), Subscribe::First, 0);
    assert_eq!(told(&event, &["a@x early"], None, "one"), full(0, "a early"));
    assert_eq!(told(&event, &["a@x early", "b@y early"], None, "one"), partial(1, "b early"));
    assert_eq!(told(&event, &["a@x terminated", "b@y early"], None, "one"), partial(2, "a terminated"));
    assert_eq!(told(&event, &["a@x terminated", "b@y early"], None, "one"), partial(3, ""));
    event.subscribed(&watcher("one"), Subscribe::Refresh, 0);
    assert_eq!(told(&event, &["a@x terminated", "b@y early"], None, "one"), full(4, "b early"));
    // More dialogs than are kept in mind: those that are not are told again.
    let many: Vec<String> = (0..30).map(|number| format!("d{number:02}@{number} confirmed")).collect();
    told(&event, &[&many.join(",")], None, "one");
    let (version, state, dialogs) = told(&event, &[&many.join(",")], None, "one");
    assert_eq!((version, state, dialogs.split(',').count()), (6, State::Partial, 4));
}

#[test]
fn each_class_of_watchers_is_given_what_it_can_bear() {
    let profile = |watchers, dialogs, identities| Profile { watchers, view: View { dialogs, identities, ..View::default() } };
    let event = event_with(Settings {
        profiles: vec![
            profile(Watchers::UserAgent("Linksys*".into()), Dialogs::Single, Identities::Shown),
            profile(Watchers::Uri("sip:*@guests.example".into()), Dialogs::All, Identities::Hidden),
        ],
        ..Settings::default()
    });
    let documents = published("a@x confirmed, b@192.0.2.1 early");
    event.keep(1, event.aggregate(BOB, &[documents.as_bytes()], None, 0));
    let notified = |watcher: Watcher<'_>| event.notification(1, BOB, b"", &watcher, 0);
    let phone = Watcher { user_agent: Some("Linksys/SPA962"), ..watcher("one") };
    assert_eq!(shown(&notified(phone)), "b early");
    assert_eq!(shown(&notified(watcher("other"))), "a confirmed, b early");
    let guest = notified(Watcher { uri: "sip:eve@guests.example", ..watcher("guest") });
    let read = Document::parse(guest.as_bytes()).unwrap();
    assert_eq!(read.dialogs.iter().map(|dialog| dialog.state.name()).collect::<Vec<_>>(), ["confirmed", "early"]);
    assert!(!guest.contains("192.0.2.1") && !guest.contains("call-id"), "{guest}");
    // Where the host does not keep the User-Agent it is that of SUBSCRIBE.
    event.subscribed(&Watcher { user_agent: Some("Linksys/SPA962"), ..watcher("two") }, Subscribe::First, 0);
    assert_eq!(shown(&notified(watcher("two"))), "b early");
}

#[test]
fn a_document_that_nobody_kept_is_read() {
    let event = event();
    let document = published("a early, b confirmed");
    assert_eq!(shown(&event.notification(7, BOB, document.as_bytes(), &watcher("one"), 0)), "a early, b confirmed");
    event.keep(7, aggregate(&event, &["c early"], None, 0));
    assert_eq!(shown(&event.notification(7, BOB, document.as_bytes(), &watcher("one"), 0)), "c early");
    event.forget(7);
    assert_eq!(shown(&event.notification(7, BOB, document.as_bytes(), &watcher("one"), 0)), "a early, b confirmed");
}

#[test]
fn what_does_not_fit_a_datagram_is_left_out_and_ended_dialogs_first() {
    let call_id = "x".repeat(700);
    let document = |state: &str, first: usize| {
        let dialogs: Vec<String> = (first..first + 80).map(|number| format!("{number:03}@{number}{call_id} {state}")).collect();
        published(&dialogs.join(","))
    };
    let documents = [document("terminated", 0), document("confirmed", 100)];
    let documents: Vec<&[u8]> = documents.iter().map(String::as_bytes).collect();
    let all = event().aggregate(BOB, &documents, None, 0).document();
    let read = Document::parse(all.as_bytes()).unwrap();
    assert!(all.len() < 60_000);
    assert!(read.dialogs.len() > 70 && read.dialogs.iter().all(|dialog| dialog.state.name() == "confirmed"));
}

fn states() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["trying", "proceeding", "early", "confirmed", "terminated"][..])
}

/// Documents of some publishers: each with some of three dialogs.
fn documents() -> impl Strategy<Value = Vec<String>> {
    let dialog =
        (proptest::sample::select(&["a@x", "b@y", "c"][..]), states()).prop_map(|(name, state)| format!("{name} {state}"));
    let document = proptest::collection::vec(dialog, 0..4).prop_map(|dialogs| dialogs.join(","));
    proptest::collection::vec(document, 0..5)
}

proptest! {
    #[test]
    fn documents_in_any_order_say_the_same((told, heard) in documents().prop_flat_map(|documents| (Just(documents.clone()), Just(documents).prop_shuffle()))) {
        let said = |documents: &[String]| all(&event(), &documents.iter().map(String::as_str).collect::<Vec<_>>(), 0);
        prop_assert_eq!(said(&told), said(&heard));
    }

    #[test]
    fn events_of_a_call_in_any_order_end_in_its_end(
        states in Just(vec!["trying", "proceeding", "early", "confirmed", "terminated"]).prop_shuffle(),
        publishers in proptest::collection::vec(0_usize..4, 5),
    ) {
        // Each publisher has one document at a time; all see the same memory.
        let event = event();
        event.subscribed(&watcher("one"), Subscribe::First, 0);
        let mut documents = [const { String::new() }; 4];
        let mut ended = false;
        for (number, (state, publisher)) in states.iter().zip(publishers).enumerate() {
            documents[publisher] = format!("a@x {state}");
            ended |= *state == "terminated";
            let all: Vec<&str> = documents.iter().map(String::as_str).collect();
            let (version, _, dialogs) = told(&event, &all, None, "one");
            prop_assert_eq!(u32::try_from(number).unwrap(), version);
            prop_assert!(!ended || dialogs.is_empty() || dialogs == "a terminated", "{}", dialogs);
        }
    }

    #[test]
    fn no_body_makes_it_panic(bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..4)) {
        let bodies: Vec<&[u8]> = bodies.iter().map(Vec::as_slice).collect();
        event().aggregate(BOB, &bodies, Some(0), 0).document();
    }
}

#[test]
fn an_end_that_another_worker_told_meanwhile_is_not_taken_back() {
    let event = event();
    event.subscribed(&watcher("t"), Subscribe::First, 5);
    let older = aggregate(&event, &["1@c confirmed, 2@d early"], None, 5);
    event.keep(1, older);
    // The other one, whose CSeq is the lower.
    aggregate(&event, &["1@c terminated, 2@d early"], None, 5);
    let document = event.notification(1, BOB, b"", &watcher("t"), 5);
    assert_eq!(shown(&document), "2 early");
    event.subscribed(&watcher("u"), Subscribe::Refresh, 5);
    assert_eq!(shown(&event.notification(1, BOB, b"", &watcher("u"), 5)), "1 terminated, 2 early");
}

#[test]
fn of_somebody_with_many_calls_the_newest_ends_are_told_once_and_older_ones_never() {
    let event = event();
    event.subscribed(&watcher("t"), Subscribe::First, 5);
    assert_eq!(told(&event, &[], None, "t"), full(0, ""));
    let ended: Vec<String> = (0..100).map(|number| format!("{number:03}@c{number} terminated")).collect();
    let mut documents: Vec<&str> = ended.iter().map(String::as_str).collect();
    let (_, state, dialogs) = told(&event, &documents, None, "t");
    assert_eq!((state, dialogs.split(", ").count()), (State::Full, subscription::TOLD));
    assert!(dialogs.starts_with("074 terminated") && dialogs.ends_with("099 terminated"), "{dialogs}");
    documents.push("new early");
    assert_eq!(told(&event, &documents, None, "t"), full(2, "new early"));
    documents.push("last@l terminated");
    assert_eq!(told(&event, &documents, None, "t"), full(3, "last terminated, new early"));
}
