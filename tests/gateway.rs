//! The gateway's state machines, driven by stanzas and SIP events, with a clock of the test's own.

#[path = "gateway/support.rs"]
mod support;

#[path = "gateway/messages.rs"]
mod messages;
#[path = "gateway/publications.rs"]
mod publications;
#[path = "gateway/questions.rs"]
mod questions;
#[path = "gateway/subscriptions.rs"]
mod subscriptions;
#[path = "gateway/watchers.rs"]
mod watchers;
