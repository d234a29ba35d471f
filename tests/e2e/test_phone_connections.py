"""How a phone's session reaches the server of its account: BOSH and streams, over TLS and without, by a URL or by the name of the domain
alone; and which passwords it shows on the way. The account's other client, a real one, watches."""

import base64
import re
import warnings

import pytest
from support import names
from support.accounts import Phones
from support.names import NameServer
from support.process import free_port
from support.process import wait_until
from support.relay import Relay
from support.ways import DOMAINS
from support.ways import Ways
from test_phones import Watcher
from test_phones import unregister

USUAL, STRONG, PLAIN = DOMAINS["SCRAM-SHA-1"], DOMAINS["SCRAM-SHA-256"], DOMAINS["PLAIN"]


@pytest.fixture(scope="module")
def ways(pair, tmp_path_factory):
    return Ways(tmp_path_factory.mktemp("ways"))


@pytest.fixture(scope="module")
def stream():
    """What stands between the gateway and the port for STARTTLS, and keeps what was written."""
    relay = Relay()
    yield relay
    relay.close()


@pytest.fixture(scope="module")
def phones(pair, ways, stream, tmp_path_factory):
    folder = tmp_path_factory.mktemp("phones")
    before, ends = [], []
    if names.missing():
        warnings.warn(f"skipped: what is found by name: {names.missing()}")
    else:
        # TLS from the first byte is preferred where DNS names it: where it also names a stream, nothing listens at that.
        server = NameServer(ways.address, {
            (USUAL, "A"): ways.address, (f"xmpp.{USUAL}", "A"): "127.0.0.1",
            (f"_xmpps-client._tcp.{USUAL}", "SRV"): (ways.direct, f"xmpp.{USUAL}"),
            (f"_xmpp-client._tcp.{USUAL}", "SRV"): (free_port(), f"xmpp.{USUAL}"),
            (f"_xmpp-client._tcp.{STRONG}", "SRV"): (stream.port, f"xmpp.{USUAL}"),
        })
        # host-meta is asked for at the well-known port, which the servers of these tests may not have.
        ends += [server, Relay(target=ways.https, port=443, address=ways.address)]
        before = server.before(folder)
    made = Phones(pair, folder, ("bosh_ca", f'"{ways.authority.path}"'), ("login_rate", 50), offer=ways.offer, before=before)
    stream.target = made.gateway.server.port
    made.gateway.wait_connected()
    yield made
    made.gateway.stop()
    for end in ends:
        end.close() if isinstance(end, Relay) else end.stop()


@pytest.fixture
def alice(phones):
    yield new_user(phones)
    phones.gateway.log_out()


def new_user(phones):
    """A SIP user whose phone is not registered yet."""
    user = phones.gateway.sip_user()
    unregister(user)
    return user


def is_shown(phones, user, **columns):
    """Until the other client sees the phone come and go; where in its log the XMPP server tells of it."""
    watcher = Watcher(phones, phones.add(user, **columns))
    before = len(phones.gateway.server.log())
    user.register()
    watcher.sees("online")
    unregister(user)
    watcher.sees("online", "unavailable")
    return before


def is_refused(phones, user, why, **columns):
    """Until the table says why the phone is not shown; nobody has seen it."""
    watcher = Watcher(phones, phones.add(user, **columns))
    user.register()
    wait_until(lambda: f"{why!r} in the table; there is {phones.row(user)['trouble']!r}", lambda: why in phones.row(user)["trouble"], 15)
    assert watcher.shown() == []


@pytest.fixture
def by_name():
    if names.missing():
        pytest.skip(names.missing())


def test_bosh_over_tls_logs_in_by_every_mechanism(phones, ways):
    for mechanism, domain in DOMAINS.items():
        before = is_shown(phones, new_user(phones), domain=domain, url=ways.url)

        def used(before=before):
            """By what phones have logged in since."""
            return set(re.findall(r"(?:<auth [^>]*mechanism='|Accepted c2s )([A-Z0-9-]+)", phones.gateway.server.log()[before:]))
        wait_until("a login in the log of the XMPP server", used)
        assert used() == {mechanism}


def test_bosh_without_tls_takes_a_challenge(phones, alice, ways):
    is_shown(phones, alice, domain=STRONG, url=ways.clear_url)


def test_bosh_without_tls_shows_no_password(phones, alice, ways):
    is_refused(phones, alice, "no mechanism that may be used here is among those of the server: PLAIN", domain=PLAIN, url=ways.clear_url)


def test_bosh_is_refused_whose_certificate_is_for_another_name(phones, alice, ways):
    elsewhere = Relay(target=ways.https, address=ways.address)
    is_refused(phones, alice, "certificate not valid for name", url=f"https://{ways.address}:{elsewhere.port}/http-bind")
    elsewhere.close()


def test_a_stream_is_encrypted_before_the_login(phones, alice, stream):
    is_shown(phones, alice, domain=PLAIN, transport="tcp", url=f"127.0.0.1:{stream.port}")
    written = stream.written[-1]
    assert b"<starttls" in written and b"<auth" not in written


def test_a_stream_is_found_by_name_and_begins_with_tls_where_that_is_named(by_name, phones, alice):
    is_shown(phones, alice, transport="tcp", url="")


def test_a_stream_is_found_by_name_and_goes_over_to_tls(by_name, phones, alice, stream):
    before = len(stream.written)
    is_shown(phones, alice, domain=STRONG, transport="tcp", url="")
    assert b"<starttls" in stream.written[before]


def test_the_connection_manager_is_found_by_the_domain_alone(by_name, phones, alice, ways):
    is_shown(phones, alice, url="")
    alice.register()
    wait_until("the session in the table", lambda: ways.url.encode() in base64.b64decode(phones.row(alice)["session"] or ""))


def test_a_domain_without_host_meta_has_no_connection_manager(by_name, phones, alice):
    is_refused(phones, alice, f"https://{STRONG}/.well-known/host-meta: ", domain=STRONG, url="")


def test_a_name_server_that_knows_nothing_is_no_end(by_name, phones, alice):
    is_refused(phones, alice, "its name does not resolve", domain=PLAIN, transport="tcp", url="")
