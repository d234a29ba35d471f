"""XMPP accounts in which phones are shown: connection managers (BOSH) of real servers, the table, and a gateway that uses both."""

import os
import re
import sqlite3
from urllib.parse import urlsplit

from . import example
from .address_table import with_database
from .gateway import Gateway
from .gateway import PASSWORD
from .gateway import Pair
from .process import accepts
from .process import free_port
from .process import wait_until


def script(database, name="xmpp_account"):
    return os.path.join(example.ROOT, "db", database, f"{name}-create.sql")


def offer_bosh(server):
    """Has a server that is not started yet offer BOSH; its URL."""
    port = free_port()
    path = getattr(server, "config", None) or os.path.join(server.folder, "conf", "ejabberd.yml")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    if server.name == "prosody":
        text = text.replace("http_ports = { }", f'http_ports = {{ {port} }}\nhttp_interfaces = {{ "127.0.0.1" }}\nhttp_default_host = "{server.domain}"')
        text = text.replace('modules_enabled = { ', 'modules_enabled = { "bosh", ', 1)
    else:
        listener = f'listen:\n  - port: {port}\n    ip: "127.0.0.1"\n    module: ejabberd_http\n    request_handlers:\n      /http-bind: mod_bosh\n'
        text = re.sub(r"^listen:\n", listener, text, count=1, flags=re.MULTILINE)
        text = re.sub(r"^modules:\n", "modules:\n  mod_bosh: {}\n", text, count=1, flags=re.MULTILINE)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return f"http://127.0.0.1:{port}/http-bind"


class Phones:
    """A gateway that shows phones in accounts of its XMPP server. `offer` has an XMPP server that is not started yet offer BOSH, and gives its URL; `before` are words before the SIP host's command."""

    def __init__(self, pair, folder, *parameters, edit=lambda text: text, offer=offer_bosh, before=(),
                 accounts="xmpp_account", states="xmpp_phone_state"):
        self.url = None
        self.accounts, self.states = accounts, states
        lines = "".join(f'modparam("xmpp_gateway", "{name}", {value})\n'
                        for name, value in (("phone_state", 1), ("bosh_allow_plain", 0), *parameters))

        def with_phones(text):
            text = with_database(edit(text))
            start = text.index('modparam("xmpp_gateway", ')
            return text[:start] + lines + text[start:]

        def host(where, **options):
            made = pair.host(where, edit=with_phones, **options)
            made.before = before
            self.database = made.database
            for name, called in (("xmpp_address",) * 2, ("xmpp_account", accounts), ("xmpp_phone_state", states)):
                with open(script("sqlite", name), encoding="utf-8") as file:
                    self.change(lambda tables, text=file.read().replace(name, called): tables.executescript(text))
            return made

        def before_start(server):
            self.url = offer(server)

        def after_start(_):
            wait_until("BOSH to answer", lambda: accepts(urlsplit(self.url).port))

        self.gateway = Gateway(Pair(pair.name, host, pair.server, pair.missing), folder, before_start=before_start, after_start=after_start)

    def change(self, what):
        def changed():
            try:
                with sqlite3.connect(self.database, timeout=5) as tables:
                    what(tables)
                return True
            except sqlite3.OperationalError as error:
                if "locked" in str(error):
                    return False
                raise
        wait_until("the database to be writable", changed)

    def row(self, user):
        """What stands in the table of a SIP user."""
        with sqlite3.connect(self.database, timeout=5) as tables:
            tables.row_factory = sqlite3.Row
            found = tables.execute(f"SELECT * FROM {self.accounts} WHERE sip_uri = ?", (user.uri,)).fetchone()
        return dict(found) if found else None

    def add(self, user, password=PASSWORD, domain=None, **columns):
        """An XMPP account of its own for a SIP user, in the table too; its JID."""
        jid = self.gateway.account(domain=domain)
        values = {"sip_uri": user.uri, "jid": jid, "password": password, "url": self.url, **columns}
        names = ", ".join(values)
        self.change(lambda tables: tables.execute(
            f"INSERT INTO {self.accounts} ({names}) VALUES ({', '.join('?' * len(values))})", tuple(values.values())))
        self.gateway.host.reload_accounts()
        return jid

    def set(self, user, **columns):
        """Changes what an account's row says."""
        changes = ", ".join(f"{name} = ?" for name in columns)
        self.change(lambda tables: tables.execute(f"UPDATE {self.accounts} SET {changes} WHERE sip_uri = ?", (*columns.values(), user.uri)))
        self.gateway.host.reload_accounts()

    def remove(self, user):
        """Takes the account's row out of the table."""
        self.change(lambda tables: tables.execute(f"DELETE FROM {self.accounts} WHERE sip_uri = ?", (user.uri,)))
        self.gateway.host.reload_accounts()

    def write_state(self, user, state):
        """What a program writes that knows the phone."""
        self.change(lambda tables: tables.execute(f"INSERT INTO {self.states} (sip_uri, state) VALUES (?, ?)", (user.uri, state)))

    def states_left(self):
        """How many of them are there."""
        with sqlite3.connect(self.database, timeout=5) as tables:
            return tables.execute(f"SELECT COUNT(*) FROM {self.states}").fetchone()[0]
