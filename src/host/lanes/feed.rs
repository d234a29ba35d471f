//! The XMPP process's end of the lanes: MESSAGEs go in as they come, and the workers are told of several at a time.

use super::Full;
use super::Jobs;
use super::Lanes;
use crate::process::host::HostError;
use crate::sip::Message;

/// MESSAGEs after which the workers are told, before the round of work ends.
const TOGETHER: u32 = 16;

/// One, in the XMPP process.
pub(in crate::host) struct Feed<'a> {
    lanes: &'a Lanes,
    pushed: u32,
}

impl<'a> Feed<'a> {
    /// Into these lanes.
    pub(in crate::host) fn new(lanes: &'a Lanes) -> Self {
        Self { lanes, pushed: 0 }
    }

    /// Whether all that one read of a stream brings will find room.
    pub(in crate::host) fn has_room(&self) -> bool {
        self.lanes.have_room()
    }

    /// Adds a MESSAGE.
    pub(in crate::host) fn push(&mut self, message: &Message, host: &impl Jobs) -> Result<(), HostError> {
        self.lanes.push(message).map_err(|Full| HostError::Busy)?;
        self.pushed = self.pushed.wrapping_add(1);
        if self.pushed.is_multiple_of(TOGETHER) {
            self.lanes.offer(host);
        }
        Ok(())
    }

    /// A round of work is over, or a second has passed.
    pub(in crate::host) fn tick(&self, host: &impl Jobs) {
        self.lanes.offer(host);
    }
}
