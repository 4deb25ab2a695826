//! A garbler's online phase.

use super::{Keys, garbler::PieceKeys, take_rows, take_words};
use crate::{
    BitMatrix, MpcError,
    correlation::add_where,
    nonlinear::{Layer, Next, Outcome, Resume},
};
use zeroize::{Zeroize, Zeroizing};

/// A garbler at work on a layer.
pub(in crate::nonlinear) struct Telling<'l> {
    layer: &'l Layer,
    party: usize,
    pieces: Vec<PieceKeys>,
    masks: Zeroizing<Vec<u64>>,
    stage: Stage,
}

enum Stage {
    /// It has told its inputs' external values.
    External(Vec<BitMatrix>),
    /// It has sent the evaluator the labels.
    Labels,
    /// It waits for the evaluator's words.
    Words,
}

impl<'l> Telling<'l> {
    pub fn start(
        (layer, party): (&'l Layer, usize),
        chunks: Vec<Keys>,
        words: &[u64],
        masks: &[u64],
    ) -> Result<Next<Self>, MpcError> {
        let pieces: Vec<PieceKeys> = chunks.into_iter().flat_map(Keys::into_pieces).collect();
        let (mut rest, mut message, mut all) = (words, Vec::new(), Vec::new());
        for piece in &pieces {
            let (now, later) = rest.split_at(piece.masks.columns() * layer.operation.window());
            rest = later;
            let mut external = layer.rows(now);
            external.xor_assign(&piece.masks)?;
            message.extend(external.encode());
            all.push(external);
        }
        let peers = layer.parties - 2;
        let mut expected = vec![message.len(); peers + 1];
        // What the evaluator turns over has the shape of a garbler's words.
        expected[peers] = message.len();
        let mut outgoing = vec![message; peers];
        outgoing.push(Vec::new());
        let state = Self {
            layer,
            party,
            pieces,
            masks: Zeroizing::new(masks.to_vec()),
            stage: Stage::External(all),
        };
        Ok(Next::exchange(state, outgoing, expected))
    }

    /// The labels of all words, and the blinds less the masks.
    fn labels(&mut self, own: &[BitMatrix], messages: &[&[u8]]) -> Result<Vec<u8>, MpcError> {
        let (layer, rows) = (self.layer, self.layer.input_bits());
        let mut rests = messages.to_vec();
        let mut masks = &self.masks[..];
        let bytes: usize = self.pieces.iter().map(|piece| 16 * piece.labels.len()).sum();
        let mut message = Vec::with_capacity(bytes + 8 * self.masks.len());
        for (piece, own) in self.pieces.iter_mut().zip(own) {
            let instances = piece.masks.columns();
            let mut values = Vec::with_capacity(layer.parties);
            for (index, rest) in rests.iter_mut().enumerate() {
                values.push(take_rows(rows, rest, instances).map_err(MpcError::of(index))?);
            }
            let others = values.iter();
            let owners = (0..layer.parties).filter(|owner| *owner != self.party);
            for (owner, external) in owners.zip(others).chain([(self.party, own)]) {
                for row in 0..rows {
                    let words = &mut piece.labels[(owner * rows + row) * instances..][..instances];
                    add_where(external.row(row), piece.delta.value(), words);
                }
            }
            message.extend(piece.labels.iter().flat_map(|label| label.to_le_bytes()));
            if layer.operation.opens() {
                let (now, later) = masks.split_at(instances);
                masks = later;
                let words = piece.blinds.iter().zip(now);
                let mut words: Vec<u64> = words.map(|(blind, mask)| blind.wrapping_add(*mask).wrapping_neg()).collect();
                message.extend(BitMatrix::from_values(layer.ring.bits, &words).encode());
                words.zeroize();
            }
        }
        Ok(message)
    }
}

impl Keys {
    fn into_pieces(mut self) -> Vec<PieceKeys> {
        std::mem::take(&mut self.0)
    }
}

impl Resume for Telling<'_> {
    type Output = Outcome;

    fn resume(mut self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let peers = self.layer.parties - 1;
        match std::mem::replace(&mut self.stage, Stage::Labels) {
            Stage::External(own) => {
                let mut outgoing = vec![Vec::new(); peers];
                outgoing[peers - 1] = self.labels(&own, messages)?;
                Ok(Next::exchange(self, outgoing, vec![0; peers]))
            }
            Stage::Labels if !self.layer.operation.opens() => {
                let indices = self.pieces.iter().flat_map(|piece| piece.shares.to_values()).collect();
                Ok(Next::Done(Outcome::Shares(Zeroizing::new(indices))))
            }
            Stage::Labels => {
                let mut expected = vec![0; peers];
                let bits = self.layer.ring.bits;
                let bytes = self
                    .pieces
                    .iter()
                    .map(|piece| BitMatrix::encoded_len(bits, piece.masks.columns()));
                expected[peers - 1] = bytes.sum();
                self.stage = Stage::Words;
                Ok(Next::exchange(self, vec![Vec::new(); peers], expected))
            }
            Stage::Words => {
                let mut rest = messages[peers - 1];
                let mut opened = Vec::with_capacity(self.masks.len());
                for piece in &self.pieces {
                    let words = take_words(self.layer, &mut rest, piece.masks.columns());
                    opened.extend(words.map_err(MpcError::of(peers - 1))?);
                }
                Ok(Next::Done(Outcome::Opened(opened)))
            }
        }
    }
}
