//! A holder's steps.

use super::{Relu, WIDTH};
use crate::{
    BitMatrix, MpcError,
    boolean::{self, Evaluation, Opening, Triples},
    circuit::Party,
    wire::{expect_equal, expect_length},
};

/// What comes next at a holder.
pub enum Step<'r> {
    /// These bytes go to every other holder.
    Exchange(Waiting<'r>, Vec<u8>),
    /// These bytes go to the server, and the holder is done.
    Reveal(Vec<u8>),
}

/// A holder that waits for the other holders' bytes of a round.
pub struct Waiting<'r> {
    others: usize,
    chunks: Vec<Opening<'r>>,
}

impl Relu {
    /// Begins at holder `party` with its shares of the values and the triples of every chunk, in the order of [`Relu::chunks`].
    ///
    /// # Errors
    /// [`MpcError::Count`] for too many values or none, or a holder that there is not; [`MpcError::Mismatch`] for triples of another shape.
    pub fn start(&self, party: Party, shares: &[u64], triples: Vec<Triples>) -> Result<Step<'_>, MpcError> {
        let chunks = self.chunks(shares.len())?;
        expect_equal("chunks of triples", triples.len(), chunks.len())?;
        let mut rest = shares;
        let mut steps = Vec::with_capacity(chunks.len());
        for (values, triples) in chunks.into_iter().zip(triples) {
            let (own, later) = rest.split_at(values);
            rest = later;
            let others = |parties: usize| BitMatrix::zeros(parties * WIDTH, values);
            let before = usize::from(party.0).min(self.parties);
            let words = [
                &others(before),
                &BitMatrix::from_values(WIDTH, own),
                &others(self.parties.saturating_sub(before + 1)),
            ];
            let inputs = BitMatrix::stack(&words)?;
            steps.push(Evaluation::start(self.circuit(), (party, self.parties), &inputs, triples)?);
        }
        Ok(Step::of(self.parties - 1, steps))
    }
}

impl<'r> Waiting<'r> {
    /// Takes the bytes of each other holder; their order does not matter.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for another number of messages; [`MpcError::Message`] for one that cannot be.
    pub fn step<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<Step<'r>, MpcError> {
        expect_equal("messages", messages.len(), self.others)?;
        let bytes = self.chunks.iter().map(Opening::message_bytes).sum();
        let mut rests: Vec<&[u8]> = messages.iter().map(AsRef::as_ref).collect();
        for (index, message) in rests.iter().enumerate() {
            expect_length(message, bytes).map_err(MpcError::of(index))?;
        }
        let mut steps = Vec::with_capacity(self.chunks.len());
        for opening in self.chunks {
            let bytes = opening.message_bytes();
            let pieces: Vec<&[u8]> = rests.iter().map(|rest| &rest[..bytes]).collect();
            rests.iter_mut().for_each(|rest| *rest = &rest[bytes..]);
            steps.push(opening.receive(&pieces)?);
        }
        Ok(Step::of(self.others, steps))
    }
}

impl<'r> Step<'r> {
    /// The steps of all chunks as one: they have one circuit, so they are at the same layer.
    fn of(others: usize, steps: Vec<boolean::Step<'r>>) -> Self {
        let (mut chunks, mut bytes) = (Vec::new(), Vec::new());
        for step in steps {
            match step {
                boolean::Step::Open(opening, message) => {
                    chunks.push(*opening);
                    bytes.extend(message);
                }
                boolean::Step::Done(share) => bytes.extend(share.encode()),
            }
        }
        match chunks.is_empty() {
            true => Self::Reveal(bytes),
            false => Self::Exchange(Waiting { others, chunks }, bytes),
        }
    }
}
