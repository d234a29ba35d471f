//! Any body is read as CPIM or refused; what is read can be written and is the same again, and nothing in a header ends its line.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::sip::cpim::MAX_LINES;
use xmpp_gateway::sip::cpim::Message;
use xmpp_gateway::sip::imdn;

fuzz_target!(|data: &[u8]| {
    let Ok(message) = Message::parse(data) else { return };
    assert!(message.headers.len() <= MAX_LINES);
    let written = message.to_bytes();
    // We write NS and the length of the content, which the sender may have left out.
    if message.headers.len() + 9 <= MAX_LINES {
        assert_eq!(Message::parse(&written).as_ref(), Ok(&message));
    }
    let head = written.len() - message.content.body.len();
    let lines = written[..head].split(|byte| *byte == b'\n').count();
    // NS, four headers of the content and its length, two empty lines, and what is behind the last.
    assert!(lines <= message.headers.len() + 9, "{lines}");
    if let Some(request) = imdn::Request::of(&message) {
        assert!(request.message_id.len() <= imdn::LONGEST_ID && request.record_route.len() <= imdn::MOST_ROUTES);
        for uri in request.record_route.iter().chain(&request.recipient).chain(&request.original_recipient) {
            assert!(
                uri.len() <= imdn::LONGEST_URI && uri.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>\"\\".contains(&byte))
            );
        }
    }
});
