//! The beginning of a life: what an earlier one has left in the store comes back, before anything else is done.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use super::Turn;
use crate::gateway::kept::Clock;
use crate::link::shared::Dialogs;
use crate::process::host::Flow;
use crate::process::host::Host;
use crate::process::keeper::Loaded;
use crate::process::keeper::show;
use crate::store::Row;
use crate::store::entry::Entry;

/// How long the store may be silent before the process goes on without it.
const PATIENCE: Duration = Duration::from_secs(10);

/// What became of the rows so far.
#[derive(Debug, Default)]
struct Rows {
    taken: usize,
    dropped: usize,
}

impl<H: Host> Turn<'_, H> {
    /// Takes everything back, or goes on without it.
    pub(super) async fn restore(&mut self, store: &AsyncFd<OwnedFd>, wake: &AsyncFd<OwnedFd>) -> io::Result<Flow> {
        let start = Instant::now();
        let mut rows = Rows::default();
        self.keeper.load();
        let outcome = loop {
            tokio::select! {
                ready = timeout(PATIENCE, store.readable()) => match ready {
                    Ok(ready) => ready?.clear_ready(),
                    Err(_) => break Loaded::Failed,
                },
                ready = wake.readable() => {
                    ready?.clear_ready();
                    if self.host.wake() == Flow::Stop {
                        return Ok(Flow::Stop);
                    }
                }
            }
            if let Some(outcome) = self.heard(&mut rows)? {
                break outcome;
            }
            self.host.tick();
        };
        if outcome == Loaded::Failed {
            log::error!("the store gives nothing back: subscriptions and dialogs from before are not known any more");
            self.receiver.shared().end_all_dialogs();
        }
        self.gateway.host_had().for_each(|published| self.host.restored(&published));
        let (Rows { taken, dropped }, seconds) = (rows, start.elapsed().as_secs_f64());
        log::info!(
            "{taken} subscriptions, publications, dialogs and decisions are restored in {seconds:.2} s; {dropped} are over"
        );
        self.receiver.shared().set_dialogs(Dialogs::Known);
        Ok(Flow::Continue)
    }

    /// Takes what has come; how it ended, if it has.
    fn heard(&mut self, rows: &mut Rows) -> io::Result<Option<Loaded>> {
        while let Some(heard) = self.keeper.heard()? {
            let Loaded::Rows(come) = heard else { return Ok(Some(heard)) };
            for row in come {
                if self.take_back(&row) {
                    rows.taken = rows.taken.saturating_add(1);
                } else {
                    rows.dropped = rows.dropped.saturating_add(1);
                    self.keeper.forget(row.id);
                }
            }
        }
        Ok(None)
    }

    /// What one row of the store says. False: nothing that still counts.
    fn take_back(&mut self, row: &Row) -> bool {
        let Some(entry) = Entry::of_row(row) else {
            log::warn!("row {} of the store cannot be used", row.id.as_str());
            return false;
        };
        show(&entry, self.receiver.shared());
        let dialog = if let Entry::Dialog(kept) = &entry { Some(kept.dialog.clone()) } else { None };
        let restored = self.gateway.restore(Clock { now: Instant::now(), wall: SystemTime::now() }, entry);
        if let Some(dialog) = dialog.filter(|_| !restored) {
            self.receiver.shared().end_dialog(&dialog);
        }
        restored
    }
}
