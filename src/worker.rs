//! What a SIP worker does for the gateway: contract only, bodies follow.

use crate::sip;

/// What a script function answers. Only `host/guard.rs` turns it into the `int` of the host, and never into 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptResult {
    /// Done: 1.
    Done,
    /// The request cannot be translated, or a host function failed: -1. The cause is in the log.
    Failed,
    /// The XMPP server is not connected: -2. Nothing was sent.
    XmppDown,
    /// The link to the XMPP process is full: -3. Nothing was sent.
    Busy,
}

/// The worker's side of the gateway: made in mod_init, before the host forks, and never changed after it.
#[derive(Debug)]
pub struct Worker {}

impl Worker {
    /// `xmpp_send_message()`: a MESSAGE becomes `<message/>` (RFC 7572 §5).
    pub fn send_message(&self, request: &sip::Request) -> ScriptResult {
        let _ = request;
        ScriptResult::Failed
    }

    /// `pua_xmpp_notify()`: a NOTIFY whose dialog the host's pua knows becomes presence (RFC 8048 §5.2) or prompts (RFC 3857).
    pub fn notify(&self, request: &sip::Request) -> ScriptResult {
        let _ = request;
        ScriptResult::Failed
    }

    /// `pua_xmpp_req_winfo(request_uri, expires)`: the subscription that tells who watches an XMPP user; the host's pua sends it.
    pub fn winfo_subscription(&self, request_uri: &[u8], expires: &[u8]) -> Option<sip::Subscribe> {
        let _ = (request_uri, expires);
        None
    }

    /// The final reply to a MESSAGE that the XMPP process sent; 408 where none came.
    pub fn message_reply(&self, origin: &sip::Origin, status: u16, reason: &str) {
        let _ = (origin, status, reason);
    }

    /// The final reply to a SUBSCRIBE (presence) that the XMPP process sent; 408 where none came.
    pub fn subscribe_reply(&self, watcher: &[u8], presentity: &[u8], status: u16) {
        let _ = (watcher, presentity, status);
    }
}
