//! The TCP connection to the XMPP server: when to connect, and bytes in and out.
//!
//! Nothing here waits inside the main loop: connecting is a task of its own, reading and writing happen when the socket is ready.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::Sleep;
use tokio::time::sleep;

use crate::config::Component;
use crate::net;
use crate::net::ConnectError;

/// The connection, or what is done about having none.
#[derive(Debug)]
pub(super) enum Connection {
    /// Until then, nothing.
    Waiting(Pin<Box<Sleep>>),
    /// A task connects.
    Connecting(JoinHandle<Result<TcpStream, ConnectError>>),
    /// It stands.
    Open(TcpStream),
}

/// What happened to it.
#[derive(Debug)]
pub(super) enum Change {
    /// Waited long enough: connect now.
    Due,
    /// The connecting task is done.
    Connected(Result<TcpStream, ConnectError>),
    /// The connecting task itself failed.
    Lost,
    /// Reading or writing may go on.
    Ready,
}

/// Whether there are bytes to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writing {
    /// There are: wait for room as well.
    Wanted,
    /// There are none.
    Idle,
}

impl Connection {
    /// To be connected after a pause.
    pub(super) fn after(pause: Duration) -> Self {
        Self::Waiting(Box::pin(sleep(pause)))
    }

    /// Starts the task that connects.
    pub(super) fn start(component: &Component) -> Self {
        let (host, port) = (component.host.clone(), component.port);
        Self::Connecting(tokio::spawn(async move { net::connect(&host, port).await }))
    }

    /// The next change. Nothing is lost if nobody asks again.
    pub(super) fn poll_change(&mut self, context: &mut Context<'_>, writing: Writing) -> Poll<Change> {
        match self {
            Self::Waiting(pause) => pause.as_mut().poll(context).map(|()| Change::Due),
            Self::Connecting(task) => Pin::new(task).poll(context).map(|done| done.map_or(Change::Lost, Change::Connected)),
            Self::Open(stream) => {
                // An error here is met again, and told apart, by the read that follows.
                let readable = stream.poll_read_ready(context).is_ready();
                let writable = writing == Writing::Wanted && stream.poll_write_ready(context).is_ready();
                if readable || writable { Poll::Ready(Change::Ready) } else { Poll::Pending }
            }
        }
    }

    /// Until the kernel takes bytes again. Unlike [`Self::poll_change`] it does not return at once, and again and again, for bytes that
    /// nobody reads any more.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Open(stream) => stream.writable().await,
            Self::Waiting(_) | Self::Connecting(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads what is there; `None` if there is nothing now or no connection. `Some(0)` is its end.
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.attempt(|stream| stream.try_read(buffer))
    }

    /// Writes what the kernel takes now; `None` if it takes nothing or there is no connection.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<Option<usize>> {
        self.attempt(|stream| stream.try_write(bytes))
    }

    fn attempt(&self, operation: impl FnOnce(&TcpStream) -> io::Result<usize>) -> io::Result<Option<usize>> {
        let Self::Open(stream) = self else { return Ok(None) };
        match operation(stream) {
            Ok(count) => Ok(Some(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Self::Connecting(task) = self {
            task.abort();
        }
    }
}
