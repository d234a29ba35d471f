//! Who may see an XMPP user: asked by the host's presence server, answered for the XMPP user instead of rules documents.
//!
//! The owner of the event "presence" (module presence_xml) put a function into it that says the state of a subscription. Ours goes in
//! front: it answers for presentities that the gateway answers for, and calls the one that was there for all others.

use std::ffi::CStr;
use std::ffi::c_int;
use std::mem::zeroed;
use std::ptr;
use std::ptr::NonNull;

use super::MODULE;
use super::callbacks;
use super::calls;
use super::msg;
use super::sys;
use crate::gateway::action::Authorization;
use crate::host;
use crate::process::host::HostError;

/// The presence server of this host.
pub(super) struct Presence {
    api: sys::presence_api_t,
    event: NonNull<sys::pres_ev>,
    /// What was in the event before us.
    kept: sys::is_allowed_t,
}

// SAFETY: [H1][H4] made in mod_init, inherited by fork; the event lives in shared memory as long as the server.
unsafe impl Send for Presence {}
// SAFETY: [H1][H4] as above; after mod_init only the host writes to the event.
unsafe impl Sync for Presence {}

impl Presence {
    /// Puts our function in front. `None`: this server does not serve presence with authorization.
    pub(super) fn bind() -> Option<Self> {
        // SAFETY: [H3] plain C: optional functions, for which zero is "none".
        let mut api: sys::presence_api_t = unsafe { zeroed() };
        // SAFETY: [H1][H5] in mod_init, into a table of ours.
        if unsafe { sys::host_load_presence(&raw mut api) } < 0 {
            log::warn!("{}", host::NO_PRESENCE);
            return None;
        }
        let contains = api.contains_event?;
        let mut name = calls::bytes(b"presence");
        // SAFETY: [H1][H5] the name lives through the call; the second result is not wanted.
        let mut event = NonNull::new(unsafe { contains(&raw mut name, ptr::null_mut()) });
        // SAFETY: [H4] an event in shared memory; in mod_init nobody else uses it.
        let kept = event.as_mut().and_then(|event| unsafe { event.as_mut() }.get_auth_status.replace(callbacks::authorize));
        let (Some(event), Some(kept)) = (event, kept) else {
            log::warn!("{}", host::NO_AUTHORIZATION);
            return None;
        };
        Some(Self { api, event, kept: Some(kept) })
    }

    /// Has every watcher of this presentity judged anew and told.
    pub(super) fn watchers_changed(&self, presentity: &str) -> Result<(), HostError> {
        let update = self.api.update_watchers_status.ok_or(HostError::Missing("presence"))?;
        // SAFETY: [H1][H5] the URI lives through the call; there is no rules document.
        let code = unsafe { update(calls::bytes(presentity.as_bytes()), self.event.as_ptr(), ptr::null_mut()) };
        calls::accepted(code)
    }
}

/// The state of a subscription, for the presence server.
///
/// # Safety
/// `subscription` is what the presence server wants judged.
pub(super) unsafe fn authorize(subscription: *mut sys::subs_t) -> c_int {
    let Some(module) = MODULE.get() else { return -1 };
    // SAFETY: [H2] as the caller promises.
    let Some((watcher, presentity)) = (unsafe { who(subscription) }) else { return -1 };
    let Some(decision) = module.worker.authorization(&watcher, &presentity) else {
        let kept = module.presence.as_ref().and_then(|presence| presence.kept);
        // SAFETY: [H2] not ours: what the host handed to us goes on to the function that it was for.
        return kept.map_or(-1, |kept| unsafe { kept(subscription) });
    };
    // SAFETY: [H2] as above; the host waits for us and reads it afterwards.
    let Some(subscription) = (unsafe { subscription.as_mut() }) else { return -1 };
    let (status, reason) = state(decision);
    subscription.status = status.unsigned_abs();
    subscription.reason = calls::bytes(reason.to_bytes());
    if reason.is_empty() {
        subscription.reason.s = ptr::null_mut();
    }
    // "No error"; whether anything changed the host finds out by itself.
    0
}

/// Watcher and presentity as SIP URIs.
///
/// # Safety
/// A subscription of the presence server.
unsafe fn who(subscription: *const sys::subs_t) -> Option<(Vec<u8>, Vec<u8>)> {
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

/// Status and reason in the host's terms; a refusal is final (RFC 3856 §6.6.4, RFC 6665 §4.1.3).
fn state(decision: Authorization) -> (i32, &'static CStr) {
    match decision {
        Authorization::Allowed => (sys::ACTIVE_STATUS, c""),
        Authorization::Pending => (sys::PENDING_STATUS, c""),
        Authorization::Refused => (sys::TERMINATED_STATUS, c"rejected"),
        Authorization::NoResource => (sys::TERMINATED_STATUS, c"noresource"),
    }
}
