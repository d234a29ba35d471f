//! Rows of the operator's table become a [`Map`]: what is wrong with a row is said with its number, and the row is left out.
//!
//! A row that could not be translated there and back again is none: it must not change an address on the way. What is wrong with
//! the table as a whole (it cannot be read, or is too large) leaves the map that counts as it is.

use jid::BareJid;

use super::MAX_ROWS;
use super::Map;
use super::Name;
use super::ReplaceError;
use super::Row;
use super::Side;
use crate::address::AddressError;
use crate::address::Change;
use crate::address::domain;
use crate::address::escape;
use crate::address::node_of;
use crate::address::uri;
use crate::address::user_of;

/// Bit of the column `flags`: the row stays in the table, but does not count.
pub const DISABLED: i64 = 1;

/// Bad rows that are logged one by one; of further ones only the number is.
const LOGGED: usize = 100;

/// Octets of a value that the log shows.
const SHOWN: usize = 200;

/// Takes rows one by one, in the order of their ids.
#[derive(Debug, Default)]
pub struct Rows {
    rows: Vec<Row>,
    disabled: usize,
    skipped: usize,
    too_many: bool,
}

/// What became of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Loaded {
    /// Users in the map.
    pub rows: usize,
    /// Rows that are wrong, each of them in the log (the first 100 at the most).
    pub skipped: usize,
    /// Rows with the flag [`DISABLED`].
    pub disabled: usize,
}

/// Why a row is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowError {
    /// The SIP URI is none of a user.
    Sip(AddressError),
    /// The SIP URI has a port, a parameter, a header or a password: it is no AoR.
    NoAor,
    /// The JID is none of a user.
    Jid(AddressError),
    /// The JID has a resource, or is no JID at all.
    NoBareJid,
    /// A flag that does not exist.
    Flags,
    /// An earlier row has this address.
    Duplicate(Side),
}

impl std::fmt::Display for RowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sip(error) => write!(f, "sip_uri: {error}"),
            Self::NoAor => f.write_str("sip_uri: not an AoR, as in sip:user@example.com, without port and parameters"),
            Self::Jid(error) => write!(f, "jid: {error}"),
            Self::NoBareJid => f.write_str("jid: not a bare JID, as in user@example.net"),
            Self::Flags => f.write_str("flags: only 0, and 1 for a row that does not count, are defined"),
            Self::Duplicate(Side::Sip) => f.write_str("sip_uri: an earlier row has it"),
            Self::Duplicate(Side::Xmpp) => f.write_str("jid: an earlier row has it"),
        }
    }
}

impl std::error::Error for RowError {}

impl Rows {
    /// One row. After [`MAX_ROWS`] of them it takes no more, and [`Self::replace`] will refuse.
    pub fn take(&mut self, id: i64, sip_uri: &[u8], jid: &[u8], flags: i64) {
        if flags == DISABLED {
            self.disabled = self.disabled.saturating_add(1);
            return;
        }
        if self.rows.len() >= MAX_ROWS {
            self.too_many = true;
            return;
        }
        match Row::new(id, sip_uri, jid, flags) {
            Ok(row) => self.rows.push(row),
            Err(error) => self.skip(id, error, Some((sip_uri, jid))),
        }
    }

    /// The table is read to its end: its users take the place of those that were there.
    pub fn replace(mut self, map: &Map) -> Result<Loaded, ReplaceError> {
        if self.too_many {
            return Err(ReplaceError::TooLarge);
        }
        let duplicates = map.replace(&self.rows)?;
        let rows = self.rows.len().saturating_sub(duplicates.len());
        for duplicate in duplicates {
            self.skip(duplicate.id, RowError::Duplicate(duplicate.side), None);
        }
        if self.skipped > LOGGED {
            log::warn!("{} further rows of the address table are skipped", self.skipped.saturating_sub(LOGGED));
        }
        Ok(Loaded { rows, skipped: self.skipped, disabled: self.disabled })
    }

    fn skip(&mut self, id: i64, error: RowError, values: Option<(&[u8], &[u8])>) {
        self.skipped = self.skipped.saturating_add(1);
        if self.skipped > LOGGED {
            return;
        }
        match values {
            Some((sip_uri, jid)) => {
                log::warn!("row {id} of the address table (\"{}\", \"{}\") is skipped: {error}", shown(sip_uri), shown(jid));
            }
            None => log::warn!("row {id} of the address table is skipped: {error}"),
        }
    }
}

impl Row {
    /// Checks both addresses and takes them to the form in which they are compared.
    pub fn new(id: i64, sip_uri: &[u8], jid: &[u8], flags: i64) -> Result<Self, RowError> {
        if flags != 0 {
            return Err(RowError::Flags);
        }
        Ok(Self { id, sip: aor(sip_uri)?, xmpp: bare_jid(jid)? })
    }
}

fn aor(sip_uri: &[u8]) -> Result<Name, RowError> {
    let uri::Uri::User(parts) = uri::Uri::new(sip_uri).map_err(RowError::Sip)? else { return Err(RowError::NoAor) };
    // Scheme, user, host: with anything else between or after them it would be longer.
    let plain = [parts.user, parts.host].map(<[u8]>::len).iter().fold("sip:@".len(), |sum, length| sum.saturating_add(*length));
    if !sip_uri.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"sip:")) || sip_uri.len() != plain {
        return Err(RowError::NoAor);
    }
    let user = escape::percent_decode(parts.user).ok_or(RowError::Sip(AddressError::User))?;
    let domain = domain::from_sip(parts.host).map_err(RowError::Sip)?;
    let localpart = node_of(&user, Change::Any).map_err(RowError::Sip)?;
    let user = user_of(&localpart).map_err(RowError::Sip)?;
    Ok(Name { user: user.into_owned(), domain: domain.into_owned() })
}

fn bare_jid(jid: &[u8]) -> Result<Name, RowError> {
    let text = std::str::from_utf8(jid).map_err(|_| RowError::NoBareJid)?;
    let jid = BareJid::new(text).map_err(|_| RowError::NoBareJid)?;
    let node = jid.node().ok_or(RowError::Jid(AddressError::NoUser))?;
    let user = user_of(node).map_err(RowError::Jid)?;
    let domain = domain::from_xmpp(jid.domain().as_str()).map_err(RowError::Jid)?;
    // It has to come out as it went in.
    let again = node_of(&user, Change::Any).map_err(RowError::Jid)?;
    if again.as_str() != node.as_str() || domain::to_xmpp(&domain).map_err(RowError::Jid)?.as_str() != jid.domain().as_str() {
        return Err(RowError::Jid(AddressError::Ambiguous));
    }
    Ok(Name { user: user.into_owned(), domain: domain.into_owned() })
}

/// What stands in a table, fit for a log line.
fn shown(value: &[u8]) -> impl std::fmt::Display + '_ {
    value.get(..SHOWN).unwrap_or(value).escape_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(sip_uri: &str, jid: &str) -> RowError {
        Row::new(1, sip_uri.as_bytes(), jid.as_bytes(), 0).unwrap_err()
    }

    #[test]
    fn a_row_is_taken_in_any_spelling_of_its_addresses() {
        let row = Row::new(7, b"SIP:O%27Malley@Example.COM", "o\\27malley@M\u{fc}nchen.example".as_bytes(), 0).unwrap();
        assert_eq!((row.sip.user.as_str(), row.sip.domain.as_str()), ("o'malley", "example.com"));
        assert_eq!((row.xmpp.user.as_str(), row.xmpp.domain.as_str()), ("o'malley", "xn--mnchen-3ya.example"));
    }

    #[test]
    fn what_is_no_aor_or_no_bare_jid_is_said() {
        for (sip_uri, error) in [
            ("sips:a@h.example", RowError::Sip(AddressError::Sips)),
            ("a@h.example", RowError::Sip(AddressError::Scheme)),
            ("", RowError::Sip(AddressError::Scheme)),
            ("sip:h.example", RowError::Sip(AddressError::NoUser)),
            ("sip:a@h..example", RowError::Sip(AddressError::Domain)),
            ("sip:%00@h.example", RowError::Sip(AddressError::User)),
            ("sip:a@h.example:5060", RowError::NoAor),
            ("sip:a@h.example;gr=x", RowError::NoAor),
            ("sip:a:secret@h.example", RowError::NoAor),
            ("pres:a@h.example", RowError::NoAor),
            ("tel:+12015550123", RowError::NoAor),
        ] {
            assert_eq!(refusal(sip_uri, "a@h.example"), error, "{sip_uri}");
        }
        for (jid, error) in [
            ("h.example", RowError::Jid(AddressError::NoUser)),
            ("a@h.example/phone", RowError::NoBareJid),
            ("", RowError::NoBareJid),
            ("a b@h.example", RowError::NoBareJid),
            (r"a\5cb@h.example", RowError::Jid(AddressError::Ambiguous)),
            ("a@h;lr", RowError::Jid(AddressError::Domain)),
        ] {
            assert_eq!(refusal("sip:a@h.example", jid), error, "{jid}");
        }
    }

    #[test]
    fn a_flag_of_another_version_is_not_taken_for_none() {
        assert_eq!(Row::new(1, b"sip:a@h.example", b"a@h.example", 2), Err(RowError::Flags));
        assert_eq!(Row::new(1, b"sip:a@h.example", b"a@h.example", 3), Err(RowError::Flags));
    }
}
