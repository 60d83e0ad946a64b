//! Calls that ask the store about one id: one after the other.
//!
//! Between the store's answer and what the engine makes of it the job is in neither place, and who looks for it
//! meanwhile would change what is about to be replaced.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Makes the call whose turn it is; called under no lock.
pub(crate) type Waiter = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Turn {
    taken: bool,
    waiting: VecDeque<Waiter>,
}

/// The ids that calls ask about or wait to ask about.
#[derive(Default)]
pub(crate) struct Turns(HashMap<Arc<str>, Turn>);

impl Turns {
    pub(crate) fn is_taken(&self, id: &str) -> bool {
        self.0.get(id).is_some_and(|turn| turn.taken)
    }

    pub(crate) fn begin(&mut self, id: Arc<str>) {
        self.0.entry(id).or_default().taken = true;
    }

    pub(crate) fn end(&mut self, id: &str) {
        if let Some(turn) = self.0.get_mut(id) {
            turn.taken = false;
        }
    }

    /// The waiter whose turn it is; forgets the id when there is none.
    pub(crate) fn next(&mut self, id: &str) -> Option<Waiter> {
        let turn = self.0.get_mut(id).filter(|turn| !turn.taken)?;
        let next = turn.waiting.pop_front();
        if next.is_none() {
            self.0.remove(id);
        }
        next
    }

    pub(crate) fn wait(&mut self, id: &Arc<str>, waiter: Waiter) {
        self.0
            .entry(id.clone())
            .or_default()
            .waiting
            .push_back(waiter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn those_who_wait_are_called_in_order_and_not_while_another_asks() {
        let called = Arc::new(Mutex::new(Vec::new()));
        let mut turns = Turns::default();
        let id: Arc<str> = "a".into();
        turns.begin(id.clone());
        for number in 0..2 {
            let called = called.clone();
            turns.wait(&id, Box::new(move || called.lock().unwrap().push(number)));
        }
        assert!(turns.is_taken("a") && !turns.is_taken("b"));
        assert!(turns.next("a").is_none(), "another asks");
        turns.end("a");
        turns.next("a").expect("the first waits")();
        turns.begin(id);
        assert!(turns.next("a").is_none(), "the first asks");
        turns.end("a");
        turns.next("a").expect("the second waits")();
        assert!(turns.next("a").is_none());
        assert_eq!(*called.lock().unwrap(), [0, 1]);
        assert!(turns.0.is_empty());
    }
}
