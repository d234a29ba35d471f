//! The link from the SIP workers to the XMPP process: datagrams one way, a page of shared facts both ways.
//!
//! Made in mod_init, before the host forks; afterwards every worker holds the sender, the XMPP process the receiver. Sending never
//! blocks: a full link is an error that the script sees. A datagram arrives whole and in order, or not at all
//! (`AF_UNIX`, `SOCK_SEQPACKET`). How an event is written is [`datagram`]; which bits the page holds is [`shared`], how full the
//! queue for an absent XMPP server is, [`fill`].

pub mod call_datagram;
pub mod call_notes;
pub mod counters;
pub mod datagram;
pub mod dialogs;
pub mod fill;
pub(crate) mod mapping;
pub mod memory;
pub mod phone_datagram;
pub mod shared;
pub mod states;
pub mod store;
pub(crate) mod watch;

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::sync::Arc;

use socket2::Domain;
use socket2::Socket;
use socket2::Type;

use crate::xmpp::head::Head;
use datagram::Reserved;
use fill::Place;
use shared::Shared;

/// The largest datagram. Under the kernel's bound for the default send buffer (212 960 bytes), so that it never depends on what
/// `wmem_max` allows.
pub const MAX_DATAGRAM: usize = 192 * 1024;

/// How many datagrams are read with one system call.
pub const BATCH: usize = 32;

/// What the kernel may hold for us between workers and the XMPP process, in bytes as the kernel counts them.
const SEND_BUFFER: usize = 8 * 1024 * 1024;

/// The workers' end.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedFd,
    shared: Arc<Shared>,
}

/// The XMPP process's end.
#[derive(Debug)]
pub struct Receiver {
    socket: OwnedFd,
    shared: Arc<Shared>,
}

/// Why a datagram was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendError {
    /// The XMPP process does not keep up: the kernel holds as much as it may.
    Full,
    /// Over [`MAX_DATAGRAM`].
    TooLarge,
    /// The socket failed with this `errno`: ours to look into.
    Socket(i32),
}

/// Makes the link. To be called once, before the host forks.
pub fn pair() -> io::Result<(Sender, Receiver)> {
    let kind = Type::SEQPACKET.nonblocking().cloexec();
    let (sender, receiver) = Socket::pair(Domain::UNIX, kind, None)?;
    enlarge(&sender);
    let shared = Arc::new(Shared::new()?);
    let sender = Sender { socket: sender.into(), shared: Arc::clone(&shared) };
    Ok((sender, Receiver { socket: receiver.into(), shared }))
}

impl Sender {
    /// Sends one datagram, or says at once why not.
    pub fn send(&self, datagram: &[u8]) -> Result<(), SendError> {
        send(self.socket.as_raw_fd(), datagram)
    }

    /// Whether a datagram that is sent now will hardly find the link full: less than a quarter of it waits to be read.
    pub fn has_room(&self) -> bool {
        let mut entry = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
        // SAFETY: [H2] one entry, which lives through the call; it does not wait.
        unsafe { libc::poll(&raw mut entry, 1, 0) > 0 && entry.revents & libc::POLLOUT != 0 }
    }

    /// The facts that both ends see.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }
}

impl Receiver {
    /// The facts that both ends see.
    pub fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Reads up to [`BATCH`] datagrams into `inbox`, without blocking. Fewer than that: nothing is left now.
    pub fn receive<'a>(&'a self, inbox: &mut Inbox<'a>) -> io::Result<usize> {
        inbox.receive(self.socket.as_raw_fd())?;
        inbox.claim_places(&self.shared);
        Ok(inbox.count)
    }
}

impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Room for one batch. Large, but only what datagrams have touched is resident.
///
/// It owns the places in the queue that workers took for what is in it: whatever becomes of a datagram, its place is given back.
pub struct Inbox<'a> {
    room: Vec<Vec<u8>>,
    lengths: [usize; BATCH],
    /// Those of stanzas that nobody has taken yet.
    places: [Option<Place<'a>>; BATCH],
    count: usize,
}

/// What came as one datagram.
#[derive(Debug)]
pub enum Received<'i, 'a> {
    /// A stanza that a worker has finished, and its place in the queue if it has one.
    Stanza(&'i [u8], Option<Place<'a>>),
    /// Any other event, for [`datagram::decode`].
    Event(&'i [u8]),
}

impl std::fmt::Debug for Inbox<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inbox").field("count", &self.count).finish_non_exhaustive()
    }
}

impl<'a> Inbox<'a> {
    /// An empty one. Make it once: it is several megabytes of untouched memory.
    #[allow(clippy::new_without_default, reason = "a default invites std::mem::take, which would make a new one each time")]
    pub fn new() -> Self {
        // Zeroed memory comes untouched from the kernel, page by page as it is used.
        let room = (0..BATCH).map(|_| vec![0; MAX_DATAGRAM]).collect();
        Self { room, lengths: [0; BATCH], places: [const { None }; BATCH], count: 0 }
    }

    /// The last batch. A place that is not taken here goes with the next one.
    pub fn drain(&mut self) -> impl Iterator<Item = Received<'_, 'a>> {
        let batch = self.room.iter().zip(self.lengths).zip(&mut self.places).take(self.count);
        batch.filter_map(|((room, length), place)| {
            let bytes = room.get(..length)?;
            Some(match datagram::stanza_of(bytes) {
                Some((_, stanza)) => Received::Stanza(stanza, place.take()),
                None => Received::Event(bytes),
            })
        })
    }

    /// At once for the whole batch, so that none depends on what is done with another.
    fn claim_places(&mut self, shared: &'a Shared) {
        for ((room, length), place) in self.room.iter().zip(self.lengths).zip(&mut self.places).take(self.count) {
            if let Some((Reserved::Yes, stanza)) = room.get(..length).and_then(datagram::stanza_of) {
                let head = Head::of(stanza);
                *place = Some(shared.place_taken(head.as_ref().map_or("", Head::peer), stanza.len()));
            }
        }
    }

    fn receive(&mut self, socket: RawFd) -> io::Result<()> {
        self.count = 0;
        self.places.fill_with(|| None);
        let mut pieces: [libc::iovec; BATCH] = [const { libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 } }; BATCH];
        for (piece, room) in pieces.iter_mut().zip(&mut self.room) {
            *piece = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
        }
        // SAFETY: [H2] mmsghdr is plain C data for which all zeroes is a valid value: no name, no control data, no pieces.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
        for (header, piece) in headers.iter_mut().zip(&mut pieces) {
            header.msg_hdr.msg_iov = piece;
            header.msg_hdr.msg_iovlen = 1;
        }
        let wanted = libc::c_uint::try_from(BATCH).unwrap_or(libc::c_uint::MAX);
        let got = loop {
            // SAFETY: [H2] each header names one piece, each piece the writable memory of one `room`; all of them outlive the call,
            // and `wanted` is their number.
            let got = unsafe { libc::recvmmsg(socket, headers.as_mut_ptr(), wanted, libc::MSG_DONTWAIT, std::ptr::null_mut()) };
            if let Ok(got) = usize::try_from(got) {
                break got;
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Ok(()),
                _ => return Err(error),
            }
        };
        for (length, header) in self.lengths.iter_mut().zip(&headers).take(got) {
            *length = usize::try_from(header.msg_len).unwrap_or(0);
        }
        self.count = got;
        Ok(())
    }
}

/// Sends one datagram on this socket, without waiting.
fn send(socket: RawFd, datagram: &[u8]) -> Result<(), SendError> {
    if datagram.len() > MAX_DATAGRAM {
        return Err(SendError::TooLarge);
    }
    loop {
        // SAFETY: [H2] the pointer and the length are those of a slice that lives through the call, and the descriptor is open: it is
        // that of one end of a link, which the caller holds.
        let sent = unsafe { libc::send(socket, datagram.as_ptr().cast(), datagram.len(), libc::MSG_NOSIGNAL) };
        if sent >= 0 {
            return Ok(());
        }
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN | libc::ENOBUFS) => return Err(SendError::Full),
            Some(libc::EMSGSIZE) => return Err(SendError::TooLarge),
            other => return Err(SendError::Socket(other.unwrap_or(0))),
        }
    }
}

/// Raises the send buffer: past `wmem_max` where we are root, which mod_init still is, else as far as allowed.
fn enlarge(sender: &Socket) {
    let wanted = libc::c_int::try_from(SEND_BUFFER).unwrap_or(libc::c_int::MAX);
    let length = libc::socklen_t::try_from(size_of::<libc::c_int>()).unwrap_or(0);
    // SAFETY: [H2] the value is a c_int of the length given; the socket is open as long as `sender`.
    let forced = unsafe {
        libc::setsockopt(sender.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, (&raw const wanted).cast(), length)
    };
    if forced != 0 {
        // A smaller buffer only means that the link is full earlier.
        let _ = sender.set_send_buffer_size(SEND_BUFFER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_arrive_whole_and_in_order() {
        let (sender, receiver) = pair().unwrap();
        let mut inbox = Inbox::new();
        for number in 100..150u8 {
            sender.send(&[number; 300]).unwrap();
        }
        let mut seen = Vec::new();
        while receiver.receive(&mut inbox).unwrap() > 0 {
            seen.extend(inbox.drain().map(|(Received::Stanza(bytes, _) | Received::Event(bytes))| bytes.to_vec()));
        }
        let wanted: Vec<Vec<u8>> = (100..150u8).map(|number| vec![number; 300]).collect();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn the_largest_datagram_passes_and_a_larger_is_refused() {
        let (sender, receiver) = pair().unwrap();
        sender.send(&vec![7; MAX_DATAGRAM]).unwrap();
        assert_eq!(sender.send(&vec![7; MAX_DATAGRAM + 1]), Err(SendError::TooLarge));
        let mut inbox = Inbox::new();
        assert_eq!(receiver.receive(&mut inbox).unwrap(), 1);
        assert!(matches!(inbox.drain().next(), Some(Received::Event(bytes)) if bytes.len() == MAX_DATAGRAM));
    }

    #[test]
    fn a_full_link_is_said_at_once() {
        let (sender, receiver) = pair().unwrap();
        let datagram = vec![1; 10_000];
        let sent = (0..100_000).take_while(|_| sender.send(&datagram).is_ok()).count();
        assert!(sent > 0 && sent < 100_000);
        assert_eq!(sender.send(&datagram), Err(SendError::Full));
        receiver.receive(&mut Inbox::new()).unwrap();
        assert_eq!(sender.send(&datagram), Ok(()));
    }

    /// As a worker does it while the stream is down.
    fn send_reserved(sender: &Sender, number: u32) {
        let stanza = format!("<message from='j@s' to='r@x'><body>{number}</body></message>");
        let place = sender.shared().take_place("x", stanza.len(), 1000).unwrap();
        let mut bytes = Vec::new();
        datagram::encode_reserved(&stanza, &mut bytes);
        sender.send(&bytes).unwrap();
        place.keep();
    }

    #[test]
    fn what_is_read_has_its_place_until_that_is_let_go() {
        let (sender, receiver) = pair().unwrap();
        (0..3).for_each(|number| send_reserved(&sender, number));
        sender.send(b"<message from='j@s' to='r@x'/>").unwrap();
        let mut inbox = Inbox::new();
        receiver.receive(&mut inbox).unwrap();
        assert_eq!(sender.shared().fill().stanzas(), 3);
        let places: Vec<bool> = inbox.drain().map(|received| matches!(received, Received::Stanza(_, Some(_)))).collect();
        assert_eq!((places, sender.shared().fill().stanzas()), (vec![true, true, true, false], 0));
    }

    #[test]
    fn what_nobody_has_looked_at_gives_its_place_back_with_the_next_batch() {
        let (sender, receiver) = pair().unwrap();
        let mut inbox = Inbox::new();
        (0..3).for_each(|number| send_reserved(&sender, number));
        receiver.receive(&mut inbox).unwrap();
        send_reserved(&sender, 3);
        receiver.receive(&mut inbox).unwrap();
        assert_eq!(sender.shared().fill().stanzas(), 1);
    }

    #[test]
    fn a_panic_gives_back_the_places_of_the_whole_batch() {
        let (sender, receiver) = pair().unwrap();
        (0..5).for_each(|number| send_reserved(&sender, number));
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut inbox = Inbox::new();
            receiver.receive(&mut inbox).unwrap();
            let _second = inbox.drain().nth(1);
            panic!("asked to");
        }));
        assert!(panicked.is_err());
        assert_eq!(sender.shared().fill().stanzas(), 0);
    }
}
