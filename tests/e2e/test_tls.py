"""TLS to the component port: ejabberd speaks it itself, Prosody behind a proxy; and certificates that prove nothing."""

import os

import pytest
from support.ejabberd import Ejabberd
from support.gateway import Gateway
from support.process import free_port
from support.stream import change
from support.stream import expect_line
from support.stream import messages_flow
from support.stream import pairs_with_both
from support.stream import parameters
from support.stream import said
from support.tls import Authority
from support.tls import TlsProxy
from support.xmpp import child

PAIRS = pairs_with_both()


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path / "tls")


@pytest.fixture
def start(pair, tmp_path):
    """Makes gateways whose XMPP server shows this certificate, and stops them."""
    made = []

    def make(certificate, ca, host="localhost"):
        def with_tls(server):
            if isinstance(server, Ejabberd):
                for base, _, files in os.walk(tmp_path / "tls"):
                    for path in [base, *(os.path.join(base, name) for name in files)]:
                        os.chmod(path, 0o755)
                change(os.path.join(server.folder, "conf", "ejabberd.yml"), "    module: ejabberd_service\n",
                       f"    module: ejabberd_service\n    tls: true\n    certfile: {certificate}\n")
            else:
                TlsProxy(certificate, server.component_port, port)

        port = free_port()
        at = port if pair.server is not Ejabberd else None
        component = free_port()
        edit = parameters({"xmpp_host": f"{host}:{at or component}", "xmpp_tls": "on", "xmpp_tls_ca": ca, "queue_size": 0})
        made.append(Gateway(pair, tmp_path, before_start=with_tls, component_port=component, edit=edit))
        return made[-1]
    yield make
    for gateway in made:
        gateway.stop()


def test_messages_pass_through_tls(start, authority):
    gateway = start(authority.certificate("DNS:localhost"), authority.path)
    alice, juliet = messages_flow(gateway)
    # More than one TLS record, and more than one read.
    for number in range(20):
        body = f"{number} " + "x" * 20_000
        assert alice.message(f"sip:{juliet.bare}", body).status == 202
        juliet.expect_message(f"number {number}", lambda m, body=body: child(m, "body") == body)


def test_a_certificate_may_name_an_address(start, authority):
    messages_flow(start(authority.certificate("IP:127.0.0.1"), authority.path, host="127.0.0.1"))


@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_certificate_that_proves_nothing_is_refused_in_one_line(start, tmp_path, authority, wrong):
    if wrong == "authority":
        certificate, reason = Authority(tmp_path / "tls", "stranger").certificate("DNS:localhost"), "UnknownIssuer"
    else:
        certificate, reason = authority.certificate("DNS:other.example"), "not valid for name"
    gateway = start(certificate, authority.path)
    expect_line(gateway, "no connection to the XMPP server localhost:", reason, "check xmpp_tls_ca", "next try in")
    assert gateway.sip_user("alice").message("sip:juliet@example.net", "anybody there?").status == 480
    assert len(said(gateway, "no connection to the XMPP server")) == 1
