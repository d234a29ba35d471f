//! Calls through the host's dialog module, shown to watchers (`dialog_mode`, `dialog_event`): SIPp calls, rings, answers and hangs up, 500 times a
//! second, and each callee has three watchers. The same host without the gateway comes first: what fails there is the host's own.

use std::collections::BTreeMap;
use std::fs;
use std::fs::File;
use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use crate::dialogs::Dialogs;
use crate::dialogs::answer;
use crate::dialogs::header;
use crate::host;
use crate::host::Host;
use crate::host::Presence;
use crate::host::Settings;
use crate::interrupt;
use crate::memory;
use crate::rig::Folder;
use crate::rig::IN_MEMORY;
use crate::target::Target;

/// Set-ups a second, and for how many seconds.
const RATE: usize = 500;
const SECONDS: usize = 10;

const CALLEES: usize = 100;
const WATCHERS: usize = 3;

/// After the last call everything has to be over by then: far below the lifetime of what is published.
const AFTERMATH: Duration = Duration::from_secs(20);

/// What becomes of the calls.
struct Calls {
    /// Set-ups a second that were reached.
    rate: f64,
    failed: u64,
    /// That the dialog module still has.
    held: u64,
    /// Whose last document has a dialog that goes on.
    lit: usize,
    /// Whose documents are not numbered 0, 1, 2 ...
    misnumbered: usize,
    told: usize,
}

/// Calls without and with the gateway.
pub(crate) fn set_up(target: &Target) -> io::Result<(bool, String)> {
    if Command::new("sipp").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        println!("calls: skipped, sipp is not installed");
        return Ok((true, "skipped: sipp is not installed".to_owned()));
    }
    let alone = calls(target, None)?;
    println!(
        "calls, the host alone: {:.0} set-ups/s, {} failed, {} held by the dialog module",
        alone.rate, alone.failed, alone.held
    );
    let Calls { rate, failed, held, lit, misnumbered, told } = calls(target, target.module.as_deref())?;
    println!(
        "calls, with {WATCHERS} watchers each: {rate:.0} set-ups/s, {failed} failed, {held} held by the dialog module, {lit} lamps lit in the end, \
         {misnumbered} of {} subscriptions misnumbered, {told} NOTIFYs",
        CALLEES * WATCHERS
    );
    let met = rate >= 0.95 * RATE as f64 && failed == 0 && held == 0 && lit == 0 && misnumbered == 0;
    Ok((met, format!("{rate:.0}/s, {failed} failed, {held} held, {lit} lit, {misnumbered} misnumbered")))
}

fn calls(target: &Target, module: Option<&Path>) -> io::Result<Calls> {
    let folder = Folder::new("calls", IN_MEMORY.into())?;
    let address = host::free_address()?;
    let callee = host::free_address()?;
    let settings = Settings {
        kind: &target.kind,
        module,
        address,
        peer_port: callee.port(),
        xmpp_port: host::free_address()?.port(),
        folder: &folder.path,
        allocator: target.allocator.as_deref(),
        presence: module.map(|_| Presence::Pua),
        store: None,
        phones: None,
        dialogs: Some(Dialogs::Calls),
    };
    let mut host = Host::start_with(&settings, &[], &[])?;
    let mut watchers = Watchers::new(address)?;
    host.wait(|| {
        interrupt::check()?;
        watchers.request("OPTIONS", "bare", "o")?;
        watchers.receive(Duration::from_millis(200))
    })?;
    if module.is_some() {
        watchers.subscribe()?;
    }
    let mut phone = Sipp::start(&folder.path, "callee", CALLEE, &["-p", &callee.port().to_string()])?;
    let users: String = (0..CALLEES).map(|number| format!("bob{number}@{address};\n")).collect();
    fs::write(folder.path.join("users.csv"), format!("SEQUENTIAL\n{users}"))?;
    let (rate, count, proxy) = (RATE.to_string(), (RATE * SECONDS).to_string(), address.to_string());
    let options =
        ["-inf", "users.csv", "-r", &rate, "-m", &count, "-l", "4000", "-trace_stat", "-stf", "calls.csv", "-fd", "1", &proxy];
    let mut callers = Sipp::start(&folder.path, "caller", CALLER, &options)?;
    let deadline = Instant::now() + Duration::from_secs(60 + 4 * SECONDS as u64);
    while callers.0.try_wait()?.is_none() && Instant::now() < deadline {
        interrupt::check()?;
        watchers.receive(Duration::from_millis(20))?;
    }
    callers.end();
    let (rate, failed) = statistics(&fs::read_to_string(folder.path.join("calls.csv"))?)?;
    let (mut held, end) = (u64::MAX, Instant::now() + AFTERMATH);
    while Instant::now() < end && (held > 0 || watchers.lit() > 0) {
        interrupt::check()?;
        let pause = Instant::now() + Duration::from_millis(300);
        while Instant::now() < pause {
            watchers.receive(Duration::from_millis(50))?;
        }
        held = memory::active_dialogs(&target.kind, &folder.path)?;
    }
    phone.end();
    Ok(Calls { rate, failed, held, lit: watchers.lit(), misnumbered: watchers.misnumbered(), told: watchers.told() })
}

/// Set-ups a second and failed calls, of SIPp's statistics.
fn statistics(table: &str) -> io::Result<(f64, u64)> {
    let mut lines = table.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(';').collect();
    let last: Vec<&str> = lines.next_back().unwrap_or_default().split(';').collect();
    let value = |wanted: &str| {
        let place = names.iter().position(|name| *name == wanted).and_then(|place| last.get(place));
        place.copied().ok_or_else(|| io::Error::other(format!("SIPp does not tell {wanted}")))
    };
    let number = |wanted: &str| value(wanted)?.trim().parse::<f64>().map_err(io::Error::other);
    // hours:minutes:seconds.
    let time = value("ElapsedTime(C)")?.split(':').take(3).fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap_or(0.0));
    Ok((number("SuccessfulCall(C)")? / time.max(0.001), number("FailedCall(C)")? as u64))
}

/// All phones with lamps, at one socket.
struct Watchers {
    socket: UdpSocket,
    port: u16,
    address: String,
    buffer: Vec<u8>,
    /// By Call-ID, and then by CSeq: version, and whether a dialog goes on.
    subscriptions: BTreeMap<String, BTreeMap<u32, (u32, bool)>>,
}

impl Watchers {
    fn new(address: std::net::SocketAddrV4) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(address)?;
        let port = socket.local_addr()?.port();
        Ok(Self { socket, port, address: address.to_string(), buffer: vec![0; 65_536], subscriptions: BTreeMap::new() })
    }

    fn subscribe(&mut self) -> io::Result<()> {
        for callee in 0..CALLEES {
            for watcher in 0..WATCHERS {
                let call_id = format!("s{callee}-{watcher}");
                let deadline = Instant::now() + Duration::from_secs(5);
                // UDP loses some where many come at once.
                while self.subscriptions.get(&call_id).is_none_or(BTreeMap::is_empty) {
                    if Instant::now() > deadline {
                        return Err(io::Error::other("a SUBSCRIBE has no NOTIFY"));
                    }
                    self.request("SUBSCRIBE", &format!("bob{callee}"), &call_id)?;
                    self.receive(Duration::from_millis(500))?;
                    self.receive(Duration::from_millis(500))?;
                }
            }
        }
        Ok(())
    }

    fn request(&self, method: &str, user: &str, call_id: &str) -> io::Result<()> {
        let (port, address) = (self.port, &self.address);
        let request = format!(
            "{method} sip:{user}@{address} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call_id}\r\nMax-Forwards: 70\r\n\
             From: <sip:lamp@127.0.0.1>;tag=a\r\nTo: <sip:{user}@{address}>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:lamp@127.0.0.1:{port}>\r\nEvent: dialog\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
        );
        self.socket.send(request.as_bytes()).map(drop)
    }

    /// Takes what comes within this time: one message, and what is there then. False: nothing.
    fn receive(&mut self, time: Duration) -> io::Result<bool> {
        self.socket.set_read_timeout(Some(time))?;
        let length = match self.socket.recv(&mut self.buffer) {
            Ok(length) => length,
            Err(error) => return if error.kind() == io::ErrorKind::InvalidInput { Err(error) } else { Ok(false) },
        };
        let message = String::from_utf8_lossy(&self.buffer[..length]).into_owned();
        if message.starts_with("NOTIFY ") {
            self.socket.send(answer(&message).as_bytes())?;
            let call_id = header(&message, "Call-ID").unwrap_or_default().to_owned();
            let cseq = header(&message, "CSeq").and_then(|cseq| cseq.split(' ').next()?.parse().ok()).unwrap_or(0);
            let version = message
                .split_once("<dialog-info")
                .and_then(|(_, element)| element.split_once(" version='"))
                .and_then(|(_, rest)| rest.split('\'').next()?.parse().ok());
            let goes_on = message.matches("<state").count() > message.matches(">terminated</state>").count();
            if let Some(version) = version {
                self.subscriptions.entry(call_id).or_default().insert(cseq, (version, goes_on));
            }
        }
        Ok(true)
    }

    fn lit(&self) -> usize {
        self.subscriptions.values().filter(|told| told.values().next_back().is_some_and(|(_, goes_on)| *goes_on)).count()
    }

    fn misnumbered(&self) -> usize {
        self.subscriptions.values().filter(|told| !told.values().map(|(version, _)| *version).eq(0..told.len() as u32)).count()
    }

    fn told(&self) -> usize {
        self.subscriptions.values().map(BTreeMap::len).sum()
    }
}

/// One SIPp; it ends with us.
struct Sipp(Child);

impl Sipp {
    fn start(folder: &Path, name: &str, scenario: &str, options: &[&str]) -> io::Result<Self> {
        fs::write(folder.join(format!("{name}.xml")), scenario)?;
        let log = File::create(folder.join(format!("{name}.log")))?;
        let mut command = Command::new("sipp");
        command.args(["-sf", &format!("{name}.xml"), "-i", "127.0.0.1", "-nostdin"]).args(options).env("TERM", "dumb");
        command.current_dir(folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        command.spawn().map(Self)
    }

    fn end(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        self.end();
    }
}

/// Rings for 20 ms, and is there for 100 ms.
const CALLEE: &str = r#"<?xml version="1.0" encoding="us-ascii"?>
<scenario name="callee">
  <recv request="INVITE" rrs="true"/>
  <send><![CDATA[

    SIP/2.0 180 Ringing
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]t[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    [last_Record-Route:]
    Contact: <sip:[local_ip]:[local_port]>
    Content-Length: 0

  ]]></send>
  <pause milliseconds="20"/>
  <send retrans="500"><![CDATA[

    SIP/2.0 200 OK
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]t[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    [last_Record-Route:]
    Contact: <sip:[local_ip]:[local_port]>
    Content-Length: 0

  ]]></send>
  <recv request="ACK"/>
  <recv request="BYE"/>
  <send><![CDATA[

    SIP/2.0 200 OK
    [last_Via:]
    [last_From:]
    [last_To:]
    [last_Call-ID:]
    [last_CSeq:]
    Content-Length: 0

  ]]></send>
  <timewait milliseconds="4000"/>
</scenario>
"#;

const CALLER: &str = r#"<?xml version="1.0" encoding="us-ascii"?>
<scenario name="caller">
  <send retrans="500"><![CDATA[

    INVITE sip:[field0] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: <sip:alice@[local_ip]:[local_port]>;tag=[pid]f[call_number]
    To: <sip:[field0]>
    Call-ID: [call_id]
    CSeq: 1 INVITE
    Contact: <sip:alice@[local_ip]:[local_port]>
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="200" rrs="true"/>
  <send><![CDATA[

    ACK [next_url] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    [routes]
    From: <sip:alice@[local_ip]:[local_port]>;tag=[pid]f[call_number]
    [last_To:]
    Call-ID: [call_id]
    CSeq: 1 ACK
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
  <pause milliseconds="100"/>
  <send retrans="500"><![CDATA[

    BYE [next_url] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    [routes]
    From: <sip:alice@[local_ip]:[local_port]>;tag=[pid]f[call_number]
    [last_To:]
    Call-ID: [call_id]
    CSeq: 2 BYE
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
  <recv response="200"/>
</scenario>
"#;
