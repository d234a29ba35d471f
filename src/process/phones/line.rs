//! One phone's line to its user's account: a session, and after its end the next one, as long as there is something to show.

use std::cell::RefCell;
use std::fmt::Display;
use std::future::pending;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::time::sleep;

use super::found::Found;
use super::found::Missing;
use super::letters::Letters;
use super::over_bosh;
use super::over_tcp;
use super::pacer::Pacer;
use super::turns::Turns;
use crate::net::connector::Connector;
use crate::phone::account::Account;
use crate::phone::account::Transport;
use crate::phone::kept::Kept;
use crate::phone::session::Ended;
use crate::phone::session::Session;
use crate::phone::session::View;
use crate::process::backoff::Backoff;
use crate::process::backoff::dice;
use crate::xmpp::element::Element;
use crate::xmpp::sasl::ShowPassword;
use crate::xmpp::stream_error::Condition;
use crate::xmpp::stream_error::StreamError;

/// What all lines share.
pub(super) struct Exchange {
    pub(super) connector: Rc<Connector>,
    pub(super) found: Found,
    /// Whether a password may be shown where nothing is encrypted.
    pub(super) clear: ShowPassword,
    pub(super) turns: Turns,
    /// Of sessions that go on: they cost no login.
    pub(super) resumes: Pacer,
    /// Turns to say that a session is to wait, when the host stops.
    pub(super) farewells: Semaphore,
    pub(super) letters: RefCell<Letters>,
    pub(super) reports: mpsc::Sender<Report>,
    /// Becomes true when the host stops.
    pub(super) stop: watch::Receiver<bool>,
    /// Changes when the table of accounts was read anew: who was refused may have something done about it.
    pub(super) reloads: watch::Receiver<()>,
}

/// What a line tells the process.
#[derive(Debug)]
pub(super) struct Report {
    /// The SIP user.
    pub(super) user: String,
    /// The phone's resource.
    pub(super) resource: String,
    pub(super) said: Said,
}

/// What it says.
#[derive(Debug)]
pub(super) enum Said {
    /// Others see the phone.
    Up,
    /// What goes on after a restart; `None`: nothing.
    Kept(Option<Kept>),
    /// For the SIP user.
    Message(Element),
    /// The session is over, or there is none; why, and when the account may be asked again.
    Trouble(String, Option<Instant>),
    /// There is no session, as the process has as many files open as it may.
    OutOfFiles,
}

/// Why a session is over.
#[derive(Debug)]
pub(super) enum End {
    /// There was nothing more to show.
    Closed,
    /// The host stops.
    Stopped,
    /// It will be the same till somebody does something about the account.
    Account(String),
    /// The server, or the way to it.
    Broken(String),
    /// Another URL serves it.
    Elsewhere(String),
    /// The process has as many files open as it may.
    OutOfFiles,
    /// The session of before a restart is not known any more.
    Forgotten,
}

/// One line.
pub(super) struct Line {
    pub(super) account: Arc<Account>,
    pub(super) resource: String,
    pub(super) views: watch::Receiver<View>,
    pub(super) exchange: Rc<Exchange>,
    /// Where a server has sent us.
    elsewhere: Option<String>,
    /// How often that was, since others have last seen the phone.
    moved: u32,
    backoff: Backoff,
    /// Whether the connection manager that was asked last has made a session.
    pub(super) is_created: bool,
    /// The account is not to be asked before: another line of it was refused.
    not_before: Option<Instant>,
}

/// What a line waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Login,
    Resume,
}

impl Line {
    pub(super) fn new(account: Arc<Account>, resource: String, views: watch::Receiver<View>, exchange: Rc<Exchange>) -> Self {
        let (backoff, is_created) = (Backoff::default(), false);
        Self { account, resource, views, exchange, elsewhere: None, moved: 0, backoff, is_created, not_before: None }
    }

    /// Not to log in before that.
    pub(super) fn not_before(self, time: Option<Instant>) -> Self {
        Self { not_before: time, ..self }
    }

    /// Until there is nothing to show, or the host stops.
    pub(super) async fn run(mut self, kept: Option<Kept>) {
        let mut kept = kept;
        if let Some(time) = self.not_before.take() {
            let pause = time.saturating_duration_since(Instant::now());
            let reload = self.reload();
            if self.wait_or(pause, reload).await.is_none() {
                return;
            }
        }
        while !self.views.borrow_and_update().is_offline() {
            let end = match kept.take() {
                Some(kept) => match self.turn(Turn::Resume).await {
                    Some(()) => Box::pin(over_bosh::resume(&mut self, kept)).await,
                    None => End::Stopped,
                },
                // As large as what it is just about, not as all that it might be.
                None => Box::pin(self.begin()).await,
            };
            let pause = match end {
                End::Closed | End::Forgotten => continue,
                End::Stopped => return,
                End::Account(why) => {
                    let reload = self.reload();
                    self.trouble(why, Instant::now().checked_add(ACCOUNT_PAUSE)).await;
                    match self.wait_or(ACCOUNT_PAUSE, reload).await {
                        Some(()) => continue,
                        None => return,
                    }
                }
                End::Elsewhere(url) if self.moved < MOST_MOVES => {
                    self.moved = self.moved.saturating_add(1);
                    self.elsewhere = Some(url);
                    continue;
                }
                End::Elsewhere(url) => {
                    (self.moved, self.elsewhere) = (0, None);
                    self.trouble(format!("sent on from one URL to the next, at last to {url}"), None).await;
                    self.backoff.pause(Instant::now(), LONG, dice())
                }
                End::OutOfFiles => {
                    self.report(Said::Kept(None)).await;
                    self.report(Said::OutOfFiles).await;
                    self.backoff.pause(Instant::now(), FILES_PAUSE, dice())
                }
                End::Broken(why) => {
                    self.trouble(why, None).await;
                    self.backoff.pause(Instant::now(), Duration::ZERO, dice())
                }
            };
            if self.wait(pause).await.is_none() {
                return;
            }
        }
    }

    /// Waits for a turn, and logs in.
    async fn begin(&mut self) -> End {
        match self.turn(Turn::Login).await {
            None => End::Stopped,
            Some(()) if self.views.borrow_and_update().is_offline() => End::Closed,
            Some(()) => match &self.account.transport {
                Transport::Tcp(server) => Box::pin(over_tcp::run(self, server.clone())).await,
                Transport::Bosh(url) => match self.elsewhere.take().or_else(|| url.clone()) {
                    Some(url) => Box::pin(over_bosh::run(self, &url)).await,
                    None => match Box::pin(self.found()).await {
                        Ok(url) => self.at_found(&url).await,
                        Err(Missing::OutOfFiles) => End::OutOfFiles,
                        Err(Missing::Because(why)) => End::Broken(why),
                    },
                },
            },
        }
    }

    /// Logs in where the domain's host-meta says. That there is no session may be for the connection manager having moved.
    async fn at_found(&mut self, url: &str) -> End {
        self.is_created = false;
        let end = Box::pin(over_bosh::run(self, url)).await;
        if !self.is_created && matches!(end, End::Broken(_)) {
            self.exchange.found.doubt(self.account.jid.domain().as_str(), Instant::now());
        }
        end
    }

    /// Waits until it is this line's turn. `None`: the host stops.
    async fn turn(&mut self, turn: Turn) -> Option<()> {
        let (exchange, account) = (Rc::clone(&self.exchange), Arc::clone(&self.account));
        self.until(async {
            match turn {
                Turn::Login => exchange.turns.turn(account.jid.domain().as_str()).await,
                Turn::Resume => exchange.resumes.turn().await,
            }
        })
        .await
    }

    /// Waits for so long, unless there is nothing to show any more. `None`: the host stops.
    async fn wait(&mut self, pause: Duration) -> Option<()> {
        self.wait_or(pause, pending()).await
    }

    /// Waits for so long, until that if it is sooner.
    async fn wait_or(&mut self, pause: Duration, sooner: impl Future<Output = ()>) -> Option<()> {
        self.until(async {
            tokio::select! {
                () = sleep(pause) => {}
                () = sooner => {}
            }
        })
        .await
    }

    /// Waits for this, unless there is nothing to show any more. `None`: the host stops.
    async fn until(&mut self, done: impl Future<Output = ()>) -> Option<()> {
        let mut stop = self.exchange.stop.clone();
        tokio::select! {
            () = done => Some(()),
            gone = self.views.wait_for(View::is_offline) => gone.is_ok().then_some(()),
            _ = stop.wait_for(|stops| *stops) => None,
        }
    }

    /// The table is read anew, from now on.
    fn reload(&self) -> impl Future<Output = ()> + use<> {
        let mut reloads = self.exchange.reloads.clone();
        reloads.mark_unchanged();
        async move {
            if reloads.changed().await.is_err() {
                pending().await
            }
        }
    }

    /// The connection manager of the account's domain, as its host-meta has it.
    async fn found(&self) -> Result<String, Missing> {
        self.exchange.found.bosh_url(&self.exchange.connector, self.account.jid.domain().as_str()).await
    }

    /// A session that shows what is to be shown now.
    pub(super) fn session(&mut self, security: crate::xmpp::client::Security) -> Session {
        let view = self.views.borrow_and_update().clone();
        Session::new(&self.account, &self.resource, security, view)
    }

    /// Has a session show what is to be shown now, and send what else there is for it.
    pub(super) fn look(&mut self, session: &mut Session) {
        session.show(self.views.borrow_and_update().clone());
        self.send_letters(session);
    }

    fn send_letters(&self, session: &mut Session) {
        let letters = session.jid().map(|jid| self.exchange.letters.borrow_mut().take(Instant::now(), jid));
        letters.into_iter().flatten().for_each(|xml| session.answer_late(xml));
    }

    /// Others see the phone. What came for its session while that logged in is sent.
    pub(super) async fn up(&mut self, session: &mut Session) {
        self.send_letters(session);
        self.backoff.up(Instant::now());
        self.moved = 0;
        self.report(Said::Up).await;
    }

    async fn trouble(&self, why: String, not_before: Option<Instant>) {
        self.report(Said::Kept(None)).await;
        self.report(Said::Trouble(why, not_before)).await;
    }

    pub(super) async fn report(&self, said: Said) {
        let report = Report { user: self.account.user.clone(), resource: self.resource.clone(), said };
        // The process is gone if nobody takes it.
        let _ = self.exchange.reports.send(report).await;
    }
}

impl End {
    pub(super) fn of(ended: Ended) -> Self {
        match ended {
            Ended::Login(error) if error.is_about_the_account() => Self::Account(error.to_string()),
            Ended::Login(error) => Self::broken(error),
            Ended::Stream(error) => Self::stream(error),
        }
    }

    /// Who has taken our place would be thrown out by the next login, and throw out us (RFC 6120 §4.9.3.3).
    pub(super) fn stream(error: StreamError) -> Self {
        if error.condition == Condition::Conflict { Self::Account(error.to_string()) } else { Self::broken(error) }
    }

    pub(super) fn broken(why: impl Display) -> Self {
        Self::Broken(why.to_string())
    }
}

/// Who has a wrong password is asked again no sooner: servers lock accounts for less.
const ACCOUNT_PAUSE: Duration = Duration::from_secs(15 * 60);

/// Until others may have closed some.
const FILES_PAUSE: Duration = Duration::from_secs(10);

/// For servers that send each other our way.
const LONG: Duration = Duration::from_secs(60);

/// How often in succession a server may send us to another.
const MOST_MOVES: u32 = 3;
