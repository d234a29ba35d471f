//! The state of a phone in its user's own XMPP account: a resource of that account that shows whether the phone is there, and in a call.
//!
//! ```text
//!  registrar, dialogs, PUBLISH, script, commands, table          the phone process
//!  ----------------------------------------------------          -----------------
//!  what happened: Fact    --- link --->   users: contacts and calls of a SIP user, as state::Event
//!                                           | state: (State, Event) -> State
//!                                           v
//!                                         session: login and presence in the account, over BOSH or TCP
//! ```
//!
//! Sans-IO: time and randomness are arguments.

pub mod account;
pub mod import;
pub mod kept;
pub mod presence;
pub mod session;
pub mod state;
pub mod users;
