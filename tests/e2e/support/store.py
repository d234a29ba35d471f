"""What survives a restart (`store`): a database of its own for the gateway, with its tables."""

import os
import sqlite3

from . import example
from .gateway import Pair
from .process import wait_until


def script(database, table):
    return os.path.join(example.ROOT, "db", database, f"{table}-create.sql")


def with_store(pair, edit=lambda text: text):
    """The same servers, the SIP host with the tables and the store switched on; `edit` changes its text further."""
    def host(folder, **options):
        made = pair.host(folder, edit=lambda text: edit(keeping(text, path(folder))), **options)
        create(path(folder))
        return made
    return Pair(pair.name, host, pair.server, pair.missing)


def path(folder):
    return os.path.join(str(folder), "gateway.sqlite")


def keeping(text, database):
    """The text of an example, with a store in this file."""
    # Kamailio takes the path after three slashes, OpenSIPS after two.
    scheme = "sqlite:///" if "DB_FILE" in text else "sqlite://"
    anchor = 'modparam("xmpp_gateway", '
    start = text.index(anchor)
    lines = f'modparam("xmpp_gateway", "db_url", "{scheme}{database}")\nmodparam("xmpp_gateway", "store", 1)\n'
    return text[:start] + lines + text[start:]


def create(database):
    if os.path.exists(database):
        return
    with sqlite3.connect(database) as tables:
        tables.execute("PRAGMA journal_mode = WAL")
        tables.execute("CREATE TABLE version (table_name VARCHAR(32) NOT NULL, table_version INTEGER DEFAULT 0 NOT NULL)")
        for table in ("xmpp_address", "xmpp_state"):
            with open(script("sqlite", table), encoding="utf-8") as file:
                tables.executescript(file.read())
    tables.close()


def rows(folder, kind=None, table="xmpp_state"):
    """What is kept, as (kind, watcher, presentity, content)."""
    tables = sqlite3.connect(path(folder), timeout=5)
    try:
        found = tables.execute(f"SELECT kind, watcher, presentity, content FROM {table}").fetchall()
    finally:
        tables.close()
    return [row for row in found if kind in (None, row[0])]


def rename(folder, table):
    """The table of states has another name."""
    with sqlite3.connect(path(folder)) as tables:
        tables.execute(f"ALTER TABLE xmpp_state RENAME TO {table}")
        tables.execute("UPDATE version SET table_name = ? WHERE table_name = 'xmpp_state'", (table,))
    tables.close()


def wait_row(folder, kind, *parts):
    """Once a row of this kind has all these parts in it."""
    return wait_until(lambda: f"a row {kind} with {parts}; there are: {rows(folder)}",
                      lambda: next((row for row in rows(folder, kind) if all(part in "\n".join(row) for part in parts)), None))
