//! What tells our MESSAGEs apart: Call-ID, From-tag and CSeq.

use std::fmt::Write;

use crate::process::backoff::dice;

/// CSeq stays under 2^31 (RFC 3261 §8.1.1.5), and tm adds one.
const LAST_CSEQ: u32 = 0x7fff_fff0;

/// Those of one run of the XMPP process.
pub(super) struct Identifiers {
    /// Chosen at random: other runs, and other servers, have another one.
    run: u64,
    count: u64,
    text: String,
}

impl Identifiers {
    pub(super) fn new() -> Self {
        Self { run: dice(), count: 0, text: String::with_capacity(33) }
    }

    /// The next MESSAGE's: a text for its Call-ID and its From-tag that no other request has (RFC 3261 §8.1.1.4, §19.3), so that no
    /// peer takes it for an earlier one that came round again (§8.2.2.2), and a CSeq higher than the one before (RFC 3428 §4).
    pub(super) fn next(&mut self) -> (&str, u32) {
        self.count = self.count.wrapping_add(1);
        self.text.clear();
        // Writing to a String cannot fail.
        let _ = write!(self.text, "{:016x}-{:x}", self.run, self.count);
        let cseq = self.count.checked_rem(u64::from(LAST_CSEQ)).and_then(|count| u32::try_from(count).ok());
        (&self.text, cseq.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_equal_and_each_is_higher() {
        let mut identifiers = Identifiers::new();
        let (first, low) = identifiers.next();
        let first = first.to_owned();
        let (second, high) = identifiers.next();
        assert_ne!(first, second);
        assert!(low < high);
        assert_ne!(Identifiers::new().next().0, first, "another run has others");
    }

    #[test]
    fn cseq_begins_anew_before_it_is_too_high() {
        let mut identifiers = Identifiers { count: u64::from(LAST_CSEQ) - 2, ..Identifiers::new() };
        assert_eq!(identifiers.next().1, LAST_CSEQ - 1);
        assert_eq!(identifiers.next().1, 0);
    }
}
