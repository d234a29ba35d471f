"""What survives a restart, in MariaDB and PostgreSQL: each host writes it and reads it back."""

import os

import pytest
from support import kamailio
from support import opensips
from support import store
from support.databases import MariaDb
from support.databases import PostgreSql
from support.example import as_notifier
from support.gateway import Gateway
from support.gateway import Pair
from support.gateway import pairs
from support.process import wait_until
from test_address_databases import clean
from test_address_databases import read
from test_address_databases import skipped
from test_address_databases import version_tables
from test_presence_mode import elements
from test_presence_mode import SHOW
from test_survival import cseqs
from test_survival import restart

PAIRS = [pair for pair in pairs() if pair.name.endswith("+prosody")]
KINDS = [MariaDb, PostgreSql]


@pytest.fixture(params=KINDS, ids=[kind.kind for kind in KINDS])
def server(request):
    if request.param.missing():
        skipped(request.param.missing())
    running = request.param()
    try:
        yield running.start()
    finally:
        running.stop()


def missing(pair, kind):
    """Why this host cannot use this kind of database here; `None`: it can."""
    if pair.name.startswith("kamailio"):
        return kamailio.missing() or (None if "kamailio" in version_tables(kind) else
                                      f"no Kamailio tables for {kind} (Debian package kamailio-{kind}-modules)")
    tree = next(tree for tree in opensips.trees() if pair.name.startswith(f"opensips-{opensips.version(tree)}+"))
    built = os.path.join(tree, "modules", f"db_{kind}", f"db_{kind}.so")
    return pair.missing or (None if os.path.exists(built) else f"no {built} (make modules=modules/db_{kind} modules, in that tree)")


def test_a_dialog_goes_on_after_a_crash(pair, server, tmp_path):
    if missing(pair, server.kind):
        skipped(missing(pair, server.kind))
    tables = version_tables(server.kind)[pair.name.split("+")[0]]
    server.run_sql("DROP TABLE IF EXISTS xmpp_state;")
    clean(server)
    for script in (tables, store.script(server.kind, "xmpp_address"), store.script(server.kind, "xmpp_state")):
        server.run_sql(read(script))

    def edit(text):
        text = text.replace('loadmodule "db_sqlite.so"', f'loadmodule "db_sqlite.so"\nloadmodule "db_{server.kind}.so"', 1)
        assert f"db_{server.kind}" in text
        anchor = 'modparam("xmpp_gateway", '
        start = text.index(anchor)
        lines = f'modparam("xmpp_gateway", "db_url", "{server.url}")\nmodparam("xmpp_gateway", "store", 1)\n'
        return as_notifier(text[:start] + lines + text[start:])

    def count(condition):
        return int(server.run_sql(f"SELECT COUNT(*) FROM xmpp_state WHERE {condition};").strip())
    gateway = Gateway(Pair(pair.name, lambda folder, **options: pair.host(folder, edit=edit, **options), pair.server, pair.missing), tmp_path)
    try:
        gateway.wait_connected()
        alice, juliet = gateway.sip_user(), gateway.xmpp_user()
        subscription = gateway.sip_watches(alice, juliet)
        wait_until("the dialog to be kept", lambda: count("kind = 'dialog' AND content LIKE '%phase active%'") == 1)
        wait_until("the decision to be kept", lambda: count("kind = 'authorization' AND content LIKE '%allowed%'") == 1)
        restart(gateway, "kill")
        juliet.presence(show="away")
        subscription.wait_notify("away", lambda n: elements(n, SHOW) == ["away"])
        assert cseqs(subscription) == sorted(set(cseqs(subscription)))
        assert subscription.end().status in (200, 202)
        wait_until("no dialog to be kept", lambda: count("kind = 'dialog'") == 0)
    finally:
        gateway.stop()
