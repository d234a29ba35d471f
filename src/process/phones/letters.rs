//! Stanzas for sessions that do not come of what these show: answers to messages that the SIP side did not take.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use jid::Jid;

/// Those that no session has taken yet.
#[derive(Debug, Default)]
pub(super) struct Letters(VecDeque<Letter>);

#[derive(Debug)]
struct Letter {
    at: Instant,
    /// In whose name it is: a session's full JID, or the bare one of its account, for a message to that (RFC 6121 §8.5.2.1).
    from: Jid,
    xml: String,
}

impl Letters {
    /// Whose session is gone does not take its own: the oldest give way.
    pub(super) fn put(&mut self, now: Instant, from: Jid, xml: String) {
        self.expire(now);
        if self.0.len() >= MOST {
            self.0.pop_front();
        }
        self.0.push_back(Letter { at: now, from, xml });
    }

    /// Those of the session with this full JID, in order.
    pub(super) fn take(&mut self, now: Instant, session: &str) -> Vec<String> {
        self.expire(now);
        let mut taken = Vec::new();
        // Mostly there are none.
        let Some(session) = (!self.0.is_empty()).then(|| Jid::new(session).ok()).flatten() else { return taken };
        let account = Jid::from(session.to_bare());
        self.0.retain_mut(|letter| {
            let is_theirs = letter.from == session || letter.from == account;
            if is_theirs {
                taken.push(std::mem::take(&mut letter.xml));
            }
            !is_theirs
        });
        taken
    }

    fn expire(&mut self, now: Instant) {
        while self.0.front().is_some_and(|oldest| now.saturating_duration_since(oldest.at) >= AGE) {
            self.0.pop_front();
        }
    }
}

/// A session takes its own in the next turn of the process.
const MOST: usize = 256;

/// How long those wait whose session logs in anew.
const AGE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn put(letters: &mut Letters, now: Instant, from: &str, xml: &str) {
        letters.put(now, Jid::new(from).unwrap(), xml.to_owned());
    }

    #[test]
    fn each_session_takes_its_own() {
        let (mut letters, now) = (Letters::default(), Instant::now());
        for (from, xml) in [("a/phone", "1"), ("b/phone", "2"), ("a/phone", "3")] {
            put(&mut letters, now, from, xml);
        }
        assert_eq!(letters.take(now, "a/phone"), ["1", "3"]);
        assert!(letters.take(now, "a/phone").is_empty());
        for number in 0..MOST {
            put(&mut letters, now, "c/phone", &number.to_string());
        }
        assert!(letters.take(now, "b/phone").is_empty(), "the oldest has given way");
        assert_eq!(letters.take(now, "c/phone").len(), MOST);
    }

    #[test]
    fn a_session_takes_those_of_its_account() {
        let (mut letters, now) = (Letters::default(), Instant::now());
        for (from, xml) in [
            ("juliet@example.com", "1"),
            ("Juliet@EXAMPLE.com", "2"),
            ("JULIET@example.com/phone", "3"),
            ("juliet@example.com/Phone", "4"),
            ("romeo@example.com", "5"),
        ] {
            put(&mut letters, now, from, xml);
        }
        assert_eq!(letters.take(now, "juliet@example.com/phone"), ["1", "2", "3"]);
        assert_eq!(letters.take(now, "juliet@example.com/Phone"), ["4"], "resources differ in case");
    }

    #[test]
    fn those_that_nobody_takes_are_dropped() {
        let (mut letters, now) = (Letters::default(), Instant::now());
        let later = now + AGE;
        put(&mut letters, now, "a/phone", "1");
        put(&mut letters, now + AGE / 2, "a/phone", "2");
        assert_eq!(letters.take(later, "a/phone"), ["2"]);
    }
}
