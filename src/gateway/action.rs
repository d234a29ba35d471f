//! What the gateway wants done: the only way its decisions leave it.

use crate::sip;

/// One thing for the XMPP process to do, in the order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Write this stanza to the XMPP server.
    Stanza(String),
    /// Send a MESSAGE; if the host refuses, [`super::Gateway::message_refused`] makes the stanza error.
    Message(sip::Message),
    /// Publish, refresh or take away the state of one resource.
    Publish(sip::Publish),
    /// Subscribe, refresh, fetch or unsubscribe.
    Subscribe(sip::Subscribe),
}
