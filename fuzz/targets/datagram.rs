//! Any datagram is read as an event or refused; an event has one form, and the gateway takes each.
#![no_main]

use std::time::Duration;
use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::gateway::action::Action;
use xmpp_gateway::link::datagram;

fuzz_target!(|data: &[u8]| {
    let Ok(event) = datagram::decode(data) else { return };
    let mut again = Vec::new();
    datagram::encode(&event, &mut again);
    assert_eq!(again, data);
    let now = Instant::now();
    let mut gateway = properties::gateway(now);
    let mut actions = Vec::new();
    gateway.event(now, event, &mut actions);
    gateway.tick(now + Duration::from_secs(60), &mut actions);
    actions.iter().filter(|action| matches!(action, Action::Notify(_) | Action::EndDialog(_))).for_each(properties::check_action);
});
