//! What a command of the management interface answers.

use std::ffi::CStr;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ptr;
use std::slice;

use super::sys;
use crate::address::map::rows::Loaded;
use crate::host::database::DatabaseError;
use crate::host::database::NO_DATABASE;

/// The code of an error that the operator can mend.
const FAILED: c_int = 500;

/// The number of rows, or the sentence that the log has too. `None`: there is no database.
pub(super) fn answer(loaded: Option<Result<Loaded, DatabaseError>>) -> *mut sys::mi_response_t {
    let sentence = match loaded {
        Some(Ok(loaded)) => return rows(loaded),
        Some(Err(error)) => {
            log::error!("{error}");
            error.to_string()
        }
        None => NO_DATABASE.to_owned(),
    };
    refusal(&sentence)
}

/// The answer to a command that gives nothing but its success.
pub(super) fn done(outcome: Result<(), &str>) -> *mut sys::mi_response_t {
    match outcome {
        // SAFETY: [H1][H5] the host makes the answer and copies the constant.
        Ok(()) => unsafe { sys::init_mi_result_string(c"OK".as_ptr().cast_mut(), 2) },
        Err(sentence) => refusal(sentence),
    }
}

/// The answer that is some lines.
pub(super) fn lines(outcome: Result<Vec<String>, String>) -> *mut sys::mi_response_t {
    let lines = match outcome {
        Ok(lines) => lines,
        Err(sentence) => return refusal(&sentence),
    };
    let mut array: *mut sys::mi_item_t = ptr::null_mut();
    // SAFETY: [H1][H5] the host makes the answer and says where its items go; the answer is the host's again when we return.
    let answer = unsafe { sys::init_mi_result_array(&raw mut array) };
    for line in lines.iter().filter(|_| !answer.is_null()) {
        let length = c_int::try_from(line.len()).unwrap_or(0);
        // SAFETY: [H1][H5] an array that the host has just made; the host copies the line. Without memory it is missing.
        unsafe { sys::add_mi_string(array, ptr::null_mut(), 0, line.as_ptr().cast_mut().cast(), length) };
    }
    answer
}

/// A parameter of the command that has to be there.
pub(super) fn parameter<'a>(parameters: *const sys::mi_params_t, name: &CStr) -> Option<&'a [u8]> {
    // SAFETY: [H2] as the function below wants it.
    unsafe { taken(sys::get_mi_string_param, parameters, name) }
}

/// A parameter of the command, if it is there.
pub(super) fn optional<'a>(parameters: *const sys::mi_params_t, name: &CStr) -> Option<&'a [u8]> {
    // SAFETY: [H2] as the function below wants it.
    unsafe { taken(sys::try_get_mi_string_param, parameters, name) }
}

type Get = unsafe extern "C" fn(*const sys::mi_params_t, *mut c_char, *mut *mut c_char, *mut c_int) -> c_int;

/// # Safety
/// Parameters of a command that has not been answered yet [H2].
unsafe fn taken<'a>(get: Get, parameters: *const sys::mi_params_t, name: &CStr) -> Option<&'a [u8]> {
    let (mut text, mut length) = (ptr::null_mut(), 0);
    // SAFETY: [H2] the name is NUL-terminated and only read; both places live through the call.
    if unsafe { get(parameters, name.as_ptr().cast_mut(), &raw mut text, &raw mut length) } < 0 || text.is_null() {
        return None;
    }
    // SAFETY: [H2][H3] a text of the command, good until it is answered.
    Some(unsafe { slice::from_raw_parts(text.cast(), usize::try_from(length).ok()?) })
}

fn refusal(sentence: &str) -> *mut sys::mi_response_t {
    let length = c_int::try_from(sentence.len()).unwrap_or(0);
    // SAFETY: [H1][H5] the host copies the sentence; there are no details.
    unsafe { sys::init_mi_error_extra(FAILED, sentence.as_ptr().cast(), length, ptr::null(), 0) }
}

fn rows(Loaded { rows, skipped, disabled }: Loaded) -> *mut sys::mi_response_t {
    let mut members: *mut sys::mi_item_t = ptr::null_mut();
    // SAFETY: [H1][H5] the host makes the answer and says where its members go; the answer is the host's again when we return.
    let answer = unsafe { sys::init_mi_result_object(&raw mut members) };
    if !answer.is_null() {
        add(members, c"loaded", rows);
        add(members, c"skipped", skipped);
        add(members, c"disabled", disabled);
    }
    answer
}

fn add(members: *mut sys::mi_item_t, name: &CStr, count: usize) {
    let length = c_int::try_from(name.count_bytes()).unwrap_or(0);
    let count = f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    // SAFETY: [H1][H5] an object that the host has just made; the name is a constant. Without memory the member is missing.
    unsafe { sys::add_mi_number(members, name.as_ptr().cast_mut(), length, count) };
}
