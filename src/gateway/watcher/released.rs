//! Watchers who may be asked for again, from a moment ago.
//!
//! That they may, a presence server takes for news: they are pending, and presence.winfo names them. It is no SUBSCRIBE, so nobody is asked.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use super::MAX_QUESTIONS;
use super::questions::Question;

/// How long a presence server may take to tell the news.
const NEWS: Duration = Duration::from_secs(5);

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

    /// Whether a document that names it as pending is the news.
    pub(super) fn is_news(&self, now: Instant, watcher: &str, presentity: &str) -> bool {
        let until = || self.0.get(&(watcher.to_owned(), presentity.to_owned()));
        !self.0.is_empty() && until().is_some_and(|until| now < *until)
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
    fn a_document_that_follows_from_the_release_is_the_news() {
        let (mut released, now) = (Released::default(), Instant::now());
        released.insert(now, ("j@s".to_owned(), "r@x".to_owned()));
        let is_news =
            |released: &Released, seconds, watcher| released.is_news(now + Duration::from_secs(seconds), watcher, "r@x");
        assert_eq!([4, 5].map(|seconds| is_news(&released, seconds, "j@s")), [true, false]);
        assert!(!is_news(&released, 0, "k@s"));
        released.tick(now + NEWS);
        assert!(released.0.is_empty());
    }
}
