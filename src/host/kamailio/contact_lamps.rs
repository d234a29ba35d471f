//! XMPP users as lamps in the event "dialog" of Kamailio's presence server (`contact_lamp`), where that event is ours.
//!
//! Who may see a lamp is asked of [`Worker::judge_lamp`] by the event's own function, in the same way as for presence; all others may, as in
//! an event without authorization.

use std::ffi::c_int;
use std::ptr;
use std::ptr::NonNull;
use std::sync::OnceLock;

use super::callbacks;
use super::dialog_event;
use super::msg::host_text;
use super::presence;
use super::presence::store_state;
use super::sys;
use crate::config::Config;
use crate::host::publications::Operation;
use crate::process::host::HostError;
use crate::sip::Publish;
use crate::worker::Worker;

/// Set before the first fork where lamps are served.
static LAMPS: OnceLock<Lamps> = OnceLock::new();

struct Lamps {
    /// In shared memory, as long as the server runs.
    event: NonNull<sys::pres_ev>,
    update_presentity: super::Function<sys::pres_update_presentity_t>,
    update_watchers_status: super::Function<sys::update_watchers_t>,
}

// SAFETY: [H1][H4] made before the first fork, then only read, by the one thread of each process.
unsafe impl Send for Lamps {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for Lamps {}

/// The event that is about to be registered has its watchers judged, if lamps are wanted.
pub(super) fn prepare(config: &Config, event: &mut sys::pres_ev) {
    if config.publishes_contact_lamps() {
        event.req_auth = 1;
        event.get_auth_status = Some(callbacks::dialog_authorize);
        event.get_rules_doc = Some(callbacks::dialog_rules);
    }
}

/// The event was registered.
pub(super) fn serve(config: &Config, api: &sys::presence_api, event: *mut sys::pres_ev) -> Result<(), &'static str> {
    if !config.publishes_contact_lamps() {
        return Ok(());
    }
    let functions = api.update_presentity.zip(api.update_watchers_status).zip(NonNull::new(event));
    let ((update_presentity, update_watchers_status), event) =
        functions.ok_or("module presence has not registered the event dialog")?;
    presence::hear_ends_of_scripts()?;
    // It fails when it was set before: the core makes PROC_INIT once.
    let _ = LAMPS.set(Lamps { event, update_presentity, update_watchers_status });
    Ok(())
}

/// Whether there are any.
pub(super) fn are_served() -> bool {
    LAMPS.get().is_some()
}

/// A SUBSCRIBE to dialogs: an XMPP user is asked when the script has ended.
///
/// # Safety
/// `msg` is the SUBSCRIBE of the running callback [H2].
pub(super) unsafe fn subscribed(msg: *mut sys::sip_msg) {
    if are_served() {
        // SAFETY: [H2] by the contract of this function.
        unsafe { presence::note_watcher(msg) };
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
    let judgement = unsafe { presence::who(asked, |watcher, presentity| worker.judge_lamp(watcher, presentity)) };
    let settled = presence::settle(asked, judgement).unwrap_or_else(|| {
        asked.status = sys::ACTIVE_STATUS as _;
        asked.reason = sys::str_ { s: ptr::null_mut(), len: 0 };
        0
    });
    if i64::from(asked.status) == i64::from(sys::PENDING_STATUS) {
        // SAFETY: [H2] by the contract of this function.
        unsafe { dialog_event::waits(asked) };
    }
    settled
}

/// Stores a lamp, and has the watchers told.
pub(super) fn publish(publish: &Publish, operation: Operation) -> Result<(), HostError> {
    let lamps = LAMPS.get().ok_or(HostError::Missing("presence"))?;
    store_state((lamps.update_presentity, lamps.event), b"dialog", publish, operation, None)
}

/// Has every watcher of this lamp judged anew, and told.
pub(super) fn watchers_changed(presentity: &str) -> Result<(), HostError> {
    let Some(lamps) = LAMPS.get() else { return Ok(()) };
    let mut presentity = host_text(presentity.as_bytes());
    // SAFETY: [H1][H2] the URI lives through the call; there is no rules document.
    match unsafe { (lamps.update_watchers_status)(&raw mut presentity, lamps.event.as_ptr(), ptr::null_mut()) } {
        code if code < 0 => Err(HostError::Refused(code)),
        _ => Ok(()),
    }
}
