//! What the enclave's observer hears, of the customer's link and of the workers'.

use std::cell::{Cell, RefCell};

use cloven_wire::Traffic;

use crate::{Event, Halted, Observe};

/// Tells the observer, from several places.
pub(in crate::enclave) struct Teller<'o> {
    observe: RefCell<&'o mut Observe<'o>>,
    /// Bytes at the workers' links so far.
    at_workers: Cell<Traffic>,
}

impl<'o> Teller<'o> {
    pub(in crate::enclave) fn new<'s: 'o>(observe: &'o mut Observe<'s>) -> Self {
        Self {
            observe: RefCell::new(observe),
            at_workers: Cell::default(),
        }
    }

    /// An event of the customer's link; the workers' bytes are added to its own.
    pub(in crate::enclave) fn tell(&self, event: Event) -> Result<(), Halted> {
        (self.observe.borrow_mut())(event.with(self.at_workers.get()))
    }

    /// So many bytes have crossed the workers' links.
    pub(super) fn crossed(&self, at_workers: Traffic) {
        self.at_workers.set(at_workers);
    }
}
