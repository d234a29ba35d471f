//! SIP users who watch XMPP users, where the gateway is the notifier itself: RFC 6665 §4.2, RFC 8048 §5.3.
//!
//! Between a SIP user and an XMPP user there is one *virtual* subscription, with any number of SIP dialogs on it: the user's phones.
//!
//! ```text
//!                  presence of the XMPP user                             NOTIFYs
//!                              |                                            ^
//!  SUBSCRIBE --> VirtualSubscription: may it see, what is there --> Dialog --+--> Dialog --+ ...
//!
//!  Fetch --SUBSCRIBE--> Pending --subscribed--> Active          gone with its last dialog: `unavailable`
//! ```
//!
//! A dialog ends with its time, with a NOTIFY that fails, with the watcher's wish, or with the XMPP user's. That a SIP user's last dialog ends
//! takes no permission back: XMPP is told `unavailable` and never `unsubscribe` (RFC 8048 §5.3.3).

pub mod bounds;

mod dialog;
mod virtual_subscription;

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::rc::Rc;
use std::time::Duration;
use std::time::Instant;

use crate::address::Addresses;
use crate::address::domain_of;
use crate::gateway::action::Action;
use crate::gateway::action::Authorization;
use crate::gateway::event::NotifyReply;
use crate::gateway::event::Place;
use crate::gateway::event::Subscribe;
use crate::gateway::presence_stanza;
use crate::gateway::tally::Tally;
use crate::sip;
use crate::sip::HeaderName;
use crate::sip::Headers;
use crate::sip::Reason;
use crate::sip::SubscriptionState;
use crate::sip::header::write_subscription_state;
use crate::translate::presence::ResourcePresence;
use bounds::Bounds;
use dialog::Dialog;
use dialog::End;
use dialog::Lasts;
use dialog::Outcome;
use dialog::Says;
use virtual_subscription::Change;
use virtual_subscription::Pair;
use virtual_subscription::Phase;
use virtual_subscription::VirtualSubscription;
use virtual_subscription::closed;

/// How long a fetch waits for the answer to a probe. The watcher waits 32 s for its NOTIFY (RFC 6665 §4.1.2.4).
pub const FETCH_PATIENCE: Duration = Duration::from_secs(5);

/// After a broken stream, a resource that does not answer a probe within this time is gone.
pub const CONFIRM: Duration = Duration::from_secs(60);

/// Dialogs and virtual subscriptions looked at in one tick: where all are due at once, the rest of the process must not wait for them.
pub const PER_TICK: usize = 500;

/// When a watcher for whom there is no place may come back, in seconds.
const PROBATION: u32 = 300;

/// Who watches by which dialogs.
#[derive(Debug)]
pub(super) struct Notifier {
    addresses: Addresses,
    /// Contact of our NOTIFYs, where the watchers' further requests come in.
    contact: sip::Uri,
    known: HashMap<Rc<Pair>, VirtualSubscription>,
    dialogs: HashMap<u64, Dialog>,
    /// The number of the dialog with this digest of Call-ID and tags.
    numbers: HashMap<u64, u64>,
    keys: RandomState,
    /// The number of the newest dialog. It differs from life to life, so that no reply is for another one.
    last: u64,
    /// Dialogs in the order in which they are to be looked at.
    due: BTreeSet<(Instant, u64)>,
    /// Whose state is doubtful, to be probed one after the other.
    doubtful: VecDeque<Rc<Pair>>,
    /// Who was probed, in the order of time.
    probed: VecDeque<(Instant, Rc<Pair>)>,
    bounds: Bounds,
    refused: Tally,
    /// Whose last dialog has ended.
    left: Vec<Rc<Pair>>,
    /// Domains of SIP users that have a stream.
    up: BTreeSet<String>,
}

/// What XMPP is to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    /// `subscribe`, once.
    Decision {
        watcher: String,
        presentity: String,
    },
}

/// Whether the pair is one of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Heard {
    /// It is: nobody has to be told besides.
    Taken,
    /// It is not, or not alone.
    Open,
}

impl Notifier {
    pub(super) fn new(addresses: Addresses, contact: sip::Uri, seed: u64) -> Self {
        Self {
            addresses,
            contact,
            known: HashMap::new(),
            dialogs: HashMap::new(),
            numbers: HashMap::new(),
            keys: RandomState::new(),
            last: seed,
            due: BTreeSet::new(),
            doubtful: VecDeque::new(),
            probed: VecDeque::new(),
            bounds: Bounds::default(),
            refused: Tally::default(),
            left: Vec::new(),
            up: BTreeSet::new(),
        }
    }

    /// A SUBSCRIBE came, and was answered with 200.
    pub(super) fn subscribe(&mut self, now: Instant, subscribe: Subscribe, actions: &mut Vec<Action>) -> Wish {
        let Subscribe { dialog, cseq, expires, place } = subscribe;
        match (self.number_of(&dialog), place) {
            // A retransmission of the first one, too, names the dialog that it has made.
            (Some(number), _) => self.refresh(now, number, &dialog, (cseq, expires), actions),
            (None, Place::Initial { watcher, presentity, decision }) => {
                self.begin(now, dialog, (cseq, expires), (&watcher, &presentity, decision), actions)
            }
            (None, Place::InDialog) => {
                log::debug!("a SUBSCRIBE in the dialog {}, which has ended", dialog.call_id());
                actions.push(Action::EndDialog(Rc::new(dialog)));
                Wish::Nothing
            }
        }
    }

    /// The final reply to a NOTIFY.
    pub(super) fn replied(&mut self, now: Instant, reply: NotifyReply, actions: &mut Vec<Action>) {
        let NotifyReply { number, status, retry_after } = reply;
        let Some(dialog) = self.dialogs.get_mut(&number) else { return };
        match dialog.replied(now, status, retry_after) {
            Outcome::GoesOn => {
                self.look_again(number);
                self.notify(now, number, actions);
            }
            Outcome::Over => {
                let Pair { watcher, presentity } = &*dialog.pair;
                log::info!("a NOTIFY to {watcher} for {presentity} was answered with {status}: its dialog ends");
                self.forget(number, actions);
            }
        }
    }

    /// A resource of the XMPP user said to a SIP user what it is doing. [`Heard::Taken`]: the SIP user is told here.
    pub(super) fn presence(
        &mut self,
        now: Instant,
        (watcher, presentity): (&str, &str),
        presence: impl FnOnce() -> Option<ResourcePresence>,
        actions: &mut Vec<Action>,
    ) -> Heard {
        let pair = Pair::new(watcher, presentity);
        let Some(known) = self.known.get_mut(&pair) else { return Heard::Open };
        let Some(presence) = presence() else { return Heard::Open };
        let change = known.heard(presence);
        let dialogs = known.dialogs.clone();
        for number in dialogs {
            self.fetch_soon(now, number);
            if change == Change::Visible {
                self.notify(now, number, actions);
            }
        }
        Heard::Taken
    }

    /// The XMPP user decided on a SIP user. [`Heard::Taken`]: it answers a fetch alone, and is no decision to be kept.
    pub(super) fn decided(
        &mut self,
        now: Instant,
        (watcher, presentity): (&str, &str),
        decision: Authorization,
        actions: &mut Vec<Action>,
    ) -> Heard {
        let pair = Pair::new(watcher, presentity);
        let Some(known) = self.known.get_mut(&pair) else { return Heard::Open };
        let phase = known.phase;
        let reason = match decision {
            Authorization::Pending => return Heard::Open,
            Authorization::Allowed => {
                if known.activate() == Change::Visible {
                    let (dialogs, knows_state) = (known.dialogs.clone(), known.knows_state());
                    if !knows_state {
                        self.probe(&pair, actions);
                    }
                    for number in dialogs {
                        self.notify(now, number, actions);
                    }
                }
                return Heard::Open;
            }
            Authorization::Refused => Reason::Rejected,
            Authorization::NoResource => Reason::Noresource,
        };
        self.end_all(now, &pair, End::of(reason, None), actions);
        if phase == Phase::Fetch { Heard::Taken } else { Heard::Open }
    }

    /// Whether this SIP user has a dialog on this XMPP user.
    pub(super) fn knows(&self, watcher: &str, presentity: &str) -> bool {
        self.known.contains_key(&Pair::new(watcher, presentity))
    }

    /// The names of SIP and XMPP users changed. `today` gives the pair that a dialog is of now: where it is another one, the watcher is told
    /// to subscribe anew.
    pub(super) fn rename(
        &mut self,
        now: Instant,
        today: impl Fn(&sip::Dialog) -> Option<(String, String)>,
        actions: &mut Vec<Action>,
    ) {
        let is_other = |dialog: &Dialog| {
            let named = today(&dialog.sip);
            named.is_none_or(|(watcher, presentity)| *watcher != *dialog.pair.watcher || *presentity != *dialog.pair.presentity)
        };
        let renamed: Vec<u64> = self.dialogs.iter().filter(|(_, dialog)| is_other(dialog)).map(|(number, _)| *number).collect();
        for number in renamed {
            self.end(now, number, End::of(Reason::Deactivated, None), actions);
        }
    }

    /// The stream of a domain stands. What comes back are the questions that its users wait with: watcher and presentity.
    pub(super) fn stream_up(&mut self, domain: &str) -> Vec<(String, String)> {
        self.up.insert(domain.to_owned());
        let mut waiting = Vec::new();
        for (pair, known) in self.known.iter().filter(|(pair, _)| domain_of(&pair.watcher) == domain) {
            match known.phase {
                Phase::Pending => waiting.push((pair.watcher.to_string(), pair.presentity.to_string())),
                Phase::Active | Phase::Fetch => self.doubtful.push_back(Rc::clone(pair)),
            }
        }
        waiting
    }

    /// The stream of a domain broke: what was said over it may have changed unheard.
    pub(super) fn stream_down(&mut self, domain: &str) {
        self.up.remove(domain);
        self.doubtful.retain(|pair| domain_of(&pair.watcher) != domain);
        for (_, known) in self.known.iter_mut().filter(|(pair, _)| domain_of(&pair.watcher) == domain) {
            known.doubt();
            known.deadline = None;
        }
    }

    /// Ends what runs out, tries again what was to wait, asks for what is doubtful.
    pub(super) fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        for _ in 0..PER_TICK {
            let Some((due, number)) = self.due.first().copied().filter(|(due, _)| *due <= now) else { break };
            self.due.remove(&(due, number));
            let Some(dialog) = self.dialogs.get_mut(&number) else { continue };
            dialog.due = None;
            if dialog.expires > now {
                self.look_again(number);
                self.notify(now, number, actions);
                continue;
            }
            let end = if dialog.lasts == Lasts::Once { End::FETCHED } else { End::TIMEOUT };
            self.end(now, number, end, actions);
        }
        for _ in 0..PER_TICK {
            let Some(pair) = self.doubtful.pop_front() else { break };
            let Some(known) = self.known.get_mut(&pair) else { continue };
            let deadline = now.checked_add(CONFIRM).unwrap_or(now);
            known.deadline = Some(deadline);
            self.probed.push_back((deadline, Rc::clone(&pair)));
            self.probe(&pair, actions);
        }
        for _ in 0..PER_TICK {
            if self.probed.front().is_none_or(|(deadline, _)| *deadline > now) {
                break;
            }
            let Some((deadline, pair)) = self.probed.pop_front() else { break };
            let Some(known) = self.known.get_mut(&pair).filter(|known| known.deadline == Some(deadline)) else { continue };
            known.deadline = None;
            if known.believe_no_more() == Change::Visible {
                for number in known.dialogs.clone() {
                    self.notify(now, number, actions);
                }
            }
        }
    }

    /// Whose last dialog ended since this was asked last, and who is to be told: watcher and presentity.
    pub(super) fn left(&mut self) -> Vec<(String, String)> {
        let up = &self.up;
        let told = |pair: &Rc<Pair>| up.contains(&*domain_of(&pair.watcher));
        self.left.drain(..).filter(told).map(|pair| (pair.watcher.to_string(), pair.presentity.to_string())).collect()
    }

    /// A dialog that is not known yet.
    fn begin(
        &mut self,
        now: Instant,
        dialog: sip::Dialog,
        (cseq, expires): (u32, u32),
        (watcher, presentity, decision): (&str, &str, Authorization),
        actions: &mut Vec<Action>,
    ) -> Wish {
        let pair = Pair::new(watcher, presentity);
        let phase = match (self.known.get(&pair), decision) {
            (Some(known), _) if known.phase != Phase::Fetch => known.phase,
            (_, Authorization::Allowed) => Phase::Active,
            (_, Authorization::Pending) if expires == 0 => Phase::Fetch,
            (_, Authorization::Pending) => Phase::Pending,
            (_, Authorization::Refused) => return self.refuse(dialog, End::of(Reason::Rejected, None), actions),
            (_, Authorization::NoResource) => return self.refuse(dialog, End::of(Reason::Noresource, None), actions),
        };
        if !self.bounds.take(&pair) {
            if let Some(total) = self.refused.count(now) {
                log::warn!("no place for the subscription of {watcher} to {presentity}: it may come back later; {total} so far");
            }
            return self.refuse(dialog, End::of(Reason::Probation, Some(PROBATION)), actions);
        }
        let pair = self.known.get_key_value(&pair).map_or_else(|| Rc::new(pair), |(pair, _)| Rc::clone(pair));
        self.last = self.last.wrapping_add(1);
        let number = self.last;
        let known = self.known.entry(Rc::clone(&pair)).or_insert_with(|| VirtualSubscription::new(phase));
        if known.phase == Phase::Fetch {
            known.phase = phase;
        }
        known.dialogs.reserve_exact(1);
        known.dialogs.push(number);
        let knows_state = known.knows_state();
        self.numbers.insert(self.digest(&dialog), number);
        let (lasts, lifetime) = match expires {
            0 => (Lasts::Once, FETCH_PATIENCE),
            seconds => (Lasts::Lasting, Duration::from_secs(seconds.into())),
        };
        let dialog = Dialog::new(dialog, Rc::clone(&pair), cseq, now.checked_add(lifetime).unwrap_or(now), lasts);
        self.dialogs.insert(number, dialog);
        self.look_again(number);
        if phase != Phase::Pending && !knows_state {
            self.probe(&pair, actions);
        }
        match lasts {
            // From what is known, or as a watcher who may not see yet.
            Lasts::Once if knows_state || phase == Phase::Pending => self.end(now, number, End::FETCHED, actions),
            Lasts::Once => {}
            Lasts::Lasting => self.notify(now, number, actions),
        }
        wish(&pair, phase, lasts)
    }

    /// A further SUBSCRIBE in a dialog.
    fn refresh(
        &mut self,
        now: Instant,
        number: u64,
        by: &sip::Dialog,
        (cseq, expires): (u32, u32),
        actions: &mut Vec<Action>,
    ) -> Wish {
        let Some(dialog) = self.dialogs.get_mut(&number) else { return Wish::Nothing };
        if !dialog.is_refreshed(cseq, by) {
            return Wish::Nothing;
        }
        let pair = Rc::clone(&dialog.pair);
        if expires == 0 {
            self.end(now, number, End::TIMEOUT, actions);
            return Wish::Nothing;
        }
        dialog.expires = now.checked_add(Duration::from_secs(expires.into())).unwrap_or(now);
        dialog.owed = true;
        let lasts = dialog.lasts;
        self.look_again(number);
        self.notify(now, number, actions);
        self.known.get(&pair).map_or(Wish::Nothing, |known| wish(&pair, known.phase, lasts))
    }

    /// A subscription that ends as soon as it has begun.
    fn refuse(&mut self, dialog: sip::Dialog, end: End, actions: &mut Vec<Action>) -> Wish {
        self.last = self.last.wrapping_add(1);
        let dialog = Rc::new(dialog);
        let headers = self.headers(&dialog, SubscriptionState::Terminated(end.reason), end.retry_after, None);
        actions.push(Action::Notify(sip::Notify {
            number: self.last,
            dialog: Rc::clone(&dialog),
            cseq: 1,
            headers,
            body: Vec::new(),
        }));
        actions.push(Action::EndDialog(dialog));
        Wish::Nothing
    }

    /// Whoever waits for a fetch gets it with the next tick: further resources answer in the same breath.
    fn fetch_soon(&mut self, now: Instant, number: u64) {
        if let Some(dialog) = self.dialogs.get_mut(&number).filter(|dialog| dialog.lasts == Lasts::Once) {
            dialog.expires = now;
            self.look_again(number);
        }
    }

    fn end_all(&mut self, now: Instant, pair: &Pair, end: End, actions: &mut Vec<Action>) {
        let dialogs = self.known.get(pair).map(|known| known.dialogs.clone()).unwrap_or_default();
        for number in dialogs {
            self.end(now, number, end, actions);
        }
    }

    fn end(&mut self, now: Instant, number: u64, end: End, actions: &mut Vec<Action>) {
        if let Some(dialog) = self.dialogs.get_mut(&number) {
            dialog.end = dialog.end.or(Some(end));
            self.notify(now, number, actions);
        }
    }

    /// Says in a dialog what was not said yet, unless it has to wait.
    fn notify(&mut self, now: Instant, number: u64, actions: &mut Vec<Action>) {
        let Some(dialog) = self.dialogs.get_mut(&number) else { return };
        let Some(known) = self.known.get(&dialog.pair) else { return };
        let news = dialog.owed || dialog.told != known.version;
        let waits = dialog.lasts == Lasts::Once || !news;
        if !dialog.is_free(now) || (dialog.end.is_none() && waits) {
            return;
        }
        let (end, left) = (dialog.end, dialog.seconds_left(now));
        let (state, seconds) = match (end, known.phase) {
            (Some(end), _) => (SubscriptionState::Terminated(end.reason), end.retry_after),
            (None, Phase::Active) => (SubscriptionState::Active, Some(left)),
            (None, Phase::Pending | Phase::Fetch) => (SubscriptionState::Pending, Some(left)),
        };
        let document = match end.map_or(Says::State, |end| end.says) {
            Says::State => known.document(&dialog.pair, &self.addresses),
            Says::Closed if known.phase == Phase::Active => closed(&dialog.pair.presentity, &self.addresses),
            Says::Closed | Says::Nothing => None,
        };
        let cseq = dialog.goes(now, known.version);
        let dialog = Rc::clone(&dialog.sip);
        let body = document.unwrap_or_default().into_bytes();
        let headers = self.headers(&dialog, state, seconds, (!body.is_empty()).then_some("application/pidf+xml"));
        actions.push(Action::Notify(sip::Notify { number, dialog, cseq, headers, body }));
        match end {
            Some(_) => self.forget(number, actions),
            None => self.look_again(number),
        }
    }

    fn headers(
        &self,
        dialog: &sip::Dialog,
        state: SubscriptionState,
        seconds: Option<u32>,
        content_type: Option<&str>,
    ) -> Headers {
        let mut headers = Headers::default();
        match dialog.event_id() {
            "" => headers.push(HeaderName::Event, "presence"),
            id => headers.push(HeaderName::Event, &["presence;id=", id].concat()),
        }
        headers.push(HeaderName::SubscriptionState, &write_subscription_state(state, seconds));
        headers.push(HeaderName::Contact, &["<", &self.contact, ">"].concat());
        headers.push(HeaderName::ContentType, content_type.unwrap_or_default());
        headers
    }

    /// The dialog is over, and its virtual subscription with the last one.
    fn forget(&mut self, number: u64, actions: &mut Vec<Action>) {
        let Some(dialog) = self.dialogs.remove(&number) else { return };
        self.numbers.remove(&self.digest(&dialog.sip));
        if let Some(due) = dialog.due {
            self.due.remove(&(due, number));
        }
        self.bounds.give_back(&dialog.pair);
        if dialog.lasts == Lasts::Lasting {
            actions.push(Action::EndDialog(dialog.sip));
        }
        let Some(known) = self.known.get_mut(&dialog.pair) else { return };
        known.dialogs.retain(|known| *known != number);
        if known.dialogs.is_empty() {
            let is_left = known.phase == Phase::Active
                && dialog.end.is_none_or(|end| end.says != Says::Nothing)
                && dialog.lasts == Lasts::Lasting;
            self.known.remove(&dialog.pair);
            if is_left {
                self.left.push(dialog.pair);
            }
        }
    }

    /// Sets when the dialog is looked at again, in place of what was set.
    fn look_again(&mut self, number: u64) {
        let Some(dialog) = self.dialogs.get_mut(&number) else { return };
        if let Some(due) = dialog.due {
            self.due.remove(&(due, number));
        }
        let due = dialog.next_due();
        dialog.due = Some(due);
        self.due.insert((due, number));
    }

    /// Asks for the state of the XMPP user, if there is a stream; else it is asked for when it stands.
    fn probe(&self, pair: &Pair, actions: &mut Vec<Action>) {
        if self.up.contains(&*domain_of(&pair.watcher)) {
            actions.push(presence_stanza(&pair.watcher, &pair.presentity, "probe"));
        }
    }

    fn number_of(&self, dialog: &sip::Dialog) -> Option<u64> {
        let number = self.numbers.get(&self.digest(dialog))?;
        self.dialogs.get(number).filter(|known| known.sip.id() == dialog.id()).map(|_| *number)
    }

    fn digest(&self, dialog: &sip::Dialog) -> u64 {
        self.keys.hash_one(dialog.id())
    }
}

/// Who waits for a decision is asked for. The question is put once, however often this is said.
fn wish(pair: &Pair, phase: Phase, lasts: Lasts) -> Wish {
    match (phase, lasts) {
        (Phase::Pending, Lasts::Lasting) => {
            Wish::Decision { watcher: pair.watcher.to_string(), presentity: pair.presentity.to_string() }
        }
        (Phase::Pending, Lasts::Once) | (Phase::Active | Phase::Fetch, _) => Wish::Nothing,
    }
}
