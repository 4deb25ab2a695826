//! A garbler's preparation of a chunk.

use super::{Hashed, output_rows, pieces, projection};
use crate::{
    Batch, BitMatrix, MpcError,
    boolean::Transfers,
    circuit::Party,
    correlation::{CotSender, Delta},
    garbling::bmr::{Common, Garbler, Products, Receiving, Shares},
    nonlinear::{
        Layer, Next, Resume,
        conversion::{Conversion, Converted},
        exchange::take,
    },
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// A garbler that prepares a chunk.
pub(in crate::nonlinear) struct Garbling<'p, 'l> {
    own: Own<'l>,
    stage: Stage<'p, 'l>,
}

/// What does not change.
struct Own<'l> {
    layer: &'l Layer,
    party: usize,
    outputs: usize,
    delta: Delta,
}

enum Stage<'p, 'l> {
    /// It has extended its transfers as a receiver and told the choices of its masks.
    Chosen(&'p mut Transfers, Vec<(Receiving<'l>, Batch)>),
    /// It has sent its side of the products of masks.
    Products(Vec<Piece<Products<'l>>>),
    /// It has told the choices of the constant terms.
    Shares(Vec<Piece<Shares<'l>>>),
    /// It can garble, but the masks of the outputs are not converted.
    Converting(Vec<Piece<Garbler<'l>>>),
    /// All is sent.
    Sent(Keys),
}

/// One piece of the chunk.
struct Piece<S> {
    state: S,
    to_evaluator: CotSender,
    conversion: Option<Conversion>,
}

/// All pieces after a round, what they send, and what is to come from each other party.
type Stepped<S> = (Vec<Piece<S>>, Vec<Vec<u8>>, Vec<usize>);

/// What a garbler keeps of a chunk, piece by piece. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(in crate::nonlinear) struct Keys(pub Vec<PieceKeys>);

/// Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(in crate::nonlinear) struct PieceKeys {
    pub delta: Delta,
    /// The masks of this garbler's inputs.
    pub masks: BitMatrix,
    /// For each input bit of each party and instance the label of 0, with the transfer to the evaluator added for the evaluator's.
    pub labels: Vec<u128>,
    /// Per instance the sum of what hides this garbler's shares of the output bits.
    pub blinds: Vec<u64>,
    /// This garbler's shares of the output bits, if they stay shared.
    pub shares: BitMatrix,
}

impl<'p, 'l> Garbling<'p, 'l> {
    pub fn start(transfers: &'p mut Transfers, layer: &'l Layer, outputs: usize) -> Result<Next<Self>, MpcError> {
        let own = Own {
            layer,
            party: transfers.place().0.0.into(),
            outputs,
            delta: transfers.offset()?,
        };
        let mut random = transfers.fork();
        let mut outgoing = vec![Vec::new(); own.garblers()];
        let mut receivers = Vec::with_capacity(own.peers());
        for (peer, message) in outgoing[..own.peers()].iter_mut().enumerate() {
            let (receiver, extension) = transfers.receive(peer, own.masked() * outputs)?;
            receivers.push(receiver);
            message.extend(extension);
        }
        let mut begun = Vec::new();
        for instances in pieces(outputs) {
            let [batch, conversion] = [transfers.batch(instances)?, transfers.batch(instances)?];
            let receivers = receivers.iter_mut().map(|all| all.split(own.masked() * instances));
            let place = (Party(own.party as u8), own.garblers());
            let (receiving, messages) = Receiving::start(
                &layer.circuit,
                place,
                batch,
                own.delta.clone(),
                receivers.collect(),
                &mut random,
            )?;
            append(&mut outgoing, messages);
            begun.push((receiving, conversion));
        }
        let mut expected = own.expected_rows(layer.input_bits() + layer.circuit.ands());
        let extension = transfers.receive_bytes(own.masked() * outputs);
        expected[..own.peers()].iter_mut().for_each(|bytes| *bytes += extension);
        expected[own.peers()] = transfers.receive_bytes(layer.input_bits() * outputs);
        Ok(own.wait(Stage::Chosen(transfers, begun), outgoing, expected))
    }
}

impl<'l> Own<'l> {
    fn garblers(&self) -> usize {
        self.layer.parties - 1
    }

    /// Other garblers: the first places of the messages; the evaluator's is the last.
    fn peers(&self) -> usize {
        self.layer.parties - 2
    }

    /// Transfers to a garbler for one instance.
    fn masked(&self) -> usize {
        self.layer.input_bits() + 2 * self.layer.circuit.ands()
    }

    /// Bytes of rows of each piece, from each other garbler.
    fn expected_rows(&self, rows: usize) -> Vec<usize> {
        let bytes = pieces(self.outputs).map(|instances| BitMatrix::encoded_len(rows, instances));
        let mut expected = vec![bytes.sum(); self.peers()];
        expected.push(0);
        expected
    }

    fn wait<'p>(self, stage: Stage<'p, 'l>, outgoing: Vec<Vec<u8>>, expected: Vec<usize>) -> Next<Garbling<'p, 'l>> {
        Next::exchange(Garbling { own: self, stage }, outgoing, expected)
    }

    /// The products of all pieces.
    fn products<'p>(
        self,
        transfers: &mut Transfers,
        begun: Vec<(Receiving<'l>, Batch)>,
        messages: &[&[u8]],
    ) -> Result<Next<Garbling<'p, 'l>>, MpcError> {
        let (layer, peers) = (self.layer, self.peers());
        let mut rests = messages.to_vec();
        let mut senders = Vec::with_capacity(peers);
        for (peer, rest) in rests[..peers].iter_mut().enumerate() {
            let count = self.masked() * self.outputs;
            let extension = take(rest, transfers.receive_bytes(count))?;
            senders.push(transfers.send(peer, count, extension).map_err(MpcError::of(peer))?);
        }
        let to_evaluator = transfers.send(peers, layer.input_bits() * self.outputs, messages[peers]);
        let mut to_evaluator = to_evaluator.map_err(MpcError::of(peers))?;
        let mut outgoing = vec![Vec::new(); self.garblers()];
        let mut expected = self.expected_rows(layer.circuit.ands());
        let mut done = Vec::with_capacity(begun.len());
        for ((receiving, batch), instances) in begun.into_iter().zip(pieces(self.outputs)) {
            let choices = BitMatrix::encoded_len(layer.input_bits() + layer.circuit.ands(), instances);
            let choices = rests[..peers].iter_mut().map(|rest| take(rest, choices));
            let choices: Vec<&[u8]> = choices.collect::<Result<_, _>>()?;
            let of_piece = senders.iter_mut().map(|all| all.split(self.masked() * instances));
            let (products, messages) = receiving.senders(of_piece.collect())?.products(&choices)?;
            append(&mut outgoing, messages);
            let mut conversion = layer.operation.opens().then(|| self.conversion(products.common(), batch));
            if let Some(conversion) = &mut conversion {
                conversion.round(&mut outgoing, &mut expected);
            }
            done.push(Piece {
                state: products,
                to_evaluator: to_evaluator.split(layer.input_bits() * instances),
                conversion,
            });
        }
        Ok(self.wait(Stage::Products(done), outgoing, expected))
    }

    /// Begins to make additive shares of the masks of the outputs.
    fn conversion(&self, common: &Common<'_>, batch: Batch) -> Conversion {
        let (circuit, wires) = (&self.layer.circuit, &common.wires);
        let rows = |words: &[u128]| output_rows(circuit, words, common.batch.instances());
        let (before, after) = wires.pairs.split_at(self.party);
        let own = circuit.read_outputs(&wires.masks, self.party == 0);
        let sent = after.iter().map(|pair| rows(&pair.sent)).collect();
        let received = before.iter().map(|pair| rows(&pair.received)).collect();
        let place = (self.party, self.garblers());
        Conversion::start(place, self.layer.ring.bits, batch, own, self.delta.clone(), [sent, received])
    }

    /// Steps all pieces on what comes from the other garblers: `rows` rows of bits each, and corrections.
    fn step<S, T>(
        &self,
        done: Vec<Piece<S>>,
        rows: usize,
        messages: &[&[u8]],
        mut step: impl FnMut(S, &[&[u8]]) -> Result<(T, Vec<Vec<u8>>), MpcError>,
    ) -> Result<Stepped<T>, MpcError> {
        let mut rests = messages[..self.peers()].to_vec();
        let (mut outgoing, mut expected) = (vec![Vec::new(); self.garblers()], vec![0; self.garblers()]);
        let mut stepped = Vec::with_capacity(done.len());
        for (piece, instances) in done.into_iter().zip(pieces(self.outputs)) {
            let bytes = BitMatrix::encoded_len(rows, instances);
            let messages: Vec<&[u8]> = rests.iter_mut().map(|rest| take(rest, bytes)).collect::<Result<_, _>>()?;
            let (state, messages) = step(piece.state, &messages)?;
            append(&mut outgoing, messages);
            let mut conversion = piece.conversion;
            if let Some(conversion) = &mut conversion {
                conversion.receive(&mut rests)?;
                conversion.round(&mut outgoing, &mut expected);
            }
            stepped.push(Piece {
                state,
                to_evaluator: piece.to_evaluator,
                conversion,
            });
        }
        Ok((stepped, outgoing, expected))
    }

    /// Tables and words for the evaluator, and what is kept; before that the conversion's rounds, if any is left.
    fn garble<'p>(
        self,
        done: Vec<Piece<Garbler<'l>>>,
        mut outgoing: Vec<Vec<u8>>,
        expected: Vec<usize>,
        converting: bool,
    ) -> Next<Garbling<'p, 'l>> {
        if converting {
            return self.wait(Stage::Converting(done), outgoing, expected);
        }
        let (mut keys, message) = (Vec::with_capacity(done.len()), &mut outgoing[self.layer.parties - 2]);
        for mut piece in done {
            message.extend(piece.state.tables(usize::MAX));
            let converted = piece.conversion.map(Conversion::finish);
            keys.push(self.keys(&piece.state, &piece.to_evaluator, converted, message));
        }
        let nothing = vec![0; expected.len()];
        self.wait(Stage::Sent(Keys(keys)), outgoing, nothing)
    }

    /// Appends a piece's words for the output bits.
    fn keys(
        &self,
        garbler: &Garbler<'l>,
        to_evaluator: &CotSender,
        converted: Option<Converted>,
        message: &mut Vec<u8>,
    ) -> PieceKeys {
        let Common { batch, wires, .. } = &garbler.common;
        let (layer, instances) = (self.layer, batch.instances());
        #[cfg(test)]
        super::record::garbler(&garbler.common);
        let rows = layer.input_bits();
        let mut labels = wires.labels[instances..][..layer.parties * rows * instances].to_vec();
        let theirs = labels[self.garblers() * rows * instances..].iter_mut().zip(&to_evaluator.q);
        theirs.for_each(|(label, q)| *label ^= q);
        let mut blinds = vec![0u64; instances];
        if let Some(converted) = converted {
            let labels = output_rows(&layer.circuit, &wires.labels, instances);
            let mut hashed = Hashed::default();
            for (bit, (labels, shares)) in labels
                .chunks_exact(instances)
                .zip(converted.shares.chunks_exact(instances))
                .enumerate()
            {
                let (usage, bits) = (projection(bit, self.party), layer.ring.bits - bit);
                let zero = Zeroizing::new(hashed.low_bits(batch, usage, labels, 0, bits));
                let mut one = Zeroizing::new(hashed.low_bits(batch, usage, labels, self.delta.value(), bits));
                for (((blind, one), zero), share) in blinds.iter_mut().zip(one.iter_mut()).zip(&*zero).zip(shares) {
                    *one = one.wrapping_sub(*zero).wrapping_sub(share << 1);
                    *blind = blind.wrapping_sub(layer.weighted(bit, zero.wrapping_add(*share)));
                }
                message.extend(BitMatrix::from_values(bits, &one).encode());
            }
        }
        PieceKeys {
            delta: self.delta.clone(),
            masks: wires.masks.slice(1 + self.party * rows, rows),
            labels,
            blinds,
            shares: match layer.operation.opens() {
                true => BitMatrix::zeros(0, instances),
                false => garbler.output_masks(),
            },
        }
    }
}

impl Resume for Garbling<'_, '_> {
    type Output = Keys;

    fn resume(self, messages: &[&[u8]]) -> Result<Next<Self>, MpcError> {
        let Self { own, stage } = self;
        let ands = own.layer.circuit.ands();
        match stage {
            Stage::Chosen(transfers, begun) => own.products(transfers, begun, messages),
            Stage::Products(done) => {
                let (done, outgoing, mut expected) = own.step(done, ands, messages, |state, messages| state.shares(messages))?;
                let rows = own.expected_rows(ands);
                expected.iter_mut().zip(rows).for_each(|(bytes, rows)| *bytes += rows);
                Ok(own.wait(Stage::Shares(done), outgoing, expected))
            }
            Stage::Shares(done) => {
                let goes_on = goes_on(&done);
                let (done, outgoing, expected) = own.step(done, ands, messages, |state, messages| {
                    Ok((state.garbler(messages)?, Vec::new()))
                })?;
                Ok(own.garble(done, outgoing, expected, goes_on))
            }
            Stage::Converting(done) => {
                let goes_on = goes_on(&done);
                let (done, outgoing, expected) = own.step(done, 0, messages, |state, _| Ok((state, Vec::new())))?;
                Ok(own.garble(done, outgoing, expected, goes_on))
            }
            Stage::Sent(keys) => Ok(Next::Done(keys)),
        }
    }
}

/// Whether the conversion has a step left after the one whose messages come.
fn goes_on<S>(pieces: &[Piece<S>]) -> bool {
    pieces
        .iter()
        .any(|piece| piece.conversion.as_ref().is_some_and(Conversion::goes_on))
}

fn append(outgoing: &mut [Vec<u8>], messages: Vec<Vec<u8>>) {
    outgoing
        .iter_mut()
        .zip(messages)
        .for_each(|(all, message)| all.extend(message));
}
