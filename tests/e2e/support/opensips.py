"""A real OpenSIPS that runs cfg-examples/opensips, for each built tree that is found."""

import glob
import os
import re
import sqlite3

from . import example
from . import sanitizer
from .kamailio import datagram_rpc
from .kamailio import presence_rules
from .process import Process
from .process import free_port

NAME = "opensips"
# What the example says of OpenSIPS 3.4.
BEFORE_SQLOPS = {"sqlops": "avpops", "sql_query": "avp_db_query"}


def trees():
    """The OpenSIPS trees at hand, built or not."""
    found = [os.environ["OPENSIPS_SRC"]] if os.environ.get("OPENSIPS_SRC") else []
    for pattern in ("/usr/src/opensips*", "/usr/local/src/opensips*"):
        found += sorted(glob.glob(pattern))
    trees = []
    for tree in found:
        tree = os.path.realpath(tree)
        if tree not in trees and os.path.exists(os.path.join(tree, "core_cmds.c")):
            trees.append(tree)
    return trees


def version(tree):
    with open(os.path.join(tree, "Makefile.defs"), encoding="utf-8") as defs:
        text = defs.read()
    return ".".join(re.search(rf"^{part} *= *(\d+)", text, re.MULTILINE).group(1)
                    for part in ("VERSION_MAJOR", "VERSION_MINOR", "VERSION_SUBMINOR"))


def module(tree):
    """The gateway built for this tree: OPENSIPS_GATEWAY, or where make puts it."""
    return os.environ.get("OPENSIPS_GATEWAY") or os.path.join(example.ROOT, "build", f"opensips-{version(tree)}", "xmpp_gateway.so")


def missing(tree):
    """Why tests cannot run with this tree; None if they can."""
    if not os.access(os.path.join(tree, "opensips"), os.X_OK):
        return f"{tree} holds no built opensips"
    for name in needed(tree):
        if not os.path.exists(os.path.join(tree, "modules", name, name + ".so")):
            return f"{tree} lacks module {name} (make modules=modules/{name} modules)"
    if not os.path.exists(module(tree)):
        return f"no {module(tree)} (make HOST=opensips OPENSIPS_SRC={tree}, or OPENSIPS_GATEWAY=path)"
    with open(module(tree), "rb") as file:
        if version(tree).encode() not in file.read():
            return f"{module(tree)} was built for another OpenSIPS than {version(tree)}"
    return None


def needed(tree):
    """The modules that the example loads, but for proto_udp, which stands in the core."""
    named = re.findall(r'^loadmodule "(\w+)\.so"', example.read("opensips", "xmpp_gateway.cfg"), re.MULTILINE)
    return [sql_module(tree) if name == "sqlops" else name for name in named if name not in ("proto_udp", "xmpp_gateway")]


def sql_module(tree):
    return "sqlops" if os.path.isdir(os.path.join(tree, "modules", "sqlops")) else "avpops"


class OpenSips:
    """`name` is the example; `edit` may change its text further."""

    def __init__(self, folder, tree, sip_domain="sip.example.com", xmpp_domain="example.net", xmpp_port=None, secret="secret",
                 edit=None, port=None, environment=None, name="xmpp_gateway.cfg"):
        self.name = f"{NAME}-{version(tree)}"
        self.tree = tree
        self.folder = os.path.join(str(folder), "opensips")
        self.sip_domain = sip_domain
        self.port = port or free_port()
        self.database = os.path.join(self.folder, "opensips.sqlite")
        self.rules_database = self.database
        self.process = None
        self.before = ()
        self.environment = environment
        os.makedirs(self.folder, exist_ok=True)
        text = example.replaced(example.read("opensips", name), {
            "xmpp.example.net": "127.0.0.1", "5347": xmpp_port or free_port(), "change-me": secret,
            "127.0.0.1:5060": f"127.0.0.1:{self.port}", "$sp == 5060": f"$sp == {self.port}",
            "/var/lib/opensips/opensips.sqlite": self.database, "/usr/lib/opensips/modules/": self._module_folder(),
            "/run/opensips/control.sock": os.path.join(self.folder, "control.sock"),
            "stderror_enabled=no": "stderror_enabled=yes", "syslog_enabled=yes": "syslog_enabled=no",
            "sip.example.com": "\0", "example.net": xmpp_domain, "\0": sip_domain,
        })
        if sql_module(tree) != "sqlops" and "sqlops" in text:
            self.rules_database = os.path.join(self.folder, "rules.sqlite")
            text = re.sub(rf'^(modparam\("(?:sqlops|xcap)", "db_url", .*){re.escape(self.database)}', rf"\g<1>{self.rules_database}", text,
                          flags=re.MULTILINE)
            text = example.replaced(text, BEFORE_SQLOPS)
        if edit:
            text = edit(text)
        self.config = example.write(self.folder, "opensips.cfg", text)
        for database in {self.database, self.rules_database}:
            self._make_tables(database)

    def _module_folder(self):
        folder = os.path.join(self.folder, "modules")
        os.makedirs(folder, exist_ok=True)
        for path in glob.glob(os.path.join(self.tree, "modules", "*", "*.so")):
            link = os.path.join(folder, os.path.basename(path))
            if not os.path.lexists(link) and os.path.basename(path) != "xmpp_gateway.so":
                os.symlink(path, link)
        link = os.path.join(folder, "xmpp_gateway.so")
        if not os.path.lexists(link):
            os.symlink(module(self.tree), link)
        return folder + "/"

    def _make_tables(self, database):
        if os.path.exists(database):
            return
        with sqlite3.connect(database) as tables:
            tables.execute("PRAGMA journal_mode = WAL")
            for name in ("standard", "presence", "dialog"):
                with open(os.path.join(self.tree, "scripts", "sqlite", name + "-create.sql"), encoding="utf-8") as script:
                    tables.executescript(script.read())
        tables.close()

    def _command(self, *options):
        return [os.path.join(self.tree, "opensips"), *options, "-f", self.config, "-m", "256", "-M", "16", "-w", self.folder]

    def start(self, ready=True):
        self.process = Process(NAME, self.folder, [*self.before, *self._command("-F")], {**sanitizer.environment(), **(self.environment or {})})
        if ready:
            from .sip import answers_options
            self.process.wait_ready(lambda: answers_options(self.port))
        return self

    def check_config(self):
        """`opensips -C`: status and output."""
        process = Process("opensips-check", self.folder, self._command("-C"))
        return process.wait_end(), process.log()

    def rules(self, user, watcher, handling):
        """Writes a pres-rules document: what becomes of this watcher of user@sip_domain: allow, confirm or block."""
        return presence_rules(self.rules_database, user, self.sip_domain, watcher, handling)

    def rpc(self, method, *params):
        """A command of the server's management interface."""
        return datagram_rpc(self.folder, os.path.join(self.folder, "control.sock"), method, params)

    def refresh_watchers(self, presentity):
        """Makes the presence server ask the rules of this presentity again."""
        return self.rpc("refresh_watchers", presentity, "presence", 0)

    def reload_addresses(self):
        """Has the gateway read its address table anew; what it answers."""
        return self.rpc("xmpp_address_reload")["result"]

    def reload_accounts(self):
        """Has the gateway read its table of accounts anew."""
        self.rpc("xmpp_account_reload")

    def import_accounts(self, path, *domain):
        """Has the gateway take a file of accounts; what it answers."""
        return self.rpc("xmpp_account_import", path, *domain)["result"]

    def phone_state(self, uri, state):
        """Tells the gateway the state of a phone."""
        self.rpc("xmpp_phone_state", uri, state)

    def stop(self):
        return self.process.stop() if self.process else 0.0

    def kill(self):
        if self.process:
            self.process.kill()

    def log(self):
        return self.process.log() if self.process else ""
