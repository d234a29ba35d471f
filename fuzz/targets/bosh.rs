//! Whatever a connection manager answers, and whenever: what is posted is a body of its own number, never too many at once, and what comes
//! again is the same to the byte. The pieces of the input, each ended by 0xff, are an action and the bytes for it.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::xmpp::bosh::Ask;
use xmpp_gateway::xmpp::bosh::Bosh;
use xmpp_gateway::xmpp::bosh::Event;
use xmpp_gateway::xmpp::element::Element;

fuzz_target!(|data: &[u8]| {
    let ask = Ask { to: "example.com".to_owned(), from: Some("juliet@example.com".to_owned()), wait: 60 };
    let mut client = Client { bosh: Bosh::new(ask, 41), now: Instant::now(), posted: BTreeMap::new(), is_over: false };
    for piece in data.split(|byte| *byte == 0xff).take(64) {
        client.post();
        if let Some((action, bytes)) = piece.split_first() {
            client.act(*action, bytes);
        }
        client.hear();
    }
});

struct Client {
    bosh: Bosh,
    now: Instant,
    /// All that was posted, by number.
    posted: BTreeMap<u64, String>,
    is_over: bool,
}

impl Client {
    fn post(&mut self) {
        while let Some(request) = self.bosh.request(self.now) {
            assert!(!self.is_over);
            Element::parse(&request.body).unwrap_or_else(|fault| panic!("{fault:?}: {}", request.body));
            match self.posted.get(&request.rid) {
                Some(before) => assert_eq!(**before, *request.body),
                None => {
                    assert!(self.posted.keys().next_back().is_none_or(|last| last + 1 == request.rid));
                    self.posted.insert(request.rid, request.body.to_string());
                }
            }
            self.bosh.sent(self.now, request.rid);
        }
        if let Some(saved) = self.bosh.saved() {
            assert!(saved.unanswered.len() <= self.bosh.terms().expect("a session").requests.max(2));
        }
    }

    /// The lower bits say for which request.
    fn act(&mut self, action: u8, bytes: &[u8]) {
        let rid = self.posted.keys().rev().nth(usize::from(action & 3)).copied().unwrap_or_default();
        match action >> 2 & 15 {
            0..6 => self.bosh.response(self.now, rid, bytes),
            6 => self.bosh.status(self.now, rid, bytes.first().map_or(404, |byte| u16::from(*byte) * 3)),
            7 => self.bosh.broken(self.now, rid),
            8 => {
                let _ = self.bosh.send("<presence><priority>-1</priority></presence>");
            }
            9 => self.bosh.restart(),
            10 => {
                self.bosh.pause(Duration::from_secs(120));
            }
            11 => self.bosh.terminate(),
            _ => {
                // A deadline that has passed, and is still one, would keep the driver busy for nothing.
                self.now = self.bosh.deadline().unwrap_or(self.now).max(self.now);
                self.bosh.timeout(self.now);
                self.post();
                assert!(self.is_over || self.bosh.has_event() || self.bosh.deadline().is_none_or(|time| time > self.now));
            }
        }
    }

    fn hear(&mut self) {
        while let Some(event) = self.bosh.event() {
            assert!(!self.is_over, "{event:?}");
            match event {
                Event::Created | Event::Element(_) => {}
                Event::Abandon(rid) => assert!(self.posted.contains_key(&rid)),
                Event::Ended(reason) => {
                    assert!(reason.to_string().len() < 70_000);
                    self.is_over = true;
                    assert!(self.bosh.is_over() && self.bosh.saved().is_none() && self.bosh.deadline().is_none());
                }
            }
        }
    }
}
