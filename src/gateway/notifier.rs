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
mod kept;
mod moment;
mod notify;
mod numbers;
mod subscribe;
mod virtual_subscription;

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::hash::RandomState;
use std::time::Duration;
use std::time::Instant;

use crate::address::Addresses;
use crate::address::domain_of;
use crate::config::Config;
use crate::config::ContactLamp;
use crate::config::PresenceComposition;
use crate::gateway::action::Action;
use crate::gateway::action::Authorization;
use crate::gateway::event::NotifyReply;
use crate::gateway::kept::Changes;
use crate::gateway::kept::DialogKey;
use crate::gateway::presence_stanza;
use crate::gateway::publication::When;
use crate::gateway::tally::Tally;
use crate::sip;
use crate::sip::Reason;
use crate::translate::presence::ResourcePresence;
use crate::xmpp::activity::Activity;
use bounds::Bounds;
use dialog::Dialog;
use dialog::End;
use dialog::Lasts;
use dialog::Outcome;
use moment::Moment;
use virtual_subscription::Change;
use virtual_subscription::Pair;
use virtual_subscription::Phase;
use virtual_subscription::VirtualSubscription;

pub(super) use self::subscribe::Wish;

/// How long a fetch waits for the answer to a probe. The watcher waits 32 s for its NOTIFY (RFC 6665 §4.1.2.4).
pub const FETCH_PATIENCE: Duration = Duration::from_secs(5);

/// After a broken stream, a resource that does not answer a probe within this time is gone.
pub const CONFIRM: Duration = Duration::from_secs(60);

/// Dialogs and virtual subscriptions looked at in one tick: where all are due at once, the rest of the process must not wait for them.
pub const PER_TICK: usize = 500;

/// Time between two NOTIFYs about a user who is beyond the limit of traffic (RFC 3856 §6.10).
pub const PACE: Duration = Duration::from_secs(5);

/// When a watcher for whom there is no place may come back, in seconds.
const PROBATION: u32 = 300;

/// Who watches by which dialogs.
#[derive(Debug)]
pub(super) struct Notifier {
    addresses: Addresses,
    /// Contact of our NOTIFYs, where the watchers' further requests come in.
    contact: sip::Uri,
    composition: PresenceComposition,
    /// What lights lamps; `None`: there are none.
    lights: Option<ContactLamp>,
    /// Time between two NOTIFYs of new states.
    interval: Duration,
    /// Where moments are counted from.
    began: Instant,
    /// In boxes, as are the dialogs: a table that has just grown is half empty.
    known: HashMap<Pair, Box<VirtualSubscription>>,
    dialogs: HashMap<u64, Box<Dialog>>,
    /// The number of the dialog with this digest of Call-ID and tags.
    numbers: HashMap<u64, u64>,
    keys: RandomState,
    /// The number of the newest dialog. It differs from life to life, so that no reply is for another one.
    last: u64,
    /// Dialogs in the order in which they are to be looked at.
    due: BTreeSet<(Moment, u64)>,
    /// Whose state is doubtful, to be probed one after the other.
    doubtful: VecDeque<Pair>,
    /// Until when who was probed has time to answer, and to which doubts.
    probed: VecDeque<(Moment, u32, Pair)>,
    bounds: Bounds,
    refused: Tally,
    /// Whose last dialog has ended.
    left: Vec<Pair>,
    /// Domains of SIP users that have a stream.
    up: BTreeSet<String>,
    /// What is to be written.
    pub(super) changes: Changes<DialogKey>,
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
    pub(super) fn new(config: &Config, now: Instant, seed: u64, keeps: bool) -> Self {
        Self {
            addresses: config.addresses.clone(),
            contact: config.server_address.clone(),
            composition: config.presence_composition,
            lights: config.contact_lamp.clone(),
            interval: config.notify_interval,
            began: now,
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
            changes: Changes::new(keeps),
        }
    }

    /// The final reply to a NOTIFY.
    pub(super) fn replied(&mut self, now: Instant, reply: NotifyReply, actions: &mut Vec<Action>) {
        let NotifyReply { number, status, retry_after } = reply;
        let now = self.moment(now);
        let Some(dialog) = self.dialogs.get_mut(&number) else { return };
        match dialog.replied(now, status, retry_after) {
            Outcome::GoesOn => {
                self.look_again(number);
                self.notify(now, number, actions);
            }
            Outcome::Over => {
                let (watcher, presentity) = (dialog.pair.watcher(), dialog.pair.presentity());
                log::info!("a NOTIFY to {watcher} for {presentity} was answered with {status}: its dialog ends");
                self.forget(number, actions);
            }
        }
    }

    /// A resource of the XMPP user said to a SIP user what it is doing. [`Heard::Taken`]: the SIP user is told here.
    pub(super) fn presence(
        &mut self,
        now: Instant,
        (watcher, presentity, when): (&str, &str, When),
        presence: impl FnOnce() -> Option<ResourcePresence>,
        actions: &mut Vec<Action>,
    ) -> Heard {
        let pair = Pair::new(watcher, presentity);
        let Some(known) = self.known.get_mut(&pair) else { return Heard::Open };
        let Some(presence) = presence() else { return Heard::Open };
        let change = known.heard(presence, self.composition);
        let (now, dialogs) = (Moment::of(now, self.began), known.dialogs.clone());
        for number in dialogs.as_slice().iter().copied() {
            self.fetch_soon(now, number);
            match (change, when) {
                (Change::None, _) if !self.is_lamp(number) => {}
                (Change::Visible | Change::None, When::Now) => self.notify(now, number, actions),
                (Change::Visible | Change::None, When::WithToken) => self.notify_later(now, number),
            }
        }
        Heard::Taken
    }

    /// An event of PEP said to a SIP user what the XMPP user is at.
    pub(super) fn activity(
        &mut self,
        now: Instant,
        (watcher, presentity): (&str, &str),
        activity: Activity,
        actions: &mut Vec<Action>,
    ) {
        let Some(known) = self.known.get_mut(&Pair::new(watcher, presentity)) else { return };
        known.on_the_phone = activity == Activity::OnThePhone;
        let now = Moment::of(now, self.began);
        for number in known.dialogs.clone().as_slice().iter().copied() {
            self.notify(now, number, actions);
        }
    }

    /// The XMPP user decided on a SIP user. [`Heard::Taken`]: it answers a fetch alone, and is no decision to be kept.
    pub(super) fn decided(
        &mut self,
        now: Instant,
        (watcher, presentity): (&str, &str),
        decision: Authorization,
        actions: &mut Vec<Action>,
    ) -> Heard {
        let (now, pair) = (self.moment(now), Pair::new(watcher, presentity));
        let Some(known) = self.known.get_mut(&pair) else { return Heard::Open };
        let phase = known.phase;
        let reason = match decision {
            Authorization::Pending | Authorization::Hidden => return Heard::Open,
            Authorization::Allowed => {
                if known.activate() == Change::Visible {
                    let (dialogs, knows_state) = (known.dialogs.clone(), known.knows_state());
                    if !knows_state {
                        self.probe(&pair, actions);
                    }
                    for number in dialogs.as_slice().iter().copied() {
                        self.keep(number);
                        self.owe(number);
                        self.notify(now, number, actions);
                    }
                }
                return Heard::Open;
            }
            Authorization::Refused => Reason::Rejected,
            Authorization::NoResource => Reason::Noresource,
        };
        self.end_all(now, &pair, End::of(reason), actions);
        if phase == Phase::Fetch { Heard::Taken } else { Heard::Open }
    }

    /// Whether this SIP user has a dialog on this XMPP user.
    pub(super) fn knows(&self, watcher: &str, presentity: &str) -> bool {
        self.known.contains_key(&Pair::new(watcher, presentity))
    }

    /// Whether this SIP user is shown a resource of this XMPP user over a stream that stands.
    pub(super) fn is_shown(&self, watcher: &str, presentity: &str) -> bool {
        self.known.get(&Pair::new(watcher, presentity)).is_some_and(|known| known.is_there())
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
            named.is_none_or(|(watcher, presentity)| {
                (&*watcher, &*presentity) != (dialog.pair.watcher(), dialog.pair.presentity())
            })
        };
        let now = self.moment(now);
        let renamed: Vec<u64> = self.dialogs.iter().filter(|(_, dialog)| is_other(dialog)).map(|(number, _)| *number).collect();
        for number in renamed {
            self.end(now, number, End::of(Reason::Deactivated), actions);
        }
    }

    /// The stream of a domain stands. What comes back are the questions that its users wait with: watcher and presentity.
    pub(super) fn stream_up(&mut self, domain: &str) -> Vec<(String, String)> {
        self.up.insert(domain.to_owned());
        let mut waiting = Vec::new();
        for (pair, known) in self.known.iter().filter(|(pair, _)| domain_of(pair.watcher()) == domain) {
            match known.phase {
                Phase::Pending => waiting.push(pair.to_names()),
                Phase::Active | Phase::Fetch => self.doubtful.push_back(pair.clone()),
            }
        }
        waiting
    }

    /// The stream of a domain broke: what was said over it may have changed unheard.
    pub(super) fn stream_down(&mut self, domain: &str) {
        self.up.remove(domain);
        self.doubtful.retain(|pair| domain_of(pair.watcher()) != domain);
        for (_, known) in self.known.iter_mut().filter(|(pair, _)| domain_of(pair.watcher()) == domain) {
            known.doubt();
        }
    }

    /// Ends what runs out, tries again what was to wait, asks for what is doubtful.
    pub(super) fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        let now = self.moment(now);
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
            let Some(known) = self.known.get(&pair) else { continue };
            self.probed.push_back((now.after(CONFIRM), known.doubts, pair.clone()));
            self.probe(&pair, actions);
        }
        for _ in 0..PER_TICK {
            if self.probed.front().is_none_or(|(deadline, ..)| *deadline > now) {
                break;
            }
            let Some((_, doubts, pair)) = self.probed.pop_front() else { break };
            let Some(known) = self.known.get_mut(&pair).filter(|known| known.doubts == doubts) else { continue };
            if known.believe_no_more(self.composition) == Change::Visible {
                for number in known.dialogs.clone().as_slice().iter().copied() {
                    self.notify(now, number, actions);
                }
            }
        }
    }

    /// Whose last dialog ended since this was asked last, and who is to be told: watcher and presentity.
    pub(super) fn left(&mut self) -> Vec<(String, String)> {
        let up = &self.up;
        let told = |pair: &Pair| up.contains(&*domain_of(pair.watcher()));
        self.left.drain(..).filter(told).map(|pair| pair.to_names()).collect()
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
        if self.up.contains(&*domain_of(pair.watcher())) {
            actions.push(presence_stanza(pair.watcher(), pair.presentity(), "probe"));
        }
    }

    fn moment(&self, now: Instant) -> Moment {
        Moment::of(now, self.began)
    }

    fn digest(&self, dialog: &sip::Dialog) -> u64 {
        self.keys.hash_one(dialog.id())
    }
}
