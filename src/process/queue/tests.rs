#![allow(clippy::arithmetic_side_effects, reason = "a test ends at the first surprise")]

use std::cell::Cell;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

const TTL: Duration = Duration::from_secs(300);
const ROOM: usize = 1 << 20;

/// A place that counts those that are taken.
struct Place(Rc<Cell<i64>>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// A queue, its places and a clock.
struct Scene {
    queue: Queue<Place>,
    taken: Rc<Cell<i64>>,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        Self::with_room(ROOM)
    }

    fn with_room(room: usize) -> Self {
        Self { queue: Queue::new(TTL, room), taken: Rc::default(), now: Instant::now() }
    }

    fn push(&mut self, stanza: &str) -> Result<(), Full> {
        self.taken.set(self.taken.get() + 1);
        self.queue.push(self.now, stanza.as_bytes(), Place(Rc::clone(&self.taken)))
    }

    /// So much time passes: how many it ended.
    fn pass(&mut self, time: Duration) -> usize {
        self.now += time;
        std::iter::from_fn(|| self.queue.expired(self.now)).count()
    }

    /// All that is left, oldest first; nothing may stay behind it.
    fn drain(mut self) -> Vec<String> {
        let left = std::iter::from_fn(|| self.queue.pop()).map(|waiting| text(&waiting.stanza)).collect();
        assert_eq!((self.queue.len(), self.queue.bytes, self.taken.get()), (0, 0, 0));
        assert!(self.queue.newest.is_empty() && self.queue.presences.is_empty());
        left
    }
}

fn text(stanza: &[u8]) -> String {
    String::from_utf8(stanza.to_vec()).unwrap()
}

fn message(number: usize) -> String {
    format!("<message from='juliet@s' to='romeo@x'><body>{number}</body></message>")
}

fn state(from: &str, to: &str, kind: &str, status: usize) -> String {
    format!("<presence from='{from}' to='{to}'{kind}><status>{status}</status></presence>")
}

#[test]
fn messages_leave_in_their_order() {
    let mut scene = Scene::new();
    let messages: Vec<String> = (0..100).map(message).collect();
    for message in &messages {
        scene.push(message).unwrap();
    }
    assert_eq!(scene.drain(), messages);
}

#[test]
fn the_same_message_twice_is_two_messages() {
    let mut scene = Scene::new();
    scene.push(&message(1)).unwrap();
    scene.push(&message(1)).unwrap();
    assert_eq!(scene.drain().len(), 2);
}

#[test]
fn the_newest_presence_of_a_pair_takes_the_place_of_the_oldest() {
    let mut scene = Scene::new();
    scene.push(&state("j@s", "r@x", "", 1)).unwrap();
    scene.push(&message(1)).unwrap();
    scene.push(&state("j@s", "r@x", " type='unavailable'", 2)).unwrap();
    scene.push(&state("j@s", "r@x", "", 3)).unwrap();
    assert_eq!(scene.taken.get(), 2);
    assert_eq!(scene.drain(), [message(1), state("j@s", "r@x", "", 3)]);
}

#[test]
fn resources_and_watchers_keep_a_presence_of_their_own() {
    let mut scene = Scene::new();
    let all = [("j@s/desk", "r@x"), ("j@s/phone", "r@x"), ("j@s/desk", "m@x"), ("j@s", "r@x"), ("j@s", "r@x/orchard")]
        .map(|(from, to)| state(from, to, "", 1));
    for stanza in &all {
        scene.push(stanza).unwrap();
    }
    assert_eq!(scene.drain(), all);
}

#[test]
fn a_state_does_not_take_back_a_request_or_an_answer() {
    let mut scene = Scene::new();
    let all = [" type='subscribed'", " type='subscribe'", "", " type='probe'"].map(|kind| state("j@s", "r@x", kind, 1));
    for stanza in &all {
        scene.push(stanza).unwrap();
    }
    scene.push(&state("j@s", "r@x", " type='unsubscribed'", 2)).unwrap();
    let [_, subscribe, available, probe] = all;
    assert_eq!(scene.drain(), [subscribe, available, probe, state("j@s", "r@x", " type='unsubscribed'", 2)]);
}

#[test]
fn errors_of_presence_all_arrive() {
    let mut scene = Scene::new();
    for number in 0..3 {
        scene.push(&state("j@s", "r@x", " type='error'", number)).unwrap();
    }
    assert_eq!(scene.drain().len(), 3);
}

#[test]
fn a_message_ends_with_its_time_and_the_newest_state_does_not() {
    let mut scene = Scene::new();
    scene.push(&state("j@s", "r@x", "", 1)).unwrap();
    scene.push(&message(1)).unwrap();
    assert_eq!(scene.pass(TTL / 2), 0);
    scene.push(&message(2)).unwrap();
    assert_eq!(scene.pass(TTL / 2), 1);
    assert_eq!(scene.pass(TTL / 2 - Duration::from_millis(1)), 0);
    assert_eq!(scene.taken.get(), 2);
    assert_eq!(scene.drain(), [state("j@s", "r@x", "", 1), message(2)]);
}

#[test]
fn what_goes_past_the_queue_takes_the_same_out_of_it() {
    let mut scene = Scene::new();
    scene.push(&state("j@s", "r@x", "", 1)).unwrap();
    scene.push(&message(1)).unwrap();
    scene.queue.supersede(state("j@s", "r@x", " type='unavailable'", 2).as_bytes());
    scene.queue.supersede(message(1).as_bytes());
    assert_eq!(scene.drain(), [message(1)]);
}

#[test]
fn the_last_bound_is_in_bytes_and_a_newer_presence_needs_no_more_of_them() {
    let first = state("j@s", "r@x", "", 1);
    let mut scene = Scene::with_room(2 * cost(first.len()));
    scene.push(&first).unwrap();
    scene.push(&state("j@s", "m@x", "", 1)).unwrap();
    assert_eq!(scene.push(&message(1)), Err(Full));
    assert_eq!(scene.push(&state("j@s", "r@x", "", 2)), Ok(()));
    assert_eq!(scene.taken.get(), 2);
    assert_eq!(scene.drain(), [state("j@s", "m@x", "", 1), state("j@s", "r@x", "", 2)]);
}

#[derive(Debug, Clone)]
enum Step {
    Message,
    State { from: u8, to: u8, gone: bool },
    Answer { to: u8, allowed: bool },
    Past { from: u8, to: u8 },
    Wait(u64),
    Pop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => Just(Step::Message),
        4 => (0..3u8, 0..3u8, any::<bool>()).prop_map(|(from, to, gone)| Step::State { from, to, gone }),
        1 => (0..3u8, any::<bool>()).prop_map(|(to, allowed)| Step::Answer { to, allowed }),
        1 => (0..3u8, 0..3u8).prop_map(|(from, to)| Step::Past { from, to }),
        1 => (0..200u64).prop_map(Step::Wait),
        1 => Just(Step::Pop),
    ];
    prop::collection::vec(step, 0..120)
}

/// What should wait, the plain way: one list, looked through from end to end each time.
#[derive(Default)]
struct Model(Vec<(String, Option<String>, Instant)>);

impl Model {
    fn push(&mut self, now: Instant, stanza: &str, subject: Option<String>) {
        self.supersede(subject.as_ref());
        self.0.push((stanza.to_owned(), subject, now));
    }

    fn supersede(&mut self, subject: Option<&String>) {
        self.0.retain(|(_, known, _)| known.is_none() || known.as_ref() != subject);
    }

    fn expire(&mut self, now: Instant) {
        self.0.retain(|(_, subject, since)| subject.is_some() || now - *since < TTL);
    }
}

proptest! {
    /// Nothing twice, nothing out of order, nothing lost but what is replaced, superseded or expired.
    #[test]
    fn what_leaves_is_what_a_plain_list_would_have(steps in steps()) {
        let mut scene = Scene::new();
        let mut model = Model::default();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Message => {
                    scene.push(&message(number)).unwrap();
                    model.push(scene.now, &message(number), None);
                }
                Step::State { from, to, gone } => {
                    let kind = if gone { " type='unavailable'" } else { "" };
                    let stanza = state(&format!("j@s/{from}"), &format!("r{to}@x"), kind, number);
                    scene.push(&stanza).unwrap();
                    model.push(scene.now, &stanza, Some(format!("state {from} {to}")));
                }
                Step::Answer { to, allowed } => {
                    let kind = if allowed { " type='subscribed'" } else { " type='unsubscribed'" };
                    let stanza = state("j@s", &format!("r{to}@x"), kind, number);
                    scene.push(&stanza).unwrap();
                    model.push(scene.now, &stanza, Some(format!("answer {to}")));
                }
                Step::Past { from, to } => {
                    scene.queue.supersede(state(&format!("j@s/{from}"), &format!("r{to}@x"), "", number).as_bytes());
                    model.supersede(Some(&format!("state {from} {to}")));
                }
                Step::Wait(seconds) => {
                    let before = model.0.len();
                    let expired = scene.pass(Duration::from_secs(seconds));
                    model.expire(scene.now);
                    prop_assert_eq!(expired, before - model.0.len());
                }
                Step::Pop => {
                    let popped = scene.queue.pop().map(|waiting| text(&waiting.stanza));
                    let wanted = (!model.0.is_empty()).then(|| model.0.remove(0).0);
                    prop_assert_eq!(popped, wanted);
                }
            }
            prop_assert_eq!(scene.queue.len(), model.0.len());
            prop_assert_eq!(scene.taken.get(), i64::try_from(model.0.len()).unwrap());
            let bytes: usize = model.0.iter().map(|(stanza, _, _)| cost(stanza.len())).sum();
            prop_assert_eq!(scene.queue.bytes, bytes);
        }
        let wanted: Vec<String> = model.0.into_iter().map(|(stanza, _, _)| stanza).collect();
        prop_assert_eq!(scene.drain(), wanted);
    }
}
