"""A real Kamailio that runs cfg-examples/kamailio: the one that is installed, or KAMAILIO (the program), KAMAILIO_MODULES (the folder of
its modules, as for make) and KAMAILIO_TABLES (its db_sqlite scripts)."""

import json
import os
import shutil
import socket
import sqlite3
import time

from . import example
from . import sanitizer
from .process import Process
from .process import free_port
from .process import wait_until

NAME = "kamailio"
SETTING = r'^(#!substdef "!{name}!).*(!g")$'
PROGRAM = os.environ.get("KAMAILIO", "kamailio")
MODULES = os.environ.get("KAMAILIO_MODULES")
TABLES = os.environ.get("KAMAILIO_TABLES", "/usr/share/kamailio/db_sqlite")


def missing():
    """Why Kamailio tests cannot run here; None if they can."""
    if not shutil.which(PROGRAM):
        return f"no {PROGRAM} in PATH (Debian package kamailio, or KAMAILIO=path)"
    if not os.path.isdir(TABLES):
        return f"no {TABLES} (Debian package kamailio-sqlite-modules)"
    if not os.path.exists(module()):
        return f"no {module()} (make HOST=kamailio, or KAMAILIO_GATEWAY=path)"
    return None


def module():
    return os.environ.get("KAMAILIO_GATEWAY", os.path.join(example.ROOT, "build", "kamailio", "xmpp_gateway.so"))


def command_with_modules():
    return [PROGRAM, *(["-L", MODULES] if MODULES else [])]


class Kamailio:
    """`name` is the example; `settings` replaces values at its head; `edit` may change its text further; `lua` runs the KEMI script, whose text
    `edit` changes then."""

    def __init__(self, folder, sip_domain="sip.example.com", xmpp_domain="example.net", xmpp_port=None, secret="secret",
                 lua=False, settings=None, edit=None, port=None, environment=None, name="xmpp_gateway.cfg"):
        self.name = NAME
        self.folder = os.path.join(str(folder), "kamailio")
        self.sip_domain = sip_domain
        self.port = port or free_port()
        self.database = os.path.join(self.folder, "kamailio.sqlite")
        self.process = None
        self.before = ()
        self.environment = environment
        self.lua = lua
        os.makedirs(self.folder, exist_ok=True)
        in_script = lua and not getattr(edit, "changes_parameters", False)
        values = {
            "SIP_DOMAIN": sip_domain, "XMPP_DOMAIN": xmpp_domain, "SIP_IP": "127.0.0.1", "SIP_PORT": self.port,
            "XMPP_HOST": "127.0.0.1", "XMPP_PORT": xmpp_port or free_port(), "XMPP_SECRET": secret, "DB_FILE": self.database,
            "LUA_FILE": self._lua_file(sip_domain, xmpp_domain, edit if in_script else None), "GATEWAY_MODULE": module(), **(settings or {}),
        }
        text = example.read("kamailio", name)
        if name != "xmpp_gateway.cfg":
            # It has no script in Lua.
            del values["LUA_FILE"]
        text = example.substituted(text, values, SETTING)
        if edit and not in_script:
            text = edit(text)
        self.config = example.write(self.folder, "kamailio.cfg", text)
        self._make_tables()

    def _lua_file(self, sip_domain, xmpp_domain, edit):
        text = example.replaced(example.read("kamailio", "xmpp_gateway.lua"),
                                {"sip.example.com": sip_domain, "example.net": xmpp_domain, "5060": self.port})
        return example.write(self.folder, "xmpp_gateway.lua", edit(text) if edit else text)

    def _make_tables(self):
        if os.path.exists(self.database):
            return
        with sqlite3.connect(self.database) as tables:
            tables.execute("PRAGMA journal_mode = WAL")
            for name in ("standard", "usrloc", "presence", "dialog"):
                with open(os.path.join(TABLES, name + "-create.sql"), encoding="utf-8") as script:
                    tables.executescript(script.read())
        tables.close()

    def start(self, ready=True):
        command = [*command_with_modules(), "-DD", "-E", "-f", self.config, "-m", "256", "-M", "16", "-w", self.folder, "-Y", self.folder,
                   "-P", os.path.join(self.folder, "pid")]
        if self.lua:
            command += ["-A", "WITH_LUA"]
        self.process = Process(NAME, self.folder, [*self.before, *command], {**sanitizer.environment(), **(self.environment or {})})
        if ready:
            from .sip import answers_options
            self.process.wait_ready(lambda: answers_options(self.port))
        return self

    def check_config(self):
        """`kamailio -c`: status and output."""
        process = Process("kamailio-check", self.folder, [*command_with_modules(), "-c", "-f", self.config, "-Y", self.folder]
                          + (["-A", "WITH_LUA"] if self.lua else []))
        return process.wait_end(), process.log()

    def rules(self, user, watcher, handling):
        """Writes a pres-rules document: what becomes of this watcher of user@sip_domain: allow, confirm or block."""
        return presence_rules(self.database, user, self.sip_domain, watcher, handling)

    def rpc(self, method, *params):
        """A command of the server's RPC interface."""
        return datagram_rpc(self.folder, os.path.join(self.folder, "kamailio_rpc.sock"), method, params)

    def refresh_watchers(self, presentity):
        """Makes the presence server ask the rules of this presentity again."""
        return self.rpc("presence.refreshWatchers", presentity, "presence", 0)

    def reload_addresses(self):
        """Has the gateway read its address table anew; what it answers."""
        return self.rpc("xmpp_gateway.address_reload")["result"]

    def reload_accounts(self):
        """Has the gateway read its table of accounts anew."""
        self.rpc("xmpp_gateway.account_reload")

    def import_accounts(self, path, *domain):
        """Has the gateway take a file of accounts; what it answers."""
        return self.rpc("xmpp_gateway.account_import", path, *domain)["result"]

    def phone_state(self, uri, state):
        """Tells the gateway the state of a phone."""
        self.rpc("xmpp_gateway.phone_state", uri, state)

    def stop(self):
        return self.process.stop() if self.process else 0.0

    def kill(self):
        if self.process:
            self.process.kill()

    def log(self):
        return self.process.log() if self.process else ""


def datagram_rpc(folder, address, method, params):
    """One JSON-RPC command over a UNIX datagram socket; both hosts take it."""
    own = os.path.join(folder, f"rpc-{os.getpid()}-{time.monotonic_ns()}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as control:
        control.bind(own)
        os.chmod(own, 0o777)
        control.settimeout(5)
        control.sendto(json.dumps({"jsonrpc": "2.0", "method": method, "params": list(params), "id": 1}).encode(), address)
        answer = json.loads(control.recv(65535))
    os.unlink(own)
    if "error" in answer:
        raise AssertionError(f"{method}: {answer}")
    return answer


def presence_rules(database, user, domain, watcher, handling):
    document = f"""<?xml version="1.0"?>
<ruleset xmlns="urn:ietf:params:xml:ns:common-policy" xmlns:pr="urn:ietf:params:xml:ns:pres-rules">
<rule id="r"><conditions><identity><one id="{watcher}"/></identity></conditions>
<actions><pr:sub-handling>{handling}</pr:sub-handling></actions></rule></ruleset>"""

    def write():
        try:
            with sqlite3.connect(database, timeout=5) as tables:
                tables.execute("DELETE FROM xcap WHERE username = ? AND domain = ? AND doc_type = 2", (user, domain))
                tables.execute("INSERT INTO xcap (username, domain, doc, doc_type, etag, source, doc_uri, port)"
                               " VALUES (?, ?, ?, 2, 'test', 0, ?, 5060)", (user, domain, document, "test:" + user))
            tables.close()
            return True
        except sqlite3.OperationalError:
            return False
    wait_until("the database to be writable", write)
