//! The phone process: one more process of the SIP server, where phones are shown in their users' accounts. It holds the sessions of all
//! accounts.
//!
//! A process of its own, and no part of the XMPP process: a login costs the hashes of a password and keys of TLS, milliseconds in which no
//! message would pass, and after a restart there are as many of them as there are phones. It may wait for the database as well.

pub(crate) mod desk;

mod falls;
mod files;
mod found;
mod letters;
mod line;
mod notes;
mod over_bosh;
mod over_tcp;
mod pacer;

use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Duration;
use std::time::Instant;

use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use crate::config::Phones;
use crate::link::phone_datagram;
use crate::link::phone_datagram::Told;
use crate::link::store::End;
use crate::link::watch;
use crate::phone::account::Row;
use crate::phone::users::Fact;
use crate::process::backoff::Backoff;
use crate::process::backoff::dice;
use crate::process::host::Flow;
use crate::process::storekeeper::Unavailable;
use crate::xmpp::element::Element;
use crate::xmpp::stanza_error::StanzaError;
use desk::Desk;

/// The SIP server and its database, seen from the phone process. Both may take their time.
pub trait Registrar {
    /// Reads the table of accounts: each row, with the session that was kept of it.
    fn accounts(&mut self, row: &mut dyn FnMut(&Row<'_>, &str)) -> Result<(), Unavailable>;
    /// Writes what is to be kept of accounts: all, or none.
    fn keep(&mut self, notes: &[Note]) -> Result<(), Unavailable>;
    /// Takes some of the states that other programs have written, each once; whether those were all.
    fn states(&mut self) -> Result<(Vec<Fact>, Heard), Unavailable>;
    /// What is registered of a user now.
    fn registered(&mut self, user: &str) -> Vec<Fact>;
    /// Has all users' calls told ([`Fact`]s): it is not known who is in one.
    fn ask_for_calls(&mut self);
    /// Sends the SIP user what the XMPP user `from` of the stanza says. The error is what that one is to be told; `None`: nothing. What becomes of it
    /// later comes as [`Told::Answer`].
    fn message(&mut self, user: &str, message: &Element) -> Result<(), Option<StanzaError>>;
    /// A descriptor that becomes readable when the host wants this process: its IPC, its stop signal.
    fn wake_descriptor(&self) -> BorrowedFd<'_>;
    /// Handles what made the descriptor readable, without blocking.
    fn wake(&mut self) -> Flow;
}

/// What is written to the row of one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Whose row: its SIP URI.
    pub user: String,
    /// The session to go on with; empty: none.
    pub session: Option<String>,
    /// Why there is no session; empty: there is one, or none is wanted.
    pub trouble: Option<String>,
}

/// Runs the phone process until the host stops.
pub fn run(registrar: &mut impl Registrar, config: &Phones, facts: &End) {
    let mut backoff = Backoff::default();
    loop {
        backoff.up(Instant::now());
        match catch_unwind(AssertUnwindSafe(|| live(registrar, config, facts))) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => log::error!("the phone process cannot run: {error}; it is tried again"),
            // The panic hook has logged what and where.
            Err(_) => {}
        }
        // Each life logs in all accounts anew.
        let end = Instant::now().checked_add(backoff.pause(Instant::now(), Duration::ZERO, dice()));
        while end.is_some_and(|end| Instant::now() < end) {
            std::thread::sleep(Duration::from_millis(200));
            if registrar.wake() == Flow::Stop {
                return;
            }
        }
    }
}

fn live(registrar: &mut impl Registrar, config: &Phones, facts: &End) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let wake = watch::readable(registrar.wake_descriptor())?;
        let told = watch::readable(facts.as_fd())?;
        let (mut desk, mut reports) = Desk::new(config)?;
        desk.load(registrar);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut poll = interval(config.poll.as_ref().map_or(NEVER, |(period, _)| *period));
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ready = wake.readable() => {
                    ready?.clear_ready();
                    if registrar.wake() == Flow::Stop {
                        break;
                    }
                }
                ready = told.readable() => {
                    let mut ready = ready?;
                    if hear(&mut desk, registrar, facts)? == Heard::All {
                        ready.clear_ready();
                    }
                }
                Some(report) = reports.recv() => desk.report(registrar, report),
                _ = tick.tick() => desk.tick(Instant::now(), registrar),
                _ = poll.tick(), if config.poll.is_some() => {
                    // Where many have been written the rest is taken soon; sessions have their turn between.
                    if desk.poll(Instant::now(), registrar) == Heard::Some {
                        poll.reset_after(MORE);
                    }
                }
            }
        }
        desk.stop(registrar, &mut reports).await;
        Ok(())
    })
}

/// Whether something is left to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// Nothing is.
    All,
    /// There may be more.
    Some,
}

/// Takes some of what was told: sessions have their turn too.
fn hear(desk: &mut Desk, registrar: &mut impl Registrar, facts: &End) -> io::Result<Heard> {
    for _ in 0..AT_ONCE {
        let Some(datagram) = facts.receive()? else { return Ok(Heard::All) };
        match phone_datagram::decode(&datagram) {
            Ok(Told::Fact(fact)) => desk.fact(Instant::now(), fact),
            Ok(Told::Reload) => desk.load(registrar),
            Ok(Told::Answer { from, xml }) => desk.answer(from, xml),
            Err(error) => log::error!("what the phone process was told cannot be read: {error:?}"),
        }
    }
    Ok(Heard::Some)
}

/// Facts that are taken in one turn.
const AT_ONCE: usize = 64;

/// How often lifetimes are looked at, and what is to be kept is written.
const TICK: Duration = Duration::from_secs(1);

/// How soon more is taken of what is polled.
const MORE: Duration = Duration::from_millis(20);

/// Where nothing is polled.
const NEVER: Duration = Duration::from_secs(3600);
