//! Two holders' steps with garbling: party 1 evaluates what party 0 garbles.

use super::{Relu, WIDTH};
use crate::{
    Batch, BitMatrix, MpcError,
    boolean::Transfers,
    circuit::Party,
    correlation::CotSender,
    garbling::half_gates::{self, AND_BYTES, Choosing, Garbler},
    wire::{expect_equal, expect_length},
};
use rand_chacha::ChaCha20Rng;
use std::collections::VecDeque;
use zeroize::Zeroizing;

/// Values that are garbled together: their labels stay in the cache.
const PIECE: usize = 256;

/// Party 0 between the evaluator's choices and its last piece.
pub struct Garbling<'r> {
    relu: &'r Relu,
    pieces: VecDeque<(Batch, BitMatrix, CotSender, Vec<u8>)>,
    random: ChaCha20Rng,
    outputs: Zeroizing<Vec<u64>>,
}

/// Party 1 between its choices and the garbler's last piece.
pub struct Evaluating<'r> {
    relu: &'r Relu,
    pieces: VecDeque<(usize, Choosing<'r>)>,
    outputs: Zeroizing<Vec<u64>>,
}

impl Relu {
    /// Begins at party 1 of two, with its shares; gives the bytes for party 0.
    ///
    /// # Errors
    /// [`MpcError::Mismatch`] for another party or more than two; [`MpcError::Count`] for too many values or none.
    pub fn evaluate(&self, transfers: &mut Transfers, shares: &[u64]) -> Result<(Evaluating<'_>, Vec<u8>), MpcError> {
        self.expect_party(half_gates::EVALUATOR, transfers, shares)?;
        let (mut pieces, mut message) = (VecDeque::new(), Vec::new());
        for shares in shares.chunks(PIECE) {
            let batch = transfers.batch(shares.len())?;
            let (receiver, extension) = transfers.receive(0, WIDTH * shares.len())?;
            let inputs = BitMatrix::from_values(WIDTH, shares);
            let (choosing, choices) = Choosing::start(self.circuit(), batch, &inputs, receiver)?;
            message.extend(extension);
            message.extend(choices);
            pieces.push_back((shares.len(), choosing));
        }
        let outputs = Zeroizing::new(Vec::with_capacity(shares.len()));
        Ok((
            Evaluating {
                relu: self,
                pieces,
                outputs,
            },
            message,
        ))
    }

    /// Begins at party 0 of two, with its shares and the bytes of party 1.
    ///
    /// # Errors
    /// As [`Self::evaluate`]; [`MpcError::Length`].
    pub fn garble(&self, transfers: &mut Transfers, shares: &[u64], message: &[u8]) -> Result<Garbling<'_>, MpcError> {
        self.expect_party(half_gates::GARBLER, transfers, shares)?;
        let extension = |values: usize| transfers.receive_bytes(WIDTH * values);
        let choices = |values: usize| BitMatrix::encoded_len(WIDTH, values);
        let bytes = shares
            .chunks(PIECE)
            .map(|shares| extension(shares.len()) + choices(shares.len()));
        expect_length(message, bytes.sum())?;
        let (mut pieces, mut rest) = (VecDeque::new(), message);
        for shares in shares.chunks(PIECE) {
            let (extension, later) = rest.split_at(transfers.receive_bytes(WIDTH * shares.len()));
            let (choices, later) = later.split_at(choices(shares.len()));
            rest = later;
            let batch = transfers.batch(shares.len())?;
            let sender = transfers.send(0, WIDTH * shares.len(), extension)?;
            pieces.push_back((batch, BitMatrix::from_values(WIDTH, shares), sender, choices.to_vec()));
        }
        Ok(Garbling {
            relu: self,
            pieces,
            random: transfers.fork(),
            outputs: Zeroizing::new(Vec::with_capacity(shares.len())),
        })
    }

    fn expect_party(&self, party: Party, transfers: &Transfers, shares: &[u64]) -> Result<(), MpcError> {
        let (actual, parties) = transfers.place();
        expect_equal("parties", self.parties(), 2)?;
        expect_equal("parties", parties, 2)?;
        expect_equal("as the party's number", actual.0.into(), party.0.into())?;
        self.chunks(shares.len()).map(|_| ())
    }

    /// Bytes of a piece: the labels of the garbler's inputs and the tables.
    fn piece_bytes(&self, values: usize) -> usize {
        (16 * WIDTH + AND_BYTES * self.circuit().ands()) * values
    }

    /// Output shares of all values as the bytes for the server.
    fn encode_outputs(&self, outputs: &[u64]) -> Result<Vec<u8>, MpcError> {
        let mut rest = outputs;
        let mut bytes = Vec::with_capacity(self.reveal_bytes(outputs.len())?);
        for values in self.chunks(outputs.len())? {
            let (now, later) = rest.split_at(values);
            bytes.extend(BitMatrix::from_values(WIDTH - 1, now).encode());
            rest = later;
        }
        Ok(bytes)
    }
}

impl Garbling<'_> {
    /// The next piece for party 1, of at most about a megabyte and a half; none when all have been given.
    ///
    /// # Errors
    /// [`MpcError::Padding`] in what party 1 sent; the garbling is of no use after that.
    pub fn next_piece(&mut self) -> Result<Option<Vec<u8>>, MpcError> {
        let Some((batch, inputs, sender, choices)) = self.pieces.pop_front() else {
            return Ok(None);
        };
        let circuit = self.relu.circuit();
        let (mut garbler, mut piece) = Garbler::start(circuit, batch, &inputs, sender, &choices, &mut self.random)?;
        piece.extend(garbler.tables(usize::MAX));
        self.outputs.extend(garbler.finish()?.to_values());
        Ok(Some(piece))
    }

    /// The bytes for the server, once all pieces have been given.
    ///
    /// # Errors
    /// [`MpcError::Turn`] before.
    pub fn finish(self) -> Result<Vec<u8>, MpcError> {
        expect_none_left(self.pieces.is_empty())?;
        self.relu.encode_outputs(&self.outputs)
    }
}

impl Evaluating<'_> {
    /// Takes the next piece of party 0.
    ///
    /// # Errors
    /// [`MpcError::Length`]; [`MpcError::Turn`] for one too many. The evaluation is of no use after that.
    pub fn accept(&mut self, piece: &[u8]) -> Result<(), MpcError> {
        let expected = "the choices of more values";
        let (values, choosing) = self.pieces.pop_front().ok_or(MpcError::Turn { expected })?;
        expect_length(piece, self.relu.piece_bytes(values))?;
        let (labels, tables) = piece.split_at(16 * WIDTH * values);
        let mut evaluator = choosing.labels(labels)?;
        evaluator.consume(tables)?;
        self.outputs.extend(evaluator.finish()?.to_values());
        Ok(())
    }

    /// The bytes for the server, once all pieces have come.
    ///
    /// # Errors
    /// [`MpcError::Turn`] before.
    pub fn finish(self) -> Result<Vec<u8>, MpcError> {
        expect_none_left(self.pieces.is_empty())?;
        self.relu.encode_outputs(&self.outputs)
    }
}

fn expect_none_left(none: bool) -> Result<(), MpcError> {
    let expected = "the last piece";
    if none { Ok(()) } else { Err(MpcError::Turn { expected }) }
}
