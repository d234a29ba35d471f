//! Memory that all processes of the host share: mapped before the fork, never given back.

use std::io;
use std::ptr::NonNull;

/// Room for one `T`, all zeroes, aligned to a page. Resident as far as it is touched.
pub(crate) fn shared<T>() -> io::Result<NonNull<T>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: [H1] a new anonymous mapping at an address of the kernel's choice touches no memory that exists.
    let room = unsafe { libc::mmap(std::ptr::null_mut(), size_of::<T>(), protection, flags, -1, 0) };
    if room == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(room.cast()).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}
