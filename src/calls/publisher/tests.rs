use proptest::prelude::*;

use super::super::Parties;
use super::super::Peer;
use super::super::Rendering;
use super::super::Streams;
use super::*;
use crate::sip::dialog_info::Document;
use crate::sip::dialog_info::NameAddress;
use crate::translate::call::Phase;

/// A host that shows calls, with a clock of its own.
struct Scene {
    publisher: Publisher,
    now: Instant,
    /// What is in the presence server, by publication.
    shown: BTreeMap<String, Document>,
    /// All that was published, in words.
    told: Vec<String>,
}

fn wanted() -> CallDocuments {
    CallDocuments { ring_time: 120, ..CallDocuments::default() }
}

fn address(uri: &str) -> NameAddress {
    NameAddress { uri: uri.into(), display: None }
}

fn peer(tag: &str) -> Peer {
    Peer { tag: tag.into(), target: Some(format!("sip:{tag}@192.0.2.2")) }
}

fn key(call_id: &str) -> CallKey {
    CallKey { call_id: call_id.into(), from_tag: "f".into(), cseq: 1 }
}

fn begun() -> Begun {
    Begun {
        shown: Parties::BOTH,
        caller: address("sip:alice@example.com;x=y"),
        target: Some("sip:alice@192.0.2.1".into()),
        callee: address("sip:Bob@Example.com:5070"),
        replaces: None,
        referred_by: None,
        lifetime: 3600,
        answered: None,
    }
}

fn ringing(branch: u16) -> What {
    What::Provisional { branch, status: 180, peer: peer(&format!("t{branch}")) }
}

fn answered(branch: u16) -> What {
    What::Answered { branch, peer: peer(&format!("t{branch}")), lifetime: 3600 }
}

impl Scene {
    fn new(wanted: CallDocuments) -> Self {
        Self {
            publisher: Publisher::new(wanted, RandomState::new()),
            now: Instant::now(),
            shown: BTreeMap::new(),
            told: Vec::new(),
        }
    }

    fn call(&mut self, call_id: &str, what: What) -> &mut Self {
        self.publisher.event(self.now, Event { call: key(call_id), what });
        self
    }

    fn begin(&mut self) -> &mut Self {
        self.call("1", What::Begun(Box::new(begun())))
    }

    fn then(&mut self, what: What) -> &mut Self {
        self.call("1", what)
    }

    /// Everything that is to be published is.
    fn publish(&mut self) -> &mut Self {
        for publication in self.publisher.work(self.now, usize::MAX) {
            let Publication { publish, step, .. } = publication;
            let document = Document::parse(publish.body.as_ref().unwrap()).unwrap();
            assert_eq!(document.entity, &*publish.presentity);
            assert!(publish.id.len() < 50);
            let [dialog] = &document.dialogs[..] else { panic!("{document:?}") };
            let (user, _) = publish.presentity.strip_prefix("sip:").unwrap().split_once('@').unwrap();
            let side = publish.id.rsplit_once('.').unwrap().1;
            self.told.push(format!("{user} {side} {} {step:?} {}", dialog.state.name(), publish.expires));
            self.shown.insert(publish.id, document);
        }
        assert!(!self.publisher.has_work());
        self
    }

    fn told(&mut self) -> Vec<String> {
        self.publish();
        std::mem::take(&mut self.told)
    }

    fn pass(&mut self, seconds: u64) -> &mut Self {
        for _ in 0..seconds {
            self.now = self.now.checked_add(Duration::from_secs(1)).unwrap();
            self.publisher.tick(self.now);
        }
        self
    }

    fn dialog(&self, side: &str) -> &crate::sip::dialog_info::Dialog {
        let of_side = self.shown.iter().find(|(id, _)| id.ends_with(side)).unwrap();
        &of_side.1.dialogs[0]
    }
}

#[test]
fn a_call_is_told_from_ringing_to_its_end() {
    let mut scene = Scene::new(wanted());
    assert_eq!(scene.begin().told(), [""; 0]);
    assert_eq!(scene.then(What::Provisional { branch: 0, status: 100, peer: Peer::default() }).told(), [""; 0]);
    assert_eq!(scene.then(ringing(0)).told(), ["alice 0a early Initial 120", "Bob 0b early Initial 120"]);
    assert_eq!(scene.then(ringing(0)).told(), [""; 0]);
    assert_eq!(scene.then(answered(0)).told(), ["alice 0a confirmed Modify 600", "Bob 0b confirmed Modify 600"]);
    let end = What::Ended(Ending::Bye(Side::Caller));
    assert_eq!(scene.then(end).told(), ["alice 0a terminated Modify 10", "Bob 0b terminated Modify 10"]);
    assert_eq!(scene.then(ringing(0)).then(answered(0)).told(), [""; 0]);
}

#[test]
fn a_document_says_who_where_and_which_way() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(ringing(0)).publish();
    let callee = scene.dialog("0b");
    let text = |text: &Option<String>| text.clone().unwrap();
    assert_eq!((text(&callee.call_id), text(&callee.local_tag), text(&callee.remote_tag)), ("1".into(), "t0".into(), "f".into()));
    let [local, remote] = [&callee.local, &callee.remote].map(|side| side.clone().unwrap());
    assert_eq!(local.identity, Some(address("sip:Bob@example.com")));
    assert_eq!(local.target.unwrap().uri, "sip:t0@192.0.2.2");
    assert_eq!(remote.identity, Some(address("sip:alice@example.com")));
    assert_eq!(remote.target.unwrap().uri, "sip:alice@192.0.2.1");
    assert_eq!(scene.dialog("0a").local_tag.as_deref(), Some("f"));
}

#[test]
fn the_operator_says_what_is_in_it() {
    let hidden = CallDocuments { include_callid: false, include_tags: false, include_localremote: false, ..wanted() };
    let mut scene = Scene::new(hidden);
    scene.begin().then(ringing(0)).publish();
    let dialog = scene.dialog("0b");
    assert_eq!((&dialog.call_id, &dialog.local_tag, &dialog.remote_tag), (&None, &None, &None));
    assert_eq!((&dialog.local, &dialog.remote), (&None, &None));
    let mut scene = Scene::new(CallDocuments { caller_confirmed: true, publish_on_trying: true, ..wanted() });
    assert_eq!(scene.begin().told(), ["alice 0a trying Initial 120", "Bob 0b trying Initial 120"]);
    // Shown as talking, but only as long as it may ring.
    assert_eq!(scene.then(ringing(0)).told(), ["alice 0a confirmed Modify 120", "Bob 0b early Modify 120"]);
    assert_eq!(scene.then(answered(0)).told(), ["Bob 0b confirmed Modify 600"]);
}

#[test]
fn what_is_over_before_it_was_told_is_not_told() {
    let mut scene = Scene::new(wanted());
    let end = What::Ended(Ending::Refused(486));
    assert_eq!(scene.begin().then(ringing(0)).then(What::Refused { branch: 0, status: 486 }).then(end).told(), [""; 0]);
}

#[test]
fn a_fork_has_a_dialog_for_each_branch_and_one_is_left() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(ringing(0)).then(ringing(1)).publish();
    assert_eq!(scene.told().len(), 4);
    assert_eq!(scene.shown.len(), 4);
    scene.then(answered(1));
    assert_eq!(
        scene.told(),
        [
            "alice 0a terminated Modify 10",
            "Bob 0b terminated Modify 10",
            "alice 1a confirmed Modify 600",
            "Bob 1b confirmed Modify 600"
        ]
    );
    // The one that lost says so late, and the transaction has failed on it.
    let late = What::Refused { branch: 0, status: 487 };
    assert_eq!(scene.then(late).then(What::Ended(Ending::Refused(487))).told(), [""; 0]);
    assert_eq!(
        scene.dialog("0b").state,
        DialogState::Terminated(End::new(Some(crate::sip::dialog_state::Cause::Cancelled), None))
    );
}

#[test]
fn branches_that_fail_leave_those_that_come_after_them() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(ringing(0)).publish();
    // The second try was heard of before the end of the first.
    scene.then(ringing(1)).then(What::Failed { branches: 1, status: 408 });
    let told = scene.told();
    assert!(told.contains(&"Bob 0b terminated Modify 10".to_owned()), "{told:?}");
    assert!(told.contains(&"Bob 1b early Initial 120".to_owned()), "{told:?}");
}

#[test]
fn the_script_says_who_is_shown_and_who_is_called() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(What::Shown(Parties { caller: false, callee: true }));
    scene.then(What::Callee { branch: 1, callee: Some(address("sip:carol@example.com")) });
    scene.then(What::Muted { branch: 2, parties: Parties { caller: false, callee: true } });
    (0..3).for_each(|branch| _ = scene.then(ringing(branch)));
    assert_eq!(scene.told(), ["Bob 0b early Initial 120", "carol 1b early Initial 120"]);
    let mut scene = Scene::new(wanted());
    scene.begin().then(ringing(0)).publish();
    scene.told();
    assert_eq!(scene.then(What::Shown(Parties { caller: true, callee: false })).told(), ["Bob 0b terminated Modify 10"]);
}

#[test]
fn who_holds_is_told_and_a_late_offer_is_not() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(answered(0)).publish();
    let offer = |cseq, rendering| What::Offer { from: Side::Callee, cseq, rendering, lifetime: 3600 };
    let hears = |scene: &Scene| {
        let [callee, caller] = ["0b", "0a"].map(|side| scene.dialog(side).clone());
        let of = |side: Option<crate::sip::dialog_info::Participant>| {
            side.unwrap().target.unwrap().parameters.first().map(|parameter| parameter.value.clone())
        };
        (of(callee.local), of(caller.remote), of(callee.remote))
    };
    scene.then(offer(2, Rendering::No)).publish();
    assert_eq!(hears(&scene), (Some("no".into()), Some("no".into()), None));
    scene.then(offer(4, Rendering::Yes)).then(offer(3, Rendering::No)).publish();
    assert_eq!(hears(&scene), (Some("yes".into()), Some("yes".into()), None));
    scene.told();
    assert_eq!(scene.then(offer(5, Rendering::Yes)).told(), [""; 0]);
}

#[test]
fn an_answer_resumes_too_and_holds_only_where_it_need_not() {
    let offers = |from, cseq, rendering| What::Offer { from, cseq, rendering, lifetime: 3600 };
    let answers = |from, streams| What::Answer { from, streams, lifetime: 3600 };
    let (caller, callee) = (Side::Caller, Side::Callee);
    let mut scene = Scene::new(wanted());
    scene.begin().then(answered(0));
    let mut after = |events: &[What]| {
        events.iter().for_each(|event| _ = scene.then(event.clone()));
        scene.publisher.tell_users_again();
        scene.publisher.changed_users().pop().unwrap().1.unwrap().phase
    };
    // The callee's session timer finds the call on hold, and offers no more.
    let hold = [offers(caller, 2, Rendering::No), answers(callee, Streams::Inactive), offers(callee, 9, Rendering::No)];
    assert_eq!(after(&hold), Phase::OnHold);
    let resume = [answers(caller, Streams::Inactive), offers(caller, 3, Rendering::Yes), answers(callee, Streams::Played)];
    assert_eq!(after(&resume), Phase::Talking);
    // Who is held has to say so, and has held nothing.
    let hold = [offers(caller, 4, Rendering::No), answers(callee, Streams::Inactive), offers(caller, 5, Rendering::Yes)];
    assert_eq!(after(&hold), Phase::Talking);
    // The other one holds, in its turn.
    assert_eq!(after(&[offers(caller, 6, Rendering::Yes), answers(callee, Streams::Inactive)]), Phase::OnHold);
    assert_eq!(after(&[offers(caller, 7, Rendering::Yes), answers(callee, Streams::Played)]), Phase::Talking);
    assert_eq!(after(&[offers(caller, 8, Rendering::Yes), answers(callee, Streams::Sent)]), Phase::OnHold);
    // The 2xx makes the offer, and the ACK answers it.
    assert_eq!(after(&[answers(callee, Streams::Played), answers(caller, Streams::Played)]), Phase::Talking);
    assert_eq!(after(&[answers(callee, Streams::Played), answers(caller, Streams::Sent)]), Phase::OnHold);
}

#[test]
fn a_confirmed_call_is_refreshed_and_one_that_rings_is_not() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(ringing(0)).publish();
    scene.told();
    assert_eq!(scene.pass(200).told(), [""; 0]);
    scene.then(answered(0)).publish();
    scene.told();
    assert_eq!(scene.pass(299).told(), [""; 0]);
    assert_eq!(scene.pass(1).told(), ["alice 0a confirmed Refresh 600", "Bob 0b confirmed Refresh 600"]);
    assert_eq!(scene.pass(300).told().len(), 2);
    scene.then(What::Ended(Ending::Server)).publish();
    scene.told();
    assert_eq!(scene.pass(1000).told(), [""; 0]);
}

#[test]
fn what_the_host_did_not_take_is_said_again_a_few_times() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(ringing(0)).then(What::Shown(Parties { caller: false, callee: true }));
    let mut steps = Vec::new();
    for _ in 0..60 {
        for publication in scene.publisher.work(scene.now, 9) {
            steps.push(publication.step);
            scene.publisher.failed(scene.now, publication.name);
        }
        scene.pass(1);
    }
    assert_eq!(steps, [Step::Initial, Step::Adopt, Step::Adopt, Step::Adopt, Step::Adopt]);
    // An end is always worth a try.
    assert_eq!(scene.then(What::Ended(Ending::Refused(480))).told(), ["Bob 0b terminated Adopt 10"]);
}

/// pua of Kamailio begins a second publication where the first has not been answered: it would be left in early.
#[test]
fn one_publication_of_a_dialog_is_under_way_at_a_time() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(What::Shown(Parties { caller: false, callee: true })).then(ringing(0));
    let publications = scene.publisher.work(scene.now, 9);
    let [first] = &publications[..] else { panic!("{publications:?}") };
    scene.publisher.is_under_way(scene.now, first.clone());
    scene.then(answered(0)).then(What::Ended(Ending::Server));
    assert_eq!(scene.told(), [""; 0]);
    scene.publisher.answered("another");
    assert_eq!(scene.told(), [""; 0]);
    scene.publisher.answered(&first.publish.id);
    assert_eq!(scene.told(), ["Bob 0b terminated Modify 10"]);
    scene.pass(70);
    assert_eq!((scene.publisher.calls(), scene.publisher.under_way.len(), scene.publisher.due.len()), (0, 0, 0));
}

#[test]
fn an_answer_that_does_not_come_is_not_waited_for_for_ever() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(What::Shown(Parties { caller: false, callee: true })).then(ringing(0));
    for publication in scene.publisher.work(scene.now, 9) {
        scene.publisher.is_under_way(scene.now, publication);
    }
    scene.then(What::Ended(Ending::Refused(480)));
    assert_eq!(scene.pass(39).told(), [""; 0]);
    assert_eq!(scene.pass(1).told(), ["Bob 0b terminated Modify 10"]);
    assert_eq!(scene.publisher.under_way.len(), 0);
}

#[test]
fn a_restart_takes_over_what_is_shown() {
    let mut scene = Scene::new(wanted());
    let restored = Begun { answered: Some((3, peer("t3"))), ..begun() };
    scene.then(What::Begun(Box::new(restored)));
    assert_eq!(scene.told(), ["alice 3a confirmed Adopt 600", "Bob 3b confirmed Adopt 600"]);
    let end = What::Ended(Ending::Expired);
    assert_eq!(scene.then(end).told(), ["alice 3a terminated Modify 10", "Bob 3b terminated Modify 10"]);
    let mut before = Scene::new(wanted());
    before.begin().then(answered(3)).publish();
    assert!(before.shown.keys().filter(|id| scene.shown.contains_key(*id)).count() == 2);
}

#[test]
fn a_call_that_takes_the_place_of_another_is_why_that_one_ends() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(answered(0)).publish();
    let replaces = Replaces { call_id: "1".into(), local_tag: "t0".into(), remote_tag: "f".into() };
    scene.call("2", What::Begun(Box::new(Begun { replaces: Some(replaces.clone()), ..begun() })));
    scene.call("2", answered(0)).publish();
    let second = scene
        .shown
        .values()
        .find(|document| document.dialogs[0].call_id.as_deref() == Some("2") && document.entity.contains("Bob"));
    assert_eq!(second.unwrap().dialogs[0].replaces, Some(replaces));
    scene.then(What::Ended(Ending::Bye(Side::Callee))).publish();
    let first = scene.shown.values().find(|document| document.dialogs[0].call_id.as_deref() == Some("1")).unwrap();
    assert_eq!(first.dialogs[0].state, DialogState::Terminated(End::new(Some(crate::sip::dialog_state::Cause::Replaced), None)));
}

#[test]
fn a_call_is_forgotten_when_it_is_over_or_nobody_tells_its_end() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(answered(0)).then(What::Ended(Ending::Server)).publish();
    scene.pass(63);
    assert_eq!(scene.publisher.calls(), 1);
    scene.pass(2);
    assert_eq!((scene.publisher.calls(), scene.publisher.numbers.len(), scene.publisher.due.len()), (0, 0, 0));
    let mut scene = Scene::new(wanted());
    scene.begin().then(What::Answered { branch: 0, peer: peer("t"), lifetime: 100 }).publish();
    scene.told();
    let told = scene.pass(161).told();
    assert_eq!(told, ["alice 0a terminated Modify 10", "Bob 0b terminated Modify 10"]);
    scene.pass(70);
    assert_eq!((scene.publisher.calls(), scene.publisher.due.len()), (0, 0));
}

#[test]
fn a_call_lasts_as_long_as_the_host_keeps_it() {
    let mut scene = Scene::new(CallDocuments { lifetime: 3600, ..wanted() });
    scene.begin().then(What::Answered { branch: 0, peer: peer("t"), lifetime: 100 }).publish();
    // A session timer (RFC 4028).
    scene.pass(90).then(What::Kept { lifetime: 100 }).pass(90).then(What::Kept { lifetime: 100 }).publish();
    scene.told();
    assert_eq!(scene.pass(159).told(), [""; 0]);
    assert_eq!(scene.pass(2).told(), ["alice 0a terminated Modify 10", "Bob 0b terminated Modify 10"]);
}

#[test]
fn an_end_that_comes_as_a_note_ends_the_call_whether_its_beginning_is_known_or_not() {
    let mut scene = Scene::new(wanted());
    let note = |scene: &mut Scene, call_id: &str| {
        let digest = scene.publisher.digests.hash_one(key(call_id));
        scene.publisher.ended(scene.now, digest, Ending::Refused(486));
    };
    scene.begin().then(ringing(0)).publish();
    scene.told();
    note(&mut scene, "1");
    assert_eq!(scene.told(), ["alice 0a terminated Modify 10", "Bob 0b terminated Modify 10"]);
    // The other's events still wait in the link.
    note(&mut scene, "2");
    scene.call("2", What::Begun(Box::new(begun()))).call("2", ringing(0));
    assert!(scene.told().is_empty());
    assert_eq!(scene.publisher.calls(), 1);
    note(&mut scene, "3");
    scene.pass(121);
    scene.call("3", What::Begun(Box::new(begun()))).call("3", ringing(0));
    assert_eq!(scene.told().len(), 2, "who calls later is another");
}

#[test]
fn who_was_asked_for_a_password_calls_again() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(What::Refused { branch: 0, status: 407 }).then(What::Ended(Ending::Refused(407)));
    assert!(scene.told().is_empty());
    scene.begin().then(ringing(0));
    assert_eq!(scene.told(), ["alice 0a early Initial 120", "Bob 0b early Initial 120"]);
    scene.then(What::Ended(Ending::Refused(486))).publish();
    // The same INVITE: what has been told as over does not come back.
    scene.told();
    scene.begin().then(ringing(0));
    assert!(scene.told().is_empty());
    scene.pass(70);
    assert_eq!((scene.publisher.calls(), scene.publisher.numbers.len(), scene.publisher.due.len()), (0, 0, 0));
}

/// RFC 3261 §8.1.3.4 and §8.1.3.5, RFC 4028 §7.3: the same Call-ID and tag, the next CSeq.
#[test]
fn who_calls_again_after_it_rang_is_shown() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(ringing(0));
    let second = CallKey { cseq: 2, ..key("1") };
    let again = |scene: &mut Scene, what| scene.publisher.event(scene.now, Event { call: second.clone(), what });
    assert_eq!(scene.told().len(), 2);
    again(&mut scene, What::Begun(Box::new(begun())));
    // The worker that saw the end of the first one was late.
    scene.then(What::Failed { branches: 1, status: 422 }).then(What::Ended(Ending::Refused(422)));
    assert_eq!(scene.told(), ["alice 0a terminated Modify 10", "Bob 0b terminated Modify 10"]);
    let replaces = Replaces { call_id: "1".into(), local_tag: "t0".into(), remote_tag: "f".into() };
    again(&mut scene, ringing(0));
    assert_eq!(scene.told(), ["alice 0a early Initial 120", "Bob 0b early Initial 120"]);
    again(&mut scene, answered(0));
    scene.then(ringing(0));
    assert_eq!(scene.told(), ["alice 0a confirmed Modify 600", "Bob 0b confirmed Modify 600"]);
    assert_eq!(scene.shown.len(), 4, "each is a dialog of its own");
    scene.call("2", What::Begun(Box::new(Begun { replaces: Some(replaces), ..begun() }))).call("2", answered(0)).publish();
    again(&mut scene, What::Ended(Ending::Bye(Side::Caller)));
    scene.publish();
    let cause = crate::sip::dialog_state::Cause::Replaced;
    let is_replaced = |document: &&Document| document.dialogs[0].state == DialogState::Terminated(End::new(Some(cause), None));
    assert_eq!(scene.shown.values().filter(is_replaced).count(), 2);
    scene.call("2", What::Ended(Ending::Server)).pass(70);
    assert_eq!((scene.publisher.calls(), scene.publisher.numbers.len(), scene.publisher.newest.len()), (0, 0, 0));
}

#[test]
fn what_the_host_refuses_later_is_said_again_though_no_answer_comes() {
    let mut scene = Scene::new(wanted());
    scene.begin().then(ringing(0));
    let now = scene.now;
    for publication in scene.publisher.work(now, usize::MAX) {
        let name = publication.name;
        scene.publisher.is_under_way(now, publication);
        scene.publisher.failed(now, name);
    }
    scene.pass(6);
    assert_eq!(scene.told(), ["alice 0a early Adopt 120", "Bob 0b early Adopt 120"]);
}

#[test]
fn calls_have_a_bound() {
    let mut scene = Scene::new(wanted());
    for number in 0..MAX_CALLS + 10 {
        scene.call(&number.to_string(), What::Begun(Box::new(begun())));
    }
    assert_eq!(scene.publisher.calls(), MAX_CALLS);
    (0..1000).for_each(|branch| _ = scene.call("0", ringing(branch)));
    assert!(scene.publisher.calls[&1].told.len() <= 64);
}

#[test]
fn who_has_no_address_of_record_is_not_shown() {
    let mut scene = Scene::new(wanted());
    let begun = Begun { callee: address("tel:+15550100"), ..begun() };
    scene.then(What::Begun(Box::new(begun)));
    assert_eq!(scene.then(ringing(0)).told(), ["alice 0a early Initial 120"]);
}

proptest! {
    /// Four workers tell what they saw of one call, in any order, and the presence server is told in between at any time.
    #[test]
    fn every_order_ends_in_terminated(
        (events, turns) in (
            Just(vec![
                ringing(0), ringing(1), ringing(0),
                What::Refused { branch: 0, status: 486 },
                What::Failed { branches: 1, status: 486 },
                answered(1),
                What::Offer { from: Side::Caller, cseq: 2, rendering: Rendering::No, lifetime: 3600 },
                What::Ended(Ending::Bye(Side::Callee)),
            ]).prop_shuffle(),
            proptest::collection::vec(0usize..5, 8),
        )
    ) {
        let mut scene = Scene::new(wanted());
        scene.begin();
        for (event, turn) in events.into_iter().zip(turns) {
            scene.then(event);
            if turn == 0 {
                scene.publish();
            }
        }
        scene.publish();
        let order = |document: &Document| document.dialogs[0].state.name().to_owned();
        for document in scene.shown.values() {
            prop_assert_eq!(order(document), "terminated");
        }
        // Nothing was told of a dialog after its end.
        let mut ended = Vec::new();
        for line in &scene.told {
            let name: Vec<&str> = line.split(' ').take(2).collect();
            prop_assert!(!ended.contains(&name), "{:?}", scene.told);
            if line.contains("terminated") {
                ended.push(name);
            }
        }
        scene.pass(70);
        prop_assert_eq!(scene.publisher.calls(), 0);
    }
}

#[test]
fn a_call_goes_on_for_its_users_when_it_is_up() {
    let mut scene = Scene::new(wanted());
    let kept = What::Kept { lifetime: 3600 };
    assert!(scene.begin().then(ringing(0)).then(kept.clone()).publisher.kept_users().is_empty(), "an UPDATE before the answer");
    assert!(scene.then(answered(0)).publisher.kept_users().is_empty());
    assert_eq!(Vec::from_iter(scene.then(kept.clone()).publisher.kept_users()), ["sip:Bob@example.com", "sip:alice@example.com"]);
    let hold = What::Offer { from: Side::Callee, cseq: 2, rendering: Rendering::No, lifetime: 3600 };
    assert_eq!(scene.then(hold).publisher.kept_users().len(), 2);
    assert!(scene.publisher.kept_users().is_empty(), "told once");
    assert!(scene.then(What::Ended(Ending::Server)).then(kept).publisher.kept_users().is_empty());
}

#[test]
fn without_watchers_only_users_are_told_of() {
    let mut scene = Scene::new(wanted());
    scene.publisher = Publisher::new(wanted(), RandomState::new()).without_watchers();
    scene.begin().then(ringing(0)).then(answered(0));
    assert_eq!(scene.publisher.changed_users().len(), 2);
    assert_eq!(scene.then(What::Ended(Ending::Server)).told(), [""; 0]);
    assert!(scene.publisher.changed_users().iter().all(|(_, call)| call.is_none()));
    scene.pass(65);
    assert_eq!(scene.publisher.calls(), 0);
}
