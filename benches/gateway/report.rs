//! What was measured, as tables and as a verdict on each target.

use std::time::Duration;

use crate::burst::BURST;
use crate::burst::Loop;
use crate::histogram::Histogram;
use crate::load::Round;

/// The rounds of one direction, in pairs: the yardstick and the gateway, whichever came first.
pub(crate) struct Series {
    name: &'static str,
    yardstick: Vec<f64>,
    gateway: Vec<f64>,
    sent: usize,
    lost: usize,
    duplicates: usize,
    resent: usize,
    refused: usize,
    latency: Histogram,
    own_cpu: Vec<f64>,
    others: Vec<f64>,
    bare_cost: Cost,
    gateway_cost: Cost,
    /// What the loops of t_request say of themselves.
    loop_rates: Vec<f64>,
    loop_resent: usize,
}

/// CPU time of the host, of all rounds together: the kernel counts it in steps of 10 ms.
#[derive(Default)]
struct Cost {
    time: Duration,
    requests: usize,
}

impl Cost {
    fn add(&mut self, time: Duration, requests: usize) {
        self.time += time;
        self.requests += requests;
    }

    /// Microseconds.
    fn per_request(&self) -> f64 {
        self.time.as_secs_f64() * 1e6 / self.requests.max(1) as f64
    }
}

impl Series {
    /// One without rounds.
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            yardstick: Vec::new(),
            gateway: Vec::new(),
            sent: 0,
            lost: 0,
            duplicates: 0,
            resent: 0,
            refused: 0,
            latency: Histogram::new(),
            own_cpu: Vec::new(),
            others: Vec::new(),
            bare_cost: Cost::default(),
            gateway_cost: Cost::default(),
            loop_rates: Vec::new(),
            loop_resent: 0,
        }
    }

    /// Adds a round of the bare host.
    pub(crate) fn add_yardstick(&mut self, round: &Round) {
        self.yardstick.push(round.rate());
        self.bare_cost.add(round.host_time, round.completed);
    }

    /// Adds a loop of t_request.
    pub(crate) fn add_loop(&mut self, found: &Loop) {
        self.yardstick.push(found.arrival_rate);
        self.bare_cost.add(found.host_time, BURST);
        self.loop_rates.push(found.own_rate);
        self.loop_resent += found.resent;
    }

    /// Adds a round through the gateway.
    pub(crate) fn add(&mut self, round: &Round) {
        self.latency.merge(&round.latency);
        self.add_rate(round.rate(), round);
    }

    /// Adds a burst through the gateway. How long one waits behind the others is no latency.
    pub(crate) fn add_burst(&mut self, round: &Round) {
        self.add_rate(round.arrival_rate(), round);
    }

    fn add_rate(&mut self, rate: f64, round: &Round) {
        self.gateway.push(rate);
        self.sent += round.sent;
        self.lost += round.lost();
        self.duplicates += round.duplicates;
        self.resent += round.resent;
        self.refused += round.refused;
        self.own_cpu.push(round.own_cpu);
        self.others.push(round.others);
        self.gateway_cost.add(round.host_time, round.completed);
    }

    /// The median of the ratios of the pairs; none without pairs.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let ratios = self.ratios();
        (!ratios.is_empty()).then(|| median(&ratios))
    }

    /// The median of what came through the gateway in a second.
    pub(crate) fn rate(&self) -> f64 {
        median(&self.gateway)
    }

    /// Whether all came, and each once.
    pub(crate) fn is_whole(&self) -> bool {
        self.lost == 0 && self.duplicates == 0
    }

    /// Whether the ratio is at least this and nothing was lost or doubled, and what was found.
    pub(crate) fn reaches(&self, wanted: f64) -> (bool, String) {
        let ratio = self.ratio().unwrap_or(0.0);
        let found = format!("{ratio:.2}{}", if self.is_whole() { "" } else { ", but not all came exactly once" });
        (ratio >= wanted && self.is_whole(), found)
    }

    fn ratios(&self) -> Vec<f64> {
        self.gateway.iter().zip(&self.yardstick).map(|(gateway, yardstick)| gateway / yardstick).collect()
    }
}

/// Prints the head of the table.
pub(crate) fn head() {
    println!(
        "{:<26} {:>9} {:>9}  {:<19} {:>8} {:>5} {:>6} {:>6} {:>7} {:>9} {:>9} {:>8}",
        "direction",
        "bare/s",
        "gateway/s",
        "ratio (min-max)",
        "sent",
        "lost",
        "twice",
        "resent",
        "refused",
        "p50",
        "p99",
        "gen. cpu"
    );
}

/// Prints one direction.
pub(crate) fn row(series: &Series) {
    let ratios = series.ratios();
    let ratio = if ratios.is_empty() {
        "-".to_owned()
    } else {
        format!("{:.2} ({:.2}-{:.2})", median(&ratios), least(&ratios), greatest(&ratios))
    };
    println!(
        "{:<26} {:>9} {:>9}  {:<19} {:>8} {:>5} {:>6} {:>6} {:>7} {:>9} {:>9} {:>8.2}",
        series.name,
        if series.yardstick.is_empty() { "-".to_owned() } else { format!("{:.0}", median(&series.yardstick)) },
        format!("{:.0}", median(&series.gateway)),
        ratio,
        series.sent,
        series.lost,
        series.duplicates,
        series.resent,
        series.refused,
        latency(series, 0.5),
        latency(series, 0.99),
        median(&series.own_cpu),
    );
    let [bare, gateway] = [&series.bare_cost, &series.gateway_cost].map(Cost::per_request);
    let others = median(&series.others);
    if series.yardstick.is_empty() {
        println!("  host CPU per request: {gateway:.1} us; others on this machine took {others:.2} cores");
    } else {
        let ratio = bare / gateway;
        println!(
            "  host CPU per request: bare {bare:.1} us, gateway {gateway:.1} us, ratio {ratio:.2}; others on this machine took \
             {others:.2} cores"
        );
    }
    if !series.loop_rates.is_empty() {
        let rate = median(&series.loop_rates);
        println!("  the loop of t_request by its own clock: {rate:.0}/s; {} resent", series.loop_resent);
    }
}

fn latency(series: &Series, share: f64) -> String {
    let found = series.latency.percentile(share);
    if found.is_zero() { "-".to_owned() } else { micros(found) }
}

/// What became of a target.
pub(crate) struct Verdict {
    /// Whether it is reached.
    pub(crate) met: bool,
    /// What it asks for.
    pub(crate) wanted: &'static str,
    /// What was found.
    pub(crate) found: String,
}

/// Prints the verdicts.
pub(crate) fn verdicts(verdicts: &[Verdict]) {
    println!();
    for Verdict { met, wanted, found } in verdicts {
        println!("{:<8} {wanted}: {found}", if *met { "met" } else { "not met" });
    }
}

/// A duration as the tables show it.
pub(crate) fn micros(duration: Duration) -> String {
    format!("{:.0} us", duration.as_secs_f64() * 1e6)
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        length if length % 2 == 1 => sorted[length / 2],
        length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
    }
}

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn greatest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}
