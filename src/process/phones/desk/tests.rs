//! What the desk makes of lines that have come to a bad end. What it does with connection managers is in tests/process.

use super::*;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;

use tokio::task::LocalSet;
use tokio_rustls::rustls::RootCertStore;

use crate::config::RateLimit;
use crate::phone::state::State;
use crate::phone::users::Options;
use crate::phone::users::What;
use crate::process::host::Flow;
use crate::process::phones::Note;
use crate::process::storekeeper::Unavailable;
use crate::xmpp::element::Element;
use crate::xmpp::sasl::ShowPassword;
use crate::xmpp::stanza_error::StanzaError;

const USER: &str = "sip:juliet@example.com";

/// One account, of a server that does not exist.
struct Fake {
    wake: UnixStream,
    notes: Vec<Note>,
    /// How often it is asked to write, and whether it does.
    asked: usize,
    fails: bool,
}

impl Registrar for Fake {
    fn accounts(&mut self, row: &mut dyn FnMut(&Row<'_>, &str)) -> Result<(), Unavailable> {
        let url = "http://127.0.0.1:9/http-bind";
        row(&Row { sip_uri: USER, jid: "juliet@example.com", password: "pencil", url, ..Row::default() }, "");
        Ok(())
    }

    fn keep(&mut self, notes: &[Note]) -> Result<(), Unavailable> {
        self.asked = self.asked.saturating_add(1);
        if self.fails {
            return Err(Unavailable);
        }
        self.notes.extend_from_slice(notes);
        Ok(())
    }

    fn states(&mut self) -> Result<(Vec<Fact>, Heard), Unavailable> {
        Ok((Vec::new(), Heard::All))
    }

    fn registered(&mut self, _: &str) -> Vec<Fact> {
        Vec::new()
    }

    fn ask_for_calls(&mut self) {}

    fn message(&mut self, _: &str, _: &Element) -> Result<(), Option<StanzaError>> {
        Ok(())
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn wake(&mut self) -> Flow {
        Flow::Continue
    }
}

fn on_desk(run: impl AsyncFnOnce(&mut Desk, &mut Fake)) {
    let config = Phones {
        url: "sqlite:///unused".into(),
        table: "xmpp_account".to_owned(),
        poll: None,
        looks: Looks::default(),
        options: Options::default(),
        login_rate: 100,
        clear: ShowPassword::Allowed,
        roots: Arc::new(RootCertStore::empty()),
        rate_limit: RateLimit { jid: 0, domain: 0 },
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    LocalSet::new().block_on(&runtime, async {
        let (mut desk, _reports) = Desk::new(&config).unwrap();
        let mut fake = Fake { wake: UnixStream::pair().unwrap().0, notes: Vec::new(), asked: 0, fails: false };
        desk.load(&mut fake);
        run(&mut desk, &mut fake).await;
    });
}

fn fact(state: State) -> Fact {
    Fact { user: USER.to_owned(), what: What::Told(state) }
}

/// Has the line of the user panic.
async fn panics(desk: &mut Desk) {
    let handle = desk.lines.get_mut(USER).unwrap().values_mut().next().unwrap();
    handle.task.abort();
    let (views, _) = watch::channel(View::without(Shown::Offline));
    *handle = Handle::new(views, async { panic!("a fault") }, Arc::clone(&handle.account));
    while !handle.task.is_finished() {
        tokio::task::yield_now().await;
    }
}

#[test]
fn an_account_whose_lines_panic_is_tried_later_and_later() {
    on_desk(async |desk, fake| {
        let now = Instant::now();
        desk.fact(now, fact(State::Online));
        let mut pauses = Vec::new();
        for _ in 0..8 {
            panics(desk).await;
            // A registration meanwhile brings no line.
            desk.fact(now, fact(State::OnThePhone));
            assert!(desk.lines[USER].values().all(Handle::has_panicked));
            desk.tick(now, fake);
            pauses.push(desk.refused[USER].duration_since(now));
            assert_eq!(desk.lines[USER].len(), 1, "the next line is there, and waits");
        }
        assert!(pauses.windows(2).all(|two| two[0] < two[1] || two[1] >= Duration::from_secs(45)), "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= Duration::from_secs(60)), "{pauses:?}");
        assert!(fake.notes.iter().any(|note| note.trouble.as_deref().is_some_and(|trouble| trouble.contains("fault"))));
        // Who logs in again is not held up any more.
        let said = Report { user: USER.to_owned(), resource: String::new(), said: Said::Up };
        desk.report(fake, said);
        assert!(desk.refused.is_empty());
    });
}

#[test]
fn no_trouble_is_left_where_nothing_is_to_be_shown() {
    on_desk(async |desk, fake| {
        for is_panic in [false, true] {
            let now = Instant::now();
            desk.fact(now, fact(State::Online));
            if is_panic {
                panics(desk).await;
                desk.tick(now, fake);
            } else {
                desk.report(fake, Report { user: USER.to_owned(), resource: String::new(), said: Said::OutOfFiles });
            }
            desk.fact(now, fact(State::Offline));
            assert_eq!(desk.notes.of(USER).trouble.as_deref(), Some(""));
        }
    });
}

#[test]
fn connection_managers_are_looked_for_anew_when_the_table_is_read() {
    on_desk(async |desk, fake| {
        let exchange = Rc::clone(&desk.exchange);
        let at = async |url: &str| exchange.found.known_or("example.com", async { Ok(url.to_owned()) }).await;
        assert_eq!(at("https://old/").await, Ok("https://old/".to_owned()));
        assert_eq!(at("https://new/").await, Ok("https://old/".to_owned()));
        desk.load(fake);
        assert_eq!(at("https://new/").await, Ok("https://new/".to_owned()));
    });
}

#[test]
fn an_answer_wakes_the_lines_of_its_account() {
    on_desk(async |desk, _| {
        desk.fact(Instant::now(), fact(State::Online));
        for (from, wakes) in [("juliet@example.com", true), ("JULIET@Example.com/Phone", true), ("romeo@example.com", false)] {
            let views = desk.lines[USER].values().next().unwrap().views.subscribe();
            desk.answer(from.to_owned(), "<message/>".to_owned());
            assert_eq!(views.has_changed().unwrap(), wakes, "{from}");
        }
        let letters = desk.exchange.letters.borrow_mut().take(Instant::now(), "juliet@example.com/Phone");
        assert_eq!(letters.len(), 2);
    });
}

#[test]
fn a_line_that_has_ended_by_itself_is_no_panic() {
    on_desk(async |desk, fake| {
        let now = Instant::now();
        desk.fact(now, fact(State::Online));
        desk.fact(now, fact(State::Offline));
        while desk.lines.values().flat_map(BTreeMap::values).any(|handle| !handle.task.is_finished()) {
            tokio::task::yield_now().await;
        }
        desk.tick(now, fake);
        assert!(desk.lines.is_empty() && desk.refused.is_empty());
    });
}

#[test]
fn a_database_that_fails_is_left_alone_for_a_while() {
    on_desk(async |desk, fake| {
        let now = Instant::now();
        fake.fails = true;
        desk.notes.of(USER).trouble = Some("no answer".to_owned());
        for second in 0..60 {
            desk.tick(now + Duration::from_secs(second), fake);
        }
        assert!((2..=12).contains(&fake.asked), "{}", fake.asked);
        assert!(fake.notes.is_empty());
        // When the host stops it is asked whatever was before.
        fake.fails = false;
        desk.notes.write_last(fake);
        assert_eq!(fake.notes.len(), 1);
    });
}

#[test]
fn a_line_takes_little_memory_while_its_session_stands() {
    on_desk(async |desk, _| {
        let account = Arc::clone(&desk.accounts[USER]);
        let (_views, seen) = watch::channel(View::without(Shown::Offline));
        let line = Line::new(account, String::new(), seen, Rc::clone(&desk.exchange));
        let size = size_of_val(&line.run(None));
        assert!(size <= 4096, "{size}");
    });
}
