//! The store process: one more process of the SIP server, where something is to survive a restart. It writes to the database what the XMPP
//! process tells it, and reads it back. It alone waits for the database.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::time::sleep;
use tokio::time::timeout;

use crate::link::SendError;
use crate::link::store::End;
use crate::link::watch;
use crate::process::host::Flow;
use crate::store::Row;
use crate::store::message::Answer;
use crate::store::message::Change;
use crate::store::message::Datagram;
use crate::store::message::Request;

/// The longest pause between two tries of a database that is away.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After the host has told us to stop, the XMPP process may have something to say for so long.
const FAREWELL: Duration = Duration::from_millis(1500);

/// The SIP server and its database, seen from the store process. Both may take their time.
pub trait Store {
    /// Makes all of these changes, or none.
    fn write(&mut self, changes: &[Change]) -> Result<(), Unavailable>;
    /// Reads the table to its end, in portions.
    fn read(&mut self, portion: &mut dyn FnMut(Vec<Row>) -> Flow) -> Result<(), Unavailable>;
    /// A descriptor that becomes readable when the host wants this process: its IPC, its stop signal.
    fn wake_descriptor(&self) -> BorrowedFd<'_>;
    /// Handles what made the descriptor readable, without blocking.
    fn wake(&mut self) -> Flow;
}

/// The database is away, or refuses; the host's log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unavailable;

/// Runs the store process until the host stops.
pub fn run(store: &mut impl Store, end: &End) {
    loop {
        match catch_unwind(AssertUnwindSafe(|| live(store, end))) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => log::error!("the store process cannot run: {error}; trying again in 1 s"),
            // The panic hook has logged what and where.
            Err(_) => {}
        }
        std::thread::sleep(Duration::from_secs(1));
        if store.wake() == Flow::Stop {
            return;
        }
    }
}

fn live(store: &mut impl Store, end: &End) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    runtime.block_on(async {
        let wake = watch::readable(store.wake_descriptor())?;
        let line = watch::readable(end.as_fd())?;
        // What an earlier life has taken is not answered; whoever waits for it goes on.
        let _ = end.send(&Answer::Written.encode());
        let mut process = Process { store, end, stops: false };
        while !process.stops {
            tokio::select! {
                ready = wake.readable() => {
                    ready?.clear_ready();
                    process.wake();
                }
                ready = line.readable() => {
                    ready?.clear_ready();
                    process.serve(&wake).await?;
                }
            }
        }
        // The XMPP process says what it has left when it hears the same.
        while let Ok(ready) = timeout(FAREWELL, line.readable()).await {
            ready?.clear_ready();
            if process.serve(&wake).await.is_err() {
                break;
            }
        }
        Ok(())
    })
}

struct Process<'a, S> {
    store: &'a mut S,
    end: &'a End,
    stops: bool,
}

impl<S: Store> Process<'_, S> {
    fn wake(&mut self) {
        if self.store.wake() == Flow::Stop {
            self.stops = true;
        }
    }

    /// Does all that is asked for now.
    async fn serve(&mut self, wake: &AsyncFd<std::os::fd::OwnedFd>) -> io::Result<()> {
        while let Some(datagram) = self.end.receive()? {
            match Request::decode(&datagram) {
                Some(Request::Write(changes)) => {
                    self.write(&changes, wake).await?;
                    self.answer(&Answer::Written.encode());
                }
                Some(Request::Load(number)) => self.load(number, wake).await?,
                None => log::error!("a request of {} bytes to the store process says nothing", datagram.len()),
            }
        }
        Ok(())
    }

    /// Until it is done, or the host stops.
    async fn write(&mut self, changes: &[Change], wake: &AsyncFd<std::os::fd::OwnedFd>) -> io::Result<()> {
        let mut pause = Pause::new();
        while self.store.write(changes).is_err() {
            if self.wait(&mut pause, wake).await? == Flow::Stop {
                log::error!(
                    "{} changes of what is to survive a restart are lost: the database does not take them",
                    changes.len()
                );
                return Ok(());
            }
        }
        pause.over();
        Ok(())
    }

    async fn load(&mut self, number: u64, wake: &AsyncFd<std::os::fd::OwnedFd>) -> io::Result<()> {
        let mut pause = Pause::new();
        loop {
            let end = self.end;
            let read = self.store.read(&mut |rows| send(end, number, rows));
            if read.is_ok() {
                pause.over();
                self.answer(&Answer::End(number).encode());
                return Ok(());
            }
            if self.wait(&mut pause, wake).await? == Flow::Stop {
                self.answer(&Answer::Failed(number).encode());
                return Ok(());
            }
        }
    }

    async fn wait(&mut self, pause: &mut Pause, wake: &AsyncFd<std::os::fd::OwnedFd>) -> io::Result<Flow> {
        if self.stops {
            return Ok(Flow::Stop);
        }
        tokio::select! {
            () = sleep(pause.next()) => {}
            ready = wake.readable() => {
                ready?.clear_ready();
                self.wake();
            }
        }
        Ok(if self.stops { Flow::Stop } else { Flow::Continue })
    }

    fn answer(&self, datagram: &[u8]) {
        send_patiently(self.end, datagram);
    }
}

/// Rows on their way to the XMPP process, in as many datagrams as it takes.
fn send(end: &End, number: u64, rows: Vec<Row>) -> Flow {
    let mut rows = rows.iter();
    loop {
        let mut datagram = Datagram::rows(number);
        while !datagram.is_full()
            && let Some(row) = rows.next()
        {
            datagram.keep(row);
        }
        if datagram.is_empty() {
            return Flow::Continue;
        }
        if send_patiently(end, datagram.as_bytes()) == Flow::Stop {
            return Flow::Stop;
        }
    }
}

/// Waits while the line is full: the XMPP process reads nothing else meanwhile. If it reads nothing at all it has ended.
fn send_patiently(end: &End, datagram: &[u8]) -> Flow {
    for _ in 0..TRIES {
        match end.send(datagram) {
            Ok(()) => return Flow::Continue,
            Err(SendError::Full) => std::thread::sleep(FULL_PAUSE),
            Err(error) => {
                log::error!("the XMPP process cannot be told what there is: {error:?}");
                return Flow::Stop;
            }
        }
    }
    Flow::Stop
}

const FULL_PAUSE: Duration = Duration::from_millis(1);

/// Five seconds of them.
const TRIES: u32 = 5000;

/// Pauses that grow, and what is said of them: one line when they begin, one when they are over.
struct Pause {
    next: Duration,
    is_said: bool,
}

impl Pause {
    fn new() -> Self {
        Self { next: Duration::from_millis(200), is_said: false }
    }

    fn next(&mut self) -> Duration {
        if !std::mem::replace(&mut self.is_said, true) {
            log::error!("the database does not take what is to survive a restart, or does not give it back; it is tried again");
        }
        let pause = self.next;
        self.next = pause.saturating_mul(2).min(LONGEST_PAUSE);
        pause
    }

    fn over(&self) {
        if self.is_said {
            log::info!("the database is there again");
        }
    }
}
