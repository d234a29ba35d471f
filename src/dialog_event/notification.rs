//! The document that one watcher is sent: what its profile shows of the dialogs, under the next version of its subscription.
//!
//! A dialog that ended stands in the first document after its end, and in no more: then the watcher knows. `told` are marks of the dialogs
//! that it knows already (see [`Merged::mark`]).

use super::aggregate::Aggregate;
use super::aggregate::Id;
use super::aggregate::Merged;
use super::profile::Dialogs;
use super::profile::Identities;
use super::profile::Idle;
use super::profile::Order;
use super::profile::View;
use super::subscription::Due;
use super::subscription::TOLD;
use crate::sip::dialog_info;
use crate::sip::dialog_info::Dialog;
use crate::sip::dialog_info::Direction;
use crate::sip::dialog_info::MAX_DIALOGS;
use crate::sip::dialog_info::State;
use crate::sip::dialog_state::DialogState;
use crate::sip::dialog_state::End;
use std::borrow::Cow;

/// The most bytes of dialogs in one document: with headers it has to fit a UDP datagram.
const MAX_DIALOG_BYTES: usize = 56 * 1024;

/// The id of the dialog that stands where there is none.
const DUMMY: &str = "idle";

/// What a document is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose<'a> {
    pub(super) version: u32,
    pub(super) due: Due,
    pub(super) view: View,
    pub(super) told: &'a [u32],
}

impl Aggregate {
    /// The document for all, as far as it is not made for one: what is being taken back is left out.
    pub fn document(&self) -> String {
        let dialogs: Vec<&Merged> = self.dialogs.iter().filter(|dialog| !dialog.is_withdrawn()).collect();
        self.write(0, State::Full, &dialogs, View::default())
    }

    /// The document for one watcher.
    pub(super) fn notification(&self, purpose: Purpose<'_>, order: &Order) -> String {
        let Purpose { version, due, view, told } = purpose;
        let newest = self.newest_end();
        // Who is told changes alone has to be told each end, or else everything.
        let is_partial = view.dialogs == Dialogs::Partial && due == Due::Change && newest == 0;
        let is_news = |dialog: &&Merged| match (dialog.is_over(), due) {
            (true, Due::First) => false,
            (true, Due::Full | Due::Change) => dialog.document >= newest && !told.contains(&dialog.mark()),
            (false, _) => !is_partial || !told.contains(&dialog.mark()),
        };
        let mut dialogs: Vec<&Merged> = self.dialogs.iter().filter(is_news).collect();
        if view.dialogs == Dialogs::Single {
            let best = dialogs.iter().max_by_key(|dialog| (order.rank(dialog.state), dialog.document)).copied();
            dialogs = best.into_iter().collect();
        }
        self.write(version, if is_partial { State::Partial } else { State::Full }, &dialogs, view)
    }

    /// What the watcher knows afterwards. What has ended comes first: of that it is told once, of the others again and again.
    pub(super) fn marks(&self) -> impl Iterator<Item = u32> {
        let newest = self.newest_end();
        let over = self.dialogs.iter().filter(move |dialog| dialog.is_over() && dialog.document >= newest);
        let alive = self.dialogs.iter().filter(|dialog| !dialog.is_over());
        over.chain(alive).map(Merged::mark)
    }

    /// From which document on ends are told. Hosts keep what has run out for a while: of somebody with many calls there are more ends than a
    /// subscription has marks for, and they would be told again and again. Where all that goes on is told, who is not named has ended, too.
    fn newest_end(&self) -> usize {
        let mut ends: Vec<usize> = self.dialogs.iter().filter(|dialog| dialog.is_over()).map(|dialog| dialog.document).collect();
        match ends.len().checked_sub(TOLD).filter(|beyond| *beyond > 0) {
            Some(beyond) => *ends.select_nth_unstable(beyond).1,
            None => 0,
        }
    }

    fn write(&self, version: u32, state: State, dialogs: &[&Merged], view: View) -> String {
        let mut elements: Vec<Cow<'_, str>> = dialogs.iter().map(|dialog| dialog.element(view.identities)).collect();
        let length = |elements: &[Cow<'_, str>]| elements.iter().map(|element| element.len()).sum::<usize>();
        if length(&elements) > MAX_DIALOG_BYTES || elements.len() > MAX_DIALOGS {
            let mut room = MAX_DIALOG_BYTES;
            let fits = |element: &Cow<'_, str>| {
                let left = room.checked_sub(element.len());
                room = left.unwrap_or(room);
                left.is_some()
            };
            // What goes on is worth more than what is over.
            let alive = dialogs.iter().filter(|dialog| !dialog.is_over());
            let over = dialogs.iter().filter(|dialog| dialog.is_over());
            elements = alive.chain(over).map(|dialog| dialog.element(view.identities)).filter(fits).collect();
            log::warn!("Event dialog: {} has more dialogs than fit a NOTIFY", self.entity);
        }
        if elements.is_empty() && view.idle == Idle::Dummy && state == State::Full {
            let over = DialogState::Terminated(End::default());
            let dummy = Dialog { direction: Some(Direction::Recipient), ..Dialog::new(DUMMY.to_owned(), over) };
            elements.push(dummy.element().into());
        }
        let mut out = String::with_capacity(length(&elements).saturating_add(self.entity.len()).saturating_add(256));
        dialog_info::push_start(&mut out, version, state, &self.entity);
        dialog_info::push_dialogs(&mut out, elements.iter());
        out
    }
}

impl Merged {
    fn element(&self, identities: Identities) -> Cow<'_, str> {
        let dialog = &self.observed.dialog;
        match identities {
            Identities::Shown if self.state == dialog.state && self.id == Id::Unique => Cow::Borrowed(&self.observed.xml),
            Identities::Shown => {
                let id = match self.id {
                    Id::Unique => dialog.id.clone(),
                    Id::Shared => format!("{}-{:016x}", dialog.id, self.digest),
                };
                Dialog { id, state: self.state, ..dialog.clone() }.element().into()
            }
            Identities::Hidden => {
                // An id is often a Call-ID, and that names a host.
                let id = format!("{:016x}", self.digest);
                Dialog { direction: dialog.direction, ..Dialog::new(id, self.state) }.element().into()
            }
        }
    }
}
