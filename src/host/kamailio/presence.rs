//! Kamailio's own presence server: who may see an XMPP user, and, where `presence_mode` is local, their presence and their watchers.
//!
//! presence_xml puts a function into the event "presence" that says the state of a subscription. Ours goes in front: it answers for
//! the presentities that the gateway answers for, in place of an XCAP document, and calls the one that was there for all others. In local
//! mode SUBSCRIBEs are looked at in the same way, and states go in by the function that PUBLISH ends in.

use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_void;
use std::mem;
use std::ptr;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::GATEWAY;
use super::Gateway;
use super::callbacks;
use super::calls::Setting;
use super::dialog_event;
use super::msg;
use super::msg::Received;
use super::msg::host_text;
use super::sys;
use crate::calls::publisher::Publication;
use crate::calls::publisher::Step;
use crate::config::PresenceMode;
use crate::gateway::action::Authorization;
use crate::host;
use crate::host::lanes::task::Requests;
use crate::host::publications;
use crate::host::publications::KeepsTags;
use crate::host::publications::Operation;
use crate::host::watched::Watched;
use crate::process::host::HostError;
use crate::sip::Publish;
use crate::worker::Judgement;
use crate::worker::Worker;

/// Set before the first fork where this server serves presence.
static PRESENCE: OnceLock<Presence> = OnceLock::new();

struct Presence {
    update_watchers_status: super::Function<sys::update_watchers_t>,
    /// In shared memory, as long as the server runs.
    event: NonNull<sys::pres_ev>,
    /// What was in the event before us.
    kept: Kept,
    update_presentity: super::Function<sys::pres_update_presentity_t>,
    /// presence looks into documents itself: it has to be given one.
    checks_spheres: Option<Setting>,
}

struct Kept {
    get_auth_status: super::Function<sys::is_allowed_t>,
    evs_subs_handl: sys::subs_handling_t,
    get_rules_doc: sys::get_rules_doc_t,
    agg_nbody: sys::agg_nbody_t,
}

/// What the script of this process is at.
static WATCHED: Watched = Watched::new();

// SAFETY: [H1][H4] made before the first fork, then only read, by the one thread of each process.
unsafe impl Send for Presence {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for Presence {}

/// Puts our functions in front, after all modules' mod_init. Without the modules there is nothing to answer for; why, for the log.
pub(super) fn bind(mode: PresenceMode) -> Result<(), &'static str> {
    // SAFETY: presence registers `bind_presence` under that name with that type (modules/presence/bind_presence.h).
    let bind: sys::bind_presence_t = unsafe { mem::transmute(super::export(c"bind_presence", 1)) };
    let bind = bind.ok_or(host::NO_PRESENCE)?;
    // SAFETY: the structure holds optional functions only, for which all zeros is a value.
    let mut api: sys::presence_api = unsafe { mem::zeroed() };
    // SAFETY: [H1][H2] the structure is of the layout that the headers give and lives through the call.
    let bound = unsafe { bind(&raw mut api) } >= 0;
    let functions = api.contains_event.zip(api.update_watchers_status).zip(api.update_presentity).filter(|_| bound);
    let ((contains_event, update_watchers_status), update_presentity) = functions.ok_or(host::NO_PRESENCE)?;
    let mut name = host_text(b"presence");
    // SAFETY: [H1][H2] the name lives through the call; the second parameter, a result, may be NULL.
    let mut event = NonNull::new(unsafe { contains_event(&raw mut name, ptr::null_mut()) });
    // SAFETY: [H4] an event in shared memory, written before the first fork, when nobody else uses it.
    let in_event = event.as_mut().map(|event| unsafe { event.as_mut() }).ok_or(host::NO_AUTHORIZATION)?;
    let kept = Kept {
        get_auth_status: in_event.get_auth_status.ok_or(host::NO_AUTHORIZATION)?,
        evs_subs_handl: in_event.evs_subs_handl,
        get_rules_doc: in_event.get_rules_doc,
        agg_nbody: in_event.agg_nbody,
    };
    in_event.get_auth_status = Some(callbacks::authorize);
    if mode == PresenceMode::Local {
        in_event.evs_subs_handl = Some(callbacks::subscribed);
        in_event.get_rules_doc = Some(callbacks::rules_document);
        in_event.agg_nbody = in_event.agg_nbody.and(Some(callbacks::notify_body));
        hear_ends_of_scripts()?;
    }
    let event = NonNull::from(in_event);
    let checks_spheres = Setting::find(c"presence", c"enable_sphere_check");
    // It fails when it was set before: the core makes PROC_INIT once.
    let _ = PRESENCE.set(Presence { update_watchers_status, event, kept, update_presentity, checks_spheres });
    Ok(())
}

/// Has us called when a script has ended; before the first fork, once.
pub(super) fn hear_ends_of_scripts() -> Result<(), &'static str> {
    static HEARD: AtomicBool = AtomicBool::new(false);
    if HEARD.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let script_ended: Option<unsafe extern "C" fn(*mut sys::sip_msg, c_uint, *mut c_void) -> c_int> =
        Some(callbacks::script_ended);
    // SAFETY: [H1][H4] before the first fork, a function of this module without a parameter.
    if unsafe { sys::register_script_cb(script_ended, sys::XMPP_GATEWAY_AFTER_REQUESTS, ptr::null_mut()) } < 0 {
        return Err("Kamailio refused the callback after the script");
    }
    Ok(())
}

/// Has every watcher of this presentity judged anew, and told.
pub(super) fn watchers_changed(presentity: &str) -> Result<(), HostError> {
    let presence = PRESENCE.get().ok_or(HostError::Missing("presence_xml"))?;
    let mut presentity = host_text(presentity.as_bytes());
    // SAFETY: [H1][H2] the URI lives through the call; there is no rules document.
    match unsafe { (presence.update_watchers_status)(&raw mut presentity, presence.event.as_ptr(), ptr::null_mut()) } {
        code if code < 0 => Err(HostError::Refused(code)),
        _ => Ok(()),
    }
}

/// Stores, changes or takes away the state of one resource, and has the watchers told.
pub(super) fn publish(publish: &Publish, operation: Operation) -> Result<(), HostError> {
    let presence = PRESENCE.get().ok_or(HostError::Missing("presence"))?;
    let refreshed_with = publish.body.as_deref().filter(|_| presence.checks_spheres.is_some_and(Setting::is_on));
    store_state((presence.update_presentity, presence.event), b"presence", publish, operation, refreshed_with)
}

/// The same in any event; `refreshed_with` is the document that a refresh needs.
pub(super) fn store_state(
    event: (super::Function<sys::pres_update_presentity_t>, NonNull<sys::pres_ev>),
    name: &[u8],
    publish: &Publish,
    operation: Operation,
    refreshed_with: Option<&[u8]>,
) -> Result<(), HostError> {
    let body = publish.body.as_deref().unwrap_or_default();
    let put = |body, tag| store(event, name, publish, body, tag);
    // An entity tag that it does not know is no error to it, and not told.
    match operation {
        Operation::Initial => put(Some(body), EntityTag::New),
        // Where it keeps its states in a database it takes no second one of this tag, and says so.
        Operation::Adopt => put(Some(body), EntityTag::New).or_else(|_| put(Some(body), EntityTag::Known)),
        Operation::Modify => put(Some(body), EntityTag::Known),
        Operation::Refresh => put(refreshed_with, EntityTag::Known),
        Operation::Remove => put(Some(&[]), EntityTag::Known),
        // It does that by itself.
        Operation::Expire => Ok(()),
    }
}

/// A PUBLISH without the request. Without a body nobody is told.
fn store(
    (update_presentity, event): (super::Function<sys::pres_update_presentity_t>, NonNull<sys::pres_ev>),
    name: &[u8],
    publish: &Publish,
    body: Option<&[u8]>,
    entity_tag: EntityTag,
) -> Result<(), HostError> {
    let (user, host) = publications::user_and_host(publish);
    let tag = publications::entity_tag(publish);
    let [mut name, mut user, mut host, mut tag] = [name, user.as_bytes(), host.as_bytes(), tag.as_bytes()].map(host_text);
    let mut body = body.map(host_text);
    let expires = c_int::try_from(publish.expires).unwrap_or(c_int::MAX);
    let is_new = c_int::from(entity_tag == EntityTag::New);
    // SAFETY: [H4] the event lives as long as the server; only an address is taken.
    let etag_not_new = unsafe { &raw mut (*event.as_ptr()).etag_not_new };
    // SAFETY: [H4] as above.
    let _keeps = unsafe { KeepsTags::begin(etag_not_new) };
    // SAFETY: [H1][H2] all texts live through the call, and what is kept of them is copied. There is no sender.
    let code = unsafe {
        update_presentity(
            &raw mut name,
            &raw mut host,
            &raw mut user,
            &raw mut tag,
            ptr::null_mut(),
            body.as_mut().map_or(ptr::null_mut(), ptr::from_mut),
            expires,
            is_new,
            0,
        )
    };
    if code < 0 { Err(HostError::Refused(code)) } else { Ok(()) }
}

/// Set before the first fork where this server shows calls.
static DIALOGS: OnceLock<Dialogs> = OnceLock::new();

/// The function that PUBLISH ends in, and the event "dialog".
struct Dialogs(super::Function<sys::pres_update_presentity_t>, NonNull<sys::pres_ev>);

// SAFETY: [H1][H4] made before the first fork, then only read, by the one thread of each process.
unsafe impl Send for Dialogs {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for Dialogs {}

/// Looks for the event, after all modules' mod_init. `None` where nobody has registered it.
pub(super) fn bind_dialogs() -> Option<()> {
    // SAFETY: presence registers `bind_presence` under that name with that type (modules/presence/bind_presence.h).
    let bind: sys::bind_presence_t = unsafe { mem::transmute(super::export(c"bind_presence", 1)) };
    // SAFETY: the structure holds optional functions only, for which all zeros is a value.
    let mut api: sys::presence_api = unsafe { mem::zeroed() };
    // SAFETY: [H1][H2] the structure is of the layout that the headers give and lives through the call.
    if unsafe { bind?(&raw mut api) } < 0 {
        return None;
    }
    let mut name = host_text(b"dialog");
    // SAFETY: [H1][H2] the name lives through the call; the second parameter, a result, may be NULL.
    let event = NonNull::new(unsafe { (api.contains_event?)(&raw mut name, ptr::null_mut()) })?;
    // It fails when it was set before: the core makes PROC_INIT once.
    let _ = DIALOGS.set(Dialogs(api.update_presentity?, event));
    Some(())
}

/// Stores or changes the dialog of a call, and has the watchers told.
pub(super) fn publish_call(publication: &Publication) -> Result<(), HostError> {
    host::dialog_event::publishing(&publication.publish.presentity, || store_call(publication), dialog_event::tell_watchers)
}

fn store_call(Publication { publish, step, .. }: &Publication) -> Result<(), HostError> {
    let Dialogs(update, event) = DIALOGS.get().ok_or(HostError::Missing("presence"))?;
    let body = publish.body.as_deref();
    let put = |body, tag| store((*update, *event), b"dialog", publish, body, tag);
    match step {
        Step::Initial => put(body, EntityTag::New),
        // Where it keeps its states in a database it takes no second one of this tag, and says so.
        Step::Adopt => put(body, EntityTag::New).or_else(|_| put(body, EntityTag::Known)),
        Step::Modify => put(body, EntityTag::Known),
        Step::Refresh => put(None, EntityTag::Known),
    }
}

/// Whether a publication is stored under its entity tag already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntityTag {
    New,
    Known,
}

/// The presence server has a SUBSCRIBE: what was in the event before us says whether it goes on.
///
/// # Safety
/// `msg` is the SUBSCRIBE of the running callback [H2].
pub(super) unsafe fn subscribed(msg: *mut sys::sip_msg) -> c_int {
    // SAFETY: [H2] by the contract of this function.
    unsafe { note_watcher(msg) };
    let kept = PRESENCE.get().and_then(|presence| presence.kept.evs_subs_handl);
    // SAFETY: [H2] the message goes on as it came.
    kept.map_or(0, |kept| unsafe { kept(msg) })
}

/// Who subscribes is told to the gateway when the script has ended.
///
/// # Safety
/// `msg` is the SUBSCRIBE of the running callback [H2].
pub(super) unsafe fn note_watcher(msg: *mut sys::sip_msg) {
    // SAFETY: [H2] by the contract of this function; `received` ends before the message goes on.
    if let Ok(received) = unsafe { Received::parse(msg) }
        && let Some((watcher, presentity)) = received.subscription()
        && let Some(gateway) = GATEWAY.get()
    {
        WATCHED.note(&gateway.worker, watcher.to_vec(), presentity.to_vec());
    }
}

/// Whose rules the presence server looks for: an XMPP user has none, and each look would cost a query for each state.
///
/// # Safety
/// The presentity and the place for its document, of the running callback [H2].
pub(super) unsafe fn rules_document(
    worker: &Worker,
    user: *mut sys::str_,
    host: *mut sys::str_,
    document: *mut *mut sys::str_,
) -> c_int {
    // SAFETY: [H2] by the contract of this function.
    let [user_text, host_text] = [user, host].map(|text| unsafe { msg::text_at(text) });
    if worker.decides_alone(user_text, host_text) {
        return 0;
    }
    let kept = PRESENCE.get().and_then(|presence| presence.kept.get_rules_doc);
    // SAFETY: [H2] what was asked goes on as it came.
    kept.map_or(-1, |kept| unsafe { kept(user, host, document) })
}

/// The body of a NOTIFY, made of all states of a presentity. The one state of an XMPP user is a document of ours as it stands: to parse it
/// and write it again would cost as much as to store it.
///
/// # Safety
/// The presentity and its states, of the running callback [H2].
pub(super) unsafe fn notify_body(
    worker: &Worker,
    user: *mut sys::str_,
    host: *mut sys::str_,
    bodies: *mut *mut sys::str_,
    count: c_int,
    expired: c_int,
) -> *mut sys::str_ {
    // SAFETY: [H2] by the contract of this function.
    let [user_text, host_text] = [user, host].map(|text| unsafe { msg::text_at(text) });
    if count == 1 && expired < 0 && !bodies.is_null() && worker.decides_alone(user_text, host_text) {
        // SAFETY: [H2] one state.
        let body = unsafe { bodies.read() };
        // SAFETY: [H2] it may be NULL.
        let body = unsafe { body.as_ref() };
        if let Some(body) = body.filter(|body| !body.s.is_null() && body.len > 0) {
            // SAFETY: [H1][H2] the text is copied.
            return unsafe { sys::xmpp_gateway_body_copy(body.s, body.len) };
        }
    }
    let kept = PRESENCE.get().and_then(|presence| presence.kept.agg_nbody);
    // SAFETY: [H2] what was asked goes on as it came.
    kept.map_or(ptr::null_mut(), |kept| unsafe { kept(user, host, bodies, count, expired) })
}

/// The script has ended: the gateway is told who subscribed in it.
pub(super) fn script_ended(gateway: &Gateway) {
    WATCHED.tell(&gateway.worker, |presentity| gateway.judge(presentity));
}

/// Answers the presence server for one subscription.
///
/// # Safety
/// `subscription` is what the host passed to the running callback [H2].
pub(super) unsafe fn authorize(worker: &Worker, subscription: *mut sys::subscription) -> c_int {
    // SAFETY: [H2] by the contract of this function.
    let Some(asked) = (unsafe { subscription.as_mut() }) else { return -1 };
    // SAFETY: [H2] texts of the subscription.
    let judgement = unsafe { who(asked, |watcher, presentity| worker.judge(watcher, presentity)) };
    settle(asked, judgement).unwrap_or_else(|| {
        // SAFETY: [H1][H2] not ours: the subscription goes on as it came.
        PRESENCE.get().map_or(-1, |presence| unsafe { (presence.kept.get_auth_status)(subscription) })
    })
}

/// Calls with watcher and presentity of a subscription, SIP URIs.
///
/// # Safety
/// A subscription of the presence server.
pub(super) unsafe fn who<T>(asked: &sys::subscription, call: impl FnOnce(&[u8], &[u8]) -> T) -> T {
    // SAFETY: [H2] texts of the subscription.
    let [presentity, user, domain] =
        [asked.pres_uri, asked.watcher_user, asked.watcher_domain].map(|text| unsafe { msg::text(text) });
    let watcher: Vec<u8> = match user {
        [] => [b"sip:".as_slice(), domain].concat(),
        user => [b"sip:".as_slice(), user, b"@", domain].concat(),
    };
    call(&watcher, presentity)
}

/// Writes a judgement into the subscription, and gives the answer to the presence server; `None`: it is not ours to judge.
pub(super) fn settle(asked: &mut sys::subscription, judgement: Judgement) -> Option<c_int> {
    let decision = match judgement {
        Judgement::NotOurs => return None,
        Judgement::Undecided if i64::from(asked.status) == i64::from(sys::TERMINATED_STATUS) => Authorization::Refused,
        Judgement::Undecided => return Some(0),
        Judgement::Decided(decision) => decision,
    };
    let (status, reason) = match decision {
        Authorization::Allowed => (sys::ACTIVE_STATUS, None),
        Authorization::Pending | Authorization::Hidden => (sys::PENDING_STATUS, None),
        Authorization::Refused => (sys::TERMINATED_STATUS, Some(b"rejected".as_slice())),
        Authorization::NoResource => (sys::TERMINATED_STATUS, Some(b"noresource".as_slice())),
    };
    asked.status = status as _;
    // The server never frees a reason: its own are constants too.
    asked.reason = reason.map_or(sys::str_ { s: ptr::null_mut(), len: 0 }, host_text);
    Some(0)
}
