//! Where a dialog that began with an INVITE stands (RFC 4235 §3.7.1).
//!
//! ```text
//!  trying ---1xx-notag---> proceeding ---1xx-tag---> early ---2xx---> confirmed
//!     |                        |                       |                  |
//!     +------------------------+-----------------------+------------------+----> terminated
//! ```
//!
//! A dialog only moves to the right, and may leave states out; terminated is final. So its states are ordered, and it does not matter in
//! which order its messages are heard of: who has heard of all of them has the same state. Only of several ends the first one heard
//! counts, until observations are merged. A proxy and its publishers do hear late, twice and out of order.
//!
//! A response with another tag begins another dialog of the same INVITE, with an id of its own: that is for whoever tells them apart.

/// Where a dialog stands. A later state is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DialogState {
    /// The INVITE is on its way.
    Trying,
    /// It was answered without a tag: no dialog yet.
    Proceeding,
    /// It was answered with a tag: it rings.
    Early,
    /// The call is up.
    Confirmed,
    /// It is over.
    Terminated(End),
}

/// What moves a dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A 1xx without tag: `1xx-notag`.
    ProvisionalWithoutTag,
    /// A 1xx with a tag: `1xx-tag`.
    ProvisionalWithTag,
    /// A 2xx to the INVITE.
    Success,
    /// Its end.
    End(End),
}

/// How a dialog ended, as far as it is known. What is better known, or says more, is greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct End {
    cause: Option<Cause>,
    code: Option<u16>,
}

/// What ended a dialog: the `event` of the state (RFC 4235 §4.1.2). In this order, since some bring others about, and of two that were
/// seen the one behind it is told: who is replaced or hears nothing says BYE, and what is cancelled is answered 487.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// The user sent BYE.
    LocalBye,
    /// The user was sent BYE.
    RemoteBye,
    /// A final response other than 2xx.
    Rejected,
    /// CANCEL, and 487.
    Cancelled,
    /// A request in the dialog was answered 408 or 481.
    Error,
    /// A request in the dialog was not answered.
    Timeout,
    /// An INVITE with Replaces (RFC 3891) took its place.
    Replaced,
}

impl DialogState {
    /// The state after an event.
    ///
    /// The figure of RFC 4235 has most ends from some states only. Here each one ends a dialog in any state: who heard it missed what
    /// led there, and a dialog that never ends is worse. BYE does end an early dialog (erratum 1495).
    pub fn after(self, event: Event) -> Self {
        match (self, event) {
            (Self::Terminated(_), _) => self,
            (_, Event::ProvisionalWithoutTag) => self.max(Self::Proceeding),
            (_, Event::ProvisionalWithTag) => self.max(Self::Early),
            (_, Event::Success) => self.max(Self::Confirmed),
            (_, Event::End(end)) => Self::Terminated(end),
        }
    }

    /// What two observations of one dialog say together, in whichever order they come.
    pub fn merge(self, other: Self) -> Self {
        self.max(other)
    }

    /// Its name in RFC 4235.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Proceeding => "proceeding",
            Self::Early => "early",
            Self::Confirmed => "confirmed",
            Self::Terminated(_) => "terminated",
        }
    }

    /// The state of this name, case and spaces around it ignored; `end` if it is that.
    pub fn from_name(name: &str, end: End) -> Option<Self> {
        [Self::Trying, Self::Proceeding, Self::Early, Self::Confirmed, Self::Terminated(end)]
            .into_iter()
            .find(|state| state.name().eq_ignore_ascii_case(name.trim()))
    }
}

impl End {
    /// An end. A code that is no status of a response (100 to 699) is none.
    pub fn new(cause: Option<Cause>, code: Option<u16>) -> Self {
        Self { cause, code: code.filter(|code| (100..=699).contains(code)) }
    }

    /// What caused it.
    pub fn cause(self) -> Option<Cause> {
        self.cause
    }

    /// The status of the response that did.
    pub fn code(self) -> Option<u16> {
        self.code
    }
}

impl Cause {
    /// Its name in RFC 4235.
    pub fn name(self) -> &'static str {
        match self {
            Self::LocalBye => "local-bye",
            Self::RemoteBye => "remote-bye",
            Self::Rejected => "rejected",
            Self::Cancelled => "cancelled",
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::Replaced => "replaced",
        }
    }

    /// The cause of this name, case and spaces around it ignored.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::LocalBye, Self::RemoteBye, Self::Rejected, Self::Cancelled, Self::Error, Self::Timeout, Self::Replaced]
            .into_iter()
            .find(|cause| cause.name().eq_ignore_ascii_case(name.trim()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Event;
    use super::*;

    fn ends() -> impl Strategy<Value = End> {
        let causes =
            [Cause::LocalBye, Cause::RemoteBye, Cause::Rejected, Cause::Cancelled, Cause::Error, Cause::Timeout, Cause::Replaced];
        let cause = proptest::option::of(proptest::sample::select(causes.to_vec()));
        (cause, proptest::option::of(0u16..800)).prop_map(|(cause, code)| End::new(cause, code))
    }

    fn states() -> impl Strategy<Value = DialogState> {
        prop_oneof![
            Just(DialogState::Trying),
            Just(DialogState::Proceeding),
            Just(DialogState::Early),
            Just(DialogState::Confirmed),
            ends().prop_map(DialogState::Terminated),
        ]
    }

    fn events() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(Event::ProvisionalWithoutTag),
            Just(Event::ProvisionalWithTag),
            Just(Event::Success),
            ends().prop_map(Event::End),
        ]
    }

    proptest! {
        #[test]
        fn a_dialog_never_moves_back(state in states(), events in proptest::collection::vec(events(), 0..8)) {
            let mut before = state;
            for event in events {
                let after = before.after(event);
                prop_assert!(after >= before, "{before:?} {event:?} {after:?}");
                prop_assert!(!matches!(before, DialogState::Terminated(_)) || after == before);
                before = after;
            }
        }

        #[test]
        fn messages_in_any_order_lead_to_one_state(
            (told, heard) in proptest::collection::vec(events(), 0..8)
                .prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
        ) {
            let last = |events: &[Event]| events.iter().fold(DialogState::Trying, |state, event| state.after(*event)).name();
            prop_assert_eq!(last(&told), last(&heard));
        }

        #[test]
        fn observations_in_any_order_say_the_same(
            (told, heard) in proptest::collection::vec(states(), 1..8)
                .prop_flat_map(|states| (Just(states.clone()), Just(states).prop_shuffle()))
        ) {
            let merged = |states: &[DialogState]| states.iter().copied().reduce(DialogState::merge);
            prop_assert_eq!(merged(&told), merged(&heard));
            // Whoever had merged some of them before, and hears them again.
            let again: Vec<_> = told.iter().chain(&heard).copied().collect();
            prop_assert_eq!(merged(&again), merged(&told));
        }
    }

    #[test]
    fn a_code_is_that_of_a_response() {
        for (code, kept) in [(99, None), (100, Some(100)), (486, Some(486)), (699, Some(699)), (700, None)] {
            assert_eq!(End::new(None, Some(code)).code(), kept);
        }
    }
}
