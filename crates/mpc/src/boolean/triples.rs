use super::{check_parties, peers};
use crate::{
    Batch, BitMatrix, MpcError,
    circuit::Party,
    correlation::{CotReceiver, CotSender},
    matrix::{expect, lowest_bits},
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
        expect("peers with transfers", parties.saturating_sub(1), transfers.len())?;
        let (senders, receivers) = transfers.into_iter().unzip();
        let (mut maker, messages) = Self::receive((party, parties), batch, ands, receivers, rng)?;
        maker.senders = senders;
        Ok((maker, messages))
    }

    /// As [`Self::start`], before the transfers to the other parties are there: [`Self::senders`] gives them.
    pub(crate) fn receive(
        (party, parties): (Party, usize),
        batch: Batch,
        ands: usize,
        receivers: Vec<CotReceiver>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<Vec<u8>>), MpcError> {
        check_parties(party, parties)?;
        expect("peers with transfers", parties - 1, receivers.len())?;
        let instances = batch.instances();
        let [a, b] = [(); 2].map(|()| BitMatrix::random(ands, instances, rng));
        let c = BitMatrix::zeros(ands, instances);
        let mut messages = Vec::with_capacity(receivers.len());
        for receiver in &receivers {
            expect("correlated transfers", ands * instances, receiver.t.len())?;
            messages.push(receiver.differences(0, &b)?.encode());
        }
        let maker = Self {
            party,
            parties,
            batch,
            senders: Vec::new(),
            receivers,
            triples: Triples { a, b, c },
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
        let (ands, instances) = (self.triples.a.rows(), self.batch.instances());
        let mut masks = Vec::with_capacity(messages.len());
        let senders = std::mem::take(&mut self.senders);
        let pairs = senders.into_iter().zip(peers(self.party, self.parties));
        for ((sender, peer), message) in pairs.zip(messages) {
            let differ = BitMatrix::decode(ands, instances, message.as_ref())?;
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
            let packed = bits.row_mut(row).iter_mut().zip(lowest_bits(&hashed));
            packed.for_each(|(bits, lowest)| *bits = lowest);
        }
        hashed.zeroize();
        bits
    }
}

impl Masking {
    /// Takes each other party's masked bits, in order.
    pub fn finish<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<Triples, MpcError> {
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
            let mask = BitMatrix::decode(ands, instances, message.as_ref())?;
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
