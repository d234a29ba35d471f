//! `log` over the host's LM_*: level first, then the text, under a fixed "%.*s".

use std::ffi::CString;
use std::ffi::c_int;
use std::fmt;
use std::fmt::Write as _;

use log::Level;
use log::LevelFilter;
use log::Log;
use log::Metadata;
use log::Record;

use super::sys;
use crate::host::guard;

/// The longest line; the host's own buffers end at 4096.
const LINE: usize = 3000;

const OURS: &str = "xmpp_gateway";

/// Sends what `log` takes, and every panic, to the host's log. Whoever comes first installs it: a parameter or mod_init.
pub(super) fn install() {
    if log::set_logger(&HostLog).is_ok() {
        log::set_max_level(LevelFilter::Debug);
        guard::log_panics();
    }
}

struct HostLog;

impl Log for HostLog {
    /// The host decides, at run time; of our dependencies it only gets what is wrong.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let of_interest = metadata.level() <= Level::Warn || metadata.target().starts_with(OURS);
        of_interest && prints(host_level(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            write(host_level(record.metadata()), record.target(), record.args());
        }
    }

    fn flush(&self) {}
}

fn host_level(metadata: &Metadata<'_>) -> c_int {
    if metadata.target() == guard::CRIT {
        return sys::L_CRIT;
    }
    match metadata.level() {
        Level::Error => sys::L_ERR,
        Level::Warn => sys::L_WARN,
        Level::Info => sys::L_INFO,
        Level::Debug | Level::Trace => sys::L_DBG,
    }
}

fn prints(level: c_int) -> bool {
    // SAFETY: [H1] reads the host's level variable.
    let prints = unsafe { sys::host_prints(level) };
    prints != 0
}

fn write(level: c_int, target: &str, text: &dyn fmt::Display) {
    let mut line = Line(String::with_capacity(128));
    // A full line ends the formatting: nothing else can fail.
    let _ = write!(line, "{text}");
    let place = target.strip_prefix(OURS).map_or(target, |rest| rest.trim_start_matches("::"));
    let place = CString::new(if place.is_empty() { OURS } else { place }).unwrap_or_default();
    let length = c_int::try_from(line.0.len()).unwrap_or(0);
    // SAFETY: [H1][H5] the place ends with NUL, the text has that many bytes, and the host copies both before it returns.
    unsafe { sys::host_log(level, place.as_ptr(), line.0.as_ptr().cast(), length) };
}

/// One line: control characters, which a peer may have chosen, are escaped; what is too long is cut.
struct Line(String);

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if self.0.len() >= LINE {
                return Err(fmt::Error);
            }
            if character.is_control() {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}
