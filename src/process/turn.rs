//! The main loop: wait for one of its sources, do what it brings without waiting again, write once.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::timeout;

use crate::config;
use crate::config::Backend;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::gateway::action::Action;
use crate::link::BATCH;
use crate::link::Inbox;
use crate::link::Receiver;
use crate::link::datagram;
use crate::link::shared::StreamState;
use crate::link::watch;
use crate::process::backoff::Backoff;
use crate::process::backoff::dice;
use crate::process::broken::Broken;
use crate::process::broken::LOGIN_TIMEOUT;
use crate::process::broken::WRITE_TIMEOUT;
use crate::process::connection::Change;
use crate::process::connection::Connection;
use crate::process::connection::Writing;
use crate::process::host::Flow;
use crate::process::host::Host;
use crate::process::output::Output;
use crate::process::pace::Pace;
use crate::xmpp::component::Component;
use crate::xmpp::component::Event;

/// After so long without a byte from us a space is sent (RFC 6120 §4.6.1): a dead peer shows by an error or by WRITE_TIMEOUT.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// How long a clean close may take when the host stops.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(400);

/// Bytes read from the socket at once.
const READ_BUFFER: usize = 64 * 1024;

/// Batches taken from the link before the others have their turn.
const LINK_BATCHES: usize = 8;

pub(super) struct Turn<'a, H> {
    host: &'a mut H,
    component: &'a config::Component,
    receiver: &'a Receiver,
    gateway: Gateway,
    connection: Connection,
    stream: Option<Stream>,
    output: Output,
    backoff: Backoff,
    pace: Pace,
    actions: Vec<Action>,
    buffer: Vec<u8>,
    dropped: u64,
}

/// What is known of the stream over an open connection.
struct Stream {
    login: Component,
    /// Bytes of the login, or of the close: they go before any stanza.
    ahead: Vec<u8>,
    opened: Instant,
    /// When the server last took something, or had nothing to take.
    wrote: Instant,
}

impl<'a, H: Host> Turn<'a, H> {
    pub(super) fn new(host: &'a mut H, config: &'a Config, receiver: &'a Receiver, pause: Duration) -> Self {
        let Backend::Component(component) = &config.backend;
        Self {
            host,
            component,
            receiver,
            gateway: Gateway::new(config, Instant::now(), dice()),
            connection: Connection::after(pause),
            stream: None,
            output: Output::default(),
            backoff: Backoff::default(),
            pace: Pace::new(Instant::now()),
            actions: Vec::new(),
            buffer: vec![0; READ_BUFFER],
            dropped: 0,
        }
    }

    /// Until the host stops.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let wake = watch::readable(self.host.wake_descriptor())?;
        let link = watch::readable(self.receiver.as_fd())?;
        let mut inbox = Inbox::new();
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                ready = wake.readable() => {
                    ready?.clear_ready();
                    if self.host.wake() == Flow::Stop {
                        break;
                    }
                }
                ready = link.readable(), if !self.output.has_enough() => {
                    // A short batch emptied the link; a full last one did not, and comes up again.
                    if self.take_from_link(&mut inbox)? < BATCH {
                        ready?.clear_ready();
                    }
                }
                change = self.connection.change(writing(&self.output, self.stream.as_ref())) => self.changed(change),
                _ = ticks.tick() => self.tick(),
            }
            self.write();
            self.host.tick();
            // The runtime looks at its descriptors only between polls: without this a busy source would hide the others.
            tokio::task::yield_now().await;
        }
        self.close().await;
        Ok(())
    }

    /// Takes what the workers sent; how many datagrams the last batch had.
    fn take_from_link(&mut self, inbox: &mut Inbox) -> io::Result<usize> {
        self.pace.gather();
        let mut taken = 0;
        for _ in 0..LINK_BATCHES {
            taken = self.receiver.receive(inbox)?;
            self.pace.took(taken);
            for bytes in inbox.datagrams() {
                match datagram::stanza_of(bytes) {
                    // Finished by the worker: the path of every MESSAGE.
                    Some(stanza) => self.push(stanza),
                    None => self.event(bytes),
                }
            }
            if taken < BATCH || self.output.has_enough() {
                break;
            }
        }
        Ok(taken)
    }

    fn event(&mut self, bytes: &[u8]) {
        match datagram::decode(bytes) {
            Ok(event) => {
                self.gateway.event(Instant::now(), event, &mut self.actions);
                self.act();
            }
            Err(error) => log::error!("a datagram of {} bytes on the link is no event: {error:?}", bytes.len()),
        }
    }

    fn changed(&mut self, change: Change) {
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
            Change::Ready => {
                if let Err(broken) = self.read() {
                    self.broken(broken);
                }
            }
        }
    }

    fn opened(&mut self) {
        let now = Instant::now();
        let mut login = Component::new(&self.component.domain, self.component.secret.expose());
        let ahead = login.start().into_bytes();
        self.stream = Some(Stream { login, ahead, opened: now, wrote: now });
    }

    /// Reads once and does all that it brings.
    fn read(&mut self) -> Result<(), Broken> {
        let Some(count) = self.connection.read(&mut self.buffer).map_err(Broken::Io)? else { return Ok(()) };
        if count == 0 {
            return Err(Broken::Closed);
        }
        let buffer = std::mem::take(&mut self.buffer);
        let mut input = buffer.get(..count).unwrap_or_default();
        let mut done = Ok(());
        while done.is_ok() {
            let Some(event) = self.stream.as_mut().and_then(|stream| stream.login.next(&mut input)) else { break };
            done = self.stream_event(event);
            self.act();
        }
        self.buffer = buffer;
        done
    }

    fn stream_event(&mut self, event: Event) -> Result<(), Broken> {
        #[cfg(feature = "bench")]
        if let Event::Stanza(stanza) = &event
            && let Some(answer) = super::bench::answer(self.host, stanza)
        {
            self.push(answer.as_bytes());
            return Ok(());
        }
        let now = Instant::now();
        match event {
            Event::Ready => {
                log::info!("the XMPP server accepted {} as its component", self.component.domain);
                self.backoff.up(now);
                self.receiver.shared().set_stream(StreamState::Up);
                self.gateway.stream_up(now, &mut self.actions);
                Ok(())
            }
            Event::Stanza(stanza) => {
                self.gateway.stanza(now, SystemTime::now(), &stanza, &mut self.actions).map_err(|condition| {
                    if let Some(stream) = &mut self.stream {
                        stream.login.fail(&condition);
                    }
                    Broken::Fault(condition)
                })
            }
            Event::Refused(refused) => {
                self.gateway.refused(&refused, &mut self.actions);
                Ok(())
            }
            Event::Ended(reason) => Err(Broken::Stream(reason)),
        }
    }

    /// Carries out what the gateway decided.
    fn act(&mut self) {
        // What the host refuses makes further actions: stanza errors, mostly.
        while !self.actions.is_empty() {
            let mut actions = std::mem::take(&mut self.actions);
            for action in actions.drain(..) {
                self.act_on(action);
            }
            if self.actions.is_empty() {
                self.actions = actions;
                return;
            }
        }
    }

    fn act_on(&mut self, action: Action) {
        match action {
            Action::Stanza(stanza) => self.push(stanza.as_bytes()),
            Action::Message(message) => {
                if let Err(error) = self.host.message(&message) {
                    log::error!("a MESSAGE to {} cannot be sent: {error}", message.to);
                    self.gateway.message_refused(&message, &mut self.actions);
                }
            }
            Action::Publish(publish) => {
                if let Err(error) = self.host.publish(&publish) {
                    log::error!("the presence of {} cannot be published: {error}", publish.presentity);
                }
            }
            Action::Subscribe(subscribe) => {
                if let Err(error) = self.host.subscribe(&subscribe) {
                    log::info!("no SUBSCRIBE of {} to {}: {error}", subscribe.watcher, subscribe.presentity);
                    self.gateway.subscribe_refused(Instant::now(), &subscribe, &mut self.actions);
                }
            }
            Action::Authorize { watcher, presentity, presentity_uri, decision } => {
                if !self.receiver.shared().answers_for(&presentity) {
                    // The table forgets nothing: strangers are not to fill it.
                    log::debug!("nobody asked who may see {presentity}: a decision on {watcher} is dropped");
                } else if self.receiver.shared().authorization(&watcher, &presentity) == decision {
                    log::debug!("{presentity} decided on {watcher} as before");
                } else if !self.receiver.shared().authorize(&watcher, &presentity, decision) {
                    log::error!("no place to keep what {presentity} decided on {watcher}");
                } else if let Err(error) = self.host.watchers_changed(&presentity_uri) {
                    log::error!("the watchers of {presentity_uri} cannot be told of a decision: {error}");
                }
            }
        }
    }

    fn push(&mut self, stanza: &[u8]) {
        if self.output.push(stanza).is_err() {
            self.dropped = self.dropped.saturating_add(1);
            if self.dropped.is_power_of_two() {
                log::error!("the XMPP server does not read: {} stanzas dropped so far", self.dropped);
            }
        }
    }

    /// Writes what waits, as far as the kernel takes it.
    fn write(&mut self) {
        if let Err(broken) = self.try_write() {
            self.broken(broken);
        }
    }

    fn try_write(&mut self) -> Result<(), Broken> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        stream.login.take_output(&mut stream.ahead);
        while !stream.ahead.is_empty() {
            let Some(count) = self.connection.write(&stream.ahead).map_err(Broken::Io)? else { return Ok(()) };
            stream.ahead.drain(..count.min(stream.ahead.len()));
            stream.wrote = Instant::now();
        }
        while stream.login.is_ready() && !self.output.unwritten().is_empty() {
            let Some(count) = self.connection.write(self.output.unwritten()).map_err(Broken::Io)? else { return Ok(()) };
            self.output.advance(count);
            stream.wrote = Instant::now();
        }
        Ok(())
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.gateway.tick(now, &mut self.actions);
        self.act();
        let Some(stream) = &mut self.stream else { return };
        let silent = now.saturating_duration_since(stream.wrote);
        if !stream.login.is_ready() {
            if now.saturating_duration_since(stream.opened) >= LOGIN_TIMEOUT {
                self.broken(Broken::LoginTimeout);
            }
        } else if !self.output.is_empty() || !stream.ahead.is_empty() {
            if silent >= WRITE_TIMEOUT {
                self.broken(Broken::WriteTimeout);
            }
        } else if silent >= KEEPALIVE {
            stream.ahead.push(b' ');
        }
    }

    /// The stream is over: one line, a pause, and from the start.
    fn broken(&mut self, why: Broken) {
        // A stream error of ours is said if the kernel takes it now; nobody waits for it.
        if let Some(stream) = &mut self.stream {
            stream.login.take_output(&mut stream.ahead);
            let _ = self.connection.write(&stream.ahead);
        }
        let was_up = self.receiver.shared().stream_is_up();
        self.stream = None;
        self.receiver.shared().set_stream(StreamState::Down);
        self.output.rewind();
        if was_up {
            self.gateway.stream_down();
        }
        let pause = self.pause();
        let config::Component { domain, host, port, .. } = self.component;
        let state = if was_up { "the stream" } else { "the login" };
        log::error!("{state} of {domain} at {host}:{port} ended: {why}; next try in {:.1} s", pause.as_secs_f32());
    }

    fn pause(&mut self) -> Duration {
        let pause = self.backoff.pause(Instant::now(), dice());
        self.connection = Connection::after(pause);
        pause
    }

    /// Closes the stream when the host stops; what does not go out soon is lost with the process.
    async fn close(&mut self) {
        self.receiver.shared().set_stream(StreamState::Down);
        if self.stream.as_ref().is_some_and(|stream| stream.login.is_ready()) {
            self.gateway.stop(&mut self.actions);
            self.act();
        }
        let Some(stream) = &mut self.stream else { return };
        let closing = async {
            let up = stream.login.is_ready();
            while up && !self.output.is_empty() {
                if let Some(count) = self.connection.write(self.output.unwritten())? {
                    self.output.advance(count);
                } else {
                    self.connection.writable().await?;
                }
            }
            let end = stream.login.close();
            stream.ahead.extend_from_slice(end.as_bytes());
            while !stream.ahead.is_empty() {
                match self.connection.write(&stream.ahead)? {
                    Some(count) => drop(stream.ahead.drain(..count.min(stream.ahead.len()))),
                    None => self.connection.writable().await?,
                }
            }
            io::Result::Ok(())
        };
        match timeout(CLOSE_TIMEOUT, closing).await {
            Ok(Ok(())) => log::info!("the stream of {} is closed", self.component.domain),
            Ok(Err(error)) => log::info!("the stream of {} broke while it was closed: {error}", self.component.domain),
            Err(_) => log::warn!("the XMPP server did not take the end of the stream in time"),
        }
    }
}

fn writing(output: &Output, stream: Option<&Stream>) -> Writing {
    match stream {
        Some(stream) if !stream.ahead.is_empty() || (stream.login.is_ready() && !output.is_empty()) => Writing::Wanted,
        _ => Writing::Idle,
    }
}
