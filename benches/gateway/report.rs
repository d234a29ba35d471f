//! What was measured, as tables and as a verdict on each target.

use std::time::Duration;

use crate::histogram::Histogram;
use crate::load::Round;

/// The rounds of one direction, in pairs: the yardstick and the gateway.
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
    host_cpu: Vec<f64>,
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
            host_cpu: Vec::new(),
        }
    }

    /// Adds a yardstick in requests per second.
    pub(crate) fn add_yardstick(&mut self, rate: f64) {
        self.yardstick.push(rate);
    }

    /// Adds a round through the gateway.
    pub(crate) fn add(&mut self, round: &Round) {
        self.gateway.push(round.rate());
        self.sent += round.sent;
        self.lost += round.lost();
        self.duplicates += round.duplicates;
        self.resent += round.resent;
        self.refused += round.refused;
        self.latency.merge(&round.latency);
        self.own_cpu.push(round.own_cpu);
        self.host_cpu.push(round.host_cpu);
    }

    /// The median of the ratios of the pairs; none without pairs.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let ratios = self.ratios();
        (!ratios.is_empty()).then(|| median(&ratios))
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
        "{:<26} {:>9} {:>9}  {:<19} {:>8} {:>5} {:>6} {:>6} {:>7} {:>9} {:>9}  {:<9}",
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
        "cpu gen/host"
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
        "{:<26} {:>9} {:>9}  {:<19} {:>8} {:>5} {:>6} {:>6} {:>7} {:>9} {:>9}  {:.2}/{:.2}",
        series.name,
        if series.yardstick.is_empty() { "-".to_owned() } else { format!("{:.0}", median(&series.yardstick)) },
        format!("{:.0}", median(&series.gateway)),
        ratio,
        series.sent,
        series.lost,
        series.duplicates,
        series.resent,
        series.refused,
        micros(series.latency.percentile(0.5)),
        micros(series.latency.percentile(0.99)),
        median(&series.own_cpu),
        median(&series.host_cpu),
    );
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
