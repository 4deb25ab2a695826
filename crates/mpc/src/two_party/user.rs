//! The user: gives its words before the gateway's exist, keeps the tables, and evaluates.

use super::{
    Layer,
    layer::SETUP_DOWN,
    numbers::{Chunk, Numbers, outputs_of, session, unmarked_message},
};
use crate::{
    Batch, BitMatrix, Bits, MpcError, Session,
    garbling::{
        half_gates::Evaluator,
        projection::{Hashed, output_rows, projection},
    },
    nonlinear::{Layer as SharedLayer, Next, Resume, exchange::take, marks::joined},
    transfer::{Receiver, ReceiverSetup},
    wire::{expect_equal, words as read_words},
};
use rayon::prelude::*;
use zeroize::Zeroizing;

/// The user that sets up transfers with the gateway, in three rounds. Done once in a session.
pub struct Setup {
    session: Session,
    stage: Round,
}

enum Round {
    /// It has announced itself, and nothing comes.
    Announced(ReceiverSetup),
    Points(ReceiverSetup),
    Finished(Receiver),
}

/// Transfers from the gateway, and numbers for chunks: nothing that comes out of it comes a second time. Both parties prepare the same chunks of
/// the same layers in the same order.
pub struct Preparer {
    receiver: Receiver,
    numbers: Numbers,
}

/// The user that prepares a chunk, in two rounds.
pub struct Preparation<'p, 'l> {
    preparer: &'p mut Preparer,
    layer: &'l Layer,
    prepared: Prepared,
    waiting: bool,
}

/// A prepared chunk: serves one run, which takes it by value. Its secrets are wiped on drop.
pub struct Prepared {
    chunk: Chunk,
    masks: Zeroizing<Vec<u64>>,
    pieces: Vec<Piece>,
}

/// Instances that are evaluated together.
struct Piece {
    batch: Batch,
    /// The active labels of the user's words, a row for each bit.
    labels: Zeroizing<Vec<u128>>,
    tables: Vec<u8>,
    /// For each output bit the words of labels of colour 1.
    projections: Vec<BitMatrix>,
}

/// The user at work on a layer, in two rounds; one for an argmax.
pub struct Online<'l> {
    layer: &'l Layer,
    mark: u64,
    stage: Stage,
}

enum Stage {
    Labels(Vec<Prepared>),
    Answered,
}

impl Setup {
    /// Begins in a session that is the parties' own and used for nothing else.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn start(parent: &Session) -> Result<Next<Self>, MpcError> {
        let session = session(parent);
        let (setup, announcement) = ReceiverSetup::new(&session, SharedLayer::width()?);
        let stage = Round::Announced(setup);
        Ok(Next::exchange(Self { session, stage }, vec![announcement], vec![0]))
    }
}

impl Resume for Setup {
    type Output = Preparer;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let Self { session, stage } = self;
        match stage {
            Round::Announced(setup) => {
                let stage = Round::Points(setup);
                Ok(Next::exchange(Self { session, stage }, vec![Vec::new()], vec![SETUP_DOWN]))
            }
            Round::Points(setup) => {
                let (receiver, sums) = setup.finish(messages.first().copied().unwrap_or_default())?;
                let stage = Round::Finished(receiver);
                Ok(Next::exchange(Self { session, stage }, vec![sums], vec![0]))
            }
            Round::Finished(receiver) => Ok(Next::Done(Preparer {
                receiver,
                numbers: Numbers::new(&session),
            })),
        }
    }
}

impl Preparer {
    /// Begins the preparation of one chunk with the user's shares of the words, the words of an output one after the other, and its masks, one for each output:
    /// uniform, its own, used for nothing else. None for an argmax. The low k bits count.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for words or masks that do not fit; [`MpcError::Count`] for none or more than [`Layer::chunk`]; [`MpcError::Turn`] after a preparation
    /// that broke off: the parties' transfers may differ then, and they set up again in a new session.
    pub fn prepare<'l>(&mut self, layer: &'l Layer, words: &[u64], masks: &[u64]) -> Result<Next<Preparation<'_, 'l>>, MpcError> {
        let window = layer.operation().window();
        let outputs = words.len() / window;
        expect_equal("words of whole outputs", words.len(), outputs * window)?;
        expect_equal("masks", masks.len(), if layer.operation().opens() { outputs } else { 0 })?;
        let (chunk, batches) = self.numbers.begin(layer, outputs)?;
        let mut choices = Zeroizing::new(Vec::with_capacity(layer.rows() * outputs));
        let mut rest = words;
        for batch in &batches {
            let (now, later) = rest.split_at(batch.instances() * window);
            let inputs = layer.shared.rows(now);
            for row in 0..inputs.rows() {
                choices.extend((0..inputs.columns()).map(|column| inputs.get(row, column)));
            }
            rest = later;
        }
        let (labels, extension) = self.receiver.extend(&Bits::from_bools(&choices))?;
        let mut message = Vec::with_capacity(layer.extension_message(outputs));
        message.extend(chunk.mark.to_le_bytes());
        message.extend(extension);
        let (mut pieces, mut rest) = (Vec::with_capacity(batches.len()), &labels[..]);
        for batch in batches {
            let (now, later) = rest.split_at(layer.rows() * batch.instances());
            rest = later;
            pieces.push(Piece {
                batch,
                labels: Zeroizing::new(now.to_vec()),
                tables: Vec::new(),
                projections: Vec::new(),
            });
        }
        let masks = Zeroizing::new(masks.to_vec());
        let state = Preparation {
            preparer: self,
            layer,
            prepared: Prepared { chunk, masks, pieces },
            waiting: false,
        };
        Ok(Next::exchange(state, vec![message], vec![0]))
    }
}

impl Resume for Preparation<'_, '_> {
    type Output = Prepared;

    fn resume(mut self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let (layer, chunk) = (self.layer, self.prepared.chunk);
        if !self.waiting {
            self.waiting = true;
            let expected = layer.tables_message(chunk.outputs);
            return Ok(Next::exchange(self, vec![Vec::new()], vec![expected]));
        }
        let mut rest = unmarked_message(chunk.mark, messages)?;
        for piece in &mut self.prepared.pieces {
            let instances = piece.batch.instances();
            piece.tables = take(&mut rest, layer.tables_bytes(instances))?.to_vec();
            for width in (0..layer.shared.conversions()).map(|bit| layer.ring().bits - bit) {
                let bytes = take(&mut rest, BitMatrix::encoded_len(width, instances))?;
                piece.projections.push(BitMatrix::decode(width, instances, bytes)?);
            }
        }
        self.preparer.numbers.done();
        Ok(Next::Done(self.prepared))
    }
}

impl Prepared {
    /// Outputs of the chunk.
    pub fn outputs(&self) -> usize {
        self.chunk.outputs
    }
}

impl Piece {
    /// For each output the sum of the output bits and what is the gateway's, or the user's share of the index.
    fn evaluate(self, layer: &Layer, theirs: &[u8]) -> Result<Zeroizing<Vec<u64>>, MpcError> {
        let (circuit, instances) = (layer.circuit(), self.batch.instances());
        let mut labels = vec![0; circuit.wires() * instances];
        let (first, second) = labels[instances..][..2 * self.labels.len()].split_at_mut(self.labels.len());
        first
            .iter_mut()
            .zip(read_words(theirs))
            .for_each(|(label, word)| *label = word);
        second.copy_from_slice(&self.labels);
        let mut evaluator = Evaluator::new(circuit, self.batch, labels);
        evaluator.consume(&self.tables)?;
        if !layer.operation().opens() {
            return Ok(Zeroizing::new(evaluator.finish()?.to_values()));
        }
        let outputs = Zeroizing::new(output_rows(circuit, &evaluator.labels, instances));
        let (mut hashed, mut words) = (Hashed::default(), Zeroizing::new(vec![0u64; instances]));
        for (bit, (labels, projected)) in outputs.chunks_exact(instances).zip(&self.projections).enumerate() {
            let hashes = hashed.low_bits(&evaluator.batch, projection(bit, 0), labels, 0, layer.ring().bits - bit);
            let hashes = Zeroizing::new(hashes);
            let projected = projected.to_values();
            for (((word, label), hash), projected) in words.iter_mut().zip(labels).zip(&*hashes).zip(projected) {
                let colour = *label as u64 & 1;
                let share = hash.wrapping_add(projected & colour.wrapping_neg());
                *word = word.wrapping_add(layer.shared.weighted(bit, share));
            }
        }
        Ok(words)
    }
}

impl<'l> Online<'l> {
    /// Begins with chunks of the layer in the order in which they were prepared. It ends with nothing, or for an argmax with the user's XOR shares of the indices.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for chunks of another layer; [`MpcError::Count`] for too many outputs or none.
    pub fn start(layer: &'l Layer, prepared: Vec<Prepared>) -> Result<Next<Self>, MpcError> {
        let outputs = outputs_of(layer, prepared.iter().map(|prepared| prepared.chunk))?;
        let state = Self {
            layer,
            mark: joined(prepared.iter().map(|prepared| prepared.chunk.mark)),
            stage: Stage::Labels(prepared),
        };
        Ok(Next::exchange(state, vec![Vec::new()], vec![layer.labels_message(outputs)]))
    }
}

/// Evaluates all chunks on the labels of the gateway's words.
fn evaluate(layer: &Layer, prepared: Vec<Prepared>, labels: &[u8]) -> Result<Zeroizing<Vec<u64>>, MpcError> {
    let (mut rest, mut pieces, mut masks) = (labels, Vec::new(), Zeroizing::new(Vec::new()));
    for prepared in prepared {
        masks.extend_from_slice(&prepared.masks);
        for piece in prepared.pieces {
            let theirs = take(&mut rest, layer.labels_bytes(piece.batch.instances()))?;
            pieces.push((piece, theirs));
        }
    }
    let evaluate = |(piece, theirs): (Piece, &[u8])| piece.evaluate(layer, theirs);
    let evaluated: Vec<_> = pieces.into_par_iter().map(evaluate).collect::<Result<_, _>>()?;
    let mut words = Zeroizing::new(Vec::with_capacity(evaluated.iter().map(|words| words.len()).sum()));
    evaluated.iter().for_each(|piece| words.extend_from_slice(piece));
    words
        .iter_mut()
        .zip(&*masks)
        .for_each(|(word, mask)| *word = word.wrapping_sub(*mask));
    Ok(words)
}

impl Resume for Online<'_> {
    type Output = Option<Zeroizing<Vec<u64>>>;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let Self { layer, mark, stage } = self;
        let Stage::Labels(prepared) = stage else {
            return Ok(Next::Done(None));
        };
        let words = evaluate(layer, prepared, unmarked_message(mark, messages)?)?;
        if !layer.operation().opens() {
            return Ok(Next::Done(Some(words)));
        }
        let mut message = mark.to_le_bytes().to_vec();
        message.extend(BitMatrix::from_values(layer.ring().bits, &words).encode());
        let stage = Stage::Answered;
        Ok(Next::exchange(Self { layer, mark, stage }, vec![message], vec![0]))
    }
}
