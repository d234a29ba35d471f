//! Any body is read as PIDF or refused, and what is read becomes presence stanzas that a server takes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::sip::pidf::Document;
use xmpp_gateway::translate::presence;

fuzz_target!(|data: &[u8]| {
    let Ok(document) = Document::parse(data) else { return };
    for presence in presence::to_xmpp(&document, "romeo@sip.example.com", "juliet@example.net", Some("en")) {
        properties::check_stanza(&presence.stanza);
        assert!(!presence.resource.contains(char::is_control), "{:?}", presence.resource);
        if !presence.resource.is_empty() {
            properties::check_jid(&format!("romeo@sip.example.com/{}", presence.resource));
        }
    }
    Document::parse(document.to_xml().as_bytes()).expect("what was read can be written and read again");
});
