use super::{and_bytes, masks::Common, tweak_of};
use crate::{
    BitMatrix, MpcError,
    circuit::{Gate, Operand},
    correlation::masked,
    matrix::expect,
};
use zeroize::Zeroize;

/// A garbler between its masks and its last table. Wiped on drop.
pub struct Garbler<'c> {
    common: Common<'c>,
    gate: usize,
    /// ANDs garbled.
    row: usize,
    words: Vec<u128>,
    tweaks: Vec<u128>,
    scratch: Vec<u128>,
}

impl<'c> Garbler<'c> {
    pub(super) fn new(common: Common<'c>) -> Self {
        Self {
            common,
            gate: 0,
            row: 0,
            words: Vec::new(),
            tweaks: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The next tables, of as many whole gates as `max_bytes` holds but at least one; empty when all have been given.
    pub fn tables(&mut self, max_bytes: usize) -> Vec<u8> {
        let per_gate = and_bytes(self.common.garblers) * self.common.batch.instances();
        let mut room = (max_bytes / per_gate).max(1);
        let mut tables = Vec::with_capacity(room.min(self.common.circuit.ands()) * per_gate);
        while self.gate < self.common.circuit.gates.len() && room > 0 {
            if let Gate::And(left, right) = self.common.circuit.gates[self.gate] {
                self.garble(left, right, &mut tables);
                self.row += 1;
                room -= 1;
            }
            self.gate += 1;
        }
        tables
    }

    /// The garbler's shares of the outputs, once all tables have been given.
    pub fn finish(self) -> Result<BitMatrix, MpcError> {
        let (circuit, instances) = (self.common.circuit, self.common.batch.instances());
        expect("ANDs garbled", circuit.ands(), self.row)?;
        let mut bits = BitMatrix::zeros(circuit.output_bits(), instances);
        for (row, output) in circuit.outputs.iter().enumerate() {
            for column in 0..instances {
                let mask = self.common.wires.masks[output.wire * instances + column];
                bits.set(row, column, mask ^ (output.inverted && self.common.party.0 == 0));
            }
        }
        Ok(bits)
    }

    fn garble(&mut self, left: Operand, right: Operand, tables: &mut Vec<u8>) {
        let Common {
            batch, garblers, wires, ..
        } = &self.common;
        let (instances, delta) = (batch.instances(), wires.delta.value());
        self.words.clear();
        self.tweaks.clear();
        for instance in 0..instances {
            let [u, v] = [left, right].map(|operand| wires.labels[operand.wire * instances + instance]);
            for garbler in 0..*garblers {
                let [first, second] = [0, 1].map(|half| batch.tweak(instance, tweak_of(self.gate, half, garbler)));
                self.words.extend([u, u ^ delta, v, v ^ delta]);
                self.tweaks.extend([first, first, second, second]);
            }
        }
        batch.hash(&self.tweaks, &mut self.words, &mut self.scratch);
        let out = (self.common.circuit.first_gate() + self.gate) * instances;
        for (at, [u0, u1, v0, v1]) in self.words.as_chunks::<4>().0.iter().enumerate() {
            let (instance, garbler) = (at / garblers, at % garblers);
            let own = u128::from(garbler == usize::from(self.common.party.0));
            let keep = 0u128.wrapping_sub(own);
            let u = wires.labels[left.wire * instances + instance] & keep;
            let w = wires.labels[out + instance] & keep;
            let [mask_u, mask_v] = [left, right].map(|operand| self.common.mask_share(operand, instance, garbler));
            let term = self.common.term_share(self.row * instances + instance, garbler);
            for word in [u0 ^ u1 ^ mask_v, v0 ^ v1 ^ mask_u ^ u, u0 ^ v0 ^ term ^ w] {
                tables.extend_from_slice(&word.to_le_bytes());
            }
        }
    }
}

impl Common<'_> {
    fn place(&self, garbler: usize) -> usize {
        garbler - usize::from(garbler > usize::from(self.party.0))
    }

    /// This garbler's share of (an operand's mask) x (a garbler's offset).
    fn mask_share(&self, operand: Operand, instance: usize, garbler: usize) -> u128 {
        let at = operand.wire * self.batch.instances() + instance;
        if garbler != usize::from(self.party.0) {
            return self.wires.pairs[self.place(garbler)].received[at];
        }
        let own = masked(self.wires.masks[at] ^ operand.inverted, self.wires.delta.value());
        self.wires.pairs.iter().fold(own, |sum, pair| sum ^ pair.sent[at])
    }

    /// This garbler's share of (an AND's constant term) x (a garbler's offset).
    fn term_share(&self, at: usize, garbler: usize) -> u128 {
        if garbler != usize::from(self.party.0) {
            return self.wires.pairs[self.place(garbler)].received_terms[at];
        }
        let own = masked(self.wires.terms[at], self.wires.delta.value());
        self.wires.pairs.iter().fold(own, |sum, pair| sum ^ pair.sent_terms[at])
    }
}

impl Drop for Garbler<'_> {
    fn drop(&mut self) {
        self.words.zeroize();
        self.scratch.zeroize();
    }
}
