//! The configuration files of the hosts: two UDP workers, errors only in the log, one answer per request.
//!
//! A request to the user `bare` gets a stateless reply from the script, before the gateway is asked: the yardstick.

use std::fmt::Write;
use std::path::Path;

use crate::dialogs::Dialogs;
use crate::host::Presence;
use crate::host::Settings;
use crate::xmpp_server::COMPONENT;
use crate::xmpp_server::SECRET;

/// Shared memory of the host: transactions stay in it for a second after their end.
pub(crate) const SHM_MB: &str = "1024";

/// Memory of each process of the host.
pub(crate) const PKG_MB: &str = "16";

/// User of the Request-URI whose requests the script answers itself.
pub(crate) const BARE_USER: &str = "bare";

/// Stanzas that may wait for one XMPP domain.
pub(crate) const QUEUE_SIZE: usize = 10_000;

/// Name of the socket in the host's folder that tells its memory.
pub(crate) const CONTROL_SOCKET: &str = "control";

/// The file for Kamailio.
pub(crate) fn kamailio(settings: &Settings<'_>) -> String {
    let folder = settings.folder.display();
    let mut text = format!(
        "debug={}\nlog_stderror=yes\nchildren=2\nauto_aliases=no\ndisable_tcp=yes\nmaxbuffer=4194304\nlisten=udp:{}\n\
         mpath=\"{}\"\n",
        if settings.store.is_some() || settings.phones.is_some() { 2 } else { -1 },
        settings.address,
        kamailio_modules()
    );
    for module in ["kex", "pv", "tm", "sl", "db_sqlite", "pua", "jsonrpcs"] {
        let _ = writeln!(text, "loadmodule \"{module}.so\"");
    }
    let _ = write!(
        text,
        "modparam(\"tm\", \"wt_timer\", 1000)\nmodparam(\"pua\", \"db_url\", \"sqlite:///{folder}/host.sqlite\")\n\
         modparam(\"jsonrpcs\", \"transport\", 4)\nmodparam(\"jsonrpcs\", \"dgram_socket\", \"{folder}/{CONTROL_SOCKET}\")\n"
    );
    if settings.presence.is_some() {
        let _ = write!(
            text,
            "loadmodule \"presence.so\"\nloadmodule \"presence_xml.so\"\n\
             modparam(\"presence|presence_xml\", \"db_url\", \"sqlite:///{folder}/host.sqlite\")\n\
             modparam(\"presence\", \"server_address\", \"sip:presence@{}\")\n\
             modparam(\"presence\", \"subs_db_mode\", 2)\nmodparam(\"presence_xml\", \"integrated_xcap_server\", 1)\n",
            settings.address
        );
    }
    if settings.dialogs.is_some() && settings.presence.is_some() {
        text.push_str("modparam(\"presence\", \"publ_cache\", 2)\n");
    }
    if settings.dialogs == Some(Dialogs::Calls) {
        text.push_str("loadmodule \"rr.so\"\nloadmodule \"dialog.so\"\nloadmodule \"siputils.so\"\n");
    }
    if settings.phones.is_some() {
        text.push_str("loadmodule \"usrloc.so\"\nloadmodule \"registrar.so\"\n");
    }
    gateway_parameters(settings, &mut text);
    let _ = write!(
        text,
        "request_route {{\n    if ($rU == \"{BARE_USER}\") {{\n        sl_send_reply(\"200\", \"OK\");\n        exit;\n    }}\n"
    );
    if settings.module.is_some() {
        text.push_str(
            "    if (method == \"MESSAGE\") {\n\
             \x20       if (xmpp_send_message()) sl_send_reply(\"202\", \"Accepted\");\n\
             \x20       else sl_send_reply(\"500\", \"Not Sent\");\n        exit;\n    }\n\
             \x20   if (method == \"NOTIFY\") {\n\
             \x20       if (pua_xmpp_notify()) sl_send_reply(\"200\", \"OK\");\n\
             \x20       else sl_send_reply(\"481\", \"Not Known\");\n        exit;\n    }\n",
        );
    }
    if settings.dialogs == Some(Dialogs::Calls) {
        let _ = write!(
            text,
            "    if (has_totag()) {{\n        loose_route();\n        t_relay();\n        exit;\n    }}\n\
             \x20   if (method == \"INVITE\") {{\n        record_route();\n        dlg_manage();\n        $du = \"sip:127.0.0.1:{}\";\n        t_relay();\n        exit;\n    }}\n",
            settings.peer_port
        );
    }
    if settings.phones.is_some() {
        text.push_str("    if (method == \"REGISTER\") {\n        save(\"location\");\n        exit;\n    }\n");
    }
    presence_routes(settings, &Spelling { method: "method", hour: "\"3600\"", refusal: "\"500\"" }, &mut text);
    text.push_str("    sl_send_reply(\"405\", \"Method Not Allowed\");\n}\n");
    text
}

/// The file for OpenSIPS.
pub(crate) fn opensips(settings: &Settings<'_>) -> String {
    let folder = settings.folder.display();
    let mut text = format!(
        "log_level={}\nstderror_enabled=yes\nsyslog_enabled=no\nudp_workers=2\nauto_aliases=no\nmaxbuffer=4194304\n\
         socket=udp:{}\nmpath=\"{folder}/modules/\"\n",
        if settings.store.is_some() || settings.phones.is_some() { 3 } else { -1 },
        settings.address
    );
    for module in ["proto_udp", "signaling", "tm", "sl", "db_sqlite", "pua", "mi_datagram"] {
        let _ = writeln!(text, "loadmodule \"{module}.so\"");
    }
    let _ = write!(
        text,
        "modparam(\"tm\", \"wt_timer\", 2)\nmodparam(\"pua\", \"db_url\", \"sqlite:///{folder}/host.sqlite\")\n\
         modparam(\"mi_datagram\", \"socket_name\", \"{folder}/{CONTROL_SOCKET}\")\n"
    );
    if settings.presence.is_some() {
        let _ = write!(
            text,
            "loadmodule \"presence.so\"\nloadmodule \"xcap.so\"\nloadmodule \"presence_xml.so\"\n\
             modparam(\"presence\", \"db_url\", \"sqlite:///{folder}/host.sqlite\")\n\
             modparam(\"xcap\", \"db_url\", \"sqlite:///{folder}/host.sqlite\")\n\
             modparam(\"presence\", \"contact_user\", \"presence\")\nmodparam(\"xcap\", \"integrated_xcap_server\", 1)\n"
        );
    }
    if settings.dialogs == Some(Dialogs::Calls) {
        text.push_str("loadmodule \"rr.so\"\nloadmodule \"dialog.so\"\nloadmodule \"sipmsgops.so\"\n");
    }
    if settings.phones.is_some() {
        text.push_str("loadmodule \"usrloc.so\"\nloadmodule \"registrar.so\"\n");
    }
    gateway_parameters(settings, &mut text);
    let _ = write!(
        text,
        "route {{\n    if ($rU == \"{BARE_USER}\") {{\n        sl_send_reply(200, \"OK\");\n        exit;\n    }}\n"
    );
    if settings.module.is_some() {
        text.push_str(
            "    if ($rm == \"MESSAGE\") {\n\
             \x20       if (xmpp_send_message()) sl_send_reply(202, \"Accepted\");\n\
             \x20       else sl_send_reply(500, \"Not Sent\");\n        exit;\n    }\n\
             \x20   if ($rm == \"NOTIFY\") {\n\
             \x20       if (pua_xmpp_notify()) sl_send_reply(200, \"OK\");\n\
             \x20       else sl_send_reply(481, \"Not Known\");\n        exit;\n    }\n",
        );
    }
    if settings.dialogs == Some(Dialogs::Calls) {
        let shown = if settings.module.is_some() { "dialoginfo_set()" } else { "create_dialog()" };
        let _ = write!(
            text,
            "    if (has_totag()) {{\n        loose_route();\n        t_relay();\n        exit;\n    }}\n\
             \x20   if ($rm == \"INVITE\") {{\n        record_route();\n        {shown};\n        $du = \"sip:127.0.0.1:{}\";\n        t_relay();\n        exit;\n    }}\n",
            settings.peer_port
        );
    }
    if settings.phones.is_some() {
        text.push_str("    if ($rm == \"REGISTER\") {\n        save(\"location\");\n        exit;\n    }\n");
    }
    presence_routes(settings, &Spelling { method: "$rm", hour: "3600", refusal: "500" }, &mut text);
    text.push_str("    sl_send_reply(405, \"Method Not Allowed\");\n}\n");
    text
}

/// What the hosts spell differently.
struct Spelling {
    /// The method of the request.
    method: &'static str,
    /// An hour, as the parameter of a function.
    hour: &'static str,
    /// The status of a refusal, likewise.
    refusal: &'static str,
}

/// SUBSCRIBE: to the gateway, or to the presence server.
fn presence_routes(settings: &Settings<'_>, spelling: &Spelling, text: &mut String) {
    let Spelling { method, hour, refusal } = spelling;
    let Some(presence) = settings.presence else {
        if settings.module.is_some() {
            let _ = write!(
                text,
                "    if ({method} == \"SUBSCRIBE\") {{\n        if (!xmpp_handle_subscribe()) sl_send_reply({refusal}, \"No\");\n        exit;\n    }}\n"
            );
        }
        return;
    };
    let ask = match presence {
        Presence::Pua => format!("        if ($hdr(Event) == \"presence\") pua_xmpp_req_winfo(\"$ru\", {hour});\n"),
        Presence::Local => String::new(),
    };
    let _ = write!(
        text,
        "    if ({method} == \"SUBSCRIBE\") {{\n        t_newtran();\n        handle_subscribe();\n{ask}        exit;\n    }}\n\
         \x20   if ({method} == \"PUBLISH\") {{\n        t_newtran();\n        handle_publish();\n        exit;\n    }}\n"
    );
}

/// Both hosts spell these the same.
fn gateway_parameters(settings: &Settings<'_>, text: &mut String) {
    if settings.dialogs == Some(Dialogs::Stock) {
        text.push_str("loadmodule \"presence_dialoginfo.so\"\n");
    }
    let Some(module) = settings.module else { return };
    let peer = format!("sip:127.0.0.1:{}", settings.peer_port);
    let presence_server = if settings.presence.is_some() { format!("sip:{}", settings.address) } else { peer.clone() };
    let presence_mode = if settings.presence == Some(Presence::Local) { "local" } else { "pua" };
    let server = format!("sip:gw@{}", settings.address);
    let _ =
        write!(text, "loadmodule \"{}\"\nmodparam(\"xmpp_gateway\", \"xmpp_port\", {})\n", module.display(), settings.xmpp_port);
    // A few users send all that there is.
    for name in ["rate_limit", "rate_limit_domain"] {
        let _ = writeln!(text, "modparam(\"xmpp_gateway\", \"{name}\", 0)");
    }
    if matches!(settings.dialogs, Some(Dialogs::Gateway | Dialogs::GatewayChanges | Dialogs::Calls)) {
        // The users of these rows are in no domain of the gateway: they would be XMPP users, whose watchers have to be let in.
        text.push_str("modparam(\"xmpp_gateway\", \"dialog_event\", 1)\nmodparam(\"xmpp_gateway\", \"contact_lamp\", \"off\")\n");
    }
    if settings.dialogs == Some(Dialogs::Calls) {
        text.push_str("modparam(\"xmpp_gateway\", \"dialog_mode\", \"local\")\n");
    }
    if settings.dialogs == Some(Dialogs::GatewayChanges) {
        text.push_str("modparam(\"xmpp_gateway\", \"dialog_profile\", \"watcher=*;dialogs=partial\")\n");
    }
    let _ = writeln!(text, "modparam(\"xmpp_gateway\", \"queue_size\", {QUEUE_SIZE})");
    if settings.phones.is_some() || settings.store.is_some() {
        let database = format!("sqlite:///{}/gateway.sqlite", settings.folder.display());
        let _ = writeln!(text, "modparam(\"xmpp_gateway\", \"db_url\", \"{database}\")");
    }
    if settings.store.is_some() {
        text.push_str("modparam(\"xmpp_gateway\", \"store\", 1)\n");
    }
    if let Some(parameters) = settings.phones {
        let _ = writeln!(text, "modparam(\"xmpp_gateway\", \"phone_state\", 1)\n{parameters}");
    }
    for (name, value) in [
        ("xmpp_domain", COMPONENT),
        ("xmpp_host", "127.0.0.1"),
        ("xmpp_password", SECRET),
        ("server_address", &server),
        ("outbound_proxy", &peer),
        ("presence_server", &presence_server),
        ("presence_mode", presence_mode),
    ] {
        let _ = writeln!(text, "modparam(\"xmpp_gateway\", \"{name}\", \"{value}\")");
    }
}

/// Where the installed Kamailio keeps its modules.
fn kamailio_modules() -> &'static str {
    let known = [
        "/usr/lib/x86_64-linux-gnu/kamailio/modules/",
        "/usr/lib/aarch64-linux-gnu/kamailio/modules/",
        "/usr/lib64/kamailio/modules/",
    ];
    known.into_iter().find(|folder| Path::new(folder).is_dir()).unwrap_or("/usr/local/lib64/kamailio/modules/")
}
