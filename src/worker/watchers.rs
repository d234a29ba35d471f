//! SIP users who watch XMPP users at a presence server: `pua_xmpp_req_winfo()`, and what that server asks and tells (`presence_mode`).

use jid::BareJid;
use jid::Jid;

use super::ScriptResult;
use super::Worker;
use super::shown;
use crate::config::PresenceMode;
use crate::gateway::action::Authorization;
use crate::gateway::event::Event;
use crate::gateway::event::Watchers;
use crate::gateway::watcher::WINFO_EXPIRES;
use crate::process::host::HostError;
use crate::sip;
use crate::translate;
use crate::translate::failure::Refusal;

/// What the presence server is to do with one subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// It is not to an XMPP user whom the gateway answers for.
    NotOurs,
    /// Nothing was decided since the start of the server: it stays as it is. A new one is pending, and one that the presence server knows
    /// from before a restart has its decision.
    Undecided,
    /// The XMPP user decided.
    Decided(Authorization),
}

impl Worker {
    /// `pua_xmpp_req_winfo(request_uri, expires)`: the subscription that tells who watches an XMPP user; the host's pua sends it.
    /// From now on the gateway answers for who may see this user. What else it gives is the result: the log says why.
    pub fn winfo_subscription(&self, request_uri: &[u8], expires: &[u8]) -> Result<sip::Subscribe, ScriptResult> {
        let refused = |error| {
            log::warn!("no watchers of {}: {error}", shown(request_uri));
            ScriptResult::Refused(Refusal::of_address(error))
        };
        let jid = self.addresses.xmpp_user_to_jid(request_uri).map_err(refused)?.into_bare();
        let presentity = translate::uri(self.addresses.jid_to_sip(&jid.clone().into())).map_err(refused)?;
        let expires = match std::str::from_utf8(expires).map(str::trim) {
            Ok("") => WINFO_EXPIRES,
            number => number.ok().and_then(|number| number.parse().ok()).ok_or_else(|| {
                log::warn!("no watchers of {presentity}: expires is \"{}\"; it takes seconds", shown(expires));
                ScriptResult::Failed
            })?,
        };
        self.link.shared().answer_for(jid.as_str());
        Ok(sip::Subscribe { event: sip::Event::PresenceWinfo, presentity, watcher: self.winfo_watcher.clone(), expires })
    }

    /// What became of a subscription of [`Self::winfo_subscription`].
    pub fn winfo_result(&self, subscribe: &sip::Subscribe, sent: Result<(), HostError>) -> ScriptResult {
        match sent {
            Ok(()) => ScriptResult::Done,
            Err(error) => {
                log::warn!("no watchers of {}: the SUBSCRIBE (presence.winfo) cannot be sent: {error}", subscribe.presentity);
                ScriptResult::Failed
            }
        }
    }

    /// The presence server asks for the state of a subscription.
    pub fn judge(&self, watcher: &[u8], presentity: &[u8]) -> Judgement {
        let presentity = match self.presence_mode {
            PresenceMode::None => return Judgement::NotOurs,
            PresenceMode::Pua => self.addresses.sip_to_jid(presentity),
            PresenceMode::Local => self.addresses.xmpp_user_to_jid(presentity),
        };
        let Ok(presentity) = presentity.map(Jid::into_bare) else { return Judgement::NotOurs };
        if self.presence_mode == PresenceMode::Pua && !self.link.shared().answers_for(presentity.as_str()) {
            return Judgement::NotOurs;
        }
        self.decided(watcher, &presentity)
    }

    /// The same for a subscription to dialogs: an XMPP user has none but the lamp (`contact_lamp`), and who may see it may see the other.
    pub fn judge_lamp(&self, watcher: &[u8], presentity: &[u8]) -> Judgement {
        match self.addresses.xmpp_user_to_jid(presentity).map(Jid::into_bare) {
            Ok(presentity) if self.publishes_contact_lamps => self.decided(watcher, &presentity),
            Ok(_) | Err(_) => Judgement::NotOurs,
        }
    }

    fn decided(&self, watcher: &[u8], presentity: &BareJid) -> Judgement {
        match self.addresses.sip_user_to_jid(watcher).map(Jid::into_bare) {
            Ok(watcher) => match self.link.shared().decision(watcher.as_str(), presentity.as_str()) {
                Some(decision) => Judgement::Decided(decision),
                None => Judgement::Undecided,
            },
            // A watcher without a JID of its own can never be let in by the XMPP user: whose JID it would have may see more.
            Err(_) => Judgement::Decided(Authorization::Pending),
        }
    }

    /// Whether a user of the presence server is an XMPP user, for whom no rules document counts (`presence_mode` local).
    pub fn decides_alone(&self, user: &[u8], host: &[u8]) -> bool {
        let uri = [b"sip:".as_slice(), user, b"@", host].concat();
        self.presence_mode == PresenceMode::Local && self.addresses.xmpp_user_to_jid(&uri).is_ok()
    }

    /// Whether the XMPP user has still to decide on this watcher, both as the presence server has them.
    pub fn is_undecided(&self, watcher: &[u8], presentity: &[u8]) -> bool {
        let Ok(presentity) = self.addresses.xmpp_user_to_jid(presentity).map(Jid::into_bare) else { return false };
        let Ok(watcher) = self.addresses.sip_user_to_jid(watcher).map(Jid::into_bare) else { return false };
        self.link.shared().authorization(watcher.as_str(), presentity.as_str()) == Authorization::Pending
    }

    /// The SIP URI of an XMPP user as decisions are told of.
    pub fn presentity_uri(&self, presentity: &[u8]) -> Option<sip::Uri> {
        let jid = self.addresses.xmpp_user_to_jid(presentity).ok()?.into_bare();
        translate::uri(self.addresses.jid_to_sip(&jid.into())).ok()
    }

    /// A SIP user subscribes to the presence of somebody at the presence server of this host (`presence_mode` local), or to the lamp: an XMPP
    /// user who has not decided yet is asked.
    pub fn watched(&self, watcher: &[u8], presentity: &[u8]) {
        let Ok(presentity) = self.addresses.xmpp_user_to_jid(presentity).map(Jid::into_bare) else { return };
        let watcher = match self.addresses.sip_user_to_jid(watcher) {
            Ok(watcher) => watcher.into_bare(),
            Err(error) => {
                log::warn!("{} cannot watch {presentity}: {error}", shown(watcher));
                return;
            }
        };
        let shared = self.link.shared();
        if shared.authorization(watcher.as_str(), presentity.as_str()) == Authorization::Pending {
            shared.answer_for(presentity.as_str());
            let (presentity, waiting, given_up) = (presentity.into_inner(), vec![watcher.into_inner()], Vec::new());
            self.send_event(&Event::Watchers(Watchers { presentity, waiting, given_up, document: None }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::Parameters;
    use crate::link;
    use crate::link::Received;
    use crate::link::datagram;

    #[test]
    fn nobody_is_let_in_under_a_name_that_xmpp_would_change() {
        let parameters = Parameters {
            xmpp_domain: Some("sip.example.com".into()),
            xmpp_password: Some("secret".into()),
            server_address: Some("sip:gateway@sip.example.com".into()),
            ..Parameters::default()
        };
        let (sender, receiver) = link::pair().unwrap();
        let worker = Worker::new(&Config::from_parameters(&parameters).unwrap(), sender);
        receiver.shared().answer_for("juliet@example.net");
        receiver.shared().authorize("admin@sip.example.com", "juliet@example.net", Authorization::Allowed);
        for (watcher, answer) in [
            ("sip:admin@sip.example.com", Authorization::Allowed),
            ("sip:Admin@sip.example.com", Authorization::Allowed),
            ("sip:ad%C2%ADmin@sip.example.com", Authorization::Pending), // U+00AD is shown as nothing
            ("sip:%EF%BD%81dmin@sip.example.com", Authorization::Pending), // U+FF41, a wide letter
            ("sip:admin@other.example.com", Authorization::Pending),
        ] {
            assert_eq!(worker.judge(watcher.as_bytes(), b"sip:juliet@example.net"), Judgement::Decided(answer), "{watcher}");
        }
    }

    #[test]
    fn who_may_see_presence_may_see_the_lamp_and_all_may_see_lamps_of_sip_users() {
        for (contact_lamp, mode, is_judged) in
            [(None, "pua", true), (None, "local", true), (None, "none", false), (Some("off"), "local", false)]
        {
            let parameters = Parameters {
                xmpp_domain: Some("sip.example.com".into()),
                xmpp_password: Some("secret".into()),
                server_address: Some("sip:gateway@sip.example.com".into()),
                presence_mode: Some(mode.into()),
                dialog_event: Some(1),
                contact_lamp: contact_lamp.map(str::to_owned),
                ..Parameters::default()
            };
            let (sender, receiver) = link::pair().unwrap();
            let worker = Worker::new(&Config::from_parameters(&parameters).unwrap(), sender);
            let judged = |presentity: &str| worker.judge_lamp(b"sip:alice@sip.example.com", presentity.as_bytes());
            let wanted = |judgement| if is_judged { judgement } else { Judgement::NotOurs };
            assert_eq!(judged("sip:juliet@example.net"), wanted(Judgement::Undecided), "{mode}");
            receiver.shared().authorize("alice@sip.example.com", "juliet@example.net", Authorization::Refused);
            assert_eq!(judged("sip:juliet@example.net"), wanted(Judgement::Decided(Authorization::Refused)), "{mode}");
            assert_eq!(judged("sip:bob@sip.example.com"), Judgement::NotOurs, "{mode}");
        }
    }

    /// What is heard of a watcher who subscribes at the presence server of this host, and what that is told of the subscription.
    #[test]
    fn an_xmpp_user_is_asked_until_it_has_decided() {
        let parameters = Parameters {
            xmpp_domain: Some("sip.example.com".into()),
            xmpp_password: Some("secret".into()),
            server_address: Some("sip:gateway@sip.example.com".into()),
            presence_mode: Some("local".into()),
            ..Parameters::default()
        };
        let (sender, receiver) = link::pair().unwrap();
        let worker = Worker::new(&Config::from_parameters(&parameters).unwrap(), sender);
        let subscribes = |watcher: &str, presentity: &str| {
            worker.watched(watcher.as_bytes(), presentity.as_bytes());
            let mut inbox = link::Inbox::new();
            receiver.receive(&mut inbox).unwrap();
            let event = |received| match received {
                Received::Event(bytes) => datagram::decode(bytes).unwrap(),
                Received::Stanza(stanza, _) => Event::Stanza(String::from_utf8_lossy(stanza).into_owned()),
            };
            let asked: Vec<_> = inbox.drain().map(event).collect();
            (asked, worker.judge(watcher.as_bytes(), presentity.as_bytes()))
        };
        let [alice, juliet] = ["sip:alice@sip.example.com", "sip:juliet@example.net;user=ip"];
        let question = || {
            let (presentity, waiting) = ("juliet@example.net".into(), vec!["alice@sip.example.com".into()]);
            vec![Event::Watchers(Watchers { presentity, waiting, given_up: Vec::new(), document: None })]
        };
        assert_eq!(subscribes(alice, juliet), (question(), Judgement::Undecided));
        assert_eq!(subscribes(alice, juliet), (question(), Judgement::Undecided));
        for decision in [Authorization::Allowed, Authorization::Refused] {
            receiver.shared().authorize("alice@sip.example.com", "juliet@example.net", decision);
            assert_eq!(subscribes(alice, juliet), (Vec::new(), Judgement::Decided(decision)));
        }
        // One whom an error let go may ask again.
        receiver.shared().authorize("alice@sip.example.com", "juliet@example.net", Authorization::Pending);
        assert_eq!(subscribes(alice, juliet), (question(), Judgement::Decided(Authorization::Pending)));
        assert_eq!(subscribes(alice, "sip:bob@sip.example.com"), (Vec::new(), Judgement::NotOurs));
        assert_eq!(subscribes("sip:mallory@example.org", juliet), (Vec::new(), Judgement::Decided(Authorization::Pending)));
    }
}
