//! What a script can reply after a function of ours has failed: the variables `$avp(xmpp_code)` and `$avp(xmpp_reason)`, and in the reply
//! itself the header that the status asks for.
//!
//! They are variables of the host, and not names of ours, because these live with the transaction: a failure route sees them too.

use std::ffi::CStr;

use super::msg::host_text;
use super::sys;
use crate::translate::failure::Refusal;

const CODE: &CStr = c"xmpp_code";
const REASON: &CStr = c"xmpp_reason";

/// Leaves it to the script that runs for this message.
///
/// # Safety
/// NULL, or the request of the running script function [H2].
pub(super) unsafe fn leave(msg: *mut sys::sip_msg, refusal: &Refusal) {
    // An `int` on 5.x, a `long` on 6.x.
    set(CODE, 0, sys::int_str { n: refusal.status.into() });
    set(REASON, sys::AVP_VAL_STR, sys::int_str { s: host_text(refusal.reason.as_bytes()) });
    if refusal.header.is_empty() || msg.is_null() {
        return;
    }
    let header = host_text(refusal.header.as_bytes());
    // SAFETY: [H1][H2] the message of the running script, as the caller promises; the text is copied.
    if unsafe { sys::add_lump_rpl2(msg, header.s, header.len, sys::LUMP_RPL_HDR) }.is_null() {
        log::error!("no memory for the header {:?} of a reply", refusal.header.trim_end());
    }
}

/// In place of all values that it has.
fn set(name: &CStr, kind: i32, value: sys::int_str) {
    let name = sys::int_str { s: host_text(name.to_bytes()) };
    // SAFETY: [H1] a variable of the script that runs in this process; the name is only read.
    unsafe { sys::destroy_avps(sys::AVP_NAME_STR.unsigned_abs(), name, 1) };
    // SAFETY: [H1][H5] name and value are copied.
    if unsafe { sys::add_avp((sys::AVP_NAME_STR | kind).unsigned_abs(), name, value) } < 0 {
        log::error!("no shared memory is left for a script variable");
    }
}
