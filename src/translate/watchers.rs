//! Watcher information and the prompts made from it (RFC 3857, RFC 8048 §5.3).

use crate::address::Addresses;
use crate::sip::winfo::Document;
use crate::sip::winfo::Status;

/// The bare JIDs of those who wait for a decision, pending or waiting, each once, in their order.
///
/// Lists of other packages are passed over, and so is a watcher who has no JID of ours: there is no way to
/// ask for it.
pub fn waiting(document: &Document, addresses: &Addresses) -> Vec<String> {
    let mut waiting: Vec<String> = Vec::new();
    let lists = document.lists.iter().filter(|list| list.package.eq_ignore_ascii_case("presence"));
    for watcher in lists.flat_map(|list| &list.watchers) {
        match watcher.status {
            Status::Pending | Status::Waiting => {}
            Status::Active | Status::Terminated => continue,
        }
        let Ok(jid) = addresses.sip_user_to_jid(watcher.uri.as_bytes()) else { continue };
        let bare = jid.into_bare().into_inner();
        if !waiting.contains(&bare) {
            waiting.push(bare);
        }
    }
    waiting
}
