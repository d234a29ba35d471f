//! REGISTERs of many users from one socket, and how long their answers take.

use std::io;
use std::net::SocketAddr;
use std::net::UdpSocket;
use std::time::Duration;
use std::time::Instant;

use crate::dialogs::header;
use crate::histogram::Histogram;
use crate::interrupt;

/// All phones, at one socket.
pub(crate) struct Registrations {
    socket: UdpSocket,
    port: u16,
    address: SocketAddr,
    /// When the last request of each user was sent.
    sent: Vec<Option<Instant>>,
    round: u32,
    buffer: Vec<u8>,
}

/// What became of a round.
pub(crate) struct Round {
    /// From request to answer.
    pub(crate) latency: Histogram,
    /// Registered users.
    pub(crate) done: usize,
}

impl Registrations {
    /// Of so many users, at this host.
    pub(crate) fn new(address: SocketAddr, users: usize) -> io::Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(address)?;
        let port = socket.local_addr()?.port();
        Ok(Self { socket, port, address, sent: vec![None; users], round: 0, buffer: vec![0; 65_536] })
    }

    /// The same users at a host that has started anew, elsewhere.
    pub(crate) fn again_at(&mut self, address: SocketAddr) -> io::Result<()> {
        self.address = address;
        self.socket.connect(address)
    }

    /// Whether the host answers.
    pub(crate) fn is_there(&mut self) -> io::Result<bool> {
        let request = self.request("OPTIONS", "bare", "probe");
        let _ = self.socket.send(request.as_bytes());
        self.socket.set_read_timeout(Some(Duration::from_millis(200)))?;
        Ok(self.socket.recv(&mut self.buffer).is_ok())
    }

    /// Registers all, so many a second.
    pub(crate) fn register(&mut self, rate: usize) -> io::Result<Round> {
        self.round += 1;
        let gap = Duration::from_secs(1) / u32::try_from(rate).unwrap_or(1);
        let mut round = Round { latency: Histogram::new(), done: 0 };
        let began = Instant::now();
        for user in 0..self.sent.len() {
            let at = began + gap * u32::try_from(user).unwrap_or(u32::MAX);
            loop {
                let left = at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    break;
                }
                self.receive(left, &mut round)?;
            }
            let call_id = format!("{user}-{}-{}", self.round, self.port);
            let request = self.request("REGISTER", &format!("u{user}"), &call_id);
            self.sent[user] = Some(Instant::now());
            self.socket.send(request.as_bytes())?;
        }
        let end = Instant::now() + Duration::from_secs(5);
        while round.done < self.sent.len() && Instant::now() < end {
            interrupt::check()?;
            self.receive(Duration::from_millis(100), &mut round)?;
        }
        Ok(round)
    }

    fn receive(&mut self, time: Duration, round: &mut Round) -> io::Result<()> {
        self.socket.set_read_timeout(Some(time.max(Duration::from_micros(1))))?;
        let Ok(length) = self.socket.recv(&mut self.buffer) else { return Ok(()) };
        let arrived = Instant::now();
        let message = String::from_utf8_lossy(&self.buffer[..length]);
        let mut parts = header(&message, "Call-ID").unwrap_or_default().split('-');
        let [user, number] = [parts.next(), parts.next()].map(|part| part.and_then(|part| part.parse::<usize>().ok()));
        if number == Some(self.round as usize)
            && message.starts_with("SIP/2.0 200")
            && let Some(sent) = user.and_then(|user| self.sent.get_mut(user)?.take())
        {
            round.latency.record(u64::try_from((arrived - sent).as_nanos()).unwrap_or(u64::MAX));
            round.done += 1;
        }
        Ok(())
    }

    fn request(&self, method: &str, user: &str, call_id: &str) -> String {
        let Self { port, address, round, .. } = self;
        format!(
            "{method} sip:{user}@{address} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK{call_id}\r\nMax-Forwards: 70\r\n\
             From: <sip:{user}@{address}>;tag=a\r\nTo: <sip:{user}@{address}>\r\nCall-ID: {call_id}\r\nCSeq: {} {method}\r\n\
             Contact: <sip:{user}@127.0.0.1:{port}>\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n",
            round + 1
        )
    }
}
