use super::{AND_BYTES, EVALUATOR, GARBLER, group, output_bits, xor_rows};
use crate::{
    Batch, BitMatrix, MpcError,
    circuit::{Circuit, Gate},
    correlation::{CotSender, Delta, masked, random_word},
    matrix::expect,
};
use rand::CryptoRng;
use zeroize::Zeroize;

/// The garbler between its input labels and its last table. Wiped on drop.
pub struct Garbler<'c> {
    circuit: &'c Circuit,
    pub(crate) batch: Batch,
    delta: Delta,
    /// The label of 0, per wire and instance.
    pub(crate) labels: Vec<u128>,
    gate: usize,
    words: Vec<u128>,
    tweaks: Vec<u128>,
    scratch: Vec<u128>,
}

impl<'c> Garbler<'c> {
    /// The garbler's input bits (rows of its inputs, a column per instance), the transfers for the evaluator's and the evaluator's message; gives
    /// the labels of the garbler's inputs.
    pub fn start(
        circuit: &'c Circuit,
        batch: Batch,
        inputs: &BitMatrix,
        transfers: CotSender,
        choices: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), MpcError> {
        let instances = batch.instances();
        let (own, theirs) = (circuit.input_bits_of(GARBLER), circuit.input_bits_of(EVALUATOR));
        expect("input bits of two parties", circuit.input_bits(), own + theirs)?;
        expect("rows of input bits", own, inputs.rows())?;
        expect("instances", instances, inputs.columns())?;
        let choices = BitMatrix::decode(theirs, instances, choices)?;
        let transfers = transfers.corrected(&choices)?;
        let mut labels = vec![0; circuit.wires() * instances];
        for (row, wire) in circuit.wires_of(EVALUATOR).enumerate() {
            labels[wire * instances..][..instances].copy_from_slice(&transfers.q[row * instances..][..instances]);
        }
        let mut message = Vec::with_capacity(16 * own * instances);
        for (row, wire) in circuit.wires_of(GARBLER).enumerate() {
            for (column, label) in labels[wire * instances..][..instances].iter_mut().enumerate() {
                *label = random_word(rng);
                let active = *label ^ masked(inputs.get(row, column), transfers.delta.value());
                message.extend(active.to_le_bytes());
            }
        }
        Ok((Self::new(circuit, batch, transfers.delta.clone(), labels), message))
    }

    /// The garbler with the offset of its labels and, for every wire of the circuit, a row of labels of 0, of which those of inputs are set.
    pub(crate) fn new(circuit: &'c Circuit, batch: Batch, delta: Delta, labels: Vec<u128>) -> Self {
        Self {
            circuit,
            batch,
            delta,
            labels,
            gate: 0,
            words: Vec::new(),
            tweaks: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The next tables, of as many whole gates as `max_bytes` holds but at least one; empty when all have been given.
    pub fn tables(&mut self, max_bytes: usize) -> Vec<u8> {
        let per_gate = AND_BYTES * self.batch.instances();
        let mut room = (max_bytes / per_gate).max(1);
        let mut tables = Vec::with_capacity(room.min(self.circuit.ands()) * per_gate);
        while let Some(Gate::Xor(left, right)) = self.circuit.gates.get(self.gate).copied() {
            self.xor(left, right);
        }
        while room > 0 && self.gate < self.circuit.gates.len() {
            let ands = self.circuit.ands_from(self.gate, room.min(group(self.batch.instances())));
            room -= ands.len();
            self.garble(ands, &mut tables);
            while let Some(Gate::Xor(left, right)) = self.circuit.gates.get(self.gate).copied() {
                self.xor(left, right);
            }
        }
        tables
    }

    /// The garbler's shares of the outputs, once all tables have been given.
    pub fn finish(self) -> Result<BitMatrix, MpcError> {
        expect("gates garbled", self.circuit.gates.len(), self.gate)?;
        Ok(output_bits(self.circuit, &self.labels, self.batch.instances(), true))
    }

    fn xor(&mut self, left: usize, right: usize) {
        let out = self.circuit.first_gate() + self.gate;
        xor_rows(&mut self.labels, self.batch.instances(), [left, right], out);
        self.gate += 1;
    }

    /// Gb of ZRE15, figure 2, for ANDs that do not depend on each other.
    fn garble(&mut self, ands: std::ops::Range<usize>, tables: &mut Vec<u8>) {
        let (instances, delta) = (self.batch.instances(), self.delta.value());
        self.words.clear();
        self.tweaks.clear();
        for gate in ands.clone() {
            let Gate::And(left, right) = self.circuit.gates[gate] else {
                continue;
            };
            for instance in 0..instances {
                let tweak = self.batch.tweak(instance, 2 * gate as u64);
                let a = self.labels[left.wire * instances + instance] ^ masked(left.inverted, delta);
                let b = self.labels[right.wire * instances + instance] ^ masked(right.inverted, delta);
                self.words.extend([a, a ^ delta, b, b ^ delta]);
                self.tweaks.extend([tweak, tweak, tweak + 1, tweak + 1]);
            }
        }
        self.batch.hash(&self.tweaks, &mut self.words, &mut self.scratch);
        let mut hashes = self.words.as_chunks::<4>().0.iter();
        for gate in ands.clone() {
            let Gate::And(left, right) = self.circuit.gates[gate] else {
                continue;
            };
            let out = (self.circuit.first_gate() + gate) * instances;
            for (instance, [a0, a1, b0, b1]) in hashes.by_ref().take(instances).enumerate() {
                let a = self.labels[left.wire * instances + instance] ^ masked(left.inverted, delta);
                let b = self.labels[right.wire * instances + instance] ^ masked(right.inverted, delta);
                let (pa, pb) = (a & 1 == 1, b & 1 == 1);
                let generator = a0 ^ a1 ^ masked(pb, delta);
                let evaluator = b0 ^ b1 ^ a;
                self.labels[out + instance] = a0 ^ masked(pa, generator) ^ b0 ^ masked(pb, evaluator ^ a);
                tables.extend_from_slice(&generator.to_le_bytes());
                tables.extend_from_slice(&evaluator.to_le_bytes());
            }
        }
        self.gate = ands.end;
    }
}

impl Drop for Garbler<'_> {
    fn drop(&mut self) {
        self.labels.zeroize();
        self.words.zeroize();
        self.scratch.zeroize();
    }
}
