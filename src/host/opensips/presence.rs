//! This host's own presence server: who may see an XMPP user, and, where `presence_mode` is local, their presence and their watchers.
//!
//! The owner of the event "presence" (module presence_xml) put a function into it that says the state of a subscription. Ours goes in
//! front: it answers for presentities that the gateway answers for, and calls the one that was there for all others. In local mode
//! SUBSCRIBEs are looked at in the same way, and it gets states where it makes a NOTIFY ([`shown`](super::shown)) or, those that it is to
//! keep, by the function that PUBLISH ends in.

use std::ffi::CStr;
use std::ffi::c_int;
use std::ffi::c_void;
use std::mem::zeroed;
use std::ptr;
use std::ptr::NonNull;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use super::MODULE;
use super::Module;
use super::callbacks;
use super::calls;
use super::msg;
use super::restored;
use super::shown::Asked;
use super::shown::Has;
use super::shown::Lasts;
use super::shown::Shown;
use super::stored::replace_state;
use super::stored::store_new_state;
use super::stored::take_state_away;
use super::sys;
use crate::config::PresenceMode;
use crate::gateway::action::Authorization;
use crate::host;
use crate::host::lanes::task::Requests;
use crate::host::publications::Operation;
use crate::host::watched::Watched;
use crate::link::states::State;
use crate::process::host::HostError;
use crate::sip::Publish;
use crate::worker::Judgement;
use crate::worker::Worker;

/// The presence server of this host.
pub(super) struct Presence {
    api: sys::presence_api_t,
    event: NonNull<sys::pres_ev>,
    /// What was in the event before us.
    kept: Kept,
    /// In local mode: the states that it does not keep.
    shown: Option<Shown>,
}

struct Kept {
    get_auth_status: sys::is_allowed_t,
    evs_subs_handl: sys::subs_handling_t,
    get_rules_doc: sys::get_rules_doc_t,
    agg_nbody: sys::agg_nbody_t,
}

// SAFETY: [H1][H4] made in mod_init, inherited by fork; the event lives in shared memory as long as the server.
unsafe impl Send for Presence {}
// SAFETY: [H1][H4] as above; after mod_init only the host writes to the event.
unsafe impl Sync for Presence {}

/// What the script of this process is at.
static WATCHED: Watched = Watched::new();

impl Presence {
    /// Puts our functions in front. `None`: this server does not serve presence with authorization; why, for the log.
    pub(super) fn bind(mode: PresenceMode, lasts: Lasts) -> Result<Self, &'static str> {
        // SAFETY: [H3] plain C: optional functions, for which zero is "none".
        let mut api: sys::presence_api_t = unsafe { zeroed() };
        // SAFETY: [H1][H5] in mod_init, into a table of ours.
        if unsafe { sys::host_load_presence(&raw mut api) } < 0 {
            return Err(host::NO_PRESENCE);
        }
        let contains = api.contains_event.ok_or(host::NO_PRESENCE)?;
        let mut name = calls::bytes(b"presence");
        // SAFETY: [H1][H5] the name lives through the call; the second result is not wanted.
        let mut event = NonNull::new(unsafe { contains(&raw mut name, ptr::null_mut()) }).ok_or(host::NO_AUTHORIZATION)?;
        // SAFETY: [H4] an event in shared memory; in mod_init nobody else uses it.
        let in_event = unsafe { event.as_mut() };
        let kept = Kept {
            get_auth_status: in_event.get_auth_status,
            evs_subs_handl: in_event.evs_subs_handl,
            get_rules_doc: in_event.get_rules_doc,
            agg_nbody: in_event.agg_nbody,
        };
        if kept.get_auth_status.is_none() {
            return Err(host::NO_AUTHORIZATION);
        }
        in_event.get_auth_status = Some(callbacks::authorize);
        let mut shown = None;
        if mode == PresenceMode::Local {
            in_event.evs_subs_handl = Some(callbacks::subscribed);
            in_event.get_rules_doc = Some(callbacks::rules_document);
            in_event.agg_nbody = in_event.agg_nbody.and(Some(callbacks::notify_body));
            if kept.agg_nbody.is_some() && api.notify_all_on_publish.is_some() {
                shown = Shown::new(lasts).map_err(|_| "the memory for the presence of XMPP users could not be had")?;
            }
            hear_ends_of_scripts()?;
        }
        Ok(Self { api, event, kept, shown })
    }

    /// Has those wait again who waited before a restart, in mod_init.
    pub(super) fn restore(&self, worker: &Worker) {
        if let Some(update) = self.api.update_watchers_status {
            restored::take(update as *const c_void, restored::Kind::Presence, self.event, worker);
        }
    }

    /// Has every watcher of this presentity judged anew and told.
    pub(super) fn watchers_changed(&self, presentity: &str) -> Result<(), HostError> {
        let update = self.api.update_watchers_status.ok_or(HostError::Missing("presence"))?;
        let entered = restored::enter(presentity, restored::Kind::Presence, self.event);
        // SAFETY: [H1][H5] the URI lives through the call; there is no rules document.
        let code = unsafe { update(calls::bytes(presentity.as_bytes()), self.event.as_ptr(), ptr::null_mut()) };
        // Who is in its table is told in any case.
        calls::accepted(code).and(entered)
    }

    /// Stores, changes or takes away the state of one resource, and has the watchers told.
    pub(super) fn publish(&self, publish: &Publish, operation: Operation) -> Result<(), HostError> {
        let Some(shown) = &self.shown else { return self.publish_there(publish, operation) };
        let body = publish.body.as_deref().unwrap_or_default();
        let was_here = shown.has(publish);
        match operation {
            Operation::Expire if !shown.has_run_out(publish, seconds()) => return Ok(()),
            Operation::Expire | Operation::Remove if was_here => {
                let ended = Shown::ending(publish, || self.tell_watchers(publish));
                shown.remove(publish);
                // As the presence server does it: what is left after the end.
                return ended.and(self.tell_watchers(publish));
            }
            Operation::Expire | Operation::Remove => return self.publish_there(publish, operation),
            Operation::Refresh if shown.refresh(publish, seconds()) => return Ok(()),
            Operation::Initial | Operation::Adopt | Operation::Modify | Operation::Refresh => {}
        }
        if !shown.put(publish, body, seconds()) {
            return self.publish_there(publish, if was_here { Operation::Initial } else { operation });
        }
        if !was_here && operation != Operation::Initial && self.has_states(publish) {
            // Of this resource or of another: from before an update of this module, or of when it was too long for our memory.
            Shown::taking(|| self.publish_there(publish, Operation::Remove))?;
        }
        self.tell_watchers(publish)
    }

    /// Takes back a state from before a restart: its watchers know it.
    pub(super) fn restore_state(&self, publish: &Publish) {
        if let (Some(shown), Some(body)) = (&self.shown, &publish.body)
            && !shown.has(publish)
        {
            shown.put(publish, body, seconds());
        }
    }

    /// Those states of so many places that have run out; then the next place to look at.
    pub(super) fn run_out(&self, from: usize, count: usize) -> (Vec<State>, usize) {
        self.shown.as_ref().map_or((Vec::new(), from), |shown| shown.run_out(from, count, seconds()))
    }

    fn tell_watchers(&self, publish: &Publish) -> Result<(), HostError> {
        let tell = self.api.notify_all_on_publish.ok_or(HostError::Missing("presence"))?;
        let mut presentity = calls::bytes(publish.presentity.as_bytes());
        // SAFETY: [H1][H5] the URI lives through the call; the body is what `notify_body` makes.
        calls::accepted(unsafe { tell(&raw mut presentity, self.event.as_ptr(), ptr::null_mut()) })
    }

    /// The same where the presence server keeps the state.
    fn publish_there(&self, publish: &Publish, operation: Operation) -> Result<(), HostError> {
        let body = publish.body.as_deref().unwrap_or_default();
        match operation {
            Operation::Initial => store_new_state(&self.api, self.event, publish, body),
            // It logs as an error that there is none: it is only asked where there is a state.
            Operation::Adopt if !self.has_states(publish) => store_new_state(&self.api, self.event, publish, body),
            Operation::Adopt | Operation::Modify => replace_state(&self.api, self.event, publish, Some(body), body),
            Operation::Refresh => replace_state(&self.api, self.event, publish, None, body),
            // One that has run out is none of its publications.
            Operation::Expire => Ok(()),
            Operation::Remove => take_state_away(&self.api, self.event, &ended(publish)),
        }
    }

    /// Whether anybody published a state of this presentity.
    fn has_states(&self, publish: &Publish) -> bool {
        self.has_states_of(&publish.presentity)
    }

    fn has_states_of(&self, presentity: &str) -> bool {
        let mut presentity = calls::bytes(presentity.as_bytes());
        // SAFETY: [H1][H5] the URI lives through the call.
        self.api.contains_presence.is_none_or(|contains| unsafe { contains(&raw mut presentity) } > 0)
    }
}

/// Has us called when a script has ended; in mod_init, once.
pub(super) fn hear_ends_of_scripts() -> Result<(), &'static str> {
    static HEARD: AtomicBool = AtomicBool::new(false);
    if HEARD.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let after_requests = sys::POST_SCRIPT_CB | sys::REQ_TYPE_CB;
    // SAFETY: [H1][H4] in mod_init, a function of this module without a parameter.
    if unsafe { sys::__register_script_cb(Some(callbacks::script_ended), after_requests, ptr::null_mut(), 0) } < 0 {
        return Err("the core refused the callback after the script");
    }
    Ok(())
}

/// Since 1970.
pub(super) fn seconds() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// The same publication taken away.
fn ended(publish: &Publish) -> Publish {
    Publish { presentity: publish.presentity.clone(), id: publish.id.clone(), body: None, expires: 0 }
}

/// The presence server has a SUBSCRIBE: what was in the event before us says whether it goes on.
///
/// # Safety
/// What the presence server passes for one SUBSCRIBE.
pub(super) unsafe fn subscribed(
    msg: *mut sys::sip_msg,
    subscription: *mut sys::subs_t,
    reply_code: *mut c_int,
    reply_text: *mut sys::str_,
) -> c_int {
    // SAFETY: [H2] as the caller promises.
    unsafe { note_watcher(subscription) };
    let kept = MODULE.get().and_then(|module| module.presence.as_ref()?.kept.evs_subs_handl);
    // SAFETY: [H2] what the host handed to us goes on to the function that it was for.
    kept.map_or(0, |kept| unsafe { kept(msg, subscription, reply_code, reply_text) })
}

/// Who subscribes is told to the gateway when the script has ended.
///
/// # Safety
/// A subscription of the presence server.
pub(super) unsafe fn note_watcher(subscription: *const sys::subs_t) {
    // SAFETY: [H2] as the caller promises.
    if let Some(asked) = unsafe { subscription.as_ref() }
        // Within a dialog that is an end. Outside of one it asks for the state just once: whoever does that wants to be let in, too.
        && (asked.expires != 0 || asked.to_tag.len == 0)
        // SAFETY: [H2] as above.
        && let Some((watcher, presentity)) = unsafe { who(subscription) }
        && let Some(module) = MODULE.get()
    {
        WATCHED.note(&module.worker, watcher, presentity);
    }
}

/// Whose rules the presence server looks for: an XMPP user has none, and each look would cost a query for each state.
///
/// # Safety
/// The presentity and the place for its document, as the presence server passes them.
pub(super) unsafe fn rules_document(user: *mut sys::str_, host: *mut sys::str_, document: *mut *mut sys::str_) -> c_int {
    let Some(module) = MODULE.get() else { return -1 };
    // SAFETY: [H2][H3] as the caller promises.
    let [user_text, host_text] = [user, host].map(|text| unsafe { msg::bytes(text) });
    if module.worker.decides_alone(&user_text, &host_text) {
        return 0;
    }
    let kept = module.presence.as_ref().and_then(|presence| presence.kept.get_rules_doc);
    // SAFETY: [H2] what the host asked goes on to the function that it was for.
    kept.map_or(-1, |kept| unsafe { kept(user, host, document) })
}

/// The body of a NOTIFY, made of all states of a presentity. The one state of an XMPP user is a document of ours as it stands: to parse it
/// and write it again would cost as much as to store it.
///
/// # Safety
/// The presentity and its states, as the presence server passes them.
pub(super) unsafe fn notify_body(
    user: *mut sys::str_,
    host: *mut sys::str_,
    bodies: *mut *mut sys::str_,
    count: c_int,
    expired: c_int,
) -> *mut sys::str_ {
    let Some(module) = MODULE.get() else { return ptr::null_mut() };
    // SAFETY: [H2][H3] as the caller promises.
    let [user_text, host_text] = [user, host].map(|text| unsafe { msg::bytes(text) });
    let presence = module.presence.as_ref();
    let kept = presence.and_then(|presence| presence.kept.agg_nbody);
    let is_ours = module.worker.decides_alone(&user_text, &host_text);
    if is_ours
        && let Some((presence, shown)) = presence.and_then(|presence| Some((presence, presence.shown.as_ref()?)))
        && let Ok(presentity) = String::from_utf8([b"sip:".as_slice(), &user_text, b"@", &host_text].concat())
    {
        let asked = Asked { user, host, bodies, count, ended: expired };
        let has = || if presence.has_states_of(&presentity) { Has::Documents } else { Has::None };
        // SAFETY: [H2] as the caller promises.
        if let Some(body) = unsafe { shown.body((&presentity, seconds()), &asked, has, kept) } {
            return body;
        }
    }
    if count == 1 && expired < 0 && !bodies.is_null() && is_ours {
        // SAFETY: [H2] one state.
        let body = unsafe { bodies.read() };
        // SAFETY: [H2] it may be NULL.
        let body = unsafe { body.as_ref() };
        if let Some(body) = body.filter(|body| !body.s.is_null() && body.len > 0) {
            // SAFETY: [H1][H2] the text is copied.
            return unsafe { sys::host_body_copy(body.s, body.len) };
        }
    }
    // SAFETY: [H2] what the host asked goes on to the function that it was for.
    kept.map_or(ptr::null_mut(), |kept| unsafe { kept(user, host, bodies, count, expired) })
}

/// The script has ended: the gateway is told who subscribed in it.
pub(super) fn script_ended(module: &Module) {
    WATCHED.tell(&module.worker, |presentity| module.judge(presentity));
}

/// The state of a subscription, for the presence server.
///
/// # Safety
/// `subscription` is what the presence server wants judged.
pub(super) unsafe fn authorize(subscription: *mut sys::subs_t) -> c_int {
    let Some(module) = MODULE.get() else { return -1 };
    // SAFETY: [H2] as the caller promises.
    let Some((watcher, presentity)) = (unsafe { who(subscription) }) else { return -1 };
    // SAFETY: [H2] as above; the host waits for us and reads it afterwards.
    let Some(asked) = (unsafe { subscription.as_mut() }) else { return -1 };
    settle(asked, module.worker.judge(&watcher, &presentity)).unwrap_or_else(|| {
        let kept = module.presence.as_ref().and_then(|presence| presence.kept.get_auth_status);
        // SAFETY: [H2] not ours: what the host handed to us goes on to the function that it was for.
        kept.map_or(-1, |kept| unsafe { kept(subscription) })
    })
}

/// Writes a judgement into the subscription, and gives the answer to the presence server; `None`: it is not ours to judge.
pub(super) fn settle(asked: &mut sys::subs_t, judgement: Judgement) -> Option<c_int> {
    let (status, reason) = match judgement {
        Judgement::NotOurs => return None,
        Judgement::Undecided if asked.status == sys::TERMINATED_STATUS.unsigned_abs() => state(Authorization::Refused),
        Judgement::Undecided if asked.status == sys::PENDING_STATUS.unsigned_abs() => state(Authorization::Pending),
        Judgement::Undecided => return Some(0),
        Judgement::Decided(decision) => state(decision),
    };
    asked.status = status.unsigned_abs();
    asked.reason = calls::bytes(reason.to_bytes());
    if reason.is_empty() {
        asked.reason.s = ptr::null_mut();
    }
    // "No error"; whether anything changed the host finds out by itself.
    Some(0)
}

/// Watcher and presentity as SIP URIs.
///
/// # Safety
/// A subscription of the presence server.
pub(super) unsafe fn who(subscription: *const sys::subs_t) -> Option<(Vec<u8>, Vec<u8>)> {
    // SAFETY: [H2] as the caller promises.
    let subscription = unsafe { subscription.as_ref() }?;
    // SAFETY: [H2][H3] strings of the subscription.
    let user = unsafe { msg::bytes(&raw const subscription.from_user) };
    // SAFETY: [H2][H3] as above.
    let domain = unsafe { msg::bytes(&raw const subscription.from_domain) };
    // SAFETY: [H2][H3] as above.
    let presentity = unsafe { msg::bytes(&raw const subscription.pres_uri) };
    Some(([b"sip:".as_slice(), &user, b"@", &domain].concat(), presentity))
}

/// The reason of who waits: it tells the subscription from an active one when the presence server has read both back from its database, and
/// keeps states from it until then.
pub(super) const WAITS: &CStr = c"pending";

/// Status and reason in the host's terms; a refusal is final (RFC 3856 §6.6.4, RFC 6665 §4.1.3).
fn state(decision: Authorization) -> (i32, &'static CStr) {
    match decision {
        Authorization::Allowed => (sys::ACTIVE_STATUS, c""),
        Authorization::Pending | Authorization::Hidden => (sys::PENDING_STATUS, WAITS),
        Authorization::Refused => (sys::TERMINATED_STATUS, c"rejected"),
        Authorization::NoResource => (sys::TERMINATED_STATUS, c"noresource"),
    }
}
