//! Half an hour under a clock of its own, at a connection manager that keeps to its terms and notes who does not.

use super::*;
use crate::xmpp::ns;

const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);

/// A client and its connection manager.
struct Hall {
    bosh: Bosh,
    now: Instant,
    /// What it has agreed to.
    hold: usize,
    wait: Duration,
    /// Requests that wait for their answer, with the time at which they came.
    held: VecDeque<(u64, Instant)>,
    /// Since when there is none.
    empty_since: Option<Instant>,
    seen: Seen,
}

/// What the connection manager has seen.
#[derive(Debug, Default)]
struct Seen {
    /// Requests at once.
    most: usize,
    /// The longest time without any.
    longest_gap: Duration,
    /// When requests came that said nothing, but for those that came again.
    empty: Vec<Instant>,
    /// Stanzas.
    stanzas: usize,
    /// The highest number so far.
    rid: u64,
}

impl Hall {
    /// A session that stands.
    fn open(terms: &str, hold: usize, wait: u64) -> Self {
        let now = Instant::now();
        let ask = Ask { to: "example.com".to_owned(), from: None, wait: 60 };
        let mut bosh = Bosh::new(ask, 41);
        let creation = bosh.request(now).unwrap();
        bosh.response(now, creation.rid, format!("<body sid='s1' {terms} xmlns='{}'/>", ns::HTTPBIND).as_bytes());
        assert_eq!(bosh.event(), Some(Event::Created));
        let seen = Seen { rid: creation.rid, ..Seen::default() };
        Self { bosh, now, hold, wait: Duration::from_secs(wait), held: VecDeque::new(), empty_since: Some(now), seen }
    }

    /// All that can happen without the clock going on.
    fn settle(&mut self) {
        loop {
            while let Some(request) = self.bosh.request(self.now) {
                self.take(&request);
            }
            let is_answered = self.held.len() > self.hold
                || self.held.front().is_some_and(|(_, came)| self.now.duration_since(*came) >= self.wait);
            match self.held.front() {
                Some((rid, _)) if is_answered => {
                    let rid = *rid;
                    self.held.pop_front();
                    self.answer(rid, "");
                }
                Some(_) | None => break,
            }
        }
    }

    fn take(&mut self, request: &Request) {
        self.bosh.sent(self.now, request.rid);
        if request.rid > self.seen.rid {
            assert_eq!(request.rid, self.seen.rid.checked_add(1).unwrap(), "no number is left out");
            self.seen.rid = request.rid;
            if !request.body.contains("<presence") {
                self.seen.empty.push(self.now);
            }
            self.seen.stanzas = self.seen.stanzas.saturating_add(request.body.matches("<presence").count());
        }
        if let Some(since) = self.empty_since.take() {
            self.seen.longest_gap = self.seen.longest_gap.max(self.now.duration_since(since));
        }
        self.held.push_back((request.rid, self.now));
        self.held.make_contiguous().sort_unstable();
        self.seen.most = self.seen.most.max(self.held.len());
    }

    fn answer(&mut self, rid: u64, content: &str) {
        let body = format!("<body xmlns='{}'>{content}</body>", ns::HTTPBIND);
        self.bosh.response(self.now, rid, body.as_bytes());
        self.has_less();
    }

    /// What comes in for the client goes with the request that is held.
    fn push(&mut self) {
        let (rid, _) = self.held.pop_front().expect("a request is held");
        self.answer(rid, "<message xmlns='jabber:client'/>");
    }

    /// The connection of the request that is held breaks.
    fn cut(&mut self) {
        let (rid, _) = self.held.pop_front().expect("a request is held");
        self.bosh.broken(self.now, rid);
        self.has_less();
    }

    fn has_less(&mut self) {
        if self.held.is_empty() {
            self.empty_since = Some(self.now);
        }
    }

    /// The clock goes on to what comes next, and not beyond `end`.
    fn pass(&mut self, end: Instant) {
        let timed_out = self.held.front().map(|(_, came)| came.checked_add(self.wait).unwrap());
        self.now = [timed_out, self.bosh.deadline()].into_iter().flatten().chain([end]).min().unwrap();
        self.bosh.timeout(self.now);
    }

    fn go_on(&mut self, period: Duration) {
        let end = self.now.checked_add(period).unwrap();
        self.settle();
        while self.now < end {
            self.pass(end);
            self.settle();
        }
        while let Some(event) = self.bosh.event() {
            assert!(matches!(event, Event::Element(_)), "{event:?}");
        }
    }
}

#[test]
fn half_an_hour_in_which_nothing_happens_is_one_request_after_the_other() {
    let mut hall = Hall::open("wait='60' requests='2' hold='1' inactivity='30' polling='5'", 1, 60);
    for _ in 0..180 {
        hall.go_on(Duration::from_secs(10));
        assert_eq!(hall.held.len(), 1, "always one");
    }
    assert_eq!((hall.seen.most, hall.seen.longest_gap, hall.seen.empty.len()), (1, Duration::ZERO, 31));
}

#[test]
fn half_an_hour_of_changes_and_of_broken_connections_keeps_to_the_terms() {
    let mut hall = Hall::open("wait='60' requests='2' hold='1' inactivity='30' polling='5'", 1, 60);
    let end = hall.now + HALF_AN_HOUR;
    let mut said = 0;
    for turn in 0.. {
        if hall.now >= end {
            break;
        }
        hall.go_on(Duration::from_secs(7 + turn % 23));
        assert_eq!(hall.held.len(), 1, "always one");
        match turn % 4 {
            0 => {
                assert!(hall.bosh.send("<presence/>") && hall.bosh.send("<presence/>"));
                said += 2;
            }
            1 => hall.cut(),
            2 => hall.push(),
            // Twice before there was an answer: the second time it waits.
            _ => {
                hall.cut();
                hall.settle();
                hall.cut();
            }
        }
    }
    hall.go_on(Duration::from_secs(1));
    assert_eq!((hall.seen.most, hall.seen.stanzas), (2, said));
    assert!(hall.seen.longest_gap <= Duration::from_secs(2), "{:?}", hall.seen);
}

#[test]
fn half_an_hour_of_polling_is_neither_too_often_nor_too_rare() {
    for terms in
        ["wait='60' requests='1' polling='20' inactivity='45'", "wait='0' hold='0' requests='2' polling='20' inactivity='45'"]
    {
        let mut hall = Hall::open(terms, 0, 0);
        for turn in 0..60 {
            hall.go_on(Duration::from_secs(30));
            if turn % 7 == 0 {
                assert!(hall.bosh.send("<presence/>"));
            }
        }
        let gaps = hall.seen.empty.windows(2).map(|pair| pair[1].duration_since(pair[0]));
        assert!(gaps.clone().min() >= Some(Duration::from_secs(20)), "{terms}: {:?}", hall.seen);
        assert!(hall.seen.longest_gap <= Duration::from_secs(45), "{terms}: {:?}", hall.seen);
        assert_eq!((hall.seen.most, hall.seen.stanzas), (1, 9), "{terms}");
    }
}
