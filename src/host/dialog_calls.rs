//! What both hosts make of the callbacks of dialog and tm: events of calls ([`crate::calls`]).
//!
//! What is known of a call only from its first INVITE and from the script is also left in variables of the host's dialog. They come back
//! with the dialog from the host's database after a restart:
//!
//! | variable | holds |
//! | --- | --- |
//! | `xmpp_gateway` | whose dialogs are shown, caller, callee, the caller's Contact, and the number of the INVITE |
//! | `xmpp_gateway.b`*n* | the callee of a branch, by `dialoginfo_set_branch_callee()` |
//! | `xmpp_gateway.m`*n* | from whose watchers a branch is hidden, by `dialoginfo_mute_branch()` |
//! | `xmpp_gateway.n` | the branch that was answered |

use std::ffi::c_void;
use std::mem;
use std::ptr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crate::calls::Begun;
use crate::calls::CallKey;
use crate::calls::Event;
use crate::calls::Parties;
use crate::calls::Peer;
use crate::calls::Side;
use crate::calls::What;
use crate::calls::header_address;
use crate::calls::offer;
use crate::calls::replaces;
use crate::sip::dialog_info::NameAddress;
use crate::worker::ScriptResult;
use crate::worker::Worker;

/// Values of headers, copied out of the host's memory; empty where there is no such header.
#[derive(Debug, Default)]
pub(super) struct Headers {
    pub(super) call_id: Vec<u8>,
    pub(super) from: Vec<u8>,
    pub(super) to: Vec<u8>,
    pub(super) contact: Vec<u8>,
    /// Number and method.
    pub(super) cseq: Vec<u8>,
    pub(super) replaces: Vec<u8>,
    pub(super) referred_by: Vec<u8>,
    /// Empty in a reply.
    pub(super) request_uri: Vec<u8>,
    pub(super) body: Vec<u8>,
}

/// Variables of the host's dialog.
pub(super) trait Variables {
    fn store(&self, name: &str, value: Option<&str>) -> bool;
    fn fetch(&self, name: &str) -> Option<Vec<u8>>;
}

impl Headers {
    /// Which call a first INVITE makes.
    pub(super) fn new_call(&self) -> Option<CallKey> {
        self.call(self.number()?)
    }

    /// Which call the INVITE of a transaction, or a reply to it, belongs to: that with the number of its CSeq as it came in.
    pub(super) fn call(&self, number: u32) -> Option<CallKey> {
        call_key(&self.call_id, header_address(&self.from)?.tag.as_bytes(), number)
    }

    /// Who answered.
    pub(super) fn peer(&self) -> Peer {
        let tag = header_address(&self.to).map(|to| to.tag).unwrap_or_default();
        Peer { tag, target: header_address(&self.contact).map(|contact| contact.address.uri) }
    }

    /// Whether it is an INVITE, or a reply to one.
    pub(super) fn is_of_invite(&self) -> bool {
        self.method().is_some_and(|method| method == b"INVITE")
    }

    fn method(&self) -> Option<&[u8]> {
        self.cseq.split(u8::is_ascii_whitespace).next_back()
    }

    fn number(&self) -> Option<u32> {
        let number = self.cseq.split(u8::is_ascii_whitespace).next()?;
        std::str::from_utf8(number).ok()?.parse().ok().filter(|number| *number <= HIGHEST_CSEQ)
    }
}

/// RFC 3261 §8.1.1.5.
const HIGHEST_CSEQ: u32 = (1 << 31) - 1;

/// The number of an INVITE, as the parameter of the host's callbacks: it owns nothing.
pub(super) fn to_parameter(number: u32) -> *mut c_void {
    ptr::without_provenance_mut(usize::try_from(number).unwrap_or(0))
}

/// The number in the parameter of a callback.
pub(super) fn of_parameter(parameter: *mut c_void) -> u32 {
    u32::try_from(parameter.addr()).unwrap_or(0)
}

/// The key of a call, of Call-ID, the caller's tag and the number of its INVITE.
pub(super) fn call_key(call_id: &[u8], from_tag: &[u8], cseq: u32) -> Option<CallKey> {
    let text = |bytes: &[u8]| Some(std::str::from_utf8(bytes).ok()?.trim().to_owned()).filter(|text| text.len() <= MAX_KEY);
    Some(CallKey { call_id: text(call_id).filter(|text| !text.is_empty())?, from_tag: text(from_tag)?, cseq })
}

/// The longest Call-ID and the longest tag of a call that is shown.
const MAX_KEY: usize = 512;

/// Who answered, as the host's dialog has it: tag, and URI of the Contact.
pub(super) fn peer(tag: Vec<u8>, contact: &[u8]) -> Peer {
    let target = header_address(&[b"<", contact, b">"].concat()).map(|contact| contact.address.uri);
    Peer { tag: String::from_utf8(tag).unwrap_or_default(), target }
}

/// What an INVITE begins. `callee` is the value of a header with the address of the callee; so are the two that the script gave, if it did.
pub(super) fn begun(
    headers: &Headers,
    callee: &[u8],
    given: [Option<Vec<u8>>; 2],
    shown: Parties,
    lifetime: u32,
) -> Option<Begun> {
    let [given_caller, given_callee] = given.map(|value| value.and_then(|value| header_address(&value)));
    let (from, to) = (header_address(&headers.from)?, header_address(&headers.to)?);
    let callee = NameAddress { display: to.address.display, ..header_address(callee)?.address };
    Some(Begun {
        shown,
        caller: given_caller.map_or(from.address, |given| given.address),
        target: header_address(&headers.contact).map(|contact| contact.address.uri),
        callee: given_callee.map_or(callee, |given| given.address),
        replaces: replaces(&headers.replaces),
        referred_by: header_address(&headers.referred_by).map(|heard| heard.address),
        lifetime,
        answered: None,
    })
}

/// What a re-INVITE, or an UPDATE, says: of hold, or nothing but that the call goes on.
pub(super) fn within(headers: &Headers, from: Option<Side>, lifetime: u32) -> What {
    let offer = from.zip(headers.number()).zip(offer::rendering(&headers.body));
    match offer {
        Some(((from, cseq), rendering)) => What::Offer { from, cseq, rendering, lifetime },
        None => What::Kept { lifetime },
    }
}

/// What a 2xx to either says, or the ACK where the 2xx made the offer.
pub(super) fn answered(headers: &Headers, from: Option<Side>, lifetime: u32) -> Option<What> {
    if !matches!(headers.method()?, b"INVITE" | b"UPDATE" | b"ACK") {
        return None;
    }
    let streams = offer::streams(&headers.body);
    from.zip(streams).map(|(from, streams)| What::Answer { from, streams, lifetime })
}

/// Leaves with the dialog what a restart must not lose.
pub(super) fn keep(begun: &Begun, number: u32, dialog: &impl Variables) {
    let Begun { shown, caller, callee, target, .. } = begun;
    let display = |address: &NameAddress| address.display.clone().unwrap_or_default().replace(FIELD, " ");
    let fields = [
        shown.letters().to_owned(),
        caller.uri.clone(),
        display(caller),
        callee.uri.clone(),
        display(callee),
        target.clone().unwrap_or_default(),
        number.to_string(),
    ];
    if !dialog.store(CALL, Some(&fields.join(FIELD))) {
        log::warn!("a call of {} will not be shown after a restart: its dialog keeps no variable", caller.uri);
    }
}

/// The number of the INVITE that made this dialog; 0 where it was not kept. `None`: the dialog is not shown.
pub(super) fn kept_number(dialog: &impl Variables) -> Option<u32> {
    let kept = String::from_utf8(dialog.fetch(CALL)?).ok()?;
    Some(kept.split(FIELD).nth(NUMBER).and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// Whether a call is known already.
#[cfg(any(host = "opensips", test))]
pub(super) fn is_kept(dialog: &impl Variables) -> bool {
    dialog.fetch(CALL).is_some()
}

/// The call was answered on this branch.
pub(super) fn keep_answered(branch: u16, dialog: &impl Variables) {
    dialog.store(ANSWERED, Some(&branch.to_string()));
}

/// `dialoginfo_set()` for a call that is known. `None`: it is not.
pub(super) fn keep_shown(shown: Parties, dialog: &impl Variables) -> Option<What> {
    let kept = String::from_utf8(dialog.fetch(CALL)?).ok()?;
    let (_, rest) = kept.split_once(FIELD)?;
    dialog.store(CALL, Some(&[shown.letters(), FIELD, rest].concat()));
    Some(What::Shown(shown))
}

/// `dialoginfo_set_branch_callee()`. `None`: this is no address.
pub(super) fn branch_callee(branch: u16, callee: &[u8], dialog: &impl Variables) -> Option<What> {
    let name = format!("{CALLEE}{branch}");
    if callee.trim_ascii().is_empty() {
        dialog.store(&name, None);
        return Some(What::Callee { branch, callee: None });
    }
    let address = header_address(callee)?.address;
    let display = address.display.clone().unwrap_or_default().replace(FIELD, " ");
    dialog.store(&name, Some(&[&*address.uri, FIELD, &display].concat()));
    Some(What::Callee { branch, callee: Some(address) })
}

/// `dialoginfo_mute_branch()`.
pub(super) fn mute(branch: u16, parties: Parties, dialog: &impl Variables) -> What {
    dialog.store(&format!("{MUTED}{branch}"), Some(parties.letters()));
    What::Muted { branch, parties }
}

/// A dialog that was answered, from before a restart.
pub(super) fn restored(dialog: &impl Variables, peer: Peer, lifetime: u32) -> Option<Begun> {
    let text = |name: &str| dialog.fetch(name).and_then(|value| String::from_utf8(value).ok());
    let kept = text(CALL)?;
    let mut fields = kept.split(FIELD);
    let mut next = || fields.next().unwrap_or_default().to_owned();
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let shown = next();
    let caller = NameAddress { uri: next(), display: some(next()) };
    let mut callee = NameAddress { uri: next(), display: some(next()) };
    let target = some(next());
    let branch: u16 = text(ANSWERED).and_then(|branch| branch.parse().ok()).unwrap_or(0);
    if let Some(named) = text(&format!("{CALLEE}{branch}")) {
        let (uri, display) = named.split_once(FIELD)?;
        callee = NameAddress { uri: uri.to_owned(), display: some(display.to_owned()) };
    }
    let mut shown = parties(&shown);
    if let Some(muted) = text(&format!("{MUTED}{branch}")).map(|letters| parties(&letters)) {
        shown = Parties { caller: shown.caller && !muted.caller, callee: shown.callee && !muted.callee };
    }
    let begun =
        Begun { shown, caller, target, callee, replaces: None, referred_by: None, lifetime, answered: Some((branch, peer)) };
    Some(begun).filter(|begun| !begun.caller.uri.is_empty() && !begun.callee.uri.is_empty())
}

fn parties(letters: &str) -> Parties {
    Parties::of(letters.as_bytes()).filter(|_| !letters.is_empty()).unwrap_or(Parties::NONE)
}

/// Runs a script function that takes the letters of parties.
pub(super) fn for_parties(function: &str, letters: &[u8], call: impl FnOnce(Parties) -> Option<()>) -> ScriptResult {
    match Parties::of(letters) {
        Some(parties) => result(function, call(parties)),
        None => {
            log::error!("{function}(): the parameter is \"{}\"; it takes A (caller), B (callee) or both", letters.escape_ascii());
            ScriptResult::Failed
        }
    }
}

/// What a script function answers.
pub(super) fn result(function: &str, done: Option<()>) -> ScriptResult {
    if done.is_none() {
        log::warn!("{function}(): there is no call that is shown, or no address in what it was given");
    }
    done.map_or(ScriptResult::Failed, |()| ScriptResult::Done)
}

/// Between the values in one variable; no URI has it.
const FIELD: &str = "\t";

/// The place of the number among them.
const NUMBER: usize = 6;

const CALL: &str = "xmpp_gateway";
const CALLEE: &str = "xmpp_gateway.b";
const MUTED: &str = "xmpp_gateway.m";
const ANSWERED: &str = "xmpp_gateway.n";

/// Tells the XMPP process, or keeps it for that process where there is none yet.
pub(super) fn tell(worker: &Worker, event: Event) {
    if IS_LOADING.load(Ordering::Relaxed) {
        RESTORED.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    } else {
        worker.call(&event);
    }
}

/// The hosts load their dialogs before they fork: that is more than the link holds, and nobody reads it yet.
static RESTORED: Mutex<Vec<Event>> = Mutex::new(Vec::new());
static IS_LOADING: AtomicBool = AtomicBool::new(false);

/// The host has its dialogs loaded, in the main process: from now on what is told is kept.
pub(super) fn begin_to_load() {
    IS_LOADING.store(true, Ordering::Relaxed);
}

/// Whether this is still the time before the fork.
#[cfg(any(host = "opensips", test))]
pub(super) fn is_loading() -> bool {
    IS_LOADING.load(Ordering::Relaxed)
}

/// The host forks, or is about to: what comes now is for the link.
pub(super) fn end_of_loading() {
    IS_LOADING.store(false, Ordering::Relaxed);
}

/// In the XMPP process, which has its copy by the fork.
pub(super) fn restored_calls() -> Vec<Event> {
    mem::take(&mut RESTORED.lock().unwrap_or_else(PoisonError::into_inner))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;

    use super::*;
    use crate::calls::Rendering;
    use crate::calls::Streams;

    #[derive(Default)]
    struct Kept(RefCell<BTreeMap<String, String>>);

    impl Variables for Kept {
        fn store(&self, name: &str, value: Option<&str>) -> bool {
            match value {
                Some(value) => _ = self.0.borrow_mut().insert(name.to_owned(), value.to_owned()),
                None => _ = self.0.borrow_mut().remove(name),
            }
            true
        }

        fn fetch(&self, name: &str) -> Option<Vec<u8>> {
            self.0.borrow().get(name).map(|value| value.clone().into_bytes())
        }
    }

    fn invite() -> Headers {
        Headers {
            call_id: b"c1@h".to_vec(),
            from: b"\"Al\tice\" <sip:alice@example.com>;tag=f".to_vec(),
            to: b"Bob <sip:bob@example.com>".to_vec(),
            contact: b"<sip:alice@192.0.2.1:5060>".to_vec(),
            cseq: b"1 INVITE".to_vec(),
            request_uri: b"sip:bob@example.com;x=y".to_vec(),
            ..Headers::default()
        }
    }

    #[test]
    fn a_call_is_as_its_invite_has_it_unless_the_script_says_otherwise() {
        let begun_with = |given| begun(&invite(), b"<sip:bob@example.com;x=y>", given, Parties::BOTH, 60).unwrap();
        let plain = begun_with([None, None]);
        assert_eq!((&*plain.caller.uri, &*plain.callee.uri), ("sip:alice@example.com", "sip:bob@example.com;x=y"));
        assert_eq!(plain.callee.display.as_deref(), Some("Bob"));
        let named = begun_with([Some(b"sip:a@example.com".to_vec()), Some(b"B <sip:b@example.com>".to_vec())]);
        assert_eq!((&*named.caller.uri, &*named.callee.uri), ("sip:a@example.com", "sip:b@example.com"));
        assert_eq!(invite().new_call(), Some(CallKey { call_id: "c1@h".into(), from_tag: "f".into(), cseq: 1 }));
        assert!(invite().is_of_invite());
    }

    #[test]
    fn a_restart_brings_the_call_back_as_it_was() {
        let dialog = Kept::default();
        let begun = begun(&invite(), b"<sip:bob@example.com>", [None, None], Parties::BOTH, 60).unwrap();
        assert_eq!(kept_number(&dialog), None);
        keep(&begun, 7, &dialog);
        branch_callee(2, b"Carol <sip:carol@example.com>", &dialog).unwrap();
        branch_callee(1, b"sip:dave@example.com", &dialog).unwrap();
        mute(2, Parties { caller: true, callee: false }, &dialog);
        keep_answered(2, &dialog);
        let peer = Peer { tag: "t".into(), target: None };
        let back = restored(&dialog, peer.clone(), 30).unwrap();
        assert_eq!(kept_number(&dialog), Some(7));
        assert_eq!(back.caller, NameAddress { display: Some("Al ice".into()), ..begun.caller });
        assert_eq!(back.callee, NameAddress { uri: "sip:carol@example.com".into(), display: Some("Carol".into()) });
        assert_eq!((back.shown, back.target), (Parties { caller: false, callee: true }, begun.target));
        assert_eq!(back.answered, Some((2, peer)));
    }

    #[test]
    fn the_script_may_change_its_mind() {
        let dialog = Kept::default();
        assert_eq!(keep_shown(Parties::BOTH, &dialog), None);
        keep(&begun(&invite(), b"<sip:bob@example.com>", [None, None], Parties::BOTH, 60).unwrap(), 1, &dialog);
        let caller = Parties { caller: true, callee: false };
        assert_eq!(keep_shown(caller, &dialog), Some(What::Shown(caller)));
        branch_callee(0, b"sip:dave@example.com", &dialog).unwrap();
        assert_eq!(branch_callee(0, b"  ", &dialog), Some(What::Callee { branch: 0, callee: None }));
        assert_eq!(branch_callee(0, b"dave", &dialog), None);
        let back = restored(&dialog, Peer::default(), 30).unwrap();
        assert_eq!((back.shown, &*back.callee.uri), (caller, "sip:bob@example.com"));
    }

    #[test]
    fn a_request_without_an_offer_keeps_the_call() {
        let refresh = Headers { cseq: b"2 UPDATE".to_vec(), ..invite() };
        assert_eq!(within(&refresh, Some(Side::Caller), 90), What::Kept { lifetime: 90 });
        let hold = Headers { body: b"m=audio 4000 RTP/AVP 0\r\na=sendonly\r\n".to_vec(), ..refresh };
        let offer = What::Offer { from: Side::Caller, cseq: 2, rendering: Rendering::No, lifetime: 90 };
        assert_eq!(within(&hold, Some(Side::Caller), 90), offer);
    }

    #[test]
    fn an_answer_is_to_an_invite_or_an_update() {
        let body = b"m=audio 4000 RTP/AVP 0\r\na=recvonly\r\n".to_vec();
        let said = |cseq: &[u8], body: &[u8]| {
            let headers = Headers { cseq: cseq.to_vec(), body: body.to_vec(), ..invite() };
            answered(&headers, Some(Side::Callee), 90)
        };
        let answer = What::Answer { from: Side::Callee, streams: Streams::Played, lifetime: 90 };
        assert_eq!(said(b"2 INVITE", &body), Some(answer));
        assert_eq!((said(b"2 INVITE", b""), said(b"2 INFO", &body), said(b"", &body)), (None, None, None));
    }

    #[test]
    fn a_dialog_of_nobody_is_not_shown() {
        assert_eq!(restored(&Kept::default(), Peer::default(), 30), None);
        let dialog = Kept::default();
        dialog.store(CALL, Some("AB"));
        assert_eq!(restored(&dialog, Peer::default(), 30), None);
    }
}
