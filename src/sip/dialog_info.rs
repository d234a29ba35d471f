//! Dialog information (RFC 4235): which calls a user is in, as phones publish it and lamps show it.
//!
//! Written: what the schema of RFC 4235 §4.4 allows, in its order. Read: any order, any prefix, and what phones and servers leave out:
//!
//! | the schema requires | where it is missing |
//! | --- | --- |
//! | `version` of the document | 0: in a PUBLISH it says nothing |
//! | `state` of the document | `full` |
//! | `entity` | empty: who published it is known |
//! | `uri` of `<target/>`, `pval` of `<param/>` | empty |
//! | `pname` of `<param/>` | there is no such parameter |
//! | an attribute of `<replaces/>` | nothing is replaced: who has no whole dialog id cannot name a dialog |
//!
//! What is optional and has no valid value counts as missing, and an empty attribute too. Without what a lamp depends on, the id of each
//! dialog and its state, a document is refused: half of it could put a lamp out that has to be lit. Elements with one id are one dialog,
//! which stands where the furthest of them says: a document with an id twice is a mistake, and a lamp that stays dark is none of the remedies.
//!
//! Not kept: `<session-description/>`, `<route-set/>` and all extensions.

mod parse;
mod scan;
mod write;

use super::dialog_state::DialogState;

pub(crate) use write::push_dialogs;
pub(crate) use write::push_start;

/// The most dialogs that one document may have.
pub const MAX_DIALOGS: usize = 256;

/// The most parameters that are kept of one target; further ones are passed over.
pub const MAX_PARAMETERS: usize = 16;

/// An `application/dialog-info+xml` document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Goes up by one with each document of a subscription.
    pub version: u32,
    /// Whether it replaces what was known.
    pub state: State,
    /// Whose dialogs they are: a URI.
    pub entity: String,
    /// The dialogs, no two with one id.
    pub dialogs: Vec<Dialog>,
}

/// Whether a document replaces what was known (RFC 4235 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// All dialogs.
    Full,
    /// Only those that changed.
    Partial,
}

/// One dialog, as the user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialog {
    /// Its name among the user's dialogs; not its dialog id of RFC 3261.
    pub id: String,
    /// Call-ID.
    pub call_id: Option<String>,
    /// The user's tag.
    pub local_tag: Option<String>,
    /// The other side's tag.
    pub remote_tag: Option<String>,
    /// Who sent the INVITE.
    pub direction: Option<Direction>,
    /// Where it stands.
    pub state: DialogState,
    /// For how many seconds it has existed.
    pub duration: Option<u32>,
    /// The dialog whose place it took (RFC 3891).
    pub replaces: Option<Replaces>,
    /// Who referred the user to the other side (RFC 3892).
    pub referred_by: Option<NameAddress>,
    /// The user.
    pub local: Option<Participant>,
    /// The other side.
    pub remote: Option<Participant>,
}

/// Who sent the INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The user.
    Initiator,
    /// The other side.
    Recipient,
}

/// The identifiers of a dialog that was replaced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaces {
    /// Call-ID.
    pub call_id: String,
    /// The user's tag.
    pub local_tag: String,
    /// The other side's tag.
    pub remote_tag: String,
}

/// An address with the name that humans read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameAddress {
    /// A URI.
    pub uri: String,
    /// The name.
    pub display: Option<String>,
}

/// One side of a dialog.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Participant {
    /// Who it is: the address of From or To.
    pub identity: Option<NameAddress>,
    /// Where it is: the Contact.
    pub target: Option<Target>,
    /// Its last CSeq number.
    pub cseq: Option<u32>,
}

/// Where one side of a dialog can be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// A URI.
    pub uri: String,
    /// The parameters of the Contact: `+sip.rendering` is `no` while this side is on hold (RFC 4235 §5).
    pub parameters: Vec<Parameter>,
}

/// A parameter of a Contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its value; may be empty.
    pub value: String,
}

impl Dialog {
    /// A dialog of which no more is known than where it stands.
    pub fn new(id: String, state: DialogState) -> Self {
        Self {
            id,
            call_id: None,
            local_tag: None,
            remote_tag: None,
            direction: None,
            state,
            duration: None,
            replaces: None,
            referred_by: None,
            local: None,
            remote: None,
        }
    }
}

impl State {
    const ALL: [Self; 2] = [Self::Full, Self::Partial];

    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
        }
    }
}

impl Direction {
    const ALL: [Self; 2] = [Self::Initiator, Self::Recipient];

    fn name(self) -> &'static str {
        match self {
            Self::Initiator => "initiator",
            Self::Recipient => "recipient",
        }
    }
}

#[cfg(test)]
mod tests;
