//! Whether a descriptor of the host's can be read or written without waiting.

use std::ffi::c_short;
use std::os::fd::RawFd;
use std::time::Duration;

/// Whether it is ready for one of `events` (`POLLIN`, `POLLOUT`), now or within this time.
pub(crate) fn is_ready(descriptor: RawFd, events: c_short, patience: Duration) -> bool {
    let mut entry = libc::pollfd { fd: descriptor, events, revents: 0 };
    let milliseconds = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: [H2] one entry, which lives through the call.
    let ready = unsafe { libc::poll(&raw mut entry, 1, milliseconds) };
    ready > 0 && entry.revents & events != 0
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn what_has_come_can_be_read() {
        let (writer, reader) = UnixDatagram::pair().unwrap();
        assert!(!is_ready(reader.as_raw_fd(), libc::POLLIN, Duration::ZERO));
        writer.send(b"job").unwrap();
        assert!(is_ready(reader.as_raw_fd(), libc::POLLIN, Duration::ZERO));
    }

    /// On this rests that a worker of Kamailio does not wait for its own queue: it is said long before a write blocks.
    #[test]
    fn a_socket_that_is_filling_is_not_ready_long_before_it_is_full() {
        let (writer, _reader) = UnixDatagram::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let mut send = || writer.send(&[0; 8]).is_ok();
        let before = std::iter::from_fn(|| is_ready(writer.as_raw_fd(), libc::POLLOUT, Duration::ZERO).then(&mut send)).count();
        let after = std::iter::from_fn(|| send().then_some(())).count();
        assert!(after > before, "{before}, {after}");
        // Several processes that look at the same moment find room.
        assert!(after > 50, "{after}");
    }
}
