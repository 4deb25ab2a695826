//! Two-party garbling with half gates.
//!
//! *Zahur, Rosulek, Evans, "Two Halves Make a Whole", Eurocrypt 2015, with free XOR (Kolesnikov, Schneider 2008) and the hash of Guo, Katz,
//! Wang, Yu 2020.* Party 0 garbles, party 1 evaluates; both are semi-honest.
//!
//! | party | learns |
//! |---|---|
//! | garbler | nothing; XOR shares of the outputs |
//! | evaluator | nothing; XOR shares of the outputs |
//!
//! An output is opened by sending the other party one's share of it ([`BitMatrix::encode`](crate::BitMatrix::encode)), and stays shared otherwise.
//!
//! Steps: [`Choosing::start`] (evaluator: one bit per input bit of its own), [`Garbler::start`] (16 bytes per input bit of the garbler's),
//! [`Choosing::labels`], then [`Garbler::tables`] and [`Evaluator::consume`] in turn: 32 bytes per AND and instance, in chunks of a size that
//! the garbler chooses. The evaluator's labels are the correlated transfers themselves, whose offset is the garbling's.
//! Non-goals: malicious garblers.

mod evaluator;
mod garbler;

#[cfg(test)]
mod tests;

pub use evaluator::{Choosing, Evaluator};
pub use garbler::Garbler;

use crate::{circuit::Party, matrix::lowest_bits};

/// Who garbles.
pub const GARBLER: Party = Party(0);
/// Who evaluates.
pub const EVALUATOR: Party = Party(1);

/// Bytes of an AND gate in one instance.
pub const AND_BYTES: usize = 32;

/// Labels that are hashed together, if the circuit's layers allow.
const GROUP: usize = 32;

/// Gates that are garbled together.
fn group(instances: usize) -> usize {
    (GROUP / instances).max(1)
}

/// Rows of labels: the XOR of two wires.
pub(super) fn xor_rows(labels: &mut [u128], instances: usize, rows: [usize; 2], out: usize) {
    let (inputs, outs) = labels.split_at_mut(out * instances);
    let [left, right] = rows.map(|row| &inputs[row * instances..][..instances]);
    let pairs = left.iter().zip(right);
    outs[..instances]
        .iter_mut()
        .zip(pairs)
        .for_each(|(out, (left, right))| *out = left ^ right);
}

/// The lowest bits of the output wires' labels, complemented where `complement` and the output is.
pub(super) fn output_bits(
    circuit: &crate::circuit::Circuit,
    labels: &[u128],
    instances: usize,
    complement: bool,
) -> crate::BitMatrix {
    let mut bits = crate::BitMatrix::zeros(circuit.output_bits(), instances);
    for (row, output) in circuit.outputs.iter().enumerate() {
        let labels = &labels[output.wire * instances..][..instances];
        bits.row_mut(row)
            .iter_mut()
            .zip(lowest_bits(labels))
            .for_each(|(word, lowest)| *word = lowest);
        if complement && output.inverted {
            bits.invert_row(row);
        }
    }
    bits
}
