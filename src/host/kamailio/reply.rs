//! What a script can reply after a function of ours has failed: the variables `$avp(xmpp_code)` and `$avp(xmpp_reason)`, and in the reply
//! itself the header that the status asks for. And the one reply that is ours: 200 to a SUBSCRIBE.
//!
//! They are variables of the host, and not names of ours, because these live with the transaction: a failure route sees them too.

use std::ffi::CStr;
use std::mem;

use super::Function;
use super::Gateway;
use super::msg;
use super::msg::host_text;
use super::sys;
use crate::process::host::HostError;
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
    // SAFETY: [H2] as the caller promises.
    if unsafe { add_header(msg, refusal.header) }.is_err() {
        log::error!("no memory for the header {:?} of a reply", refusal.header.trim_end());
    }
}

/// The functions of module sl, which replies with or without a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) struct Replies {
    reply: Function<sys::send_reply_f>,
    tag: Function<sys::get_reply_totag_f>,
}

impl Replies {
    /// In mod_init. `None`: sl is not loaded.
    pub(super) fn bind() -> Option<Self> {
        // SAFETY: sl registers `bind_sl` under that name with that type (modules/sl/sl.h).
        let bind: sys::bind_sl_f = unsafe { mem::transmute(super::export(c"bind_sl", 0)) };
        // SAFETY: the structure holds optional functions only, for which all zeros is a value.
        let mut api: sys::sl_api_t = unsafe { mem::zeroed() };
        // SAFETY: [H1][H2] the structure is of the layout that the headers give and lives through the call.
        let bound = unsafe { bind?(&raw mut api) } >= 0;
        let (reply, tag) = api.freply.zip(api.get_reply_totag).filter(|_| bound)?;
        Some(Self { reply, tag })
    }
}

/// The tag that To gets in the reply to this request.
///
/// # Safety
/// The request of the running script function [H2].
pub(super) unsafe fn tag(gateway: &Gateway, msg: *mut sys::sip_msg) -> Option<Vec<u8>> {
    let generate = gateway.binds.replies?.tag;
    let mut tag = host_text(&[]);
    // SAFETY: [H1][H2] as the caller promises; the host points `tag` to a text of its own.
    if unsafe { generate(msg, &raw mut tag) } < 0 {
        return None;
    }
    // SAFETY: [H2] that text lives until the host makes the next tag.
    Some(unsafe { msg::text(tag) }.to_vec()).filter(|tag| !tag.is_empty())
}

/// Replies 200 with these headers.
///
/// # Safety
/// The request of the running script function [H2].
pub(super) unsafe fn accept(gateway: &Gateway, msg: *mut sys::sip_msg, headers: &str) -> Result<(), HostError> {
    let reply = gateway.binds.replies.ok_or(HostError::Missing("sl"))?.reply;
    // SAFETY: [H2] as the caller promises.
    unsafe { add_header(msg, headers) }?;
    let mut reason = host_text(b"OK");
    // SAFETY: [H1][H2] as the caller promises; the reason is copied.
    match unsafe { reply(msg, 200, &raw mut reason) } {
        code if code < 0 => Err(HostError::Refused(code)),
        _ => Ok(()),
    }
}

/// Adds header lines to the reply that this message will get.
///
/// # Safety
/// A message of the host that is not NULL [H2].
unsafe fn add_header(msg: *mut sys::sip_msg, lines: &str) -> Result<(), HostError> {
    let lines = host_text(lines.as_bytes());
    // SAFETY: [H1][H2] as the caller promises; the text is copied.
    let added = unsafe { sys::add_lump_rpl2(msg, lines.s, lines.len, sys::LUMP_RPL_HDR) };
    if added.is_null() { Err(HostError::Memory) } else { Ok(()) }
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
