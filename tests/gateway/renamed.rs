//! The operator changes the map of addresses while users watch each other: what comes from SIP goes through a real worker.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use xmpp_gateway::address::map::Map;
use xmpp_gateway::address::map::Row;
use xmpp_gateway::config::Parameters;
use xmpp_gateway::link;
use xmpp_gateway::link::Inbox;
use xmpp_gateway::link::Received;
use xmpp_gateway::link::Receiver;
use xmpp_gateway::link::datagram;
use xmpp_gateway::sip;
use xmpp_gateway::worker::ScriptResult;
use xmpp_gateway::worker::Worker;

use crate::support::*;

const JULIET_URI: &str = "sip:juliet@sip.example.com";
const ROMEO_URI: &str = "sip:romeo@example.net";
const CAPULET: &str = "j.capulet@sip.example.com";
const OPEN: &str = "<presence xmlns='urn:ietf:params:xml:ns:pidf' entity='sip:juliet@sip.example.com'>\
                    <tuple id='ID-balcony'><status><basic>open</basic></status><note>NOTE</note></tuple></presence>";

struct Mapped {
    scene: Scene,
    worker: Worker,
    receiver: Receiver,
    map: Map,
    cseq: u32,
}

impl Mapped {
    fn new(rows: &[(&str, &str)]) -> Self {
        let map = Map::over(Vec::leak((0..4096).map(|_| AtomicU64::new(0)).collect()));
        let mut config =
            config(&[DOMAIN], Parameters { rate_limit: Some(0), rate_limit_domain: Some(0), ..Parameters::default() });
        config.addresses = config.addresses.with_map(map.clone());
        let (sender, receiver) = link::pair().unwrap();
        let worker = Worker::new(&config, sender);
        let mapped = Self { scene: Scene::configured(&config), worker, receiver, map, cseq: 0 };
        mapped.reload(rows);
        mapped
    }

    fn reload(&self, rows: &[(&str, &str)]) {
        let rows: Vec<Row> = rows.iter().map(|(sip, jid)| Row::new(1, sip.as_bytes(), jid.as_bytes(), 0).unwrap()).collect();
        self.map.replace(&rows).unwrap();
    }

    /// A NOTIFY (active, Juliet is open) of the dialog with these URIs reaches a worker, and what the worker makes of it the gateway.
    fn notify(&mut self, from: &str, to: &str) -> Vec<String> {
        self.cseq += 1;
        let request = sip::Request {
            from: from.into(),
            to: to.into(),
            call_id: b"1@gateway".to_vec(),
            cseq: self.cseq,
            event: Some(b"presence".to_vec()),
            subscription_state: Some(b"active;expires=3600".to_vec()),
            // Another state each time: the same one would not be told again.
            body: OPEN.replace("NOTE", &self.cseq.to_string()).into(),
            ..sip::Request::default()
        };
        assert_eq!(self.worker.notify(&request), ScriptResult::Done);
        self.deliver()
    }

    /// The final reply to a SUBSCRIBE with these URIs.
    fn reply(&mut self, watcher: &str, presentity: &str, status: u16) -> Vec<String> {
        let reply = sip::Reply::received(status, b"", b"");
        self.worker.subscribe_reply(watcher.as_bytes(), presentity.as_bytes(), &reply);
        self.deliver()
    }

    fn deliver(&mut self) -> Vec<String> {
        let mut inbox = Inbox::new();
        self.receiver.receive(&mut inbox).unwrap();
        let bytes = inbox.drain().map(|(Received::Stanza(bytes, _) | Received::Event(bytes))| bytes);
        let events: Vec<_> = bytes.map(|bytes| datagram::decode(bytes).unwrap()).collect();
        events.into_iter().flat_map(|event| self.scene.event(event)).map(|line| without_content(&line)).collect()
    }

    /// Romeo watches Juliet and sees her.
    fn watch(&mut self, watcher: &str, presentity: &str) {
        let asked = self.scene.romeo("subscribe");
        assert_eq!(asked, [format!("SUBSCRIBE {watcher} -> {presentity} for 3600")]);
        self.reply(watcher, presentity, 200);
        assert_eq!(self.notify(presentity, watcher), [presence(JULIET, "subscribed"), shown_as(JULIET)]);
    }
}

/// What an available presence carries is not of interest here.
fn without_content(line: &str) -> String {
    match line.split_once("><status>") {
        Some((presence, content)) if content.ends_with("/></presence>") => format!("{presence}/>"),
        Some(_) | None => line.to_owned(),
    }
}

fn shown_as(jid: &str) -> String {
    format!("<presence from='{jid}/balcony' to='{ROMEO}'/>")
}

#[test]
fn a_sip_user_who_gets_another_jid_is_shown_by_the_one_that_was_subscribed_to() {
    let mut mapped = Mapped::new(&[]);
    mapped.watch(ROMEO_URI, JULIET_URI);
    mapped.reload(&[(JULIET_URI, CAPULET)]);
    assert_eq!(mapped.notify(JULIET_URI, ROMEO_URI), [shown_as(JULIET)]);
    assert_eq!(mapped.scene.romeo("probe").iter().map(|line| without_content(line)).collect::<Vec<_>>(), [shown_as(JULIET)]);
}

#[test]
fn it_can_be_given_up_by_the_name_that_was_subscribed_to() {
    let mut mapped = Mapped::new(&[]);
    mapped.watch(ROMEO_URI, JULIET_URI);
    mapped.reload(&[(JULIET_URI, CAPULET)]);
    assert_eq!(mapped.scene.romeo("unsubscribe"), [format!("SUBSCRIBE {ROMEO_URI} -> {JULIET_URI} for 0")]);
    let gone = format!("<presence from='{JULIET}/balcony' to='{ROMEO}' type='unavailable'/>");
    assert_eq!(mapped.reply(ROMEO_URI, JULIET_URI, 200), [gone, presence(JULIET, "unsubscribed")]);
}

#[test]
fn subscribing_to_the_new_jid_ends_the_subscription_to_the_old_one() {
    let mut mapped = Mapped::new(&[]);
    mapped.watch(ROMEO_URI, JULIET_URI);
    mapped.reload(&[(JULIET_URI, CAPULET)]);
    let asked = mapped.scene.stanza(&format!("<presence from='{ROMEO}' to='{CAPULET}' type='subscribe'/>"));
    let gone = format!("<presence from='{JULIET}/balcony' to='{ROMEO}' type='unavailable'/>");
    assert_eq!(asked, [gone, presence(JULIET, "unsubscribed"), format!("SUBSCRIBE {ROMEO_URI} -> {JULIET_URI} for 3600")]);
    assert_eq!(mapped.notify(JULIET_URI, ROMEO_URI), [presence(CAPULET, "subscribed"), shown_as(CAPULET)]);
    let refused = mapped.scene.romeo("subscribe");
    assert!(refused.iter().all(|line| line.contains("type='error'")), "{refused:?}");
}

#[test]
fn an_xmpp_user_who_gets_another_uri_goes_on_watching() {
    let mut mapped = Mapped::new(&[]);
    mapped.watch(ROMEO_URI, JULIET_URI);
    mapped.reload(&[("sip:1001@sip.example.com", ROMEO)]);
    assert_eq!(mapped.notify(JULIET_URI, ROMEO_URI), [shown_as(JULIET)]);
    assert_eq!(mapped.scene.romeo("unsubscribe"), [format!("SUBSCRIBE {ROMEO_URI} -> {JULIET_URI} for 0")]);
}

/// The URI would now be that of a SIP user, who cannot watch from XMPP.
#[test]
fn an_xmpp_user_who_loses_the_uri_goes_on_watching() {
    let uri = "sip:1001@sip.example.com";
    let mut mapped = Mapped::new(&[(uri, ROMEO)]);
    mapped.watch(uri, JULIET_URI);
    mapped.reload(&[]);
    assert_eq!(mapped.notify(JULIET_URI, uri), [shown_as(JULIET)]);
    assert_eq!(mapped.scene.romeo("unsubscribe"), [format!("SUBSCRIBE {uri} -> {JULIET_URI} for 0")]);
}

#[test]
fn two_who_swap_their_names_keep_them_until_they_are_subscribed_to_anew() {
    let (nurse, nurse_uri) = ("nurse@sip.example.com", "sip:nurse@sip.example.com");
    let mut mapped = Mapped::new(&[]);
    mapped.watch(ROMEO_URI, JULIET_URI);
    mapped.scene.stanza(&format!("<presence from='{ROMEO}' to='{nurse}' type='subscribe'/>"));
    mapped.reload(&[(JULIET_URI, nurse), (nurse_uri, JULIET)]);
    assert_eq!(mapped.notify(JULIET_URI, ROMEO_URI), [shown_as(JULIET)]);
    assert_eq!(mapped.notify(nurse_uri, ROMEO_URI), [presence(nurse, "subscribed"), shown_as(nurse)]);
}

#[test]
fn a_reload_that_changes_nothing_for_a_subscription_says_nothing() {
    let mut mapped = Mapped::new(&[(JULIET_URI, CAPULET)]);
    let subscribe = format!("<presence from='{ROMEO}' to='{CAPULET}' type='subscribe'/>");
    mapped.scene.stanza(&subscribe);
    mapped.reload(&[(JULIET_URI, CAPULET), ("sip:other@sip.example.com", "o@sip.example.com")]);
    assert_eq!(mapped.scene.pass(Duration::from_secs(1)), NOTHING);
    assert_eq!(mapped.notify(JULIET_URI, ROMEO_URI), [presence(CAPULET, "subscribed"), shown_as(CAPULET)]);
}

#[test]
fn presence_moves_to_the_new_uri_of_an_xmpp_user() {
    let mut mapped = Mapped::new(&[]);
    let available = format!("<presence from='{ROMEO}/orchard' to='{JULIET}'/>");
    assert_eq!(mapped.scene.stanza(&available), ["PUBLISH sip:romeo@example.net for 3600"]);
    mapped.reload(&[("sip:1001@sip.example.com", ROMEO)]);
    let probe = format!("<presence from='{JULIET}' to='{ROMEO}' type='probe'/>");
    assert_eq!(mapped.scene.pass(Duration::from_secs(1)), [probe]);
    assert_eq!(
        mapped.scene.stanza(&available),
        ["PUBLISH sip:romeo@example.net ends", "PUBLISH sip:1001@sip.example.com for 3600"]
    );
    assert_eq!(mapped.scene.pass(Duration::from_secs(120)), NOTHING);
}

#[test]
fn the_presence_of_who_does_not_answer_is_taken_from_the_old_uri() {
    let mut mapped = Mapped::new(&[]);
    mapped.scene.stanza(&format!("<presence from='{ROMEO}/orchard' to='{JULIET}'/>"));
    mapped.reload(&[("sip:1001@sip.example.com", ROMEO)]);
    mapped.scene.pass(Duration::from_secs(1));
    assert_eq!(mapped.scene.pass(Duration::from_secs(61)), ["PUBLISH sip:romeo@example.net ends"]);
}

/// A server goes on telling the contacts that it knows, by the names that it knows.
#[test]
fn presence_for_a_contact_by_the_old_name_is_taken() {
    let mut mapped = Mapped::new(&[]);
    mapped.reload(&[(JULIET_URI, CAPULET)]);
    let available = format!("<presence from='{ROMEO}/orchard' to='{JULIET}'/>");
    assert_eq!(mapped.scene.stanza(&available), ["PUBLISH sip:romeo@example.net for 3600"]);
    assert_eq!(mapped.scene.romeo("unsubscribed"), ["sip:romeo@example.net answers juliet@sip.example.com: Refused"]);
}

#[test]
fn a_stranger_whose_name_is_of_before_is_not_taken_for_a_watcher() {
    let mut mapped = Mapped::new(&[("sip:1001@sip.example.com", ROMEO)]);
    mapped.reload(&[]);
    assert_eq!(mapped.notify(JULIET_URI, "sip:1001@sip.example.com"), NOTHING);
}
