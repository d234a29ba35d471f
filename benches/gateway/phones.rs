//! 10 000 phones in their users' XMPP accounts, in one phone process: what each costs in memory, what all cost while nothing happens, and what
//! becomes of them when the host starts anew. The connection manager is ours: a real one would be measured with them.

use std::fmt::Write;
use std::fs;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use crate::bosh_server;
use crate::bosh_server::DOMAIN;
use crate::bosh_server::Seen;
use crate::bosh_server::WAIT;
use crate::host;
use crate::host::Host;
use crate::host::Settings;
use crate::interrupt;
use crate::memory;
use crate::registrations::Registrations;
use crate::registrations::Round;
use crate::report::micros;
use crate::rig::Folder;
use crate::rig::IN_MEMORY;
use crate::target::Target;

/// Accounts, each with one phone.
const ACCOUNTS: usize = 10_000;

/// Logins a second: as many as `login_rate` takes.
const LOGIN_RATE: usize = 1000;

/// REGISTERs a second: all in 10 s. The issue of old asks for 60 s.
const REGISTER_RATE: usize = 1000;

/// The name the gateway gives the phone process.
const PHONE_PROCESS: &str = "xmpp_phones";

/// A connection that a session needs no more is closed by then.
const SETTLED: Duration = Duration::from_secs(15);

/// Whether the sessions are encrypted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// Measures once.
pub(crate) fn sessions(target: &Target, tls: Tls) -> io::Result<(bool, String)> {
    let alone = match tls {
        Tls::Off => Some(bare(target)?),
        Tls::On => None,
    };
    let mut scene = Scene::start(target, tls)?;
    let before = scene.memory()?;
    scene.add_accounts()?;
    let with_accounts = scene.memory()?;
    let began = Instant::now();
    scene.phones.register(REGISTER_RATE)?;
    scene.wait("all logins", Duration::from_secs(300), |seen| Seen::count(&seen.online) >= ACCOUNTS)?;
    let logins = ACCOUNTS as f64 / began.elapsed().as_secs_f64();
    let login_cpu = scene.cpu()?;
    thread::sleep(SETTLED);
    let each = (scene.memory()? - before) as f64 / ACCOUNTS as f64;
    println!(
        "phones: {:.2} KiB an account with a session, {:.2} KiB without; {} connections; {logins:.0} logins/s, {:.2} ms CPU each",
        each,
        (with_accounts - before) as f64 / ACCOUNTS as f64,
        Seen::count(&scene.seen.connections),
        login_cpu.as_secs_f64() * 1e3 / ACCOUNTS as f64,
    );
    let (cpu, requests) = (scene.cpu()?, Seen::count(&scene.seen.requests));
    thread::sleep(WAIT);
    let idle = (scene.cpu()? - cpu).as_secs_f64() / WAIT.as_secs_f64();
    println!(
        "  idle: {:.1} % of a core, {:.0} requests/s; {:.2} KiB an account",
        idle * 100.0,
        (Seen::count(&scene.seen.requests) - requests) as f64 / WAIT.as_secs_f64(),
        (scene.memory()? - before) as f64 / ACCOUNTS as f64
    );
    let limit = if tls == Tls::On { 64.0 } else { 24.0 };
    let mut met = each < limit && idle < 0.05;
    if let Some(alone) = alone {
        met &= scene.register_again(&alone)?;
    }
    let went_on = scene.restart()?;
    met &= went_on >= ACCOUNTS * 99 / 100;
    Ok((met, format!("{each:.1} KiB, {:.1} %, {went_on} of {ACCOUNTS} go on", idle * 100.0)))
}

/// The same REGISTERs at the host without the gateway.
fn bare(target: &Target) -> io::Result<Round> {
    let folder = Folder::new("phones-bare", IN_MEMORY.into())?;
    let (_host, mut phones) = host(target, None, &folder.path, "")?;
    phones.register(REGISTER_RATE)?;
    phones.register(REGISTER_RATE)
}

fn host(target: &Target, module: Option<&Path>, folder: &Path, parameters: &str) -> io::Result<(Host, Registrations)> {
    let address = host::free_address()?;
    let mut phones = Registrations::new(SocketAddr::V4(address), ACCOUNTS)?;
    let host = start(target, module, folder, parameters, address, &mut phones)?;
    Ok((host, phones))
}

fn start(
    target: &Target,
    module: Option<&Path>,
    folder: &Path,
    parameters: &str,
    address: std::net::SocketAddrV4,
    phones: &mut Registrations,
) -> io::Result<Host> {
    let settings = Settings {
        kind: &target.kind,
        module,
        address,
        peer_port: host::free_address()?.port(),
        xmpp_port: host::free_address()?.port(),
        folder,
        allocator: target.allocator.as_deref(),
        presence: None,
        dialogs: None,
        store: None,
        phones: Some(parameters),
    };
    let mut host = Host::start(&settings)?;
    host.wait(|| {
        interrupt::check()?;
        phones.is_there()
    })?;
    Ok(host)
}

/// A host with phones in accounts. The host is first: it ends before its folder goes.
struct Scene<'a> {
    host: Host,
    phones: Registrations,
    target: &'a Target,
    parameters: String,
    url: String,
    seen: Arc<Seen>,
    folder: Folder,
}

impl<'a> Scene<'a> {
    fn start(target: &'a Target, tls: Tls) -> io::Result<Self> {
        let folder = Folder::new("phones", IN_MEMORY.into())?;
        let (address, seen) = bosh_server::start((tls == Tls::On).then_some(&folder.path))?;
        let mut parameters = String::new();
        for (name, value) in [("login_rate", LOGIN_RATE), ("bosh_allow_plain", 1)] {
            let _ = writeln!(parameters, "modparam(\"xmpp_gateway\", \"{name}\", {value})");
        }
        if tls == Tls::On {
            let _ = writeln!(parameters, "modparam(\"xmpp_gateway\", \"bosh_ca\", \"{}/ca.pem\")", folder.path.display());
        }
        let scheme = if tls == Tls::On { "https" } else { "http" };
        let (host, phones) = host(target, target.module.as_deref(), &folder.path, &parameters)?;
        let scene = Self { host, phones, target, parameters, url: format!("{scheme}://{address}/http-bind"), seen, folder };
        // Workers answer before it has its name.
        scene.wait_for_log("0 accounts whose phones are shown")?;
        Ok(scene)
    }

    /// Memory of the phone process that is its own, KiB.
    fn memory(&self) -> io::Result<u64> {
        self.host
            .memory_of(PHONE_PROCESS, "RssAnon:")
            .ok_or_else(|| self.failed(&format!("no process is called {PHONE_PROCESS}")))
    }

    fn cpu(&self) -> io::Result<Duration> {
        self.host.cpu_time_of(PHONE_PROCESS).ok_or_else(|| self.failed("the phone process is gone"))
    }

    fn add_accounts(&self) -> io::Result<()> {
        let mut sql = String::from("BEGIN;\n");
        for number in 0..ACCOUNTS {
            // As the registrar has it: without domains it names users only.
            let _ = writeln!(
                sql,
                "INSERT INTO xmpp_account (sip_uri, jid, password, url, flags) VALUES \
                 ('sip:u{number}@127.0.0.1', 'u{number}@{DOMAIN}', 'pencil', '{}', 8);",
                self.url
            );
        }
        sql.push_str("COMMIT;\n");
        self.sqlite(&sql)?;
        memory::reload_accounts(&self.target.kind, &self.folder.path)?;
        self.wait_for_log(&format!("{ACCOUNTS} accounts whose phones are shown"))
    }

    fn wait_for_log(&self, said: &str) -> io::Result<()> {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.host.log().contains(said) {
            interrupt::check()?;
            if Instant::now() > end {
                return Err(self.failed(&format!("the log does not say: {said}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    fn sqlite(&self, sql: &str) -> io::Result<String> {
        let file = self.folder.path.join("statements.sql");
        fs::write(&file, sql)?;
        let done = Command::new("sqlite3").arg(self.folder.path.join("gateway.sqlite")).stdin(File::open(&file)?).output()?;
        if done.status.success() {
            Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
        } else {
            Err(io::Error::other(String::from_utf8_lossy(&done.stderr).into_owned()))
        }
    }

    fn wait(&self, what: &str, time: Duration, is_done: impl Fn(&Seen) -> bool) -> io::Result<()> {
        let end = Instant::now() + time;
        while !is_done(&self.seen) {
            interrupt::check()?;
            if Instant::now() > end {
                let Seen { created, online, unknown, .. } = &*self.seen;
                let [created, online, unknown] = [created, online, unknown].map(Seen::count);
                return Err(self.failed(&format!("no end of {what}: {created} sessions, {online} online, {unknown} unknown")));
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn failed(&self, what: &str) -> io::Error {
        io::Error::other(format!("{what}\n{}", self.host.log_end()))
    }

    /// All register anew while all have a session: whether that takes no longer than at the host alone.
    fn register_again(&mut self, alone: &Round) -> io::Result<bool> {
        let round = self.phones.register(REGISTER_RATE)?;
        let show = |round: &Round| {
            let [half, most, all] = [0.5, 0.99, 1.0].map(|share| micros(round.latency.percentile(share)));
            format!("{} of {ACCOUNTS}, p50 {half}, p99 {most}, longest {all}", round.done)
        };
        println!("  {REGISTER_RATE} REGISTER/s at the host alone: {}", show(alone));
        println!("  {REGISTER_RATE} REGISTER/s with their phones: {}", show(&round));
        let slack = Duration::from_millis(1);
        Ok(round.done == ACCOUNTS && round.latency.percentile(0.99) <= alone.latency.percentile(0.99) + slack)
    }

    /// Stops the host and starts it anew: how many sessions go on.
    fn restart(&mut self) -> io::Result<usize> {
        let paused = Seen::count(&self.seen.paused);
        let stop = self.host.stop()?;
        let paused = Seen::count(&self.seen.paused) - paused;
        let kept = self.sqlite("SELECT COUNT(*) FROM xmpp_account WHERE session <> '';")?;
        let address = host::free_address()?;
        self.phones.again_at(SocketAddr::V4(address))?;
        let module = self.target.module.as_deref();
        let (online, made) = (Seen::count(&self.seen.online), Seen::count(&self.seen.created));
        self.host = start(self.target, module, &self.folder.path, &self.parameters, address, &mut self.phones)?;
        let began = Instant::now();
        self.phones.register(REGISTER_RATE)?;
        self.wait("what is shown again", Duration::from_secs(300), |seen| Seen::count(&seen.online) - online >= ACCOUNTS)?;
        let time = began.elapsed();
        let anew = Seen::count(&self.seen.created) - made;
        println!(
            "  restart: stopped in {:.2} s with {paused} sessions asked to wait, {kept} written; all shown again in {:.1} s, {anew} by a login, \
             {} requests out of order",
            stop.as_secs_f64(),
            time.as_secs_f64(),
            Seen::count(&self.seen.unknown)
        );
        Ok(ACCOUNTS.saturating_sub(anew))
    }
}
