//! The hosts of this machine, and for each the module that was built for it.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use memchr::memmem;

use crate::host::Kind;

/// One host to measure.
#[derive(Clone)]
pub(crate) struct Target {
    /// Which server.
    pub(crate) kind: Kind,
    /// The gateway module, if there is one for it.
    pub(crate) module: Option<PathBuf>,
    /// Its allocator, where it has several.
    pub(crate) allocator: Option<String>,
}

/// Where modules are built, the best first: only those of `make bench` have the loop of t_request.
const BUILDS: [&str; 2] = ["build/bench", "build"];

const MODULE: &str = "xmpp_gateway.so";

impl Target {
    /// The installed Kamailio, if there is one.
    pub(crate) fn kamailio(module: Option<PathBuf>) -> Option<Self> {
        let kind = Kind::Kamailio;
        kind.output("-v").ok()?;
        let module = module.or_else(|| BUILDS.iter().map(|build| built(build, "kamailio")).find(|path| path.exists()));
        Some(Self { kind, module, allocator: None })
    }

    /// This tree, measured bare if no module fits it.
    pub(crate) fn opensips(tree: PathBuf, module: Option<PathBuf>) -> Self {
        let module = module.or_else(|| module_for(&tree));
        Self { kind: Kind::Opensips(tree), module, allocator: None }
    }

    /// All built trees that a module fits, the oldest version first; if there is none, the newest tree, to be measured bare.
    pub(crate) fn all_opensips(module: Option<&Path>) -> Vec<Self> {
        let mut trees: Vec<([u32; 3], PathBuf)> = ["/usr/src", "/usr/local/src"]
            .iter()
            .filter_map(|folder| fs::read_dir(folder).ok())
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.join("opensips").is_file() && path.join("modules/pua/pua.so").is_file())
            .filter_map(|path| Some((version_of(&path)?, path)))
            .collect();
        trees.sort();
        let (with, mut without): (Vec<Self>, Vec<Self>) = trees
            .into_iter()
            .map(|(version, tree)| match module {
                Some(module) => {
                    Self { kind: Kind::Opensips(tree), module: fits(module, version).then(|| module.to_owned()), allocator: None }
                }
                None => Self::opensips(tree, None),
            })
            .partition(|target| target.module.is_some());
        if with.is_empty() { without.pop().into_iter().collect() } else { with }
    }

    /// The line above its figures.
    pub(crate) fn describe(&self) -> io::Result<String> {
        let version = self.kind.version()?;
        let allocator = self.allocator.as_deref().unwrap_or("of its build");
        let module = self.module.as_ref().map_or("no module".into(), |path| path.display().to_string());
        Ok(format!("{version}, 2 workers, allocator {allocator}, {module}"))
    }

    /// Says which allocator is used, also where it is only the usual one: no host tells it while it runs.
    pub(crate) fn choose_allocator(&mut self, wanted: Option<&str>) -> io::Result<()> {
        self.allocator = match (wanted, &self.kind) {
            (Some(wanted), _) => Some(wanted.to_owned()),
            (None, Kind::Kamailio) => Some("qm".to_owned()),
            // A build with a single one knows no option for it.
            (None, kind @ Kind::Opensips(_)) => kind.output("-h")?.contains("-a allocator").then(|| "F_MALLOC".to_owned()),
        };
        Ok(())
    }
}

impl Kind {
    /// Its name and version, as it tells them.
    pub(crate) fn version(&self) -> io::Result<String> {
        let argument = if *self == Self::Kamailio { "-v" } else { "-V" };
        let text = self.output(argument)?;
        let version = text.split_whitespace().skip_while(|word| *word != "version:").nth(2);
        Ok(version
            .map_or_else(|| self.name().to_owned(), |version| format!("{} {}", self.name(), version.trim_matches(['(', ')']))))
    }

    /// What it prints with one argument.
    fn output(&self, argument: &str) -> io::Result<String> {
        let program = match self {
            Self::Kamailio => PathBuf::from("kamailio"),
            Self::Opensips(tree) => tree.join("opensips"),
        };
        let output = Command::new(program).arg(argument).stdin(Stdio::null()).output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    }
}

/// The module last built for this tree.
fn module_for(tree: &Path) -> Option<PathBuf> {
    let version = version_of(tree)?;
    let [major, minor, patch] = version;
    BUILDS.iter().find_map(|build| {
        [format!("opensips-{major}.{minor}.{patch}"), "opensips".to_owned()]
            .iter()
            .map(|folder| built(build, folder))
            .filter(|path| fits(path, version))
            .max_by_key(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
    })
}

/// OpenSIPS loads only what names its version.
fn fits(module: &Path, [major, minor, patch]: [u32; 3]) -> bool {
    let version = format!("{major}.{minor}.{patch}");
    fs::read(module).is_ok_and(|bytes| memmem::find(&bytes, version.as_bytes()).is_some())
}

fn built(build: &str, folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(build).join(folder).join(MODULE)
}

/// The version in a tree's Makefile.defs.
fn version_of(tree: &Path) -> Option<[u32; 3]> {
    let text = fs::read_to_string(tree.join("Makefile.defs")).ok()?;
    let part = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix('='))?.trim();
        value.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Some([part("VERSION_MAJOR")?, part("VERSION_MINOR")?, part("VERSION_SUBMINOR")?])
}
