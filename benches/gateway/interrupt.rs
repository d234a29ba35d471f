//! Ctrl-C ends the run in order: hosts stopped, folders removed.
#![allow(unsafe_code, reason = "signal(2) has no safe form in std")]

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Takes over SIGINT and SIGTERM.
pub(crate) fn install() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { libc::signal(signal, note as *const () as libc::sighandler_t) };
    }
}

/// An error once the user has asked for the end.
pub(crate) fn check() -> io::Result<()> {
    // Not `Interrupted`: that kind means "try again".
    if ASKED.load(Ordering::Relaxed) { Err(io::Error::other("ended by signal")) } else { Ok(()) }
}

extern "C" fn note(_signal: libc::c_int) {
    ASKED.store(true, Ordering::Relaxed);
}
