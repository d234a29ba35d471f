//! Questions that wait for the answer of an XMPP user. Each has a number, and of too many the oldest goes: the presence server names the
//! watcher again, and then it is asked anew.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

/// Watcher and presentity, bare JIDs.
pub(super) type Question = (String, String);

/// The open ones.
#[derive(Debug)]
pub(super) struct Questions {
    /// How many there may be of one watcher.
    of_one: usize,
    /// How many there may be.
    most: usize,
    numbers: HashMap<Rc<Question>, u64>,
    /// The same in the order in which they came up, and until when they wait.
    by_age: BTreeMap<u64, (Rc<Question>, Instant)>,
    /// Those of each watcher.
    of_watcher: HashMap<String, BTreeSet<u64>>,
    last: u64,
}

impl Questions {
    pub(super) fn new(of_one: usize, most: usize) -> Self {
        let (numbers, by_age, of_watcher) = (HashMap::new(), BTreeMap::new(), HashMap::new());
        Self { of_one, most, numbers, by_age, of_watcher, last: 0 }
    }

    /// Keeps a question until then; its number. `None`: it waits already.
    pub(super) fn open(&mut self, question: &Question, until: Instant) -> Option<u64> {
        if self.numbers.contains_key(question) {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        let kept = Rc::new(question.clone());
        self.numbers.insert(Rc::clone(&kept), self.last);
        self.by_age.insert(self.last, (kept, until));
        self.of_watcher.entry(question.0.clone()).or_default().insert(self.last);
        Some(self.last)
    }

    /// Takes away one that is too many: the oldest of this watcher, who has more than one may have, else the oldest of all.
    pub(super) fn surplus(&mut self, watcher: &str) -> Option<Question> {
        let number = match self.of_watcher.get(watcher) {
            Some(numbers) if numbers.len() > self.of_one => numbers.first(),
            Some(_) | None if self.by_age.len() > self.most => self.by_age.keys().next(),
            Some(_) | None => None,
        };
        let oldest = self.by_age.get(number?)?.0.as_ref().clone();
        self.close(&oldest);
        Some(oldest)
    }

    /// Takes away one that has waited for its time. All wait equally long, so the oldest is the first.
    pub(super) fn too_old(&mut self, now: Instant) -> Option<Question> {
        let (_, (oldest, _)) = self.by_age.first_key_value().filter(|(_, (_, until))| *until <= now)?;
        let oldest = oldest.as_ref().clone();
        self.close(&oldest);
        Some(oldest)
    }

    /// It is answered. False: there was none.
    pub(super) fn close(&mut self, question: &Question) -> bool {
        let Some(number) = self.numbers.remove(question) else { return false };
        self.by_age.remove(&number);
        if let Some(numbers) = self.of_watcher.get_mut(&question.0) {
            numbers.remove(&number);
            if numbers.is_empty() {
                self.of_watcher.remove(&question.0);
            }
        }
        if self.numbers.len() < self.numbers.capacity() >> 3 {
            // A flood does not keep its memory.
            self.numbers.shrink_to(self.numbers.len() << 1);
        }
        true
    }

    /// The number of a question that waits.
    pub(super) fn number(&self, question: &Question) -> Option<u64> {
        self.numbers.get(question).copied()
    }

    /// All of them, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &Question)> {
        self.by_age.iter().map(|(number, (question, _))| (*number, question.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn question(watcher: &str, presentity: &str) -> Question {
        (watcher.to_owned(), presentity.to_owned())
    }

    fn open(questions: &Questions) -> Vec<String> {
        questions.iter().map(|(number, (watcher, presentity))| format!("{number} {watcher} {presentity}")).collect()
    }

    #[test]
    fn of_too_many_of_one_watcher_its_oldest_goes() {
        let mut questions = Questions::new(2, 100);
        for (watcher, presentity) in [("b", "x"), ("a", "x"), ("a", "y"), ("a", "z")] {
            assert!(questions.open(&question(watcher, presentity), Instant::now()).is_some());
        }
        assert_eq!(questions.surplus("b"), None);
        assert_eq!(questions.surplus("a"), Some(question("a", "x")));
        assert_eq!(questions.surplus("a"), None);
        assert_eq!(open(&questions), ["1 b x", "3 a y", "4 a z"]);
    }

    #[test]
    fn of_too_many_the_oldest_goes() {
        let mut questions = Questions::new(2, 2);
        for watcher in ["a", "b", "c"] {
            questions.open(&question(watcher, "x"), Instant::now());
        }
        assert_eq!(questions.surplus("c"), Some(question("a", "x")));
        assert_eq!((questions.surplus("c"), open(&questions)), (None, vec!["2 b x".to_owned(), "3 c x".to_owned()]));
    }

    #[test]
    fn what_is_answered_is_forgotten_whole() {
        let mut questions = Questions::new(2, 2);
        assert_eq!(questions.open(&question("a", "x"), Instant::now()), Some(1));
        assert_eq!(questions.open(&question("a", "x"), Instant::now()), None);
        assert!(questions.close(&question("a", "x")));
        assert!(!questions.close(&question("a", "x")));
        assert!(questions.numbers.is_empty() && questions.by_age.is_empty() && questions.of_watcher.is_empty());
        assert_eq!(
            questions.open(&question("a", "x"), Instant::now()),
            Some(2),
            "an answer to the first one is told from one to the second"
        );
    }

    #[test]
    fn a_flood_that_is_answered_keeps_no_memory() {
        let mut questions = Questions::new(1000, 1000);
        let flood: Vec<Question> = (0..1000).map(|number| question("a", &number.to_string())).collect();
        assert!(flood.iter().all(|question| questions.open(question, Instant::now()).is_some()));
        assert!(flood.iter().skip(1).all(|question| questions.close(question)));
        assert_eq!(questions.number(&flood[0]), Some(1));
        assert!(questions.numbers.capacity() < 16, "{}", questions.numbers.capacity());
    }

    #[test]
    fn what_waited_for_its_time_goes_oldest_first() {
        let mut questions = Questions::new(2, 2);
        let start = Instant::now();
        for (watcher, seconds) in [("a", 0), ("b", 5)] {
            questions.open(&question(watcher, "x"), start + Duration::from_secs(10 + seconds));
        }
        assert_eq!(questions.too_old(start + Duration::from_secs(9)), None);
        assert_eq!(questions.too_old(start + Duration::from_secs(14)), Some(question("a", "x")));
        assert_eq!(questions.too_old(start + Duration::from_secs(14)), None);
        assert_eq!(open(&questions), ["2 b x"]);
    }
}
