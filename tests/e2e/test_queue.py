"""What is sent while the XMPP server is away: it waits within its bounds, arrives once and in order, or is refused while SIP waits."""

import re
import time

import pytest
from support import example
from support.gateway import PASSWORD
from support.gateway import Gateway
from support.gateway import Pair
from support.gateway import jid
from support.gateway import pairs
from support.process import wait_until
from support.relay import Relay
from support.sip import pidf
from support.xmpp import child

PAIRS = pairs()
BACK_WITHIN = 60
SETTLED = 1.0


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def send(alice, to, texts):
    for text in texts:
        answer = alice.message(f"sip:{to}", text)
        assert answer.status == 202, (text, answer)


def bodies(user):
    return [child(m, "body") for m in user.stanzas("message") if m.get("type") != "error" and child(m, "body")]


def arrived(user, texts):
    """Waits for all of these, and a moment more for what should not come."""
    wait_until(lambda: f"{len(texts)} messages; seen: {bodies(user)}", lambda: len(bodies(user)) >= len(texts), BACK_WITHIN)
    time.sleep(SETTLED)
    assert bodies(user) == texts


def gone(gateway, after):
    gateway.host.process.wait_for_log("the stream of sip.example.com at 127.0.0.1", 10, after)


def accepted(gateway, after):
    gateway.host.process.wait_for_log("as its component", BACK_WITHIN, after)


def test_messages_wait_for_the_server_and_arrive_once_and_in_order(pair, folder):
    gateway = Gateway(pair, folder).wait_connected()
    try:
        alice, bare = gateway.sip_user("alice"), gateway.account("juliet")
        told = len(gateway.host.log())
        gateway.server.stop()
        gone(gateway, told)
        texts = [f"number {number}" for number in range(40)]
        send(alice, bare, texts)
        gateway.server.start()
        accepted(gateway, told)
        juliet = gateway.login(bare)
        arrived(juliet, texts)
        send(alice, bare, ["and one more"])
        arrived(juliet, [*texts, "and one more"])
        assert "40 stanzas that waited for the XMPP server are sent" in gateway.host.log()[told:]
    finally:
        gateway.stop()


def test_messages_wait_for_the_first_connection_too(pair, folder):
    def make_account(server):
        server.start()
        server.register("juliet", PASSWORD)
        server.stop()
    gateway = Gateway(pair, folder, start_server=False, before_start=make_account)
    try:
        send(gateway.sip_user("alice"), "juliet@example.net", ["first", "second"])
        gateway.server.start()
        accepted(gateway, 0)
        arrived(gateway.login("juliet@example.net"), ["first", "second"])
    finally:
        gateway.stop()


def test_presence_that_changes_meanwhile_arrives_once_in_its_last_state(pair, folder):
    relay = Relay()
    behind = Pair(pair.name, lambda where, xmpp_port, **rest: pair.host(where, xmpp_port=relay.port, **rest), pair.server, None)
    gateway = Gateway(behind, folder, before_start=lambda server: setattr(relay, "target", server.component_port))
    try:
        gateway.wait_connected()
        alice, bob, juliet = gateway.sip_user("alice"), gateway.sip_user("bob"), gateway.xmpp_user()
        gateway.xmpp_watches(juliet, bob)
        told, streams = len(gateway.host.log()), len(relay.written)
        seen = len(juliet.received)
        relay.cut()
        gone(gateway, told)
        send(alice, juliet.bare, ["before"])
        for note in ("one", "two", "the last"):
            bob.publish(pidf(bob.uri, note=note, show="dnd" if note == "two" else None))
            time.sleep(0.3)
        send(alice, juliet.bare, ["after"])
        relay.mend()
        accepted(gateway, told)
        arrived(juliet, ["before", "after"])
        states = [child(s, "status") for s in juliet.received[seen:]
                  if s.tag.endswith("presence") and s.get("from").split("/")[0] == jid(bob)]
        assert states == ["the last"]
        # As it was written: neither the states between, nor anything twice.
        written = b"".join(relay.written[streams:]).decode()
        told_of_bob = re.findall(rf"<presence from='{re.escape(jid(bob))}[^>]*to='{re.escape(juliet.bare)}'.*?</presence>", written)
        assert len(told_of_bob) == 1 and "the last" in told_of_bob[0], told_of_bob
        assert len(re.findall(r"<body>(before|after)</body>", written)) == 2
    finally:
        relay.close()
        gateway.stop()


def test_what_finds_no_room_is_refused_while_sip_waits(pair, folder):
    gateway = Gateway(pair, folder, edit=example.with_queue(size=5)).wait_connected()
    try:
        alice, bare = gateway.sip_user("alice"), gateway.account("juliet")
        told = len(gateway.host.log())
        gateway.server.stop()
        gone(gateway, told)
        texts = [f"number {number}" for number in range(5)]
        send(alice, bare, texts)
        for _ in range(4):
            answer = alice.message(f"sip:{bare}", "no room")
            assert answer.status == 503
            assert int(answer.header("Retry-After")) > 0
        said = [line for line in gateway.host.log()[told:].splitlines() if "the queue for example.net is full" in line]
        assert [re.search(r": (\d+) messages refused", line).group(1) for line in said] == ["1", "2", "4"]
        gateway.server.start()
        accepted(gateway, told)
        juliet = gateway.login(bare)
        arrived(juliet, texts)
        # There is room again, and the stream.
        send(alice, bare, [f"number {number}" for number in range(5, 15)])
        arrived(juliet, [f"number {number}" for number in range(15)])
    finally:
        gateway.stop()


def test_what_waits_too_long_is_counted_and_not_delivered(pair, folder):
    gateway = Gateway(pair, folder, edit=example.with_queue(ttl=2)).wait_connected()
    try:
        alice, bare = gateway.sip_user("alice"), gateway.account("juliet")
        told = len(gateway.host.log())
        gateway.server.stop()
        gone(gateway, told)
        # Four: however many end in one tick, the last of them passes a power of two.
        send(alice, bare, [f"too late {number}" for number in range(4)])
        gateway.host.process.wait_for_log("the XMPP server was away longer than queue_ttl: 4 stanzas dropped so far", 10, told)
        gateway.server.start()
        accepted(gateway, told)
        juliet = gateway.login(bare)
        send(alice, bare, ["in time"])
        arrived(juliet, ["in time"])
    finally:
        gateway.stop()


def test_what_still_waits_when_the_host_stops_is_counted(pair, folder):
    gateway = Gateway(pair, folder, start_server=False)
    try:
        send(gateway.sip_user("alice"), "juliet@example.net", ["one", "two", "three"])
        assert gateway.host.stop() < 2.0
        assert "3 stanzas that waited for the XMPP server are lost" in gateway.host.log()
    finally:
        gateway.stop()
