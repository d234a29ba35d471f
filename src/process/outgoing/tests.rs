use std::borrow::Cow;

use super::*;

const TTL: Duration = Duration::from_secs(300);
const SIZE: u32 = 1000;

fn message(number: u32) -> String {
    format!("<message from='j@s' to='r@x'><body>{number}</body></message>")
}

fn state(from: &str, status: u32) -> String {
    format!("<presence from='{from}' to='r@x'><status>{status}</status></presence>")
}

struct Scene<'a> {
    shared: &'a Shared,
    outgoing: Outgoing<'a>,
    now: Instant,
}

impl<'a> Scene<'a> {
    fn new(shared: &'a Shared) -> Self {
        Self { shared, outgoing: Outgoing::new(shared, 0, TTL), now: Instant::now() }
    }

    /// As a worker does it.
    fn reserve(&mut self, stanza: &str) {
        let place = self.shared.take_place("x", stanza.len(), SIZE);
        assert!(place.is_some());
        self.outgoing.push(self.now, stanza.as_bytes(), place);
    }

    fn push(&mut self, stanza: &str) {
        self.outgoing.push(self.now, stanza.as_bytes(), None);
    }

    /// All that can be written now, and that it is written.
    fn written(&mut self) -> String {
        let written = String::from_utf8(self.outgoing.unwritten().to_vec()).unwrap();
        self.outgoing.advance(written.len());
        written
    }

    fn stream_up(&mut self, following: &[&str]) {
        self.outgoing.stream_up(following.iter().copied());
    }
}

#[test]
fn what_waits_goes_before_what_comes_when_the_stream_stands() {
    let shared = Shared::new().unwrap();
    let mut scene = Scene::new(&shared);
    scene.reserve(&message(1));
    scene.reserve(&message(2));
    assert!(!scene.outgoing.has_output());
    scene.stream_up(&[]);
    scene.push(&message(3));
    assert_eq!(scene.written(), message(1) + &message(2) + &message(3));
    assert_eq!((shared.fill().stanzas(), shared.counters().delayed.total()), (0, 2));
}

#[test]
fn a_place_that_was_taken_too_late_is_given_back() {
    let shared = Shared::new().unwrap();
    let mut scene = Scene::new(&shared);
    scene.stream_up(&[]);
    scene.reserve(&message(1));
    assert_eq!(shared.fill().stanzas(), 0);
    assert_eq!(scene.written(), message(1));
}

#[test]
fn what_was_not_written_whole_waits_for_the_next_stream_and_counts_as_waiting() {
    let shared = Shared::new().unwrap();
    let mut scene = Scene::new(&shared);
    scene.stream_up(&[]);
    for number in 0..4 {
        scene.push(&message(number));
    }
    scene.outgoing.advance(message(0).len() + 7);
    scene.outgoing.stream_down(scene.now);
    assert_eq!(shared.fill().stanzas(), 3);
    scene.reserve(&message(4));
    scene.stream_up(&[]);
    assert_eq!(scene.written(), (1..5).map(message).collect::<String>());
    assert_eq!(shared.fill().stanzas(), 0);
}

/// The gateway tells all states anew when the stream stands: one that was not written before it broke is old.
#[test]
fn no_state_is_told_twice_or_out_of_order() {
    let shared = Shared::new().unwrap();
    let mut scene = Scene::new(&shared);
    scene.stream_up(&[]);
    scene.push(&state("j@s/desk", 1));
    scene.push(&message(1));
    scene.push(&state("j@s/phone", 1));
    scene.outgoing.stream_down(scene.now);
    let anew = state("j@s/desk", 2);
    scene.stream_up(&[&anew]);
    scene.push(&anew);
    assert_eq!(scene.written(), message(1) + &state("j@s/phone", 1) + &anew);
}

/// The gateway asks again what has no answer yet (gateway/watcher.rs).
#[test]
fn a_question_that_was_not_written_is_asked_once() {
    let shared = Shared::new().unwrap();
    let mut scene = Scene::new(&shared);
    let question = "<presence from='j@s' to='r@x' type='subscribe' id='ask-1'/>";
    scene.stream_up(&[]);
    scene.push(question);
    scene.push(&message(1));
    scene.outgoing.stream_down(scene.now);
    scene.stream_up(&[question]);
    scene.push(question);
    assert_eq!(scene.written(), message(1) + question);
}

#[test]
fn what_waits_too_long_is_counted_and_not_sent() {
    let shared = Shared::new().unwrap();
    let mut scene = Scene::new(&shared);
    scene.reserve(&message(1));
    scene.reserve(&message(2));
    scene.now += TTL / 2;
    scene.reserve(&message(3));
    scene.now += TTL / 2;
    scene.outgoing.tick(scene.now);
    assert_eq!((shared.fill().stanzas(), shared.counters().expired.total()), (1, 2));
    scene.stream_up(&[]);
    assert_eq!(scene.written(), message(3));
}

/// The ids of the messages that are to be told.
fn lost(outgoing: &mut Outgoing<'_>) -> Vec<String> {
    std::iter::from_fn(|| outgoing.take_lost()).filter_map(|head| head.id).map(Cow::into_owned).collect()
}

fn named(id: u32) -> String {
    format!("<message from='j@s' to='r@x' id='{id}'><body>x</body></message>")
}

#[test]
fn messages_that_waited_too_long_are_told_once_and_in_order() {
    let shared = Shared::new().unwrap();
    let mut scene = Scene::new(&shared);
    scene.reserve(&named(1));
    scene.reserve(&message(2));
    scene.push(&state("j@s", 3));
    scene.push("<iq from='j@s' to='r@x' id='4' type='result'/>");
    scene.reserve(&named(5));
    assert_eq!(lost(&mut scene.outgoing), [""; 0]);
    scene.now += TTL;
    scene.outgoing.tick(scene.now);
    assert_eq!(lost(&mut scene.outgoing), ["1", "5"]);
    assert_eq!(lost(&mut scene.outgoing), [""; 0]);
}

#[test]
fn messages_dropped_at_the_last_bound_are_told_whether_the_stream_is_up_or_not() {
    for is_up in [false, true] {
        let shared = Shared::new().unwrap();
        let mut scene = Scene::new(&shared);
        if is_up {
            scene.stream_up(&[]);
        }
        for id in 0..70 {
            scene.push(&format!("<message to='r@x' id='{id}'><body>{}</body></message>", "x".repeat(1 << 20)));
        }
        let dropped = lost(&mut scene.outgoing);
        assert_eq!(u64::try_from(dropped.len()).unwrap(), shared.counters().dropped.total());
        assert_eq!(dropped.last().map(String::as_str), Some("69"));
    }
}

#[test]
fn what_still_waits_at_the_end_is_counted_and_its_places_are_free() {
    let shared = Shared::new().unwrap();
    let mut scene = Scene::new(&shared);
    scene.reserve(&message(1));
    scene.reserve(&message(2));
    drop(scene);
    assert_eq!((shared.fill().stanzas(), shared.counters().abandoned.total()), (0, 2));
}

#[test]
fn beyond_the_last_bound_stanzas_are_dropped_and_counted() {
    let shared = Shared::new().unwrap();
    let mut scene = Scene::new(&shared);
    let large = format!("<message to='r@x'><body>{}</body></message>", "x".repeat(1 << 20));
    for _ in 0..70 {
        scene.push(&large);
    }
    let dropped = shared.counters().dropped.total();
    assert!((1..10).contains(&dropped), "{dropped}");
    assert_eq!(u64::from(shared.fill().stanzas()), 70 - dropped);
}

#[test]
fn workers_see_whether_there_is_a_stream_and_whether_its_server_reads() {
    let shared = Shared::new().unwrap();
    let mut scene = Scene::new(&shared);
    let seen = || (shared.stream_is_up(0), shared.output_is_full(0));
    let large = format!("<message to='r@x'><body>{}</body></message>", "x".repeat(1 << 20));
    scene.push(&large);
    assert_eq!(seen(), (false, false));
    scene.stream_up(&[]);
    assert_eq!(seen(), (true, false));
    (0..4).for_each(|_| scene.push(&large));
    assert_eq!(seen(), (true, true));
    scene.outgoing.advance(3 * large.len());
    assert_eq!(seen(), (true, false));
    (0..3).for_each(|_| scene.push(&large));
    assert_eq!(seen(), (true, true));
    scene.outgoing.stream_down(scene.now);
    assert_eq!(seen(), (false, false));
    scene.stream_up(&[]);
    assert_eq!(seen(), (true, true), "what has waited is enough");
}
