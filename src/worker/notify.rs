//! `pua_xmpp_notify()`, and the replies to SUBSCRIBEs of the XMPP process: an XMPP user watches a SIP user (RFC 8048 §5.2), or the gateway
//! the watchers of an XMPP user (RFC 3857).

use jid::Jid;

use super::ScriptResult;
use super::Worker;
use super::shown;
use crate::address::AddressError;
use crate::gateway::event::Document;
use crate::gateway::event::Event;
use crate::gateway::event::Notify;
use crate::gateway::event::Outcome;
use crate::gateway::event::Published;
use crate::gateway::event::SubscribeReply;
use crate::gateway::event::Watchers;
use crate::process::host::HostError;
use crate::sip;
use crate::sip::BodyError;
use crate::sip::header;
use crate::sip::pidf;
use crate::sip::winfo;
use crate::translate::failure;
use crate::translate::failure::Named;
use crate::translate::failure::Refusal;
use crate::translate::presence;
use crate::translate::watchers;

/// What stands for the reply to a request that was never sent.
const NOT_SENT: u16 = 500;

impl Worker {
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

    /// The host's pua did not take a SUBSCRIBE of the XMPP process: it is tried again later.
    pub fn subscribe_refused(&self, subscribe: &sip::Subscribe, error: HostError) {
        log::info!("no SUBSCRIBE of {} to {}: {error}", subscribe.watcher, subscribe.presentity);
        if subscribe.event == sip::Event::Presence {
            let reply = sip::Reply::local(Some(NOT_SENT));
            self.subscribe_reply(subscribe.watcher.as_bytes(), subscribe.presentity.as_bytes(), &reply);
        }
    }

    /// The host did not publish a state of the XMPP process.
    pub fn publish_refused(&self, publish: &sip::Publish, error: HostError) {
        log::error!("the presence of {} cannot be published: {error}", publish.presentity);
        self.published(publish.presentity.as_bytes(), publish.id.as_bytes(), Outcome::Failed);
    }

    /// The presence server has answered a PUBLISH of an XMPP user's presence, or nobody has. `replaced` is the entity tag that it went out with, where
    /// the host tells.
    pub fn publish_reply(&self, presentity: &[u8], id: &[u8], reply: &sip::Reply, replaced: &[u8]) {
        match reply.status {
            // pua publishes it anew by itself, or it has ended.
            412 => {}
            200..300 if reply.expires == Some(0) => {}
            200..300 => {
                let (entity_tag, replaced) = (reply.entity_tag.clone(), sip::entity_tag(replaced));
                self.published(presentity, id, Outcome::Stored { entity_tag, replaced });
            }
            _ => self.published(presentity, id, Outcome::Failed),
        }
    }

    fn published(&self, presentity: &[u8], id: &[u8], outcome: Outcome) {
        let user = self.addresses.sip_to_jid_loosely(presentity).map(|jid| jid.into_bare().into_inner());
        let texts = [presentity, id].map(|text| std::str::from_utf8(text).map(str::to_owned));
        if let (Ok(user), [Ok(presentity), Ok(id)]) = (user, texts) {
            self.send_event(&Event::Published(Published { user, presentity, id, outcome }));
        }
    }

    /// The presence server of this host could not tell the watchers of an XMPP user of a decision.
    pub fn watchers_not_told(&self, presentity: &sip::Uri, error: HostError) {
        log::warn!("the watchers of {presentity} cannot be told of a decision now: {error}");
        self.send_event(&Event::WatchersNotTold(presentity.to_string()));
    }

    /// The final reply to a SUBSCRIBE (presence) that the XMPP process sent, or what stands for one where none came.
    pub fn subscribe_reply(&self, watcher: &[u8], presentity: &[u8], reply: &sip::Reply) {
        let jid = |uri: &[u8]| self.addresses.sip_to_jid_loosely(uri).map(|jid| jid.into_bare().into_inner());
        match (jid(watcher), jid(presentity)) {
            (Ok(watcher), Ok(presentity)) => {
                let error = failure::of_reply(reply, &self.addresses);
                let (text, address) = error.map_or((None, None), |error| (error.text, error.address));
                let sip::Reply { status, retry_after, expires, min_expires, .. } = *reply;
                let dialog = reply.dialog.clone();
                let reply =
                    SubscribeReply { watcher, presentity, status, text, address, retry_after, expires, dialog, min_expires };
                self.send_event(&Event::SubscribeReply(reply));
            }
            (Err(error), _) | (_, Err(error)) => log::error!("a reply to SUBSCRIBE names no XMPP user: {error}"),
        }
    }

    fn presence_event(&self, request: &sip::Request) -> Result<Event, NotifyError> {
        let state = request.subscription_state.as_deref().unwrap_or_default();
        let (retry_after, expires) = (header::retry_after(state), header::time_left(state));
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
            dialog: sip::dialog_name(&request.call_id, &request.from_tag),
            cseq: request.cseq,
            state,
            retry_after,
            expires,
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
        Ok(Event::Watchers(Watchers {
            presentity: presentity.into_inner(),
            waiting: watchers::waiting(&document, &self.addresses),
            given_up: watchers::given_up(&document, &self.addresses),
            document: Some(Document {
                call_id: String::from_utf8_lossy(&request.call_id).into_owned(),
                version: document.version,
                state: document.state,
            }),
        }))
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
