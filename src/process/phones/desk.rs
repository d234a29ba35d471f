//! All accounts and their lines: who has one, what it is to show, and what is written down of it.

use std::cell::Cell;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use jid::Jid;
use tokio::sync::Semaphore;
use tokio::sync::mpsc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Heard;
use super::Registrar;
use super::falls::Falls;
use super::files::Files;
use super::found::Found;
use super::line::Exchange;
use super::line::Line;
use super::line::Report;
use super::line::Said;
use super::notes::Notes;
use super::pacer::Pacer;
use super::turns::Turns;
use crate::config::Phones;
use crate::gateway::admission::too_much;
use crate::gateway::rate::Limiter;
use crate::gateway::tally::Tally;
use crate::net::connector::Connector;
use crate::net::http::Url;
use crate::phone::account::Account;
use crate::phone::account::Row;
use crate::phone::account::Transport;
use crate::phone::kept::Kept;
use crate::phone::presence::Looks;
use crate::phone::session::View;
use crate::phone::state::Shown;
use crate::phone::users::Change;
use crate::phone::users::Fact;
use crate::phone::users::Users;
use crate::xmpp::element::Element;
use crate::xmpp::stanza;

/// All accounts.
pub(crate) struct Desk {
    looks: Looks,
    /// By SIP URI.
    accounts: HashMap<String, Arc<Account>>,
    /// The SIP URI of each user part; of two accounts with the same one, either.
    names: HashMap<String, String>,
    users: Users,
    /// The lines of each user, by resource.
    lines: HashMap<String, BTreeMap<String, Handle>>,
    /// Sessions from before a restart, until their lines go on with them or it is too late.
    kept: HashMap<String, Kept>,
    /// What is to be written.
    notes: Notes,
    /// What was last said to be wrong with an account.
    troubles: HashMap<String, String>,
    /// When accounts may be asked again that have refused us.
    refused: HashMap<String, Instant>,
    /// When registrars are asked for those who are not there: some read their contacts after we have asked.
    asks: VecDeque<Instant>,
    falls: Falls,
    files: Files,
    /// Of those who send messages to phones.
    limiter: Option<Limiter>,
    limited: Tally,
    exchange: Rc<Exchange>,
    stop: watch::Sender<bool>,
    reloads: watch::Sender<()>,
    load: Load,
}

/// How it stands with the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Load {
    /// It was read.
    Done,
    /// It could not be; it is tried again when the database has rested.
    Again,
}

struct Handle {
    views: watch::Sender<View>,
    task: JoinHandle<()>,
    /// Whether the task has come to its end, and not to a panic.
    ended: Rc<Cell<bool>>,
    account: Arc<Account>,
}

impl Desk {
    /// Without an account yet, and where its lines report.
    pub(super) fn new(config: &Phones) -> io::Result<(Self, mpsc::Receiver<Report>)> {
        let (sender, reports) = mpsc::channel(REPORTS);
        let (stop, stopped) = watch::channel(false);
        let (reloads, reloaded) = watch::channel(());
        let exchange = Exchange {
            connector: Rc::new(Connector::new(&config.roots)?),
            found: Found::default(),
            clear: config.clear,
            turns: Turns::new(Pacer::new(config.login_rate)),
            resumes: Pacer::new(RESUME_RATE),
            farewells: Semaphore::new(FAREWELLS),
            letters: RefCell::default(),
            reports: sender,
            stop: stopped,
            reloads: reloaded,
        };
        let desk = Self {
            looks: config.looks.clone(),
            accounts: HashMap::new(),
            names: HashMap::new(),
            users: Users::new(config.options),
            lines: HashMap::new(),
            kept: HashMap::new(),
            notes: Notes::default(),
            troubles: HashMap::new(),
            refused: HashMap::new(),
            asks: VecDeque::new(),
            falls: Falls::default(),
            files: Files::default(),
            limiter: Limiter::new(config.rate_limit),
            limited: Tally::default(),
            exchange: Rc::new(exchange),
            stop,
            reloads,
            load: Load::Done,
        };
        Ok((desk, reports))
    }

    /// Reads the table. Who is new there is asked for at the registrar; who is not there any more goes offline; who was refused is tried again.
    pub(super) fn load(&mut self, registrar: &mut impl Registrar) {
        let (mut accounts, mut kept) = (HashMap::new(), HashMap::new());
        let mut wrong = 0_usize;
        let looks = self.looks.clone();
        let is_first = self.accounts.is_empty();
        let read = registrar.accounts(&mut |row, session| match Account::of(row, &looks) {
            Ok(account) if account.wishes.is_disabled => {}
            Ok(account) => {
                if let Some(session) = Kept::read(session).filter(|kept| is_first && belongs(kept, &account)) {
                    kept.insert(account.user.clone(), session);
                }
                accounts.insert(account.user.clone(), Arc::new(account));
            }
            Err(error) => {
                wrong = wrong.saturating_add(1);
                if wrong <= WRONG_ROWS {
                    log::warn!("account of {}: {error}; the row is left out", printable(row));
                }
            }
        });
        self.notes.answered(Instant::now(), read.is_ok());
        if read.is_err() {
            log::error!("the table of accounts cannot be read; it is tried again");
            self.load = Load::Again;
            return;
        }
        self.load = Load::Done;
        self.files.expect(accounts.len());
        log::info!("{} accounts whose phones are shown, {wrong} rows left out", accounts.len());
        self.kept.extend(kept);
        // The server may have been told something too.
        self.refused.clear();
        self.exchange.found.clear();
        self.reloads.send_replace(());
        let before = std::mem::replace(&mut self.accounts, accounts);
        let named = |user: &String| Some((user.strip_prefix("sip:")?.split('@').next()?.to_owned(), user.clone()));
        self.names = self.accounts.keys().filter_map(named).collect();
        let now = Instant::now();
        self.asks = ASKS.into_iter().filter_map(|after| now.checked_add(after)).collect();
        let known: Vec<String> = self.accounts.keys().cloned().collect();
        for user in known {
            match before.get(&user) {
                None => registrar.registered(&user).into_iter().for_each(|fact| self.fact(now, fact)),
                Some(old) if self.accounts.get(&user) != Some(old) => self.restart(&user),
                Some(_) => {}
            }
        }
        let gone: Vec<_> = before.into_values().filter(|account| !self.accounts.contains_key(&account.user)).collect();
        for account in gone {
            self.hang_up(&account);
        }
        // What was told of users who had no account then is lost, and so is all if this process is a new one.
        registrar.ask_for_calls();
    }

    /// Something happened to a SIP user. Where the registrar goes without domains, it names the user part only.
    pub(super) fn fact(&mut self, now: Instant, mut fact: Fact) {
        if !fact.user.contains('@')
            && let Some(user) = self.names.get(&fact.user)
        {
            fact.user.clone_from(user);
        }
        if self.accounts.contains_key(&fact.user)
            && let Some(change) = self.users.fact(now, fact)
        {
            self.show(&change);
        }
    }

    /// Takes some of what other programs have written.
    pub(super) fn poll(&mut self, now: Instant, registrar: &mut impl Registrar) -> Heard {
        if self.notes.rests(now) {
            return Heard::All;
        }
        let states = registrar.states();
        self.notes.answered(now, states.is_ok());
        // What cannot be read now is there the next time; the host's log says why.
        let Ok((facts, heard)) = states else { return Heard::All };
        facts.into_iter().for_each(|fact| self.fact(now, fact));
        heard
    }

    /// A line has something to say.
    pub(super) fn report(&mut self, registrar: &mut impl Registrar, Report { user, resource, said }: Report) {
        match said {
            Said::Up => {
                self.refused.remove(&user);
                self.falls.up(Instant::now(), &user);
                if self.troubles.remove(&user).is_some() {
                    log::info!("the phone of {user} is shown in its account again");
                }
                self.notes.of(&user).trouble = Some(String::new());
            }
            Said::OutOfFiles => {
                self.files.run_out(Instant::now());
                self.trouble(&user, "the SIP server may have no more files open".to_owned());
            }
            Said::Trouble(why, not_before) => {
                if let Some(time) = not_before {
                    self.refused.insert(user.clone(), time);
                }
                if self.trouble(&user, why.clone()) {
                    log::warn!("the phone of {user} is not shown in its account ({resource}): {why}");
                }
            }
            // The row has room for one session.
            Said::Kept(kept) if self.accounts.get(&user).is_some_and(|account| !account.resource.is_per_phone()) => {
                self.notes.of(&user).session = Some(kept.map(|kept| kept.write()).unwrap_or_default());
            }
            Said::Kept(_) => {}
            Said::Message(message) => self.message(registrar, &user, &message),
        }
    }

    /// Writes down what is wrong with an account, until it is shown again or there is nothing to show. Whether it is something new.
    fn trouble(&mut self, user: &str, why: String) -> bool {
        let is_new = self.troubles.get(user) != Some(&why);
        if is_new {
            self.notes.of(user).trouble = Some(why.clone());
            self.troubles.insert(user.to_owned(), why);
        }
        is_new
    }

    /// An XMPP user has something to say to a phone.
    fn message(&mut self, registrar: &mut impl Registrar, user: &str, message: &Element) {
        let sent = if self.has_room(message) { registrar.message(user, message) } else { Err(Some(too_much())) };
        if let Err(Some(error)) = sent
            && let Some(answer) = stanza::error_reply(message, &error)
        {
            self.answer(message.attribute("to").unwrap_or_default().to_owned(), answer);
        }
    }

    /// Whether a message may become a MESSAGE: as at the gateway's component, whoever sends too many waits.
    fn has_room(&mut self, message: &Element) -> bool {
        let from = message.attribute("from").and_then(|from| Jid::new(from).ok());
        let (Some(limiter), Some(from)) = (&mut self.limiter, from) else { return true };
        let now = Instant::now();
        let account = limiter.account(now, &from);
        let is_free = account.is_ok();
        match account {
            Ok(account) => limiter.take(account, 1),
            Err(_) => {
                if let Some(total) = self.limited.count(now) {
                    log::warn!(
                        "a message from {from} to a phone is refused: beyond rate_limit or rate_limit_domain; {total} so far"
                    );
                }
            }
        }
        is_free
    }

    /// What a message to a phone was answered, in the name of this JID, full or bare: its session sends it.
    pub(super) fn answer(&mut self, from: String, xml: String) {
        // As it was in the message, which may be another spelling than the session's.
        let Ok(from) = Jid::new(&from) else { return };
        let account = from.to_bare();
        self.exchange.letters.borrow_mut().put(Instant::now(), from, xml);
        let lines = self.lines.values().flat_map(BTreeMap::values);
        for handle in lines.filter(|handle| handle.account.jid == account) {
            // What is to be seen is the same; it has the line look.
            handle.views.send_modify(|_| {});
        }
    }

    /// Once a second.
    pub(super) fn tick(&mut self, now: Instant, registrar: &mut impl Registrar) {
        self.users.expire(now).iter().for_each(|change| self.show(change));
        self.reap(now);
        self.ask(now, registrar);
        self.notes.write(now, registrar);
        if self.load == Load::Again && !self.notes.rests(now) {
            self.load(registrar);
        }
    }

    /// The host stops: sessions are to wait for us, as many as are told in time, and what goes on with them is written.
    pub(super) async fn stop(&mut self, registrar: &mut impl Registrar, reports: &mut mpsc::Receiver<Report>) {
        // Whatever follows: hosts end a process that does not end by itself.
        self.notes.write(Instant::now(), registrar);
        let _ = self.stop.send(true);
        let _ = timeout(FAREWELL, async {
            // Each line has one.
            while Rc::strong_count(&self.exchange) > 1 {
                match timeout(Duration::from_millis(50), reports.recv()).await {
                    Ok(Some(report)) => self.report(registrar, report),
                    Ok(None) => break,
                    Err(_) => {}
                }
            }
        })
        .await;
        while let Ok(report) = reports.try_recv() {
            self.report(registrar, report);
        }
        self.notes.write_last(registrar);
    }

    /// Asks the registrar for those who are not there.
    fn ask(&mut self, now: Instant, registrar: &mut impl Registrar) {
        if self.asks.front().is_none_or(|at| *at > now) {
            return;
        }
        self.asks.pop_front();
        let away = |user: &&String| self.users.state(user).shown() == Shown::Offline;
        let away: Vec<String> = self.accounts.keys().filter(away).cloned().collect();
        for user in away {
            registrar.registered(&user).into_iter().for_each(|fact| self.fact(now, fact));
        }
    }

    /// Has the lines of a user show what is to be seen now.
    fn show(&mut self, change: &Change) {
        let Some(account) = self.accounts.get(&change.user).cloned() else { return };
        let view = View::of(&account, change.state.shown(), change.other.as_deref());
        let resources = match change.state.shown() {
            Shown::Offline => Vec::new(),
            Shown::Online | Shown::Ringing | Shown::OnThePhone | Shown::OnHold => self.resources(&account),
        };
        let offline = View::without(change.state.shown());
        if change.state.shown() == Shown::Offline && self.troubles.remove(&change.user).is_some() {
            self.notes.of(&change.user).trouble = Some(String::new());
        }
        let refused = self.refused.get(&change.user).copied();
        let lines = self.lines.entry(change.user.clone()).or_default();
        for (_, handle) in lines.iter().filter(|(resource, _)| !resources.contains(resource)) {
            handle.show(&offline);
        }
        for resource in resources {
            match lines.get(&resource).filter(|handle| !handle.task.is_finished() || handle.has_panicked()) {
                // What follows is decided where it is found.
                Some(handle) if handle.has_panicked() => {}
                // The old account hangs up first; its line is followed by one for the new.
                Some(handle) if handle.account != account => {
                    handle.show(&offline);
                }
                Some(handle) => handle.show(&view),
                None => {
                    let kept = self.kept.remove(&account.user).filter(|kept| kept.resource == resource);
                    let (views, seen) = watch::channel(view.clone());
                    let line = Line::new(Arc::clone(&account), resource.clone(), seen, Rc::clone(&self.exchange));
                    let line = line.not_before(refused);
                    let handle = Handle::new(views, line.run(kept), Arc::clone(&account));
                    lines.insert(resource, handle);
                }
            }
        }
    }

    /// The resources under which an account is shown now.
    fn resources(&self, account: &Account) -> Vec<String> {
        let mut resources: Vec<String> = match account.resource.is_per_phone() {
            true => self.users.phones(&account.user).map(|phone| account.resource.for_phone(phone)).collect(),
            false => Vec::new(),
        };
        if resources.is_empty() {
            // A call, or a PUBLISH, of a phone that is not registered.
            resources.push(account.resource.for_phone(""));
        }
        resources.sort_unstable();
        resources.dedup();
        resources
    }

    /// An account has changed: its lines hang up, and others follow.
    fn restart(&mut self, user: &str) {
        self.troubles.remove(user);
        self.refused.remove(user);
        self.falls.forget(user);
        self.again(user.to_owned());
    }

    fn again(&mut self, user: String) {
        let change = self.users.present(user);
        self.show(&change);
    }

    /// An account is not in the table any more.
    fn hang_up(&mut self, account: &Account) {
        self.users.forget(&account.user);
        self.troubles.remove(&account.user);
        self.refused.remove(&account.user);
        self.falls.forget(&account.user);
        for handle in self.lines.get(&account.user).into_iter().flat_map(BTreeMap::values) {
            handle.show(&View::of(account, Shown::Offline, None));
        }
    }

    /// Lines that are done are gone; who is to be seen again has another one.
    fn reap(&mut self, now: Instant) {
        let (mut again, mut fallen) = (Vec::new(), Vec::new());
        self.lines.retain(|user, lines| {
            let before = lines.len();
            if lines.values().any(Handle::has_panicked) {
                fallen.push(user.clone());
            }
            lines.retain(|_, handle| !handle.task.is_finished());
            if lines.len() != before {
                again.push(user.clone());
            }
            !lines.is_empty()
        });
        for user in fallen {
            self.fell(now, user);
        }
        for user in again {
            if self.users.state(&user).shown() != Shown::Offline {
                self.again(user);
            }
        }
    }

    /// A line of the user has panicked. The log has what and where; the account is tried again, later and later.
    fn fell(&mut self, now: Instant, user: String) {
        let pause = self.falls.fell(now, &user);
        log::error!("the line of {user} is gone by a fault of the gateway; the next one in {} s", pause.as_secs());
        let until = now.checked_add(pause).unwrap_or(now);
        let refused = self.refused.entry(user.clone()).or_insert(until);
        *refused = until.max(*refused);
        // What it had said of its session may not be true any more.
        self.notes.of(&user).session = Some(String::new());
        self.trouble(&user, "a fault of the gateway: the log says which".to_owned());
    }
}

impl Handle {
    fn new(views: watch::Sender<View>, line: impl Future<Output = ()> + 'static, account: Arc<Account>) -> Self {
        let ended = Rc::new(Cell::new(false));
        let end = Rc::clone(&ended);
        let task = tokio::task::spawn_local(async move {
            line.await;
            end.set(true);
        });
        Self { views, task, ended, account }
    }

    fn has_panicked(&self) -> bool {
        self.task.is_finished() && !self.ended.get()
    }

    /// What is shown already wakes nobody.
    fn show(&self, view: &View) {
        self.views.send_if_modified(|shown| {
            let is_new = shown != view;
            if is_new {
                shown.clone_from(view);
            }
            is_new
        });
    }
}

/// Whether a session is one of the account as it is now.
fn belongs(kept: &Kept, account: &Account) -> bool {
    let is_reached = match &account.transport {
        Transport::Bosh(url) => url.as_ref().is_none_or(|url| Url::read(url).is_some_and(|url| url.to_string() == kept.url)),
        Transport::Tcp(_) => false,
    };
    is_reached && stanza::bare(&kept.jid).eq_ignore_ascii_case(account.jid.as_str())
}

/// A row's name for the log.
fn printable(row: &Row<'_>) -> String {
    row.sip_uri.chars().take(80).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// What lines say and nobody has heard yet; then they wait.
const REPORTS: usize = 1024;

/// Rows that are complained of one by one.
const WRONG_ROWS: usize = 20;

/// Sessions a second that go on after a restart.
const RESUME_RATE: u32 = 200;

/// When registrars are asked again after the table was read: OpenSIPS reads its contacts when its workers have begun.
const ASKS: [Duration; 5] =
    [Duration::from_secs(1), Duration::from_secs(3), Duration::from_secs(8), Duration::from_secs(20), Duration::from_secs(60)];

/// How long sessions have to say that they will be back. Kamailio ends a process 3 s after it was told to end; the rest is for the database.
const FAREWELL: Duration = Duration::from_millis(1200);

/// Sessions that say so at once: each takes a connection, and waits for the connection manager.
const FAREWELLS: usize = 128;

#[cfg(test)]
mod tests;
