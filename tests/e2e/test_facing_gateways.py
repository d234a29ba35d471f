"""Two gateways that lead to each other: each takes the other's SIP users for XMPP users, and sends on to the other what it has for its own.
Nothing goes round for ever (RFC 5393, RFC 7332)."""

import re
import socket
import threading
import time

import pytest
from support import example
from support.component import beside_the_gateway
from support.doors import with_parameter
from support.gateway import Gateway
from support.gateway import hosts
from support.gateway import pairs
from support.process import free_port
from support.process import wait_until
from support.sip import Sip
from support.sip import SipAgent

PAIRS = [pair for pair in pairs() if pair.name.endswith("+prosody")]
OTHER_DOMAIN = "example.org"
QUIET = 2.0


class Wire:
    """Carries SIP between two servers, and counts the requests."""

    def __init__(self):
        self.port = free_port()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", self.port))
        self.ends = []
        self.requests = []
        self.thread = threading.Thread(target=self._carry, daemon=True)
        self.thread.start()

    def _carry(self):
        while True:
            datagram, source = self.socket.recvfrom(65535)
            if not datagram:
                return
            message = Sip(datagram)
            if not message.is_response:
                self.requests.append(message)
            self.socket.sendto(datagram, ("127.0.0.1", next(end for end in self.ends if end != source[1])))

    def close(self):
        self.socket.sendto(b"", ("127.0.0.1", self.port))
        self.thread.join()
        self.socket.close()

    def hops(self, method):
        """Max-Forwards of each different request of this method."""
        return list({m.header("Via"): m.header("Max-Forwards") for m in self.requests if m.method == method}.values())

    def count(self, method):
        return len(self.hops(method))

    def settled(self, method):
        """How many there are once no more come."""
        seen, since = 0, time.monotonic()
        while time.monotonic() - since < QUIET:
            if self.count(method) != seen:
                seen, since = self.count(method), time.monotonic()
            assert seen < 200, "it goes round and round"
            time.sleep(0.05)
        return seen


class Facing:
    """The gateway of a pair, and one on the first host that has its domain for one of XMPP, with one XMPP server. `edit` changes the examples;
    what it is given besides is where the other one is reached."""

    def __init__(self, pair, folder, edit):
        self.wire = Wire()
        change = lambda text: unlimited(edit(text, self.wire.port))  # noqa: E731
        self.gateway = Gateway(pair, folder / "one", xmpp_domain=OTHER_DOMAIN, edit=change,
                               before_start=beside_the_gateway(OTHER_DOMAIN, "secret"))
        self.other = hosts()[0][1](folder / "other", sip_domain=OTHER_DOMAIN, xmpp_domain=self.gateway.sip_domain,
                                   xmpp_port=self.gateway.component_port, edit=change)
        self.wire.ends = [self.gateway.host.port, self.other.port]
        self.other.start()
        self.other.process.wait_for_log("as its component")
        self.gateway.wait_connected()

    def stop(self):
        self.other.stop()
        self.gateway.stop()
        self.wire.close()


def unlimited(text):
    """Nothing but what is tested here ends a loop."""
    return with_parameter("rate_limit_domain", 0)(with_parameter("rate_limit", 0)(text))


def leading_to(text, port):
    """The gateway as notifier, and what it has for its own SIP side goes to this port."""
    text, count = re.subn(r'^(modparam\("xmpp_gateway", "(?:outbound_proxy|presence_server)", ").*("\))$', rf"\g<1>sip:127.0.0.1:{port}\2",
                          example.as_notifier(text), flags=re.MULTILINE)
    assert count == 2
    return text


@pytest.fixture
def facing(pair, tmp_path):
    facing = Facing(pair, tmp_path, leading_to)
    yield facing
    facing.stop()


def test_a_message_does_not_go_round(facing):
    alice = facing.gateway.sip_user()
    assert alice.message(f"sip:bob@{OTHER_DOMAIN}", "round and round").status == 202
    wait_until("the first one to come out", lambda: facing.wire.count("MESSAGE"))
    assert facing.wire.settled("MESSAGE") <= 6
    left = [int(hops) for hops in facing.wire.hops("MESSAGE")]
    assert left[0] == 60 and left == sorted(left, reverse=True)


@pytest.mark.parametrize("expires", [600, 0], ids=["subscription", "fetch"])
def test_who_watches_whom_does_not_go_round(facing, expires):
    alice = facing.gateway.sip_user()
    subscription = alice.subscribe(f"sip:bob@{OTHER_DOMAIN}", expires=expires)
    subscription.wait_notify("a NOTIFY", lambda n: True)
    wait_until("the first one to come out", lambda: facing.wire.count("SUBSCRIBE"))
    assert facing.wire.settled("SUBSCRIBE") <= 2


def test_what_sip_users_of_two_gateways_write_arrives(pair, tmp_path):
    """Where each gateway serves its own users, XMPP is a way between them."""
    facing = Facing(pair, tmp_path, lambda text, port: text)
    bob = SipAgent("bob", OTHER_DOMAIN, facing.other.port)
    try:
        bob.register()
        alice = facing.gateway.sip_user()
        assert alice.message(bob.uri, "by two gateways").status == 202
        assert bob.expect("MESSAGE", "from alice").text == "by two gateways"
        assert bob.message(alice.uri, "and back").status == 202
        assert alice.expect("MESSAGE", "from bob").text == "and back"
    finally:
        bob.close()
        facing.stop()
