//! `<thread/>` as Call-ID (RFC 7572 §4).
//!
//! A thread may be any text, and two users or two messages may share it, while a Call-ID is a `callid` of RFC 3261 §25.1 and two
//! requests outside a dialog with the same Call-ID, CSeq and tag are taken for one that was merged (§8.2.2.2). So the thread
//! becomes the word before the `@`, escaped, and a number that is used once follows.

use sha1::Digest;
use sha1::Sha1;

/// The longest thread that is kept; of a longer one its hash stands for it.
const MAX_WORD: usize = 128;

/// The Call-ID; `None` for an empty thread.
pub(super) fn from_thread(thread: &str, unique: u64) -> Option<String> {
    let thread = thread.trim();
    if thread.is_empty() {
        return None;
    }
    let mut word = String::with_capacity(thread.len().saturating_add(20));
    for byte in thread.bytes() {
        if word.len() > MAX_WORD {
            break;
        }
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()+".contains(&byte) {
            word.push(char::from(byte));
        } else {
            word.push_str(&format!("%{byte:02X}"));
        }
    }
    if word.len() > MAX_WORD {
        word.clear();
        for byte in Sha1::digest(thread.as_bytes()) {
            word.push_str(&format!("{byte:02x}"));
        }
    }
    word.push_str(&format!("@{unique:x}"));
    Some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_makes_one_word() {
        assert_eq!(from_thread("711609sa", 0x1f).as_deref(), Some("711609sa@1f"));
        assert_eq!(from_thread("a@b c\r\nX: \u{e9}", 1).as_deref(), Some("a%40b%20c%0D%0AX%3A%20%C3%A9@1"));
        assert_eq!(from_thread(" \n", 1), None);
        assert_eq!(from_thread(&"a".repeat(129), 1).map(|call_id| call_id.len()), Some(42));
        assert_ne!(from_thread(&"a".repeat(129), 1), from_thread(&"a".repeat(130), 1));
    }
}
