use super::{check, garbler::Garbler, inputs::InputKeys};
use crate::{
    Batch, BitMatrix, MpcError,
    circuit::{Circuit, Gate, Operand, Party},
    correlation::{CotReceiver, CotSender, Delta, masked},
    garbling::half_gates::xor_rows,
    matrix::{expect, lowest_bits},
};
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// What two garblers share about the masks of the wires.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Pair {
    /// The other garbler.
    pub peer: u8,
    /// Per wire and instance: of the other's mask bits times this garbler's offset.
    pub sent: Vec<u128>,
    /// Per wire and instance: of this garbler's mask bits times the other's offset.
    pub received: Vec<u128>,
    /// Per AND and instance: the same two for the gate's constant term.
    pub sent_terms: Vec<u128>,
    pub received_terms: Vec<u128>,
}

/// A garbler's masks and labels. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Wires {
    pub delta: Delta,
    /// This garbler's shares of the masks, a row per wire.
    pub masks: BitMatrix,
    /// The labels of external value 0, per wire and instance; their lowest bits are 0.
    pub labels: Vec<u128>,
    /// This garbler's shares of the constant terms' bits, a row per AND.
    pub terms: BitMatrix,
    pub pairs: Vec<Pair>,
}

pub(crate) struct Common<'c> {
    pub circuit: &'c Circuit,
    pub batch: Batch,
    pub party: Party,
    pub garblers: usize,
    pub wires: Wires,
}

/// A garbler that has told the choices of its masks.
pub struct Masks<'c>(Receiving<'c>, Vec<CotSender>);

/// The same without the transfers to the other garblers.
pub(crate) struct Receiving<'c> {
    common: Common<'c>,
    /// The random bits of the transfers for the constant terms, per other garbler.
    choices: Vec<BitMatrix>,
}

/// A garbler that has sent its side of the products of masks.
pub struct Products<'c> {
    common: Common<'c>,
    choices: Vec<BitMatrix>,
    senders: Vec<CotSender>,
}

/// A garbler that has told the choices of the constant terms.
pub struct Shares<'c>(Common<'c>, Vec<CotSender>);

impl<'c> Masks<'c> {
    /// Draws masks and labels. `transfers` holds for each other garbler, in order, instances x (its inputs' bits + 2 ANDs) transfers to it, all with
    /// this garbler's one offset `delta`, and instances x (own inputs' bits + 2 ANDs) from it. Gives a message to each.
    pub fn start(
        circuit: &'c Circuit,
        place: (Party, usize),
        batch: Batch,
        delta: Delta,
        transfers: Vec<(CotSender, CotReceiver)>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<Vec<u8>>), MpcError> {
        let (senders, receivers) = transfers.into_iter().unzip();
        let (receiving, messages) = Receiving::start(circuit, place, batch, delta, receivers, rng)?;
        Ok((receiving.senders(senders)?, messages))
    }

    /// Takes each other garbler's choices, in order; gives a message to each.
    pub fn products<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<(Products<'c>, Vec<Vec<u8>>), MpcError> {
        let Self(Receiving { mut common, choices }, senders) = self;
        let (circuit, instances) = (common.circuit, common.batch.instances());
        expect("messages", common.garblers - 1, messages.len())?;
        let mut rest = Vec::with_capacity(senders.len());
        let pairs = common.wires.pairs.iter_mut().zip(senders);
        for (index, ((pair, mut sender), message)) in pairs.zip(messages).enumerate() {
            let theirs = masked_wires(circuit, Party(pair.peer));
            let cells = theirs.len() * instances;
            expect(
                "correlated transfers sent",
                cells + circuit.ands() * instances,
                sender.q.len(),
            )?;
            let differ = BitMatrix::decode(theirs.len(), instances, message.as_ref()).map_err(MpcError::of(index))?;
            let now = sender.split(cells).corrected(&differ)?;
            for (row, wire) in theirs.iter().enumerate() {
                pair.sent[wire * instances..][..instances].copy_from_slice(&now.q[row * instances..][..instances]);
            }
            rest.push(sender);
        }
        common.propagate();
        let masks = common.send_products();
        Ok((
            Products {
                common,
                choices,
                senders: rest,
            },
            masks,
        ))
    }
}

impl<'c> Receiving<'c> {
    /// As [`Masks::start`], before the transfers to the other garblers are there.
    pub(crate) fn start(
        circuit: &'c Circuit,
        (party, garblers): (Party, usize),
        batch: Batch,
        delta: Delta,
        receivers: Vec<CotReceiver>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<Vec<u8>>), MpcError> {
        check(circuit, garblers)?;
        expect("other garblers with transfers", garblers - 1, receivers.len())?;
        let instances = batch.instances();
        let cells = circuit.wires() * instances;
        let own = masked_wires(circuit, party);
        let drawn = BitMatrix::random(own.len(), instances, rng);
        let mut masks = BitMatrix::zeros(circuit.wires(), instances);
        let mut labels = vec![0; cells];
        let inputs = circuit.first_gate() * instances;
        draw_labels(&mut labels[instances..inputs], rng);
        for (row, wire) in own.iter().enumerate() {
            masks.row_mut(*wire).copy_from_slice(drawn.row(row));
            if *wire >= circuit.first_gate() {
                draw_labels(&mut labels[wire * instances..][..instances], rng);
            }
        }
        let peers = (0..garblers as u8).filter(|peer| *peer != party.0);
        let (mut pairs, mut choices, mut messages) = (Vec::new(), Vec::new(), Vec::new());
        for (receiver, peer) in receivers.into_iter().zip(peers) {
            let (masked, terms) = (own.len() * instances, circuit.ands() * instances);
            expect("correlated transfers received", masked + terms, receiver.t.len())?;
            let mut received = vec![0; cells];
            for (row, wire) in own.iter().enumerate() {
                received[wire * instances..][..instances].copy_from_slice(&receiver.t[row * instances..][..instances]);
            }
            messages.push(receiver.differences(0, &drawn)?.encode());
            pairs.push(Pair {
                peer,
                sent: vec![0; cells],
                received,
                sent_terms: Vec::new(),
                received_terms: receiver.t[masked..].to_vec(),
            });
            choices.push(BitMatrix::from_bits(circuit.ands(), instances, &receiver.choices, masked));
        }
        let terms = BitMatrix::zeros(circuit.ands(), instances);
        let wires = Wires {
            delta,
            masks,
            labels,
            terms,
            pairs,
        };
        let common = Common {
            circuit,
            batch,
            party,
            garblers,
            wires,
        };
        Ok((Self { common, choices }, messages))
    }

    /// Takes the transfers to the other garblers.
    pub(crate) fn senders(self, senders: Vec<CotSender>) -> Result<Masks<'c>, MpcError> {
        expect("other garblers with transfers", self.common.garblers - 1, senders.len())?;
        let own = |sender: &CotSender| sender.delta.value() == self.common.wires.delta.value();
        expect("transfers with this garbler's offset", 1, senders.iter().all(own).into())?;
        Ok(Masks(self, senders))
    }
}

impl<'c> Products<'c> {
    /// Takes each other garbler's side of the products, in order; gives a message to each.
    pub fn shares<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<(Shares<'c>, Vec<Vec<u8>>), MpcError> {
        let Self {
            mut common,
            choices,
            senders,
        } = self;
        let instances = common.batch.instances();
        expect("messages", common.garblers - 1, messages.len())?;
        common.own_products();
        for (place, message) in messages.iter().enumerate() {
            let mask = BitMatrix::decode(common.circuit.ands(), instances, message.as_ref());
            common.receive_products(place, &mask.map_err(MpcError::of(place))?);
        }
        let mut told = Vec::with_capacity(choices.len());
        for mut differ in choices {
            differ.xor_assign(&common.wires.terms)?;
            told.push(differ.encode());
        }
        Ok((Shares(common, senders), told))
    }

    pub(crate) fn common(&self) -> &Common<'c> {
        &self.common
    }
}

impl<'c> Shares<'c> {
    /// Takes each other garbler's choices of the constant terms, in order. The garbler can now make tables and, apart from them, open inputs.
    pub fn finish<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<(Garbler<'c>, InputKeys<'c>), MpcError> {
        let garbler = self.garbler(messages)?;
        let keys = InputKeys::new(&garbler.common);
        Ok((garbler, keys))
    }

    /// As [`Self::finish`], without the keys.
    pub(crate) fn garbler<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<Garbler<'c>, MpcError> {
        let Self(mut common, senders) = self;
        let (ands, instances) = (common.circuit.ands(), common.batch.instances());
        expect("messages", common.garblers - 1, messages.len())?;
        let pairs = common.wires.pairs.iter_mut().zip(senders);
        for (index, ((pair, sender), message)) in pairs.zip(messages).enumerate() {
            let differ = BitMatrix::decode(ands, instances, message.as_ref()).map_err(MpcError::of(index))?;
            let mut sender = sender.corrected(&differ)?;
            pair.sent_terms = std::mem::take(&mut sender.q);
        }
        Ok(Garbler::new(common))
    }
}

fn draw_labels(labels: &mut [u128], rng: &mut impl CryptoRng) {
    rng.fill_bytes(bytemuck::cast_slice_mut(labels));
    labels.iter_mut().for_each(|label| *label = u128::from_le(*label) & !1);
}

/// The wires on which a garbler's mask bit is its own: its inputs and the outputs of ANDs.
fn masked_wires(circuit: &Circuit, party: Party) -> Vec<usize> {
    circuit
        .wires_of(party)
        .chain(and_gates(circuit).map(|(gate, ..)| circuit.first_gate() + gate))
        .collect()
}

pub(super) fn and_gates(circuit: &Circuit) -> impl Iterator<Item = (usize, Operand, Operand)> + '_ {
    circuit.gates.iter().enumerate().filter_map(|(at, gate)| match gate {
        Gate::And(left, right) => Some((at, *left, *right)),
        Gate::Xor(..) => None,
    })
}

impl Common<'_> {
    /// Carries masks, labels and shares through the XORs.
    fn propagate(&mut self) {
        let instances = self.batch.instances();
        for (gate, out) in self.circuit.gates.iter().zip(self.circuit.first_gate()..) {
            let Gate::Xor(left, right) = *gate else { continue };
            self.wires.masks.xor_rows([left, right], out);
            xor_rows(&mut self.wires.labels, instances, [left, right], out);
            for pair in &mut self.wires.pairs {
                xor_rows(&mut pair.sent, instances, [left, right], out);
                xor_rows(&mut pair.received, instances, [left, right], out);
            }
        }
    }

    /// This garbler's share of an operand's mask; garbler 0 applies complements. Bits beyond the instances may be set.
    pub(super) fn mask(&self, operand: Operand) -> impl Iterator<Item = u64> + '_ {
        let complement = 0u64.wrapping_sub((operand.inverted && self.party.0 == 0).into());
        self.wires.masks.row(operand.wire).iter().map(move |word| word ^ complement)
    }

    /// Own terms: (own mask of u)(own mask of v) ^ own mask of w.
    fn own_products(&mut self) {
        let mut terms = std::mem::replace(&mut self.wires.terms, BitMatrix::zeros(0, 0));
        for (row, (gate, left, right)) in and_gates(self.circuit).enumerate() {
            let out = self.wires.masks.row(self.circuit.first_gate() + gate);
            let own = self.mask(left).zip(self.mask(right)).zip(out);
            let own: Vec<u64> = own.map(|((left, right), out)| left & right ^ out).collect();
            terms.xor_row(row, &own);
        }
        terms.clear_padding();
        self.wires.terms = terms;
    }

    /// The sender's side of (own mask of u)(the other's mask of v), per other garbler: one bit each.
    fn send_products(&mut self) -> Vec<Vec<u8>> {
        let (instances, delta) = (self.batch.instances(), self.wires.delta.value());
        let mut messages = Vec::with_capacity(self.wires.pairs.len());
        let mut terms = std::mem::replace(&mut self.wires.terms, BitMatrix::zeros(0, 0));
        for pair in &self.wires.pairs {
            let mut mask = BitMatrix::zeros(self.circuit.ands(), instances);
            let mut hashes = Hashes::default();
            for (row, (gate, left, right)) in and_gates(self.circuit).enumerate() {
                // The receiver complements its mask of v by the sender's moving its word.
                let moved = masked(right.inverted && pair.peer == 0, delta);
                let words = &pair.sent[right.wire * instances..][..instances];
                let usage = product_tweak(gate, self.party.0, pair.peer);
                terms.xor_row(row, hashes.bits(&self.batch, usage, words, moved));
                mask.xor_row(row, &hashes.bits);
                mask.xor_row(row, hashes.bits(&self.batch, usage, words, moved ^ delta));
                let own = mask.row_mut(row).iter_mut().zip(self.mask(left));
                own.for_each(|(mask, own)| *mask ^= own);
            }
            mask.clear_padding();
            messages.push(mask.encode());
        }
        self.wires.terms = terms;
        messages
    }

    /// The receiver's side of (the other's mask of u)(own mask of v).
    fn receive_products(&mut self, place: usize, mask: &BitMatrix) {
        let (instances, pair) = (self.batch.instances(), &self.wires.pairs[place]);
        let mut terms = std::mem::replace(&mut self.wires.terms, BitMatrix::zeros(0, 0));
        let mut hashes = Hashes::default();
        for (row, (gate, _, right)) in and_gates(self.circuit).enumerate() {
            let words = &pair.received[right.wire * instances..][..instances];
            terms.xor_row(
                row,
                hashes.bits(&self.batch, product_tweak(gate, pair.peer, self.party.0), words, 0),
            );
            let taken = mask.row(row).iter().zip(self.mask(right)).map(|(mask, own)| mask & own);
            terms
                .row_mut(row)
                .iter_mut()
                .zip(taken)
                .for_each(|(term, taken)| *term ^= taken);
        }
        self.wires.terms = terms;
    }
}

/// Apart from all tweaks of tables.
fn product_tweak(gate: usize, from: u8, to: u8) -> u64 {
    1 << 62 | (gate as u64) << 16 | u64::from(from) << 8 | u64::from(to)
}

/// Room for hashes of a row. Wiped on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
struct Hashes {
    tweaks: Vec<u128>,
    words: Vec<u128>,
    scratch: Vec<u128>,
    bits: Vec<u64>,
}

impl Hashes {
    /// The lowest bits of the hashes of words that an offset is added to, for one use.
    fn bits(&mut self, batch: &Batch, usage: u64, words: &[u128], offset: u128) -> &[u64] {
        self.tweaks.clear();
        self.tweaks
            .extend((0..words.len()).map(|instance| batch.tweak(instance, usage)));
        self.words.clear();
        self.words.extend(words.iter().map(|word| word ^ offset));
        batch.hash(&self.tweaks, &mut self.words, &mut self.scratch);
        self.bits.clear();
        self.bits.extend(lowest_bits(&self.words));
        &self.bits
    }
}
