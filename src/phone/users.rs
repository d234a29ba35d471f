//! The phones of SIP users: contacts, publications and calls, made into [`Event`]s of [`State`].
//!
//! A contact tells its lifetime along with it, so that an end of which nobody tells is noticed: a phone without power, a datagram that found no
//! room on the link.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use crate::phone::state::Event;
use crate::phone::state::State;
use crate::translate::call::Phase;

/// What happened to a SIP user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// The address of record, a SIP URI.
    pub user: String,
    /// What it was.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A contact was stored by the registrar, or refreshed.
    Contact {
        /// Its URI. A phone may have several, and a new one before the old one is gone.
        uri: String,
        /// What tells the phone apart: its instance id (RFC 5626), else the URI.
        phone: String,
        /// How long it is stored, if nothing comes.
        lifetime: Duration,
    },
    /// A contact is gone: removed, replaced or expired.
    ContactGone {
        /// Its URI.
        uri: String,
    },
    /// A PUBLISH of the user was taken; with a lifetime of zero nothing is published any more.
    Published(Duration),
    /// The user's calls changed: what keeps most busy, with the other side; `None`: there are none.
    Call(Option<(Phase, String)>),
    /// A call goes on.
    CallKept,
    /// A script or a program says what the state is.
    Told(State),
}

/// Which states are shown besides those of the connector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Ringing is a state.
    pub ringing: bool,
    /// On hold is a state.
    pub on_hold: bool,
}

/// The users who have an account, and what is known of their phones.
#[derive(Debug, Default)]
pub struct Users {
    options: Options,
    users: HashMap<String, User>,
}

/// One user.
#[derive(Debug)]
struct User {
    state: State,
    /// By URI.
    contacts: BTreeMap<Box<str>, Contact>,
    published_until: Option<Instant>,
    call: Option<(Phase, String)>,
}

/// One contact.
#[derive(Debug)]
struct Contact {
    phone: Box<str>,
    /// Until when it is stored.
    until: Instant,
}

/// What one user's account is to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The user.
    pub user: String,
    /// The state after the one before it.
    pub state: State,
    /// The other side of the call, if there is one.
    pub other: Option<String>,
}

impl Users {
    /// Knows nobody yet.
    pub fn new(options: Options) -> Self {
        Self { options, users: HashMap::new() }
    }

    /// Takes what happened to a user who has an account; what comes of it, if it is about the state or the number of the phones.
    pub fn fact(&mut self, now: Instant, fact: Fact) -> Option<Change> {
        let user = self.users.entry(fact.user.clone()).or_insert_with(User::new);
        let before = (user.state, user.contacts.len());
        let event = match fact.what {
            What::Told(state) => {
                user.state = state;
                None
            }
            What::Contact { uri, phone, lifetime } => user.contact(uri.into(), phone.into(), now.checked_add(lifetime)),
            What::ContactGone { uri } => user.contacts.remove(&*uri).and_then(|_| user.lost()),
            What::Published(lifetime) => user.published(now, lifetime),
            What::Call(call) => user.call(call, self.options),
            What::CallKept => user.call_kept(self.options),
        };
        if let Some(event) = event {
            user.state = user.state.after(event);
        }
        // Who comes back in a call is in it: nobody says so again.
        if event == Some(Event::Registered)
            && let Some(event) = user.in_call(self.options)
        {
            user.state = user.state.after(event);
        }
        let is_told = event.is_some() || (user.state, user.contacts.len()) != before;
        let change = is_told.then(|| user.change(fact.user.clone()));
        if user.is_idle() {
            self.users.remove(&fact.user);
        }
        change
    }

    /// Contacts and publications whose time has passed are gone. All users are looked at.
    pub fn expire(&mut self, now: Instant) -> Vec<Change> {
        let mut changes = Vec::new();
        self.users.retain(|name, user| {
            let before = user.holds();
            user.contacts.retain(|_, contact| contact.until > now);
            user.published_until = user.published_until.filter(|until| *until > now);
            if user.holds() != before {
                user.state = user.lost().map_or(user.state, |event| user.state.after(event));
                changes.push(user.change(name.clone()));
            }
            !user.is_idle()
        });
        changes
    }

    /// The phones of a user that are registered.
    pub fn phones(&self, user: &str) -> impl Iterator<Item = &str> {
        self.users.get(user).into_iter().flat_map(|user| user.contacts.values().map(|contact| &*contact.phone))
    }

    /// What the account of a user is to show, with the other side of the call.
    pub fn present(&self, user: String) -> Change {
        match self.users.get(&user) {
            Some(known) => known.change(user),
            None => Change { user, state: State::Offline, other: None },
        }
    }

    /// The user has no account any more.
    pub fn forget(&mut self, user: &str) {
        self.users.remove(user);
    }

    /// What the account of a user is to show.
    pub fn state(&self, user: &str) -> State {
        self.users.get(user).map_or(State::Offline, |user| user.state)
    }
}

impl User {
    fn new() -> Self {
        Self { state: State::Offline, contacts: BTreeMap::new(), published_until: None, call: None }
    }

    /// A contact that cannot be held any more changes nothing: its user has more than enough.
    fn contact(&mut self, uri: Box<str>, phone: Box<str>, until: Option<Instant>) -> Option<Event> {
        let is_first = self.holds() == 0;
        if self.contacts.len() < MOST_CONTACTS || self.contacts.contains_key(&uri) {
            self.contacts.insert(uri, Contact { phone, until: until? });
        }
        Some(if is_first { Event::Registered } else { Event::Refreshed })
    }

    fn published(&mut self, now: Instant, lifetime: Duration) -> Option<Event> {
        if lifetime.is_zero() {
            return self.published_until.take().and_then(|_| self.lost());
        }
        let is_first = self.holds() == 0;
        // Several phones of a user publish, and which of their publications this one is nobody says.
        self.published_until = self.published_until.max(now.checked_add(lifetime));
        Some(if is_first { Event::Registered } else { Event::Refreshed })
    }

    /// Something that held the user online is gone: the last one, if it is.
    fn lost(&self) -> Option<Event> {
        (self.holds() == 0).then_some(Event::Gone)
    }

    fn call(&mut self, call: Option<(Phase, String)>, options: Options) -> Option<Event> {
        let before = self.call.as_ref().map(|(phase, _)| options.seen(*phase));
        let after = call.as_ref().map(|(phase, _)| options.seen(*phase));
        let is_same = self.call == call;
        self.call = call;
        match (before, after) {
            _ if is_same => None,
            (None | Some(Seen::Nothing), None | Some(Seen::Nothing)) => None,
            (Some(_), None) | (Some(_), Some(Seen::Nothing)) => Some(self.call_ended()),
            (_, Some(Seen::Ringing)) => match before {
                // The call that was up has ended, and another rings.
                Some(Seen::Talking | Seen::OnHold) => Some(self.call_ended()),
                Some(Seen::Nothing | Seen::Ringing) | None => Some(Event::Ringing),
            },
            (Some(Seen::Talking), Some(Seen::Talking)) => Some(Event::CallEnded),
            (Some(Seen::OnHold), Some(Seen::Talking)) => Some(Event::Resumed),
            (Some(Seen::Ringing | Seen::Nothing) | None, Some(Seen::Talking)) => Some(Event::Confirmed),
            (_, Some(Seen::OnHold)) => Some(Event::Held),
        }
    }

    /// Requests within a call that is not up say nothing.
    fn call_kept(&self, options: Options) -> Option<Event> {
        let is_up = matches!(self.call.as_ref().map(|(phase, _)| options.seen(*phase)), Some(Seen::Talking | Seen::OnHold));
        is_up.then_some(Event::Kept)
    }

    /// What the calls that there are make of a phone that is there.
    fn in_call(&self, options: Options) -> Option<Event> {
        match self.call.as_ref().map(|(phase, _)| options.seen(*phase))? {
            Seen::Nothing => None,
            Seen::Ringing => Some(Event::Ringing),
            Seen::Talking => Some(Event::Confirmed),
            Seen::OnHold => Some(Event::Held),
        }
    }

    /// Who was online for the call only is gone with it.
    fn call_ended(&self) -> Event {
        if self.holds() == 0 { Event::Gone } else { Event::LastCallEnded }
    }

    /// How many things hold the user online.
    fn holds(&self) -> usize {
        self.contacts.len().saturating_add(usize::from(self.published_until.is_some()))
    }

    /// Whether there is nothing to remember.
    fn is_idle(&self) -> bool {
        self.state == State::Offline && self.holds() == 0 && self.call.is_none()
    }

    fn change(&self, user: String) -> Change {
        Change {
            user,
            state: self.state,
            other: self.call.as_ref().map(|(_, other)| other.clone()).filter(|other| !other.is_empty()),
        }
    }
}

/// A call as the states have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    Ringing,
    Talking,
    OnHold,
}

impl Options {
    fn seen(self, phase: Phase) -> Seen {
        match phase {
            Phase::Talking => Seen::Talking,
            Phase::OnHold if self.on_hold => Seen::OnHold,
            Phase::OnHold => Seen::Talking,
            Phase::Ringing if self.ringing => Seen::Ringing,
            Phase::Ringing | Phase::Calling => Seen::Nothing,
        }
    }
}

/// Contacts that are remembered of a user. Registrars permit fewer.
const MOST_CONTACTS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        users: Users,
        now: Instant,
    }

    impl Scene {
        fn new() -> Self {
            Self::with(Options::default())
        }

        fn with(options: Options) -> Self {
            Self { users: Users::new(options), now: Instant::now() }
        }

        fn fact(&mut self, what: What) -> &'static str {
            let fact = Fact { user: "sip:juliet@example.com".to_owned(), what };
            self.users.fact(self.now, fact).map_or("-", |change| change.state.name())
        }

        fn contact(&mut self, phone: &str) -> &'static str {
            self.contact_of(phone, phone)
        }

        fn contact_of(&mut self, uri: &str, phone: &str) -> &'static str {
            self.fact(What::Contact { uri: uri.to_owned(), phone: phone.to_owned(), lifetime: Duration::from_secs(600) })
        }

        fn gone(&mut self, phone: &str) -> &'static str {
            self.fact(What::ContactGone { uri: phone.to_owned() })
        }

        fn call(&mut self, phase: Option<Phase>) -> &'static str {
            self.fact(What::Call(phase.map(|phase| (phase, "Romeo".to_owned()))))
        }

        fn pass(&mut self, seconds: u64) -> Vec<&'static str> {
            self.now = self.now.checked_add(Duration::from_secs(seconds)).unwrap();
            self.users.expire(self.now).iter().map(|change| change.state.name()).collect()
        }
    }

    #[test]
    fn a_day_of_a_phone() {
        let mut scene = Scene::new();
        assert_eq!(scene.contact("a"), "online");
        assert_eq!(scene.contact("a"), "still-online");
        assert_eq!(scene.call(Some(Phase::Ringing)), "-", "not shown");
        assert_eq!(scene.fact(What::CallKept), "-", "an UPDATE before the answer");
        assert_eq!(scene.call(Some(Phase::Talking)), "onthephone");
        assert_eq!(scene.fact(What::CallKept), "still-onthephone");
        assert_eq!(scene.contact("a"), "still-onthephone");
        assert_eq!(scene.call(Some(Phase::OnHold)), "still-onthephone");
        assert_eq!(scene.call(None), "still-online");
        assert_eq!(scene.gone("a"), "offline");
        assert!(scene.users.users.is_empty());
    }

    #[test]
    fn ringing_and_hold_are_shown_where_they_are_wanted() {
        let mut scene = Scene::with(Options { ringing: true, on_hold: true });
        scene.contact("a");
        let phases = [Phase::Calling, Phase::Ringing, Phase::Talking, Phase::OnHold, Phase::Talking];
        assert_eq!(phases.map(|phase| scene.call(Some(phase))), ["-", "ringing", "onthephone", "onhold", "onthephone"]);
        assert_eq!(scene.call(Some(Phase::Ringing)), "still-online", "the one has ended, the other rings");
        assert_eq!(scene.call(None), "still-online");
    }

    #[test]
    fn two_phones_are_gone_when_both_are() {
        let mut scene = Scene::new();
        assert_eq!(
            [scene.contact("a"), scene.contact("b"), scene.gone("a"), scene.gone("a")],
            ["online", "still-online", "still-online", "-"]
        );
        assert_eq!(scene.gone("b"), "offline");
    }

    #[test]
    fn a_phone_without_power_is_gone_when_its_time_has_passed() {
        let mut scene = Scene::new();
        scene.contact("a");
        assert!(scene.pass(599).is_empty());
        scene.contact("a");
        assert!(scene.pass(599).is_empty());
        assert_eq!(scene.pass(2), ["offline"]);
        assert!(scene.pass(2).is_empty());
    }

    #[test]
    fn a_publication_holds_its_user_as_a_contact_does() {
        let mut scene = Scene::new();
        let hour = Duration::from_secs(3600);
        assert_eq!(scene.fact(What::Published(hour)), "online");
        assert_eq!(scene.contact("a"), "still-online");
        assert_eq!(scene.fact(What::Published(Duration::ZERO)), "-", "a contact is left");
        assert_eq!(scene.gone("a"), "offline");
        assert_eq!(scene.fact(What::Published(hour)), "online");
        assert_eq!(scene.fact(What::Published(Duration::from_secs(60))), "still-online", "of another phone");
        assert!(scene.pass(3599).is_empty());
        assert_eq!(scene.pass(2), ["offline"]);
    }

    #[test]
    fn a_phone_that_never_registers_is_there_while_it_talks() {
        let mut scene = Scene::new();
        assert_eq!([scene.call(Some(Phase::Talking)), scene.call(None)], ["onthephone", "offline"]);
        assert_eq!(scene.fact(What::CallKept), "-");
    }

    #[test]
    fn who_unregisters_in_a_call_is_gone() {
        let mut scene = Scene::new();
        scene.contact("a");
        scene.call(Some(Phase::Talking));
        assert_eq!(scene.gone("a"), "offline");
        assert_eq!(scene.call(None), "offline");
        assert!(scene.users.users.is_empty());
    }

    #[test]
    fn who_comes_back_in_a_call_is_in_it() {
        let mut scene = Scene::with(Options { ringing: true, on_hold: true });
        for (phase, shown) in [(Phase::Ringing, "ringing"), (Phase::Talking, "onthephone"), (Phase::OnHold, "onhold")] {
            scene.contact("a");
            scene.call(Some(phase));
            assert_eq!([scene.gone("a"), scene.contact("a")], ["offline", shown]);
            scene.call(None);
            scene.gone("a");
        }
    }

    #[test]
    fn a_phone_whose_old_contact_is_gone_is_there_by_the_new_one() {
        let mut scene = Scene::new();
        assert_eq!([scene.contact_of("a", "phone"), scene.contact_of("b", "phone")], ["online", "still-online"]);
        assert_eq!(scene.gone("a"), "still-online");
        assert_eq!(scene.users.phones("sip:juliet@example.com").collect::<Vec<_>>(), ["phone"]);
        assert_eq!(scene.gone("b"), "offline");
    }

    #[test]
    fn the_end_of_one_call_leaves_the_other() {
        let mut scene = Scene::new();
        scene.contact("a");
        scene.call(Some(Phase::Talking));
        let other = scene.fact(What::Call(Some((Phase::Talking, "Nurse".to_owned()))));
        assert_eq!(other, "still-onthephone");
        assert_eq!(scene.fact(What::Call(Some((Phase::Talking, "Nurse".to_owned())))), "-", "nothing new");
    }

    #[test]
    fn what_is_told_is_believed() {
        let mut scene = Scene::new();
        assert_eq!(scene.fact(What::Told(State::OnThePhone)), "onthephone");
        assert_eq!(scene.fact(What::Told(State::OnThePhone)), "-");
        assert_eq!(scene.contact("a"), "still-onthephone");
        assert_eq!(scene.fact(What::Told(State::Offline)), "offline");
        assert_eq!(scene.contact("a"), "online");
    }

    #[test]
    fn contacts_of_one_user_have_an_end() {
        let mut scene = Scene::new();
        for number in 0..100 {
            scene.contact(&number.to_string());
        }
        assert_eq!(scene.users.users["sip:juliet@example.com"].contacts.len(), MOST_CONTACTS);
        assert_eq!(scene.users.state("sip:juliet@example.com"), State::StillOnline);
    }
}
