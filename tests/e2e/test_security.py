"""What does not come through: too many stanzas of one user, domains that are not allowed, stanzas for another domain; and where secrets are."""

import os
import re

import pytest
from support.gateway import Gateway
from support.gateway import hosts
from support.gateway import jid
from support.gateway import pairs
from support.process import wait_until

HOSTS = [pytest.param(make, id=name, marks=[pytest.mark.skip(reason=missing)] if missing else []) for name, make, missing in hosts()]
SECRET = "kept-out-of-every-log"
CONDITION = "{urn:ietf:params:xml:ns:xmpp-stanzas}"


def parameters(*lines, debug=False):
    """The edit that adds these to the script, or puts them in place of lines of the same names."""
    def edit(text):
        for name, value in lines:
            text = re.sub(rf'^modparam\("xmpp_gateway", "{name}", .*\n', "", text, flags=re.MULTILINE)
        start = text.index('modparam("xmpp_gateway", ')
        added = "".join(f'modparam("xmpp_gateway", "{name}", {value})\n' for name, value in lines if value is not None)
        text = text[:start] + added + text[start:]
        if debug:
            text = re.sub(r"^(debug|log_level)=\d+", r"\1=4", text, flags=re.MULTILINE)
        return text
    return edit


@pytest.fixture
def start(pair, tmp_path):
    """Starts both servers with parameters of the test's own."""
    started = []

    def started_with(*lines, debug=False, connected=True, **options):
        gateway = Gateway(pair, tmp_path, edit=parameters(*lines, debug=debug), **options)
        started.append(gateway)
        return gateway.wait_connected() if connected else gateway
    yield started_with
    for gateway in started:
        assert gateway.host.process.runs(), "the SIP server died"
        gateway.stop()


def conditions(client, sender):
    """(type, condition) of the error messages that came from this JID."""
    errors = [m.find("{jabber:client}error") for m in client.stanzas("message", lambda m: m.get("type") == "error"
                                                                    and m.get("from") == sender)]
    return [(error.get("type"), next(e.tag.removeprefix(CONDITION) for e in error if not e.tag.endswith("text"))) for error in errors]


def test_one_user_cannot_flood_sip_and_no_other_is_held_up(start):
    gateway = start(("rate_limit", 1))
    alice, juliet, romeo = gateway.sip_user(), gateway.xmpp_user(), gateway.xmpp_user("romeo")
    for n in range(60):
        juliet.message(jid(alice), f"flood {n}", id=f"f{n}")
    # Each is sent on or returned.
    wait_until("an end of the flood",
               lambda: len(alice.requests_seen("MESSAGE")) + len(conditions(juliet, jid(alice))) >= 60, 15)
    assert set(conditions(juliet, jid(alice))) == {("wait", "policy-violation")}
    assert 1 <= len(alice.requests_seen("MESSAGE")) < 40
    romeo.message(jid(alice), "not held up")
    alice.expect("MESSAGE", "of another user", lambda m: m.text == "not held up")
    said = [line for line in gateway.host.log().splitlines() if "beyond rate_limit;" in line]
    assert len(said) == 1 and juliet.bare in said[0], said
    # And later it goes on.
    wait_until("a new token", lambda: juliet.message(jid(alice), "later") or any(m.text == "later" for m in alice.requests_seen("MESSAGE")),
               15, 0.5)


def test_presence_beyond_the_limit_arrives_later(start):
    gateway = start(("rate_limit", 1))
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    subscription = gateway.sip_watches(alice, juliet)
    for n in range(20):
        juliet.message(jid(alice), f"flood {n}", id=f"f{n}")
    juliet.presence(show="away")
    juliet.presence(show="dnd")
    gateway.host.process.wait_for_log("beyond rate_limit;")
    subscription.wait_notify("the newest presence", lambda n: b">dnd</" in n.body, timeout=30)
    assert not juliet.stanzas("presence", lambda p: p.get("type") == "error")


def test_with_a_denied_domain_there_is_no_traffic_either_way(start):
    gateway = start(("deny_domain", '"*.example.org; example.net"'), connected=False)
    gateway.host.process.wait_for_log("accepted sip.example.com as its component", 15)
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    juliet.message(jid(alice), "to SIP")
    wait_until("an error", lambda: conditions(juliet, jid(alice)) == [("auth", "forbidden")])
    assert alice.message(f"sip:{juliet.bare}", "to XMPP").status in (400, 403)
    alice.subscribe(f"sip:{juliet.bare}")
    assert not alice.requests_seen("MESSAGE")
    assert not juliet.stanzas("message", lambda m: m.get("type") != "error")
    assert not juliet.stanzas("presence", lambda p: p.get("type") == "subscribe")
    log = gateway.host.log()
    assert "is not sent to XMPP: Request-URI: the domain is not allowed" in log
    assert "is refused: the domain is not allowed" in log


def test_an_allowed_domain_is_as_ever(start):
    gateway = start(("allow_domain", '"example.net"'))
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    gateway.sip_watches(alice, juliet)
    juliet.message(jid(alice), "to SIP")
    alice.expect("MESSAGE", "to SIP", lambda m: m.text == "to SIP")


def test_what_a_server_routes_to_us_for_another_domain_is_dropped(start):
    """ejabberd gives a component every domain of its listener."""
    other = "other.example.com"

    def two_domains(server):
        path = os.path.join(server.folder, "conf", "ejabberd.yml")
        with open(path, encoding="utf-8") as file:
            text = file.read()
        domain = '      sip.example.com:\n        password: "secret"\n'
        assert domain in text
        with open(path, "w", encoding="utf-8") as file:
            file.write(text.replace(domain, domain + domain.replace("sip.example.com", other)))

    gateway = start(before_start=lambda server: two_domains(server) if server.name == "ejabberd" else None)
    if gateway.server.name != "ejabberd":
        pytest.skip("this server has one domain a component")
    alice, juliet = gateway.sip_user(), gateway.xmpp_user()
    user = jid(alice).split("@")[0]
    juliet.message(f"{user}@{other}", "astray")
    juliet.raw(f'<presence to="{user}@{other}" type="subscribe"/>')
    juliet.raw(f'<iq to="{other}" type="get" id="astray"><ping xmlns="urn:xmpp:ping"/></iq>')
    gateway.host.process.wait_for_log(f"{user}@{other}, which is not ours, is dropped")
    # At once: the stream still stands.
    assert alice.message(f"sip:{juliet.bare}", "honest").status == 202
    juliet.message(jid(alice), "honest")
    alice.expect("MESSAGE", "of juliet", lambda m: m.text == "honest")
    assert [m.text for m in alice.requests_seen("MESSAGE")] == ["honest"]
    assert not juliet.stanzas("message", lambda m: m.get("from", "").endswith(other))


@pytest.mark.parametrize("mode, warned", [(0o600, False), (0o640, False), (0o644, True)], ids=oct)
def test_a_secret_in_a_file_is_used_and_logged_at_no_level(start, tmp_path, mode, warned):
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n", encoding="utf-8")
    file.chmod(mode)
    gateway = start(("xmpp_password", None), ("xmpp_password_file", f'"{file}"'), xmpp_secret=SECRET, debug=True)
    assert gateway.sip_user().message(f"sip:{gateway.account()}", "hello").status == 202
    log = gateway.host.log()
    assert ("can read or change" in log) == warned
    assert SECRET not in log


def test_a_wrong_secret_is_not_logged_either(start):
    gateway = start(("xmpp_password", f'"{SECRET}"'), connected=False, debug=True)
    gateway.host.process.wait_for_log("the server says not-authorized", 15)
    assert not [line for line in gateway.host.log().splitlines() if SECRET in line]


@pytest.mark.parametrize("make", HOSTS)
def test_a_secret_of_the_wrong_type_is_not_logged(make, tmp_path):
    host = make(tmp_path, edit=parameters(("xmpp_password", 31337007)))
    host.start(ready=False)
    try:
        assert host.process.wait_end(10) != 0
    finally:
        host.kill()
    log = host.log()
    assert "parameter xmpp_password is no UTF-8 text in quotes" in log and "31337007" not in log, log[-3000:]
