//! Whether a descriptor of the host's can be read or written without waiting, and how much waits there.

#[cfg(any(host = "opensips", test))]
use std::ffi::c_short;
use std::os::fd::RawFd;
#[cfg(any(host = "opensips", test))]
use std::time::Duration;

/// Whether it is ready for one of `events` (`POLLIN`, `POLLOUT`), now or within this time.
#[cfg(any(host = "opensips", test))]
pub(crate) fn is_ready(descriptor: RawFd, events: c_short, patience: Duration) -> bool {
    let mut entry = libc::pollfd { fd: descriptor, events, revents: 0 };
    let milliseconds = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: [H2] one entry, which lives through the call.
    let ready = unsafe { libc::poll(&raw mut entry, 1, milliseconds) };
    ready > 0 && entry.revents & events != 0
}

/// Bytes that wait at a socket to be read, as the kernel counts them: with what it needs itself for each datagram. 0 where it does not
/// say.
#[cfg(any(host = "kamailio", test))]
pub(crate) fn waiting(socket: RawFd) -> u32 {
    let mut values = [0_u32; MEMINFO];
    let mut size = libc::socklen_t::try_from(size_of_val(&values)).unwrap_or(0);
    // SAFETY: [H2] writes at most `size` bytes to the array, which lives through the call.
    unsafe { libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_MEMINFO, values.as_mut_ptr().cast(), &raw mut size) };
    // SK_MEMINFO_RMEM_ALLOC.
    let [received, ..] = values;
    received
}

/// SK_MEMINFO_VARS of Linux.
#[cfg(any(host = "kamailio", test))]
const MEMINFO: usize = 9;

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixDatagram;

    use super::*;

    #[test]
    fn what_waits_is_counted_until_it_is_read() {
        let reader = UdpSocket::bind("127.0.0.1:0").unwrap();
        let writer = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert_eq!(waiting(reader.as_raw_fd()), 0);
        for _ in 0..10 {
            writer.send_to(&[b'x'; 500], reader.local_addr().unwrap()).unwrap();
        }
        assert!(is_ready(reader.as_raw_fd(), libc::POLLIN, Duration::from_secs(5)));
        assert!(waiting(reader.as_raw_fd()) >= 5000);
        (0..10).for_each(|_| assert_eq!(reader.recv(&mut [0; 500]).unwrap(), 500));
        assert_eq!(waiting(reader.as_raw_fd()), 0);
        assert_eq!(waiting(-1), 0);
    }

    #[test]
    fn what_has_come_can_be_read() {
        let (writer, reader) = UnixDatagram::pair().unwrap();
        assert!(!is_ready(reader.as_raw_fd(), libc::POLLIN, Duration::ZERO));
        writer.send(b"job").unwrap();
        assert!(is_ready(reader.as_raw_fd(), libc::POLLIN, Duration::ZERO));
    }
}
