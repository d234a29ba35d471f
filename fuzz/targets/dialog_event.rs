//! Whatever publishers say of a user's dialogs, watchers are sent valid documents, numbered without a gap, in which no dialog goes back.
#![no_main]

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;

use libfuzzer_sys::fuzz_target;
use xmpp_gateway::config;
use xmpp_gateway::dialog_event::DialogEvent;
use xmpp_gateway::dialog_event::SharedMemory;
use xmpp_gateway::dialog_event::Watcher;
use xmpp_gateway::dialog_event::subscription::Subscribe;
use xmpp_gateway::sip::dialog_info::Document;
use xmpp_gateway::sip::dialog_info::State;
use xmpp_gateway::sip::dialog_state::DialogState;

const BOB: &str = "sip:bob@example.com";

fn words() -> &'static [AtomicU64] {
    Vec::leak((0..1 << 10).map(|_| AtomicU64::new(0)).collect())
}

// Documents are separated by NUL, which stands in none; each prefix of them is what is published at one time.
fuzz_target!(|data: &[u8]| {
    thread_local!(static WORDS: [&'static [AtomicU64]; 3] = [words(), words(), words()]);
    let [ended, subscriptions, crossings] = WORDS.with(|words| *words);
    for word in ended.iter().chain(subscriptions) {
        word.store(0, std::sync::atomic::Ordering::Relaxed);
    }
    let event = DialogEvent::new(config::DialogEvent::default(), SharedMemory { ended, subscriptions, crossings });
    let watcher = Watcher { uri: "sip:alice@example.com", user_agent: None, call_id: b"a", tag: b"b", notified: 7 };
    event.subscribed(&watcher, Subscribe::First, 0);
    let documents: Vec<&[u8]> = data.split(|byte| *byte == 0).take(8).collect();
    let mut ended: HashMap<(String, Option<String>), ()> = HashMap::new();
    for count in 0..=documents.len() {
        let aggregate = event.aggregate(BOB, &documents[..count], None, 0);
        let all = Document::parse(aggregate.document().as_bytes()).expect("the document for all can be read");
        for dialog in &all.dialogs {
            let name = (dialog.id.clone(), dialog.call_id.clone());
            let over = matches!(dialog.state, DialogState::Terminated(_));
            assert!(over || !ended.contains_key(&name), "{dialog:?} came back");
            if over {
                ended.insert(name, ());
            }
        }
        event.keep(1, aggregate);
        let watcher = Watcher { notified: watcher.notified + count as u32, ..watcher };
        let sent = event.notification(1, BOB, b"", &watcher, 0);
        let read = Document::parse(sent.as_bytes()).expect("a document of ours can be read");
        assert_eq!((read.version as usize, read.state, read.entity.as_str()), (count, State::Full, BOB));
        let mut ids: Vec<&str> = read.dialogs.iter().map(|dialog| dialog.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), read.dialogs.len(), "an id twice: {sent}");
    }
});
