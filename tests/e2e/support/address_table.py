"""The table of users whose address is chosen (db/): made by its script, and what stands in it."""

import os
import re
import sqlite3

from . import example
from .gateway import Pair
from .process import wait_until


def script(database):
    """The file that makes the table in this kind of database: sqlite, mysql or postgres."""
    return os.path.join(example.ROOT, "db", database, "xmpp_address-create.sql")


def with_table(pair, rows=()):
    """The same servers, the SIP host with the table and these rows when it starts."""
    def host(folder, **options):
        made = pair.host(folder, edit=with_database, **options)
        create(made.database, rows)
        return made
    return Pair(pair.name, host, pair.server, pair.missing)


def with_database(text):
    """The database that pua has, for the gateway too."""
    url = re.search(r'^modparam\("pua", "db_url", (".*")\)', text, re.MULTILINE).group(1)
    anchor = 'modparam("xmpp_gateway", '
    start = text.index(anchor)
    return f'{text[:start]}modparam("xmpp_gateway", "db_url", {url})\n{text[start:]}'


def create(database, rows=()):
    with open(script("sqlite"), encoding="utf-8") as file:
        change(database, lambda tables: tables.executescript(file.read()))
    put(database, rows)


def put(database, rows):
    """Adds rows: SIP URI and JID, and flags where there are any."""
    change(database, lambda tables: tables.executemany("INSERT INTO xmpp_address (sip_uri, jid, flags) VALUES (?, ?, ?)",
                                                       [(*row, 0) if len(row) == 2 else row for row in rows]))


def change(database, what):
    """Does something to the tables, as soon as the host lets go of them."""
    def changed():
        tables = sqlite3.connect(database, timeout=5)
        try:
            with tables:
                what(tables)
            return True
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                return False
            raise
        finally:
            tables.close()
    wait_until("the database to be writable", changed)
