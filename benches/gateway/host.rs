//! A real host in a folder and a process group of its own, ended when dropped.
#![allow(unsafe_code, reason = "kill(2), prctl(2) and sysconf(3) have no safe form in std")]

use std::fs;
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddrV4;
use std::net::UdpSocket;
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::config;
use crate::dialogs::Dialogs;

/// Which server.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The installed one.
    Kamailio,
    /// The one built in this source tree.
    Opensips(PathBuf),
}

impl Kind {
    /// Its name, as in build/.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Kamailio => "kamailio",
            Self::Opensips(_) => "opensips",
        }
    }
}

/// What the configuration of a host is made of.
pub(crate) struct Settings<'a> {
    /// Which server.
    pub(crate) kind: &'a Kind,
    /// The gateway module; without one the host answers only the bare requests.
    pub(crate) module: Option<&'a Path>,
    /// Where the host listens.
    pub(crate) address: SocketAddrV4,
    /// Port of the SIP peer, which is also outbound proxy and presence server.
    pub(crate) peer_port: u16,
    /// Port of the XMPP server.
    pub(crate) xmpp_port: u16,
    /// Folder for all that the host writes.
    pub(crate) folder: &'a Path,
    /// The allocator of the host; its only one if none is named.
    pub(crate) allocator: Option<&'a str>,
    /// How XMPP users' presence reaches the presence server of the host; `None`: it has none, the SIP peer is it.
    pub(crate) presence: Option<Presence>,
    /// Who serves Event: dialog there, if anybody does.
    pub(crate) dialogs: Option<Dialogs>,
    /// SQL that makes the rows of the store; `None`: there is none.
    pub(crate) store: Option<&'a str>,
    /// Phones are shown in accounts, where registrations are taken too: more parameters of the gateway; `None`: they are not.
    pub(crate) phones: Option<&'a str>,
}

/// What `presence_mode` takes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    /// pua sends PUBLISH, to the host itself.
    Pua,
    /// Handed over in process.
    Local,
}

/// A running host.
pub(crate) struct Host {
    process: Child,
    folder: PathBuf,
    started: Instant,
}

/// The name the gateway gives its process.
pub(crate) const XMPP_PROCESS: &str = "xmpp_gateway";

const START_TIME: Duration = Duration::from_secs(60);
const STOP_TIME: Duration = Duration::from_secs(6);

impl Host {
    /// Writes its configuration and database and starts it. It is ready when it answers, which its SIP peer finds out.
    pub(crate) fn start(settings: &Settings<'_>) -> io::Result<Self> {
        Self::start_with(settings, &[], &[])
    }

    /// The same by another program, which is given the server's command line, and with more in its environment.
    pub(crate) fn start_with(settings: &Settings<'_>, prefix: &[&str], environment: &[(&str, String)]) -> io::Result<Self> {
        let folder = settings.folder;
        let file = folder.join("host.cfg");
        if !folder.join("host.sqlite").exists() {
            make_database(settings.kind, folder)?;
        }
        if settings.phones.is_some() || settings.store.is_some() {
            make_store(settings.store.unwrap_or_default(), folder)?;
        }
        let mut command = match settings.kind {
            Kind::Kamailio => {
                fs::write(&file, config::kamailio(settings))?;
                let mut command = program(prefix, Path::new("kamailio"));
                command.args(["-DD", "-E"]).arg("-Y").arg(folder).arg("-P").arg(folder.join("pid"));
                command
            }
            Kind::Opensips(tree) => {
                if !folder.join("modules").exists() {
                    link_modules(tree, &folder.join("modules"))?;
                }
                fs::write(&file, config::opensips(settings))?;
                let mut command = program(prefix, &tree.join("opensips"));
                command.arg("-F");
                command
            }
        };
        if let Some(allocator) = settings.allocator {
            command.arg(if *settings.kind == Kind::Kamailio { "-x" } else { "-a" }).arg(allocator);
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let log = File::create(folder.join("host.log"))?;
        command.args(["-m", config::SHM_MB, "-M", config::PKG_MB]).arg("-f").arg(&file).arg("-w").arg(folder);
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        // SAFETY: what runs between fork and exec is one async-signal-safe system call.
        unsafe { command.pre_exec(end_with_parent) };
        let started = Instant::now();
        Ok(Self { process: command.spawn()?, folder: folder.to_owned(), started })
    }

    /// Waits until `ready` says so; the host's own words if it ends or stays silent.
    pub(crate) fn wait(&mut self, mut ready: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
        let deadline = Instant::now() + START_TIME;
        while Instant::now() < deadline {
            if ready()? {
                return Ok(());
            }
            if self.process.try_wait()?.is_some() {
                return Err(io::Error::other(format!("the host ended:\n{}", self.log_end())));
            }
        }
        Err(io::Error::other(format!("the host does not answer:\n{}", self.log_end())))
    }

    /// Waits until it ends by itself, and says how.
    pub(crate) fn wait_end(&mut self, time: Duration) -> io::Result<String> {
        let deadline = Instant::now() + time;
        while Instant::now() < deadline {
            crate::interrupt::check()?;
            if let Some(status) = self.process.try_wait()? {
                return Ok(status.to_string());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok("it still runs".to_owned())
    }

    /// Since when it runs.
    pub(crate) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Its log.
    pub(crate) fn log(&self) -> String {
        let text = fs::read(self.folder.join("host.log")).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// The last lines of its log.
    pub(crate) fn log_end(&self) -> String {
        let text = self.log();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }

    /// CPU time that its processes took so far.
    pub(crate) fn cpu_time(&self) -> Duration {
        let ticks: u64 = self
            .group()
            .filter_map(|(_, stat)| Some(stat.get(11)?.parse::<u64>().ok()? + stat.get(12)?.parse::<u64>().ok()?))
            .sum();
        from_ticks(ticks)
    }

    /// Memory of the process with this name as /proc tells it, in KiB: `VmRSS:` all that is resident, `RssAnon:` its own.
    pub(crate) fn memory_of(&self, name: &str, what: &str) -> Option<u64> {
        let (process, _) = self.named(name)?;
        let status = fs::read_to_string(process.join("status")).ok()?;
        status.lines().find_map(|line| line.strip_prefix(what)?.split_whitespace().next()?.parse().ok())
    }

    /// Its processes: their folder in /proc, and the fields of `stat` from the state on.
    fn group(&self) -> impl Iterator<Item = (PathBuf, Vec<String>)> {
        let group = self.process.id().to_string();
        fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(move |entry| {
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            let (_, fields) = stat.rsplit_once(") ")?;
            let fields: Vec<String> = fields.split(' ').map(str::to_owned).collect();
            (fields.get(2) == Some(&group)).then(|| (entry.path(), fields))
        })
    }

    /// CPU time that the process with this name took so far.
    pub(crate) fn cpu_time_of(&self, name: &str) -> Option<Duration> {
        let (_, stat) = self.named(name)?;
        Some(from_ticks(stat.get(11)?.parse::<u64>().ok()? + stat.get(12)?.parse::<u64>().ok()?))
    }

    fn named(&self, name: &str) -> Option<(PathBuf, Vec<String>)> {
        self.group().find(|(process, _)| fs::read_to_string(process.join("comm")).is_ok_and(|comm| comm.trim() == name))
    }

    /// Asks it to end, as a service manager does, and waits; how long that took.
    pub(crate) fn stop(&mut self) -> io::Result<Duration> {
        let began = Instant::now();
        // SAFETY: kill touches no memory; the process is our child and was not waited for.
        unsafe { libc::kill(self.process.id() as libc::pid_t, libc::SIGTERM) };
        self.wait_end(STOP_TIME * 5)?;
        Ok(began.elapsed())
    }

    fn signal_group(&self, signal: libc::c_int) {
        // SAFETY: kill touches no memory; the group is that of our own child, which was not waited for before this.
        unsafe { libc::kill(-(self.process.id() as libc::pid_t), signal) };
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let deadline = Instant::now() + STOP_TIME;
        if matches!(self.process.try_wait(), Ok(None)) {
            // SAFETY: kill touches no memory; the process is our child and still runs.
            unsafe { libc::kill(self.process.id() as libc::pid_t, libc::SIGTERM) };
        }
        while matches!(self.process.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        if self.group().next().is_some() {
            self.signal_group(libc::SIGKILL);
        }
        let _ = self.process.wait();
    }
}

/// CPU time that the generator itself took so far.
pub(crate) fn own_cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is that of `time`, which lives through the call.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// CPU time that all processes of the machine took so far.
pub(crate) fn machine_cpu_time() -> Duration {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<u64> = text.lines().next().unwrap_or_default().split_whitespace().skip(1).flat_map(str::parse).collect();
    // user nice system idle iowait irq softirq steal
    from_ticks([0, 1, 2, 5, 6, 7].iter().filter_map(|index| fields.get(*index)).sum())
}

fn from_ticks(ticks: u64) -> Duration {
    // SAFETY: sysconf only reads.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    Duration::from_secs_f64(ticks as f64 / ticks_per_second as f64)
}

fn program(prefix: &[&str], server: &Path) -> Command {
    match prefix {
        [] => Command::new(server),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(server);
            command
        }
    }
}

/// Asks the kernel to end this process when the generator is killed without a chance to end it.
fn end_with_parent() -> io::Result<()> {
    // SAFETY: this prctl touches no memory.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
    Ok(())
}

/// A free address on loopback.
pub(crate) fn free_address() -> io::Result<SocketAddrV4> {
    let port = UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?.port();
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Makes the tables that pua wants.
fn make_database(kind: &Kind, folder: &Path) -> io::Result<()> {
    let scripts = match kind {
        Kind::Kamailio => PathBuf::from("/usr/share/kamailio/db_sqlite"),
        Kind::Opensips(tree) => tree.join("scripts/sqlite"),
    };
    for script in ["standard-create.sql", "presence-create.sql"] {
        let script = scripts.join(script);
        let input =
            File::open(&script).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", script.display())))?;
        let status = Command::new("sqlite3").arg(folder.join("host.sqlite")).stdin(input).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("sqlite3 refused {}", script.display())));
        }
    }
    // Without it the processes of a host lock each other out.
    let wal = Command::new("sqlite3")
        .arg(folder.join("host.sqlite"))
        .arg("PRAGMA journal_mode = WAL")
        .stdout(Stdio::null())
        .status()?;
    if wal.success() { Ok(()) } else { Err(io::Error::other("sqlite3 refused PRAGMA journal_mode")) }
}

/// Makes the tables of the gateway that are not there yet, and these rows.
fn make_store(rows: &str, folder: &Path) -> io::Result<()> {
    if folder.join("gateway.sqlite").exists() {
        return Ok(());
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("db/sqlite");
    let mut sql =
        String::from("CREATE TABLE version (table_name VARCHAR(32) NOT NULL, table_version INTEGER DEFAULT 0 NOT NULL);\n");
    for script in ["xmpp_address-create.sql", "xmpp_state-create.sql", "xmpp_account-create.sql"] {
        sql.push_str(&fs::read_to_string(scripts.join(script))?);
    }
    sql.push_str(rows);
    let file = folder.join("gateway.sql");
    fs::write(&file, sql)?;
    let status = Command::new("sqlite3").arg(folder.join("gateway.sqlite")).stdin(File::open(&file)?).status()?;
    fs::remove_file(&file)?;
    if status.success() { Ok(()) } else { Err(io::Error::other("sqlite3 refused the tables of the gateway")) }
}

/// Puts links to all modules of a source tree into one folder: `mpath` names only one.
fn link_modules(tree: &Path, folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for entry in fs::read_dir(tree.join("modules"))?.flatten() {
        let name = format!("{}.so", entry.file_name().to_string_lossy());
        let module = entry.path().join(&name);
        if module.exists() && name != "xmpp_gateway.so" {
            symlink(module, folder.join(name))?;
        }
    }
    Ok(())
}
