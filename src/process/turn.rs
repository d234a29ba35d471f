//! The main loop: wait for one of its sources, do what it brings without waiting again, write once.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::sleep;

use crate::config::Backend;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::gateway::action::Action;
use crate::link::BATCH;
use crate::link::Inbox;
use crate::link::Receiver;
use crate::link::datagram;
use crate::link::datagram::Reserved;
use crate::link::shared::StreamState;
use crate::link::watch;
use crate::process::backoff::dice;
use crate::process::broken::Broken;
use crate::process::connection::Change;
use crate::process::host::Flow;
use crate::process::host::Host;
use crate::process::outgoing::Outgoing;
use crate::process::pace::Pace;
use crate::process::stream::ComponentStream;
use crate::process::stream::Next;
use crate::process::stream::Was;
use crate::xmpp::component::Event;

/// How long no stream is read while the host is not ready.
const HOST_PAUSE: Duration = Duration::from_millis(1);

/// Bytes read from the socket at once.
const READ_BUFFER: usize = 64 * 1024;

/// Batches taken from the link before the others have their turn.
const LINK_BATCHES: usize = 8;

/// Batches taken from the link when the host stops: more than the link holds, unless workers go on.
const LAST_BATCHES: usize = 1024;

pub(super) struct Turn<'a, H> {
    host: &'a mut H,
    receiver: &'a Receiver,
    gateway: Gateway,
    stream: ComponentStream<'a>,
    pace: Pace,
    actions: Vec<Action>,
    buffer: Vec<u8>,
}

impl<'a, H: Host> Turn<'a, H> {
    pub(super) fn new(host: &'a mut H, config: &'a Config, receiver: &'a Receiver, pause: Duration) -> Self {
        let Backend::Component(component) = &config.backend;
        Self {
            host,
            receiver,
            gateway: Gateway::new(config, Instant::now(), dice()),
            stream: ComponentStream::new(component, Outgoing::new(receiver.shared(), config.queue.ttl), pause),
            pace: Pace::new(Instant::now()),
            actions: Vec::new(),
            buffer: vec![0; READ_BUFFER],
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
                ready = link.readable(), if !self.stream.has_enough() => {
                    // A short batch emptied the link; a full last one did not, and comes up again.
                    if self.take_from_link(&mut inbox)? < BATCH {
                        ready?.clear_ready();
                    }
                }
                change = poll_fn(|context| self.stream.poll_change(context)), if self.host.is_ready() => self.changed(change),
                () = sleep(HOST_PAUSE), if !self.host.is_ready() => {}
                _ = ticks.tick() => self.tick(),
            }
            self.write();
            self.host.tick();
            // The runtime looks at its descriptors only between polls: without this a busy source would hide the others.
            tokio::task::yield_now().await;
        }
        self.take_last_stanzas(&mut inbox)?;
        self.close().await;
        Ok(())
    }

    /// Takes what the workers sent; how many datagrams the last batch had.
    fn take_from_link(&mut self, inbox: &mut Inbox) -> io::Result<usize> {
        self.pace.gather();
        let mut taken = 0;
        for _ in 0..LINK_BATCHES {
            taken = self.receiver.receive(inbox)?;
            let now = Instant::now();
            self.pace.took(taken);
            for bytes in inbox.datagrams() {
                match datagram::stanza_of(bytes) {
                    // Finished by the worker: the path of every MESSAGE.
                    Some((reserved, stanza)) => self.stream.push(now, stanza, reserved),
                    None => self.event(bytes),
                }
            }
            if taken < BATCH || self.stream.has_enough() {
                break;
            }
        }
        Ok(taken)
    }

    /// The host stops: what workers have been promised is sent, or counted as lost, before the stream is closed.
    fn take_last_stanzas(&mut self, inbox: &mut Inbox) -> io::Result<()> {
        let now = Instant::now();
        for _ in 0..LAST_BATCHES {
            let taken = self.receiver.receive(inbox)?;
            for (reserved, stanza) in inbox.datagrams().filter_map(datagram::stanza_of) {
                self.stream.push(now, stanza, reserved);
            }
            if taken < BATCH {
                break;
            }
        }
        Ok(())
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
        if self.stream.changed(change) == Next::Read
            && let Err(broken) = self.read()
        {
            self.broken(&broken);
        }
    }

    /// Reads once and does all that it brings.
    fn read(&mut self) -> Result<(), Broken> {
        let count = self.stream.read(&mut self.buffer)?;
        let buffer = std::mem::take(&mut self.buffer);
        let mut input = buffer.get(..count).unwrap_or_default();
        let mut done = Ok(());
        while done.is_ok() {
            let Some(event) = self.stream.event(&mut input) else { break };
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
            self.push(&answer);
            return Ok(());
        }
        let now = Instant::now();
        match event {
            Event::Ready => {
                self.gateway.stream_up(now, &mut self.actions);
                self.stream.release(self.actions.iter().filter_map(Action::stanza));
                self.receiver.shared().set_stream(StreamState::Up);
                Ok(())
            }
            Event::Stanza(stanza) => {
                self.gateway.stanza(now, SystemTime::now(), &stanza, &mut self.actions).map_err(|condition| {
                    self.stream.fail(&condition);
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
            Action::Stanza(stanza) => self.push(&stanza),
            Action::Message(message) => {
                if let Err(error) = self.host.message(&message) {
                    log::error!("a MESSAGE to {} cannot be sent: {error}", message.to);
                    self.gateway.message_refused(&message, error, &mut self.actions);
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

    fn push(&mut self, stanza: &str) {
        self.stream.push(Instant::now(), stanza.as_bytes(), Reserved::No);
    }

    /// Writes what waits, as far as the kernel takes it.
    fn write(&mut self) {
        if let Err(broken) = self.stream.write() {
            self.broken(&broken);
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.gateway.tick(now, &mut self.actions);
        self.act();
        if let Err(broken) = self.stream.tick(now) {
            self.broken(&broken);
        }
    }

    /// The stream is over: the workers and the gateway are told, and a new one is on its way.
    fn broken(&mut self, why: &Broken) {
        self.receiver.shared().set_stream(StreamState::Down);
        if self.stream.broken(why) == Was::Up {
            self.gateway.stream_down();
        }
    }

    /// When the host stops: says farewell and closes the stream.
    async fn close(&mut self) {
        let was_up = self.receiver.shared().stream_is_up();
        self.receiver.shared().set_stream(StreamState::Down);
        if was_up {
            self.gateway.stop(&mut self.actions);
            self.act();
        }
        self.stream.close().await;
    }
}
