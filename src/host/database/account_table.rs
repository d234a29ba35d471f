//! The tables of phones, through the host's own database API: accounts (`xmpp_account`), read when the phone process begins and when a command
//! says so, with what is kept of their sessions; and states that other programs write (`xmpp_phone_state`), each taken once.
//!
//! What the module writes is put between quotes as base64, or with nothing in it that needs quoting; only what an operator imports is quoted.

use std::collections::HashMap;
use std::ffi::CStr;
use std::ffi::CString;
use std::fmt;

use data_encoding::BASE64;

use super::DatabaseError;
use super::check_version;
use super::connection::Api;
use super::connection::Connection;
use super::connection::Value;
use super::state_table::Stores;
use crate::config::Phones;
use crate::phone::account::LONGEST_COLUMN;
use crate::phone::account::Row;
use crate::phone::import::Imported;
use crate::phone::kept::Kept;
use crate::phone::state::State;
use crate::phone::users::Fact;
use crate::phone::users::What;
use crate::process::phones::Heard;
use crate::process::phones::Note;
use crate::process::storekeeper::Unavailable;

/// The tables.
pub(crate) struct AccountTable<D> {
    driver: D,
    url: CString,
    accounts: CString,
    /// The table of states, if it is looked at.
    states: Option<CString>,
}

/// An open connection to them.
pub(crate) struct AccountSession<'a, D: Stores> {
    tables: &'a AccountTable<D>,
    /// `None`: the last one failed.
    connection: Option<Connection<D::Api>>,
    /// Which row a user's account is.
    rows: HashMap<String, i64>,
}

/// What a driver gives for a column.
type ValueOf<D> = <<D as Stores>::Api as Api>::Value;

/// The accounts cannot be had.
#[derive(Debug)]
pub(crate) struct AccountError(DatabaseError, &'static str);

impl<D: Stores> AccountTable<D> {
    /// In mod_init.
    pub(crate) fn open(config: &Phones) -> Result<Self, AccountError> {
        let wrong = |error| AccountError(error, ACCOUNT_SCRIPT);
        let driver = D::bind(config.url.expose()).map_err(wrong)?;
        let c_string = |text: &str| CString::new(text).map_err(|_| wrong(DatabaseError::Connect));
        let accounts = c_string(&config.table)?;
        let states = config.poll.as_ref().map(|(_, name)| c_string(name)).transpose()?;
        let tables = Self { driver, url: c_string(config.url.expose())?, accounts, states };
        let mut connection = tables.driver.connect(&tables.url).map_err(wrong)?;
        let named = [(Some(&tables.accounts), ACCOUNT_SCRIPT), (tables.states.as_ref(), STATE_SCRIPT)];
        for (name, script) in named {
            if let Some(name) = name {
                let version = tables.driver.table_version(&mut connection, name);
                check_version(name, version).map_err(|error| AccountError(error, script))?;
            }
        }
        drop(connection);
        Ok(tables)
    }

    /// For one process; it is connected when it is used.
    pub(crate) fn session(&self) -> AccountSession<'_, D> {
        AccountSession { tables: self, connection: None, rows: HashMap::new() }
    }
}

impl<D: Stores> AccountSession<'_, D> {
    /// Reads all accounts, in portions: rows stand in the process's private memory.
    pub(crate) fn accounts(&mut self, take: &mut dyn FnMut(&Row<'_>, &str)) -> Result<(), Unavailable> {
        let table = self.tables.accounts.to_string_lossy().into_owned();
        let mut rows = HashMap::new();
        let mut after = 0_i64;
        loop {
            let before = after;
            let statement = format!("SELECT {COLUMNS} FROM {table} WHERE id > {after} ORDER BY id LIMIT {PORTION}");
            self.query(&statement, &mut |values| {
                let Some((id, row, session)) = account(values) else { return };
                after = after.max(id);
                let session = BASE64.decode(session.as_bytes()).ok().and_then(|session| String::from_utf8(session).ok());
                if let Some(user) = crate::phone::account::sip_uri(row.sip_uri) {
                    rows.insert(user, id);
                }
                take(&row, session.as_deref().unwrap_or_default());
            })?;
            if after == before {
                break;
            }
        }
        self.rows = rows;
        Ok(())
    }

    /// Writes what is to be kept of accounts.
    pub(crate) fn keep(&mut self, notes: &[Note]) -> Result<(), Unavailable> {
        let table = self.tables.accounts.to_string_lossy().into_owned();
        let rows: Vec<(i64, &Note)> = notes.iter().filter_map(|note| Some((*self.rows.get(&note.user)?, note))).collect();
        // OpenSIPS's driver of SQLite takes what is shorter than "select" for one.
        let mut statements = vec!["BEGIN;".to_owned()];
        updates(&table, &SESSION, rows.iter().filter_map(|(id, note)| Some((*id, session(note)?))), &mut statements);
        updates(&table, &["trouble"], rows.iter().filter_map(|(id, note)| Some((*id, trouble(note)?))), &mut statements);
        statements.push("COMMIT".to_owned());
        self.run(&statements)
    }

    /// Takes the states that were written, and deletes these and no others.
    pub(crate) fn states(&mut self) -> Result<(Vec<Fact>, Heard), Unavailable> {
        let Some(table) = &self.tables.states else { return Ok((Vec::new(), Heard::All)) };
        let table = table.to_string_lossy().into_owned();
        let (mut facts, mut ids) = (Vec::new(), Vec::new());
        self.query(&format!("SELECT id, sip_uri, state FROM {table} ORDER BY id LIMIT {PORTION}"), &mut |values| {
            let [id, sip_uri, state] = values else { return };
            let (Some(id), [sip_uri, state]) = (id.number(), [sip_uri, state].map(text)) else { return };
            ids.push(id.to_string());
            match (crate::phone::account::sip_uri(sip_uri), State::named(state.trim())) {
                (Some(user), Some(state)) => facts.push(Fact { user, what: What::Told(state) }),
                (_, _) => log::warn!("row {id} of table {table} names no SIP URI or no state"),
            }
        })?;
        if !ids.is_empty() {
            self.run(&[format!("DELETE FROM {table} WHERE id IN ({})", ids.join(", "))])?;
        }
        let heard = if ids.len() < PORTION { Heard::All } else { Heard::Some };
        Ok((facts, heard))
    }

    /// Adds accounts; who has one gets the new address and password.
    pub(crate) fn import(&mut self, accounts: &[Imported]) -> Result<(), Unavailable> {
        let table = self.tables.accounts.to_string_lossy().into_owned();
        let quotes = Quotes::of(&self.tables.url);
        let mut statements = vec!["BEGIN;".to_owned()];
        for Imported { sip_uri, jid, password } in accounts {
            let [sip_uri, jid, password] = [sip_uri, jid, password].map(|text| quotes.quoted(text));
            statements.push(format!("UPDATE {table} SET jid = {jid}, password = {password} WHERE sip_uri = {sip_uri}"));
            let values = format!("SELECT {sip_uri}, {jid}, {password} FROM (SELECT 1) AS one");
            let is_new = format!("NOT EXISTS (SELECT 1 FROM {table} WHERE sip_uri = {sip_uri})");
            statements.push(format!("INSERT INTO {table} (sip_uri, jid, password) {values} WHERE {is_new}"));
        }
        statements.push("COMMIT".to_owned());
        self.run(&statements)
    }

    fn query(&mut self, statement: &str, row: &mut dyn FnMut(&[ValueOf<D>])) -> Result<(), Unavailable> {
        let answer =
            self.connection()?.query(statement).map(|answer| answer.iter().for_each(|answer| answer.rows().for_each(&mut *row)));
        if answer.is_err() {
            self.connection = None;
        }
        answer.map_err(|()| Unavailable)
    }

    fn run(&mut self, statements: &[String]) -> Result<(), Unavailable> {
        let connection = self.connection()?;
        let done = statements.iter().try_for_each(|statement| connection.run(statement));
        if done.is_err() {
            // It may be what made it fail; the transaction goes with it.
            self.connection = None;
        }
        done.map_err(|()| Unavailable)
    }

    fn connection(&mut self) -> Result<&mut Connection<D::Api>, Unavailable> {
        if self.connection.is_none() {
            self.connection = Some(self.tables.driver.connect_patiently(&self.tables.url)?);
        }
        self.connection.as_mut().ok_or(Unavailable)
    }
}

impl fmt::Display for AccountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("phones cannot be shown in XMPP accounts: ")?;
        self.0.describe(self.1, f)
    }
}

impl std::error::Error for AccountError {}

/// One row: its id, what the operator has written, and in base64 what goes on after a restart.
fn account<V: Value>(values: &[V]) -> Option<(i64, Row<'_>, &str)> {
    let [id, sip_uri, jid, password, resource, priority, online_status, call_show, call_status, transport, url, flags, session] =
        values
    else {
        return None;
    };
    let row = Row {
        sip_uri: text(sip_uri),
        jid: text(jid),
        password: text(password),
        resource: text(resource),
        priority: priority.number(),
        online_status: text(online_status),
        call_show: text(call_show),
        call_status: text(call_status),
        transport: text(transport),
        url: text(url),
        flags: flags.number().unwrap_or(0),
    };
    Some((id.number()?, row, text(session)))
}

/// A text of a column; one that is none is empty, and then not what it has to be.
fn text<V: Value>(value: &V) -> &str {
    value.octets().and_then(|octets| str::from_utf8(octets).ok()).unwrap_or_default()
}

/// What the columns of a session hold, if it has changed. Those of old say where it is for people to read; the last one is what is read back.
fn session(note: &Note) -> Option<Vec<String>> {
    let session = note.session.as_ref()?;
    let kept = Kept::read(session);
    let quoted = |text: Option<&str>| format!("'{}'", text.map(plain).unwrap_or_default());
    Some(vec![
        kept.as_ref().map_or(0, |kept| kept.saved.rid).to_string(),
        quoted(kept.as_ref().map(|kept| &*kept.saved.terms.sid)),
        quoted(kept.as_ref().map(|kept| &*kept.jid)),
        format!("'{}'", BASE64.encode(session.as_bytes())),
    ])
}

/// What the column of troubles holds, if that has changed.
fn trouble(note: &Note) -> Option<Vec<String>> {
    Some(vec![format!("'{}'", plain(note.trouble.as_ref()?))])
}

/// Updates of many rows, each with values of its own, in as few statements as drivers take: each one is a round trip to the database, for which
/// all sessions wait.
fn updates(table: &str, columns: &[&str], rows: impl Iterator<Item = (i64, Vec<String>)>, statements: &mut Vec<String>) {
    let mut some: Vec<(i64, Vec<String>)> = Vec::new();
    let mut length = 0_usize;
    for (id, values) in rows {
        let more = values.iter().map(|value| value.len().saturating_add(ROW)).sum::<usize>();
        if !some.is_empty() && length.saturating_add(more) > STATEMENT {
            statements.push(update(table, columns, &some));
            some.clear();
            length = 0;
        }
        length = length.saturating_add(more);
        some.push((id, values));
    }
    if !some.is_empty() {
        statements.push(update(table, columns, &some));
    }
}

fn update(table: &str, columns: &[&str], rows: &[(i64, Vec<String>)]) -> String {
    let ids: Vec<String> = rows.iter().map(|(id, _)| id.to_string()).collect();
    let sets: Vec<String> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| {
            let values = rows.iter().zip(&ids).filter_map(|((_, values), id)| Some((id, values.get(at)?)));
            let cases: Vec<String> = values.map(|(id, value)| format!("WHEN {id} THEN {value}")).collect();
            format!("{column} = CASE id {} END", cases.join(" "))
        })
        .collect();
    format!("UPDATE {table} SET {} WHERE id IN ({})", sets.join(", "), ids.join(", "))
}

/// Text that needs no quoting in any database, and fits.
fn plain(text: &str) -> String {
    text.chars().take(LONGEST_COLUMN).map(|c| if c.is_ascii_graphic() && !"'\"\\`%;".contains(c) { c } else { ' ' }).collect()
}

/// How a database quotes text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// A quote in it is doubled.
    Standard,
    /// So is a backslash.
    Backslash,
}

impl Quotes {
    fn of(url: &CStr) -> Self {
        if url.to_bytes().starts_with(b"mysql:") { Self::Backslash } else { Self::Standard }
    }

    fn quoted(self, text: &str) -> String {
        let text = text.replace('\0', "").replace('\'', "''");
        match self {
            Self::Standard => format!("'{text}'"),
            Self::Backslash => format!("'{}'", text.replace('\\', "\\\\")),
        }
    }
}

/// In the order in which a row is read.
const COLUMNS: &str =
    "id, sip_uri, jid, password, resource, priority, online_status, call_show, call_status, transport, url, flags, session";

/// Rows that are read at once.
const PORTION: usize = 500;

/// The columns of a session, in the order of their values.
const SESSION: [&str; 4] = ["rid", "sid", "presence_id", "session"];

/// Bytes of a statement, but for one row that is longer: OpenSIPS's driver of SQLite takes 64 KiB.
const STATEMENT: usize = 48 * 1024;

/// Bytes of a statement for each value besides the value.
const ROW: usize = 40;

const ACCOUNT_SCRIPT: &str = "xmpp_account-create.sql";
const STATE_SCRIPT: &str = "xmpp_phone_state-create.sql";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_needs_no_quotes() {
        let note = Note {
            user: "sip:a@b".to_owned(),
            session: Some("it's; \\".to_owned()),
            trouble: Some("it's 100 %; \"no\"\n".to_owned()),
        };
        assert_eq!(trouble(&note).unwrap(), ["'it s 100     no  '"]);
        assert_eq!(session(&note).unwrap(), ["0", "''", "''", &format!("'{}'", BASE64.encode(b"it's; \\"))]);
        let silent = Note { session: None, trouble: None, ..note };
        assert_eq!((session(&silent), trouble(&silent)), (None, None));
    }

    #[test]
    fn many_rows_are_one_statement() {
        let mut statements = Vec::new();
        let rows = [(3, "'a'"), (5, "''")].map(|(id, value)| (id, vec![value.to_owned(), "1".to_owned()]));
        updates("t", &["trouble", "rid"], rows.into_iter(), &mut statements);
        let one = "UPDATE t SET trouble = CASE id WHEN 3 THEN 'a' WHEN 5 THEN '' END, rid = CASE id WHEN 3 THEN 1 WHEN 5 THEN 1 END WHERE id IN (3, 5)";
        assert_eq!(statements, [one]);
        updates("t", &["rid"], std::iter::empty(), &mut statements);
        assert_eq!(statements.len(), 1, "nothing is no statement");
    }

    #[test]
    fn no_statement_of_many_rows_is_longer_than_a_driver_takes() {
        let mut statements = Vec::new();
        updates("t", &["session"], (0..1000).map(|id| (id, vec![format!("'{}'", "x".repeat(500))])), &mut statements);
        assert!(statements.len() > 1 && statements.iter().all(|statement| statement.len() <= 60 * 1024));
        assert_eq!(statements.iter().map(|statement| statement.matches("WHEN").count()).sum::<usize>(), 1000);
    }

    #[test]
    fn a_password_is_quoted_as_the_database_has_it() {
        let quoted = |url: &CStr| Quotes::of(url).quoted("a'b\\c\0");
        assert_eq!(quoted(c"sqlite:///db"), "'a''b\\c'");
        assert_eq!(quoted(c"mysql://db"), "'a''b\\\\c'");
    }
}
