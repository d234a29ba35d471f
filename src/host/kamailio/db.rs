//! Kamailio's database API (srdb1): reads the table of mapped users, and the table of what survives a restart.
//!
//! The functions come from the driver module itself, by the core's `find_mod_export`: the library libsrdb1, whose `db_bind_mod` would
//! do the same, is linked to the modules of the server only. Rows come in portions.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::mem;
use std::ptr;

use super::msg;
use super::msg::host_text;
use super::sys;
use crate::address::map::rows::Rows;
use crate::host::database;
use crate::host::database::DatabaseError;
use crate::host::database::connection::Api;
use crate::host::database::connection::Connection;
use crate::host::database::connection::FETCH;
use crate::host::database::connection::Functions;
use crate::host::database::connection::Value;

/// The functions of one driver.
pub(super) struct Driver(sys::db_func_t);

impl database::Driver for Driver {
    fn bind(url: &str) -> Result<Self, DatabaseError> {
        let name = database::driver_module(url);
        let missing = || DatabaseError::NoDriver(name.clone());
        let module = CString::new(name.as_str()).map_err(|_| missing())?;
        // SAFETY: [H1][H2] the name is NUL-terminated and only read.
        if unsafe { sys::find_module_by_name(module.as_ptr().cast_mut()) }.is_null() {
            return Err(missing());
        }
        let function = c"db_bind_api".as_ptr().cast_mut();
        // SAFETY: [H1][H2] both names are NUL-terminated and only read.
        let bind = unsafe { sys::find_mod_export(module.as_ptr().cast_mut(), function, 0, 0) };
        // SAFETY: drivers register `db_bind_api` under that name with that type (lib/srdb1/db.h); both are one pointer or NULL.
        let bind: sys::db_bind_api_f = unsafe { mem::transmute(bind) };
        // SAFETY: the structure holds numbers and optional functions, for which all zeros is a value.
        let mut functions: sys::db_func_t = unsafe { mem::zeroed() };
        // SAFETY: [H1][H2] the structure is of the layout that the headers give and lives through the call.
        let bound = bind.is_some_and(|bind| unsafe { bind(&raw mut functions) } >= 0);
        if bound { Ok(Self(functions)) } else { Err(DatabaseError::Driver) }
    }

    fn read(&self, url: &CStr, table: &CStr, rows: &mut Rows) -> Result<(), DatabaseError> {
        // SAFETY: [H1] of one driver, which has given them to us.
        let mut connection = unsafe { Connection::open(self.functions().ok_or(DatabaseError::Driver)?, url) }?;
        database::check_version(table, self.version(&mut connection, table))?;
        // What a driver lacks is NULL: its field of capabilities is filled by libsrdb1 only.
        match (self.0.fetch_result, self.0.raw_query) {
            (None, Some(raw_query)) => pages(&mut connection, raw_query, table, rows),
            (_, _) => connection.rows(table, rows),
        }
        .map_err(|()| DatabaseError::Read(table.into()))
    }
}

impl database::state_table::Stores for Driver {
    type Api = Kamailio;

    fn connect(&self, url: &CStr) -> Result<Connection<Kamailio>, DatabaseError> {
        let functions = self.functions().filter(|functions| functions.raw_query.is_some()).ok_or(DatabaseError::Driver)?;
        // SAFETY: [H1] of one driver, which has given them to us.
        unsafe { Connection::open(functions, url) }
    }

    fn table_version(&self, connection: &mut Connection<Kamailio>, table: &CStr) -> Option<i64> {
        self.version(connection, table)
    }
}

impl Driver {
    fn functions(&self) -> Option<Functions<Kamailio>> {
        let sys::db_func_t { init, close, use_table, query, fetch_result, free_result, raw_query, .. } = self.0;
        let (init, close, use_table, query, free) = (init?, close?, use_table?, query?, free_result?);
        Some(Functions { init, close, use_table, query, fetch: fetch_result, free, raw_query })
    }

    /// What the host's table of versions says of this one.
    fn version(&self, connection: &mut Connection<Kamailio>, table: &CStr) -> Option<i64> {
        // SAFETY: [H4] set by the core when it started: the name of the table of versions.
        let versions = unsafe { sys::version_table };
        let (mut key, mut column) = (host_text(c"table_name".to_bytes()), host_text(c"table_version".to_bytes()));
        let value = Kamailio::text_value(table.to_bytes());
        connection.use_table(&versions).ok()?;
        let (query, handle) = (self.0.query?, connection.handle());
        let mut result = ptr::null_mut();
        // SAFETY: [H1][H5] one key, its value and one column, which live through the call; the result is freed below.
        let code = unsafe {
            let (keys, columns) = ([&raw mut key], [&raw mut column]);
            let (no_operators, no_order) = (ptr::null(), ptr::null_mut());
            query(handle, keys.as_ptr(), no_operators, &raw const value, columns.as_ptr(), 1, 1, no_order, &raw mut result)
        };
        if code < 0 {
            return None;
        }
        // SAFETY: [H5] what the query gave.
        let answer = unsafe { connection.taken(result) }?;
        answer.rows().next()?.first()?.number()
    }
}

/// As many queries as portions, for the driver of SQLite, which cannot fetch: a whole table would not fit into private memory.
fn pages(
    connection: &mut Connection<Kamailio>,
    raw_query: super::Function<sys::db_raw_query_f>,
    table: &CStr,
    rows: &mut Rows,
) -> Result<(), ()> {
    let columns = database::COLUMNS.map(CStr::to_string_lossy).join(", ");
    // Parameters are checked: the name of a table has letters, digits and underscores only.
    let table = table.to_string_lossy();
    let mut after = i64::from(i32::MIN);
    loop {
        let sql = CString::new(format!("SELECT {columns} FROM {table} WHERE id > {after} ORDER BY id LIMIT {FETCH}"))
            .map_err(|_| ())?;
        let text = host_text(sql.to_bytes());
        let mut result = ptr::null_mut();
        // SAFETY: [H1][H5] the query lives through the call; the result is freed below.
        if unsafe { raw_query(connection.handle(), &raw const text, &raw mut result) } < 0 {
            return Err(());
        }
        // SAFETY: [H5] what the query gave.
        let Some(page) = (unsafe { connection.taken(result) }) else { return Ok(()) };
        page.take(rows);
        let last = page.rows().last().and_then(|row| row.first()?.number());
        match last.filter(|last| *last > after && page.count() == FETCH) {
            Some(last) => after = last,
            None => return Ok(()),
        }
    }
}

/// The names of Kamailio.
pub(super) struct Kamailio;

impl Api for Kamailio {
    type Handle = sys::db1_con_t;
    type Text = sys::str_;
    type Value = sys::db_val_t;
    type Row = sys::db_row;
    type Answer = sys::db1_res_t;

    fn text(bytes: &[u8]) -> sys::str_ {
        host_text(bytes)
    }

    fn text_value(bytes: &[u8]) -> sys::db_val_t {
        // SAFETY: the structure holds numbers and pointers, for which all zeros is a value.
        let mut value: sys::db_val_t = unsafe { mem::zeroed() };
        value.type_ = sys::DB1_STR;
        value.val.str_val = host_text(bytes);
        value
    }

    fn rows(answer: &sys::db1_res_t) -> (*const sys::db_row, c_int) {
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
            sys::DB1_INT => Some(i64::from(unsafe { content.int_val })),
            // SAFETY: [H2] as above.
            sys::DB1_UINT => Some(i64::from(unsafe { content.uint_val })),
            // SAFETY: [H2] as above.
            sys::DB1_BIGINT => Some(unsafe { content.ll_val }),
            // SAFETY: [H2] as above.
            sys::DB1_UBIGINT => i64::try_from(unsafe { content.ull_val }).ok(),
            _ => None,
        }
    }

    fn octets(&self) -> Option<&[u8]> {
        if self.nul != 0 {
            return None;
        }
        let content = self.val;
        match self.type_ {
            sys::DB1_STRING => {
                // SAFETY: [H2] the type says which member holds the value.
                let text: *const c_char = unsafe { content.string_val };
                // SAFETY: [H2][H3] a NUL-terminated text that lives as long as the result.
                (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_bytes())
            }
            sys::DB1_STR | sys::DB1_BLOB => {
                // SAFETY: [H2] both members are of the same type, and the type says that it is one of them.
                let text = unsafe { content.str_val };
                // SAFETY: [H2][H3] a text that lives as long as the result.
                Some(unsafe { msg::text(text) })
            }
            _ => None,
        }
    }
}
