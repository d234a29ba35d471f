//! The main loop: wait for one of its sources, do what it brings without waiting again, write once.

mod restore;

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use jid::Jid;
use tokio::io::unix::AsyncFd;
use tokio::io::unix::AsyncFdReadyGuard;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::sleep;

use crate::address::Addresses;
use crate::address::domain_of;
use crate::config::Backend;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::gateway::action::Action;
use crate::gateway::event;
use crate::link::BATCH;
use crate::link::Inbox;
use crate::link::Received;
use crate::link::Receiver;
use crate::link::datagram;
use crate::link::fill::Place;
use crate::link::watch;
use crate::process::backoff::dice;
use crate::process::broken::Broken;
use crate::process::connection::Change;
use crate::process::decisions::Decisions;
use crate::process::decisions::Kept;
use crate::process::host::Flow;
use crate::process::host::Host;
use crate::process::host::READ;
use crate::process::host::Readiness;
use crate::process::keeper::Keeper;
use crate::process::outgoing::Outgoing;
use crate::process::pace::Pace;
use crate::process::stream::ComponentStream;
use crate::process::stream::Next;
use crate::process::stream::Was;
use crate::xmpp::component::Event;
use crate::xmpp::framer::Refused;
use crate::xmpp::stanza::sender;

/// How long a clean close may take when the host stops.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(400);

/// How long a host that is not ready has for what it was given.
const HOST_PAUSE: Duration = Duration::from_millis(1);

/// Batches taken from the link before the others have their turn.
const LINK_BATCHES: usize = 8;

/// Batches taken from the link when the host stops: more than the link holds, unless workers go on.
const LAST_BATCHES: usize = 1024;

/// Messages that were dropped, told to the gateway a second: each may become a MESSAGE, and thousands expire at once.
const LOST_A_TICK: usize = 256;

pub(super) struct Turn<'a, H> {
    host: &'a mut H,
    receiver: &'a Receiver,
    gateway: Gateway,
    decisions: Decisions<'a>,
    addresses: &'a Addresses,
    /// In the order of the configuration.
    streams: Vec<ComponentStream<'a>>,
    /// Which of them is asked first for a change: each has its turn.
    first: usize,
    /// Since when none is read, as the host is not ready.
    suspended: Option<Instant>,
    pace: Pace,
    keeper: Keeper<'a>,
    actions: Vec<Action>,
    buffer: Vec<u8>,
}

impl<'a, H: Host> Turn<'a, H> {
    pub(super) fn new(host: &'a mut H, config: &'a Config, receiver: &'a Receiver, keeper: Keeper<'a>, pause: Duration) -> Self {
        let Backend::Components(components) = &config.backend;
        Self {
            host,
            receiver,
            gateway: Gateway::new(config, Instant::now(), dice()),
            decisions: Decisions::new(receiver.shared()),
            addresses: &config.addresses,
            streams: components
                .iter()
                .enumerate()
                .map(|(index, component)| {
                    ComponentStream::new(component, Outgoing::new(receiver.shared(), index, config.queue.ttl), pause)
                })
                .collect(),
            first: 0,
            suspended: None,
            pace: Pace::new(Instant::now()),
            keeper,
            actions: Vec::new(),
            buffer: vec![0; READ],
        }
    }

    /// Until the host stops.
    pub(super) async fn run(mut self) -> io::Result<()> {
        let wake = watch::readable(self.host.wake_descriptor())?;
        let link = watch::readable(self.receiver.as_fd())?;
        let store = self.keeper.descriptor().map(watch::readable).transpose()?;
        if let Some(store) = &store
            && self.restore(store, &wake).await? == Flow::Stop
        {
            return Ok(());
        }
        let mut inbox = Inbox::new();
        let mut ticks = interval(Duration::from_secs(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let readiness = self.host.readiness();
            let reads = self.reads(Instant::now(), readiness);
            tokio::select! {
                ready = wake.readable() => {
                    ready?.clear_ready();
                    if self.host.wake() == Flow::Stop {
                        break;
                    }
                }
                ready = link.readable() => {
                    // A short batch emptied the link; a full last one did not, and comes up again.
                    if self.take_from_link(&mut inbox)? < BATCH {
                        ready?.clear_ready();
                    }
                }
                ready = readable(store.as_ref()) => {
                    ready?.clear_ready();
                    // Rows that came too late are those of what is known by now, or began anew.
                    while self.keeper.heard()?.is_some() {}
                }
                (stream, change) = poll_fn(|context| poll_change(&mut self.streams, self.first, context)), if reads => self.changed(stream, change),
                () = sleep(HOST_PAUSE), if readiness != Readiness::Ready => {}
                _ = ticks.tick() => self.tick(Instant::now()),
            }
            self.write();
            self.keeper.write(Instant::now(), &mut self.gateway, self.receiver.shared());
            self.host.tick();
            // The runtime looks at its descriptors only between polls: without this a busy source would hide the others.
            tokio::task::yield_now().await;
        }
        self.take_last_stanzas(&mut inbox)?;
        self.keeper.write_last(Instant::now(), &mut self.gateway, self.receiver.shared());
        self.close().await;
        Ok(())
    }

    /// Whether the streams are read now: they are not while the host has no room for what they bring. That is not to their servers' debit.
    fn reads(&mut self, now: Instant, readiness: Readiness) -> bool {
        match (readiness != Readiness::Full, self.suspended) {
            (true, None) => true,
            (true, Some(since)) => {
                self.suspended = None;
                let time = now.saturating_duration_since(since);
                self.streams.iter_mut().for_each(|stream| stream.stood_still(now, time));
                true
            }
            (false, since) => {
                self.suspended = since.or(Some(now));
                false
            }
        }
    }

    /// Takes what the workers sent; how many datagrams the last batch had.
    fn take_from_link(&mut self, inbox: &mut Inbox<'a>) -> io::Result<usize> {
        self.pace.gather();
        let mut taken = 0;
        for _ in 0..LINK_BATCHES {
            taken = self.receiver.receive(inbox)?;
            let now = Instant::now();
            self.pace.took(taken);
            for received in inbox.drain() {
                match received {
                    // Finished by the worker: the path of every MESSAGE.
                    Received::Stanza(stanza, place) => self.push(now, stanza, place),
                    Received::Event(bytes) => self.event(bytes),
                }
            }
            if taken < BATCH {
                break;
            }
        }
        Ok(taken)
    }

    /// The host stops: what workers have been promised is sent, or counted as lost, before the stream is closed.
    fn take_last_stanzas(&mut self, inbox: &mut Inbox<'a>) -> io::Result<()> {
        let now = Instant::now();
        for _ in 0..LAST_BATCHES {
            let taken = self.receiver.receive(inbox)?;
            for received in inbox.drain() {
                // An event is a state: the next start of the server begins with new ones.
                if let Received::Stanza(stanza, place) = received {
                    self.push(now, stanza, place);
                }
            }
            if taken < BATCH {
                break;
            }
        }
        Ok(())
    }

    fn event(&mut self, bytes: &[u8]) {
        match datagram::decode(bytes) {
            Ok(mut event) => {
                if let event::Event::Watchers { presentity, waiting } = &mut event {
                    waiting.retain(|watcher| self.decisions.is_open(watcher, presentity));
                }
                self.gateway.event(Instant::now(), event, &mut self.actions);
                self.act();
            }
            Err(error) => log::error!("a datagram of {} bytes on the link is no event: {error:?}", bytes.len()),
        }
    }

    fn changed(&mut self, index: usize, change: Change) {
        self.first = index.wrapping_add(1);
        let Some(stream) = self.streams.get_mut(index) else { return };
        if stream.changed(change) == Next::Read
            && let Err(broken) = self.read(index)
        {
            self.broken(index, &broken);
        }
    }

    /// Reads once from a stream and does all that it brings.
    fn read(&mut self, index: usize) -> Result<(), Broken> {
        let Some(stream) = self.streams.get_mut(index) else { return Ok(()) };
        let count = stream.read(&mut self.buffer)?;
        let buffer = std::mem::take(&mut self.buffer);
        let mut input = buffer.get(..count).unwrap_or_default();
        let mut done = Ok(());
        while done.is_ok() {
            let Some(event) = self.streams.get_mut(index).and_then(|stream| stream.event(&mut input)) else { break };
            done = self.stream_event(index, event);
            self.act();
        }
        self.buffer = buffer;
        done
    }

    fn stream_event(&mut self, index: usize, event: Event) -> Result<(), Broken> {
        if !self.is_for(index, &event) {
            log::debug!("a stanza for another component came on the wrong stream and is dropped");
            return Ok(());
        }
        let Some(stream) = self.streams.get_mut(index) else { return Ok(()) };
        #[cfg(feature = "bench")]
        if let Event::Stanza(stanza) = &event
            && let Some(answer) = super::bench::answer(self.host, stanza)
        {
            stream.push(Instant::now(), answer.as_bytes(), None);
            return Ok(());
        }
        let now = Instant::now();
        match event {
            Event::Ready => {
                self.gateway.stream_up(now, stream.domain(), &mut self.actions);
                stream.release(self.actions.iter().filter_map(Action::stanza));
                Ok(())
            }
            Event::Stanza(stanza) => {
                self.gateway.stanza(now, SystemTime::now(), &stanza, &mut self.actions).map_err(|condition| {
                    stream.fail(&condition);
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

    /// Whether a stanza came on the stream of the component that it is for: an answer would go out on the stream of that component,
    /// whose server knows nothing of the question. One without a usable address is for the gateway to judge.
    fn is_for(&self, index: usize, event: &Event) -> bool {
        let stanza = match event {
            Event::Stanza(stanza) | Event::Refused(Refused { stanza: Some(stanza), .. }) if self.streams.len() > 1 => stanza,
            Event::Stanza(_) | Event::Refused(_) | Event::Ready | Event::Ended(_) => return true,
        };
        let to = stanza.attribute("to").and_then(|to| Jid::new(to).ok());
        to.is_none_or(|to| self.addresses.component_of(to.domain().as_str()) == Some(index))
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
            Action::Stanza(stanza) => self.push(Instant::now(), stanza.as_bytes(), None),
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
            Action::Notify(notify) => {
                if let Err(error) = self.host.notify(&notify) {
                    log::error!("no NOTIFY to {}: {error}", notify.dialog.remote_target());
                    self.gateway.notify_refused(Instant::now(), &notify, error, &mut self.actions);
                }
            }
            Action::EndDialog(dialog) => self.receiver.shared().end_dialog(&dialog),
            Action::Authorize { watcher, presentity, presentity_uri, decision, occasion } => {
                if self.decisions.keep(&watcher, &presentity, decision, occasion) == Kept::Changed
                    && let Err(error) = self.host.watchers_changed(&presentity_uri)
                {
                    log::error!("the watchers of {presentity_uri} cannot be told of a decision: {error}");
                }
            }
        }
    }

    /// To the stream of the component that speaks for the sender.
    fn push(&mut self, now: Instant, stanza: &[u8], place: Option<Place<'a>>) {
        let index = match self.streams.len() {
            1 => Some(0),
            _ => sender(stanza).and_then(|from| self.addresses.component_of(&domain_of(from))),
        };
        match index.and_then(|index| self.streams.get_mut(index)) {
            Some(stream) => stream.push(now, stanza, place),
            None => log::error!("a stanza of {} bytes has a sender that no component speaks for; it is dropped", stanza.len()),
        }
    }

    /// Writes what waits, as far as the kernel takes it.
    fn write(&mut self) {
        for index in 0..self.streams.len() {
            if let Some(Err(broken)) = self.streams.get_mut(index).map(ComponentStream::write) {
                self.broken(index, &broken);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        self.gateway.tick(now, &mut self.actions);
        self.act();
        // What this made has not been tried yet: a stream that had nothing to write is not one that takes nothing.
        self.write();
        self.streams.iter_mut().for_each(|stream| stream.tick(now));
        if self.suspended.is_none() {
            self.check(now);
        }
    }

    /// Whether a stream hangs.
    fn check(&mut self, now: Instant) {
        for index in 0..self.streams.len() {
            if let Some(Err(broken)) = self.streams.get_mut(index).map(|stream| stream.check(now)) {
                self.broken(index, &broken);
            }
        }
        self.tell_lost(now);
    }

    /// Tells the gateway which messages will never be written.
    fn tell_lost(&mut self, now: Instant) {
        let wall = SystemTime::now();
        let lost = self.streams.iter_mut().flat_map(|stream| std::iter::from_fn(|| stream.take_lost()));
        for head in lost.take(LOST_A_TICK) {
            self.gateway.lost(now, wall, &head, &mut self.actions);
        }
        self.act();
    }

    /// A stream is over: the workers and the gateway are told, and a new one is on its way.
    fn broken(&mut self, index: usize, why: &Broken) {
        let Some(stream) = self.streams.get_mut(index) else { return };
        if stream.broken(why) == Was::Up {
            self.gateway.stream_down(stream.domain());
        }
    }

    /// When the host stops: says farewell and closes the streams, all within the time that one may take.
    async fn close(&mut self) {
        let were_up = (0..self.streams.len()).any(|index| self.receiver.shared().stream_is_up(index));
        self.receiver.shared().set_all_streams_down();
        if were_up {
            self.gateway.stop(&mut self.actions);
            self.act();
        }
        let until = tokio::time::Instant::now().checked_add(CLOSE_TIMEOUT);
        for stream in &mut self.streams {
            stream.close(until.unwrap_or_else(tokio::time::Instant::now)).await;
        }
    }
}

/// When something is there to be read; never, where there is nothing to read from.
async fn readable(descriptor: Option<&AsyncFd<OwnedFd>>) -> io::Result<AsyncFdReadyGuard<'_, OwnedFd>> {
    match descriptor {
        Some(descriptor) => descriptor.readable().await,
        None => std::future::pending().await,
    }
}

/// What the first of the streams that has changed says, beginning with number `first`.
fn poll_change(streams: &mut [ComponentStream<'_>], first: usize, context: &mut Context<'_>) -> Poll<(usize, Change)> {
    let start = first.checked_rem(streams.len()).unwrap_or(0);
    let (before, after) = streams.split_at_mut(start);
    let numbered = (start..).zip(after).chain((0..).zip(before));
    for (index, stream) in numbered {
        if let Poll::Ready(change) = stream.poll_change(context) {
            return Poll::Ready((index, change));
        }
    }
    Poll::Pending
}

#[cfg(test)]
mod tests;
