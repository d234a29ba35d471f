//! The activities of RPID (RFC 4480 §3.2).

/// What a person does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// `appointment`.
    Appointment,
    /// `away`.
    Away,
    /// `breakfast`.
    Breakfast,
    /// `busy`.
    Busy,
    /// `dinner`.
    Dinner,
    /// `holiday`.
    Holiday,
    /// `in-transit`.
    InTransit,
    /// `looking-for-work`.
    LookingForWork,
    /// `meal`.
    Meal,
    /// `meeting`.
    Meeting,
    /// `on-the-phone`.
    OnThePhone,
    /// `other`.
    Other,
    /// `performance`.
    Performance,
    /// `permanent-absence`.
    PermanentAbsence,
    /// `playing`.
    Playing,
    /// `presentation`.
    Presentation,
    /// `shopping`.
    Shopping,
    /// `sleeping`.
    Sleeping,
    /// `spectator`.
    Spectator,
    /// `steering`.
    Steering,
    /// `travel`.
    Travel,
    /// `tv`.
    Tv,
    /// `unknown`.
    Unknown,
    /// `vacation`.
    Vacation,
    /// `working`.
    Working,
    /// `worship`.
    Worship,
}

impl Activity {
    /// Its element as it is written. There are phones, baresip among them, that look for this text and do not know namespaces.
    pub(super) fn element(self) -> &'static str {
        ELEMENTS.iter().find(|(_, activity)| *activity == self).map_or("rpid:unknown", |(element, _)| element)
    }

    /// The activity of this name; `None` for one that is not in RFC 4480.
    pub fn from_name(name: &str) -> Option<Self> {
        ELEMENTS.iter().find(|(element, _)| element.strip_prefix(PREFIX) == Some(name)).map(|(_, activity)| *activity)
    }
}

/// Before the name of each.
const PREFIX: &str = "rpid:";

const ELEMENTS: [(&str, Activity); 26] = [
    ("rpid:appointment", Activity::Appointment),
    ("rpid:away", Activity::Away),
    ("rpid:breakfast", Activity::Breakfast),
    ("rpid:busy", Activity::Busy),
    ("rpid:dinner", Activity::Dinner),
    ("rpid:holiday", Activity::Holiday),
    ("rpid:in-transit", Activity::InTransit),
    ("rpid:looking-for-work", Activity::LookingForWork),
    ("rpid:meal", Activity::Meal),
    ("rpid:meeting", Activity::Meeting),
    ("rpid:on-the-phone", Activity::OnThePhone),
    ("rpid:other", Activity::Other),
    ("rpid:performance", Activity::Performance),
    ("rpid:permanent-absence", Activity::PermanentAbsence),
    ("rpid:playing", Activity::Playing),
    ("rpid:presentation", Activity::Presentation),
    ("rpid:shopping", Activity::Shopping),
    ("rpid:sleeping", Activity::Sleeping),
    ("rpid:spectator", Activity::Spectator),
    ("rpid:steering", Activity::Steering),
    ("rpid:travel", Activity::Travel),
    ("rpid:tv", Activity::Tv),
    ("rpid:unknown", Activity::Unknown),
    ("rpid:vacation", Activity::Vacation),
    ("rpid:working", Activity::Working),
    ("rpid:worship", Activity::Worship),
];
