//! From the labels of output bits to words: what additive shares of the bits take.
//!
//! *Ball, Malkin, Rosulek, "Garbling Gadgets for Boolean and Arithmetic Circuits", CCS 2016, section 5: projection gates.*

use crate::{Batch, circuit::Circuit};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The tweak of an output bit's word, apart from those of tables and products.
pub(crate) fn projection(bit: usize, garbler: usize) -> u64 {
    1 << 60 | (bit as u64) << 8 | garbler as u64
}

/// Hashes of labels, the low bits of which are taken. Wiped on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub(crate) struct Hashed {
    tweaks: Vec<u128>,
    words: Vec<u128>,
    scratch: Vec<u128>,
}

impl Hashed {
    /// The low `bits` bits, at most 63, of the hashes of words that an offset is added to.
    pub fn low_bits(&mut self, batch: &Batch, usage: u64, words: &[u128], offset: u128, bits: usize) -> Vec<u64> {
        self.tweaks.clear();
        self.tweaks
            .extend((0..words.len()).map(|instance| batch.tweak(instance, usage)));
        self.words.clear();
        self.words.extend(words.iter().map(|word| word ^ offset));
        batch.hash(&self.tweaks, &mut self.words, &mut self.scratch);
        self.words.iter().map(|word| *word as u64 & ((1 << bits) - 1)).collect()
    }
}

/// The rows of output wires one after the other.
pub(crate) fn output_rows(circuit: &Circuit, words: &[u128], instances: usize) -> Vec<u128> {
    let row = |wire: usize| &words[wire * instances..][..instances];
    circuit.outputs.iter().flat_map(|output| row(output.wire)).copied().collect()
}
