"""Accounts of phones, and the states that programs write, in MariaDB and PostgreSQL: each host reads both and writes what is the module's."""

import types

import pytest
from support.accounts import offer_bosh
from support.accounts import script
from support.gateway import Gateway
from support.gateway import NUMBERS
from support.gateway import Pair
from support.gateway import pairs
from support.process import wait_until
from test_address_databases import read
from test_address_databases import skipped
from test_address_databases import version_tables
from test_phones import unregister
from test_phones import Watcher
from test_store_databases import missing
from test_store_databases import server

PAIRS = [pair for pair in pairs() if pair.name.endswith("+prosody")]
# What a statement made of texts would stumble over.
ODD = "pa'ss\\%s w\u00f6rd"


def made_tables(server, host):
    """The tables, beside those of the host."""
    for table in ("xmpp_address", "xmpp_account", "xmpp_phone_state", "version"):
        server.run_sql(f"DROP TABLE IF EXISTS {table};")
    for path in (version_tables(server.kind)[host], *(script(server.kind, name) for name in ("xmpp_address", "xmpp_account", "xmpp_phone_state"))):
        server.run_sql(read(path))


def test_accounts_and_states_are_read_and_sessions_are_written(pair, server, tmp_path):
    if missing(pair, server.kind):
        skipped(missing(pair, server.kind))
    made_tables(server, pair.name.split("+", maxsplit=1)[0])

    def edit(text):
        text = text.replace('loadmodule "db_sqlite.so"', f'loadmodule "db_sqlite.so"\nloadmodule "db_{server.kind}.so"', 1)
        start = text.index('modparam("xmpp_gateway", ')
        lines = "".join(f'modparam("xmpp_gateway", "{name}", {value})\n' for name, value in (
            ("db_url", f'"{server.url}"'), ("phone_state", 1), ("phone_state_poll", 1)))
        return text[:start] + lines + text[start:]

    def column(name):
        return server.run_sql(f"SELECT {name} FROM xmpp_account WHERE sip_uri = '{alice.uri}';").strip()
    urls = []
    gateway = Gateway(Pair(pair.name, lambda folder, **options: pair.host(folder, edit=edit, **options), pair.server, pair.missing), tmp_path,
                      before_start=lambda server: urls.append(offer_bosh(server)))
    try:
        gateway.wait_connected()
        alice = gateway.sip_user()
        unregister(alice)
        jid = gateway.server.register(f"juliet{next(NUMBERS)}", ODD)
        file = tmp_path / "accounts.csv"
        file.write_text(f"{alice.uri},{jid},{ODD},1\n")
        file.chmod(0o644)
        tmp_path.chmod(0o755)
        assert gateway.host.import_accounts(str(file)) == ["1 accounts imported, 0 lines left out"]
        server.run_sql(f"UPDATE xmpp_account SET url = '{urls[0]}', priority = -5;")
        gateway.host.reload_accounts()
        watcher = Watcher(types.SimpleNamespace(gateway=gateway), jid, password=ODD)
        alice.register()
        watcher.sees("online")
        wait_until("the session in the table", lambda: column("sid"))
        for number, (state, look) in enumerate((("onthephone", "dnd/On the phone"), ("still-online", "online"))):
            server.run_sql(f"INSERT INTO xmpp_phone_state (sip_uri, state) VALUES ('{alice.uri}', '{state}');")
            watcher.sees(*["online", "dnd/On the phone", "online"][:number + 2])
        wait_until("the table to be empty", lambda: server.run_sql("SELECT COUNT(*) FROM xmpp_phone_state;").strip() == "0")
        session = column("sid")
        gateway.host.stop()
        gateway.host.start()
        gateway.wait_connected()
        alice.register()
        gateway.host.phone_state(alice.uri, "onthephone")
        # A session that goes on says once more what it has said.
        wait_until("the call", lambda: watcher.shown()[-1] == "dnd/On the phone", 15)
        assert "unavailable" not in watcher.shown()
        assert column("sid") == session
        server.run_sql("UPDATE xmpp_account SET password = 'wrong';")
        gateway.host.reload_accounts()
        wait_until(lambda: f"the reason in the table; there is {column('trouble')}", lambda: "not-authorized" in column("trouble"), 15)
        assert column("sid") == ""
    finally:
        gateway.stop()
