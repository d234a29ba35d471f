//! A driver in Rust behind the C functions: it counts what it makes, and what it gets back.

use std::cell::Cell;
use std::slice;

use super::*;
use crate::address::map::Map;
use crate::address::map::WORDS;
use crate::link::memory;

/// The database.
struct Database {
    table: Vec<[Column; 4]>,
    /// The portion at which fetching fails.
    fails_at: Option<usize>,
    portions: usize,
}

struct Handle {
    database: Database,
    used: bool,
    /// The rows that the query has left to be fetched.
    next: usize,
}

#[derive(Clone)]
enum Column {
    Nothing,
    Number(i64),
    Text(String),
}

impl Value for Column {
    fn number(&self) -> Option<i64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Nothing | Self::Text(_) => None,
        }
    }

    fn octets(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Nothing | Self::Number(_) => None,
        }
    }
}

struct Text(*const u8, usize);

struct Rust;

impl Api for Rust {
    type Handle = Handle;
    type Text = Text;
    type Value = Column;
    type Row = [Column; 4];
    type Answer = Vec<[Column; 4]>;

    fn text(bytes: &[u8]) -> Text {
        Text(bytes.as_ptr(), bytes.len())
    }

    fn text_value(bytes: &[u8]) -> Column {
        Column::Text(str::from_utf8(bytes).unwrap().to_owned())
    }

    fn rows(answer: &Self::Answer) -> (*const Self::Row, c_int) {
        (answer.as_ptr(), answer.len().try_into().unwrap())
    }

    fn values(row: &Self::Row) -> (*const Column, c_int) {
        (row.as_ptr(), 4)
    }
}

thread_local! {
    static DATABASE: Cell<Option<Database>> = const { Cell::new(None) };
    static MAP: Map = Map::over(memory::words::<WORDS>().unwrap());
    /// Connections and answers that nobody has given back.
    static OPEN: Cell<i32> = const { Cell::new(0) };
}

fn count(change: i32) {
    OPEN.set(OPEN.get().saturating_add(change));
}

/// # Safety
/// A text whose bytes live as long as they are used.
unsafe fn shown<'a>(text: *const Text) -> &'a [u8] {
    // SAFETY: as the caller promises.
    let Text(first, length) = unsafe { &*text };
    // SAFETY: as above.
    unsafe { slice::from_raw_parts(*first, *length) }
}

unsafe extern "C" fn init(url: *const Text) -> *mut Handle {
    // SAFETY: a text that lives through the call.
    if unsafe { shown(url) } != b"here" {
        return ptr::null_mut();
    }
    count(1);
    Box::into_raw(Box::new(Handle { database: DATABASE.take().unwrap(), used: false, next: 0 }))
}

unsafe extern "C" fn close(handle: *mut Handle) {
    count(-1);
    // SAFETY: made by `init`.
    drop(unsafe { Box::from_raw(handle) });
}

unsafe extern "C" fn use_table(handle: *mut Handle, name: *const Text) -> c_int {
    // SAFETY: a text that lives through the call.
    let name = unsafe { shown(name) };
    // SAFETY: made by `init`.
    unsafe { (*handle).used = name == b"xmpp_address" };
    if name == b"gone" { -1 } else { 0 }
}

unsafe extern "C" fn query(
    handle: *const Handle,
    keys: *const *mut Text,
    operators: *const *const c_char,
    values: *const Column,
    columns: *const *mut Text,
    key_count: c_int,
    column_count: c_int,
    order: *mut Text,
    place: *mut *mut Vec<[Column; 4]>,
) -> c_int {
    // SAFETY: made by `init`.
    let handle = unsafe { &*handle };
    assert!(keys.is_null() && operators.is_null() && values.is_null() && key_count == 0 && column_count == 4);
    // SAFETY: an array of four columns.
    assert_eq!(order, unsafe { *columns });
    if !handle.used {
        return -1;
    }
    // SAFETY: a place of the caller, or NULL.
    if let Some(place) = unsafe { place.as_mut() } {
        count(1);
        *place = Box::into_raw(Box::new(handle.database.table.clone()));
    }
    0
}

unsafe extern "C" fn fetch(handle: *const Handle, answer: *mut *mut Vec<[Column; 4]>, wanted: c_int) -> c_int {
    // SAFETY: made by `init`, and nobody else uses it now.
    let handle = unsafe { &mut *handle.cast_mut() };
    // SAFETY: a place of the caller.
    let answer = unsafe { &mut *answer };
    if !answer.is_null() {
        // SAFETY: what the last call left there.
        unsafe { free(handle, *answer) };
    }
    if handle.database.fails_at == Some(handle.database.portions) {
        return -1;
    }
    handle.database.portions = handle.database.portions.saturating_add(1);
    let rest = handle.database.table.get(handle.next..).unwrap_or_default();
    let portion = rest[..rest.len().min(wanted.try_into().unwrap())].to_vec();
    handle.next = handle.next.saturating_add(portion.len());
    count(1);
    *answer = Box::into_raw(Box::new(portion));
    0
}

unsafe extern "C" fn free(_: *mut Handle, answer: *mut Vec<[Column; 4]>) -> c_int {
    count(-1);
    // SAFETY: made by `query` or `fetch`.
    drop(unsafe { Box::from_raw(answer) });
    0
}

const FUNCTIONS: Functions<Rust> = Functions { init, close, use_table, query, fetch: Some(fetch), free, raw_query: None };
const WITHOUT_FETCH: Functions<Rust> = Functions { fetch: None, ..FUNCTIONS };

fn user(number: i64) -> [Column; 4] {
    let (uri, jid) = (format!("sip:{number}@pbx.example"), format!("user{number}@im.example"));
    [Column::Number(number), Column::Text(uri), Column::Text(jid), Column::Number(0)]
}

/// How many users and wrong rows were read from a table; nothing is left open.
fn read(functions: Functions<Rust>, table: Vec<[Column; 4]>, fails_at: Option<usize>) -> Result<(usize, usize), ()> {
    DATABASE.set(Some(Database { table, fails_at, portions: 0 }));
    // SAFETY: functions of one driver.
    let mut connection = unsafe { Connection::open(functions, c"here") }.ok().unwrap();
    let mut rows = Rows::default();
    let done = connection.rows(c"xmpp_address", &mut rows);
    drop(connection);
    assert_eq!(OPEN.get(), 0);
    done?;
    let loaded = MAP.with(|map| rows.replace(map)).unwrap();
    Ok((loaded.rows, loaded.skipped))
}

#[test]
fn all_rows_are_read_in_portions_or_at_once() {
    for count in [0, 1, 999, 1000, 1001, 2000, 2500] {
        let table: Vec<_> = (1..=count).map(user).collect();
        let expected = Ok((table.len(), 0));
        assert_eq!(read(FUNCTIONS, table.clone(), None), expected);
        assert_eq!(read(WITHOUT_FETCH, table, None), expected);
    }
}

#[test]
fn a_value_that_is_missing_costs_its_row_but_for_the_id_that_only_names_it() {
    let mut table: Vec<_> = (1..=6).map(user).collect();
    for (column, row) in (0..4).zip(&mut table) {
        row[column] = Column::Nothing;
    }
    assert_eq!(read(WITHOUT_FETCH, table, None), Ok((3, 3)));
}

#[test]
fn what_fails_on_the_way_is_an_error_and_leaves_nothing_open() {
    for fails_at in [0, 1, 2] {
        assert_eq!(read(FUNCTIONS, (1..=2500).map(user).collect(), Some(fails_at)), Err(()));
    }
    DATABASE.set(Some(Database { table: Vec::new(), fails_at: None, portions: 0 }));
    // SAFETY: functions of one driver.
    let mut connection = unsafe { Connection::open(FUNCTIONS, c"here") }.ok().unwrap();
    assert_eq!(connection.rows(c"gone", &mut Rows::default()), Err(()));
    assert_eq!(connection.rows(c"other", &mut Rows::default()), Err(()));
    drop(connection);
    assert_eq!(OPEN.get(), 0);
    // SAFETY: as above.
    assert!(matches!(unsafe { Connection::open(FUNCTIONS, c"elsewhere") }, Err(DatabaseError::Connect)));
}

/// Refuses a statement without its NUL.
unsafe extern "C" fn raw_query(_: *const Handle, statement: *const Text, _: *mut *mut Vec<[Column; 4]>) -> c_int {
    // SAFETY: a text of the caller.
    let Text(start, length) = unsafe { &*statement };
    // SAFETY: it lives as long as this call, and one byte more: the NUL, or what stands behind it in the text that it is a part of.
    let bytes = unsafe { slice::from_raw_parts(*start, length.saturating_add(1)) };
    if bytes.ends_with(b"\0") { 0 } else { -1 }
}

#[test]
fn a_statement_ends_where_drivers_look_for_its_end() {
    DATABASE.set(Some(Database { table: Vec::new(), fails_at: None, portions: 0 }));
    // SAFETY: functions of one driver.
    let mut connection =
        unsafe { Connection::open(Functions { raw_query: Some(raw_query), ..FUNCTIONS }, c"here") }.ok().unwrap();
    let statement = "COMMIT, and what stands behind it";
    assert_eq!(connection.run(statement.get(..6).unwrap()), Ok(()));
    assert_eq!(connection.run("COM\0MIT"), Err(()), "which no driver would read to its end");
}
