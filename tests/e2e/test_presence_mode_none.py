"""`presence_mode` none: SIP users see XMPP users by dialogs with the gateway, and nothing is published. The SIP agent stands for what would
take a PUBLISH."""

import time

from support import example
from support.doors import with_parameter
from support.gateway import Gateway
from support.gateway import jid
from support.gateway import pairs
from support.notifier import Notifier

QUIET = 1.5
PAIRS = [p for p in pairs() if p.name.endswith("+prosody")]


def watched(pair, folder, mode):
    """An XMPP user whom a SIP user without a dialog may see has come, gone and come again; the PUBLISHes that this made."""
    server = Notifier()

    def taken(request):
        server.proxy = request.source
        server.respond(request, 200, "OK", "SIP-ETag: one\r\nExpires: 3600\r\n")

    server.answers["PUBLISH"] = taken

    def edit(text):
        return with_parameter("presence_mode", f'"{mode}"')(server.as_presence_server(example.as_notifier(text)))

    gateway = Gateway(pair, folder, edit=edit)
    try:
        alice, bob, juliet = gateway.wait_connected().sip_user(), gateway.sip_user("bob"), gateway.xmpp_user()
        watching = alice.subscribe(gateway.uri_of(juliet.bare))
        watching.wait_notify("an open tuple", lambda n: "open" in n.text)
        subscription = bob.subscribe(gateway.uri_of(juliet.bare))
        subscription.wait_notify("an open tuple", lambda n: "open" in n.text)
        # bob keeps the permission, and no dialog.
        subscription.end()
        juliet.expect_presence(jid(bob), "unavailable")
        for show in ("away", "dnd"):
            juliet.presence(show=show)
        watching.wait_notify("dnd", lambda n: "dnd" in n.text)
        time.sleep(QUIET)
        return [r for r in server.requests_seen("PUBLISH") if r.uri_of("To") == f"sip:{juliet.bare}"]
    finally:
        gateway.stop()
        server.close()


def test_nothing_is_published(pair, tmp_path):
    assert watched(pair, tmp_path, "none") == []


def test_otherwise_it_is(pair, tmp_path):
    assert watched(pair, tmp_path, "pua")
