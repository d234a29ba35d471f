//! Streams, sans-IO: every script is read whole, byte by byte and in two pieces, and must tell the same each time.

// clippy.toml allows these in `#[test]` functions; this allows them in the steps that tests share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod component;
mod framer;
mod hostile;
mod refused;
#[path = "../seeds/mod.rs"]
mod seeds;
mod splits;

use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::fault::Fault;
use xmpp_gateway::xmpp::framer::Framer;
use xmpp_gateway::xmpp::framer::Limits;
use xmpp_gateway::xmpp::framer::Refused;
use xmpp_gateway::xmpp::framer::StreamEvent;

const HEADER: &str = "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
                      xmlns:stream='http://etherx.jabber.org/streams' from='sip.example.net' id='3BF96D32'>";

/// What a framer made of an input.
#[derive(Debug, PartialEq, Eq)]
struct Outcome {
    events: Vec<StreamEvent>,
    fault: Option<Fault>,
}

impl Outcome {
    /// The stanzas among the events.
    fn stanzas(&self) -> Vec<&Element> {
        let stanzas = self.events.iter().filter_map(|event| match event {
            StreamEvent::Stanza(stanza) => Some(stanza),
            StreamEvent::Opened(_) | StreamEvent::Refused(_) | StreamEvent::Closed => None,
        });
        stanzas.collect()
    }

    /// The stanzas that were beyond a limit.
    fn refused(&self) -> Vec<&Refused> {
        let refused = self.events.iter().filter_map(|event| match event {
            StreamEvent::Refused(refused) => Some(refused),
            StreamEvent::Opened(_) | StreamEvent::Stanza(_) | StreamEvent::Closed => None,
        });
        refused.collect()
    }
}

/// Feeds the pieces in turn.
fn read_pieces<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut framer = Framer::new(limits);
    let mut outcome = Outcome { events: Vec::new(), fault: None };
    for mut piece in pieces {
        loop {
            match framer.next(&mut piece) {
                Ok(Some(event)) => {
                    assert!(outcome.fault.is_none(), "nothing follows a fault");
                    outcome.events.push(event);
                }
                Ok(None) => break,
                Err(fault) => assert_eq!(outcome.fault.replace(fault), None, "a fault comes once"),
            }
        }
        assert!(piece.is_empty(), "all input is taken");
    }
    outcome
}

/// Reads the input in every split that is worth it; all must tell the same.
fn read_within(limits: Limits, input: &[u8]) -> Outcome {
    seeds::keep("framer", input);
    if let Some(stanzas) = input.strip_prefix(HEADER.as_bytes()) {
        seeds::keep("stanza", stanzas);
    }
    let whole = read_pieces(limits, [input]);
    assert_eq!(read_pieces(limits, input.chunks(1)), whole, "byte by byte");
    if input.len() < 2000 {
        for at in 0..input.len() {
            let (head, tail) = input.split_at(at);
            assert_eq!(read_pieces(limits, [head, tail]), whole, "in two pieces, at {at}");
        }
    }
    whole
}

fn read(input: impl AsRef<[u8]>) -> Outcome {
    read_within(Limits::default(), input.as_ref())
}

/// Reads what follows on a stream that is open.
fn read_open(input: impl AsRef<[u8]>) -> Outcome {
    read_open_within(Limits::default(), input)
}

fn read_open_within(limits: Limits, input: impl AsRef<[u8]>) -> Outcome {
    let mut outcome = read_within(limits, &[HEADER.as_bytes(), input.as_ref()].concat());
    assert!(matches!(outcome.events.first(), Some(StreamEvent::Opened(_))));
    outcome.events.remove(0);
    outcome
}
