//! What goes to the XMPP server: written at once while the stream is up, in the queue while it is down, and each stanza in one of the
//! two only.
//!
//! When the stream stands again, all that waited goes first, in its order, without what the gateway is about to say anew; what the
//! workers send after it follows. So the order in which the worker's datagrams came is the order on the stream, whether it broke
//! between them or not.
//!
//! The workers see on the shared page whether there is a stream, and whether its server reads. Where it does not, they refuse what is
//! for this component before they send it: the link is read whatever one server does, and nobody else's traffic is held up. What is
//! lost on the way is told to the gateway: somebody may want to know.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::config::MOST_QUEUED;
use crate::link::fill::Place;
use crate::link::shared::OutputState;
use crate::link::shared::Shared;
use crate::link::shared::StreamState;
use crate::process::output::Output;
use crate::process::output::TOO_MUCH;
use crate::process::queue::Queue;
use crate::xmpp::head::Head;
use crate::xmpp::stanza::Kind;

pub(super) struct Outgoing<'a> {
    shared: &'a Shared,
    /// In the order of the configuration.
    component: usize,
    /// As the workers see them.
    stream: StreamState,
    output_state: OutputState,
    /// Empty while the stream is up.
    queue: Queue<Place<'a>>,
    /// Empty while it is down.
    output: Output,
    /// Messages that were dropped and not yet told: no more than can have waited.
    lost: VecDeque<Head<'static>>,
}

impl<'a> Outgoing<'a> {
    /// For a component whose stream is down. What has to wait does so for `ttl` at the most.
    pub(super) fn new(shared: &'a Shared, component: usize, ttl: Duration) -> Self {
        let (queue, output) = (Queue::new(ttl, TOO_MUCH), Output::default());
        let (stream, output_state) = (StreamState::Down, OutputState::Open);
        Self { shared, component, stream, output_state, queue, output, lost: VecDeque::new() }
    }

    /// Sends a stanza, now or when the stream stands. A place that was taken for it is needed only while it waits in the queue.
    pub(super) fn push(&mut self, now: Instant, stanza: &[u8], place: Option<Place<'a>>) {
        match self.stream {
            StreamState::Up => {
                if self.output.push(stanza).is_err() {
                    self.dropped(stanza);
                }
                self.tell_how_full();
            }
            StreamState::Down => self.keep(now, stanza, place),
        }
    }

    /// The stream stands: what waited goes out, but for what these stanzas, which follow it, make untrue.
    pub(super) fn stream_up<'s>(&mut self, following: impl Iterator<Item = &'s str>) {
        following.for_each(|stanza| self.queue.supersede(stanza.as_bytes()));
        let mut sent = 0u64;
        while let Some(waiting) = self.queue.pop() {
            if self.output.push(&waiting.stanza).is_ok() {
                sent = sent.saturating_add(1);
            } else {
                self.dropped(&waiting.stanza);
            }
        }
        self.set_stream(StreamState::Up);
        self.tell_how_full();
        self.shared.counters().delayed.add(sent);
        if sent > 0 {
            log::info!("{sent} stanzas that waited for the XMPP server are sent");
        }
    }

    /// The stream broke: what was not written whole waits for the next one.
    pub(super) fn stream_down(&mut self, now: Instant) {
        self.set_stream(StreamState::Down);
        let mut output = std::mem::take(&mut self.output);
        self.tell_how_full();
        output.take_back(|stanza| self.keep(now, stanza, None));
    }

    /// Drops what has waited too long: call it about once a second.
    pub(super) fn tick(&mut self, now: Instant) {
        let mut expired = 0u64;
        while let Some(waiting) = self.queue.expired(now) {
            expired = expired.saturating_add(1);
            self.note_lost(&waiting.stanza);
            if let Some(head) = Head::of(&waiting.stanza) {
                log::debug!("a {} from {} to {} has waited too long", head.kind.name(), head.from, head.to);
            }
        }
        if let Some(total) = self.shared.counters().expired.add(expired) {
            log::warn!("the XMPP server was away longer than queue_ttl: {total} stanzas dropped so far");
        }
    }

    /// The next message that was dropped and is not yet told.
    pub(super) fn take_lost(&mut self) -> Option<Head<'static>> {
        let lost = self.lost.pop_front();
        if self.lost.is_empty() {
            // An outage does not keep its memory.
            self.lost.shrink_to_fit();
        }
        lost
    }

    /// What is to be written next.
    pub(super) fn unwritten(&self) -> &[u8] {
        self.output.unwritten()
    }

    /// So much of it was written.
    pub(super) fn advance(&mut self, count: usize) {
        self.output.advance(count);
        self.tell_how_full();
    }

    /// Whether there is something to write.
    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    fn keep(&mut self, now: Instant, stanza: &[u8], place: Option<Place<'a>>) {
        let place = place.unwrap_or_else(|| self.place_for_what_was_promised(stanza));
        if self.queue.push(now, stanza, place).is_err() {
            self.dropped(stanza);
        }
    }

    /// Nobody took one for it: the stream was up then.
    fn place_for_what_was_promised(&self, stanza: &[u8]) -> Place<'a> {
        let head = Head::of(stanza);
        self.shared.take_place_anyway(head.as_ref().map_or("", Head::peer), stanza.len())
    }

    fn set_stream(&mut self, stream: StreamState) {
        self.stream = stream;
        self.shared.set_stream(self.component, stream);
    }

    /// Tells the workers, where it is news to them.
    fn tell_how_full(&mut self) {
        let state = if self.output.has_enough() { OutputState::Full } else { OutputState::Open };
        if self.output_state != state {
            self.output_state = state;
            self.shared.set_output(self.component, state);
        }
    }

    fn dropped(&mut self, stanza: &[u8]) {
        self.note_lost(stanza);
        if let Some(total) = self.shared.counters().dropped.add(1) {
            log::error!("the XMPP server does not read: {total} stanzas dropped so far");
        }
    }

    fn note_lost(&mut self, stanza: &[u8]) {
        let room = u32::try_from(self.lost.len()).is_ok_and(|count| count < MOST_QUEUED);
        let head = if room { Head::of(stanza) } else { None };
        self.lost.extend(head.filter(|head| head.kind == Kind::Message && head.id.is_some()).map(Head::into_owned));
    }
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        let left = self.queue.len().saturating_add(self.output.stanzas());
        self.shared.counters().abandoned.add(u64::try_from(left).unwrap_or(u64::MAX));
        if left > 0 {
            log::warn!("{left} stanzas that waited for the XMPP server are lost: the XMPP process ends");
        }
    }
}

#[cfg(test)]
mod tests;
