//! `xmpp_gateway`: one native module for OpenSIPS and Kamailio that joins SIP and XMPP.
//!
//! ```text
//!  SIP workers (many)                                 XMPP process (one, forked by the host)
//!  ------------------                                 --------------------------------------
//!  script functions, host callbacks                   tokio current_thread          process.rs
//!    host/<host>/callbacks.rs                           |  bytes      ^ bytes       net.rs (TCP, DNS)
//!       | copy out of host memory                       v             |
//!       v                                             xmpp::framer -> xmpp::component  (sans-IO)
//!    sip::*  (owned, host-free types)                   | Element     ^ stanza bytes
//!       | worker.rs: translate::to_xmpp  (pure)         v             |
//!       v                                             gateway  (sans-IO state machines: events in, actions out)
//!    link::Event (datagrams, never blocks) -------->    | translate::to_sip  (pure)
//!                                                       v
//!                                                     Action -- run by --> process::Host  (tm, pua of the host)
//! ```
//!
//! Dependencies point one way: host -> worker, process, link, net -> gateway -> translate -> { sip | xmpp | address }.
//! A lower layer never names a higher one; it returns a value. `config` and `xml` are leaves.
//!
//! The modules below stand in the order in which data flows.

#[cfg(not(panic = "unwind"))]
compile_error!("a panic must unwind to the guard of its entry point: an abort would take the whole SIP server down");

pub mod config;
pub mod xml;

pub mod sip;
pub mod xmpp;

pub mod address;
pub mod translate;

pub mod dialog_event;
pub mod store;

pub mod calls;
pub mod gateway;
pub mod phone;

#[allow(unsafe_code, reason = "system calls that std does not offer, and memory shared over the fork")]
pub mod link;
pub mod net;
pub mod process;
pub mod worker;

#[cfg(any(host = "kamailio", host = "opensips", test))]
#[cfg_attr(not(any(host = "kamailio", host = "opensips")), allow(dead_code, reason = "without a host nobody enters it"))]
#[allow(unsafe_code, reason = "the border to C: see the safety ledger in host/mod.rs")]
mod host;
