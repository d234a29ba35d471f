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
}
