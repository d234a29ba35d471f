//! What a SIP worker does for the gateway: it translates in parallel with the others, and ships finished bytes.
//!
//! Nothing here waits, and nothing is remembered from one request to the next; what needs memory is said to the XMPP process as an
//! [`Event`](crate::gateway::event::Event).

mod calls;
mod message;
mod notify;
mod result;
mod send;
mod subscribe;
mod watchers;

use crate::address::Addresses;
use crate::config::Config;
use crate::config::ContactLamp;
use crate::config::PresenceMode;
use crate::gateway::entity::Entity;
use crate::link::Sender;
use crate::sip;

pub use self::result::ScriptResult;
pub use self::subscribe::Subscription;
pub use self::watchers::Judgement;

/// The worker's side of the gateway: made in mod_init, before the host forks, and never changed after it.
#[derive(Debug)]
pub struct Worker {
    addresses: Addresses,
    link: Sender,
    presence_mode: PresenceMode,
    /// XMPP users are lamps where the gateway is the notifier.
    serves_contact_lamps: bool,
    /// And at the presence server of this host.
    publishes_contact_lamps: bool,
    /// Stanzas that may wait for one peer domain.
    queue_size: u32,
    /// Who watches the watchers: From of presence.winfo subscriptions.
    winfo_watcher: sip::Uri,
    /// Where SIP watchers send what follows in their dialogs.
    contact: sip::Uri,
    /// What presence says of a SIP user's capabilities, as an element.
    caps: String,
}

impl Worker {
    /// Takes the workers' end of the link.
    pub fn new(config: &Config, link: Sender) -> Self {
        let (addresses, queue_size) = (config.addresses.clone(), config.queue.size);
        Self {
            addresses,
            link,
            presence_mode: config.presence_mode,
            serves_contact_lamps: config.contact_lamp.is_some(),
            publishes_contact_lamps: config.publishes_contact_lamps(),
            queue_size,
            winfo_watcher: config.winfo_watcher(),
            contact: config.server_address.clone(),
            caps: Entity::User.caps(config.contact_lamp.as_ref().and_then(ContactLamp::interest)).to_xml(),
        }
    }
}

/// Bytes of a peer, fit for a log line.
fn shown(bytes: &[u8]) -> impl std::fmt::Display + '_ {
    bytes.get(..200).unwrap_or(bytes).escape_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressError;
    use crate::config::Parameters;
    use crate::link;
    use crate::link::shared::StreamState;
    use crate::translate::failure::Refusal;

    #[test]
    fn nothing_is_sent_to_a_domain_that_is_not_allowed_and_its_subscriptions_end() {
        let parameters = Parameters {
            xmpp_domain: Some("sip.example.com".into()),
            xmpp_password: Some("secret".into()),
            server_address: Some("sip:gateway@sip.example.com".into()),
            deny_domain: vec!["*.evil.example".into()],
            ..Parameters::default()
        };
        let (sender, receiver) = link::pair().unwrap();
        let worker = Worker::new(&Config::from_parameters(&parameters).unwrap(), sender);
        receiver.shared().set_stream(0, StreamState::Up);
        for (domain, [sent, notified]) in [
            ("a.evil.example", [ScriptResult::Refused(Refusal::of_address(AddressError::Denied)), ScriptResult::UnknownDialog]),
            ("evil.example", [ScriptResult::Done, ScriptResult::Done]),
        ] {
            let message = sip::Request {
                request_uri: format!("sip:romeo@{domain}").into_bytes(),
                from: b"sip:juliet@sip.example.com".to_vec(),
                body: b"Hi".to_vec(),
                ..sip::Request::default()
            };
            assert_eq!(worker.send_message(&message), sent, "{domain}");
            let notify = sip::Request {
                to: message.request_uri.clone(),
                event: Some(b"presence".to_vec()),
                subscription_state: Some(b"active".to_vec()),
                body: Vec::new(),
                ..message
            };
            assert_eq!(worker.notify(&notify), notified, "{domain}");
            let asked = worker.winfo_subscription(format!("sip:romeo@{domain}").as_bytes(), b"");
            assert_eq!(asked.is_ok(), sent == ScriptResult::Done, "{domain}");
        }
    }
}
