//! Which resource of a user stands for all, for SIP clients that look at one tuple only.
//!
//! Our choice, as RFC 8048 §6.2 gives each resource its tuple and leaves it there. Who can be reached comes first; then the priority, by
//! which users say themselves where they want to be reached (RFC 6121 §4.7.2.3); then the show; then who changed last.

use std::cmp::Ordering;

use jiff::Timestamp;

use super::Availability;
use super::ResourcePresence;
use super::priority;
use crate::sip::pidf::Basic;
use crate::sip::pidf::Document;
use crate::sip::pidf::Show;

/// The resource where a user is most available; `None` if there is none. It does not matter in which order they come.
pub fn most_available<'a>(resources: impl IntoIterator<Item = &'a ResourcePresence>) -> Option<&'a ResourcePresence> {
    resources.into_iter().min_by(|one, other| by_availability(one, other))
}

/// How available a user is at a resource: the greater, the more. What says more counts before what follows. By default the least.
#[derive(Debug, Default, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank {
    available: u8,
    priority: i8,
    show: u8,
    changed: Option<Timestamp>,
}

/// The most available first. Between equals the name of the resource decides.
pub(super) fn by_availability(one: &ResourcePresence, other: &ResourcePresence) -> Ordering {
    one.rank().cmp(&other.rank()).reverse().then_with(|| one.resource().cmp(other.resource()))
}

impl Rank {
    /// That of a resource which was published. Of a negative priority nothing was written.
    pub fn of_pidf(document: &Document) -> Self {
        let Some(tuple) = document.tuples.first() else { return Self::default() };
        let priority = tuple.contact.as_ref().and_then(|contact| contact.priority).map_or(0, priority::of_thousandths);
        Self {
            available: u8::from(tuple.basic == Some(Basic::Open)),
            priority: i8::try_from(priority).unwrap_or(i8::MAX),
            show: show_rank(tuple.show),
            changed: tuple.timestamp,
        }
    }
}

impl ResourcePresence {
    /// Where it stands among the resources of its user.
    pub fn rank(&self) -> Rank {
        let available = match self.availability {
            Availability::Available => 1,
            Availability::Unavailable => 0,
        };
        Rank { available, priority: self.priority.unwrap_or(0), show: show_rank(self.show), changed: self.changed }
    }
}

fn show_rank(show: Option<Show>) -> u8 {
    match show {
        Some(Show::Chat) => 4,
        None => 3,
        Some(Show::Away) => 2,
        Some(Show::Xa) => 1,
        Some(Show::Dnd) => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::xmpp::element::Element;

    fn resource(name: &str, stanza: &str) -> ResourcePresence {
        let jid = jid::Jid::new(&["romeo@example.net/", name].concat()).unwrap();
        ResourcePresence::read(&Element::parse(stanza).unwrap(), &jid).unwrap()
    }

    fn resources() -> impl Strategy<Value = Vec<ResourcePresence>> {
        let shows = ["", "<show>chat</show>", "<show>away</show>", "<show>xa</show>", "<show>dnd</show>"];
        let one = ("[a-c]{1,2}", any::<bool>(), -1i8..2, proptest::sample::select(shows.to_vec()), 0..3);
        let one = one.prop_map(|(name, available, priority, show, second)| {
            let kind = if available { "" } else { " type='unavailable'" };
            let delay = format!("<delay xmlns='urn:xmpp:delay' stamp='2026-01-01T00:00:0{second}Z'/>");
            resource(&name, &format!("<presence{kind}><priority>{priority}</priority>{show}{delay}</presence>"))
        });
        proptest::collection::vec(one, 0..6)
    }

    proptest! {
        #[test]
        fn nobody_is_more_available(
            (given, shuffled) in resources().prop_flat_map(|given| (Just(given.clone()), Just(given).prop_shuffle()))
        ) {
            let found = most_available(&given);
            prop_assert_eq!(found.is_none(), given.is_empty());
            for other in &given {
                prop_assert!(found.is_some_and(|found| found.rank() >= other.rank()), "{:?} {:?}", found, other);
            }
            let again = most_available(&shuffled);
            prop_assert_eq!(found.map(|found| (found.resource(), found.rank() == again.unwrap().rank())), again.map(|again| (again.resource(), true)));
        }
    }
}
