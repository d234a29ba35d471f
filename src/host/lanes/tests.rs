use std::cell::Cell;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc;

use super::feed::Feed;
use super::*;
use crate::calls::Side;
use crate::calls::publisher::Name;
use crate::calls::publisher::Publication;
use crate::calls::publisher::Step;
use crate::host::publications::Operation;
use crate::process::host::HostError;
use crate::process::host::Readiness;
use crate::sip::CallId;
use crate::sip::Dialog;
use crate::sip::Event;
use crate::sip::HeaderName;
use crate::sip::Headers;
use crate::sip::Message;
use crate::sip::Notify;
use crate::sip::Origin;
use crate::sip::Publish;
use crate::sip::Subscribe;
use crate::sip::Uri;
use crate::sip::Withdrawal;

/// The lane gets a MESSAGE.
fn push(lanes: &Lanes, message: &Message) -> Result<(), Full> {
    let (task, mut record) = (Task::Message(message), Vec::new());
    record::of(task, &mut record).unwrap();
    lanes.put(lanes.index(task.order()), &record)
}

/// The MESSAGE that a task of these tests is.
fn sent(task: Task<'_>) -> Message {
    let Task::Message(message) = task else { panic!("{task:?}") };
    message.clone()
}

/// Sends into a list, and keeps the jobs for later.
#[derive(Default)]
struct Later {
    sent: RefCell<Vec<Message>>,
    jobs: RefCell<Vec<usize>>,
    awaited: Cell<bool>,
}

impl Jobs for Later {
    fn perform(&self, task: Task<'_>) {
        self.sent.borrow_mut().push(sent(task));
    }

    fn make(&self, lane: usize) -> bool {
        self.jobs.borrow_mut().push(lane);
        true
    }

    fn is_awaited(&self) -> bool {
        self.awaited.get()
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
        max_forwards: u8::try_from(number % 71).unwrap(),
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
        push(&lanes, &message(0, number)).unwrap();
        host.do_all(&lanes);
        assert_eq!(host.sent.take(), [message(0, number)]);
    }
}

#[test]
fn a_lane_has_one_job_at_a_time() {
    let (lanes, host) = (Lanes::new().unwrap(), Later::default());
    push(&lanes, &message(0, 1)).unwrap();
    lanes.offer(&host);
    push(&lanes, &message(0, 2)).unwrap();
    lanes.offer(&host);
    assert_eq!(host.jobs.borrow().len(), 1);
    host.do_all(&lanes);
    assert_eq!(host.sent.take(), [message(0, 1), message(0, 2)]);
    lanes.offer(&host);
    assert!(host.jobs.take().is_empty(), "there is nothing to do");
    push(&lanes, &message(0, 3)).unwrap();
    lanes.offer(&host);
    assert_eq!(host.jobs.take().len(), 1);
}

#[test]
fn a_job_is_short() {
    let (lanes, host) = (Lanes::new().unwrap(), Later::default());
    (0..=JOB).for_each(|_| push(&lanes, &message(0, 1)).unwrap());
    lanes.offer(&host);
    let job = host.jobs.borrow_mut().pop().unwrap();
    // SAFETY: made above, done once.
    unsafe { lanes.do_job(job, &host) };
    // Fewer where it took long.
    assert!((1..=JOB).contains(&host.sent.borrow().len()));
    assert_eq!(host.jobs.borrow().len(), 1);
    host.do_all(&lanes);
    assert_eq!(host.sent.borrow().len(), JOB + 1);
}

#[test]
fn where_no_worker_can_be_had_it_is_done_at_once() {
    struct Alone(RefCell<Vec<u64>>);
    impl Jobs for Alone {
        fn perform(&self, task: Task<'_>) {
            self.0.borrow_mut().push(sent(task).unique);
        }
        fn make(&self, _: usize) -> bool {
            false
        }
        fn is_awaited(&self) -> bool {
            false
        }
    }
    let (lanes, host) = (Lanes::new().unwrap(), Alone(RefCell::default()));
    (0..100).for_each(|number| push(&lanes, &message(0, number)).unwrap());
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
    fn perform(&self, task: Task<'_>) {
        self.later.perform(task);
    }

    fn make(&self, lane: usize) -> bool {
        !self.busy.get() && self.later.make(lane)
    }

    fn is_awaited(&self) -> bool {
        false
    }
}

#[test]
fn a_worker_who_gets_no_further_job_leaves_the_rest_to_the_next_offer() {
    let (lanes, host) = (Lanes::new().unwrap(), Moody::default());
    (0..100).for_each(|number| push(&lanes, &message(0, number)).unwrap());
    lanes.offer(&host);
    let job = host.later.jobs.borrow_mut().pop().unwrap();
    host.busy.set(true);
    // SAFETY: made above, done once.
    unsafe { lanes.do_job(job, &host) };
    assert!((1..=JOB).contains(&host.later.sent.borrow().len()), "and then SIP has its turn");
    lanes.offer(&host);
    assert!(host.later.sent.take().into_iter().map(|message| message.unique).eq(0..100));
    // The lane is free, for jobs as well.
    host.busy.set(false);
    push(&lanes, &message(0, 100)).unwrap();
    host.later.do_all(&lanes);
    assert_eq!(host.later.sent.take(), [message(0, 100)]);
}

#[test]
fn a_bug_while_one_is_sent_costs_that_one() {
    struct Buggy;
    impl Jobs for Buggy {
        fn perform(&self, _: Task<'_>) {
            panic!("asked to");
        }
        fn make(&self, _: usize) -> bool {
            false
        }
        fn is_awaited(&self) -> bool {
            false
        }
    }
    let (lanes, host) = (Lanes::new().unwrap(), Later::default());
    push(&lanes, &message(0, 1)).unwrap();
    push(&lanes, &message(0, 2)).unwrap();
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lanes.offer(&Buggy))).is_err());
    host.do_all(&lanes);
    assert_eq!(host.sent.take(), [message(0, 2)]);
}

#[test]
fn a_job_ends_where_sip_waits() {
    let (lanes, host) = (Lanes::new().unwrap(), Later::default());
    (0..3).for_each(|number| push(&lanes, &message(0, number)).unwrap());
    lanes.offer(&host);
    host.awaited.set(true);
    for number in 0..3 {
        let job = host.jobs.borrow_mut().pop().unwrap();
        // SAFETY: made above, done once.
        unsafe { lanes.do_job(job, &host) };
        assert_eq!(host.sent.take(), [message(0, number)]);
    }
}

#[test]
fn a_full_lane_says_so_and_loses_nothing() {
    let (lanes, host) = (Lanes::new().unwrap(), Later::default());
    let mut pushed = 0;
    while push(&lanes, &message(0, pushed)).is_ok() {
        pushed += 1;
    }
    host.do_all(&lanes);
    assert!(host.sent.take().into_iter().map(|message| message.unique).eq(0..pushed));
}

#[test]
fn what_finds_no_room_waits_in_its_order() {
    let (lanes, host) = (Lanes::new().unwrap(), Later::default());
    let mut feed = Feed::new(&lanes);
    let (mut pushed, mut behind) = (0, 0);
    while feed.readiness() != Readiness::Full {
        feed.push(Task::Message(&message(0, pushed)), &host).unwrap();
        pushed += 1;
        behind += u64::from(feed.readiness() == Readiness::Behind);
    }
    assert!(behind > 0 && behind < pushed, "{behind} of {pushed}");
    // What comes in this round still finds a place.
    feed.push(Task::Message(&message(0, pushed)), &host).unwrap();
    while feed.readiness() != Readiness::Ready {
        host.do_all(&lanes);
        feed.tick(&host);
    }
    host.do_all(&lanes);
    assert!(host.sent.take().into_iter().map(|message| message.unique).eq(0..=pushed));
}

#[test]
fn calls_wait_with_their_publisher_while_their_lane_is_behind_and_leave_in_order() {
    struct Slow(RefCell<Vec<u64>>);
    impl Jobs for Slow {
        fn perform(&self, task: Task<'_>) {
            let Task::Call(publication) = task else { panic!("{task:?}") };
            self.0.borrow_mut().push(publication.name.call);
        }

        fn make(&self, _: usize) -> bool {
            true
        }

        fn is_awaited(&self) -> bool {
            false
        }
    }
    let (lanes, host) = (Lanes::new().unwrap(), Slow(RefCell::default()));
    let mut feed = Feed::new(&lanes);
    let publish = Publish {
        presentity: Uri::new("sip:bob@x".to_owned()).unwrap(),
        id: "1".to_owned(),
        body: Some(vec![b'x'; 1000]),
        expires: 60,
    };
    let mut pushed = 0;
    while feed.takes_calls() {
        let name = Name { call: pushed, branch: 0, side: Side::Caller };
        feed.push(Task::Call(&Publication { name, publish: publish.clone(), step: Step::Modify }), &host).unwrap();
        pushed += 1;
    }
    assert!((10..100).contains(&pushed));
    feed.tick(&host);
    while !feed.takes_calls() || lanes.waiting(DIALOGS) > 0 {
        // SAFETY: the lane is held for the job that was made above.
        unsafe { lanes.do_job(DIALOGS, &host) };
    }
    assert_eq!(host.0.take(), (0..pushed).collect::<Vec<_>>());
}

#[test]
fn what_waits_has_an_end() {
    let (lanes, host) = (Lanes::new().unwrap(), Later::default());
    let mut feed = Feed::new(&lanes);
    let large = Message { body: vec![b'b'; SIZE / 4], ..message(0, 0) };
    let taken = (0..1000).take_while(|_| feed.push(Task::Message(&large), &host).is_ok()).count();
    assert!((200..300).contains(&taken), "{taken}");
    let too_large = Message { body: vec![b'b'; SIZE], ..message(1, 0) };
    assert_eq!(Feed::new(&lanes).push(Task::Message(&too_large), &host), Err(HostError::Memory));
}

#[test]
fn notifies_pass_by_a_lane_that_stands_still() {
    #[derive(Default)]
    struct Notified(RefCell<Vec<u64>>, RefCell<Vec<usize>>);
    impl Jobs for Notified {
        fn perform(&self, task: Task<'_>) {
            let Task::Notify(notify) = task else { panic!("{task:?}") };
            self.0.borrow_mut().push(notify.number);
        }
        fn make(&self, lane: usize) -> bool {
            self.1.borrow_mut().push(lane);
            true
        }
        fn is_awaited(&self) -> bool {
            false
        }
    }
    let (lanes, host) = (Lanes::new().unwrap(), Notified::default());
    let stuck = lanes.index(Task::Message(&message(0, 0)).order());
    push(&lanes, &message(0, 0)).unwrap();
    let mut feed = Feed::new(&lanes);
    for number in 0..100 {
        feed.push(Task::Notify(&notify(number)), &host).unwrap();
        feed.tick(&host);
        for lane in host.1.take().into_iter().filter(|lane| *lane != stuck) {
            // SAFETY: made by the feed, done once.
            unsafe { lanes.do_job(lane, &host) };
        }
    }
    assert!(host.0.take().into_iter().eq(0..100));
}

#[test]
fn every_task_comes_out_as_it_went_in() {
    let uri = |text: &str| Uri::new(text.to_owned()).unwrap();
    let publish = |body: Option<&[u8]>| Publish {
        presentity: uri("sip:romeo@x"),
        id: "ID-orchard".to_owned(),
        body: body.map(<[u8]>::to_vec),
        expires: 3600,
    };
    let subscribe = |event| Subscribe { event, presentity: uri("sip:juliet@s"), watcher: uri("sip:romeo@x"), expires: 0 };
    let (state, end, [first, second]) = (publish(Some(b"<presence/>")), publish(None), [notify(1), notify(u64::MAX)]);
    let subscriptions = [Event::Presence, Event::PresenceWinfo].map(subscribe);
    let [presence, winfo] = &subscriptions;
    let calls =
        [(Step::Initial, Side::Caller), (Step::Adopt, Side::Callee), (Step::Modify, Side::Caller), (Step::Refresh, Side::Callee)];
    let calls =
        calls.map(|(step, side)| Publication { name: Name { call: u64::MAX, branch: 7, side }, publish: state.clone(), step });
    let withdrawal = Withdrawal { presentity: state.presentity.clone(), entity_tag: "a.1763756329.1".into() };
    let mut tasks = vec![
        Task::Withdraw(&withdrawal),
        Task::Notify(&first),
        Task::Notify(&second),
        Task::Publish(&state),
        Task::Publish(&end),
        Task::Subscribe(presence),
        Task::Subscribe(winfo),
        Task::Judge(&state.presentity),
    ];
    tasks.extend(calls.iter().map(Task::Call));
    let operations =
        [Operation::Initial, Operation::Adopt, Operation::Modify, Operation::Refresh, Operation::Remove, Operation::Expire];
    tasks.extend(operations.map(|operation| Task::State(&state, operation)));
    tasks.extend(operations.map(|operation| Task::Lamp(&state, operation)));
    let mut record = vec![1, 2, 3];
    for task in tasks {
        record::of(task, &mut record).unwrap();
        let mut came = 0;
        record::with(&record, |other| {
            assert_eq!(other, task);
            came += 1;
        })
        .unwrap();
        assert_eq!(came, 1);
        for end in 0..record.len() {
            assert_eq!(record::with(&record[..end], |task| panic!("{task:?}")), None);
        }
    }
}

fn notify(number: u64) -> Notify {
    let mut headers = Headers::default();
    headers.push(HeaderName::Event, "presence");
    let dialog = Dialog::of("1@phone\nours\ntheirs\nsip:romeo@x\nsip:juliet@s\nsip:juliet@192.0.2.1\n\n").unwrap();
    Notify { number, dialog, cseq: 7, headers, body: b"<presence/>".to_vec() }
}

/// Workers with a queue of jobs between them.
struct Workers {
    sent: Mutex<HashMap<String, Vec<u64>>>,
    job: mpsc::Sender<usize>,
}

impl Jobs for Workers {
    fn perform(&self, task: Task<'_>) {
        let message = sent(task);
        self.sent.lock().unwrap().entry(message.to.to_string()).or_default().push(message.unique);
    }

    fn make(&self, lane: usize) -> bool {
        self.job.send(lane).is_ok()
    }

    fn is_awaited(&self) -> bool {
        false
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
            while push(&lanes, &message(number % 7, number)).is_err() {
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
