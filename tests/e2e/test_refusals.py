"""What a SIP user is told at once when a request cannot go to XMPP: the status that the gateway says, with the header it asks for."""

import pytest
from support import example
from support.gateway import Gateway
from support.gateway import lua_pair
from support.gateway import pairs

PAIRS = [p for p in pairs() if p.server.__name__ == "Prosody"] + [lua_pair()]

# what is wrong: Content-Type, body, status, reason, header
REFUSED = {
    "another type": ("image/png", b"\x89PNG", 415, "Unsupported Media Type", ("Accept", "text/plain, message/cpim")),
    "another charset": ("text/plain;charset=iso-8859-1", b"caf\xe9", 415, "Unsupported Media Type", ("Accept", "text/plain, message/cpim")),
    "no UTF-8": ("text/plain", b"caf\xe9", 400, "Not UTF-8", None),
    "no body": ("text/plain", b"", 400, "No Body", None),
    "another type, wrapped": ("message/cpim", b"From: <sip:a@b>\r\n\r\nContent-Type: image/png\r\n\r\n\x89PNG", 415, "Unsupported Media Type",
                              ("Accept", "text/plain, message/cpim")),
    "no wrapping": ("message/cpim", b"hello", 400, "Body Cannot Be Read", None),
}


@pytest.mark.parametrize("content_type, body, status, reason, header", REFUSED.values(), ids=REFUSED)
def test_a_message_without_counterpart(gateway, content_type, body, status, reason, header):
    alice = gateway.sip_user()
    answer = alice.message("sip:juliet@example.net", body, content_type=content_type)
    assert answer.start == f"SIP/2.0 {status} {reason}"
    if header:
        assert answer.all(header[0]) == [header[1]]
    for name in ("Accept", "Retry-After"):
        assert header and name == header[0] or not answer.all(name), answer


@pytest.mark.parametrize("uri, status, reason", [
    ("sip:%ff@example.net", 400, "Address Cannot Be Translated"),
    ("sip:a%00b@example.net", 400, "Address Cannot Be Translated"),
    ("sip:%20juliet@example.net", 400, "Address Cannot Be Translated"),
])
def test_an_address_without_counterpart(gateway, uri, status, reason):
    alice = gateway.sip_user()
    assert alice.message(uri, "hello").start == f"SIP/2.0 {status} {reason}"


def test_a_failure_after_another_replaces_it(gateway):
    alice = gateway.sip_user()
    for content_type, body, status, reason, _ in list(REFUSED.values()) * 2:
        assert alice.message("sip:juliet@example.net", body, content_type=content_type).start == f"SIP/2.0 {status} {reason}"


def notify(gateway, **changes):
    alice = gateway.sip_user()
    headers = {"Event": "presence", "Subscription-State": "active", "Content-Type": "application/pidf+xml", **changes}
    return alice.request("NOTIFY", f"sip:xmpp-gateway@127.0.0.1:{gateway.host.port}", to="sip:juliet@example.net", to_tag="1", headers=headers)


def test_a_notify_of_no_subscription(gateway):
    assert notify(gateway).start == "SIP/2.0 481 Subscription Does Not Exist"


def test_the_xmpp_server_is_away(pair, tmp_path):
    gateway = Gateway(pair, tmp_path, start_server=False, edit=example.with_queue(size=0))
    try:
        answer = gateway.sip_user().message("sip:juliet@example.net", "anybody there?")
        assert answer.start == "SIP/2.0 480 XMPP Server Unavailable"
        assert answer.all("Retry-After") == ["10"]
    finally:
        gateway.stop()
