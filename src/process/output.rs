//! What waits to be written to the XMPP server: whole stanzas in one buffer.
//!
//! One `write` carries as many stanzas as the kernel takes. After a broken stream, those that were not written whole are still here
//! and go out on the next one; a stanza that the kernel took whole may be lost with the connection (XEP-0114 has no
//! acknowledgement).

use std::collections::VecDeque;

/// Bytes after which no more are accepted from the workers: they see a full link then.
pub(super) const ENOUGH: usize = 4 * 1024 * 1024;

/// Bytes after which even the gateway's own stanzas are dropped.
const TOO_MUCH: usize = 64 * 1024 * 1024;

/// The buffer.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Lengths of the stanzas in `bytes`, oldest first.
    lengths: VecDeque<usize>,
    /// Bytes of the oldest stanzas that are written already.
    written: usize,
}

/// A stanza was dropped: the server has not read for a long time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Dropped;

impl Output {
    /// Adds a stanza.
    pub(super) fn push(&mut self, stanza: &[u8]) -> Result<(), Dropped> {
        if self.bytes.len().saturating_add(stanza.len()) > TOO_MUCH {
            return Err(Dropped);
        }
        self.bytes.extend_from_slice(stanza);
        self.lengths.push_back(stanza.len());
        Ok(())
    }

    /// What is to be written next.
    pub(super) fn unwritten(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// So much of it was written.
    pub(super) fn advance(&mut self, count: usize) {
        self.written = self.written.saturating_add(count).min(self.bytes.len());
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.lengths.clear();
            self.written = 0;
            // A burst does not keep its memory.
            self.bytes.shrink_to(ENOUGH / 16);
        } else if self.written > self.bytes.len() / 2 {
            self.forget_written();
        }
    }

    /// The stream broke: what was written in part is written again, whole.
    pub(super) fn rewind(&mut self) {
        self.forget_written();
        self.written = 0;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn has_enough(&self) -> bool {
        self.bytes.len() >= ENOUGH
    }

    /// Gives back the room of stanzas that were written whole.
    fn forget_written(&mut self) {
        let mut whole = 0usize;
        while let Some(length) = self.lengths.front() {
            let end = whole.saturating_add(*length);
            if end > self.written {
                break;
            }
            whole = end;
            self.lengths.pop_front();
        }
        self.bytes.drain(..whole.min(self.bytes.len()));
        self.written = self.written.saturating_sub(whole);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stanza_written_in_part_is_written_again_whole() {
        let mut output = Output::default();
        for stanza in ["<a/>", "<bb/>", "<c/>"] {
            output.push(stanza.as_bytes()).unwrap();
        }
        output.advance(6);
        assert_eq!(output.unwritten(), b"b/><c/>");
        output.rewind();
        assert_eq!(output.unwritten(), b"<bb/><c/>");
    }

    #[test]
    fn every_split_of_the_writes_gives_the_same_bytes() {
        for step in 1..12 {
            let mut output = Output::default();
            let mut seen = Vec::new();
            for number in 0..40u8 {
                output.push(&vec![number; usize::from(number % 7) + 1]).unwrap();
                let take = step.min(output.unwritten().len());
                seen.extend_from_slice(&output.unwritten()[..take]);
                output.advance(take);
            }
            seen.extend_from_slice(output.unwritten());
            let wanted: Vec<u8> = (0..40u8).flat_map(|number| vec![number; usize::from(number % 7) + 1]).collect();
            assert_eq!(seen, wanted, "in steps of {step}");
        }
    }
}
