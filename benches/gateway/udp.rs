//! A connected UDP socket that reads and writes many datagrams in one system call, and tells when each arrived.
//!
//! The generator shares two cores with the host it measures, so a system call per datagram would be part of the result. All
//! buffers are allocated once.
#![allow(unsafe_code, reason = "recvmmsg(2) and sendmmsg(2) have no safe form in std")]

use std::io;
use std::net::SocketAddrV4;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;
use std::ptr;

/// Datagrams in one system call.
pub(crate) const BATCH: usize = 64;

/// Longest datagram read; a longer one is cut.
const DATAGRAM: usize = 8192;

/// Wanted of the kernel for both directions: a whole window, and most of a burst, must fit while one side does not run.
const KERNEL_BUFFER: libc::c_int = 16 << 20;

/// Room for one control message that holds a `timespec`, with all its padding.
const CONTROL: usize = 64;

/// Control messages start with a `cmsghdr`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Control([u8; CONTROL]);

/// The socket, what was read last, and what waits to be sent.
pub(crate) struct Batched {
    socket: UdpSocket,
    read: Vec<Box<[u8; DATAGRAM]>>,
    lengths: [usize; BATCH],
    arrivals: [u64; BATCH],
    outgoing: Vec<Vec<u8>>,
    /// How many of `outgoing` wait; the rest keep their memory for later.
    waiting: usize,
}

impl Batched {
    /// Opens a socket on loopback and connects it, so that only the host's datagrams arrive.
    pub(crate) fn open(port: u16, host: SocketAddrV4) -> io::Result<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", port))?;
        socket.connect(host)?;
        socket.set_nonblocking(true)?;
        for (forced, bounded) in [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)] {
            // Past the bound of the system only for root; else up to it.
            set_option(&socket, forced, KERNEL_BUFFER).or_else(|_| set_option(&socket, bounded, KERNEL_BUFFER))?;
        }
        set_option(&socket, libc::SO_TIMESTAMPNS, 1)?;
        Ok(Self {
            socket,
            read: (0..BATCH).map(|_| Box::new([0; DATAGRAM])).collect(),
            lengths: [0; BATCH],
            arrivals: [0; BATCH],
            outgoing: Vec::new(),
            waiting: 0,
        })
    }

    /// What to poll.
    pub(crate) fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Reads what is there, up to one batch, and says how many datagrams that was.
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        let mut vectors: [libc::iovec; BATCH] = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];
        for (vector, buffer) in vectors.iter_mut().zip(&mut self.read) {
            *vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: DATAGRAM };
        }
        let mut headers = headers(&mut vectors);
        let mut controls = [Control([0; CONTROL]); BATCH];
        for (header, control) in headers.iter_mut().zip(&mut controls) {
            header.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            header.msg_hdr.msg_controllen = CONTROL;
        }
        // SAFETY: each header names one control buffer and one vector, each vector one live buffer of `read` with its true length.
        let count = unsafe {
            libc::recvmmsg(
                self.socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        let Ok(count) = usize::try_from(count) else { return nothing_yet(io::Error::last_os_error()) };
        for (index, header) in headers.iter().enumerate().take(count) {
            self.lengths[index] = header.msg_len as usize;
            self.arrivals[index] = arrival(&header.msg_hdr);
        }
        Ok(count)
    }

    /// A datagram of the last [`fill`](Self::fill).
    pub(crate) fn datagram(&self, index: usize) -> &[u8] {
        &self.read[index][..self.lengths[index]]
    }

    /// When it came to the socket, in nanoseconds of the kernel's clock, whenever it was read.
    pub(crate) fn arrived(&self, index: usize) -> u64 {
        self.arrivals[index]
    }

    /// Queues a datagram that `write` fills; it gets an empty buffer.
    pub(crate) fn queue(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if self.waiting == self.outgoing.len() {
            self.outgoing.push(Vec::with_capacity(2048));
        }
        let buffer = &mut self.outgoing[self.waiting];
        buffer.clear();
        write(buffer);
        self.waiting += 1;
    }

    /// Queues a datagram that is made from one of the last [`fill`](Self::fill).
    pub(crate) fn queue_answer(&mut self, index: usize, write: impl FnOnce(&[u8], &mut Vec<u8>)) {
        if self.waiting == self.outgoing.len() {
            self.outgoing.push(Vec::with_capacity(2048));
        }
        let buffer = &mut self.outgoing[self.waiting];
        buffer.clear();
        write(&self.read[index][..self.lengths[index]], buffer);
        self.waiting += 1;
    }

    /// Sends what was queued.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.waiting {
            let batch = &mut self.outgoing[sent..self.waiting.min(sent + BATCH)];
            let mut vectors: [libc::iovec; BATCH] = [libc::iovec { iov_base: ptr::null_mut(), iov_len: 0 }; BATCH];
            for (vector, datagram) in vectors.iter_mut().zip(batch.iter_mut()) {
                *vector = libc::iovec { iov_base: datagram.as_mut_ptr().cast(), iov_len: datagram.len() };
            }
            let mut headers = headers(&mut vectors);
            // SAFETY: the first `batch.len()` headers each name one vector, and that one live datagram with its true length.
            let count = unsafe {
                libc::sendmmsg(self.socket.as_raw_fd(), headers.as_mut_ptr(), batch.len() as libc::c_uint, libc::MSG_DONTWAIT)
            };
            match usize::try_from(count) {
                Ok(count) => sent += count,
                Err(_) => {
                    let error = io::Error::last_os_error();
                    if !matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) {
                        self.waiting = 0;
                        return nothing_yet(error).map(drop);
                    }
                }
            }
        }
        self.waiting = 0;
        Ok(())
    }
}

fn set_option(socket: &UdpSocket, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the descriptor is open, and pointer and length describe `value`, which lives through the call.
    let done = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            option,
            ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The time stamp that came with a datagram; 0 without one.
fn arrival(header: &libc::msghdr) -> u64 {
    // SAFETY: recvmmsg filled the header, and its control buffer is still there.
    let control = unsafe { libc::CMSG_FIRSTHDR(header) };
    // SAFETY: null, or a whole control message in that buffer, which is aligned for it.
    match unsafe { control.as_ref() } {
        Some(found) if found.cmsg_level == libc::SOL_SOCKET && found.cmsg_type == libc::SCM_TIMESTAMPNS => {
            // SAFETY: the message is whole, so its data lies in the buffer.
            let data = unsafe { libc::CMSG_DATA(control) };
            // SAFETY: a message of this type holds one timespec.
            let time: libc::timespec = unsafe { data.cast::<libc::timespec>().read_unaligned() };
            time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
        }
        _ => 0,
    }
}

/// One header for each vector.
fn headers(vectors: &mut [libc::iovec; BATCH]) -> [libc::mmsghdr; BATCH] {
    // SAFETY: all bytes zero is a valid mmsghdr: null pointers with zero lengths.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for (header, vector) in headers.iter_mut().zip(vectors) {
        header.msg_hdr.msg_iov = vector;
        header.msg_hdr.msg_iovlen = 1;
    }
    headers
}

/// No datagram, or a host that does not listen yet, is no error here: what is lost shows in the counts.
fn nothing_yet(error: io::Error) -> io::Result<usize> {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::ConnectionRefused => Ok(0),
        _ => Err(error),
    }
}
