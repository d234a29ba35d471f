//! Turns to log in, shared among domains: each has one in its turn, however many of its accounts wait.
//!
//! Who logs in to a server that is away takes a turn each time. All accounts of a large domain whose server is away would leave the others hardly any.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::rc::Weak;

use tokio::sync::Mutex;

use super::pacer::Pacer;

/// Turns of all domains.
#[derive(Debug)]
pub(super) struct Turns {
    pacer: Pacer,
    /// The queues in which somebody waits. Who has the lock of a queue waits for the pacer: one of each domain does, and they get their turns in the
    /// order in which they came.
    queues: RefCell<HashMap<String, Weak<Mutex<()>>>>,
}

impl Turns {
    pub(super) fn new(pacer: Pacer) -> Self {
        Self { pacer, queues: RefCell::default() }
    }

    /// Waits for a turn of an account of this domain.
    pub(super) async fn turn(&self, domain: &str) {
        let queue = self.queue(domain);
        let _first = queue.lock().await;
        self.pacer.turn().await;
    }

    fn queue(&self, domain: &str) -> Rc<Mutex<()>> {
        let mut queues = self.queues.borrow_mut();
        if let Some(queue) = queues.get(domain).and_then(Weak::upgrade) {
            return queue;
        }
        // Before it grows.
        if queues.len() == queues.capacity() {
            queues.retain(|_, queue| queue.strong_count() > 0);
        }
        let queue = Rc::default();
        queues.insert(domain.to_owned(), Rc::downgrade(&queue));
        queue
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::LocalSet;

    #[test]
    fn a_domain_with_many_accounts_leaves_the_others_their_turns() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let tasks = LocalSet::new();
        tasks.block_on(&runtime, async {
            let turns = Rc::new(Turns::new(Pacer::new(1000)));
            let order = Rc::new(RefCell::new(Vec::new()));
            let asking = ["away"; 50].into_iter().chain(["here", "there", "here"]).map(|domain| {
                let (turns, order) = (Rc::clone(&turns), Rc::clone(&order));
                tokio::task::spawn_local(async move {
                    turns.turn(domain).await;
                    order.borrow_mut().push(domain);
                })
            });
            for task in asking.collect::<Vec<_>>() {
                task.await.unwrap();
            }
            let order = order.borrow();
            assert_eq!(order[..6], ["away", "here", "there", "away", "here", "away"]);
            assert_eq!(order.len(), 53);
        });
    }

    #[test]
    fn queues_in_which_nobody_waits_are_forgotten() {
        let turns = Turns::new(Pacer::new(1000));
        let held = turns.queue("held");
        (0..10_000).for_each(|number| drop(turns.queue(&number.to_string())));
        assert!(turns.queues.borrow().len() < 100);
        assert!(Rc::ptr_eq(&held, &turns.queue("held")));
    }
}
