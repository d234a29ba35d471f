//! What streams bring and are given, and their ends.

use std::task::Context;
use std::task::Poll;
use std::time::Instant;
use std::time::SystemTime;

use jid::Jid;

use super::Turn;
use crate::address::domain_of;
use crate::gateway::action::Action;
use crate::link::fill::Place;
use crate::process::broken::Broken;
use crate::process::connection::Change;
use crate::process::host::Host;
use crate::process::stream::ComponentStream;
use crate::process::stream::Next;
use crate::process::stream::Was;
use crate::xmpp::component::Event;
use crate::xmpp::framer::Refused;
use crate::xmpp::stanza::sender;

/// Messages that were dropped, told to the gateway a second: each may become a MESSAGE, and thousands expire at once.
const LOST_A_TICK: usize = 256;

impl<'a, H: Host> Turn<'a, H> {
    pub(super) fn changed(&mut self, index: usize, change: Change) {
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
        self.gateway.all_read(Instant::now(), &mut self.actions);
        self.act();
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
            && let Some(answer) = crate::process::bench::answer(self.host, stanza)
        {
            stream.push(Instant::now(), answer.as_bytes(), None);
            return Ok(());
        }
        let now = Instant::now();
        match event {
            Event::Ready => {
                self.gateway.stream_up(now, stream.domain(), &mut self.actions);
                stream.release(self.actions.iter().filter_map(Action::stanza));
                let stanzas = self.in_call.stream_up(stream.domain());
                self.push_all(stanzas);
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

    /// To the stream of the component that speaks for the sender.
    pub(super) fn push(&mut self, now: Instant, stanza: &[u8], place: Option<Place<'a>>) {
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
    pub(super) fn write(&mut self) {
        for index in 0..self.streams.len() {
            if let Some(Err(broken)) = self.streams.get_mut(index).map(ComponentStream::write) {
                self.broken(index, &broken);
            }
        }
    }

    /// Whether a stream hangs.
    pub(super) fn check(&mut self, now: Instant) {
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
}

/// What the first of the streams that has changed says, beginning with number `first`.
pub(super) fn poll_change(streams: &mut [ComponentStream<'_>], first: usize, context: &mut Context<'_>) -> Poll<(usize, Change)> {
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
