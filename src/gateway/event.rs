//! What a SIP worker tells the gateway.

use crate::sip::SubscriptionState;
use crate::translate::disposition::Wanted;
use crate::translate::presence::TuplePresence;

/// One event from the SIP side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A finished stanza: to be written as it is.
    Stanza(String),
    /// What to remember of the stanza that follows: its sender wants to know if it is not delivered.
    Wanted(Wanted),
    /// A NOTIFY (presence) of a subscription that an XMPP user holds.
    Notify(Notify),
    /// A NOTIFY (presence.winfo): SIP users who want to see an XMPP user.
    Watchers {
        /// The XMPP user, bare JID.
        presentity: String,
        /// Bare JIDs of the watchers that wait for a decision (pending, waiting).
        waiting: Vec<String>,
    },
    /// The final reply to a SUBSCRIBE of an XMPP user.
    SubscribeReply(SubscribeReply),
}

/// The final reply to a SUBSCRIBE of an XMPP user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribeReply {
    /// The XMPP user who watches, bare JID.
    pub watcher: String,
    /// The SIP user, bare JID.
    pub presentity: String,
    /// SIP status; 408 where none came.
    pub status: u16,
    /// Its reason phrase.
    pub text: Option<String>,
    /// Where the SIP user can be reached instead, as a URI: from the Contact of a 3xx.
    pub address: Option<String>,
    /// Retry-After, in seconds.
    pub retry_after: Option<u32>,
}

/// What a NOTIFY (presence) says, already translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// The XMPP user who watches, bare JID.
    pub watcher: String,
    /// The SIP user, bare JID.
    pub presentity: String,
    /// Call-ID of the subscription's dialog.
    pub call_id: String,
    /// CSeq of the NOTIFY: a lower one of the same dialog came late.
    pub cseq: u32,
    /// What it says of the subscription.
    pub state: SubscriptionState,
    /// How many seconds it wants no new SUBSCRIBE, where it says that the subscription is over.
    pub retry_after: Option<u32>,
    /// What the presentity is called, if it says so.
    pub display_name: Option<String>,
    /// One finished `<presence/>` per tuple; empty where the NOTIFY had no body.
    pub presences: Vec<TuplePresence>,
}
