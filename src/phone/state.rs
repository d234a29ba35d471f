//! The states of a phone in its user's account, and how one follows from another.
//!
//! The names are those of the BOSH connector of OpenSIPS. A state that begins with "still" says the same as the one before it: it shows
//! that the phone lives, and nothing is sent. `state_table.txt` has what each event makes of each state.

/// What the account shows, or goes on showing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// No session.
    Offline,
    /// The phone is there.
    Online,
    /// It is there as before.
    StillOnline,
    /// It rings. Only where that is shown.
    Ringing,
    /// It is in a call.
    OnThePhone,
    /// It is in a call as before, or in another one.
    StillOnThePhone,
    /// Its call is on hold. Only where that is shown.
    OnHold,
}

/// What happens to a phone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// The user's first contact, or first PUBLISH.
    Registered,
    /// A contact or a publication was refreshed, or one more came.
    Refreshed,
    /// All contacts and publications are gone.
    Gone,
    /// The first call rings.
    Ringing,
    /// A call is up.
    Confirmed,
    /// A call goes on: re-INVITE, UPDATE, a refresh of the dialog.
    Kept,
    /// All calls are on hold now.
    Held,
    /// One of them is not any more.
    Resumed,
    /// A call has ended, and another is up.
    CallEnded,
    /// The last call has ended, or stopped ringing.
    LastCallEnded,
}

/// What an account shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shown {
    /// Nothing: there is no session.
    Offline,
    /// The phone is there.
    Online,
    /// It rings.
    Ringing,
    /// It is in a call.
    OnThePhone,
    /// It is in a call that is on hold.
    OnHold,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Offline, Self::Online, Self::StillOnline, Self::Ringing, Self::OnThePhone, Self::StillOnThePhone, Self::OnHold];

    /// The state after an event.
    #[must_use]
    pub fn after(self, event: Event) -> Self {
        match (self, event) {
            (_, Event::Gone) => Self::Offline,

            // Without a contact there is nothing to show, until a call is up: then a phone is there for certain.
            (Self::Offline, Event::Registered | Event::Refreshed) => Self::Online,
            (Self::Offline, Event::Confirmed | Event::Resumed) => Self::OnThePhone,
            (Self::Offline, Event::Held) => Self::OnHold,
            (Self::Offline, Event::Ringing | Event::Kept | Event::CallEnded | Event::LastCallEnded) => Self::Offline,

            (Self::Online | Self::StillOnline, Event::Registered | Event::Refreshed | Event::LastCallEnded) => Self::StillOnline,
            (Self::Ringing, Event::Registered | Event::Refreshed | Event::Ringing) => Self::Ringing,
            (Self::Online | Self::StillOnline, Event::Ringing) => Self::Ringing,
            (
                Self::Online | Self::StillOnline | Self::Ringing,
                Event::Confirmed | Event::Kept | Event::Resumed | Event::CallEnded,
            ) => Self::OnThePhone,
            (Self::Online | Self::StillOnline | Self::Ringing, Event::Held) => Self::OnHold,

            (
                Self::OnThePhone | Self::StillOnThePhone,
                Event::Registered
                | Event::Refreshed
                | Event::Ringing
                | Event::Confirmed
                | Event::Kept
                | Event::Resumed
                | Event::CallEnded,
            ) => Self::StillOnThePhone,
            (Self::OnThePhone | Self::StillOnThePhone, Event::Held) => Self::OnHold,

            (Self::OnHold, Event::Registered | Event::Refreshed | Event::Ringing | Event::Kept | Event::Held) => Self::OnHold,
            // The call that has ended may be the one that was held.
            (Self::OnHold, Event::Confirmed | Event::Resumed | Event::CallEnded) => Self::OnThePhone,

            (Self::Ringing | Self::OnThePhone | Self::StillOnThePhone | Self::OnHold, Event::LastCallEnded) => Self::StillOnline,
        }
    }

    /// What it shows.
    pub fn shown(self) -> Shown {
        match self {
            Self::Offline => Shown::Offline,
            Self::Online | Self::StillOnline => Shown::Online,
            Self::Ringing => Shown::Ringing,
            Self::OnThePhone | Self::StillOnThePhone => Shown::OnThePhone,
            Self::OnHold => Shown::OnHold,
        }
    }

    /// Its name: in the script, in commands and in the table that is polled.
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Online => "online",
            Self::StillOnline => "still-online",
            Self::Ringing => "ringing",
            Self::OnThePhone => "onthephone",
            Self::StillOnThePhone => "still-onthephone",
            Self::OnHold => "onhold",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name().eq_ignore_ascii_case(name))
    }
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Registered,
        Self::Refreshed,
        Self::Gone,
        Self::Ringing,
        Self::Confirmed,
        Self::Kept,
        Self::Held,
        Self::Resumed,
        Self::CallEnded,
        Self::LastCallEnded,
    ];

    /// Its name, for logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Registered => "registered",
            Self::Refreshed => "refreshed",
            Self::Gone => "gone",
            Self::Ringing => "ringing",
            Self::Confirmed => "confirmed",
            Self::Kept => "kept",
            Self::Held => "held",
            Self::Resumed => "resumed",
            Self::CallEnded => "call ended, others left",
            Self::LastCallEnded => "last call ended",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The specification, to be read: a line for each pair.
    const TABLE: &str = include_str!("state_table.txt");

    fn event(name: &str) -> Event {
        Event::ALL.into_iter().find(|event| event.name() == name).unwrap_or_else(|| panic!("{name}"))
    }

    #[test]
    fn every_state_goes_where_the_table_says() {
        let mut seen = std::collections::HashSet::new();
        let mut from = None;
        for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            match line.strip_prefix("  ") {
                None => from = State::named(line),
                Some(row) => {
                    let from = from.unwrap_or_else(|| panic!("{line}"));
                    let (events, to) = row.split_once(" -> ").unwrap();
                    for event in events.split(" | ").map(|name| event(name.trim())) {
                        assert_eq!(from.after(event).name(), to, "{} and then {}", from.name(), event.name());
                        assert!(seen.insert((from, event)), "{} {} stands there twice", from.name(), event.name());
                    }
                }
            }
        }
        assert_eq!(seen.len(), State::ALL.len() * Event::ALL.len());
    }

    #[test]
    fn names_are_read_back() {
        for state in State::ALL {
            assert_eq!(State::named(state.name()), Some(state));
            assert_eq!(State::named(&state.name().to_uppercase()), Some(state));
        }
        assert_eq!(State::named("busy"), None);
    }
}
