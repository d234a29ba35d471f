//! `exports`: the table that OpenSIPS looks up in a module, and the tables it points to.

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::ffi::c_char;
use std::ffi::c_void;
use std::mem::offset_of;
use std::mem::zeroed;
use std::ptr;

use super::callbacks;
use super::sys;
use crate::host::parameters;

/// A table that is handed to the host.
#[repr(transparent)]
pub(super) struct Table<T>(T);

// SAFETY: [H4] tables are constants: they point to constants and functions only, and neither side writes to them.
unsafe impl<T> Sync for Table<T> {}

/// Found by its name with dlsym.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "the host's name; nothing in Rust uses it")]
pub(super) static exports: Table<sys::module_exports> = Table({
    let mut module: sys::module_exports = EMPTY_MODULE;
    module.name = NAME.as_ptr();
    module.type_ = sys::MOD_TYPE_DEFAULT;
    module.ver_info.version = sys::OPENSIPS_FULL_VERSION.as_ptr();
    module.ver_info.compile_flags = sys::OPENSIPS_COMPILE_FLAGS.as_ptr();
    module.ver_info.scm.type_ = sys::VERSIONTYPE.as_ptr();
    module.ver_info.scm.rev = sys::THISREVISION.as_ptr();
    module.deps = (&raw const DEPENDENCIES).cast();
    module.cmds = (&raw const COMMANDS).cast();
    module.params = (&raw const PARAMS).cast();
    module.mi_cmds = (&raw const MI).cast();
    module.procs = (&raw const PROCESSES).cast();
    module.init_f = Some(callbacks::mod_init);
    module
});

const NAME: &CStr = c"xmpp_gateway";

/// An entry that ends a table is all zero; so is what we do not use.
// SAFETY: [H3] plain C: integers, pointers and optional functions, for which zero is "none".
const EMPTY_MODULE: sys::module_exports = unsafe { zeroed() };
// SAFETY: [H3] as above.
const EMPTY_COMMAND: sys::cmd_export_t = unsafe { zeroed() };
// SAFETY: [H3] as above.
const EMPTY_MI: sys::mi_export_t = unsafe { zeroed() };
// SAFETY: [H3] as above.
const EMPTY_PROCESS: sys::proc_export_t = unsafe { zeroed() };
// SAFETY: [H3] as above.
const EMPTY_DEPENDENCY: sys::module_dependency_t = unsafe { zeroed() };
// SAFETY: [H3] as above.
const EMPTY_PARAMETER_DEPENDENCY: sys::modparam_dependency_t = unsafe { zeroed() };

static COMMANDS: Table<[sys::cmd_export_t; 9]> = Table([
    command(c"xmpp_send_message", callbacks::xmpp_send_message, []),
    command(c"pua_xmpp_notify", callbacks::pua_xmpp_notify, []),
    command(c"xmpp_handle_subscribe", callbacks::xmpp_handle_subscribe, []),
    command(c"pua_xmpp_req_winfo", callbacks::pua_xmpp_req_winfo, [sys::CMD_PARAM_STR, sys::CMD_PARAM_INT]),
    command(c"xmpp_phone_state", callbacks::xmpp_phone_state, [sys::CMD_PARAM_STR, sys::CMD_PARAM_STR]),
    command(c"dialoginfo_set", callbacks::dialoginfo_set, [OPTIONAL_STR]),
    in_branch_route(c"dialoginfo_set_branch_callee", callbacks::dialoginfo_set_branch_callee, [sys::CMD_PARAM_STR]),
    in_branch_route(c"dialoginfo_mute_branch", callbacks::dialoginfo_mute_branch, [OPTIONAL_STR]),
    EMPTY_COMMAND,
]);

/// What the host calls for a script function: the message, and the eight parameters there may be.
pub(super) type Command = unsafe extern "C" fn(
    *mut sys::sip_msg,
    *mut c_void,
    *mut c_void,
    *mut c_void,
    *mut c_void,
    *mut c_void,
    *mut c_void,
    *mut c_void,
    *mut c_void,
) -> std::ffi::c_int;

const fn command<const N: usize>(name: &'static CStr, function: Command, takes: [i32; N]) -> sys::cmd_export_t {
    let mut command = EMPTY_COMMAND;
    command.name = name.as_ptr();
    command.function = Some(function);
    command.flags = sys::REQUEST_ROUTE;
    let (mut rest, mut types): (&mut [sys::cmd_param], &[i32]) = (&mut command.params, &takes);
    while let (Some((parameter, after)), Some((flags, more))) = (rest.split_first_mut(), types.split_first()) {
        parameter.flags = *flags;
        (rest, types) = (after, more);
    }
    command
}

const OPTIONAL_STR: i32 = sys::CMD_PARAM_STR | sys::CMD_PARAM_OPT;

const fn in_branch_route<const N: usize>(name: &'static CStr, function: Command, takes: [i32; N]) -> sys::cmd_export_t {
    sys::cmd_export_t { flags: sys::BRANCH_ROUTE, ..command(name, function, takes) }
}

/// Commands that an operator gives while the server runs.
static MI: Table<[sys::mi_export_t; 5]> = Table([
    mi(
        c"xmpp_address_reload",
        c"reads the table of users whose address on the other side is chosen anew (address_table)",
        callbacks::address_reload,
        &[&[]],
    ),
    mi(c"xmpp_phone_state", c"says what the state of a phone is", callbacks::phone_state_command, &[&[c"uri", c"state"]]),
    mi(c"xmpp_account_reload", c"reads the table of XMPP accounts anew (account_table)", callbacks::account_reload, &[&[]]),
    mi(
        c"xmpp_account_import",
        c"adds the accounts of a file of the BOSH connector to the table; names without a domain are in the one that is given",
        callbacks::account_import,
        &[&[c"file"], &[c"file", c"domain"]],
    ),
    EMPTY_MI,
]);

/// What the host calls for a command.
type MiCommand = unsafe extern "C" fn(*const sys::mi_params_t, *mut sys::mi_handler) -> *mut sys::mi_response_t;

/// A command that takes any of these lists of parameters.
const fn mi(name: &'static CStr, help: &'static CStr, function: MiCommand, takes: &[&[&'static CStr]]) -> sys::mi_export_t {
    let mut command = EMPTY_MI;
    command.name = name.as_ptr().cast_mut();
    command.help = help.as_ptr().cast_mut();
    let (mut recipes, mut lists): (&mut [sys::mi_recipe_t], &[&[&CStr]]) = (&mut command.recipes, takes);
    while let (Some((recipe, after)), Some((list, more))) = (recipes.split_first_mut(), lists.split_first()) {
        recipe.cmd = Some(function);
        let (mut places, mut names): (&mut [*mut c_char], &[&CStr]) = (&mut recipe.params, list);
        while let (Some((place, rest)), Some((name, others))) = (places.split_first_mut(), names.split_first()) {
            *place = name.as_ptr().cast_mut();
            (places, names) = (rest, others);
        }
        (recipes, lists) = (after, more);
    }
    command
}

/// Each parameter as string and as integer (see [`parameters`]), and the end.
static PARAMS: Table<[[sys::param_export_t; 2]; parameters::ENTRIES]> = Table(parameters::table!(parameter));

const EMPTY_PARAMETER: sys::param_export_t = sys::param_export_t { name: ptr::null(), type_: 0, param_pointer: ptr::null_mut() };

const fn parameter<const INDEX: usize>() -> [sys::param_export_t; 2] {
    [typed::<INDEX>(sys::STR_PARAM), typed::<INDEX>(sys::INT_PARAM)]
}

#[allow(clippy::indexing_slicing, reason = "evaluated by the compiler: an index out of bounds does not build")]
const fn typed<const INDEX: usize>(kind: i32) -> sys::param_export_t {
    if INDEX >= parameters::PARAMETERS.len() {
        return EMPTY_PARAMETER;
    }
    sys::param_export_t {
        name: parameters::PARAMETERS[INDEX].name.as_ptr(),
        type_: kind.unsigned_abs() | sys::HOST_USE_FUNC_PARAM,
        param_pointer: callbacks::parameter::<INDEX> as *mut c_void,
    }
}

/// The host's `dep_export_t` ends with an array of no length; this one has its length.
#[repr(C)]
struct Dependencies {
    modules: [sys::module_dependency_t; sys::MAX_MOD_DEPS as usize],
    parameters: [sys::modparam_dependency_t; 1],
}

const _: () = assert!(offset_of!(Dependencies, parameters) == offset_of!(sys::dep_export_t, mpd));

static DEPENDENCIES: Table<Dependencies> = Table({
    let mut modules = [EMPTY_DEPENDENCY; sys::MAX_MOD_DEPS as usize];
    modules[0] = dependency(c"tm", sys::DEP_ABORT);
    modules[1] = dependency(c"pua", sys::DEP_ABORT);
    // Optional; where they are, they come first, so that the event is there when we look for it.
    modules[2] = dependency(c"presence", sys::DEP_SILENT);
    modules[3] = dependency(c"presence_xml", sys::DEP_SILENT);
    // It replies to SUBSCRIBE.
    modules[4] = dependency(c"signaling", sys::DEP_SILENT);
    // Any database module that is there: db_url may name it.
    modules[5] = sys::module_dependency_t {
        mod_type: sys::MOD_TYPE_SQLDB,
        mod_name: ptr::null_mut(),
        type_: sys::DEP_SILENT.unsigned_abs(),
    };
    // Who has the event dialog keeps it.
    modules[6] = dependency(c"presence_dialoginfo", sys::DEP_SILENT);
    // Its calls are shown (dialog_mode).
    modules[7] = dependency(c"dialog", sys::DEP_SILENT);
    // It tells of phones (phone_state).
    modules[8] = dependency(c"usrloc", sys::DEP_SILENT);
    Dependencies { modules, parameters: [EMPTY_PARAMETER_DEPENDENCY] }
});

const fn dependency(name: &'static CStr, kind: i32) -> sys::module_dependency_t {
    sys::module_dependency_t {
        mod_type: sys::MOD_TYPE_DEFAULT,
        mod_name: name.as_ptr() as *mut c_char,
        type_: kind.unsigned_abs(),
    }
}

/// The XMPP process. Without the script it could not send: tm runs `local_route` in the sender's process. Without IPC it would be
/// killed at shutdown.
static PROCESSES: Processes = Processes(UnsafeCell::new([
    {
        let mut process = EMPTY_PROCESS;
        process.name = c"XMPP gateway".as_ptr();
        process.function = Some(callbacks::xmpp_process);
        process.no = 1;
        process.flags = (sys::PROC_FLAG_INITCHILD | sys::PROC_FLAG_HAS_IPC | sys::PROC_FLAG_NEEDS_SCRIPT).unsigned_abs();
        process
    },
    {
        let mut process = EMPTY_PROCESS;
        process.name = c"XMPP gateway store".as_ptr();
        process.function = Some(callbacks::store_process);
        process.flags = sys::PROC_FLAG_HAS_IPC.unsigned_abs();
        process
    },
    {
        let mut process = EMPTY_PROCESS;
        process.name = c"XMPP gateway phones".as_ptr();
        process.function = Some(callbacks::phone_process);
        process.flags = (sys::PROC_FLAG_INITCHILD | sys::PROC_FLAG_HAS_IPC | sys::PROC_FLAG_NEEDS_SCRIPT).unsigned_abs();
        process
    },
    EMPTY_PROCESS,
]));

/// There is a store process only where something is to survive a restart, and a phone process only where phones are shown.
#[repr(transparent)]
struct Processes(UnsafeCell<[sys::proc_export_t; 4]>);

// SAFETY: [H4] written in mod_init only, before the host counts processes and forks.
unsafe impl Sync for Processes {}

/// In mod_init.
pub(super) fn add_store_process() {
    // SAFETY: [H1][H4] in mod_init, on the only thread; the host reads the table afterwards.
    let [_, store, ..] = unsafe { &mut *PROCESSES.0.get() };
    store.no = 1;
}

/// In mod_init.
pub(super) fn add_phone_process() {
    // SAFETY: [H1][H4] as above.
    let [_, _, phones, _] = unsafe { &mut *PROCESSES.0.get() };
    phones.no = 1;
}
