//! What a phone's session reads from outside: answers of connection managers, host-meta, files of accounts, challenges. Each is a seed of its
//! fuzz target too.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on is a test that fails")]

use std::time::Duration;
use std::time::Instant;

use xmpp_gateway::phone::import;
use xmpp_gateway::xmpp::bosh::Ask;
use xmpp_gateway::xmpp::bosh::Bosh;
use xmpp_gateway::xmpp::bosh::Event;
use xmpp_gateway::xmpp::element::Element;
use xmpp_gateway::xmpp::host_meta;
use xmpp_gateway::xmpp::sasl::Exchange;
use xmpp_gateway::xmpp::sasl::Proof;
use xmpp_gateway::xmpp::sasl::ShowPassword;

mod seeds;

const CREATED: &str = "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams' \
    xmlns:xmpp='urn:xmpp:xbosh' from='example.com' sid='s1' wait='60' requests='2' hold='1' inactivity='30' polling='5' maxpause='120' \
    ver='1.6' xmpp:version='1.0' xmpp:restartlogic='true' authid='ServerStreamID'><stream:features>\
    <mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features></body>";

#[test]
fn a_session_is_made_on_the_terms_of_the_connection_manager() {
    let ask = Ask { to: "example.com".to_owned(), from: None, wait: 60 };
    let mut bosh = Bosh::new(ask, 41);
    let now = Instant::now();
    let creation = bosh.request(now).unwrap();
    bosh.response(now, creation.rid, CREATED.as_bytes());
    assert_eq!(bosh.event(), Some(Event::Created));
    assert!(matches!(bosh.event(), Some(Event::Element(features)) if features.name() == "features"));
    let terms = bosh.terms().unwrap();
    assert_eq!((&*terms.sid, terms.requests, terms.inactivity, terms.longest_pause), ("s1", 2, Duration::from_secs(30), 120));
    // The fuzz target reads actions, each with its bytes: 0 is a response to the newest request, 1 to the one before.
    let said = "<body xmlns='http://jabber.org/protocol/httpbind'><presence xmlns='jabber:client' from='a'/></body>";
    let ended = "<body xmlns='http://jabber.org/protocol/httpbind' xmlns:stream='http://etherx.jabber.org/streams' type='terminate' \
        condition='remote-stream-error'><stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></body>";
    let again = "<body xmlns='http://jabber.org/protocol/httpbind' type='error'/>";
    let elsewhere = "<body xmlns='http://jabber.org/protocol/httpbind' type='terminate' condition='see-other-uri'>\
        <uri>https://b.example.com/bosh</uri></body>";
    let [send, broken, restart, pause, end, later] = [8, 7, 9, 10, 11, 12].map(|action: u8| vec![action << 2]);
    let answer = |action: u8, body: &str| [&[action], body.as_bytes()].concat();
    for steps in [
        vec![answer(0, CREATED), send.clone(), answer(1, said), answer(0, ended)],
        vec![answer(0, CREATED), send, broken.clone(), later.clone(), answer(0, again), later.clone(), answer(0, said)],
        vec![answer(0, CREATED), restart, answer(0, said), pause, later, answer(0, said), end, broken, answer(0, elsewhere)],
        vec![answer(0, elsewhere)],
    ] {
        seeds::keep("bosh", &steps.join(&0xff));
    }
}

#[test]
fn host_meta_names_connection_managers() {
    let document = "<?xml version='1.0' encoding='utf-8'?>\n<XRD xmlns='http://docs.oasis-open.org/ns/xri/xrd-1.0'>\n\
        <Link rel=\"urn:xmpp:alt-connections:xbosh\" href=\"https://example.com:5281/http-bind\" />\n\
        <Link rel='urn:xmpp:alt-connections:websocket' href='wss://example.com/ws' /></XRD>";
    assert_eq!(host_meta::connection_managers(document.as_bytes()), ["https://example.com:5281/http-bind"]);
    for seed in
        [document, &document.replace("https:", "http:"), "<!DOCTYPE html><html><head><link rel='x' href='y'></head></html>"]
    {
        seeds::keep("host_meta", seed.as_bytes());
    }
}

#[test]
fn a_file_of_the_connector_is_accounts() {
    let file = "SIP URI,XMPP username,password,RID,SID,presenceId\nsip:a@sip.example.com,a@example.net,pencil,123456\n\
        # a remark\nsip:b@sip.example.com , b ,\"x,\"\"y\",1,s7,p1\r\nsip:c@sip.example.com,c@example.net\n";
    let (accounts, bad) = import::read(file.as_bytes(), Some("example.net"));
    assert_eq!((accounts.len(), bad.len()), (2, 1));
    seeds::keep("accounts", file.as_bytes());
}

#[test]
fn a_challenge_to_somebody_else_is_wrong() {
    // RFC 7677, section 3.
    let challenge = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    let proof = Proof::Password("pencil".to_owned());
    let offer = "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256</mechanism></mechanisms>";
    let (mut exchange, _) = Exchange::begin("user", &proof, &Element::parse(offer).unwrap(), ShowPassword::Forbidden).unwrap();
    let encoded = data_encoding::BASE64.encode(challenge.as_bytes());
    let element = Element::parse(&format!("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{encoded}</challenge>")).unwrap();
    assert!(exchange.challenge(&element).is_err());
    let success = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
    let key = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$xKSVEDI6tPlSysH6mUQZOeeOp01r6B3fcJbodRPcYV0=";
    for goes_on in [challenge, ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096", ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=100001", ",m=ext,s=,i=1"] {
        seeds::keep("sasl", &[goes_on, success, key].map(str::as_bytes).join(&0xff));
    }
}
