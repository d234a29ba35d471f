"""Calls between SIP agents through the SIP host: just enough of INVITE for statements about what is shown of them."""

import uuid

from .process import wait_until

SDP = ("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\na={}\r\n")


def sdp(direction="sendrecv"):
    return SDP.format(direction)


class Side:
    """One end of a call: what it needs to send a request within it."""

    def __init__(self, agent, own_tag, other_uri, other_tag, target, routes, call_id, cseq):
        self.agent = agent
        self.own_tag = own_tag
        self.other_uri = other_uri
        self.other_tag = other_tag
        self.target = target
        self.routes = routes
        self.call_id = call_id
        self.cseq = cseq

    def headers(self, body):
        headers = {"Route": ", ".join(self.routes)} if self.routes else {}
        if body:
            headers["Content-Type"] = "application/sdp"
        return headers

    def send(self, method, body="", cseq=None, branch=None):
        if cseq is None:
            self.cseq += 1
        return self.agent.send(method, self.target, to=self.other_uri, to_tag=self.other_tag, call_id=self.call_id, tag=self.own_tag,
                               cseq=cseq or self.cseq, headers=self.headers(body), body=body, branch=branch)

    def request(self, method, body=""):
        """Sends a request within the call and returns its final response; a re-INVITE is acknowledged."""
        branch = self.send(method, body)
        response = final(self.agent, branch)
        if method == "INVITE" and response.status < 300:
            self.send("ACK", cseq=self.cseq)
        return response

    def bye(self):
        assert self.request("BYE").status == 200


class Call:
    """A call of `caller` to `callee`, which other agents may be registered for too: each of them answers by its own functions."""

    def __init__(self, caller, callee, uri=None, headers=None, again=None):
        """`again` is a call that failed, and that the phone makes once more, as one that was challenged does: with its Call-ID and tag."""
        self.caller = caller
        self.call_id = again.call_id if again else uuid.uuid4().hex
        self.tag = again.tag if again else uuid.uuid4().hex[:12]
        self.cseq = again.cseq + 1 if again else 1
        self.uri = uri or callee.uri
        callee.answers["INVITE"] = None
        self.branch = caller.send("INVITE", self.uri, call_id=self.call_id, tag=self.tag, cseq=self.cseq, body=sdp(),
                                  headers={"Content-Type": "application/sdp", **(headers or {})})

    def invite(self, agent):
        """The INVITE as this agent got it."""
        agent.answers["INVITE"] = None
        return agent.expect("INVITE", "of this call", lambda r: r.header("Call-ID") == self.call_id and not r.tag("To")
                            and r.header("CSeq").split()[0] == str(self.cseq))

    def answer(self, agent, status, reason="Answer"):
        agent.respond(self.invite(agent), status, reason)

    def ring(self, agent):
        self.answer(agent, 180, "Ringing")
        wait_until("180 for the caller", lambda: [r for r in self.caller.responses(self.branch) if r.status == 180])

    def accept(self, agent):
        """Both ends of the call that this agent has taken."""
        self.answer(agent, 200, "OK")
        response = final(self.caller, self.branch)
        assert response.status == 200, response
        routes = response.all("Record-Route")
        caller = Side(self.caller, self.tag, self.uri, response.tag("To"), response.uri_of("Contact"), routes[::-1], self.call_id, self.cseq)
        caller.send("ACK", cseq=self.cseq)
        invite = self.invite(agent)
        agent.expect("ACK", "of this call", lambda r: r.header("Call-ID") == self.call_id and r.header("CSeq").split()[0] == str(self.cseq))
        agent.answers["INVITE"] = 200
        callee = Side(agent, agent.own_tag, self.caller.uri, self.tag, invite.uri_of("Contact"),
                      invite.all("Record-Route"), self.call_id, 100)
        return caller, callee

    def cancel(self):
        self.caller.send("CANCEL", self.uri, call_id=self.call_id, tag=self.tag, cseq=self.cseq, branch=self.branch)
        return self.failed()

    def failed(self, timeout=10.0):
        """The final response that is none of success, acknowledged."""
        response = final(self.caller, self.branch, timeout, "INVITE")
        assert response.status >= 300, response
        self.caller.send("ACK", self.uri, call_id=self.call_id, tag=self.tag, cseq=self.cseq, to_tag=response.tag("To"), branch=self.branch)
        return response


def final(agent, branch, timeout=10.0, method=None):
    return wait_until(f"a final response for {agent.uri}", lambda: next(
        (r for r in agent.responses(branch) if r.status >= 200 and method in (None, r.method)), None), timeout)
