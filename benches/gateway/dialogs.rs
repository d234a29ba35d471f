//! Event: dialog with the gateway's documents, against the host's own module presence_dialoginfo on the same documents.
//!
//! **Making one document of many** is measured in a host that is started for nothing else (`src/host/dialog_bench.rs`): time by its clock, and
//! instructions by callgrind, where valgrind is there. "One changed" is what a host does all day: with each NOTIFY it hands over the documents of
//! all publishers, of which one is new. "All changed" are documents that this process has never seen.
//!
//! **PUBLISH to NOTIFY** goes over the wire: some presentities with one watcher each, one PUBLISH under way for each of them. On OpenSIPS the
//! gateway's watchers take documents with what has changed, as presence_dialoginfo sends no others after a PUBLISH there.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::UdpSocket;
use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use crate::host;
use crate::host::Host;
use crate::host::Kind;
use crate::host::Presence;
use crate::host::Settings;
use crate::interrupt;
use crate::rig::Folder;
use crate::rig::IN_MEMORY;
use crate::target::Target;

/// Who serves the event.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialogs {
    /// presence_dialoginfo.
    Stock,
    /// The gateway.
    Gateway,
    /// The same, for watchers that take changes alone.
    GatewayChanges,
    /// The gateway, which is told of dialogs by the calls of the host; without it the calls alone.
    Calls,
}

/// Turns that callgrind counts, and that the clock does.
const COUNTED_TURNS: usize = 10;
const TIMED_TURNS: usize = 500;

/// Presentities of a round over the wire.
const PRESENTITIES: usize = 16;

/// Rounds of each module, in turn.
const ROUNDS: usize = 3;

const ROUND: Duration = Duration::from_secs(3);

/// By what was changed and how many documents there are.
type Cases = BTreeMap<(String, usize), u64>;

/// Makes documents of 1, 5, 20 and 100.
pub(crate) fn aggregate(target: &Target) -> io::Result<(bool, String)> {
    let [stock, ours] = [Dialogs::Stock, Dialogs::Gateway].map(|dialogs| timed(target, dialogs));
    let (stock, ours) = (stock?, ours?);
    let instructions = [Dialogs::Stock, Dialogs::Gateway].map(|dialogs| instructions(target, dialogs));
    let [stock_instructions, our_instructions] = instructions.map(|found| found.inspect_err(|error| println!("{error}")).ok());
    let mut worst = f64::INFINITY;
    println!("one document of many and that of one watcher, presence_dialoginfo and gateway:");
    for ((changed, count), nanoseconds) in &stock {
        let key = (changed.clone(), *count);
        let gateway = ours.get(&key).copied().unwrap_or_default();
        let micros = |nanoseconds: u64| nanoseconds as f64 / 1000.0;
        let mut line =
            format!("  {count:>3} dialogs, {changed:<3} changed: {:>8.1} us {:>8.1} us", micros(*nanoseconds), micros(gateway));
        if let (Some(stock), Some(ours)) = (&stock_instructions, &our_instructions)
            && let (Some(stock), Some(ours)) = (stock.get(&key), ours.get(&key))
        {
            let ratio = *stock as f64 / (*ours).max(1) as f64;
            line += &format!("; {stock:>9} {ours:>9} instructions, {ratio:.1} times fewer");
            if *count == 20 && changed == "one" {
                worst = worst.min(ratio);
            }
        }
        println!("{line}");
    }
    let found = if worst.is_finite() { format!("{worst:.1} times") } else { "instructions were not counted".to_owned() };
    Ok((worst.is_finite() && worst >= 10.0, found))
}

/// Nanoseconds of a turn.
fn timed(target: &Target, dialogs: Dialogs) -> io::Result<Cases> {
    let folder = Folder::new("dialogs", IN_MEMORY.into())?;
    alone(target, dialogs, &folder.path, &[], TIMED_TURNS)
}

/// Instructions of a turn.
fn instructions(target: &Target, dialogs: Dialogs) -> io::Result<Cases> {
    let folder = Folder::new("dialogs", IN_MEMORY.into())?;
    let out = format!("--callgrind-out-file={}/count", folder.path.display());
    let valgrind = [
        "valgrind",
        "--quiet",
        "--tool=callgrind",
        "--toggle-collect=xmpp_gateway_bench_turns",
        "--dump-after=xmpp_gateway_bench_turns",
        &out,
    ];
    let timed = alone(target, dialogs, &folder.path, &valgrind, COUNTED_TURNS)?;
    // The order in which the cases were written is that of the dumps.
    let order = fs::read_to_string(folder.path.join("result"))?;
    let order = order.lines().filter_map(|line| case(line).map(|(key, _)| key));
    let counted = (1..).map(|number| fs::read_to_string(folder.path.join(format!("count.{number}"))));
    let counted = counted.map_while(Result::ok).filter_map(|dump| {
        let total = dump
            .lines()
            .find_map(|line| line.strip_prefix("summary:").or(line.strip_prefix("totals:")))?
            .trim()
            .parse::<u64>()
            .ok()?;
        (total > 0).then_some(total / COUNTED_TURNS as u64)
    });
    let counted: Cases = order.zip(counted).collect();
    if counted.len() == timed.len() {
        Ok(counted)
    } else {
        Err(io::Error::other("instructions were not counted: is valgrind there?"))
    }
}

/// Starts a host that measures and ends.
fn alone(target: &Target, dialogs: Dialogs, folder: &Path, prefix: &[&str], turns: usize) -> io::Result<Cases> {
    let result = folder.join("result");
    let environment =
        [("XMPP_GATEWAY_DIALOG_BENCH", result.display().to_string()), ("XMPP_GATEWAY_DIALOG_TURNS", turns.to_string())];
    let mut host = start(target, dialogs, folder, 0, prefix, &environment)?;
    let ended = host.wait_end(Duration::from_secs(180))?;
    let text = fs::read_to_string(&result)
        .map_err(|error| io::Error::new(error.kind(), format!("{error} {ended}\n{}", host.log_end())))?;
    Ok(text.lines().filter_map(case).collect())
}

/// `One 20 12345`
fn case(line: &str) -> Option<((String, usize), u64)> {
    let mut words = line.split(' ');
    let (changed, count, value) = (words.next()?, words.next()?, words.next()?);
    Some(((changed.to_lowercase(), count.parse().ok()?), value.parse().ok()?))
}

fn start(
    target: &Target,
    dialogs: Dialogs,
    folder: &Path,
    peer_port: u16,
    prefix: &[&str],
    environment: &[(&str, String)],
) -> io::Result<Host> {
    let settings = Settings {
        kind: &target.kind,
        module: target.module.as_deref(),
        address: host::free_address()?,
        peer_port,
        xmpp_port: host::free_address()?.port(),
        folder,
        allocator: target.allocator.as_deref(),
        presence: Some(Presence::Pua),
        store: None,
        phones: None,
        dialogs: Some(dialogs),
    };
    Host::start_with(&settings, prefix, environment)
}

/// PUBLISH to NOTIFY with 1 and with 20 publishers.
pub(crate) fn notify(target: &Target) -> io::Result<(bool, String)> {
    let mut found = Vec::new();
    let ours = match target.kind {
        Kind::Kamailio => Dialogs::Gateway,
        Kind::Opensips(_) => Dialogs::GatewayChanges,
    };
    for publishers in [1, 20] {
        let mut rates = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (dialogs, rates) in [Dialogs::Stock, ours].into_iter().zip(&mut rates) {
                rates.push(round(target, dialogs, publishers)?);
            }
        }
        let [stock, ours] = rates.map(|mut rates| {
            rates.sort_by(f64::total_cmp);
            rates[rates.len() / 2]
        });
        println!(
            "PUBLISH to NOTIFY, {publishers:>2} publishers: presence_dialoginfo {stock:.0}/s, gateway {ours:.0}/s, {:.2} times",
            ours / stock
        );
        found.push(ours / stock);
    }
    Ok((found.iter().all(|ratio| *ratio >= 1.5), format!("{:.2} and {:.2} times", found[0], found[1])))
}

/// One presentity of a round.
struct Presentity {
    /// The entity tag of each publisher, once it has one.
    tags: Vec<Option<String>>,
    /// Whose turn it is.
    next: usize,
    sent: usize,
    answered: bool,
    notified: bool,
}

fn round(target: &Target, dialogs: Dialogs, publishers: usize) -> io::Result<f64> {
    let folder = Folder::new("lamps", IN_MEMORY.into())?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.set_read_timeout(Some(Duration::from_millis(500)))?;
    let settings_folder = folder.path.clone();
    let address = host::free_address()?;
    let settings = Settings {
        kind: &target.kind,
        module: target.module.as_deref(),
        address,
        peer_port: socket.local_addr()?.port(),
        xmpp_port: host::free_address()?.port(),
        folder: &settings_folder,
        allocator: target.allocator.as_deref(),
        presence: Some(Presence::Pua),
        store: None,
        phones: None,
        dialogs: Some(dialogs),
    };
    let mut host = Host::start_with(&settings, &[], &[])?;
    socket.connect(address)?;
    let mut peer = Peer { socket, port: settings.peer_port, address: address.to_string(), buffer: vec![0; 65_536] };
    host.wait(|| {
        interrupt::check()?;
        peer.send("OPTIONS", "bare", "o", 0, "", "")?;
        Ok(peer.receive()?.is_some())
    })?;
    peer.drive(publishers).map_err(|error| io::Error::other(format!("{error}\n{}", host.log_end())))
}

/// Publishers and watchers, at one socket.
struct Peer {
    socket: UdpSocket,
    port: u16,
    address: String,
    buffer: Vec<u8>,
}

impl Peer {
    fn drive(&mut self, publishers: usize) -> io::Result<f64> {
        let mut presentities: Vec<Presentity> = (0..PRESENTITIES)
            .map(|_| Presentity { tags: vec![None; publishers], next: 0, sent: 0, answered: false, notified: false })
            .collect();
        for number in 0..PRESENTITIES {
            self.send("SUBSCRIBE", &format!("bob{number}"), &format!("s{number}"), 0, "Event: dialog\r\nExpires: 3600\r\n", "")?;
        }
        let (mut start, mut count, mut subscribed) = (None, 0, 0);
        loop {
            interrupt::check()?;
            let Some(message) = self.receive()? else { return Err(io::Error::other("the host fell silent")) };
            let call_id = header(&message, "Call-ID").unwrap_or_default();
            let Some(number) = call_id.get(1..).and_then(|number| number.split('-').next()?.parse::<usize>().ok()) else {
                continue;
            };
            let Some(presentity) = presentities.get_mut(number) else { continue };
            if message.starts_with("NOTIFY ") {
                self.socket.send(answer(&message).as_bytes())?;
                // The first one answers SUBSCRIBE; each gets a first PUBLISH of each publisher.
                if presentity.sent == 0 {
                    subscribed += 1;
                    presentity.answered = true;
                }
                presentity.notified = true;
            } else if call_id.starts_with('p') {
                if !message.starts_with("SIP/2.0 200") {
                    return Err(io::Error::other(message));
                }
                let publisher = presentity.next;
                presentity.tags[publisher] = header(&message, "SIP-ETag").map(str::to_owned);
                presentity.next = (publisher + 1) % presentity.tags.len();
                presentity.answered = true;
            }
            if presentity.answered && presentity.notified {
                if presentity.sent > 0 {
                    count += 1;
                }
                // What fills the table of publications does not count.
                if start.is_none() && subscribed == PRESENTITIES && count >= PRESENTITIES * (publishers + 2) {
                    (start, count) = (Some(Instant::now()), 0);
                }
                if let Some(start) = start.filter(|start: &Instant| start.elapsed() > ROUND) {
                    return Ok(count as f64 / start.elapsed().as_secs_f64());
                }
                self.publish(number, presentity)?;
            }
        }
    }

    fn publish(&mut self, number: usize, presentity: &mut Presentity) -> io::Result<()> {
        let (publisher, sent) = (presentity.next, presentity.sent);
        let id = format!("a84b4c76e66710-{publisher}@192.0.2.3");
        let state = if sent % 2 == 0 { "early" } else { "confirmed" };
        // A call goes on from early to confirmed; the next one of a publisher has another Call-ID.
        let call = sent / presentity.tags.len() / 2;
        let body = format!(
            "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"0\" state=\"full\" \
             entity=\"sip:bob{number}@{}\">\n  <dialog id=\"{id}\" call-id=\"{id}-{call}\" local-tag=\"{sent}\" remote-tag=\"4568\" \
             direction=\"recipient\">\n    <state>{state}</state>\n    <remote>\n      <identity>sip:alice@example.com</identity>\n      \
             <target uri=\"sip:alice@192.0.2.3:5060\"/>\n    </remote>\n    <local>\n      <identity>sip:bob@example.com</identity>\n      \
             <target uri=\"sip:bob@192.0.2.7:5060\"/>\n    </local>\n  </dialog>\n</dialog-info>\n",
            self.address
        );
        let tag = presentity.tags[publisher].as_deref().map(|tag| format!("SIP-If-Match: {tag}\r\n")).unwrap_or_default();
        let headers = format!("Event: dialog\r\nExpires: 3600\r\nContent-Type: application/dialog-info+xml\r\n{tag}");
        (presentity.answered, presentity.notified) = (false, false);
        presentity.sent += 1;
        self.send("PUBLISH", &format!("bob{number}"), &format!("p{number}-{sent}"), sent, &headers, &body)
    }

    fn send(&self, method: &str, user: &str, call_id: &str, unique: usize, headers: &str, body: &str) -> io::Result<()> {
        let (port, address) = (self.port, &self.address);
        let request = format!(
            "{method} sip:{user}@{address} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call_id}{unique}\r\nMax-Forwards: 70\r\n\
             From: <sip:alice@127.0.0.1>;tag=a\r\nTo: <sip:{user}@{address}>\r\nCall-ID: {call_id}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:alice@127.0.0.1:{port}>\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.socket.send(request.as_bytes()).map(drop)
    }

    /// `None`: nothing came for a while.
    fn receive(&mut self) -> io::Result<Option<String>> {
        match self.socket.recv(&mut self.buffer) {
            Ok(length) => Ok(Some(String::from_utf8_lossy(&self.buffer[..length]).into_owned())),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::ConnectionRefused
                ) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

pub(crate) fn header<'a>(message: &'a str, name: &str) -> Option<&'a str> {
    message
        .lines()
        .find_map(|line| line.split_once(':').filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()))
}

/// The 200 to a request.
pub(crate) fn answer(request: &str) -> String {
    let head = request.split("\r\n\r\n").next().unwrap_or_default();
    let kept = |line: &&str| ["Via", "From", "To", "Call-ID", "CSeq"].iter().any(|name| line.split(':').next() == Some(name));
    let lines: Vec<&str> = head.lines().filter(kept).collect();
    format!("SIP/2.0 200 OK\r\n{}\r\nContent-Length: 0\r\n\r\n", lines.join("\r\n"))
}
