"""The XMPP server absent, killed, back: SIP goes on as if nothing were, and the gateway comes back by itself. Nothing waits in a queue
here, so the script is told whether the server is there; the queue is in test_queue.py."""

import time

import pytest
from support import example
from support.gateway import Gateway
from support.gateway import jid
from support.gateway import pairs
from support.process import wait_until
from support.xmpp import child

PAIRS = [p for p in pairs() if p.server.__name__ == "Prosody"]
BACK_WITHIN = 45


@pytest.fixture
def folder(tmp_path):
    return tmp_path


def slowest_reply(alice, bob, count=100):
    """The longest that one of `count` messages between SIP users took."""
    slowest = 0.0
    for n in range(count):
        started = time.monotonic()
        assert alice.message(bob.uri, f"number {n}", timeout=2).status == 200
        slowest = max(slowest, time.monotonic() - started)
    return slowest


def test_absent_at_start_killed_and_back(pair, folder):
    gateway = Gateway(pair, folder, start_server=False, edit=example.with_queue(size=0))
    try:
        alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
        started = time.monotonic()
        assert alice.message("sip:juliet@example.net", "anybody there?").status == 480
        assert time.monotonic() - started < 0.5
        assert slowest_reply(alice, bob) < 0.5

        gateway.server.start()
        juliet = gateway.xmpp_user()
        wait_until("messages to flow", lambda: alice.message(f"sip:{juliet.bare}", "first").status == 202, BACK_WITHIN, 0.2)
        juliet.expect_message("first", lambda m: child(m, "body") == "first")
        gateway.sip_watches(alice, juliet)

        gateway.server.kill()
        wait_until("the gateway to see it", lambda: alice.message(f"sip:{juliet.bare}", "lost").status == 480, 5)
        assert slowest_reply(alice, bob) < 0.5
        assert gateway.host.process.runs()
        juliet.close()

        gateway.server.start()
        juliet = gateway.login(juliet.bare)
        wait_until("messages to flow again", lambda: alice.message(f"sip:{juliet.bare}", "second").status == 202, BACK_WITHIN, 0.2)
        juliet.expect_message("second", lambda m: child(m, "body") == "second")
        juliet.message(jid(alice), "third")
        alice.expect("MESSAGE", "third", lambda m: m.text == "third")
        juliet.presence(status="back again")
        wait_until("presence to flow again", lambda: any("back again" in n.text for n in alice.requests_seen("NOTIFY")))
    finally:
        gateway.stop()


def test_a_wrong_secret_leaves_sip_alone(pair, folder):
    gateway = Gateway(pair, folder, xmpp_secret="another", edit=example.with_queue(size=0))
    try:
        alice, bob = gateway.sip_user("alice"), gateway.sip_user("bob")
        assert alice.message("sip:juliet@example.net", "anybody there?").status == 480
        assert slowest_reply(alice, bob) < 0.5
        time.sleep(5)
        assert gateway.host.process.runs()
        said = [line for line in gateway.host.log().splitlines() if "xmpp_gateway" in line and "not-authorized" in line]
        assert 1 <= len(said) <= 8, said
        assert not [line for line in gateway.host.log().splitlines() if '"secret"' in line or "'secret'" in line]
    finally:
        gateway.stop()


def processes_of_group(group):
    """The processes of this process group."""
    import os
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z" and int(fields[2]) == group:
            found.append(int(entry))
    return found


def test_a_stop_is_quick_and_closes_the_stream(pair, folder):
    import os
    import signal
    gateway = Gateway(pair, folder)
    try:
        gateway.wait_connected()
        gateway.log_out()
        before = len(gateway.server.log())
        started = time.monotonic()
        os.kill(gateway.host.process.pid, signal.SIGTERM)
        wait_until("the SIP server to end", lambda: not gateway.host.process.runs(), 10, 0.005)
        assert time.monotonic() - started < 2.0
        assert processes_of_group(gateway.host.process.pid) == []
        wait_until("the stream to be closed in order", lambda: "</stream:stream>" in gateway.server.log()[before:], 2)
    finally:
        gateway.stop()


def test_a_stop_is_quick_without_an_xmpp_server(pair, folder):
    gateway = Gateway(pair, folder, start_server=False)
    try:
        assert gateway.host.stop() < 2.0
    finally:
        gateway.stop()
