//! What goes in comes out, and nothing else does.

use super::*;

fn subscribe_reply(status: u16, text: Option<&str>, address: Option<&str>, retry_after: Option<u32>) -> Event {
    let [text, address] = [text, address].map(|text| text.map(str::to_owned));
    Event::SubscribeReply(SubscribeReply {
        watcher: "romeo@x".into(),
        presentity: "j@y".into(),
        status,
        text,
        address,
        retry_after,
        expires: (status == 302).then_some(0),
        dialog: (status == 302).then(|| "1;t".into()),
        min_expires: (status == 302).then_some(60),
    })
}

fn watchers(document: Option<Document>) -> Event {
    let (waiting, given_up) = (vec!["a@b".into(), "c@d".into()], vec!["e@f".into()]);
    Event::Watchers(Watchers { presentity: "romeo@x".into(), waiting, given_up, document })
}

fn wanted(recipient: Option<&str>, record_route: &[&str]) -> Event {
    let [recipient, original_recipient] = [recipient, recipient].map(|uri| uri.map(str::to_owned));
    let record_route = record_route.iter().map(|uri| (*uri).to_owned()).collect();
    let date_time = recipient.as_ref().map(|_| "2006-04-04T12:16:49-05:00".to_owned());
    let request = imdn::Request { message_id: "34jk324j".into(), date_time, recipient, original_recipient, record_route };
    Event::Wanted(Wanted { from: "juliet@y".into(), to: "romeo@x".into(), id: "b1".into(), request })
}

fn examples() -> Vec<Event> {
    let mut examples = vec![
        Event::Stanza("<presence/>".into()),
        watchers(None),
        watchers(Some(Document { call_id: "1".into(), version: 7, state: winfo::State::Full })),
        watchers(Some(Document { call_id: "2".into(), version: u32::MAX, state: winfo::State::Partial })),
        subscribe_reply(603, None, None, None),
        subscribe_reply(302, Some("Moved"), Some("xmpp:j@z"), Some(5)),
        wanted(None, &[]),
        wanted(Some("im:romeo@x"), &["sip:a@y", "sip:b@y"]),
    ];
    let published = |outcome| {
        let (user, presentity) = ("romeo@x".into(), "sip:romeo@x".into());
        Event::Published(Published { user, presentity, id: "ID-desk".into(), outcome })
    };
    examples.extend([
        published(Outcome::Stored { entity_tag: Some("a.1".into()), replaced: None }),
        published(Outcome::Stored { entity_tag: None, replaced: Some("a.0".into()) }),
        published(Outcome::Failed),
        Event::WatchersNotTold("sip:romeo@x".into()),
    ]);
    let parts = sip::dialog::Parts {
        call_id: b"1",
        local_tag: b"l",
        remote_tag: b"r",
        local_uri: b"sip:romeo@x",
        remote_uri: b"sip:j@y",
        remote_target: b"sip:j@192.0.2.1",
        package: sip::Package::Dialog,
        event_id: b"",
        socket: b"udp:192.0.2.9:5060",
    };
    let dialog = sip::Dialog::new(&parts, &[b"sip:p;lr"]).unwrap();
    let decisions = [
        Authorization::Pending,
        Authorization::Allowed,
        Authorization::Hidden,
        Authorization::Refused,
        Authorization::NoResource,
    ]
    .into_iter();
    let initial = |decision| Place::Initial { watcher: "j@y".into(), presentity: "romeo@x".into(), decision };
    let subscribe = |place| Event::Subscribe(Subscribe { dialog: dialog.clone(), cseq: 7, expires: 3600, place });
    examples.extend(decisions.map(initial).chain([Place::InDialog]).map(subscribe));
    for retry_after in [None, Some(0), Some(5)] {
        examples.push(Event::NotifyReply(NotifyReply { number: u64::MAX, status: 481, retry_after }));
    }
    examples.extend(STATES.iter().map(|state| {
        Event::Notify(Notify {
            watcher: "romeo@x".into(),
            presentity: "juliet@y".into(),
            dialog: "1;t".into(),
            cseq: 7,
            state: *state,
            retry_after: (*state == SubscriptionState::Terminated(Reason::Giveup)).then_some(30),
            expires: (*state == SubscriptionState::Pending).then_some(600),
            display_name: (*state == SubscriptionState::Active).then(|| "Juliet".into()),
            presences: vec![TuplePresence {
                resource: "r\u{e9}".into(),
                availability: Availability::Available,
                stanza: "<presence/>".into(),
            }],
        })
    }));
    examples
}

#[test]
fn what_is_encoded_is_decoded() {
    let mut datagram = Vec::new();
    for event in examples() {
        encode(&event, &mut datagram);
        assert_eq!(decode(&datagram), Ok(event));
    }
}

#[test]
fn a_stanza_is_told_apart_from_other_events() {
    let mut datagram = Vec::new();
    encode_reserved("<presence/>", &mut datagram);
    assert_eq!(stanza_of(&datagram), Some((Reserved::Yes, &b"<presence/>"[..])));
    for event in examples() {
        encode(&event, &mut datagram);
        let stanza = matches!(event, Event::Stanza(_));
        assert_eq!(stanza_of(&datagram), stanza.then_some((Reserved::No, datagram.as_slice())));
    }
}

#[test]
fn every_truncation_is_an_error() {
    let mut datagram = Vec::new();
    for event in examples().into_iter().skip(1) {
        encode(&event, &mut datagram);
        for end in 0..datagram.len() {
            assert!(decode(&datagram[..end]).is_err(), "{event:?} cut at {end}");
        }
        datagram.push(0);
        assert_eq!(decode(&datagram), Err(DecodeError::Trailing));
    }
}
