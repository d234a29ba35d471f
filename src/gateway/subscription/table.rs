//! What becomes of a subscription: for each phase and each thing that happens, the next phase and what is done (RFC 8048 §5.2 with
//! RFC 6665 §4.1). Nothing else decides; how a step is done stands in `steps`.
//!
//! ```text
//!  subscribe, probe --> Asked --NOTIFY active--> Active --terminated--> Asked again, at once or after a pause
//!                         |                        |----invariant-----> Final
//!                         |                        |----watcher gone--> Leaving (nothing is said to XMPP)
//!                         +--403 489 603, rejected, noresource--------> Over, `unsubscribed`
//!                         +--404, 3xx, 406 ...------------------------> Over, a stanza error to who asked
//!  unsubscribe --> Ending --any final reply--> Over, `unsubscribed`
//! ```
//!
//! A 2xx says nothing (RFC 8048 §5.2.1), nor does a NOTIFY pending: only the first NOTIFY active is `subscribed`.

use crate::sip::Reason;

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A SUBSCRIBE was sent or will be: no state is known yet, or it is no longer.
    Asked,
    /// The state is known, and changes will be told.
    Active,
    /// The state is known and will never change (RFC 7621 §4): there is no dialog.
    Final,
    /// The watcher gave it up, and waits for `unsubscribed`.
    Ending,
    /// The dialog ends or runs out, and nobody waits for that: the watcher is not there.
    Leaving,
    /// Nothing is left of it but NOTIFYs that may still be on their way: nobody is to see them.
    Over,
}

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// `<presence type='subscribe'/>`.
    Subscribe,
    /// `<presence type='probe'/>`.
    Probe,
    /// `<presence type='unsubscribe'/>`.
    Unsubscribe,
    /// Presence that we sent came back: the watcher does not exist (any more).
    CameBack,
    /// 2xx to a SUBSCRIBE.
    Accepted,
    /// 2xx that leaves no subscription: Expires is 0.
    Closed,
    /// 403, 489, 603: the authorization is over (RFC 8048 §5.2.2).
    Denied,
    /// A final failure that somebody waits to be told.
    Failed,
    /// 423 (RFC 6665 §4.2.1.1).
    TooBrief,
    /// Any other reply, or a request that the host did not send: it may pass.
    Passing,
    /// NOTIFY pending.
    Pending,
    /// NOTIFY active.
    Notified,
    /// NOTIFY terminated.
    Terminated(Reason),
    /// A pause is over.
    Retry,
    /// It is from before a restart: whether its dialog still stands has to be found out.
    Restored,
    /// What was waited for did not come.
    Silence,
    /// The dialog would run out.
    Refresh,
    /// The watcher is there, or nobody can tell.
    There,
    /// The watcher is not there.
    Gone,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// SUBSCRIBE; what comes of it is waited for.
    Subscribe,
    /// The same, unless one is on its way: what comes of that answers this wish too.
    SubscribeOnce,
    /// SUBSCRIBE with Expires 0; its reply is waited for.
    Unsubscribe,
    /// `subscribed` is to be said with the first state.
    Announce,
    /// `subscribed` again, asking nobody (RFC 6121 §3.1.3).
    Confirm,
    /// The state as it is known.
    Show,
    /// Takes the state of the NOTIFY; `unavailable` for each resource that it lacks.
    Update,
    /// Takes the state of the NOTIFY and tells it, where it has one.
    Last,
    /// `subscribed` if that is due, and what of the state is new.
    Tell,
    /// `unavailable` for each resource shown.
    Withdraw,
    /// The resources shown are forgotten, and nothing is said.
    Forget,
    /// `unsubscribed`.
    Unsubscribed,
    /// The stanza error, to who asked.
    Error,
    /// A 2xx: refreshes before the dialog runs out. If no NOTIFY has come, one is waited for.
    Keep,
    /// A NOTIFY: refreshes before the dialog runs out.
    Heard,
    /// Nothing is waited for.
    Rest,
    /// SUBSCRIBE at once; after a pause, if the last one was just now.
    AtOnce,
    /// SUBSCRIBE after a pause, which grows; if that is long, `unavailable` for each resource shown.
    Pause,
    /// SUBSCRIBE with the lifetime that the 423 wants; without one, after a pause.
    Lengthen,
    /// Asks whether the watcher is there.
    Prove,
    /// Waits for the end of the dialog.
    RunOut,
}

/// The end of an authorization, as XMPP hears of it.
const END: &[Step] = &[Step::Withdraw, Step::Unsubscribed];

/// The next phase, and what is done.
pub(super) fn row(phase: Phase, input: Input) -> (Phase, &'static [Step]) {
    match input {
        Input::Subscribe | Input::Probe | Input::Unsubscribe | Input::CameBack => wish(phase, input),
        Input::Accepted | Input::Closed | Input::Denied | Input::Failed | Input::TooBrief | Input::Passing => reply(phase, input),
        Input::Pending | Input::Notified => notify(phase, input),
        Input::Terminated(reason) => terminated(phase, reason),
        Input::Retry | Input::Restored | Input::Silence | Input::Refresh | Input::There | Input::Gone => due(phase, input),
    }
}

/// What the watcher wants.
fn wish(phase: Phase, input: Input) -> (Phase, &'static [Step]) {
    match (phase, input) {
        (Phase::Active | Phase::Final, Input::Subscribe) => (phase, &[Step::Confirm, Step::Show]),
        (Phase::Active | Phase::Final, Input::Probe) => (phase, &[Step::Show]),
        (Phase::Asked, Input::Subscribe) => (phase, &[Step::Announce, Step::SubscribeOnce]),
        (Phase::Asked, Input::Probe) => (phase, &[Step::SubscribeOnce]),
        (Phase::Ending | Phase::Leaving | Phase::Over, Input::Subscribe) => (Phase::Asked, &[Step::Announce, Step::Subscribe]),
        (Phase::Ending | Phase::Leaving | Phase::Over, Input::Probe) => (Phase::Asked, &[Step::Subscribe]),
        // It is on its way: what comes of it answers this one too.
        (Phase::Ending, Input::Unsubscribe) => (phase, &[]),
        (_, Input::Unsubscribe) => (Phase::Ending, &[Step::Unsubscribe]),
        (Phase::Asked | Phase::Active | Phase::Final, _) => (Phase::Leaving, &[Step::Forget, Step::Unsubscribe]),
        (Phase::Ending, _) => (Phase::Leaving, &[Step::Forget]),
        (Phase::Leaving | Phase::Over, _) => (phase, &[]),
    }
}

/// The final reply to a SUBSCRIBE.
fn reply(phase: Phase, input: Input) -> (Phase, &'static [Step]) {
    match (phase, input) {
        (Phase::Asked | Phase::Active, Input::Accepted) => (phase, &[Step::Keep]),
        // That to an unsubscribe which was taken back: the reply to what came after it counts.
        (Phase::Asked | Phase::Active, Input::Closed) => (phase, &[]),
        (Phase::Asked | Phase::Active | Phase::Final, Input::Denied) => (Phase::Over, END),
        (Phase::Asked | Phase::Active, Input::Failed) => (Phase::Over, &[Step::Withdraw, Step::Error]),
        (Phase::Asked | Phase::Active, Input::TooBrief) => (phase, &[Step::Lengthen]),
        (Phase::Asked | Phase::Active, _) => (phase, &[Step::Pause]),
        (Phase::Final, _) => (phase, &[]),
        // That to a SUBSCRIBE which was on its way: the one that ends the dialog has not been answered yet.
        (Phase::Ending | Phase::Leaving, Input::Accepted) => (phase, &[]),
        (Phase::Ending, _) => (Phase::Over, END),
        (Phase::Leaving, _) => (Phase::Over, &[]),
        (Phase::Over, _) => (phase, &[]),
    }
}

fn notify(phase: Phase, input: Input) -> (Phase, &'static [Step]) {
    match (phase, input) {
        (Phase::Asked | Phase::Active, Input::Pending) => (phase, &[Step::Heard]),
        (Phase::Final, Input::Pending) => (phase, &[]),
        (Phase::Asked | Phase::Active | Phase::Final, _) => (Phase::Active, &[Step::Update, Step::Heard, Step::Tell]),
        (Phase::Ending | Phase::Leaving | Phase::Over, _) => (phase, &[]),
    }
}

/// RFC 6665 §4.1.3.
fn terminated(phase: Phase, reason: Reason) -> (Phase, &'static [Step]) {
    match (phase, reason) {
        (Phase::Asked | Phase::Active, Reason::Deactivated | Reason::Timeout) => (Phase::Asked, &[Step::AtOnce]),
        (Phase::Asked | Phase::Active, Reason::Probation | Reason::Giveup | Reason::Unspecified) => {
            (Phase::Asked, &[Step::Pause])
        }
        (Phase::Asked, Reason::Invariant) => (Phase::Final, &[Step::Update, Step::Rest, Step::Tell]),
        (Phase::Active, Reason::Invariant) => (Phase::Final, &[Step::Last, Step::Rest]),
        // Of no resource: nobody is left who could answer a further try.
        (Phase::Asked | Phase::Active | Phase::Final, Reason::Rejected | Reason::Noresource) => (Phase::Over, END),
        (Phase::Final, _) => (phase, &[]),
        // The reply is what `unsubscribed` follows (RFC 8048 §5.2.3).
        (Phase::Ending | Phase::Over, _) => (phase, &[]),
        (Phase::Leaving, _) => (Phase::Over, &[]),
    }
}

/// Time has passed, or who was asked has answered.
fn due(phase: Phase, input: Input) -> (Phase, &'static [Step]) {
    match (phase, input) {
        (Phase::Asked | Phase::Active, Input::Retry | Input::Restored) => (phase, &[Step::Subscribe]),
        (Phase::Ending, Input::Restored) => (phase, &[Step::Unsubscribe]),
        (Phase::Asked | Phase::Active, Input::Silence) => (phase, &[Step::Pause]),
        (Phase::Ending, Input::Silence) => (Phase::Over, END),
        (Phase::Leaving, Input::Silence) => (Phase::Over, &[]),
        // Who asked and went away waits for the answer all the same.
        (Phase::Asked, Input::Refresh) => (phase, &[Step::Subscribe]),
        (Phase::Active, Input::Refresh) => (phase, &[Step::Prove]),
        (Phase::Active, Input::There) => (phase, &[Step::Subscribe]),
        (Phase::Active, Input::Gone) => (Phase::Leaving, &[Step::Withdraw, Step::RunOut]),
        (Phase::Asked | Phase::Active | Phase::Final | Phase::Ending | Phase::Leaving | Phase::Over, _) => (phase, &[]),
    }
}
