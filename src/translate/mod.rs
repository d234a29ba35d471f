//! What becomes of what: SIP to XMPP and back, one subject per file, both directions in it.
//!
//! All of it is pure: no clock, no I/O, no state, no log. The tables are in module-docs/mapping.md, the cases in tests/golden.

pub mod call;
mod call_id;
pub mod contact_lamp;
pub mod disposition;
pub mod failure;
pub mod hops;
pub mod message;
pub mod new_address;
pub mod presence;
mod tuple_id;
pub mod watchers;

use crate::address::AddressError;
use crate::sip::Uri;

/// An address as it may stand in a SIP request. No translated address has anything else in it; the type takes nobody's word for that.
pub(crate) fn uri(address: Result<String, AddressError>) -> Result<Uri, AddressError> {
    Uri::new(address?).ok_or(AddressError::User)
}
