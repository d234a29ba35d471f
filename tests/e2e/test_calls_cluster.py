"""Dialogs that OpenSIPS replicates: the node that has a call shows it, and the other one when it has taken the call over."""

import json
import re

import pytest
from support.example import with_calls
from support.gateway import Gateway
from support.gateway import pairs
from support.phone import Call
from support.phone import sdp
from support.process import free_port
from support.process import wait_until
from test_calls import Lamp

PAIRS = [pair for pair in pairs() if pair.name.startswith("opensips") and pair.name.endswith("+prosody")]


def node(number, ports):
    """An edit for one of two nodes; the sharing tag is active on the first."""
    def edit(text):
        text = with_calls("local", event="dialog_event")(text)
        # To the dialog module both have one socket.
        text = re.sub(r"^(socket=udp:.*)$", r"\1 tag vip", text, flags=re.MULTILINE)
        own, other = ports[number - 1], ports[2 - number]
        lines = [f"socket=bin:127.0.0.1:{own}", 'loadmodule "proto_bin.so"', 'loadmodule "clusterer.so"',
                 'modparam("clusterer", "db_mode", 0)', f'modparam("clusterer", "my_node_id", {number})',
                 f'modparam("clusterer", "my_node_info", "cluster_id=1,url=bin:127.0.0.1:{own}")',
                 f'modparam("clusterer", "neighbor_node_info", "cluster_id=1,node_id={3 - number},url=bin:127.0.0.1:{other}")',
                 f'modparam("clusterer", "sharing_tag", "vip/1={"active" if number == 1 else "backup"}")']
        text = text.replace('loadmodule "dialog.so"', "\n".join([*lines, 'loadmodule "dialog.so"',
                                                                'modparam("dialog", "dialog_replication_cluster", 1)']), 1)
        shown = 'if (is_method("INVITE")) dialoginfo_set();'
        assert shown in text
        return text.replace(shown, 'if (is_method("INVITE") && !has_totag()) { create_dialog(); set_dlg_sharing_tag("vip"); dialoginfo_set(); }', 1)
    edit.changes_parameters = True
    return edit


@pytest.fixture
def nodes(pair, tmp_path):
    ports = [free_port(), free_port()]
    started = []
    try:
        for number in (1, 2):
            started.append(Gateway(pair, tmp_path / str(number), edit=node(number, ports)))
        yield started
    finally:
        for gateway in started:
            gateway.stop()


def command(gateway, name, *parameters):
    return json.dumps(gateway.host.rpc(name, *parameters))


def test_a_call_of_another_node_is_shown_when_it_is_taken_over(nodes):
    first, second = nodes
    wait_until("both nodes to be linked", lambda: all('"link_state": "Up"' in command(node, "clusterer_list") for node in nodes), 20)
    alice, bob = first.sip_user("alice"), first.sip_user("bob")
    there, here = Lamp(first, bob), Lamp(second, bob)
    call = Call(alice, bob)
    call.ring(bob)
    caller, _ = call.accept(bob)
    there.wait("confirmed")
    wait_until("the copy of the dialog", lambda: call.call_id in command(second, "dlg_list"))
    # What is told of this call is behind whatever would have been of the copy.
    carol, dave = second.sip_user("carol"), second.sip_user("dave")
    marker = Lamp(second, dave)
    own = Call(carol, dave)
    own.ring(dave)
    marker.wait("early")
    assert here.told() == {}
    dave.answers["CANCEL"] = lambda request: dave.respond(own.invite(dave), 487, "Request Terminated") or 200
    own.cancel()
    # The first node is gone: its address, which the second one would have now, is left.
    command(second, "clusterer_shtag_set_active", "vip/1")
    for agent in (alice, bob):
        agent.proxy = ("127.0.0.1", second.host.port)
    caller.routes = [route.replace(f":{first.host.port}", f":{second.host.port}") for route in caller.routes]
    assert caller.request("INVITE", sdp()).status == 200
    here.wait("confirmed")
    caller.bye()
    here.wait()
    there.wait()
    assert list(here.told().values()) == [["confirmed", "terminated"]]
