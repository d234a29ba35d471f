//! XMPP users as lamps in the event "dialog" of OpenSIPS's presence server (`contact_lamp`), where that event is ours.
//!
//! Who may see a lamp is asked of [`judge_lamp`](crate::worker::Worker::judge_lamp) by the event's own function, in the same way as for
//! presence; all others may, as in an event without authorization.

use std::ffi::c_int;
use std::ffi::c_void;
use std::ptr;
use std::ptr::NonNull;

use super::MODULE;
use super::callbacks;
use super::calls;
use super::dialog_event;
use super::presence;
use super::restored;
use super::stored::replace_state;
use super::stored::store_new_state;
use super::stored::take_state_away;
use super::sys;
use crate::config::Config;
use crate::host::publications::Operation;
use crate::process::host::HostError;
use crate::sip::Publish;
use crate::worker::Worker;

/// Where lamps are served.
pub(super) struct ContactLamps {
    api: sys::presence_api_t,
    /// In shared memory, as long as the server runs.
    event: NonNull<sys::pres_ev>,
}

// SAFETY: [H1][H4] made in mod_init, inherited by fork; the event lives in shared memory as long as the server.
unsafe impl Send for ContactLamps {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for ContactLamps {}

/// The event that is about to be registered has its watchers judged, if lamps are wanted.
pub(super) fn prepare(config: &Config, event: &mut sys::pres_ev) {
    if config.publishes_contact_lamps() {
        event.req_auth = 1;
        event.get_auth_status = Some(callbacks::dialog_authorize);
        event.get_rules_doc = Some(callbacks::dialog_rules);
    }
}

impl ContactLamps {
    /// The event was registered. `None`: they are not wanted.
    pub(super) fn serve(
        config: &Config,
        api: sys::presence_api_t,
        event: *mut sys::pres_ev,
    ) -> Result<Option<Self>, &'static str> {
        if !config.publishes_contact_lamps() {
            return Ok(None);
        }
        let event = NonNull::new(event).ok_or("module presence has not registered the event dialog")?;
        presence::hear_ends_of_scripts()?;
        Ok(Some(Self { api, event }))
    }

    /// Stores a lamp, and has the watchers told.
    pub(super) fn publish(&self, publish: &Publish, operation: Operation) -> Result<(), HostError> {
        let body = publish.body.as_deref().unwrap_or_default();
        match operation {
            // A lamp that was lit before a restart goes out by itself soon, unless it is lit again under the same tag.
            Operation::Initial => store_new_state(&self.api, self.event, publish, body),
            Operation::Adopt | Operation::Modify => replace_state(&self.api, self.event, publish, Some(body), body),
            Operation::Refresh => replace_state(&self.api, self.event, publish, None, body),
            Operation::Remove => take_state_away(&self.api, self.event, publish),
            // The presence server does that by itself.
            Operation::Expire => Ok(()),
        }
    }

    /// Has those wait again who waited before a restart, in mod_init.
    pub(super) fn restore(&self, worker: &Worker) {
        if let Some(update) = self.api.update_watchers_status {
            restored::take(update as *const c_void, restored::Kind::Lamp, self.event, worker);
        }
    }

    /// Has every watcher of this lamp judged anew, and told.
    pub(super) fn watchers_changed(&self, presentity: &str) -> Result<(), HostError> {
        let update = self.api.update_watchers_status.ok_or(HostError::Missing("presence"))?;
        let entered = restored::enter(presentity, restored::Kind::Lamp, self.event);
        // SAFETY: [H1][H5] the URI lives through the call; there is no rules document.
        let code = unsafe { update(calls::bytes(presentity.as_bytes()), self.event.as_ptr(), ptr::null_mut()) };
        // Who is in its table is told in any case.
        entered.and(calls::accepted(code))
    }
}

/// A SUBSCRIBE to dialogs: an XMPP user is asked when the script has ended.
///
/// # Safety
/// What the presence server passes for one SUBSCRIBE.
pub(super) unsafe fn subscribed(subscription: *const sys::subs_t) {
    if MODULE.get().is_some_and(|module| module.contact_lamps.is_some()) {
        // SAFETY: [H2] as the caller promises.
        unsafe { presence::note_watcher(subscription) };
    }
}

/// The state of a subscription, for the presence server.
///
/// # Safety
/// `subscription` is what the presence server wants judged.
pub(super) unsafe fn authorize(subscription: *mut sys::subs_t) -> c_int {
    let Some(module) = MODULE.get() else { return -1 };
    // SAFETY: [H2] as the caller promises.
    let Some((watcher, presentity)) = (unsafe { presence::who(subscription) }) else { return -1 };
    // SAFETY: [H2] as above; the host waits for us and reads it afterwards.
    let Some(asked) = (unsafe { subscription.as_mut() }) else { return -1 };
    let settled = presence::settle(asked, module.worker.judge_lamp(&watcher, &presentity)).unwrap_or_else(|| {
        asked.status = sys::ACTIVE_STATUS.unsigned_abs();
        asked.reason = sys::str_ { s: ptr::null_mut(), len: 0 };
        0
    });
    if asked.status == sys::PENDING_STATUS.unsigned_abs() {
        // SAFETY: [H2] as the caller promises.
        unsafe { dialog_event::waits(asked) };
    }
    settled
}
