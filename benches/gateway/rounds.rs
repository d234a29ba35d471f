//! The rounds of each direction on one host, and what they say of the targets.

use std::io;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::burst;
use crate::burst::t_request_loop;
use crate::calls;
use crate::dialogs;
use crate::directions::Notify;
use crate::directions::SipRequest;
use crate::directions::Stanzas;
use crate::directions::Watch;
use crate::histogram::Histogram;
use crate::host::Presence;
use crate::host::XMPP_PROCESS;
use crate::interrupt;
use crate::load::History;
use crate::load::Kind;
use crate::load::Limits;
use crate::load::Load;
use crate::load::Round;
use crate::load::drive;
use crate::outage;
use crate::phones;
use crate::probes;
use crate::report;
use crate::report::Series;
use crate::report::Verdict;
use crate::report::micros;
use crate::restart;
use crate::rig::Rig;
use crate::target::Target;
use crate::watchers;
use crate::watchers::Pairs;

/// Lets arrivals gather: at 100 000 requests per second, about twenty.
pub(crate) const PAUSE: Duration = Duration::from_micros(200);

/// What the host does with the last answers.
const AFTERMATH: Duration = Duration::from_millis(100);

/// A transaction stays in shared memory until some seconds after its end, 7 KB each: rounds in a row would fill it.
const TRANSACTIONS_LEAVE: Duration = Duration::from_secs(3);

/// Requests of one series of the latency of an unloaded host.
const SINGLE_REQUESTS: usize = 500;

/// SIP requests of the host in flight, at the most: the answers to more of them may not fit into what the host's socket holds, and
/// what is sent again measures nothing.
const SENT_BY_THE_HOST: usize = 128;

/// The name on the command line, the target, and what measures it.
type Direction = (&'static str, &'static str, fn(&mut Runner, &mut Rig) -> io::Result<(bool, String)>);

const DIRECTIONS: [Direction; 18] = [
    ("message", "SIP MESSAGE -> XMPP at least 0.70 of the bare host", Runner::message),
    ("notify", "SIP NOTIFY (PIDF with RPID) -> XMPP at least 0.50 of the bare host", Runner::notify),
    ("publish", "XMPP presence -> PUBLISH at least 0.25 of the bare host", Runner::publish),
    ("watchers", "XMPP presence -> 10 SIP watchers, 20 000 NOTIFY/s or 0.30 of the bare host", Runner::watchers),
    ("local", "XMPP presence -> watcher in process at least 3 times the loop through PUBLISH", Runner::local),
    ("probes", "500 probes of a login answered in under 100 ms", Runner::probes),
    ("send", "XMPP message -> SIP MESSAGE, a burst, at least 0.90 of a loop of t_request", Runner::send),
    ("latency", "added latency of an unloaded NOTIFY under 150 us at p50", Runner::unloaded),
    ("queue", "10 000 MESSAGEs queued in an outage: all arrive once and in order, further ones are refused", Runner::queue),
    ("full", "XMPP process under 48 MiB resident with a full queue and while it drains", Runner::full_queue),
    ("subscriptions", "100 000 virtual subscriptions under 1024 bytes each", Runner::subscriptions),
    (
        "dialogs",
        "20 dialogs of as many documents, one of them new: 10 times fewer instructions than presence_dialoginfo",
        Runner::dialogs,
    ),
    ("lamps", "PUBLISH -> NOTIFY with 1 and 20 publishers: 1.5 times the rate of presence_dialoginfo", Runner::lamps),
    ("calls", "500 call set-ups/s with 3 watchers each: none fails, nothing stuck", Runner::calls),
    ("restart", "100 000 virtual subscriptions each way in the store: all back in under 10 s", Runner::restart),
    (
        "phones",
        "10 000 phones in their accounts: under 24 KiB each, 5 % of a core idle, sessions go on after a restart",
        Runner::phones,
    ),
    ("phones-tls", "the same over TLS: under 64 KiB each", Runner::phones_tls),
    ("memory", "XMPP process under 16 MiB resident when idle", Runner::idle_memory),
];

/// Measures one host. Each direction gets a fresh one, so that one that fails does not take the others with it.
pub(crate) fn run(arguments: &Arguments, target: &Target) -> io::Result<()> {
    let time = Duration::from_secs_f64(arguments.seconds);
    let limits = Limits { window: arguments.window, time, count: usize::MAX, pause: PAUSE, aftermath: AFTERMATH };
    let mut runner = Runner { limits, rounds: arguments.rounds, history: History::new() };
    report::head();
    if target.module.is_none() || arguments.only.as_deref() == Some("bare") {
        return runner.bare(&mut Rig::start(target)?);
    }
    let mut verdicts = Vec::new();
    for (name, wanted, measure) in DIRECTIONS {
        if arguments.wants(name) {
            runner.limits.window = match name {
                "send" | "local" => arguments.window.min(SENT_BY_THE_HOST),
                _ => arguments.window,
            };
            let measured =
                Rig::start(target).and_then(|mut rig| measure(&mut runner, &mut rig).map_err(|error| rig.explain(&error)));
            interrupt::check()?;
            let (met, found) = measured.unwrap_or_else(|error| {
                println!("{name}: {error}");
                (false, "not measured".to_owned())
            });
            verdicts.push(Verdict { met, wanted, found });
        }
    }
    report::verdicts(&verdicts);
    Ok(())
}

struct Runner {
    limits: Limits,
    rounds: usize,
    history: History,
}

impl Runner {
    /// The yardsticks alone.
    fn bare(&mut self, rig: &mut Rig) -> io::Result<()> {
        let port = rig.peer_port();
        for (name, mut load) in [
            ("bare MESSAGE", SipRequest::bare_message(port)),
            ("bare NOTIFY", SipRequest::bare_notify(port)),
            ("bare PUBLISH", SipRequest::bare_publish(port)),
        ] {
            let mut series = Series::new(name);
            for _ in 0..self.rounds {
                series.add(&self.round(rig, &mut load)?);
            }
            report::row(&series);
        }
        Ok(())
    }

    fn message(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        let port = rig.peer_port();
        let series =
            self.pairs(rig, "SIP MESSAGE -> XMPP", &mut SipRequest::bare_message(port), &mut SipRequest::message(port))?;
        Ok(series.reaches(0.70))
    }

    fn notify(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        let mut bare = SipRequest::bare_notify(rig.peer_port());
        let mut notify = Notify::subscribe(rig, self.limits.window, &mut self.history)?;
        Ok(self.pairs(rig, "SIP NOTIFY -> XMPP", &mut bare, &mut notify)?.reaches(0.50))
    }

    fn publish(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        let mut bare = SipRequest::bare_publish(rig.peer_port());
        Ok(self.pairs(rig, "XMPP presence -> PUBLISH", &mut bare, &mut Stanzas::presence())?.reaches(0.25))
    }

    /// The gateway as notifier: each presence is ten stanzas, and ten NOTIFYs.
    fn watchers(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        let mut bare = SipRequest::bare_notify(rig.peer_port());
        Pairs::TOLD.subscribe(rig, &self.limits, &mut self.history)?;
        let mut presence = watchers::Presence { pairs: Pairs::TOLD };
        let series = self.pairs(rig, "XMPP presence -> watchers", &mut bare, &mut presence)?;
        let (met, found) = series.reaches(0.30);
        let rate = series.rate();
        Ok(((met || rate >= 20_000.0) && series.is_whole(), format!("{rate:.0} NOTIFY/s, {found}")))
    }

    fn subscriptions(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        let Some(bytes) = Pairs::MANY.memory(rig, &self.limits, &mut self.history)? else {
            return Ok((false, format!("no process of the host is called {XMPP_PROCESS}")));
        };
        Ok((bytes < 1024, format!("{bytes} bytes")))
    }

    /// Two hosts that serve presence from a database in memory, in turn: the one gets PUBLISHes from itself, the other hands over.
    fn local(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        let mut rigs = [rig.serving_presence(Presence::Pua)?, rig.serving_presence(Presence::Local)?];
        let mut series = Series::new("XMPP presence -> watcher");
        for rig in &mut rigs {
            Watch::all(rig, &self.limits, &mut self.history).map_err(|error| rig.explain(&error))?;
        }
        let [pua, local] = &mut rigs;
        for turn in self.turns() {
            let before = if turn.bare_first { Some(self.round(pua, &mut Stanzas::watched())?) } else { None };
            let round = self.round(local, &mut Stanzas::watched())?;
            let yardstick = before.map_or_else(|| self.round(pua, &mut Stanzas::watched()), Ok)?;
            if turn.counts {
                series.add_yardstick(&yardstick);
                series.add(&round);
            }
            pua.rest(TRANSACTIONS_LEAVE)?;
            local.rest(TRANSACTIONS_LEAVE)?;
        }
        Self::show(&series, local);
        println!("  \"bare\" in this row is the loop through PUBLISH");
        Ok(series.reaches(3.0))
    }

    /// A client logs in whose user watches 500 SIP users: its server probes each.
    fn probes(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        probes::answer(rig, self.rounds, &mut self.history)
    }

    /// Bursts of a loop of t_request in the XMPP process and of the gateway in turn; rounds of a closed loop for the latency.
    fn send(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        let limits = burst::limits(&self.limits);
        let mut bursts = Series::new("XMPP message -> SIP, burst");
        let mut closed = Series::new("XMPP message -> SIP");
        let mut load = Stanzas::message();
        for turn in self.turns() {
            let before = if turn.bare_first { t_request_loop(rig, &limits)? } else { None };
            let round = drive(rig, &mut load, &limits, &mut self.history)?;
            let found = if turn.bare_first { before } else { t_request_loop(rig, &limits)? };
            rig.rest(TRANSACTIONS_LEAVE)?;
            let Some(found) = found else {
                return Ok((false, "no loop to compare with: the module is built without the feature `bench`".to_owned()));
            };
            if turn.counts {
                bursts.add_loop(&found);
                bursts.add_burst(&round);
            }
        }
        Self::show(&bursts, rig);
        for _ in 0..self.rounds.div_ceil(4) {
            closed.add(&self.round(rig, &mut load)?);
            rig.rest(TRANSACTIONS_LEAVE)?;
        }
        Self::show(&closed, rig);
        let (met, found) = bursts.reaches(0.90);
        Ok((met && closed.is_whole(), found))
    }

    /// One NOTIFY at a time: what the way through the gateway adds to a reply of the host.
    fn unloaded(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        let mut bare = SipRequest::bare_notify(rig.peer_port());
        let mut notify = Notify::subscribe(rig, self.limits.window, &mut self.history)?;
        let single = Limits { window: 1, time: Duration::from_secs(10), count: SINGLE_REQUESTS, ..self.limits };
        let single = Limits { pause: Duration::ZERO, aftermath: Duration::ZERO, ..single };
        let mut latencies = [Histogram::new(), Histogram::new()];
        for _ in 0..self.rounds {
            latencies[0].merge(&drive(rig, &mut bare, &single, &mut self.history)?.latency);
            latencies[1].merge(&drive(rig, &mut notify, &single, &mut self.history)?.latency);
        }
        let [bare, gateway] = latencies.map(|latency| [0.5, 0.99].map(|share| latency.percentile(share)));
        println!("unloaded, NOTIFY to reply of the bare host: p50 {}, p99 {}", micros(bare[0]), micros(bare[1]));
        println!("unloaded, NOTIFY to stanza:                 p50 {}, p99 {}", micros(gateway[0]), micros(gateway[1]));
        let added = gateway[0].saturating_sub(bare[0]);
        let whole = !gateway[0].is_zero();
        Ok((whole && added < Duration::from_micros(150), micros(added)))
    }

    fn queue(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        outage::drain(rig, &self.limits, &mut self.history)
    }

    fn full_queue(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        outage::fill(rig, &self.limits, &mut self.history)
    }

    fn dialogs(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        dialogs::aggregate(rig.target())
    }

    fn lamps(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        dialogs::notify(rig.target())
    }

    fn calls(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        calls::set_up(rig.target())
    }

    fn restart(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        restart::restore(rig)
    }

    fn phones(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        phones::sessions(rig.target(), phones::Tls::Off)
    }

    fn phones_tls(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        phones::sessions(rig.target(), phones::Tls::On)
    }

    fn idle_memory(&mut self, rig: &mut Rig) -> io::Result<(bool, String)> {
        let Some(kib) = rig.host.memory_of(XMPP_PROCESS, "VmRSS:") else {
            return Ok((false, format!("no process of the host is called {XMPP_PROCESS}")));
        };
        Ok((kib < 16 << 10, format!("{:.1} MiB", kib as f64 / 1024.0)))
    }

    /// The pairs of a series, the first one to warm up. Who is first changes, so that neither gains from what the other leaves.
    fn turns(&self) -> impl Iterator<Item = Turn> + use<> {
        (0..=self.rounds).map(|number| Turn { counts: number > 0, bare_first: number % 2 == 1 })
    }

    /// Rounds of the bare host and of the gateway in turn.
    fn pairs(&mut self, rig: &mut Rig, name: &'static str, bare: &mut dyn Load, gateway: &mut dyn Load) -> io::Result<Series> {
        let mut series = Series::new(name);
        let transactions = [Kind::Publish, Kind::Notify].iter().any(|kind| gateway.awaited().contains(kind));
        for turn in self.turns() {
            let before = if turn.bare_first { Some(self.round(rig, bare)?) } else { None };
            let round = self.round(rig, gateway)?;
            let yardstick = before.map_or_else(|| self.round(rig, bare), Ok)?;
            if turn.counts {
                series.add_yardstick(&yardstick);
                series.add(&round);
            }
            if transactions {
                rig.rest(TRANSACTIONS_LEAVE)?;
            }
        }
        Self::show(&series, rig);
        Ok(series)
    }

    /// Prints a row, and where something went wrong what the host said last.
    fn show(series: &Series, rig: &Rig) {
        report::row(series);
        if !series.is_whole() {
            println!("{}", rig.host.log_end());
        }
    }

    fn round(&mut self, rig: &mut Rig, load: &mut dyn Load) -> io::Result<Round> {
        drive(rig, load, &self.limits, &mut self.history)
    }
}

/// A pair of rounds.
struct Turn {
    counts: bool,
    bare_first: bool,
}
