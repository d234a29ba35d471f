"""An XMPP server that is stopped and started in order: one line that says so, and the gateway comes back by itself."""

from support.gateway import Gateway
from support.stream import expect_line
from support.stream import messages_flow
from support.stream import pairs_with_both
from support.stream import said

PAIRS = pairs_with_both()


def test_a_server_that_stops_in_order_is_found_again(pair, tmp_path):
    gateway = Gateway(pair, tmp_path)
    try:
        messages_flow(gateway)
        gateway.log_out()
        gateway.server.stop()
        expect_line(gateway, "the stream of sip.example.com at", "ended", "next try in")
        assert len(said(gateway, "the stream of sip.example.com at", "ended")) == 1
        gateway.server.start()
        messages_flow(gateway)
    finally:
        gateway.stop()
