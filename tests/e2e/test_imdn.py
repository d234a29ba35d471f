"""Wrapped messages (RFC 3862), and what their senders are told when they do not arrive (RFC 5438)."""

import time
from xml.etree import ElementTree

from support import example
from support.gateway import Gateway
from support.gateway import jid
from support.gateway import pairs
from support.xmpp import child

PAIRS = pairs()
IMDN = "{urn:ietf:params:xml:ns:imdn}"
SETTLED = 1.0


def wrapped(text, *lines, content_type="text/plain;charset=UTF-8", message_id="34jk324j"):
    """A body of the type message/cpim, as clients write it."""
    head = ("From: <sip:anonymous@anonymous.invalid>", "To: <sip:anonymous@anonymous.invalid>", "DateTime: 2026-05-01T12:00:00+02:00",
            "NS: imdn <urn:ietf:params:imdn>", f"imdn.Message-ID: {message_id}", *lines)
    content = (f"Content-Type: {content_type}", f"Content-Length: {len(text.encode())}", "", text)
    return "\r\n".join((*head, "", *content))


ASKS = "imdn.Disposition-Notification: positive-delivery, negative-delivery, display"


def send(agent, to, body):
    answer = agent.message(f"sip:{to}", body, content_type="message/cpim")
    assert answer.status == 202, answer


def parts(body):
    """The three parts of a wrapped message: headers, headers of the content, content."""
    headers, content_headers, content = body.split("\r\n\r\n", 2)
    return [tuple(line.split(": ", 1)) for line in headers.split("\r\n")], dict(line.split(": ", 1) for line in content_headers.split("\r\n")), content


def notifications(agent):
    return [m for m in agent.requests_seen("MESSAGE") if m.header("Content-Type") == "message/cpim"]


def message_id(notification):
    return ElementTree.fromstring(parts(notification.text)[2]).findtext(IMDN + "message-id")


def test_the_text_in_a_wrapping_arrives_as_it_was_sent(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    text = "Neither, fair \U0001F600 saint,\r\n\r\nif <either> thee dislike."
    send(alice, juliet.bare, wrapped(text, "Subject: Pozdrav & \\\"d\u00edk\\\"", ASKS))
    message = juliet.expect_message("from alice", lambda m: child(m, "body") is not None)
    # XMPP servers read CR LF as XML says.
    assert child(message, "body").replace("\r\n", "\n") == text.replace("\r\n", "\n")
    assert child(message, "subject") == "Pozdrav & \"d\u00edk\""
    assert message.get("from").split("/")[0] == jid(alice), "and not who the wrapping says"
    assert message.get("type") == "chat"


def test_a_message_to_nobody_is_told_to_who_asked_for_it(gateway):
    alice = gateway.sip_user()
    nobody = f"nobody@{gateway.account().split('@')[1]}"
    send(alice, nobody, wrapped("anybody there?", ASKS, "imdn.Original-To: <im:nurse@example.net>"))
    notification = alice.expect("MESSAGE", "a notification", lambda m: m.header("Content-Type") == "message/cpim")
    assert notification.uri_of("From") == f"sip:{nobody}"
    assert notification.uri_of("To") == alice.uri
    headers, content_headers, document = parts(notification.text)
    assert ("From", f"<sip:{nobody}>") in headers and ("To", f"<{alice.uri}>") in headers, headers
    assert ("NS", "imdn <urn:ietf:params:imdn>") in headers, headers
    names = [name for name, _ in headers]
    assert "imdn.Message-ID" in names and "DateTime" in names and "imdn.Disposition-Notification" not in names, headers
    assert content_headers["Content-Type"] == "message/imdn+xml" and content_headers["Content-Disposition"] == "notification"
    assert int(content_headers["Content-Length"]) == len(document.encode())
    imdn = ElementTree.fromstring(document)
    assert imdn.tag == IMDN + "imdn"
    assert imdn.findtext(IMDN + "message-id") == "34jk324j"
    assert imdn.findtext(IMDN + "datetime") == "2026-05-01T12:00:00+02:00"
    assert imdn.findtext(IMDN + "recipient-uri") == "sip:anonymous@anonymous.invalid"
    assert imdn.findtext(IMDN + "original-recipient-uri") == "im:nurse@example.net"
    assert [status.tag for status in imdn.find(f"{IMDN}delivery-notification/{IMDN}status")] == [IMDN + "failed"]


def test_only_who_asked_for_it_is_told_and_only_once(gateway):
    alice = gateway.sip_user()
    nobody = f"nobody@{gateway.account().split('@')[1]}"
    assert alice.message(f"sip:{nobody}", "not wrapped").status == 202
    send(alice, nobody, wrapped("of no interest", message_id="none"))
    send(alice, nobody, wrapped("good news only", "imdn.Disposition-Notification: positive-delivery, display", message_id="positive"))
    send(alice, nobody, wrapped("bad news", "imdn.Disposition-Notification: negative-delivery", message_id="negative"))
    alice.expect("MESSAGE", "a notification", lambda m: m.header("Content-Type") == "message/cpim")
    time.sleep(SETTLED)
    assert [message_id(m) for m in notifications(alice)] == ["negative"]
    assert len(alice.requests_seen("MESSAGE")) == 1


def test_what_arrives_is_not_told(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    send(alice, juliet.bare, wrapped("Hi", ASKS))
    juliet.expect_message("Hi", lambda m: child(m, "body") == "Hi")
    juliet.message(jid(alice), "answer")
    alice.expect("MESSAGE", "answer", lambda m: m.text == "answer")
    assert notifications(alice) == []


def test_a_refusal_of_the_recipient_is_told(gateway):
    """A client answers with an error: from one device to the user who was written to."""
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    send(alice, juliet.bare, wrapped("Hi", ASKS))
    identity = juliet.expect_message("Hi", lambda m: child(m, "body") == "Hi").get("id")
    juliet.raw(f"<message type='error' to='{jid(alice)}' id='{identity}'><error type='cancel'>"
               "<not-acceptable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>")
    alice.expect("MESSAGE", "a notification", lambda m: m.header("Content-Type") == "message/cpim")
    assert [message_id(m) for m in notifications(alice)] == ["34jk324j"]


def test_a_notification_is_not_shown_to_the_xmpp_user(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    document = ("<imdn xmlns='urn:ietf:params:xml:ns:imdn'><message-id>1</message-id><datetime>2026-05-01T12:00:00Z</datetime>"
                "<display-notification><status><displayed/></status></display-notification></imdn>")
    send(alice, juliet.bare, wrapped(document, content_type="message/imdn+xml"))
    send(alice, juliet.bare, wrapped("the next one"))
    juliet.expect_message("the next one", lambda m: child(m, "body") == "the next one")
    assert len(juliet.stanzas("message")) == 1


def test_a_notification_that_is_refused_is_told_to_nobody(gateway):
    alice = gateway.sip_user()
    alice.answers["MESSAGE"] = 404
    nobody = f"nobody@{gateway.account().split('@')[1]}"
    told = len(gateway.host.log())
    send(alice, nobody, wrapped("anybody there?", ASKS))
    alice.expect("MESSAGE", "a notification")
    time.sleep(SETTLED)
    assert len(notifications(alice)) == 1
    assert "panic" not in gateway.host.log()[told:]


def test_a_message_that_waits_too_long_for_the_server_is_told(pair, tmp_path):
    gateway = Gateway(pair, tmp_path, edit=example.with_queue(ttl=2)).wait_connected()
    try:
        alice, bare = gateway.sip_user(), gateway.account()
        told = len(gateway.host.log())
        gateway.server.stop()
        gateway.host.process.wait_for_log("the stream of sip.example.com at 127.0.0.1", 10, told)
        for number in range(20):
            send(alice, bare, wrapped("too late", ASKS, message_id=f"late-{number}"))
        alice.expect("MESSAGE", "the last notification", lambda _: len(notifications(alice)) >= 20, 30)
        assert sorted(message_id(m) for m in notifications(alice)) == sorted(f"late-{number}" for number in range(20))
    finally:
        gateway.stop()
