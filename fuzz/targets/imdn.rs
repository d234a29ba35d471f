//! Any body is read as a notification or refused; what is read can be written and is the same again, but for characters that XML forbids.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::sip::imdn::Notification;

fuzz_target!(|data: &[u8]| {
    let Ok(notification) = Notification::parse(data) else { return };
    let written = notification.to_xml();
    assert_eq!(Notification::parse(written.as_bytes()).map(|again| again.to_xml()), Ok(written));
});
