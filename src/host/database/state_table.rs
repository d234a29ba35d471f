//! The table of what survives a restart, through the host's own database API: read in mod_init and at the beginning of each life of the
//! XMPP process, written by the store process.
//!
//! Rows are read in portions by ranges of their ids: these are digests, so each range has its share. They are written by statements of
//! our own, the same for all databases: all ids of a batch go, then all rows come, in one transaction.

use std::ffi::CStr;
use std::ffi::CString;
use std::fmt;
use std::io;

use super::DatabaseError;
use super::Driver;
use super::check_version;
use super::connection::Api;
use super::connection::Connection;
use super::connection::Value;
use crate::config;
use crate::config::Config;
use crate::link::shared::Dialogs;
use crate::link::shared::Shared;
use crate::link::store;
use crate::link::store::End;
use crate::process::host::Flow;
use crate::process::keeper::show;
use crate::process::storekeeper::Unavailable;
use crate::store::Kind;
use crate::store::Row;
use crate::store::entry::Entry;
use crate::store::message::Change;

/// A driver that can write.
pub(crate) trait Stores: Driver {
    type Api: Api;

    /// Connects.
    fn connect(&self, url: &CStr) -> Result<Connection<Self::Api>, DatabaseError>;
    /// Connects for longer, beside others that write.
    fn connect_patiently(&self, url: &CStr) -> Result<Connection<Self::Api>, Unavailable> {
        let mut connection = self.connect(url).map_err(|_| Unavailable)?;
        if url.to_bytes().starts_with(b"sqlite:") {
            // Other processes write to the same file. It has no effect on more than how long we wait for them.
            let _ = connection.run("PRAGMA busy_timeout = 2000");
        }
        Ok(connection)
    }

    /// What the host's table of versions says of this one.
    fn table_version(&self, connection: &mut Connection<Self::Api>, table: &CStr) -> Option<i64>;
}

/// The table.
pub(crate) struct StateTable<D> {
    driver: D,
    url: CString,
    name: CString,
}

/// The line between the XMPP process and the store process.
#[derive(Debug)]
pub(crate) struct Line {
    /// The XMPP process's end.
    pub(crate) gateway: End,
    /// The store process's end.
    pub(crate) store: End,
}

/// What is to survive a restart cannot be kept, or is not there.
#[derive(Debug)]
pub(crate) struct StateError(DatabaseError);

/// An open connection to it.
pub(crate) struct Session<'a, D: Stores> {
    table: &'a StateTable<D>,
    /// `None`: the last one failed.
    connection: Option<Connection<D::Api>>,
}

/// Its columns, in the order in which they are asked for.
const COLUMNS: [&CStr; 6] = [c"id", c"kind", c"watcher", c"presentity", c"content", c"expires"];

impl Line {
    /// Before the host forks.
    pub(crate) fn new() -> io::Result<Self> {
        let (gateway, store) = store::pair()?;
        Ok(Self { gateway, store })
    }
}

impl<D: Stores> StateTable<D> {
    /// In mod_init: what workers have to know from the first request on is read. `None`: nothing is to survive.
    pub(crate) fn open(config: &Config, shared: &Shared) -> Result<Option<Self>, StateError> {
        let Some(config::StateTable { url, name }) = &config.state_table else { return Ok(None) };
        let driver = D::bind(url.expose())?;
        let name = CString::new(name.as_str()).map_err(|_| DatabaseError::Driver)?;
        let url = CString::new(url.expose()).map_err(|_| DatabaseError::Connect)?;
        let table = Self { driver, url, name };
        let mut connection = table.driver.connect(&table.url)?;
        check_version(&table.name, table.driver.table_version(&mut connection, &table.name))?;
        let mut session = Session { table: &table, connection: Some(connection) };
        // The dialogs come with everything else, in the XMPP process: until then there may be some that nobody knows.
        shared.set_dialogs(Dialogs::Awaited);
        let read = session.read(Some(Kind::Authorization), &mut |rows| {
            rows.iter().filter_map(Entry::of_row).for_each(|entry| show(&entry, shared));
            Flow::Continue
        });
        read.map_err(|Unavailable| DatabaseError::Read(table.name.clone()))?;
        Ok(Some(table))
    }

    /// For a process of its own; it is connected when it is used.
    pub(crate) fn session(&self) -> Session<'_, D> {
        Session { table: self, connection: None }
    }
}

impl<D: Stores> Session<'_, D> {
    /// Makes all of these changes, or none.
    pub(crate) fn write(&mut self, changes: &[Change]) -> Result<(), Unavailable> {
        let statements = statements(&self.table.name.to_string_lossy(), changes);
        let connection = self.connection()?;
        let done = statements.iter().try_for_each(|statement| connection.run(statement));
        if done.is_err() {
            // It may be what made it fail; the transaction goes with it.
            self.connection = None;
        }
        done.map_err(|()| Unavailable)
    }

    /// Reads the table to its end, in portions; only rows of one kind, if one is given.
    pub(crate) fn read(&mut self, kind: Option<Kind>, portion: &mut dyn FnMut(Vec<Row>) -> Flow) -> Result<(), Unavailable> {
        let table = self.table;
        let connection = self.connection()?;
        let mut ranges = Ranges::new();
        while let Some((from, to)) = ranges.next() {
            let mut conditions = vec![(c"id", c">=", from.as_str()), (c"id", c"<", to.as_str())];
            conditions.extend(kind.map(|kind| (c"kind", c"=", kind.name())));
            let rows = connection.select(&table.name, &COLUMNS, &conditions).map(|answer| {
                answer.iter().flat_map(|answer| answer.rows().map(row).collect::<Vec<_>>()).collect::<Vec<Option<Row>>>()
            });
            let Ok(rows) = rows else {
                self.connection = None;
                return Err(Unavailable);
            };
            ranges.had(rows.len());
            let wrong = rows.iter().filter(|row| row.is_none()).count();
            if wrong > 0 {
                log::warn!("table {}: {wrong} rows cannot be used", table.name.to_string_lossy());
            }
            if portion(rows.into_iter().flatten().collect()) == Flow::Stop {
                return Err(Unavailable);
            }
        }
        Ok(())
    }

    fn connection(&mut self) -> Result<&mut Connection<D::Api>, Unavailable> {
        if self.connection.is_none() {
            self.connection = Some(self.table.driver.connect_patiently(&self.table.url)?);
        }
        self.connection.as_mut().ok_or(Unavailable)
    }
}

impl From<DatabaseError> for StateError {
    fn from(error: DatabaseError) -> Self {
        Self(error)
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("what is to survive a restart cannot be kept: ")?;
        self.0.describe("xmpp_state-create.sql", f)
    }
}

impl std::error::Error for StateError {}

fn row<V: Value>(values: &[V]) -> Option<Row> {
    let [texts @ .., expires] = values else { return None };
    let mut columns = [b"".as_slice(); 5];
    if texts.len() != columns.len() {
        return None;
    }
    for (column, text) in columns.iter_mut().zip(texts) {
        // An empty text is NULL in some databases.
        *column = text.octets().unwrap_or_default();
    }
    Row::read(columns, u64::try_from(expires.number()?).ok()?)
}

/// Ranges of ids, one after the other: as wide as makes portions of some hundred rows.
struct Ranges {
    next: u32,
    width: u32,
}

/// Ids begin with this many different prefixes.
const PREFIXES: u32 = 1 << 16;

/// Rows of a portion, as far as can be foreseen: they stand in the process's private memory.
const PORTION: std::ops::RangeInclusive<usize> = 100..=400;

impl Ranges {
    fn new() -> Self {
        Self { next: 0, width: 16 }
    }

    /// The next range: from, and below.
    fn next(&mut self) -> Option<(String, String)> {
        if self.next >= PREFIXES {
            return None;
        }
        let from = format!("{:04x}", self.next);
        self.next = self.next.saturating_add(self.width);
        // After all digits.
        let to = if self.next < PREFIXES { format!("{:04x}", self.next) } else { "g".to_owned() };
        Some((from, to))
    }

    /// So many rows were in the last one.
    fn had(&mut self, rows: usize) {
        if rows < *PORTION.start() {
            self.width = self.width.saturating_mul(2);
        } else if rows > *PORTION.end() {
            self.width = (self.width >> 1).max(1);
        }
    }
}

/// Octets of one statement: under what OpenSIPS's driver of SQLite takes (64 KiB). A row takes up to two thirds of it.
const STATEMENT: usize = 60 * 1024;

/// The transaction that makes these changes. All texts are of a kind that needs no quoting ([`crate::store::Text`]).
fn statements(table: &str, changes: &[Change]) -> Vec<String> {
    // OpenSIPS's driver of SQLite takes what is shorter than "select" for one.
    let mut statements = vec!["BEGIN;".to_owned()];
    let ids = changes.iter().map(|change| match change {
        Change::Keep(row) => format!("'{}'", row.id.as_str()),
        Change::Forget(id) => format!("'{}'", id.as_str()),
    });
    join(&format!("DELETE FROM {table} WHERE id IN ("), ids, ")", &mut statements);
    let rows = changes.iter().filter_map(|change| match change {
        Change::Keep(row) => Some(values(row)),
        Change::Forget(_) => None,
    });
    let columns = COLUMNS.map(CStr::to_string_lossy).join(", ");
    join(&format!("INSERT INTO {table} ({columns}) VALUES "), rows, "", &mut statements);
    statements.push("COMMIT".to_owned());
    statements
}

fn values(Row { id, kind, watcher, presentity, content, expires }: &Row) -> String {
    let (id, kind) = (id.as_str(), kind.name());
    let [watcher, presentity, content] = [watcher, presentity, content].map(|text| text.as_str());
    format!("('{id}', '{kind}', '{watcher}', '{presentity}', '{content}', {expires})")
}

/// As many statements as it takes to hold all items.
fn join(start: &str, items: impl Iterator<Item = String>, end: &str, statements: &mut Vec<String>) {
    let mut statement = String::new();
    for item in items {
        if !statement.is_empty() && statement.len().saturating_add(item.len()) > STATEMENT {
            statement.push_str(end);
            statements.push(std::mem::take(&mut statement));
        }
        statement.push_str(if statement.is_empty() { start } else { ", " });
        statement.push_str(&item);
    }
    if !statement.is_empty() {
        statement.push_str(end);
        statements.push(statement);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Id;
    use crate::store::Kind;
    use crate::store::Text;

    fn row(number: u32, content: &str) -> Row {
        let watcher = format!("o'malley{number}@s");
        Row {
            id: Id::of(Kind::Authorization, &[&watcher, "r@x"]),
            kind: Kind::Authorization,
            watcher: Text::encode(&watcher),
            presentity: Text::encode("r@x"),
            content: Text::encode(content),
            expires: 7,
        }
    }

    #[test]
    fn a_batch_is_one_transaction_that_takes_the_place_of_what_was_there() {
        let (kept, forgotten) = (row(1, "c\nd"), row(2, "").id);
        let [kept_id, forgotten_id] = [kept.id.as_str().to_owned(), forgotten.as_str().to_owned()];
        let statements = statements("xmpp_state", &[Change::Keep(kept), Change::Forget(forgotten)]);
        assert_eq!(
            statements,
            [
                "BEGIN;".to_owned(),
                format!("DELETE FROM xmpp_state WHERE id IN ('{kept_id}', '{forgotten_id}')"),
                format!(
                    "INSERT INTO xmpp_state (id, kind, watcher, presentity, content, expires) VALUES \
                     ('{kept_id}', 'authorization', 'o%27malley1@s', 'r@x', 'c%0Ad', 7)"
                ),
                "COMMIT".to_owned(),
            ]
        );
    }

    #[test]
    fn no_statement_is_longer_than_a_driver_takes() {
        let changes: Vec<Change> = (0..100).map(|number| Change::Keep(row(number, &"x".repeat(15_000)))).collect();
        let statements = statements("xmpp_state", &changes);
        assert!(statements.iter().all(|statement| statement.len() < 64 * 1024));
        let rows: usize = statements.iter().map(|statement| statement.matches("'authorization'").count()).sum();
        assert_eq!(rows, 100);
    }

    #[test]
    fn ranges_have_all_ids_once_however_many_rows_there_are() {
        for rows in [0, 250, 100_000] {
            let mut ranges = Ranges::new();
            let mut before = "0000".to_owned();
            let mut count = 0;
            while let Some((from, to)) = ranges.next() {
                assert_eq!(from, before);
                assert!(from < to);
                before = to;
                count += 1;
                ranges.had(rows);
            }
            assert_eq!(before, "g");
            assert!(count <= PREFIXES, "{count}");
        }
    }
}
