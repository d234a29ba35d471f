//! What a SIP worker does for the gateway: it translates in parallel with the others, and ships finished bytes.
//!
//! Nothing here waits, and nothing is remembered from one request to the next; what needs memory is said to the XMPP process as an
//! [`Event`].

mod subscribe;

use jid::Jid;

use crate::address::AddressError;
use crate::address::Addresses;
use crate::config::Config;
use crate::config::PresenceMode;
use crate::gateway::action::Authorization;
use crate::gateway::entity::Entity;
use crate::gateway::event::Event;
use crate::gateway::event::Notify;
use crate::gateway::event::SubscribeReply;
use crate::link::SendError;
use crate::link::Sender;
use crate::link::datagram;
use crate::process::host::HostError;
use crate::sip;
use crate::sip::BodyError;
use crate::sip::header;
use crate::sip::pidf;
use crate::sip::winfo;
use crate::translate;
use crate::translate::failure;
use crate::translate::failure::Named;
use crate::translate::failure::Refusal;
use crate::translate::message;
use crate::translate::message::StanzaType;
use crate::translate::message::ToXmpp;
use crate::translate::presence;
use crate::translate::watchers;
use crate::xmpp::head::Head;
use crate::xmpp::stanza;
use crate::xmpp::stanza_error::StanzaError;

pub use self::subscribe::Subscription;

/// Lifetime of a presence.winfo subscription where the script names none, in seconds (RFC 3857 §4.3).
const WINFO_EXPIRES: u32 = 3600;

/// What stands for the reply to a request that was never sent.
const NOT_SENT: u16 = 500;

/// What a script function answers. Only `host/guard.rs` turns it into the `int` of the host, and never into 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptResult {
    /// Done: 1.
    Done,
    /// The request cannot be translated: -1. The cause is in the log, and what to reply is in it.
    Refused(Refusal),
    /// A function of the host or of ours failed: -1. The cause is in the log.
    Failed,
    /// The XMPP server is not connected, and nothing waits for it (`queue_size` 0): -2. Nothing was sent.
    XmppDown,
    /// There is no room: the link to the XMPP process is full, the XMPP server does not read, or it is not connected and the queue for it
    /// is full: -3. Nothing was sent.
    Busy,
    /// A NOTIFY of no subscription of ours, or a SUBSCRIBE in no dialog: -4. Its sender is to be told (481, RFC 6665 §4.1.3), and nobody
    /// else.
    UnknownDialog,
}

impl ScriptResult {
    /// What the script can reply; `None` where nothing is wrong.
    pub fn refusal(self) -> Option<Refusal> {
        Some(match self {
            Self::Done => return None,
            Self::Refused(refusal) => refusal,
            Self::Failed => Refusal::BROKEN,
            Self::XmppDown => Refusal::XMPP_DOWN,
            Self::Busy => Refusal::BUSY,
            Self::UnknownDialog => Refusal::UNKNOWN_DIALOG,
        })
    }
}

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

/// The worker's side of the gateway: made in mod_init, before the host forks, and never changed after it.
#[derive(Debug)]
pub struct Worker {
    addresses: Addresses,
    link: Sender,
    presence_mode: PresenceMode,
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
        let server = config.presence_server.as_ref().unwrap_or(&config.server_address);
        let winfo_watcher = sip::Uri::new(address_of_record(server).to_owned()).unwrap_or_else(|| server.clone());
        let (addresses, queue_size) = (config.addresses.clone(), config.queue.size);
        Self {
            addresses,
            link,
            presence_mode: config.presence_mode,
            queue_size,
            winfo_watcher,
            contact: config.server_address.clone(),
            caps: Entity::User.caps().to_xml(),
        }
    }

    /// `xmpp_send_message()`: a MESSAGE becomes `<message/>` (RFC 7572 §5). While the stream is down it is done as well if the stanza
    /// can wait for it.
    pub fn send_message(&self, request: &sip::Request) -> ScriptResult {
        let component = self.component_of(&request.from);
        let stream_is_up = component.is_none_or(|component| self.link.shared().stream_is_up(component));
        if !stream_is_up && self.queue_size == 0 {
            return ScriptResult::XmppDown;
        }
        match message::to_xmpp(request, &self.addresses, StanzaType::Chat) {
            Ok(ToXmpp::Stanza(..)) if stream_is_up && self.output_is_full(component) => self.output_full(request),
            Ok(ToXmpp::Stanza(stanza, wanted)) => {
                // First, so that it is there when the stanza comes back.
                let remembered = wanted.map_or(ScriptResult::Done, |wanted| self.send_event(&Event::Wanted(wanted)));
                if remembered != ScriptResult::Done {
                    return remembered;
                }
                if stream_is_up { self.send_stanza(&stanza) } else { self.queue_stanza(&stanza) }
            }
            Ok(ToXmpp::Nothing(notification)) => {
                let (step, status) = notification.disposition.names();
                log::debug!("MESSAGE {} is a {step} ({status}) that nobody here has asked for", shown(&request.call_id));
                ScriptResult::Done
            }
            Err(error) => {
                log::warn!("MESSAGE {} is not sent to XMPP: {error}", shown(&request.call_id));
                ScriptResult::Refused(Refusal::of_message(error))
            }
        }
    }

    /// `pua_xmpp_notify()`: a NOTIFY whose dialog the host's pua knows becomes presence (RFC 8048 §5.2) or prompts (RFC 3857).
    ///
    /// It is taken while the stream is down, or its server does not read, too: the XMPP process keeps the state, and a refusal would end
    /// the subscription or lose the state.
    pub fn notify(&self, request: &sip::Request) -> ScriptResult {
        let event = match header::event_package(request.event.as_deref().unwrap_or_default()) {
            b"presence" => self.presence_event(request),
            b"presence.winfo" => self.winfo_event(request),
            _ => Err(NotifyError::Event),
        };
        match event {
            Ok(event) => self.send_event(&event),
            // It may be from before the operator's change: nobody here wants the next one either.
            Err(error @ NotifyError::Address(AddressError::Denied)) => {
                log::warn!("NOTIFY {} is not sent to XMPP, and its subscription ends: {error}", shown(&request.call_id));
                ScriptResult::UnknownDialog
            }
            Err(error) => {
                log::warn!("NOTIFY {} is not sent to XMPP: {error}", shown(&request.call_id));
                ScriptResult::Refused(error.refusal(request))
            }
        }
    }

    /// `pua_xmpp_notify()`: a NOTIFY that the host's pua knows no dialog for.
    pub fn unknown_dialog(&self, request: &sip::Request) -> ScriptResult {
        let [call_id, from, to] = [&request.call_id, &request.from, &request.to].map(|text| shown(text));
        log::warn!("NOTIFY {call_id} outside a known dialog, from {from} to {to}");
        ScriptResult::UnknownDialog
    }

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
            PresenceMode::Pua => self.addresses.sip_to_jid(presentity),
            PresenceMode::Local => self.addresses.xmpp_user_to_jid(presentity),
        };
        let Ok(presentity) = presentity.map(Jid::into_bare) else { return Judgement::NotOurs };
        if self.presence_mode == PresenceMode::Pua && !self.link.shared().answers_for(presentity.as_str()) {
            return Judgement::NotOurs;
        }
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

    /// A SIP user subscribes to the presence of somebody at the presence server of this host (`presence_mode` local): an XMPP user who
    /// has not decided yet is asked.
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
            self.send_event(&Event::Watchers { presentity: presentity.into_inner(), waiting: vec![watcher.into_inner()] });
        }
    }

    /// The final reply to a MESSAGE that the XMPP process sent, or what stands for one where none came.
    pub fn message_reply(&self, origin: &sip::Origin, reply: &sip::Reply) {
        if let Some(stanza) = message::failed(origin, reply, &self.addresses, stanza::domain_of(&origin.to)) {
            self.send_stanza(&stanza);
        }
    }

    /// The host's tm did not take a MESSAGE of the XMPP process.
    pub fn message_refused(&self, message: &sip::Message, error: HostError) {
        log::error!("a MESSAGE to {} cannot be sent: {error}", message.to);
        let Some(sip::Origin { from, to, id }) = &message.origin else { return };
        let error = StanzaError::new(error.condition()).with_by(stanza::domain_of(to));
        self.send_stanza(&stanza::error_stanza(stanza::Kind::Message, to, from, id.as_deref(), &error));
    }

    /// The host did not publish a state of the XMPP process.
    pub fn publish_refused(&self, publish: &sip::Publish, error: HostError) {
        log::error!("the presence of {} cannot be published: {error}", publish.presentity);
    }

    /// The host's pua did not take a SUBSCRIBE of the XMPP process: it is tried again later.
    pub fn subscribe_refused(&self, subscribe: &sip::Subscribe, error: HostError) {
        log::info!("no SUBSCRIBE of {} to {}: {error}", subscribe.watcher, subscribe.presentity);
        if subscribe.event == sip::Event::Presence {
            let reply = sip::Reply::local(Some(NOT_SENT));
            self.subscribe_reply(subscribe.watcher.as_bytes(), subscribe.presentity.as_bytes(), &reply);
        }
    }

    /// The final reply to a SUBSCRIBE (presence) that the XMPP process sent, or what stands for one where none came.
    pub fn subscribe_reply(&self, watcher: &[u8], presentity: &[u8], reply: &sip::Reply) {
        let jid = |uri: &[u8]| self.addresses.sip_to_jid_loosely(uri).map(|jid| jid.into_bare().into_inner());
        match (jid(watcher), jid(presentity)) {
            (Ok(watcher), Ok(presentity)) => {
                let error = failure::of_reply(reply, &self.addresses);
                let (text, address) = error.map_or((None, None), |error| (error.text, error.address));
                let (status, retry_after) = (reply.status, reply.retry_after);
                let reply = SubscribeReply { watcher, presentity, status, text, address, retry_after };
                self.send_event(&Event::SubscribeReply(reply));
            }
            (Err(error), _) | (_, Err(error)) => log::error!("a reply to SUBSCRIBE names no XMPP user: {error}"),
        }
    }

    /// The component that speaks for this SIP user. Who none speaks for learns that from the translation.
    fn component_of(&self, from: &[u8]) -> Option<usize> {
        match self.addresses.components() {
            0 | 1 => Some(0),
            _ => self.addresses.sip_to_jid(from).ok().and_then(|jid| self.addresses.component_of(jid.domain().as_str())),
        }
    }

    fn output_is_full(&self, component: Option<usize>) -> bool {
        component.is_some_and(|component| self.link.shared().output_is_full(component))
    }

    fn output_full(&self, request: &sip::Request) -> ScriptResult {
        if let Some(total) = self.link.shared().counters().refused.add(1) {
            let from = shown(&request.from);
            log::warn!("the XMPP server takes nothing now, also not from {from}: {total} messages refused so far");
        }
        ScriptResult::Busy
    }

    fn presence_event(&self, request: &sip::Request) -> Result<Event, NotifyError> {
        let state = request.subscription_state.as_deref().unwrap_or_default();
        let retry_after = header::retry_after(state);
        let state = header::subscription_state(state).ok_or(NotifyError::SubscriptionState)?;
        // We are the notifier's peer: From is who is watched, To is who watches.
        let presentity = self.user_of_dialog(&request.from, self.addresses.sip_user_to_jid(&request.from))?.into_bare();
        let watcher = self.user_of_dialog(&request.to, self.addresses.xmpp_user_to_jid(&request.to))?.into_bare();
        let (display_name, presences) = if request.body.is_empty() {
            (None, Vec::new())
        } else {
            let document = pidf::Document::parse(&request.body).map_err(NotifyError::Pidf)?;
            let language = request.content_language.as_deref().and_then(header::content_language);
            let presences = presence::to_xmpp(&document, presentity.as_str(), watcher.as_str(), language, Some(&self.caps));
            (document.display_name, presences)
        };
        Ok(Event::Notify(Notify {
            watcher: watcher.into_inner(),
            presentity: presentity.into_inner(),
            call_id: String::from_utf8_lossy(&request.call_id).into_owned(),
            cseq: request.cseq,
            state,
            retry_after,
            display_name,
            presences,
        }))
    }

    /// A dialog that the host's pua knows has the names of the time when it began. Where the map has changed since, they may be the
    /// wrong ones of today; the XMPP process knows the subscription, and finds the right ones.
    fn user_of_dialog(&self, uri: &[u8], today: Result<Jid, AddressError>) -> Result<Jid, NotifyError> {
        let jid = match today {
            Err(AddressError::Ambiguous | AddressError::Foreign | AddressError::Loop) if self.addresses.is_mapped() => {
                self.addresses.sip_to_jid_loosely(uri)
            }
            today => today,
        };
        jid.map_err(NotifyError::Address)
    }

    fn winfo_event(&self, request: &sip::Request) -> Result<Event, NotifyError> {
        let presentity = self.user_of_dialog(&request.from, self.addresses.xmpp_user_to_jid(&request.from))?.into_bare();
        if self.addresses.is_sip_user(&presentity.clone().into()) {
            return Err(NotifyError::Address(AddressError::Loop));
        }
        let document = winfo::Document::parse(&request.body).map_err(NotifyError::Winfo)?;
        // The host's pua kept the subscription over a restart of ours.
        self.link.shared().answer_for(presentity.as_str());
        let waiting = watchers::waiting(&document, &self.addresses);
        Ok(Event::Watchers { presentity: presentity.into_inner(), waiting })
    }

    fn send_stanza(&self, stanza: &str) -> ScriptResult {
        self.send(stanza.as_bytes())
    }

    /// Sends a stanza that has to wait, if there is a place for it: the answer is needed now.
    fn queue_stanza(&self, stanza: &str) -> ScriptResult {
        let head = Head::of(stanza.as_bytes());
        let peer = head.as_ref().map_or("", Head::peer);
        let shared = self.link.shared();
        let Some(place) = shared.take_place(peer, stanza.len(), self.queue_size) else {
            if let Some(total) = shared.counters().refused.add(1) {
                log::warn!("the queue for {peer} is full while the XMPP server is away: {total} messages refused so far");
            }
            return ScriptResult::Busy;
        };
        let mut bytes = Vec::new();
        datagram::encode_reserved(stanza, &mut bytes);
        let result = self.send(&bytes);
        if result == ScriptResult::Done {
            // The XMPP process gives it back.
            place.keep();
        }
        result
    }

    fn send_event(&self, event: &Event) -> ScriptResult {
        let mut bytes = Vec::new();
        datagram::encode(event, &mut bytes);
        self.send(&bytes)
    }

    fn send(&self, bytes: &[u8]) -> ScriptResult {
        match self.link.send(bytes) {
            Ok(()) => ScriptResult::Done,
            Err(SendError::Full) => {
                log::warn!("the XMPP process does not keep up: the link to it is full");
                ScriptResult::Busy
            }
            Err(SendError::TooLarge) => {
                log::warn!("a stanza of {} bytes is too large for the link", bytes.len());
                ScriptResult::Refused(Refusal::TOO_LARGE)
            }
            Err(SendError::Socket(errno)) => {
                log::error!("the link to the XMPP process failed: errno {errno}");
                ScriptResult::Failed
            }
        }
    }
}

/// Why a NOTIFY is not for XMPP.
#[derive(Debug)]
enum NotifyError {
    /// Event is neither `presence` nor `presence.winfo`.
    Event,
    /// There is no Subscription-State, or none that RFC 6665 knows.
    SubscriptionState,
    Address(AddressError),
    Pidf(BodyError),
    Winfo(BodyError),
}

impl NotifyError {
    fn refusal(&self, request: &sip::Request) -> Refusal {
        let named = |media_type| match &request.content_type {
            Some(content_type) if !header::is_media_type(content_type, media_type) => Named::Otherwise,
            Some(_) | None => Named::AsSuch,
        };
        match self {
            Self::Event => Refusal::EVENT,
            Self::SubscriptionState => Refusal::SUBSCRIPTION_STATE,
            // From and To: a NOTIFY has no user to be found, so the request itself is wrong.
            Self::Address(_) => Refusal::MALFORMED,
            Self::Pidf(error) => Refusal::of_pidf(*error, named("application/pidf+xml")),
            Self::Winfo(error) => Refusal::of_winfo(*error, named("application/watcherinfo+xml")),
        }
    }
}

impl std::fmt::Display for NotifyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Event => f.write_str("its Event is neither presence nor presence.winfo"),
            Self::SubscriptionState => f.write_str("its Subscription-State is missing or unknown"),
            Self::Address(error) => write!(f, "{error}"),
            Self::Pidf(error) => write!(f, "its PIDF cannot be read: {error}"),
            Self::Winfo(error) => write!(f, "its watcherinfo cannot be read: {error}"),
        }
    }
}

/// A URI without port, parameters and headers: presence servers write From and To of their NOTIFYs without them, and a host's pua finds
/// a dialog only if they are spelled as they were sent.
fn address_of_record(uri: &str) -> &str {
    let host = uri.find('@').or_else(|| uri.find(':')).map_or(0, |at| at.saturating_add(1));
    let address = uri.get(host..).filter(|rest| rest.starts_with('[')).and_then(|rest| rest.find(']')).unwrap_or(0);
    let name = host.saturating_add(address);
    let end = uri.get(name..).and_then(|rest| rest.find([':', ';', '?'])).and_then(|length| name.checked_add(length));
    end.and_then(|end| uri.get(..end)).unwrap_or(uri)
}

/// Bytes of a peer, fit for a log line.
fn shown(bytes: &[u8]) -> impl std::fmt::Display + '_ {
    bytes.get(..200).unwrap_or(bytes).escape_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Parameters;
    use crate::link;
    use crate::link::Received;
    use crate::link::shared::StreamState;

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
        let question =
            || vec![Event::Watchers { presentity: "juliet@example.net".into(), waiting: vec!["alice@sip.example.com".into()] }];
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

    #[test]
    fn an_address_of_record_has_neither_port_nor_parameters() {
        for (uri, address) in [
            ("sip:presence@example.com", "sip:presence@example.com"),
            ("sip:presence@example.com:5060", "sip:presence@example.com"),
            ("sip:presence@127.0.0.1:5060;transport=tcp", "sip:presence@127.0.0.1"),
            ("sip:presence@[2001:db8::1]:5060;lr", "sip:presence@[2001:db8::1]"),
            ("sip:a;b=c@example.com;d=e?f=g@h", "sip:a;b=c@example.com"),
            ("sip:127.0.0.1:5060", "sip:127.0.0.1"),
            ("sip:[::1]", "sip:[::1]"),
            ("sip:example.com;lr", "sip:example.com"),
        ] {
            assert_eq!(address_of_record(uri), address);
        }
    }
}
