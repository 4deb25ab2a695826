use super::{check, garbler::Garbler, inputs::InputKeys};
use crate::{
    Batch, BitMatrix, MpcError,
    circuit::{Circuit, Gate, Operand, Party},
    correlation::{CotReceiver, CotSender, Delta, masked, random_word},
    garbling::half_gates::xor_rows,
    matrix::expect,
};
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// What two garblers share about the masks of the wires.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Pair {
    /// The other garbler.
    pub peer: u8,
    /// Per wire and instance: of the other's mask bits times this garbler's offset.
    pub sent: Vec<u128>,
    /// Per wire and instance: of this garbler's mask bits times the other's offset.
    pub received: Vec<u128>,
    /// Per AND and instance: the same two for the gate's constant term.
    pub sent_terms: Vec<u128>,
    pub received_terms: Vec<u128>,
    /// The random bits of the transfers for the constant terms.
    choices: Vec<bool>,
}

/// A garbler's masks and labels. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Wires {
    pub delta: Delta,
    /// This garbler's shares of the masks, per wire and instance.
    pub masks: Vec<bool>,
    /// The labels of external value 0, per wire and instance; their lowest bits are 0.
    pub labels: Vec<u128>,
    /// This garbler's shares of the constant terms' bits, per AND and instance.
    pub terms: Vec<bool>,
    pub pairs: Vec<Pair>,
}

pub(super) struct Common<'c> {
    pub circuit: &'c Circuit,
    pub batch: Batch,
    pub party: Party,
    pub garblers: usize,
    pub wires: Wires,
}

/// A garbler that has told the choices of its masks.
pub struct Masks<'c>(Common<'c>, Vec<CotSender>);

/// A garbler that has sent its side of the products of masks.
pub struct Products<'c>(Common<'c>, Vec<CotSender>);

/// A garbler that has told the choices of the constant terms.
pub struct Shares<'c>(Common<'c>, Vec<CotSender>);

impl<'c> Masks<'c> {
    /// Draws masks and labels. `transfers` holds for each other garbler, in order, instances x (its inputs' bits + 2 ANDs) transfers to it, all with
    /// this garbler's one offset `delta`, and instances x (own inputs' bits + 2 ANDs) from it. Gives a message to each.
    pub fn start(
        circuit: &'c Circuit,
        (party, garblers): (Party, usize),
        batch: Batch,
        delta: Delta,
        transfers: Vec<(CotSender, CotReceiver)>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<Vec<u8>>), MpcError> {
        check(circuit, garblers)?;
        expect("other garblers with transfers", garblers - 1, transfers.len())?;
        let instances = batch.instances();
        let cells = circuit.wires() * instances;
        let mut masks = vec![false; cells];
        let mut labels = vec![0; cells];
        let first = circuit.first_gate() * instances;
        labels[instances..first]
            .iter_mut()
            .for_each(|label| *label = random_word(rng) & !1);
        let own = masked_wires(circuit, party);
        let drawn = BitMatrix::random(own.len(), instances, rng);
        for (row, wire) in own.iter().enumerate() {
            for column in 0..instances {
                masks[wire * instances + column] = drawn.get(row, column);
                if *wire >= circuit.first_gate() {
                    labels[wire * instances + column] = random_word(rng) & !1;
                }
            }
        }
        let peers = (0..garblers as u8).filter(|peer| *peer != party.0);
        let (mut pairs, mut senders, mut messages) = (Vec::new(), Vec::new(), Vec::new());
        for ((sender, receiver), peer) in transfers.into_iter().zip(peers) {
            expect(
                "transfers with this garbler's offset",
                1,
                (sender.delta.value() == delta.value()).into(),
            )?;
            let (masked, terms) = (own.len() * instances, circuit.ands() * instances);
            expect("correlated transfers received", masked + terms, receiver.t.len())?;
            let mut received = vec![0; cells];
            for (row, wire) in own.iter().enumerate() {
                received[wire * instances..][..instances].copy_from_slice(&receiver.t[row * instances..][..instances]);
            }
            messages.push(differences(&receiver.choices[..masked], instances, |row, column| drawn.get(row, column)).encode());
            pairs.push(Pair {
                peer,
                sent: vec![0; cells],
                received,
                sent_terms: Vec::new(),
                received_terms: receiver.t[masked..].to_vec(),
                choices: receiver.choices[masked..].to_vec(),
            });
            senders.push(sender);
        }
        let terms = Vec::new();
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
        Ok((Self(common, senders), messages))
    }

    /// Takes each other garbler's choices, in order; gives a message to each.
    pub fn products(self, messages: &[Vec<u8>]) -> Result<(Products<'c>, Vec<Vec<u8>>), MpcError> {
        let Self(mut common, senders) = self;
        let (circuit, instances) = (common.circuit, common.batch.instances());
        expect("messages", common.garblers - 1, messages.len())?;
        let mut rest = Vec::with_capacity(senders.len());
        for ((pair, sender), message) in common.wires.pairs.iter_mut().zip(senders).zip(messages) {
            let theirs = masked_wires(circuit, Party(pair.peer));
            let cells = theirs.len() * instances;
            expect(
                "correlated transfers sent",
                cells + circuit.ands() * instances,
                sender.q.len(),
            )?;
            let differ = BitMatrix::decode(theirs.len(), instances, message)?;
            let now = CotSender::new(sender.delta.clone(), sender.q[..cells].to_vec());
            let now = now.corrected((0..cells).map(|at| differ.get(at / instances, at % instances)))?;
            for (row, wire) in theirs.iter().enumerate() {
                pair.sent[wire * instances..][..instances].copy_from_slice(&now.q[row * instances..][..instances]);
            }
            rest.push(CotSender::new(sender.delta.clone(), sender.q[cells..].to_vec()));
        }
        common.propagate();
        let mut terms = vec![false; circuit.ands() * instances];
        let masks = common.send_products(&mut terms);
        common.wires.terms = terms;
        Ok((Products(common, rest), masks))
    }
}

impl<'c> Products<'c> {
    /// Takes each other garbler's side of the products, in order; gives a message to each.
    pub fn shares(self, messages: &[Vec<u8>]) -> Result<(Shares<'c>, Vec<Vec<u8>>), MpcError> {
        let Self(mut common, senders) = self;
        let instances = common.batch.instances();
        expect("messages", common.garblers - 1, messages.len())?;
        let mut terms = std::mem::take(&mut common.wires.terms);
        common.own_products(&mut terms);
        for (place, message) in messages.iter().enumerate() {
            let mask = BitMatrix::decode(common.circuit.ands(), instances, message)?;
            common.receive_products(place, &mask, &mut terms);
        }
        let told = common.wires.pairs.iter().map(|pair| {
            let bit = |row: usize, column: usize| terms[row * instances + column];
            differences(&pair.choices, instances, bit).encode()
        });
        let told = told.collect();
        common.wires.terms = terms;
        Ok((Shares(common, senders), told))
    }
}

impl<'c> Shares<'c> {
    /// Takes each other garbler's choices of the constant terms, in order. The garbler can now make tables and, apart from them, open inputs.
    pub fn finish(self, messages: &[Vec<u8>]) -> Result<(Garbler<'c>, InputKeys<'c>), MpcError> {
        let Self(mut common, senders) = self;
        let (ands, instances) = (common.circuit.ands(), common.batch.instances());
        expect("messages", common.garblers - 1, messages.len())?;
        for ((pair, sender), message) in common.wires.pairs.iter_mut().zip(senders).zip(messages) {
            let differ = BitMatrix::decode(ands, instances, message)?;
            let sender = sender.corrected((0..ands * instances).map(|at| differ.get(at / instances, at % instances)))?;
            pair.sent_terms = sender.q.clone();
        }
        let keys = InputKeys::new(&common);
        Ok((Garbler::new(common), keys))
    }
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

/// Where random choices differ from the bits wanted.
fn differences(choices: &[bool], instances: usize, wanted: impl Fn(usize, usize) -> bool) -> BitMatrix {
    let mut differ = BitMatrix::zeros(choices.len() / instances, instances);
    for (at, choice) in choices.iter().enumerate() {
        let (row, column) = (at / instances, at % instances);
        differ.set(row, column, wanted(row, column) != *choice);
    }
    differ
}

impl Common<'_> {
    /// Carries masks, labels and shares through the XORs.
    fn propagate(&mut self) {
        let instances = self.batch.instances();
        for (gate, out) in self.circuit.gates.iter().zip(self.circuit.first_gate()..) {
            let Gate::Xor(left, right) = *gate else { continue };
            for at in 0..instances {
                let mask = self.wires.masks[left * instances + at] ^ self.wires.masks[right * instances + at];
                self.wires.masks[out * instances + at] = mask;
            }
            xor_rows(&mut self.wires.labels, instances, [left, right], out);
            for pair in &mut self.wires.pairs {
                xor_rows(&mut pair.sent, instances, [left, right], out);
                xor_rows(&mut pair.received, instances, [left, right], out);
            }
        }
    }

    /// This garbler's share of an operand's mask; garbler 0 applies complements.
    fn mask(&self, operand: Operand, instance: usize) -> bool {
        self.wires.masks[operand.wire * self.batch.instances() + instance] ^ (operand.inverted && self.party.0 == 0)
    }

    /// Own terms: (own mask of u)(own mask of v) ^ own mask of w.
    fn own_products(&self, terms: &mut [bool]) {
        let instances = self.batch.instances();
        for (row, (gate, left, right)) in and_gates(self.circuit).enumerate() {
            for instance in 0..instances {
                let out = self.wires.masks[(self.circuit.first_gate() + gate) * instances + instance];
                terms[row * instances + instance] ^= self.mask(left, instance) & self.mask(right, instance) ^ out;
            }
        }
    }

    /// The sender's side of (own mask of u)(the other's mask of v), per other garbler: one bit each.
    fn send_products(&self, terms: &mut [bool]) -> Vec<Vec<u8>> {
        let (instances, delta) = (self.batch.instances(), self.wires.delta.value());
        let mut messages = Vec::with_capacity(self.wires.pairs.len());
        for pair in &self.wires.pairs {
            let mut mask = BitMatrix::zeros(self.circuit.ands(), instances);
            let mut hashes = Hashes::default();
            for (row, (gate, left, right)) in and_gates(self.circuit).enumerate() {
                // The receiver complements its mask of v by the sender's moving its word.
                let moved = masked(right.inverted && pair.peer == 0, delta);
                let words = pair.sent[right.wire * instances..][..instances].iter();
                let both = words
                    .enumerate()
                    .flat_map(|(at, word)| [(at, word ^ moved), (at, word ^ moved ^ delta)]);
                let bits = hashes.run(&self.batch, product_tweak(gate, self.party.0, pair.peer), both);
                for (instance, [zero, one]) in bits.as_chunks::<2>().0.iter().enumerate() {
                    let (zero, one) = (zero & 1 == 1, one & 1 == 1);
                    terms[row * instances + instance] ^= zero;
                    mask.set(row, instance, zero ^ one ^ self.mask(left, instance));
                }
            }
            messages.push(mask.encode());
        }
        messages
    }

    /// The receiver's side of (the other's mask of u)(own mask of v).
    fn receive_products(&self, place: usize, mask: &BitMatrix, terms: &mut [bool]) {
        let (instances, pair) = (self.batch.instances(), &self.wires.pairs[place]);
        let mut hashes = Hashes::default();
        for (row, (gate, _, right)) in and_gates(self.circuit).enumerate() {
            let words = pair.received[right.wire * instances..][..instances]
                .iter()
                .copied()
                .enumerate();
            let bits = hashes.run(&self.batch, product_tweak(gate, pair.peer, self.party.0), words);
            for (instance, bit) in bits.iter().enumerate() {
                let taken = self.mask(right, instance) & mask.get(row, instance);
                terms[row * instances + instance] ^= (bit & 1 == 1) ^ taken;
            }
        }
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
}

impl Hashes {
    /// Hashes words of (instance, word) for one use.
    fn run(&mut self, batch: &Batch, usage: u64, words: impl Iterator<Item = (usize, u128)>) -> &[u128] {
        self.tweaks.clear();
        self.words.clear();
        for (instance, word) in words {
            self.tweaks.push(batch.tweak(instance, usage));
            self.words.push(word);
        }
        batch.hash(&self.tweaks, &mut self.words, &mut self.scratch);
        &self.words
    }
}
