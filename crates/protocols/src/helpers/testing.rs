//! Helpers in this process, which can be killed.

use std::{cell::RefCell, future::ready};

use super::{Answer, Helper, Helpers, NoAnswer};

/// Helpers of one thread. What they were asked is counted by verb.
pub(crate) struct InMemory {
    helpers: RefCell<Vec<Helper>>,
    /// Which helper is lost when it is asked for the so manieth time, at most once each.
    losses: RefCell<Vec<(usize, usize)>>,
    asked: RefCell<Vec<Vec<u8>>>,
}

impl InMemory {
    pub fn new(count: usize) -> Self {
        Self::losing(count, &[])
    }

    /// Helpers of which some are lost: (helper, how many requests it gets before).
    pub fn losing(count: usize, losses: &[(usize, usize)]) -> Self {
        Self {
            helpers: RefCell::new((0..count).map(|_| Helper::new()).collect()),
            losses: RefCell::new(losses.to_vec()),
            asked: RefCell::new(vec![Vec::new(); count]),
        }
    }

    /// The verbs that each helper was asked with.
    pub fn asked(&self) -> Vec<Vec<u8>> {
        self.asked.borrow().clone()
    }
}

impl Helpers for InMemory {
    fn count(&self) -> usize {
        self.helpers.borrow().len()
    }

    fn ask(&self, helper: usize, request: &[u8]) -> Answer<'_> {
        let mut asked = self.asked.borrow_mut();
        asked[helper].push(request[0]);
        let mut losses = self.losses.borrow_mut();
        let now = (helper, asked[helper].len());
        let answer = match losses.iter().position(|(helper, after)| (*helper, after + 1) == now) {
            Some(index) => {
                losses.remove(index);
                self.helpers.borrow_mut()[helper] = Helper::new();
                Err(NoAnswer::Lost("killed".into()))
            }
            None => Ok(self.helpers.borrow_mut()[helper].answer(request)),
        };
        Box::pin(ready(answer))
    }
}
