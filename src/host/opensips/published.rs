//! PUBLISHes of SIP users to this host's own presence server, where they say that a phone is there.

use std::ffi::c_int;
use std::mem::zeroed;
use std::ptr;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::time::Duration;

use super::callbacks;
use super::calls;
use super::msg;
use super::phones;
use super::presence;
use super::sys;
use crate::host::published::Lifetimes;
use crate::host::published::Presentity;
use crate::host::published::Withdrawn;

/// Set in mod_init where publications are heard.
static PUBLICATIONS: OnceLock<Publications> = OnceLock::new();

struct Publications {
    /// What was in the event before us.
    kept: sys::publ_handling_t,
    contains: sys::pres_contains_presence_t,
    lifetimes: Lifetimes,
}

// SAFETY: [H1][H4] functions and numbers, written in mod_init and only read.
unsafe impl Send for Publications {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for Publications {}

static WITHDRAWN: Withdrawn = Withdrawn::new();

/// In mod_init: puts our function in front of what the event "presence" does with a PUBLISH. Without a presence server nobody publishes
/// anything here.
pub(super) fn hear() -> Result<(), &'static str> {
    // SAFETY: [H3] plain C: optional functions, for which zero is "none".
    let mut api: sys::presence_api_t = unsafe { zeroed() };
    // SAFETY: [H1][H5] in mod_init, into a table of ours.
    let is_there = unsafe { sys::host_load_presence(&raw mut api) } >= 0;
    let Some(find) = api.contains_event.filter(|_| is_there) else { return Ok(()) };
    let mut name = calls::bytes(b"presence");
    // SAFETY: [H1][H5] the name lives through the call; the second result is not wanted.
    let Some(mut event) = NonNull::new(unsafe { find(&raw mut name, ptr::null_mut()) }) else { return Ok(()) };
    // SAFETY: [H4] an event in shared memory; in mod_init nobody else uses it.
    let in_event = unsafe { event.as_mut() };
    let lifetimes = Lifetimes { usual: u32::try_from(in_event.default_expires).unwrap_or(USUAL), longest: longest() };
    presence::hear_ends_of_scripts()?;
    let kept = in_event.evs_publ_handl;
    if PUBLICATIONS.set(Publications { kept, contains: api.contains_presence, lifetimes }).is_ok() {
        in_event.evs_publ_handl = Some(callbacks::published);
    }
    Ok(())
}

/// A PUBLISH (presence): what was in the event before us says whether it goes on.
///
/// # Safety
/// What the presence server passes for one PUBLISH.
pub(super) unsafe fn published(msg: *mut sys::sip_msg, has_sent: *mut c_int) -> c_int {
    let Some(publications) = PUBLICATIONS.get() else { return 0 };
    // SAFETY: [H2] what the host handed to us goes on to the function that it was for.
    let answer = publications.kept.map_or(0, |kept| unsafe { kept(msg, has_sent) });
    if answer >= 0 {
        // SAFETY: [H2] as the caller promises.
        unsafe { note(publications, msg) };
    }
    answer
}

/// # Safety
/// As above.
unsafe fn note(publications: &Publications, msg: *const sys::sip_msg) -> Option<()> {
    // SAFETY: [H2] as the caller promises.
    let message = unsafe { msg.as_ref() }?;
    // SAFETY: [H2] the host has looked for this header.
    let expires = unsafe { message.expires.as_ref() };
    // SAFETY: [H2][H3] a text of the message.
    let expires = expires.map(|header| unsafe { msg::bytes_at(&raw const header.body) }).filter(|text| !text.is_empty());
    let uri = &message.parsed_uri;
    // SAFETY: [H2][H3] texts of the message, whose Request-URI the host has parsed.
    let [user, host] = [&raw const uri.user, &raw const uri.host].map(|text| unsafe { msg::bytes_at(text) });
    let presentity = Presentity::of(user, host)?;
    let lifetime = publications.lifetimes.of(expires);
    if lifetime.is_zero() {
        WITHDRAWN.note(presentity);
    } else {
        phones::shown().ok()?.published(&presentity.user, lifetime);
    }
    Some(())
}

/// A script has ended: who has withdrawn something may have something else left. A database that fails looks as if nothing were.
pub(super) fn script_ended() {
    let Some(Publications { contains: Some(contains), .. }) = PUBLICATIONS.get() else { return };
    for Presentity { uri, user } in WITHDRAWN.take() {
        let mut uri = calls::bytes(uri.as_bytes());
        // SAFETY: [H1][H5] the URI lives through the call.
        let is_left = unsafe { contains(&raw mut uri) } > 0;
        if let Ok(phones) = phones::shown()
            && !is_left
        {
            phones.published(&user, Duration::ZERO);
        }
    }
}

/// The longest that presence lets a publication last.
fn longest() -> u32 {
    // SAFETY: [H1] both names are NUL-terminated and only read.
    let place =
        unsafe { sys::find_param_export(c"presence".as_ptr(), c"max_expires_publish".as_ptr(), sys::INT_PARAM.unsigned_abs()) };
    // SAFETY: [H2] NULL, or the parameter's `int`, which lives as long as the process.
    let seconds = unsafe { place.cast::<c_int>().as_ref() }.copied();
    seconds.and_then(|seconds| u32::try_from(seconds).ok()).filter(|seconds| *seconds > 0).unwrap_or(USUAL)
}

/// Where the presence server does not say.
const USUAL: u32 = 3600;
