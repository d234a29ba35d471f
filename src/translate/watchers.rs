//! Watcher information and the prompts made from it (RFC 3857, RFC 8048 §5.3).

use crate::address::Addresses;
use crate::sip::winfo::Document;
use crate::sip::winfo::Event;
use crate::sip::winfo::Status;
use crate::sip::winfo::Watcher;

/// The bare JIDs of those who wait for a decision, pending or waiting, each once, in their order.
///
/// Lists of other packages are passed over, and so is a watcher who has no JID of ours: there is no way to
/// ask for it.
pub fn waiting(document: &Document, addresses: &Addresses) -> Vec<String> {
    chosen(document, addresses, |watcher| match watcher.status {
        Status::Pending | Status::Waiting => true,
        Status::Active | Status::Terminated => false,
    })
}

/// Likewise of those for whom no decision came in time.
pub fn given_up(document: &Document, addresses: &Addresses) -> Vec<String> {
    chosen(document, addresses, |watcher| watcher.status == Status::Terminated && watcher.event == Some(Event::Giveup))
}

fn chosen(document: &Document, addresses: &Addresses, is_chosen: impl Fn(&Watcher) -> bool) -> Vec<String> {
    let mut chosen: Vec<String> = Vec::new();
    let lists = document.lists.iter().filter(|list| list.package.eq_ignore_ascii_case("presence"));
    for watcher in lists.flat_map(|list| &list.watchers).filter(|watcher| is_chosen(watcher)) {
        let Ok(jid) = addresses.sip_user_to_jid(watcher.uri.as_bytes()) else { continue };
        let bare = jid.into_bare().into_inner();
        if !chosen.contains(&bare) {
            chosen.push(bare);
        }
    }
    chosen
}
