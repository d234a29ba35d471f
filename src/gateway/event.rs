//! What a SIP worker tells the gateway.

use crate::gateway::action::Authorization;
use crate::sip;
use crate::sip::SubscriptionState;
use crate::sip::winfo;
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
    /// SIP users who want to see an XMPP user.
    Watchers(Watchers),
    /// The final reply to a SUBSCRIBE of an XMPP user.
    SubscribeReply(SubscribeReply),
    /// A SUBSCRIBE of a SIP user for an XMPP user: it was answered with 200, so a NOTIFY has to follow.
    Subscribe(Subscribe),
    /// The final reply to a NOTIFY of ours.
    NotifyReply(NotifyReply),
    /// A state was published, or not.
    Published(Published),
    /// The presence server of this host could not judge the watchers of this presentity anew, a SIP URI.
    WatchersNotTold(String),
}

/// What became of a state that was to be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// Whose it is, bare JID.
    pub user: String,
    /// The same as bare SIP URI.
    pub presentity: String,
    /// The id of the publication.
    pub id: String,
    /// Whether it was.
    pub outcome: Outcome,
}

/// Whether a state was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was.
    Stored {
        /// Its entity tag from now on (RFC 3903 §4.1).
        entity_tag: Option<String>,
        /// The one that it had before, where the host tells.
        replaced: Option<String>,
    },
    /// It was not.
    Failed,
}

/// SIP users who want to see an XMPP user: a NOTIFY (presence.winfo) tells of them, or their SUBSCRIBE at the presence server of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watchers {
    /// The XMPP user, bare JID.
    pub presentity: String,
    /// Bare JIDs of those who wait for a decision (pending, waiting).
    pub waiting: Vec<String>,
    /// Bare JIDs of those who have waited too long for the presence server (terminated, giveup).
    pub given_up: Vec<String>,
    /// The document of the NOTIFY; `None` for a SUBSCRIBE.
    pub document: Option<Document>,
}

/// Where a watcherinfo document stands among those of its subscription (RFC 3858 §4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Call-ID of the subscription's dialog.
    pub call_id: String,
    /// Goes up by one with each.
    pub version: u32,
    /// Whether it names all watchers.
    pub state: winfo::State,
}

/// A SUBSCRIBE (presence) of a SIP user for an XMPP user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscribe {
    /// Its dialog.
    pub dialog: sip::Dialog,
    /// Number of its CSeq.
    pub cseq: u32,
    /// The lifetime that the 200 named, in seconds; 0 fetches the state once, or ends the subscription.
    pub expires: u32,
    /// Whether the dialog is a new one.
    pub place: Place,
}

/// Where a SUBSCRIBE stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It makes its dialog.
    Initial {
        /// The SIP user who watches, bare JID.
        watcher: String,
        /// The XMPP user, bare JID.
        presentity: String,
        /// What the XMPP user decided on this watcher, as far as that is kept.
        decision: Authorization,
    },
    /// It refreshes or ends the subscription of its dialog.
    InDialog,
}

/// The final reply to a NOTIFY of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotifyReply {
    /// The number of the NOTIFY.
    pub number: u64,
    /// SIP status; 408 where none came.
    pub status: u16,
    /// Retry-After, in seconds.
    pub retry_after: Option<u32>,
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
    /// The lifetime that a 2xx granted, in seconds; 0 leaves no subscription.
    pub expires: Option<u32>,
    /// The dialog of a 2xx, by the same name as in [`Notify`].
    pub dialog: Option<String>,
    /// The lifetime that a 423 wants at the least, in seconds.
    pub min_expires: Option<u32>,
}

/// What a NOTIFY (presence) says, already translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// The XMPP user who watches, bare JID.
    pub watcher: String,
    /// The SIP user, bare JID.
    pub presentity: String,
    /// The subscription's dialog: see [`sip::dialog_name`].
    pub dialog: String,
    /// CSeq of the NOTIFY: a lower one of the same dialog came late.
    pub cseq: u32,
    /// What it says of the subscription.
    pub state: SubscriptionState,
    /// How many seconds it wants no new SUBSCRIBE, where it says that the subscription is over.
    pub retry_after: Option<u32>,
    /// How many seconds of the subscription are left, where it says so.
    pub expires: Option<u32>,
    /// What the presentity is called, if it says so.
    pub display_name: Option<String>,
    /// One finished `<presence/>` per tuple; empty where the NOTIFY had no body.
    pub presences: Vec<TuplePresence>,
}
