//! The border guard [H6]: a panic ends the call it happened in, never the server.
//!
//! The panic hook has already written what happened and where when [`answer`] catches it.

use std::ffi::c_int;
use std::panic;
use std::panic::AssertUnwindSafe;
use std::panic::PanicHookInfo;

use crate::translate::failure::Refusal;
use crate::worker::ScriptResult;

/// Records with this target are written at the host's level for its own bugs.
pub(crate) const CRIT: &str = "crit";

/// Runs a script function and turns its result into what scripts see. 0 would end the script: no result becomes 0.
/// `leave` leaves to the script what it can reply where something is wrong.
pub(crate) fn script(call: impl FnOnce() -> ScriptResult, leave: impl FnOnce(Refusal)) -> c_int {
    let result = answer(ScriptResult::Failed, call);
    if let Some(refusal) = result.refusal() {
        answer((), || leave(refusal));
    }
    match result {
        ScriptResult::Done => 1,
        ScriptResult::Refused(_) | ScriptResult::Failed => -1,
        ScriptResult::XmppDown => -2,
        ScriptResult::Busy => -3,
        ScriptResult::UnknownDialog => -4,
    }
}

/// Runs any other entry point; `otherwise` is its answer after a panic.
pub(crate) fn answer<T>(otherwise: T, call: impl FnOnce() -> T) -> T {
    // What a panic may leave half done is the value of that one call, which is dropped, or per-process scratch, cleared before use.
    match panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(answer) => answer,
        Err(payload) => {
            // Dropping a payload may panic again.
            std::mem::forget(payload);
            otherwise
        }
    }
}

/// Makes panics visible in the host's log, with their place. To be called once, before the host forks.
pub(crate) fn log_panics() {
    panic::set_hook(Box::new(|info: &PanicHookInfo<'_>| {
        let payload = info.payload();
        let text = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("(no text)");
        match info.location() {
            Some(place) => log::error!(target: CRIT, "bug: panic at {}:{}: {text}", place.file(), place.line()),
            None => log::error!(target: CRIT, "bug: panic: {text}"),
        }
    }));
}
