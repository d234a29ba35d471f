//! A session over HTTP (BOSH: XEP-0124, XEP-0206), as its client.
//!
//! ```text
//!  New ---- creation ----> Open ---- requests, one always held ----> Over
//!                           | send(), restart(), pause(), terminate()
//! ```
//!
//! Sans-IO: the driver posts what [`Bosh::request`] gives, and tells what became of it by [`Bosh::sent`], [`Bosh::response`],
//! [`Bosh::status`] or [`Bosh::broken`]. What came out of it are [`Event`]s, in the order of the requests, whatever the order of the responses.
//!
//! A session outlives its connections: what had no response is sent again, the same bytes under the same number, and the connection
//! manager answers it once. It outlives this process too ([`Bosh::saved`], [`Bosh::resume`]). What is older arrives before what is newer:
//! connection managers do not put into order what they should.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use crate::xmpp::element::Element;
use crate::xmpp::stream_error::StreamError;

pub use self::body::Ask;
use self::body::Body;
use self::body::Kind;
pub use self::ended::Condition;
pub use self::ended::Reason;
pub use self::terms::Terms;

mod body;
mod ended;
mod terms;

/// One session, from the request that makes it to its end. The next one takes a new one.
#[derive(Debug)]
pub struct Bosh {
    ask: Ask,
    phase: Phase,
    /// The number of the next request.
    rid: u64,
    /// Requests without a response, and those whose response has to wait for one of them, in the order of their numbers.
    exchanges: VecDeque<Exchange>,
    /// Stanzas for the next request.
    payload: String,
    wanted: Wanted,
    events: VecDeque<Event>,
    /// When a response was last missing and none has come since: from then on the connection manager may forget the session.
    troubled: Option<Trouble>,
    /// When a request that says nothing may be made: in a session that has to poll, and where the connection manager does not hold them.
    idle_until: Option<Instant>,
}

/// What the driver posts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its number; the same one again takes the place of the one before, whose connection is broken.
    pub rid: u64,
    /// The content.
    pub body: Arc<str>,
}

/// What a session brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The session stands. What it may do is [`Bosh::terms`].
    Created,
    /// `<stream:features/>`, a stanza, or another element of the stream.
    Element(Element),
    /// This request has waited too long: give its connection up. It comes again.
    Abandon(u64),
    /// It is over. Nothing follows.
    Ended(Reason),
}

/// What is needed to go on with a session in another process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// What was agreed on.
    pub terms: Terms,
    /// The number of the next request.
    pub rid: u64,
    /// Requests without a response.
    pub unanswered: Vec<Request>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    New,
    Creating,
    Open(Terms),
    /// Our last request is on its way, and is waited for until then.
    Ending(Terms, Instant),
    Over,
}

/// What the next request is to be, besides stanzas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Nothing,
    Restart,
    Pause(u32),
    End,
}

#[derive(Debug)]
struct Exchange {
    request: Request,
    says: Says,
    progress: Progress,
    lead: Lead,
}

/// Whether what is newer waits for a request to arrive. Each has a connection of its own, so the second one sent may be the first there, and
/// there are connection managers that never come to what was too early (ejabberd), or do not know any more what was too late (Prosody).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lead {
    /// No: it is there.
    None,
    /// It was not sent yet.
    ToBeSent,
    /// It was sent, and is there by then.
    Until(Instant),
}

/// Whether a request is there only to be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    Something,
}

#[derive(Debug)]
enum Progress {
    /// To be posted then.
    Due(Instant),
    /// Posted then.
    Posted(Instant),
    /// Its response waits for that of an earlier request.
    Answered(Body),
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    /// When the first response was missing since the last one.
    first: Instant,
    /// Since when the connection manager may have had no request.
    since: Instant,
    tries: u32,
}

impl Exchange {
    /// Whether nothing was answered to a request that says nothing, long before it would have had to be. To ask again at once, and again,
    /// would keep both sides busy with nothing.
    fn is_unheld(&self, now: Instant, answer: &Body, wait: Duration) -> bool {
        let held = wait.checked_div(2).unwrap_or(wait).min(HELD);
        let early = matches!(self.progress, Progress::Posted(at) if now.saturating_duration_since(at) < held);
        early && self.says == Says::Nothing && answer.payload().next().is_none()
    }

    /// Whether what is newer has to wait.
    fn leads(&mut self, now: Instant) -> bool {
        if matches!(self.lead, Lead::Until(time) if time <= now) {
            self.lead = Lead::None;
        }
        self.lead != Lead::None
    }
}

impl Bosh {
    /// A session to be made. `dice` is any number; it hides the first request number from those who would guess (XEP-0124 §14.1).
    pub fn new(ask: Ask, dice: u64) -> Self {
        let rid = (dice % FIRST_RIDS).saturating_add(1);
        Self::with(ask, Phase::New, rid, VecDeque::new())
    }

    /// A session that another process began.
    pub fn resume(ask: Ask, saved: Saved, now: Instant) -> Self {
        let due = |request| Exchange { request, says: Says::Something, progress: Progress::Due(now), lead: Lead::ToBeSent };
        let exchanges = saved.unanswered.into_iter().take(MOST_REQUESTS).map(due).collect();
        Self::with(ask, Phase::Open(saved.terms), saved.rid, exchanges)
    }

    fn with(ask: Ask, phase: Phase, rid: u64, exchanges: VecDeque<Exchange>) -> Self {
        Self {
            ask,
            phase,
            rid,
            exchanges,
            payload: String::new(),
            wanted: Wanted::Nothing,
            events: VecDeque::new(),
            troubled: None,
            idle_until: None,
        }
    }

    /// Takes a stanza, or an element of SASL, for the next request. Whether there was room for it.
    #[must_use]
    pub fn send(&mut self, stanza: &str) -> bool {
        self.push(stanza, MOST_PAYLOAD)
    }

    /// Takes a stanza that may be left out: much of the room is for others. Whether there was room for it.
    pub fn send_answer(&mut self, stanza: &str) -> bool {
        self.push(stanza, MOST_ANSWERS)
    }

    fn push(&mut self, stanza: &str, most: usize) -> bool {
        let fits = self.payload.len().saturating_add(stanza.len()) <= most && self.phase != Phase::Over;
        if fits {
            body::push_stanza(&mut self.payload, stanza);
        }
        fits
    }

    /// Asks for a new stream, after SASL.
    pub fn restart(&mut self) {
        self.wanted = Wanted::Restart;
    }

    /// Asks the connection manager to keep the session without requests, as long as it permits and not longer than this. Whether it
    /// permits it at all.
    pub fn pause(&mut self, longest: Duration) -> bool {
        let Phase::Open(terms) = &self.phase else { return false };
        let seconds = u32::try_from(longest.as_secs()).unwrap_or(u32::MAX).min(terms.longest_pause);
        if seconds > 0 {
            self.wanted = Wanted::Pause(seconds);
        }
        seconds > 0
    }

    /// Ends the session with a last request, with what was to be sent yet.
    pub fn terminate(&mut self) {
        match self.phase {
            Phase::Open(_) => self.wanted = Wanted::End,
            Phase::New | Phase::Creating => self.end(Reason::Ours),
            Phase::Ending(..) | Phase::Over => {}
        }
    }

    /// What is to be posted now, if anything. To be asked until there is nothing.
    pub fn request(&mut self, now: Instant) -> Option<Request> {
        let may_lead = self.may_lead();
        for exchange in &mut self.exchanges {
            let leads = exchange.leads(now) && may_lead;
            match exchange.progress {
                Progress::Due(at) if at <= now => {
                    exchange.progress = Progress::Posted(now);
                    return Some(exchange.request.clone());
                }
                Progress::Due(_) | Progress::Posted(_) if leads => return None,
                Progress::Due(_) | Progress::Posted(_) | Progress::Answered(_) => {}
            }
        }
        let is_plain = matches!(self.phase, Phase::Open(_)) && self.wanted == Wanted::Nothing && self.payload.is_empty();
        let says = if is_plain { Says::Nothing } else { Says::Something };
        let body = self.next_body(now)?;
        let request = Request { rid: self.rid, body: body.into() };
        self.rid = self.rid.saturating_add(1);
        self.exchanges.push_back(Exchange {
            request: request.clone(),
            says,
            progress: Progress::Posted(now),
            lead: Lead::ToBeSent,
        });
        Some(request)
    }

    /// The body of a new request, if one is to be made now.
    fn next_body(&mut self, now: Instant) -> Option<String> {
        let rid = self.rid;
        let in_flight = self.exchanges.len();
        match &self.phase {
            Phase::New => {
                self.phase = Phase::Creating;
                Some(body::creation(rid, &self.ask))
            }
            Phase::Creating | Phase::Ending(..) | Phase::Over => None,
            Phase::Open(_) if rid >= LAST_RID && (in_flight == 0 || !self.payload.is_empty()) => {
                self.end(Reason::Numbers);
                None
            }
            // The end is one request more than is permitted (XEP-0124 §11).
            Phase::Open(terms) if self.wanted == Wanted::End => {
                let terms = terms.clone();
                let body = body::terminate(rid, &terms.sid, &std::mem::take(&mut self.payload));
                self.phase = Phase::Ending(terms, now.checked_add(GRACE).unwrap_or(now));
                Some(body)
            }
            Phase::Open(terms) if in_flight >= terms.requests => None,
            Phase::Open(terms) => {
                let sid = &terms.sid;
                match std::mem::replace(&mut self.wanted, Wanted::Nothing) {
                    Wanted::Restart => return Some(body::restart(rid, sid, &self.ask.to)),
                    Wanted::Pause(seconds) => return Some(body::pause(rid, sid, seconds)),
                    Wanted::Nothing | Wanted::End => {}
                }
                let is_due = in_flight == 0 && self.idle_until.is_none_or(|until| now >= until);
                if self.payload.is_empty() && !is_due {
                    return None;
                }
                self.idle_until = if terms.is_polling() { now.checked_add(terms.polling) } else { None };
                Some(body::payload(rid, sid, &std::mem::take(&mut self.payload)))
            }
        }
    }

    /// A request has been handed to an open connection.
    pub fn sent(&mut self, now: Instant, rid: u64) {
        if let Some(exchange) = self.exchanges.iter_mut().find(|exchange| exchange.request.rid == rid)
            && exchange.lead == Lead::ToBeSent
        {
            exchange.lead = now.checked_add(HEAD_START).map_or(Lead::None, Lead::Until);
        }
    }

    /// The response to a request, with status 200.
    pub fn response(&mut self, now: Instant, rid: u64, bytes: &[u8]) {
        let Some(at) = self.posted(rid) else { return };
        let body = match Body::read(bytes) {
            Ok(body) => body,
            Err(unreadable) => return self.failed(now, at..=at, Reason::from(unreadable)),
        };
        match body.kind() {
            Kind::Terminal => self.terminal(&body),
            Kind::Recoverable => self.failed(now, 0..=at, Reason::Refused),
            Kind::Usual => {
                self.troubled = None;
                // Another one under way has taken its place.
                let is_alone = self.exchanges.len() == 1;
                if let Some(exchange) = self.exchanges.get_mut(at) {
                    if let Phase::Open(terms) = &self.phase
                        && is_alone
                        && exchange.is_unheld(now, &body, terms.wait)
                    {
                        self.idle_until = now.checked_add(terms.polling);
                    }
                    exchange.progress = Progress::Answered(body);
                }
                self.deliver();
            }
        }
    }

    /// A response to a request with another status than 200. Connection managers that know conditions say all with 200 (§17.1): so
    /// this is an old one, or a proxy in front.
    pub fn status(&mut self, now: Instant, rid: u64, status: u16) {
        let Some(at) = self.posted(rid) else { return };
        match status {
            400 => self.end(Reason::Terminated(Condition::BadRequest)),
            403 => self.end(Reason::Terminated(Condition::PolicyViolation)),
            404 if matches!(self.phase, Phase::Open(_) | Phase::Ending(..)) => {
                self.end(Reason::Terminated(Condition::ItemNotFound))
            }
            500.. => self.failed(now, at..=at, Reason::Status(status)),
            _ => self.end(Reason::Status(status)),
        }
    }

    /// The connection of a request broke before its response was there.
    pub fn broken(&mut self, now: Instant, rid: u64) {
        if let Some(at) = self.posted(rid) {
            self.failed(now, at..=at, Reason::Lost);
        }
    }

    /// What came of it all.
    pub fn event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether something came of it that was not taken yet.
    pub fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    /// When [`Self::timeout`] is to be called, or [`Self::request`] asked again.
    pub fn deadline(&self) -> Option<Instant> {
        let patience = self.patience();
        let is_due = |exchange: &Exchange| matches!(exchange.progress, Progress::Due(_));
        let has_more = !self.payload.is_empty() || self.wanted != Wanted::Nothing || self.exchanges.iter().any(is_due);
        let mut is_behind = false;
        let exchanges = self.exchanges.iter().filter_map(|exchange| {
            let at = match exchange.progress {
                // What waits for an earlier one has no time of its own: nothing could be done then.
                Progress::Due(at) => (!is_behind).then_some(at),
                Progress::Posted(at) => match exchange.lead {
                    Lead::Until(time) if has_more && !is_behind => Some(time),
                    Lead::Until(_) | Lead::None | Lead::ToBeSent => patience.and_then(|patience| at.checked_add(patience)),
                },
                Progress::Answered(_) => return None,
            };
            is_behind |= self.may_lead() && exchange.lead != Lead::None;
            at
        });
        let whole = match &self.phase {
            Phase::Open(_) if self.exchanges.is_empty() => self.idle_until,
            Phase::Ending(_, until) => Some(*until),
            Phase::New | Phase::Creating | Phase::Open(_) | Phase::Over => None,
        };
        exchanges.chain(whole).min()
    }

    /// A deadline has passed.
    pub fn timeout(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Ending(_, until) if now >= until) {
            return self.end(Reason::Lost);
        }
        let Some(patience) = self.patience() else { return };
        let late = |exchange: &Exchange| matches!(exchange.progress, Progress::Posted(at) if now.saturating_duration_since(at) >= patience);
        let late: Vec<u64> =
            self.exchanges.iter().filter(|exchange| late(exchange)).map(|exchange| exchange.request.rid).collect();
        for rid in late {
            // The one before may have been the end.
            if self.is_over() {
                return;
            }
            self.events.push_back(Event::Abandon(rid));
            self.broken(now, rid);
        }
    }

    /// What was agreed on, once the session stands.
    pub fn terms(&self) -> Option<&Terms> {
        match &self.phase {
            Phase::Open(terms) | Phase::Ending(terms, _) => Some(terms),
            Phase::New | Phase::Creating | Phase::Over => None,
        }
    }

    /// What is needed to go on with the session elsewhere; `None` if there is none to go on with.
    pub fn saved(&self) -> Option<Saved> {
        let Phase::Open(terms) = &self.phase else { return None };
        let open = self.exchanges.iter().filter(|exchange| !matches!(exchange.progress, Progress::Answered(_)));
        Some(Saved { terms: terms.clone(), rid: self.rid, unanswered: open.map(|exchange| exchange.request.clone()).collect() })
    }

    /// Whether it is over.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// How long a response may take. `None`: no request has a time of its own, as at the end, when those that were held for long already are
    /// answered with the last one.
    fn patience(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Open(terms) => Some(terms.wait.saturating_add(GRACE)),
            Phase::Ending(..) => None,
            Phase::New | Phase::Creating | Phase::Over => Some(ANSWER),
        }
    }

    /// Whether a request has others wait for it: the end does not wait where connections break.
    fn may_lead(&self) -> bool {
        self.wanted != Wanted::End || self.troubled.is_none()
    }

    /// Where a request stands that waits for its response.
    fn posted(&self, rid: u64) -> Option<usize> {
        let is_posted = |exchange: &Exchange| exchange.request.rid == rid && matches!(exchange.progress, Progress::Posted(_));
        self.exchanges.iter().position(is_posted)
    }

    /// These requests have come to nothing, or to a response that is none: a proxy may have made it, and the connection manager never seen
    /// the request. They are sent again, after a pause, with the same bytes: the last one too, or others would see us until the connection
    /// manager finds that we are gone. A session that does not stand yet is over with that, as is one that was in trouble for longer than the
    /// connection manager would wait.
    fn failed(&mut self, now: Instant, which: RangeInclusive<usize>, reason: Reason) {
        let (Phase::Open(terms) | Phase::Ending(terms, _)) = &self.phase else { return self.end(reason) };
        let longest = terms.wait.saturating_add(terms.inactivity);
        let (inactivity, was_held) = (terms.inactivity, reason == Reason::Lost && self.was_held(now, &which));
        let trouble = match self.troubled {
            Some(trouble) if was_held => Trouble { since: now, tries: 0, ..trouble },
            Some(trouble) => trouble,
            None => Trouble { first: now, since: now, tries: 0 },
        };
        let passed = |since| now.saturating_duration_since(since);
        if passed(trouble.since) >= inactivity || passed(trouble.first) >= longest {
            return self.end(reason);
        }
        self.troubled = Some(Trouble { tries: trouble.tries.saturating_add(1), ..trouble });
        let again = now.checked_add(pause_before(trouble.tries)).unwrap_or(now);
        for (at, exchange) in self.exchanges.iter_mut().enumerate() {
            if which.contains(&at) && matches!(exchange.progress, Progress::Posted(_)) {
                exchange.progress = Progress::Due(again);
                exchange.lead = Lead::ToBeSent;
            }
        }
    }

    /// Whether one of these requests was under way so long that the connection manager must have had it: there was no trouble meanwhile.
    fn was_held(&self, now: Instant, which: &RangeInclusive<usize>) -> bool {
        let Some(patience) = self.patience() else { return false };
        let held = HELD..patience;
        let is_one = |exchange: &Exchange| matches!(exchange.progress, Progress::Posted(at) if held.contains(&now.saturating_duration_since(at)));
        self.exchanges.iter().enumerate().any(|(at, exchange)| which.contains(&at) && is_one(exchange))
    }

    /// Hands on, in order, what was answered.
    fn deliver(&mut self) {
        while let Some(Progress::Answered(_)) = self.exchanges.front().map(|exchange| &exchange.progress) {
            let Some(Exchange { progress: Progress::Answered(body), .. }) = self.exchanges.pop_front() else { return };
            match &self.phase {
                Phase::Creating => match Terms::of(&body, self.ask.wait) {
                    Some(terms) => {
                        self.phase = Phase::Open(terms);
                        self.events.push_back(Event::Created);
                    }
                    None => return self.end(Reason::NoSession),
                },
                // The answer to our last request.
                Phase::Ending(..) if self.exchanges.is_empty() => {
                    self.hand_on(&body);
                    return self.end(Reason::Ours);
                }
                Phase::New | Phase::Open(_) | Phase::Ending(..) | Phase::Over => {}
            }
            self.hand_on(&body);
        }
    }

    fn hand_on(&mut self, body: &Body) {
        // What a server sends is bounded by what a response may be.
        self.events.extend(body.payload().cloned().map(Event::Element));
    }

    /// The connection manager has ended the session; it says so in the response to any of the requests.
    fn terminal(&mut self, body: &Body) {
        let is_ours = matches!(self.phase, Phase::Ending(..));
        let condition = body.attribute("condition");
        let stream_error = body.payload().find_map(StreamError::of);
        self.hand_on(body);
        self.end(match condition {
            None if is_ours => Reason::Ours,
            _ => Reason::Terminated(Condition::of(condition, body.uri(), stream_error)),
        });
    }

    fn end(&mut self, reason: Reason) {
        if self.phase != Phase::Over {
            self.phase = Phase::Over;
            self.exchanges.clear();
            self.payload = String::new();
            self.events.push_back(Event::Ended(reason));
        }
    }
}

/// The first try at once, as a connection manager may close connections between two requests, then 1 s, 2 s, 4 s, 8 s.
fn pause_before(tries: u32) -> Duration {
    match tries {
        0 => Duration::ZERO,
        _ => Duration::from_secs(1_u64.checked_shl(tries.saturating_sub(1).min(3)).unwrap_or(8)),
    }
}

/// Requests that a session has at most under way: one held, and one that speaks.
const MOST_REQUESTS: usize = 2;

/// Bytes of stanzas that wait for a request.
const MOST_PAYLOAD: usize = 64 * 1024;

/// How many of them may be answers to others.
const MOST_ANSWERS: usize = MOST_PAYLOAD / 2;

/// The end of the numbers (XEP-0124 §14.1): 2^53 - 1.
const LAST_RID: u64 = (1 << 53) - 1;

/// First numbers are below that: what follows lasts longer than any session.
const FIRST_RIDS: u64 = 1 << 52;

/// What is answered sooner was not held, where it may be held for longer.
const HELD: Duration = Duration::from_secs(5);

/// How long what was sent first takes longer to arrive, at the most. A held request is not answered, so nothing else says that it is there.
const HEAD_START: Duration = Duration::from_millis(500);

/// How much later than agreed a response may come, and how long the last one may take.
const GRACE: Duration = Duration::from_secs(15);

/// How long the connection manager may take to make a session.
const ANSWER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod idle_tests;
#[cfg(test)]
mod tests;
