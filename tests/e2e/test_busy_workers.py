"""What holds when no SIP worker takes its jobs any more: nothing waits for one."""

import errno
import functools
import os
import re
import signal
import socket

import pytest
from support.gateway import Gateway
from support.gateway import pairs
from support.process import free_port

PAIRS = [p for p in pairs() if p.name.startswith("opensips") and p.server.__name__ == "Prosody"]


@pytest.fixture
def busy(pair, tmp_path):
    """A gateway all of whose other processes stand still, with as many jobs before them as they can be given; and where its MESSAGEs go."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as proxy:
        proxy.settimeout(10)
        proxy.bind(("127.0.0.1", free_port()))
        line = f'modparam("xmpp_gateway", "outbound_proxy", "sip:127.0.0.1:{proxy.getsockname()[1]}")'
        edit = functools.partial(re.sub, r'^modparam\("xmpp_gateway", "outbound_proxy".*$', line, flags=re.MULTILINE)
        gateway = Gateway(pair, tmp_path, edit=edit)
        try:
            gateway.wait_connected()
            juliet = gateway.xmpp_user(plugins=("xep_0030",))
            own, others = processes(gateway.host.process.pid)
            for pid in others:
                os.kill(pid, signal.SIGSTOP)
            for pipe in shared_pipes(own):
                fill(pipe)
            yield gateway, juliet, proxy
        finally:
            gateway.log_out()
            # What is in the pipe is no job: nobody may read it.
            gateway.host.kill()
            gateway.server.stop()


def processes(main):
    """The XMPP process, and the other children of the main one."""
    with open(f"/proc/{main}/task/{main}/children", encoding="ascii") as children:
        pids = [int(pid) for pid in children.read().split()]
    own = [pid for pid in pids if name_of(pid) == "xmpp_gateway"]
    assert len(own) == 1
    return own[0], [pid for pid in pids if pid not in own]


def name_of(pid):
    with open(f"/proc/{pid}/comm", encoding="utf-8") as name:
        return name.read().strip()


def shared_pipes(pid):
    """The paths of the writing ends of the pipes that all workers read, for jobs and for timers: they block who writes, and not who
    reads."""
    ends = {}
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        pipe = os.readlink(f"/proc/{pid}/fd/{descriptor}")
        with open(f"/proc/{pid}/fdinfo/{descriptor}", encoding="ascii") as info:
            flags = int(re.search(r"^flags:\s*(\d+)", info.read(), re.MULTILINE).group(1), 8)
        if pipe.startswith("pipe:"):
            end = flags & os.O_ACCMODE, bool(flags & os.O_NONBLOCK)
            ends.setdefault(pipe, {})[end] = f"/proc/{pid}/fd/{descriptor}"
    found = [pipe[os.O_WRONLY, False] for pipe in ends.values() if pipe.keys() == {(os.O_RDONLY, True), (os.O_WRONLY, False)}]
    assert found, ends
    return found


def fill(pipe):
    end = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    try:
        while True:
            os.write(end, bytes(24))
    except OSError as error:
        assert error.errno == errno.EAGAIN
    finally:
        os.close(end)


def test_the_gateway_goes_on_and_sends_by_itself(busy):
    gateway, juliet, proxy = busy
    for number in range(40):
        juliet.message(f"alice@{gateway.sip_domain}", f"number {number}")
    info = juliet.ask(lambda c: c["xep_0030"].get_info(gateway.sip_domain))["disco_info"]
    assert info["features"]
    seen = []
    while len(seen) < 40:
        request = proxy.recv(65536).decode()
        body = request.partition("\r\n\r\n")[2]
        if request.startswith(f"MESSAGE sip:alice@{gateway.sip_domain} ") and body not in seen:
            seen.append(body)
    assert seen == [f"number {number}" for number in range(40)]
