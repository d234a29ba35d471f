//! The gateway's state machines, driven by stanzas and SIP events, with a clock of the test's own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test ends at the first surprise"
)]

#[path = "gateway/support.rs"]
mod support;

#[path = "gateway/admission.rs"]
mod admission;
#[path = "gateway/components.rs"]
mod components;
#[path = "gateway/kept.rs"]
mod kept;
#[path = "gateway/lamps.rs"]
mod lamps;
#[path = "gateway/messages.rs"]
mod messages;
#[path = "gateway/notifier.rs"]
mod notifier;
#[path = "gateway/notifier_lamps.rs"]
mod notifier_lamps;
#[path = "gateway/outcomes.rs"]
mod outcomes;
#[path = "gateway/own_presence.rs"]
mod own_presence;
#[path = "gateway/publications.rs"]
mod publications;
#[path = "gateway/refused.rs"]
mod refused;
#[path = "gateway/renamed.rs"]
mod renamed;
#[path = "gateway/requests.rs"]
mod requests;
#[path = "gateway/rfc8048.rs"]
mod rfc8048;
#[path = "gateway/subscription_table.rs"]
mod subscription_table;
#[path = "gateway/subscriptions.rs"]
mod subscriptions;
#[path = "gateway/undelivered.rs"]
mod undelivered;
#[path = "gateway/watchers.rs"]
mod watchers;
