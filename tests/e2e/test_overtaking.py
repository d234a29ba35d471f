"""A NOTIFY that is there before its SUBSCRIBE counts as sent: nobody but the SIP host's transaction knows the Call-ID then."""

import os
import subprocess

import pytest
from support.gateway import Gateway
from support.gateway import jid
from support.gateway import pairs
from support.notifier import Notifier
from support.process import wait_until

PAIRS = [p for p in pairs() if p.server.__name__ == "Prosody"]
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "support", "slow_sender.c")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    path = tmp_path_factory.mktemp("library") / "slow_sender.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", path, SOURCE, "-ldl"], check=True)
    return path


@pytest.fixture(scope="module")
def servers(pair, library, tmp_path_factory):
    gateway = Gateway(pair, tmp_path_factory.mktemp("overtaking"), environment={"LD_PRELOAD": str(library)})
    try:
        yield gateway.wait_connected()
    finally:
        gateway.stop()


@pytest.fixture
def hasty(pair, library, tmp_path):
    """A gateway whose notifier sends the NOTIFY at once, and the 2xx only when the SUBSCRIBE counts as sent."""
    notifier = Notifier()
    gateway = Gateway(pair, tmp_path, environment={"LD_PRELOAD": str(library)}, edit=notifier.as_presence_server)
    try:
        yield gateway.wait_connected(), notifier
    finally:
        gateway.stop()
        notifier.close()


def test_a_notify_before_the_2xx_is_taken(hasty):
    gateway, notifier = hasty
    juliet = gateway.xmpp_user()
    presentity = f"sip:hasty@{gateway.sip_domain}"
    notifier.hasty.add(presentity)
    juliet.presence(type="subscribe", to=presentity[4:])
    wait_until("the NOTIFY to be sent", lambda: presentity in notifier.overtaken)
    assert notifier.final_response(notifier.overtaken[presentity]).status == 200
    juliet.expect_presence(presentity[4:])


def test_a_sip_watcher_is_seen(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    before = len(gateway.host.log())
    gateway.sip_watches(alice, juliet)
    assert "outside a known dialog" not in gateway.host.log()[before:]


def test_a_sip_contact_is_seen(gateway):
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    before = len(gateway.host.log())
    gateway.xmpp_watches(juliet, alice)
    juliet.expect_presence(jid(alice))
    assert "outside a known dialog" not in gateway.host.log()[before:]
