"""A real browser (Chromium, by its WebDriver) with a web XMPP client in it: converse.js, which CONVERSE names (the folder of its npm package).
It reaches nothing but 127.0.0.1."""

import base64
import functools
import http.server
import json
import os
import shutil
import threading
import urllib.parse
import urllib.request

from .process import Process
from .process import accepts
from .process import free_port

CONVERSE = os.environ.get("CONVERSE", "")
PAGE = os.path.join(os.path.dirname(__file__), "web_client.html")
SWITCHES = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--window-size=1100,700", "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1"]


def missing():
    """Why there is no web client here; None if there is one."""
    for program in ("chromium", "chromedriver"):
        if not shutil.which(program):
            return f"no {program} in PATH (Debian packages chromium, chromium-driver)"
    if not os.path.exists(os.path.join(CONVERSE, "dist", "converse.min.js")):
        return "no converse.js (npm install converse.js, CONVERSE=.../node_modules/converse.js)"
    return None


class Pages(http.server.SimpleHTTPRequestHandler):
    def translate_path(self, path):
        path = urllib.parse.urlsplit(path).path
        return PAGE if path == "/" else super().translate_path(path.removeprefix("/converse"))

    def log_message(self, *_):
        pass


class WebClient:
    """Logs in as `jid`, over BOSH at `bosh`."""

    def __init__(self, folder, jid, password, bosh):
        self.pages = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), functools.partial(Pages, directory=CONVERSE))
        threading.Thread(target=self.pages.serve_forever, daemon=True).start()
        port = free_port()
        self.driver = Process("chromedriver", str(folder), ["chromedriver", f"--port={port}"], {"HOME": str(folder)})
        self.base = f"http://127.0.0.1:{port}/session"
        self.driver.wait_ready(lambda: accepts(port))
        options = {"args": [*SWITCHES, f"--user-data-dir={folder}/profile"], "binary": shutil.which("chromium")}
        made = self._ask("", {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}})
        self.base += f"/{made['sessionId']}"
        query = urllib.parse.urlencode({"bosh": bosh, "jid": jid, "password": password})
        self._ask("/url", {"url": f"http://127.0.0.1:{self.pages.server_port}/?{query}"})

    def _ask(self, path, content=None, method=None):
        request = urllib.request.Request(self.base + path, None if content is None else json.dumps(content).encode(),
                                         {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["value"]

    def run(self, script, *arguments):
        return self._ask("/execute/sync", {"script": script, "args": arguments})

    def open_chat(self, jid):
        """Whether the contact was there to be clicked at."""
        return self.run("const e = document.querySelector(`a[data-jid='${arguments[0]}']`); if (e) e.click(); return !!e", jid)

    def shown(self, jid):
        """What it shows of a contact: the title of its icon in the list, and the line under its name in the head of the chat."""
        return self.run("const t = (e) => e ? e.getAttribute('title') || e.innerText : '';"
                        "return [t(document.querySelector(`a[data-jid='${arguments[0]}'] .chat-status`)),"
                        " t(document.querySelector('.chat-head__desc'))]", jid)

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._ask("/screenshot")))

    def stop(self):
        self._ask("", method="DELETE")
        self.driver.stop()
        self.pages.shutdown()
