"""NOTIFYs as they should not be. The SIP agent plays the notifier: the gateway subscribes to it."""

import re
import time

import pytest
from support.gateway import pairs
from support.notifier import Notifier
from support.notifier import watcherinfo
from support.sip import pidf
from support.xmpp import child

PAIRS = [p for p in pairs() if p.server.__name__ == "Prosody"]
NOTIFIER = Notifier
QUIET = 1.0


@pytest.fixture
def watched(gateway, notifier):
    """juliet has asked to see a SIP user: (juliet, the SUBSCRIBE, the SIP user's URI)."""
    juliet = gateway.xmpp_user()
    presentity = f"sip:nobody-of-{juliet.bare.split('@')[0]}@{gateway.sip_domain}"
    juliet.presence(type="subscribe", to=presentity[4:])
    return juliet, notifier.subscription(f"sip:{juliet.bare}", presentity), presentity


def from_contact(juliet, presentity):
    return [p for p in juliet.stanzas("presence") if p.get("from").startswith(presentity[4:])]


def test_the_subscribe_is_as_it_should_be(gateway, watched):
    juliet, subscribe, presentity = watched
    assert subscribe.header("Event") == "presence"
    # The hosts' pua adds a margin of its own to the hour that the gateway asks for.
    assert 3600 <= int(subscribe.header("Expires")) <= 3660
    assert subscribe.uri_of("Contact").startswith("sip:xmpp-gateway@127.0.0.1")


def test_in_a_known_dialog_it_is_taken(gateway, notifier, watched):
    juliet, subscribe, presentity = watched
    assert notifier.notify(subscribe, pidf(presentity)).status == 200
    juliet.expect_presence(presentity[4:], "subscribed")
    juliet.expect_presence(presentity[4:])


def test_pending_is_taken_and_says_nothing(gateway, notifier, watched):
    juliet, subscribe, presentity = watched
    assert notifier.notify(subscribe, b"", state="pending;expires=600").status == 200
    time.sleep(QUIET)
    assert not [p for p in from_contact(juliet, presentity) if p.get("type") != "unavailable"]


def test_rejected_is_unsubscribed(gateway, notifier, watched):
    juliet, subscribe, presentity = watched
    assert notifier.notify(subscribe, b"", state="terminated;reason=rejected").status == 200
    juliet.expect_presence(presentity[4:], "unsubscribed")


UNREADABLE = {
    "not xml": b"this is not XML",
    "cut off": pidf("sip:a@b").encode()[:120],
    "empty element": b"<presence/>",
    "latin-1": pidf("sip:a@b", note="NOTE").encode().replace(b"NOTE", b"caf\xe9"),
    "doctype": b'<!DOCTYPE p [<!ENTITY a "b">]>' + pidf("sip:a@b", note="&a;").split("\n", 1)[1].encode(),
    "deep": b"<a>" * 8000,
    "other root": b'<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full" entity="sip:a@b"/>',
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_cannot_be_read_is_refused(gateway, notifier, watched, body):
    juliet, subscribe, presentity = watched
    before = len(gateway.host.log())
    assert notifier.notify(subscribe, body).status == 400
    time.sleep(0.3)
    assert not from_contact(juliet, presentity)
    said = [line for line in gateway.host.log()[before:].splitlines() if "xmpp_gateway" in line]
    assert len(said) == 1, said
    # 400 ends nothing: the next one is taken.
    assert notifier.notify(subscribe, pidf(presentity), cseq=3).status == 200
    juliet.expect_presence(presentity[4:])


def test_a_body_of_another_type_is_refused_with_the_one_that_is_read(gateway, notifier, watched):
    juliet, subscribe, presentity = watched
    for number, (content_type, body) in enumerate({"text/plain": b"here", "application/xpidf+xml": b"<presence/>"}.items(), 2):
        answer = notifier.notify(subscribe, body, content_type=content_type, cseq=number)
        assert (answer.status, answer.header("Accept")) == (415, "application/pidf+xml"), content_type
    assert notifier.notify(subscribe, pidf(presentity), cseq=9).status == 200
    juliet.expect_presence(presentity[4:])


def test_a_character_that_xml_forbids_does_not_break_the_stream(gateway, notifier, watched):
    juliet, subscribe, presentity = watched
    for number, character in enumerate((b"\0", b"\x1b", b"\xef\xbf\xbf"), 2):
        notifier.notify(subscribe, pidf(presentity, note="NOTE").encode().replace(b"NOTE", b"a" + character + b"b"), cseq=number)
    assert notifier.notify(subscribe, pidf(presentity, note="sound"), cseq=9).status == 200
    juliet.expect_presence(presentity[4:], condition=lambda p: child(p, "status") == "sound")


def test_outside_a_known_dialog_it_is_refused(gateway, notifier, watched):
    juliet, subscribe, presentity = watched
    before = len(gateway.host.log())
    assert notifier.notify(subscribe, pidf(presentity), call_id="made-up").status == 481
    time.sleep(0.3)
    assert not from_contact(juliet, presentity)
    said = [line for line in gateway.host.log()[before:].splitlines() if "xmpp_gateway" in line]
    assert len(said) == 1, said
    assert (f"NOTIFY made-up outside a known dialog, from {presentity} to sip:{juliet.bare}") in said[0]
    assert re.search("warn", said[0], re.IGNORECASE), said


def test_the_last_notify_after_the_end_is_taken(gateway, notifier, watched):
    juliet, subscribe, presentity = watched
    assert notifier.notify(subscribe, pidf(presentity)).status == 200
    juliet.expect_presence(presentity[4:], "subscribed")
    before = len(gateway.host.log())
    juliet.presence(type="unsubscribe", to=presentity[4:])
    notifier.expect("SUBSCRIBE", "that ends it", lambda r: r.header("Call-ID") == subscribe.header("Call-ID")
                    and r.tag("To") and r.header("Expires").startswith("0"))
    time.sleep(0.3)
    assert notifier.notify(subscribe, b"", state="terminated;reason=timeout", cseq=3).status == 200
    assert "outside a known dialog" not in gateway.host.log()[before:]


def test_winfo_of_nobody_is_refused(gateway, notifier, watched):
    juliet, subscribe, presentity = watched
    body = watcherinfo(juliet.bare, 0, "full", (f"sip:x@{gateway.sip_domain}", "pending", "subscribe"))
    answer = notifier.notify_winfo(subscribe, body, call_id="made-up-2")
    assert answer.status == 481
    time.sleep(0.3)
    assert not [p for p in juliet.stanzas("presence") if p.get("type") == "subscribe"]
