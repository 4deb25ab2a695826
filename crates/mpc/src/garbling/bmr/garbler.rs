use super::{and_bytes, masks::Common, tweak_of};
use crate::{
    BitMatrix, MpcError,
    circuit::{Gate, Operand},
    correlation::masked,
    matrix::expect,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A garbler between its masks and its last table. Wiped on drop.
pub struct Garbler<'c> {
    pub(crate) common: Common<'c>,
    gate: usize,
    /// ANDs garbled.
    row: usize,
    words: Vec<u128>,
    tweaks: Vec<u128>,
    scratch: Vec<u128>,
    shares: RowShares,
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
            shares: RowShares::default(),
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
        expect("ANDs garbled", self.common.circuit.ands(), self.row)?;
        Ok(self.output_masks())
    }

    /// This garbler's shares of the outputs' masks, which are its shares of the outputs; garbler 0 applies complements.
    pub(crate) fn output_masks(&self) -> BitMatrix {
        self.common
            .circuit
            .read_outputs(&self.common.wires.masks, self.common.party.0 == 0)
    }

    fn garble(&mut self, left: Operand, right: Operand, tables: &mut Vec<u8>) {
        let Common {
            batch,
            garblers,
            wires,
            party,
            circuit,
        } = &self.common;
        let (instances, delta) = (batch.instances(), wires.delta.value());
        let row = |wire: usize| &wires.labels[wire * instances..][..instances];
        let (u, v, w) = (row(left.wire), row(right.wire), row(circuit.first_gate() + self.gate));
        self.words.clear();
        self.tweaks.clear();
        for garbler in 0..*garblers {
            let [first, second] = [0, 1].map(|half| tweak_of(self.gate, half, garbler));
            for (instance, (u, v)) in u.iter().zip(v).enumerate() {
                let [first, second] = [first, second].map(|usage| batch.tweak(instance, usage));
                self.words.extend([*u, u ^ delta, *v, v ^ delta]);
                self.tweaks.extend([first, first, second, second]);
            }
        }
        batch.hash(&self.tweaks, &mut self.words, &mut self.scratch);
        let begin = tables.len();
        tables.resize(begin + and_bytes(*garblers) * instances, 0);
        for (garbler, hashes) in self.words.as_chunks::<4>().0.chunks_exact(instances).enumerate() {
            self.shares.fill(&self.common, [left, right], self.row, garbler);
            let own = 0u128.wrapping_sub((garbler == usize::from(party.0)).into());
            let slots = tables[begin..].as_chunks_mut::<48>().0[garbler..]
                .iter_mut()
                .step_by(*garblers);
            for (((slot, [u0, u1, v0, v1]), shares), (u, w)) in slots.zip(hashes).zip(&self.shares.0).zip(u.iter().zip(w)) {
                let [mask_u, mask_v, term] = *shares;
                let words = [u0 ^ u1 ^ mask_v, v0 ^ v1 ^ mask_u ^ u & own, u0 ^ v0 ^ term ^ w & own];
                for (bytes, word) in slot.as_chunks_mut::<16>().0.iter_mut().zip(words) {
                    *bytes = word.to_le_bytes();
                }
            }
        }
    }
}

/// Per instance, this garbler's shares of both operands' masks and of the constant term, times one garbler's offset. Wiped on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
struct RowShares(Vec<[u128; 3]>);

impl RowShares {
    fn fill(&mut self, common: &Common<'_>, [left, right]: [Operand; 2], row: usize, garbler: usize) {
        let (instances, wires) = (common.batch.instances(), &common.wires);
        self.0.clear();
        self.0.resize(instances, [0; 3]);
        let mut add = |part: usize, words: &[u128]| {
            self.0.iter_mut().zip(words).for_each(|(sum, word)| sum[part] ^= word);
        };
        let of_row = |row: usize| row * instances..(row + 1) * instances;
        for pair in &wires.pairs {
            let (masks, terms) = match (garbler == usize::from(common.party.0), garbler == usize::from(pair.peer)) {
                (true, _) => (&pair.sent, &pair.sent_terms),
                (_, true) => (&pair.received, &pair.received_terms),
                _ => continue,
            };
            add(0, &masks[of_row(left.wire)]);
            add(1, &masks[of_row(right.wire)]);
            add(2, &terms[of_row(row)]);
        }
        if garbler != usize::from(common.party.0) {
            return;
        }
        // A complement adds every garbler's offset, each at its own garbler.
        let masks = |operand: Operand| {
            let complement = 0u64.wrapping_sub(operand.inverted.into());
            wires.masks.row(operand.wire).iter().map(move |word| word ^ complement)
        };
        let bits = masks(left).zip(masks(right)).zip(wires.terms.row(row));
        for (sums, ((left, right), term)) in self.0.chunks_mut(64).zip(bits) {
            for (at, sum) in sums.iter_mut().enumerate() {
                for (part, bits) in [left, right, *term].into_iter().enumerate() {
                    sum[part] ^= masked(bits >> at & 1 == 1, wires.delta.value());
                }
            }
        }
    }
}

impl Drop for Garbler<'_> {
    fn drop(&mut self) {
        self.words.zeroize();
        self.scratch.zeroize();
    }
}
