//! How many files the process may have open: each session is a connection, and a second one for moments.

use std::fs;
use std::time::Duration;
use std::time::Instant;

/// Says once, and then once a minute, that there are too few.
#[derive(Debug, Default)]
pub(super) struct Files {
    said: Option<Instant>,
}

impl Files {
    /// So many accounts were read. What does not fit when all have a session is said before they have one.
    pub(super) fn expect(&self, accounts: usize) {
        if let Some(limit) = limit()
            && accounts.saturating_add(OTHERS) > limit
        {
            log::warn!(
                "{accounts} accounts, and the phone process may have {limit} files open: not all can have a session; raise open_files_limit"
            );
        }
    }

    /// A connection was not made as there were too many.
    pub(super) fn run_out(&mut self, now: Instant) {
        if self.said.is_some_and(|said| now.saturating_duration_since(said) < AGAIN) {
            return;
        }
        self.said = Some(now);
        let limit = limit().map_or_else(|| "as many as it may".to_owned(), |limit| limit.to_string());
        log::error!("the phone process has {limit} files open: no more sessions until some end; raise open_files_limit");
    }
}

/// As the kernel tells it; `None` if it does not.
fn limit() -> Option<usize> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().next()?.parse().ok())
}

/// Files that are no connection of a session: listeners and pipes of the server, the database, connections about to end.
const OTHERS: usize = 256;

const AGAIN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_known() {
        assert!(limit().unwrap() > 0);
    }
}
