//! The host's own memory, as it tells it itself: JSON-RPC on a datagram socket, which both hosts have.

use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use crate::config::CONTROL_SOCKET;
use crate::host::Kind;

/// Bytes in use.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    /// Shared memory.
    pub(crate) shared: u64,
    /// Memory of all processes of the host together.
    pub(crate) private: u64,
}

impl Memory {
    /// Asks the host.
    pub(crate) fn of(kind: &Kind, folder: &Path) -> io::Result<Self> {
        let ask = |method: &str, parameters: &str| ask(folder, method, parameters);
        match kind {
            Kind::Kamailio => Ok(Self {
                shared: numbers(&ask("core.shmmem", "")?, "\"used\"").next().ok_or_else(no_number)?,
                private: numbers(&ask("pkg.stats", "")?, "\"used\"").sum(),
            }),
            Kind::Opensips(_) => Ok(Self {
                shared: numbers(&ask("get_statistics", ",\"params\":[[\"shmem:\"]]")?, "shmem:used_size\"")
                    .next()
                    .ok_or_else(no_number)?,
                private: numbers(&ask("get_statistics", ",\"params\":[[\"pkmem:\"]]")?, "-used_size\"").sum(),
            }),
        }
    }
}

/// Calls that the host's dialog module has.
pub(crate) fn active_dialogs(kind: &Kind, folder: &Path) -> io::Result<u64> {
    match kind {
        Kind::Kamailio => {
            let told = ask(folder, "dlg.stats_active", "")?;
            numbers(&told, "\"all\"").next().ok_or_else(|| io::Error::other(told.clone()))
        }
        Kind::Opensips(_) => {
            let told = ask(folder, "get_statistics", ",\"params\":[[\"active_dialogs\", \"early_dialogs\"]]")?;
            Ok(numbers(&told, "_dialogs\"").sum())
        }
    }
}

/// Has the gateway read its table of accounts again.
pub(crate) fn reload_accounts(kind: &Kind, folder: &Path) -> io::Result<()> {
    let command = if *kind == Kind::Kamailio { "xmpp_gateway.account_reload" } else { "xmpp_account_reload" };
    let told = ask(folder, command, "")?;
    if told.contains("\"error\"") { Err(io::Error::other(told)) } else { Ok(()) }
}

fn no_number() -> io::Error {
    io::Error::other("the host did not tell its memory")
}

fn ask(folder: &Path, method: &str, parameters: &str) -> io::Result<String> {
    let own = folder.join("control-client");
    let _ = fs::remove_file(&own);
    let socket = UnixDatagram::bind(&own)?;
    socket.set_read_timeout(Some(Duration::from_secs(3)))?;
    let request = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"{method}\"{parameters}}}");
    socket.send_to(request.as_bytes(), folder.join(CONTROL_SOCKET))?;
    let mut answer = vec![0; 64 << 10];
    let length = socket.recv(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..length]).into_owned())
}

/// The numbers that follow this end of a quoted name.
fn numbers<'a>(json: &'a str, name: &'a str) -> impl Iterator<Item = u64> + 'a {
    json.split(name).skip(1).filter_map(|rest| {
        let rest = rest.trim_start_matches([':', ' ', '"', '\t']);
        rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    })
}
