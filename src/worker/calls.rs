//! What a worker saw of a call.

use super::Worker;
use super::shown;
use crate::calls;
use crate::calls::What;
use crate::calls::publisher::Publication;
use crate::link::SendError;
use crate::link::call_datagram;
use crate::link::call_notes::CallNote;
use crate::process::host::HostError;

impl Worker {
    /// Tells the XMPP process. Where the link has no room, the end of a call is left as a note; a call of which anything else is lost is
    /// shown as it was, until what happens to it next.
    pub fn call(&self, event: &calls::Event) {
        let mut bytes = Vec::new();
        call_datagram::encode(event, &mut bytes);
        let Err(error) = self.link.send(&bytes) else { return };
        let shared = self.link.shared();
        let ended = if let What::Ended(ending) = event.what { Some(ending) } else { None };
        let note = ended.map(|ending| CallNote::Ended(shared.call_digest(&event.call), ending));
        if !note.is_some_and(|note| shared.leave_call_note(note)) {
            self.count_untold(event.call.call_id.as_bytes(), error);
        }
    }

    /// The host did not take the publication of a call.
    pub fn call_refused(&self, Publication { name, publish, .. }: &Publication, error: HostError) {
        log::error!("a call of {} cannot be published: {error}", publish.presentity);
        if !self.link.shared().leave_call_note(CallNote::Refused(*name)) {
            log::error!("and the XMPP process, which does not keep up, is not told of it");
        }
    }

    /// Has the phone process told of all calls.
    pub fn ask_for_calls(&self) {
        if !self.link.shared().leave_call_note(CallNote::Asked) {
            log::error!("the XMPP process, which does not keep up, does not tell which phones are in a call");
        }
    }

    /// The presence server has answered the publication of a call with this id.
    pub fn call_published(&self, id: &[u8]) {
        let Ok(id) = std::str::from_utf8(id) else { return };
        let mut bytes = Vec::new();
        call_datagram::encode_answer(id, &mut bytes);
        if let Err(error) = self.link.send(&bytes) {
            self.count_untold(id.as_bytes(), error);
        }
    }

    fn count_untold(&self, call: &[u8], error: SendError) {
        if let Some(total) = self.link.shared().counters().calls.add(1) {
            log::warn!("what happened to the call {} is not shown: {error:?}; {total} so far", shown(call));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calls::CallKey;
    use crate::calls::Ending;
    use crate::calls::Event;
    use crate::config::Config;
    use crate::config::Parameters;
    use crate::link;

    #[test]
    fn the_end_of_a_call_is_told_though_the_link_is_full() {
        let parameters = Parameters {
            xmpp_domain: Some("sip.example.com".into()),
            xmpp_password: Some("secret".into()),
            server_address: Some("sip:gateway@sip.example.com".into()),
            ..Parameters::default()
        };
        let (sender, receiver) = link::pair().unwrap();
        while sender.send(&[0; 10_000]).is_ok() {}
        while sender.send(&[0; 16]).is_ok() {}
        let worker = Worker::new(&Config::from_parameters(&parameters).unwrap(), sender);
        let call = CallKey { call_id: "c1@h".into(), from_tag: "f".into(), cseq: 1 };
        let happened = |what| worker.call(&Event { call: call.clone(), what });
        happened(What::Refused { branch: 0, status: 486 });
        happened(What::Ended(Ending::Refused(486)));
        let shared = receiver.shared();
        assert_eq!(shared.take_call_note(), Some(CallNote::Ended(shared.call_digest(&call), Ending::Refused(486))));
        assert_eq!((shared.take_call_note(), shared.counters().calls.total()), (None, 1));
    }
}
