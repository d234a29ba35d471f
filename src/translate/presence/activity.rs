//! The activities of RPID (RFC 4480 §3.2) as `<show/>`, and back.

use crate::sip::pidf::Activity;
use crate::sip::pidf::Show;

/// Of several activities the one that most forbids a call counts.
pub(super) fn to_show(activities: &[Activity]) -> Option<Show> {
    let shows = || activities.iter().filter_map(|activity| show(*activity));
    [Show::Dnd, Show::Xa, Show::Away].into_iter().find(|wanted| shows().any(|show| show == *wanted))
}

fn show(activity: Activity) -> Option<Show> {
    match activity {
        Activity::Appointment | Activity::Busy | Activity::Meeting | Activity::OnThePhone | Activity::Presentation => {
            Some(Show::Dnd)
        }
        Activity::Holiday | Activity::PermanentAbsence | Activity::Sleeping | Activity::Vacation => Some(Show::Xa),
        Activity::Away => Some(Show::Away),
        Activity::Breakfast
        | Activity::Dinner
        | Activity::InTransit
        | Activity::LookingForWork
        | Activity::Meal
        | Activity::Other
        | Activity::Performance
        | Activity::Playing
        | Activity::Shopping
        | Activity::Spectator
        | Activity::Steering
        | Activity::Travel
        | Activity::Tv
        | Activity::Unknown
        | Activity::Working
        | Activity::Worship => None,
    }
}

/// RPID knows one kind of away, and none of wanting to chat.
pub(super) fn of_show(show: Show) -> Option<Activity> {
    match show {
        Show::Away | Show::Xa => Some(Activity::Away),
        Show::Dnd => Some(Activity::Busy),
        Show::Chat => None,
    }
}
