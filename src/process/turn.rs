//! The main loop: wait for one of its sources, do what it brings without waiting again, write once.

mod act;
mod calls;
mod from_link;
mod restore;
mod streams;

use std::future::poll_fn;
use std::future::ready;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::OwnedFd;
use std::time::Duration;
use std::time::Instant;

use tokio::io::unix::AsyncFd;
use tokio::io::unix::AsyncFdReadyGuard;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;
use tokio::time::sleep;

use crate::address::Addresses;
use crate::calls::publisher::Publisher;
use crate::config::Backend;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::gateway::action::Action;
use crate::gateway::in_call::InCall;
use crate::link::BATCH;
use crate::link::Inbox;
use crate::link::Receiver;
use crate::link::watch;
use crate::process::backoff::dice;
use crate::process::decisions::Decisions;
use crate::process::host::Flow;
use crate::process::host::Host;
use crate::process::host::READ;
use crate::process::host::Readiness;
use crate::process::keeper::Keeper;
use crate::process::outgoing::Outgoing;
use crate::process::pace::Pace;
use crate::process::stream::ComponentStream;
use streams::poll_change;

/// How long a clean close may take when the host stops.
const CLOSE_TIMEOUT: Duration = Duration::from_millis(400);

/// How long a host that is not ready has for what it was given.
const HOST_PAUSE: Duration = Duration::from_millis(1);

pub(super) struct Turn<'a, H> {
    host: &'a mut H,
    receiver: &'a Receiver,
    gateway: Gateway,
    decisions: Decisions<'a>,
    calls: &'a mut Publisher,
    /// What of them goes out with presence.
    in_call: InCall,
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
    pub(super) fn new(
        host: &'a mut H,
        config: &'a Config,
        receiver: &'a Receiver,
        calls: &'a mut Publisher,
        keeper: Keeper<'a>,
        pause: Duration,
    ) -> Self {
        let Backend::Components(components) = &config.backend;
        // An earlier life may have been told of them.
        calls.tell_users_again();
        let mut gateway = Gateway::new(config, Instant::now(), dice());
        if host.publishes_one_by_one() {
            gateway.publish_one_by_one();
        }
        Self {
            host,
            receiver,
            gateway,
            decisions: Decisions::new(receiver.shared()),
            calls,
            in_call: InCall::new(config.calls.presence.clone()),
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
            let calls = (self.calls.has_work(), self.host.takes_calls());
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
                () = sleep(HOST_PAUSE), if readiness != Readiness::Ready || calls == (true, false) => {}
                () = ready(()), if calls == (true, true) => self.publish_calls(Instant::now()),
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

    fn tick(&mut self, now: Instant) {
        self.gateway.tick(now, &mut self.actions);
        self.act();
        self.take_call_notes(now);
        self.calls.tick(now);
        self.tell_of_calls();
        self.tell_untold_calls();
        // What this made has not been tried yet: a stream that had nothing to write is not one that takes nothing.
        self.write();
        self.streams.iter_mut().for_each(|stream| stream.tick(now));
        if self.suspended.is_none() {
            self.check(now);
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

#[cfg(test)]
mod tests;
