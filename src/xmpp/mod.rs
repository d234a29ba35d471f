//! XMPP, sans-IO: bytes in, elements and decisions out. Nothing here opens a socket, reads a clock or logs.
//!
//! ```text
//!  bytes -> framer -> element -> component -> Event::Stanza -> (gateway)
//!              |          ^          |
//!              +-> token, tag, tree  +-> output: handshake, stream errors
//! ```
//!
//! Everything above the framer knows one content namespace, `jabber:client`.

pub mod activity;
pub mod bosh;
pub mod caps;
pub mod client;
pub mod component;
pub mod disco;
pub mod element;
pub mod fault;
pub mod framer;
pub mod head;
pub mod host_meta;
pub mod last;
pub mod ns;
pub mod ping;
pub mod sasl;
pub mod stanza;
pub mod stanza_error;
pub mod stream_error;
pub mod time;
pub mod vcard;
pub mod version;

mod skip;
mod tag;
mod token;
mod tree;
