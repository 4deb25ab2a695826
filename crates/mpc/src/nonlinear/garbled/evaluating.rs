//! The evaluator's online phase.

use super::{Hashed, Tables, evaluator::PieceTables, output_rows, projection, take_words};
use crate::{
    BitMatrix, MpcError,
    garbling::bmr::Evaluator,
    nonlinear::{Layer, Next, Outcome, Resume, exchange::take},
};
use zeroize::{Zeroize, Zeroizing};

/// The evaluator at work on a layer.
pub(in crate::nonlinear) struct Evaluating<'l> {
    layer: &'l Layer,
    masks: Zeroizing<Vec<u64>>,
    stage: Stage,
}

enum Stage {
    /// It has told the garblers what to turn over.
    Choices(Vec<PieceTables>),
    /// It waits for the labels.
    Labels(Vec<PieceTables>),
    /// It has sent the words.
    Words(Vec<u64>),
}

impl<'l> Evaluating<'l> {
    pub fn start(
        (layer, party): (&'l Layer, usize),
        chunks: Vec<Tables>,
        words: &[u64],
        masks: &[u64],
    ) -> Result<Next<Self>, MpcError> {
        let pieces: Vec<PieceTables> = chunks.into_iter().flat_map(|chunk| chunk.0).collect();
        let mut outgoing = vec![Vec::new(); party];
        let mut rest = words;
        for piece in &pieces {
            let (now, later) = rest.split_at(piece.batch.instances() * layer.operation.window());
            rest = later;
            let inputs = layer.rows(now);
            for (message, transfers) in outgoing.iter_mut().zip(&piece.transfers) {
                message.extend(transfers.differences(0, &inputs)?.encode());
            }
        }
        let state = Self {
            layer,
            masks: Zeroizing::new(masks.to_vec()),
            stage: Stage::Choices(pieces),
        };
        Ok(Next::exchange(state, outgoing, vec![0; party]))
    }

    /// Bytes of a garbler's labels of a piece, and with them its word for each output.
    fn label_bytes(&self, instances: usize) -> (usize, usize) {
        let labels = 16 * self.layer.circuit.input_bits() * instances;
        let words = BitMatrix::encoded_len(self.layer.ring.bits, instances);
        (labels, labels + if self.layer.operation.opens() { words } else { 0 })
    }

    /// Evaluates a piece; appends its outputs.
    fn evaluate(&self, piece: PieceTables, rests: &mut [&[u8]], outputs: &mut Vec<u64>) -> Result<(), MpcError> {
        let (layer, circuit, instances) = (self.layer, &self.layer.circuit, piece.batch.instances());
        let own = (layer.parties - 1) * layer.input_bits() * instances;
        let mut all = Vec::with_capacity(rests.len());
        let mut words = vec![0u64; instances];
        for (index, (rest, transfers)) in rests.iter_mut().zip(&piece.transfers).enumerate() {
            let bytes = take(rest, self.label_bytes(instances).0)?;
            let mut labels = vec![0; circuit.wires() * instances];
            let inputs = labels[instances..].iter_mut().zip(bytes.as_chunks::<16>().0);
            inputs.for_each(|(label, bytes)| *label = u128::from_le_bytes(*bytes));
            let theirs = labels[instances + own..].iter_mut().zip(&transfers.t);
            theirs.for_each(|(label, t)| *label ^= t);
            all.push(labels);
            if layer.operation.opens() {
                let blinded = take_words(layer, rest, instances).map_err(MpcError::of(index))?;
                words
                    .iter_mut()
                    .zip(&blinded)
                    .for_each(|(word, blinded)| *word = word.wrapping_add(*blinded));
            }
        }
        let mut evaluator = Evaluator::new(circuit, piece.batch, all);
        evaluator.run(&piece.rows)?;
        #[cfg(test)]
        super::record::evaluator(&evaluator.labels);
        if !layer.operation.opens() {
            outputs.extend(evaluator.finish()?.to_values());
            return Ok(());
        }
        let mut hashed = Hashed::default();
        for (garbler, (labels, projections)) in evaluator.labels.iter().zip(&piece.words).enumerate() {
            let mut labels = output_rows(circuit, labels, instances);
            for (bit, (labels, projections)) in labels.chunks_exact(instances).zip(projections).enumerate() {
                let bits = layer.ring.bits - bit;
                let hashes = hashed.low_bits(&evaluator.batch, projection(bit, garbler), labels, 0, bits);
                for (((word, label), hash), projected) in words.iter_mut().zip(labels).zip(&hashes).zip(projections) {
                    let external = *label as u64 & 1;
                    let share = (projected & external.wrapping_neg()).wrapping_sub(*hash);
                    // The external value itself is added once.
                    let once = if garbler == 0 { external } else { 0 };
                    *word = word.wrapping_add(layer.weighted(bit, share.wrapping_add(once)));
                }
            }
            labels.zeroize();
        }
        let masks = &self.masks[outputs.len()..];
        outputs.extend(
            words
                .iter()
                .zip(masks)
                .map(|(word, mask)| word.wrapping_sub(*mask) & layer.ring.mask()),
        );
        words.zeroize();
        Ok(())
    }
}

impl Resume for Evaluating<'_> {
    type Output = Outcome;

    fn resume(mut self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let garblers = messages.len();
        match std::mem::replace(&mut self.stage, Stage::Words(Vec::new())) {
            Stage::Choices(pieces) => {
                let bytes = pieces.iter().map(|piece| self.label_bytes(piece.batch.instances()).1);
                let expected = vec![bytes.sum(); garblers];
                self.stage = Stage::Labels(pieces);
                Ok(Next::exchange(self, vec![Vec::new(); garblers], expected))
            }
            Stage::Labels(pieces) => {
                let (mut rests, mut outputs) = (messages.to_vec(), Vec::new());
                let counts: Vec<usize> = pieces.iter().map(|piece| piece.batch.instances()).collect();
                for piece in pieces {
                    self.evaluate(piece, &mut rests, &mut outputs)?;
                }
                if !self.layer.operation.opens() {
                    return Ok(Next::Done(Outcome::Shares(Zeroizing::new(outputs))));
                }
                let (mut message, mut rest) = (Vec::new(), &outputs[..]);
                for count in counts {
                    let (now, later) = rest.split_at(count);
                    rest = later;
                    message.extend(BitMatrix::from_values(self.layer.ring.bits, now).encode());
                }
                self.stage = Stage::Words(outputs);
                Ok(Next::exchange(self, vec![message; garblers], vec![0; garblers]))
            }
            Stage::Words(outputs) => Ok(Next::Done(Outcome::Opened(outputs))),
        }
    }
}
