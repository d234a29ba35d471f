//! What a life of the XMPP process leaves in the store, and the next one takes from it. The database is a map.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::Mutex;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;

use xmpp_gateway::link::store::pair;
use xmpp_gateway::process::host::Flow;
use xmpp_gateway::process::storekeeper;
use xmpp_gateway::process::storekeeper::Store;
use xmpp_gateway::process::storekeeper::Unavailable;
use xmpp_gateway::sip;
use xmpp_gateway::store::Id;
use xmpp_gateway::store::Row;
use xmpp_gateway::store::message::Change;
use xmpp_gateway::worker::ScriptResult;

use crate::Call;
use crate::Scene;
use crate::subscribe;

/// The database: its rows, and how often it still refuses.
#[derive(Default)]
struct Database {
    rows: BTreeMap<Id, Row>,
    refusals: usize,
}

impl Database {
    fn may(&mut self) -> Result<(), Unavailable> {
        match self.refusals.checked_sub(1) {
            Some(left) => {
                self.refusals = left;
                Err(Unavailable)
            }
            None => Ok(()),
        }
    }
}

/// A store process.
struct FakeStore {
    database: Arc<Mutex<Database>>,
    wake: UnixStream,
}

impl Store for FakeStore {
    fn write(&mut self, changes: &[Change]) -> Result<(), Unavailable> {
        let mut database = self.database.lock().unwrap();
        database.may()?;
        for change in changes {
            match change {
                Change::Keep(row) => drop(database.rows.insert(row.id.clone(), row.clone())),
                Change::Forget(id) => drop(database.rows.remove(id)),
            }
        }
        Ok(())
    }

    fn read(&mut self, portion: &mut dyn FnMut(Vec<Row>) -> Flow) -> Result<(), Unavailable> {
        let mut database = self.database.lock().unwrap();
        database.may()?;
        for row in database.rows.values() {
            portion(vec![row.clone()]);
        }
        Ok(())
    }

    fn wake_descriptor(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    fn wake(&mut self) -> Flow {
        Flow::Stop
    }
}

/// A scene with a store process beside it.
struct Kept {
    database: Arc<Mutex<Database>>,
    stop: UnixStream,
    process: JoinHandle<()>,
}

impl Kept {
    fn start(refusals: usize) -> (Scene, Self) {
        let (ours, theirs) = pair().unwrap();
        let database = Arc::new(Mutex::new(Database { refusals, ..Database::default() }));
        let (stop, wake) = UnixStream::pair().unwrap();
        let mut store = FakeStore { database: Arc::clone(&database), wake };
        let process = thread::spawn(move || storekeeper::run(&mut store, &theirs));
        let scene = Scene::start_on(Some(ours), |parameters, _| {
            parameters.db_url = Some("sqlite:///db".into());
            parameters.store = Some(1);
        });
        (scene, Self { database, stop, process })
    }

    /// Until the rows are so.
    fn wait(&self, what: &str, are: impl Fn(&[String]) -> bool) {
        let rows = || self.database.lock().unwrap().rows.values().map(Row::to_string).collect::<Vec<_>>();
        for _ in 0..2000 {
            if are(&rows()) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        panic!("waited in vain for {what}: {:?}", rows());
    }

    fn stop(self) {
        drop(self.stop);
        self.process.join().unwrap();
    }
}

fn has(rows: &[String], parts: &[&str]) -> bool {
    rows.iter().any(|row| parts.iter().all(|part| row.contains(part)))
}

#[test]
fn a_new_life_knows_the_dialogs_of_the_one_before() {
    // The first batch, and the first reading, have to be tried again.
    let (scene, kept) = Kept::start(1);
    let mut peer = scene.accept();
    kept.database.lock().unwrap().refusals = 1;
    let subscription = scene.worker.subscription(&subscribe(), || Some(b"ours".to_vec())).unwrap();
    assert_eq!(scene.worker.subscribed(subscription, Ok(())), ScriptResult::Done);
    assert!(matches!(scene.call(), Call::Notify(..)));
    kept.wait("the dialog", |rows| has(rows, &["dialog [juliet@sip.example.com] [romeo@example.net] phase pending"]));
    kept.wait("the question", |rows| has(rows, &["authorization", "standing asked"]));

    peer.say("<message from='romeo@example.net' to='juliet@sip.example.com'><body>panic</body></message>");
    let mut peer = scene.accept();
    peer.hear("type='subscribe'");
    let in_dialog = sip::Request { to_tag: b"ours".to_vec(), cseq: 2, ..subscribe() };
    let subscription = scene.worker.subscription(&in_dialog, || None).unwrap();
    assert_eq!(scene.worker.subscribed(subscription, Ok(())), ScriptResult::Done);
    assert!(matches!(scene.call(), Call::Notify(..)));

    peer.say("<presence from='romeo@example.net' to='juliet@sip.example.com' type='subscribed'/>");
    kept.wait("the decision", |rows| has(rows, &["dialog", "phase active"]) && has(rows, &["authorization", "standing allowed"]));
    scene.stop();
    kept.stop();
}
