//! The XMPP process against a host that a test can make fail, and an XMPP server that is a socket: what no real server can be asked
//! to do. The real ones are in tests/e2e.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use xmpp_gateway::calls::Begun;
use xmpp_gateway::calls::CallKey;
use xmpp_gateway::calls::Ending;
use xmpp_gateway::calls::Event;
use xmpp_gateway::calls::Parties;
use xmpp_gateway::calls::What;
use xmpp_gateway::config::Config;
use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::action::Authorization;
use xmpp_gateway::link;
use xmpp_gateway::link::store::End;
use xmpp_gateway::process;
use xmpp_gateway::process::host::Flow;
use xmpp_gateway::process::host::Host;
use xmpp_gateway::process::host::HostError;
use xmpp_gateway::process::host::Readiness;
use xmpp_gateway::sip;
use xmpp_gateway::sip::dialog_info::NameAddress;
use xmpp_gateway::translate::call::UserCall;
use xmpp_gateway::worker::Judgement;
use xmpp_gateway::worker::ScriptResult;
use xmpp_gateway::worker::Worker;

#[path = "process/phones.rs"]
mod phones;
#[path = "process/queue.rs"]
mod queue;
#[path = "process/store.rs"]
mod store;
#[path = "process/undelivered.rs"]
mod undelivered;

const PATIENCE: Duration = Duration::from_secs(20);

/// What the host was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Call {
    Message(String),
    Publish(String),
    Subscribe(String),
    Notify(String, String),
    /// The phone process is told of a user: in a call, or not.
    Phone(String, bool),
}

struct FakeHost {
    calls: mpsc::Sender<Call>,
    wake: UnixStream,
    /// How often the phone process has no room.
    no_room: u32,
}

impl Host for FakeHost {
    fn message(&mut self, message: &sip::Message) -> Result<(), HostError> {
        let body = String::from_utf8_lossy(&message.body).into_owned();
        match body.as_str() {
            "panic" => panic!("asked to"),
            "refuse" => return Err(HostError::Memory),
            _ => self.calls.send(Call::Message(body)).unwrap(),
        }
        Ok(())
    }

    fn readiness(&self) -> Readiness {
        Readiness::Ready
    }

    fn publish(&mut self, publish: &sip::Publish) -> Result<(), HostError> {
        self.calls.send(Call::Publish(publish.presentity.to_string())).unwrap();
        Ok(())
    }

    fn publishes_one_by_one(&self) -> bool {
        false
    }

    fn withdraw(&mut self, _: &sip::Withdrawal) -> Result<(), HostError> {
        Ok(())
    }

    fn lamp(&mut self, _: &sip::Publish) -> Result<(), HostError> {
        Ok(())
    }

    fn publish_call(
        &mut self,
        _: &xmpp_gateway::calls::publisher::Publication,
    ) -> Result<xmpp_gateway::process::host::Taken, HostError> {
        Ok(xmpp_gateway::process::host::Taken::Done)
    }

    fn takes_calls(&self) -> bool {
        true
    }

    fn call_changed(&mut self, user: &str, call: Option<&UserCall>) -> bool {
        // It has room until somebody is in no call any more.
        if call.is_none() && self.no_room > 0 {
            self.no_room -= 1;
            return false;
        }
        self.calls.send(Call::Phone(user.to_owned(), call.is_some())).unwrap();
        true
    }

    fn restored_calls(&mut self) -> Vec<xmpp_gateway::calls::Event> {
        Vec::new()
    }

    fn subscribe(&mut self, subscribe: &sip::Subscribe) -> Result<(), HostError> {
        self.calls.send(Call::Subscribe(subscribe.presentity.to_string())).unwrap();
        Ok(())
    }

    fn notify(&mut self, notify: &sip::Notify) -> Result<(), HostError> {
        self.calls.send(Call::Notify(notify.dialog.remote_target().to_owned(), notify.headers.to_string())).unwrap();
        Ok(())
    }

    fn watchers_changed(&mut self, _presentity: &sip::Uri) -> Result<(), HostError> {
        Ok(())
    }

    #[cfg(feature = "bench")]
    fn bare_request(&mut self, _message: &sip::Message) -> Result<(), HostError> {
        Ok(())
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn wake(&mut self) -> Flow {
        Flow::Stop
    }

    fn tick(&mut self) {}
}

/// A running XMPP process, and what surrounds it.
struct Scene {
    server: TcpListener,
    worker: Worker,
    calls: mpsc::Receiver<Call>,
    stop: UnixStream,
    process: JoinHandle<()>,
}

impl Scene {
    /// Nothing waits in a queue: a worker is told so when the stream is down.
    fn start() -> Self {
        Self::start_with(|_, _| {})
    }

    /// So many stanzas may wait for a peer domain.
    fn with_queue(size: i64) -> Self {
        Self::start_with(|parameters, _| parameters.queue_size = Some(size))
    }

    /// `change` gets the usual parameters and the port of the server.
    fn start_with(change: impl FnOnce(&mut Parameters, u16)) -> Self {
        Self::start_on(None, change)
    }

    /// The same with a line to a store process.
    fn start_on(line: Option<End>, change: impl FnOnce(&mut Parameters, u16)) -> Self {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = server.local_addr().unwrap().port();
        let mut parameters = Parameters {
            xmpp_domain: Some("sip.example.com".into()),
            xmpp_port: Some(port.into()),
            xmpp_password: Some("secret".into()),
            server_address: Some("sip:gateway@127.0.0.1".into()),
            queue_size: Some(0),
            ..Parameters::default()
        };
        change(&mut parameters, port);
        let config = Config::from_parameters(&parameters).unwrap();
        let (sender, receiver) = link::pair().unwrap();
        let worker = Worker::new(&config, sender);
        let (stop, wake) = UnixStream::pair().unwrap();
        let (call, calls) = mpsc::channel();
        let process = thread::spawn(move || {
            let mut host = FakeHost { calls: call, wake, no_room: 2 };
            process::run(&mut host, &config, &receiver, line.as_ref());
        });
        Self { server, worker, calls, stop, process }
    }

    /// Takes the next connection and accepts the component, whatever its digest is: that is tested in tests/stream.
    fn accept(&self) -> Peer {
        let mut peer = Peer::of(&self.server);
        assert_eq!(peer.log_in(), "sip.example.com");
        peer
    }

    fn send(&self, body: &str) -> ScriptResult {
        self.send_as("sip:juliet@sip.example.com", "sip:romeo@example.net", body)
    }

    /// Until the workers know that the stream is up.
    fn send_as(&self, from: &str, to: &str, body: &str) -> ScriptResult {
        let request = request(from, to, body);
        for _ in 0..2000 {
            let result = self.worker.send_message(&request);
            if result != ScriptResult::XmppDown {
                return result;
            }
            thread::sleep(Duration::from_millis(5));
        }
        ScriptResult::XmppDown
    }

    /// Until there is room for it.
    fn until_taken(&self, from: &str, body: &str) {
        for _ in 0..2000 {
            if self.send_as(from, "sip:romeo@example.net", body) == ScriptResult::Done {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("no room for \"{body}\" of {from}");
    }

    fn call(&self) -> Call {
        self.calls.recv_timeout(PATIENCE).expect("a call of the host")
    }

    fn stop(mut self) {
        self.stop.write_all(b"x").unwrap();
        self.process.join().expect("the process ends by itself");
    }
}

fn request(from: &str, to: &str, body: &str) -> sip::Request {
    sip::Request {
        request_uri: to.into(),
        from: from.into(),
        to: to.into(),
        call_id: b"call".to_vec(),
        body: body.into(),
        ..sip::Request::default()
    }
}

/// The NOTIFY (presence.winfo) that these SIP users want to see Romeo.
fn waiting(watchers: &[&str]) -> sip::Request {
    let watcher = |uri: &&str| format!("<watcher id='{uri}' event='subscribe' status='pending'>{uri}</watcher>");
    let watchers: String = watchers.iter().map(watcher).collect();
    let body = format!(
        "<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='0' state='full'>\
         <watcher-list resource='sip:romeo@example.net' package='presence'>{watchers}</watcher-list></watcherinfo>"
    );
    sip::Request {
        from: b"sip:romeo@example.net".to_vec(),
        to: b"sip:gateway@127.0.0.1".to_vec(),
        event: Some(b"presence.winfo".to_vec()),
        subscription_state: Some(b"active".to_vec()),
        body: body.into(),
        ..sip::Request::default()
    }
}

struct Peer {
    stream: TcpStream,
    heard: String,
}

impl Peer {
    /// The next connection to this server.
    fn of(server: &TcpListener) -> Self {
        let (stream, _) = server.accept().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { stream, heard: String::new() }
    }

    /// Opens the stream; the domain that the component named.
    fn open(&mut self) -> String {
        self.hear(" to='");
        let domain = self.hear("'>");
        self.say("<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>");
        domain
    }

    fn log_in(&mut self) -> String {
        let domain = self.open();
        self.hear("</handshake>");
        self.say("<handshake/>");
        domain
    }

    /// Ends the stream with this condition.
    fn fail(&mut self, condition: &str) {
        self.say(&format!("<stream:error>{condition}</stream:error></stream:stream>"));
    }

    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until this was heard, and takes it away; what was before it comes back.
    fn hear(&mut self, text: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            if let Some((before, rest)) = self.heard.split_once(text) {
                let before = before.to_owned();
                self.heard = rest.to_owned();
                return before;
            }
            let count =
                self.stream.read(&mut buffer).unwrap_or_else(|error| panic!("{text} not heard in {}: {error}", self.heard));
            assert_ne!(count, 0, "{text} not heard in {} before the end", self.heard);
            self.heard.push_str(std::str::from_utf8(buffer.get(..count).unwrap()).unwrap());
        }
    }

    fn message(&mut self, body: &str) {
        self.say(&format!(
            "<message from='romeo@example.net/orchard' to='juliet@sip.example.com' id='m1' type='chat'><body>{body}</body></message>"
        ));
    }
}

#[test]
fn messages_pass_both_ways_and_the_stream_is_closed_at_the_end() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    assert_eq!(scene.send("to XMPP"), ScriptResult::Done);
    peer.hear("<body>to XMPP</body>");
    peer.message("to SIP");
    assert_eq!(scene.call(), Call::Message("to SIP".into()));
    scene.stop();
    peer.hear("</stream:stream>");
}

/// An XMPP server ends the stream of a component that speaks for another domain (RFC 6120 §4.9.3.9).
#[test]
fn a_sip_user_speaks_for_the_gateways_domain_only() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    for from in ["sip:romeo@example.net", "sip:mallory@evil.example", "sip:mallory@sub.sip.example.com"] {
        assert_eq!(scene.send_as(from, "sip:romeo@example.net", "spoofed").refusal().unwrap().status, 403, "{from}");
        let notify = sip::Request {
            from: from.into(),
            to: b"sip:romeo@example.net".to_vec(),
            event: Some(b"presence".to_vec()),
            subscription_state: Some(b"active".to_vec()),
            ..sip::Request::default()
        };
        assert_eq!(scene.worker.notify(&notify).refusal().unwrap().status, 400, "{from}");
    }
    // And what would come straight back is not sent.
    assert_eq!(scene.send_as("sip:juliet@sip.example.com", "sip:nurse@sip.example.com", "loop").refusal().unwrap().status, 482);
    assert_eq!(scene.send("honest"), ScriptResult::Done);
    let before = peer.hear("<body>honest</body>");
    assert!(!before.contains("</message>") && !before.contains("<presence"), "{before}");
    scene.stop();
}

/// The same for those who want to watch: a presence server takes SUBSCRIBEs from anywhere.
#[test]
fn a_watcher_of_another_domain_is_not_asked_for() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    let notify = waiting(&["sip:mallory@evil.example", "sip:juliet@sip.example.com"]);
    assert_eq!(scene.worker.notify(&notify), ScriptResult::Done);
    assert_eq!(peer.hear(" to='romeo@example.net' type='subscribe' id='ask-1'/>"), "<presence from='juliet@sip.example.com'");
    scene.stop();
}

/// The presence server tells of a new watcher twice: when it subscribes, and all that wait, as `pua_xmpp_req_winfo()` asks for them.
#[test]
fn a_watcher_who_was_decided_on_meanwhile_is_not_asked_for_again() {
    for (answer, decision) in [("subscribed", Authorization::Allowed), ("unsubscribed", Authorization::Refused)] {
        let scene = Scene::start();
        let mut peer = scene.accept();
        let notify = waiting(&["sip:juliet@sip.example.com"]);
        assert_eq!(scene.worker.notify(&notify), ScriptResult::Done);
        peer.hear("type='subscribe' id='ask-1'/>");
        peer.say(&format!("<presence from='romeo@example.net' to='juliet@sip.example.com' type='{answer}'/>"));
        peer.message("after it");
        assert_eq!(scene.call(), Call::Message("after it".into()));
        assert_eq!(scene.worker.judge(b"sip:juliet@sip.example.com", b"sip:romeo@example.net"), Judgement::Decided(decision));
        assert_eq!(scene.worker.notify(&notify), ScriptResult::Done);
        assert_eq!(scene.send("after both"), ScriptResult::Done);
        let heard = peer.hear("<body>after both</body>");
        assert!(!heard.contains("type='subscribe'"), "{heard}");
        scene.stop();
    }
}

/// The table of decisions forgets nothing, and any XMPP user anywhere can say `subscribed`.
#[test]
fn a_decision_counts_only_of_a_user_whose_watchers_were_asked_for() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    let mut decided = || {
        peer.say("<presence from='romeo@example.net' to='juliet@sip.example.com' type='subscribed'/>");
        peer.message("after it");
        assert_eq!(scene.call(), Call::Message("after it".into()));
        scene.worker.judge(b"sip:juliet@sip.example.com", b"sip:romeo@example.net")
    };
    assert_eq!(decided(), Judgement::NotOurs);
    scene.worker.winfo_subscription(b"sip:romeo@example.net", b"").unwrap();
    assert_eq!(scene.worker.judge(b"sip:juliet@sip.example.com", b"sip:romeo@example.net"), Judgement::Undecided);
    assert_eq!(decided(), Judgement::Decided(Authorization::Allowed));
    scene.stop();
}

#[test]
fn what_the_host_refuses_comes_back_as_an_error() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    peer.message("refuse");
    peer.hear("<message type='error' from='juliet@sip.example.com' to='romeo@example.net/orchard' id='m1'>");
    scene.stop();
}

#[test]
fn a_panic_costs_the_connection_and_not_the_process() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    peer.message("panic");
    let mut again = scene.accept();
    again.message("after the panic");
    assert_eq!(scene.call(), Call::Message("after the panic".into()));
    assert_eq!(scene.send("and back"), ScriptResult::Done);
    again.hear("<body>and back</body>");
    scene.stop();
}

#[test]
fn for_a_server_that_does_not_read_nothing_more_is_taken_and_nothing_waits() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    let body = "x".repeat(10_000);
    let mut sent = 0;
    while scene.send(&body) == ScriptResult::Done {
        sent += 1;
        assert!(sent < 100_000, "there is no bound");
    }
    // All that was accepted arrives once the server reads.
    let mut buffer = vec![0; 1 << 20];
    let mut arrived = 0;
    let end = b"</message>";
    let mut tail = Vec::new();
    while arrived < sent {
        let count = match peer.stream.read(&mut buffer) {
            Ok(0) => panic!("the end after {arrived} of {sent}"),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => panic!("{arrived} of {sent}: {error}"),
        };
        tail.extend_from_slice(buffer.get(..count).unwrap());
        arrived += tail.windows(end.len()).filter(|window| window == end).count();
        let kept = tail.len().min(end.len() - 1);
        tail.drain(..tail.len() - kept);
    }
    assert_eq!(arrived, sent);
    scene.stop();
}

/// The server of one component stands still; those of the others know nothing of it.
#[test]
fn a_server_that_does_not_read_holds_up_its_own_component_only() {
    let (scene, mut first, second) = two_components();
    let mut second = Peer::of(&second);
    second.log_in();
    let mut others = 0;
    // Back from the second server: the link was read to here.
    let mut other_passes = || {
        others += 1;
        let body = format!("other {others}");
        scene.until_taken("sip:nurse@sip.example.org", &body);
        second.hear(&format!("<body>{body}</body>"));
    };
    let long = "x".repeat(10_000);
    let mut sent = 0;
    let mut send = || {
        let result = scene.send(&format!("number {sent} {long}"));
        sent += u32::from(result == ScriptResult::Done);
        assert!(sent < 100_000, "there is no bound");
        result
    };
    // A link that is full is full for a moment only.
    while send() == ScriptResult::Done || {
        other_passes();
        send() == ScriptResult::Done
    } {}
    (0..100).for_each(|_| other_passes());
    assert_eq!(send(), ScriptResult::Busy);
    // Whoever reads gets all that was accepted, in its order.
    for number in 0..sent {
        let before = first.hear(&format!("<body>number {number} "));
        assert!(!before.contains("<body>"), "{before}");
    }
    scene.until_taken("sip:juliet@sip.example.com", "it reads again");
    first.hear("<body>it reads again</body>");
    scene.stop();
}

/// Bytes that nobody reads any more must not keep the process from ending: it would be killed, and the host with it.
#[test]
fn a_server_that_writes_and_does_not_read_is_left_in_time() {
    let mut scene = Scene::start();
    let mut peer = scene.accept();
    let body = "x".repeat(10_000);
    while scene.send(&body) == ScriptResult::Done {}
    // Until the process has closed the connection.
    let server = thread::spawn(move || {
        while peer.stream.write_all(b" ").is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    });
    scene.stop.write_all(b"x").unwrap();
    for _ in 0..200 {
        if scene.process.is_finished() {
            break;
        }
        thread::sleep(Duration::from_millis(10));
    }
    assert!(scene.process.is_finished(), "the process does not end");
    server.join().unwrap();
}

#[test]
fn presence_and_subscriptions_reach_the_host() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    peer.say("<presence from='romeo@example.net/orchard' to='juliet@sip.example.com'/>");
    assert_eq!(scene.call(), Call::Publish("sip:romeo@example.net".into()));
    peer.say("<presence from='romeo@example.net' to='juliet@sip.example.com' type='subscribe'/>");
    assert_eq!(scene.call(), Call::Subscribe("sip:juliet@sip.example.com".into()));
    scene.stop();
}

const WINFO: &str = "<watcherinfo xmlns='urn:ietf:params:xml:ns:watcherinfo' version='0' state='full'>\
                     <watcher-list resource='sip:romeo@example.net' package='presence'>\
                     <watcher id='1' event='subscribe' status='pending'>sip:juliet@sip.example.com</watcher>\
                     </watcher-list></watcherinfo>";

/// XEP-0114 §3: a server ends the stream of a component that speaks before it was accepted.
/// A phone whose call has ended was "On the phone" for good.
#[test]
fn what_the_phone_process_has_no_room_for_is_told_again() {
    let scene = Scene::start();
    let key = CallKey { call_id: "c1".into(), from_tag: "f".into(), cseq: 1 };
    let happened = |what| scene.worker.call(&Event { call: key.clone(), what });
    let user = |name: &str| format!("sip:{name}@sip.example.com");
    let address = |name| NameAddress { uri: user(name), display: None };
    happened(What::Begun(Box::new(Begun {
        shown: Parties::BOTH,
        caller: address("juliet"),
        target: None,
        callee: address("nurse"),
        replaces: None,
        referred_by: None,
        lifetime: 3600,
        answered: None,
    })));
    happened(What::Answered { branch: 0, peer: xmpp_gateway::calls::Peer::default(), lifetime: 3600 });
    let told = |name, is_in_call| Call::Phone(user(name), is_in_call);
    assert_eq!([scene.call(), scene.call()], [told("juliet", true), told("nurse", true)]);
    scene.worker.ask_for_calls();
    assert_eq!([scene.call(), scene.call()], [told("juliet", true), told("nurse", true)], "a phone process that is new");
    happened(What::Ended(Ending::Server));
    assert_eq!([scene.call(), scene.call()], [told("juliet", false), told("nurse", false)]);
    scene.stop();
}

#[test]
fn nothing_is_sent_before_the_handshake_is_accepted() {
    let scene = Scene::start();
    // A first connection that breaks: what is said in the pause after it waits for the next.
    drop(Peer::of(&scene.server));
    let notify = sip::Request {
        from: b"sip:romeo@example.net".to_vec(),
        to: b"sip:gateway@127.0.0.1".to_vec(),
        event: Some(b"presence.winfo".to_vec()),
        subscription_state: Some(b"active".to_vec()),
        body: WINFO.into(),
        ..sip::Request::default()
    };
    assert_eq!(scene.worker.notify(&notify), ScriptResult::Done);
    let mut peer = Peer::of(&scene.server);
    peer.open();
    let before = peer.hear("</handshake>");
    assert!(before.starts_with("<handshake>") && !before.contains("<presence"), "{before}");
    assert_eq!(peer.heard, "");
    peer.say("<handshake/>");
    peer.hear(" type='subscribe'");
    scene.stop();
}

/// The capabilities are written by a worker and asked for in the XMPP process: both have to mean the same (XEP-0115 §6.2).
#[test]
fn the_capabilities_in_presence_are_those_of_disco() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    let notify = sip::Request {
        from: b"sip:juliet@sip.example.com".to_vec(),
        to: b"sip:romeo@example.net".to_vec(),
        call_id: b"1".to_vec(),
        cseq: 1,
        event: Some(b"presence".to_vec()),
        subscription_state: Some(b"active".to_vec()),
        body: b"<presence xmlns='urn:ietf:params:xml:ns:pidf' xmlns:c='urn:ietf:params:xml:ns:pidf:cipid' entity='sip:juliet@x'>\
                <tuple id='ID-balcony'><status><basic>open</basic></status><c:display-name>Juliet</c:display-name></tuple></presence>"
            .to_vec(),
        ..sip::Request::default()
    };
    assert_eq!(scene.worker.notify(&notify), ScriptResult::Done);
    peer.hear("<presence from='juliet@sip.example.com/balcony' to='romeo@example.net'>");
    peer.hear("<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='");
    let software = peer.hear("' ver='");
    let node = format!("{software}#{}", peer.hear("'/></presence>"));
    let ask = "<iq from='romeo@example.net/orchard' to='juliet@sip.example.com/balcony' type='get' id='q1'>";
    peer.say(&format!("{ask}<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'/></iq>"));
    peer.hear("<iq type='result' from='juliet@sip.example.com/balcony' to='romeo@example.net/orchard' id='q1'>");
    peer.hear(&format!("<query xmlns='http://jabber.org/protocol/disco#info' node='{node}'>"));
    peer.hear("</iq>");
    peer.say(&format!("{ask}<vCard xmlns='vcard-temp'/></iq>"));
    peer.hear("<vCard xmlns='vcard-temp'><FN>Juliet</FN></vCard>");
    scene.stop();
}

#[test]
fn the_next_server_of_the_list_takes_over() {
    // Nobody listens there any more.
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let second = TcpListener::bind("127.0.0.1:0").unwrap();
    let third = second.local_addr().unwrap();
    let scene = Scene::start_with(|parameters, port| {
        parameters.xmpp_host = Some(format!("{gone}, 127.0.0.1:{port}, {third}"));
    });
    // The first that listens does not want us, the next one does.
    let mut peer = Peer::of(&scene.server);
    peer.open();
    peer.fail("<host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    Peer::of(&second).log_in();
    scene.stop();
}

#[test]
fn a_server_that_says_that_it_stops_is_tried_once_more_before_the_next() {
    let second = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = second.local_addr().unwrap();
    let scene = Scene::start_with(|parameters, port| parameters.xmpp_host = Some(format!("127.0.0.1:{port},{other}")));
    scene.accept().fail("<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    let mut stopping = Peer::of(&scene.server);
    second.set_nonblocking(true).unwrap();
    assert_eq!(second.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    second.set_nonblocking(false).unwrap();
    stopping.open();
    stopping.fail("<system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>");
    Peer::of(&second).log_in();
    scene.stop();
}

#[test]
fn another_host_is_followed_with_the_same_name_and_to_an_end() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").unwrap();
    let scene = Scene::start();
    let send_to = |listener: &TcpListener, address: std::net::SocketAddr| {
        let mut peer = Peer::of(listener);
        assert_eq!(peer.open(), "sip.example.com");
        peer.fail(&format!("<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>{address}</see-other-host>"));
    };
    let [here, there] = [&scene.server, &elsewhere].map(|listener| listener.local_addr().unwrap());
    send_to(&scene.server, there);
    send_to(&elsewhere, here);
    send_to(&scene.server, there);
    send_to(&elsewhere, here);
    // That was once too often: nobody comes back here now.
    scene.server.set_nonblocking(true).unwrap();
    assert_eq!(scene.server.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    scene.stop();
}

#[test]
fn a_silent_server_is_pinged_and_left_if_it_does_not_answer() {
    let scene = Scene::start_with(|parameters, _| {
        parameters.ping_interval = Some(1);
        parameters.ping_timeout = Some(2);
    });
    let mut peer = scene.accept();
    let mut pings = 0;
    // It lives as long as anything comes back.
    while pings < 2 {
        let iq = peer.hear("</iq>");
        assert!(iq.contains("<iq type='get' from='sip.example.com' to='sip.example.com' id='ping-"), "{iq}");
        assert!(iq.contains("<ping xmlns='urn:xmpp:ping'/>"), "{iq}");
        pings += 1;
        peer.say(" ");
    }
    assert_eq!(scene.send("it lives"), ScriptResult::Done);
    peer.hear("<body>it lives</body>");
    // A ping comes back as every XMPP server routes it, and is no stanza of a user: nothing answers it.
    peer.say("<iq type='get' from='sip.example.com' to='sip.example.com' id='ping-2'><ping xmlns='urn:xmpp:ping'/></iq>");
    // The last ping is not answered. The kernel of this machine still takes and acknowledges every byte.
    scene.accept();
    drop(peer);
    scene.stop();
}

#[test]
fn without_pings_there_are_none() {
    let scene = Scene::start_with(|parameters, _| parameters.ping_interval = Some(0));
    let mut peer = scene.accept();
    thread::sleep(Duration::from_secs(3));
    assert_eq!(scene.send("first"), ScriptResult::Done);
    let before = peer.hear("<body>first</body>");
    assert!(!before.contains("<iq"), "{before}");
    scene.stop();
}

/// Two components on two servers, neither of them that of the single parameters.
fn two_components() -> (Scene, Peer, TcpListener) {
    let second = TcpListener::bind("127.0.0.1:0").unwrap();
    let other = second.local_addr().unwrap();
    let scene = Scene::start_with(|parameters, _| {
        parameters.xmpp_domain = None;
        parameters.xmpp_password = None;
        parameters.xmpp_component = vec![
            "domain=sip.example.com;secret=first".into(),
            format!("domain=sip.example.org;host={other};secret=second").as_str().into(),
        ];
    });
    let first = scene.accept();
    (scene, first, second)
}

#[test]
fn each_component_carries_the_stanzas_of_its_own_domain() {
    let (scene, mut first, second) = two_components();
    assert_eq!(scene.send("first"), ScriptResult::Done);
    // The other is not there yet, and says so for its own users only.
    let mut second = Peer::of(&second);
    second.open();
    let request = sip::Request {
        request_uri: b"sip:romeo@example.net".to_vec(),
        from: b"sip:nurse@sip.example.org".to_vec(),
        to: b"sip:romeo@example.net".to_vec(),
        body: b"too early".to_vec(),
        ..sip::Request::default()
    };
    assert_eq!(scene.worker.send_message(&request), ScriptResult::XmppDown);
    second.hear("</handshake>");
    second.say("<handshake/>");
    assert_eq!(scene.send_as("sip:nurse@sip.example.org", "sip:romeo@example.net", "second"), ScriptResult::Done);
    assert_eq!(scene.send_as("sip:o'malley@sip.example.org", "sip:romeo@example.net", "third"), ScriptResult::Done);
    assert_eq!(scene.send("fourth"), ScriptResult::Done);
    let heard = second.hear("<body>third</body>");
    assert!(heard.contains("<body>second</body>") && !heard.contains("first") && !heard.contains("fourth"), "{heard}");
    let heard = first.hear("<body>fourth</body>");
    assert!(heard.contains("<body>first</body>") && !heard.contains("second") && !heard.contains("third"), "{heard}");
    // From one component's users to the other's: SIP all the way, no matter for XMPP.
    assert_eq!(scene.send_as("sip:juliet@sip.example.com", "sip:nurse@sip.example.org", "loop").refusal().unwrap().status, 482);
    scene.stop();
}

#[test]
fn an_answer_goes_back_on_the_stream_of_the_question() {
    let (scene, mut first, second) = two_components();
    let mut second = Peer::of(&second);
    assert_eq!(second.log_in(), "sip.example.org");
    second.say("<message from='romeo@example.net/o' to='juliet@sip.example.com' id='wrong'><body>refuse</body></message>");
    second.say("<message from='romeo@example.net/o' to='nurse@sip.example.org' id='right'><body>refuse</body></message>");
    let heard = second.hear("</message>");
    assert!(heard.contains("from='nurse@sip.example.org' to='romeo@example.net/o' id='right'"), "{heard}");
    // What came for another component was dropped: its answer would be on the first stream by now.
    assert_eq!(scene.send("after it"), ScriptResult::Done);
    let heard = first.hear("<body>after it</body>");
    assert!(!heard.contains("wrong"), "{heard}");
    scene.stop();
}

#[test]
fn a_stream_that_breaks_takes_no_other_along() {
    let (scene, first, second) = two_components();
    let mut second = Peer::of(&second);
    second.log_in();
    assert_eq!(scene.send_as("sip:nurse@sip.example.org", "sip:romeo@example.net", "before"), ScriptResult::Done);
    drop(first);
    drop(scene.accept());
    assert_eq!(scene.send_as("sip:nurse@sip.example.org", "sip:romeo@example.net", "after"), ScriptResult::Done);
    second.hear("<body>after</body>");
    scene.stop();
    second.hear("</stream:stream>");
}

#[test]
fn before_the_stream_is_closed_who_saw_the_gateway_is_told() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    peer.say("<presence from='romeo@example.net' to='sip.example.com' type='probe'/>");
    peer.hear("<presence from='sip.example.com' to='romeo@example.net'><c ");
    scene.stop();
    peer.hear("<presence from='sip.example.com' to='romeo@example.net' type='unavailable'/></stream:stream>");
}

/// Juliet's SUBSCRIBE for Romeo.
fn subscribe() -> sip::Request {
    sip::Request {
        event: Some(b"presence".to_vec()),
        contact: Some(b"sip:juliet@192.0.2.1".to_vec()),
        from_tag: b"theirs".to_vec(),
        ..request("sip:juliet@sip.example.com", "sip:romeo@example.net", "")
    }
}

#[test]
fn a_sip_watcher_is_told_and_a_new_life_knows_no_dialog() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    let subscribe = subscribe();
    let subscription = scene.worker.subscription(&subscribe, || Some(b"ours".to_vec())).unwrap();
    assert_eq!(scene.worker.subscribed(subscription, Ok(())), ScriptResult::Done);
    let Call::Notify(target, headers) = scene.call() else { panic!("no NOTIFY") };
    assert_eq!(target, "sip:juliet@192.0.2.1");
    assert_eq!(headers, "Event: presence\r\nSubscription-State: pending;expires=3600\r\nContact: <sip:gateway@127.0.0.1>\r\n");
    let in_dialog = sip::Request { to_tag: b"ours".to_vec(), cseq: 2, ..subscribe };
    assert!(scene.worker.subscription(&in_dialog, || None).is_ok());
    peer.say("<message from='romeo@example.net' to='juliet@sip.example.com'><body>panic</body></message>");
    scene.accept();
    assert!(matches!(scene.worker.subscription(&in_dialog, || None), Err(ScriptResult::UnknownDialog)));
    scene.stop();
}
