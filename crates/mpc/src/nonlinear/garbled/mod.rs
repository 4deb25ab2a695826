//! Garbled by parties 0..m, evaluated by party m: what garblers and evaluator prepare, and three rounds.
//!
//! *Preparation.* [`bmr`] among the garblers, whose tables go to the evaluator. The masks of the output wires, which garblers share by XOR, become additive
//! shares R_j besides ([`Conversion`](super::conversion)), and each garbler gives the evaluator a word c for each output bit: with the label L of external value 0,
//! c = H(L ^ Delta) - H(L) - 2 R_j. Who has the active label of external value e gets e c - H(active) = (1 - 2e) R_j - H(L) - R_j: this garbler's
//! share of the bit less what is e's alone, under a blind that only the garbler knows.
//!
//! *Online.* (1) Garblers tell each other the external values of their words, the evaluator tells each garbler which of its transfers to turn over. (2) Garblers
//! send the evaluator the labels, and the sum of their blinds less their masks. (3) The evaluator sends all the words.

mod evaluating;
mod evaluator;
mod garbler;
#[cfg(test)]
pub(super) mod record;
mod telling;

pub(super) use evaluating::Evaluating;
pub(super) use evaluator::{Awaiting, Tables};
pub(super) use garbler::{Garbling, Keys};
pub(super) use telling::Telling;

use super::Layer;
use crate::{
    BitMatrix, MpcError,
    garbling::projection::{Hashed, output_rows, projection},
    nonlinear::exchange::take,
};

/// Instances that are garbled together: their labels stay in the cache.
const PIECE: usize = 64;

/// The pieces of a chunk.
fn pieces(outputs: usize) -> impl Iterator<Item = usize> {
    (0..outputs).step_by(PIECE).map(move |first| PIECE.min(outputs - first))
}

/// Words of k bits off the front of a message.
fn take_words(layer: &Layer, message: &mut &[u8], instances: usize) -> Result<Vec<u64>, MpcError> {
    let bytes = take(message, BitMatrix::encoded_len(layer.ring.bits, instances))?;
    Ok(BitMatrix::decode(layer.ring.bits, instances, bytes)?.to_values())
}

/// Rows of bits off the front of a message.
fn take_rows(rows: usize, message: &mut &[u8], instances: usize) -> Result<BitMatrix, MpcError> {
    BitMatrix::decode(rows, instances, take(message, BitMatrix::encoded_len(rows, instances))?)
}
