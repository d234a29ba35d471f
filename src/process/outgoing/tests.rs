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
        Self { shared, outgoing: Outgoing::new(shared, TTL), now: Instant::now() }
    }

    /// As a worker does it.
    fn reserve(&mut self, stanza: &str) {
        self.shared.take_place("x", stanza.len(), SIZE).unwrap().keep();
        self.outgoing.push(self.now, stanza.as_bytes(), Reserved::Yes);
    }

    fn push(&mut self, stanza: &str) {
        self.outgoing.push(self.now, stanza.as_bytes(), Reserved::No);
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
