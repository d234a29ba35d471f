"""A restart or crash of the SIP server in the middle of it all (`store`): nobody on either side notices."""

import pytest
from support import example
from support import store
from support.dialogs import attribute
from support.dialogs import documents
from support.doors import with_parameter
from support.gateway import Gateway
from support.gateway import is_active
from support.gateway import jid
from support.gateway import pairs
from support.process import wait_until
from support.sip import pidf
from test_contact_lamps import Lamp
from test_contact_lamps import served
from test_presence_mode import basics
from test_presence_mode import elements
from test_presence_mode import SHOW
from test_presence_mode import state
from test_presence_mode import stored

PAIRS = [pair for pair in pairs() if pair.name.endswith("+prosody")]
ENDS = pytest.mark.parametrize("ends", ["stop", "kill"])


def in_pua_mode(text):
    """The presence server is reached by SIP, and keeps what it has as the example says."""
    return text


@pytest.fixture
def started(pair, tmp_path):
    """A function that starts both servers with a store, the example changed by `edit`."""
    gateways = []

    def start(edit):
        gateway = Gateway(store.with_store(pair, edit), tmp_path)
        gateways.append(gateway)
        return gateway.wait_connected()
    yield start
    for gateway in gateways:
        gateway.stop()


def restart(gateway, ends):
    getattr(gateway.host, ends)()
    gateway.host.start()
    gateway.host.process.wait_for_log("are restored in")
    gateway.wait_connected()


def kinds(client, sender):
    """What presence a client got from this bare JID, without what says a state again."""
    told = []
    for stanza in client.stanzas("presence", lambda p: p.get("from", "").split("/")[0] == sender):
        said = stanza.get("type") or "available"
        if told[-1:] != [said]:
            told.append(said)
    return told


def cseqs(subscription):
    return [int(n.header("CSeq").split()[0]) for n in subscription.notifies()]


def entity_tag(folder, state):
    """What the one publication with this state is kept under."""
    for row in store.rows(folder, "publication"):
        if state in row[3]:
            return next((line.split(" ")[1] for line in row[3].splitlines() if line.startswith("entity_tag ")), None)
    return None


def show(stanza):
    return next((child.text for child in stanza if child.tag.endswith("}show")), None)


@ENDS
def test_an_xmpp_user_goes_on_seeing_a_sip_user(started, ends, tmp_path):
    gateway = started(in_pua_mode)
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.xmpp_watches(juliet, alice)
    store.wait_row(tmp_path, "subscription", alice.user, "phase active", "shown ")
    restart(gateway, ends)

    alice.etag = None
    alice.publish(pidf(alice.uri, show="away"))
    juliet.expect_presence(jid(alice), timeout=30.0, condition=lambda p: show(p) == "away")
    # Another client is told by an answer to the probe of its server.
    phone = gateway.login(juliet.bare, resource="phone")
    phone.expect_presence(jid(alice), condition=lambda p: p.get("type") is None)
    told = kinds(juliet, jid(alice))
    if gateway.host.name == "kamailio":
        # Its presence server has forgotten what Alice published, and says so to the one subscription there is.
        assert [kind for kind in told if kind not in ("available", "unavailable")] == ["subscribed"]
    else:
        assert told == ["subscribed", "available"]


@ENDS
def test_a_sip_user_goes_on_seeing_an_xmpp_user_by_a_dialog_with_the_gateway(started, ends, tmp_path):
    gateway = started(example.as_notifier)
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    store.wait_row(tmp_path, "dialog", alice.user, "phase active")
    store.wait_row(tmp_path, "authorization", alice.user, "standing allowed")
    restart(gateway, ends)
    before = len(subscription.notifies())

    juliet.presence(show="away")
    subscription.wait_notify("away", lambda n: elements(n, SHOW) == ["away"])
    assert subscription.refresh().status in (200, 202)
    wait_until("a NOTIFY for the refresh", lambda: len(subscription.notifies()) > before + 1)
    assert cseqs(subscription) == sorted(set(cseqs(subscription)))
    assert all(is_active(n) for n in subscription.notifies()[before:])

    # The other servers too.
    gateway.server.kill()
    juliet.close()
    gateway.server.start()
    gateway.host.process.wait_for_log("as its component", after=gateway.host.log().rindex("as its component") + 1, timeout=30.0)
    juliet = gateway.login(juliet.bare, resource="phone")
    juliet.presence(show="dnd")
    subscription.wait_notify("dnd", lambda n: "dnd" in elements(n, SHOW))
    assert subscription.end().status in (200, 202)
    subscription.wait_notify("the end", lambda n: state(n) == "terminated")
    wait_until("no dialog to be kept", lambda: not store.rows(tmp_path, "dialog"))
    assert not [p for p in juliet.stanzas("presence") if p.get("type") == "subscribe"], "it is not asked again"


@ENDS
@pytest.mark.parametrize("mode", [in_pua_mode, stored], ids=["pua", "local"])
def test_a_sip_user_goes_on_seeing_an_xmpp_user_by_the_presence_server(started, mode, ends, tmp_path):
    gateway = started(mode)
    alice, bob, juliet = gateway.sip_user(), gateway.sip_user("bob"), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    juliet.presence(show="away")
    subscription.wait_notify("away", lambda n: elements(n, SHOW) == ["away"])
    store.wait_row(tmp_path, "publication", juliet.bare, "away")
    store.wait_row(tmp_path, "authorization", alice.user, "standing allowed")
    restart(gateway, ends)
    before = len(subscription.notifies())

    if subscription.refresh().status not in (200, 202):
        # The presence server has forgotten it: the phone begins anew.
        subscription, before = alice.subscribe(gateway.uri_of(juliet.bare)), 0
    subscription.wait_notify("away again", lambda n: n in subscription.notifies()[before:] and elements(n, SHOW) == ["away"])
    gateway.sip_watches(bob, juliet)
    juliet.presence(show="dnd")
    subscription.wait_notify("dnd", lambda n: elements(n, SHOW) == ["dnd"])
    juliet.presence(type="unavailable")
    # pua may have forgotten the entity tag that the presence server has.
    subscription.wait_notify("no open tuple", lambda n: n is subscription.notifies()[-1] and "open" not in basics(n))
    assert all(is_active(n) for n in subscription.notifies()[before:])
    assert len(juliet.stanzas("presence", lambda p: p.get("type") == "subscribe" and p.get("from") == jid(alice))) == 1
    wait_until("no publication to be kept", lambda: not store.rows(tmp_path, "publication"))


@ENDS
@pytest.mark.parametrize("mode", [in_pua_mode, stored], ids=["pua", "local"])
def test_who_waits_for_an_answer_goes_on_waiting(started, mode, ends, tmp_path):
    gateway = started(mode)
    alice, juliet = gateway.sip_user(), gateway.xmpp_user(accept=None)
    subscription = alice.subscribe(f"sip:{juliet.bare}")
    juliet.expect_presence(jid(alice), "subscribe")
    first = subscription.wait_notify("pending", lambda n: state(n) == "pending")
    store.wait_row(tmp_path, "authorization", alice.user, "standing asked")
    restart(gateway, ends)
    if subscription.refresh().status not in (200, 202):
        subscription = alice.subscribe(gateway.uri_of(juliet.bare))
    juliet.presence(status="not for alice yet")
    subscription.wait_notify("pending again", lambda n: n is not first and state(n) == "pending")
    assert {state(n) for n in alice.requests_seen("NOTIFY")} == {"pending"}
    assert not [n for n in alice.requests_seen("NOTIFY") if n.body]
    juliet.presence(type="subscribed", to=jid(alice))
    subscription.wait_notify("an open tuple", lambda n: is_active(n) and "open" in basics(n))


@ENDS
@pytest.mark.parametrize("mode", [in_pua_mode, stored], ids=["pua", "local"])
def test_who_sees_and_who_waits_are_told_apart_after_a_restart(started, mode, ends, tmp_path):
    gateway = started(mode)
    alice, bob, juliet = gateway.sip_user(), gateway.sip_user("bob"), gateway.xmpp_user(accept=None)
    waits = alice.subscribe(gateway.uri_of(juliet.bare))
    waits.wait_notify("pending", lambda n: state(n) == "pending")
    sees = bob.subscribe(gateway.uri_of(juliet.bare))
    juliet.expect_presence(jid(bob), "subscribe")
    juliet.presence(type="subscribed", to=jid(bob))
    juliet.presence(show="away")
    sees.wait_notify("away", lambda n: elements(n, SHOW) == ["away"])
    store.wait_row(tmp_path, "authorization", alice.user, "standing asked")
    store.wait_row(tmp_path, "authorization", bob.user, "standing allowed")
    restart(gateway, ends)

    if sees.refresh().status not in (200, 202):
        sees = bob.subscribe(gateway.uri_of(juliet.bare))
    if waits.refresh().status not in (200, 202):
        waits = alice.subscribe(gateway.uri_of(juliet.bare))
    juliet.presence(show="dnd")
    sees.wait_notify("dnd", lambda n: elements(n, SHOW) == ["dnd"])
    juliet.presence(type="unsubscribed", to=jid(bob))
    sees.wait_notify("the refusal", lambda n: state(n) == "terminated")
    assert {state(n) for n in alice.requests_seen("NOTIFY")} == {"pending"}
    assert not [n for n in alice.requests_seen("NOTIFY") if n.body]
    juliet.presence(type="subscribed", to=jid(alice))
    waits.wait_notify("dnd", lambda n: is_active(n) and elements(n, SHOW) == ["dnd"])


@pytest.mark.parametrize("mode", [in_pua_mode, stored], ids=["pua", "local"])
def test_who_is_blocked_stays_so_after_a_restart(started, mode, tmp_path):
    gateway = started(mode)
    alice, bob, juliet = gateway.sip_user(), gateway.sip_user("bob"), gateway.xmpp_user(plugins=("xep_0191",))
    blocked, other = gateway.sip_watches(alice, juliet), gateway.sip_watches(bob, juliet)
    juliet.ask(lambda client: client["xep_0191"].block(jid(alice)))
    blocked.wait_notify("pending", lambda n: n is blocked.notifies()[-1] and state(n) == "pending")
    store.wait_row(tmp_path, "authorization", alice.user, "standing hidden")
    restart(gateway, "stop")

    juliet.presence(show="dnd", status="not for alice")
    if other.refresh().status not in (200, 202):
        other = bob.subscribe(gateway.uri_of(juliet.bare))
    other.wait_notify("dnd", lambda n: elements(n, SHOW) == ["dnd"])
    before = len(blocked.notifies())
    if blocked.refresh().status not in (200, 202):
        blocked, before = alice.subscribe(gateway.uri_of(juliet.bare)), 0
    wait_until("a NOTIFY for Alice", lambda: len(blocked.notifies()) > before)
    assert {state(n) for n in blocked.notifies()[before:]} == {"pending"}
    assert not [n for n in alice.requests_seen("NOTIFY") if "not for alice" in n.text]


def test_a_refusal_after_a_restart_reaches_the_lamp_from_before(started, tmp_path):
    gateway = started(lambda text: served(stored(text)))
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    lamp = Lamp(gateway, alice, juliet)
    lamp.wait_state("active")
    store.wait_row(tmp_path, "authorization", alice.user, "standing allowed")
    restart(gateway, "stop")
    juliet.presence(type="unsubscribed", to=jid(alice))
    lamp.wait_state("terminated;reason=rejected")


@ENDS
@pytest.mark.parametrize("mode", [in_pua_mode, stored], ids=["pua", "local"])
def test_who_comes_while_the_server_is_away_is_seen_after_its_restart(started, mode, ends, tmp_path):
    gateway = started(mode)
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    juliet.close()
    subscription.wait_notify("no open tuple", lambda n: n is subscription.notifies()[-1] and "open" not in basics(n))
    store.wait_row(tmp_path, "authorization", alice.user, "standing allowed")
    wait_until("no publication to be kept", lambda: not store.rows(tmp_path, "publication"))
    getattr(gateway.host, ends)()
    # Her server tells nobody: the gateway is not there.
    juliet = gateway.login(juliet.bare, resource="phone")
    juliet.presence(show="dnd")
    gateway.host.start()
    gateway.wait_connected()
    if subscription.refresh().status not in (200, 202):
        subscription = alice.subscribe(gateway.uri_of(juliet.bare))
    subscription.wait_notify("dnd", lambda n: elements(n, SHOW) == ["dnd"])


@ENDS
def test_a_lamp_goes_on_from_a_table_of_another_name(pair, ends, tmp_path):
    def edit(text):
        return with_parameter("state_table", '"lamps"')(example.as_notifier(text))
    gateway = Gateway(store.with_store(pair, edit), tmp_path, after_start=lambda server: store.rename(tmp_path, "lamps"))
    try:
        gateway.wait_connected()
        alice, juliet = gateway.sip_user(), gateway.xmpp_user()
        lamp = Lamp(gateway, alice, juliet)
        juliet.presence(show="dnd")
        wait_until("the lamp to be lit", lambda: lamp.shown()[-1:] == ["on"])
        wait_until(lambda: f"the dialog to be kept: {store.rows(tmp_path, table='lamps')}",
                   lambda: [row for row in store.rows(tmp_path, "dialog", "lamps") if "phase active" in row[3]])
        told = len(lamp.subscription.notifies())
        restart(gateway, ends)
        # Nothing is said anew but what the user does now, under a version that is higher.
        juliet.presence(show="away")
        wait_until("the lamp to go out", lambda: lamp.shown()[-1:] == ["off"])
        assert lamp.subscription.refresh().status in (200, 202)
        juliet.presence(show="dnd")
        wait_until("the lamp to be lit again", lambda: lamp.shown()[-1:] == ["on"])
        versions = [int(attribute(text, "version")) for text in documents(lamp.subscription)]
        assert versions == sorted(set(versions)) and len(versions) > told
    finally:
        gateway.stop()


@ENDS
@pytest.mark.parametrize("mode", [in_pua_mode, stored], ids=["pua", "local"])
def test_who_leaves_while_the_server_is_away_is_gone_after_its_restart(started, mode, ends, tmp_path):
    gateway = started(mode)
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    juliet.presence(show="away")
    subscription.wait_notify("away", lambda n: elements(n, SHOW) == ["away"])
    before = wait_until("a tag for away", lambda: entity_tag(tmp_path, "away")) if mode is in_pua_mode else None
    juliet.presence(show="dnd")
    subscription.wait_notify("dnd", lambda n: elements(n, SHOW) == ["dnd"])
    # What is answered in the last moment before a crash may be missing.
    wait_until("another tag for dnd", lambda: mode is stored or entity_tag(tmp_path, "dnd") not in (None, before))
    store.wait_row(tmp_path, "authorization", alice.user, "standing allowed")
    getattr(gateway.host, ends)()
    juliet.close()
    gateway.host.start()
    gateway.wait_connected()
    wait_until("no publication to be kept", lambda: not store.rows(tmp_path, "publication"), timeout=70.0)
    if subscription.refresh().status not in (200, 202):
        subscription = alice.subscribe(gateway.uri_of(juliet.bare))
    subscription.wait_notify("no open tuple", lambda n: n is subscription.notifies()[-1] and is_active(n) and "open" not in basics(n))


def test_without_its_table_the_server_does_not_start(pair, tmp_path):
    kept = store.with_store(pair)
    host = kept.host(tmp_path)
    tables = store.sqlite3.connect(store.path(tmp_path))
    with tables:
        tables.execute("DELETE FROM version WHERE table_name = 'xmpp_state'")
    tables.close()
    host.start(ready=False)
    try:
        host.process.wait_end()
        said = "what is to survive a restart cannot be kept: the database has no version of table xmpp_state; create the table with the script"
        assert host.log().count(said) == 1
    finally:
        host.kill()
