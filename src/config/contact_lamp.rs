//! Which states of an XMPP contact light the lamp of a SIP phone that watches it with `Event: dialog` (`contact_lamp`).

use super::Config;
use super::Error;
use super::Parameters;
use super::PresenceMode;
use crate::xmpp::activity;

/// What an XMPP contact can be doing that a lamp shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContactState {
    /// `<show>away</show>`
    Away,
    /// `<show>xa</show>`
    Xa,
    /// `<show>dnd</show>`
    Dnd,
    /// Its activity (XEP-0108), in presence or by PEP.
    OnThePhone,
}

/// The states that light it; at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactLamp(Vec<ContactState>);

impl ContactLamp {
    /// Whether this state lights it.
    pub fn shows(&self, state: ContactState) -> bool {
        self.0.contains(&state)
    }

    /// What PEP nodes (XEP-0163) XMPP servers are to send us events of, as a feature of SIP users.
    pub fn interest(&self) -> Option<&'static str> {
        self.shows(ContactState::OnThePhone).then_some(activity::NOTIFY)
    }
}

impl Config {
    /// Whether such lamps are served by the presence server of this SIP server, too.
    pub(crate) fn publishes_contact_lamps(&self) -> bool {
        self.contact_lamp.is_some() && self.dialog_event.is_some() && self.presence_mode != PresenceMode::None
    }
}

const STATES: [(&str, ContactState); 4] = [
    ("away", ContactState::Away),
    ("xa", ContactState::Xa),
    ("dnd", ContactState::Dnd),
    ("on_the_phone", ContactState::OnThePhone),
];

/// `None`: such a lamp is dark, and nobody may subscribe to it. By default it says what that of a telephone says: do not call now.
pub(super) fn contact_lamp(parameters: &Parameters) -> Result<Option<ContactLamp>, Error> {
    let Some(value) = parameters.contact_lamp.as_deref() else {
        return Ok(Some(ContactLamp(vec![ContactState::Dnd, ContactState::OnThePhone])));
    };
    if value.trim() == "off" {
        return Ok(None);
    }
    let state = |word: &str| STATES.iter().find(|(name, _)| *name == word.trim()).map(|(_, state)| *state);
    let states: Option<Vec<ContactState>> = value.split(',').map(state).collect();
    states.map(|states| Some(ContactLamp(states))).ok_or_else(|| Error {
        parameter: "contact_lamp",
        value: Some(value.to_owned()),
        takes: "\"off\", or one or more of away, xa, dnd and on_the_phone, as in \"dnd,on_the_phone\"",
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::minimal;
    use super::super::tests::refusal;
    use super::*;

    #[test]
    fn a_lamp_is_lit_for_whom_nobody_should_call_unless_the_operator_says_otherwise() {
        let given = |value: Option<&str>| {
            let parameters = Parameters { contact_lamp: value.map(str::to_owned), ..minimal() };
            Config::from_parameters(&parameters).unwrap().contact_lamp.map(|ContactLamp(states)| states)
        };
        let (away, dnd, on_the_phone) = (ContactState::Away, ContactState::Dnd, ContactState::OnThePhone);
        assert_eq!(given(None), Some(vec![dnd, on_the_phone]));
        assert_eq!(given(Some("off")), None);
        assert_eq!(given(Some("away, xa ,dnd")), Some(vec![away, ContactState::Xa, dnd]));
        for value in ["", "busy", "dnd,", "off,dnd"] {
            let refused = refusal(&Parameters { contact_lamp: Some(value.into()), ..minimal() });
            assert!(refused.starts_with(&format!("parameter contact_lamp is \"{value}\"; it takes \"off\"")), "{refused}");
        }
    }

    #[test]
    fn events_are_asked_for_only_where_they_light_something() {
        let interest = |value: &str| {
            let parameters = Parameters { contact_lamp: Some(value.into()), ..minimal() };
            Config::from_parameters(&parameters).unwrap().contact_lamp.and_then(|lamp| lamp.interest())
        };
        assert_eq!(interest("dnd"), None);
        assert_eq!(interest("off"), None);
        assert_eq!(interest("on_the_phone"), Some("http://jabber.org/protocol/activity+notify"));
    }
}
