//! The preparation of one chunk, whatever the engine.

use super::{Next, Resume, boolean, exchange::unmarked, garbled};
use crate::MpcError;

/// A party that prepares a chunk.
pub struct Preparation<'p, 'l> {
    stage: Stage<'p, 'l>,
    chunk: Chunk,
    /// Whether the messages to come begin with the mark.
    first: bool,
}

/// Which chunk it is.
#[derive(Clone, Copy)]
pub(super) struct Chunk {
    pub mark: u64,
    pub outputs: usize,
    /// The layer, and the party.
    pub place: (u64, usize),
}

pub(super) enum Stage<'p, 'l> {
    Boolean(Box<boolean::Preparing<'p, 'l>>),
    Garbler(garbled::Garbling<'p, 'l>),
    Evaluator(garbled::Awaiting<'p, 'l>),
}

/// A prepared chunk: serves one run, which takes it by value. Its secrets are wiped on drop.
pub struct Prepared {
    pub(super) chunk: Chunk,
    pub(super) material: Material,
}

pub(super) enum Material {
    Boolean(boolean::Material),
    Garbler(garbled::Keys),
    Evaluator(garbled::Tables),
}

impl Prepared {
    /// Outputs of the chunk.
    pub fn outputs(&self) -> usize {
        self.chunk.outputs
    }
}

impl<'p, 'l> Preparation<'p, 'l> {
    pub(super) fn begin(next: Next<Stage<'p, 'l>>, chunk: Chunk) -> Next<Self> {
        Self::wrap(next, chunk, true).marked(chunk.mark)
    }

    fn wrap(next: Next<Stage<'p, 'l>>, chunk: Chunk, first: bool) -> Next<Self> {
        let state = move |stage| Self { stage, chunk, first };
        next.map(state, |material| Prepared { chunk, material })
    }
}

impl Resume for Preparation<'_, '_> {
    type Output = Prepared;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let next = match self.first {
            true => self.stage.resume(&unmarked(self.chunk.mark, messages)?)?,
            false => self.stage.resume(messages)?,
        };
        Ok(Self::wrap(next, self.chunk, false))
    }
}

impl Resume for Stage<'_, '_> {
    type Output = Material;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        Ok(match self {
            Self::Boolean(state) => state
                .resume(messages)?
                .map(|state| Self::Boolean(Box::new(state)), Material::Boolean),
            Self::Garbler(state) => state.resume(messages)?.map(Self::Garbler, Material::Garbler),
            Self::Evaluator(state) => state.resume(messages)?.map(Self::Evaluator, Material::Evaluator),
        })
    }
}
