//! The command line.

use std::fs;
use std::path::PathBuf;

use crate::target::Target;

/// How it is called.
pub(crate) const USAGE: &str = "usage: cargo bench --bench gateway -- [--host kamailio|opensips] [--module PATH] \
[--opensips-src DIR] [--allocator NAME] [--rounds N] [--seconds S] [--window N] [--only NAME] [--soak]

Measures each host found: an installed Kamailio, and the OpenSIPS built in --opensips-src, in $OPENSIPS_SRC, or else all trees
under /usr/src and /usr/local/src that have a module. Modules are looked for in build/bench/ (make bench), then in build/; a host
without one is measured bare.
--allocator: fm, qm or tlsf for Kamailio, F_MALLOC ... for OpenSIPS; what they take by themselves (qm, F_MALLOC) if not given.
--rounds: pairs of rounds for each direction, 12; --seconds: length of a round, 0.5; --window: SIP requests in flight, 512:
enough to keep both cores busy where waking a process takes long.
--only: message, notify, publish, watchers (XMPP presence to ten SIP watchers of the gateway), local (presence in process), probes, send
(XMPP message to SIP), latency, queue (MESSAGEs that wait for the XMPP server), full (memory with a full queue), subscriptions (memory of
100 000), restart, memory, dialogs (many documents made one), lamps (PUBLISH to NOTIFY), calls (SIPp through the dialog module),
phones, phones-tls (10 000 sessions in users' accounts) or bare.
--soak: 100 000 messages each way and the host's memory before and after, instead of rounds.";

/// What the user asked for.
pub(crate) struct Arguments {
    /// The hosts to measure.
    pub(crate) targets: Vec<Target>,
    /// Pairs of rounds for each direction.
    pub(crate) rounds: usize,
    /// Length of a round.
    pub(crate) seconds: f64,
    /// Requests in flight.
    pub(crate) window: usize,
    /// Only this direction.
    pub(crate) only: Option<String>,
    /// Many messages instead of rounds.
    pub(crate) soak: bool,
}

impl Arguments {
    /// Reads the command line; a sentence if it cannot be followed.
    pub(crate) fn read() -> Result<Self, String> {
        let mut host = None;
        let mut module: Option<PathBuf> = None;
        let mut allocator = None;
        let mut tree = std::env::var_os("OPENSIPS_SRC").map(PathBuf::from);
        let mut read = Self { targets: Vec::new(), rounds: 12, seconds: 0.5, window: 512, only: None, soak: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or(format!("{word} needs a value\n{USAGE}"));
            match word.as_str() {
                "--host" => host = Some(value()?),
                "--module" => module = Some(existing(&value()?)?),
                "--opensips-src" => tree = Some(PathBuf::from(value()?)),
                "--allocator" => allocator = Some(value()?),
                "--rounds" => read.rounds = number(&word, &value()?)?,
                "--seconds" => read.seconds = number(&word, &value()?)?,
                "--window" => read.window = number(&word, &value()?)?,
                "--only" => read.only = Some(value()?),
                "--soak" => read.soak = true,
                // cargo bench adds this one.
                "--bench" => {}
                _ => return Err(format!("{word} is unknown\n{USAGE}")),
            }
        }
        if host.is_none() && (module.is_some() || allocator.is_some()) {
            return Err(format!("--module and --allocator need --host: they fit only one\n{USAGE}"));
        }
        let wanted = |name: &str| host.as_deref().is_none_or(|host| host == name);
        if wanted("kamailio") {
            read.targets.extend(Target::kamailio(module.clone()));
        }
        if wanted("opensips") {
            match tree {
                Some(tree) => read.targets.push(Target::opensips(tree, module)),
                None => read.targets.extend(Target::all_opensips(module.as_deref())),
            }
        }
        if read.targets.is_empty() {
            return Err("no host found: install Kamailio, or name a built OpenSIPS tree with --opensips-src".to_owned());
        }
        for target in &mut read.targets {
            target.choose_allocator(allocator.as_deref()).map_err(|error| format!("{}: {error}", target.kind.name()))?;
        }
        Ok(read)
    }

    /// Whether this direction is to be measured.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == name)
    }
}

fn number<T: std::str::FromStr>(word: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{word} takes a number, not {value}"))
}

/// A path that stays true in the working folder of the host.
fn existing(path: &str) -> Result<PathBuf, String> {
    fs::canonicalize(path).map_err(|error| format!("{path}: {error}"))
}
