//! `xmpp_send_message()`, and the replies to MESSAGEs of the XMPP process (RFC 7572).

use super::ScriptResult;
use super::Worker;
use super::shown;
use crate::gateway::event::Event;
use crate::process::host::HostError;
use crate::sip;
use crate::translate::failure::Refusal;
use crate::translate::message;
use crate::translate::message::StanzaType;
use crate::translate::message::ToXmpp;
use crate::xmpp::stanza;
use crate::xmpp::stanza_error::StanzaError;

impl Worker {
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
}
