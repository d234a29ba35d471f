//! The call of a SIP user in presence for XMPP.
//!
//! | call | show | status | user activity (XEP-0108) |
//! | --- | --- | --- | --- |
//! | calling | as published | as published | - |
//! | ringing | as published | `call_status_ringing` | - |
//! | up | dnd | `call_status_talking` | talking, on_the_phone |
//! | up, and held | dnd | `call_status_hold` | talking, on_the_phone |
//!
//! A call that is up has its own show and status in place of the published ones, in each available presence of the user. The finished stanzas
//! that are changed here are those of [`super::presence`]: what they hold is known.

use crate::config::CallPresence;
use crate::xml::XmlWriter;
use crate::xmpp::ns;

/// What a user is doing. What keeps one busier is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Another phone rings for this user's call.
    Calling,
    /// This user's phone rings.
    Ringing,
    /// The call is up, and one of the two holds it.
    OnHold,
    /// The call is up.
    Talking,
}

/// The call of a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserCall {
    /// How far it is.
    pub phase: Phase,
    /// The other side: its name, or else the user part of its address.
    pub other: String,
}

/// The resource that shows the call of a user of whom nothing is published.
pub const RESOURCE: &str = "call";

/// An available presence with the call in it.
pub fn mixed(stanza: &str, call: &UserCall, wanted: &CallPresence) -> String {
    let Some((start, rest)) = stanza.split_once('>') else { return stanza.to_owned() };
    let (start, content) = match start.strip_suffix('/') {
        Some(start) => (start, ""),
        None => (start, rest.strip_suffix("</presence>").unwrap_or(rest)),
    };
    let said = Said::of(call, wanted);
    let mut kept = content.to_owned();
    if said.show.is_some() {
        remove(&mut kept, "show");
    }
    if said.status.is_some() {
        remove(&mut kept, "status");
    }
    [start, ">", &said.show.unwrap_or_default(), &said.status.unwrap_or_default(), &kept, &said.activity, "</presence>"].concat()
}

/// The presence of a user of whom nothing is published, but who is in a call.
pub fn alone(user: &str, watcher: &str, call: &UserCall, wanted: &CallPresence) -> String {
    mixed(&presence(user, watcher, None), call, wanted)
}

/// The end of the former.
pub fn over(user: &str, watcher: &str) -> String {
    presence(user, watcher, Some("unavailable"))
}

fn presence(user: &str, watcher: &str, kind: Option<&str>) -> String {
    let mut xml = XmlWriter::new();
    xml.open("presence").attribute("from", &[user, "/", RESOURCE].concat()).attribute("to", watcher).attribute_if("type", kind);
    xml.finish()
}

/// What a call says, as elements.
struct Said {
    show: Option<String>,
    status: Option<String>,
    activity: String,
}

impl Said {
    fn of(call: &UserCall, wanted: &CallPresence) -> Self {
        let text = match call.phase {
            Phase::Calling => "",
            Phase::Ringing => &*wanted.ringing,
            Phase::OnHold => &*wanted.on_hold,
            Phase::Talking => &*wanted.talking,
        };
        let status = (!text.is_empty()).then(|| {
            let text = if wanted.remote_party { format!("{text} ({})", call.other) } else { text.to_owned() };
            let mut xml = XmlWriter::new();
            xml.open("status").text(&text);
            xml.finish()
        });
        let is_up = matches!(call.phase, Phase::OnHold | Phase::Talking);
        let mut activity = XmlWriter::new();
        activity.open("activity").attribute("xmlns", ns::ACTIVITY).open("talking").open("on_the_phone");
        Self {
            show: is_up.then(|| "<show>dnd</show>".to_owned()),
            status,
            activity: if is_up { activity.finish() } else { String::new() },
        }
    }
}

/// Takes out all elements of this name; text cannot hold a `<`.
fn remove(content: &mut String, name: &str) {
    let (open, end) = (["<", name].concat(), ["</", name, ">"].concat());
    let mut from = 0;
    while let Some(start) = content.get(from..).and_then(|rest| rest.find(&open)).and_then(|at| from.checked_add(at)) {
        let after = content.get(start..).and_then(|rest| rest.strip_prefix(&*open)).unwrap_or_default();
        let is_it = after.starts_with(['>', ' ', '/']);
        let tag = after
            .find('>')
            .and_then(|at| open.len().checked_add(at)?.checked_add(1))
            .and_then(|length| start.checked_add(length));
        let Some(tag) = tag else { return };
        from = tag;
        if !is_it {
            continue;
        }
        let is_empty = content.get(..tag).is_some_and(|text| text.ends_with("/>"));
        let closed = || content.get(tag..)?.find(&end)?.checked_add(tag)?.checked_add(end.len());
        let Some(closed) = (if is_empty { Some(tag) } else { closed() }) else { return };
        content.replace_range(start..closed, "");
        from = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> CallPresence {
        CallPresence {
            ringing: "Ringing".into(),
            talking: "On the <phone>".into(),
            on_hold: "On hold".into(),
            remote_party: false,
        }
    }

    fn call(phase: Phase) -> UserCall {
        UserCall { phase, other: "Bob & Sons".into() }
    }

    const PUBLISHED: &str = "<presence from='r@x/d' to='j@y'><show>away</show><status>out</status><status xml:lang='de'>weg</status>\
                             <priority>5</priority><status/><statuses/></presence>";
    const ACTIVITY: &str = "<activity xmlns='http://jabber.org/protocol/activity'><talking><on_the_phone/></talking></activity>";

    #[test]
    fn a_call_that_is_up_takes_the_place_of_show_and_status() {
        assert_eq!(
            mixed(PUBLISHED, &call(Phase::Talking), &wanted()),
            format!(
                "<presence from='r@x/d' to='j@y'><show>dnd</show><status>On the &lt;phone&gt;</status><priority>5</priority><statuses/>\
                 {ACTIVITY}</presence>"
            )
        );
        assert_eq!(
            mixed("<presence from='r@x/d' to='j@y'/>", &call(Phase::OnHold), &wanted()),
            format!("<presence from='r@x/d' to='j@y'><show>dnd</show><status>On hold</status>{ACTIVITY}</presence>")
        );
    }

    #[test]
    fn what_rings_is_said_and_no_more() {
        assert_eq!(mixed(PUBLISHED, &call(Phase::Calling), &wanted()), PUBLISHED);
        assert_eq!(
            mixed(PUBLISHED, &call(Phase::Ringing), &wanted()),
            "<presence from='r@x/d' to='j@y'><status>Ringing</status><show>away</show><priority>5</priority><statuses/></presence>"
        );
    }

    #[test]
    fn the_other_side_is_named_where_the_operator_wants_it() {
        let named = CallPresence { remote_party: true, talking: "Talking".into(), ..wanted() };
        let stanza = alone("r@x", "j@y", &call(Phase::Talking), &named);
        assert!(
            stanza.starts_with("<presence from='r@x/call' to='j@y'><show>dnd</show><status>Talking (Bob &amp; Sons)</status>")
        );
        let silent = CallPresence { talking: String::new(), ..wanted() };
        assert!(mixed(PUBLISHED, &call(Phase::Talking), &silent).contains("<status>out</status>"));
        assert_eq!(over("r@x", "j@y"), "<presence from='r@x/call' to='j@y' type='unavailable'/>");
    }

    #[test]
    fn what_is_cut_off_does_not_harm() {
        for stanza in ["", "<presence", "<presence>", "<presence><show>away", "<presence><status"] {
            mixed(stanza, &call(Phase::Talking), &wanted());
        }
    }
}
