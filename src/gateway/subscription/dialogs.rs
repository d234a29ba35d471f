//! The dialogs of one subscription, one after the other: which NOTIFY came late.
//!
//! A SUBSCRIBE that was forked may make several at a time, under one Call-ID and with a tag each (RFC 6665 §4.4.1). The host's pua keeps
//! the one that the 2xx made, and so does this list; until then, the one heard last counts.

/// A dialog: its Call-ID and the notifier's tag, and the CSeq of its newest NOTIFY.
type Newest = (String, u32);

/// The dialog that NOTIFYs last came in, and the one before.
#[derive(Debug, Default)]
pub(super) struct Dialogs {
    present: Option<Newest>,
    former: Option<Newest>,
    /// The one that the last 2xx made, or belongs to.
    made: Option<String>,
}

/// What a NOTIFY says of its dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Says {
    /// It goes on.
    GoesOn,
    /// It is over.
    Ends,
}

impl Dialogs {
    /// A 2xx made this dialog: of its Call-ID no other counts any more.
    pub(super) fn made(&mut self, dialog: String) {
        self.made = Some(dialog);
    }

    /// Takes note of a NOTIFY. False for one that came late: after a newer one of its dialog, or as the end of a dialog that another has
    /// followed.
    pub(super) fn is_newest(&mut self, dialog: String, cseq: u32, says: Says) -> bool {
        if self.made.as_ref().is_some_and(|made| *made != dialog && call_id(made) == call_id(&dialog)) {
            return false;
        }
        if let Some((present, newest)) = &mut self.present
            && *present == dialog
        {
            let newer = *newest < cseq;
            *newest = cseq.max(*newest);
            return newer;
        }
        if let Some((former, newest)) = &self.former
            && *former == dialog
            && (*newest >= cseq || (says == Says::Ends && self.present.is_some()))
        {
            return false;
        }
        self.former = self.present.replace((dialog, cseq)).or(self.former.take());
        true
    }

    /// Whether there has been any.
    pub(super) fn have_been(&self) -> bool {
        self.present.is_some() || self.former.is_some()
    }

    /// The present one is over; the next NOTIFY may begin another.
    pub(super) fn end(&mut self) {
        self.former = self.present.take().or(self.former.take());
    }
}

fn call_id(dialog: &str) -> &str {
    dialog.rsplit_once(';').map_or(dialog, |(call_id, _)| call_id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogs(notifies: &[(&str, u32, Says)]) -> (Dialogs, Vec<bool>) {
        let mut dialogs = Dialogs::default();
        let newest =
            notifies.iter().map(|(call_id, cseq, says)| dialogs.is_newest((*call_id).to_owned(), *cseq, *says)).collect();
        (dialogs, newest)
    }

    #[test]
    fn within_a_dialog_the_highest_number_is_the_newest() {
        let (_, newest) =
            dialogs(&[("a", 2, Says::GoesOn), ("a", 2, Says::GoesOn), ("a", 4, Says::GoesOn), ("a", 3, Says::Ends)]);
        assert_eq!(newest, [true, false, true, false]);
    }

    #[test]
    fn a_new_dialog_counts_from_anew_and_the_end_of_the_former_comes_late() {
        let (_, newest) = dialogs(&[("a", 7, Says::GoesOn), ("b", 1, Says::GoesOn), ("a", 8, Says::Ends), ("b", 2, Says::Ends)]);
        assert_eq!(newest, [true, true, false, true]);
    }

    #[test]
    fn a_former_dialog_that_goes_on_is_the_present_one_again() {
        let (_, newest) =
            dialogs(&[("a", 7, Says::GoesOn), ("b", 1, Says::GoesOn), ("a", 8, Says::GoesOn), ("a", 9, Says::Ends)]);
        assert_eq!(newest, [true; 4]);
    }

    #[test]
    fn after_its_end_only_what_is_newer_counts() {
        let (mut dialogs, _) = dialogs(&[("a", 7, Says::GoesOn)]);
        dialogs.end();
        dialogs.end();
        assert!(!dialogs.is_newest("a".to_owned(), 7, Says::Ends));
        assert!(dialogs.is_newest("a".to_owned(), 8, Says::Ends), "the host has used the Call-ID once more");
    }

    #[test]
    fn of_a_call_id_only_the_dialog_that_a_2xx_made_counts() {
        let (mut dialogs, newest) = dialogs(&[("a;1", 1, Says::GoesOn), ("a;2", 1, Says::GoesOn)]);
        assert_eq!(newest, [true, true]);
        dialogs.made("a;1".to_owned());
        assert!(!dialogs.is_newest("a;2".to_owned(), 2, Says::GoesOn));
        assert!(dialogs.is_newest("a;1".to_owned(), 2, Says::GoesOn));
        assert!(dialogs.is_newest("b;3".to_owned(), 1, Says::GoesOn), "the next SUBSCRIBE made it");
    }
}
