//! Reads a refused stanza to its end: tags are counted, everything else is thrown away as it comes.
//!
//! Only what the scanner itself refuses is seen here (RFC 6120 §11.1). Names, attributes, characters and references are not looked
//! at: a tag is not even kept, so that nothing in a refused stanza can be too long. What the server sends is well-formed, as it
//! has read it before, so the count is the one of a parser.

use crate::xmpp::fault::Fault;
use crate::xmpp::token::Scanner;
use crate::xmpp::token::Token;

/// The search for the end of a refused stanza.
#[derive(Debug)]
pub(super) struct Skip {
    /// Elements that are open, the stanza included.
    open: usize,
    /// Bytes that may still come.
    left: usize,
    /// What was seen of the token that is not complete.
    seen: Seen,
}

/// All that counts of a tag.
#[derive(Debug, Default)]
struct Seen {
    bytes: usize,
    /// The second byte is a slash.
    is_end: bool,
    /// The last two bytes.
    last: [u8; 2],
}

impl Skip {
    /// A stanza with so many open elements, which may go on for so many bytes. `begun` is the token it was refused in.
    pub(super) fn new(open: usize, begun: &[u8], limit: usize) -> Self {
        let mut seen = Seen::default();
        seen.add(begun);
        Self { open, left: limit, seen }
    }

    /// Takes bytes from the front of `input` up to the end of the stanza. `false`: all were taken, more are needed.
    pub(super) fn feed(&mut self, scanner: &mut Scanner, input: &mut &[u8]) -> Result<bool, Fault> {
        while !input.is_empty() {
            // As with a stanza that is kept, the limit strikes at the same byte in every split.
            let window = input.get(..self.left).unwrap_or(input);
            let found = scanner.feed(window)?;
            let end = found.map_or(window.len(), |(_, end)| end);
            let (bytes, rest) = input.split_at_checked(end).unwrap_or((input, &[]));
            *input = rest;
            self.left = self.left.saturating_sub(bytes.len());
            if self.left == 0 {
                return Err(Fault::Bytes);
            }
            self.seen.add(bytes);
            let Some((token, _)) = found else { continue };
            let seen = std::mem::take(&mut self.seen);
            if token == Token::Tag {
                self.open = seen.count(self.open);
                if self.open == 0 {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

impl Seen {
    fn add(&mut self, bytes: &[u8]) {
        if let Some(second) = 1_usize.checked_sub(self.bytes).and_then(|at| bytes.get(at)) {
            self.is_end = *second == b'/';
        }
        for byte in bytes.iter().skip(bytes.len().saturating_sub(2)) {
            let [_, before] = self.last;
            self.last = [before, *byte];
        }
        self.bytes = self.bytes.saturating_add(bytes.len());
    }

    /// How many elements are open behind this tag.
    fn count(&self, open: usize) -> usize {
        if self.is_end {
            open.saturating_sub(1)
        } else if self.last == *b"/>" {
            open
        } else {
            open.saturating_add(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xmpp::token::Place;

    /// Whether the end of a stanza of which one element is open is found, and that at the end of the input and not before.
    fn ends(limit: usize, input: &str, size: usize) -> Result<bool, Fault> {
        let mut scanner = Scanner::new(Place::Inside);
        let mut skip = Skip::new(1, b"", limit);
        let mut pieces = input.as_bytes().chunks(size);
        while let Some(mut piece) = pieces.next() {
            if skip.feed(&mut scanner, &mut piece)? {
                assert_eq!((piece, pieces.len()), (&b""[..], 0), "{input}");
                return Ok(true);
            }
            assert!(piece.is_empty(), "all input is taken");
        }
        Ok(false)
    }

    #[test]
    fn the_end_is_found_whatever_looks_like_it() {
        for inside in [
            "",
            "text / > />",
            "<a/>",
            "<a></a>",
            "<a ></a >",
            "<a b='/'></a>",
            "<a b='/>'></a>",
            "<a b=\"</m>\"/>",
            "<a b='>' c='>'/>",
            "<![CDATA[</m>]]>",
            "<![CDATA[<m>]]]]>",
            "<a><b/><c></c></a>",
            "]]>",
            "&unknown; \u{fffe}",
        ] {
            for size in [1, 2, 3, 1000] {
                assert_eq!(ends(1000, &format!("{inside}</m>"), size), Ok(true), "{inside} by {size}");
                assert_eq!(ends(1000, inside, size), Ok(false), "{inside} by {size}");
            }
        }
    }

    #[test]
    fn it_does_not_go_on_for_ever() {
        let input = "text<a></a></m>";
        for size in [1, 2, 1000] {
            assert_eq!(ends(16, input, size), Ok(true));
            for limit in 0..16 {
                assert_eq!(ends(limit, input, size), Err(Fault::Bytes), "{limit} by {size}");
            }
        }
    }
}
