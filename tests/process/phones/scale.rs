//! What many phones meet that one does not: a limit of open files, and a farewell that has to be short.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::process::Command;

use log::LevelFilter;
use log::Log;
use log::Metadata;
use log::Record;

use super::*;

fn users(count: usize) -> Vec<&'static str> {
    (0..count).map(|number| &*Box::leak(format!("user{number}").into_boxed_str())).collect()
}

fn entries(users: &[&'static str], url: &str) -> Vec<Entry> {
    users.iter().map(|user| Entry { user, url: url.to_owned(), session: String::new(), resource: "" }).collect()
}

#[test]
fn sessions_are_kept_whether_the_connection_manager_agrees_in_time_or_not() {
    let manager = Manager::start(|request| match request.attribute("pause") {
        Some(_) => Reply::Hold,
        None => hospitable(request),
    });
    let users = users(200);
    let scene = Scene::start(&entries(&users, &manager.url));
    users.iter().for_each(|user| scene.is(user, State::Online));
    let mut shown = 0;
    while shown < users.len() {
        assert_eq!(manager.shown(), "online");
        shown += 1;
    }
    let Scene { notes, stop, process, .. } = scene;
    drop(stop);
    process.join().unwrap();
    let kept: BTreeMap<String, String> = notes.try_iter().filter_map(|note| Some((note.user, note.session?))).collect();
    assert_eq!(kept.values().filter(|session| !session.is_empty()).count(), users.len());
    let paused = manager.requests.try_iter().filter(|request| request.attribute("pause").is_some()).count();
    assert!((1..=users.len()).contains(&paused), "{paused}");
}

/// Runs [`without_files`] in a process that may have few files open.
#[test]
fn a_process_without_files_says_so_once_and_goes_on() {
    let manager = Manager::start(hospitable);
    let this = std::env::current_exe().unwrap();
    let limited = ["-c", "ulimit -n 48 && exec \"$@\"", "sh"];
    let arguments = ["--exact", "phones::scale::without_files", "--ignored", "--nocapture"];
    let output = Command::new("sh").args(limited).arg(this).args(arguments).env(URL, &manager.url).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
#[ignore = "it needs a process of its own: a_process_without_files_says_so_once_and_goes_on runs it"]
fn without_files() {
    let Ok(url) = std::env::var(URL) else { return };
    static LINES: Lines = Lines(Mutex::new(Vec::new()));
    log::set_logger(&LINES).unwrap();
    log::set_max_level(LevelFilter::Warn);
    let users = users(80);
    let scene = Scene::start(&entries(&users, &url));
    users.iter().for_each(|user| scene.is(user, State::Online));
    let (mut shown, mut without) = (BTreeSet::new(), Vec::new());
    while without.len() + shown.len() < users.len() {
        let note = scene.notes.recv_timeout(PATIENCE).unwrap();
        match note.trouble.as_deref() {
            Some("") => drop(shown.insert(note.user)),
            Some(trouble) => {
                assert!(trouble.contains("files"), "{trouble}");
                without.push(note.user);
            }
            None => {}
        }
    }
    assert!(!shown.is_empty() && !without.is_empty(), "{shown:?} {without:?}");
    users.iter().for_each(|user| scene.is(user, State::Offline));
    let other = without.remove(0);
    let user = users.iter().find(|user| sip_uri(user) == other).unwrap();
    scene.is(user, State::Online);
    // Its first line may have been about to try again.
    while scene.notes.recv_timeout(PATIENCE).map(|note| (note.user == other, note.trouble.as_deref() == Some(""))).unwrap()
        != (true, true)
    {
        scene.is(user, State::Online);
    }
    scene.stop();
    let lines = LINES.0.lock().unwrap().clone();
    assert_eq!(lines.iter().filter(|line| line.contains("files open: no more sessions")).count(), 1, "{lines:?}");
    assert!(!lines.iter().any(|line| line.contains("is not shown")), "{lines:?}");
}

/// Where the connection manager of the process that started this one is.
const URL: &str = "XMPP_GATEWAY_TEST_URL";

/// What was logged.
struct Lines(Mutex<Vec<String>>);

impl Log for Lines {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        self.0.lock().unwrap().push(record.args().to_string());
    }

    fn flush(&self) {}
}
