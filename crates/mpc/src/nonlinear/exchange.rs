//! One round after another, the same loop for every engine.

use crate::{
    MpcError,
    wire::{expect_equal, expect_length},
};

/// Bytes of the mark that begins a first message.
pub(crate) const MARK: usize = 8;

/// A party's state between two rounds.
pub trait Resume: Sized {
    /// What the last round gives.
    type Output;

    /// The step after a round, on the bytes of each other party in order, whose lengths were checked.
    #[doc(hidden)]
    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError>;
}

/// What comes next at a party.
pub enum Next<S: Resume> {
    /// Bytes to send and to wait for.
    Exchange(Exchange<S>),
    /// Nothing.
    Done(S::Output),
}

/// A round: what this party sends, and what it waits for. "In order" means by the other parties' numbers.
pub struct Exchange<S> {
    state: S,
    outgoing: Vec<Vec<u8>>,
    expected: Vec<usize>,
}

impl<S> Exchange<S> {
    /// A message to each other party, in order; an empty one stands for none. To be taken once.
    pub fn outgoing(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.outgoing)
    }

    /// Bytes of the message of each other party, in order; 0 if none comes.
    pub fn expected(&self) -> &[usize] {
        &self.expected
    }
}

impl<S: Resume> Exchange<S> {
    /// Takes the message of each other party, in order; an empty one where none comes.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for another number of messages; [`MpcError::Message`], with its place, for one that cannot be, or that comes
    /// from a party at another preparation or layer.
    pub fn receive<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<Next<S>, MpcError> {
        expect_equal("messages", messages.len(), self.expected.len())?;
        let messages: Vec<&[u8]> = messages.iter().map(AsRef::as_ref).collect();
        for (index, (message, expected)) in messages.iter().zip(&self.expected).enumerate() {
            expect_length(message, *expected).map_err(MpcError::of(index))?;
        }
        self.state.resume(&messages)
    }
}

impl<S: Resume> Next<S> {
    pub(crate) fn exchange(state: S, outgoing: Vec<Vec<u8>>, expected: Vec<usize>) -> Self {
        Self::Exchange(Exchange {
            state,
            outgoing,
            expected,
        })
    }

    /// The same round in a state that wraps this one.
    pub(super) fn map<T: Resume>(self, wrap: impl FnOnce(S) -> T, done: impl FnOnce(S::Output) -> T::Output) -> Next<T> {
        match self {
            Self::Exchange(exchange) => Next::Exchange(Exchange {
                state: wrap(exchange.state),
                outgoing: exchange.outgoing,
                expected: exchange.expected,
            }),
            Self::Done(output) => Next::Done(done(output)),
        }
    }

    /// Puts `mark` before every message of the round.
    pub(super) fn marked(self, mark: u64) -> Self {
        match self {
            Self::Exchange(mut exchange) => {
                for message in &mut exchange.outgoing {
                    message.splice(0..0, mark.to_le_bytes());
                }
                exchange.expected.iter_mut().for_each(|bytes| *bytes += MARK);
                Self::Exchange(exchange)
            }
            done => done,
        }
    }
}

/// Takes the mark off each message.
pub(crate) fn unmarked<'m>(mark: u64, messages: &[&'m [u8]]) -> Result<Vec<&'m [u8]>, MpcError> {
    let unmark = |(index, message): (usize, &&'m [u8])| match message.split_at_checked(MARK) {
        Some((head, rest)) if head == mark.to_le_bytes() => Ok(rest),
        _ => Err(MpcError::of(index)(MpcError::OutOfStep)),
    };
    messages.iter().enumerate().map(unmark).collect()
}

/// Takes `bytes` off the front of a message whose length was checked.
pub(crate) fn take<'m>(message: &mut &'m [u8], bytes: usize) -> Result<&'m [u8], MpcError> {
    let (expected, actual) = (bytes, message.len());
    let (head, rest) = message.split_at_checked(bytes).ok_or(MpcError::Length { expected, actual })?;
    *message = rest;
    Ok(head)
}
