//! The examples of RFC 8048 where an XMPP user watches a SIP user, played from the first stanza to the last: what comes from SIP goes
//! through a worker, as on a server. Juliet has the JID juliet@example.com, Romeo is sip:romeo@example.net.
//!
//! Where the RFC's own examples are wrong, RFC 6665 is followed: From and To of a NOTIFY are those of the notifier and the subscriber (the
//! RFC prints them unswapped), and the NOTIFY that ends a subscription is the notifier's (the RFC has the subscriber send it).

use xmpp_gateway::config::Parameters;
use xmpp_gateway::link;
use xmpp_gateway::link::Inbox;
use xmpp_gateway::link::Received;
use xmpp_gateway::link::Receiver;
use xmpp_gateway::link::datagram;
use xmpp_gateway::sip;
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
}

impl Example {
    fn new() -> Self {
        let config =
            config(&["example.net"], Parameters { rate_limit: Some(0), rate_limit_domain: Some(0), ..Parameters::default() });
        let (sender, receiver) = link::pair().unwrap();
        let mut scene = Scene::before_any_stream(&config);
        assert_eq!(scene.stream_up_of("example.net"), NOTHING);
        Self { scene, worker: Worker::new(&config, sender), receiver, cseq: 232 }
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
