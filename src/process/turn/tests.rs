//! Turns one by one, by a clock of the test's own. The XMPP server is a socket; what it says is in tests/process.rs.

use std::cell::Cell;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use tokio::time::timeout;

use super::*;
use crate::config::Parameters;
use crate::link;
use crate::link::datagram;
use crate::process::host::HostError;
use crate::sip;

const PATIENCE: Duration = Duration::from_secs(20);

const LOGIN: &str = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' id='1'>\
                     <handshake/>";

/// Takes everything, and is ready when it is told to be.
struct FakeHost {
    ready: Rc<Cell<bool>>,
    subscribed: Rc<Cell<bool>>,
    wake: UnixStream,
}

impl FakeHost {
    fn new() -> Self {
        let (_, wake) = UnixStream::pair().unwrap();
        Self { ready: Rc::new(Cell::new(true)), subscribed: Rc::default(), wake }
    }
}

impl Host for FakeHost {
    fn message(&mut self, _: &sip::Message) -> Result<(), HostError> {
        Ok(())
    }

    fn readiness(&self) -> Readiness {
        if self.ready.get() { Readiness::Ready } else { Readiness::Full }
    }

    fn publish(&mut self, _: &sip::Publish) -> Result<(), HostError> {
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

    fn publish_call(&mut self, _: &crate::calls::publisher::Publication) -> Result<crate::process::host::Taken, HostError> {
        Ok(crate::process::host::Taken::Done)
    }

    fn takes_calls(&self) -> bool {
        true
    }

    fn restored_calls(&mut self) -> Vec<crate::calls::Event> {
        Vec::new()
    }

    fn subscribe(&mut self, _: &sip::Subscribe) -> Result<(), HostError> {
        self.subscribed.set(true);
        Ok(())
    }

    fn notify(&mut self, _: &sip::Notify) -> Result<(), HostError> {
        Ok(())
    }

    fn watchers_changed(&mut self, _: &sip::Uri) -> Result<(), HostError> {
        Ok(())
    }

    #[cfg(feature = "bench")]
    fn bare_request(&mut self, _: &sip::Message) -> Result<(), HostError> {
        Ok(())
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn wake(&mut self) -> Flow {
        Flow::Continue
    }

    fn tick(&mut self) {}
}

/// A turn whose component is connected and has begun its login, and what surrounds it.
struct Scene<'a> {
    turn: Turn<'a, FakeHost>,
    peer: TcpStream,
    ready: Rc<Cell<bool>>,
    subscribed: Rc<Cell<bool>>,
}

impl Scene<'_> {
    /// What the server says is read until it has had its effect.
    async fn hear(&mut self, text: &str, effect: impl Fn(&Self) -> bool) {
        self.peer.write_all(text.as_bytes()).unwrap();
        while !effect(self) {
            let streams = &mut self.turn.streams;
            let change = timeout(PATIENCE, poll_fn(|context| poll_change(streams, 0, context))).await;
            let (stream, change) = change.expect("something happens");
            self.turn.changed(stream, change);
            self.turn.write();
        }
    }

    async fn log_in(&mut self) {
        self.hear(LOGIN, |scene| scene.turn.receiver.shared().stream_is_up(0)).await;
    }

    /// Whether the connection stands.
    fn stands(&mut self) -> bool {
        self.peer.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        loop {
            match self.peer.read(&mut buffer) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == io::ErrorKind::WouldBlock,
            }
        }
    }

    /// A tick a second, by a clock that has come so far.
    fn ticks(&mut self, start: Instant, seconds: std::ops::Range<u32>) {
        for second in seconds {
            let now = start.checked_add(Duration::from_secs(second.into())).unwrap();
            let readiness = self.turn.host.readiness();
            self.turn.reads(now, readiness);
            self.turn.tick(now);
        }
    }
}

/// Plays a scene. The server is not asked for signs of life but by `ping`: interval and timeout.
fn play(ping: (i64, i64), test: impl AsyncFnOnce(Scene<'_>)) {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config::from_parameters(&Parameters {
        xmpp_domain: Some("sip.example.com".into()),
        xmpp_port: Some(server.local_addr().unwrap().port().into()),
        xmpp_password: Some("secret".into()),
        server_address: Some("sip:gateway@127.0.0.1".into()),
        ping_interval: Some(ping.0),
        ping_timeout: Some(ping.1),
        ..Parameters::default()
    })
    .unwrap();
    let (_sender, receiver) = link::pair().unwrap();
    let mut host = FakeHost::new();
    let (ready, subscribed) = (Rc::clone(&host.ready), Rc::clone(&host.subscribed));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut calls = crate::calls::publisher::Publisher::new(config.calls.documents.clone(), receiver.shared().keys());
        let mut turn = Turn::new(&mut host, &config, &receiver, &mut calls, Keeper::new(None), Duration::ZERO);
        // Due, then connected.
        for _ in 0..2 {
            let (stream, change) = poll_fn(|context| poll_change(&mut turn.streams, 0, context)).await;
            turn.changed(stream, change);
        }
        turn.write();
        let (peer, _) = server.accept().unwrap();
        test(Scene { turn, peer, ready, subscribed }).await;
    });
}

#[test]
fn while_the_host_is_not_ready_no_server_is_late() {
    for logged_in in [false, true] {
        play((1, 1), async |mut scene: Scene<'_>| {
            if logged_in {
                scene.log_in().await;
            }
            let start = Instant::now();
            scene.ready.set(false);
            scene.ticks(start, 0..60);
            assert!(scene.stands(), "logged in: {logged_in}");
            // It has its time from now on.
            scene.ready.set(true);
            scene.ticks(start, 60..61);
            assert!(scene.stands(), "logged in: {logged_in}");
            // And no more than that.
            scene.ticks(start, 61..90);
            assert!(!scene.stands(), "logged in: {logged_in}");
        });
    }
}

/// A watcher that gave up, of whom the presence server says nothing more, is told so by a tick: the first stanza for longer than a
/// server may take to read one.
#[test]
fn what_a_tick_produces_is_written_before_the_tick_judges_the_stream() {
    play((0, 1), async |mut scene: Scene<'_>| {
        scene.log_in().await;
        let unsubscribe = "<presence from='romeo@example.net' to='juliet@sip.example.com' type='unsubscribe'/>";
        scene.hear(unsubscribe, |scene| scene.subscribed.get()).await;
        scene.turn.tick(Instant::now() + Duration::from_secs(41));
        let mut heard = String::new();
        while !heard.contains("type='unsubscribed'") {
            let mut buffer = [0; 4096];
            let count = scene.peer.read(&mut buffer).unwrap();
            assert_ne!(count, 0, "{heard}");
            heard.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
        }
        assert!(scene.stands());
    });
}

#[test]
fn a_stanza_that_no_component_speaks_for_gives_its_place_back() {
    let parameters = Parameters {
        xmpp_component: vec!["domain=a.example;secret=a".into(), "domain=b.example;secret=b".into()],
        server_address: Some("sip:gateway@127.0.0.1".into()),
        ..Parameters::default()
    };
    let config = Config::from_parameters(&parameters).unwrap();
    let (sender, receiver) = link::pair().unwrap();
    let mut host = FakeHost::new();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut calls = crate::calls::publisher::Publisher::new(config.calls.documents.clone(), receiver.shared().keys());
        let mut turn = Turn::new(&mut host, &config, &receiver, &mut calls, Keeper::new(None), PATIENCE);
        let send = |from: &str| {
            let stanza = format!("<message from='{from}' to='r@x'/>");
            let mut bytes = Vec::new();
            datagram::encode_reserved(&stanza, &mut bytes);
            sender.shared().take_place("x", stanza.len(), 10).unwrap().keep();
            sender.send(&bytes).unwrap();
        };
        for from in ["j@a.example", "j@c.example", "j@b.example"] {
            send(from);
        }
        let mut inbox = Inbox::new();
        turn.take_from_link(&mut inbox).unwrap();
        assert_eq!(sender.shared().fill().stanzas(), 2);
    });
    assert_eq!(sender.shared().fill().stanzas(), 0);
}
