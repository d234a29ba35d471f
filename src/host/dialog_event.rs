//! The event package "dialog", as far as it is the same in both hosts: its memory, its clock, and documents on their way to the host.
//!
//! The host gives each document back to the one who made it, by a function of the event: so they are made and freed by the C library's
//! allocator, and stand in no memory of the host [H5].

use std::ffi::c_char;
use std::io;
use std::ptr;
use std::ptr::NonNull;
use std::sync::OnceLock;

use crate::config;
use crate::dialog_event::DialogEvent;
use crate::dialog_event::SharedMemory;
use crate::dialog_event::crossing;
use crate::dialog_event::crossing::Act;
use crate::dialog_event::ended::ENDED;
use crate::dialog_event::subscription;
use crate::link::memory;

/// Said once at start, where somebody else has the event.
pub(super) const TAKEN: &str = "another module serves the event dialog (presence_dialoginfo?): xmpp_gateway leaves it alone, and parameter \
                                dialog_event has no effect; load one of them";

/// Why the module does not start, where there is no presence server to serve the event.
pub(super) const NO_PRESENCE: &str =
    "parameter dialog_event is 1; it takes a presence server in this SIP server: load the module presence before xmpp_gateway";

/// Set in mod_init where the operator wants the event.
static EVENT: OnceLock<DialogEvent> = OnceLock::new();

/// Before the first fork: maps what all processes share.
pub(super) fn prepare(settings: Option<&config::DialogEvent>) -> io::Result<()> {
    if let Some(settings) = settings {
        let memory = SharedMemory {
            ended: memory::words::<ENDED>()?,
            subscriptions: memory::words::<{ subscription::WORDS }>()?,
            crossings: memory::words::<{ crossing::WORDS }>()?,
        };
        let event = DialogEvent::new(settings.clone(), memory);
        // It fails only when the host calls mod_init twice.
        let _ = EVENT.set(event);
    }
    Ok(())
}

/// The event package, where it is ours.
pub(super) fn get() -> Option<&'static DialogEvent> {
    EVENT.get()
}

/// All documents of a presentity as one: a copy for the host, and the aggregate under its address. `None`: no memory is left.
pub(super) fn aggregate(
    user: &[u8],
    host: &[u8],
    documents: &[&[u8]],
    withdrawn: Option<usize>,
) -> Option<(NonNull<c_char>, usize)> {
    let event = get()?;
    let aggregate = event.aggregate(&presentity(user, host), documents, withdrawn, now());
    let document = copy(&aggregate.document())?;
    event.keep(document.0.as_ptr().addr(), aggregate);
    Some(document)
}

/// The URI that the host makes of user and host of a presentity.
fn presentity(user: &[u8], host: &[u8]) -> String {
    match user {
        [] => format!("sip:{}", String::from_utf8_lossy(host)),
        user => format!("sip:{}@{}", String::from_utf8_lossy(user), String::from_utf8_lossy(host)),
    }
}

/// A PUBLISH of this user, which is not stored yet.
pub(super) fn published(user: &[u8], host: &[u8]) {
    if let Some(event) = get() {
        event.begins(&presentity(user, host), Act::Publish, now());
    }
}

/// A SUBSCRIBE to this presentity, who is not told anything yet.
pub(super) fn telling(presentity: &str) {
    if let Some(event) = get() {
        event.begins(presentity, Act::Tell, now());
    }
}

/// The script that had the PUBLISH or the SUBSCRIBE has ended: `tell` has all watchers of a presentity told.
pub(super) fn script_ended(tell: impl Fn(&str)) {
    if let Some(event) = get() {
        event.ends(now(), tell);
    }
}

/// A document of ours: stores it, and has the watchers told once more where they have to be.
pub(super) fn publishing<T>(presentity: &str, store: impl FnOnce() -> T, tell: impl Fn(&str)) -> T {
    let Some(event) = get() else { return store() };
    event.begins(presentity, Act::Publish, now());
    let stored = store();
    event.ends(now(), tell);
    stored
}

/// A text for the host, to be given back to [`free`], with its length. `None`: no memory is left.
pub(super) fn copy(text: &str) -> Option<(NonNull<c_char>, usize)> {
    // SAFETY: [H1] any size is allowed; one byte more, as some of the host's functions look for the end of a text.
    let block: *mut u8 = unsafe { libc::malloc(text.len().checked_add(1)?) }.cast();
    let copy = NonNull::new(block)?;
    // SAFETY: [H5] a fresh block of that length and one byte more.
    unsafe { ptr::copy_nonoverlapping(text.as_ptr(), block, text.len()) };
    // SAFETY: [H5] as above: the last byte.
    let end = unsafe { block.add(text.len()) };
    // SAFETY: [H5] as above.
    unsafe { end.write(0) };
    Some((copy.cast(), text.len()))
}

/// The host has done with a text.
///
/// # Safety
/// NULL, or what [`copy`] made, which nobody uses afterwards.
pub(super) unsafe fn free(text: *mut c_char) {
    if let Some(event) = get() {
        event.forget(text.addr());
    }
    // SAFETY: [H5] made by the same allocator, as the caller promises.
    unsafe { libc::free(text.cast()) };
}

/// Seconds of a clock that all processes share and nobody sets.
pub(super) fn now() -> u32 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: [H2] the structure lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    // Half a year of seconds is told apart; the rest does not matter.
    u32::try_from(time.tv_sec & i64::from(u32::MAX)).unwrap_or_default()
}
