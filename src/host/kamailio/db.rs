//! Kamailio's database API (srdb1): reads the table of mapped users.
//!
//! The functions come from the driver module itself, by the core's `find_mod_export`: the library libsrdb1, whose `db_bind_mod` would
//! do the same, is linked to the modules of the server only. Rows come in portions.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::mem;
use std::ptr;
use std::ptr::NonNull;
use std::slice;

use super::msg;
use super::msg::host_text;
use super::sys;
use crate::address::map::rows::Rows;
use crate::host::database;
use crate::host::database::DatabaseError;
use crate::host::database::FETCH;
use crate::host::database::TABLE_VERSION;

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
        let mut connection = Connection::open(&self.0, url)?;
        match connection.version(table)?.ok_or_else(|| DatabaseError::NoVersion(table.into()))? {
            TABLE_VERSION => connection.rows(table, rows),
            other => Err(DatabaseError::Version(table.into(), other)),
        }
    }
}

/// An open connection; closed when it is dropped.
struct Connection<'a> {
    functions: &'a sys::db_func_t,
    handle: NonNull<sys::db1_con_t>,
    close: super::Function<sys::db_close_f>,
    use_table: super::Function<sys::db_use_table_f>,
    query: super::Function<sys::db_query_f>,
    free_result: super::Function<sys::db_free_result_f>,
}

impl<'a> Connection<'a> {
    fn open(functions: &'a sys::db_func_t, url: &CStr) -> Result<Self, DatabaseError> {
        let sys::db_func_t { init, close, use_table, query, free_result, .. } = *functions;
        let all = init.zip(close).zip(use_table).zip(query.zip(free_result)).ok_or(DatabaseError::Driver)?;
        let (((init, close), use_table), (query, free_result)) = all;
        let text = host_text(url.to_bytes());
        // SAFETY: [H1][H5] the URL lives through the call.
        let handle = NonNull::new(unsafe { init(&raw const text) }).ok_or(DatabaseError::Connect)?;
        Ok(Self { functions, handle, close, use_table, query, free_result })
    }

    /// What the host's table of versions says of this one.
    fn version(&mut self, table: &CStr) -> Result<Option<i64>, DatabaseError> {
        let no_version = || DatabaseError::NoVersion(table.into());
        // SAFETY: [H4] set by the core when it started: the name of the table of versions.
        let versions = unsafe { sys::version_table };
        let (mut key, mut column) = (host_text(c"table_name".to_bytes()), host_text(c"table_version".to_bytes()));
        // SAFETY: the structure holds numbers and pointers, for which all zeros is a value.
        let mut value: sys::db_val_t = unsafe { mem::zeroed() };
        value.type_ = sys::DB1_STR;
        value.val.str_val = host_text(table.to_bytes());
        self.use_table(&versions).map_err(|()| no_version())?;
        let mut result = ptr::null_mut();
        // SAFETY: [H1][H5] one key, its value and one column, which live through the call; the result is freed below.
        let code = unsafe {
            let (keys, columns) = ([&raw mut key], [&raw mut column]);
            let no_order = ptr::null_mut();
            (self.query)(
                self.handle.as_ptr(),
                keys.as_ptr(),
                ptr::null(),
                &raw const value,
                columns.as_ptr(),
                1,
                1,
                no_order,
                &raw mut result,
            )
        };
        if code < 0 {
            return Err(no_version());
        }
        let found = self.taken(result).and_then(|result| result.rows().next().and_then(|row| number(row.first()?)));
        Ok(found)
    }

    fn rows(&mut self, table: &CStr, rows: &mut Rows) -> Result<(), DatabaseError> {
        let sys::db_func_t { fetch_result, raw_query, .. } = *self.functions;
        // What a driver lacks is NULL: its field of capabilities is filled by libsrdb1 only.
        match (fetch_result, raw_query) {
            (None, Some(raw_query)) => self.pages(raw_query, table, rows),
            (fetch_result, _) => self.query_all(fetch_result, table, rows),
        }
        .map_err(|()| DatabaseError::Read(table.into()))
    }

    /// One query for all rows: fetched in portions, or without that function held as a whole.
    fn query_all(&mut self, fetch: sys::db_fetch_result_f, table: &CStr, rows: &mut Rows) -> Result<(), ()> {
        let name = host_text(table.to_bytes());
        self.use_table(&name)?;
        let mut columns = database::COLUMNS.map(|column| host_text(column.to_bytes()));
        let columns: Vec<sys::db_key_t> = columns.iter_mut().map(|column| &raw mut *column).collect();
        let order = columns.first().copied().unwrap_or(ptr::null_mut());
        let mut first = ptr::null_mut();
        // With NULL in its place the result stays with the driver, to be fetched.
        let place = if fetch.is_some() { ptr::null_mut() } else { &raw mut first };
        let count = c_int::try_from(columns.len()).unwrap_or(0);
        // SAFETY: [H1][H5] all columns of all rows: no keys; names and columns live through the call; the result is freed below.
        let code = unsafe {
            let (no_keys, no_operators, no_values) = (ptr::null(), ptr::null(), ptr::null());
            (self.query)(self.handle.as_ptr(), no_keys, no_operators, no_values, columns.as_ptr(), 0, count, order, place)
        };
        if code < 0 {
            return Err(());
        }
        let Some(fetch) = fetch else {
            self.taken(first).iter().flat_map(Answer::rows).for_each(|row| take(row, rows));
            return Ok(());
        };
        let mut answer = Answer { connection: self, result: ptr::null_mut() };
        loop {
            let (handle, result) = (answer.connection.handle.as_ptr(), &raw mut answer.result);
            // SAFETY: [H1] the first call makes the result, the next ones fill it anew; it is freed with `answer`.
            if unsafe { fetch(handle, result, FETCH) } < 0 {
                // Drivers have freed it by then.
                answer.result = ptr::null_mut();
                return Err(());
            }
            answer.rows().for_each(|row| take(row, rows));
            if answer.count() < FETCH {
                return Ok(());
            }
        }
    }

    /// As many queries as portions, for the driver of SQLite, which cannot fetch: a whole table would not fit into private memory.
    fn pages(&mut self, raw_query: super::Function<sys::db_raw_query_f>, table: &CStr, rows: &mut Rows) -> Result<(), ()> {
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
            if unsafe { raw_query(self.handle.as_ptr(), &raw const text, &raw mut result) } < 0 {
                return Err(());
            }
            let Some(page) = self.taken(result) else { return Ok(()) };
            page.rows().for_each(|row| take(row, rows));
            let last = page.rows().last().and_then(|row| number(row.first()?));
            match last.filter(|last| *last > after && page.count() == FETCH) {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    /// The host keeps the address of the name until another table is used.
    fn use_table(&mut self, name: &sys::str_) -> Result<(), ()> {
        // SAFETY: [H1] the callers' names live as long as they query this table.
        if unsafe { (self.use_table)(self.handle.as_ptr(), name) } < 0 { Err(()) } else { Ok(()) }
    }

    fn taken(&mut self, result: *mut sys::db1_res_t) -> Option<Answer<'_, 'a>> {
        (!result.is_null()).then_some(Answer { connection: self, result })
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        // SAFETY: [H1][H5] opened by the same driver, closed once.
        unsafe { (self.close)(self.handle.as_ptr()) };
    }
}

/// What a query gave; freed when it is dropped.
struct Answer<'a, 'b> {
    connection: &'a mut Connection<'b>,
    /// NULL, or the driver's.
    result: *mut sys::db1_res_t,
}

impl Answer<'_, '_> {
    fn count(&self) -> c_int {
        // SAFETY: [H5] NULL, or a result that is freed after us.
        unsafe { self.result.as_ref() }.filter(|result| !result.rows.is_null()).map_or(0, |result| result.n)
    }

    /// The rows, each as its columns.
    fn rows(&self) -> impl Iterator<Item = &[sys::db_val_t]> {
        let count = usize::try_from(self.count()).unwrap_or(0);
        // SAFETY: [H5] as above.
        let rows: &[sys::db_row] = match unsafe { self.result.as_ref() } {
            // SAFETY: [H5] the driver's array of as many rows as it says, there as long as the result.
            Some(result) if count > 0 => unsafe { slice::from_raw_parts(result.rows, count) },
            _ => &[],
        };
        rows.iter().map(|row| match usize::try_from(row.n) {
            // SAFETY: [H5] as above, of as many columns.
            Ok(columns) if !row.values.is_null() => unsafe { slice::from_raw_parts(row.values, columns) },
            _ => &[],
        })
    }
}

impl Drop for Answer<'_, '_> {
    fn drop(&mut self) {
        if !self.result.is_null() {
            // SAFETY: [H1][H5] made by this driver on this connection, freed once.
            unsafe { (self.connection.free_result)(self.connection.handle.as_ptr(), self.result) };
        }
    }
}

/// A value that is missing is one that cannot be right.
fn take(row: &[sys::db_val_t], rows: &mut Rows) {
    let [id, sip_uri, jid, flags] = row else { return };
    rows.take(
        number(id).unwrap_or(0),
        octets(sip_uri).unwrap_or_default(),
        octets(jid).unwrap_or_default(),
        number(flags).unwrap_or(-1),
    );
}

fn number(value: &sys::db_val_t) -> Option<i64> {
    if value.nul != 0 {
        return None;
    }
    let content = value.val;
    match value.type_ {
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

fn octets(value: &sys::db_val_t) -> Option<&[u8]> {
    if value.nul != 0 {
        return None;
    }
    let content = value.val;
    match value.type_ {
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
