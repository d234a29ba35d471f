//! `make bench`: how much the gateway costs a real host, in each direction.
//!
//! It plays the XMPP server and the SIP peer around one Kamailio or OpenSIPS with two UDP workers, and compares what goes through
//! the gateway with what the same process answers from its script: short rounds take turns, so that a busy machine hurts both alike.
//!
//! ```text
//!   sip_peer  <-- UDP -->  host: 2 workers, XMPP process  <-- TCP -->  xmpp_server
//!        \__________________ rig: one poll loop _____________________/
//!                             load: closed loop, counts, latency
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::arithmetic_side_effects,
    clippy::wildcard_enum_match_arm,
    reason = "a load generator runs by hand: where one of its invariants breaks, it has to stop"
)]

mod arguments;
mod bosh_server;
mod burst;
mod calls;
mod config;
mod dialogs;
mod directions;
mod histogram;
mod host;
mod interrupt;
mod load;
mod marker;
mod memory;
mod outage;
mod phones;
mod probes;
mod registrations;
mod report;
mod restart;
mod rig;
mod rounds;
mod sip_peer;
mod soak;
mod target;
mod udp;
mod watchers;
mod xmpp_server;

use std::process::ExitCode;

use crate::arguments::Arguments;

fn main() -> ExitCode {
    let arguments = match Arguments::read() {
        Ok(arguments) => arguments,
        Err(sentence) => {
            eprintln!("{sentence}");
            return ExitCode::from(2);
        }
    };
    interrupt::install();
    let mut code = ExitCode::SUCCESS;
    for target in &arguments.targets {
        let done = target.describe().and_then(|head| {
            println!("\n{head}");
            if arguments.soak { soak::run(target) } else { rounds::run(&arguments, target) }
        });
        if let Err(error) = done {
            eprintln!("{}: {error}", target.kind.name());
            code = ExitCode::FAILURE;
        }
        if interrupt::check().is_err() {
            break;
        }
    }
    code
}
