//! The event package "dialog" in OpenSIPS's presence server, where `dialog_event` is set and nobody else has it.

use std::ffi::CStr;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_ulong;
use std::mem::zeroed;
use std::ptr;
use std::ptr::NonNull;
use std::slice;
use std::sync::OnceLock;

use super::callbacks;
use super::calls;
use super::contact_lamps;
use super::contact_lamps::ContactLamps;
use super::msg;
use super::sys;
use crate::config::Config;
use crate::dialog_event::DialogEvent;
use crate::dialog_event::Watcher;
use crate::dialog_event::subscription::Subscribe;
use crate::host::dialog_event;

/// What the host has the event as.
const NAME: &CStr = c"dialog";
/// The number of documents when the presence server asks for what one PUBLISH has changed.
const OF_ONE_PUBLISH: c_int = -2;

const CONTENT_TYPE: &[u8] = b"application/dialog-info+xml";

/// In mod_init: takes the event, unless somebody has it. The lamps in it, where they are wanted.
pub(super) fn register(config: &Config) -> Result<Option<ContactLamps>, &'static str> {
    let Some(event) = dialog_event::get() else { return Ok(None) };
    // SAFETY: [H3] plain C: optional functions, for which zero is "none".
    let mut api: sys::presence_api_t = unsafe { zeroed() };
    // SAFETY: [H1][H5] in mod_init, into a table of ours.
    let bound = unsafe { sys::host_load_presence(&raw mut api) } >= 0;
    let (contains_event, add_event) = api.contains_event.zip(api.add_event).filter(|_| bound).ok_or(dialog_event::NO_PRESENCE)?;
    let mut name = calls::bytes(NAME.to_bytes());
    // SAFETY: [H1][H5] the name lives through the call; the second result is not wanted.
    let known = unsafe { contains_event(&raw mut name, ptr::null_mut()) };
    // SAFETY: [H4] NULL or an event in shared memory. One that waits for its owner, since subscriptions to it were restored, is empty.
    if unsafe { known.as_ref() }.is_some_and(|known| !known.content_type.s.is_null()) {
        ::log::warn!("{}", dialog_event::TAKEN);
        return Ok(None);
    }
    // SAFETY: [H3] plain C: integers, strings, pointers and optional functions, for which zero is "none".
    let mut ours: sys::pres_ev = unsafe { zeroed() };
    ours.name = name;
    ours.content_type = calls::bytes(CONTENT_TYPE);
    ours.default_expires = c_int::try_from(event.default_expires()).unwrap_or(c_int::MAX);
    ours.mandatory_body = 1;
    ours.mandatory_timeout_notification = 1;
    ours.agg_nbody = Some(callbacks::dialog_aggregate);
    ours.free_body = Some(callbacks::dialog_free);
    ours.aux_body_processing = Some(callbacks::dialog_notification);
    ours.aux_free_body = Some(callbacks::dialog_free);
    ours.evs_subs_handl = Some(callbacks::dialog_subscribed);
    ours.evs_publ_handl = Some(callbacks::dialog_published);
    contact_lamps::prepare(config, &mut ours);
    // SAFETY: [H1][H5] what the event holds lives through the call, and is copied.
    if unsafe { add_event(&raw mut ours) } < 0 {
        return Err("module presence refused the event dialog");
    }
    let after_requests = sys::POST_SCRIPT_CB | sys::REQ_TYPE_CB;
    // SAFETY: [H1][H4] in mod_init, a function of this module without a parameter.
    if unsafe { sys::__register_script_cb(Some(callbacks::dialog_script_ended), after_requests, ptr::null_mut(), 0) } < 0 {
        return Err("the core refused the callback after the script");
    }
    // SAFETY: [H1][H5] as above: the event that was added just now.
    let registered = unsafe { contains_event(&raw mut name, ptr::null_mut()) };
    if let Some((event, notify_all)) = NonNull::new(registered).zip(api.notify_all_on_publish) {
        // It fails only when the host calls mod_init twice.
        let _ = WATCHERS.set(Watchers { notify_all, event });
    }
    ContactLamps::serve(config, api, registered)
}

/// Has all watchers of a presentity told. Set in mod_init.
static WATCHERS: OnceLock<Watchers> = OnceLock::new();

struct Watchers {
    notify_all: unsafe extern "C" fn(*mut sys::str_, *mut sys::pres_ev, *mut sys::str_) -> c_int,
    event: NonNull<sys::pres_ev>,
}

// SAFETY: [H1][H4] made in mod_init, inherited by fork; the event lives in shared memory as long as the server.
unsafe impl Send for Watchers {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for Watchers {}

/// Has all watchers of a presentity told what is published of its dialogs.
pub(super) fn tell_watchers(presentity: &str) {
    let Some(watchers) = WATCHERS.get() else { return };
    let mut presentity_text = calls::bytes(presentity.as_bytes());
    // SAFETY: [H1][H5] the URI lives through the call; there is no document beside those that are published.
    if unsafe { (watchers.notify_all)(&raw mut presentity_text, watchers.event.as_ptr(), ptr::null_mut()) } < 0 {
        ::log::error!("the watchers of the dialogs of {presentity} cannot be told again");
    }
}

/// A PUBLISH of dialogs.
///
/// # Safety
/// The message of the running callback.
pub(super) unsafe fn published(msg: *const sys::sip_msg) {
    // SAFETY: [H2] as the caller promises. The host has its Request-URI parsed.
    let Some(message) = (unsafe { msg.as_ref() }) else { return };
    // SAFETY: [H2][H3] strings of the message.
    let user = unsafe { msg::bytes_at(&raw const message.parsed_uri.user) };
    // SAFETY: [H2][H3] as above.
    let host = unsafe { msg::bytes_at(&raw const message.parsed_uri.host) };
    dialog_event::published(user, host);
}

/// All documents of a presentity as one.
///
/// # Safety
/// What the presence server passes for one presentity.
pub(super) unsafe fn aggregate(
    user: *const sys::str_,
    host: *const sys::str_,
    bodies: *mut *mut sys::str_,
    count: c_int,
    withdrawn: c_int,
) -> *mut sys::str_ {
    // Of one PUBLISH alone it asks what has changed. Asked with nothing, it comes back with all documents: what a watcher is told then is what
    // it would be told after a SUBSCRIBE.
    if count == OF_ONE_PUBLISH {
        return ptr::null_mut();
    }
    // SAFETY: [H2] as the caller promises.
    let [user, host] = [user, host].map(|text| unsafe { msg::bytes_at(text) });
    let bodies: &[*mut sys::str_] = match usize::try_from(count) {
        // SAFETY: [H2] as many pointers as it says.
        Ok(count) if !bodies.is_null() => unsafe { slice::from_raw_parts(bodies, count) },
        _ => &[],
    };
    // SAFETY: [H2] each NULL or a text.
    let documents: Vec<&[u8]> = bodies.iter().map(|body| unsafe { msg::bytes_at(*body) }).collect();
    let document = dialog_event::aggregate(user, host, &documents, usize::try_from(withdrawn).ok());
    document.map_or(ptr::null_mut(), |(text, length)| host_string(text.as_ptr(), length))
}

/// The document of one watcher; NULL leaves it as it is.
///
/// # Safety
/// What the presence server passes for one NOTIFY.
pub(super) unsafe fn notification(subscription: *const sys::subs_t, body: *const sys::str_) -> *mut sys::str_ {
    // SAFETY: [H2] as the caller promises.
    let (Some(event), Some(asked), Some(text)) =
        (dialog_event::get(), unsafe { subscription.as_ref() }, unsafe { body.as_ref() })
    else {
        return ptr::null_mut();
    };
    let name = text.s.addr();
    if text.s.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: [H2][H3] strings of the subscription.
    let [presentity, text] = [&raw const asked.pres_uri, body].map(|text| unsafe { msg::bytes_at(text) });
    // SAFETY: [H2] as above.
    let notification = unsafe {
        with_watcher(asked, None, |watcher| {
            event.notification(name, &String::from_utf8_lossy(presentity), text, watcher, dialog_event::now())
        })
    };
    dialog_event::copy(&notification).map_or(ptr::null_mut(), |(text, length)| host_string(text.as_ptr(), length))
}

/// A SUBSCRIBE to dialogs.
///
/// # Safety
/// What the presence server passes for one SUBSCRIBE.
pub(super) unsafe fn subscribed(event: &DialogEvent, msg: *mut sys::sip_msg, subscription: *const sys::subs_t) {
    // SAFETY: [H2] as the caller promises.
    let Some(asked) = (unsafe { subscription.as_ref() }) else { return };
    // SAFETY: [H2] as above.
    let user_agent = unsafe { msg::user_agent(msg) };
    let user_agent = user_agent.and_then(|user_agent| str::from_utf8(user_agent).ok());
    let request = if asked.to_tag.len == 0 { Subscribe::First } else { Subscribe::Refresh };
    // SAFETY: [H2] as above.
    unsafe { with_watcher(asked, user_agent, |watcher| event.subscribed(watcher, request, dialog_event::now())) };
    // SAFETY: [H2][H3] a string of the subscription.
    dialog_event::telling(&String::from_utf8_lossy(unsafe { msg::bytes_at(&raw const asked.pres_uri) }));
}

/// A watcher on whom nobody has decided.
///
/// # Safety
/// A subscription of the presence server.
pub(super) unsafe fn waits(asked: &sys::subs_t) {
    if let Some(event) = dialog_event::get() {
        // SAFETY: [H2] as the caller promises.
        unsafe { with_watcher(asked, None, |watcher| event.waits(watcher, dialog_event::now())) };
    }
}

/// Calls with the watcher of this subscription.
///
/// # Safety
/// A subscription of the presence server.
unsafe fn with_watcher<T>(asked: &sys::subs_t, user_agent: Option<&str>, call: impl FnOnce(&Watcher<'_>) -> T) -> T {
    let texts = [&raw const asked.from_user, &raw const asked.from_domain, &raw const asked.callid, &raw const asked.from_tag];
    // SAFETY: [H2][H3] strings of the subscription.
    let [user, domain, call_id, tag] = texts.map(|text| unsafe { msg::bytes_at(text) });
    let uri = watcher_uri(user, domain);
    call(&Watcher { uri: &uri, user_agent, call_id, tag, notified: u32::try_from(asked.version).unwrap_or_default() })
}

fn watcher_uri(user: &[u8], domain: &[u8]) -> String {
    format!("sip:{}@{}", String::from_utf8_lossy(user), String::from_utf8_lossy(domain))
}

/// What the presence server frees: the structure itself, in memory of its process, and the text by a function of the event. NULL: no memory
/// is left.
fn host_string(text: *mut c_char, length: usize) -> *mut sys::str_ {
    // SAFETY: [H1] any size is allowed.
    let string: *mut sys::str_ = unsafe { sys::host_pkg_malloc(size_of::<sys::str_>() as c_ulong) }.cast();
    match c_int::try_from(length) {
        // SAFETY: [H5] a fresh block of that size.
        Ok(len) if !string.is_null() => unsafe { string.write(sys::str_ { s: text, len }) },
        // SAFETY: [H5] made just now, and nobody has it.
        _ => unsafe { dialog_event::free(text) },
    }
    string
}

/// Measures whoever has the event, if the host was started for it.
#[cfg(feature = "bench")]
pub(super) fn bench() {
    // SAFETY: [H3] as in `register`.
    let mut api: sys::presence_api_t = unsafe { zeroed() };
    // SAFETY: [H1][H5] as in `register`.
    let bound = unsafe { sys::host_load_presence(&raw mut api) } >= 0;
    let Some(contains_event) = api.contains_event.filter(|_| bound) else { return };
    let mut name = calls::bytes(NAME.to_bytes());
    // SAFETY: [H1][H5] as in `register`.
    let event = unsafe { contains_event(&raw mut name, ptr::null_mut()) };
    // SAFETY: [H4] as in `register`.
    let Some(event) = (unsafe { event.as_mut() }) else { return };
    let Some(((aggregate, notification), free)) = event.agg_nbody.zip(event.aux_body_processing).zip(event.free_body) else {
        return;
    };
    let (free_notification, mut notified) = (event.aux_free_body.unwrap_or(free), 0);
    let [mut user, mut host] = [b"bob".as_slice(), b"example.com"].map(calls::bytes);
    let texts = [b"sip:bob@example.com".as_slice(), b"alice", b"example.com", b"call", b"tag"].map(calls::bytes);
    // SAFETY: [H3] plain C: integers, strings and pointers, for which zero is "none".
    let mut watcher: sys::subs_t = unsafe { zeroed() };
    [watcher.pres_uri, watcher.from_user, watcher.from_domain, watcher.callid, watcher.from_tag] = texts;
    watcher.event = event;
    watcher.status = sys::ACTIVE_STATUS.unsigned_abs();
    crate::host::dialog_bench::run(|documents| {
        watcher.version = notified;
        notified += 1;
        let mut bodies: Vec<sys::str_> = documents.iter().map(|document| calls::bytes(document)).collect();
        let mut bodies: Vec<*mut sys::str_> = bodies.iter_mut().map(ptr::from_mut).collect();
        let count = c_int::try_from(bodies.len()).unwrap_or(0);
        // SAFETY: [H2] as the presence server calls them; both give what they made to us.
        unsafe {
            let body = aggregate(&raw mut user, &raw mut host, bodies.as_mut_ptr(), count, -1);
            let sent = notification(&raw mut watcher, body);
            for (string, free) in [(sent, free_notification), (body, free)] {
                if let Some(made) = string.as_mut() {
                    free(made.s);
                    sys::host_pkg_free(string.cast());
                }
            }
        }
    });
}
