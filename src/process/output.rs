//! What waits to be written to the XMPP server: whole stanzas in one buffer.
//!
//! One `write` carries as many stanzas as the kernel takes. After a broken stream, those that were not written whole are taken back
//! and wait for the next one. The server cannot have acted on one of which it lacks the end, so none is sent twice; one that the
//! kernel took whole may be lost with the connection, and is not sent again (XEP-0114 has no acknowledgement).

use std::collections::VecDeque;

/// Bytes after which the workers are asked to send no more. What they have sent by then is taken: the link holds twice as much at
/// the most.
pub(super) const ENOUGH: usize = 4 * 1024 * 1024;

/// Bytes after which stanzas are dropped: the gateway's own, which nobody can be asked to hold back.
pub(super) const TOO_MUCH: usize = 64 * 1024 * 1024;

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

    /// The stream broke: what was not written whole, oldest first, and nothing is left here.
    pub(super) fn take_back(&mut self, mut stanza: impl FnMut(&[u8])) {
        self.forget_written();
        let Self { bytes, lengths, .. } = std::mem::take(self);
        let mut rest = bytes.as_slice();
        for length in lengths {
            let Some((next, others)) = rest.split_at_checked(length) else { return };
            stanza(next);
            rest = others;
        }
    }

    /// Stanzas that are not written whole.
    pub(super) fn stanzas(&self) -> usize {
        self.lengths.len()
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
    fn a_stanza_written_in_part_is_taken_back_whole_and_one_written_whole_is_not() {
        let stanzas = ["<a/>", "<bb/>", "<c/>"];
        // The number of stanzas written whole after so many bytes.
        for (written, whole) in [(0, 0), (3, 0), (4, 1), (6, 1), (8, 1), (9, 2), (12, 2), (13, 3)] {
            let mut output = Output::default();
            for stanza in stanzas {
                output.push(stanza.as_bytes()).unwrap();
            }
            output.advance(written);
            let mut back = Vec::new();
            output.take_back(|stanza| back.push(String::from_utf8(stanza.to_vec()).unwrap()));
            assert_eq!(back, stanzas[whole..], "after {written} bytes");
            assert!(output.is_empty() && output.stanzas() == 0 && output.unwritten().is_empty());
        }
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
