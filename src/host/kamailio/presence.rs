//! Who may see an XMPP user: the presence server asks, the XMPP user's decision answers, in place of an XCAP document.
//!
//! presence_xml puts a function into the event "presence" that says the state of a subscription. Ours goes in front: it answers for
//! the presentities that the gateway answers for, and calls the one that was there for all others.

use std::ffi::c_int;
use std::mem;
use std::ptr;
use std::ptr::NonNull;
use std::sync::OnceLock;

use super::callbacks;
use super::msg;
use super::msg::host_text;
use super::sys;
use crate::gateway::action::Authorization;
use crate::host;
use crate::process::host::HostError;
use crate::worker::Worker;

/// Set before the first fork where this server serves presence.
static PRESENCE: OnceLock<Presence> = OnceLock::new();

struct Presence {
    update_watchers_status: super::Function<sys::update_watchers_t>,
    /// In shared memory, as long as the server runs.
    event: NonNull<sys::pres_ev>,
    /// What was in the event before us.
    kept: super::Function<Option<unsafe extern "C" fn(*mut sys::subscription) -> c_int>>,
}

// SAFETY: [H1][H4] made before the first fork, then only read, by the one thread of each process.
unsafe impl Send for Presence {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for Presence {}

/// Puts our function in front, after all modules' mod_init. Without the modules there is nothing to answer for.
pub(super) fn bind() {
    // SAFETY: presence registers `bind_presence` under that name with that type (modules/presence/bind_presence.h).
    let bind: sys::bind_presence_t = unsafe { mem::transmute(super::export(c"bind_presence", 1)) };
    let Some(bind) = bind else {
        log::warn!("{}", host::NO_PRESENCE);
        return;
    };
    // SAFETY: the structure holds optional functions only, for which all zeros is a value.
    let mut api: sys::presence_api = unsafe { mem::zeroed() };
    // SAFETY: [H1][H2] the structure is of the layout that the headers give and lives through the call.
    let bound = unsafe { bind(&raw mut api) } >= 0;
    let functions = api.contains_event.zip(api.update_watchers_status).filter(|_| bound);
    let Some((contains_event, update_watchers_status)) = functions else {
        log::error!("module presence could not be bound: XMPP users are not asked who may see them");
        return;
    };
    let mut name = host_text(b"presence");
    // SAFETY: [H1][H2] the name lives through the call; the second parameter, a result, may be NULL.
    let mut event = NonNull::new(unsafe { contains_event(&raw mut name, ptr::null_mut()) });
    // SAFETY: [H4] an event in shared memory, written before the first fork, when nobody else uses it.
    let kept = event.as_mut().and_then(|event| unsafe { event.as_mut() }.get_auth_status.replace(callbacks::authorize));
    let (Some(event), Some(kept)) = (event, kept) else {
        log::warn!("{}", host::NO_AUTHORIZATION);
        return;
    };
    // It fails when it was set before: the core makes PROC_INIT once.
    let _ = PRESENCE.set(Presence { update_watchers_status, event, kept });
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

/// Answers the presence server for one subscription.
///
/// # Safety
/// `subscription` is what the host passed to the running callback [H2].
pub(super) unsafe fn authorize(worker: &Worker, subscription: *mut sys::subscription) -> c_int {
    // SAFETY: [H2] by the contract of this function.
    let Some(asked) = (unsafe { subscription.as_mut() }) else { return -1 };
    // SAFETY: [H2] texts of the subscription.
    let [presentity, user, domain] =
        [asked.pres_uri, asked.watcher_user, asked.watcher_domain].map(|text| unsafe { msg::text(text) });
    let watcher: Vec<u8> = match user {
        [] => [b"sip:".as_slice(), domain].concat(),
        user => [b"sip:".as_slice(), user, b"@", domain].concat(),
    };
    let Some(decision) = worker.authorization(&watcher, presentity) else {
        let Some(presence) = PRESENCE.get() else { return -1 };
        // SAFETY: [H1][H2] the subscription goes on as it came.
        return unsafe { (presence.kept)(subscription) };
    };
    let (status, reason) = match decision {
        Authorization::Allowed => (sys::ACTIVE_STATUS, None),
        Authorization::Pending => (sys::PENDING_STATUS, None),
        Authorization::Refused => (sys::TERMINATED_STATUS, Some(b"rejected".as_slice())),
        Authorization::NoResource => (sys::TERMINATED_STATUS, Some(b"noresource".as_slice())),
    };
    asked.status = status as _;
    // The server never frees a reason: its own are constants too.
    asked.reason = reason.map_or(sys::str_ { s: ptr::null_mut(), len: 0 }, host_text);
    0
}
