"""`presence_mode` local on OpenSIPS: the gateway keeps what XMPP users show, and the presence server asks for it."""

import re
import sqlite3

import pytest
from support import store
from support.doors import local
from support.doors import with_parameter
from support.gateway import Gateway
from support.gateway import is_active
from support.gateway import jid
from support.gateway import pairs
from support.process import wait_until
from support.sip import pidf
from test_presence_mode import SHOW
from test_presence_mode import basics
from test_presence_mode import elements
from test_presence_mode import stored

PAIRS = [pair for pair in pairs() if re.fullmatch(r"opensips-.*\+prosody", pair.name)]
TOO_LONG = "x" * 2500


def set_in_presence(name):
    """A function that gives a parameter of module presence the value 1."""
    anchor = 'modparam("presence", "contact_user"'
    return lambda text: local(text).replace(anchor, f'modparam("presence", "{name}", 1)\n{anchor}')


def open_to_publishers(text):
    """Anybody may publish for an XMPP user."""
    text, rules = re.subn(r"( {4}if \(is_method\(\"PUBLISH\"\)\) \{\n)(?:.*\n)*?( {8}handle_publish)", r"\1\2", local(text))
    assert rules == 1
    return text


@pytest.fixture
def started(pair, tmp_path):
    """A function that starts both servers, the example changed by `edit`."""
    gateways = []

    def start(edit=local, of=pair):
        gateway = Gateway(of, tmp_path, edit=edit) if of is pair else Gateway(of, tmp_path)
        gateways.append(gateway)
        return gateway.wait_connected()
    yield start
    for gateway in gateways:
        gateway.stop()


def documents(gateway, contact):
    """What the presence server keeps of an XMPP user."""
    user, domain = contact.bare.split("@")
    tables = sqlite3.connect(gateway.host.database, timeout=5)
    try:
        return tables.execute("SELECT body FROM presentity WHERE username = ? AND domain = ?", (user, domain)).fetchall()
    finally:
        tables.close()


def publish(phone, uri, document, expires=600, etag=None):
    headers = {"Event": "presence", "Expires": str(expires), "Content-Type": "application/pidf+xml"}
    if etag:
        headers["SIP-If-Match"] = etag
    response = phone.request("PUBLISH", uri, to=uri, headers=headers, body=document)
    assert response.status == 200, response
    return response.header("SIP-ETag")


def fetched(phone, uri):
    """The state that a watcher is told who asks for it once."""
    subscription = phone.subscribe(uri, expires=0)
    subscription.wait_notify("a state", lambda n: True)
    return subscription.notifies()[-1]


def test_a_state_is_seen_by_who_comes_later_and_not_written(started):
    gateway = started()
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    juliet.presence(show="away")
    subscription.wait_notify("away", lambda n: elements(n, SHOW) == ["away"])
    assert subscription.refresh().status in (200, 202)
    wait_until("a NOTIFY for the refresh", lambda: len([n for n in subscription.notifies() if elements(n, SHOW) == ["away"]]) == 2)
    assert elements(fetched(gateway.second_phone(alice), gateway.uri_of(juliet.bare)), SHOW) == ["away"]
    before = len(subscription.notifies())
    gateway.host.rpc("refresh_watchers", gateway.uri_of(juliet.bare), "presence", 1)
    wait_until("a NOTIFY for the command", lambda: len(subscription.notifies()) > before)
    assert elements(subscription.notifies()[-1], SHOW) == ["away"]
    assert documents(gateway, juliet) == []
    juliet.presence(type="unavailable")
    subscription.wait_notify("no open tuple", lambda n: n is subscription.notifies()[-1] and "open" not in basics(n))
    assert "open" not in basics(fetched(gateway.second_phone(alice), gateway.uri_of(juliet.bare)))


def test_what_a_phone_publishes_stands_beside_it(started):
    gateway = started(open_to_publishers)
    alice, phone, juliet = gateway.sip_user(), gateway.sip_user("phone"), gateway.xmpp_user()
    uri = gateway.uri_of(juliet.bare)
    subscription = gateway.sip_watches(alice, juliet)
    etag = publish(phone, uri, pidf(uri, note="on the phone", tuple_id="phone"))
    subscription.wait_notify("both", lambda n: basics(n) == ["open", "open"])
    juliet.presence(show="dnd")
    subscription.wait_notify("both, one of them dnd", lambda n: basics(n) == ["open", "open"] and elements(n, SHOW) == ["dnd"])
    publish(phone, uri, b"", expires=0, etag=etag)
    subscription.wait_notify("what is left", lambda n: n is subscription.notifies()[-1] and basics(n).count("open") == 1)
    assert elements(subscription.notifies()[-1], SHOW) == ["dnd"]
    etag = publish(phone, uri, pidf(uri, note="on the phone", tuple_id="phone"))
    subscription.wait_notify("both again", lambda n: n is subscription.notifies()[-1] and basics(n) == ["open", "open"])
    juliet.presence(type="unavailable")
    subscription.wait_notify("the phone alone", lambda n: n is subscription.notifies()[-1] and basics(n) == ["open"])


def test_what_is_too_long_is_kept_by_the_presence_server_as_long_as_it_is(started):
    gateway = started()
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    for show, status, kept in [("away", TOO_LONG, 1), ("dnd", TOO_LONG, 1), ("xa", "short", 0), ("chat", TOO_LONG, 1)]:
        juliet.presence(show=show, status=status)
        subscription.wait_notify(show, lambda n, show=show: n is subscription.notifies()[-1] and elements(n, SHOW) == [show])
        assert (len(documents(gateway, juliet)), basics(subscription.notifies()[-1])) == (kept, ["open"])
    juliet.presence(type="unavailable")
    subscription.wait_notify("no open tuple", lambda n: n is subscription.notifies()[-1] and "open" not in basics(n))
    assert documents(gateway, juliet) == []


def test_a_state_does_not_stand_beside_one_of_nobody(started):
    gateway = started(set_in_presence("notify_offline_body"))
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    juliet.presence(show="away")
    subscription.wait_notify("away", lambda n: elements(n, SHOW) == ["away"])
    assert all(basics(n) == ["open"] for n in subscription.notifies() if "open" in basics(n))
    juliet.presence(type="unavailable")
    subscription.wait_notify("nobody", lambda n: n is subscription.notifies()[-1] and basics(n) == ["closed"])


def test_where_only_the_presence_server_survives_a_restart_it_keeps_the_states(started):
    gateway = started(stored)
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.sip_watches(alice, juliet)
    assert len(documents(gateway, juliet)) == 1


def most_available(text):
    return with_parameter("presence_composition", '"most-available"')(stored(text))


@pytest.mark.parametrize("edit", [stored, most_available], ids=["all", "most-available"])
def test_a_state_survives_a_restart_while_the_xmpp_server_is_away(pair, started, edit, tmp_path):
    gateway = started(of=store.with_store(pair, edit))
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    juliet.presence(show="away")
    subscription.wait_notify("away", lambda n: elements(n, SHOW) == ["away"])
    store.wait_row(tmp_path, "publication", juliet.bare, "away")
    store.wait_row(tmp_path, "authorization", alice.user, "standing allowed")
    assert documents(gateway, juliet) == []
    gateway.host.stop()
    gateway.server.kill()
    juliet.close()
    gateway.host.start()
    gateway.host.process.wait_for_log("are restored in")
    before = len(subscription.notifies())

    assert elements(fetched(gateway.second_phone(alice), gateway.uri_of(juliet.bare)), SHOW) == ["away"]
    assert subscription.notifies()[before:] == [], "who knows it is not told again"
    gateway.server.start()
    subscription.wait_notify("nobody", lambda n: n in subscription.notifies()[before:] and is_active(n) and "open" not in basics(n), 90.0)


def test_a_document_from_before_an_update_is_taken_over(started):
    gateway = started(stored)
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    assert len(documents(gateway, juliet)) == 1
    gateway.host.stop()
    config = gateway.host.config
    with open(config, encoding="utf-8") as file:
        text = file.read()
    with open(config, "w", encoding="utf-8") as file:
        file.write(text.replace('"fallback2db", 1', '"fallback2db", 0'))
    gateway.host.start()
    gateway.wait_connected()
    before = len(subscription.notifies())
    assert subscription.refresh().status in (200, 202)
    juliet.presence(show="away", to=jid(alice))
    subscription.wait_notify("away", lambda n: n in subscription.notifies()[before:] and elements(n, SHOW) == ["away"])
    assert basics(subscription.notifies()[-1]) == ["open"]
    wait_until("no document to be left", lambda: documents(gateway, juliet) == [])
