//! The XMPP side: a server that accepts one component (XEP-0114), counts what it sends and writes what the load wants.
//!
//! It does not parse: a stanza counts by the number in its text. Only three things are looked at besides: pings, which it
//! answers, the result of the loop that the gateway's `bench` feature offers, and errors.

use std::io;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use memchr::memmem;
use memchr::memmem::Finder;
use memchr::memrchr;
use sha1::Digest;
use sha1::Sha1;

use crate::load::Event;
use crate::load::Kind;
use crate::marker::Markers;
use crate::marker::Template;

/// The server, with its component once that is logged in.
pub(crate) struct XmppServer {
    /// None while it is away.
    listener: Option<TcpListener>,
    /// The port it will come back to.
    away: Option<u16>,
    stream: Option<TcpStream>,
    markers: Markers,
    iq: Finder<'static>,
    block: Box<[u8]>,
    incoming: Vec<u8>,
    outgoing: Vec<u8>,
    /// Bytes of `outgoing` that are written already.
    written: usize,
    /// The start tag of an `<iq/>`, from when it was read until its child is.
    open_iq: Option<String>,
    loop_result: Option<LoopResult>,
}

/// What the gateway answered to the request for a loop.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoopResult {
    /// It ran, and took this long.
    Took(Duration),
    /// The module was built without the feature `bench`.
    NotOffered,
}

/// The secret of the component.
pub(crate) const SECRET: &str = "bench-secret";

/// The name of the component: the domain of the SIP users.
pub(crate) const COMPONENT: &str = "sip.bench";

const STREAM_ID: &str = "bench-stream";
/// Longer than the gateway pauses between its tries after a short outage.
const LOGIN_TIME: Duration = Duration::from_secs(20);
const READ_SIZE: usize = 64 << 10;

impl XmppServer {
    /// Listens on a free port of loopback.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self {
            listener: Some(listen(0)?),
            away: None,
            stream: None,
            markers: Markers::new(),
            iq: Finder::new("<iq"),
            block: vec![0; READ_SIZE].into_boxed_slice(),
            incoming: Vec::with_capacity(READ_SIZE),
            outgoing: Vec::new(),
            written: 0,
            open_iq: None,
            loop_result: None,
        })
    }

    /// Where the component has to connect to.
    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.listener()?.local_addr()?.port())
    }

    fn listener(&self) -> io::Result<&TcpListener> {
        self.listener.as_ref().ok_or(io::ErrorKind::NotConnected.into())
    }

    /// What to poll, once the component is there.
    pub(crate) fn descriptor(&self) -> Option<RawFd> {
        self.stream.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Waits for the component and checks its handshake; when it was accepted.
    pub(crate) fn log_in(&mut self) -> io::Result<Instant> {
        let deadline = Instant::now() + LOGIN_TIME;
        let mut stream = loop {
            match self.listener()?.accept() {
                Ok((stream, _)) => break stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && Instant::now() < deadline => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(io::Error::new(error.kind(), "the gateway did not connect to the XMPP server")),
            }
        };
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(LOGIN_TIME))?;
        stream.set_nodelay(true)?;
        read_until(&mut stream, "xmlns:stream")?;
        write!(
            stream,
            "<?xml version='1.0'?><stream:stream xmlns='jabber:component:accept' \
             xmlns:stream='http://etherx.jabber.org/streams' from='{COMPONENT}' id='{STREAM_ID}'>"
        )?;
        let handshake = read_until(&mut stream, "</handshake>")?;
        let expected: String = Sha1::digest(format!("{STREAM_ID}{SECRET}")).iter().map(|byte| format!("{byte:02x}")).collect();
        if !handshake.contains(&format!(">{expected}<")) {
            return Err(io::Error::other(format!("wrong handshake: {handshake}")));
        }
        let accepted = Instant::now();
        stream.write_all(b"<handshake/>")?;
        stream.set_nonblocking(true)?;
        self.stream = Some(stream);
        Ok(accepted)
    }

    /// Goes away: the stream ends, and nobody listens until [`Self::come_back`].
    pub(crate) fn go_away(&mut self) -> io::Result<()> {
        self.stream = None;
        self.incoming.clear();
        self.away = Some(self.port()?);
        self.listener = None;
        Ok(())
    }

    /// Listens again where it did, and waits for the login; when that was accepted.
    pub(crate) fn come_back(&mut self) -> io::Result<Instant> {
        let port = self.away.take().ok_or(io::ErrorKind::AlreadyExists)?;
        self.listener = Some(listen(port)?);
        self.log_in()
    }

    /// Queues a stanza.
    pub(crate) fn send(&mut self, stanza: &Template, id: u64) {
        stanza.write(id, &mut self.outgoing);
    }

    /// Queues a stanza that has no number.
    pub(crate) fn send_text(&mut self, stanza: &str) {
        self.outgoing.extend_from_slice(stanza.as_bytes());
    }

    /// The answer to the request for a loop, once.
    pub(crate) fn take_loop_result(&mut self) -> Option<LoopResult> {
        self.loop_result.take()
    }

    /// Writes what is queued, as far as the gateway takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        while self.written < self.outgoing.len() {
            match stream.write(&self.outgoing[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.outgoing.clear();
        self.written = 0;
        Ok(())
    }

    /// Whether the gateway did not take all yet.
    pub(crate) fn has_more(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Reads all that is there and tells what came.
    pub(crate) fn receive(&mut self, events: &mut Vec<Event>) -> io::Result<()> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        loop {
            match stream.read(&mut self.block) {
                Ok(0) => return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the gateway closed its stream")),
                Ok(count) => {
                    self.incoming.extend_from_slice(&self.block[..count]);
                    if count < READ_SIZE {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        // A number stands in text and never contains '>': what ends in a tag has only whole ones.
        let Some(end) = memrchr(b'>', &self.incoming) else { return Ok(()) };
        let whole = &self.incoming[..=end];
        events.extend(self.markers.all(whole).map(|id| Event { kind: Kind::Stanza, id, transaction: 0, arrived: 0 }));
        if self.open_iq.is_some() || self.iq.find(whole).is_some() {
            for tag in String::from_utf8_lossy(whole).split_inclusive('>') {
                read_tag(tag, &mut self.open_iq, &mut self.outgoing, &mut self.loop_result);
            }
        }
        self.incoming.drain(..=end);
        Ok(())
    }
}

fn listen(port: u16) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Looks at one tag for what is in an `<iq/>`.
fn read_tag(tag: &str, open_iq: &mut Option<String>, outgoing: &mut Vec<u8>, loop_result: &mut Option<LoopResult>) {
    if let Some(at) = tag.find("<iq") {
        let iq = &tag[at..];
        if attribute(iq, "type") == Some("error") {
            *loop_result = Some(LoopResult::NotOffered);
        }
        *open_iq = (!iq.ends_with("/>")).then(|| iq.to_owned());
        return;
    }
    let Some(iq) = open_iq else { return };
    if let Some(nanoseconds) = attribute(tag, "elapsed-ns").and_then(|number| number.parse().ok()) {
        *loop_result = Some(LoopResult::Took(Duration::from_nanos(nanoseconds)));
    } else if memmem::find(tag.as_bytes(), b"urn:xmpp:ping").is_some() {
        let [id, from, to] = ["id", "from", "to"].map(|name| attribute(iq, name).unwrap_or_default());
        outgoing.extend_from_slice(format!("<iq type='result' id='{id}' from='{to}' to='{from}'/>").as_bytes());
    } else if tag.ends_with("</iq>") {
        *open_iq = None;
    }
}

/// The value of an attribute, still escaped.
fn attribute<'a>(tag: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = tag.split_once(&format!(" {name}="))?;
    let quote = rest.chars().next()?;
    rest.get(1..)?.split(quote).next()
}

/// Reads until this text and the tag it stands in are there.
fn read_until(stream: &mut TcpStream, wanted: &str) -> io::Result<String> {
    let mut text = String::new();
    let mut byte = [0];
    while !(text.contains(wanted) && text.ends_with('>')) {
        stream.read_exact(&mut byte)?;
        text.push(char::from(byte[0]));
    }
    Ok(text)
}
