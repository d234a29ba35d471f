//! What the presence server of this host did not do, and is asked for again: a database that another process holds is free in a moment.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use crate::gateway::action::Action;
use crate::sip;

/// How often something is asked for again.
const TRIES: u32 = 6;

/// Things that are asked for again at the most. Further ones are left undone.
const MOST: usize = 10_000;

/// How long it is remembered how often something was not done.
const MEMORY: Duration = Duration::from_secs(120);

/// One thing.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Wish {
    /// The watchers of this presentity, a SIP URI, are told of a decision.
    Watchers(String),
    /// The publication of this user, a bare JID, ends.
    End { user: String, presentity: String, id: String },
}

/// What was not done.
#[derive(Debug, Default)]
pub(super) struct Again {
    /// How often not, and when it was the last time.
    failures: HashMap<Wish, (u32, Instant)>,
    due: BTreeMap<(Instant, Wish), sip::Uri>,
}

impl Again {
    /// It was not done.
    pub(super) fn failed(&mut self, now: Instant, wish: Wish, presentity: sip::Uri) {
        if self.failures.len() >= MOST && !self.failures.contains_key(&wish) {
            log::warn!("too much that the presence server did not do: what {presentity} decided or shows is not tried again");
            return;
        }
        let (failures, last) = self.failures.entry(wish.clone()).or_insert((0, now));
        *last = now;
        if *failures >= TRIES {
            log::error!("the presence server did not take {} times in a row what {presentity} decided or shows", *failures);
            self.failures.remove(&wish);
            return;
        }
        let pause = Duration::from_millis(500 << *failures);
        *failures = failures.saturating_add(1);
        self.due.insert((now.checked_add(pause).unwrap_or(now), wish), presentity);
    }

    /// Asks for what is due, but for the end of what is published again: whether it is, `is_back` says of user, presentity and id.
    pub(super) fn tick(&mut self, now: Instant, is_back: impl Fn(&str, &str, &str) -> bool, actions: &mut Vec<Action>) {
        while let Some(first) = self.due.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, wish), presentity) = first.remove_entry();
            actions.push(match wish {
                Wish::Watchers(_) => Action::TellWatchers(presentity),
                Wish::End { user, presentity, id } if is_back(&user, &presentity, &id) => continue,
                Wish::End { id, .. } => Action::Publish(sip::Publish { presentity, id, body: None, expires: 0 }),
            });
        }
        self.failures.retain(|_, (_, last)| now.saturating_duration_since(*last) < MEMORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_never_done_is_given_up_and_what_is_done_is_forgotten() {
        let uri = sip::Uri::new("sip:romeo@example.net".into()).unwrap();
        let wish = Wish::Watchers(uri.to_string());
        let (mut again, mut now, mut tried) = (Again::default(), Instant::now(), 0);
        again.failed(now, wish.clone(), uri.clone());
        for _ in 0..1000 {
            now += Duration::from_secs(1);
            let mut actions = Vec::new();
            again.tick(now, |_, _, _| false, &mut actions);
            for action in actions {
                assert_eq!(action, Action::TellWatchers(uri.clone()));
                tried += 1;
                again.failed(now, wish.clone(), uri.clone());
            }
        }
        assert_eq!((tried, again.failures.len(), again.due.len()), (TRIES, 0, 0));
        again.failed(now, wish, uri);
        let mut actions = Vec::new();
        again.tick(now + Duration::from_secs(1), |_, _, _| false, &mut actions);
        again.tick(now + MEMORY, |_, _, _| false, &mut actions);
        assert_eq!((actions.len(), again.failures.len(), again.due.len()), (1, 0, 0));
    }
}
