//! Memory that all processes share and nobody gives back: anonymous, mapped before the host forks, at the same place in each.

use std::io;
use std::ptr::NonNull;
use std::slice;
use std::sync::atomic::AtomicU64;

/// So many words, all zero. Only what was written to is resident, and none of it is reserved.
pub fn map(words: usize) -> io::Result<&'static [AtomicU64]> {
    let size = words.checked_mul(size_of::<AtomicU64>()).ok_or(io::ErrorKind::OutOfMemory)?;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: [H1] a new anonymous mapping at an address of the kernel's choice touches no memory that exists.
    let memory = unsafe { libc::mmap(std::ptr::null_mut(), size, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    let memory = NonNull::new(memory.cast::<AtomicU64>()).ok_or(io::ErrorKind::OutOfMemory)?;
    // SAFETY: [H1] mapped just now, aligned to a page, of this length, zeroes are valid atomics, and it is never unmapped.
    Ok(unsafe { slice::from_raw_parts(memory.as_ptr(), words) })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use crate::address::map::Map;
    use crate::address::map::Row;
    use crate::address::map::WORDS;

    /// The real size, and a real fork: what a child replaces, its parent sees.
    #[test]
    fn another_process_replaces_the_map() {
        let map = Map::over(super::map(WORDS).unwrap());
        let row = Row::new(1, b"sip:1001@pbx.example", b"romeo@im.example", 0).unwrap();
        // SAFETY: [H1] the child uses memory that stands already, and leaves without destructors.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let replaced = map.replace(std::slice::from_ref(&row)).is_ok();
            // SAFETY: [H1] ends the child.
            unsafe { libc::_exit(i32::from(!replaced)) };
        }
        let mut status = -1;
        // SAFETY: [H2] the status is a c_int that lives through the call.
        unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!((status, map.len(), map.generation()), (0, 1, 1));
    }

    #[test]
    fn it_is_zero_and_can_be_written_to_the_end() {
        let words = super::map(1000).unwrap();
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        words.last().unwrap().store(7, Ordering::Relaxed);
        assert_eq!(words.len(), 1000);
    }
}
