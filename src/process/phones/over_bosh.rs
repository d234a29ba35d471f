//! A session over HTTP.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use std::time::Instant;

use tokio::time::sleep_until;
use tokio::time::timeout;

use super::line::End;
use super::line::Line;
use super::line::Said;
use crate::net::http::Client;
use crate::net::http::HttpError;
use crate::net::http::Response;
use crate::net::http::Scheme;
use crate::net::http::Url;
use crate::phone::kept::Kept;
use crate::phone::session::Session;
use crate::phone::session::Step;
use crate::process::backoff::dice;
use crate::xmpp::bosh::Ask;
use crate::xmpp::bosh::Bosh;
use crate::xmpp::bosh::Condition;
use crate::xmpp::bosh::Event;
use crate::xmpp::bosh::Reason;
use crate::xmpp::bosh::Request;
use crate::xmpp::bosh::Saved;
use crate::xmpp::client::Security;

/// How long a connection manager may hold a request, seconds.
const WAIT: u32 = 60;

/// How long a login may take.
const LOGIN: Duration = Duration::from_secs(60);

/// How long the SIP server may take to start anew, for its sessions to go on.
const PAUSE: Duration = Duration::from_secs(120);

/// How long the connection manager may take to agree to that.
const FAREWELL: Duration = Duration::from_secs(1);

/// One request is held for a minute: how long the connection of another one waits for the next.
const IDLE: Duration = Duration::from_secs(10);

/// Logs in at this URL, and shows what is to be shown.
pub(super) async fn run(line: &mut Line, url: &str) -> End {
    let Some(url) = Url::read(url) else { return End::broken("the URL of the connection manager is none") };
    let ask = ask(line, &url);
    let security = match url.scheme() {
        Scheme::Https => Security::Encrypted,
        Scheme::Http => Security::Clear(line.exchange.clear),
    };
    let session = line.session(security);
    OverBosh::new(line, url, Bosh::new(ask, dice()), session).live().await
}

/// Goes on with a session of before a restart.
pub(super) async fn resume(line: &mut Line, kept: Kept) -> End {
    let Some(url) = Url::read(&kept.url) else { return End::Forgotten };
    let view = line.views.borrow_and_update().clone();
    let session = Session::resume(&line.account, &kept.jid, view);
    let bosh = Bosh::resume(ask(line, &url), kept.saved, Instant::now());
    let end = OverBosh::new(line, url, bosh, session).live().await;
    match end {
        // The next one is a login like any other.
        End::Broken(_) => End::Forgotten,
        End::Closed | End::Stopped | End::Account(_) | End::Elsewhere(_) | End::OutOfFiles | End::Forgotten => end,
    }
}

fn ask(line: &Line, url: &Url) -> Ask {
    let jid = &line.account.jid;
    let from = (url.scheme() == Scheme::Https).then(|| jid.to_string());
    Ask { to: jid.domain().to_string(), from, wait: WAIT }
}

struct OverBosh<'a> {
    line: &'a mut Line,
    url: Url,
    client: Rc<Client>,
    posts: Posts,
    bosh: Bosh,
    session: Session,
    /// Why the login ended, while the session is taken down.
    ended: Option<End>,
    /// Why the last request had no answer.
    last_error: Option<HttpError>,
    kept: Option<Saved>,
    /// When the last answer came, until the connections that it may have left without a request are closed.
    answered_at: Option<Instant>,
}

impl<'a> OverBosh<'a> {
    fn new(line: &'a mut Line, url: Url, bosh: Bosh, session: Session) -> Box<Self> {
        let client = Client::new(url.clone(), Rc::clone(&line.exchange.connector));
        Box::new(Self {
            line,
            url,
            client,
            posts: Posts::default(),
            bosh,
            session,
            ended: None,
            last_error: None,
            kept: None,
            answered_at: None,
        })
    }

    async fn live(mut self: Box<Self>) -> End {
        let mut stop = self.line.exchange.stop.clone();
        let login_end = Instant::now().checked_add(LOGIN).unwrap_or_else(Instant::now);
        loop {
            if let Some(end) = self.advance().await {
                return end;
            }
            self.keep().await;
            let logs_in = self.session.jid().is_none() && self.ended.is_none();
            let deadline = self.bosh.deadline();
            let idle = self.answered_at.filter(|_| !self.posts.is_empty()).and_then(|at| at.checked_add(IDLE));
            tokio::select! {
                (rid, news) = self.posts.next() => self.heard(rid, news),
                changed = self.line.views.changed() => match changed {
                    Ok(()) => self.line.look(&mut self.session),
                    Err(_) => return End::Stopped,
                },
                () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => self.bosh.timeout(Instant::now()),
                () = sleep_until(idle.unwrap_or_else(Instant::now).into()), if idle.is_some() => {
                    self.answered_at = None;
                    self.client.close_idle();
                }
                () = sleep_until(login_end.into()), if logs_in => self.ended_by(End::broken("the server does not go on with the login")),
                _ = stop.wait_for(|stops| *stops) => return Box::pin(self.pause()).await,
            }
        }
    }

    /// Does all that can be done now; the end, if it has come to that.
    async fn advance(&mut self) -> Option<End> {
        loop {
            while let Some(step) = self.session.step() {
                self.step(step).await;
            }
            // What came in first: what is said to it goes with the next request.
            let event = match self.bosh.event() {
                Some(event) => event,
                None => {
                    let request = self.bosh.request(Instant::now());
                    match request {
                        Some(request) => self.posts.push(&self.client, request),
                        None if !self.bosh.has_event() => return None,
                        None => {}
                    }
                    continue;
                }
            };
            match event {
                Event::Created => self.line.is_created = true,
                Event::Element(element) => self.session.element(&element),
                Event::Abandon(rid) => self.posts.abandon(rid),
                Event::Ended(reason) => return Some(self.end(reason)),
            }
        }
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Send(xml) if self.bosh.send(&xml) => {}
            // What would be next to say is said anew by the next session.
            Step::Send(_) => self.ended_by(End::broken("the connection manager takes nothing")),
            Step::Answer(xml) => {
                let _ = self.bosh.send_answer(&xml);
            }
            Step::Restart => self.bosh.restart(),
            Step::Up => self.line.up(&mut self.session).await,
            Step::Message(message) => self.line.report(Said::Message(message)).await,
            Step::Close => self.ended_by(End::Closed),
            Step::Ended(ended) => self.ended_by(End::of(ended)),
            // HTTP has its own, or none: the login does not ask for it.
            Step::BeginTls => {}
        }
    }

    fn ended_by(&mut self, end: End) {
        self.ended.get_or_insert(end);
        self.bosh.terminate();
    }

    fn heard(&mut self, rid: u64, news: News) {
        match news {
            News::Sent => self.bosh.sent(Instant::now(), rid),
            News::Answered(answer) => self.answered(rid, answer),
        }
    }

    fn answered(&mut self, rid: u64, answer: Result<Response, HttpError>) {
        let now = Instant::now();
        match answer {
            Ok(Response { status: 200, body, .. }) => self.bosh.response(now, rid, &body),
            Ok(Response { status, .. }) => self.bosh.status(now, rid, status),
            Err(error) => {
                self.last_error = Some(error);
                self.bosh.broken(now, rid);
            }
        }
        self.answered_at = Some(now);
    }

    fn end(&mut self, reason: Reason) -> End {
        if let Some(end) = self.ended.take() {
            return end;
        }
        match reason {
            Reason::Terminated(Condition::RemoteStreamError(Some(error))) => End::stream(error),
            Reason::Ours => End::Closed,
            Reason::Terminated(Condition::SeeOtherUri(Some(url))) if self.may_move_to(&url) => End::Elsewhere(url),
            Reason::Terminated(_)
            | Reason::Status(_)
            | Reason::Refused
            | Reason::Lost
            | Reason::Fault(_)
            | Reason::NoBody
            | Reason::NoSession
            | Reason::Numbers => match self.last_error.take() {
                Some(error) if reason == Reason::Lost && error.is_out_of_files() => End::OutOfFiles,
                Some(error) if reason == Reason::Lost => End::broken(error),
                Some(_) | None => End::broken(reason),
            },
        }
    }

    /// From `https:` no answer leads to where all is readable.
    fn may_move_to(&self, url: &str) -> bool {
        Url::read(url).is_some_and(|url| url.scheme() == Scheme::Https || self.url.scheme() == Scheme::Http)
    }

    /// Tells what would go on after a restart, if that has changed.
    async fn keep(&mut self) {
        let saved = self.session.jid().and_then(|_| self.bosh.saved());
        if saved == self.kept {
            return;
        }
        self.kept.clone_from(&saved);
        let kept = saved.and_then(|saved| {
            let jid = self.session.jid()?.to_owned();
            Some(Kept { resource: self.line.resource.clone(), jid, url: self.url.to_string(), saved })
        });
        self.line.report(Said::Kept(kept)).await;
    }

    /// The host stops: the session is to wait for us as long as it may. One that nobody will go on with is over, or others would see the phone
    /// beside its next session.
    async fn pause(mut self: Box<Self>) -> End {
        // As many at once as can be answered soon. Who has no turn before the process ends is not asked to wait: the session goes on all the same, if
        // the SIP server is back within the time for which it may be without a request.
        let exchange = Rc::clone(&self.line.exchange);
        let Ok(_turn) = exchange.farewells.acquire().await else { return End::Stopped };
        let is_kept = self.session.jid().is_some() && !self.line.account.resource.is_per_phone();
        if !is_kept {
            self.bosh.terminate();
        }
        if !is_kept || self.bosh.pause(PAUSE) {
            let _ = timeout(FAREWELL, async {
                while self.advance().await.is_none() && !self.posts.is_empty() {
                    self.keep().await;
                    let deadline = self.bosh.deadline();
                    let (rid, news) = tokio::select! {
                        next = self.posts.next() => next,
                        () = sleep_until(deadline.unwrap_or_else(Instant::now).into()), if deadline.is_some() => {
                            self.bosh.timeout(Instant::now());
                            continue;
                        }
                    };
                    let is_answered = matches!(news, News::Answered(Ok(_)));
                    self.heard(rid, news);
                    if is_answered && self.bosh.saved().is_some_and(|saved| saved.unanswered.is_empty()) {
                        break;
                    }
                }
            })
            .await;
            self.keep().await;
        }
        End::Stopped
    }
}

/// Requests under way.
#[derive(Default)]
struct Posts(Vec<Post>);

struct Post {
    rid: u64,
    /// Whether a connection has taken it since this was last looked at.
    is_sent: Rc<Cell<bool>>,
    answer: Pin<Box<dyn Future<Output = Result<Response, HttpError>>>>,
}

/// What there is to say of a request.
enum News {
    /// A connection has taken it.
    Sent,
    /// It was answered, or will not be.
    Answered(Result<Response, HttpError>),
}

impl Posts {
    fn push(&mut self, client: &Rc<Client>, Request { rid, body }: Request) {
        self.abandon(rid);
        let is_sent = Rc::new(Cell::new(false));
        let sent = Rc::clone(&is_sent);
        let answer = Box::pin(Rc::clone(client).post(body, move || sent.set(true)));
        self.0.push(Post { rid, is_sent, answer });
    }

    fn abandon(&mut self, rid: u64) {
        self.0.retain(|post| post.rid != rid);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What there is to say next; never, if there is no request.
    async fn next(&mut self) -> (u64, News) {
        poll_fn(|context| {
            for post in &mut self.0 {
                let polled = post.answer.as_mut().poll(context);
                let rid = post.rid;
                if let Poll::Ready(answer) = polled {
                    self.abandon(rid);
                    return Poll::Ready((rid, News::Answered(answer)));
                }
                if post.is_sent.take() {
                    return Poll::Ready((rid, News::Sent));
                }
            }
            Poll::Pending
        })
        .await
    }
}
