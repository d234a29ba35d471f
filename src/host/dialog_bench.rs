//! The yardstick of `make bench` for dialogs: how long whoever has the event "dialog" takes to make one document of many, and one watcher's
//! document of that. Only in a module built with the feature `bench`.
//!
//! In a host that is started with `XMPP_GATEWAY_DIALOG_BENCH=FILE` it runs before the first fork, writes a line for each case and ends the
//! host. Each case is one call of [`xmpp_gateway_bench_turns`], which is what callgrind is told to count.

use std::env;
use std::ffi::c_void;
use std::fmt::Write;
use std::fs;
use std::time::Instant;

/// Turns of a case.
const TURNS: &str = "XMPP_GATEWAY_DIALOG_TURNS";

/// Which documents are others than in the turn before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Changed {
    One,
    All,
}

/// Measures `turn`, which is given all documents, if the host was started for it.
pub(super) fn run(mut turn: impl FnMut(&[Vec<u8>])) {
    let Ok(file) = env::var("XMPP_GATEWAY_DIALOG_BENCH") else { return };
    let turns = env::var(TURNS).ok().and_then(|turns| turns.parse().ok()).unwrap_or(200_usize);
    let mut lines = String::new();
    for changed in [Changed::One, Changed::All] {
        for count in [1, 5, 20, 100] {
            let documents: Vec<Vec<Vec<u8>>> = (0..=turns).map(|turn| documents(count, turn, changed)).collect();
            // The first one fills what is filled once.
            if let Some((first, rest)) = documents.split_first() {
                turn(first);
                let mut all = || rest.iter().for_each(|documents| turn(documents));
                let start = Instant::now();
                counted(&mut all);
                let nanoseconds = start.elapsed().as_nanos().checked_div(u128::try_from(turns).unwrap_or(1)).unwrap_or(0);
                let _ = writeln!(lines, "{changed:?} {count} {nanoseconds}");
            }
        }
    }
    if let Err(error) = fs::write(&file, lines) {
        log::error!("{file}: {error}");
    }
    // SAFETY: [H1] ends the main process, which has no others yet.
    unsafe { libc::_exit(0) };
}

/// What publishers say in this turn: a call of each.
fn documents(count: usize, turn: usize, changed: Changed) -> Vec<Vec<u8>> {
    let document = |number: usize| {
        let version = if number == 0 || changed == Changed::All { turn } else { 0 };
        let id = format!("a84b4c76e66710-{number}@192.0.2.3");
        format!(
            "<?xml version=\"1.0\"?>\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"{version}\" state=\"full\" \
             entity=\"sip:bob@example.com\">\n  <dialog id=\"{id}\" call-id=\"{id}\" local-tag=\"1928301774\" remote-tag=\"4568{number}\" \
             direction=\"recipient\">\n    <state>confirmed</state>\n    <remote>\n      <identity>sip:alice{number}@example.com</identity>\n      \
             <target uri=\"sip:alice@192.0.2.3:5060\"/>\n    </remote>\n    <local>\n      <identity>sip:bob@example.com</identity>\n      \
             <target uri=\"sip:bob@192.0.2.7:5060\"/>\n    </local>\n  </dialog>\n</dialog-info>\n"
        )
        .into_bytes()
    };
    (0..count).map(document).collect()
}

fn counted(turns: &mut dyn FnMut()) {
    let mut turns = turns;
    xmpp_gateway_bench_turns(call, (&raw mut turns).cast());
}

extern "C" fn call(turns: *mut c_void) {
    // SAFETY: [H2] what `counted` passes, which waits for us.
    if let Some(turns) = unsafe { turns.cast::<&mut dyn FnMut()>().as_mut() } {
        turns();
    }
}

/// Known by its name to callgrind.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn xmpp_gateway_bench_turns(call: extern "C" fn(*mut c_void), turns: *mut c_void) {
    call(turns);
    // So that this is no jump, which would leave the function before its end.
    std::hint::black_box(turns);
}
