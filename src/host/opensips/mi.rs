//! What a command of the management interface answers.

use std::ffi::CStr;
use std::ffi::c_int;
use std::ptr;

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
