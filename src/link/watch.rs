//! Waiting for a descriptor that someone else owns: the link's, or the host's.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Watches for something to read. The descriptor is duplicated: its owner may close it without harm to us.
pub(crate) fn readable(descriptor: BorrowedFd<'_>) -> io::Result<AsyncFd<OwnedFd>> {
    let owned = descriptor.try_clone_to_owned()?;
    // SAFETY: [H1] the duplicate is ours alone, stays open inside the AsyncFd, and OwnedFd always names the same descriptor.
    Ok(unsafe { AsyncFd::register_with_interest(owned, Interest::READABLE) }?)
}
