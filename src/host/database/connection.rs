//! A connection of a host's database API, and what a query gives.
//!
//! The APIs of both hosts come from the same ancestor: the functions that reading takes differ in the names of their C types only,
//! which [`Api`] gives. Each host looks for the table's version in its own way, and knows what its drivers cannot do.

use std::ffi::CStr;
use std::ffi::CString;
use std::ffi::c_char;
use std::ffi::c_int;
use std::ptr;
use std::ptr::NonNull;
use std::slice;

use super::COLUMNS;
use super::DatabaseError;
use crate::address::map::rows::Rows;

/// Rows that a driver is asked for at once, where it can do so: they stand in the process's private memory.
pub(crate) const FETCH: c_int = 1000;

/// The C types of one host.
pub(crate) trait Api: Sized {
    type Handle;
    type Text;
    type Value: Value;
    type Row;
    type Answer;

    /// A text for the host, which copies or only reads it.
    fn text(bytes: &[u8]) -> Self::Text;
    /// The same as the value of a column.
    fn text_value(bytes: &[u8]) -> Self::Value;
    /// The array of rows, NULL or as long as the number says.
    fn rows(answer: &Self::Answer) -> (*const Self::Row, c_int);
    /// The array of values, likewise.
    fn values(row: &Self::Row) -> (*const Self::Value, c_int);
}

/// What stands in one column.
pub(crate) trait Value {
    /// `None`: nothing, or no integer.
    fn number(&self) -> Option<i64>;
    /// `None`: nothing, or no text.
    fn octets(&self) -> Option<&[u8]>;
}

pub(crate) type Init<A> = unsafe extern "C" fn(*const <A as Api>::Text) -> *mut <A as Api>::Handle;
pub(crate) type Close<A> = unsafe extern "C" fn(*mut <A as Api>::Handle);
pub(crate) type UseTable<A> = unsafe extern "C" fn(*mut <A as Api>::Handle, *const <A as Api>::Text) -> c_int;
pub(crate) type Query<A> = unsafe extern "C" fn(
    *const <A as Api>::Handle,
    *const *mut <A as Api>::Text,
    *const *const c_char,
    *const <A as Api>::Value,
    *const *mut <A as Api>::Text,
    c_int,
    c_int,
    *mut <A as Api>::Text,
    *mut *mut <A as Api>::Answer,
) -> c_int;
pub(crate) type Fetch<A> = unsafe extern "C" fn(*const <A as Api>::Handle, *mut *mut <A as Api>::Answer, c_int) -> c_int;
pub(crate) type Free<A> = unsafe extern "C" fn(*mut <A as Api>::Handle, *mut <A as Api>::Answer) -> c_int;

pub(crate) type RawQuery<A> =
    unsafe extern "C" fn(*const <A as Api>::Handle, *const <A as Api>::Text, *mut *mut <A as Api>::Answer) -> c_int;

/// The functions of one driver that reading takes, and one to write by.
pub(crate) struct Functions<A: Api> {
    pub(crate) init: Init<A>,
    pub(crate) close: Close<A>,
    pub(crate) use_table: UseTable<A>,
    pub(crate) query: Query<A>,
    /// `None`: what a query gives comes as a whole.
    pub(crate) fetch: Option<Fetch<A>>,
    pub(crate) free: Free<A>,
    /// A statement as it is.
    pub(crate) raw_query: Option<RawQuery<A>>,
}

/// An open connection; closed when it is dropped.
pub(crate) struct Connection<A: Api> {
    functions: Functions<A>,
    handle: NonNull<A::Handle>,
}

impl<A: Api> Connection<A> {
    /// Connects.
    ///
    /// # Safety
    /// The functions are those of one driver, in a process of the host [H1].
    pub(crate) unsafe fn open(functions: Functions<A>, url: &CStr) -> Result<Self, DatabaseError> {
        let text = A::text(url.to_bytes());
        // SAFETY: [H1][H5] the URL lives through the call.
        let handle = NonNull::new(unsafe { (functions.init)(&raw const text) }).ok_or(DatabaseError::Connect)?;
        Ok(Self { functions, handle })
    }

    /// What the driver knows it by.
    pub(crate) fn handle(&self) -> *mut A::Handle {
        self.handle.as_ptr()
    }

    /// The host keeps the address of the name until another table is used.
    pub(crate) fn use_table(&mut self, name: &A::Text) -> Result<(), ()> {
        // SAFETY: [H1] the callers' names live as long as they query this table.
        if unsafe { (self.functions.use_table)(self.handle.as_ptr(), name) } < 0 { Err(()) } else { Ok(()) }
    }

    /// What a query gave; `None` where it gave nothing.
    ///
    /// # Safety
    /// NULL, or what a query on this connection gave, which nobody has freed.
    pub(crate) unsafe fn taken(&mut self, answer: *mut A::Answer) -> Option<Answer<'_, A>> {
        (!answer.is_null()).then_some(Answer { connection: self, answer })
    }

    /// All rows of the table in the order of their ids: one query, fetched in portions, or without that function held as a whole.
    pub(crate) fn rows(&mut self, table: &CStr, rows: &mut Rows) -> Result<(), ()> {
        let name = A::text(table.to_bytes());
        self.use_table(&name)?;
        let mut columns = COLUMNS.map(|column| A::text(column.to_bytes()));
        let columns: Vec<*mut A::Text> = columns.iter_mut().map(|column| &raw mut *column).collect();
        let order = columns.first().copied().unwrap_or(ptr::null_mut());
        let mut first = ptr::null_mut();
        let Functions { query, fetch, .. } = self.functions;
        // With NULL in its place the result stays with the driver, to be fetched.
        let place = if fetch.is_some() { ptr::null_mut() } else { &raw mut first };
        let count = c_int::try_from(columns.len()).unwrap_or(0);
        // SAFETY: [H1][H5] all columns of all rows: no keys; names and columns live through the call; the result is freed below.
        let code = unsafe {
            let (no_keys, no_operators, no_values) = (ptr::null(), ptr::null(), ptr::null());
            query(self.handle.as_ptr(), no_keys, no_operators, no_values, columns.as_ptr(), 0, count, order, place)
        };
        if code < 0 {
            return Err(());
        }
        match fetch {
            Some(fetch) => self.fetched(fetch, rows),
            None => {
                // SAFETY: [H5] what the query gave.
                unsafe { self.taken(first) }.iter().for_each(|answer| answer.take(rows));
                Ok(())
            }
        }
    }

    /// A statement that gives nothing.
    pub(crate) fn run(&mut self, statement: &str) -> Result<(), ()> {
        self.query(statement).map(drop)
    }

    /// A statement, and what it gives.
    pub(crate) fn query(&mut self, statement: &str) -> Result<Option<Answer<'_, A>>, ()> {
        let raw_query = self.functions.raw_query.ok_or(())?;
        // The driver of PostgreSQL for OpenSIPS reads up to the NUL, whatever the length.
        let statement = CString::new(statement).map_err(|_| ())?;
        let text = A::text(statement.to_bytes());
        let mut answer = ptr::null_mut();
        // The driver of SQLite for Kamailio does nothing unless it is asked for a result.
        // SAFETY: [H1][H5] the statement lives through the call; what comes back is freed below.
        let code = unsafe { raw_query(self.handle.as_ptr(), &raw const text, &raw mut answer) };
        if code < 0 {
            // Drivers have freed it by then.
            return Err(());
        }
        // SAFETY: [H5] what the query gave.
        Ok(unsafe { self.taken(answer) })
    }

    /// The rows that meet all conditions: a column, an operator and a text.
    pub(crate) fn select(
        &mut self,
        table: &CStr,
        columns: &[&CStr],
        conditions: &[(&CStr, &CStr, &str)],
    ) -> Result<Option<Answer<'_, A>>, ()> {
        let name = A::text(table.to_bytes());
        self.use_table(&name)?;
        let mut columns: Vec<A::Text> = columns.iter().map(|column| A::text(column.to_bytes())).collect();
        let columns: Vec<*mut A::Text> = columns.iter_mut().map(|column| &raw mut *column).collect();
        let mut keys: Vec<A::Text> = conditions.iter().map(|(column, ..)| A::text(column.to_bytes())).collect();
        let keys: Vec<*mut A::Text> = keys.iter_mut().map(|key| &raw mut *key).collect();
        let operators: Vec<*const c_char> = conditions.iter().map(|(_, operator, _)| operator.as_ptr()).collect();
        let values: Vec<A::Value> = conditions.iter().map(|(.., value)| A::text_value(value.as_bytes())).collect();
        let [key_count, count] = [keys.len(), columns.len()].map(|count| c_int::try_from(count).unwrap_or(0));
        let mut answer = ptr::null_mut();
        let query = self.functions.query;
        // SAFETY: [H1][H5] so many keys, operators and values, and all columns, which live through the call; the result is freed with
        // what is returned.
        let code = unsafe {
            let (handle, no_order) = (self.handle.as_ptr(), ptr::null_mut());
            let (keys, operators, values) = (keys.as_ptr(), operators.as_ptr(), values.as_ptr());
            query(handle, keys, operators, values, columns.as_ptr(), key_count, count, no_order, &raw mut answer)
        };
        if code < 0 {
            return Err(());
        }
        // SAFETY: [H5] what the query gave.
        Ok(unsafe { self.taken(answer) })
    }

    fn fetched(&mut self, fetch: Fetch<A>, rows: &mut Rows) -> Result<(), ()> {
        let mut portion = Answer { connection: self, answer: ptr::null_mut() };
        loop {
            let (handle, answer) = (portion.connection.handle.as_ptr(), &raw mut portion.answer);
            // SAFETY: [H1] the first call makes the result, the next ones fill it anew; it is freed with `portion`.
            if unsafe { fetch(handle, answer, FETCH) } < 0 {
                // Drivers have freed it by then.
                portion.answer = ptr::null_mut();
                return Err(());
            }
            portion.take(rows);
            if portion.count() < FETCH {
                return Ok(());
            }
        }
    }
}

impl<A: Api> Drop for Connection<A> {
    fn drop(&mut self) {
        // SAFETY: [H1][H5] opened by the same driver, closed once.
        unsafe { (self.functions.close)(self.handle.as_ptr()) };
    }
}

/// What a query gave; freed when it is dropped.
pub(crate) struct Answer<'a, A: Api> {
    connection: &'a mut Connection<A>,
    /// NULL, or the driver's.
    answer: *mut A::Answer,
}

impl<A: Api> Answer<'_, A> {
    /// How many rows there are.
    pub(crate) fn count(&self) -> c_int {
        let (rows, count) = self.array();
        if rows.is_null() { 0 } else { count }
    }

    /// The rows, each as its columns.
    pub(crate) fn rows(&self) -> impl Iterator<Item = &[A::Value]> {
        let (rows, count) = self.array();
        // SAFETY: [H5] the driver's array of as many rows as it says, there as long as the result.
        let rows: &[A::Row] = unsafe { array(rows, count) };
        rows.iter().map(|row| {
            let (values, count) = A::values(row);
            // SAFETY: [H5] as above, of as many columns.
            unsafe { array(values, count) }
        })
    }

    /// Takes all rows of mapped users. A value that is missing is one that cannot be right; the id only names the row in the log.
    pub(crate) fn take(&self, rows: &mut Rows) {
        for row in self.rows() {
            let [id, sip_uri, jid, flags] = row else { continue };
            rows.take(
                id.number().unwrap_or(0),
                sip_uri.octets().unwrap_or_default(),
                jid.octets().unwrap_or_default(),
                flags.number().unwrap_or(-1),
            );
        }
    }

    fn array(&self) -> (*const A::Row, c_int) {
        // SAFETY: [H5] NULL, or a result that is freed after us.
        unsafe { self.answer.as_ref() }.map_or((ptr::null(), 0), A::rows)
    }
}

impl<A: Api> Drop for Answer<'_, A> {
    fn drop(&mut self) {
        if !self.answer.is_null() {
            // SAFETY: [H1][H5] made by this driver on this connection, freed once.
            unsafe { (self.connection.functions.free)(self.connection.handle.as_ptr(), self.answer) };
        }
    }
}

/// # Safety
/// NULL, or an array of so many that lives as long as the slice is used.
unsafe fn array<'a, T>(first: *const T, count: c_int) -> &'a [T] {
    match usize::try_from(count) {
        // SAFETY: [H5] as the caller promises.
        Ok(count) if !first.is_null() => unsafe { slice::from_raw_parts(first, count) },
        _ => &[],
    }
}

#[cfg(test)]
mod tests;
