//! The rounds of each direction on one host, and what they say of the targets.

use std::io;
use std::time::Duration;

use crate::arguments::Arguments;
use crate::arguments::Target;
use crate::directions::Notify;
use crate::directions::SipRequest;
use crate::directions::Stanzas;
use crate::directions::t_request_loop;
use crate::histogram::Histogram;
use crate::host::XMPP_PROCESS;
use crate::load::Limits;
use crate::load::Load;
use crate::load::drive;
use crate::report;
use crate::report::Series;
use crate::rig::Rig;

/// Lets arrivals gather: at 100 000 requests per second, about twenty.
pub(crate) const PAUSE: Duration = Duration::from_micros(200);

/// MESSAGEs of one loop of t_request: under a second of work, and their answers fit into the socket buffers.
const LOOP: usize = 10_000;

/// Requests of one series of the latency of an unloaded host.
const SINGLE_REQUESTS: usize = 500;

/// Measures one host.
pub(crate) fn run(arguments: &Arguments, target: &Target) -> io::Result<()> {
    let mut rig = Rig::start(target)?;
    let mut runner = Runner {
        limits: Limits {
            window: arguments.window,
            time: Duration::from_secs_f64(arguments.seconds),
            count: usize::MAX,
            pause: PAUSE,
        },
        rounds: arguments.rounds,
        next_id: 1,
    };
    let idle = rig.host.memory_of(XMPP_PROCESS, "VmRSS:");
    let done = runner.all(arguments, &mut rig, target.module.is_some());
    if idle.is_none() && target.module.is_some() {
        println!("  (no process is called {XMPP_PROCESS}: its memory is not known)");
    }
    if let Some(idle) = idle {
        report::verdict(
            idle < 16 << 10,
            "XMPP process under 16 MiB resident when idle",
            &format!("{:.1} MiB", idle as f64 / 1024.0),
        );
    }
    done.map_err(|error| rig.explain(&error))
}

struct Runner {
    limits: Limits,
    rounds: usize,
    next_id: u64,
}

impl Runner {
    fn all(&mut self, arguments: &Arguments, rig: &mut Rig, gateway: bool) -> io::Result<()> {
        let port = rig.peer_port();
        report::head();
        if arguments.wants("bare") {
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
        }
        if !gateway {
            return Ok(());
        }
        let mut verdicts = Vec::new();
        if arguments.wants("message") {
            let series =
                self.pairs(rig, "SIP MESSAGE -> XMPP", &mut SipRequest::bare_message(port), &mut SipRequest::message(port))?;
            verdicts.push(("SIP MESSAGE -> XMPP at least 0.70 of the bare host", 0.70, series));
        }
        if arguments.wants("notify") || arguments.wants("latency") {
            let mut notify = Notify::subscribe(rig, self.limits.window, &mut self.next_id)?;
            let mut bare = SipRequest::bare_notify(port);
            if arguments.wants("notify") {
                let series = self.pairs(rig, "SIP NOTIFY -> XMPP", &mut bare, &mut notify)?;
                verdicts.push(("SIP NOTIFY -> XMPP at least 0.50 of the bare host", 0.50, series));
            }
            if arguments.wants("latency") {
                self.unloaded(rig, &mut bare, &mut notify)?;
            }
        }
        if arguments.wants("publish") {
            let series =
                self.pairs(rig, "XMPP presence -> PUBLISH", &mut SipRequest::bare_publish(port), &mut Stanzas::presence())?;
            verdicts.push(("XMPP presence -> PUBLISH at least 0.25 of the bare host", 0.25, series));
        }
        if arguments.wants("send") {
            let series = self.against_loop(rig)?;
            verdicts.push(("XMPP message -> SIP MESSAGE at least 0.90 of a loop of t_request", 0.90, series));
        }
        println!();
        for (target, wanted, series) in &verdicts {
            let found = format!("{:.2}{}", series.ratio(), if series.is_whole() { "" } else { ", not all came once" });
            report::verdict(series.ratio() >= *wanted && series.is_whole(), target, &found);
        }
        Ok(())
    }

    fn round(&mut self, rig: &mut Rig, load: &mut dyn Load) -> io::Result<crate::load::Round> {
        drive(rig, load, &self.limits, &mut self.next_id)
    }

    /// Rounds of the bare host and of the gateway in turn.
    fn pairs(&mut self, rig: &mut Rig, name: &'static str, bare: &mut dyn Load, gateway: &mut dyn Load) -> io::Result<Series> {
        let mut series = Series::new(name);
        for _ in 0..self.rounds {
            series.add_yardstick(self.round(rig, bare)?.rate());
            series.add(&self.round(rig, gateway)?);
        }
        report::row(&series);
        Ok(series)
    }

    /// Rounds of a loop of t_request in the XMPP process and of the gateway in turn.
    fn against_loop(&mut self, rig: &mut Rig) -> io::Result<Series> {
        let mut series = Series::new("XMPP message -> SIP");
        let mut load = Stanzas::message();
        for _ in 0..self.rounds {
            if let Some(rate) = t_request_loop(rig, LOOP)? {
                series.add_yardstick(rate);
            }
            series.add(&self.round(rig, &mut load)?);
        }
        report::row(&series);
        if series.ratio() == 0.0 {
            println!("  (no loop of t_request to compare with: the module is built without the feature `bench`)");
        }
        Ok(series)
    }

    /// One request at a time: what the way through the gateway adds to a reply of the host.
    fn unloaded(&mut self, rig: &mut Rig, bare: &mut dyn Load, gateway: &mut dyn Load) -> io::Result<()> {
        let single = Limits { window: 1, time: Duration::from_secs(10), count: SINGLE_REQUESTS, pause: Duration::ZERO };
        let mut latencies = [Histogram::new(), Histogram::new()];
        for _ in 0..self.rounds {
            latencies[0].merge(&drive(rig, bare, &single, &mut self.next_id)?.latency);
            latencies[1].merge(&drive(rig, gateway, &single, &mut self.next_id)?.latency);
        }
        let [bare, gateway] = &latencies;
        for (name, latency) in [("NOTIFY -> reply of the bare host", bare), ("NOTIFY -> stanza", gateway)] {
            println!(
                "  unloaded, {name}: p50 {}, p99 {}",
                report::micros(latency.percentile(0.5)),
                report::micros(latency.percentile(0.99))
            );
        }
        let added = gateway.percentile(0.5).saturating_sub(bare.percentile(0.5));
        report::verdict(
            added < Duration::from_micros(150),
            "added latency of an unloaded NOTIFY under 150 us at p50",
            &report::micros(added),
        );
        Ok(())
    }
}
