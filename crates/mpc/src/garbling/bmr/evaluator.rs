use super::{and_bytes, check, tweak_of};
use crate::{
    Batch, BitMatrix, MpcError,
    circuit::{Circuit, Gate, Operand, Party},
    correlation::{CotReceiver, masked},
    garbling::half_gates::{output_bits, xor_rows},
    matrix::{expect, expect_bytes},
};
use zeroize::Zeroize;

/// The evaluator between its choices and the garblers' labels.
pub struct Choosing<'c> {
    evaluator: Evaluator<'c>,
    transfers: Vec<CotReceiver>,
}

/// The evaluator between its labels and the last table. Wiped on drop.
pub struct Evaluator<'c> {
    circuit: &'c Circuit,
    pub(crate) batch: Batch,
    /// Per garbler, the active label of each wire and instance.
    pub(crate) labels: Vec<Vec<u128>>,
    gate: usize,
    ands: usize,
    words: Vec<u128>,
    tweaks: Vec<u128>,
    scratch: Vec<u128>,
}

impl<'c> Choosing<'c> {
    /// The evaluator's input bits and, for each of the garblers in order, as many transfers from it; gives a message to each garbler.
    pub fn start(
        circuit: &'c Circuit,
        batch: Batch,
        inputs: &BitMatrix,
        transfers: Vec<CotReceiver>,
    ) -> Result<(Self, Vec<Vec<u8>>), MpcError> {
        let garblers = transfers.len();
        check(circuit, garblers)?;
        let (own, instances) = (circuit.input_bits_of(Party(garblers as u8)), batch.instances());
        expect("rows of input bits", own, inputs.rows())?;
        expect("instances", instances, inputs.columns())?;
        let mut messages = Vec::with_capacity(garblers);
        for receiver in &transfers {
            expect("correlated transfers", own * instances, receiver.t.len())?;
            messages.push(receiver.differences(0, inputs)?.encode());
        }
        let labels = (0..garblers).map(|_| vec![0; circuit.wires() * instances]).collect();
        let evaluator = Evaluator::new(circuit, batch, labels);
        Ok((Self { evaluator, transfers }, messages))
    }

    /// Takes each garbler's labels, in order.
    pub fn labels<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<Evaluator<'c>, MpcError> {
        let Self {
            mut evaluator,
            transfers,
        } = self;
        let (circuit, instances) = (evaluator.circuit, evaluator.batch.instances());
        expect("messages", transfers.len(), messages.len())?;
        let own = Party(transfers.len() as u8);
        for ((labels, receiver), message) in evaluator.labels.iter_mut().zip(&transfers).zip(messages) {
            let message: &[u8] = message.as_ref();
            expect_bytes(16 * circuit.input_bits() * instances, message)?;
            let words = message.as_chunks::<16>().0.iter().map(|bytes| u128::from_le_bytes(*bytes));
            labels[instances..]
                .iter_mut()
                .zip(words)
                .for_each(|(label, word)| *label = word);
            for (row, wire) in circuit.wires_of(own).enumerate() {
                let labels = &mut labels[wire * instances..][..instances];
                labels
                    .iter_mut()
                    .zip(&receiver.t[row * instances..])
                    .for_each(|(label, t)| *label ^= t);
            }
        }
        evaluator.xors();
        Ok(evaluator)
    }
}

impl<'c> Evaluator<'c> {
    /// Takes the next tables of each garbler, in order: the same whole gates of all, at most those that remain.
    pub fn consume<M: AsRef<[u8]>>(&mut self, tables: &[M]) -> Result<(), MpcError> {
        expect("messages", self.labels.len(), tables.len())?;
        let per_gate = and_bytes(self.labels.len()) * self.batch.instances();
        let gates = tables.first().map_or(0, |tables| tables.as_ref().len()).div_ceil(per_gate);
        let gates = gates.min(self.circuit.ands() - self.ands);
        for tables in tables {
            expect_bytes(gates * per_gate, tables.as_ref())?;
        }
        let mut rows = Vec::with_capacity(per_gate / 48);
        for gate in 0..gates {
            rows.clear();
            rows.resize(per_gate / 48, [0; 3]);
            for tables in tables {
                sum_rows(&tables.as_ref()[gate * per_gate..][..per_gate], &mut rows);
            }
            self.gate(&rows);
        }
        Ok(())
    }

    /// The evaluator with the labels of all inputs, for each garbler a word per wire and instance.
    pub(crate) fn new(circuit: &'c Circuit, batch: Batch, labels: Vec<Vec<u128>>) -> Self {
        Self {
            circuit,
            labels,
            batch,
            gate: 0,
            ands: 0,
            words: Vec::new(),
            tweaks: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Evaluates all gates by the sums of all garblers' tables.
    pub(crate) fn run(&mut self, rows: &[[u128; 3]]) -> Result<(), MpcError> {
        let per_gate = self.labels.len() * self.batch.instances();
        expect("rows of tables", self.circuit.ands() * per_gate, rows.len())?;
        self.xors();
        rows.chunks_exact(per_gate).for_each(|rows| self.gate(rows));
        Ok(())
    }

    /// The next AND, and the XORs behind it.
    fn gate(&mut self, rows: &[[u128; 3]]) {
        if let Some(Gate::And(left, right)) = self.circuit.gates.get(self.gate).copied() {
            self.evaluate(left, right, rows);
            self.gate += 1;
            self.ands += 1;
        }
        self.xors();
    }

    /// The evaluator's shares of the outputs, once all tables have been taken. A garbler that evaluates adds them to its own, in one of all shares.
    pub fn finish(self) -> Result<BitMatrix, MpcError> {
        expect("ANDs evaluated", self.circuit.ands(), self.ands)?;
        Ok(output_bits(self.circuit, &self.labels[0], self.batch.instances(), false))
    }

    fn xors(&mut self) {
        while let Some(Gate::Xor(left, right)) = self.circuit.gates.get(self.gate).copied() {
            let out = self.circuit.first_gate() + self.gate;
            for labels in &mut self.labels {
                xor_rows(labels, self.batch.instances(), [left, right], out);
            }
            self.gate += 1;
        }
    }

    fn evaluate(&mut self, left: Operand, right: Operand, rows: &[[u128; 3]]) {
        let (instances, garblers) = (self.batch.instances(), self.labels.len());
        self.words.clear();
        self.tweaks.clear();
        for garbler in 0..garblers {
            let usages = [0, 1].map(|half| tweak_of(self.gate, half, garbler));
            for labels in &self.labels {
                let [u, v] = [left, right].map(|operand| &labels[operand.wire * instances..][..instances]);
                self.words.extend(u.iter().zip(v).flat_map(|(u, v)| [*u, *v]));
                let tweaks = (0..instances).flat_map(|instance| usages.map(|usage| self.batch.tweak(instance, usage)));
                self.tweaks.extend(tweaks);
            }
        }
        self.batch.hash(&self.tweaks, &mut self.words, &mut self.scratch);
        let first = self.circuit.first_gate() + self.gate;
        let hashes = self.words.chunks_exact(2 * instances * garblers);
        for (garbler, (labels, hashes)) in self.labels.iter_mut().zip(hashes).enumerate() {
            let (before, out) = labels.split_at_mut(first * instances);
            let out = &mut out[..instances];
            let [u, v] = [left, right].map(|operand| &before[operand.wire * instances..][..instances]);
            let rows = rows[garbler..].iter().step_by(garblers);
            for (((out, [g_u, g_v, g_w]), u), v) in out.iter_mut().zip(rows).zip(u).zip(v) {
                *out = g_w ^ masked(u & 1 == 1, *g_u) ^ masked(v & 1 == 1, g_v ^ u);
            }
            for hashes in hashes.chunks_exact(2 * instances) {
                let pairs = out.iter_mut().zip(hashes.as_chunks::<2>().0);
                pairs.for_each(|(out, [u, v])| *out ^= u ^ v);
            }
        }
    }
}

/// Adds one garbler's tables to the sum of others'.
pub(crate) fn sum_rows(tables: &[u8], rows: &mut [[u128; 3]]) {
    let words = tables.as_chunks::<16>().0.iter().map(|bytes| u128::from_le_bytes(*bytes));
    rows.as_flattened_mut()
        .iter_mut()
        .zip(words)
        .for_each(|(sum, word)| *sum ^= word);
}

impl Drop for Evaluator<'_> {
    fn drop(&mut self) {
        self.labels.zeroize();
        self.words.zeroize();
        self.scratch.zeroize();
    }
}
