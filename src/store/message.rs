//! What the XMPP process and the store process say to each other, one datagram each.
//!
//! ```text
//! XMPP process                          store process
//!   Write: rows to keep, ids to forget -->   one transaction
//!                                       <-- Written            then the next one may come
//!   Load                                -->
//!                                       <-- Rows, Rows ... End, or Failed
//! ```

use super::Id;
use super::Row;

/// A datagram that is as long as this takes no further row.
pub const FULL: usize = 96 * 1024;

/// Longer than any row: its content, and what of it is never left out.
pub const LONGEST_ROW: usize = 64 * 1024;

/// One change of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This row takes the place of the one with its id.
    Keep(Row),
    /// The row with this id goes, if there is one.
    Forget(Id),
}

/// What is wanted of the store process.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    /// All of these, or none.
    Write(Vec<Change>),
    /// Everything there is.
    Load,
}

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The last [`Request::Write`] is in the database.
    Written,
    /// Some of what there is.
    Rows(Vec<Row>),
    /// That was all.
    End,
    /// The database cannot be read.
    Failed,
}

/// A datagram of changes or rows, as it grows.
#[derive(Debug)]
pub struct Datagram(Vec<u8>);

const WRITE: u8 = b'W';
const LOAD: u8 = b'L';
const WRITTEN: u8 = b'D';
const ROWS: u8 = b'R';
const END: u8 = b'E';
const FAILED: u8 = b'F';

/// The one datagram of [`Request::Load`].
pub const TO_LOAD: &[u8] = &[LOAD];

impl Datagram {
    /// A [`Request::Write`].
    pub fn write() -> Self {
        Self(vec![WRITE])
    }

    /// [`Answer::Rows`].
    pub fn rows() -> Self {
        Self(vec![ROWS])
    }

    /// A row: to be kept, or found.
    pub fn keep(&mut self, row: &Row) {
        let Row { id, kind, watcher, presentity, content, expires } = row;
        let expires = expires.to_string();
        for text in [id.as_str(), kind.name(), watcher.as_str(), presentity.as_str(), content.as_str(), &expires] {
            self.field(text);
        }
    }

    /// A row is to go.
    pub fn forget(&mut self, id: &Id) {
        self.field(id.as_str());
        self.field("");
    }

    /// Whether nothing stands in it.
    pub fn is_empty(&self) -> bool {
        self.0.len() <= 1
    }

    /// Whether it is to be sent.
    pub fn is_full(&self) -> bool {
        self.0.len() >= FULL
    }

    /// Its octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// No text has a NUL in it.
    fn field(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
    }
}

impl Request {
    /// What a datagram says. `None`: nothing that we say.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        match datagram.split_first()? {
            (&WRITE, changes) => changes_of(changes).map(Self::Write),
            (&LOAD, []) => Some(Self::Load),
            _ => None,
        }
    }
}

impl Answer {
    /// What a datagram says. `None`: nothing that we say.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        match datagram.split_first()? {
            (&WRITTEN, []) => Some(Self::Written),
            (&END, []) => Some(Self::End),
            (&FAILED, []) => Some(Self::Failed),
            (&ROWS, rows) => {
                let row = |change| if let Change::Keep(row) = change { Some(row) } else { None };
                changes_of(rows)?.into_iter().map(row).collect::<Option<Vec<Row>>>().map(Self::Rows)
            }
            _ => None,
        }
    }

    /// As a datagram, where it has no rows.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Written => vec![WRITTEN],
            Self::End => vec![END],
            Self::Failed => vec![FAILED],
            Self::Rows(rows) => {
                let mut datagram = Datagram::rows();
                rows.iter().for_each(|row| datagram.keep(row));
                datagram.0
            }
        }
    }
}

fn changes_of(octets: &[u8]) -> Option<Vec<Change>> {
    let mut fields = octets.strip_suffix(&[0]).into_iter().flat_map(|octets| octets.split(|octet| *octet == 0));
    let mut changes = Vec::new();
    while let Some(id) = fields.next() {
        let kind = fields.next()?;
        changes.push(if kind.is_empty() {
            Change::Forget(Id::read(str::from_utf8(id).ok()?)?)
        } else {
            let texts = [id, kind, fields.next()?, fields.next()?, fields.next()?];
            let expires = str::from_utf8(fields.next()?).ok()?.parse().ok()?;
            Change::Keep(Row::read(texts, expires)?)
        });
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Kind;
    use crate::store::Text;

    fn row(watcher: &str) -> Row {
        Row {
            id: Id::of(Kind::Authorization, &[watcher, "r@x"]),
            kind: Kind::Authorization,
            watcher: Text::encode(watcher),
            presentity: Text::encode("r@x"),
            content: Text::default(),
            expires: 7,
        }
    }

    #[test]
    fn changes_arrive_as_they_were_sent() {
        let forgotten = Id::of(Kind::Dialog, &["1", "2", "3"]);
        let mut datagram = Datagram::write();
        assert!(datagram.is_empty());
        datagram.keep(&row("j'@s"));
        datagram.forget(&forgotten);
        datagram.keep(&row("k@s"));
        let changes = vec![Change::Keep(row("j'@s")), Change::Forget(forgotten), Change::Keep(row("k@s"))];
        assert_eq!(Request::decode(datagram.as_bytes()), Some(Request::Write(changes)));
        assert_eq!(Request::decode(TO_LOAD), Some(Request::Load));
    }

    #[test]
    fn answers_arrive_as_they_were_sent() {
        for answer in
            [Answer::Written, Answer::Rows(vec![row("j@s"), row("k@s")]), Answer::Rows(vec![]), Answer::End, Answer::Failed]
        {
            assert_eq!(Answer::decode(&answer.encode()), Some(answer));
        }
    }

    #[test]
    fn what_nobody_says_is_not_taken() {
        for bad in [&b""[..], b"?", b"Lx", b"Wabc\0\0", b"W' OR 1=1\0\0", b"Wabc\0dialog\0"] {
            assert_eq!(Request::decode(bad), None, "{bad:?}");
        }
    }
}
