"""Dialog information (RFC 4235): publishers of it, watchers of it, and what the schema says of it."""

import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree

from .sip import SipAgent

NS = "{urn:ietf:params:xml:ns:dialog-info}"

# What RFC 4235 section 4.4 allows, of the elements that the gateway writes.
SCHEMA = """<?xml version="1.0"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:d="urn:ietf:params:xml:ns:dialog-info"
           targetNamespace="urn:ietf:params:xml:ns:dialog-info" elementFormDefault="qualified">
  <xs:element name="dialog-info"><xs:complexType>
    <xs:sequence><xs:element name="dialog" type="d:dialog" minOccurs="0" maxOccurs="unbounded"/></xs:sequence>
    <xs:attribute name="version" type="xs:nonNegativeInteger" use="required"/>
    <xs:attribute name="state" type="d:full-or-partial" use="required"/>
    <xs:attribute name="entity" type="xs:anyURI" use="required"/>
  </xs:complexType></xs:element>
  <xs:simpleType name="full-or-partial"><xs:restriction base="xs:string">
    <xs:enumeration value="full"/><xs:enumeration value="partial"/></xs:restriction></xs:simpleType>
  <xs:complexType name="dialog">
    <xs:sequence>
      <xs:element name="state" type="d:state"/>
      <xs:element name="duration" type="xs:nonNegativeInteger" minOccurs="0"/>
      <xs:element name="replaces" minOccurs="0"><xs:complexType>
        <xs:attribute name="call-id" type="xs:string" use="required"/><xs:attribute name="local-tag" type="xs:string" use="required"/>
        <xs:attribute name="remote-tag" type="xs:string" use="required"/></xs:complexType></xs:element>
      <xs:element name="referred-by" type="d:address" minOccurs="0"/>
      <xs:element name="local" type="d:participant" minOccurs="0"/>
      <xs:element name="remote" type="d:participant" minOccurs="0"/>
    </xs:sequence>
    <xs:attribute name="id" type="xs:string" use="required"/>
    <xs:attribute name="call-id" type="xs:string"/><xs:attribute name="local-tag" type="xs:string"/>
    <xs:attribute name="remote-tag" type="xs:string"/>
    <xs:attribute name="direction"><xs:simpleType><xs:restriction base="xs:string">
      <xs:enumeration value="initiator"/><xs:enumeration value="recipient"/></xs:restriction></xs:simpleType></xs:attribute>
  </xs:complexType>
  <xs:complexType name="state"><xs:simpleContent><xs:extension base="xs:string">
    <xs:attribute name="event"><xs:simpleType><xs:restriction base="xs:string">
      <xs:enumeration value="cancelled"/><xs:enumeration value="rejected"/><xs:enumeration value="replaced"/>
      <xs:enumeration value="local-bye"/><xs:enumeration value="remote-bye"/><xs:enumeration value="error"/>
      <xs:enumeration value="timeout"/></xs:restriction></xs:simpleType></xs:attribute>
    <xs:attribute name="code"><xs:simpleType><xs:restriction base="xs:positiveInteger">
      <xs:minInclusive value="100"/><xs:maxInclusive value="699"/></xs:restriction></xs:simpleType></xs:attribute>
  </xs:extension></xs:simpleContent></xs:complexType>
  <xs:complexType name="address"><xs:simpleContent><xs:extension base="xs:anyURI">
    <xs:attribute name="display" type="xs:string"/></xs:extension></xs:simpleContent></xs:complexType>
  <xs:complexType name="participant"><xs:sequence>
    <xs:element name="identity" type="d:address" minOccurs="0"/>
    <xs:element name="target" minOccurs="0"><xs:complexType>
      <xs:sequence><xs:element name="param" minOccurs="0" maxOccurs="unbounded"><xs:complexType>
        <xs:attribute name="pname" type="xs:string" use="required"/><xs:attribute name="pval" type="xs:string" use="required"/>
      </xs:complexType></xs:element></xs:sequence>
      <xs:attribute name="uri" type="xs:string" use="required"/></xs:complexType></xs:element>
    <xs:element name="cseq" type="xs:nonNegativeInteger" minOccurs="0"/>
  </xs:sequence></xs:complexType>
</xs:schema>
"""


def document(entity, *dialogs):
    """What a phone or a proxy publishes; each dialog is `id state` or `id@call-id state`."""
    elements = ""
    for dialog in dialogs:
        name, state = dialog.split(" ")
        name, _, call_id = name.partition("@")
        call_id = f' call-id="{call_id}" local-tag="l{call_id}" remote-tag="r{call_id}"' if call_id else ""
        elements += (f'  <dialog id="{name}"{call_id} direction="recipient">\n    <state>{state}</state>\n'
                     f'    <remote>\n      <identity display="Romeo &amp; Sons">sip:romeo@example.net</identity>\n'
                     f'      <target uri="sip:romeo@192.0.2.3:5060"/>\n    </remote>\n  </dialog>\n')
    return (f'<?xml version="1.0"?>\n<dialog-info xmlns="urn:ietf:params:xml:ns:dialog-info" version="0" state="full" '
            f'entity="{entity}">\n{elements}</dialog-info>\n')


class Publisher(SipAgent):
    """One of those that publish for a user: a phone, or a proxy that sees the user's calls."""

    def tell(self, *dialogs, expires=600, body=None):
        headers = {"Event": "dialog", "Expires": str(expires), "Content-Type": "application/dialog-info+xml"}
        body = document(self.uri, *dialogs) if body is None else body
        response = self.request("PUBLISH", self.uri, headers={**headers, **({"SIP-If-Match": self.etag} if self.etag else {})}, body=body)
        if response.status == 412:
            # Kamailio drops what others have of a dialog that is over; RFC 3903 has them publish anew.
            response = self.request("PUBLISH", self.uri, headers=headers, body=body)
        assert response.status == 200, response
        # Kamailio takes no change of a document whose dialogs are all over: who publishes for calls begins another one.
        is_over = dialogs and all(dialog.endswith(" terminated") for dialog in dialogs)
        self.etag = None if is_over else response.header("SIP-ETag")

    def withdraw(self):
        response = self.request("PUBLISH", self.uri, headers={"Event": "dialog", "Expires": "0", "SIP-If-Match": self.etag})
        assert response.status == 200, response
        self.etag = None


class Watcher(SipAgent):
    """A phone with a lamp."""

    def watch(self, uri, user_agent=None, expires=600):
        self.answers["NOTIFY"] = 200
        subscription = self.subscribe(uri, event="dialog", expires=expires, headers={"User-Agent": user_agent} if user_agent else {})
        return subscription


def documents(subscription):
    """What the watcher was sent, in the order of CSeq."""
    notifies = sorted(subscription.notifies(), key=lambda n: int(n.header("CSeq").split()[0]))
    return [n.text for n in notifies if n.body]


def dialogs(text):
    """`id state` of each dialog."""
    return [f"{d.get('id')} {d.find(NS + 'state').text}" for d in ElementTree.fromstring(text).iter(NS + "dialog")]


def attribute(text, name):
    return ElementTree.fromstring(text).get(name)


def check(subscription, entity):
    """All that the watcher was sent is valid, of that user, and numbered without a gap."""
    texts = documents(subscription)
    assert [int(attribute(text, "version")) for text in texts] == list(range(len(texts))), texts
    assert {attribute(text, "entity") for text in texts} == {entity}
    for notify in subscription.notifies():
        assert not notify.body or notify.header("Content-Type") == "application/dialog-info+xml"
    with tempfile.TemporaryDirectory() as folder:
        with open(f"{folder}/schema.xsd", "w", encoding="utf-8") as file:
            file.write(SCHEMA)
        for number, text in enumerate(texts):
            with open(f"{folder}/{number}.xml", "w", encoding="utf-8") as file:
                file.write(text)
        files = [f"{folder}/{number}.xml" for number in range(len(texts))]
        checked = subprocess.run(["xmllint", "--noout", "--schema", f"{folder}/schema.xsd", *files], capture_output=True, text=True,
                                 stdin=subprocess.DEVNULL)
        assert checked.returncode == 0, checked.stderr
    return texts
