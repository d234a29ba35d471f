"""The component's stream: failover, IPv6, several components, servers that fall silent, and servers that refuse us."""

import hashlib
import os
import re
import signal
import socket

import pytest
from support.gateway import Gateway
from support.gateway import jid
from support.gateway import pairs
from support.process import free_port
from support.process import wait_until
from support.prosody import Prosody
from support.sip import SipAgent
from support.stream import change
from support.stream import expect_line
from support.stream import messages_flow
from support.stream import parameters
from support.stream import said
from support.xmpp import child

PAIRS = [p for p in pairs() if p.server.__name__ == "Prosody"]

# What SIP users of the second component have in SIP, and in XMPP.
OTHER_SIP, OTHER_XMPP = "sip.example.org", "phones.example.org"


@pytest.fixture
def start(pair, tmp_path):
    """Makes gateways, and stops them."""
    made = []

    def make(edit, **options):
        made.append(Gateway(pair, tmp_path, edit=edit, **options))
        return made[-1]
    yield make
    for gateway in made:
        gateway.stop()


def test_an_ipv6_address(start):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError as error:
        pytest.skip(f"no IPv6 on loopback: {error}")

    def only_ipv6(server):
        change(server.config, 'component_interfaces = { "127.0.0.1" }', 'component_interfaces = { "::1" }')
        server.component_address = "::1"
    gateway = start(parameters({"xmpp_host": "::1"}), before_start=only_ipv6)
    messages_flow(gateway)
    assert said(gateway, f"the XMPP server [::1]:{gateway.component_port} accepted sip.example.com as its component")


def test_the_second_server_takes_over_from_the_first(start, tmp_path):
    second = Prosody(tmp_path / "second").start()
    try:
        port = free_port()
        hosts = [f"127.0.0.1:{free_port()}", f"127.0.0.1:{port}", f"localhost:{second.component_port}"]
        gateway = start(parameters({"xmpp_host": ", ".join(hosts)}), component_port=port)
        messages_flow(gateway)
        first = gateway.server
        first.kill()
        gateway.server = second
        messages_flow(gateway)
        assert said(gateway, f"no connection to the XMPP server {hosts[0]}", f"next try at {hosts[1]} at once")
        assert said(gateway, f"the XMPP server {hosts[2]} accepted sip.example.com")
        first.start()
        second.kill()
        gateway.server = first
        messages_flow(gateway)
    finally:
        second.kill()


def test_a_server_that_falls_silent_is_noticed(start):
    gateway = start(parameters({"ping_interval": 2, "ping_timeout": 2, "queue_size": 0}))
    alice, _ = messages_flow(gateway)
    # A server that answers is left in peace.
    wait_until("some pings", lambda: gateway.server.log().count("id='ping-") > 2, 20, 0.2)
    assert not said(gateway, "ended:")
    os.kill(gateway.server.process.pid, signal.SIGSTOP)
    try:
        expect_line(gateway, "ended: the server was silent and did not answer a ping within 2 s")
        assert alice.message("sip:juliet@example.net", "anybody there?").status == 480
    finally:
        os.kill(gateway.server.process.pid, signal.SIGCONT)
    messages_flow(gateway)


def other_component(server):
    with open(server.config, "a", encoding="utf-8") as file:
        file.write(f'\nComponent "{OTHER_XMPP}"\n    component_secret = "other"\n')


def with_other_domain(edit):
    """The SIP server serves the other domain too."""
    def both(text):
        return re.sub(r"^alias=(udp:)?.*$", lambda m: f"{m[0]}\nalias={m[1] or ''}" + (OTHER_SIP if m[1] else f'"{OTHER_SIP}"'), edit(text),
                      count=1, flags=re.MULTILINE)
    return both


def other_user(gateway, name):
    user = SipAgent(f"{name}{free_port()}", OTHER_SIP, gateway.host.port)
    gateway.users.append(user)
    return user.register()


def test_two_components_in_one_module(start):
    port = free_port()
    components = [f"domain=sip.example.com;host=127.0.0.1;port={port};secret=secret",
                  f"domain={OTHER_XMPP};host=[::1]:1,127.0.0.1;port={port};secret=other"]
    without = ["xmpp_domain", "xmpp_password", "xmpp_host", "xmpp_port"]
    edit = parameters({"xmpp_component": components, "gwmap": f"{OTHER_SIP}={OTHER_XMPP}"}, without)
    gateway = start(with_other_domain(edit), before_start=other_component, component_port=port)
    alice, juliet = messages_flow(gateway)
    bob = other_user(gateway, "bob")
    bob_jid = jid(bob).replace(OTHER_SIP, OTHER_XMPP)
    wait_until("the other component", lambda: bob.message(f"sip:{juliet.bare}", "of bob").status == 202, 15, 0.2)
    juliet.expect_message("of bob", lambda m: child(m, "body") == "of bob" and m.get("from").split("/")[0] == bob_jid)
    juliet.message(bob_jid, "for bob")
    bob.expect("MESSAGE", "for bob", lambda m: m.text == "for bob")
    gateway.xmpp_watches(juliet, alice)
    bob.subscribe(f"sip:{juliet.bare}")
    juliet.expect_presence(bob_jid, "subscribe")


def test_the_state_of_one_component_is_not_that_of_the_other(start):
    edit = parameters({"xmpp_component": f"domain={OTHER_XMPP};secret=other", "gwmap": f"{OTHER_SIP}={OTHER_XMPP}", "queue_size": 0})
    gateway = start(with_other_domain(edit))
    alice, juliet = messages_flow(gateway)
    bob = other_user(gateway, "bob")
    expect_line(gateway, f"the login of {OTHER_XMPP} at", "host-unknown", "check xmpp_domain (domain of xmpp_component)", "next try in")
    assert bob.message(f"sip:{juliet.bare}", "of bob").status == 480
    assert alice.message(f"sip:{juliet.bare}", "of alice").status == 202
    juliet.expect_message("of alice", lambda m: child(m, "body") == "of alice")
    assert len(said(gateway, "host-unknown")) == 1


def log_in(port, domain, secret):
    """A component of another make takes the name; returns its connection."""
    holder = socket.create_connection(("127.0.0.1", port))
    holder.sendall(f"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='{domain}'>".encode())
    heard = ""
    while not (found := re.search(r"id=['\"]([^'\"]+)['\"]", heard)):
        heard += holder.recv(4096).decode()
    holder.sendall(f"<handshake>{hashlib.sha1((found[1] + secret).encode()).hexdigest()}</handshake>".encode())
    while "<handshake" not in heard:
        heard += holder.recv(4096).decode()
    return holder


def test_a_name_that_another_holds_is_said_once(start):
    holders = []
    gateway = start(parameters({"queue_size": 0}), after_start=lambda server: holders.append(log_in(server.component_port, "sip.example.com", "secret")))
    expect_line(gateway, "the login of sip.example.com at", "conflict", "is a second gateway running with it?", "next try in")
    assert gateway.sip_user("alice").message("sip:juliet@example.net", "anybody there?").status == 480
    assert len(said(gateway, "conflict")) == 1
    holders[0].close()
