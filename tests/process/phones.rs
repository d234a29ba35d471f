//! The phone process against a connection manager that does what no real one can be asked to do. The real ones are in tests/e2e.

#[path = "phones/scale.rs"]
mod scale;

use std::collections::HashMap;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use tokio_rustls::rustls::RootCertStore;
use xmpp_gateway::config::Phones;
use xmpp_gateway::config::RateLimit;
use xmpp_gateway::link::phone_datagram;
use xmpp_gateway::link::phone_datagram::Told;
use xmpp_gateway::link::store;
use xmpp_gateway::link::store::End;
use xmpp_gateway::phone::account::Row;
use xmpp_gateway::phone::presence::Looks;
use xmpp_gateway::phone::state::State;
use xmpp_gateway::phone::users::Fact;
use xmpp_gateway::phone::users::Options;
use xmpp_gateway::phone::users::What;
use xmpp_gateway::process::host::Flow;
use xmpp_gateway::process::phones;
use xmpp_gateway::process::phones::Heard;
use xmpp_gateway::process::phones::Note;
use xmpp_gateway::process::phones::Registrar;
use xmpp_gateway::process::storekeeper::Unavailable;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::ns;
use xmpp_gateway::xmpp::sasl::ShowPassword;
use xmpp_gateway::xmpp::stanza_error::Condition;
use xmpp_gateway::xmpp::stanza_error::StanzaError;

use super::PATIENCE;

/// One account of the table: user, URL, or host and port of a stream, and the session that was kept.
#[derive(Clone)]
struct Entry {
    user: &'static str,
    url: String,
    session: String,
    resource: &'static str,
}

struct FakeRegistrar {
    table: Vec<Entry>,
    notes: mpsc::Sender<Note>,
    messages: mpsc::Sender<String>,
    calls_asked: mpsc::Sender<()>,
    wake: UnixStream,
    /// How often it is asked for a user before it knows that there is a contact; 0: there is none.
    asked: u32,
}

impl Registrar for FakeRegistrar {
    fn accounts(&mut self, row: &mut dyn FnMut(&Row<'_>, &str)) -> Result<(), Unavailable> {
        for Entry { user, url, session, resource } in &self.table {
            let (sip_uri, jid) = (sip_uri(user), format!("{user}@example.com"));
            let transport = if url.starts_with("http") { "bosh" } else { "tcp" };
            let texts = Row { sip_uri: &sip_uri, jid: &jid, password: "pencil", resource, ..Row::default() };
            let read = Row { transport, url, flags: 4 | 8, ..texts };
            row(&read, session);
        }
        Ok(())
    }

    fn keep(&mut self, notes: &[Note]) -> Result<(), Unavailable> {
        notes.iter().for_each(|note| self.notes.send(note.clone()).unwrap_or_default());
        Ok(())
    }

    fn states(&mut self) -> Result<(Vec<Fact>, Heard), Unavailable> {
        Ok((Vec::new(), Heard::All))
    }

    fn registered(&mut self, user: &str) -> Vec<Fact> {
        self.asked = self.asked.saturating_sub(1);
        let lifetime = PATIENCE;
        let what = What::Contact { uri: "sip:a@192.0.2.1".to_owned(), phone: "a".to_owned(), lifetime };
        if self.asked == 1 { vec![Fact { user: user.to_owned(), what }] } else { Vec::new() }
    }

    fn ask_for_calls(&mut self) {
        self.calls_asked.send(()).unwrap_or_default();
    }

    fn message(&mut self, user: &str, message: &Element) -> Result<(), Option<StanzaError>> {
        let body = message.child("body", ns::CLIENT).map(|body| body.text().into_owned());
        let refused = body.as_deref() == Some("Bye");
        self.messages.send(format!("{user}: {}", body.unwrap_or_default())).unwrap();
        if refused { Err(Some(Condition::RecipientUnavailable.into())) } else { Ok(()) }
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn wake(&mut self) -> Flow {
        Flow::Stop
    }
}

fn sip_uri(user: &str) -> String {
    format!("sip:{user}@sip.example.com")
}

/// A running phone process.
struct Scene {
    facts: End,
    notes: mpsc::Receiver<Note>,
    messages: mpsc::Receiver<String>,
    calls_asked: mpsc::Receiver<()>,
    stop: UnixStream,
    process: JoinHandle<()>,
}

impl Scene {
    fn start(table: &[Entry]) -> Self {
        Self::start_with(table, 0)
    }

    /// With a registrar that knows of its contacts when it is asked for the second, third ... time.
    fn start_with(table: &[Entry], asked: u32) -> Self {
        let asked = if asked > 0 { asked + 1 } else { 0 };
        let (facts, told) = store::pair().unwrap();
        let (stop, wake) = UnixStream::pair().unwrap();
        let (note, notes) = mpsc::channel();
        let (message, messages) = mpsc::channel();
        let (ask, calls_asked) = mpsc::channel();
        let config = Phones {
            url: "sqlite:///unused".into(),
            table: "xmpp_account".to_owned(),
            poll: None,
            looks: Looks::default(),
            options: Options::default(),
            login_rate: 100,
            clear: ShowPassword::Allowed,
            roots: Arc::new(RootCertStore::empty()),
            rate_limit: RateLimit { jid: 1, domain: 0 },
        };
        let table = table.to_vec();
        let process = thread::spawn(move || {
            let mut registrar = FakeRegistrar { table, notes: note, messages: message, calls_asked: ask, wake, asked };
            phones::run(&mut registrar, &config, &told);
        });
        Self { facts, notes, messages, calls_asked, stop, process }
    }

    fn is(&self, user: &str, state: State) {
        let mut datagram = Vec::new();
        phone_datagram::encode(&Told::Fact(Fact { user: sip_uri(user), what: What::Told(state) }), &mut datagram);
        self.facts.send(&datagram).unwrap();
    }

    /// The table is to be read anew.
    fn reload(&self) {
        let mut datagram = Vec::new();
        phone_datagram::encode(&Told::Reload, &mut datagram);
        self.facts.send(&datagram).unwrap();
    }

    /// A message to a phone has come to nothing, as a worker knows later.
    fn answer(&self, from: &str, xml: &str) {
        let mut datagram = Vec::new();
        phone_datagram::encode(&Told::Answer { from: from.to_owned(), xml: xml.to_owned() }, &mut datagram);
        self.facts.send(&datagram).unwrap();
    }

    /// The next thing that is written down as wrong with an account.
    fn trouble(&self) -> String {
        loop {
            let note = self.notes.recv_timeout(PATIENCE).unwrap();
            if let Some(trouble) = note.trouble.filter(|trouble| !trouble.is_empty()) {
                return format!("{}: {trouble}", note.user);
            }
        }
    }

    /// Stops it; what was last kept of the session.
    fn stop(self) -> String {
        drop(self.stop);
        self.process.join().unwrap();
        self.notes.try_iter().filter_map(|note| note.session).last().unwrap_or_default()
    }
}

/// What a connection manager does with a request.
enum Reply {
    /// Answers with a body of this content.
    Body(String),
    /// Answers with this, whatever it is.
    Raw(String),
    /// Holds it.
    Hold,
    /// Closes the connection.
    Reset,
}

/// A connection manager: requests come out, in the order in which they were made.
struct Manager {
    url: String,
    requests: mpsc::Receiver<Element>,
    held: Held,
}

/// Connections whose request is held, by request number.
type Held = Arc<Mutex<HashMap<u64, TcpStream>>>;

impl Manager {
    fn start(script: impl Fn(&Element) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/http-bind", listener.local_addr().unwrap());
        let (sender, requests) = mpsc::channel();
        let (script, held) = (Arc::new(script), Held::default());
        let shared = Arc::clone(&held);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (script, sender, held) = (Arc::clone(&script), sender.clone(), Arc::clone(&shared));
                thread::spawn(move || serve(stream.unwrap(), &*script, &sender, &held));
            }
        });
        Self { url, requests, held }
    }

    /// Answers the request that is held, once there is one: a request is told of before it is held.
    fn release(&self, content: &str) {
        self.release_with(&body(content));
    }

    fn release_with(&self, text: &str) {
        let patience = Instant::now() + PATIENCE;
        let earliest = || {
            let mut held = self.held.lock().unwrap();
            let rid = held.keys().copied().min()?;
            held.remove(&rid)
        };
        let stream = loop {
            match earliest() {
                Some(stream) => break stream,
                None if Instant::now() < patience => thread::sleep(Duration::from_millis(1)),
                None => panic!("no request is held"),
            }
        };
        answer(&stream, text);
    }

    fn request(&self) -> Element {
        self.requests.recv_timeout(PATIENCE).unwrap()
    }

    /// The next request with presence in it: what it shows.
    fn shown(&self) -> String {
        loop {
            if let Some(presence) = self.request().child("presence", ns::CLIENT) {
                let show = presence.child("show", ns::CLIENT).map(|show| show.text().into_owned());
                return show.or_else(|| presence.attribute("type").map(str::to_owned)).unwrap_or_else(|| "online".to_owned());
            }
        }
    }
}

impl Manager {
    /// The next message in a request: its first error condition, or nothing.
    fn message(&self) -> String {
        loop {
            if let Some(message) = self.request().child("message", ns::CLIENT) {
                let error = message.child("error", ns::CLIENT).unwrap();
                let condition = error.children().next().unwrap().name();
                return format!("{condition} to {}", message.attribute("to").unwrap());
            }
        }
    }
}

fn serve(stream: TcpStream, script: &(impl Fn(&Element) -> Reply + ?Sized), requests: &mpsc::Sender<Element>, held: &Held) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        let mut content = vec![0; length];
        reader.read_exact(&mut content).unwrap();
        let request = Element::parse(std::str::from_utf8(&content).unwrap()).unwrap();
        let reply = script(&request);
        let rid = request.attribute("rid").unwrap().parse().unwrap();
        requests.send(request).unwrap_or_default();
        // Who says something else is not to be held any longer.
        let before: Vec<TcpStream> = held.lock().unwrap().drain().map(|(_, stream)| stream).collect();
        before.iter().for_each(|earlier| answer(earlier, &body("")));
        match reply {
            Reply::Body(content) => answer(&stream, &body(&content)),
            Reply::Raw(text) => answer(&stream, &text),
            Reply::Hold => {
                held.lock().unwrap().insert(rid, stream.try_clone().unwrap());
            }
            Reply::Reset => return stream.shutdown(std::net::Shutdown::Both).unwrap_or_default(),
        }
    }
}

fn answer(mut stream: &TcpStream, text: &str) {
    let _ = write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{text}", text.len());
}

fn body(content: &str) -> String {
    format!("<body sid='s1' wait='60' requests='2' inactivity='30' maxpause='120' xmlns='{}'>{content}</body>", ns::HTTPBIND)
}

/// A server that lets everybody in, and holds what says nothing.
fn hospitable(request: &Element) -> Reply {
    const FEATURES: &str = "<stream:features xmlns:stream='http://etherx.jabber.org/streams'>";
    let child = request.children().next().map(|child| (child.name(), child));
    let is_new = request.attribute("to").is_some();
    if request.attribute("type") == Some("terminate") {
        return Reply::Raw(format!("<body type='terminate' xmlns='{}'/>", ns::HTTPBIND));
    }
    if request.attribute("pause").is_some() {
        return Reply::Body(String::new());
    }
    Reply::Body(match child {
        None if is_new && request.attribute("ver").is_some() => {
            format!("{FEATURES}<mechanisms xmlns='{}'><mechanism>PLAIN</mechanism></mechanisms></stream:features>", ns::SASL)
        }
        None if is_new => format!("{FEATURES}<bind xmlns='{}'/></stream:features>", ns::BIND),
        Some(("auth", _)) => format!("<success xmlns='{}'/>", ns::SASL),
        Some(("iq", iq)) if iq.attribute("id") == Some("bind") => format!(
            "<iq xmlns='jabber:client' type='result' id='bind'><bind xmlns='{}'><jid>juliet@example.com/SIP-phone</jid></bind></iq>",
            ns::BIND
        ),
        Some(_) | None => return Reply::Hold,
    })
}

fn entry(user: &'static str, manager: &Manager) -> Entry {
    Entry { user, url: manager.url.clone(), session: String::new(), resource: "" }
}

/// A process that is new, and one whose accounts are new, know of no call.
#[test]
fn whenever_accounts_are_read_it_is_asked_who_is_in_a_call() {
    let scene = Scene::start(&[]);
    scene.calls_asked.recv_timeout(PATIENCE).unwrap();
    scene.reload();
    scene.calls_asked.recv_timeout(PATIENCE).unwrap();
    scene.stop();
}

#[test]
fn a_phone_is_shown_from_its_first_registration_to_its_last() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("juliet", &manager)]);
    for (state, shown) in [
        (State::Online, "online"),
        (State::OnThePhone, "dnd"),
        (State::StillOnThePhone, ""),
        (State::StillOnline, "online"),
        (State::Offline, "unavailable"),
    ] {
        scene.is("juliet", state);
        if !shown.is_empty() {
            assert_eq!(manager.shown(), shown);
        }
    }
    scene.is("juliet", State::Online);
    assert_eq!(manager.shown(), "online", "by a login of its own");
    scene.stop();
}

#[test]
fn a_request_whose_connection_broke_comes_again_to_the_byte() {
    let broken = Mutex::new(true);
    let manager = Manager::start(move |request| match request.child("presence", ns::CLIENT) {
        Some(_) if std::mem::replace(&mut *broken.lock().unwrap(), false) => Reply::Reset,
        Some(_) | None => hospitable(request),
    });
    let scene = Scene::start(&[entry("juliet", &manager)]);
    scene.is("juliet", State::Online);
    let first = loop {
        let request = manager.request();
        if request.child("presence", ns::CLIENT).is_some() {
            break request;
        }
    };
    assert_eq!(manager.request(), first);
    scene.stop();
}

#[test]
fn one_server_that_does_not_answer_holds_up_no_other() {
    let silent = Manager::start(|_| Reply::Hold);
    let page = Manager::start(|_| Reply::Raw("<html><body>Please log in</body></html>".to_owned()));
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("romeo", &silent), entry("nurse", &page), entry("juliet", &manager)]);
    for user in ["romeo", "nurse", "juliet"] {
        scene.is(user, State::Online);
    }
    assert_eq!(manager.shown(), "online");
    assert_eq!(scene.trouble(), "sip:nurse@sip.example.com: what answers is no BOSH connection manager");
    scene.is("juliet", State::OnThePhone);
    assert_eq!(manager.shown(), "dnd");
    scene.stop();
}

#[test]
fn a_wrong_password_is_written_down_and_not_tried_again_and_again() {
    let manager = Manager::start(|request| match request.child("auth", ns::SASL) {
        Some(_) => Reply::Body(format!("<failure xmlns='{}'><not-authorized/></failure>", ns::SASL)),
        None => hospitable(request),
    });
    let other = Manager::start(hospitable);
    let scene = Scene::start(&[entry("romeo", &manager), entry("juliet", &other)]);
    scene.is("romeo", State::Online);
    assert_eq!(scene.trouble(), "sip:romeo@sip.example.com: the server refuses the login: not-authorized");
    let creation = |request: &Element| request.attribute("ver").is_some();
    assert_eq!(manager.requests.try_iter().filter(creation).count(), 1);
    scene.is("juliet", State::Online);
    assert_eq!(other.shown(), "online");
    assert_eq!(manager.requests.try_iter().filter(creation).count(), 0);
    scene.stop();
}

#[test]
fn a_session_goes_on_after_a_restart() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("juliet", &manager)]);
    scene.is("juliet", State::Online);
    assert_eq!(manager.shown(), "online");
    let session = scene.stop();
    let last = manager.requests.try_iter().last().unwrap();
    assert_eq!(last.attribute("pause"), Some("120"));
    let scene = Scene::start(&[Entry { session, ..entry("juliet", &manager) }]);
    scene.is("juliet", State::OnThePhone);
    let numbers = |request: &Element| {
        (request.attribute("sid").map(str::to_owned), request.attribute("rid").unwrap().parse::<u64>().unwrap())
    };
    let (sid, rid) = numbers(&manager.request());
    assert_eq!(sid.as_deref(), Some("s1"), "no login");
    assert!((0..=1).contains(&(rid - numbers(&last).1)));
    scene.stop();
}

#[test]
fn a_session_that_will_not_go_on_is_ended_when_the_server_stops() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[Entry { resource: "SIP-{phone}", ..entry("juliet", &manager) }]);
    scene.is("juliet", State::Online);
    assert_eq!(manager.shown(), "online");
    assert_eq!(scene.stop(), "", "the row has room for the session of one phone");
    assert_eq!(manager.requests.try_iter().last().unwrap().attribute("type"), Some("terminate"));
}

#[test]
fn a_session_that_is_forgotten_is_followed_by_a_login() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("juliet", &manager)]);
    scene.is("juliet", State::Online);
    assert_eq!(manager.shown(), "online");
    let session = scene.stop();
    let first = Mutex::new(true);
    let later = Manager::start(move |request| {
        if std::mem::replace(&mut *first.lock().unwrap(), false) {
            return Reply::Raw(format!("<body type='terminate' condition='item-not-found' xmlns='{}'/>", ns::HTTPBIND));
        }
        hospitable(request)
    });
    let session = session.replace(&manager.url, &later.url);
    let scene = Scene::start(&[Entry { session, ..entry("juliet", &later) }]);
    scene.is("juliet", State::OnThePhone);
    assert!(later.request().attribute("sid").is_some());
    assert!(later.request().attribute("ver").is_some());
    assert_eq!(later.shown(), "dnd");
    scene.stop();
}

#[test]
fn who_was_refused_is_not_asked_again_by_coming_back() {
    let manager = Manager::start(|request| match request.child("auth", ns::SASL) {
        Some(_) => Reply::Body(format!("<failure xmlns='{}'><not-authorized/></failure>", ns::SASL)),
        None => hospitable(request),
    });
    let other = Manager::start(hospitable);
    let scene = Scene::start(&[entry("romeo", &manager), entry("juliet", &other)]);
    scene.is("romeo", State::Online);
    scene.trouble();
    scene.is("romeo", State::Offline);
    scene.is("juliet", State::Online);
    assert_eq!(other.shown(), "online");
    manager.requests.try_iter().count();
    scene.is("romeo", State::Online);
    scene.is("juliet", State::OnThePhone);
    assert_eq!(other.shown(), "dnd");
    assert_eq!(manager.requests.try_iter().count(), 0);
    scene.stop();
}

#[test]
fn who_was_refused_is_tried_again_when_the_table_is_read_anew() {
    let refused = Mutex::new(true);
    let manager = Manager::start(move |request| match request.child("auth", ns::SASL) {
        Some(_) if std::mem::replace(&mut *refused.lock().unwrap(), false) => {
            Reply::Body(format!("<failure xmlns='{}'><account-disabled/></failure>", ns::SASL))
        }
        Some(_) | None => hospitable(request),
    });
    let scene = Scene::start(&[entry("romeo", &manager)]);
    scene.is("romeo", State::Online);
    assert_eq!(scene.trouble(), "sip:romeo@sip.example.com: the server refuses the login: account-disabled");
    scene.reload();
    assert_eq!(manager.shown(), "online");
    scene.stop();
}

#[test]
fn a_session_that_is_up_forgets_how_often_it_was_sent_on() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("juliet", &manager)]);
    scene.is("juliet", State::Online);
    for _ in 0..5 {
        assert_eq!(manager.shown(), "online");
        manager.release_with(&format!(
            "<body type='terminate' condition='see-other-uri' xmlns='{}'><uri>{}</uri></body>",
            ns::HTTPBIND,
            manager.url
        ));
    }
    assert_eq!(manager.shown(), "online");
    scene.stop();
}

#[test]
fn who_asks_more_than_can_be_answered_ends_no_session() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("juliet", &manager)]);
    scene.is("juliet", State::Online);
    assert_eq!(manager.shown(), "online");
    let id = "x".repeat(100);
    let ask =
        format!("<iq xmlns='jabber:client' type='get' id='{id}' from='eve@example.net/o'><ping xmlns='urn:xmpp:ping'/></iq>");
    manager.release(&ask.repeat(1000));
    let answers = loop {
        let request = manager.request();
        assert_eq!(request.attribute("type"), None, "the session goes on");
        let answers = request.children().filter(|child| child.attribute("id") == Some(&id)).count();
        if answers > 0 {
            break answers;
        }
    };
    assert!(answers < 1000, "{answers}");
    scene.is("juliet", State::OnThePhone);
    assert_eq!(manager.shown(), "dnd", "there is room for what the phone says");
    scene.stop();
}

#[test]
fn a_session_that_another_has_thrown_out_does_not_throw_it_out_again() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("juliet", &manager)]);
    scene.is("juliet", State::Online);
    assert_eq!(manager.shown(), "online");
    manager.release_with(&format!(
        "<body type='terminate' condition='remote-stream-error' xmlns='{}'><stream:error xmlns:stream='{}'>\
         <conflict xmlns='{}'/></stream:error></body>",
        ns::HTTPBIND,
        ns::STREAMS,
        ns::STREAM_ERRORS
    ));
    assert_eq!(scene.trouble(), "sip:juliet@sip.example.com: conflict");
    assert!(manager.requests.try_iter().all(|request| request.attribute("ver").is_none()), "no login");
    scene.stop();
}

#[test]
fn a_session_of_another_account_is_not_gone_on_with() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("juliet", &manager)]);
    scene.is("juliet", State::Online);
    assert_eq!(manager.shown(), "online");
    let session = scene.stop().replace("juliet@", "romeo@");
    manager.requests.try_iter().count();
    let scene = Scene::start(&[Entry { session, ..entry("juliet", &manager) }]);
    scene.is("juliet", State::Online);
    assert!(manager.request().attribute("ver").is_some(), "a login");
    scene.stop();
}

#[test]
fn who_is_registered_when_the_registrar_has_read_its_contacts_is_shown() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start_with(&[entry("juliet", &manager)], 2);
    assert_eq!(manager.shown(), "online");
    scene.stop();
}

#[test]
fn a_message_to_the_phone_reaches_it() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("juliet", &manager)]);
    scene.is("juliet", State::Online);
    assert_eq!(manager.shown(), "online");
    manager.release("<message xmlns='jabber:client' type='chat' from='romeo@example.net/o'><body>Hi</body></message>");
    assert_eq!(scene.messages.recv_timeout(PATIENCE).unwrap(), "sip:juliet@sip.example.com: Hi");
    scene.stop();
}

#[test]
fn what_stands_behind_the_word_that_tls_begins_is_not_taken_for_encrypted() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = listener.local_addr().unwrap().to_string();
    let scene = Scene::start(&[Entry { user: "juliet", url, session: String::new(), resource: "" }]);
    scene.is("juliet", State::Online);
    let (mut stream, _) = listener.accept().unwrap();
    // All of it in one write, as somebody on the way can have it.
    let features = |content: &str| format!("<stream:features>{content}</stream:features>");
    let text = [
        format!("<stream:stream xmlns='jabber:client' xmlns:stream='{}' version='1.0'>", ns::STREAMS),
        features(&format!("<starttls xmlns='{}'/>", ns::TLS)),
        format!("<proceed xmlns='{}'/>", ns::TLS),
        features(&format!("<mechanisms xmlns='{}'><mechanism>PLAIN</mechanism></mechanisms>", ns::SASL)),
    ];
    stream.write_all(text.concat().as_bytes()).unwrap();
    assert_eq!(scene.trouble(), "sip:juliet@sip.example.com: the server goes on before TLS has begun");
    scene.stop();
}

/// What a second client of somebody says to the phone.
fn says(text: &str) -> String {
    format!(
        "<message xmlns='jabber:client' type='chat' id='m1' from='romeo@example.net/o' to='juliet@example.com/SIP-phone'><body>{text}</body></message>"
    )
}

#[test]
fn who_says_something_to_a_phone_that_does_not_take_it_is_told() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("juliet", &manager)]);
    scene.is("juliet", State::Online);
    assert_eq!(manager.shown(), "online");
    manager.release(&says("Bye"));
    assert_eq!(manager.message(), "recipient-unavailable to romeo@example.net/o");
    let late = "<message type='error' to='romeo@example.net/p'><error type='cancel'>\
        <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";
    scene.answer("juliet@example.com/other", &late.replace("/p'", "/q'"));
    scene.answer("juliet@example.com/SIP-phone", late);
    assert_eq!(manager.message(), "item-not-found to romeo@example.net/p", "the other one is of a session that is not there");
    // Servers hand on what was sent to the account, as its sender has spelled it.
    scene.answer("Juliet@EXAMPLE.com", &late.replace("/p'", "/r'"));
    assert_eq!(manager.message(), "item-not-found to romeo@example.net/r");
    scene.stop();
}

#[test]
fn what_came_while_a_session_logs_in_is_said_when_it_is_up() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("juliet", &manager)]);
    let late = "<message type='error' to='romeo@example.net/p'><error type='cancel'>\
        <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>";
    scene.answer("juliet@example.com/SIP-phone", late);
    scene.is("juliet", State::Online);
    assert_eq!(manager.message(), "item-not-found to romeo@example.net/p");
    scene.stop();
}

#[test]
fn who_sends_too_many_messages_waits() {
    let manager = Manager::start(hospitable);
    let scene = Scene::start(&[entry("juliet", &manager)]);
    scene.is("juliet", State::Online);
    assert_eq!(manager.shown(), "online");
    // More than ten seconds have room for, at one a second.
    manager.release(&says("Hi").repeat(30));
    assert_eq!(manager.message(), "policy-violation to romeo@example.net/o");
    let taken = scene.messages.try_iter().count();
    assert!((10..30).contains(&taken), "{taken} were taken");
    scene.stop();
}
