//! The event package "dialog" in Kamailio's presence server, where `dialog_event` is set and nobody else has it.

use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_void;
use std::mem;
use std::ptr;
use std::slice;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use super::callbacks;
use super::contact_lamps;
use super::msg;
use super::msg::Received;
use super::msg::host_text;
use super::sys;
use crate::calls::address_of_record;
use crate::config::Config;
use crate::dialog_event::DialogEvent;
use crate::dialog_event::Watcher;
use crate::dialog_event::subscription::Subscribe;
use crate::host::dialog_event;

/// What the host has the event as.
const NAME: &[u8] = b"dialog";
const CONTENT_TYPE: &[u8] = b"application/dialog-info+xml";

/// After all modules' mod_init, before the first fork: takes the event, unless somebody has it.
pub(super) fn register(config: &Config) -> Result<(), &'static str> {
    let Some(event) = dialog_event::get() else { return Ok(()) };
    // SAFETY: presence registers `bind_presence` under that name with that type (modules/presence/bind_presence.h).
    let bind: sys::bind_presence_t = unsafe { mem::transmute(super::export(c"bind_presence", 1)) };
    let bind = bind.ok_or(dialog_event::NO_PRESENCE)?;
    // SAFETY: the structure holds optional functions only, for which all zeros is a value.
    let mut api: sys::presence_api = unsafe { mem::zeroed() };
    // SAFETY: [H1][H2] the structure is of the layout that the headers give and lives through the call.
    let bound = unsafe { bind(&raw mut api) } >= 0;
    let (contains_event, add_event) = api.contains_event.zip(api.add_event).filter(|_| bound).ok_or(dialog_event::NO_PRESENCE)?;
    let mut name = host_text(NAME);
    // SAFETY: [H1][H2] the name lives through the call; the second parameter, a result, may be NULL.
    let known = unsafe { contains_event(&raw mut name, ptr::null_mut()) };
    // SAFETY: [H4] NULL or an event in shared memory. One that waits for its owner, since subscriptions to it were restored, is empty.
    if unsafe { known.as_ref() }.is_some_and(|known| !known.content_type.s.is_null()) {
        ::log::warn!("{}", dialog_event::TAKEN);
        return Ok(());
    }
    // SAFETY: integers, texts, pointers and optional functions, for which all zeros is a value.
    let mut ours: sys::pres_ev = unsafe { mem::zeroed() };
    ours.name = name;
    ours.content_type = host_text(CONTENT_TYPE);
    ours.default_expires = event.default_expires();
    ours.agg_nbody = Some(callbacks::dialog_aggregate);
    ours.free_body = Some(callbacks::dialog_free);
    ours.aux_body_processing = Some(callbacks::dialog_notification);
    ours.aux_free_body = Some(callbacks::dialog_free);
    ours.evs_subs_handl = Some(callbacks::dialog_subscribed);
    ours.evs_publ_handl = Some(callbacks::dialog_published);
    contact_lamps::prepare(config, &mut ours);
    // SAFETY: [H1][H2] what the event holds lives through the call, and is copied.
    if unsafe { add_event(&raw mut ours) } < 0 {
        return Err("module presence refused the event dialog");
    }
    let script_ended: Option<unsafe extern "C" fn(*mut sys::sip_msg, c_uint, *mut c_void) -> c_int> =
        Some(callbacks::dialog_script_ended);
    // SAFETY: [H1][H4] before the first fork, a function of this module without a parameter.
    if unsafe { sys::register_script_cb(script_ended, sys::XMPP_GATEWAY_AFTER_REQUESTS, ptr::null_mut()) } < 0 {
        return Err("Kamailio refused the callback after the script");
    }
    if let Some(refresh) = api.pres_refresh_watchers {
        // It fails when it was set before: the core makes PROC_INIT once.
        let _ = REFRESH.set(refresh);
    }
    // SAFETY: [H1][H2] as above.
    let registered = unsafe { contains_event(&raw mut name, ptr::null_mut()) };
    contact_lamps::serve(config, &api, registered)
}

/// Has all watchers of a presentity told. Set before the first fork.
static REFRESH: OnceLock<super::Function<sys::pres_refresh_watchers_t>> = OnceLock::new();

/// It asks for the document of all before it has a CSeq for each watcher, and another worker may take the one that we would go by. Where it
/// gets nothing it asks again for each of them, when it has.
static ASKS_TOO_EARLY: AtomicBool = AtomicBool::new(false);

/// What that function is asked for: that they are told what is published.
const WHAT_IS_PUBLISHED: c_int = 1;

/// Has all watchers of a presentity told what is published of its dialogs.
pub(super) fn tell_watchers(presentity: &str) {
    let Some(refresh) = REFRESH.get() else { return };
    let [mut presentity_text, mut name] = [presentity.as_bytes(), NAME].map(host_text);
    ASKS_TOO_EARLY.store(true, Ordering::Relaxed);
    // SAFETY: [H1][H2] both texts live through the call.
    let told = unsafe { refresh(&raw mut presentity_text, &raw mut name, WHAT_IS_PUBLISHED) };
    ASKS_TOO_EARLY.store(false, Ordering::Relaxed);
    if told < 0 {
        ::log::error!("the watchers of the dialogs of {presentity} cannot be told again");
    }
}

/// A PUBLISH of dialogs.
///
/// # Safety
/// `msg` is the message of the running callback [H2].
pub(super) unsafe fn published(msg: *const sys::sip_msg) {
    // SAFETY: [H2] by the contract of this function. The host has its Request-URI parsed.
    let Some(message) = (unsafe { msg.as_ref() }) else { return };
    let uri = &message.parsed_uri;
    // SAFETY: [H2] texts of the message.
    let [user, host] = [uri.user, uri.host].map(|text| unsafe { msg::text(text) });
    dialog_event::published(user, host);
}

/// All documents of a presentity as one.
///
/// # Safety
/// What the presence server passes for one presentity [H2].
pub(super) unsafe fn aggregate(
    user: *const sys::str_,
    host: *const sys::str_,
    bodies: *mut *mut sys::str_,
    count: c_int,
    withdrawn: c_int,
) -> *mut sys::str_ {
    if ASKS_TOO_EARLY.swap(false, Ordering::Relaxed) {
        return ptr::null_mut();
    }
    // SAFETY: [H2] by the contract of this function.
    let [user, host] = [user, host].map(|text| unsafe { msg::text_at(text) });
    let bodies: &[*mut sys::str_] = match usize::try_from(count) {
        // SAFETY: [H2] as many pointers as it says.
        Ok(count) if !bodies.is_null() => unsafe { slice::from_raw_parts(bodies, count) },
        _ => &[],
    };
    // SAFETY: [H2] each NULL or a text.
    let documents: Vec<&[u8]> = bodies.iter().map(|body| unsafe { msg::text_at(*body) }).collect();
    let document = dialog_event::aggregate(user, host, &documents, usize::try_from(withdrawn).ok());
    document.map_or(ptr::null_mut(), |(text, length)| host_string(text.as_ptr(), length))
}

/// The document of one watcher; NULL leaves it as it is.
///
/// # Safety
/// What the presence server passes for one NOTIFY [H2].
pub(super) unsafe fn notification(subscription: *mut sys::subscription, body: *const sys::str_) -> *mut sys::str_ {
    // SAFETY: [H2] by the contract of this function.
    let (Some(event), Some(subscription), Some(body)) =
        (dialog_event::get(), unsafe { subscription.as_ref() }, unsafe { body.as_ref() })
    else {
        return ptr::null_mut();
    };
    // A subscription that waits or is refused brings no document.
    if body.s.is_null() || i64::from(subscription.status) != i64::from(sys::ACTIVE_STATUS) {
        return ptr::null_mut();
    }
    // SAFETY: [H2] texts of the subscription.
    let [presentity, document] = [subscription.pres_uri, *body].map(|text| unsafe { msg::text(text) });
    // SAFETY: [H2] by the contract of this function.
    let notification = unsafe {
        with_watcher(subscription, |watcher| {
            event.notification(body.s.addr(), &String::from_utf8_lossy(presentity), document, watcher, dialog_event::now())
        })
    };
    dialog_event::copy(&notification).map_or(ptr::null_mut(), |(text, length)| host_string(text.as_ptr(), length))
}

/// A watcher on whom nobody has decided.
///
/// # Safety
/// `subscription` is one of the running callback [H2].
pub(super) unsafe fn waits(subscription: &sys::subscription) {
    if let Some(event) = dialog_event::get() {
        // SAFETY: [H2] by the contract of this function.
        unsafe { with_watcher(subscription, |watcher| event.waits(watcher, dialog_event::now())) };
    }
}

/// Calls with the watcher of this subscription.
///
/// # Safety
/// `subscription` is one of the running callback [H2].
unsafe fn with_watcher<T>(subscription: &sys::subscription, call: impl FnOnce(&Watcher<'_>) -> T) -> T {
    // SAFETY: [H2] texts of the subscription.
    let text = |text: sys::str_| unsafe { msg::text(text) };
    let uri = watcher_uri(text(subscription.watcher_user), text(subscription.watcher_domain));
    let user_agent = std::str::from_utf8(text(subscription.user_agent)).ok().filter(|user_agent| !user_agent.is_empty());
    call(&Watcher {
        uri: &uri,
        user_agent,
        call_id: text(subscription.callid),
        tag: text(subscription.from_tag),
        // The first NOTIFY is number 1 to it.
        notified: u32::try_from(subscription.version).unwrap_or_default().saturating_sub(1),
    })
}

/// A SUBSCRIBE to dialogs.
///
/// # Safety
/// `msg` is the message of the running callback [H2].
pub(super) unsafe fn subscribed(event: &DialogEvent, msg: *mut sys::sip_msg) {
    // SAFETY: [H2] by the contract of this function; it ends with it.
    let Ok(received) = (unsafe { Received::parse(msg) }) else { return };
    // SAFETY: [H2] texts of the message.
    let [call_id, to_tag] = [received.call_id(), received.to.tag_value].map(|text| unsafe { msg::text(text) });
    let uri = String::from_utf8_lossy(received.from.uri);
    let user_agent = received.user_agent().and_then(|user_agent| std::str::from_utf8(user_agent).ok());
    let watcher = Watcher { uri: &uri, user_agent, call_id, tag: received.from.tag, notified: 0 };
    let request = if to_tag.is_empty() { Subscribe::First } else { Subscribe::Refresh };
    event.subscribed(&watcher, request, dialog_event::now());
    let presentity = received.subscription().and_then(|(_, presentity)| std::str::from_utf8(presentity).ok());
    if let Some(presentity) = presentity.and_then(address_of_record) {
        dialog_event::telling(&presentity);
    }
}

fn watcher_uri(user: &[u8], domain: &[u8]) -> String {
    format!("sip:{}@{}", String::from_utf8_lossy(user), String::from_utf8_lossy(domain))
}

/// What the presence server frees: the structure itself, in memory of its process, and the text by a function of the event. NULL: no memory
/// is left.
fn host_string(text: *mut c_char, length: usize) -> *mut sys::str_ {
    // SAFETY: [H1] any size is allowed.
    let string: *mut sys::str_ = unsafe { sys::xmpp_gateway_pkg_malloc(size_of::<sys::str_>()) }.cast();
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
    // SAFETY: as in `register`.
    let bind: sys::bind_presence_t = unsafe { mem::transmute(super::export(c"bind_presence", 1)) };
    // SAFETY: as in `register`.
    let mut api: sys::presence_api = unsafe { mem::zeroed() };
    // SAFETY: [H1][H2] as in `register`.
    let Some(contains_event) = bind.filter(|bind| unsafe { bind(&raw mut api) } >= 0).and(api.contains_event) else { return };
    let mut name = host_text(NAME);
    // SAFETY: [H1][H2] as in `register`.
    let event = unsafe { contains_event(&raw mut name, ptr::null_mut()) };
    // SAFETY: [H4] as in `register`.
    let Some(event) = (unsafe { event.as_mut() }) else { return };
    let Some(((aggregate, notification), free)) = event.agg_nbody.zip(event.aux_body_processing).zip(event.free_body) else {
        return;
    };
    let (free_notification, mut notified) = (event.aux_free_body.unwrap_or(free), 0);
    let [mut user, mut host] = [b"bob".as_slice(), b"example.com"].map(host_text);
    let texts = [b"sip:bob@example.com".as_slice(), b"alice", b"example.com", b"call", b"tag"].map(host_text);
    // SAFETY: integers, texts and pointers, for which all zeros is a value.
    let mut watcher: sys::subscription = unsafe { mem::zeroed() };
    [watcher.pres_uri, watcher.watcher_user, watcher.watcher_domain, watcher.callid, watcher.from_tag] = texts;
    watcher.event = event;
    watcher.status = sys::ACTIVE_STATUS as _;
    crate::host::dialog_bench::run(|documents| {
        notified += 1;
        watcher.version = notified;
        let mut bodies: Vec<sys::str_> = documents.iter().map(|document| host_text(document)).collect();
        let mut bodies: Vec<*mut sys::str_> = bodies.iter_mut().map(ptr::from_mut).collect();
        let count = c_int::try_from(bodies.len()).unwrap_or(0);
        // SAFETY: [H2] as the presence server calls them; both give what they made to us.
        unsafe {
            let body = aggregate(&raw mut user, &raw mut host, bodies.as_mut_ptr(), count, -1);
            let sent = notification(&raw mut watcher, body);
            for (string, free) in [(sent, free_notification), (body, free)] {
                if let Some(made) = string.as_mut() {
                    free(made.s);
                    sys::xmpp_gateway_pkg_free(string.cast());
                }
            }
        }
    });
}
