use super::{check_parties, peers};
use crate::{
    Batch, BitMatrix, MpcError,
    circuit::Party,
    correlation::{CotReceiver, CotSender},
    matrix::expect,
};
use rand::CryptoRng;
use zeroize::Zeroize;

/// XOR shares of bits a, b and c = a b, one per AND (row) and instance (column). Each is used once: an evaluation takes the whole by value.
/// Wiped on drop.
pub struct Triples {
    pub(crate) a: BitMatrix,
    pub(crate) b: BitMatrix,
    pub(crate) c: BitMatrix,
}

/// A party that has told its choices. Wiped on drop.
///
/// The product of the sums of the a_i and the b_i is the sum of all a_i b_j; each cross term is a transfer of one bit from i to j with choice b_j
/// (Gilboa, Crypto 1999, for bits; Asharov et al., CCS 2013, section 5).
pub struct TripleMaker {
    party: Party,
    parties: usize,
    batch: Batch,
    senders: Vec<CotSender>,
    receivers: Vec<CotReceiver>,
    triples: Triples,
}

/// A party that has sent its masked bits. Wiped on drop.
pub struct Masking(TripleMaker);

impl Triples {
    /// ANDs of each instance.
    pub fn ands(&self) -> usize {
        self.a.rows()
    }

    /// Instances.
    pub fn instances(&self) -> usize {
        self.a.columns()
    }
}

impl TripleMaker {
    /// Begins `ands` triples for each instance of the batch. `transfers` holds for each other party, in order, ands x instances correlated
    /// transfers to it and as many from it. Gives a message to each.
    pub fn start(
        (party, parties): (Party, usize),
        batch: Batch,
        ands: usize,
        transfers: Vec<(CotSender, CotReceiver)>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<Vec<u8>>), MpcError> {
        check_parties(party, parties)?;
        expect("peers with transfers", parties - 1, transfers.len())?;
        let instances = batch.instances();
        let [a, b] = [(); 2].map(|()| BitMatrix::random(ands, instances, rng));
        let c = BitMatrix::zeros(ands, instances);
        let (senders, receivers): (Vec<_>, Vec<_>) = transfers.into_iter().unzip();
        let mut messages = Vec::with_capacity(receivers.len());
        for receiver in &receivers {
            expect("correlated transfers", ands * instances, receiver.t.len())?;
            let mut differ = BitMatrix::stack(&[&b])?;
            for (at, choice) in receiver.choices.iter().enumerate() {
                let (row, column) = (at / instances, at % instances);
                differ.set(row, column, b.get(row, column) != *choice);
            }
            messages.push(differ.encode());
        }
        let triples = Triples { a, b, c };
        let maker = Self {
            party,
            parties,
            batch,
            senders,
            receivers,
            triples,
        };
        Ok((maker, messages))
    }

    /// Takes each other party's choices, in order; gives a message to each.
    pub fn mask(mut self, messages: &[Vec<u8>]) -> Result<(Masking, Vec<Vec<u8>>), MpcError> {
        expect("messages", self.parties - 1, messages.len())?;
        let (ands, instances) = (self.triples.a.rows(), self.batch.instances());
        let mut masks = Vec::with_capacity(messages.len());
        let senders = std::mem::take(&mut self.senders);
        let pairs = senders.into_iter().zip(peers(self.party, self.parties));
        for ((sender, peer), message) in pairs.zip(messages) {
            let differ = BitMatrix::decode(ands, instances, message)?;
            let sender = sender.corrected((0..ands * instances).map(|at| differ.get(at / instances, at % instances)))?;
            let delta = sender.delta.value();
            let [zero, one] = [0, delta].map(|offset| self.hashes(&sender.q, offset, [self.party.0, peer]));
            self.triples.c.xor_assign(&zero)?;
            let mut mask = zero;
            mask.xor_assign(&one)?;
            mask.xor_assign(&self.triples.a)?;
            masks.push(mask.encode());
        }
        Ok((Masking(self), masks))
    }

    /// The lowest bits of the hashes of transfers from one party to another.
    fn hashes(&self, words: &[u128], offset: u128, [from, to]: [u8; 2]) -> BitMatrix {
        let instances = self.batch.instances();
        let mut bits = BitMatrix::zeros(words.len() / instances, instances);
        let (mut tweaks, mut hashed, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
        for (row, words) in words.chunks_exact(instances).enumerate() {
            let usage = (row as u64) << 16 | u64::from(from) << 8 | u64::from(to);
            tweaks.clear();
            tweaks.extend((0..instances).map(|instance| self.batch.tweak(instance, usage)));
            hashed.clear();
            hashed.extend(words.iter().map(|word| word ^ offset));
            self.batch.hash(&tweaks, &mut hashed, &mut scratch);
            for (bits, words) in bits.row_mut(row).iter_mut().zip(hashed.chunks(64)) {
                *bits = words
                    .iter()
                    .enumerate()
                    .fold(0, |bits, (at, word)| bits | (*word as u64 & 1) << at);
            }
        }
        hashed.zeroize();
        bits
    }
}

impl Masking {
    /// Takes each other party's masked bits, in order.
    pub fn finish(self, messages: &[Vec<u8>]) -> Result<Triples, MpcError> {
        let Self(mut maker) = self;
        expect("messages", maker.parties - 1, messages.len())?;
        let (ands, instances) = (maker.triples.a.rows(), maker.batch.instances());
        for (row, (a, b)) in (0..ands).map(|row| (row, (maker.triples.a.row(row), maker.triples.b.row(row)))) {
            let own: Vec<u64> = a.iter().zip(b).map(|(a, b)| a & b).collect();
            maker
                .triples
                .c
                .row_mut(row)
                .iter_mut()
                .zip(own)
                .for_each(|(c, own)| *c ^= own);
        }
        let receivers = std::mem::take(&mut maker.receivers);
        for ((receiver, peer), message) in receivers.iter().zip(peers(maker.party, maker.parties)).zip(messages) {
            let mask = BitMatrix::decode(ands, instances, message)?;
            let received = maker.hashes(&receiver.t, 0, [peer, maker.party.0]);
            maker.triples.c.xor_assign(&received)?;
            for row in 0..ands {
                let taken = mask.row(row).iter().zip(maker.triples.b.row(row)).map(|(mask, b)| mask & b);
                maker
                    .triples
                    .c
                    .row_mut(row)
                    .iter_mut()
                    .zip(taken)
                    .for_each(|(c, taken)| *c ^= taken);
            }
        }
        Ok(maker.triples)
    }
}
