//! Calls of this host's dialog module: who is shown them is said by `dialoginfo_set()`, what happens by the callbacks of dialog and tm.
//!
//! All callbacks only copy, and tell the XMPP process; they may run under a lock of the host.

use std::ffi::CString;
use std::ffi::c_int;
use std::ffi::c_void;
use std::mem::transmute;
use std::mem::zeroed;
use std::ptr;
use std::ptr::NonNull;

use super::Module;
use super::callbacks;
use super::calls;
use super::msg;
use super::restored::Library;
use super::sys;
use crate::calls::CallKey;
use crate::calls::Ending;
use crate::calls::Event;
use crate::calls::Parties;
use crate::calls::Peer;
use crate::calls::Side;
use crate::calls::What;
use crate::calls::header_address;
use crate::config;
use crate::config::DialogMode;
use crate::host;
use crate::host::dialog_calls;
use crate::host::dialog_calls::Headers;
use crate::host::dialog_calls::Variables;

/// The dialog module, and what the script's parameters name.
pub(super) struct DialogCalls {
    dialog: sys::dlg_binds,
    caller_spec: Option<Box<sys::pv_spec_t>>,
    callee_spec: Option<Box<sys::pv_spec_t>>,
    /// A mask; 0 is no flag.
    nopublish_flag: u32,
    sharing: Option<Sharing>,
}

/// What the dialog module knows of other nodes. It exports nothing for this, so both are looked up by their names.
struct Sharing {
    /// `dialog_repl_cluster`: 0 where dialogs are this node's only.
    cluster: NonNull<c_int>,
    /// `get_shtag_state()`: 1 on the node that a dialog's sharing tag is active on.
    state: unsafe extern "C" fn(*mut sys::dlg_cell) -> c_int,
}

impl Sharing {
    /// `of_dialog` is any function of the dialog module.
    fn of(of_dialog: *const c_void) -> Option<Self> {
        let library = Library::of(of_dialog)?;
        let cluster = library.symbol(c"dialog_repl_cluster")?.cast();
        let state = library.symbol(c"get_shtag_state")?;
        // SAFETY: [H4] a function of the dialog module, of this type in all versions; the module is never unloaded.
        let state = unsafe { transmute::<*mut c_void, unsafe extern "C" fn(*mut sys::dlg_cell) -> c_int>(state.as_ptr()) };
        Some(Self { cluster, state })
    }

    /// Whether all dialogs are this node's only.
    fn is_alone(&self) -> bool {
        // SAFETY: [H4] a variable of the dialog module, written before the fork.
        unsafe { self.cluster.read() == 0 }
    }

    /// Whether another node has the calls of this dialog, and this one a copy.
    fn is_copy(&self, dialog: *mut sys::dlg_cell) -> bool {
        // SAFETY: [H1][H2] asks about the dialog of the running callback; in a cluster, so that the module is bound to it.
        !self.is_alone() && unsafe { (self.state)(dialog) } != SHARED_HERE
    }
}

/// `SHTAG_STATE_ACTIVE`
const SHARED_HERE: c_int = 1;

// SAFETY: [H1][H4] made in mod_init, inherited by fork, then only read.
unsafe impl Send for DialogCalls {}
// SAFETY: [H1][H4] as above.
unsafe impl Sync for DialogCalls {}

impl DialogCalls {
    /// In mod_init. The error says what is missing.
    pub(super) fn bind(config: &mut config::Calls) -> Result<Option<Self>, &'static str> {
        if config.mode == DialogMode::Off {
            return Ok(None);
        }
        // SAFETY: [H3] plain C: optional functions, for which zero is "none".
        let mut dialog: sys::dlg_binds = unsafe { zeroed() };
        // SAFETY: [H1][H5] in mod_init, into a table of ours.
        let is_loaded = unsafe { sys::host_load_dialog(&raw mut dialog) } >= 0;
        if !is_loaded && config.mode == DialogMode::Phones {
            ::log::warn!("{}", host::NO_CALLS);
            config.mode = DialogMode::Off;
            return Ok(None);
        }
        if !is_loaded {
            return Err("parameter dialog_mode shows calls of module dialog: load it before xmpp_gateway");
        }
        if config.documents.ring_time == 0 {
            config.documents.ring_time = ring_time();
        }
        let calls = Self {
            dialog,
            caller_spec: variable(config.caller_spec.as_deref()).map_err(|()| "parameter caller_spec_param names no variable")?,
            callee_spec: variable(config.callee_spec.as_deref()).map_err(|()| "parameter callee_spec_param names no variable")?,
            nopublish_flag: flag(config.nopublish_flag.as_deref()),
            sharing: dialog.register_dlgcb.and_then(|of_dialog| Sharing::of(of_dialog as *const c_void)),
        };
        if config.mode == DialogMode::Phones {
            // No lamp depends on it, so the script need not say which calls these are.
            calls
                .hear(ptr::null_mut(), sys::DLGCB_CREATED, Some(callbacks::call_created), 0)
                .ok_or("module dialog refused a callback")?;
        }
        Ok(Some(calls))
    }

    /// Asks for the dialogs from before a restart, when everything else stands: the host tells them at once.
    pub(super) fn load(&self) -> Option<()> {
        dialog_calls::begin_to_load();
        let loaded = self.hear(ptr::null_mut(), sys::DLGCB_LOADED, Some(callbacks::call_loaded), 0);
        dialog_calls::end_of_loading();
        loaded
    }

    fn hear(&self, dialog: *mut sys::dlg_cell, types: c_int, callback: Callback, number: u32) -> Option<()> {
        let register = self.dialog.register_dlgcb?;
        // SAFETY: [H1][H2] a dialog of the host, or none; the parameter is a number, which nobody frees.
        (unsafe { register(dialog, types, callback, dialog_calls::to_parameter(number), None) } == 0).then_some(())
    }

    /// What happens in a dialog that stands, or may; with the number of its INVITE.
    fn follow(&self, dialog: *mut sys::dlg_cell, number: u32) -> Option<()> {
        let ends = sys::DLGCB_FAILED | sys::DLGCB_TERMINATED | sys::DLGCB_EXPIRED;
        let types = ends | sys::DLGCB_CONFIRMED | sys::DLGCB_REQ_WITHIN | sys::DLGCB_RESPONSE_WITHIN;
        // Of an end that another node has seen nothing else tells.
        let is_shared = self.sharing.as_ref().is_some_and(|sharing| !sharing.is_alone());
        let types = if is_shared { types | sys::DLGCB_DESTROY } else { types };
        self.hear(dialog, types, Some(callbacks::call_event), number)
    }

    /// The dialog of the request or reply that the script is at.
    fn current(&self) -> Option<*mut sys::dlg_cell> {
        // SAFETY: [H1] asks for a pointer; the host holds a reference as long as the script is at this message.
        let dialog = unsafe { (self.dialog.get_dlg?)() };
        Some(dialog).filter(|dialog| !dialog.is_null())
    }
}

type Callback = Option<unsafe extern "C" fn(*mut sys::dlg_cell, c_int, *mut sys::dlg_cb_params)>;

/// How long tm lets a call ring.
fn ring_time() -> u32 {
    // SAFETY: [H1] both names are NUL-terminated and only read.
    let place = unsafe { sys::find_param_export(c"tm".as_ptr(), c"fr_inv_timeout".as_ptr(), sys::INT_PARAM.unsigned_abs()) };
    // SAFETY: [H2] NULL, or the parameter's `int`, which lives as long as the process.
    let seconds = unsafe { place.cast::<c_int>().as_ref() }.copied();
    seconds.and_then(|seconds| u32::try_from(seconds).ok()).filter(|seconds| *seconds > 0).unwrap_or(USUAL_RING_TIME)
}

/// More than timer C of RFC 3261 §16.6, where tm does not say.
const USUAL_RING_TIME: u32 = 190;

fn variable(name: Option<&str>) -> Result<Option<Box<sys::pv_spec_t>>, ()> {
    let Some(name) = name else { return Ok(None) };
    // SAFETY: [H3] plain C: integers, pointers and optional functions, for which zero is "none".
    let mut spec: Box<sys::pv_spec_t> = Box::new(unsafe { zeroed() });
    // The host keeps pointers into the name.
    let text = calls::bytes(Box::leak(name.to_owned().into_boxed_str()).as_bytes());
    // SAFETY: [H1][H4] in mod_init; the name lives for ever, the specification as long as the module.
    let end = unsafe { sys::pv_parse_spec(&raw const text, &raw mut *spec) };
    if end.is_null() { Err(()) } else { Ok(Some(spec)) }
}

fn flag(name: Option<&str>) -> u32 {
    let Some(name) = name.and_then(|name| CString::new(name).ok()) else { return 0 };
    // SAFETY: [H1][H5] in mod_init; the name is NUL-terminated and copied.
    let flag = unsafe { sys::get_flag_id_by_name(sys::FLAG_TYPE_MSG as c_int, name.as_ptr().cast_mut(), 0) };
    u32::try_from(flag).ok().and_then(|flag| 1_u32.checked_shl(flag)).unwrap_or(0)
}

/// `dialoginfo_set()`: the call of this INVITE is shown from now on.
///
/// # Safety
/// `msg` is the request of the running script.
pub(super) unsafe fn show(module: &Module, msg: *mut sys::sip_msg, parties: Parties) -> Option<()> {
    let calls = module.dialog_calls.as_ref()?;
    // SAFETY: [H2] as the caller promises.
    let headers = unsafe { headers(msg) }?;
    if !headers.is_of_invite() || header_address(&headers.to).is_some_and(|to| !to.tag.is_empty()) {
        return Some(());
    }
    // SAFETY: [H1][H2] the request of the running script.
    if unsafe { (calls.dialog.create_dlg?)(msg, 0) } < 0 {
        return None;
    }
    let dialog = calls.current()?;
    let variables = DialogVariables { calls, dialog };
    if let Some(what) = dialog_calls::keep_shown(parties, &variables) {
        dialog_calls::tell(&module.worker, Event { call: headers.new_call()?, what });
        return Some(());
    }
    // SAFETY: [H2] as the caller promises.
    unsafe { begin(module, msg, &variables, &headers, parties) }
}

/// An INVITE made a dialog, where the script need not say which calls are seen.
///
/// # Safety
/// What the dialog module passes to a callback.
pub(super) unsafe fn created(module: &Module, dialog: *mut sys::dlg_cell, parameters: *const sys::dlg_cb_params) -> Option<()> {
    let calls = module.dialog_calls.as_ref()?;
    // SAFETY: [H2] as the caller promises.
    let msg = unsafe { parameters.as_ref() }?.msg;
    let variables = DialogVariables { calls, dialog };
    // SAFETY: [H2] as above.
    let mut headers = unsafe { headers(msg) }?;
    if !headers.is_of_invite() || dialog_calls::is_kept(&variables) {
        return None;
    }
    // The script may have looked up the phone by now: the user is who was called.
    // SAFETY: [H2] as above.
    headers.request_uri = received_uri(unsafe { msg.as_ref() }?);
    // SAFETY: [H2] as above.
    unsafe { begin(module, msg, &variables, &headers, Parties::BOTH) }
}

/// # Safety
/// `msg` is the INVITE of the running script or callback, and its dialog that of the variables.
unsafe fn begin(
    module: &Module,
    msg: *mut sys::sip_msg,
    variables: &DialogVariables<'_>,
    headers: &Headers,
    parties: Parties,
) -> Option<()> {
    let &DialogVariables { calls, dialog } = variables;
    let call = headers.new_call()?;
    // SAFETY: [H2] as the caller promises.
    let lifetime = unsafe { sys::host_time_left(dialog) };
    // SAFETY: [H2] as the caller promises.
    let given = [&calls.caller_spec, &calls.callee_spec].map(|spec| unsafe { value(msg, spec.as_deref()) });
    let callee = [b"<".as_slice(), &headers.request_uri, b">"].concat();
    let begun = dialog_calls::begun(headers, &callee, given, parties, lifetime)?;
    let replies = sys::TMCB_RESPONSE_IN | sys::TMCB_ON_FAILURE;
    let number = dialog_calls::to_parameter(call.cseq);
    // SAFETY: [H1][H2] the request of the running script; the parameter is a number, which nobody frees.
    let heard = unsafe { (module.tm.register_tmcb?)(msg, ptr::null_mut(), replies, Some(callbacks::call_reply), number, None) };
    if heard != 1 {
        return None;
    }
    calls.follow(dialog, call.cseq)?;
    dialog_calls::keep(&begun, call.cseq, variables);
    dialog_calls::tell(&module.worker, Event { call, what: What::Begun(Box::new(begun)) });
    Some(())
}

/// `dialoginfo_set_branch_callee()`: `None` where there is no dialog, or no address.
pub(super) fn set_branch_callee(module: &Module, callee: &[u8]) -> Option<()> {
    in_branch(module, |branch, variables| dialog_calls::branch_callee(branch, callee, variables))
}

/// `dialoginfo_mute_branch()`: `None` where there is no dialog.
pub(super) fn mute_branch(module: &Module, parties: Parties) -> Option<()> {
    in_branch(module, |branch, variables| Some(dialog_calls::mute(branch, parties, variables)))
}

fn in_branch(module: &Module, of: impl FnOnce(u16, &DialogVariables<'_>) -> Option<What>) -> Option<()> {
    let calls = module.dialog_calls.as_ref()?;
    let dialog = calls.current()?;
    let variables = DialogVariables { calls, dialog };
    let what = of(branch(module), &variables)?;
    let Some(number) = dialog_calls::kept_number(&variables) else { return Some(()) };
    // SAFETY: [H2] the dialog of the running script.
    let call = unsafe { key(dialog, number) }?;
    dialog_calls::tell(&module.worker, Event { call, what });
    Some(())
}

/// A dialog from before a restart, or from another node: that tells of it as long as it has it, and nobody here would hear of its end.
///
/// # Safety
/// `dialog` is that of the running callback.
pub(super) unsafe fn loaded(module: &Module, dialog: *mut sys::dlg_cell) -> Option<()> {
    let calls = module.dialog_calls.as_ref()?;
    // SAFETY: [H2] as the caller promises.
    if !unsafe { is_up(dialog) } {
        return None;
    }
    let number = dialog_calls::kept_number(&DialogVariables { calls, dialog })?;
    if !dialog_calls::is_loading() && calls.sharing.as_ref().is_some_and(|sharing| sharing.is_copy(dialog)) {
        return calls.follow(dialog, number | COPY);
    }
    calls.follow(dialog, number)?;
    // SAFETY: [H2] as above.
    unsafe { begin_again(module, calls, dialog, number) }
}

/// In the parameter of a callback, beside the number of the INVITE: the dialog came here as a copy.
const COPY: u32 = 1 << 31;

/// Tells of a call that was answered before this node had it; once more does no harm.
///
/// # Safety
/// `dialog` is that of the running callback.
unsafe fn begin_again(module: &Module, calls: &DialogCalls, dialog: *mut sys::dlg_cell, number: u32) -> Option<()> {
    // SAFETY: [H2] as the caller promises.
    let (peer, lifetime) = (unsafe { peer(dialog) }, unsafe { sys::host_time_left(dialog) });
    let begun = dialog_calls::restored(&DialogVariables { calls, dialog }, peer, lifetime)?;
    // SAFETY: [H2] as above.
    let call = unsafe { key(dialog, number) }?;
    dialog_calls::tell(&module.worker, Event { call, what: What::Begun(Box::new(begun)) });
    Some(())
}

/// Whether what happens in a copy shows that this node has its call now, of which the XMPP process does not know yet. Of one that is over it need
/// not: its end counts once, and requests that come late, as a BYE that is sent again, would begin it anew.
///
/// # Safety
/// `dialog` is that of the running callback.
unsafe fn is_taken_over(calls: &DialogCalls, dialog: *mut sys::dlg_cell, kind: c_int) -> bool {
    let happens = match kind {
        sys::DLGCB_RESPONSE_WITHIN | sys::DLGCB_DESTROY => false,
        sys::DLGCB_TERMINATED | sys::DLGCB_EXPIRED | sys::DLGCB_FAILED => true,
        // SAFETY: [H2] as the caller promises.
        _ => unsafe { is_up(dialog) },
    };
    happens && calls.sharing.as_ref().is_some_and(|sharing| !sharing.is_copy(dialog))
}

/// Whether it was answered, and is not over.
///
/// # Safety
/// NULL, or a dialog that lives through this call.
unsafe fn is_up(dialog: *const sys::dlg_cell) -> bool {
    // SAFETY: [H2] as the caller promises.
    let state = unsafe { dialog.as_ref() }.map(|cell| i64::from(cell.state));
    [sys::DLG_STATE_CONFIRMED, sys::DLG_STATE_CONFIRMED_NA].iter().any(|up| state == Some(i64::from(*up)))
}

/// Something happened in a dialog that is shown.
///
/// # Safety
/// What the dialog module passes to a callback.
pub(super) unsafe fn event(
    module: &Module,
    dialog: *mut sys::dlg_cell,
    kind: c_int,
    parameters: *const sys::dlg_cb_params,
) -> Option<()> {
    let calls = module.dialog_calls.as_ref()?;
    // SAFETY: [H2] as the caller promises.
    let parameters = unsafe { parameters.as_ref() }?;
    if parameters.is_active == 0 {
        return None;
    }
    // SAFETY: [H2] as above.
    let lifetime = unsafe { sys::host_time_left(dialog) };
    // SAFETY: [H2] the place of our parameter.
    let number = unsafe { parameters.param.as_ref() }.map_or(0, |parameter| dialog_calls::of_parameter(*parameter));
    let is_copy = number & COPY != 0;
    let number = number & !COPY;
    // SAFETY: [H2] as above.
    if is_copy && unsafe { is_taken_over(calls, dialog, kind) } {
        // SAFETY: [H2] as above.
        unsafe { begin_again(module, calls, dialog, number) };
    }
    // SAFETY: [H2] as above.
    let call = unsafe { key(dialog, number) }?;
    let from = match parameters.direction {
        direction if direction == sys::DLG_DIR_UPSTREAM.unsigned_abs() => Some(Side::Callee),
        direction if direction == sys::DLG_DIR_DOWNSTREAM.unsigned_abs() => Some(Side::Caller),
        _ => None,
    };
    let what = match kind {
        sys::DLGCB_CONFIRMED => {
            let branch = branch(module);
            dialog_calls::keep_answered(branch, &DialogVariables { calls, dialog });
            // SAFETY: [H2] the 2xx, which tells the Contact: that of the dialog may be another one.
            let peer = unsafe { headers(parameters.msg) }.map_or_else(Peer::default, |headers| headers.peer());
            What::Answered { branch, peer, lifetime }
        }
        sys::DLGCB_FAILED => {
            // SAFETY: [H2] the reply that is sent to the caller, or none.
            What::Ended(Ending::Refused(unsafe { status(parameters.msg) }.unwrap_or(408)))
        }
        // SAFETY: [H2] the BYE, or none where the host ends the call: then the message is made up.
        sys::DLGCB_TERMINATED => match from.filter(|_| unsafe { is_received(parameters.msg) }) {
            Some(side) => What::Ended(Ending::Bye(side)),
            None => What::Ended(Ending::Server),
        },
        sys::DLGCB_EXPIRED => What::Ended(Ending::Expired),
        // The end that was told before it counts.
        sys::DLGCB_DESTROY => What::Ended(Ending::Server),
        sys::DLGCB_REQ_WITHIN => {
            // SAFETY: [H2] the request of the callback.
            let message = unsafe { parameters.msg.as_ref() }?;
            // SAFETY: [H2] it is a request.
            let method = i64::from(unsafe { message.first_line.u.request }.method_value);
            let offers = method == i64::from(sys::METHOD_INVITE) || method == i64::from(sys::METHOD_UPDATE);
            let is_silent = message.flags & calls.nopublish_flag != 0;
            if method == i64::from(sys::METHOD_ACK) {
                // SAFETY: [H2] as above.
                let answer = dialog_calls::answered(&unsafe { headers(parameters.msg) }?, from, lifetime)?;
                if is_silent { What::Kept { lifetime } } else { answer }
            } else if !offers || is_silent {
                What::Kept { lifetime }
            } else {
                // SAFETY: [H2] as above.
                dialog_calls::within(&unsafe { headers(parameters.msg) }?, from, lifetime)
            }
        }
        sys::DLGCB_RESPONSE_WITHIN => {
            // SAFETY: [H2] the reply of the callback.
            unsafe { status(parameters.msg) }.filter(|status| (200..300).contains(status))?;
            // SAFETY: [H2] it is a reply, which has the flags of its request.
            if unsafe { parameters.msg.as_ref() }?.flags & calls.nopublish_flag != 0 {
                return None;
            }
            // SAFETY: [H2] as above, and of this process.
            dialog_calls::answered(&unsafe { headers(parameters.msg) }?, from, lifetime)?
        }
        _ => return None,
    };
    dialog_calls::tell(&module.worker, Event { call, what });
    Some(())
}

/// A reply to the INVITE of a call that is shown, or all of its branches have failed.
///
/// # Safety
/// What tm passes to a callback.
pub(super) unsafe fn reply(
    module: &Module,
    cell: *const sys::cell,
    kind: c_int,
    parameters: *const sys::tmcb_params,
) -> Option<()> {
    // SAFETY: [H2] as the caller promises.
    let (cell, parameters) = (unsafe { cell.as_ref() }?, unsafe { parameters.as_ref() }?);
    let status = u16::try_from(parameters.code).ok()?;
    // SAFETY: [H2] the place of our parameter.
    let number = unsafe { parameters.param.as_ref() }.map_or(0, |parameter| dialog_calls::of_parameter(*parameter));
    if kind == sys::TMCB_ON_FAILURE {
        // SAFETY: [H2] the request of the transaction, whose headers the host has parsed.
        let call = unsafe { parsed(parameters.req) }?.call(number)?;
        let branches = u16::try_from(cell.nr_of_outgoings).ok()?;
        dialog_calls::tell(&module.worker, Event { call, what: What::Failed { branches, status } });
        return Some(());
    }
    // SAFETY: [H2] a reply, or the pointer that means none.
    if unsafe { sys::host_is_reply(parameters.rpl) } == 0 || (200..300).contains(&status) {
        return None;
    }
    // SAFETY: [H2] it is a reply, of this process.
    let headers = unsafe { headers(parameters.rpl) }?;
    if !headers.is_of_invite() {
        return None;
    }
    let branch = branch(module);
    let what = match status {
        100..200 => What::Provisional { branch, status, peer: headers.peer() },
        _ => What::Refused { branch, status },
    };
    dialog_calls::tell(&module.worker, Event { call: headers.call(number)?, what });
    Some(())
}

/// The branch whose reply, or whose route, this process is at.
fn branch(module: &Module) -> u16 {
    // SAFETY: [H1] reads a variable of tm in this process.
    let index = module.tm.get_branch_index.map_or(0, |index| unsafe { index() });
    u16::try_from(index).unwrap_or(0)
}

struct DialogVariables<'a> {
    calls: &'a DialogCalls,
    /// Alive as long as the callback or the script that made this.
    dialog: *mut sys::dlg_cell,
}

impl Variables for DialogVariables<'_> {
    fn store(&self, name: &str, value: Option<&str>) -> bool {
        let Some(store) = self.calls.dialog.store_dlg_value else { return false };
        let mut name = calls::bytes(name.as_bytes());
        let mut value = value.map(|value| sys::int_str { s: calls::bytes(value.as_bytes()) });
        let place = value.as_mut().map_or(ptr::null_mut(), ptr::from_mut);
        // SAFETY: [H2][H5] name and value live through the call, and are copied; NULL takes the variable away.
        unsafe { store(self.dialog, &raw mut name, place, sys::DLG_VAL_TYPE_STR) >= 0 }
    }

    fn fetch(&self, name: &str) -> Option<Vec<u8>> {
        let fetch = self.calls.dialog.fetch_dlg_value?;
        let name = calls::bytes(name.as_bytes());
        let mut value = sys::int_str { s: sys::str_ { s: ptr::null_mut(), len: 0 } };
        let mut kind = 0;
        // SAFETY: [H2] everything lives through the call; without a place of ours the value is in one of the host, until the next call.
        let found = unsafe { fetch(self.dialog, &raw const name, &raw mut kind, &raw mut value, 0) };
        if found != 0 || kind != sys::DLG_VAL_TYPE_STR {
            return None;
        }
        // SAFETY: [H2] of this type the host has set the text.
        let text = unsafe { value.s };
        // SAFETY: [H2][H3] the text that the host has set.
        Some(unsafe { msg::bytes(&raw const text) })
    }
}

/// # Safety
/// A dialog that lives through this call.
unsafe fn key(dialog: *const sys::dlg_cell, number: u32) -> Option<CallKey> {
    // SAFETY: [H2] as the caller promises.
    let cell = unsafe { dialog.as_ref() }?;
    // SAFETY: [H2] the caller's leg, which a dialog always has.
    let leg = unsafe { cell.legs.as_ref() }?;
    // SAFETY: [H2][H3] texts of the dialog.
    let [call_id, tag] = [&raw const cell.callid, &raw const leg.tag].map(|text| unsafe { msg::bytes(text) });
    dialog_calls::call_key(&call_id, &tag, number)
}

/// # Safety
/// A dialog that lives through this call.
unsafe fn peer(dialog: *const sys::dlg_cell) -> Peer {
    // SAFETY: [H2] as the caller promises.
    let Some(cell) = (unsafe { dialog.as_ref() }) else { return Peer::default() };
    // SAFETY: [H2] as above.
    let Ok(index) = usize::try_from(unsafe { sys::host_callee_leg(dialog) }) else { return Peer::default() };
    // SAFETY: [H2] the shim says that there is such a leg.
    let leg = unsafe { cell.legs.add(index) };
    // SAFETY: [H2] as above.
    let Some(leg) = (unsafe { leg.as_ref() }) else { return Peer::default() };
    // SAFETY: [H2][H3] texts of the leg.
    let [tag, contact] = [&raw const leg.tag, &raw const leg.contact].map(|text| unsafe { msg::bytes(text) });
    dialog_calls::peer(tag, &contact)
}

/// The value of a variable of the script, where it is text.
///
/// # Safety
/// `msg` is the request of the running script.
unsafe fn value(msg: *mut sys::sip_msg, spec: Option<&sys::pv_spec_t>) -> Option<Vec<u8>> {
    // SAFETY: [H3] plain C: integers and texts, for which zero is "none".
    let mut value: sys::pv_value_t = unsafe { zeroed() };
    // SAFETY: [H1][H2] everything lives through the call; the host only reads the specification.
    let found = unsafe { sys::pv_get_spec_value(msg, ptr::from_ref(spec?).cast_mut(), &raw mut value) };
    let is_text = value.flags & sys::PV_VAL_STR != 0;
    // SAFETY: [H2][H3] the text that the host has set.
    (found >= 0 && is_text).then(|| unsafe { msg::bytes(&raw const value.rs) }).filter(|text| !text.is_empty())
}

/// Copies the headers of a message of this process, having them parsed.
///
/// # Safety
/// `msg` is the message of the running callback or script, and this process's own.
unsafe fn headers(message: *mut sys::sip_msg) -> Option<Headers> {
    // SAFETY: [H1][H2] the host's parser on the host's message.
    if unsafe { sys::host_parse_all_headers(message) } < 0 {
        return None;
    }
    // SAFETY: [H2] as the caller promises.
    let mut headers = unsafe { parsed(message) }?;
    let mut body = sys::str_ { s: ptr::null_mut(), len: 0 };
    // SAFETY: [H1][H2] as above; `body` points into the message afterwards.
    if unsafe { sys::host_body(message, &raw mut body) } >= 0 {
        // SAFETY: [H2][H3] as above.
        headers.body = unsafe { msg::bytes(&raw const body) };
    }
    Some(headers)
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
        header.map_or_else(Vec::new, |header| unsafe { msg::bytes(&raw const header.body) }.trim_ascii().to_vec())
    };
    let other = |names: [&[u8]; 2]| {
        let mut next: *const sys::hdr_field = message.headers;
        // SAFETY: [H2] the list of the message's headers.
        while let Some(header) = unsafe { next.as_ref() } {
            // SAFETY: [H2][H3] a text of the message.
            let name = unsafe { msg::bytes(&raw const header.name) };
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
    if i64::from(message.first_line.type_) != i64::from(sys::SIP_REQUEST) {
        return Vec::new();
    }
    if message.new_uri.len > 0 {
        // SAFETY: [H2][H3] a text of the message.
        return unsafe { msg::bytes(&raw const message.new_uri) };
    }
    received_uri(message)
}

/// As it came; empty in a reply.
fn received_uri(message: &sys::sip_msg) -> Vec<u8> {
    if i64::from(message.first_line.type_) != i64::from(sys::SIP_REQUEST) {
        return Vec::new();
    }
    // SAFETY: [H2] it is a request, and so this is the request of the union.
    let line = unsafe { message.first_line.u.request };
    // SAFETY: [H2][H3] as above.
    unsafe { msg::bytes(&raw const line.uri) }
}

/// # Safety
/// A reply, NULL, or the host's pointer that means none.
unsafe fn status(reply: *const sys::sip_msg) -> Option<u16> {
    // SAFETY: [H2] compares the pointer only.
    if unsafe { sys::host_is_reply(reply) } == 0 {
        return None;
    }
    // SAFETY: [H2] it is a reply.
    let reply = unsafe { reply.as_ref() }?;
    // SAFETY: [H2] and so this is the reply of the union.
    u16::try_from(unsafe { reply.first_line.u.reply }.statuscode).ok()
}

/// Whether this is a request from the network: those that the host makes up have no sender.
///
/// # Safety
/// A request, or NULL.
unsafe fn is_received(request: *const sys::sip_msg) -> bool {
    // SAFETY: [H2] as the caller promises.
    unsafe { request.as_ref() }.is_some_and(|request| {
        // SAFETY: [H2] it is a request, and so this is the request of the union.
        i64::from(unsafe { request.first_line.u.request }.method_value) == i64::from(sys::METHOD_BYE)
    })
}
