//! The SIP side: sends requests to the host, answers those of the host, and holds the dialogs that the gateway subscribed.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::RawFd;

use memchr::memchr_iter;

use crate::load::Event;
use crate::load::Kind;
use crate::marker::HOLE;
use crate::marker::Markers;
use crate::marker::Template;
use crate::udp::BATCH;
use crate::udp::Batched;

/// One user agent for all SIP users.
pub(crate) struct SipPeer {
    socket: Batched,
    port: u16,
    markers: Markers,
    dialogs: Vec<Dialog>,
    answered: u64,
}

/// A subscription of the gateway, seen from the notifier.
struct Dialog {
    call_id: Vec<u8>,
    notify: Template,
}

impl SipPeer {
    /// Listens on this port of loopback, for this host.
    pub(crate) fn open(port: u16, host: SocketAddrV4) -> io::Result<Self> {
        Ok(Self { socket: Batched::open(port, host)?, port, markers: Markers::new(), dialogs: Vec::new(), answered: 0 })
    }

    /// What to poll.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.descriptor()
    }

    /// How many subscriptions the gateway has here.
    pub(crate) fn dialogs(&self) -> usize {
        self.dialogs.len()
    }

    /// Queues a request.
    pub(crate) fn send(&mut self, request: &Template, id: u64) {
        self.socket.queue(|out| request.write(id, out));
    }

    /// Queues a NOTIFY in a dialog of the gateway. Its CSeq is the number, so it rises in each dialog.
    pub(crate) fn notify(&mut self, dialog: usize, id: u64) {
        let notify = &self.dialogs[dialog].notify;
        self.socket.queue(|out| notify.write(id, out));
    }

    /// Sends what is queued.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }

    /// Reads all that is there, queues the answers to requests and tells what came.
    pub(crate) fn receive(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        loop {
            let count = self.socket.fill()?;
            for index in 0..count {
                self.received(index, events);
            }
            if count < BATCH {
                return Ok(());
            }
        }
    }

    fn received(&mut self, index: usize, events: &mut Vec<Event>) {
        let datagram = self.socket.datagram(index);
        let arrived = self.socket.arrived(index);
        if let Some(status) = datagram.strip_prefix(b"SIP/2.0 ") {
            if let Some(id) = self.markers.of_branch(datagram) {
                events.push(Event {
                    kind: if status.starts_with(b"2") { Kind::Reply } else { Kind::Refusal },
                    id,
                    transaction: 0,
                    arrived,
                });
            }
            return;
        }
        let mut extra = String::new();
        if datagram.starts_with(b"MESSAGE") {
            events.push(self.request(Kind::Message, datagram, arrived));
        } else if datagram.starts_with(b"PUBLISH") {
            events.push(self.request(Kind::Publish, datagram, arrived));
            extra = format!("SIP-ETag: e{}\r\nExpires: 3600\r\n", self.answered);
        } else if datagram.starts_with(b"NOTIFY") {
            events.push(self.request(Kind::Notify, datagram, arrived));
        } else if datagram.starts_with(b"SUBSCRIBE") {
            if let Some(dialog) = dialog_of(datagram, self.port)
                && self.dialogs.iter().all(|known| known.call_id != dialog.call_id)
            {
                self.dialogs.push(dialog);
            }
            extra = format!("Contact: <sip:peer@127.0.0.1:{}>\r\nExpires: 3600\r\n", self.port);
        } else if datagram.starts_with(b"ACK") {
            return;
        }
        self.answered += 1;
        self.socket.queue_answer(index, |request, out| accept(request, &extra, out));
    }

    fn request(&self, kind: Kind, datagram: &[u8], arrived: u64) -> Event {
        Event { kind, id: self.markers.of_text(datagram).unwrap_or(0), transaction: self.markers.transaction(datagram), arrived }
    }
}

/// The tag of the peer, in all its dialogs.
const TAG: &str = "peer";

/// Writes the 200 to a request.
fn accept(request: &[u8], extra: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"SIP/2.0 200 OK\r\n");
    for line in lines(request) {
        match header_name(line) {
            Header::Via | Header::From | Header::CallId | Header::Cseq => out.extend_from_slice(line),
            Header::To => {
                out.extend_from_slice(line);
                if !line.windows(5).any(|part| part == b";tag=") {
                    out.truncate(out.len() - 2);
                    out.extend_from_slice(b";tag=");
                    out.extend_from_slice(TAG.as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
            }
            Header::Contact | Header::Other => {}
        }
    }
    out.extend_from_slice(extra.as_bytes());
    out.extend_from_slice(b"Content-Length: 0\r\n\r\n");
}

/// The dialog that a SUBSCRIBE makes here, with the NOTIFY it will get.
fn dialog_of(subscribe: &[u8], port: u16) -> Option<Dialog> {
    let value = |wanted: Header| {
        let line = lines(subscribe).find(|line| header_name(line) == wanted)?;
        let line = str::from_utf8(line).ok()?;
        line.split_once(':').map(|(_, value)| value.trim().to_owned())
    };
    let call_id = value(Header::CallId)?;
    let contact = value(Header::Contact)?;
    let target = contact.split(['<', '>']).nth(1).unwrap_or(&contact);
    let head = format!(
        "NOTIFY {target} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK-b{HOLE}\r\nMax-Forwards: 70\r\n\
         From: {};tag={TAG}\r\nTo: {}\r\nCall-ID: {call_id}\r\n",
        value(Header::To)?,
        value(Header::From)?,
    );
    let presentity = value(Header::To)?;
    let presentity = presentity.split(['<', '>']).nth(1).unwrap_or(&presentity).to_owned();
    Some(Dialog { call_id: call_id.into_bytes(), notify: notify(&head, &presentity, port) })
}

/// A NOTIFY with the presence of one phone: PIDF with RPID, about 1 KB.
pub(crate) fn notify(head: &str, presentity: &str, port: u16) -> Template {
    let entity = presentity.replacen("sip:", "pres:", 1);
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\r\n\
         <presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
         xmlns:rpid=\"urn:ietf:params:xml:ns:pidf:rpid\" xmlns:caps=\"urn:ietf:params:xml:ns:pidf:caps\" entity=\"{entity}\">\r\n\
         \x20 <tuple id=\"desk-phone\">\r\n    <status>\r\n      <basic>open</basic>\r\n    </status>\r\n\
         \x20   <caps:servcaps>\r\n      <caps:audio>true</caps:audio>\r\n      <caps:video>false</caps:video>\r\n\
         \x20   </caps:servcaps>\r\n    <contact priority=\"0.8\">{presentity}</contact>\r\n\
         \x20   <note>In a meeting until three #m{HOLE}#</note>\r\n    <timestamp>2026-01-01T12:00:00Z</timestamp>\r\n  </tuple>\r\n\
         \x20 <dm:person id=\"person\">\r\n    <rpid:activities>\r\n      <rpid:meeting/>\r\n    </rpid:activities>\r\n\
         \x20   <rpid:mood>\r\n      <rpid:happy/>\r\n    </rpid:mood>\r\n\
         \x20   <rpid:place-type>\r\n      <rpid:office/>\r\n    </rpid:place-type>\r\n  </dm:person>\r\n\
         \x20 <dm:device id=\"device\">\r\n    <rpid:user-input>active</rpid:user-input>\r\n\
         \x20   <dm:deviceID>urn:device:0003ba4811e3</dm:deviceID>\r\n  </dm:device>\r\n</presence>\r\n"
    );
    Template::new(format!(
        "{head}CSeq: {HOLE} NOTIFY\r\nContact: <sip:peer@127.0.0.1:{port}>\r\nEvent: presence\r\n\
         Subscription-State: active;expires=3500\r\nContent-Type: application/pidf+xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Header {
    Via,
    From,
    To,
    CallId,
    Cseq,
    Contact,
    Other,
}

/// Both hosts write the long names.
fn header_name(line: &[u8]) -> Header {
    let known: [(&[u8], Header); 6] = [
        (b"via:", Header::Via),
        (b"from:", Header::From),
        (b"to:", Header::To),
        (b"call-id:", Header::CallId),
        (b"cseq:", Header::Cseq),
        (b"contact:", Header::Contact),
    ];
    known
        .into_iter()
        .find(|(name, _)| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name)))
        .map_or(Header::Other, |(_, header)| header)
}

/// The lines of the header part, each with its line end.
fn lines(request: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut start = 0;
    memchr_iter(b'\n', request)
        .map(move |end| {
            let line = &request[start..=end];
            start = end + 1;
            line
        })
        .take_while(|line| line.len() > 2)
}
