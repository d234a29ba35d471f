//! The OpenSIPS part of the build: definitions of the tree's own make, bindings of its headers, the C shim.
//!
//! OpenSIPS loads a module only if version, compile flags and source revision are those of the server, so everything here is
//! asked from the very tree that the server was built from (`OPENSIPS_SRC`); nothing is written down by hand.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

const HERE: &str = "src/host/opensips";

/// Where a tree is looked for when `OPENSIPS_SRC` does not name one.
const SEARCHED: [&str; 2] = ["/usr/src", "/usr/local/src"];

/// What the tree's make must not inherit: it would change the definitions, or make make believe that it is a child.
const CLEARED: [&str; 10] =
    ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CARGO_MAKEFLAGS", "CC", "CFLAGS", "OS", "DEFS", "NAME", "VERSION"];

/// Prints every definition on a line of its own, as the shell that runs the compiler would see it.
const PRINT_DEFS: &str =
    "include Makefile\n.PHONY: xmpp_gateway_defs\nxmpp_gateway_defs:\n\t@for d in $(DEFS); do printf '%s\\n' \"$$d\"; done\n";

/// Our contract with the host: what the module uses of it.
const TYPES: [&str; 37] = [
    "module_exports",
    "cmd_export_",
    "param_export_",
    "proc_export_",
    "dep_export_t",
    "modparam_dependency_t",
    "sip_msg",
    "to_body",
    "cseq_body",
    "contact_body_t",
    "tmcb_params",
    "tm_binds",
    "sig_binds",
    "pua_api_t",
    "subs_info_t",
    "publ_info_t",
    "presence_api_t",
    "subs_t",
    "subs_entry",
    "sr_core_states",
    "int_str",
    "db_func",
    "db_cap",
    "db_con_t",
    "db_res",
    "db_row",
    "mi_export_",
    "dlg_binds",
    "dlg_cell",
    "dlg_cb_params",
    "pv_spec_t",
    "pv_value_t",
    "request_method",
    "flag_type",
    "usrloc_api_t",
    "ucontact_t",
    "urecord_t",
];
const FUNCTIONS: [&str; 24] = [
    "__register_script_cb",
    "parse_from_header",
    "parse_avp_spec",
    "add_avp",
    "destroy_avps",
    "add_lump_rpl",
    "ipc_dispatch_rpc",
    "ipc_handle_job",
    "sr_get_core_status",
    "db_bind_mod",
    "db_table_version",
    "init_mi_result_object",
    "init_mi_error_extra",
    "add_mi_number",
    "find_param_export",
    "get_flag_id_by_name",
    "pv_parse_spec",
    "pv_get_spec_value",
    "get_mi_string_param",
    "try_get_mi_string_param",
    "init_mi_result_string",
    "init_mi_result_array",
    "add_mi_string",
    "host_.*",
];
const VALUES: [&str; 34] = [
    "POST_SCRIPT_CB",
    "REQ_TYPE_CB",
    "SCB_RUN_ALL",
    "ipc_shared_fd_read",
    "OPENSIPS_FULL_VERSION",
    "OPENSIPS_COMPILE_FLAGS",
    "VERSIONTYPE",
    "THISREVISION",
    "HOST_.*",
    "(STR|INT)_PARAM",
    "CMD_PARAM_(STR|INT|OPT)",
    "REQUEST_ROUTE",
    "MOD_TYPE_DEFAULT",
    "MAX_MOD_DEPS",
    "DEP_(ABORT|SILENT)",
    "PROC_FLAG_.*",
    "L_(CRIT|ERR|WARN|NOTICE|INFO|DBG)",
    "PARSE_OK",
    "HDR_(OTHER|ACCEPT|RECORDROUTE)_T",
    "DLG_CONFIRMED",
    "(PRESENCE|PWINFO)_EVENT",
    "XMPP_(PUBLISH|SUBSCRIBE|INITIAL_SUBS)",
    "ERR_PUBLISH_NO_RECORD",
    "(ACTIVE|PENDING|TERMINATED)_STATUS",
    "AVP_VAL_STR",
    "LUMP_RPL_HDR",
    "BRANCH_ROUTE",
    "DIALOG_(EVENT|PUBLISH)",
    "DLGCB_.*",
    "DLG_(DIR_.*|STATE_CONFIRMED.*|VAL_TYPE_STR|CALLER_LEG)",
    "PV_VAL_STR",
    "SIP_REQUEST",
    "UL_CONTACT_.*",
    "TMCB_(ON_FAILURE|RESPONSE_IN)",
];

/// Binds the headers and compiles the shim. The error is one sentence: which variable, what was looked for, where.
pub(crate) fn build() -> Result<(), String> {
    for variable in ["OPENSIPS_SRC", "OPENSIPS_DEFS"] {
        println!("cargo::rerun-if-env-changed={variable}");
    }
    for file in ["wrapper.h", "shim.c", "build.rs"] {
        println!("cargo::rerun-if-changed={HERE}/{file}");
    }
    let tree = tree()?;
    for file in ["Makefile", "Makefile.defs", "Makefile.conf", "sr_module.h", "version.h"] {
        println!("cargo::rerun-if-changed={}", tree.join(file).display());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: this file is part of build.rs")?);
    write_definitions(&definitions(&tree)?, &out.join("opensips_defs.h"))?;
    bind(&tree, &out)?;
    compile_shim(&tree, &out);
    Ok(())
}

fn tree() -> Result<PathBuf, String> {
    if let Some(named) = env::var_os("OPENSIPS_SRC").filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        return if is_tree(&named) {
            fs::canonicalize(&named).map_err(|error| format!("OPENSIPS_SRC: {}: {error}", named.display()))
        } else {
            Err(format!(
                "OPENSIPS_SRC is {}, and no OpenSIPS source tree is there (looked for sr_module.h and Makefile.defs in it)",
                named.display()
            ))
        };
    }
    let found: BTreeSet<PathBuf> = SEARCHED
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| is_tree(path))
        .collect();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(tree), None) => Ok(tree),
        (None, _) => Err(format!(
            "OPENSIPS_SRC is not set, and no OpenSIPS source tree was found in {}; set it to the tree your OpenSIPS was built from",
            SEARCHED.join(" or ")
        )),
        (Some(first), Some(second)) => Err(format!(
            "OPENSIPS_SRC is not set, and there is more than one OpenSIPS source tree in {} ({}, {} ...); set it to the one your \
             OpenSIPS was built from",
            SEARCHED.join(" and "),
            first.display(),
            second.display()
        )),
    }
}

fn is_tree(path: &Path) -> bool {
    ["sr_module.h", "Makefile.defs", "modules/tm/tm_load.h"].iter().all(|file| path.join(file).is_file())
}

/// The `-D`s of the tree: handed over by its own make when we are built as one of its modules, else asked from it.
fn definitions(tree: &Path) -> Result<Vec<(String, String)>, String> {
    let text = match env::var("OPENSIPS_DEFS") {
        Ok(given) if !given.trim().is_empty() => given,
        _ => ask_make(tree)?,
    };
    let definitions: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("-D"))
        .map(|definition| definition.split_once('=').unwrap_or((definition, "1")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    if definitions.iter().any(|(name, _)| name == "VERSION") {
        Ok(definitions)
    } else {
        Err(format!("OPENSIPS_SRC: the make of {} was asked for its DEFS, and they hold no VERSION", tree.display()))
    }
}

fn ask_make(tree: &Path) -> Result<String, String> {
    let failed = |error: std::io::Error| format!("OPENSIPS_SRC: make in {} (asked for its DEFS): {error}", tree.display());
    let mut command = Command::new("make");
    command.args(["--no-print-directory", "-s", "-f", "-", "xmpp_gateway_defs"]).current_dir(tree);
    for variable in CLEARED {
        command.env_remove(variable);
    }
    let mut make = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(failed)?;
    if let Some(mut input) = make.stdin.take() {
        input.write_all(PRINT_DEFS.as_bytes()).map_err(failed)?;
    }
    let answer = make.wait_with_output().map_err(failed)?;
    if answer.status.success() {
        Ok(String::from_utf8_lossy(&answer.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&answer.stderr);
        let last = said.lines().last().unwrap_or("it said nothing").to_owned();
        Err(format!("OPENSIPS_SRC: make in {} was asked for its DEFS and failed: {last}", tree.display()))
    }
}

/// A header instead of arguments: bindgen evaluates strings and numbers that it finds as macros.
fn write_definitions(definitions: &[(String, String)], header: &Path) -> Result<(), String> {
    let text: String = definitions.iter().map(|(name, value)| format!("#define {name} {value}\n")).collect();
    fs::write(header, text).map_err(|error| format!("{}: {error}", header.display()))
}

fn bind(tree: &Path, out: &Path) -> Result<(), String> {
    let mut builder = bindgen::Builder::default()
        .header(format!("{HERE}/wrapper.h"))
        .clang_arg(format!("-I{}", out.display()))
        .clang_arg(format!("-I{}", tree.display()))
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .prepend_enum_name(false)
        .generate_cstr(true)
        .layout_tests(true)
        .derive_default(false)
        .use_core();
    for name in TYPES {
        builder = builder.allowlist_type(name);
    }
    for name in FUNCTIONS {
        builder = builder.allowlist_function(name);
    }
    for name in VALUES {
        builder = builder.allowlist_var(name);
    }
    let bindings = builder
        .generate()
        .map_err(|error| format!("OPENSIPS_SRC: the headers of {} could not be bound: {error}", tree.display()))?;
    let file = out.join("opensips.rs");
    bindings.write_to_file(&file).map_err(|error| format!("{}: {error}", file.display()))
}

fn compile_shim(tree: &Path, out: &Path) {
    cc::Build::new()
        .file(format!("{HERE}/shim.c"))
        .include(out)
        .include(tree)
        .flag_if_supported("-Wno-unused-parameter")
        .flag_if_supported("-Wno-unused-function")
        .flag_if_supported("-Wno-sign-compare")
        .flag_if_supported("-Wno-cast-function-type")
        .compile("xmpp_gateway_opensips");
}
