"""A NOTIFY that is there before its SUBSCRIBE counts as sent: nobody but the SIP host's transaction knows the Call-ID then."""

import os
import subprocess

import pytest
from support.gateway import Gateway
from support.gateway import jid
from support.gateway import pairs

PAIRS = [p for p in pairs() if p.server.__name__ == "Prosody"]
SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "support", "slow_sender.c")


@pytest.fixture(scope="module")
def servers(pair, tmp_path_factory):
    folder = tmp_path_factory.mktemp("overtaking")
    library = folder / "slow_sender.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, SOURCE, "-ldl"], check=True)
    gateway = Gateway(pair, folder, environment={"LD_PRELOAD": str(library)})
    try:
        yield gateway.wait_connected()
    finally:
        gateway.stop()


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
