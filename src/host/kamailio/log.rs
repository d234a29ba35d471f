//! The `log` crate on Kamailio's LOG: its level check first, then formatting, then a text that is never a format.
//!
//! The level is asked of the core for every record, so that `debug` changed at runtime, globally or for this module alone (module
//! debugger), counts at once. That is one call that compares two integers.

use std::ffi::CStr;
use std::ffi::c_int;
use std::fmt;
use std::fmt::Write;

use log::Level;
use log::LevelFilter;
use log::Log;
use log::Metadata;
use log::Record;

use super::sys;
use crate::host::guard;

/// The module's name: in `loadmodule`, `modparam`, KEMI and the log.
pub(super) const MODULE: &CStr = c"xmpp_gateway";

/// Longest line: peers' text may be in it, and syslog cuts there anyway.
const LINE: usize = 2048;

/// Sets the logger. To be called once, when the module is registered.
pub(super) fn start() {
    // It fails when it was set before: then this is a second registration in the same process, and it is ours.
    let _ = log::set_logger(&HostLog);
    log::set_max_level(LevelFilter::Trace);
}

struct HostLog;

impl Log for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let length = c_int::try_from(MODULE.count_bytes()).unwrap_or(0);
        // SAFETY: [H1][H2] the name is a static of that length; the core only reads it.
        let printed = unsafe { sys::get_debug_level(MODULE.as_ptr().cast_mut(), length) };
        printed >= level(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let mut line = Line { text: String::new() };
        // It ends with an error where the line is full.
        let _ = line.write_fmt(*record.args());
        let length = c_int::try_from(line.text.len()).unwrap_or(0);
        // SAFETY: [H1][H2] pointer and length are those of `line`, which outlives the call.
        unsafe { sys::xmpp_gateway_log(level(record.metadata()), line.text.as_ptr().cast(), length) };
    }

    fn flush(&self) {}
}

fn level(metadata: &Metadata<'_>) -> c_int {
    match metadata.level() {
        Level::Error if metadata.target() == guard::CRIT => sys::L_CRIT2,
        Level::Error => sys::L_ERR,
        Level::Warn => sys::L_WARN,
        Level::Info => sys::L_INFO,
        Level::Debug | Level::Trace => sys::L_DBG,
    }
}

/// One line: control characters escaped, so that peers' text neither breaks lines nor moves the terminal.
struct Line {
    text: String,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if self.text.len() >= LINE {
                return Err(fmt::Error);
            }
            if c.is_control() {
                self.text.extend(c.escape_default());
            } else {
                self.text.push(c);
            }
        }
        Ok(())
    }
}
