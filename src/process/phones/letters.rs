//! Stanzas for sessions that do not come of what these show: answers to messages that the SIP side did not take.

use std::collections::VecDeque;

/// Those that no session has taken yet.
#[derive(Debug, Default)]
pub(super) struct Letters(VecDeque<Letter>);

#[derive(Debug)]
struct Letter {
    /// The full JID in whose name it is.
    from: String,
    xml: String,
}

impl Letters {
    /// Whose session is gone does not take its own: the oldest give way.
    pub(super) fn put(&mut self, from: String, xml: String) {
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(Letter { from, xml });
    }

    /// Those of this full JID, in order.
    pub(super) fn take(&mut self, from: &str) -> Vec<String> {
        let mut taken = Vec::new();
        self.0.retain_mut(|letter| {
            let is_theirs = letter.from == from;
            if is_theirs {
                taken.push(std::mem::take(&mut letter.xml));
            }
            !is_theirs
        });
        taken
    }
}

/// A session takes its own in the next turn of the process.
const MOST: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_takes_its_own() {
        let mut letters = Letters::default();
        for (from, xml) in [("a/phone", "1"), ("b/phone", "2"), ("a/phone", "3")] {
            letters.put(from.to_owned(), xml.to_owned());
        }
        assert_eq!(letters.take("a/phone"), ["1", "3"]);
        assert!(letters.take("a/phone").is_empty());
        for number in 0..MOST {
            letters.put("c/phone".to_owned(), number.to_string());
        }
        assert!(letters.take("b/phone").is_empty(), "the oldest has given way");
        assert_eq!(letters.take("c/phone").len(), MOST);
    }
}
