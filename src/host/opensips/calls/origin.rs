//! Where a MESSAGE came from, kept in shared memory until its transaction ends: its reply may come in any process.
//!
//! One block: the lengths of three texts, then the texts. `NO_ID` as length says that the stanza had no id.

use std::ffi::c_ulong;
use std::ffi::c_void;
use std::ptr;
use std::slice;

use super::sys;
use crate::sip::Origin;

/// Lengths of from, to and id.
type Lengths = [u32; 3];

const HEAD: usize = size_of::<Lengths>();
const NO_ID: u32 = u32::MAX;

/// `None`: the host has no shared memory left.
pub(super) fn to_shared_memory(origin: &Origin) -> Option<*mut c_void> {
    let bytes = encode(origin)?;
    // SAFETY: [H1] the host's allocator, in a process of the host.
    let block = unsafe { sys::host_shm_malloc(c_ulong::try_from(bytes.len()).ok()?) };
    if block.is_null() {
        return None;
    }
    // SAFETY: [H5] the block is fresh and as long as the bytes.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), block.cast::<u8>(), bytes.len()) };
    Some(block)
}

/// # Safety
/// NULL, or a block of [`to_shared_memory`] that is not released yet.
pub(super) unsafe fn from_shared_memory(block: *const c_void) -> Option<Origin> {
    if block.is_null() {
        return None;
    }
    // SAFETY: [H5] every block begins with the lengths.
    let head = unsafe { slice::from_raw_parts(block.cast::<u8>(), HEAD) };
    let length = block_length(lengths(head)?)?;
    // SAFETY: [H5] and has the bytes that they say.
    decode(unsafe { slice::from_raw_parts(block.cast::<u8>(), length) })
}

fn encode(origin: &Origin) -> Option<Vec<u8>> {
    let id = origin.id.as_deref();
    let lengths: Lengths = [
        u32::try_from(origin.from.len()).ok()?,
        u32::try_from(origin.to.len()).ok()?,
        id.map_or(Some(NO_ID), |id| u32::try_from(id.len()).ok())?,
    ];
    let mut bytes = Vec::with_capacity(block_length(lengths)?);
    for length in lengths {
        bytes.extend_from_slice(&length.to_ne_bytes());
    }
    for text in [origin.from.as_str(), origin.to.as_str(), id.unwrap_or_default()] {
        bytes.extend_from_slice(text.as_bytes());
    }
    Some(bytes)
}

fn decode(block: &[u8]) -> Option<Origin> {
    let [from, to, id] = lengths(block)?;
    let (from, rest) = text(block.get(HEAD..)?, from)?;
    let (to, rest) = text(rest, to)?;
    let id = if id == NO_ID { None } else { Some(text(rest, id)?.0) };
    Some(Origin { from, to, id })
}

fn lengths(block: &[u8]) -> Option<Lengths> {
    let (numbers, _) = block.get(..HEAD)?.as_chunks::<4>();
    let [from, to, id] = numbers else { return None };
    Some([*from, *to, *id].map(u32::from_ne_bytes))
}

fn block_length(lengths: Lengths) -> Option<usize> {
    lengths
        .into_iter()
        .filter(|length| *length != NO_ID)
        .try_fold(HEAD, |sum, length| sum.checked_add(usize::try_from(length).ok()?))
}

fn text(bytes: &[u8], length: u32) -> Option<(String, &[u8])> {
    let (text, rest) = bytes.split_at_checked(usize::try_from(length).ok()?)?;
    Some((String::from_utf8(text.to_vec()).ok()?, rest))
}
