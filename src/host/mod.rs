//! The SIP server we are loaded into: picks its folder, and says what all `unsafe` of the host layer rests on.
//!
//! # Safety ledger
//!
//! Each `unsafe` block names the entries it rests on and the fact that is true at its place.
//!
//! - **H1** One thread per process: the host calls us, and we call the host, on the main thread of the process only. The XMPP
//!   process runs a single-threaded runtime on that thread.
//! - **H2** A pointer that the host passes to a callback lives until the callback returns, and a pointer that we pass to the host
//!   is only used until its function returns, except where the ledger says otherwise.
//! - **H3** A host string is a pointer and a length: maybe NULL, not NUL-terminated, any bytes.
//! - **H4** Statics are written in the main process before it forks (module registration, parameters, mod_init), then inherited
//!   and only read. Tables handed to the host live in statics: the host keeps their address.
//! - **H5** We copy out, the host copies in: memory changes no owner, and is freed by the allocator that made it.
//! - **H6** No panic crosses the border: every entry point runs under [`guard`].

pub(crate) mod database;
mod descriptor;
#[cfg(feature = "bench")]
mod dialog_bench;
pub(crate) mod dialog_calls;
mod dialog_event;
pub(crate) mod guard;
mod lanes;
mod origin;
mod parameters;
mod pending;
mod phones;
mod publications;
mod published;
mod watched;

use std::ffi::CStr;

#[cfg(host = "kamailio")]
mod kamailio;

#[cfg(host = "opensips")]
mod opensips;

/// Said once at start, where SIP users cannot ask this server for the presence of XMPP users.
const NO_PRESENCE: &str = "module presence is not loaded: this server does not ask XMPP users who may see them";

/// Why the module does not start, where this server is to serve the presence of XMPP users itself.
const NO_LOCAL_PRESENCE: &str = "parameter presence_mode is \"local\"; it takes a presence server in this SIP server: load the modules presence \
                                 and presence_xml before xmpp_gateway, which register the event presence";

/// Said once at start, where phones are shown and calls cannot be seen.
const NO_CALLS: &str =
    "module dialog is not loaded before xmpp_gateway: of phones no calls are shown but those that a script or a program tells of";

/// Why the module does not start, where this server is to show calls itself.
const NO_DIALOG_EVENT: &str = "parameter dialog_mode is \"local\"; it takes a presence server in this SIP server with the event dialog: load module presence, and set \
     parameter dialog_event or load presence_dialoginfo, before xmpp_gateway";

/// Said once at start, where nobody asks for authorization.
const NO_AUTHORIZATION: &str =
    "the event presence has no authorization (is presence_xml loaded?): XMPP users are not asked who may see them";

/// The name of a process of ours in `ps` and under /proc; what goes beyond 15 bytes is cut off.
pub(crate) fn name_process(name: &CStr) {
    // SAFETY: [H1] the call reads a NUL-terminated text.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// What the XMPP process sets for itself when it starts.
///
/// `SCHED_BATCH`: when a worker wakes it, the worker goes on, and more datagrams gather before they are read. By the usual policy the
/// kernel would switch to it at once, for one datagram, and back. It needs no privilege; measured, it takes an eighth to a fifth off
/// the CPU time of a MESSAGE.
pub(crate) fn settle_process() {
    name_process(c"xmpp_gateway");
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: [H2] the structure lives through the call. A failure leaves the usual policy.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_BATCH, &raw const parameters) };
}
