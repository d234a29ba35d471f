//! The connection to the XMPP server: when to connect, and bytes in and out.
//!
//! Nothing here waits inside the main loop: connecting is a task of its own, reading and writing happen when the socket is ready.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Sleep;
use tokio::time::sleep;

use crate::config::Server;
use crate::config::Tls;
use crate::net;
use crate::net::ConnectError;
use crate::net::transport::Transport;
use crate::net::transport::Writing;

/// The connection, or what is done about having none.
#[derive(Debug)]
pub(super) enum Connection {
    /// Until then, nothing.
    Waiting(Pin<Box<Sleep>>),
    /// A task connects.
    Connecting(JoinHandle<Result<Transport, ConnectError>>),
    /// It stands.
    Open(Transport),
}

/// What happened to it.
#[derive(Debug)]
pub(super) enum Change {
    /// Waited long enough: connect now.
    Due,
    /// The connecting task is done.
    Connected(Result<Transport, ConnectError>),
    /// The connecting task itself failed.
    Lost,
    /// Reading or writing may go on.
    Ready,
}

impl Connection {
    /// To be connected after a pause.
    pub(super) fn after(pause: Duration) -> Self {
        Self::Waiting(Box::pin(sleep(pause)))
    }

    /// Starts the task that connects to `server`; with TLS, its certificate has to be one for `name`.
    pub(super) fn start(server: &Server, tls: &Tls, name: &str) -> Self {
        let (server, tls, name) = (server.clone(), tls.clone(), name.to_owned());
        Self::Connecting(tokio::spawn(async move { net::connect(&server, &tls, &name).await }))
    }

    /// The next change. Nothing is lost if nobody asks again.
    pub(super) fn poll_change(&mut self, context: &mut Context<'_>, writing: Writing) -> Poll<Change> {
        match self {
            Self::Waiting(pause) => pause.as_mut().poll(context).map(|()| Change::Due),
            Self::Connecting(task) => Pin::new(task).poll(context).map(|done| done.map_or(Change::Lost, Change::Connected)),
            Self::Open(transport) => transport.poll_ready(context, writing).map(|()| Change::Ready),
        }
    }

    /// Until the kernel takes bytes again. Unlike [`Self::poll_change`] it does not return at once, and again and again, for bytes that
    /// nobody reads any more.
    pub(super) async fn writable(&self) -> io::Result<()> {
        match self {
            Self::Open(transport) => transport.writable().await,
            Self::Waiting(_) | Self::Connecting(_) => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Reads what is there; `None` if there is nothing now or no connection. `Some(0)` is its end.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        self.open().map_or(Ok(None), |transport| transport.read(buffer))
    }

    /// Writes what the kernel takes now; `None` if it takes nothing or there is no connection.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<Option<usize>> {
        self.open().map_or(Ok(None), |transport| transport.write(bytes))
    }

    /// Writes what was taken and is not with the kernel yet; whether that was all.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        self.open().map_or(Ok(true), Transport::flush)
    }

    /// Nothing follows.
    pub(super) fn end(&mut self) {
        if let Some(transport) = self.open() {
            transport.end();
        }
    }

    fn open(&mut self) -> Option<&mut Transport> {
        match self {
            Self::Open(transport) => Some(transport),
            Self::Waiting(_) | Self::Connecting(_) => None,
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
