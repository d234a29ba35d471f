//! One dialog of a SIP watcher, from the notifier's side (RFC 6665 §4.2): its lifetime, its CSeqs, and what was said in it.
//!
//! One NOTIFY is under way at a time, so that none overtakes another; what happens meanwhile is said with the next one, once.

use std::num::NonZeroU32;
use std::time::Duration;

use super::moment::Moment;
use super::virtual_subscription::Pair;
use crate::sip;
use crate::sip::Reason;

/// How long a NOTIFY may be under way: longer than its transaction lives (RFC 3261 §17.1.2.2: 32 s).
const UNDER_WAY: Duration = Duration::from_secs(40);

/// How far the CSeq in the store is ahead: so many NOTIFYs cost one change of it.
const AHEAD: u32 = 256;

#[derive(Debug)]
pub(super) struct Dialog {
    pub(super) sip: sip::Dialog,
    pub(super) pair: Pair,
    pub(super) expires: Moment,
    /// The watcher's.
    remote_cseq: u32,
    /// Ours.
    cseq: u32,
    /// What the store says of it: more than it is.
    kept_cseq: u32,
    /// The version of the state that was said last; 0: none.
    pub(super) told: u32,
    /// A NOTIFY has to follow whatever it says.
    pub(super) owed: bool,
    /// No NOTIFY goes before, and why.
    wait: Option<(Moment, Wait)>,
    /// A pause of so many milliseconds begins with the reply.
    slowed: Option<NonZeroU32>,
    /// Why it ends with the next NOTIFY.
    pub(super) end: Option<End>,
    /// Where it stands in the order of time.
    pub(super) due: Option<Moment>,
    pub(super) lasts: Lasts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// One is under way.
    Reply,
    /// A Retry-After asks for it.
    Retry,
    /// New states come too quickly. What else there is to say does not wait.
    Pace,
}

/// The last NOTIFY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) reason: Reason,
    pub(super) says: Says,
}

/// What it says of the XMPP user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// That nobody is there: the watcher sees no more (RFC 8048 §5.3.3).
    Closed,
    /// What is known.
    State,
    Nothing,
}

impl End {
    /// The watcher gave it up, or let it run out.
    pub(super) const TIMEOUT: Self = Self { reason: Reason::Timeout, says: Says::Closed };
    /// The state was all that was asked for (RFC 6665 §4.4.3).
    pub(super) const FETCHED: Self = Self { reason: Reason::Timeout, says: Says::State };

    /// For another reason; nothing is said of the XMPP user.
    pub(super) const fn of(reason: Reason) -> Self {
        Self { reason, says: Says::Nothing }
    }
}

/// What the watcher asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lasts {
    /// A subscription.
    Lasting,
    /// The state once, after a probe was answered or `expires` has come.
    Once,
}

/// What the final reply to a NOTIFY means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    GoesOn,
    Over,
}

impl Dialog {
    pub(super) fn new(sip: sip::Dialog, pair: Pair, remote_cseq: u32, expires: Moment, lasts: Lasts) -> Self {
        let (cseq, told, owed) = (0, 0, lasts == Lasts::Lasting);
        Self {
            sip,
            pair,
            expires,
            remote_cseq,
            cseq,
            kept_cseq: 0,
            told,
            owed,
            wait: None,
            slowed: None,
            end: None,
            due: None,
            lasts,
        }
    }

    /// A further SUBSCRIBE came. False: it is older than the newest, or the same again.
    pub(super) fn is_refreshed(&mut self, cseq: u32, by: &sip::Dialog) -> bool {
        if cseq <= self.remote_cseq {
            return false;
        }
        self.remote_cseq = cseq;
        self.sip = self.sip.refreshed(by);
        // The watcher is there, so a wait that it asked for is over.
        self.wait = self.wait.filter(|(_, wait)| *wait == Wait::Reply);
        true
    }

    /// One from before a restart. What it said last is not known; nothing is said anew.
    pub(super) fn restored(
        (sip, pair): (sip::Dialog, Pair),
        (remote_cseq, cseq): (u32, u32),
        expires: Moment,
        told: u32,
    ) -> Self {
        Self { cseq, told, owed: false, ..Self::new(sip, pair, remote_cseq, expires, Lasts::Lasting) }
    }

    /// Both CSeqs for the store: ours is one that will not be reached before it is written again.
    pub(super) fn kept(&mut self) -> (u32, u32) {
        self.kept_cseq = self.cseq.saturating_add(AHEAD);
        (self.remote_cseq, self.kept_cseq)
    }

    /// Whether the CSeq comes near to what the store says.
    pub(super) fn is_to_be_kept(&self) -> bool {
        self.lasts == Lasts::Lasting && self.cseq.saturating_add(AHEAD >> 1) >= self.kept_cseq
    }

    /// Whether a NOTIFY may go now.
    pub(super) fn is_free(&self, now: Moment) -> bool {
        let is_news_alone = self.end.is_none() && !self.owed;
        self.wait.is_none_or(|(until, wait)| until <= now || (wait == Wait::Pace && !is_news_alone))
    }

    /// A NOTIFY goes: its CSeq.
    pub(super) fn goes(&mut self, now: Moment, version: u32) -> u32 {
        self.cseq = self.cseq.saturating_add(1);
        (self.told, self.owed) = (version, false);
        self.wait = Some((now.after(UNDER_WAY), Wait::Reply));
        self.cseq
    }

    /// A NOTIFY has failed if there is no Retry-After (RFC 6665 §4.2.2); nobody waits for a dialog that is not there.
    pub(super) fn replied(&mut self, now: Moment, status: u16, retry_after: Option<u32>) -> Outcome {
        if matches!(self.wait, Some((_, Wait::Retry | Wait::Pace))) {
            // To none of the newest.
            return Outcome::GoesOn;
        }
        self.wait = None;
        if let Some(pace) = self.slowed.take() {
            self.pause(now, Duration::from_millis(u64::from(pace.get())));
        }
        match (status, retry_after) {
            (0..=299, _) => Outcome::GoesOn,
            (408 | 481, _) | (_, None) => Outcome::Over,
            (_, Some(seconds)) => {
                self.owed = true;
                self.wait = Some((now.after(Duration::from_secs(seconds.into())), Wait::Retry));
                Outcome::GoesOn
            }
        }
    }

    /// The next new state waits for so long, counted from the reply where a NOTIFY is under way.
    pub(super) fn pause(&mut self, now: Moment, pace: Duration) {
        match self.wait {
            Some((until, Wait::Reply)) if until > now => {
                let pace = u32::try_from(pace.as_millis()).unwrap_or(u32::MAX);
                self.slowed = self.slowed.max(NonZeroU32::new(pace));
            }
            Some((until, Wait::Retry | Wait::Pace)) if until > now => {}
            Some(_) | None => self.wait = Some((now.after(pace), Wait::Pace)),
        }
    }

    /// When it has to be looked at.
    pub(super) fn next_due(&self) -> Moment {
        match self.wait {
            Some((until, Wait::Retry | Wait::Pace)) => until.min(self.expires),
            Some((_, Wait::Reply)) | None => self.expires,
        }
    }

    pub(super) fn seconds_left(&self, now: Moment) -> u32 {
        u32::try_from(now.until(self.expires).as_secs()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_may_be_hundreds_of_thousands() {
        assert!(size_of::<Dialog>() <= 88, "{} bytes", size_of::<Dialog>());
    }
}
