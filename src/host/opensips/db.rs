//! OpenSIPS's database API: reads the table of mapped users. Where the driver can, rows are fetched in portions.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::mem;
use std::ptr;
use std::ptr::NonNull;
use std::slice;

use super::calls;
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
    handle: NonNull<sys::db_con_t>,
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
        let text = calls::bytes(url.to_bytes());
        // SAFETY: [H1][H5] the URL lives through the call.
        let handle = NonNull::new(unsafe { init(&raw const text) }).ok_or(DatabaseError::Connect)?;
        Ok(Self { functions, handle, close, use_table, query, free_result })
    }

    /// What the host's table of versions says of this one.
    fn version(&mut self, table: &CStr) -> Result<Option<i64>, DatabaseError> {
        let name = calls::bytes(table.to_bytes());
        // SAFETY: [H1][H5] the driver's functions and connection, and a name that lives through the call.
        let version = unsafe { sys::db_table_version(self.functions, self.handle.as_ptr(), &raw const name) };
        // Where there is none it is 0 in OpenSIPS 3.4, and below 0 later.
        Ok(u32::try_from(version).ok().filter(|version| *version > 0).map(i64::from))
    }

    fn rows(&mut self, table: &CStr, rows: &mut Rows) -> Result<(), DatabaseError> {
        let unreadable = || DatabaseError::Read(table.into());
        let name = calls::bytes(table.to_bytes());
        self.use_table(&name).map_err(|()| unreadable())?;
        let mut columns = database::COLUMNS.map(|column| calls::bytes(column.to_bytes()));
        let columns: Vec<sys::db_key_t> = columns.iter_mut().map(|column| &raw mut *column).collect();
        let order = columns.first().copied().unwrap_or(ptr::null_mut());
        let fetch = self.functions.fetch_result.filter(|_| self.functions.cap & sys::DB_CAP_FETCH != 0);
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
            return Err(unreadable());
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
                return Err(unreadable());
            }
            answer.rows().for_each(|row| take(row, rows));
            if answer.count() < FETCH {
                return Ok(());
            }
        }
    }

    /// The host keeps the address of the name until another table is used.
    fn use_table(&mut self, name: &sys::str_) -> Result<(), ()> {
        // SAFETY: [H1] the callers' names live as long as they query this table.
        if unsafe { (self.use_table)(self.handle.as_ptr(), name) } < 0 { Err(()) } else { Ok(()) }
    }

    fn taken(&mut self, result: *mut sys::db_res_t) -> Option<Answer<'_, 'a>> {
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
    result: *mut sys::db_res_t,
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
        sys::DB_INT => Some(i64::from(unsafe { content.int_val })),
        // SAFETY: [H2] as above.
        sys::DB_BIGINT => Some(unsafe { content.bigint_val }),
        _ => None,
    }
}

fn octets(value: &sys::db_val_t) -> Option<&[u8]> {
    if value.nul != 0 {
        return None;
    }
    let content = value.val;
    match value.type_ {
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
