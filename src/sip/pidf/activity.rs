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
    /// The name of its element.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, activity)| *activity == self).map_or("unknown", |(name, _)| name)
    }

    /// The activity of this name; `None` for one that is not in RFC 4480.
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, activity)| *activity)
    }
}

const NAMES: [(&str, Activity); 26] = [
    ("appointment", Activity::Appointment),
    ("away", Activity::Away),
    ("breakfast", Activity::Breakfast),
    ("busy", Activity::Busy),
    ("dinner", Activity::Dinner),
    ("holiday", Activity::Holiday),
    ("in-transit", Activity::InTransit),
    ("looking-for-work", Activity::LookingForWork),
    ("meal", Activity::Meal),
    ("meeting", Activity::Meeting),
    ("on-the-phone", Activity::OnThePhone),
    ("other", Activity::Other),
    ("performance", Activity::Performance),
    ("permanent-absence", Activity::PermanentAbsence),
    ("playing", Activity::Playing),
    ("presentation", Activity::Presentation),
    ("shopping", Activity::Shopping),
    ("sleeping", Activity::Sleeping),
    ("spectator", Activity::Spectator),
    ("steering", Activity::Steering),
    ("travel", Activity::Travel),
    ("tv", Activity::Tv),
    ("unknown", Activity::Unknown),
    ("vacation", Activity::Vacation),
    ("working", Activity::Working),
    ("worship", Activity::Worship),
];
