//! The gateway: garbles, gives the labels of its words, and gets the outputs.

use super::{
    Layer,
    layer::{ANNOUNCEMENT, SETUP_DOWN, SUMS},
    numbers::{Chunk, Numbers, outputs_of, session, unmarked_message},
};
use crate::{
    Batch, BitMatrix, MpcError, Session,
    correlation::{Delta, add_where, random_word},
    garbling::{
        half_gates::Garbler,
        projection::{Hashed, output_rows, projection},
    },
    nonlinear::{Layer as SharedLayer, Next, Outcome, Resume, marks::joined},
    prg::Prg,
    transfer::{self, Sender, SenderSetup},
    wire::expect_equal,
};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The gateway that sets up transfers with the user, in three rounds. Done once in a session.
pub struct Setup {
    session: Session,
    stage: Round,
}

enum Round {
    Announcement,
    /// It has told its points, and nothing comes.
    Points(SenderSetup),
    Sums(SenderSetup),
}

/// Transfers to the user, and numbers for chunks: nothing that comes out of it comes a second time. Both parties prepare the same chunks of
/// the same layers in the same order.
pub struct Preparer {
    sender: Sender,
    numbers: Numbers,
    random: ChaCha20Rng,
}

/// The gateway that prepares a chunk, in two rounds.
pub struct Preparation<'p, 'l> {
    preparer: &'p mut Preparer,
    layer: &'l Layer,
    chunk: Chunk,
    stage: Stage,
}

enum Stage {
    Extension(Vec<Batch>),
    Sent(Prepared),
}

/// A prepared chunk: serves one run, which takes it by value. Its secrets are wiped on drop.
pub struct Prepared {
    chunk: Chunk,
    keys: Keys,
}

/// Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
struct Keys {
    delta: Delta,
    /// Of the labels of 0 of the gateway's words.
    seed: u128,
    /// For each output what the user's answer has too much, or the share of the index.
    words: Vec<u64>,
}

/// The gateway at work on a layer, in two rounds; one for an argmax.
pub struct Online<'l> {
    layer: &'l Layer,
    mark: u64,
    words: Zeroizing<Vec<u64>>,
    waiting: bool,
}

impl Setup {
    /// Begins in a session that is the parties' own and used for nothing else.
    ///
    /// # Errors
    /// None that a caller could cause.
    pub fn start(parent: &Session) -> Result<Next<Self>, MpcError> {
        let setup = Self {
            session: session(parent),
            stage: Round::Announcement,
        };
        Ok(Next::exchange(setup, vec![Vec::new()], vec![ANNOUNCEMENT]))
    }
}

impl Resume for Setup {
    type Output = Preparer;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let Self { session, stage } = self;
        let message = messages.first().copied().unwrap_or_default();
        match stage {
            Round::Announcement => {
                // Odd: the lowest bits of two labels differ.
                let offset = transfer::Delta::new(transfer::Delta::random(&session).expose() | 1);
                let (setup, points) = SenderSetup::new(&session, SharedLayer::width()?, offset, message)?;
                debug_assert_eq!(points.len(), SETUP_DOWN);
                let stage = Round::Points(setup);
                Ok(Next::exchange(Self { session, stage }, vec![points], vec![0]))
            }
            Round::Points(setup) => {
                let stage = Round::Sums(setup);
                Ok(Next::exchange(Self { session, stage }, vec![Vec::new()], vec![SUMS]))
            }
            Round::Sums(setup) => Ok(Next::Done(Preparer {
                sender: setup.finish(message)?,
                numbers: Numbers::new(&session),
                random: session.stream("two-party labels"),
            })),
        }
    }
}

impl Preparer {
    /// Begins the preparation of one chunk of `outputs` outputs.
    ///
    /// # Errors
    /// [`MpcError::Count`] for none or more than [`Layer::chunk`]; [`MpcError::Turn`] after a preparation that broke off: the parties' transfers may
    /// differ then, and they set up again in a new session.
    pub fn prepare<'l>(&mut self, layer: &'l Layer, outputs: usize) -> Result<Next<Preparation<'_, 'l>>, MpcError> {
        let (chunk, batches) = self.numbers.begin(layer, outputs)?;
        let state = Preparation {
            preparer: self,
            layer,
            chunk,
            stage: Stage::Extension(batches),
        };
        Ok(Next::exchange(
            state,
            vec![Vec::new()],
            vec![layer.extension_message(outputs)],
        ))
    }

    /// The gateway's message, and what it keeps.
    fn garble(
        &mut self,
        layer: &Layer,
        chunk: Chunk,
        batches: Vec<Batch>,
        extension: &[u8],
    ) -> Result<(Vec<u8>, Prepared), MpcError> {
        let rows = layer.rows();
        let transfers = self.sender.extend(rows * chunk.outputs, extension)?;
        let delta = Delta::new(self.sender.delta().expose())?;
        let seed = random_word(&mut self.random);
        let (prg, mut rest, mut first) = (Prg::new(seed), &transfers[..], 0);
        let mut pieces = Vec::with_capacity(batches.len());
        for batch in batches {
            let (theirs, later) = rest.split_at(rows * batch.instances());
            pieces.push((first, theirs, batch));
            (first, rest) = (first + theirs.len(), later);
        }
        let garble = |(first, theirs, batch): (usize, &[u128], Batch)| {
            let instances = batch.instances();
            let mut labels = vec![0; layer.circuit().wires() * instances];
            let inputs = &mut labels[instances..][..2 * theirs.len()];
            prg.fill(first as u64, &mut inputs[..theirs.len()]);
            inputs[theirs.len()..].copy_from_slice(theirs);
            garbled(layer, Garbler::new(layer.circuit(), batch, delta.clone(), labels), &delta)
        };
        let garbled: Vec<_> = pieces.into_par_iter().map(garble).collect::<Result<_, _>>()?;
        let mut message = Vec::with_capacity(layer.tables_message(chunk.outputs));
        message.extend(chunk.mark.to_le_bytes());
        let mut words = Vec::with_capacity(chunk.outputs);
        for (tables, own) in garbled {
            message.extend(tables);
            words.extend_from_slice(&own);
        }
        let keys = Keys { delta, seed, words };
        Ok((message, Prepared { chunk, keys }))
    }
}

/// Tables and projections of a piece, and the gateway's word for each output.
fn garbled(layer: &Layer, mut garbler: Garbler<'_>, delta: &Delta) -> Result<(Vec<u8>, Zeroizing<Vec<u64>>), MpcError> {
    let mut message = garbler.tables(usize::MAX);
    if !layer.operation().opens() {
        return Ok((message, Zeroizing::new(garbler.finish()?.to_values())));
    }
    let (circuit, instances) = (layer.circuit(), garbler.batch.instances());
    let labels = Zeroizing::new(output_rows(circuit, &garbler.labels, instances));
    let mut hashed = Hashed::default();
    let mut words = Zeroizing::new(vec![0u64; instances]);
    for (bit, (labels, output)) in labels.chunks_exact(instances).zip(&circuit.outputs).enumerate() {
        let width = layer.ring().bits - bit;
        let mut hashes = |offset| Zeroizing::new(hashed.low_bits(&garbler.batch, projection(bit, 0), labels, offset, width));
        let (zero, mut one) = (hashes(0), hashes(delta.value()));
        for (((word, label), zero), one) in words.iter_mut().zip(labels).zip(&*zero).zip(one.iter_mut()) {
            // The hashes by the colour of the label, and the bit that colour 0 stands for.
            let colour = *label as u64 & 1;
            let swap = (zero ^ *one) & colour.wrapping_neg();
            let (even, odd) = (zero ^ swap, *one ^ swap);
            let stands = colour ^ u64::from(output.inverted);
            let own = even.wrapping_sub(stands);
            *one = own.wrapping_add(1).wrapping_sub(stands).wrapping_sub(odd);
            *word = word.wrapping_add(layer.shared.weighted(bit, own));
        }
        message.extend(BitMatrix::from_values(width, &one).encode());
    }
    Ok((message, words))
}

impl Resume for Preparation<'_, '_> {
    type Output = Prepared;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        match self.stage {
            Stage::Extension(batches) => {
                let extension = unmarked_message(self.chunk.mark, messages)?;
                let (message, prepared) = self.preparer.garble(self.layer, self.chunk, batches, extension)?;
                self.preparer.numbers.done();
                let stage = Stage::Sent(prepared);
                Ok(Next::exchange(Self { stage, ..self }, vec![message], vec![0]))
            }
            Stage::Sent(prepared) => Ok(Next::Done(prepared)),
        }
    }
}

impl Prepared {
    /// Outputs of the chunk.
    pub fn outputs(&self) -> usize {
        self.chunk.outputs
    }

    /// Appends the labels of the chunk's words.
    fn labels(&self, layer: &Layer, words: &[u64], message: &mut Vec<u8>) {
        let (prg, window) = (Prg::new(self.keys.seed), layer.operation().window());
        let (mut rest, mut first) = (words, 0);
        for instances in layer.pieces(self.chunk.outputs) {
            let (now, later) = rest.split_at(instances * window);
            let inputs = layer.shared.rows(now);
            let mut labels = Zeroizing::new(vec![0; layer.rows() * instances]);
            prg.fill(first as u64, &mut labels);
            for (row, labels) in labels.chunks_exact_mut(instances).enumerate() {
                add_where(inputs.row(row), self.keys.delta.value(), labels);
            }
            message.extend(labels.iter().flat_map(|label| label.to_le_bytes()));
            (first, rest) = (first + labels.len(), later);
        }
    }
}

impl<'l> Online<'l> {
    /// Begins with chunks of the layer in the order in which they were prepared, and the gateway's shares of the words, the words of an output one after the other; their
    /// low k bits count. It ends with the words z, or the gateway's XOR shares of the indices.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for words or chunks that do not fit; [`MpcError::Count`] for too many outputs or none.
    pub fn start(layer: &'l Layer, prepared: Vec<Prepared>, words: &[u64]) -> Result<Next<Self>, MpcError> {
        let outputs = outputs_of(layer, prepared.iter().map(|prepared| prepared.chunk))?;
        let window = layer.operation().window();
        expect_equal("words", words.len(), outputs * window)?;
        let mark = joined(prepared.iter().map(|prepared| prepared.chunk.mark));
        let mut message = Vec::with_capacity(layer.labels_message(outputs));
        message.extend(mark.to_le_bytes());
        let (mut rest, mut own) = (words, Zeroizing::new(Vec::with_capacity(outputs)));
        for prepared in &prepared {
            let (now, later) = rest.split_at(prepared.outputs() * window);
            prepared.labels(layer, now, &mut message);
            own.extend_from_slice(&prepared.keys.words);
            rest = later;
        }
        let state = Self {
            layer,
            mark,
            words: own,
            waiting: false,
        };
        Ok(Next::exchange(state, vec![message], vec![0]))
    }
}

impl Resume for Online<'_> {
    type Output = Outcome;

    fn resume(mut self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let (layer, outputs) = (self.layer, self.words.len());
        if !layer.operation().opens() {
            return Ok(Next::Done(Outcome::Shares(self.words)));
        }
        if !self.waiting {
            self.waiting = true;
            return Ok(Next::exchange(self, vec![Vec::new()], vec![layer.answer_message(outputs)]));
        }
        let answer = BitMatrix::decode(layer.ring().bits, outputs, unmarked_message(self.mark, messages)?)?;
        let mut opened = answer.to_values();
        for (word, own) in opened.iter_mut().zip(&*self.words) {
            *word = word.wrapping_sub(*own) & layer.ring().mask();
        }
        Ok(Next::Done(Outcome::Opened(opened)))
    }
}
