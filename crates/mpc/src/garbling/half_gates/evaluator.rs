use super::{AND_BYTES, EVALUATOR, GARBLER, group, output_bits, xor_rows};
use crate::{
    Batch, BitMatrix, MpcError,
    circuit::{Circuit, Gate},
    correlation::{CotReceiver, masked},
    matrix::{expect, expect_bytes},
};
use zeroize::Zeroize;

/// The evaluator between its choices and the garbler's labels.
pub struct Choosing<'c>(Evaluator<'c>);

/// The evaluator between its labels and the last table. Wiped on drop.
pub struct Evaluator<'c> {
    circuit: &'c Circuit,
    pub(crate) batch: Batch,
    /// The active label, per wire and instance.
    pub(crate) labels: Vec<u128>,
    gate: usize,
    words: Vec<u128>,
    tweaks: Vec<u128>,
    scratch: Vec<u128>,
}

impl<'c> Choosing<'c> {
    /// The evaluator's input bits (rows of its inputs, a column per instance) and as many transfers as bits; gives which of them the garbler is
    /// to turn over.
    pub fn start(
        circuit: &'c Circuit,
        batch: Batch,
        inputs: &BitMatrix,
        transfers: CotReceiver,
    ) -> Result<(Self, Vec<u8>), MpcError> {
        let (instances, own) = (batch.instances(), circuit.input_bits_of(EVALUATOR));
        expect(
            "input bits of two parties",
            circuit.input_bits(),
            own + circuit.input_bits_of(GARBLER),
        )?;
        expect("rows of input bits", own, inputs.rows())?;
        expect("instances", instances, inputs.columns())?;
        expect("correlated transfers", own * instances, transfers.t.len())?;
        let differ = transfers.differences(0, inputs)?;
        let mut labels = vec![0; circuit.wires() * instances];
        for (row, wire) in circuit.wires_of(EVALUATOR).enumerate() {
            labels[wire * instances..][..instances].copy_from_slice(&transfers.t[row * instances..][..instances]);
        }
        Ok((Self(Evaluator::waiting(circuit, batch, labels)), differ.encode()))
    }

    /// Takes the labels of the garbler's inputs.
    pub fn labels(self, message: &[u8]) -> Result<Evaluator<'c>, MpcError> {
        let Self(mut evaluator) = self;
        let instances = evaluator.batch.instances();
        expect_bytes(16 * evaluator.circuit.input_bits_of(GARBLER) * instances, message)?;
        let mut words = message.as_chunks::<16>().0.iter().map(|bytes| u128::from_le_bytes(*bytes));
        for wire in evaluator.circuit.wires_of(GARBLER) {
            let labels = &mut evaluator.labels[wire * instances..][..instances];
            labels.iter_mut().zip(words.by_ref()).for_each(|(label, word)| *label = word);
        }
        evaluator.xors();
        Ok(evaluator)
    }
}

impl<'c> Evaluator<'c> {
    /// The evaluator with, for every wire of the circuit, a row of active labels, of which those of inputs are set.
    pub(crate) fn new(circuit: &'c Circuit, batch: Batch, labels: Vec<u128>) -> Self {
        let mut evaluator = Self::waiting(circuit, batch, labels);
        evaluator.xors();
        evaluator
    }

    fn waiting(circuit: &'c Circuit, batch: Batch, labels: Vec<u128>) -> Self {
        Self {
            circuit,
            batch,
            labels,
            gate: 0,
            words: Vec::new(),
            tweaks: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Takes the next tables: whole gates, at most those that remain.
    pub fn consume(&mut self, tables: &[u8]) -> Result<(), MpcError> {
        let per_gate = AND_BYTES * self.batch.instances();
        let left = self.circuit.gates[self.gate..]
            .iter()
            .filter(|gate| matches!(gate, Gate::And(..)))
            .count();
        let gates = tables.len().div_ceil(per_gate);
        expect_bytes(gates.min(left) * per_gate, tables)?;
        let mut rows = tables.as_chunks::<AND_BYTES>().0;
        while !rows.is_empty() {
            let room = (rows.len() / self.batch.instances()).min(group(self.batch.instances()));
            let ands = self.circuit.ands_from(self.gate, room);
            let (now, later) = rows.split_at(ands.len() * self.batch.instances());
            self.evaluate(ands, now);
            self.xors();
            rows = later;
        }
        Ok(())
    }

    /// The evaluator's shares of the outputs, once all tables have been taken.
    pub fn finish(self) -> Result<BitMatrix, MpcError> {
        expect("gates evaluated", self.circuit.gates.len(), self.gate)?;
        Ok(output_bits(self.circuit, &self.labels, self.batch.instances(), false))
    }

    fn xors(&mut self) {
        while let Some(Gate::Xor(left, right)) = self.circuit.gates.get(self.gate).copied() {
            let out = self.circuit.first_gate() + self.gate;
            xor_rows(&mut self.labels, self.batch.instances(), [left, right], out);
            self.gate += 1;
        }
    }

    /// Ev of ZRE15, figure 2, for ANDs that do not depend on each other.
    fn evaluate(&mut self, ands: std::ops::Range<usize>, tables: &[[u8; AND_BYTES]]) {
        let instances = self.batch.instances();
        self.words.clear();
        self.tweaks.clear();
        for gate in ands.clone() {
            let Gate::And(left, right) = self.circuit.gates[gate] else {
                continue;
            };
            for instance in 0..instances {
                let tweak = self.batch.tweak(instance, 2 * gate as u64);
                let row = |wire: usize| self.labels[wire * instances + instance];
                self.words.extend([row(left.wire), row(right.wire)]);
                self.tweaks.extend([tweak, tweak + 1]);
            }
        }
        self.batch.hash(&self.tweaks, &mut self.words, &mut self.scratch);
        let mut rows = self.words.as_chunks::<2>().0.iter().zip(tables);
        for gate in ands.clone() {
            let Gate::And(left, right) = self.circuit.gates[gate] else {
                continue;
            };
            let out = (self.circuit.first_gate() + gate) * instances;
            for (instance, ([ha, hb], table)) in rows.by_ref().take(instances).enumerate() {
                let (a, b) = (
                    self.labels[left.wire * instances + instance],
                    self.labels[right.wire * instances + instance],
                );
                let halves = table.as_chunks::<16>().0;
                let [generator, evaluator] = [halves[0], halves[1]].map(u128::from_le_bytes);
                self.labels[out + instance] = ha ^ masked(a & 1 == 1, generator) ^ hb ^ masked(b & 1 == 1, evaluator ^ a);
            }
        }
        self.gate = ands.end;
    }
}

impl Drop for Evaluator<'_> {
    fn drop(&mut self) {
        self.labels.zeroize();
        self.words.zeroize();
        self.scratch.zeroize();
    }
}
