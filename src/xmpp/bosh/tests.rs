//! A client and a scripted connection manager under a clock of their own.

use super::*;
use crate::xmpp::ns;

/// A client, and what it has posted.
struct Pair {
    bosh: Bosh,
    now: Instant,
    posted: Vec<Request>,
}

const TERMS: &str = "sid='s1' wait='60' requests='2' hold='1' inactivity='30' polling='5' maxpause='120'";

impl Pair {
    fn new() -> Self {
        Self::of(Bosh::new(ask(), 41))
    }

    fn of(bosh: Bosh) -> Self {
        Self { bosh, now: Instant::now(), posted: Vec::new() }
    }

    /// One whose session stands, with these terms.
    fn open(terms: &str) -> Self {
        let mut pair = Self::new();
        let [creation] = &pair.post()[..] else { panic!() };
        pair.answer(creation.rid, &format!("<body {terms} xmlns='{}'/>", ns::HTTPBIND));
        assert_eq!(pair.events(), [Event::Created]);
        pair
    }

    /// What is posted now.
    fn post(&mut self) -> Vec<Request> {
        let posted: Vec<_> = std::iter::from_fn(|| self.bosh.request(self.now)).collect();
        self.posted.extend(posted.iter().cloned());
        posted
    }

    /// What is posted now, and has reached the connection manager before what is posted next.
    fn post_in_order(&mut self) -> Vec<Request> {
        let posted = self.post();
        posted.iter().for_each(|request| self.bosh.sent(self.now, request.rid));
        self.now = self.now.checked_add(HEAD_START).unwrap();
        posted
    }

    fn bodies(&mut self) -> Vec<String> {
        self.post_in_order().iter().map(|request| request.body.to_string()).collect()
    }

    fn answer(&mut self, rid: u64, xml: &str) {
        self.bosh.response(self.now, rid, xml.as_bytes());
    }

    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.bosh.event()).collect()
    }

    fn ended(&mut self) -> Reason {
        let events = self.events();
        match &events[..] {
            [.., Event::Ended(reason)] => reason.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now.checked_add(Duration::from_secs(seconds)).unwrap();
        self.bosh.timeout(self.now);
    }
}

fn ask() -> Ask {
    Ask { to: "example.com".to_owned(), from: Some("juliet@example.com".to_owned()), wait: 60 }
}

fn empty(rid: u64) -> String {
    format!("<body rid='{rid}' sid='s1' xmlns='http://jabber.org/protocol/httpbind'/>")
}

fn response(content: &str) -> String {
    format!("<body xmlns='{}'>{content}</body>", ns::HTTPBIND)
}

fn presence(from: &str) -> String {
    response(&format!("<presence xmlns='jabber:client' from='{from}'/>"))
}

fn froms<'a>(events: &'a [Event]) -> Vec<&'a str> {
    let from = |event: &'a Event| match event {
        Event::Element(element) => element.attribute("from").unwrap_or_default(),
        Event::Created | Event::Abandon(_) | Event::Ended(_) => panic!("{event:?}"),
    };
    events.iter().map(from).collect()
}

fn terminate(rest: &str) -> String {
    format!("<body type='terminate' xmlns='{}' {rest}", ns::HTTPBIND)
}

#[test]
fn the_first_request_asks_for_a_session() {
    let mut pair = Pair::new();
    let creation = "<body rid='42' xmlns='http://jabber.org/protocol/httpbind' to='example.com' from='juliet@example.com' ver='1.6' \
        hold='1' wait='60' content='text/xml; charset=utf-8' xml:lang='en' xmlns:xmpp='urn:xmpp:xbosh' xmpp:version='1.0'/>";
    assert_eq!(pair.bodies(), [creation]);
    assert_eq!(pair.post(), []);
    pair.answer(42, &format!("<body {TERMS} xmlns='{}'><features xmlns='{}'/></body>", ns::HTTPBIND, ns::STREAMS));
    assert!(matches!(&pair.events()[..], [Event::Created, Event::Element(features)] if features.is("features", ns::STREAMS)));
    assert_eq!(pair.bodies(), [empty(43)], "one to be held");
}

#[test]
fn the_first_number_is_anywhere_below_its_limit() {
    for (dice, rid) in [(0, 1), (u64::MAX, (1 << 52) - 1 + 1), ((1 << 52) - 1, 1 << 52)] {
        assert_eq!(Bosh::new(ask(), dice).request(Instant::now()).unwrap().rid, rid);
    }
}

#[test]
fn one_request_is_held_and_never_more_than_two_are_under_way() {
    let mut pair = Pair::open(TERMS);
    assert_eq!(pair.bodies(), [empty(43)]);
    assert!(pair.bosh.send("<presence/>"));
    assert_eq!(pair.bodies(), [empty(44).replace("/>", "><presence xmlns='jabber:client'/></body>")]);
    assert!(pair.bosh.send("<iq id='1'/>"));
    assert!(pair.bosh.send("<iq id='2'/>"));
    assert_eq!(pair.post(), [], "two are under way");
    pair.answer(43, &response(""));
    let both = "><iq xmlns='jabber:client' id='1'/><iq xmlns='jabber:client' id='2'/></body>";
    assert_eq!(pair.bodies(), [empty(45).replace("/>", both)]);
    pair.answer(44, &response(""));
    pair.answer(45, &response(""));
    assert_eq!(pair.bodies(), [empty(46)]);
}

#[test]
fn what_is_new_waits_until_what_is_held_has_arrived() {
    for ends in [false, true] {
        let mut pair = Pair::open(TERMS);
        assert_eq!(pair.post().len(), 1);
        assert!(pair.bosh.send("<presence/>"));
        if ends {
            pair.bosh.terminate();
        }
        assert_eq!(pair.post(), [], "nobody knows whether a connection has it");
        pair.bosh.sent(pair.now, 43);
        assert_eq!(pair.post(), [], "another connection may be quicker");
        assert_eq!(pair.bosh.deadline(), Some(pair.now + HEAD_START));
        pair.now += HEAD_START;
        let [next] = &pair.post()[..] else { panic!() };
        assert!(next.rid == 44 && next.body.contains("<presence"));
    }
}

#[test]
fn what_waits_for_an_earlier_request_is_no_reason_to_wake() {
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    assert!(pair.bosh.send("<presence/>"));
    pair.post_in_order();
    pair.answer(44, &format!("<body type='error' xmlns='{}'/>", ns::HTTPBIND));
    assert_eq!(pair.post().len(), 1);
    assert!(pair.bosh.deadline() > Some(pair.now), "43 has no connection yet, and 44 waits for it");
    pair.bosh.sent(pair.now, 43);
    assert_eq!(pair.bosh.deadline(), Some(pair.now + HEAD_START));
    pair.now += HEAD_START;
    assert_eq!(pair.post().len(), 1);
}

#[test]
fn responses_are_handed_on_in_the_order_of_the_requests() {
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    assert!(pair.bosh.send("<presence/>"));
    pair.post_in_order();
    pair.answer(44, &presence("b"));
    assert_eq!(pair.events(), []);
    assert_eq!(pair.post(), [], "what waits for its turn is under way");
    pair.answer(43, &presence("a"));
    assert_eq!(froms(&pair.events()), ["a", "b"]);
    pair.answer(43, &presence("a"));
    assert_eq!(pair.events(), [], "a second response to the same request");
}

#[test]
fn what_had_no_response_is_sent_again_to_the_byte() {
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    assert!(pair.bosh.send("<presence id='7'/>"));
    let first = pair.post_in_order();
    pair.bosh.broken(pair.now, 44);
    assert_eq!(pair.post_in_order(), first, "at once");
    pair.bosh.broken(pair.now, 44);
    assert_eq!(pair.post(), [], "then after a second");
    assert_eq!(pair.bosh.deadline(), Some(pair.now + Duration::from_secs(1)));
    pair.pass(1);
    assert_eq!(pair.post_in_order(), first);
    pair.answer(44, &presence("b"));
    pair.answer(43, &presence("a"));
    assert_eq!(froms(&pair.events()), ["a", "b"]);
    pair.post_in_order();
    pair.bosh.broken(pair.now, 45);
    assert_eq!(pair.bodies(), [empty(45)], "a response has ended the trouble");
}

#[test]
fn a_session_without_any_answer_is_over_when_it_would_be_forgotten() {
    let mut pair = Pair::open(TERMS);
    let mut tries = 0;
    while !pair.bosh.is_over() {
        for request in pair.post() {
            tries += 1;
            pair.bosh.broken(pair.now, request.rid);
        }
        pair.pass(1);
        assert!(tries < 20);
    }
    assert_eq!(tries, 8, "after 0, 1, 2, 4, 8, 16, 24 and 32 s");
    assert_eq!(pair.ended(), Reason::Lost);
    assert_eq!((pair.bosh.deadline(), pair.post()), (None, vec![]));
}

#[test]
fn a_request_that_was_held_between_two_breaks_is_no_trouble() {
    let mut pair = Pair::open(TERMS);
    let held = pair.post();
    pair.bosh.broken(pair.now, 43);
    for seconds in [31, 25] {
        assert_eq!(pair.post(), held, "at once, as the connection manager has had it");
        pair.pass(seconds);
        pair.bosh.broken(pair.now, 43);
    }
    assert_eq!(pair.post(), held);
    // By then the connection manager would have answered.
    pair.pass(35);
    pair.bosh.broken(pair.now, 43);
    assert_eq!(pair.ended(), Reason::Lost);
}

#[test]
fn a_response_that_does_not_come_is_given_up_and_asked_for_again() {
    let mut pair = Pair::open(TERMS);
    let held = pair.post();
    pair.pass(60);
    assert_eq!(pair.events(), [], "the connection manager may hold it that long");
    pair.pass(15);
    assert_eq!(pair.events(), [Event::Abandon(43)]);
    assert_eq!(pair.post(), held);
    let mut silent = Pair::new();
    silent.post();
    silent.pass(30);
    assert_eq!(silent.ended(), Reason::Lost);
}

#[test]
fn nothing_follows_an_end_that_two_late_responses_make() {
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    assert!(pair.bosh.send("<presence/>"));
    pair.post_in_order();
    pair.pass(75);
    assert_eq!(pair.events(), [Event::Abandon(43), Event::Abandon(44)]);
    pair.post_in_order();
    pair.pass(2);
    pair.post_in_order();
    pair.pass(76);
    assert_eq!(pair.events(), [Event::Abandon(43), Event::Ended(Reason::Lost)]);
}

#[test]
fn a_recoverable_error_has_all_before_it_sent_again() {
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    assert!(pair.bosh.send("<presence/>"));
    pair.post_in_order();
    pair.answer(44, &format!("<body type='error' xmlns='{}'/>", ns::HTTPBIND));
    let again = [pair.post_in_order(), pair.post_in_order()].concat();
    assert_eq!(again, pair.posted[1..3], "43 and 44, as they were");
    for _ in 0..40 {
        pair.answer(44, &format!("<body type='error' xmlns='{}'/>", ns::HTTPBIND));
        pair.pass(1);
        pair.post_in_order();
        pair.post_in_order();
    }
    assert_eq!(pair.ended(), Reason::Refused);
}

#[test]
fn a_stream_is_restarted_by_a_request_of_its_own() {
    let mut pair = Pair::open(TERMS);
    pair.bosh.restart();
    let restart = "<body rid='43' sid='s1' xmlns='http://jabber.org/protocol/httpbind' to='example.com' xml:lang='en' \
        xmlns:xmpp='urn:xmpp:xbosh' xmpp:restart='true'/>";
    assert_eq!(pair.bodies(), [restart]);
    pair.answer(43, &response(""));
    assert_eq!(pair.bodies(), [empty(44)]);
}

#[test]
fn every_terminal_condition_ends_it() {
    use Condition::*;
    for (name, condition) in [
        ("bad-request", BadRequest),
        ("host-gone", HostGone),
        ("host-unknown", HostUnknown),
        ("improper-addressing", ImproperAddressing),
        ("internal-server-error", InternalServerError),
        ("item-not-found", ItemNotFound),
        ("other-request", OtherRequest),
        ("policy-violation", PolicyViolation),
        ("remote-connection-failed", RemoteConnectionFailed),
        ("remote-stream-error", RemoteStreamError(None)),
        ("see-other-uri", SeeOtherUri(None)),
        ("system-shutdown", SystemShutdown),
        ("tea-time", Undefined),
    ] {
        let mut pair = Pair::open(TERMS);
        pair.post();
        pair.answer(43, &terminate(&format!("condition='{name}'/>")));
        let reason = pair.ended();
        assert_eq!(reason, Reason::Terminated(condition));
        assert!(name == "tea-time" || reason.to_string().starts_with(name), "{reason}");
        assert!(pair.post().is_empty() && pair.bosh.saved().is_none());
    }
}

#[test]
fn the_end_comes_with_what_was_said_before_it() {
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    let error = "condition='remote-stream-error'><stream:error xmlns:stream='http://etherx.jabber.org/streams'>\
        <conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></body>";
    pair.answer(43, &terminate(error));
    assert_eq!(pair.ended().to_string(), "remote-stream-error: conflict");
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    pair.answer(43, &terminate("condition='see-other-uri'><uri> https://b.example.com/bosh </uri></body>"));
    let elsewhere = Condition::SeeOtherUri(Some("https://b.example.com/bosh".to_owned()));
    assert_eq!(pair.ended(), Reason::Terminated(elsewhere));
}

#[test]
fn status_codes_are_those_of_old_connection_managers_and_of_proxies() {
    let status = |code| {
        let mut pair = Pair::open(TERMS);
        let held = pair.post();
        pair.bosh.status(pair.now, 43, code);
        let again = pair.post();
        if again.is_empty() {
            return Some(pair.ended());
        }
        assert_eq!(again, held);
        None
    };
    assert_eq!(status(400), Some(Reason::Terminated(Condition::BadRequest)));
    assert_eq!(status(403), Some(Reason::Terminated(Condition::PolicyViolation)));
    assert_eq!(status(404), Some(Reason::Terminated(Condition::ItemNotFound)));
    assert_eq!(status(302), Some(Reason::Status(302)));
    assert_eq!(status(502), None, "a proxy whose connection manager starts anew");
    let mut none = Pair::new();
    none.post();
    none.bosh.status(none.now, 42, 404);
    assert_eq!(none.ended(), Reason::Status(404), "nothing is there");
}

#[test]
fn a_page_of_a_proxy_is_no_answer() {
    let page = "<html><body>Please log in</body></html>";
    let mut pair = Pair::new();
    pair.post_in_order();
    pair.answer(42, page);
    assert_eq!(pair.ended(), Reason::NoBody);
    let mut pair = Pair::open(TERMS);
    let held = pair.post();
    pair.answer(43, page);
    assert_eq!(pair.post(), held, "the connection manager may never have seen it");
    pair.answer(43, "<body xmlns='http://jabber.org/protocol/httpbind'><presence");
    pair.pass(1);
    assert_eq!(pair.post(), held);
    pair.pass(5);
    pair.answer(43, &response(""));
    assert_eq!(pair.bodies(), [empty(44)]);
}

#[test]
fn what_makes_no_session_ends_it() {
    for body in ["wait='60'", "sid=''", &format!("sid='{}'", "x".repeat(300))] {
        let mut pair = Pair::new();
        pair.post();
        pair.answer(42, &format!("<body {body} xmlns='{}'/>", ns::HTTPBIND));
        assert_eq!(pair.ended(), Reason::NoSession, "{body}");
    }
}

#[test]
fn terms_beyond_reason_are_brought_back() {
    let terms = |attributes: &str| {
        let mut pair = Pair::open(attributes);
        pair.post();
        pair.bosh.terms().unwrap().clone()
    };
    let usual = terms("sid='s1'");
    assert_eq!((usual.wait.as_secs(), usual.requests, usual.inactivity.as_secs(), usual.longest_pause), (60, 2, 60, 0));
    let wild = terms("sid='s1' wait='4000000000' requests='50' inactivity='0' polling='x' maxpause='4000000000'");
    assert_eq!((wild.wait.as_secs(), wild.requests, wild.inactivity.as_secs(), wild.longest_pause), (60, 2, 5, 3600));
    assert_eq!(wild.polling.as_secs(), 5);
    assert!(terms("sid='s1' requests='1'").is_polling());
    assert!(terms("sid='s1' hold='0'").is_polling());
    assert!(terms("sid='s1' wait='0'").is_polling());
}

#[test]
fn a_session_that_has_to_poll_asks_as_often_as_it_may() {
    let mut pair = Pair::open("sid='s1' wait='0' requests='1' hold='0' polling='5' inactivity='30'");
    assert_eq!(pair.post().len(), 1);
    pair.answer(43, &response(""));
    assert_eq!(pair.post(), []);
    assert_eq!(pair.bosh.deadline(), Some(pair.now + Duration::from_secs(5)));
    assert!(pair.bosh.send("<presence/>"));
    assert_eq!(pair.post().len(), 1, "who has something to say does not wait");
    pair.answer(44, &response(""));
    pair.pass(4);
    assert_eq!(pair.post(), []);
    pair.pass(1);
    assert_eq!(pair.bodies(), [empty(45)]);
}

#[test]
fn a_connection_manager_that_holds_nothing_is_not_asked_without_end() {
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    pair.answer(43, &response(""));
    assert_eq!(pair.post(), []);
    assert_eq!(pair.bosh.deadline(), Some(pair.now + Duration::from_secs(5)));
    pair.pass(5);
    assert_eq!(pair.bodies(), [empty(44)]);
    pair.pass(1);
    pair.answer(44, &response(""));
    assert_eq!(pair.post(), [], "a slow way is no holding");
    pair.pass(5);
    assert_eq!(pair.bodies(), [empty(45)]);
    assert!(pair.bosh.send("<presence/>"));
    assert_eq!(pair.post().len(), 1);
    pair.answer(45, &response(""));
    pair.answer(46, &response(""));
    assert_eq!(pair.bodies(), [empty(47)], "one that was displaced, and one that has said something");
}

#[test]
fn the_last_request_says_what_was_to_be_said() {
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    assert!(pair.bosh.send("<iq/>"));
    pair.post_in_order();
    assert!(pair.bosh.send("<presence type='unavailable'/>"));
    pair.bosh.terminate();
    let last = "<body rid='45' sid='s1' xmlns='http://jabber.org/protocol/httpbind' type='terminate'>\
        <presence xmlns='jabber:client' type='unavailable'/></body>";
    assert_eq!(pair.bodies(), [last], "one more than is permitted, as it is the end");
    assert_eq!(pair.bosh.saved(), None);
    pair.answer(43, &response(""));
    pair.answer(44, &response(""));
    assert_eq!(pair.post(), [], "nothing is held any more");
    pair.answer(45, &terminate("/>"));
    assert_eq!(pair.ended(), Reason::Ours);
}

#[test]
fn an_end_that_nobody_answers_is_one() {
    let mut pair = Pair::open(TERMS);
    pair.bosh.terminate();
    pair.post_in_order();
    pair.pass(15);
    assert_eq!(pair.ended(), Reason::Lost);
}

#[test]
fn a_request_that_was_held_for_long_does_not_end_the_end() {
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    pair.pass(40);
    pair.bosh.terminate();
    let [last] = &pair.post()[..] else { panic!() };
    assert_eq!(pair.bosh.deadline(), pair.now.checked_add(GRACE), "from when the end began");
    pair.pass(14);
    assert_eq!(pair.events(), []);
    pair.bosh.broken(pair.now, 43);
    assert_eq!(pair.post()[0].rid, 43, "what was held may break");
    pair.answer(last.rid, &terminate("/>"));
    assert_eq!(pair.ended(), Reason::Ours);
}

#[test]
fn the_end_comes_again_if_its_connection_breaks() {
    let mut pair = Pair::open(TERMS);
    pair.bosh.terminate();
    let last = pair.post();
    pair.bosh.broken(pair.now, 43);
    assert_eq!(pair.post(), last);
    pair.bosh.broken(pair.now, 43);
    assert_eq!(pair.post(), [], "after a pause");
    pair.pass(15);
    assert_eq!(pair.ended(), Reason::Lost);
}

#[test]
fn nothing_is_left_of_a_session_that_is_not_wanted_before_it_stands() {
    let mut pair = Pair::new();
    pair.post_in_order();
    pair.bosh.terminate();
    assert_eq!(pair.ended(), Reason::Ours);
    pair.answer(42, &format!("<body {TERMS} xmlns='{}'/>", ns::HTTPBIND));
    assert_eq!((pair.events(), pair.post()), (vec![], vec![]));
}

#[test]
fn another_process_goes_on_where_this_one_was() {
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    assert!(pair.bosh.send("<presence/>"));
    let under_way = pair.post();
    pair.answer(43, &response(""));
    let saved = pair.bosh.saved().unwrap();
    assert_eq!(saved.unanswered, under_way);
    let mut next = Pair { now: pair.now, ..Pair::of(Bosh::resume(ask(), saved, pair.now)) };
    assert_eq!(next.post(), under_way);
    next.answer(44, &presence("a"));
    assert_eq!(froms(&next.events()), ["a"]);
    assert_eq!(next.bodies(), [empty(45)]);
    next.answer(45, &terminate("condition='item-not-found'/>"));
    assert_eq!(next.ended(), Reason::Terminated(Condition::ItemNotFound));
}

#[test]
fn what_comes_again_is_there_before_what_is_new() {
    let mut pair = Pair::open(TERMS);
    let held = pair.post();
    let mut next = Pair::of(Bosh::resume(ask(), pair.bosh.saved().unwrap(), pair.now));
    assert!(next.bosh.send("<presence/>"));
    assert_eq!(next.post(), held);
    next.pass(1);
    assert_eq!(next.post(), [], "it has no connection yet");
    next.bosh.sent(next.now, 43);
    assert_eq!(next.post(), [], "the new one might overtake it");
    assert_eq!(next.bosh.deadline(), next.now.checked_add(HEAD_START));
    next.now = next.bosh.deadline().unwrap();
    next.bosh.timeout(next.now);
    assert_eq!(next.bodies(), [empty(44).replace("/>", "><presence xmlns='jabber:client'/></body>")]);
    assert_eq!(next.bosh.deadline(), next.now.checked_add(Duration::from_secs(73)), "the response is all that is waited for");
    next.bosh.broken(next.now, 43);
    next.bosh.broken(next.now, 44);
    assert_eq!(next.post(), held, "and so it is with two");
    next.answer(43, &response(""));
    assert_eq!(next.post(), [], "the second one's time is not there");
    next.pass(1);
    assert_eq!(next.post().len(), 1);
}

#[test]
fn a_pause_is_as_long_as_permitted() {
    let mut pair = Pair::open(TERMS);
    pair.post_in_order();
    assert!(pair.bosh.pause(Duration::from_secs(300)));
    assert_eq!(pair.bodies(), [empty(44).replace("/>", " pause='120'/>")]);
    let mut pair = Pair::open("sid='s1'");
    assert!(!pair.bosh.pause(Duration::from_secs(300)));
}

#[test]
fn what_waits_has_an_end() {
    let mut pair = Pair::open(TERMS);
    let long = format!("<message>{}</message>", "x".repeat(40_000));
    assert!(pair.bosh.send(&long));
    assert!(!pair.bosh.send(&long));
    assert_eq!(pair.post().len(), 1);
    assert!(pair.bosh.send(&long));
}

#[test]
fn the_numbers_have_an_end() {
    let terms = Pair::open(TERMS).bosh.terms().unwrap().clone();
    let mut pair = Pair::of(Bosh::resume(ask(), Saved { terms, rid: (1 << 53) - 2, unanswered: Vec::new() }, Instant::now()));
    assert_eq!(pair.post_in_order().len(), 1);
    assert!(pair.bosh.send("<presence/>"));
    assert_eq!(pair.post(), []);
    assert_eq!(pair.ended(), Reason::Numbers);
}
