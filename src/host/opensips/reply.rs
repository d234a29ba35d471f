//! What a script can reply after a function of ours has failed: the variables `$avp(xmpp_code)` and `$avp(xmpp_reason)`, and in the reply
//! itself the header that the status asks for.
//!
//! They are variables of the host, and not names of ours, because these live with the transaction: a failure route sees them too.

use std::ffi::CStr;
use std::ffi::c_int;

use super::calls;
use super::sys;
use crate::translate::failure::Refusal;

/// The variables, by the numbers that the host has given their names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Variables {
    code: c_int,
    reason: c_int,
}

impl Variables {
    /// Names them, in mod_init. `None`: the host has no memory left.
    pub(super) fn new() -> Option<Self> {
        Some(Self { code: number_of(c"xmpp_code")?, reason: number_of(c"xmpp_reason")? })
    }

    /// Leaves it to the script that runs for this message.
    ///
    /// # Safety
    /// NULL, or the request of the running script function [H2].
    pub(super) unsafe fn leave(self, msg: *mut sys::sip_msg, refusal: &Refusal) {
        set(self.code, 0, sys::int_str { n: c_int::from(refusal.status.cast_signed()) });
        set(self.reason, sys::AVP_VAL_STR, sys::int_str { s: calls::bytes(refusal.reason.as_bytes()) });
        if refusal.header.is_empty() || msg.is_null() {
            return;
        }
        let header = calls::bytes(refusal.header.as_bytes());
        // SAFETY: [H1][H2] the message of the running script, as the caller promises; the text is copied.
        if unsafe { sys::add_lump_rpl(msg, header.s, header.len, sys::LUMP_RPL_HDR) }.is_null() {
            log::error!("no memory for the header {:?} of a reply", refusal.header.trim_end());
        }
    }
}

fn number_of(name: &CStr) -> Option<c_int> {
    let (name, mut number) = (calls::bytes(name.to_bytes()), 0);
    // SAFETY: [H1][H5] in mod_init, where scripts' names are numbered; the name is copied.
    (unsafe { sys::parse_avp_spec(&raw const name, &raw mut number) } >= 0).then_some(number)
}

/// In place of all values that it has.
fn set(variable: c_int, kind: i32, value: sys::int_str) {
    // SAFETY: [H1] a variable of the script that runs in this process.
    unsafe { sys::destroy_avps(0, variable, 1) };
    // SAFETY: [H1][H5] the value is copied.
    if unsafe { sys::add_avp(u16::try_from(kind).unwrap_or(0), variable, value) } < 0 {
        log::error!("no shared memory is left for a script variable");
    }
}
