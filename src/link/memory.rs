//! The memory of the map of addresses: words that all processes share, and nobody gives back.

use std::io;
use std::sync::atomic::AtomicU64;

use super::mapping;

/// So many words, all zero, in every process that is forked from now on. Only what was written to is resident.
pub fn words<const COUNT: usize>() -> io::Result<&'static [AtomicU64]> {
    let words = mapping::shared::<[AtomicU64; COUNT]>()?;
    // SAFETY: [H1] mapped just now for this very type, zeroes are valid atomics, and it is never unmapped.
    Ok(unsafe { words.as_ref() })
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
        let map = Map::over(super::words::<WORDS>().unwrap());
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
        let words = super::words::<1000>().unwrap();
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        words.last().unwrap().store(7, Ordering::Relaxed);
        assert_eq!(words.len(), 1000);
    }
}
