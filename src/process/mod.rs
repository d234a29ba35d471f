//! The XMPP process: one per SIP server, forked by the host after mod_init. It runs the gateway between the link and the stream.
//!
//! [`run`] returns only when the host stops. A panic inside costs the connection and the gateway's memory, not the process: it starts
//! over, and what XMPP servers and the host's pua know brings the state back.

pub mod host;
pub mod phones;
pub mod storekeeper;

pub(crate) mod backoff;
#[cfg(feature = "bench")]
mod bench;
mod broken;
mod connection;
mod decisions;
pub(crate) mod keeper;
mod liveness;
mod outgoing;
mod output;
mod pace;
mod queue;
mod reconnect;
mod stream;
mod turn;

use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Duration;
use std::time::Instant;

use crate::calls::publisher::Publisher;
use crate::config::Config;
use crate::link::Receiver;
use crate::link::shared::Dialogs;
use crate::link::store::End;
use host::Flow;
use host::Host;
use keeper::Keeper;
use turn::Turn;

/// The pause after a panic before the server is connected again.
const PAUSE_AFTER_PANIC: Duration = Duration::from_secs(1);

/// Runs the XMPP process until the host stops. `store` is its line to the store process, if there is one.
pub fn run(host: &mut impl Host, config: &Config, receiver: &Receiver, store: Option<&End>) {
    let mut pause = Duration::ZERO;
    // It outlives a panic: nobody would tell us again of the calls that go on.
    let calls = Publisher::new(config.calls.documents.clone(), receiver.shared().keys());
    let mut calls = if config.calls.mode.publishes() { calls } else { calls.without_watchers() };
    host.restored_calls().into_iter().for_each(|event| calls.event(Instant::now(), event));
    loop {
        let ended = catch_unwind(AssertUnwindSafe(|| live(host, config, receiver, &mut calls, store, pause)));
        receiver.shared().set_all_streams_down();
        // A gateway of an earlier life has taken what it knew of them with it.
        receiver.shared().set_dialogs(if store.is_some() { Dialogs::Awaited } else { Dialogs::Known });
        receiver.shared().end_all_dialogs();
        match ended {
            Ok(Ok(())) => return,
            Ok(Err(error)) => {
                log::error!("the XMPP process cannot run: {error}; trying again in 1 s");
                std::thread::sleep(Duration::from_secs(1));
                if host.wake() == Flow::Stop {
                    return;
                }
            }
            // The panic hook has logged what and where.
            Err(_) => pause = PAUSE_AFTER_PANIC,
        }
    }
}

/// One life: a runtime, a gateway, and connections until the host stops.
fn live(
    host: &mut impl Host,
    config: &Config,
    receiver: &Receiver,
    calls: &mut Publisher,
    store: Option<&End>,
    pause: Duration,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async { Turn::new(host, config, receiver, calls, Keeper::new(store), pause).run().await })
}
