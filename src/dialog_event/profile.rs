//! What watchers of dialogs are given: phones differ, and one model must not decide for all.

use crate::sip::dialog_state::DialogState;

/// Watchers, and what they are given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Who.
    pub watchers: Watchers,
    /// What.
    pub view: View,
}

/// A class of watchers. In a pattern `*` stands for any text and `?` for any character; case does not matter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Watchers {
    /// Whose User-Agent is like this.
    UserAgent(String),
    /// Whose SIP URI is like this.
    Uri(String),
}

/// What a watcher is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct View {
    /// Which dialogs.
    pub dialogs: Dialogs,
    /// What stands where there are none.
    pub idle: Idle,
    /// What is told of who takes part in them.
    pub identities: Identities,
}

/// Which dialogs a document has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Dialogs {
    /// All, in each document.
    #[default]
    All,
    /// The most interesting one.
    Single,
    /// All, after a SUBSCRIBE; then those that have changed.
    Partial,
}

/// What a document has where there is no dialog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Idle {
    /// Nothing.
    #[default]
    Empty,
    /// A dialog that is over: some phones put no lamp out without one.
    Dummy,
}

/// What is told of who takes part in a dialog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Identities {
    /// All that was published.
    #[default]
    Shown,
    /// Nothing but direction and state: no address, no Call-ID, no tags, and an id that says nothing.
    Hidden,
}

/// The states of a dialog from the least interesting to the most interesting one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order([&'static str; 5]);

impl Watchers {
    /// Whether this watcher is one of them.
    pub fn have(&self, uri: &str, user_agent: Option<&str>) -> bool {
        match self {
            Self::UserAgent(pattern) => user_agent.is_some_and(|user_agent| is_like(user_agent, pattern)),
            Self::Uri(pattern) => is_like(uri, pattern),
        }
    }
}

impl Default for Order {
    /// An early dialog can be picked up; a confirmed one is a reason not to call.
    fn default() -> Self {
        Self(["terminated", "trying", "proceeding", "confirmed", "early"])
    }
}

impl Order {
    /// Reads `terminated,trying,proceeding,confirmed,early`: each state once.
    pub fn parse(text: &str) -> Option<Self> {
        let mut order = Self([""; 5]);
        let mut places = order.0.iter_mut();
        for name in text.split([',', '<']) {
            *places.next()? = DialogState::from_name(name, Default::default())?.name();
        }
        let each_once = order.0.iter().all(|name| !name.is_empty() && order.0.iter().filter(|other| *other == name).count() == 1);
        each_once.then_some(order)
    }

    /// How interesting a dialog of this state is.
    pub(super) fn rank(&self, state: DialogState) -> usize {
        self.0.iter().position(|name| *name == state.name()).unwrap_or(0)
    }
}

/// Whether all of the text is like the pattern. Linear but for a factor of its stars: of two the last one is enough to come back to.
fn is_like(text: &str, pattern: &str) -> bool {
    let (mut text, mut pattern) = (text.chars(), pattern.chars());
    let mut back = None;
    loop {
        let mut after = pattern.clone();
        match after.next() {
            Some('*') => {
                back = Some((text.clone(), after.clone()));
                pattern = after;
                continue;
            }
            Some(wanted) => {
                let mut rest = text.clone();
                if rest.next().is_some_and(|found| wanted == '?' || found.eq_ignore_ascii_case(&wanted)) {
                    (text, pattern) = (rest, after);
                    continue;
                }
            }
            None if text.as_str().is_empty() => return true,
            None => {}
        }
        // It does not go on like this: the last star takes one more character.
        let Some((starred, after)) = &mut back else { return false };
        if starred.next().is_none() {
            return false;
        }
        (text, pattern) = (starred.clone(), after.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_matched_whole() {
        for (text, pattern, like) in [
            ("Linksys/SPA962-6.1.5(a)", "linksys/spa9*", true),
            ("Linksys/SPA962-6.1.5(a)", "spa9*", false),
            ("Linksys/SPA962-6.1.5(a)", "*SPA96?-*", true),
            ("", "*", true),
            ("", "", true),
            ("", "?", false),
            ("a", "", false),
            ("aab", "*ab", true),
            ("abab", "*ab", true),
            ("abac", "*ab*c", true),
            ("abc", "a*d", false),
            ("sip:bob@example.com", "sip:*@example.com", true),
            ("sip:bob@example.com.evil.example", "sip:*@example.com", false),
            ("Ünïcode", "?n?code", true),
            ("a*b", "a**b", true),
        ] {
            assert_eq!(is_like(text, pattern), like, "{text} {pattern}");
        }
    }

    #[test]
    fn a_hostile_text_takes_no_time() {
        assert!(!is_like(&"a".repeat(4000), &format!("{}b", "*a".repeat(20))));
    }

    #[test]
    fn an_order_has_each_state_once() {
        assert_eq!(Order::parse("terminated, trying, proceeding, confirmed, early"), Some(Order::default()));
        assert_eq!(Order::parse("terminated < trying < proceeding < confirmed < early"), Some(Order::default()));
        let order = Order::parse("terminated,trying,proceeding,early,confirmed").unwrap();
        assert!(order.rank(DialogState::Confirmed) > order.rank(DialogState::Early));
        for wrong in
            ["", "early", "early,early,trying,proceeding,confirmed", "terminated,trying,proceeding,confirmed,early,early"]
        {
            assert_eq!(Order::parse(wrong), None, "{wrong}");
        }
    }
}
