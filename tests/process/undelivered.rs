//! What a SIP user who asked for it is told of a message that does not arrive (RFC 5438).

use xmpp_gateway::sip;
use xmpp_gateway::worker::ScriptResult;

use crate::Call;
use crate::Scene;
use crate::request;

/// A MESSAGE to Romeo whose sender wants to know if it fails.
fn wrapped(id: &str) -> sip::Request {
    let body = format!(
        "NS: imdn <urn:ietf:params:imdn>\r\nimdn.Message-ID: {id}\r\nimdn.Disposition-Notification: negative-delivery\r\n\r\n\
         Content-Type: text/plain\r\n\r\nHi"
    );
    sip::Request {
        content_type: Some(b"message/cpim".to_vec()),
        branch: format!("z9hG4bK{id}").into_bytes(),
        ..request("sip:juliet@sip.example.com", "sip:romeo@example.net", &body)
    }
}

/// The notification that the host is to send.
fn notification(scene: &Scene) -> String {
    match scene.call() {
        Call::Message(body) => body,
        other @ (Call::Publish(_) | Call::Subscribe(_) | Call::Notify(..) | Call::Phone(..)) => panic!("no MESSAGE: {other:?}"),
    }
}

#[test]
fn a_message_that_comes_back_becomes_a_notification() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    assert_eq!(scene.send("the stream stands"), ScriptResult::Done);
    assert_eq!(scene.worker.send_message(&wrapped("b1")), ScriptResult::Done);
    peer.hear(" id='b1'><body>Hi</body>");
    peer.say(
        "<message type='error' from='romeo@example.net' to='juliet@sip.example.com' id='b1'><error type='cancel'>\
         <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
    );
    let body = notification(&scene);
    assert!(body.contains("<message-id>b1</message-id>") && body.contains("<failed/>"), "{body}");
    scene.stop();
}

#[test]
fn a_message_that_waits_for_the_stream_too_long_becomes_one_too() {
    let scene = Scene::start_with(|parameters, _| (parameters.queue_size, parameters.queue_ttl) = (Some(10), Some(1)));
    for id in ["b1", "b2"] {
        assert_eq!(scene.worker.send_message(&wrapped(id)), ScriptResult::Done);
    }
    for id in ["b1", "b2"] {
        let body = notification(&scene);
        assert!(body.contains(&format!("<message-id>{id}</message-id>")), "{body}");
    }
    drop(scene.accept());
    drop(scene.accept());
    scene.stop();
}

#[test]
fn a_notification_for_an_xmpp_user_goes_no_further() {
    let scene = Scene::start();
    let mut peer = scene.accept();
    assert_eq!(scene.send("the stream stands"), ScriptResult::Done);
    let body = "From: <sip:juliet@sip.example.com>\r\n\r\nContent-Type: message/imdn+xml\r\n\r\n\
                <imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>1</message-id><datetime>2006-04-04T12:16:49-05:00</datetime>\
                <delivery-notification><status><delivered/></status></delivery-notification></imdn>";
    let notification = sip::Request { body: body.into(), ..wrapped("b1") };
    assert_eq!(scene.worker.send_message(&notification), ScriptResult::Done);
    assert_eq!(scene.send("the next"), ScriptResult::Done);
    let before = peer.hear("<body>the next</body>");
    assert_eq!(before.matches("<message ").count(), 2, "{before}");
    scene.stop();
}
