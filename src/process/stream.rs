//! One component's stream to its XMPP server: connected, logged in, written, and, when it breaks, connected again after a pause.
//!
//! Nothing here waits. The main loop polls [`ComponentStream::poll_change`], hands the change to [`ComponentStream::changed`], takes
//! what came in from [`ComponentStream::read`] and [`ComponentStream::event`], and calls [`ComponentStream::write`] when it is done
//! with a turn. What a stanza means is the gateway's; whether there is a stream at all is decided here, and logged here, once.

use std::io;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use tokio::time::timeout;

use crate::config;
use crate::link::datagram::Reserved;
use crate::process::backoff::Backoff;
use crate::process::backoff::dice;
use crate::process::broken::Broken;
use crate::process::broken::LOGIN_TIMEOUT;
use crate::process::broken::WRITE_TIMEOUT;
use crate::process::connection::Change;
use crate::process::connection::Connection;
use crate::process::connection::Writing;
use crate::process::outgoing::Outgoing;
use crate::xmpp::component::Component;
use crate::xmpp::component::Event;
use crate::xmpp::stream_error::Condition;

/// After so long without a byte from us a space is sent (RFC 6120 §4.6.1): a dead peer shows by an error or by WRITE_TIMEOUT.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long a clean close may take when the host stops.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(400);

/// The stream of one component, or what is done about having none.
pub(super) struct ComponentStream<'a> {
    component: &'a config::Component,
    connection: Connection,
    session: Option<Session>,
    outgoing: Outgoing<'a>,
    backoff: Backoff,
}

/// What is known of the stream over an open connection.
struct Session {
    login: Component,
    /// Bytes of the login, or of the close: they go before any stanza.
    ahead: Vec<u8>,
    was: Was,
    opened: Instant,
    /// When the server last took something, or had nothing to take.
    wrote: Instant,
}

/// What is left for the main loop after a change of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing: wait for the next change.
    Wait,
    /// Bytes may be there: read.
    Read,
}

/// How far a stream has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Was {
    /// Accepted: stanzas went both ways.
    Up,
    /// Not yet accepted.
    Login,
}

impl<'a> ComponentStream<'a> {
    /// To be connected after a pause. What is sent to it goes through `outgoing`.
    pub(super) fn new(component: &'a config::Component, outgoing: Outgoing<'a>, pause: Duration) -> Self {
        Self { component, connection: Connection::after(pause), session: None, outgoing, backoff: Backoff::default() }
    }

    /// Takes a stanza to be written; it waits for the stream if there is none.
    pub(super) fn push(&mut self, now: Instant, stanza: &[u8], reserved: Reserved) {
        self.outgoing.push(now, stanza, reserved);
    }

    /// The server has accepted us: what waited goes out, but for what these stanzas, which follow it, make untrue.
    pub(super) fn release<'s>(&mut self, following: impl Iterator<Item = &'s str>) {
        self.outgoing.stream_up(following);
    }

    /// Whether so much waits that no more should be taken from the workers.
    pub(super) fn has_enough(&self) -> bool {
        self.outgoing.has_enough()
    }

    /// The next change of the connection.
    pub(super) fn poll_change(&mut self, context: &mut Context<'_>) -> Poll<Change> {
        let writing = match &self.session {
            Some(session) if !session.ahead.is_empty() || (session.login.is_ready() && self.outgoing.has_output()) => {
                Writing::Wanted
            }
            Some(_) | None => Writing::Idle,
        };
        self.connection.poll_change(context, writing)
    }

    /// Acts on a change of the connection.
    pub(super) fn changed(&mut self, change: Change) -> Next {
        match change {
            Change::Due => self.connection = Connection::start(self.component),
            Change::Connected(Ok(stream)) => {
                self.connection = Connection::Open(stream);
                self.opened();
            }
            Change::Connected(Err(error)) => {
                let pause = self.pause();
                let config::Component { host, port, .. } = self.component;
                log::error!("no connection to the XMPP server {host}:{port}: {error}; next try in {:.1} s", pause.as_secs_f32());
            }
            Change::Lost => {
                self.pause();
            }
            Change::Ready => return Next::Read,
        }
        Next::Wait
    }

    /// Reads once, without waiting; how many bytes came.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        match self.connection.read(buffer) {
            Ok(Some(0)) => Err(Broken::Closed),
            Ok(count) => Ok(count.unwrap_or(0)),
            Err(error) => Err(Broken::Io(error)),
        }
    }

    /// Takes bytes that were read up to the next event.
    pub(super) fn event(&mut self, input: &mut &[u8]) -> Option<Event> {
        let session = self.session.as_mut()?;
        let event = session.login.next(input)?;
        if event == Event::Ready {
            session.was = Was::Up;
            log::info!("the XMPP server accepted {} as its component", self.component.domain);
            self.backoff.up(Instant::now());
        }
        Some(event)
    }

    /// Ends our side with a stream error, for what only the gateway sees.
    pub(super) fn fail(&mut self, condition: &Condition) {
        if let Some(session) = &mut self.session {
            session.login.fail(condition);
        }
    }

    /// Writes what waits, as far as the kernel takes it. Nothing but the login goes out before the server has accepted us.
    pub(super) fn write(&mut self) -> Result<(), Broken> {
        let Some(session) = &mut self.session else { return Ok(()) };
        session.login.take_output(&mut session.ahead);
        while !session.ahead.is_empty() {
            let Some(count) = self.connection.write(&session.ahead).map_err(Broken::Io)? else { return Ok(()) };
            session.ahead.drain(..count.min(session.ahead.len()));
            session.wrote = Instant::now();
        }
        while session.login.is_ready() && self.outgoing.has_output() {
            let Some(count) = self.connection.write(self.outgoing.unwritten()).map_err(Broken::Io)? else { return Ok(()) };
            self.outgoing.advance(count);
            session.wrote = Instant::now();
        }
        Ok(())
    }

    /// Time has passed: a stream that hangs is broken, and what waited too long for one is dropped.
    pub(super) fn tick(&mut self, now: Instant) -> Result<(), Broken> {
        self.outgoing.tick(now);
        let Some(session) = &mut self.session else { return Ok(()) };
        let silent = now.saturating_duration_since(session.wrote);
        if !session.login.is_ready() {
            if now.saturating_duration_since(session.opened) >= LOGIN_TIMEOUT {
                return Err(Broken::LoginTimeout);
            }
        } else if self.outgoing.has_output() || !session.ahead.is_empty() {
            if silent >= WRITE_TIMEOUT {
                return Err(Broken::WriteTimeout);
            }
        } else if silent >= KEEPALIVE {
            session.ahead.push(b' ');
        }
        Ok(())
    }

    /// The stream is over: one line, a pause, and from the start. How far it had come is what there was to lose.
    pub(super) fn broken(&mut self, why: &Broken) -> Was {
        // A stream error of ours is said if the kernel takes it now; nobody waits for it.
        if let Some(session) = &mut self.session {
            session.login.take_output(&mut session.ahead);
            let _ = self.connection.write(&session.ahead);
        }
        let was = self.session.take().map_or(Was::Login, |session| session.was);
        self.outgoing.stream_down(Instant::now());
        let pause = self.pause();
        let config::Component { domain, host, port, .. } = self.component;
        let state = match was {
            Was::Up => "the stream",
            Was::Login => "the login",
        };
        log::error!("{state} of {domain} at {host}:{port} ended: {why}; next try in {:.1} s", pause.as_secs_f32());
        was
    }

    /// Closes the stream when the host stops; what does not go out soon is lost with the process.
    pub(super) async fn close(&mut self) {
        if self.session.is_none() {
            return;
        }
        let closed = timeout(CLOSE_TIMEOUT, self.write_all()).await;
        let domain = &self.component.domain;
        match closed {
            Ok(Ok(())) => log::info!("the stream of {domain} is closed"),
            Ok(Err(error)) => log::info!("the stream of {domain} broke while it was closed: {error}"),
            Err(_) => log::warn!("the XMPP server did not take the end of the stream of {domain} in time"),
        }
    }

    async fn write_all(&mut self) -> io::Result<()> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let up = session.login.is_ready();
        while up && self.outgoing.has_output() {
            if let Some(count) = self.connection.write(self.outgoing.unwritten())? {
                self.outgoing.advance(count);
            } else {
                self.connection.writable().await?;
            }
        }
        let end = session.login.close();
        session.ahead.extend_from_slice(end.as_bytes());
        while !session.ahead.is_empty() {
            match self.connection.write(&session.ahead)? {
                Some(count) => drop(session.ahead.drain(..count.min(session.ahead.len()))),
                None => self.connection.writable().await?,
            }
        }
        Ok(())
    }

    fn opened(&mut self) {
        let now = Instant::now();
        let mut login = Component::new(&self.component.domain, self.component.secret.expose());
        let ahead = login.start().into_bytes();
        self.session = Some(Session { login, ahead, was: Was::Login, opened: now, wrote: now });
    }

    fn pause(&mut self) -> Duration {
        let pause = self.backoff.pause(Instant::now(), dice());
        self.connection = Connection::after(pause);
        pause
    }
}
