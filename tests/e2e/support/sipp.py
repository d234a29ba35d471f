"""Many calls with SIPp: a callee that rings and is busy, or is picked up, and callers."""

import os
import shutil

from .process import Process
from .process import free_port
from .process import wait_until

BUSY = """<?xml version="1.0" encoding="us-ascii"?>
<scenario name="rings, and is busy at once">
  <recv request="INVITE" rrs="true"/>
  <send><![CDATA[

    SIP/2.0 183 Session Progress
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]t[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    [last_Record-Route:]
    Contact: <sip:[local_ip]:[local_port]>
    Content-Length: 0

  ]]></send>
  <pause milliseconds="2"/>
  <send retrans="500"><![CDATA[

    SIP/2.0 486 Busy Here
    [last_Via:]
    [last_From:]
    [last_To:];tag=[pid]t[call_number]
    [last_Call-ID:]
    [last_CSeq:]
    [last_Record-Route:]
    Content-Length: 0

  ]]></send>
  <recv request="ACK"/>
</scenario>
"""

CALLER = """<?xml version="1.0" encoding="us-ascii"?>
<scenario name="calls, and hears that it is busy">
  <send retrans="500"><![CDATA[

    INVITE sip:[field0] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: <sip:caller@[field1]>;tag=[pid]f[call_number]
    To: <sip:[field0]>
    Call-ID: [call_id]
    CSeq: 1 INVITE
    Contact: <sip:caller@[local_ip]:[local_port]>
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="486"/>
  <send><![CDATA[

    ACK sip:[field0] SIP/2.0
    Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
    From: <sip:caller@[field1]>;tag=[pid]f[call_number]
    [last_To:]
    Call-ID: [call_id]
    CSeq: 1 ACK
    Max-Forwards: 70
    Content-Length: 0

  ]]></send>
</scenario>
"""


def missing():
    """Why there are no calls by SIPp here, if so."""
    return None if shutil.which("sipp") else "sipp is not installed"


class Sipp(Process):
    """One SIPp, by its scenario."""

    def __init__(self, name, folder, scenario, *options):
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, f"{name}.xml"), "w", encoding="ascii") as file:
            file.write(scenario)
        self.port = free_port()
        super().__init__(name, folder, ["sipp", "-sf", f"{name}.xml", "-i", "127.0.0.1", "-p", self.port, "-nostdin", "-trace_err",
                                        "-error_file", f"{name}.err", *options], {"TERM": "dumb"})

    def errors(self):
        path = os.path.join(self.folder, f"{self.name}.err")
        return open(path, encoding="utf-8", errors="replace").read()[-2000:] if os.path.exists(path) else self.log()[-2000:]


def busy(folder):
    """A phone that all users have: it rings, and is busy 2 ms later."""
    phone = Sipp("busy", folder, BUSY)
    wait_until("the phone to stand", lambda: f":{phone.port:04X} " in open("/proc/net/udp", encoding="ascii").read())
    return phone


def call(folder, proxy_port, domain, users, calls, rate):
    """So many calls to these users in turn, so many a second; fails unless each of them ended as it should."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "users.csv"), "w", encoding="ascii") as file:
        file.write("SEQUENTIAL\n" + "".join(f"{user};{domain};\n" for user in users))
    callers = Sipp("callers", folder, CALLER, "-inf", "users.csv", "-m", calls, "-r", rate, "-l", 4 * rate, f"127.0.0.1:{proxy_port}")
    status = callers.wait_end(timeout=60 + 5 * calls / rate)
    assert status == 0, callers.errors()
