//! Any body is read as watcher information or refused; who waits is a user of ours.
#![no_main]

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::sip::winfo::Document;
use xmpp_gateway::sip::winfo::MAX_WATCHERS;
use xmpp_gateway::translate::watchers;

fuzz_target!(|data: &[u8]| {
    let Ok(document) = Document::parse(data) else { return };
    for addresses in properties::schemes() {
        let waiting = watchers::waiting(&document, &addresses);
        assert!(waiting.len() <= MAX_WATCHERS);
        for watcher in waiting {
            properties::check_jid(&watcher);
            assert!(addresses.is_sip_user(&jid::Jid::new(&watcher).unwrap()), "{watcher}");
        }
    }
});
