//! The online phase of a layer, whatever the engine.

use super::{
    Layer, MAX_OUTPUTS, Next, Prepared, Resume, boolean, exchange::unmarked, garbled, marks::joined, preparation::Material,
};
use crate::{
    MpcError,
    circuit::Party,
    wire::{expect_count, expect_equal},
};
use zeroize::Zeroizing;

/// A party at work on a layer.
pub struct Online<'l> {
    stage: Stage<'l>,
    mark: u64,
    /// Whether the messages to come begin with the mark.
    first: bool,
}

/// What a party ends with, one word for each output.
pub enum Outcome {
    /// The masked words, which all parties have.
    Opened(Vec<u64>),
    /// This party's XOR shares of the indices. Whoever is to learn them gets them from every party, and adds them up.
    Shares(Zeroizing<Vec<u64>>),
}

enum Stage<'l> {
    Boolean(boolean::Running<'l>),
    Garbler(garbled::Telling<'l>),
    Evaluator(garbled::Evaluating<'l>),
}

impl<'l> Online<'l> {
    /// Begins at `party` with the layer's chunks in the order in which they were prepared, this party's shares of the words (the words of an output
    /// one after the other) and its masks, one for each output: uniform, its own, used for nothing else. None for an argmax.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for words, masks or chunks that do not fit; [`MpcError::Count`] for too many outputs or none, or another party.
    pub fn start(
        layer: &'l Layer,
        party: Party,
        prepared: Vec<Prepared>,
        words: &[u64],
        masks: &[u64],
    ) -> Result<Next<Self>, MpcError> {
        let outputs = prepared.iter().map(Prepared::outputs).sum();
        let party = usize::from(party.0);
        expect_count("outputs", outputs, 1, MAX_OUTPUTS)?;
        expect_count("as the party's number", party, 0, layer.parties - 1)?;
        expect_equal("words", words.len(), outputs * layer.operation.window())?;
        expect_equal("masks", masks.len(), if layer.operation.opens() { outputs } else { 0 })?;
        let fits = prepared.iter().filter(|prepared| prepared.chunk.place == (layer.id(), party));
        expect_equal(
            "chunks that were prepared for this layer and party",
            fits.count(),
            prepared.len(),
        )?;
        let mark = joined(prepared.iter().map(|prepared| prepared.chunk.mark));
        let (mut shared, mut keys, mut tables) = (Vec::new(), Vec::new(), Vec::new());
        for Prepared { chunk, material } in prepared {
            match material {
                Material::Boolean(material) => shared.push((chunk.outputs, material)),
                Material::Garbler(material) => keys.push(material),
                Material::Evaluator(material) => tables.push(material),
            }
        }
        let place = (layer, party);
        let next = if !keys.is_empty() {
            garbled::Telling::start(place, keys, words, masks)?.map(Stage::Garbler, |outcome| outcome)
        } else if !tables.is_empty() {
            garbled::Evaluating::start(place, tables, words, masks)?.map(Stage::Evaluator, |outcome| outcome)
        } else {
            boolean::Running::start(place, shared, words, masks)?.map(Stage::Boolean, |outcome| outcome)
        };
        Ok(Self::wrap(next, mark, true).marked(mark))
    }

    fn wrap(next: Next<Stage<'l>>, mark: u64, first: bool) -> Next<Self> {
        next.map(|stage| Self { stage, mark, first }, |outcome| outcome)
    }
}

impl Resume for Online<'_> {
    type Output = Outcome;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let next = match self.first {
            true => self.stage.resume(&unmarked(self.mark, messages)?)?,
            false => self.stage.resume(messages)?,
        };
        Ok(Self::wrap(next, self.mark, false))
    }
}

impl Resume for Stage<'_> {
    type Output = Outcome;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        Ok(match self {
            Self::Boolean(state) => state.resume(messages)?.map(Self::Boolean, |outcome| outcome),
            Self::Garbler(state) => state.resume(messages)?.map(Self::Garbler, |outcome| outcome),
            Self::Evaluator(state) => state.resume(messages)?.map(Self::Evaluator, |outcome| outcome),
        })
    }
}
