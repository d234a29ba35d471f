use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc;

use jid::Jid;

use super::*;
use crate::address::Addresses;
use crate::address::Scheme;
use crate::sip::CallId;
use crate::sip::HeaderName;
use crate::sip::Headers;
use crate::sip::Origin;
use crate::sip::Uri;
use crate::translate::message;
use crate::xmpp::element::Element;

/// Sends into a list, and keeps the jobs for later.
#[derive(Default)]
struct Later {
    sent: RefCell<Vec<Message>>,
    jobs: RefCell<Vec<usize>>,
}

impl Jobs for Later {
    fn send(&self, message: &Message) {
        self.sent.borrow_mut().push(message.clone());
    }

    fn make(&self, lane: usize) -> bool {
        self.jobs.borrow_mut().push(lane);
        true
    }
}

impl Later {
    fn do_all(&self, lanes: &Lanes) {
        lanes.offer(self);
        while let Some(job) = { self.jobs.borrow_mut().pop() } {
            // SAFETY: made above, done once.
            unsafe { lanes.do_job(job, self) };
        }
    }
}

fn message(conversation: u64, number: u64) -> Message {
    let mut headers = Headers::default();
    headers.push(HeaderName::ContentType, "text/plain");
    Message {
        to: Uri::new(format!("sip:juliet{conversation}@s")).unwrap(),
        from: Uri::new("sip:romeo@x".to_owned()).unwrap(),
        call_id: number.is_multiple_of(2).then(|| CallId::new(format!("call-{number}")).unwrap()),
        unique: number,
        headers,
        body: vec![b'b'; usize::try_from(number % 1300).unwrap()],
        origin: (!number.is_multiple_of(5)).then(|| Origin {
            from: "romeo@x/y".to_owned(),
            to: "juliet@s".to_owned(),
            id: number.is_multiple_of(3).then(String::new),
        }),
    }
}

#[test]
fn what_goes_in_comes_out() {
    let lanes = Lanes::new().unwrap();
    // More bytes than a ring has: it goes round.
    for number in 0..5_000 {
        let host = Later::default();
        lanes.push(&message(0, number)).unwrap();
        host.do_all(&lanes);
        assert_eq!(host.sent.take(), [message(0, number)]);
    }
}

#[test]
fn a_lane_has_one_job_at_a_time() {
    let (lanes, host) = (Lanes::new().unwrap(), Later::default());
    lanes.push(&message(0, 1)).unwrap();
    lanes.offer(&host);
    lanes.push(&message(0, 2)).unwrap();
    lanes.offer(&host);
    assert_eq!(host.jobs.borrow().len(), 1);
    host.do_all(&lanes);
    assert_eq!(host.sent.take(), [message(0, 1), message(0, 2)]);
    lanes.offer(&host);
    assert!(host.jobs.take().is_empty(), "there is nothing to do");
    lanes.push(&message(0, 3)).unwrap();
    lanes.offer(&host);
    assert_eq!(host.jobs.take().len(), 1);
}

#[test]
fn a_job_is_short() {
    let (lanes, host) = (Lanes::new().unwrap(), Later::default());
    (0..=JOB).for_each(|_| lanes.push(&message(0, 1)).unwrap());
    lanes.offer(&host);
    let job = host.jobs.borrow_mut().pop().unwrap();
    // SAFETY: made above, done once.
    unsafe { lanes.do_job(job, &host) };
    assert_eq!((host.sent.borrow().len(), host.jobs.borrow().len()), (JOB, 1));
    host.do_all(&lanes);
    assert_eq!(host.sent.borrow().len(), JOB + 1);
}

#[test]
fn where_no_worker_can_be_had_it_is_done_at_once() {
    struct Alone(RefCell<Vec<u64>>);
    impl Jobs for Alone {
        fn send(&self, message: &Message) {
            self.0.borrow_mut().push(message.unique);
        }
        fn make(&self, _: usize) -> bool {
            false
        }
    }
    let (lanes, host) = (Lanes::new().unwrap(), Alone(RefCell::default()));
    (0..100).for_each(|number| lanes.push(&message(0, number)).unwrap());
    lanes.offer(&host);
    assert!(host.0.take().into_iter().eq(0..100));
}

/// Its jobs are taken or not, as it is told.
#[derive(Default)]
struct Moody {
    later: Later,
    busy: Cell<bool>,
}

impl Jobs for Moody {
    fn send(&self, message: &Message) {
        self.later.send(message);
    }

    fn make(&self, lane: usize) -> bool {
        !self.busy.get() && self.later.make(lane)
    }
}

#[test]
fn a_worker_who_gets_no_further_job_leaves_the_rest_to_the_next_offer() {
    let (lanes, host) = (Lanes::new().unwrap(), Moody::default());
    (0..100).for_each(|number| lanes.push(&message(0, number)).unwrap());
    lanes.offer(&host);
    let job = host.later.jobs.borrow_mut().pop().unwrap();
    host.busy.set(true);
    // SAFETY: made above, done once.
    unsafe { lanes.do_job(job, &host) };
    assert_eq!(host.later.sent.borrow().len(), JOB, "and then SIP has its turn");
    lanes.offer(&host);
    assert!(host.later.sent.take().into_iter().map(|message| message.unique).eq(0..100));
    // The lane is free, for jobs as well.
    host.busy.set(false);
    lanes.push(&message(0, 100)).unwrap();
    host.later.do_all(&lanes);
    assert_eq!(host.later.sent.take(), [message(0, 100)]);
}

#[test]
fn a_bug_while_one_is_sent_costs_that_one() {
    struct Buggy;
    impl Jobs for Buggy {
        fn send(&self, _: &Message) {
            panic!("asked to");
        }
        fn make(&self, _: usize) -> bool {
            false
        }
    }
    let (lanes, host) = (Lanes::new().unwrap(), Later::default());
    lanes.push(&message(0, 1)).unwrap();
    lanes.push(&message(0, 2)).unwrap();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lanes.offer(&Buggy))).is_err());
    host.do_all(&lanes);
    assert_eq!(host.sent.take(), [message(0, 2)]);
}

#[test]
fn a_full_lane_says_so_and_loses_nothing() {
    let (lanes, host) = (Lanes::new().unwrap(), Later::default());
    let (mut pushed, mut room) = (0, true);
    while lanes.push(&message(0, pushed)).is_ok() {
        pushed += 1;
        room = lanes.have_room();
    }
    assert!(!room, "the stream is not read any more long before");
    host.do_all(&lanes);
    assert!(host.sent.take().into_iter().map(|message| message.unique).eq(0..pushed));
    assert!(lanes.have_room());
}

/// Workers with a queue of jobs between them.
struct Workers {
    sent: Mutex<HashMap<String, Vec<u64>>>,
    job: mpsc::Sender<usize>,
}

impl Jobs for Workers {
    fn send(&self, message: &Message) {
        self.sent.lock().unwrap().entry(message.to.to_string()).or_default().push(message.unique);
    }

    fn make(&self, lane: usize) -> bool {
        self.job.send(lane).is_ok()
    }
}

#[test]
fn conversations_keep_their_order_whoever_sends_them() {
    const MESSAGES: u64 = 20_000;
    let lanes = Lanes::new().unwrap();
    let (job, jobs) = mpsc::channel();
    let (jobs, workers) = (Mutex::new(jobs), Workers { sent: Mutex::default(), job });
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while let Ok(index) = { jobs.lock().unwrap().recv() }
                    && index < LANES
                {
                    // SAFETY: the queue gives each job once.
                    unsafe { lanes.do_job(index, &workers) };
                }
            });
        }
        for number in 0..MESSAGES {
            while lanes.push(&message(number % 7, number)).is_err() {
                std::thread::yield_now();
            }
            lanes.offer(&workers);
        }
        while (0..LANES).any(|index| lanes.lane(index).unwrap().head.reader.held.load(Ordering::SeqCst)) {
            std::thread::yield_now();
        }
        (0..3).for_each(|_| workers.job.send(LANES).unwrap());
    });
    let sent = workers.sent.into_inner().unwrap();
    assert_eq!(sent.values().map(Vec::len).sum::<usize>(), usize::try_from(MESSAGES).unwrap());
    assert!(sent.values().all(|numbers| numbers.is_sorted()));
}

/// What [`ROOM`] rests on: stanzas that are as short as can be, and names whose octets all have to be written as three.
#[test]
fn a_message_in_a_lane_takes_at_most_four_times_the_bytes_of_its_stanza() {
    let addresses = Addresses::new(Scheme::Transparent).unwrap().of_component("s.x").unwrap();
    let sizes = |from: &str, to: &str, body: &str| {
        let stanza = format!("<message from='{from}' to='{to}'>{body}</message>");
        let element = Element::parse(&stanza).unwrap();
        let [from, to] = [Jid::new(from).ok()?, Jid::new(to).ok()?];
        let message = message::to_sip(&element, &from, &to, &addresses, 0, message::DEFAULT_LIMIT).ok()?;
        Some((record::of(&message)?.len() + size_of::<u32>(), stanza.len()))
    };
    let mut seen = 0;
    for letter in ["a", "%", "\u{e9}", "\u{20ac}", "\u{1f600}"] {
        for name in [1, 2, 4, 16, 64, 100, 128, 140, 150, 180, 200, 205, 210].map(|count| letter.repeat(count)) {
            for (from, to) in [
                (format!("{name}@x.x"), "a@s.x".to_owned()),
                (format!("a@x.x/{name}"), "a@s.x".to_owned()),
                (format!("a@{name}x"), "a@s.x".to_owned()),
                ("a@x.x".to_owned(), format!("{name}@s.x")),
                (format!("{name}@x.x/{name}"), format!("{name}@s.x")),
            ] {
                for body in ["<body/>", "<body>x</body>", "<body>\u{e9}</body>", "<body>x</body><subject/>"] {
                    let Some((taken, length)) = sizes(&from, &to, body) else { continue };
                    assert!(taken <= 4 * length, "{taken} for {length}: {from} to {to}, {body}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 400, "{seen}");
}
