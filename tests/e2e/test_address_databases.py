"""The address table in real databases: its scripts, beside each host's own tables, and what a host reads from it."""

import os
import sqlite3
import warnings

import pytest
from support import address_table
from support import kamailio
from support import opensips
from support.databases import MariaDb
from support.databases import PostgreSql

ROWS = """INSERT INTO xmpp_address (sip_uri, jid) VALUES ('sip:1001@pbx.example', 'romeo@example.net');
INSERT INTO xmpp_address (sip_uri, jid) VALUES ('sip:1002@pbx.example', 'j\u00fcliet@example.net');
INSERT INTO xmpp_address (sip_uri, jid) VALUES ('sip:1003@pbx.example', 'juliet@example.net');
INSERT INTO xmpp_address (sip_uri, jid, flags) VALUES ('sip:1004@pbx.example', 'nurse@example.net', 1);
"""


class Sqlite:
    """A database in memory with what the scripts make."""
    kind = "sqlite"

    @classmethod
    def missing(cls):
        return None

    def start(self):
        self.tables = sqlite3.connect(":memory:")
        return self

    def stop(self):
        self.tables.close()

    def run_sql(self, sql):
        statements = [statement for statement in sql.split(";") if statement.strip()]
        answers = [self.tables.execute(statement).fetchall() for statement in statements]
        return "\n".join("|".join(str(column) for column in row) for row in answers[-1])


KINDS = [Sqlite, MariaDb, PostgreSql]


def skipped(reason):
    """A skip that the summary shows."""
    warnings.warn(f"skipped: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="module", params=KINDS, ids=[kind.kind for kind in KINDS])
def server(request):
    if request.param.missing():
        skipped(request.param.missing())
    running = request.param()
    try:
        yield running.start()
    finally:
        running.stop()


def version_tables(kind):
    """What makes the table of versions, as each host has it."""
    folder = {"sqlite": "db_sqlite"}.get(kind, kind)
    found = {"kamailio": os.path.join(os.path.dirname(kamailio.TABLES), folder, "standard-create.sql")}
    for tree in opensips.trees():
        found[f"opensips-{opensips.version(tree)}"] = os.path.join(tree, "scripts", kind, "standard-create.sql")
    return {name: path for name, path in found.items() if os.path.exists(path)}


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def clean(server):
    for table in ("xmpp_address", "version"):
        server.run_sql(f"DROP TABLE IF EXISTS {table};")


def test_the_script_makes_the_table_beside_those_of_each_host(server):
    hosts = version_tables(server.kind)
    if not hosts:
        skipped(f"no host here has scripts for {server.kind}")
    for name, path in hosts.items():
        clean(server)
        server.run_sql(read(path))
        server.run_sql(read(address_table.script(server.kind)))
        server.run_sql(ROWS)
        assert server.run_sql("SELECT table_version FROM version WHERE table_name = 'xmpp_address';").strip() == "1", name
        assert server.run_sql("SELECT COUNT(*) FROM xmpp_address WHERE flags = 0;").strip() == "3", name
        for twice in ("('sip:1001@pbx.example', 'other@example.net')", "('sip:1009@pbx.example', 'romeo@example.net')"):
            with pytest.raises((AssertionError, sqlite3.IntegrityError)):
                server.run_sql(f"INSERT INTO xmpp_address (sip_uri, jid) VALUES {twice};")
    clean(server)


def test_kamailio_reads_it(server, tmp_path):
    if server.kind == "sqlite":
        pytest.skip("test_address_map.py does this for SQLite")
    if kamailio.missing():
        skipped(kamailio.missing())
    tables = version_tables(server.kind).get("kamailio")
    if not tables:
        skipped(f"no Kamailio tables for {server.kind} (Debian package kamailio-{server.kind}-modules)")
    clean(server)
    server.run_sql(read(tables))
    server.run_sql(read(address_table.script(server.kind)))
    server.run_sql(ROWS)

    def edit(text):
        text = text.replace('loadmodule "db_sqlite.so"', f'loadmodule "db_sqlite.so"\nloadmodule "db_{server.kind}.so"', 1)
        anchor = 'modparam("xmpp_gateway", '
        start = text.index(anchor)
        return f'{text[:start]}modparam("xmpp_gateway", "db_url", "{server.url}")\n{text[start:]}'
    host = kamailio.Kamailio(tmp_path, edit=edit)
    host.start()
    try:
        assert "3 users in the address map, 0 rows skipped, 1 disabled" in host.log()
        many = ", ".join(f"('sip:many{n}@pbx.example', 'many{n}@example.net')" for n in range(2500))
        server.run_sql(f"INSERT INTO xmpp_address (sip_uri, jid) VALUES {many};")
        assert host.reload_addresses() == {"loaded": 2503, "skipped": 0, "disabled": 1}
        server.run_sql("UPDATE version SET table_version = 9 WHERE table_name = 'xmpp_address';")
        with pytest.raises(AssertionError, match="has version 9"):
            host.reload_addresses()
        assert host.process.runs()
    finally:
        host.stop()
    clean(server)
