//! The store process: one more process of OpenSIPS, where something is to survive a restart.

use std::os::fd::BorrowedFd;

use super::Module;
use super::db::Driver;
use super::process;
use crate::host;
use crate::host::database::state_table::Session;
use crate::process::host::Flow;
use crate::process::storekeeper;
use crate::process::storekeeper::Store;
use crate::process::storekeeper::Unavailable;
use crate::store::Row;
use crate::store::message::Change;

/// Until the host stops.
pub(super) fn run(module: &Module) {
    host::name_process(c"xmpp_store");
    if let Some((table, line)) = &module.state {
        storekeeper::run(&mut OpenSipsStore { session: table.session() }, &line.store);
    }
    process::take_last_job();
}

/// OpenSIPS, as the store process sees it.
struct OpenSipsStore<'a> {
    session: Session<'a, Driver>,
}

impl Store for OpenSipsStore<'_> {
    fn write(&mut self, changes: &[Change]) -> Result<(), Unavailable> {
        self.session.write(changes)
    }

    fn read(&mut self, portion: &mut dyn FnMut(Vec<Row>) -> Flow) -> Result<(), Unavailable> {
        self.session.read(None, portion)
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        process::job_descriptor()
    }

    fn wake(&mut self) -> Flow {
        process::handle_jobs()
    }
}
