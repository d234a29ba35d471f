//! The command line.

use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use crate::host::Kind;

/// How it is called.
pub(crate) const USAGE: &str = "usage: cargo bench --bench gateway -- [--host kamailio|opensips] [--module PATH] \
[--opensips-src DIR] [--allocator NAME] [--rounds N] [--seconds S] [--window N] [--only NAME] [--soak]

Measures each host found: an installed Kamailio, an OpenSIPS built in --opensips-src, in $OPENSIPS_SRC, or under /usr/src or
/usr/local/src. The module is build/<host>/xmpp_gateway.so; a host without one is measured bare.
--allocator: fm, qm or tlsf for Kamailio, F_MALLOC ... for OpenSIPS; the choice of the host if not given.
--only: message, notify, publish, send (XMPP message to SIP), latency, memory or bare.
--soak: 100 000 messages each way and the host's memory before and after, instead of rounds.";

/// One host to measure.
pub(crate) struct Target {
    /// Which server.
    pub(crate) kind: Kind,
    /// The gateway module, if there is one for it.
    pub(crate) module: Option<PathBuf>,
    /// Its allocator, if not its own choice.
    pub(crate) allocator: Option<String>,
}

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
        let mut read = Self { targets: Vec::new(), rounds: 5, seconds: 1.0, window: 128, only: None, soak: false };
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
        let wanted = |name: &str| host.as_deref().is_none_or(|host| host == name);
        let mut kinds = Vec::new();
        if wanted("kamailio") && runs("kamailio", "-v") {
            kinds.push(Kind::Kamailio);
        }
        if wanted("opensips")
            && let Some(tree) = tree.or_else(find_opensips)
        {
            kinds.push(Kind::Opensips(tree));
        }
        if kinds.is_empty() {
            return Err("no host found: install Kamailio, or name a built OpenSIPS tree with --opensips-src".to_owned());
        }
        for kind in kinds {
            let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("build").join(kind.name()).join("xmpp_gateway.so");
            let module = module.clone().or_else(|| built.exists().then_some(built));
            read.targets.push(Target { kind, module, allocator: allocator.clone() });
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

fn runs(program: &str, argument: &str) -> bool {
    Command::new(program).arg(argument).stdin(Stdio::null()).output().is_ok()
}

/// The highest built tree under the usual folders.
fn find_opensips() -> Option<PathBuf> {
    let mut trees: Vec<PathBuf> = ["/usr/src", "/usr/local/src"]
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("opensips").is_file() && path.join("modules/pua/pua.so").is_file())
        .collect();
    trees.sort();
    trees.pop()
}
