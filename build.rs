//! Picks the host, by the variable that the Makefile sets, and makes its bindings. Without a host (a plain `cargo test`) there is
//! nothing to do.

#[path = "src/host/kamailio/build.rs"]
mod kamailio;
#[path = "src/host/opensips/build.rs"]
mod opensips;

use std::env;
use std::process::ExitCode;

const HOST: &str = "XMPP_GATEWAY_HOST";

fn main() -> ExitCode {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed={HOST}");
    let host = env::var(HOST).unwrap_or_default();
    let made = match host.as_str() {
        "" => return ExitCode::SUCCESS,
        "kamailio" => kamailio::build(),
        "opensips" => opensips::build(),
        other => Err(format!("{HOST} is \"{other}\"; it takes \"kamailio\" or \"opensips\"")),
    };
    match made {
        Ok(()) => {
            println!("cargo:rustc-cfg=host=\"{host}\"");
            ExitCode::SUCCESS
        }
        Err(sentence) => {
            println!("cargo:warning={sentence}");
            eprintln!("{sentence}");
            ExitCode::FAILURE
        }
    }
}
