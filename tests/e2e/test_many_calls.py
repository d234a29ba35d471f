"""Thousands of calls that are over as soon as they ring, through the example's proxy: no lamp stays lit. XMPP_GATEWAY_CALLS says how many."""

import os
import xml.etree.ElementTree as ElementTree

import pytest
from support import sipp
from support.example import with_calls
from support.gateway import hosts
from support.process import wait_until
from support.sip import SipAgent

NS = "{urn:ietf:params:xml:ns:dialog-info}"
CALLS = int(os.environ.get("XMPP_GATEWAY_CALLS", "1000"))
RATE = 100
USERS = 10
WATCHERS = 3

HOSTS = [pytest.param((name, make), id=name, marks=[pytest.mark.skip(reason=missing or sipp.missing())] if missing or sipp.missing() else [])
         for name, make, missing in hosts()]


class Lamp(SipAgent):
    """A phone with a lamp, which remembers of each NOTIFY its CSeq, the version, and the states of dialogs that go on."""

    def __init__(self, user, domain, port):
        super().__init__(user, domain, port)
        self.told = {}
        self.answers["NOTIFY"] = self.notified

    def notified(self, request):
        document = ElementTree.fromstring(request.text)
        states = [state.text for state in document.iter(NS + "state") if state.text != "terminated"]
        self.told[int(request.header("CSeq").split()[0])] = (int(document.get("version")), states)
        # A copy that is sent again is answered again, and is no second one.
        self.received = [message for message in self.received if message.is_response]
        return 200

    def last(self):
        return self.told[max(self.told)][1] if self.told else ["nothing told"]

    def gaps(self):
        """Versions that are not one more than the one before, in the order of CSeq."""
        versions = [self.told[cseq][0] for cseq in sorted(self.told)]
        return [pair for pair in zip([-1] + versions, versions) if pair[1] != pair[0] + 1]


@pytest.fixture(params=HOSTS)
def host(request, tmp_path):
    name, make = request.param
    host = make(tmp_path / name, edit=with_calls("local", event="dialog_event")).start()
    yield host
    host.stop()


class Callee(SipAgent):
    """A user whose phone is the one that SIPp plays."""

    phone = 0

    @property
    def contact(self):
        return f"sip:{self.user}@127.0.0.1:{self.phone}"


@pytest.fixture
def agents():
    """Makes agents that are closed in the end."""
    made = []

    def make(kind, *parts):
        made.append(kind(*parts))
        return made[-1]

    yield make
    for agent in made:
        agent.close()


def test_after_calls_that_end_as_they_ring_no_lamp_is_lit(host, agents, tmp_path):
    phone = sipp.busy(tmp_path / "busy")
    callees = [agents(Callee, f"busy{number}", host.sip_domain, host.port) for number in range(USERS)]
    lamps = [agents(Lamp, f"lamp{number}of{callee.user}", host.sip_domain, host.port) for callee in callees for number in range(WATCHERS)]
    for callee in callees:
        callee.phone = phone.port
        callee.register()
    for number, lamp in enumerate(lamps):
        lamp.subscribe(callees[number // WATCHERS].uri, event="dialog", expires=3600)
    sipp.call(tmp_path / "callers", host.port, host.sip_domain, [callee.uri[4:] for callee in callees], CALLS, RATE)
    wait_until(lambda: f"every lamp to be out: {[lamp.last() for lamp in lamps]}", lambda: not any(lamp.last() for lamp in lamps), timeout=60)
    # One that was lost on a busy machine is sent again.
    gaps = lambda: {lamp.user: lamp.gaps() for lamp in lamps if lamp.gaps()}
    wait_until(lambda: f"versions without a gap: {gaps()}", lambda: not gaps(), timeout=40)
    for lamp in lamps:
        assert any(states for _, states in lamp.told.values()), "a lamp that was never lit"
    assert host.process.runs()
    phone.stop()
