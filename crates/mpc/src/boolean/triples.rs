use super::{check_parties, peers};
use crate::{
    Batch, BitMatrix, MpcError,
    circuit::Party,
    correlation::{CotReceiver, CotSender},
    matrix::{expect, lowest_bits},
};
use rand::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

/// XOR shares of bits a, b and c = a b, one per AND (row) and instance (column); ANDs of a group have one b. Each is used once: an evaluation takes the
/// whole by value. Wiped on drop.
pub struct Triples {
    /// ANDs of each group.
    pub(crate) groups: Vec<usize>,
    pub(crate) a: BitMatrix,
    pub(crate) b: BitMatrix,
    pub(crate) c: BitMatrix,
}

/// A party that has told its choices. Wiped on drop.
///
/// The product of the sums of the a_i and the b_i is the sum of all a_i b_j; each cross term is a transfer of one bit from i to j with choice b_j
/// (Gilboa, Crypto 1999, for bits; Asharov et al., CCS 2013, section 5). Where several ANDs have b in common, one transfer carries the bits a of all.
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
        expect("peers with transfers", parties.saturating_sub(1), transfers.len())?;
        let (senders, receivers) = transfers.into_iter().unzip();
        let (mut maker, messages) = Self::receive((party, parties), batch, vec![1; ands], receivers, rng)?;
        maker.senders = senders;
        Ok((maker, messages))
    }

    /// As [`Self::start`], for groups of ANDs at a transfer each, and before the transfers to the other parties are there: [`Self::senders`] gives them.
    pub(crate) fn receive(
        (party, parties): (Party, usize),
        batch: Batch,
        groups: Vec<usize>,
        receivers: Vec<CotReceiver>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<Vec<u8>>), MpcError> {
        check_parties(party, parties)?;
        expect("peers with transfers", parties - 1, receivers.len())?;
        let instances = batch.instances();
        let ands = groups.iter().sum();
        let [a, b] = [ands, groups.len()].map(|rows| BitMatrix::random(rows, instances, rng));
        let c = BitMatrix::zeros(ands, instances);
        let mut messages = Vec::with_capacity(receivers.len());
        for receiver in &receivers {
            expect("correlated transfers", groups.len() * instances, receiver.t.len())?;
            messages.push(receiver.differences(0, &b)?.encode());
        }
        let maker = Self {
            party,
            parties,
            batch,
            senders: Vec::new(),
            receivers,
            triples: Triples { groups, a, b, c },
        };
        Ok((maker, messages))
    }

    /// Takes the transfers to the other parties.
    pub(crate) fn senders(&mut self, senders: Vec<CotSender>) {
        self.senders = senders;
    }

    /// Takes each other party's choices, in order; gives a message to each.
    pub fn mask<M: AsRef<[u8]>>(mut self, messages: &[M]) -> Result<(Masking, Vec<Vec<u8>>), MpcError> {
        expect("messages", self.parties - 1, messages.len())?;
        expect("peers with transfers", self.parties - 1, self.senders.len())?;
        let (rows, instances) = (self.triples.b.rows(), self.batch.instances());
        let mut masks = Vec::with_capacity(messages.len());
        let senders = std::mem::take(&mut self.senders);
        let pairs = senders.into_iter().zip(peers(self.party, self.parties));
        for ((sender, peer), message) in pairs.zip(messages) {
            let differ = BitMatrix::decode(rows, instances, message.as_ref())?;
            let sender = sender.corrected(&differ)?;
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

    /// The low bits of the hashes of transfers from one party to another, a row for each AND of a group.
    fn hashes(&self, words: &[u128], offset: u128, [from, to]: [u8; 2]) -> BitMatrix {
        let instances = self.batch.instances();
        let mut bits = BitMatrix::zeros(self.triples.a.rows(), instances);
        let (mut tweaks, mut hashed, mut scratch, mut first) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (row, (words, ands)) in words.chunks_exact(instances).zip(&self.triples.groups).enumerate() {
            let usage = (row as u64) << 16 | u64::from(from) << 8 | u64::from(to);
            tweaks.clear();
            tweaks.extend((0..instances).map(|instance| self.batch.tweak(instance, usage)));
            hashed.clear();
            hashed.extend(words.iter().map(|word| word ^ offset));
            self.batch.hash(&tweaks, &mut hashed, &mut scratch);
            match *ands {
                1 => {
                    let packed = bits.row_mut(first).iter_mut().zip(lowest_bits(&hashed));
                    packed.for_each(|(bits, lowest)| *bits = lowest);
                }
                ands => {
                    let values = Zeroizing::new(hashed.iter().map(|word| *word as u64).collect::<Vec<_>>());
                    let rows = BitMatrix::from_values(ands, &values);
                    (0..ands).for_each(|and| bits.row_mut(first + and).copy_from_slice(rows.row(and)));
                }
            }
            first += ands;
        }
        hashed.zeroize();
        bits
    }
}

impl Triples {
    /// `to ^= of & b`, row by row, b being that of each AND's group.
    fn add_products(&self, of: &BitMatrix, to: &mut BitMatrix) {
        let groups = self.groups.iter().enumerate();
        for (and, group) in groups.flat_map(|(group, ands)| std::iter::repeat_n(group, *ands)).enumerate() {
            let products = of.row(and).iter().zip(self.b.row(group)).map(|(of, b)| of & b);
            to.row_mut(and)
                .iter_mut()
                .zip(products)
                .for_each(|(to, product)| *to ^= product);
        }
    }
}

impl Masking {
    /// Takes each other party's masked bits, in order.
    pub fn finish<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<Triples, MpcError> {
        let Self(mut maker) = self;
        expect("messages", maker.parties - 1, messages.len())?;
        let (ands, instances) = (maker.triples.a.rows(), maker.batch.instances());
        let mut c = std::mem::replace(&mut maker.triples.c, BitMatrix::zeros(0, 0));
        maker.triples.add_products(&maker.triples.a, &mut c);
        let receivers = std::mem::take(&mut maker.receivers);
        for ((receiver, peer), message) in receivers.iter().zip(peers(maker.party, maker.parties)).zip(messages) {
            let mask = BitMatrix::decode(ands, instances, message.as_ref())?;
            c.xor_assign(&maker.hashes(&receiver.t, 0, [peer, maker.party.0]))?;
            maker.triples.add_products(&mask, &mut c);
        }
        maker.triples.c = c;
        Ok(maker.triples)
    }
}
