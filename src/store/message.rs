//! What the XMPP process and the store process say to each other, one datagram each.
//!
//! ```text
//! XMPP process                          store process
//!   Write: rows to keep, ids to forget -->   one transaction
//!                                       <-- Written            then the next one may come
//!   Load n                              -->
//!                                       <-- Rows n, Rows n ... End n, or Failed n
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
    /// Everything there is. The number is that of the answers.
    Load(u64),
}

/// What comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    /// The last [`Request::Write`] is in the database.
    Written,
    /// Some of what there is, for the [`Request::Load`] with this number: who has asked may have begun anew since.
    Rows(u64, Vec<Row>),
    /// That was all.
    End(u64),
    /// The database cannot be read.
    Failed(u64),
}

/// A datagram of changes or rows, as it grows.
#[derive(Debug)]
pub struct Datagram {
    bytes: Vec<u8>,
    /// How long it is with nothing in it.
    empty: usize,
}

const WRITE: u8 = b'W';
const LOAD: u8 = b'L';
const WRITTEN: u8 = b'D';
const ROWS: u8 = b'R';
const END: u8 = b'E';
const FAILED: u8 = b'F';

/// A [`Request::Load`], as a datagram.
pub fn load(number: u64) -> Vec<u8> {
    tagged(LOAD, number)
}

fn tagged(tag: u8, number: u64) -> Vec<u8> {
    [&[tag][..], &number.to_le_bytes()].concat()
}

impl Datagram {
    /// A [`Request::Write`].
    pub fn write() -> Self {
        Self { bytes: vec![WRITE], empty: 1 }
    }

    /// [`Answer::Rows`].
    pub fn rows(number: u64) -> Self {
        let bytes = tagged(ROWS, number);
        Self { empty: bytes.len(), bytes }
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
        self.bytes.len() <= self.empty
    }

    /// Whether it is to be sent.
    pub fn is_full(&self) -> bool {
        self.bytes.len() >= FULL
    }

    /// Its octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// No text has a NUL in it.
    fn field(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.bytes.push(0);
    }
}

impl Request {
    /// What a datagram says. `None`: nothing that we say.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        match datagram.split_first()? {
            (&WRITE, changes) => changes_of(changes).map(Self::Write),
            (&LOAD, number) => Some(Self::Load(u64::from_le_bytes(number.try_into().ok()?))),
            _ => None,
        }
    }
}

impl Answer {
    /// What a datagram says. `None`: nothing that we say.
    pub fn decode(datagram: &[u8]) -> Option<Self> {
        match datagram.split_first()? {
            (&WRITTEN, []) => Some(Self::Written),
            (tag, numbered) => {
                let (number, rows) = numbered.split_first_chunk()?;
                let number = u64::from_le_bytes(*number);
                match (*tag, rows) {
                    (END, []) => Some(Self::End(number)),
                    (FAILED, []) => Some(Self::Failed(number)),
                    (ROWS, rows) => {
                        let row = |change| if let Change::Keep(row) = change { Some(row) } else { None };
                        let rows = changes_of(rows)?.into_iter().map(row).collect::<Option<Vec<Row>>>()?;
                        Some(Self::Rows(number, rows))
                    }
                    _ => None,
                }
            }
        }
    }

    /// As a datagram, where it has no rows.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Written => vec![WRITTEN],
            Self::End(number) => tagged(END, *number),
            Self::Failed(number) => tagged(FAILED, *number),
            Self::Rows(number, rows) => {
                let mut datagram = Datagram::rows(*number);
                rows.iter().for_each(|row| datagram.keep(row));
                datagram.bytes
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
        assert_eq!(Request::decode(&load(u64::MAX)), Some(Request::Load(u64::MAX)));
    }

    #[test]
    fn answers_arrive_as_they_were_sent() {
        for answer in [
            Answer::Written,
            Answer::Rows(1, vec![row("j@s"), row("k@s")]),
            Answer::Rows(2, vec![]),
            Answer::End(3),
            Answer::Failed(4),
        ] {
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
