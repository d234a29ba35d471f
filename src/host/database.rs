//! The table of users whose address the operator chose, read through the host's own database API: in mod_init, and when a command asks.
//!
//! A connection is open only while the table is read, in whatever process does it. What is wrong with one row is logged and left
//! out ([`crate::address::map::rows`]); what is wrong with the table as a whole is one sentence, and the map stays as it was.

pub(crate) mod account_table;
pub(crate) mod connection;
pub(crate) mod state_table;

use std::ffi::CStr;
use std::ffi::CString;
use std::fmt;
use std::io;

use crate::address::map::MAX_ROWS;
use crate::address::map::Map;
use crate::address::map::ReplaceError;
use crate::address::map::WORDS;
use crate::address::map::rows::Loaded;
use crate::address::map::rows::Rows;
use crate::config;
use crate::config::Config;
use crate::link::memory;

/// The version of the table that this module reads: what stands in the host's table `version`.
const TABLE_VERSION: i64 = 1;

/// Its columns, in the order in which they are asked for.
pub(crate) const COLUMNS: [&CStr; 4] = [c"id", c"sip_uri", c"jid", c"flags"];

/// The answer to a command where there is nothing to load.
pub(crate) const NO_DATABASE: &str = "there is no address map: db_url is not set";

/// The host's database API, bound to the driver that the URL names.
pub(crate) trait Driver: Sized {
    /// In mod_init. The URL is checked no further than that a driver stands before the colon.
    fn bind(url: &str) -> Result<Self, DatabaseError>;
    /// Connects, compares the table's version, hands over all rows in the order of their ids, and closes.
    /// Drivers take both for C strings.
    fn read(&self, url: &CStr, table: &CStr, rows: &mut Rows) -> Result<(), DatabaseError>;
}

/// The table, and the map that it becomes.
pub(crate) struct AddressTable<D> {
    driver: D,
    url: CString,
    name: CString,
    map: Map,
}

/// Why there is no map, or no new one.
#[derive(Debug)]
pub(crate) enum DatabaseError {
    /// The kernel gives no memory for it.
    Memory(io::Error),
    /// The module of this name is not loaded.
    NoDriver(String),
    /// The driver has not all functions that reading takes.
    Driver,
    /// The database is not there, or does not let us in.
    Connect,
    /// The table `version` cannot be read, or says nothing of our table.
    NoVersion(CString),
    /// Our table is of another version.
    Version(CString, i64),
    /// The table is not there, or lacks a column.
    Read(CString),
    /// Read, but not to be replaced.
    Replace(CString, ReplaceError),
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the address map is not loaded: ")?;
        self.describe("xmpp_address-create.sql", f)
    }
}

impl DatabaseError {
    /// What is wrong, where this script makes the table.
    fn describe(&self, script: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory(error) => write!(f, "no memory: {error}"),
            Self::NoDriver(module) => {
                write!(f, "module {module} is not loaded, and db_url names it; load it before xmpp_gateway")
            }
            Self::Driver => f.write_str("the database module of db_url cannot query; take another"),
            Self::Connect => f.write_str("the database of db_url cannot be opened; the lines above say why"),
            Self::NoVersion(table) => {
                let table = table.to_string_lossy();
                write!(f, "the database has no version of table {table}; create the table with the script {script}")
            }
            Self::Version(table, found) => {
                let table = table.to_string_lossy();
                write!(f, "table {table} has version {found}, this module takes {TABLE_VERSION}; create it anew")
            }
            Self::Read(table) => write!(f, "table {} cannot be read; the lines above say why", table.to_string_lossy()),
            Self::Replace(_, ReplaceError::Busy) => f.write_str("another process is loading it right now"),
            Self::Replace(table, ReplaceError::TooLarge) => {
                let table = table.to_string_lossy();
                write!(f, "table {table} is too large; a map takes {MAX_ROWS} users of 220 octets each")
            }
        }
    }
}

impl std::error::Error for DatabaseError {}

impl<D: Driver> AddressTable<D> {
    /// In mod_init: makes the map, loads it, and puts it in front of the address scheme. `None`: no database is configured.
    pub(crate) fn open(config: &mut Config) -> Result<Option<Self>, DatabaseError> {
        let Some(config::AddressTable { url, name }) = &config.address_table else { return Ok(None) };
        let driver = D::bind(url.expose())?;
        let name = CString::new(name.as_str()).map_err(|_| DatabaseError::Driver)?;
        let url = CString::new(url.expose()).map_err(|_| DatabaseError::Connect)?;
        let map = Map::over(memory::words::<WORDS>().map_err(DatabaseError::Memory)?);
        let table = Self { driver, url, name, map };
        table.load()?;
        config.addresses = config.addresses.clone().with_map(table.map.clone());
        Ok(Some(table))
    }

    /// Reads the table anew, for all processes. An error leaves the map that there is.
    pub(crate) fn load(&self) -> Result<Loaded, DatabaseError> {
        let mut rows = Rows::default();
        self.driver.read(&self.url, &self.name, &mut rows)?;
        let loaded = rows.replace(&self.map).map_err(|error| DatabaseError::Replace(self.name.clone(), error))?;
        let Loaded { rows, skipped, disabled } = loaded;
        let table = self.name.to_string_lossy();
        log::info!("table {table}: {rows} users in the address map, {skipped} rows skipped, {disabled} disabled");
        Ok(loaded)
    }
}

/// Whether the table is of the version that this module reads; `found` is what the host's table of versions says.
pub(crate) fn check_version(table: &CStr, found: Option<i64>) -> Result<(), DatabaseError> {
    match found {
        Some(TABLE_VERSION) => Ok(()),
        Some(other) => Err(DatabaseError::Version(table.into(), other)),
        None => Err(DatabaseError::NoVersion(table.into())),
    }
}

/// The name of the module behind a database URL.
pub(crate) fn driver_module(url: &str) -> String {
    ["db_", url.split(':').next().unwrap_or(url)].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Parameters;

    struct Fixed(&'static str);

    impl Driver for Fixed {
        fn bind(url: &str) -> Result<Self, DatabaseError> {
            match url {
                "gone://" => Err(DatabaseError::NoDriver(driver_module(url))),
                "full://" => Ok(Self("sip:1001@pbx.example")),
                _ => Ok(Self("")),
            }
        }

        fn read(&self, _: &CStr, table: &CStr, rows: &mut Rows) -> Result<(), DatabaseError> {
            check_version(table, Some(if self.0.is_empty() { 7 } else { 1 }))?;
            rows.take(1, self.0.as_bytes(), b"romeo@im.example", 0);
            rows.take(2, b"", b"", 0);
            Ok(())
        }
    }

    fn config(url: &str) -> Config {
        Config::from_parameters(&Parameters {
            xmpp_domain: Some("sip.example.com".into()),
            xmpp_password: Some("s3cret".into()),
            server_address: Some("sip:gw@sip.example.com".into()),
            db_url: Some(url.into()),
            ..Parameters::default()
        })
        .unwrap()
    }

    #[test]
    fn mod_init_leaves_the_map_in_the_configuration() {
        let mut config = config("full://");
        let table = AddressTable::<Fixed>::open(&mut config).unwrap().unwrap();
        assert_eq!(config.addresses.sip_to_jid(b"sip:1001@pbx.example").unwrap().as_str(), "romeo@im.example");
        assert_eq!(table.load().unwrap(), Loaded { rows: 1, skipped: 1, disabled: 0 });
        assert_eq!(config.addresses.generation(), 2);
    }

    #[test]
    fn what_stops_the_start_is_one_sentence() {
        for (url, sentence) in [
            ("gone://", "module db_gone is not loaded, and db_url names it; load it before xmpp_gateway"),
            ("old://", "table xmpp_address has version 7, this module takes 1; create it anew"),
        ] {
            let error = AddressTable::<Fixed>::open(&mut config(url)).err().unwrap();
            assert_eq!(error.to_string(), format!("the address map is not loaded: {sentence}"));
        }
    }
}
