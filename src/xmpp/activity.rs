//! User activity (XEP-0108), as far as a telephone is concerned: whether somebody is on the phone.
//!
//! It comes by PEP (XEP-0163): an event from the user's bare JID, to who says by its capabilities that it wants it. Some clients and gateways
//! put it into presence, where it counts as well. What is no `talking/on_the_phone` ends it, an empty activity too.

use crate::xmpp::element::Element;
use crate::xmpp::ns;

/// The feature of who wants events of it.
pub const NOTIFY: &str = "http://jabber.org/protocol/activity+notify";

/// What an activity says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// `talking/on_the_phone`, or `on_video_phone`.
    OnThePhone,
    /// Anything else, or that there is none.
    Other,
}

impl Activity {
    /// What a stanza, or the item of an event, says; `None` if it says nothing of it.
    pub fn of(parent: &Element) -> Option<Self> {
        let talking = parent.child("activity", ns::ACTIVITY)?.child("talking", ns::ACTIVITY);
        let phones = ["on_the_phone", "on_video_phone"];
        let is_phone = talking.is_some_and(|talking| phones.iter().any(|phone| talking.child(phone, ns::ACTIVITY).is_some()));
        Some(if is_phone { Self::OnThePhone } else { Self::Other })
    }

    /// What an event of PEP says, a `<message/>`; `None` if it is none, or is of something else. Of several items the last one is the newest.
    pub fn of_event(message: &Element) -> Option<Self> {
        let items = message.child("event", ns::PUBSUB_EVENT)?.children().find(|child| {
            matches!(child.name(), "items" | "purge" | "delete") && child.attribute("node") == Some(ns::ACTIVITY)
        })?;
        let newest = items.children().filter(|child| child.is("item", ns::PUBSUB_EVENT)).last();
        Some(newest.and_then(Self::of).unwrap_or(Self::Other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn activity(content: &str) -> String {
        format!("<activity xmlns='http://jabber.org/protocol/activity'>{content}</activity>")
    }

    fn event(items: &str) -> Option<Activity> {
        let event = format!("<event xmlns='http://jabber.org/protocol/pubsub#event'>{items}</event>");
        Activity::of_event(&Element::parse(&format!("<message type='headline'>{event}</message>")).unwrap())
    }

    #[test]
    fn a_telephone_is_told_from_other_activities() {
        for (content, wanted) in [
            ("<talking><on_the_phone/></talking><text>with my nurse</text>", Activity::OnThePhone),
            ("<talking><on_video_phone/></talking>", Activity::OnThePhone),
            ("<talking/>", Activity::Other),
            ("<relaxing><partying/></relaxing>", Activity::Other),
            ("", Activity::Other),
        ] {
            let stanza = Element::parse(&format!("<presence>{}</presence>", activity(content))).unwrap();
            assert_eq!(Activity::of(&stanza), Some(wanted), "{content}");
        }
        assert_eq!(Activity::of(&Element::parse("<presence><activity/></presence>").unwrap()), None);
    }

    #[test]
    fn an_event_says_what_its_newest_item_says() {
        let item = |content| format!("<item id='1'>{}</item>", activity(content));
        let phone = item("<talking><on_the_phone/></talking>");
        let items = |content: &str| format!("<items node='http://jabber.org/protocol/activity'>{content}</items>");
        for (content, wanted) in [
            (items(&phone), Some(Activity::OnThePhone)),
            (items(&format!("{phone}{}", item(""))), Some(Activity::Other)),
            (items("<retract id='1'/>"), Some(Activity::Other)),
            (items(""), Some(Activity::Other)),
            ("<purge node='http://jabber.org/protocol/activity'/>".into(), Some(Activity::Other)),
            (format!("<items node='http://jabber.org/protocol/mood'>{phone}</items>"), None),
            (String::new(), None),
        ] {
            assert_eq!(event(&content), wanted, "{content}");
        }
        assert_eq!(Activity::of_event(&Element::parse("<message><body>Hi</body></message>").unwrap()), None);
    }
}
