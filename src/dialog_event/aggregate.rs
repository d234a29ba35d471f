//! All that is published of one presentity's dialogs, made one.
//!
//! Publishers know of the same calls, hear of them in different order, and stop to speak of them at different times. Each dialog stands
//! where the furthest of them says (RFC 4235 §3.7.1, [`DialogState`]), whatever the order of documents: so who has all of them has the
//! same dialogs. What ended has ended for all, also for documents that come later (see [`ended`](super::ended)).
//!
//! | dialogs with one id | are |
//! | --- | --- |
//! | whose Call-IDs are the same, or one lacks it | one dialog |
//! | whose Call-IDs differ | as many dialogs, with ids of ours: two phones of a user may count their dialogs from 1 |
//!
//! A dialog with a Call-ID that has ended is remembered for an hour, and for as long as a document still says otherwise. Without it an id may
//! be that of the next call, too: then only what stood beside the end, or comes in the next seconds, is no news.
//!
//! A document that is withdrawn takes its dialogs with it: they are told as ended once, and nothing is remembered of it, as its publisher
//! may come back.

use std::hash::BuildHasher;
use std::hash::RandomState;
use std::sync::Arc;

use super::ended::Ended;
use super::publication::Observed;
use super::publication::Publication;
use crate::sip::dialog_info::Dialog;
use crate::sip::dialog_info::MAX_DIALOGS;
use crate::sip::dialog_state::DialogState;
use crate::sip::dialog_state::End;

/// For how long an end is remembered, in seconds: as long as most publications last.
const REMEMBERED: u32 = 3600;

/// The same for a dialog without a Call-ID.
const REMEMBERED_BY_ID: u32 = 10;

/// Dialogs of one id that are told apart; there is no reason for more than one.
const MAX_NAMESAKES: usize = 8;

/// The dialogs of a presentity.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// Whose: a SIP URI.
    pub(super) entity: String,
    /// In the order of their ids.
    pub(super) dialogs: Vec<Merged>,
}

/// A dialog, as all documents together say.
#[derive(Debug, Clone)]
pub(super) struct Merged {
    /// The one that says where it stands.
    pub(super) observed: Arc<Observed>,
    /// Where it stands: further than that one says if its end is remembered.
    pub(super) state: DialogState,
    /// What names it among all dialogs of all users.
    pub(super) digest: u64,
    /// The document that says so; a later one was published later.
    pub(super) document: usize,
    /// Whether its id is that of another dialog, too.
    pub(super) id: Id,
    claim: Claim,
    /// One that has its Call-ID, if any has.
    named: Arc<Observed>,
    /// Documents disagree whether it has ended: what those say that it has not.
    late: Vec<u64>,
}

/// Whether an id names one dialog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Id {
    Unique,
    Shared,
}

/// Whether a document still says what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// It is being taken back.
    Withdrawn,
    Valid,
}

/// What aggregating rests on, apart from the documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory<'a> {
    pub(super) ended: Ended,
    pub(super) digests: &'a RandomState,
    /// Seconds of any clock that all processes share.
    pub(super) now: u32,
}

impl Aggregate {
    /// Makes one of all documents, in the order in which they were published.
    pub(super) fn new<'a>(
        entity: String,
        documents: impl Iterator<Item = (Claim, Option<Arc<Publication>>)>,
        memory: Memory<'a>,
    ) -> Self {
        let mut seen: Vec<(Arc<Observed>, usize, Claim)> = Vec::new();
        let presentity = user(&entity);
        for (number, (claim, publication)) in documents.enumerate() {
            let Some(publication) = publication else { continue };
            if is_of_another(&publication.entity, presentity) {
                log::warn!("Event dialog: a document published for {entity} is left out: it is of {}", publication.entity);
                continue;
            }
            seen.extend(publication.dialogs.iter().map(|observed| (Arc::clone(observed), number, claim)));
        }
        // Stable: of one id, the order of the documents.
        seen.sort_by(|(one, ..), (other, ..)| one.dialog.id.cmp(&other.dialog.id));
        let mut dialogs: Vec<Merged> = Vec::with_capacity(seen.len().min(MAX_DIALOGS));
        // Where the dialogs begin that have the id of the last one.
        let mut namesakes = 0;
        for (observed, document, claim) in seen {
            if dialogs.last().is_none_or(|last| last.observed.dialog.id != observed.dialog.id) {
                namesakes = dialogs.len();
            }
            let room = dialogs.len() < MAX_DIALOGS;
            let known = dialogs.get_mut(namesakes..).unwrap_or_default();
            if let Some(known) = known.iter_mut().find(|known| known.is(&observed.dialog)) {
                known.add(observed, document, claim);
            } else if room && known.len() < MAX_NAMESAKES {
                let id = if known.is_empty() { Id::Unique } else { Id::Shared };
                known.iter_mut().for_each(|known| known.id = id);
                dialogs.push(Merged::new(observed, document, claim, id));
            }
        }
        dialogs.iter_mut().for_each(|dialog| dialog.settle(&entity, memory));
        Self { entity, dialogs }
    }

    /// Another worker may have told of ends since the documents were read, and its NOTIFY may be the earlier one.
    pub(super) fn recall(&mut self, memory: Memory<'_>) {
        self.dialogs.iter_mut().for_each(|dialog| dialog.recall(memory));
    }
}

impl Merged {
    fn new(observed: Arc<Observed>, document: usize, claim: Claim, id: Id) -> Self {
        let (state, named) = (observed.dialog.state, Arc::clone(&observed));
        Self { observed, state, digest: 0, document, id, claim, named, late: Vec::new() }
    }

    fn call_id(&self) -> Option<&str> {
        self.named.dialog.call_id.as_deref()
    }

    /// Whether a dialog of the same id is this one.
    fn is(&self, other: &Dialog) -> bool {
        match (self.call_id(), other.call_id.as_deref()) {
            (Some(one), Some(other)) => one == other,
            (Some(_) | None, None) | (None, Some(_)) => true,
        }
    }

    /// Another document says something of it, too.
    fn add(&mut self, observed: Arc<Observed>, document: usize, claim: Claim) {
        if self.call_id().is_none() {
            self.named = Arc::clone(&observed);
        }
        let state = observed.dialog.state;
        if self.claim == claim && is_over(self.state) != is_over(state) {
            self.late.push(if is_over(state) { self.observed.digest } else { observed.digest });
        }
        // Who goes on saying it knows better than who takes it back.
        let counts = match (self.claim, claim) {
            (Claim::Valid, Claim::Withdrawn) => false,
            (Claim::Withdrawn, Claim::Valid) => true,
            (Claim::Valid, Claim::Valid) | (Claim::Withdrawn, Claim::Withdrawn) => self.state.merge(state) == state,
        };
        if counts {
            (self.observed, self.state, self.document, self.claim) = (observed, state, document, claim);
        }
    }

    /// What is remembered of it counts, and what it brings is remembered.
    fn settle(&mut self, entity: &str, memory: Memory<'_>) {
        let Memory { ended, digests, now } = memory;
        self.digest = digests.hash_one((entity, &self.observed.dialog.id, self.call_id()));
        if self.claim == Claim::Withdrawn {
            self.state = self.state.merge(DialogState::Terminated(End::default()));
            return;
        }
        let of = |digest: u64| digests.hash_one((self.digest, digest));
        if is_over(self.state) {
            ended.remember(self.digest, now);
            self.late.iter().for_each(|late| ended.remember(of(*late), now));
            return;
        }
        self.recall(memory);
    }

    /// What is remembered of it counts: it may have ended since its document was read.
    fn recall(&mut self, Memory { ended, digests, now }: Memory<'_>) {
        if self.claim == Claim::Withdrawn || is_over(self.state) {
            return;
        }
        let of = |digest: u64| digests.hash_one((self.digest, digest));
        let remembered = if self.call_id().is_some() { REMEMBERED } else { REMEMBERED_BY_ID };
        let spoken_of = |digest: u64, remembered: u32| ended.age(digest, now).is_some_and(|age| age <= remembered);
        let by_name = spoken_of(self.digest, remembered);
        let by_words = spoken_of(of(self.observed.digest), REMEMBERED);
        if by_name && self.call_id().is_some() {
            ended.remember(self.digest, now);
        }
        if by_words {
            ended.remember(of(self.observed.digest), now);
        }
        if by_name || by_words {
            self.state = DialogState::Terminated(End::default());
        }
    }

    /// What tells a watcher's knowledge of this dialog from what is known now; never 0.
    pub(super) fn mark(&self) -> u32 {
        let said = if is_over(self.state) { 0 } else { self.observed.digest };
        let mixed = (self.digest ^ said.rotate_left(17)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        u32::try_from(mixed >> 32).unwrap_or_default() | 1
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        is_over(self.state)
    }

    /// Whether its document is being taken back.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.claim == Claim::Withdrawn
    }
}

fn is_over(state: DialogState) -> bool {
    matches!(state, DialogState::Terminated(_))
}

/// Whether a document says that it is of another user. Phones write themselves in many ways: with their own host, a port, another scheme, or
/// not at all; only the user part tells one from another.
fn is_of_another(entity: &str, presentity: Option<&str>) -> bool {
    presentity.zip(user(entity)).is_some_and(|(meant, said)| !said.eq_ignore_ascii_case(meant))
}

/// The user part of a SIP URI, without password and parameters.
fn user(uri: &str) -> Option<&str> {
    let (scheme, rest) = uri.trim().split_once(':')?;
    if !scheme.eq_ignore_ascii_case("sip") && !scheme.eq_ignore_ascii_case("sips") {
        return None;
    }
    let (user, _) = rest.rsplit_once('@')?;
    user.split([':', ';']).next()
}
