//! Presence of SIP users on its way to XMPP contacts, with their calls in it.
//!
//! It stands at the gateway's exit: whatever presence of a SIP user leaves it is remembered as it is, and goes out with the call mixed in. When
//! the call changes, what was remembered goes out again; when it is over, as it was. So subscriptions know nothing of calls, and who may see
//! a user's presence sees the calls too, and nobody else.
//!
//! A contact who sees no available presence of a user in a call, as most phones publish none, sees the resource [`call::RESOURCE`].

use std::collections::BTreeMap;
use std::collections::HashMap;

use crate::config::CallPresence;
use crate::translate::call;
use crate::translate::call::UserCall;
use crate::xmpp::head::Head;
use crate::xmpp::stanza::Kind;

/// Pairs of user and contact that are remembered at the most. Further contacts see presence without calls.
pub const MAX_PAIRS: usize = 200_000;

/// Resources of one of them.
const MAX_RESOURCES: usize = 32;

/// The SIP users whom XMPP contacts see, and their calls.
#[derive(Debug)]
pub struct InCall {
    /// `None`: calls are not told.
    wanted: Option<CallPresence>,
    /// By bare JID.
    users: HashMap<String, User>,
    pairs: usize,
}

#[derive(Debug, Default)]
struct User {
    call: Option<UserCall>,
    /// By bare JID.
    contacts: BTreeMap<String, Contact>,
}

#[derive(Debug, Default)]
struct Contact {
    /// The available presence, by resource, as it was published.
    available: BTreeMap<String, String>,
    /// Sees the resource that stands for the call.
    sees_call: bool,
}

impl InCall {
    /// Knows nobody yet.
    pub fn new(wanted: Option<CallPresence>) -> Self {
        Self { wanted, users: HashMap::new(), pairs: 0 }
    }

    /// A stanza leaves the gateway: what goes out for it, in order. Whose presence it may be `is_user` says of a bare JID.
    pub fn outgoing(&mut self, stanza: String, is_user: impl Fn(&str) -> bool) -> Vec<String> {
        let Some(wanted) = self.wanted.as_ref().filter(|_| stanza.starts_with("<presence")) else { return vec![stanza] };
        let Some(head) = Head::of(stanza.as_bytes()).filter(|head| head.kind == Kind::Presence) else { return vec![stanza] };
        let (from, resource) = head.from.split_once('/').map_or((&*head.from, ""), |(bare, resource)| (bare, resource));
        let to = head.to.split('/').next().unwrap_or_default();
        if !from.contains('@') || to.is_empty() {
            return vec![stanza];
        }
        let kind = head.stanza_type.as_deref();
        let known = self.users.get(from).is_some_and(|user| user.contacts.contains_key(to));
        match kind {
            None | Some("subscribed") if !known && (self.pairs >= MAX_PAIRS || !is_user(from)) => return vec![stanza],
            None | Some("subscribed") => {}
            Some("unavailable" | "unsubscribed") if known => {}
            Some(_) => return vec![stanza],
        }
        if !known {
            self.pairs = self.pairs.saturating_add(1);
        }
        let user = self.users.entry(from.to_owned()).or_default();
        let contact = user.contacts.entry(to.to_owned()).or_default();
        let mut out = Vec::new();
        match kind {
            None => {
                let mixed = user.call.as_ref().map(|call| call::mixed(&stanza, call, wanted));
                if contact.available.len() < MAX_RESOURCES || contact.available.contains_key(resource) {
                    contact.available.insert(resource.to_owned(), stanza.clone());
                }
                out.push(mixed.unwrap_or_else(|| stanza.clone()));
            }
            Some("unsubscribed") => {
                user.contacts.remove(to);
                self.pairs = self.pairs.saturating_sub(1);
                if user.contacts.is_empty() && user.call.is_none() {
                    self.users.remove(from);
                }
                return vec![stanza];
            }
            Some("unavailable") if resource.is_empty() => {
                contact.available.clear();
                out.push(stanza.clone());
            }
            Some("unavailable") => {
                contact.available.remove(resource);
                out.push(stanza.clone());
            }
            Some(_) => out.push(stanza.clone()),
        }
        contact.show_alone(from, to, user.call.as_ref(), wanted, &mut out);
        out
    }

    /// A user, by bare JID, is in another call than before, or in none: what goes out for it.
    pub fn changed(&mut self, user: &str, call: Option<UserCall>) -> Vec<String> {
        let Some(wanted) = &self.wanted else { return Vec::new() };
        if call.is_none() && !self.users.contains_key(user) {
            return Vec::new();
        }
        let known = self.users.entry(user.to_owned()).or_default();
        known.call = call;
        let mut out = Vec::new();
        for (to, contact) in &mut known.contacts {
            let again =
                |stanza: &String| known.call.as_ref().map_or_else(|| stanza.clone(), |call| call::mixed(stanza, call, wanted));
            out.extend(contact.available.values().map(again));
            // It is said again: it may be another call.
            contact.sees_call &= known.call.is_none() || !contact.available.is_empty();
            contact.show_alone(user, to, known.call.as_ref(), wanted, &mut out);
        }
        if known.contacts.is_empty() && known.call.is_none() {
            self.users.remove(user);
        }
        out
    }

    /// The XMPP server has accepted the component of this domain, and knows nothing of its users: the gateway tells their presence anew, and
    /// here is what stands for calls alone.
    pub fn stream_up(&mut self, domain: &str) -> Vec<String> {
        let Some(wanted) = &self.wanted else { return Vec::new() };
        let mut out = Vec::new();
        for (from, user) in self.users.iter_mut().filter(|(from, _)| from.rsplit('@').next() == Some(domain)) {
            for (to, contact) in &mut user.contacts {
                contact.sees_call = false;
                contact.show_alone(from, to, user.call.as_ref(), wanted, &mut out);
            }
        }
        out
    }
}

impl Contact {
    /// The resource that stands for a call comes and goes.
    fn show_alone(&mut self, from: &str, to: &str, call: Option<&UserCall>, wanted: &CallPresence, out: &mut Vec<String>) {
        match call.filter(|_| self.available.is_empty()) {
            Some(call) if !self.sees_call => {
                out.push(call::alone(from, to, call, wanted));
                self.sees_call = true;
            }
            None if self.sees_call => {
                out.push(call::over(from, to));
                self.sees_call = false;
            }
            Some(_) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::call::Phase;

    const USER: &str = "romeo@sip.example.com";

    fn in_call() -> InCall {
        let wanted = CallPresence {
            ringing: "Ringing".into(),
            talking: "On the phone".into(),
            on_hold: "On hold".into(),
            remote_party: false,
        };
        InCall::new(Some(wanted))
    }

    fn call(phase: Phase) -> Option<UserCall> {
        Some(UserCall { phase, other: "bob".into() })
    }

    fn presence(resource: &str, kind: &str, content: &str) -> String {
        let kind = if kind.is_empty() { String::new() } else { format!(" type='{kind}'") };
        format!("<presence from='{USER}{resource}' to='juliet@example.net'{kind}>{content}</presence>")
    }

    #[test]
    fn what_was_published_is_mixed_with_the_call_and_comes_back() {
        let mut in_call = in_call();
        let away = presence("/desk", "", "<show>away</show>");
        assert_eq!(in_call.outgoing(away.clone(), |_| true), std::slice::from_ref(&away));
        let [talking] = &in_call.changed(USER, call(Phase::Talking))[..] else { panic!() };
        assert!(talking.contains("<show>dnd</show><status>On the phone</status>") && !talking.contains("away"), "{talking}");
        // Published in the middle of it.
        let chat = presence("/desk", "", "<show>chat</show>");
        let [mixed] = &in_call.outgoing(chat.clone(), |_| true)[..] else { panic!() };
        assert!(mixed.contains("<show>dnd</show>"), "{mixed}");
        assert_eq!(in_call.changed(USER, None), [chat]);
        assert_eq!(in_call.changed(USER, None), [presence("/desk", "", "<show>chat</show>")]);
    }

    #[test]
    fn who_publishes_nothing_has_a_resource_for_the_call() {
        let mut in_call = in_call();
        let subscribed = presence("", "subscribed", "");
        assert_eq!(in_call.outgoing(subscribed.clone(), |_| true), [subscribed]);
        let [ringing] = &in_call.changed(USER, call(Phase::Ringing))[..] else { panic!() };
        assert!(ringing.contains("/call'") && ringing.contains("<status>Ringing</status>"), "{ringing}");
        let [talking] = &in_call.changed(USER, call(Phase::Talking))[..] else { panic!() };
        assert!(talking.contains("<show>dnd</show>"), "{talking}");
        // Something is published now: the call is shown there.
        let out = in_call.outgoing(presence("/desk", "", ""), |_| true);
        assert!(out.len() == 2 && out[0].contains("/desk'") && out[0].contains("dnd") && out[1].contains("/call' "), "{out:?}");
        let out = in_call.outgoing(presence("/desk", "unavailable", ""), |_| true);
        assert!(out.len() == 2 && out[1].contains("/call'") && out[1].contains("dnd"), "{out:?}");
        assert_eq!(in_call.stream_up("sip.example.com").len(), 1);
        assert_eq!(in_call.stream_up("example.org").len(), 0);
        let [over] = &in_call.changed(USER, None)[..] else { panic!() };
        assert!(over.contains("type='unavailable'"));
        assert_eq!(in_call.changed(USER, None), [""; 0]);
    }

    #[test]
    fn nobody_sees_a_call_who_does_not_see_presence() {
        let mut in_call = in_call();
        assert_eq!(in_call.changed(USER, call(Phase::Talking)), [""; 0]);
        for other in
            [presence("", "subscribe", ""), presence("", "unavailable", ""), presence("", "probe", ""), "<message/>".into()]
        {
            assert_eq!(in_call.outgoing(other.clone(), |_| true), [other]);
        }
        let xmpp = presence("", "", "");
        assert_eq!(in_call.outgoing(xmpp.clone(), |_| false), [xmpp]);
        assert_eq!(in_call.outgoing(presence("", "subscribed", ""), |_| true).len(), 2);
        assert_eq!(in_call.outgoing(presence("", "unsubscribed", ""), |_| true).len(), 1);
        assert_eq!(in_call.changed(USER, call(Phase::OnHold)), [""; 0]);
        assert_eq!(in_call.changed(USER, None), [""; 0]);
        assert_eq!((in_call.pairs, in_call.users.len()), (0, 0));
    }

    #[test]
    fn where_calls_are_not_told_nothing_is_kept() {
        let mut off = InCall::new(None);
        assert_eq!(off.outgoing(presence("/desk", "", ""), |_| true).len(), 1);
        assert_eq!(off.changed(USER, call(Phase::Talking)), [""; 0]);
        assert_eq!(off.users.len(), 0);
    }
}
