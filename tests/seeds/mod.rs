//! Keeps what tests feed to a parser as seeds for `make fuzz`, which asks for it; otherwise nothing happens here.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hash;
use std::hash::Hasher;
use std::path::Path;

/// Mutations of a longer one tell little.
const LONGEST: usize = 4096;

/// Writes `input` into the folder of this fuzz target, if the variable XMPP_GATEWAY_SEEDS names a folder for all.
pub(crate) fn keep(target: &str, input: &[u8]) {
    let Some(folder) = std::env::var_os("XMPP_GATEWAY_SEEDS").filter(|_| input.len() <= LONGEST) else { return };
    let folder = Path::new(&folder).join(target);
    let mut name = DefaultHasher::new();
    input.hash(&mut name);
    std::fs::create_dir_all(&folder).expect("a folder for seeds");
    std::fs::write(folder.join(format!("{:016x}", name.finish())), input).expect("a seed");
}
