//! 100 000 messages each way: none lost, none twice, and the host's memory back to where it was.

use std::io;
use std::time::Duration;

use crate::directions::SipRequest;
use crate::directions::Stanzas;
use crate::host::XMPP_PROCESS;
use crate::load::History;
use crate::load::Limits;
use crate::load::Load;
use crate::load::drive;
use crate::report;
use crate::report::Series;
use crate::report::Verdict;
use crate::rig::Rig;
use crate::rounds::PAUSE;
use crate::target::Target;

const MESSAGES: usize = 100_000;

/// Messages before memory is looked at first: buffers that are kept have then got their size.
const WARM_UP: usize = 5_000;

/// Transactions leave shared memory some seconds after their end.
const SETTLE: Duration = Duration::from_secs(10);

/// Growth that counts as none: tables of the host that live on.
const TOLERANCE: u64 = 64 << 10;

/// Runs it on one host.
pub(crate) fn run(target: &Target) -> io::Result<()> {
    if target.module.is_none() {
        println!("no module for this host: nothing to soak");
        return Ok(());
    }
    let mut rig = Rig::start(target)?;
    soak(&mut rig).map_err(|error| rig.explain(&error))
}

fn soak(rig: &mut Rig) -> io::Result<()> {
    let mut history = History::new();
    let mut to_xmpp = SipRequest::message(rig.peer_port());
    let mut to_sip = Stanzas::message();
    both(rig, [&mut to_xmpp, &mut to_sip], WARM_UP, &mut history)?;
    let before = rig.memory()?;
    let own_before = rig.host.memory_of(XMPP_PROCESS, "RssAnon:");
    report::head();
    let series = both(rig, [&mut to_xmpp, &mut to_sip], MESSAGES, &mut history)?;
    for series in &series {
        report::row(series);
    }
    let after = rig.memory()?;
    let own_after = rig.host.memory_of(XMPP_PROCESS, "RssAnon:");
    let mut verdicts = vec![Verdict {
        met: series.iter().all(Series::is_whole),
        wanted: "100 000 messages each way, none lost, none twice",
        found: "see above".to_owned(),
    }];
    for (wanted, before, after) in [
        ("shared memory of the host back to where it was", before.shared, after.shared),
        ("process memory of the host back to where it was", before.private, after.private),
    ] {
        let found = format!("{before} bytes before, {after} after");
        verdicts.push(Verdict { met: after <= before + TOLERANCE, wanted, found });
    }
    // What the module takes from malloc, and what the host does not count in a process that is not its own.
    let wanted = "resident memory of the XMPP process, without shared memory, back within 1 MiB";
    verdicts.push(match (own_before, own_after) {
        (Some(before), Some(after)) => {
            Verdict { met: after <= before + 1024, wanted, found: format!("{before} KiB before, {after} after") }
        }
        _ => Verdict { met: false, wanted, found: format!("no process of the host is called {XMPP_PROCESS}") },
    });
    report::verdicts(&verdicts);
    Ok(())
}

fn both(rig: &mut Rig, loads: [&mut dyn Load; 2], count: usize, history: &mut History) -> io::Result<[Series; 2]> {
    let limits = Limits { window: 128, time: Duration::MAX, count, pause: PAUSE, aftermath: SETTLE };
    let mut series = [Series::new("SIP MESSAGE -> XMPP"), Series::new("XMPP message -> SIP")];
    for (series, load) in series.iter_mut().zip(loads) {
        series.add(&drive(rig, load, &limits, history)?);
    }
    Ok(series)
}
