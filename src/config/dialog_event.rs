//! The event package "dialog" of this SIP server's presence server (`dialog_event` and what belongs to it).

use super::Error;
use super::Parameters;
use crate::dialog_event::profile::Dialogs;
use crate::dialog_event::profile::Identities;
use crate::dialog_event::profile::Idle;
use crate::dialog_event::profile::Order;
use crate::dialog_event::profile::Profile;
use crate::dialog_event::profile::View;
use crate::dialog_event::profile::Watchers;

/// The most profiles there may be: the number of one is kept in a byte.
const MOST_PROFILES: usize = 250;

/// What the operator wants of the event package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialogEvent {
    /// How long a SUBSCRIBE or PUBLISH counts that does not say it, in seconds.
    pub default_expires: u32,
    /// What watchers are given of whom no profile says more.
    pub view: View,
    /// The first that fits counts.
    pub profiles: Vec<Profile>,
    /// Which dialog is the most interesting one.
    pub order: Order,
}

impl Default for DialogEvent {
    fn default() -> Self {
        Self { default_expires: 3600, view: View::default(), profiles: Vec::new(), order: Order::default() }
    }
}

/// `None`: the event is none of ours.
pub(super) fn dialog_event(parameters: &Parameters) -> Result<Option<DialogEvent>, Error> {
    // All are looked at, also where they are not used: a mistake is told when it is made.
    let event = DialogEvent {
        default_expires: default_expires(parameters)?,
        view: View {
            dialogs: if switch("force_single_dialog", parameters.force_single_dialog)? { Dialogs::Single } else { Dialogs::All },
            idle: if switch("force_dummy_dialog", parameters.force_dummy_dialog)? { Idle::Dummy } else { Idle::Empty },
            identities: Identities::Shown,
        },
        order: order(parameters)?,
        profiles: parameters.dialog_profile.iter().map(|line| profile(line)).collect::<Result<_, _>>()?,
    };
    if event.profiles.len() > MOST_PROFILES {
        return Err(Error { parameter: "dialog_profile", value: None, takes: "at most 250 lines" });
    }
    Ok(switch("dialog_event", parameters.dialog_event)?.then_some(event))
}

fn switch(parameter: &'static str, value: Option<i64>) -> Result<bool, Error> {
    match value {
        None | Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(other) => Err(Error { parameter, value: Some(other.to_string()), takes: "0 (no) or 1 (yes)" }),
    }
}

fn default_expires(parameters: &Parameters) -> Result<u32, Error> {
    let Some(value) = parameters.default_expires else { return Ok(DialogEvent::default().default_expires) };
    let wrong =
        || Error { parameter: "default_expires", value: Some(value.to_string()), takes: "a number of seconds from 60 to 86400" };
    u32::try_from(value).ok().filter(|seconds| (60..=86_400).contains(seconds)).ok_or_else(wrong)
}

fn order(parameters: &Parameters) -> Result<Order, Error> {
    let Some(value) = parameters.single_dialog_order.as_deref() else { return Ok(Order::default()) };
    Order::parse(value).ok_or_else(|| Error {
        parameter: "single_dialog_order",
        value: Some(value.to_owned()),
        takes: "each state once, the most interesting one last, as in \"terminated,trying,proceeding,confirmed,early\"",
    })
}

/// `user_agent=PATTERN;dialogs=single,dummy;identities=hidden`
fn profile(line: &str) -> Result<Profile, Error> {
    let wrong = || Error {
        parameter: "dialog_profile",
        value: Some(line.to_owned()),
        takes: "user_agent=PATTERN or watcher=PATTERN, then dialogs= with all, single, partial or dummy, and identities= with shown or \
                hidden, as in \"user_agent=Linksys/SPA9*;dialogs=single,dummy;identities=hidden\"",
    };
    let mut watchers = None;
    let mut view = View::default();
    for part in line.split(';').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').map(|(name, value)| (name.trim(), value.trim())).ok_or_else(wrong)?;
        match name {
            "user_agent" | "watcher" if watchers.is_some() || value.is_empty() => return Err(wrong()),
            "user_agent" => watchers = Some(Watchers::UserAgent(value.to_owned())),
            "watcher" => watchers = Some(Watchers::Uri(value.to_owned())),
            "dialogs" => {
                for word in value.split(',').map(str::trim) {
                    match word {
                        "all" => view.dialogs = Dialogs::All,
                        "single" => view.dialogs = Dialogs::Single,
                        "partial" => view.dialogs = Dialogs::Partial,
                        "dummy" => view.idle = Idle::Dummy,
                        _ => return Err(wrong()),
                    }
                }
            }
            "identities" => {
                view.identities = match value {
                    "shown" => Identities::Shown,
                    "hidden" => Identities::Hidden,
                    _ => return Err(wrong()),
                }
            }
            _ => return Err(wrong()),
        }
    }
    Ok(Profile { watchers: watchers.ok_or_else(wrong)?, view })
}

#[cfg(test)]
mod tests {
    use super::super::tests::minimal;
    use super::super::tests::refusal;
    use super::*;
    use crate::config::Config;

    fn event(set: impl FnOnce(&mut Parameters)) -> Option<DialogEvent> {
        let mut parameters = Parameters { dialog_event: Some(1), ..minimal() };
        set(&mut parameters);
        Config::from_parameters(&parameters).unwrap().dialog_event
    }

    #[test]
    fn the_event_is_left_alone_unless_it_is_wanted() {
        assert_eq!(Config::from_parameters(&minimal()).unwrap().dialog_event, None);
        assert_eq!(event(|parameters| parameters.dialog_event = Some(0)), None);
        assert_eq!(event(|_| {}), Some(DialogEvent::default()));
    }

    #[test]
    fn what_phones_need_is_set_for_all_or_for_some() {
        let event = event(|parameters| {
            parameters.force_single_dialog = Some(1);
            parameters.force_dummy_dialog = Some(1);
            parameters.default_expires = Some(600);
            parameters.single_dialog_order = Some("terminated,trying,proceeding,early,confirmed".into());
            parameters.dialog_profile = vec![
                "user_agent=Yealink*; dialogs = all,dummy".into(),
                "watcher=sip:*@a.example;dialogs=partial;identities=hidden".into(),
            ];
        })
        .unwrap();
        assert_eq!(event.view, View { dialogs: Dialogs::Single, idle: Idle::Dummy, identities: Identities::Shown });
        assert_eq!(event.default_expires, 600);
        assert_eq!(
            event.profiles,
            [
                Profile {
                    watchers: Watchers::UserAgent("Yealink*".into()),
                    view: View { dialogs: Dialogs::All, idle: Idle::Dummy, identities: Identities::Shown },
                },
                Profile {
                    watchers: Watchers::Uri("sip:*@a.example".into()),
                    view: View { dialogs: Dialogs::Partial, idle: Idle::Empty, identities: Identities::Hidden },
                },
            ]
        );
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let profile = |line: &str| refusal(&Parameters { dialog_profile: vec![line.into()], ..minimal() });
        for line in [
            "",
            "dialogs=single",
            "user_agent=",
            "user_agent=a;dialogs=two",
            "user_agent=a;watcher=b",
            "user_agent=a;identities=some",
            "a",
        ] {
            assert!(profile(line).starts_with("parameter dialog_profile is"), "{line}");
        }
        let said = refusal(&Parameters { dialog_event: Some(2), ..minimal() });
        assert_eq!(said, "parameter dialog_event is \"2\"; it takes 0 (no) or 1 (yes)");
        assert!(refusal(&Parameters { default_expires: Some(0), ..minimal() }).starts_with("parameter default_expires is \"0\""));
        let order = refusal(&Parameters { single_dialog_order: Some("early".into()), ..minimal() });
        assert!(order.starts_with("parameter single_dialog_order is \"early\"; it takes each state once"));
    }
}
