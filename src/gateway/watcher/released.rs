//! Watchers who may be asked for again, and have not subscribed since.
//!
//! That they may, a presence server takes for news: they are pending, and presence.winfo names them. It is no SUBSCRIBE, so nobody is asked.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use super::MAX_QUESTIONS;
use super::questions::Question;
use crate::sip::winfo::State;

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

    /// Whether it subscribes: `document` is what names it, if one does. One of all watchers, whenever it comes, names who does not, too.
    pub(super) fn subscribes(&mut self, now: Instant, watcher: &str, presentity: &str, document: Option<State>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let question = (watcher.to_owned(), presentity.to_owned());
        let is_news = match (self.0.get(&question), document) {
            (None, _) | (Some(_), None) => false,
            (Some(until), Some(State::Partial)) => now < *until,
            (Some(_), Some(State::Full)) => true,
        };
        if !is_news {
            self.0.remove(&question);
        }
        !is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_follows_from_the_release_is_no_subscribe() {
        let now = Instant::now();
        for (seconds, document, wanted) in
            [(4, Some(State::Partial), false), (5, Some(State::Partial), true), (4000, Some(State::Full), false), (0, None, true)]
        {
            let mut released = Released::default();
            released.insert(now, ("j@s".to_owned(), "r@x".to_owned()));
            let at = now + Duration::from_secs(seconds);
            assert_eq!(released.subscribes(at, "j@s", "r@x", document), wanted, "{seconds} {document:?}");
            assert_eq!(released.subscribes(at, "j@s", "r@x", Some(State::Full)), wanted, "known to have subscribed, or not");
            assert!(released.subscribes(at, "k@s", "r@x", Some(State::Full)));
        }
    }
}
