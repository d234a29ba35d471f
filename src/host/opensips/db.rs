//! OpenSIPS's database API: reads the table of mapped users, and the table of what survives a restart. Where the driver can, rows are fetched in portions.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::mem;
use std::slice;

use super::calls;
use super::sys;
use crate::address::map::rows::Rows;
use crate::host::database;
use crate::host::database::DatabaseError;
use crate::host::database::connection::Api;
use crate::host::database::connection::Connection;
use crate::host::database::connection::Functions;
use crate::host::database::connection::Value;

/// The functions of one driver.
pub(super) struct Driver(sys::db_func_t);

impl database::Driver for Driver {
    fn bind(url: &str) -> Result<Self, DatabaseError> {
        let missing = || DatabaseError::NoDriver(database::driver_module(url));
        let text = CString::new(url).map_err(|_| missing())?;
        let name = calls::bytes(text.to_bytes());
        // SAFETY: [H3] plain C: a number and optional functions, for which zero is "none".
        let mut functions: sys::db_func_t = unsafe { mem::zeroed() };
        // SAFETY: [H1][H5] in mod_init, into a table of ours; the name lives through the call.
        if unsafe { sys::db_bind_mod(&raw const name, &raw mut functions) } < 0 {
            return Err(missing());
        }
        Ok(Self(functions))
    }

    fn read(&self, url: &CStr, table: &CStr, rows: &mut Rows) -> Result<(), DatabaseError> {
        // SAFETY: [H1] of one driver, which the core has bound.
        let mut connection = unsafe { Connection::open(self.functions().ok_or(DatabaseError::Driver)?, url) }?;
        database::check_version(table, self.version(&connection, table))?;
        connection.rows(table, rows).map_err(|()| DatabaseError::Read(table.into()))
    }
}

impl database::state_table::Stores for Driver {
    type Api = OpenSips;

    fn connect(&self, url: &CStr) -> Result<Connection<OpenSips>, DatabaseError> {
        let functions = self.functions().filter(|functions| functions.raw_query.is_some()).ok_or(DatabaseError::Driver)?;
        // SAFETY: [H1] of one driver, which the core has bound.
        unsafe { Connection::open(functions, url) }
    }

    fn table_version(&self, connection: &mut Connection<OpenSips>, table: &CStr) -> Option<i64> {
        self.version(connection, table)
    }
}

impl Driver {
    fn functions(&self) -> Option<Functions<OpenSips>> {
        let sys::db_func_t { init, close, use_table, query, fetch_result, free_result, raw_query, .. } = self.0;
        let fetch = fetch_result.filter(|_| self.0.cap & sys::DB_CAP_FETCH != 0);
        let (init, close, use_table, query, free) = (init?, close?, use_table?, query?, free_result?);
        Some(Functions { init, close, use_table, query, fetch, free, raw_query })
    }

    /// What the host's table of versions says of this one.
    fn version(&self, connection: &Connection<OpenSips>, table: &CStr) -> Option<i64> {
        let name = calls::bytes(table.to_bytes());
        // SAFETY: [H1][H5] the driver's functions and connection, and a name that lives through the call.
        let version = unsafe { sys::db_table_version(&raw const self.0, connection.handle(), &raw const name) };
        // Where there is none it is 0 in OpenSIPS 3.4, and below 0 later.
        u32::try_from(version).ok().filter(|version| *version > 0).map(i64::from)
    }
}

/// The names of OpenSIPS.
pub(super) struct OpenSips;

impl Api for OpenSips {
    type Handle = sys::db_con_t;
    type Text = sys::str_;
    type Value = sys::db_val_t;
    type Row = sys::db_row;
    type Answer = sys::db_res_t;

    fn text(bytes: &[u8]) -> sys::str_ {
        calls::bytes(bytes)
    }

    fn text_value(bytes: &[u8]) -> sys::db_val_t {
        // SAFETY: [H3] plain C: numbers and pointers, for which zero is a value.
        let mut value: sys::db_val_t = unsafe { mem::zeroed() };
        value.type_ = sys::DB_STR;
        value.val.str_val = calls::bytes(bytes);
        value
    }

    fn rows(answer: &sys::db_res_t) -> (*const sys::db_row, c_int) {
        (answer.rows, answer.n)
    }

    fn values(row: &sys::db_row) -> (*const sys::db_val_t, c_int) {
        (row.values, row.n)
    }
}

impl Value for sys::db_val_t {
    fn number(&self) -> Option<i64> {
        if self.nul != 0 {
            return None;
        }
        let content = self.val;
        match self.type_ {
            // SAFETY: [H2] the type says which member holds the value.
            sys::DB_INT => Some(i64::from(unsafe { content.int_val })),
            // SAFETY: [H2] as above.
            sys::DB_BIGINT => Some(unsafe { content.bigint_val }),
            _ => None,
        }
    }

    fn octets(&self) -> Option<&[u8]> {
        if self.nul != 0 {
            return None;
        }
        let content = self.val;
        match self.type_ {
            sys::DB_STRING => {
                // SAFETY: [H2] the type says which member holds the value.
                let text: *const c_char = unsafe { content.string_val };
                // SAFETY: [H2][H3] a NUL-terminated text that lives as long as the result.
                (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
            }
            sys::DB_STR | sys::DB_BLOB => {
                // SAFETY: [H2] both members are of the same type, and the type says that it is one of them.
                let text = unsafe { content.str_val };
                let length = usize::try_from(text.len).ok().filter(|_| !text.s.is_null())?;
                // SAFETY: [H2][H3] length and pointer are checked; the text lives as long as the result.
                Some(unsafe { slice::from_raw_parts(text.s.cast(), length) })
            }
            _ => None,
        }
    }
}
