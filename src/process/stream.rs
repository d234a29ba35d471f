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

use tokio::time::timeout_at;

use crate::config;
use crate::link::fill::Place;
use crate::net::transport::Writing;
use crate::process::backoff::dice;
use crate::process::broken::Broken;
use crate::process::connection::Change;
use crate::process::connection::Connection;
use crate::process::liveness::Keepalive;
use crate::process::liveness::Liveness;
use crate::process::liveness::Phase;
use crate::process::outgoing::Outgoing;
use crate::process::reconnect::Reconnect;
use crate::xmpp::component::Component;
use crate::xmpp::component::Event;
use crate::xmpp::head::Head;
use crate::xmpp::ping;
use crate::xmpp::stream_error::Condition;

/// The stream of one component, or what is done about having none.
pub(super) struct ComponentStream<'a> {
    component: &'a config::Component,
    connection: Connection,
    session: Option<Session>,
    outgoing: Outgoing<'a>,
    reconnect: Reconnect<'a>,
}

/// What is known of the stream over an open connection.
struct Session {
    login: Component,
    /// Bytes of the login, or of the close: they go before any stanza.
    ahead: Vec<u8>,
    was: Was,
    liveness: Liveness,
    /// Sent so far.
    pings: u64,
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
        let reconnect = Reconnect::new(&component.servers);
        Self { component, connection: Connection::after(pause), session: None, outgoing, reconnect }
    }

    /// The domain that the component speaks for.
    pub(super) fn domain(&self) -> &'a str {
        &self.component.domain
    }

    /// Takes a stanza to be written; it waits for the stream if there is none.
    pub(super) fn push(&mut self, now: Instant, stanza: &[u8], place: Option<Place<'a>>) {
        self.outgoing.push(now, stanza, place);
    }

    /// The server has accepted us: what waited goes out, but for what these stanzas, which follow it, make untrue.
    pub(super) fn release<'s>(&mut self, following: impl Iterator<Item = &'s str>) {
        self.outgoing.stream_up(following);
    }

    /// The next message that will never be written, and that nobody has been told of.
    pub(super) fn take_lost(&mut self) -> Option<Head<'static>> {
        self.outgoing.take_lost()
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
            Change::Due => {
                if let Some(server) = self.reconnect.server() {
                    self.connection = Connection::start(server, &self.component.tls, self.reconnect.name());
                }
            }
            Change::Connected(Ok(transport)) => {
                self.connection = Connection::Open(transport);
                self.opened();
            }
            Change::Connected(Err(error)) => {
                self.broken(&Broken::Connect(error));
            }
            Change::Lost => {
                self.broken(&Broken::Lost);
            }
            Change::Ready => return Next::Read,
        }
        Next::Wait
    }

    /// Reads once, without waiting; how many bytes came.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Broken> {
        let count = self.connection.read(buffer).map_err(Broken::Io)?;
        if let (Some(1..), Some(session)) = (count, &mut self.session) {
            session.liveness.heard(Instant::now());
        }
        if count == Some(0) { Err(Broken::Closed) } else { Ok(count.unwrap_or(0)) }
    }

    /// Takes bytes that were read up to the next event that is not ours alone.
    pub(super) fn event(&mut self, input: &mut &[u8]) -> Option<Event> {
        let domain = &self.component.domain;
        let session = self.session.as_mut()?;
        loop {
            match session.login.next(input)? {
                // Whatever was heard was a sign of life already.
                Event::Stanza(stanza) if ping::is_back(&stanza, domain, session.pings) => {}
                Event::Ready => {
                    session.was = Was::Up;
                    let server = self.reconnect.server().map(ToString::to_string).unwrap_or_default();
                    log::info!("the XMPP server {server} accepted {domain} as its component");
                    self.reconnect.up(Instant::now());
                    return Some(Event::Ready);
                }
                event @ (Event::Stanza(_) | Event::Refused(_) | Event::Ended(_)) => return Some(event),
            }
        }
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
        self.write_ahead()?;
        self.write_output()?;
        self.write_ping()?;
        self.connection.flush().map_err(Broken::Io)?;
        Ok(())
    }

    fn write_ahead(&mut self) -> Result<(), Broken> {
        let Some(session) = &mut self.session else { return Ok(()) };
        while !session.ahead.is_empty() {
            let Some(count) = self.connection.write(&session.ahead).map_err(Broken::Io)? else { return Ok(()) };
            session.ahead.drain(..count.min(session.ahead.len()));
            session.liveness.wrote(Instant::now());
        }
        Ok(())
    }

    fn write_output(&mut self) -> Result<(), Broken> {
        let Some(session) = &mut self.session else { return Ok(()) };
        while session.ahead.is_empty() && session.login.is_ready() && self.outgoing.has_output() {
            let Some(count) = self.connection.write(self.outgoing.unwritten()).map_err(Broken::Io)? else { return Ok(()) };
            self.outgoing.advance(count);
            session.liveness.wrote(Instant::now());
        }
        Ok(())
    }

    /// A ping that is due goes where no stanza is cut in two by it: after all that waits.
    fn write_ping(&mut self) -> Result<(), Broken> {
        let Some(session) = &mut self.session else { return Ok(()) };
        if session.liveness.is_ping_due() && session.login.is_ready() && session.ahead.is_empty() && !self.outgoing.has_output() {
            session.pings = session.pings.wrapping_add(1);
            session.ahead.extend_from_slice(ping::request(&self.component.domain, session.pings).as_bytes());
            session.liveness.pinged(Instant::now());
            self.write_ahead()?;
        }
        Ok(())
    }

    /// Time has passed: what has waited too long for a stream is dropped.
    pub(super) fn tick(&mut self, now: Instant) {
        self.outgoing.tick(now);
    }

    /// Time has passed in which the stream was read: one that hangs is broken.
    pub(super) fn check(&mut self, now: Instant) -> Result<(), Broken> {
        let Some(session) = &mut self.session else { return Ok(()) };
        let phase = if !session.login.is_ready() {
            Phase::Login
        } else if self.outgoing.has_output() || !session.ahead.is_empty() {
            Phase::Writing
        } else {
            Phase::Idle
        };
        if session.liveness.check(now, phase)? == Keepalive::Due {
            session.ahead.push(b' ');
        }
        Ok(())
    }

    /// For so long the stream was not read: that is not to its server's debit.
    pub(super) fn stood_still(&mut self, now: Instant, time: Duration) {
        if let Some(session) = &mut self.session {
            session.liveness.stood_still(now, time);
        }
    }

    /// The stream is over, or did not come about: one line, a pause, and from the start. How far it had come is what there was to lose.
    pub(super) fn broken(&mut self, why: &Broken) -> Was {
        // A stream error of ours is said if the kernel takes it now; nobody waits for it.
        if let Some(session) = &mut self.session {
            session.login.take_output(&mut session.ahead);
            let _ = self.connection.write(&session.ahead);
            let _ = self.connection.flush();
        }
        let was = self.session.take().map(|session| session.was);
        self.outgoing.stream_down(Instant::now());
        let domain = &self.component.domain;
        let at = self.reconnect.server().map(ToString::to_string).unwrap_or_default();
        let (remedy, advice) = why.remedy();
        let advice = advice.map(|advice| format!("; {advice}")).unwrap_or_default();
        let plan = self.reconnect.ended(Instant::now(), remedy, dice());
        self.connection = Connection::after(plan.pause);
        match was {
            None => log::error!("no connection to the XMPP server {at} for {domain}: {why}{advice}; {plan}"),
            Some(Was::Login) => log::error!("the login of {domain} at {at} ended: {why}{advice}; {plan}"),
            Some(Was::Up) => log::error!("the stream of {domain} at {at} ended: {why}{advice}; {plan}"),
        }
        was.unwrap_or(Was::Login)
    }

    /// Closes the stream when the host stops; what does not go out soon is lost with the process.
    pub(super) async fn close(&mut self, until: tokio::time::Instant) {
        if self.session.is_none() {
            return;
        }
        let closed = timeout_at(until, self.write_all()).await;
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
        self.connection.end();
        while !self.connection.flush()? {
            self.connection.writable().await?;
        }
        Ok(())
    }

    fn opened(&mut self) {
        let liveness = Liveness::new(Instant::now(), self.component.ping);
        let mut login = Component::new(&self.component.domain, self.component.secret.expose());
        let ahead = login.start().into_bytes();
        self.session = Some(Session { login, ahead, was: Was::Login, liveness, pings: 0 });
    }
}
