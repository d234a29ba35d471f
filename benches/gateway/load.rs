//! A closed loop: a bounded number of requests in flight, each followed until all it has to cause has come.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;
use std::time::Instant;

use crate::histogram::Histogram;
use crate::host::machine_cpu_time;
use crate::host::own_cpu_time;
use crate::rig::Rig;

/// Something that came back for a request.
pub(crate) struct Event {
    /// What it is.
    pub(crate) kind: Kind,
    /// The number of the request; 0 if it carries none.
    pub(crate) id: u64,
    /// Tells a request of the host that is sent again (same branch) from one that is made again.
    pub(crate) transaction: u64,
    /// When it came to the socket, in nanoseconds of the kernel's clock; 0 where that is not told.
    pub(crate) arrived: u64,
}

/// What can come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A 2xx.
    Reply,
    /// Any other reply.
    Refusal,
    /// A stanza.
    Stanza,
    /// A MESSAGE.
    Message,
    /// A PUBLISH.
    Publish,
    /// A NOTIFY of the host's presence server.
    Notify,
}

/// What is sent, and what has to come of it.
pub(crate) trait Load {
    /// Queues one request. A slot is in use by one request at a time: a dialog, a publication, or just a place.
    fn send(&mut self, rig: &mut Rig, slot: usize, id: u64);
    /// All that has to come; the time until the first of these is the latency, and they are what is counted per second.
    fn awaited(&self) -> &[Kind];
    /// How many slots there are.
    fn slots(&self) -> usize;
}

/// How long, how many, how dense.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Requests in flight.
    pub(crate) window: usize,
    /// No request is sent after this time.
    pub(crate) time: Duration,
    /// No more requests than this.
    pub(crate) count: usize,
    /// Sleep after each turn: lets arrivals gather, so that the generator takes less of the cores it shares with the host.
    pub(crate) pause: Duration,
    /// How long to go on looking after the end: the host's work with the last answers belongs to the round, and what comes twice
    /// mostly comes late.
    pub(crate) aftermath: Duration,
}

/// What one round gave.
pub(crate) struct Round {
    /// Requests sent.
    pub(crate) sent: usize,
    /// Requests for which all came.
    pub(crate) completed: usize,
    /// Things that came a second time, or after the end of their round.
    pub(crate) duplicates: usize,
    /// SIP requests that the host sent again because it had no answer in time: no loss, but a sign of overload.
    pub(crate) resent: usize,
    /// Requests that got another answer than 2xx.
    pub(crate) refused: usize,
    /// From the first request to the last thing counted.
    pub(crate) elapsed: Duration,
    /// Until the thing counted came.
    pub(crate) latency: Histogram,
    /// Share of one core that the generator took.
    pub(crate) own_cpu: f64,
    /// Cores that neither the generator nor the host took: what others did meanwhile.
    pub(crate) others: f64,
    /// From the first thing counted to the last one, as the kernel saw them arrive.
    pub(crate) span: Duration,
    /// CPU time that the host took.
    pub(crate) host_time: Duration,
}

impl Round {
    /// Completed requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.completed as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Things counted per second, from the first to the last.
    pub(crate) fn arrival_rate(&self) -> f64 {
        self.completed.saturating_sub(1) as f64 / self.span.as_secs_f64().max(1e-9)
    }

    /// Requests for which not all came.
    pub(crate) fn lost(&self) -> usize {
        self.sent - self.completed
    }
}

/// The requests of all rounds: numbers are never used twice, so what comes late is told from what a later round waits for.
pub(crate) struct History {
    /// By number: the transaction in which the host answered it with a request of its own, or 0.
    transactions: Vec<u64>,
}

impl History {
    /// No request yet; the number 0 is never used.
    pub(crate) fn new() -> Self {
        Self { transactions: vec![0] }
    }

    fn next_id(&self) -> u64 {
        self.transactions.len() as u64
    }
}

/// Without any progress for this long, what is still in flight is lost.
const PATIENCE: Duration = Duration::from_secs(2);

/// Runs one round.
pub(crate) fn drive(rig: &mut Rig, load: &mut dyn Load, limits: &Limits, history: &mut History) -> io::Result<Round> {
    let mut flight = Flight::new(history, load);
    let mut events = Vec::with_capacity(1024);
    let (own_before, host_before) = (own_cpu_time(), rig.host.cpu_time());
    let machine_before = machine_cpu_time();
    let start = Instant::now();
    let mut last_progress = start;
    loop {
        let now = Instant::now();
        let sending = now - start < limits.time;
        while sending && flight.in_flight < limits.window && flight.requests.len() < limits.count {
            let Some(slot) = flight.free.pop_front() else { break };
            load.send(rig, slot, flight.depart(now, slot));
        }
        if flight.in_flight == 0 || now - last_progress > PATIENCE {
            break;
        }
        rig.pump_after(limits.pause, Duration::from_millis(100), &mut events)?;
        let now = Instant::now();
        for event in &events {
            if flight.arrive(event, now) {
                last_progress = now;
            }
        }
    }
    let elapsed = flight.last_counted.unwrap_or(start) - start;
    let own_cpu = (own_cpu_time() - own_before).as_secs_f64() / start.elapsed().as_secs_f64();
    let end = Instant::now() + limits.aftermath;
    while Instant::now() < end {
        rig.pump(Duration::from_millis(20), &mut events)?;
        for event in &events {
            flight.arrive(event, Instant::now());
        }
    }
    let host_time = rig.host.cpu_time() - host_before;
    let ours = host_time + (own_cpu_time() - own_before);
    let others = (machine_cpu_time() - machine_before).saturating_sub(ours).as_secs_f64() / start.elapsed().as_secs_f64();
    Ok(Round {
        sent: flight.requests.len(),
        completed: flight.completed,
        duplicates: flight.duplicates,
        resent: flight.resent,
        refused: flight.refused,
        elapsed,
        latency: flight.latency,
        own_cpu,
        others,
        span: Duration::from_nanos(flight.arrivals.map_or(0, |(first, last)| last - first)),
        host_time,
    })
}

/// The requests of one round.
struct Flight<'a> {
    history: &'a mut History,
    first_id: u64,
    awaited: u8,
    counted: u8,
    requests: Vec<Request>,
    free: VecDeque<usize>,
    in_flight: usize,
    completed: usize,
    duplicates: usize,
    resent: usize,
    refused: usize,
    last_counted: Option<Instant>,
    /// Arrival of the first thing counted and of the last one.
    arrivals: Option<(u64, u64)>,
    latency: Histogram,
}

struct Request {
    sent: Instant,
    slot: usize,
    came: u8,
}

impl<'a> Flight<'a> {
    fn new(history: &'a mut History, load: &dyn Load) -> Self {
        Self {
            first_id: history.next_id(),
            history,
            awaited: load.awaited().iter().fold(0, |all, kind| all | bit(*kind)),
            counted: load.awaited().first().map_or(0, |kind| bit(*kind)),
            requests: Vec::with_capacity(1 << 18),
            free: (0..load.slots()).collect(),
            in_flight: 0,
            completed: 0,
            duplicates: 0,
            resent: 0,
            refused: 0,
            last_counted: None,
            arrivals: None,
            latency: Histogram::new(),
        }
    }

    fn depart(&mut self, now: Instant, slot: usize) -> u64 {
        self.requests.push(Request { sent: now, slot, came: 0 });
        self.in_flight += 1;
        let id = self.history.next_id();
        self.history.transactions.push(0);
        id
    }

    /// Whether this was something new of this round.
    fn arrive(&mut self, event: &Event, now: Instant) -> bool {
        let bit = bit(event.kind);
        let Some(known) = self.history.transactions.get_mut(event.id as usize) else { return false };
        let again = event.transaction != 0 && event.transaction == *known;
        let Some(index) = event.id.checked_sub(self.first_id) else {
            // Of an earlier round: lost there, or complete and now here again.
            let counts = event.id != 0 && bit & self.awaited != 0;
            self.resent += usize::from(counts && again);
            self.duplicates += usize::from(counts && !again);
            return false;
        };
        let request = &mut self.requests[index as usize];
        if request.came & bit != 0 {
            self.resent += usize::from(again);
            self.duplicates += usize::from(!again);
            return false;
        }
        if event.transaction != 0 {
            *known = event.transaction;
        }
        request.came |= bit;
        if bit == self.counted {
            self.latency.record((now - request.sent).as_nanos() as u64);
            self.last_counted = Some(now);
            self.arrivals = Some(widened(self.arrivals, event.arrived));
        }
        let refused = event.kind == Kind::Refusal;
        let complete = bit & self.awaited != 0 && request.came & self.awaited == self.awaited;
        if refused || complete {
            self.free.push_back(request.slot);
            self.in_flight -= 1;
            self.completed += usize::from(complete);
            self.refused += usize::from(refused);
        }
        true
    }
}

/// The span of arrivals with one more.
pub(crate) fn widened(span: Option<(u64, u64)>, arrived: u64) -> (u64, u64) {
    span.map_or((arrived, arrived), |(first, last)| (first.min(arrived), last.max(arrived)))
}

fn bit(kind: Kind) -> u8 {
    1 << kind as u8
}
