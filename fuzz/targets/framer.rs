//! Any bytes, in any pieces, are read to the same events or the same fault; what was read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use properties::HEADER;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::fault::Fault;
use xmpp_gateway::xmpp::framer::Framer;
use xmpp_gateway::xmpp::framer::Limits;
use xmpp_gateway::xmpp::framer::StreamEvent;

fuzz_target!(|data: &[u8]| {
    check(Limits::default(), data);
    // What inputs of this size meet too.
    check(Limits { stanza_bytes: HEADER.len() + 20, depth: 3, skipped_bytes: 100 }, data);
});

fn check(limits: Limits, data: &[u8]) {
    let whole = read(limits, [data]);
    assert_eq!(read(limits, data.chunks(1)), whole);
    let (head, tail) = data.split_at(data.iter().map(|byte| usize::from(*byte)).sum::<usize>() % (data.len() + 1));
    assert_eq!(read(limits, [head, tail]), whole);
    for event in &whole.0 {
        let stanza = match event {
            StreamEvent::Stanza(stanza) => stanza,
            StreamEvent::Refused(refused) if refused.stanza.is_some() => refused.stanza.as_ref().unwrap(),
            StreamEvent::Opened(_) | StreamEvent::Refused(_) | StreamEvent::Closed => continue,
        };
        match Element::parse(&format!("{stanza:?}")) {
            // It is written with a namespace for each element, which is an attribute more.
            Err(fault) if fault.is_limit() => {}
            again => assert_eq!(again.as_ref(), Ok(stanza)),
        }
    }
}

fn read<'a>(limits: Limits, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<StreamEvent>, Option<Fault>) {
    let mut framer = Framer::new(limits);
    let mut events = Vec::new();
    let mut ended = None;
    for mut piece in pieces {
        loop {
            match framer.next(&mut piece) {
                Ok(None) => break,
                Ok(Some(event)) => {
                    assert_eq!(ended, None, "nothing follows a fault");
                    events.push(event);
                }
                Err(fault) => assert_eq!(ended.replace(fault), None, "a fault comes once"),
            }
        }
        assert!(piece.is_empty(), "all input is taken");
    }
    (events, ended)
}
