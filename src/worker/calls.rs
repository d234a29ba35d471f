//! What a worker saw of a call.

use super::Worker;
use super::shown;
use crate::calls;
use crate::link::call_datagram;

impl Worker {
    /// Tells the XMPP process. Nothing can be done about a call for which there is no room: it is shown as it was, until its time is over.
    pub fn call(&self, event: &calls::Event) {
        let mut bytes = Vec::new();
        call_datagram::encode(event, &mut bytes);
        self.tell(event.call.call_id.as_bytes(), &bytes);
    }

    /// The presence server has answered the publication of a call with this id.
    pub fn call_published(&self, id: &[u8]) {
        let Ok(id) = std::str::from_utf8(id) else { return };
        let mut bytes = Vec::new();
        call_datagram::encode_answer(id, &mut bytes);
        self.tell(id.as_bytes(), &bytes);
    }

    fn tell(&self, call: &[u8], bytes: &[u8]) {
        if let Err(error) = self.link.send(bytes)
            && let Some(total) = self.link.shared().counters().calls.add(1)
        {
            log::warn!("what happened to the call {} is not shown: {error:?}; {total} so far", shown(call));
        }
    }
}
