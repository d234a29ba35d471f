//! The host starts with 100 000 virtual subscriptions each way in its store: how long it takes until it has all of them.

use std::fmt::Write;
use std::io;
use std::time::Duration;
use std::time::SystemTime;

use xmpp_gateway::sip;
use xmpp_gateway::sip::Uri;
use xmpp_gateway::store::entry::Dialog;
use xmpp_gateway::store::entry::Entry;
use xmpp_gateway::store::entry::Phase;
use xmpp_gateway::store::entry::Shown;
use xmpp_gateway::store::entry::Subscription;

use crate::directions::XMPP_DOMAIN;
use crate::host::XMPP_PROCESS;
use crate::rig::Rig;
use crate::xmpp_server::COMPONENT;

/// SIP users who watch XMPP users by dialogs with the gateway, and as many XMPP users who watch SIP users.
const EACH_WAY: usize = 100_000;

/// Of one user.
const OF_ONE: usize = 1000;

/// What a start with them may take.
const MOST: Duration = Duration::from_secs(10);

/// Starts once.
pub(crate) fn restore(rig: &Rig) -> io::Result<(bool, String)> {
    let (restarted, time) = rig.restarted(&rows())?;
    let log = restarted.host.log();
    let said = log.lines().find(|line| line.contains("are restored in")).unwrap_or("nothing is restored");
    let said = said.rsplit(": ").next().unwrap_or(said);
    let resident = restarted.host.memory_of(XMPP_PROCESS, "VmRSS:").unwrap_or(0);
    println!(
        "restart: {EACH_WAY} virtual subscriptions each way; {:.2} s from the start of the host to the login of the component; XMPP process {:.0} MiB",
        time.as_secs_f64(),
        resident as f64 / 1024.0
    );
    println!("  the log: {said}");
    let whole = log.contains(&format!("{} subscriptions, publications, dialogs and decisions are restored", 2 * EACH_WAY));
    Ok((whole && time < MOST, format!("{:.2} s", time.as_secs_f64())))
}

/// SQL that makes the rows.
fn rows() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut sql = String::from("BEGIN;\n");
    for number in 0..EACH_WAY {
        for entry in [dialog(number, now), subscription(number)] {
            let row = entry.to_row();
            let (id, kind) = (row.id.as_str(), row.kind.name());
            let [watcher, presentity, content] = [&row.watcher, &row.presentity, &row.content].map(|text| text.as_str());
            let _ = writeln!(
                sql,
                "INSERT INTO xmpp_state VALUES ('{id}', '{kind}', '{watcher}', '{presentity}', '{content}', {});",
                row.expires
            );
        }
    }
    sql.push_str("COMMIT;\n");
    sql
}

fn dialog(number: usize, now: u64) -> Entry {
    let (watcher, presentity) =
        (format!("juliet{}@{COMPONENT}", number % OF_ONE), format!("romeo{}@{XMPP_DOMAIN}", number / OF_ONE));
    let text = format!(
        "{number}-4e3cba14ec5a4940@192.0.2.1\n8d306103d9f0a34b\n01e16e7ffa08\nsip:{presentity}\nsip:{watcher}\nsip:juliet@192.0.2.1:5060\n\n"
    );
    Entry::Dialog(Dialog {
        dialog: sip::Dialog::of(&text).expect("a dialog"),
        watcher,
        presentity,
        is_active: true,
        remote_cseq: 1,
        cseq: 256,
        written: now,
        expires: now + 3600,
    })
}

fn subscription(number: usize) -> Entry {
    // Users of one domain have three quarters of the table.
    let (watcher, presentity) =
        (format!("romeo{}@{}.{XMPP_DOMAIN}", number / OF_ONE, number % 2), format!("juliet{}@{COMPONENT}", number % OF_ONE));
    let uri = |jid: &str| Uri::new(format!("sip:{jid}")).expect("a URI");
    let stanza = format!("<presence from='{presentity}/desk' to='{watcher}'><show>away</show><priority>1</priority></presence>");
    Entry::Subscription(Subscription {
        uris: (uri(&watcher), uri(&presentity)),
        watcher,
        presentity,
        phase: Phase::Active,
        is_announced: true,
        display_name: Some("Juliet Capulet".to_owned()),
        shown: vec![Shown { resource: "desk".to_owned(), stanza, is_available: true }],
    })
}
