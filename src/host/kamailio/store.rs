//! The store process: one more process of Kamailio, where something is to survive a restart.

use std::ffi::c_int;
use std::io;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

use super::db::Driver;
use super::process::Stop;
use super::sys;
use crate::host;
use crate::host::database::state_table::Line;
use crate::host::database::state_table::Session;
use crate::host::database::state_table::StateTable;
use crate::host::guard;
use crate::process::host::Flow;
use crate::process::storekeeper;
use crate::process::storekeeper::Store;
use crate::process::storekeeper::Unavailable;
use crate::store::Row;
use crate::store::message::Change;

/// In the main process: forks the store process, which never returns from here.
pub(super) fn fork((table, line): &(StateTable<Driver>, Line)) -> c_int {
    let name = c"xmpp_gateway store".as_ptr().cast_mut();
    // Without the child_init of other modules: it needs nothing but a driver.
    // SAFETY: [H1] the main process calls this in its child_init, where modules fork; the name is copied.
    match unsafe { sys::fork_process(sys::PROC_NOCHLDINIT, name, 1) } {
        0 => run(table, line),
        failed if failed < 0 => {
            log::error!("Kamailio could not fork the store process");
            -1
        }
        _ => 0,
    }
}

fn run(table: &StateTable<Driver>, line: &Line) -> ! {
    host::name_process(c"xmpp_store");
    let code = match KamailioStore::new(table) {
        Ok(mut store) => guard::answer(1, || {
            storekeeper::run(&mut store, &line.store);
            0
        }),
        Err(error) => {
            log::error!("the store process cannot start: {error}");
            1
        }
    };
    // SAFETY: ends this process without the exit handlers of the main process, whose copy it is.
    unsafe { libc::_exit(code) }
}

/// Kamailio, as the store process sees it.
struct KamailioStore<'a> {
    session: Session<'a, Driver>,
    stop: Stop,
}

impl<'a> KamailioStore<'a> {
    fn new(table: &'a StateTable<Driver>) -> io::Result<Self> {
        let stop = Stop::handled()?;
        // SAFETY: [H1] announced in mod_init, and called once, in the process that it was announced for.
        if unsafe { sys::cfg_child_init() } < 0 {
            return Err(io::Error::other("Kamailio gave no copy of its settings"));
        }
        Ok(Self { session: table.session(), stop })
    }
}

impl Store for KamailioStore<'_> {
    fn write(&mut self, changes: &[Change]) -> Result<(), Unavailable> {
        self.session.write(changes)
    }

    fn read(&mut self, portion: &mut dyn FnMut(Vec<Row>) -> Flow) -> Result<(), Unavailable> {
        self.session.read(None, portion)
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        self.stop.as_fd()
    }

    fn wake(&mut self) -> Flow {
        self.stop.asked_for()
    }
}
