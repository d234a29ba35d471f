//! What is sent while the stream is down, or left by one that broke.

use std::io::Read;

use xmpp_gateway::worker::ScriptResult;
use xmpp_gateway::worker::ScriptResult::Busy;
use xmpp_gateway::worker::ScriptResult::Done;

use crate::Call;
use crate::Peer;
use crate::Scene;
use crate::request;

#[test]
fn without_a_queue_a_worker_is_told_at_once_that_the_stream_is_down() {
    let scene = Scene::start();
    let request = request("sip:juliet@sip.example.com", "sip:romeo@example.net", "anybody there?");
    assert_eq!(scene.worker.send_message(&request), ScriptResult::XmppDown);
    drop(scene.accept());
    drop(scene.accept());
    scene.stop();
}

#[test]
fn what_is_sent_while_the_stream_is_down_arrives_once_and_in_order() {
    let scene = Scene::with_queue(1000);
    for body in numbered(0..500) {
        assert_eq!(scene.send(&body), ScriptResult::Done);
    }
    let mut peer = scene.accept();
    peer.message("the stream stands");
    assert_eq!(scene.call(), Call::Message("the stream stands".into()));
    for body in numbered(500..600) {
        assert_eq!(scene.send(&body), ScriptResult::Done);
    }
    // What was accepted last is still on the link: it goes out before the end.
    scene.stop();
    let arrived = bodies_to_the_end(peer);
    assert!(arrived == numbered(0..600), "{} of 600, the last: {:?}", arrived.len(), arrived.last());
}

#[test]
fn a_queue_that_is_full_refuses_at_once_and_other_domains_are_not_hurt() {
    let scene = Scene::with_queue(3);
    let send =
        |domain: &str| scene.worker.send_message(&request("sip:juliet@sip.example.com", &format!("sip:romeo@{domain}"), domain));
    let results: Vec<ScriptResult> = (0..5).map(|_| send("example.net")).collect();
    assert_eq!(results, [Done, Done, Done, Busy, Busy]);
    assert_eq!(send("example.org"), Done);
    let mut peer = scene.accept();
    peer.hear("<body>example.org</body>");
    peer.message("the stream stands");
    scene.call();
    // The places are free again: as many may wait for the next stream.
    drop(peer);
    let mut waiting = 0;
    while send("example.net") == Done {
        waiting += 1;
        // Some may still go out before the process sees that the server has gone.
        assert!(waiting < 100_000, "there is no bound");
    }
    assert!(waiting >= 3, "{waiting} waited");
    scene.stop();
}

#[test]
fn what_cannot_be_translated_does_not_wait_for_the_stream() {
    let scene = Scene::with_queue(1000);
    let spoofed = scene.send_as("sip:mallory@evil.example", "sip:romeo@example.net", "spoofed");
    assert!(matches!(spoofed, ScriptResult::Refused(refusal) if refusal.status == 403), "{spoofed:?}");
    drop(scene.accept());
    drop(scene.accept());
    scene.stop();
}

/// The server goes in the middle of a stanza, with much behind it. What the kernel took whole may be lost: XEP-0114 has no
/// acknowledgement. All else arrives, in order, and nothing arrives twice.
#[test]
fn a_stream_that_breaks_in_a_stanza_sends_nothing_twice_and_loses_nothing_that_was_not_written() {
    let scene = Scene::with_queue(60_000);
    let mut peer = scene.accept();
    let long = "x".repeat(10_000);
    let mut sent = 0_u32;
    // More than the kernel takes: the rest stays with the process.
    while scene.send(&format!("number {sent} {long}")) == ScriptResult::Done {
        sent += 1;
    }
    let mut first = vec![0; 1_234_567];
    peer.stream.read_exact(&mut first).unwrap();
    drop(peer);
    let mut again = scene.accept();
    again.message("the stream stands again");
    scene.call();
    assert_eq!(scene.send("the last"), ScriptResult::Done);
    let rest = again.hear("<body>the last</body>");
    let number = |body: &String| body.split(' ').nth(1).unwrap().parse::<u32>().unwrap();
    let first: Vec<u32> = bodies(&String::from_utf8(first).unwrap()).iter().map(number).collect();
    let rest: Vec<u32> = bodies(&rest).iter().map(number).collect();
    assert_eq!(first, (0..u32::try_from(first.len()).unwrap()).collect::<Vec<_>>());
    assert!(first.len() > 100 && rest.len() > 100, "{} and {} of {sent}", first.len(), rest.len());
    // From some number on, beyond those that were read, to the end without a gap.
    assert!(rest[0] >= u32::try_from(first.len()).unwrap(), "{} came twice", rest[0]);
    assert_eq!(rest, (rest[0]..sent).collect::<Vec<_>>());
    scene.stop();
}

/// Reads to the end of the stream; what was whole of the bodies that came.
fn bodies_to_the_end(mut peer: Peer) -> Vec<String> {
    let mut all = Vec::new();
    // A reset ends it too: it follows a close with bytes that were not read.
    let _ = peer.stream.read_to_end(&mut all);
    bodies(&(peer.heard + &String::from_utf8_lossy(&all)))
}

/// The bodies of the messages that are there whole.
fn bodies(stream: &str) -> Vec<String> {
    let whole = stream.rsplit_once("</message>").map_or("", |(whole, _)| whole);
    whole.split("<body>").skip(1).map(|rest| rest.split("</body>").next().unwrap().to_owned()).collect()
}

fn numbered(numbers: std::ops::Range<u32>) -> Vec<String> {
    numbers.map(|number| format!("number {number}")).collect()
}
