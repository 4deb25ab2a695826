//! The online phase: all chunks at the same round.

use super::Material;
use crate::{
    BitMatrix, MpcError,
    boolean::{Evaluation, Opening, Step},
    circuit::Party,
    nonlinear::{Layer, Next, Outcome, Resume, conversion::Converted, exchange::take},
};
use zeroize::{Zeroize, Zeroizing};

/// A party at work on a layer.
pub(in crate::nonlinear) struct Running<'l> {
    own: Own<'l>,
    /// Of all chunks, if bits are converted.
    converted: Vec<Converted>,
    stage: Stage<'l>,
}

/// What does not change.
struct Own<'l> {
    layer: &'l Layer,
    party: usize,
    masks: Zeroizing<Vec<u64>>,
    counts: Vec<usize>,
}

enum Stage<'l> {
    /// The masked inputs of a layer of ANDs are told.
    Ands(Vec<Opening<'l>>),
    /// The output bits under their masks are told.
    Bits(Vec<BitMatrix>),
    /// This party's share of the words is told.
    Words(Zeroizing<Vec<u64>>),
}

impl<'l> Running<'l> {
    /// Begins with this party's words and masks of all outputs, whose numbers were checked.
    pub fn start(
        (layer, party): (&'l Layer, usize),
        chunks: Vec<(usize, Material)>,
        words: &[u64],
        masks: &[u64],
    ) -> Result<Next<Self>, MpcError> {
        let (mut steps, mut converted, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = words;
        for (outputs, material) in chunks {
            let (now, later) = rest.split_at(outputs * layer.operation.window());
            rest = later;
            let mut inputs = BitMatrix::zeros(layer.circuit.input_bits(), outputs);
            let own = layer.rows(now);
            for row in 0..own.rows() {
                inputs.row_mut(party * layer.input_bits() + row).copy_from_slice(own.row(row));
            }
            let place = (Party(party as u8), layer.parties);
            steps.push(Evaluation::start(&layer.circuit, place, &inputs, material.triples)?);
            converted.extend(material.bits);
            counts.push(outputs);
        }
        let own = Own {
            layer,
            party,
            masks: Zeroizing::new(masks.to_vec()),
            counts,
        };
        own.step(converted, steps)
    }
}

impl<'l> Own<'l> {
    fn wait(self, converted: Vec<Converted>, stage: Stage<'l>, message: Vec<u8>) -> Next<Running<'l>> {
        let peers = self.layer.parties - 1;
        let expected = vec![message.len(); peers];
        let mut outgoing = vec![message.clone(); peers - 1];
        outgoing.push(message);
        let state = Running {
            own: self,
            converted,
            stage,
        };
        Next::exchange(state, outgoing, expected)
    }

    /// The steps of all chunks as one: they have one circuit, so they are at the same layer.
    fn step(self, converted: Vec<Converted>, steps: Vec<Step<'l>>) -> Result<Next<Running<'l>>, MpcError> {
        let (mut openings, mut shares, mut message) = (Vec::new(), Vec::new(), Vec::new());
        for step in steps {
            match step {
                Step::Open(opening, bytes) => {
                    openings.push(*opening);
                    message.extend(bytes);
                }
                Step::Done(share) => shares.push(share),
            }
        }
        if !openings.is_empty() {
            return Ok(self.wait(converted, Stage::Ands(openings), message));
        }
        if !self.layer.operation.opens() {
            let indices = shares.iter().flat_map(BitMatrix::to_values).collect();
            return Ok(Next::Done(Outcome::Shares(Zeroizing::new(indices))));
        }
        for (share, converted) in shares.iter_mut().zip(&converted) {
            share.xor_assign(&converted.own)?;
            message.extend(share.encode());
        }
        Ok(self.wait(converted, Stage::Bits(shares), message))
    }

    /// This party's share of the words, from the opened bits of all chunks.
    fn words(self, converted: Vec<Converted>, opened: &[BitMatrix]) -> Next<Running<'l>> {
        let (layer, applies) = (self.layer, u64::from(self.party == 0));
        let mut words = Zeroizing::new(Vec::with_capacity(self.masks.len()));
        for (bits, converted) in opened.iter().zip(&converted) {
            let mut sums = vec![0u64; bits.columns()];
            for bit in 0..bits.rows() {
                let shares = converted.shares[bit * bits.columns()..].chunks(64);
                for ((sums, shares), opened) in sums.chunks_mut(64).zip(shares).zip(bits.row(bit)) {
                    for (at, (sum, share)) in sums.iter_mut().zip(shares).enumerate() {
                        let opened = opened >> at & 1;
                        let signed = (share ^ opened.wrapping_neg()).wrapping_add(opened);
                        *sum = sum.wrapping_add(layer.weighted(bit, signed.wrapping_add(opened & applies)));
                    }
                }
            }
            words.append(&mut sums);
        }
        for (word, mask) in words.iter_mut().zip(&*self.masks) {
            *word = word.wrapping_sub(*mask) & layer.ring.mask();
        }
        let mut message = Vec::new();
        let mut rest = &words[..];
        for count in &self.counts {
            let (now, later) = rest.split_at(*count);
            rest = later;
            message.extend(BitMatrix::from_values(layer.ring.bits, now).encode());
        }
        self.wait(Vec::new(), Stage::Words(words), message)
    }
}

impl Resume for Running<'_> {
    type Output = Outcome;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let Self { own, converted, stage } = self;
        let mut rests = messages.to_vec();
        match stage {
            Stage::Ands(openings) => {
                let mut steps = Vec::with_capacity(openings.len());
                for opening in openings {
                    let bytes = opening.message_bytes();
                    let pieces: Vec<&[u8]> = rests.iter_mut().map(|rest| take(rest, bytes)).collect::<Result<_, _>>()?;
                    steps.push(opening.receive(&pieces)?);
                }
                own.step(converted, steps)
            }
            Stage::Bits(mut shares) => {
                for share in &mut shares {
                    let (rows, columns) = (share.rows(), share.columns());
                    for (index, rest) in rests.iter_mut().enumerate() {
                        let bytes = take(rest, BitMatrix::encoded_len(rows, columns))?;
                        share.xor_assign(&BitMatrix::decode(rows, columns, bytes).map_err(MpcError::of(index))?)?;
                    }
                }
                Ok(own.words(converted, &shares))
            }
            Stage::Words(words) => {
                let mut opened = words.to_vec();
                let (bits, mut rest) = (own.layer.ring.bits, &mut opened[..]);
                for count in own.counts {
                    let (now, later) = rest.split_at_mut(count);
                    rest = later;
                    for (index, message) in rests.iter_mut().enumerate() {
                        let bytes = take(message, BitMatrix::encoded_len(bits, count))?;
                        let shares = BitMatrix::decode(bits, count, bytes).map_err(MpcError::of(index))?;
                        let mut shares = shares.to_values();
                        for (word, share) in now.iter_mut().zip(&shares) {
                            *word = word.wrapping_add(*share) & own.layer.ring.mask();
                        }
                        shares.zeroize();
                    }
                }
                Ok(Next::Done(Outcome::Opened(opened)))
            }
        }
    }
}
