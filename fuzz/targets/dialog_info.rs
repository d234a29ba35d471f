//! Any body is read as dialog information or refused, and what is read is written in a way that says the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::sip::dialog_info::Document;
use xmpp_gateway::sip::dialog_info::MAX_DIALOGS;

fuzz_target!(|data: &[u8]| {
    let Ok(document) = Document::parse(data) else { return };
    assert!(document.dialogs.len() <= MAX_DIALOGS);
    let written = document.to_xml();
    assert_eq!(Document::parse(written.as_bytes()), Ok(document), "{written}");
});
