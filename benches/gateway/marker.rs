//! The number that each request carries, and how it is written and found again without parsing.
//!
//! A request is a text made once, with holes of nine digits. In a text that crosses the gateway the number stands as
//! `#m000000123#`, once; in a branch as `z9hG4bK-b000000123`, which comes back in the reply.

use memchr::memmem;
use memchr::memmem::Finder;

/// A hole in the text of a template: nine characters.
pub(crate) const HOLE: &str = "@@@@@@@@@";

/// Starts the number in a body, a status or a note.
const IN_TEXT: &[u8] = b"#m";

/// Starts the number in a branch.
const IN_BRANCH: &[u8] = b"z9hG4bK-b";

/// Starts any branch (RFC 3261 §8.1.1.7).
const COOKIE: &[u8] = b"z9hG4bK";

const DIGITS: usize = HOLE.len();

/// A text that is the same for all requests but for their number.
pub(crate) struct Template {
    text: Vec<u8>,
    holes: Vec<usize>,
}

impl Template {
    /// Finds the holes.
    pub(crate) fn new(text: String) -> Self {
        let holes = memmem::find_iter(text.as_bytes(), HOLE).collect();
        Self { text: text.into_bytes(), holes }
    }

    /// Appends the text with this number.
    pub(crate) fn write(&self, mut id: u64, out: &mut Vec<u8>) {
        let mut digits = [b'0'; DIGITS];
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (id % 10) as u8;
            id /= 10;
        }
        let start = out.len();
        out.extend_from_slice(&self.text);
        for hole in &self.holes {
            out[start + hole..start + hole + DIGITS].copy_from_slice(&digits);
        }
    }
}

/// Finds numbers. Made once: the search tables are the expensive part.
pub(crate) struct Markers {
    text: Finder<'static>,
    branch: Finder<'static>,
    cookie: Finder<'static>,
}

impl Markers {
    /// Prepares the searches.
    pub(crate) fn new() -> Self {
        Self { text: Finder::new(IN_TEXT), branch: Finder::new(IN_BRANCH), cookie: Finder::new(COOKIE) }
    }

    /// The number of the request that a reply answers.
    pub(crate) fn of_branch(&self, reply: &[u8]) -> Option<u64> {
        let at = self.branch.find(reply)? + IN_BRANCH.len();
        number(reply.get(at..at + DIGITS)?)
    }

    /// A number that the same transaction always gives and another one hardly (FNV-1a over its branch); 0 without a branch.
    pub(crate) fn transaction(&self, request: &[u8]) -> u64 {
        let Some(at) = self.cookie.find(request) else { return 0 };
        let branch = request[at..].iter().take_while(|byte| !matches!(byte, b'\r' | b'\n' | b';' | b','));
        branch.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
    }

    /// The number in a text.
    pub(crate) fn of_text(&self, text: &[u8]) -> Option<u64> {
        let at = self.text.find(text)? + IN_TEXT.len();
        number(text.get(at..at + DIGITS)?)
    }

    /// All numbers in a text.
    pub(crate) fn all<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = u64> + 'a {
        self.text.find_iter(text).filter_map(|at| number(text.get(at + IN_TEXT.len()..at + IN_TEXT.len() + DIGITS)?))
    }
}

fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u64::from(digit - b'0')))
}
