//! Tells Cargo which host is built for.

use std::env;
use std::process;

#[path = "src/host/opensips/build.rs"]
mod opensips;

fn main() {
    println!("cargo::rerun-if-env-changed=XMPP_GATEWAY_HOST");
    let host = env::var("XMPP_GATEWAY_HOST").unwrap_or_default();
    if host == "opensips" {
        if let Err(sentence) = opensips::build() {
            eprintln!("{sentence}");
            process::exit(1);
        }
        println!("cargo::rustc-cfg=host=\"opensips\"");
    }
}
