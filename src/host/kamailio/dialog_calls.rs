//! Calls of Kamailio's dialog module: what happens to them by the callbacks of dialog and tm. Each INVITE that `dlg_manage()` makes a
//! dialog of is a call that is shown, unless the script says otherwise.
//!
//! All callbacks only copy, and tell the XMPP process; they may run under a lock of the host.

use std::ffi::c_int;
use std::ffi::c_uint;
use std::mem;
use std::ptr;
use std::sync::OnceLock;

use super::Function;
use super::Gateway;
use super::callbacks;
use super::calls::Setting;
use super::msg;
use super::msg::host_text;
use super::msg::text;
use super::sys;
use crate::calls::CallKey;
use crate::calls::Ending;
use crate::calls::Event;
use crate::calls::Parties;
use crate::calls::Peer;
use crate::calls::Side;
use crate::calls::What;
use crate::config;
use crate::config::DialogMode;
use crate::host;
use crate::host::dialog_calls;
use crate::host::dialog_calls::Headers;
use crate::host::dialog_calls::Variables;

/// Set in mod_init where calls are shown.
static CALLS: OnceLock<DialogCalls> = OnceLock::new();

/// The dialog module, and what the script's parameters name.
struct DialogCalls {
    dialog: sys::dlg_binds,
    register_tmcb: Function<sys::register_tmcb_f>,
    t_gett_branch: sys::tgett_branch_f,
    tm_ctx_get: sys::tm_ctx_get_f,
    caller_spec: Option<Box<sys::pv_spec_t>>,
    callee_spec: Option<Box<sys::pv_spec_t>>,
    callee_is_request_uri: bool,
    /// Masks; 0 is no flag.
    nopublish: u32,
    send_publish: u32,
    disable_caller: u32,
    disable_callee: u32,
}

// SAFETY: [H1][H4] made in mod_init, inherited by fork, then only read.
unsafe impl Send for DialogCalls {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for DialogCalls {}

/// In mod_init. The error says what is missing.
pub(super) fn bind(config: &mut config::Calls, tm: &sys::tm_binds) -> Result<(), &'static str> {
    if config.mode == DialogMode::Off {
        return Ok(());
    }
    let missing = "parameter dialog_mode shows calls of module dialog: load it before xmpp_gateway";
    // SAFETY: dialog registers `load_dlg` under that name with that type (modules/dialog/dlg_load.h).
    let load: sys::load_dlg_f = unsafe { mem::transmute(super::export(c"load_dlg", 0)) };
    let load = match load {
        None if config.mode == DialogMode::Phones => {
            ::log::warn!("{}", host::NO_CALLS);
            config.mode = DialogMode::Off;
            return Ok(());
        }
        load => load.ok_or(missing)?,
    };
    // SAFETY: the structure holds optional functions only, for which all zeros is a value.
    let mut dialog: sys::dlg_binds = unsafe { mem::zeroed() };
    // SAFETY: [H1][H2] the structure is of the layout that the headers give and lives through the call.
    if unsafe { load(&raw mut dialog) } < 0 {
        return Err(missing);
    }
    if config.documents.ring_time == 0 {
        config.documents.ring_time = ring_time();
    }
    let calls = DialogCalls {
        dialog,
        register_tmcb: tm.register_tmcb.ok_or("module tm has no callbacks")?,
        t_gett_branch: tm.t_gett_branch,
        tm_ctx_get: tm.tm_ctx_get,
        caller_spec: variable(config.caller_spec.as_deref()).map_err(|()| "parameter caller_spec_param names no variable")?,
        callee_spec: variable(config.callee_spec.as_deref()).map_err(|()| "parameter callee_spec_param names no variable")?,
        callee_is_request_uri: config.callee_is_request_uri,
        nopublish: nopublish(config.nopublish_flag.as_deref())?,
        send_publish: mask(config.send_publish_flag),
        disable_caller: mask(config.disable_caller_publish_flag),
        disable_callee: mask(config.disable_callee_publish_flag),
    };
    calls.hear(ptr::null_mut(), sys::DLGCB_CREATED, Some(callbacks::call_created), 0).ok_or(missing)?;
    calls.hear(ptr::null_mut(), sys::DLGCB_LOADED, Some(callbacks::call_loaded), 0).ok_or(missing)?;
    // It fails only when mod_init runs twice, and the core does not do that.
    let _ = CALLS.set(calls);
    dialog_calls::begin_to_load();
    Ok(())
}

type Callback = Option<unsafe extern "C" fn(*mut sys::dlg_cell, c_int, *mut sys::dlg_cb_params)>;

impl DialogCalls {
    fn hear(&self, dialog: *mut sys::dlg_cell, types: c_int, callback: Callback, number: u32) -> Option<()> {
        let register = self.dialog.register_dlgcb?;
        // SAFETY: [H1][H2] a dialog of the host, or none; the parameter is a number, which nobody frees.
        (unsafe { register(dialog, types, callback, dialog_calls::to_parameter(number), None) } == 0).then_some(())
    }

    /// What happens in a dialog that stands, or may; with the number of its INVITE.
    fn follow(&self, dialog: *mut sys::dlg_cell, number: u32) -> Option<()> {
        let ends = sys::DLGCB_FAILED | sys::DLGCB_TERMINATED | sys::DLGCB_EXPIRED;
        let types = ends | sys::DLGCB_CONFIRMED_NA | sys::DLGCB_REQ_WITHIN | sys::DLGCB_RESPONSE_WITHIN;
        self.hear(dialog, types, Some(callbacks::call_event), number)
    }

    /// The branch of the reply that this process is at.
    fn replied_branch(&self) -> u16 {
        // SAFETY: [H1] reads a variable of tm in this process.
        let index = self.t_gett_branch.map_or(0, |index| unsafe { index() });
        u16::try_from(index).unwrap_or(0)
    }

    /// The branch whose route this process is at.
    fn routed_branch(&self) -> u16 {
        // SAFETY: [H1] asks for a pointer to a variable of tm in this process.
        let context = self.tm_ctx_get.map_or(ptr::null_mut(), |context| unsafe { context() });
        // SAFETY: [H1] NULL, or that variable.
        unsafe { context.as_ref() }.map_or(0, |context| u16::try_from(context.branch_index).unwrap_or(0))
    }
}

/// How long tm lets a call ring: after tm's mod_init, its parameter is in ticks.
fn ring_time() -> u32 {
    let ticks = Setting::find(c"tm", c"fr_inv_timer").and_then(|setting| u32::try_from(setting.value()).ok());
    let seconds = ticks.and_then(|ticks| ticks.checked_div(sys::XMPP_GATEWAY_TICKS_A_SECOND));
    seconds.filter(|seconds| *seconds > 0).unwrap_or(USUAL_RING_TIME)
}

/// More than timer C of RFC 3261 §16.6, where tm does not say.
const USUAL_RING_TIME: u32 = 190;

fn variable(name: Option<&str>) -> Result<Option<Box<sys::pv_spec_t>>, ()> {
    let Some(name) = name else { return Ok(None) };
    // SAFETY: the structure holds numbers, pointers and optional functions, for which all zeros is a value.
    let mut spec: Box<sys::pv_spec_t> = Box::new(unsafe { mem::zeroed() });
    // The host keeps pointers into the name.
    let mut text = host_text(Box::leak(name.to_owned().into_boxed_str()).as_bytes());
    // SAFETY: [H1][H4] in mod_init; the name lives for ever, the specification as long as the module.
    let end = unsafe { sys::pv_parse_spec2(&raw mut text, &raw mut *spec, 0) };
    if end.is_null() { Err(()) } else { Ok(Some(spec)) }
}

fn mask(flag: Option<u32>) -> u32 {
    flag.and_then(|flag| 1_u32.checked_shl(flag)).unwrap_or(0)
}

fn nopublish(flag: Option<&str>) -> Result<u32, &'static str> {
    let Some(flag) = flag else { return Ok(0) };
    let number = flag.trim().parse::<u32>().ok().filter(|flag| *flag < u32::BITS);
    number
        .map(|flag| mask(Some(flag)))
        .ok_or("parameter nopublish_flag takes the number of a message flag in quotes, as in \"5\"")
}

/// An INVITE made a dialog.
///
/// # Safety
/// What the dialog module passes to a callback.
pub(super) unsafe fn created(gateway: &Gateway, dialog: *mut sys::dlg_cell, parameters: *const sys::dlg_cb_params) -> Option<()> {
    let calls = CALLS.get()?;
    // SAFETY: [H2] as the caller promises.
    let request = unsafe { parameters.as_ref() }?.req;
    // SAFETY: [H2] the INVITE of the running script.
    let flags = flags(unsafe { request.as_ref() }?);
    if calls.send_publish != 0 && flags & calls.send_publish == 0 {
        return None;
    }
    let shown = Parties { caller: flags & calls.disable_caller == 0, callee: flags & calls.disable_callee == 0 };
    // SAFETY: [H2] as above.
    let headers = unsafe { headers(request) }?;
    if !headers.is_of_invite() {
        return None;
    }
    // SAFETY: [H2] as the caller promises.
    let lifetime = unsafe { dialog.as_ref() }?.lifetime;
    // SAFETY: [H2] as above.
    let given = [&calls.caller_spec, &calls.callee_spec].map(|spec| unsafe { value(request, spec.as_deref()) });
    let callee = match calls.callee_is_request_uri {
        true => [b"<".as_slice(), &headers.request_uri, b">"].concat(),
        false => headers.to.clone(),
    };
    let begun = dialog_calls::begun(&headers, &callee, given, shown, lifetime)?;
    let call = headers.new_call()?;
    let replies = sys::TMCB_RESPONSE_IN | sys::TMCB_ON_FAILURE;
    let callback: sys::transaction_cb = Some(callbacks::call_reply);
    let number = dialog_calls::to_parameter(call.cseq);
    // SAFETY: [H1][H2] the request of the running script; the parameter is a number, which nobody frees.
    let heard = unsafe { (calls.register_tmcb)(request, ptr::null_mut(), replies, callback, number, None) };
    if heard <= 0 {
        return None;
    }
    calls.follow(dialog, call.cseq)?;
    dialog_calls::keep(&begun, call.cseq, &DialogVariables { calls, dialog });
    dialog_calls::tell(&gateway.worker, Event { call, what: What::Begun(Box::new(begun)) });
    Some(())
}

/// `dialoginfo_set()`: whose dialogs are shown. `None` where there is no dialog that is.
pub(super) fn show(gateway: &Gateway, msg: *mut sys::sip_msg, parties: Parties) -> Option<()> {
    in_dialog(gateway, msg, |_, variables| dialog_calls::keep_shown(parties, variables))
}

/// `dialoginfo_set_branch_callee()`: `None` where there is no dialog, or no address.
pub(super) fn set_branch_callee(gateway: &Gateway, msg: *mut sys::sip_msg, callee: &[u8]) -> Option<()> {
    in_dialog(gateway, msg, |branch, variables| dialog_calls::branch_callee(branch, callee, variables))
}

/// `dialoginfo_mute_branch()`: `None` where there is no dialog.
pub(super) fn mute_branch(gateway: &Gateway, msg: *mut sys::sip_msg, parties: Parties) -> Option<()> {
    in_dialog(gateway, msg, |branch, variables| Some(dialog_calls::mute(branch, parties, variables)))
}

fn in_dialog(
    gateway: &Gateway,
    msg: *mut sys::sip_msg,
    of: impl FnOnce(u16, &DialogVariables<'_>) -> Option<What>,
) -> Option<()> {
    let calls = CALLS.get()?;
    // SAFETY: [H1][H2] the message of the running script.
    let dialog = unsafe { (calls.dialog.get_dlg?)(msg) };
    if dialog.is_null() {
        return None;
    }
    let variables = DialogVariables { calls, dialog };
    let what = of(calls.routed_branch(), &variables);
    let number = dialog_calls::kept_number(&variables).unwrap_or(0);
    // SAFETY: [H2] we hold a reference.
    let call = unsafe { key(dialog, number) };
    if let Some(release) = calls.dialog.release_dlg {
        // SAFETY: [H2] the reference that the host took for us, given back once.
        unsafe { release(dialog) };
    }
    let (call, what) = call.zip(what)?;
    dialog_calls::tell(&gateway.worker, Event { call, what });
    Some(())
}

/// A dialog from before a restart.
///
/// # Safety
/// `dialog` is that of the running callback.
pub(super) unsafe fn loaded(gateway: &Gateway, dialog: *mut sys::dlg_cell) -> Option<()> {
    let calls = CALLS.get()?;
    // SAFETY: [H2] as the caller promises.
    let cell = unsafe { dialog.as_ref() }?;
    let state = i64::from(cell.state);
    if state != i64::from(sys::DLG_STATE_CONFIRMED) && state != i64::from(sys::DLG_STATE_CONFIRMED_NA) {
        return None;
    }
    let begun = dialog_calls::restored(&DialogVariables { calls, dialog }, peer(cell), cell.lifetime)?;
    let number = dialog_calls::kept_number(&DialogVariables { calls, dialog })?;
    calls.follow(dialog, number)?;
    // SAFETY: [H2] as above.
    let call = unsafe { key(dialog, number) }?;
    dialog_calls::tell(&gateway.worker, Event { call, what: What::Begun(Box::new(begun)) });
    Some(())
}

/// Something happened in a dialog that is shown.
///
/// # Safety
/// What the dialog module passes to a callback.
pub(super) unsafe fn event(
    gateway: &Gateway,
    dialog: *mut sys::dlg_cell,
    kind: c_int,
    parameters: *const sys::dlg_cb_params,
) -> Option<()> {
    let calls = CALLS.get()?;
    // SAFETY: [H2] as the caller promises.
    let cell = unsafe { dialog.as_ref() }?;
    // SAFETY: [H2] as the caller promises.
    let parameters = unsafe { parameters.as_ref() }?;
    let lifetime = cell.lifetime;
    // SAFETY: [H2] the place of our parameter.
    let number = unsafe { parameters.param.as_ref() }.map_or(0, |parameter| dialog_calls::of_parameter(*parameter));
    // SAFETY: [H2] as above.
    let call = unsafe { key(dialog, number) }?;
    let from = match parameters.direction {
        direction if direction == sys::DLG_DIR_UPSTREAM as c_uint => Some(Side::Callee),
        direction if direction == sys::DLG_DIR_DOWNSTREAM as c_uint => Some(Side::Caller),
        _ => None,
    };
    let what = match kind {
        sys::DLGCB_CONFIRMED_NA => {
            let branch = calls.replied_branch();
            dialog_calls::keep_answered(branch, &DialogVariables { calls, dialog });
            What::Answered { branch, peer: peer(cell), lifetime }
        }
        sys::DLGCB_FAILED => {
            // SAFETY: [H2] the reply that is sent to the caller, or none.
            What::Ended(Ending::Refused(unsafe { status(parameters.rpl) }.unwrap_or(408)))
        }
        sys::DLGCB_TERMINATED => match from.filter(|_| !parameters.req.is_null()) {
            Some(side) => What::Ended(Ending::Bye(side)),
            None => What::Ended(Ending::Server),
        },
        sys::DLGCB_EXPIRED => What::Ended(Ending::Expired),
        sys::DLGCB_REQ_WITHIN => {
            // SAFETY: [H2] the request of the callback.
            let request = unsafe { parameters.req.as_ref() }?;
            // SAFETY: [H2] it is a request.
            let method = i64::from(unsafe { request.first_line.u.request }.method_value);
            let offers = method == i64::from(sys::METHOD_INVITE) || method == i64::from(sys::METHOD_UPDATE);
            let is_silent = flags(request) & calls.nopublish != 0;
            if method == i64::from(sys::METHOD_ACK) {
                // SAFETY: [H2] as above.
                let answer = dialog_calls::answered(&unsafe { headers(parameters.req) }?, from, lifetime)?;
                if is_silent { What::Kept { lifetime } } else { answer }
            } else if !offers || is_silent {
                What::Kept { lifetime }
            } else {
                // SAFETY: [H2] as above.
                dialog_calls::within(&unsafe { headers(parameters.req) }?, from, lifetime)
            }
        }
        sys::DLGCB_RESPONSE_WITHIN => {
            // SAFETY: [H2] the reply of the callback, or the pointer that means none.
            unsafe { status(parameters.rpl) }.filter(|status| (200..300).contains(status))?;
            // SAFETY: [H2] the request that it answers, in shared memory.
            if unsafe { parameters.req.as_ref() }.is_some_and(|request| flags(request) & calls.nopublish != 0) {
                return None;
            }
            // SAFETY: [H2] a 2xx is passed on by the process that has it.
            dialog_calls::answered(&unsafe { headers(parameters.rpl) }?, from, lifetime)?
        }
        _ => return None,
    };
    dialog_calls::tell(&gateway.worker, Event { call, what });
    Some(())
}

/// A reply to the INVITE of a call that is shown, or all of its branches have failed.
///
/// # Safety
/// What tm passes to a callback.
pub(super) unsafe fn reply(
    gateway: &Gateway,
    cell: *const sys::cell,
    kind: c_int,
    parameters: *const sys::tmcb_params,
) -> Option<()> {
    let calls = CALLS.get()?;
    // SAFETY: [H2] as the caller promises.
    let parameters = unsafe { parameters.as_ref() }?;
    let status = u16::try_from(parameters.code).ok()?;
    // SAFETY: [H2] the place of our parameter.
    let number = unsafe { parameters.param.as_ref() }.map_or(0, |parameter| dialog_calls::of_parameter(*parameter));
    if kind & sys::TMCB_ON_FAILURE != 0 {
        // SAFETY: [H2] as the caller promises.
        let branches = u16::try_from(unsafe { cell.as_ref() }?.nr_of_outgoings).ok()?;
        // SAFETY: [H2] the request of the transaction, whose headers the host has parsed.
        let call = unsafe { parsed(parameters.req) }?.call(number)?;
        dialog_calls::tell(&gateway.worker, Event { call, what: What::Failed { branches, status } });
        return Some(());
    }
    // SAFETY: [H2] only compares the pointer.
    if unsafe { sys::xmpp_gateway_is_reply(parameters.rpl) } == 0 || (200..300).contains(&status) {
        return None;
    }
    // SAFETY: [H2] it is a reply, of this process.
    let headers = unsafe { headers(parameters.rpl) }?;
    if !headers.is_of_invite() {
        return None;
    }
    let branch = calls.replied_branch();
    let what = match status {
        100..200 => What::Provisional { branch, status, peer: headers.peer() },
        _ => What::Refused { branch, status },
    };
    dialog_calls::tell(&gateway.worker, Event { call: headers.call(number)?, what });
    Some(())
}

struct DialogVariables<'a> {
    calls: &'a DialogCalls,
    /// Alive as long as the callback or the script that made this.
    dialog: *mut sys::dlg_cell,
}

impl Variables for DialogVariables<'_> {
    fn store(&self, name: &str, value: Option<&str>) -> bool {
        let Some(store) = self.calls.dialog.set_dlg_var else { return false };
        let mut name = host_text(name.as_bytes());
        let mut value = value.map(|value| host_text(value.as_bytes()));
        let place = value.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        // SAFETY: [H2][H5] name and value live through the call, and are copied; NULL takes the variable away.
        unsafe { store(self.dialog, &raw mut name, place) >= 0 }
    }

    fn fetch(&self, name: &str) -> Option<Vec<u8>> {
        let fetch = self.calls.dialog.get_dlg_varval?;
        let mut name = host_text(name.as_bytes());
        let mut value = sys::str_ { s: ptr::null_mut(), len: 0 };
        // SAFETY: [H2] everything lives through the call; the value is in a buffer of the host that lasts longer than this function.
        let found = unsafe { fetch(self.dialog, &raw mut name, &raw mut value) };
        // SAFETY: [H2][H3] the text that the host has set.
        (found == 0).then(|| unsafe { text(value) }.to_vec())
    }
}

/// # Safety
/// A dialog that lives through this call.
unsafe fn key(dialog: *const sys::dlg_cell, number: u32) -> Option<CallKey> {
    // SAFETY: [H2] as the caller promises.
    let cell = unsafe { dialog.as_ref() }?;
    let [caller, _] = cell.tag;
    // SAFETY: [H2][H3] texts of the dialog.
    let [call_id, tag] = [cell.callid, caller].map(|part| unsafe { text(part) });
    dialog_calls::call_key(call_id, tag, number)
}

fn peer(cell: &sys::dlg_cell) -> Peer {
    let ([_, tag], [_, contact]) = (cell.tag, cell.contact);
    // SAFETY: [H2][H3] texts of the dialog, which the caller borrows.
    let [tag, contact] = [tag, contact].map(|part| unsafe { text(part) });
    dialog_calls::peer(tag.to_vec(), contact)
}

/// The flags that the script has set.
fn flags(request: &sys::sip_msg) -> u32 {
    request.flags
}

/// The value of a variable of the script, where it is text.
///
/// # Safety
/// `msg` is the request of the running script.
unsafe fn value(msg: *mut sys::sip_msg, spec: Option<&sys::pv_spec_t>) -> Option<Vec<u8>> {
    // SAFETY: the structure holds numbers and texts, for which all zeros is a value.
    let mut value: sys::pv_value_t = unsafe { mem::zeroed() };
    // SAFETY: [H1][H2] everything lives through the call; the host only reads the specification.
    let found = unsafe { sys::pv_get_spec_value(msg, ptr::from_ref(spec?).cast_mut(), &raw mut value) };
    let is_text = value.flags & sys::PV_VAL_STR as c_int != 0;
    // SAFETY: [H2][H3] the text that the host has set.
    (found >= 0 && is_text).then(|| unsafe { text(value.rs) }.to_vec()).filter(|text| !text.is_empty())
}

/// Copies the headers of a message of this process, having them parsed.
///
/// # Safety
/// `message` is that of the running callback or script, and this process's own.
unsafe fn headers(message: *mut sys::sip_msg) -> Option<Headers> {
    // SAFETY: [H1][H2] the host's parser on the host's message, of which we hold no reference.
    if unsafe { sys::parse_headers(message, sys::XMPP_GATEWAY_HDR_EOH_F, 0) } < 0 {
        return None;
    }
    // SAFETY: [H2] as the caller promises.
    let headers = unsafe { parsed(message) }?;
    // SAFETY: [H2] as above.
    Some(Headers { body: unsafe { msg::body_of(message) }.to_vec(), ..headers })
}

/// Copies the headers that the host has found.
///
/// # Safety
/// NULL, or a message that lives through this call.
unsafe fn parsed(message: *const sys::sip_msg) -> Option<Headers> {
    // SAFETY: [H2] as the caller promises.
    let message = unsafe { message.as_ref() }?;
    let value = |header: *const sys::hdr_field| {
        // SAFETY: [H2] a header of the message, or none.
        let header = unsafe { header.as_ref() };
        // SAFETY: [H2][H3] as above.
        header.map_or_else(Vec::new, |header| unsafe { text(header.body) }.trim_ascii().to_vec())
    };
    let other = |names: [&[u8]; 2]| {
        let mut next: *const sys::hdr_field = message.headers;
        // SAFETY: [H2] the list of the message's headers.
        while let Some(header) = unsafe { next.as_ref() } {
            // SAFETY: [H2][H3] a text of the message.
            let name = unsafe { text(header.name) };
            if names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted)) {
                return value(next);
            }
            next = header.next;
        }
        Vec::new()
    };
    Some(Headers {
        call_id: value(message.callid),
        from: value(message.from),
        to: value(message.to),
        contact: value(message.contact),
        cseq: value(message.cseq),
        replaces: other([b"Replaces"; 2]),
        referred_by: other([b"Referred-By", b"b"]),
        request_uri: request_uri(message),
        body: Vec::new(),
    })
}

/// As the script left it; empty in a reply.
fn request_uri(message: &sys::sip_msg) -> Vec<u8> {
    if i32::from(message.first_line.type_) != sys::SIP_REQUEST {
        return Vec::new();
    }
    let uri = if message.new_uri.len > 0 {
        message.new_uri
    } else {
        // SAFETY: [H2] it is a request, and so this is the request of the union.
        unsafe { message.first_line.u.request }.uri
    };
    // SAFETY: [H2][H3] a text of the message.
    unsafe { text(uri) }.to_vec()
}

/// # Safety
/// A reply, NULL, or the host's pointer that means none.
unsafe fn status(reply: *const sys::sip_msg) -> Option<u16> {
    // SAFETY: [H2] only compares the pointer.
    if unsafe { sys::xmpp_gateway_is_reply(reply) } == 0 {
        return None;
    }
    // SAFETY: [H2] it is a reply.
    let reply = unsafe { reply.as_ref() }?;
    // SAFETY: [H2] and so this is the reply of the union.
    u16::try_from(unsafe { reply.first_line.u.reply }.statuscode).ok()
}
