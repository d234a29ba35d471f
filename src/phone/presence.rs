//! What an account shows in each state, as stanzas (RFC 6121 §4.7, XEP-0108, XEP-0163).

use crate::phone::state::Shown;
use crate::xml::XmlWriter;
use crate::xmpp::element::Element;
use crate::xmpp::ns;

/// Values of `<show/>` (RFC 6121 §4.7.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Show {
    /// Without `<show/>`: available.
    Available,
    /// `away`.
    Away,
    /// `chat`.
    Chat,
    /// `dnd`.
    Dnd,
    /// `xa`.
    Xa,
}

/// What one state says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Look {
    /// `<show/>`.
    pub show: Show,
    /// `<status/>`; empty: none.
    pub status: String,
    /// `<priority/>`. A negative one keeps what is for the account, and for no resource of it, away from the phone (RFC 6121 §8.5.2.1.1).
    pub priority: i8,
}

/// What all states say.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Looks {
    /// The phone is there.
    pub online: Look,
    /// It rings; `None`: that is not shown.
    pub ringing: Option<Look>,
    /// It is in a call.
    pub on_the_phone: Look,
    /// Its call is on hold; `None`: that is not shown.
    pub on_hold: Option<Look>,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            online: Look { show: Show::Available, status: String::new(), priority: PRIORITY },
            ringing: None,
            on_the_phone: Look { show: Show::Dnd, status: "On the phone".to_owned(), priority: PRIORITY },
            on_hold: None,
        }
    }
}

/// A phone that cannot answer a chat gets none.
pub const PRIORITY: i8 = -1;

impl Show {
    /// By its name; `online` and `available` are the one without.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "" | "online" | "available" => Self::Available,
            "away" => Self::Away,
            "chat" => Self::Chat,
            "dnd" => Self::Dnd,
            "xa" => Self::Xa,
            _ => return None,
        })
    }

    fn name(self) -> Option<&'static str> {
        match self {
            Self::Available => None,
            Self::Away => Some("away"),
            Self::Chat => Some("chat"),
            Self::Dnd => Some("dnd"),
            Self::Xa => Some("xa"),
        }
    }
}

impl Looks {
    /// What a state looks like; `None` where there is no session. What is not to be shown looks like what comes nearest to it.
    pub fn of(&self, shown: Shown) -> Option<&Look> {
        match shown {
            Shown::Offline => None,
            Shown::Online => Some(&self.online),
            Shown::Ringing => Some(self.ringing.as_ref().unwrap_or(&self.online)),
            Shown::OnThePhone => Some(&self.on_the_phone),
            Shown::OnHold => Some(self.on_hold.as_ref().unwrap_or(&self.on_the_phone)),
        }
    }
}

impl Look {
    /// The presence of it. With `other`, the other side of the call is in its status: only for accounts that want that.
    pub fn presence(&self, other: Option<&str>) -> String {
        let mut xml = XmlWriter::new();
        xml.open("presence");
        if let Some(show) = self.show.name() {
            xml.open("show").text(show).close();
        }
        let status = match other {
            Some(other) if !self.status.is_empty() => [&self.status, ": ", other].concat(),
            Some(_) | None => self.status.clone(),
        };
        if !status.is_empty() {
            xml.open("status").text(&status).close();
        }
        if self.priority != 0 {
            xml.open("priority").text(&self.priority.to_string()).close();
        }
        xml.finish()
    }
}

/// The end of the presence.
pub fn unavailable() -> String {
    let mut xml = XmlWriter::new();
    xml.open("presence").attribute("type", "unavailable");
    xml.finish()
}

/// What a user does, as far as a phone knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Nothing to tell.
    None,
    /// `talking`, `on_the_phone`.
    OnThePhone,
}

impl Activity {
    /// That of a state.
    pub fn of(shown: Shown) -> Self {
        match shown {
            Shown::OnThePhone | Shown::OnHold => Self::OnThePhone,
            Shown::Offline | Shown::Online | Shown::Ringing => Self::None,
        }
    }

    /// What the answer to [`activity_request`] says that the account holds.
    pub fn held(answer: &Element) -> Self {
        let items = answer.child("pubsub", ns::PUBSUB).and_then(|pubsub| pubsub.child("items", ns::PUBSUB));
        let activity = items.and_then(|items| items.child("item", ns::PUBSUB)?.child("activity", ns::ACTIVITY));
        let talking = activity.and_then(|activity| activity.child("talking", ns::ACTIVITY)?.child("on_the_phone", ns::ACTIVITY));
        if talking.is_some() { Self::OnThePhone } else { Self::None }
    }

    /// The IQ that publishes it for the account (XEP-0163 §3). There is one item: the newer takes the place of the older, and an empty one
    /// takes it back (XEP-0108 §2.2).
    pub fn publication(self, id: &str) -> String {
        let mut xml = XmlWriter::new();
        xml.open("iq").attribute("type", "set").attribute("id", id);
        xml.open("pubsub").attribute("xmlns", ns::PUBSUB).open("publish").attribute("node", ns::ACTIVITY);
        xml.open("item").attribute("id", "current").open("activity").attribute("xmlns", ns::ACTIVITY);
        if self == Self::OnThePhone {
            xml.open("talking").open("on_the_phone");
        }
        xml.finish()
    }
}

/// The IQ that asks the account for the activity that it holds (XEP-0060 §6.5).
pub fn activity_request(id: &str) -> String {
    let mut xml = XmlWriter::new();
    xml.open("iq").attribute("type", "get").attribute("id", id).open("pubsub").attribute("xmlns", ns::PUBSUB);
    xml.open("items").attribute("node", ns::ACTIVITY).attribute("max_items", "1");
    xml.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phone_that_is_there_takes_no_chats() {
        let looks = Looks::default();
        assert_eq!(looks.of(Shown::Online).unwrap().presence(None), "<presence><priority>-1</priority></presence>");
        let call = "<presence><show>dnd</show><status>On the phone</status><priority>-1</priority></presence>";
        assert_eq!(looks.of(Shown::OnThePhone).unwrap().presence(None), call);
        assert_eq!(looks.of(Shown::Offline), None);
    }

    #[test]
    fn what_is_not_shown_looks_like_the_state_next_to_it() {
        let looks = Looks::default();
        assert_eq!(looks.of(Shown::Ringing), looks.of(Shown::Online));
        assert_eq!(looks.of(Shown::OnHold), looks.of(Shown::OnThePhone));
        let held = Look { show: Show::Away, status: "a < b".to_owned(), priority: 0 };
        let looks = Looks { on_hold: Some(held), ..looks };
        assert_eq!(
            looks.of(Shown::OnHold).unwrap().presence(None),
            "<presence><show>away</show><status>a &lt; b</status></presence>"
        );
    }

    #[test]
    fn the_other_side_is_named_where_there_is_a_status() {
        let looks = Looks::default();
        let named = looks.of(Shown::OnThePhone).unwrap().presence(Some("Romeo </status>"));
        assert!(named.contains("<status>On the phone: Romeo &lt;/status&gt;</status>"), "{named}");
        assert!(!looks.of(Shown::Online).unwrap().presence(Some("Romeo")).contains("Romeo"));
    }

    #[test]
    fn an_activity_is_published_and_taken_back() {
        let published = |activity: Activity| activity.publication("a1");
        let with = |inner: &str| {
            format!(
                "<iq type='set' id='a1'><pubsub xmlns='http://jabber.org/protocol/pubsub'><publish node='http://jabber.org/protocol/activity'>\
                <item id='current'><activity xmlns='http://jabber.org/protocol/activity'{inner}</item></publish></pubsub></iq>"
            )
        };
        assert_eq!(published(Activity::of(Shown::OnHold)), with("><talking><on_the_phone/></talking></activity>"));
        assert_eq!(published(Activity::of(Shown::Ringing)), with("/>"));
    }
}
