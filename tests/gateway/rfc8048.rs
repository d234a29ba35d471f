//! The examples of RFC 8048 played from the first stanza to the last, section by section: NOTIFYs and replies from SIP go through a worker, as on
//! a server. Juliet has the JID juliet@example.com, Romeo is sip:romeo@example.net. What a single stanza or document becomes is in tests/golden.
//!
//! Where the RFC's own examples are wrong, RFC 6665 is followed: From and To of a NOTIFY are those of the notifier and the subscriber (the
//! RFC prints them unswapped), the NOTIFY that ends a subscription is the notifier's (the RFC has the subscriber send it), and a SUBSCRIBE has
//! a NOTIFY at once (the RFC shows none before the XMPP user has agreed).

use std::time::Duration;

use xmpp_gateway::config::Parameters;
use xmpp_gateway::gateway::action::Authorization;
use xmpp_gateway::gateway::event::Event;
use xmpp_gateway::gateway::event::NotifyReply;
use xmpp_gateway::gateway::event::Place;
use xmpp_gateway::gateway::event::Subscribe;
use xmpp_gateway::link;
use xmpp_gateway::link::Inbox;
use xmpp_gateway::link::Received;
use xmpp_gateway::link::Receiver;
use xmpp_gateway::link::datagram;
use xmpp_gateway::sip;
use xmpp_gateway::sip::Dialog;
use xmpp_gateway::worker::ScriptResult;
use xmpp_gateway::worker::Worker;

use crate::support::NOTHING;
use crate::support::Scene;
use crate::support::config;

const PIDF: &str = "<?xml version='1.0' encoding='UTF-8'?>\
    <presence xmlns='urn:ietf:params:xml:ns:pidf' entity='pres:romeo@example.net'>TUPLES</presence>";

struct Example {
    scene: Scene,
    worker: Worker,
    receiver: Receiver,
    cseq: u32,
    /// How many dialogs Romeo made.
    subscriptions: u64,
}

impl Example {
    fn new() -> Self {
        let config =
            config(&["example.net"], Parameters { rate_limit: Some(0), rate_limit_domain: Some(0), ..Parameters::default() });
        let (sender, receiver) = link::pair().unwrap();
        let mut scene = Scene::before_any_stream(&config);
        assert_eq!(scene.stream_up_of("example.net"), NOTHING);
        Self { scene, worker: Worker::new(&config, sender), receiver, cseq: 232, subscriptions: 0 }
    }

    fn juliet(&mut self, kind: &str) -> Vec<String> {
        self.scene.stanza(&format!("<presence from='juliet@example.com' to='romeo@example.net' type='{kind}'/>"))
    }

    fn notify(&mut self, state: &str, body: &str) -> Vec<String> {
        self.cseq += 1;
        let request = sip::Request {
            from: b"sip:romeo@example.net".to_vec(),
            from_tag: b"yt66".to_vec(),
            to: b"sip:juliet@example.com".to_vec(),
            to_tag: b"xfg9".to_vec(),
            call_id: b"AA5A8BE5-CBB7-42B9-8181-6230012B1E11".to_vec(),
            cseq: self.cseq,
            event: Some(b"presence".to_vec()),
            subscription_state: Some(state.into()),
            content_type: (!body.is_empty()).then(|| b"application/pidf+xml".to_vec()),
            body: body.into(),
            ..sip::Request::default()
        };
        assert_eq!(self.worker.notify(&request), ScriptResult::Done);
        self.deliver()
    }

    fn reply(&mut self, status: u16, headers: &str) -> Vec<String> {
        let raw = format!("SIP/2.0 {status} X\r\n{headers}\r\n");
        let reply = sip::Reply::received(status, b"X", raw.as_bytes());
        self.worker.subscribe_reply(b"sip:juliet@example.com", b"sip:romeo@example.net", &reply);
        self.deliver()
    }

    /// With a dialog in which Romeo sees Juliet on her balcony.
    fn watched() -> Self {
        let mut example = Self::new();
        example.romeo_subscribes(3600, Authorization::Pending);
        example.taken();
        example.juliet("subscribed");
        example.taken();
        example.juliet_is("/balcony", "");
        example.taken();
        example
    }

    fn juliet_is(&mut self, resource: &str, content: &str) -> Vec<String> {
        self.scene.stanza(&format!("<presence from='juliet@example.com{resource}' to='romeo@example.net'>{content}</presence>"))
    }

    /// Romeo's SUBSCRIBE, as a worker hands it over.
    fn romeo(&mut self, cseq: u32, expires: u32, place: Place) -> Vec<String> {
        let call_id = self.subscriptions;
        let dialog = format!("{call_id}\nxfg9\nyt66\nsip:juliet@example.com\nsip:romeo@example.net\nsip:romeo@192.0.2.1\n\n");
        self.scene.event(Event::Subscribe(Subscribe { dialog: Dialog::of(&dialog).unwrap(), cseq, expires, place }))
    }

    fn romeo_subscribes(&mut self, expires: u32, decision: Authorization) -> Vec<String> {
        self.subscriptions += 1;
        let place = Place::Initial { watcher: "romeo@example.net".into(), presentity: "juliet@example.com".into(), decision };
        self.romeo(1, expires, place)
    }

    fn romeo_fetches(&mut self) -> Vec<String> {
        self.romeo_subscribes(0, Authorization::Allowed)
    }

    fn romeo_refreshes(&mut self, expires: u32) -> Vec<String> {
        self.romeo(2, expires, Place::InDialog)
    }

    /// The newest dialog's NOTIFY is answered with 200.
    fn taken(&mut self) -> Vec<String> {
        self.scene.event(Event::NotifyReply(NotifyReply { number: self.subscriptions + 1, status: 200, retry_after: None }))
    }

    fn deliver(&mut self) -> Vec<String> {
        let mut inbox = Inbox::new();
        self.receiver.receive(&mut inbox).unwrap();
        let bytes = inbox.drain().map(|(Received::Stanza(bytes, _) | Received::Event(bytes))| bytes);
        let events: Vec<_> = bytes.map(|bytes| datagram::decode(bytes).unwrap()).collect();
        let lines = events.into_iter().flat_map(|event| self.scene.event(event));
        lines.map(|line| without_capabilities(&line)).collect()
    }
}

/// What an available presence carries besides (XEP-0115) is none of the RFC's.
fn without_capabilities(line: &str) -> String {
    match line.split_once("<c ") {
        Some((before, _)) if before.ends_with("'>") => format!("{}/>", before.trim_end_matches('>')),
        Some((before, _)) => format!("{before}</presence>"),
        None => line.to_owned(),
    }
}

fn presence(kind: &str) -> String {
    format!("<presence from='romeo@example.net' to='juliet@example.com' type='{kind}'/>")
}

fn tuples(tuples: &str) -> String {
    PIDF.replace("TUPLES", tuples)
}

const SUBSCRIBE: [&str; 1] = ["SUBSCRIBE sip:juliet@example.com -> sip:romeo@example.net for 3600"];

/// §5.2.1: 200, a NOTIFY that it is pending, and, when Romeo has agreed, one that it is active.
#[test]
fn an_xmpp_user_subscribes_to_a_sip_user() {
    let mut example = Example::new();
    assert_eq!(example.juliet("subscribe"), SUBSCRIBE);
    assert_eq!(example.reply(200, "Expires: 3600\r\n"), NOTHING);
    assert_eq!(example.notify("pending;expires=3599", ""), NOTHING);
    let orchard =
        tuples("<tuple id='ID-orchard'><status><basic>open</basic><show xmlns='jabber:client'>away</show></status></tuple>");
    assert_eq!(
        example.notify("active;expires=3599", &orchard),
        [
            presence("subscribed"),
            "<presence from='romeo@example.net/orchard' to='juliet@example.com'><show>away</show></presence>".to_owned()
        ]
    );
}

/// §5.2.1: the NOTIFY may come active at once, and without a body.
#[test]
fn a_sip_user_who_has_agreed_before_is_told_to_be_subscribed_to() {
    let mut example = Example::new();
    example.juliet("subscribe");
    assert_eq!(example.reply(200, "Expires: 3600\r\n"), NOTHING);
    assert_eq!(example.notify("active;expires=3599", ""), [presence("subscribed"), presence("unavailable")]);
}

/// §5.2.2: 403, 489 and 603 are the end of an authorization, with which a later refresh may be answered too.
#[test]
fn a_sip_user_takes_the_authorization_back() {
    for status in [403, 489, 603] {
        let mut example = Example::new();
        example.juliet("subscribe");
        example.reply(200, "Expires: 3600\r\n");
        example.notify("active;expires=3599", "");
        assert_eq!(example.reply(status, ""), [presence("unsubscribed")], "{status}");
    }
    let mut example = Example::new();
    example.juliet("subscribe");
    example.notify("active;expires=3599", "");
    assert_eq!(example.notify("terminated;reason=rejected", ""), [presence("unsubscribed")]);
}

/// §5.2.2: Juliet logs in. Her server probes Romeo, whom she sees already, and nobody is asked.
#[test]
fn an_xmpp_user_logs_in() {
    let mut example = Example::new();
    assert_eq!(example.juliet("probe"), SUBSCRIBE, "after a restart of the gateway, say");
    example.reply(200, "Expires: 3600\r\n");
    let orchard = tuples("<tuple id='ID-orchard'><status><basic>open</basic></status></tuple>");
    assert_eq!(
        example.notify("active;expires=3599", &orchard),
        ["<presence from='romeo@example.net/orchard' to='juliet@example.com'/>"]
    );
    let answer: Vec<_> = example.juliet("probe").iter().map(|line| without_capabilities(line)).collect();
    assert_eq!(answer, ["<presence from='romeo@example.net/orchard' to='juliet@example.com'/>"]);
}

/// §5.2.3: SUBSCRIBE with Expires 0, 200, the last NOTIFY, `unsubscribed`.
#[test]
fn an_xmpp_user_unsubscribes() {
    let mut example = Example::new();
    example.juliet("subscribe");
    example.reply(200, "Expires: 3600\r\n");
    example.notify("active;expires=3599", "");
    assert_eq!(example.juliet("unsubscribe"), ["SUBSCRIBE sip:juliet@example.com -> sip:romeo@example.net for 0"]);
    assert_eq!(example.reply(200, "Expires: 0\r\n"), [presence("unsubscribed")]);
    assert_eq!(example.notify("terminated;reason=timeout", ""), NOTHING);
}

/// §6.3: Romeo's device is there, says more, and goes.
#[test]
fn a_sip_user_notifies_of_a_change() {
    let mut example = Example::new();
    example.juliet("subscribe");
    example.notify("active;expires=3599", "");
    let orchard = |status: &str| tuples(&format!("<tuple id='ID-orchard'><status>{status}</status></tuple>"));
    let from = "<presence from='romeo@example.net/orchard' to='juliet@example.com'";
    assert_eq!(
        example.notify("active;expires=499", &orchard("<basic>open</basic><show xmlns='jabber:client'>away</show>")),
        [format!("{from}><show>away</show></presence>")]
    );
    assert_eq!(example.notify("active;expires=400", &orchard("<basic>open</basic>")), [format!("{from}/>")]);
    assert_eq!(example.notify("active;expires=300", &orchard("<basic>closed</basic>")), [format!("{from} type='unavailable'/>")]);
    assert_eq!(example.notify("active;expires=200", ""), NOTHING, "nobody was there before");
}

/// §6.3: a `<presence/>` for each tuple, each from its own resource.
#[test]
fn a_sip_user_has_several_devices() {
    let mut example = Example::new();
    example.juliet("subscribe");
    let both = "<tuple id='ID-orchard'><status><basic>open</basic></status></tuple>\
                <tuple id='ID-desktop'><status><basic>open</basic></status><note>working</note></tuple>";
    assert_eq!(
        example.notify("active", &tuples(both)),
        [
            presence("subscribed"),
            "<presence from='romeo@example.net/desktop' to='juliet@example.com'><status>working</status></presence>".to_owned(),
            "<presence from='romeo@example.net/orchard' to='juliet@example.com'/>".to_owned(),
        ]
    );
}

const PROBE: &str = "<presence from='romeo@example.net' to='juliet@example.com' type='probe'/>";

/// §5.3.1: Juliet is asked, the dialog is pending at once (the RFC shows no NOTIFY here, RFC 6665 §4.2.1.2 wants one), and active when she agrees.
#[test]
fn a_sip_user_subscribes_to_an_xmpp_user() {
    let mut example = Example::new();
    let question = "<presence from='romeo@example.net' to='juliet@example.com' type='subscribe' id='ask-1'/>";
    assert_eq!(example.romeo_subscribes(3600, Authorization::Pending), ["NOTIFY 1 1: pending;expires=3600", question]);
    example.taken();
    let told = [PROBE, "NOTIFY 1 2: active;expires=3600", "sip:juliet@example.com answers romeo@example.net: Allowed"];
    assert_eq!(example.juliet("subscribed"), told);
    example.taken();
    assert_eq!(example.juliet_is("/balcony", ""), ["NOTIFY 1 3: active;expires=3600 ID-balcony=Open"]);
}

/// §5.3.1: she does not.
#[test]
fn an_xmpp_user_declines() {
    let mut example = Example::new();
    example.romeo_subscribes(3600, Authorization::Pending);
    example.taken();
    let refused = "sip:juliet@example.com answers romeo@example.net: Refused";
    assert_eq!(example.juliet("unsubscribed"), ["NOTIFY 1 2: terminated;reason=rejected", "dialog 1 is over", refused]);
}

/// §5.3.2: a refresh is answered with the state.
#[test]
fn a_sip_user_refreshes() {
    let mut example = Example::watched();
    assert_eq!(example.romeo_refreshes(3600), ["NOTIFY 1 4: active;expires=3600 ID-balcony=Open"]);
}

/// §5.3.3: the last NOTIFY says that Juliet is gone, she is told that Romeo is, and the authorization stands (the RFC's text; its example has the
/// subscriber send the NOTIFY).
#[test]
fn a_sip_user_unsubscribes() {
    let mut example = Example::watched();
    let gone = "<presence from='romeo@example.net' to='juliet@example.com' type='unavailable'/>";
    assert_eq!(example.romeo_refreshes(0), ["NOTIFY 1 4: terminated;reason=timeout ID-=Closed", "dialog 1 is over", gone]);
    example.taken();
    let again = example.romeo_subscribes(3600, Authorization::Allowed);
    assert_eq!(again, [PROBE, "NOTIFY 2 1: active;expires=3600"], "she is not asked again");
}

/// §5.3.3: an XMPP user takes the authorization back.
#[test]
fn an_xmpp_user_takes_the_authorization_back() {
    let mut example = Example::watched();
    let refused = "sip:juliet@example.com answers romeo@example.net: Refused";
    assert_eq!(example.juliet("unsubscribed"), ["NOTIFY 1 4: terminated;reason=rejected", "dialog 1 is over", refused]);
}

/// §6.2: each change is a NOTIFY, with a tuple for each resource; the end of presence closes them.
#[test]
fn an_xmpp_user_notifies_of_a_change() {
    let mut example = Example::watched();
    assert_eq!(example.juliet_is("/balcony", "<show>away</show>"), ["NOTIFY 1 4: active;expires=3600 ID-balcony=Openaway"]);
    example.taken();
    assert_eq!(example.juliet_is("/chamber", ""), ["NOTIFY 1 5: active;expires=3600 ID-chamber=Open ID-balcony=Openaway"]);
    example.taken();
    assert_eq!(example.juliet("unavailable"), ["NOTIFY 1 6: active;expires=3600 ID-=Closed"]);
}

/// §7.1: a probe is a SUBSCRIBE outside a dialog; ours lasts, so that the next probe is answered from memory.
#[test]
fn an_xmpp_user_polls() {
    let mut example = Example::new();
    assert_eq!(example.juliet("probe"), SUBSCRIBE);
}

/// §7.2: a SUBSCRIBE for 0 s is a probe where nothing is known, and answered with what is.
#[test]
fn a_sip_user_polls() {
    let mut example = Example::new();
    assert_eq!(example.romeo_fetches(), [PROBE]);
    assert_eq!(example.juliet_is("/balcony", ""), NOTHING, "there may be more");
    assert_eq!(example.scene.pass(Duration::ZERO), ["NOTIFY 1 1: terminated;reason=timeout ID-balcony=Open"]);
    let mut example = Example::watched();
    assert_eq!(example.romeo_fetches(), ["NOTIFY 2 1: terminated;reason=timeout ID-balcony=Open"]);
}
