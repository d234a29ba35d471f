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
    /// End what the presence server has under an entity tag that the host's pua may have forgotten; it is no error if there is nothing.
    Withdraw(sip::Withdrawal),
    /// Publish, refresh or take away the lamp of an XMPP user: a document of the event "dialog", in the presence server of this host.
    Lamp(sip::Publish),
    /// Subscribe, refresh, fetch or unsubscribe.
    Subscribe(sip::Subscribe),
    /// Send a NOTIFY to a SIP watcher; if the host refuses, [`super::Gateway::notify_refused`] ends the dialog.
    Notify(sip::Notify),
    /// A dialog that a SIP watcher made with us is over: further requests in it are answered with 481.
    EndDialog(sip::Dialog),
    /// Have the presence server ask again who may see this XMPP user, and tell the watchers.
    TellWatchers(sip::Uri),
    /// Keep what an XMPP user decided on a SIP watcher, and have the presence server ask again and tell the watcher.
    Authorize {
        /// The SIP user who wants to see, bare JID.
        watcher: String,
        /// The XMPP user who decided, bare JID.
        presentity: String,
        /// The same user, bare SIP URI.
        presentity_uri: sip::Uri,
        /// What was decided.
        decision: Authorization,
        /// What led to it.
        occasion: Occasion,
    },
}

impl Action {
    /// The stanza, if that is what is to be written.
    pub(crate) fn stanza(&self) -> Option<&str> {
        match self {
            Self::Stanza(stanza) => Some(stanza),
            Self::Message(_)
            | Self::Publish(_)
            | Self::Withdraw(_)
            | Self::Lamp(_)
            | Self::Subscribe(_)
            | Self::Notify(_)
            | Self::EndDialog(_)
            | Self::TellWatchers(_)
            | Self::Authorize { .. } => None,
        }
    }

    /// Whether SIP requests come of it.
    pub(super) fn is_sip_traffic(&self) -> bool {
        match self {
            Self::Stanza(_) | Self::EndDialog(_) => false,
            Self::Message(_)
            | Self::Publish(_)
            | Self::Withdraw(_)
            | Self::Lamp(_)
            | Self::Subscribe(_)
            | Self::Notify(_)
            | Self::TellWatchers(_)
            | Self::Authorize { .. } => true,
        }
    }
}

/// Whether an XMPP user was asked about a SIP watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// It was, and this is the answer.
    Asked,
    /// No question is open: it changes its mind, it says so unasked, or who was asked has been forgotten since. Anybody can say this of any
    /// number of invented watchers.
    Unasked,
    /// It hides from a watcher who has its permission, or does so no more. What was decided otherwise stays.
    Hiding,
}

/// The decision of an XMPP user on one SIP watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization {
    /// None yet.
    Pending,
    /// `subscribed`.
    Allowed,
    /// `subscribed`, and it hides from the watcher since.
    Hidden,
    /// `unsubscribed`.
    Refused,
    /// There is no such XMPP user (any more): it came back with an error.
    NoResource,
}
