//! The tables that Kamailio's loader reads: version, functions, KEMI functions, parameters.

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ffi::c_uint;
use std::ffi::c_void;
use std::ptr;

use super::callbacks;
use super::log::MODULE;
use super::sys;
use crate::host::parameters;

/// A table that the host may read, and write, for as long as the process lives.
#[repr(transparent)]
pub(super) struct Table<T>(UnsafeCell<T>);

// SAFETY: [H1][H4] there is one thread, and only the host touches what is inside.
unsafe impl<T> Sync for Table<T> {}

impl<T> Table<T> {
    const fn new(table: T) -> Self {
        Self(UnsafeCell::new(table))
    }

    pub(super) const fn pointer<E>(&self) -> *mut E {
        self.0.get().cast()
    }
}

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the loader's name")]
static module_version: Table<*const c_char> = Table::new(sys::HOST_VERSION.as_ptr());

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the loader's name")]
static module_flags: Table<*const c_char> = Table::new(sys::HOST_FLAGS.as_ptr());

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the loader's name")]
static module_interface_ver: Table<c_uint> = Table::new(sys::MODULE_INTERFACE_VER as c_uint);

#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the loader's name")]
static exports: Table<sys::module_exports> = Table::new(sys::module_exports {
    name: MODULE.as_ptr().cast_mut(),
    dlflags: 0,
    cmds: COMMANDS.pointer(),
    params: PARAMETERS.pointer(),
    rpc_methods: RPC.pointer(),
    pv_items: ptr::null_mut(),
    response_f: None,
    init_mod_f: Some(callbacks::mod_init),
    init_child_f: Some(callbacks::child_init),
    destroy_mod_f: None,
});

static COMMANDS: Table<[sys::cmd_export; 11]> = Table::new([
    command(c"xmpp_send_message", callbacks::send_message, 0),
    command(c"pua_xmpp_notify", callbacks::notify, 0),
    command(c"xmpp_handle_subscribe", callbacks::handle_subscribe, 0),
    sys::cmd_export {
        fixup: Some(sys::fixup_spve_spve),
        free_fixup: Some(sys::fixup_free_spve_spve),
        ..command(c"pua_xmpp_req_winfo", callbacks::req_winfo, 2)
    },
    sys::cmd_export {
        fixup: Some(sys::fixup_spve_spve),
        free_fixup: Some(sys::fixup_free_spve_spve),
        ..command(c"xmpp_phone_state", callbacks::phone_state, 2)
    },
    command(c"dialoginfo_set", callbacks::dialoginfo_set, 0),
    with_text(command(c"dialoginfo_set", callbacks::dialoginfo_set, 1)),
    with_text(command(c"dialoginfo_set_branch_callee", callbacks::dialoginfo_set_branch_callee, 1)),
    command(c"dialoginfo_mute_branch", callbacks::dialoginfo_mute_branch, 0),
    with_text(command(c"dialoginfo_mute_branch", callbacks::dialoginfo_mute_branch, 1)),
    sys::cmd_export { name: ptr::null_mut(), function: None, param_no: 0, fixup: None, free_fixup: None, flags: 0 },
]);

/// Commands that an operator gives while the server runs.
static RPC: Table<[sys::rpc_export_t; 5]> = Table::new([
    sys::rpc_export_t {
        name: c"xmpp_gateway.address_reload".as_ptr(),
        function: Some(callbacks::address_reload),
        doc_str: ADDRESS_RELOAD.pointer(),
        flags: 0,
    },
    rpc(c"xmpp_gateway.phone_state", callbacks::rpc_phone_state, PHONE_STATE.pointer()),
    rpc(c"xmpp_gateway.account_reload", callbacks::rpc_account_reload, ACCOUNT_RELOAD.pointer()),
    rpc(c"xmpp_gateway.account_import", callbacks::rpc_account_import, ACCOUNT_IMPORT.pointer()),
    sys::rpc_export_t { name: ptr::null(), function: None, doc_str: ptr::null_mut(), flags: 0 },
]);

type Rpc = unsafe extern "C" fn(*mut sys::rpc_t, *mut c_void);

const fn rpc(name: &'static CStr, function: Rpc, document: *mut *const c_char) -> sys::rpc_export_t {
    sys::rpc_export_t { name: name.as_ptr(), function: Some(function), doc_str: document, flags: 0 }
}

static ADDRESS_RELOAD: Table<[*const c_char; 2]> =
    document(c"Reads the table of users whose address on the other side is chosen anew (address_table).");

static PHONE_STATE: Table<[*const c_char; 2]> = document(c"Says what the state of a phone is: SIP URI of its user, state.");

static ACCOUNT_RELOAD: Table<[*const c_char; 2]> = document(c"Reads the table of XMPP accounts anew (account_table).");

static ACCOUNT_IMPORT: Table<[*const c_char; 2]> =
    document(c"Adds the accounts of a file of the BOSH connector to the table: path, XMPP domain of names without one.");

const fn document(text: &'static CStr) -> Table<[*const c_char; 2]> {
    Table::new([text.as_ptr(), ptr::null()])
}

type Command = unsafe extern "C" fn(*mut sys::sip_msg, *mut c_char, *mut c_char) -> c_int;

const fn command(name: &'static CStr, function: Command, parameters: c_int) -> sys::cmd_export {
    sys::cmd_export {
        name: name.as_ptr().cast_mut(),
        function: Some(function),
        param_no: parameters,
        fixup: None,
        free_fixup: None,
        flags: sys::ANY_ROUTE as c_uint,
    }
}

/// The parameter is text with variables.
const fn with_text(command: sys::cmd_export) -> sys::cmd_export {
    sys::cmd_export { fixup: Some(sys::fixup_spve_null), free_fixup: Some(sys::fixup_free_spve_null), ..command }
}

/// The same functions for scripts in Lua, Python, JavaScript and so on.
pub(super) static KEMI: Table<[sys::sr_kemi; 9]> = Table::new([
    kemi(c"xmpp_send_message", callbacks::kemi_send_message as *mut c_void, [NONE, NONE]),
    kemi(c"pua_xmpp_notify", callbacks::kemi_notify as *mut c_void, [NONE, NONE]),
    kemi(c"xmpp_handle_subscribe", callbacks::kemi_handle_subscribe as *mut c_void, [NONE, NONE]),
    kemi(c"pua_xmpp_req_winfo", callbacks::kemi_req_winfo as *mut c_void, [STR, STR]),
    kemi(c"xmpp_phone_state", callbacks::kemi_phone_state as *mut c_void, [STR, STR]),
    kemi(c"dialoginfo_set", callbacks::kemi_dialoginfo_set as *mut c_void, [STR, NONE]),
    kemi(c"dialoginfo_set_branch_callee", callbacks::kemi_dialoginfo_set_branch_callee as *mut c_void, [STR, NONE]),
    kemi(c"dialoginfo_mute_branch", callbacks::kemi_dialoginfo_mute_branch as *mut c_void, [STR, NONE]),
    sys::sr_kemi { mname: no_text(), fname: no_text(), rtype: 0, func: ptr::null_mut(), ptypes: [0; KEMI_PARAMETERS] },
]);

const NONE: c_int = sys::SR_KEMIP_NONE;
const STR: c_int = sys::SR_KEMIP_STR;
const KEMI_PARAMETERS: usize = sys::SR_KEMI_PARAMS_MAX as usize;

const fn kemi(name: &'static CStr, function: *mut c_void, [first, second]: [c_int; 2]) -> sys::sr_kemi {
    let ptypes = [first, second, NONE, NONE, NONE, NONE];
    sys::sr_kemi { mname: text(MODULE), fname: text(name), rtype: sys::SR_KEMIP_INT, func: function, ptypes }
}

const fn text(text: &'static CStr) -> sys::str_ {
    sys::str_ { s: text.as_ptr().cast_mut(), len: text.count_bytes() as c_int }
}

const fn no_text() -> sys::str_ {
    sys::str_ { s: ptr::null_mut(), len: 0 }
}

/// Each parameter twice, for both types that a script can write: the wrong one is refused with a sentence of ours.
static PARAMETERS: Table<[[sys::param_export; 2]; parameters::ENTRIES]> = Table::new(parameters::table!(parameter));

const fn parameter<const INDEX: usize>() -> [sys::param_export; 2] {
    let [text, number] = [sys::PARAM_STRING as c_uint, sys::PARAM_INT as c_uint];
    [
        typed::<INDEX>(text, callbacks::parameter_text::<INDEX> as *mut c_void),
        typed::<INDEX>(number, callbacks::parameter_number::<INDEX> as *mut c_void),
    ]
}

#[allow(clippy::indexing_slicing, reason = "checked by the compiler: the table is made at compile time")]
const fn typed<const INDEX: usize>(kind: c_uint, callback: *mut c_void) -> sys::param_export {
    if INDEX >= parameters::PARAMETERS.len() {
        return sys::param_export { name: ptr::null_mut(), type_: 0, param_pointer: ptr::null_mut() };
    }
    let name = parameters::PARAMETERS[INDEX].name.as_ptr().cast_mut();
    sys::param_export { name, type_: kind | sys::XMPP_GATEWAY_PARAM_USE_FUNC, param_pointer: callback }
}
