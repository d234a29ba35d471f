//! Whatever follows on a stream that is accepted: each stanza is translated, and nothing leaves that another user, header or
//! stanza could be made of.
#![no_main]

use std::time::Duration;
use std::time::Instant;

use jid::Jid;
use libfuzzer_sys::fuzz_target;
use properties::HEADER;
use xmpp_gateway::translate::message;
use xmpp_gateway::translate::presence;
use xmpp_gateway::translate::presence::ResourcePresence;
use xmpp_gateway::xmpp::component::Component;
use xmpp_gateway::xmpp::component::Event;
use xmpp_gateway::xmpp::element::Element;

fuzz_target!(|data: &[u8]| {
    let mut component = Component::new(properties::DOMAIN, "secret");
    component.start();
    let opened = [HEADER.as_bytes(), b"<handshake/>", data].concat();
    let mut input = &opened[..];
    let mut now = Instant::now();
    let mut gateway = properties::gateway(now);
    let mut actions = Vec::new();
    while let Some(event) = component.next(&mut input) {
        match event {
            Event::Ready | Event::Ended(_) => {}
            Event::Stanza(stanza) => {
                translate(&stanza);
                if let Err(condition) = gateway.stanza(now, std::time::SystemTime::UNIX_EPOCH, &stanza, &mut actions) {
                    component.fail(&condition);
                }
            }
            Event::Refused(refused) => gateway.refused(&refused, &mut actions),
        }
    }
    gateway.stream_down(properties::DOMAIN);
    gateway.stream_up(now, properties::DOMAIN, &mut actions);
    now += Duration::from_secs(90);
    gateway.tick(now, &mut actions);
    actions.iter().for_each(properties::check_action);
});

/// Whoever sent it: the translations themselves.
fn translate(stanza: &Element) {
    let (from, to) = (Jid::new("juliet@example.net/balcony").unwrap(), Jid::new("romeo@sip.example.com").unwrap());
    let addresses = properties::config().addresses;
    if let Ok(sip) = message::to_sip(stanza, &from, &to, &addresses, 1, usize::MAX) {
        properties::check_message(&sip);
    }
    if let Ok(resource) = ResourcePresence::read(stanza, &from) {
        let document = presence::to_pidf(&from, [&resource], &addresses).expect("an address");
        xmpp_gateway::sip::pidf::Document::parse(document.as_bytes()).expect("a PIDF of ours can be read");
    }
}
