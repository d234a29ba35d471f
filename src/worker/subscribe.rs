//! `xmpp_handle_subscribe()`: a SIP user watches an XMPP user, and the gateway is the notifier (RFC 6665 §4.2).
//!
//! The worker judges the request and the host answers it; who knows the state, and sends the NOTIFYs, is the XMPP process. So that the
//! first NOTIFY does not overtake the 200, the process hears of the request after the answer.

use std::fmt;

use super::ScriptResult;
use super::Worker;
use super::shown;
use crate::gateway::event::Event;
use crate::gateway::event::NotifyReply;
use crate::gateway::event::Place;
use crate::gateway::event::Subscribe;
use crate::process::host::HostError;
use crate::sip;
use crate::sip::HeaderName;
use crate::sip::Headers;
use crate::sip::Package;
use crate::sip::dialog::Parts;
use crate::sip::header;
use crate::translate::failure::Refusal;
use crate::translate::message::ToXmppError;

/// The lifetime of a subscription that asks for none, and the longest there is, in seconds (RFC 3856 §6.4).
const EXPIRES: u32 = 3600;

/// The shortest lifetime; [`Refusal::INTERVAL_TOO_BRIEF`] names it.
const MIN_EXPIRES: u32 = 60;

/// A SUBSCRIBE that is to be answered with 200.
#[derive(Debug)]
pub struct Subscription {
    /// Expires and Contact of the 200.
    pub headers: Headers,
    event: Subscribe,
}

impl Worker {
    /// Judges a SUBSCRIBE. `tag` is asked for the tag that the host puts into To of its reply, if the request has none. What else it gives is
    /// the result: the log says why.
    pub fn subscription(
        &self,
        request: &sip::Request,
        tag: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Result<Subscription, ScriptResult> {
        self.judged(request, tag).map_err(|error| {
            let level = if matches!(error, Error::Tag) { log::Level::Error } else { log::Level::Warn };
            log::log!(level, "SUBSCRIBE {} of {} is refused: {error}", shown(&request.call_id), shown(&request.from));
            error.result()
        })
    }

    /// The host has answered it, or could not.
    pub fn subscribed(&self, subscription: Subscription, replied: Result<(), HostError>) -> ScriptResult {
        let dialog = &subscription.event.dialog;
        let place = subscription.event.place.clone();
        let made = subscription.event.expires > 0 && place != Place::InDialog;
        if let Err(error) = replied {
            log::error!("SUBSCRIBE {} cannot be answered: {error}", dialog.call_id());
            if made {
                self.link.shared().end_dialog(dialog);
            }
            return ScriptResult::Failed;
        }
        if let Place::Initial { presentity, .. } = &place
            && made
        {
            self.link.shared().answer_for(presentity);
        }
        let dialog = dialog.clone();
        if self.send_event(&Event::Subscribe(subscription.event)) != ScriptResult::Done {
            // It has had its 200. Without this dialog the next request in it is answered with 481, and it begins anew.
            self.link.shared().end_dialog(&dialog);
        }
        ScriptResult::Done
    }

    /// The final reply to a NOTIFY that the XMPP process sent, or what stands for one where none came.
    pub fn notify_reply(&self, number: u64, reply: &sip::Reply) {
        let (status, retry_after) = (reply.status, reply.retry_after);
        self.send_event(&Event::NotifyReply(NotifyReply { number, status, retry_after }));
    }

    /// The host's tm did not take a NOTIFY of the XMPP process: as if nobody had answered.
    pub fn notify_refused(&self, notify: &sip::Notify, error: HostError) {
        log::error!("no NOTIFY to {}: {error}", notify.dialog.remote_target());
        self.notify_reply(notify.number, &sip::Reply::local(None));
    }

    fn judged(&self, request: &sip::Request, tag: impl FnOnce() -> Option<Vec<u8>>) -> Result<Subscription, Error> {
        let event = request.event.as_deref().unwrap_or_default();
        let served = |package: &Package| *package == Package::Presence || self.serves_contact_lamps;
        let wrong = if self.serves_contact_lamps { Error::EventOrLamp } else { Error::Event };
        let package = Package::of(header::event_package(event)).filter(served).ok_or(wrong)?;
        if request.accept.as_deref().is_some_and(|accept| !header::accepts(accept, package.content_type())) {
            return Err(Error::Accept(package));
        }
        let asked = request.expires.as_deref().map_or(Some(EXPIRES), header::expires).ok_or(Error::Expires)?;
        if (1..MIN_EXPIRES).contains(&asked) {
            return Err(Error::TooBrief);
        }
        let expires = asked.min(EXPIRES);
        let in_dialog = !request.to_tag.is_empty();
        let local_tag = if in_dialog { request.to_tag.clone() } else { tag().ok_or(Error::Tag)? };
        let routes = header::bracketed_uris(&request.record_route).ok_or(Error::Dialog)?;
        let parts = Parts {
            call_id: &request.call_id,
            local_tag: &local_tag,
            remote_tag: &request.from_tag,
            local_uri: &request.to,
            remote_uri: &request.from,
            remote_target: request.contact.as_deref().ok_or(Error::Contact)?,
            package,
            event_id: header::event_id(event),
            socket: &request.socket,
        };
        let dialog = sip::Dialog::new(&parts, &routes).ok_or(Error::Dialog)?;
        let place = if in_dialog {
            if !self.link.shared().has_dialog(&dialog) {
                return Err(if self.link.shared().awaits_dialogs() { Error::Restoring } else { Error::UnknownDialog });
            }
            Place::InDialog
        } else {
            self.initial(request)?
        };
        if !self.link.has_room() || (place != Place::InDialog && expires > 0 && !self.link.shared().begin_dialog(&dialog)) {
            return Err(Error::Busy);
        }
        let mut headers = Headers::default();
        headers.push(HeaderName::Expires, &expires.to_string());
        headers.push(HeaderName::Contact, &["<", &self.contact, ">"].concat());
        Ok(Subscription { headers, event: Subscribe { dialog, cseq: request.cseq, expires, place } })
    }

    fn initial(&self, request: &sip::Request) -> Result<Place, Error> {
        let address = |error| Error::Address(ToXmppError::To(error));
        let presentity = self.addresses.xmpp_user_to_jid(&request.request_uri).map_err(address)?.into_bare().into_inner();
        let address = |error| Error::Address(ToXmppError::From(error));
        let watcher = self.addresses.sip_user_to_jid(&request.from).map_err(address)?.into_bare().into_inner();
        let decision = self.link.shared().authorization(&watcher, &presentity);
        Ok(Place::Initial { watcher, presentity, decision })
    }
}

/// Why a SUBSCRIBE is not taken.
#[derive(Debug, Clone, Copy)]
enum Error {
    /// Event is not `presence`.
    Event,
    /// Nor is it `dialog`.
    EventOrLamp,
    /// Accept has not what its NOTIFYs carry.
    Accept(Package),
    /// Expires is no number.
    Expires,
    TooBrief,
    /// There is no Contact.
    Contact,
    /// Call-ID, tags or URIs cannot be used.
    Dialog,
    /// The dialog is over, or never was one of ours.
    UnknownDialog,
    /// Whether there is such a dialog is not known yet.
    Restoring,
    Address(ToXmppError),
    /// More than the XMPP process takes, or remembers.
    Busy,
    /// The host gave no tag.
    Tag,
}

impl Error {
    fn result(self) -> ScriptResult {
        ScriptResult::Refused(match self {
            Self::Event => Refusal::SUBSCRIBE_EVENT,
            Self::EventOrLamp => Refusal::SUBSCRIBE_EVENT_OR_LAMP,
            Self::Accept(_) => Refusal::NOT_ACCEPTABLE,
            Self::Expires => Refusal::EXPIRES,
            Self::TooBrief => Refusal::INTERVAL_TOO_BRIEF,
            Self::Contact => Refusal::NO_CONTACT,
            Self::Dialog => Refusal::MALFORMED,
            Self::Restoring => Refusal::RESTORING,
            Self::Address(error) => Refusal::of_message(error),
            Self::UnknownDialog => return ScriptResult::UnknownDialog,
            Self::Busy => return ScriptResult::Busy,
            Self::Tag => return ScriptResult::Failed,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Event => "its Event is not presence",
            Self::EventOrLamp => "its Event is neither presence nor dialog",
            Self::Accept(Package::Presence) => "its Accept has no application/pidf+xml",
            Self::Accept(Package::Dialog) => "its Accept has no application/dialog-info+xml",
            Self::Expires => "its Expires is no number",
            Self::TooBrief => "its Expires is too short",
            Self::Contact => "it has no Contact",
            Self::Dialog => "Call-ID, tags, URIs or Record-Route cannot be used",
            Self::UnknownDialog => "there is no such dialog",
            Self::Restoring => "the dialogs from before are not read back yet",
            Self::Address(error) => return error.fmt(f),
            Self::Busy => "the XMPP process does not keep up, or too many SIP users watch",
            Self::Tag => "the SIP server gave no tag for To",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::AddressError;
    use crate::config::Config;
    use crate::config::Parameters;
    use crate::gateway::action::Authorization;
    use crate::link;
    use crate::link::Inbox;
    use crate::link::Received;
    use crate::link::Receiver;
    use crate::link::datagram;

    fn worker() -> (Worker, Receiver) {
        worker_with(None)
    }

    fn worker_with(contact_lamp: Option<&str>) -> (Worker, Receiver) {
        let parameters = Parameters {
            contact_lamp: contact_lamp.map(str::to_owned),
            xmpp_domain: Some("sip.example.com".into()),
            xmpp_password: Some("secret".into()),
            server_address: Some("sip:gateway@sip.example.com".into()),
            ..Parameters::default()
        };
        let (sender, receiver) = link::pair().unwrap();
        (Worker::new(&Config::from_parameters(&parameters).unwrap(), sender), receiver)
    }

    fn request() -> sip::Request {
        sip::Request {
            request_uri: b"sip:romeo@example.net".to_vec(),
            from: b"sip:juliet@sip.example.com".to_vec(),
            from_tag: b"theirs".to_vec(),
            to: b"sip:romeo@example.net".to_vec(),
            call_id: b"1@phone".to_vec(),
            cseq: 1,
            contact: Some(b"sip:juliet@192.0.2.1".to_vec()),
            record_route: b"<sip:p1;lr>, <sip:p2;lr>".to_vec(),
            event: Some(b"presence;id=7".to_vec()),
            ..sip::Request::default()
        }
    }

    fn judged(worker: &Worker, request: &sip::Request) -> Result<Subscription, ScriptResult> {
        worker.subscription(request, || Some(b"ours".to_vec()))
    }

    fn events(receiver: &Receiver) -> Vec<Event> {
        let mut inbox = Inbox::new();
        receiver.receive(&mut inbox).unwrap();
        let event = |received| match received {
            Received::Event(bytes) => datagram::decode(bytes).unwrap(),
            Received::Stanza(stanza, _) => panic!("{}", stanza.escape_ascii()),
        };
        inbox.drain().map(event).collect()
    }

    #[test]
    fn a_subscribe_is_answered_and_then_told() {
        let (worker, receiver) = worker();
        receiver.shared().authorize("juliet@sip.example.com", "romeo@example.net", Authorization::Allowed);
        let subscription = judged(&worker, &request()).unwrap();
        assert_eq!(&*subscription.headers, "Expires: 3600\r\nContact: <sip:gateway@sip.example.com>\r\n");
        assert_eq!(events(&receiver), []);
        assert_eq!(worker.subscribed(subscription, Ok(())), ScriptResult::Done);
        let events = events(&receiver);
        let [Event::Subscribe(Subscribe { dialog, cseq: 1, expires: 3600, place })] = &events[..] else { panic!("{events:?}") };
        let (watcher, presentity) = ("juliet@sip.example.com".into(), "romeo@example.net".into());
        assert_eq!(*place, Place::Initial { watcher, presentity, decision: Authorization::Allowed });
        assert_eq!(dialog.id(), ("1@phone", "ours", "theirs"));
        assert_eq!(dialog.routes().collect::<Vec<_>>(), ["sip:p1;lr", "sip:p2;lr"]);
        assert_eq!((dialog.remote_target(), dialog.event_id()), ("sip:juliet@192.0.2.1", "7"));
        assert!(receiver.shared().answers_for("romeo@example.net"), "the decision will be kept");
    }

    #[test]
    fn only_a_dialog_that_is_alive_is_refreshed() {
        let (worker, receiver) = worker();
        let in_dialog = sip::Request { to_tag: b"ours".to_vec(), cseq: 2, ..request() };
        assert_eq!(judged(&worker, &in_dialog).err(), Some(ScriptResult::UnknownDialog));
        let subscription = judged(&worker, &request()).unwrap();
        let dialog = subscription.event.dialog.clone();
        worker.subscribed(subscription, Ok(()));
        let refreshed = judged(&worker, &in_dialog).unwrap();
        assert_eq!(refreshed.event.place, Place::InDialog);
        receiver.shared().end_dialog(&dialog);
        assert_eq!(judged(&worker, &in_dialog).err(), Some(ScriptResult::UnknownDialog));
    }

    #[test]
    fn a_lamp_is_a_subscription_of_its_own() {
        let (worker, _receiver) = worker();
        let accept = Some(b"application/dialog-info+xml".to_vec());
        let lamp = || sip::Request { event: Some(b"dialog;id=7".to_vec()), accept: accept.clone(), ..request() };
        let subscription = judged(&worker, &lamp()).unwrap();
        let dialog = subscription.event.dialog.clone();
        assert_eq!((dialog.package(), dialog.event_id()), (Package::Dialog, "7"));
        worker.subscribed(subscription, Ok(()));
        let in_dialog = |request| sip::Request { to_tag: b"ours".to_vec(), cseq: 2, ..request };
        assert_eq!(judged(&worker, &in_dialog(lamp())).unwrap().event.place, Place::InDialog);
        assert_eq!(judged(&worker, &in_dialog(request())).err(), Some(ScriptResult::UnknownDialog));
        let pidf = sip::Request { accept: Some(b"application/pidf+xml".to_vec()), ..lamp() };
        assert_eq!(judged(&worker, &pidf).err(), Some(ScriptResult::Refused(Refusal::NOT_ACCEPTABLE)));
    }

    #[test]
    fn where_no_lamp_is_wanted_none_is_served() {
        let (worker, _receiver) = worker_with(Some("off"));
        let lamp = sip::Request { event: Some(b"dialog".to_vec()), ..request() };
        assert_eq!(judged(&worker, &lamp).err(), Some(ScriptResult::Refused(Refusal::SUBSCRIBE_EVENT)));
    }

    #[test]
    fn a_fetch_and_what_could_not_be_answered_leave_no_dialog() {
        let (worker, receiver) = worker();
        let in_dialog = sip::Request { to_tag: b"ours".to_vec(), cseq: 2, ..request() };
        let fetch = judged(&worker, &sip::Request { expires: Some(b"0".to_vec()), ..request() }).unwrap();
        assert_eq!(worker.subscribed(fetch, Ok(())), ScriptResult::Done);
        assert_eq!(judged(&worker, &in_dialog).err(), Some(ScriptResult::UnknownDialog));
        assert_eq!(events(&receiver).len(), 1);
        let subscription = judged(&worker, &request()).unwrap();
        assert_eq!(worker.subscribed(subscription, Err(HostError::Memory)), ScriptResult::Failed);
        assert_eq!(judged(&worker, &in_dialog).err(), Some(ScriptResult::UnknownDialog));
        assert_eq!(events(&receiver), []);
    }

    #[test]
    fn a_lifetime_has_its_limits() {
        let (worker, _receiver) = worker();
        let granted = |expires: Option<&str>| {
            let request = sip::Request { expires: expires.map(|expires| expires.as_bytes().to_vec()), ..request() };
            judged(&worker, &request).map(|subscription| subscription.event.expires)
        };
        for (asked, expires) in
            [(None, 3600), (Some("60"), 60), (Some("7200"), 3600), (Some("99999999999"), 3600), (Some("0"), 0)]
        {
            assert_eq!(granted(asked), Ok(expires), "{asked:?}");
        }
        for asked in ["1", "59"] {
            assert_eq!(granted(Some(asked)), Err(ScriptResult::Refused(Refusal::INTERVAL_TOO_BRIEF)));
        }
        assert_eq!(granted(Some("soon")), Err(ScriptResult::Refused(Refusal::EXPIRES)));
        assert_eq!(Refusal::INTERVAL_TOO_BRIEF.header, format!("Min-Expires: {MIN_EXPIRES}\r\n"));
    }

    #[test]
    fn what_cannot_be_served_is_refused() {
        let (worker, receiver) = worker();
        for (request, refusal) in [
            (sip::Request { event: None, ..request() }, Refusal::SUBSCRIBE_EVENT_OR_LAMP),
            (sip::Request { event: Some(b"reg".to_vec()), ..request() }, Refusal::SUBSCRIBE_EVENT_OR_LAMP),
            (sip::Request { event: Some(b"presence.winfo".to_vec()), ..request() }, Refusal::SUBSCRIBE_EVENT_OR_LAMP),
            (sip::Request { accept: Some(b"text/plain".to_vec()), ..request() }, Refusal::NOT_ACCEPTABLE),
            (sip::Request { contact: None, ..request() }, Refusal::NO_CONTACT),
            (sip::Request { from_tag: Vec::new(), ..request() }, Refusal::MALFORMED),
            (sip::Request { record_route: b"sip:p1".to_vec(), ..request() }, Refusal::MALFORMED),
            (
                sip::Request { from: b"sip:juliet@elsewhere.example".to_vec(), ..request() },
                Refusal::of_message(ToXmppError::From(AddressError::Foreign)),
            ),
            (
                sip::Request { request_uri: b"sip:nurse@sip.example.com".to_vec(), ..request() },
                Refusal::of_message(ToXmppError::To(AddressError::Loop)),
            ),
        ] {
            assert_eq!(judged(&worker, &request).err(), Some(ScriptResult::Refused(refusal)), "{request:?}");
        }
        assert_eq!(events(&receiver), []);
        let any = sip::Request { accept: Some(b"application/xpidf+xml, application/pidf+xml".to_vec()), ..request() };
        assert!(judged(&worker, &any).is_ok());
    }
}
