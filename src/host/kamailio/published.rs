//! PUBLISHes of SIP users to Kamailio's own presence server, where they say that a phone is there.

use std::ffi::c_int;
use std::mem;
use std::ptr;
use std::ptr::NonNull;
use std::sync::OnceLock;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::GATEWAY;
use super::callbacks;
use super::calls::Setting;
use super::msg;
use super::msg::host_text;
use super::presence;
use super::sys;
use crate::host::published::Lifetimes;
use crate::host::published::Presentity;
use crate::host::published::Withdrawn;

/// Set before the first fork where publications are heard.
static PUBLICATIONS: OnceLock<Publications> = OnceLock::new();

struct Publications {
    /// In shared memory, as long as the server runs.
    event: NonNull<sys::pres_ev>,
    /// What was in the event before us.
    kept: sys::publ_handling_t,
    kept_aggregate: sys::agg_nbody_t,
    get: super::Function<sys::pres_get_presentity_t>,
    free: super::Function<sys::pres_free_presentity_t>,
    lifetimes: Lifetimes,
}

// SAFETY: [H1][H4] made before the first fork, then only read, by the one thread of each process.
unsafe impl Send for Publications {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for Publications {}

static WITHDRAWN: Withdrawn = Withdrawn::new();

/// After all modules' mod_init, before the first fork: puts our function in front of what the event "presence" does with a PUBLISH. Without a
/// presence server nobody publishes anything here.
pub(super) fn hear() -> Result<(), &'static str> {
    // SAFETY: presence registers `bind_presence` under that name with that type (modules/presence/bind_presence.h).
    let bind: sys::bind_presence_t = unsafe { mem::transmute(super::export(c"bind_presence", 1)) };
    let Some(bind) = bind else { return Ok(()) };
    // SAFETY: the structure holds optional functions only, for which all zeros is a value.
    let mut api: sys::presence_api = unsafe { mem::zeroed() };
    // SAFETY: [H1][H2] the structure is of the layout that the headers give and lives through the call.
    let is_bound = unsafe { bind(&raw mut api) } >= 0;
    let functions = api.contains_event.zip(api.get_presentity).zip(api.free_presentity).filter(|_| is_bound);
    let Some(((find, get), free)) = functions else { return Ok(()) };
    let mut name = host_text(b"presence");
    // SAFETY: [H1][H2] the name lives through the call; the second parameter, a result, may be NULL.
    let Some(mut event) = NonNull::new(unsafe { find(&raw mut name, ptr::null_mut()) }) else { return Ok(()) };
    presence::hear_ends_of_scripts()?;
    // SAFETY: [H4] an event in shared memory, written before the first fork, when nobody else uses it.
    let in_event = unsafe { event.as_mut() };
    let longest = Setting::find(c"presence", c"max_expires").map(Setting::value).and_then(|seconds| u32::try_from(seconds).ok());
    let lifetimes =
        Lifetimes { usual: in_event.default_expires, longest: longest.filter(|seconds| *seconds > 0).unwrap_or(USUAL) };
    let (kept, kept_aggregate) = (in_event.evs_publ_handl, in_event.agg_nbody);
    in_event.evs_publ_handl = Some(callbacks::published);
    in_event.agg_nbody = kept_aggregate.and(Some(callbacks::publications));
    // It fails when it was set before: the core makes PROC_INIT once.
    let _ = PUBLICATIONS.set(Publications { event, kept, kept_aggregate, get, free, lifetimes });
    Ok(())
}

/// A PUBLISH (presence): what was in the event before us says whether it goes on.
///
/// # Safety
/// The message of the running callback [H2].
pub(super) unsafe fn published(msg: *mut sys::sip_msg) -> c_int {
    let Some(publications) = PUBLICATIONS.get() else { return 0 };
    // SAFETY: [H2] what the host handed to us goes on to the function that it was for.
    let answer = publications.kept.map_or(0, |kept| unsafe { kept(msg) });
    if answer >= 0 {
        // SAFETY: [H2] by the contract of this function.
        unsafe { note(publications, msg) };
    }
    answer
}

/// # Safety
/// As above.
unsafe fn note(publications: &Publications, msg: *const sys::sip_msg) -> Option<()> {
    // SAFETY: [H2] by the contract of this function.
    let message = unsafe { msg.as_ref() }?;
    // SAFETY: [H2] the host has looked for this header.
    let expires = unsafe { message.expires.as_ref() };
    // SAFETY: [H2] a text of the message.
    let expires = expires.map(|header| unsafe { msg::text(header.body) }).filter(|text| !text.is_empty());
    let uri = &message.parsed_uri;
    // SAFETY: [H2] texts of the message, whose Request-URI the host has parsed.
    let [user, host] = [uri.user, uri.host].map(|text| unsafe { msg::text(text) });
    let presentity = Presentity::of(user, host)?;
    let lifetime = publications.lifetimes.of(expires);
    if lifetime.is_zero() {
        WITHDRAWN.note(presentity);
    } else {
        GATEWAY.get()?.phones.as_ref()?.published(&presentity.user, lifetime);
    }
    Some(())
}

/// A script has ended: who has withdrawn something may have something else left.
pub(super) fn script_ended() {
    let Some(publications) = PUBLICATIONS.get() else { return };
    for Presentity { uri, user } in WITHDRAWN.take() {
        let is_left = has_more(publications, &uri);
        if let Some(phones) = GATEWAY.get().and_then(|gateway| gateway.phones.as_ref())
            && !is_left
        {
            phones.published(&user, Duration::ZERO);
        }
    }
}

/// Whether anything of this presentity is left. A document does not say so: where nothing is published it may be made up (`force_dummy_presence`
/// of presence_xml). So what it would be made of is counted. A database that fails looks as if nothing were left.
fn has_more(publications: &Publications, uri: &str) -> bool {
    COUNTED.store(ASKED, Ordering::Relaxed);
    // SAFETY: [H1][H2] the URI lives through the call; neither an entity tag nor a Contact is asked for.
    let document =
        unsafe { (publications.get)(host_text(uri.as_bytes()), publications.event.as_ptr(), ptr::null_mut(), ptr::null_mut()) };
    let counted = COUNTED.swap(NOT_ASKED, Ordering::Relaxed);
    if document.is_null() {
        return counted > 0;
    }
    // SAFETY: [H5] what the presence server made goes back to it.
    unsafe { (publications.free)(document, publications.event.as_ptr()) };
    // Nothing is put together in this event, or it was not for us to count.
    counted == ASKED || counted > 0
}

/// The document of a NOTIFY, made of all publications of a presentity; none while they are counted.
///
/// # Safety
/// The presentity and its publications, of the running callback [H2].
pub(super) unsafe fn aggregate(
    user: *mut sys::str_,
    host: *mut sys::str_,
    bodies: *mut *mut sys::str_,
    count: c_int,
    withdrawn: c_int,
) -> *mut sys::str_ {
    if COUNTED.load(Ordering::Relaxed) != NOT_ASKED {
        COUNTED.store(if bodies.is_null() { 0 } else { count.max(0) }, Ordering::Relaxed);
        return ptr::null_mut();
    }
    let kept = PUBLICATIONS.get().and_then(|publications| publications.kept_aggregate);
    // SAFETY: [H2] what was asked goes on as it came.
    kept.map_or(ptr::null_mut(), |kept| unsafe { kept(user, host, bodies, count, withdrawn) })
}

/// Of this process, while it asks what is left: `ASKED`, then how many publications there are.
static COUNTED: AtomicI32 = AtomicI32::new(NOT_ASKED);
const NOT_ASKED: c_int = -2;
const ASKED: c_int = -1;

/// Where the presence server does not say.
const USUAL: u32 = 3600;
