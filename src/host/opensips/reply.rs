//! What a script can reply after a function of ours has failed: the variables `$avp(xmpp_code)` and `$avp(xmpp_reason)`, and in the reply
//! itself the header that the status asks for. And the one reply that is ours: 200 to a SUBSCRIBE.
//!
//! They are variables of the host, and not names of ours, because these live with the transaction: a failure route sees them too.

use std::ffi::CStr;
use std::ffi::c_int;
use std::mem::zeroed;
use std::ptr;

use super::Module;
use super::calls;
use super::msg;
use super::sys;
use crate::process::host::HostError;
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
        // SAFETY: [H2] as the caller promises.
        if unsafe { add_header(msg, refusal.header) }.is_err() {
            log::error!("no memory for the header {:?} of a reply", refusal.header.trim_end());
        }
    }
}

/// The functions of module signaling, which replies with or without a transaction; `None` if it is not loaded.
pub(super) fn bind_signaling() -> Option<sys::sig_binds> {
    // SAFETY: [H3] plain C: optional functions, for which zero is "none".
    let mut signaling: sys::sig_binds = unsafe { zeroed() };
    // SAFETY: [H1][H5] in mod_init, into a table of ours.
    (unsafe { sys::host_load_signaling(&raw mut signaling) } >= 0).then_some(signaling)
}

/// The tag that To gets in the reply to this request.
///
/// # Safety
/// The request of the running script function [H2].
pub(super) unsafe fn tag(module: &Module, msg: *mut sys::sip_msg) -> Option<Vec<u8>> {
    let generate = module.signaling.as_ref()?.gen_totag?;
    let mut tag = calls::bytes(&[]);
    // SAFETY: [H1][H2] as the caller promises; the host points `tag` to a text of its own.
    if unsafe { generate(msg, &raw mut tag) } < 0 {
        return None;
    }
    // SAFETY: [H2][H3] that text lives until the host makes the next tag.
    Some(unsafe { msg::bytes(&raw const tag) }).filter(|tag| !tag.is_empty())
}

/// Replies 200 with these headers.
///
/// # Safety
/// The request of the running script function [H2].
pub(super) unsafe fn accept(module: &Module, msg: *mut sys::sip_msg, headers: &str) -> Result<(), HostError> {
    let missing = HostError::Missing("signaling");
    let reply = module.signaling.as_ref().and_then(|signaling| signaling.reply).ok_or(missing)?;
    // SAFETY: [H2] as the caller promises.
    unsafe { add_header(msg, headers) }?;
    let reason = calls::bytes(b"OK");
    // SAFETY: [H1][H2] as the caller promises; the reason is copied, and the tag is not asked for.
    calls::accepted(unsafe { reply(msg, 200, &raw const reason, ptr::null_mut()) })
}

/// Adds header lines to the reply that this message will get.
///
/// # Safety
/// A message of the host that is not NULL [H2].
unsafe fn add_header(msg: *mut sys::sip_msg, lines: &str) -> Result<(), HostError> {
    let lines = calls::bytes(lines.as_bytes());
    // SAFETY: [H1][H2] as the caller promises; the text is copied.
    let added = unsafe { sys::add_lump_rpl(msg, lines.s, lines.len, sys::LUMP_RPL_HDR) };
    if added.is_null() { Err(HostError::Memory) } else { Ok(()) }
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
