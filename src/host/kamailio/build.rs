//! Bindings for exactly the Kamailio that is installed: headers of its version, flags read out of one of its own modules.
//!
//! Kamailio refuses a module whose version and flags strings are not its own, byte by byte. So both are taken from an installed
//! `tm.so`, the preprocessor is told what those flags stand for, and the crate asserts at compile time that the headers then spell
//! the same flags (host/kamailio/sys.rs).

#[path = "elf.rs"]
mod elf;

use std::env;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

const SOURCE: &str = "KAMAILIO_SRC";
const MODULES: &str = "KAMAILIO_MODULES";

/// Where `make HOST=kamailio` unpacks the source package.
const FETCHED_SOURCE: &str = "build/kamailio/src/tree";

/// Makes the bindings and the shim; the error is a sentence for whoever builds.
pub(crate) fn build() -> Result<(), String> {
    for file in ["build.rs", "elf.rs", "wrapper.h", "shim.c"] {
        println!("cargo:rerun-if-changed=src/host/kamailio/{file}");
    }
    println!("cargo:rerun-if-env-changed={SOURCE}");
    println!("cargo:rerun-if-env-changed={MODULES}");

    let installed = Installed::read(&installed_module()?)?;
    let source = source(&installed.version)?;
    let defines = installed.defines()?;
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set: cargo runs this")?);
    bindings(&source, &defines, &out)?;
    shim(&source, &defines);
    let host = format!(
        "/// Version string of the installed Kamailio.\npub(crate) const HOST_VERSION: &::core::ffi::CStr = c{:?};\n\
         /// Flags string of the installed Kamailio.\npub(crate) const HOST_FLAGS: &::core::ffi::CStr = c{:?};\n",
        installed.version, installed.flags
    );
    fs::write(out.join("kamailio_host.rs"), host).map_err(|error| format!("{}: {error}", out.display()))
}

/// What an installed module says of the Kamailio that it was built for.
struct Installed {
    /// As in "kamailio 5.6.3 (x86_64/linux)".
    version: String,
    /// As in "USE_TCP, USE_TLS, ...".
    flags: String,
}

impl Installed {
    fn read(module: &Path) -> Result<Self, String> {
        println!("cargo:rerun-if-changed={}", module.display());
        let image = fs::read(module).map_err(|error| format!("{}: {error}", module.display()))?;
        let string = |symbol: &str| {
            elf::string_behind(&image, symbol).ok_or_else(|| {
                format!("{} ({MODULES}) has no readable symbol {symbol}: it is no Kamailio module", module.display())
            })
        };
        Ok(Self { version: string("module_version")?, flags: string("module_flags")? })
    }

    /// "5.6.3", as the source tree names it.
    fn release(version: &str) -> Option<(&str, &str, &str, &str)> {
        let (name, rest) = version.split_once(' ')?;
        let (release, system) = rest.split_once(" (")?;
        let (architecture, system) = system.strip_suffix(')')?.split_once('/')?;
        Some((name, release, architecture, system))
    }

    /// What the preprocessor must be told so that the headers have the layout of the installed build.
    fn defines(&self) -> Result<Vec<(String, Option<String>)>, String> {
        let unreadable = || format!("tm.so says its version is \"{}\": not \"NAME VERSION (ARCH/OS)\"", self.version);
        let (name, release, architecture, system) = Self::release(&self.version).ok_or_else(unreadable)?;
        let number = version_number(release).ok_or_else(unreadable)?;

        let mut defines: Vec<(String, Option<String>)> = Vec::new();
        let mut flag = |name: String| defines.push((name, None));
        flag(format!("__CPU_{architecture}"));
        flag(format!("__OS_{}", system.to_lowercase()));
        HIDDEN_FLAGS.iter().for_each(|name| flag((*name).to_owned()));
        if number < 5_008_000 {
            flag("WITH_XAVP".to_owned());
        }
        // Shown in the flags string from 6.0 on, when it became a choice.
        if number < 6_000_000 {
            flag("MEM_JOIN_FREE".to_owned());
        }
        for shown in self.flags.split(", ").filter(|shown| !shown.is_empty()) {
            match shown {
                "TLS_PTHREAD_MUTEX_SHARED" => flag("KSR_PTHREAD_MUTEX_SHARED".to_owned()),
                // Its words are joined by a hyphen: FAST_LOCK-ADAPTIVE_WAIT, FAST_LOCK-NOSMP.
                joined => joined.split('-').for_each(|word| flag(word.to_owned())),
            }
        }
        let quoted = |text: &str| Some(format!("\"{text}\""));
        defines.push(("NAME".to_owned(), quoted(name)));
        defines.push(("VERSION".to_owned(), quoted(release)));
        defines.push(("VERSIONVAL".to_owned(), Some(number.to_string())));
        defines.push(("ARCH".to_owned(), quoted(architecture)));
        defines.push(("OS_QUOTED".to_owned(), quoted(system)));
        defines.push(("ADAPTIVE_WAIT_LOOPS".to_owned(), Some("1024".to_owned())));
        defines.push(("MOD_NAME".to_owned(), quoted("xmpp_gateway")));
        defines.push(("MOD_NAMEID".to_owned(), Some("xmpp_gateway".to_owned())));
        Ok(defines)
    }
}

/// What every build on Linux with glibc sets and no flags string shows.
const HIDDEN_FLAGS: [&str; 18] = [
    "STATISTICS",
    "USE_CORE_STATS",
    "MALLOC_STATS",
    "WITH_EVENT_LOCAL_REQUEST",
    "CC_GCC_LIKE_ASM",
    "HAVE_GETHOSTBYNAME2",
    "HAVE_UNION_SEMUN",
    "HAVE_SCHED_YIELD",
    "HAVE_MSG_NOSIGNAL",
    "HAVE_MSGHDR_MSG_CONTROL",
    "HAVE_ALLOCA_H",
    "HAVE_TIMEGM",
    "HAVE_SCHED_SETSCHEDULER",
    "HAVE_IP_MREQN",
    "HAVE_EPOLL",
    "HAVE_SIGIO_RT",
    "SIGINFO64_WORKARROUND",
    "HAVE_SELECT",
];

/// 5.6.3 is 5006003; what follows the third number ("-rc1") does not count.
fn version_number(release: &str) -> Option<u32> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().ok());
    let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
    major.checked_mul(1_000_000)?.checked_add(minor.checked_mul(1000)?)?.checked_add(patch)
}

/// An installed `tm.so`: the gateway needs that module anyway.
fn installed_module() -> Result<PathBuf, String> {
    if let Some(folder) = env::var_os(MODULES) {
        let module = Path::new(&folder).join("tm.so");
        return found(module).ok_or_else(|| format!("{MODULES} is {folder:?}, where tm.so was looked for and not found"));
    }
    let multiarch = fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let plain = ["/usr/lib64", "/usr/lib", "/usr/local/lib64", "/usr/local/lib"].map(PathBuf::from);
    plain.into_iter().chain(multiarch).find_map(|folder| found(folder.join("kamailio/modules/tm.so"))).ok_or_else(|| {
        format!(
            "{MODULES} is not set, and no kamailio/modules/tm.so was found under /usr/lib, /usr/lib64 and /usr/local/lib: \
             install Kamailio, or set {MODULES} to the folder of its modules"
        )
    })
}

/// The tree of Kamailio's source: its version must be that of the installed build.
fn source(version: &str) -> Result<PathBuf, String> {
    let (tree, origin) = match env::var_os(SOURCE) {
        Some(tree) => (PathBuf::from(tree), SOURCE.to_owned()),
        None => (PathBuf::from(FETCHED_SOURCE), format!("{SOURCE} is not set; {FETCHED_SOURCE}, which make fetches")),
    };
    let header = tree.join("src/core/sr_module.h");
    if found(header.clone()).is_none() {
        return Err(format!("{origin}: {} was looked for and not found; it takes a source tree of {version}", header.display()));
    }
    let (_, wanted, _, _) = Installed::release(version).unwrap_or_default();
    match tree_version(&tree) {
        Some(release) if release != wanted => {
            Err(format!("{origin}: {} is the source of {release}, the installed one is {version}", tree.display()))
        }
        _ => Ok(tree.join("src")),
    }
}

/// "5.6.3", out of the tree's Makefile.defs; `None` where that file is written in another way.
fn tree_version(tree: &Path) -> Option<String> {
    let text = fs::read_to_string(tree.join("src/Makefile.defs")).ok()?;
    let value = |name: &str| {
        text.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim_end_matches(':').trim() == name).then(|| value.trim().to_owned())
        })
    };
    let numbers = [value("VERSION")?, value("PATCHLEVEL")?, value("SUBLEVEL")?];
    Some(format!("{}{}", numbers.join("."), value("EXTRAVERSION").unwrap_or_default()))
}

fn found(path: PathBuf) -> Option<PathBuf> {
    path.is_file().then_some(path)
}

/// What we use of Kamailio: this list is our contract with it.
const FUNCTIONS: &str = "add_avp|add_lump_rpl2|destroy_avps|cfg_child_init|cfg_register_child|find_export|find_mod_export|find_module_by_name|find_param_export|lookup_local_socket|fixup_free_spve_null|fixup_free_spve_spve|fixup_spve_null|fixup_spve_spve\
    |fork_process|get_body|get_debug_level|get_str_fparam|parse_contact|parse_from_header|parse_headers|parse_to_header\
    |pv_get_spec_value|pv_parse_spec2|register_procs|register_script_cb|sr_kemi_modules_add|xmpp_gateway_.*";
const TYPES: &str = "cell|cmd_export|contact_body|cseq_body|db1_res|db_bind_api_f|db_func|db_row|fparam|int_str|load_tm_f|module_exports|bind_presence_t|bind_sl_f|bind_pua_t|param_export|pres_ev|presence_api|pua_api|publ_info\
    |dlg_binds|dlg_cell|dlg_cb_params|load_dlg_f|pv_spec_t|pv_value_t|request_method|query_dialog_t|rpc|rpc_export|sip_msg|sr_kemi|subs_info|subscription|tm_binds|tmcb_params|to_body|ua_pres|uac_req|bind_usrloc_t|ucontact|urecord|usrloc_api|update_watchers_t|via_body";
const CONSTANTS: &str = "udp_listen|(ACTIVE|PENDING|TERMINATED)_STATUS|ANY_ROUTE|AVP_(NAME|VAL)_STR|LUMP_RPL_HDR|DIALOG_EVENT|DLGCB_.*|DLG_(DIR|STATE)_.*|PV_VAL_STR|TMCB_(ON_FAILURE|RESPONSE_IN)|XMPP_GATEWAY_.*|L_(CRIT2|ERR|WARN|INFO|DBG)|MODULE_INTERFACE_VER|PARAM_(INT|STRING)|PRESENCE_EVENT\
    |PROC_(INIT|MAIN|NOCHLDINIT|RPC)|PWINFO_EVENT|SER_COMPILE_FLAGS|SIP_REQUEST|SR_KEMIP_(INT|NONE|STR)|SR_KEMI_PARAMS_MAX|TMCB_LOCAL_COMPLETED|TMCB_DESTROY|UL_CONTACT_.*\
    |version_table|XMPP_(INITIAL_SUBS|PUBLISH|SUBSCRIBE)";

fn bindings(source: &Path, defines: &[(String, Option<String>)], out: &Path) -> Result<(), String> {
    let arguments = defines.iter().map(|(name, value)| match value {
        Some(value) => format!("-D{name}={value}"),
        None => format!("-D{name}"),
    });
    bindgen::Builder::default()
        .header("src/host/kamailio/wrapper.h")
        .clang_arg(format!("-I{}", source.display()))
        .clang_args(arguments)
        .allowlist_function(FUNCTIONS)
        .allowlist_type(TYPES)
        .allowlist_var(CONSTANTS)
        .prepend_enum_name(false)
        .default_macro_constant_type(bindgen::MacroTypeVariation::Signed)
        .generate_cstr(true)
        .generate_comments(false)
        .merge_extern_blocks(true)
        .layout_tests(true)
        .generate()
        .map_err(|error| format!("the headers in {} do not compile: {error}", source.display()))?
        .write_to_file(out.join("kamailio.rs"))
        .map_err(|error| format!("{}: {error}", out.display()))
}

fn shim(source: &Path, defines: &[(String, Option<String>)]) {
    let mut build = cc::Build::new();
    build.file("src/host/kamailio/shim.c").include(source).warnings(false);
    for (name, value) in defines {
        build.define(name, value.as_deref());
    }
    build.compile("xmpp_gateway_shim");
}
