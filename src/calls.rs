//! Calls that the host's dialog module sees, shown as the dialogs (RFC 4235) of caller and callee.
//!
//! ```text
//!  callbacks of dialog and tm, in any worker        the XMPP process
//!  -----------------------------------------        ----------------
//!  what happened: Event  --- link, in order --->    Publisher: one state for each branch of each call
//!                                                     | what changed, a few at a time
//!                                                     v
//!                                                   one publication (RFC 3903) for each branch and each of the two users
//! ```
//!
//! A worker says what it saw, and decides nothing: two workers may see the ringing and the end of one call at once. One process keeps
//! the state of each call, and a state only moves forward ([`crate::sip::dialog_state`]). So an end is never followed by anything else,
//! whatever came first over the link. What changes again before its turn to be published is published once, as it is then: under load
//! states between are left out, never the last.

pub mod offer;
pub mod publisher;

mod address;
mod call;
mod document;
mod users;

use crate::sip::dialog_info::NameAddress;
use crate::sip::dialog_info::Replaces;

pub use self::address::Heard;
pub use self::address::address_of_record;
pub use self::address::header_address;
pub use self::address::replaces;

/// What happened to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// To which one.
    pub call: CallKey,
    /// What it was.
    pub what: What,
}

/// What tells the calls of a host apart: the first INVITE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallKey {
    /// Call-ID.
    pub call_id: String,
    /// The caller's tag.
    pub from_tag: String,
    /// Number of its CSeq: who is asked for a password, or sent elsewhere, calls again with the same Call-ID and tag (RFC 3261 §8.1.3.5). 0 where
    /// that is not known any more.
    pub cseq: u32,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The host made a dialog of it, or had it from before a restart.
    Begun(Box<Begun>),
    /// The script says whose dialogs are to be shown.
    Shown(Parties),
    /// The script names the callee of a branch; `None`: it is that of the call.
    Callee {
        /// Its number.
        branch: u16,
        /// Who is called there.
        callee: Option<NameAddress>,
    },
    /// The script hides a branch.
    Muted {
        /// Its number.
        branch: u16,
        /// From whose watchers.
        parties: Parties,
    },
    /// A 1xx on a branch.
    Provisional {
        /// The branch.
        branch: u16,
        /// Its status.
        status: u16,
        /// Who answered.
        peer: Peer,
    },
    /// A final response other than 2xx on a branch.
    Refused {
        /// The branch.
        branch: u16,
        /// Its status.
        status: u16,
    },
    /// All branches so far have failed, maybe without any response; there may be others.
    Failed {
        /// How many there were.
        branches: u16,
        /// What is told to the caller.
        status: u16,
    },
    /// A 2xx.
    Answered {
        /// The branch.
        branch: u16,
        /// Who answered.
        peer: Peer,
        /// After how many seconds the host ends the call.
        lifetime: u32,
    },
    /// A request within the call made an offer (RFC 3264), which tells who hears whom.
    Offer {
        /// Who made it.
        from: Side,
        /// CSeq of the request: a lower one came late.
        cseq: u32,
        /// Whether that side will hear anything.
        rendering: Rendering,
        /// After how many seconds the host ends the call.
        lifetime: u32,
    },
    /// Who was made an offer, in a request or in the 2xx to one, answered it: who had the call on hold resumes with that, too.
    Answer {
        /// Who answered.
        from: Side,
        /// What becomes of the streams there.
        streams: Streams,
        /// After how many seconds the host ends the call.
        lifetime: u32,
    },
    /// Any other request within the call: it goes on.
    Kept {
        /// After how many seconds the host ends the call.
        lifetime: u32,
    },
    /// It is over.
    Ended(Ending),
}

/// A call, as its first INVITE has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    /// Whose dialogs are shown.
    pub shown: Parties,
    /// Who calls.
    pub caller: NameAddress,
    /// Where: the Contact.
    pub target: Option<String>,
    /// Who is called.
    pub callee: NameAddress,
    /// Replaces (RFC 3891): the call whose place it takes, as the callee has it.
    pub replaces: Option<Replaces>,
    /// Referred-By (RFC 3892): who had the caller call.
    pub referred_by: Option<NameAddress>,
    /// After how many seconds the host ends it.
    pub lifetime: u32,
    /// The branch that was answered, where it is from before a restart.
    pub answered: Option<(u16, Peer)>,
}

/// Who answered: the other end of a branch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peer {
    /// Its tag; empty if there is none.
    pub tag: String,
    /// Its Contact.
    pub target: Option<String>,
}

/// Whose dialogs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parties {
    /// The caller's.
    pub caller: bool,
    /// The callee's.
    pub callee: bool,
}

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Who sent the INVITE.
    Caller,
    /// Who was sent it.
    Callee,
}

/// Whether a side plays what it is sent (`sip.rendering`, RFC 4235 §5.2): who has put the call on hold does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rendering {
    /// It does.
    Yes,
    /// It does not.
    No,
}

/// What a side does with the streams of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// It plays what it is sent.
    Played,
    /// It only sends.
    Sent,
    /// Neither.
    Inactive,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// BYE.
    Bye(Side),
    /// No branch of it was answered with a 2xx; what the caller was told.
    Refused(u16),
    /// The host ended it.
    Server,
    /// Its time was over.
    Expired,
}

impl Parties {
    /// Both.
    pub const BOTH: Self = Self { caller: true, callee: true };

    /// Neither.
    pub const NONE: Self = Self { caller: false, callee: false };

    /// As the script writes them: `A` is the caller, `B` the callee; nothing is both. `None` for anything else.
    pub fn of(letters: &[u8]) -> Option<Self> {
        let letters = letters.trim_ascii();
        if letters.is_empty() {
            return Some(Self::BOTH);
        }
        let has = |letter: u8| letters.iter().any(|byte| byte.eq_ignore_ascii_case(&letter));
        letters.iter().all(|byte| b"AaBb".contains(byte)).then(|| Self { caller: has(b'A'), callee: has(b'B') })
    }

    /// The letters.
    pub fn letters(self) -> &'static str {
        match (self.caller, self.callee) {
            (true, true) => "AB",
            (true, false) => "A",
            (false, true) => "B",
            (false, false) => "-",
        }
    }

    /// Whether this one is among them.
    pub fn has(self, side: Side) -> bool {
        match side {
            Side::Caller => self.caller,
            Side::Callee => self.callee,
        }
    }
}

impl Side {
    const BOTH: [Self; 2] = [Self::Caller, Self::Callee];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parties_are_letters() {
        for (letters, parties) in [
            ("", Some(Parties::BOTH)),
            ("A", Some(Parties { caller: true, callee: false })),
            (" b ", Some(Parties { caller: false, callee: true })),
            ("BA", Some(Parties::BOTH)),
            ("C", None),
            ("AC", None),
        ] {
            assert_eq!(Parties::of(letters.as_bytes()), parties, "{letters}");
        }
        assert_eq!(Parties::of(Parties::BOTH.letters().as_bytes()), Some(Parties::BOTH));
    }
}
