//! What a command of the RPC interface answers.

use std::ffi::CString;
use std::ffi::c_int;
use std::ffi::c_void;
use std::ptr;

use super::sys;
use crate::address::map::rows::Loaded;
use crate::host::database::DatabaseError;
use crate::host::database::NO_DATABASE;

/// The code of a fault that the operator can mend.
const FAILED: c_int = 500;

/// The number of rows, or the sentence that the log has too. `None`: there is no database.
///
/// # Safety
/// Functions and context of a command that has not been answered yet [H2].
pub(super) unsafe fn answer(rpc: *mut sys::rpc_t, context: *mut c_void, loaded: Option<Result<Loaded, DatabaseError>>) {
    // SAFETY: [H2] by the contract of this function.
    let Some(rpc) = (unsafe { rpc.as_ref() }) else { return };
    let fault = match loaded {
        Some(Ok(loaded)) => return rows(rpc, context, loaded),
        Some(Err(error)) => {
            log::error!("{error}");
            error.to_string()
        }
        None => NO_DATABASE.to_owned(),
    };
    refuse(rpc, context, &fault);
}

/// The command fails with this sentence.
pub(super) fn refuse(rpc: &sys::rpc_t, context: *mut c_void, sentence: &str) {
    let (Some(say), Ok(sentence)) = (rpc.fault, CString::new(sentence)) else { return };
    // SAFETY: [H2][H5] the format takes one C string, which lives through the call; the host copies it.
    unsafe { say(context, FAILED, c"%s".as_ptr().cast_mut(), sentence.as_ptr()) };
}

/// The next parameter of the command, if there is one.
pub(super) fn parameter<'a>(rpc: &sys::rpc_t, context: *mut c_void) -> Option<&'a [u8]> {
    let scan = rpc.scan?;
    let mut text = sys::str_ { s: ptr::null_mut(), len: 0 };
    // SAFETY: [H2][H5] the format takes the place of one text, which the host fills; `*` says that there may be none.
    if unsafe { scan(context, c"*S".as_ptr().cast_mut(), &raw mut text) } < 1 {
        return None;
    }
    // SAFETY: [H2][H3] a text of the command, good until it is answered.
    Some(unsafe { super::msg::text(text) })
}

/// The answer that is some lines.
pub(super) fn lines(rpc: &sys::rpc_t, context: *mut c_void, lines: &[String]) {
    let (Some(add), Some(fill)) = (rpc.add, rpc.array_add) else { return };
    let mut array: *mut c_void = ptr::null_mut();
    // SAFETY: [H2][H5] the format takes the place of one array, which the host makes.
    if unsafe { add(context, c"[".as_ptr().cast_mut(), &raw mut array) } < 0 {
        return;
    }
    for line in lines.iter().filter_map(|line| CString::new(line.as_str()).ok()) {
        // SAFETY: [H2][H5] the format takes one C string, which lives through the call; the host copies it.
        unsafe { fill(array, c"s".as_ptr().cast_mut(), line.as_ptr()) };
    }
}

fn rows(rpc: &sys::rpc_t, context: *mut c_void, Loaded { rows, skipped, disabled }: Loaded) {
    let (Some(add), Some(fill)) = (rpc.add, rpc.struct_add) else { return };
    let mut members: *mut c_void = ptr::null_mut();
    // SAFETY: [H2][H5] the format takes the place of one structure, which the host makes.
    if unsafe { add(context, c"{".as_ptr().cast_mut(), &raw mut members) } < 0 {
        return;
    }
    let [rows, skipped, disabled] = [rows, skipped, disabled].map(|count| c_int::try_from(count).unwrap_or(c_int::MAX));
    let [loaded_name, skipped_name, disabled_name] = [c"loaded", c"skipped", c"disabled"].map(|name| name.as_ptr());
    let format = c"ddd".as_ptr().cast_mut();
    // SAFETY: [H2][H5] a name and an int for each letter of the format.
    unsafe { fill(members, format, loaded_name, rows, skipped_name, skipped, disabled_name, disabled) };
}
