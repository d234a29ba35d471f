//! The line between the XMPP process and the store process, which writes to the database what is to survive a restart.
//!
//! A socket pair like that of the workers, one end each. The XMPP process never waits on it; the store process does.

use std::io;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use socket2::Domain;
use socket2::Socket;
use socket2::Type;

use super::MAX_DATAGRAM;
use super::SendError;
use super::enlarge;
use super::send;
use crate::store::message::FULL;
use crate::store::message::LONGEST_ROW;

const _: () = assert!(FULL + LONGEST_ROW <= MAX_DATAGRAM);

/// One end.
#[derive(Debug)]
pub struct End(OwnedFd);

/// Makes it: the end of the XMPP process, and that of the store process. To be called once, before the host forks.
pub fn pair() -> io::Result<(End, End)> {
    let (one, other) = Socket::pair(Domain::UNIX, Type::SEQPACKET.nonblocking().cloexec(), None)?;
    enlarge(&one);
    enlarge(&other);
    Ok((End(one.into()), End(other.into())))
}

impl End {
    /// Sends one datagram, or says at once why not.
    pub fn send(&self, datagram: &[u8]) -> Result<(), SendError> {
        send(self.0.as_raw_fd(), datagram)
    }

    /// One datagram, if one is there.
    pub fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut room = vec![0_u8; MAX_DATAGRAM];
        loop {
            let (place, length) = (room.as_mut_ptr().cast(), room.len());
            // SAFETY: [H2] pointer and length are those of `room`, which lives through the call.
            let got = unsafe { libc::recv(self.0.as_raw_fd(), place, length, libc::MSG_DONTWAIT) };
            if let Ok(got) = usize::try_from(got) {
                if got == 0 {
                    // Nobody says nothing.
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                room.truncate(got);
                return Ok(Some(room));
            }
            let error = io::Error::last_os_error();
            match error.raw_os_error() {
                Some(libc::EINTR) => {}
                Some(libc::EAGAIN) => return Ok(None),
                _ => return Err(error),
            }
        }
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_pass_both_ways_whole() {
        let (one, other) = pair().unwrap();
        assert_eq!(one.receive().unwrap(), None);
        one.send(&vec![7; MAX_DATAGRAM]).unwrap();
        one.send(b"b").unwrap();
        assert_eq!(other.receive().unwrap(), Some(vec![7; MAX_DATAGRAM]));
        assert_eq!(other.receive().unwrap(), Some(b"b".to_vec()));
        other.send(b"c").unwrap();
        assert_eq!(one.receive().unwrap(), Some(b"c".to_vec()));
        drop(other);
        assert_eq!(one.receive().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
