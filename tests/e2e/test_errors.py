"""Failures that come later (RFC 7247 section 7): what the SIP side answers becomes a stanza error, and what XMPP answers ends what it has to."""

import os
import re
import sqlite3
import time

import pytest
from support import example
from support.component import ERRORS
from support.component import XmppComponent
from support.component import beside_the_gateway
from support.gateway import Gateway
from support.gateway import is_active
from support.gateway import jid
from support.gateway import pairs
from support.notifier import Notifier
from support.process import wait_until
from support.sip import SipAgent
from support.sip import pidf
from support.xmpp import child

# Components beside the gateway are Prosody's here; what is tested is the same with every server.
PAIRS = [p for p in pairs() if p.server.__name__ == "Prosody"]
SIP_DOMAIN = "sip.example.com"
DOMAIN = "errors.example"
ROMEO = f"romeo@{DOMAIN}"


def quick_timers(text):
    """With a transaction that gives up after 2 s, on either host."""
    timer = 'modparam("tm", "fr_timer", 2000)' if text.startswith("#!KAMAILIO") else 'modparam("tm", "fr_timeout", 2)'
    return before_the_gateway(text, timer)


def before_the_gateway(text, parameter):
    backend = 'modparam("xmpp_gateway", "backend"'
    return text.replace(backend, f"{parameter}\n{backend}", 1)


def all_replies(text):
    """tm tells its callers provisional replies too."""
    return before_the_gateway(text, 'modparam("tm", "pass_provisional_replies", 1)')


class Stage:
    """A gateway whose SIP side is one agent, `phone`, that answers as the test says; `peer` speaks for XMPP users."""

    def __init__(self, pair, folder):
        self.phone = Notifier()
        self.gateway = Gateway(pair, folder, edit=lambda text: all_replies(quick_timers(self.phone.as_presence_server(text))),
                               before_start=beside_the_gateway(DOMAIN, "peer"))
        self.peer = XmppComponent(DOMAIN, "peer", self.gateway.component_port)

    def answer(self, method, status, reason="Answer", contact=None, extra=""):
        def respond(request):
            self.phone.proxy = request.source
            self.phone.respond(request, status, reason, extra, contact)
        self.phone.answers[method] = respond if status else None

    def answer_slowly(self, method, status, reason="Answer"):
        """The phone rings before it answers."""
        def respond(request):
            self.phone.proxy = request.source
            for provisional in (100, 180, 183):
                self.phone.respond(request, provisional, "Ringing")
            # Any SIP worker may take any of them: the last one is to come last.
            time.sleep(0.2)
            self.phone.respond(request, status, reason)
        self.phone.answers[method] = respond

    def errors(self, number):
        """The errors that came back of this message."""
        return self.peer.stanzas("message", f"{ROMEO}/garden", lambda m: m.get("id") == f"m{number}")

    def message(self, number, text="hello?"):
        """Romeo writes to a SIP user; the error that comes back."""
        self.write(number, text)
        return self.peer.expect("message", f"{ROMEO}/garden", f"with id m{number}", lambda m: m.get("id") == f"m{number}")

    def write(self, number, text="hello?"):
        self.peer.raw(f"<message from='{ROMEO}/garden' to='juliet{number}@{SIP_DOMAIN}' id='m{number}' type='chat'><body>{text}</body></message>")

    def close(self):
        self.peer.close()
        self.gateway.stop()
        self.phone.close()


@pytest.fixture(scope="module")
def stage(pair, tmp_path_factory):
    stage = Stage(pair, tmp_path_factory.mktemp("stage"))
    try:
        stage.answer("MESSAGE", 404)
        alice = SipAgent("alice", SIP_DOMAIN, stage.gateway.host.port)
        stage.gateway.users.append(alice)
        wait_until("the gateway to be connected", lambda: alice.message("sip:probe@example.net", "?").status == 202, 15, 0.1)
        yield stage
    finally:
        stage.close()


def error_of(stanza):
    """Type, condition, text, address and maker."""
    error = stanza.find("{jabber:component:accept}error")
    if error is None:
        error = next(c for c in stanza if c.tag.endswith("}error"))
    conditions = [c for c in error if c.tag.startswith(f"{{{ERRORS}}}") and not c.tag.endswith("}text")]
    assert len(conditions) == 1, conditions
    text = error.find(f"{{{ERRORS}}}text")
    return error.get("type"), conditions[0].tag.rpartition("}")[2], None if text is None else text.text, conditions[0].text, error.get("by")


def golden_table():
    """Status, condition and type of every final failure in the golden case."""
    with open(os.path.join(example.ROOT, "tests/golden/sip_failures_become_stanza_errors.case"), encoding="utf-8") as file:
        text = file.read()
    rows = zip(text.split("--- input\n")[1].split("--- output\n")[0].split("\n"), text.split("--- output\n")[1].split("\n"))
    return [(int(status), *row.split()) for status, row in rows if re.fullmatch("[3-6][0-9][0-9]", status)]


def test_every_status_for_a_message_is_the_error_of_the_table(stage):
    table = golden_table()
    assert len(table) >= 50
    for status, condition, kind in table:
        stage.answer("MESSAGE", status, f"Reason {status}")
        error = stage.message(status)
        assert error.get("type") == "error" and error.get("from") == f"juliet{status}@{SIP_DOMAIN}"
        assert error_of(error) == (kind, condition, f"Reason {status}", None, None), status


@pytest.mark.parametrize("status, contact, condition, address", [
    (301, "\"Juliet <x>\" <sip:juliet@example.org;gr=home>;q=0.7", "gone", "xmpp:juliet@example.org/home"),
    (302, "sip:juliet@example.org", "redirect", "xmpp:juliet@example.org"),
    (302, "<tel:+12015550123>", "redirect", "tel:+12015550123"),
    (302, "<sip:juliet@192.0.2.1:5060>", "redirect", None),
    (410, "<sip:juliet@example.org>", "gone", None),
])
def test_a_new_address_is_told(stage, status, contact, condition, address):
    stage.answer("MESSAGE", status, "Moved", contact=contact)
    error = stage.message(f"{status}-{len(contact)}")
    assert error_of(error)[1:] == (condition, "Moved", address, None)


@pytest.mark.parametrize("status, kind, condition", [(404, "cancel", "item-not-found"), (486, "wait", "recipient-unavailable"),
                                                     (603, "wait", "recipient-unavailable")])
def test_a_provisional_reply_is_no_answer(stage, status, kind, condition):
    stage.answer_slowly("MESSAGE", status, "At last")
    assert error_of(stage.message(f"slow-{status}")) == (kind, condition, "At last", None, None)
    stage.answer("MESSAGE", 404)
    stage.message(f"after-{status}")
    assert len(stage.errors(f"slow-{status}")) == 1


def test_after_provisional_replies_a_success_is_one(stage):
    stage.answer_slowly("MESSAGE", 200)
    stage.write("slow-200")
    stage.phone.expect("MESSAGE", "to slow-200", lambda m: "julietslow-200@" in m.uri)
    stage.answer("MESSAGE", 404)
    stage.message("after-200")
    assert stage.errors("slow-200") == []


def test_nobody_answers_a_message(stage):
    stage.answer("MESSAGE", None)
    assert error_of(stage.message("silent")) == ("wait", "remote-server-timeout", None, None, SIP_DOMAIN)


def test_what_the_gateway_refuses_names_the_gateway(stage):
    kind, condition, _, _, by = error_of(stage.message("long", "x" * 2000))
    assert (kind, condition, by) == ("modify", "policy-violation", SIP_DOMAIN)


@pytest.mark.parametrize("kind", ["subscribe", "probe"])
@pytest.mark.parametrize("status, contact, expected", [
    (404, None, ("cancel", "item-not-found", "No", None, None)),
    (406, None, ("modify", "not-acceptable", "No", None, None)),
    (302, "<sip:juliet@example.org>", ("modify", "redirect", "No", "xmpp:juliet@example.org", None)),
    (604, None, ("cancel", "item-not-found", "No", None, None)),
])
def test_a_subscribe_that_fails_comes_back(stage, kind, status, contact, expected):
    stage.answer("SUBSCRIBE", status, "No", contact=contact)
    user = f"{kind}{status}@{SIP_DOMAIN}"
    stage.peer.raw(f"<presence from='{ROMEO}' to='{user}' type='{kind}' id='s-{kind}-{status}'/>")
    error = stage.peer.expect("presence", ROMEO, f"of type error from {user}", lambda p: p.get("from") == user)
    assert (error.get("type"), error.get("id")) == ("error", f"s-{kind}-{status}")
    assert error_of(error) == expected


def test_a_subscribe_that_is_declined_is_unsubscribed(stage):
    stage.answer("SUBSCRIBE", 603, "Decline")
    user = f"declined@{SIP_DOMAIN}"
    stage.peer.raw(f"<presence from='{ROMEO}' to='{user}' type='subscribe' id='d1'/>")
    stage.peer.expect("presence", ROMEO, "unsubscribed", lambda p: p.get("from") == user and p.get("type") == "unsubscribed")


def test_errors_and_results_are_not_answered(stage):
    stage.answer("MESSAGE", 404)
    error = "<error type='cancel'><item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>"
    for number in range(20):
        for name in ("message", "presence", "iq"):
            stage.peer.raw(f"<{name} from='{ROMEO}/none' to='x@{SIP_DOMAIN}' id='e{number}' type='error'>{error}</{name}>")
    stage.message("after")
    assert [s for s in stage.peer.received if s.get("to") == f"{ROMEO}/none"] == []


@pytest.fixture(scope="module")
def others(pair, tmp_path_factory):
    """A gateway whose XMPP domain is that of a component."""
    gateway = Gateway(pair, tmp_path_factory.mktemp("others"), xmpp_domain=DOMAIN, before_start=beside_the_gateway(DOMAIN, "peer"))
    peer = XmppComponent(DOMAIN, "peer", gateway.component_port)
    try:
        alice = gateway.sip_user()
        wait_until("the gateway to be connected", lambda: alice.message(f"sip:probe@{DOMAIN}", "?").status == 202, 15, 0.1)
        yield gateway, peer
    finally:
        peer.close()
        gateway.stop()


# PENDING_STATUS of both presence servers.
PENDING = 2


def stored_state(gateway, watcher, presentity):
    """What the presence server has stored of this watcher."""
    with sqlite3.connect(gateway.host.database, timeout=10) as tables:
        row = tables.execute("SELECT status FROM watchers WHERE presentity_uri = ? AND watcher_username = ?",
                             (f"sip:{presentity}", watcher.user)).fetchone()
    tables.close()
    return row and row[0]


def state_of(notify):
    return notify.header("Subscription-State").replace(" ", "")


@pytest.mark.parametrize("kind, condition, reason", [
    ("cancel", "item-not-found", "noresource"),
    ("cancel", "remote-server-not-found", "noresource"),
    ("cancel", "gone", "noresource"),
    ("auth", "forbidden", "rejected"),
])
def test_a_watcher_of_nobody_is_let_go_and_may_ask_again(others, kind, condition, reason):
    gateway, peer = others
    ghost = f"ghost-{condition}@{DOMAIN}"
    peer.errors["presence", "subscribe"] = (kind, condition)
    alice = gateway.sip_user()
    subscription = alice.subscribe(f"sip:{ghost}")
    notify = subscription.wait_notify("the end", lambda n: state_of(n).startswith("terminated"))
    assert f"reason={reason}" in state_of(notify)
    assert len(peer.stanzas("presence", ghost)) == 1
    # The user turns up. Some seconds later the presence server has no answer of its own any more.
    del peer.errors["presence", "subscribe"]
    wait_until("the watcher to be unknown again", lambda: stored_state(gateway, alice, ghost) == PENDING, 60)
    alice.subscribe(f"sip:{ghost}").wait_notify("an active subscription", is_active, timeout=30)
    # The presence server tells of the new watcher twice, before and after the answer: that is one question.
    alice.message(f"sip:{ghost}", "now?")
    peer.expect("message", ghost, "from alice")
    assert len(peer.stanzas("presence", ghost, lambda p: p.get("type") == "subscribe")) == 2


def test_nobody_is_asked_again_and_again_for_an_error(others):
    gateway, peer = others
    ghost = f"never@{DOMAIN}"
    peer.errors["presence", "subscribe"] = ("cancel", "item-not-found")
    alice = gateway.sip_user()
    subscription = alice.subscribe(f"sip:{ghost}")
    subscription.wait_notify("the end", lambda n: state_of(n).startswith("terminated"))
    wait_until("the watcher to be unknown again", lambda: stored_state(gateway, alice, ghost) == PENDING, 60)
    # presence.winfo may tell of it as of one who waits; a question that this makes comes at once, and its error ends it for 10 s.
    time.sleep(15)
    del peer.errors["presence", "subscribe"]
    assert len(peer.stanzas("presence", ghost)) == 1
    assert stored_state(gateway, alice, ghost) == PENDING


def test_an_error_that_may_pass_leaves_the_watcher_waiting(others):
    gateway, peer = others
    slow = f"slow@{DOMAIN}"
    peer.errors["presence", "subscribe"] = ("wait", "remote-server-timeout")
    alice, bob = gateway.sip_user(), gateway.sip_user("bob")
    subscription = alice.subscribe(f"sip:{slow}")
    peer.expect("presence", slow, "of alice", lambda p: p.get("from") == jid(alice))
    del peer.errors["presence", "subscribe"]
    # What comes after the error on its stream has arrived: so has the error, and nobody waits for an answer any more.
    peer.raw(f"<message from='{slow}' to='{jid(alice)}' type='chat'><body>after the error</body></message>")
    alice.expect("MESSAGE", "after the error")
    # Whoever asks next has the others asked for again.
    bob.subscribe(f"sip:{slow}").wait_notify("an active subscription", is_active)
    subscription.wait_notify("an active subscription", is_active)
    assert not [n for n in subscription.notifies() if state_of(n).startswith("terminated")]


def test_presence_that_comes_back_is_sent_no_more(others):
    gateway, peer = others
    romeo = f"lost@{DOMAIN}"
    alice = gateway.sip_user()
    alice.publish(pidf(alice.uri, note="one"))
    peer.raw(f"<presence from='{romeo}' to='{jid(alice)}' type='subscribe'/>")
    note = lambda text: lambda p: child_text(p, "status") == text and p.get("type") is None  # noqa: E731
    peer.expect("presence", romeo, "one", note("one"))
    peer.errors["presence", None] = ("cancel", "remote-server-not-found")
    alice.publish(pidf(alice.uri, note="two"))
    peer.expect("presence", romeo, "two", note("two"))
    wait_until("the subscription to be ended", lambda: f"{romeo} cannot be told of {jid(alice)}" in gateway.host.log())
    alice.publish(pidf(alice.uri, note="three"))
    alice.message(f"sip:{romeo}", "are you there?")
    peer.expect("message", romeo, "from alice")
    assert not peer.stanzas("presence", romeo, note("three"))
    # The user's server is back, and asks.
    del peer.errors["presence", None]
    peer.raw(f"<presence from='{romeo}' to='{jid(alice)}' type='probe'/>")
    # On OpenSIPS pua holds the ended dialog for some seconds, so that it may take a second try.
    peer.expect("presence", romeo, "three", note("three"), timeout=60)


def test_a_message_that_xmpp_cannot_deliver_is_in_the_log(pair, tmp_path):
    gateway = Gateway(pair, tmp_path).wait_connected()
    try:
        alice = gateway.sip_user()
        assert alice.message("sip:nobody-at-all@example.net", "hello?", branch="z9hG4bKthis-one").status == 202
        gateway.host.process.wait_for_log("did not reach nobody-at-all@example.net: service-unavailable")
        line = next(line for line in gateway.host.log().splitlines() if "did not reach" in line)
        assert f"a message of {jid(alice)} (branch this-one)" in line and "403 in SIP" in line, line
    finally:
        gateway.stop()


def child_text(stanza, name):
    return child(stanza, name) if stanza.tag.startswith("{jabber:client}") else next(
        ((c.text or "") for c in stanza if c.tag.rpartition("}")[2] == name), None)
