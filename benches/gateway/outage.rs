//! The XMPP server goes away, MESSAGEs wait, it comes back: how long the queue takes to drain, in which order, and what it weighs.

use std::io;
use std::time::Duration;
use std::time::Instant;

use crate::config::QUEUE_SIZE;
use crate::directions::SipRequest;
use crate::host::XMPP_PROCESS;
use crate::load::History;
use crate::load::Kind;
use crate::load::Limits;
use crate::load::drive;
use crate::rig::Rig;

/// MESSAGEs beyond the bound of the queue.
const TOO_MANY: usize = 100;

/// Domains that long MESSAGEs are sent to: more than the whole queue has room for.
const DOMAINS: usize = 6;

/// MESSAGEs to each of them: more than one domain has room for.
const LONG_MESSAGES: usize = 800;

/// Without a stanza for this long, no more come.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the process may take with a full queue, and while that drains, in KiB.
const MOST: u64 = 48 << 10;

/// Fills the queue of one domain, one MESSAGE at a time so that there is an order, and lets it drain.
pub(crate) fn drain(rig: &mut Rig, limits: &Limits, history: &mut History) -> io::Result<(bool, String)> {
    let idle = resident(rig)?;
    go_away(rig)?;
    let one = Limits { window: 1, count: QUEUE_SIZE + TOO_MANY, ..waiting(limits) };
    let mut message = SipRequest::queued_message(rig.peer_port());
    let round = drive(rig, &mut message, &one, history)?;
    let full = resident(rig)?;
    let start = rig.xmpp.come_back()?;
    let (numbers, last) = arrivals(rig)?;
    let time = last.map_or(Duration::ZERO, |last| last - start);
    let in_order = numbers.is_sorted_by(|before, after| before < after);
    println!(
        "outage: {} MESSAGEs queued, {} refused; drained in {:.0} ms ({:.0}/s), {}; XMPP process {} idle, {} with the queue, {} after it",
        round.completed,
        round.refused,
        time.as_secs_f64() * 1e3,
        numbers.len() as f64 / time.as_secs_f64().max(1e-9),
        if in_order { "order kept" } else { "order not kept" },
        mib(idle),
        mib(full),
        mib(resident(rig)?)
    );
    let met = in_order && numbers.len() == QUEUE_SIZE && round.completed == QUEUE_SIZE && round.refused == TOO_MANY;
    Ok((met, format!("{} of {QUEUE_SIZE}, {} refused, {:.0} ms", numbers.len(), round.refused, time.as_secs_f64() * 1e3)))
}

/// Fills the whole queue with long MESSAGEs to many domains, until all are refused, and lets it drain.
pub(crate) fn fill(rig: &mut Rig, limits: &Limits, history: &mut History) -> io::Result<(bool, String)> {
    let idle = resident(rig)?;
    go_away(rig)?;
    let some = Limits { window: 32, count: LONG_MESSAGES, ..waiting(limits) };
    let (mut queued, mut refused) = (0, 0);
    let mut last_taken = 0;
    for domain in 0..DOMAINS {
        let mut message = SipRequest::long_queued_message(&format!("xmpp{domain}.bench"), rig.peer_port());
        let round = drive(rig, &mut message, &some, history)?;
        last_taken = round.completed;
        queued += round.completed;
        refused += round.refused;
    }
    let full = resident(rig)?;
    rig.xmpp.come_back()?;
    let (numbers, _) = arrivals(rig)?;
    let most = memory(rig, "VmHWM:")?;
    println!(
        "full queue (16 MiB): {queued} long MESSAGEs to {DOMAINS} domains queued, {refused} refused, {} arrived; XMPP process {} idle, {} \
         full, {} at its most",
        numbers.len(),
        mib(idle),
        mib(full),
        mib(most)
    );
    // The last domain finds no room at all: it is the whole queue that is full.
    let met = most < MOST && last_taken == 0 && queued == numbers.len();
    Ok((met, mib(most)))
}

/// Until the gateway has seen it.
fn go_away(rig: &mut Rig) -> io::Result<()> {
    rig.xmpp.go_away()?;
    rig.rest(Duration::from_millis(500))
}

fn waiting(limits: &Limits) -> Limits {
    Limits { time: Duration::MAX, pause: Duration::ZERO, aftermath: Duration::ZERO, ..*limits }
}

/// The numbers of the stanzas that come, in the order in which they come, and when the last one did.
fn arrivals(rig: &mut Rig) -> io::Result<(Vec<u64>, Option<Instant>)> {
    let mut numbers = Vec::with_capacity(QUEUE_SIZE);
    let mut last = None;
    let mut events = Vec::new();
    let start = Instant::now();
    while last.unwrap_or(start).elapsed() < PATIENCE {
        rig.pump(Duration::from_millis(50), &mut events)?;
        let before = numbers.len();
        numbers.extend(events.iter().filter(|event| event.kind == Kind::Stanza).map(|event| event.id));
        if numbers.len() > before {
            last = Some(Instant::now());
        }
    }
    Ok((numbers, last))
}

fn resident(rig: &Rig) -> io::Result<u64> {
    memory(rig, "VmRSS:")
}

fn memory(rig: &Rig, what: &str) -> io::Result<u64> {
    rig.host
        .memory_of(XMPP_PROCESS, what)
        .ok_or_else(|| io::Error::other(format!("no process of the host is called {XMPP_PROCESS}")))
}

fn mib(kib: u64) -> String {
    format!("{:.1} MiB", kib as f64 / 1024.0)
}
