//! `<thread/>` as Call-ID (RFC 7572 §4).
//!
//! A thread may be any text, and two users or two messages may share it, while a Call-ID is a `callid` of RFC 3261 §25.1 and two
//! requests outside a dialog with the same Call-ID, CSeq and tag are taken for one that was merged (§8.2.2.2). So the thread
//! becomes the word before the `@`, escaped, and a number that is used once follows. A SIP user who answers in the same "dialog" of
//! MESSAGEs sends the Call-ID back, and the thread comes out of it again.

use std::borrow::Cow;

use sha1::Digest;
use sha1::Sha1;

use crate::address::percent_decode;
use crate::sip::CallId;

/// The longest thread that is kept; of a longer one its hash stands for it.
const MAX_WORD: usize = 128;

/// The Call-ID; `None` for an empty thread.
pub(super) fn from_thread(thread: &str, unique: u64) -> Option<CallId> {
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
    word.push_str(&format!("@{unique:0width$x}", width = UNIQUE));
    CallId::new(word)
}

/// The thread of a Call-ID: what [`from_thread`] put there, else the Call-ID itself. `None` for one that is empty or not UTF-8.
pub(super) fn to_thread(call_id: &[u8]) -> Option<Cow<'_, str>> {
    let call_id = std::str::from_utf8(call_id).ok().filter(|call_id| !call_id.is_empty())?;
    let ours = call_id
        .rsplit_once('@')
        .filter(|(_, unique)| unique.len() == UNIQUE && unique.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')));
    Some(ours.and_then(|(word, _)| percent_decode(word.as_bytes())).unwrap_or(Cow::Borrowed(call_id)))
}

/// Digits of the number behind the `@`.
const UNIQUE: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_makes_one_word() {
        assert_eq!(from_thread("711609sa", 0x1f).as_deref(), Some("711609sa@000000000000001f"));
        assert_eq!(from_thread("a@b c\r\nX: \u{e9}", 1).as_deref(), Some("a%40b%20c%0D%0AX%3A%20%C3%A9@0000000000000001"));
        assert_eq!(from_thread(" \n", 1), None);
        assert_eq!(from_thread(&"a".repeat(129), 1).map(|call_id| call_id.len()), Some(57));
        assert_ne!(from_thread(&"a".repeat(129), 1), from_thread(&"a".repeat(130), 1));
    }

    #[test]
    fn a_thread_comes_back_out_of_its_call_id() {
        for thread in ["711609sa", "a@b c: \u{e9}", "50%25", "x@0123456789abcdef"] {
            let call_id = from_thread(thread, 7).unwrap();
            assert_eq!(to_thread(call_id.as_bytes()).as_deref(), Some(thread));
        }
    }

    #[test]
    fn a_foreign_call_id_is_its_own_thread() {
        for call_id in ["a84b4c76e66710@pc33.example.com", "a%20b", "a@b", "x@0123456789ABCDEF", "@"] {
            assert_eq!(to_thread(call_id.as_bytes()).as_deref(), Some(call_id));
        }
        assert_eq!(to_thread(b""), None);
        assert_eq!(to_thread(b"\xff"), None);
    }
}
