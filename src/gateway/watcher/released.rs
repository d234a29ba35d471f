//! Watchers whose refusal has just ended.
//!
//! That they may be asked for again, a presence server takes for news: they are pending, and presence.winfo names them, once. It is no SUBSCRIBE, so
//! nobody is asked.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use super::MAX_QUESTIONS;
use super::questions::Question;

/// How long a presence server may take to tell the news.
const NEWS: Duration = Duration::from_secs(2);

/// Until when a document that names them is the news.
#[derive(Debug, Default)]
pub(super) struct Released(HashMap<Question, Instant>);

impl Released {
    /// From now on this watcher may be asked for again.
    pub(super) fn insert(&mut self, now: Instant, question: Question) {
        if self.0.len() < MAX_QUESTIONS {
            self.0.insert(question, now.checked_add(NEWS).unwrap_or(now));
        }
    }

    /// Whether a document that names it as pending is the news: the first one is.
    pub(super) fn is_news(&mut self, now: Instant, watcher: &str, presentity: &str) -> bool {
        !self.0.is_empty() && self.0.remove(&(watcher.to_owned(), presentity.to_owned())).is_some_and(|until| now < until)
    }

    /// Forgets whose moment has passed.
    pub(super) fn tick(&mut self, now: Instant) {
        self.0.retain(|_, until| now < *until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_document_that_follows_from_the_release_is_the_news() {
        let now = Instant::now();
        for (seconds, first) in [(0, true), (1, true), (2, false)] {
            let (mut released, at) = (Released::default(), now + Duration::from_secs(seconds));
            released.insert(now, ("j@s".to_owned(), "r@x".to_owned()));
            assert!(!released.is_news(at, "k@s", "r@x"));
            assert_eq!([(); 2].map(|()| released.is_news(at, "j@s", "r@x")), [first, false]);
        }
        let mut released = Released::default();
        released.insert(now, ("j@s".to_owned(), "r@x".to_owned()));
        released.tick(now + NEWS);
        assert!(released.0.is_empty());
    }
}
