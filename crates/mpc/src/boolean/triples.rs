use super::{check_parties, peers};
use crate::{
    Batch, BitMatrix, MpcError,
    circuit::{Group, Party, has},
    correlation::{CotReceiver, CotSender},
    matrix::{expect, lowest_bits},
};
use rand::CryptoRng;
use zeroize::{Zeroize, Zeroizing};

/// XOR shares of bits a, b and c = a b, one per AND (row) and instance (column); ANDs of a group have one b. Each is used once: an evaluation takes the
/// whole by value. Wiped on drop.
pub struct Triples {
    /// Groups of ANDs.
    pub(crate) groups: Vec<Group>,
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
        let (mut maker, messages) = Self::receive((party, parties), batch, vec![Group::single(); ands], receivers, rng)?;
        maker.senders = senders;
        Ok((maker, messages))
    }

    /// As [`Self::start`], for groups of ANDs at a transfer each, and before the transfers to the other parties are there: [`Self::senders`] gives them.
    pub(crate) fn receive(
        (party, parties): (Party, usize),
        batch: Batch,
        groups: Vec<Group>,
        receivers: Vec<CotReceiver>,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<Vec<u8>>), MpcError> {
        check_parties(party, parties)?;
        expect("peers with transfers", parties - 1, receivers.len())?;
        let instances = batch.instances();
        let ands = groups.iter().map(Group::ands).sum();
        let [mut a, mut b] = [ands, groups.len()].map(|rows| BitMatrix::random(rows, instances, rng));
        // Shares of zero need no mask.
        let left = groups.iter().flat_map(|group| &group.left).enumerate();
        left.filter(|(_, left)| !has(**left, party.0))
            .for_each(|(and, _)| a.row_mut(and).fill(0));
        let right = groups.iter().enumerate();
        right
            .filter(|(_, group)| !group.has_right(party.0))
            .for_each(|(group, _)| b.row_mut(group).fill(0));
        let c = BitMatrix::zeros(ands, instances);
        let mut messages = Vec::with_capacity(receivers.len());
        for (receiver, peer) in receivers.iter().zip(peers(party, parties)) {
            let taken = taken(&groups, peer, party.0);
            expect("correlated transfers", taken.len() * instances, receiver.t.len())?;
            messages.push(receiver.differences(0, &b.pick(&taken))?.encode());
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
        let instances = self.batch.instances();
        let mut masks = Vec::with_capacity(messages.len());
        let senders = std::mem::take(&mut self.senders);
        let pairs = senders.into_iter().zip(peers(self.party, self.parties));
        for (index, ((sender, peer), message)) in pairs.zip(messages).enumerate() {
            let taken = taken(&self.triples.groups, self.party.0, peer);
            let differ = BitMatrix::decode(taken.len(), instances, message.as_ref()).map_err(MpcError::of(index))?;
            let sender = sender.corrected(&differ)?;
            let delta = sender.delta.value();
            let [zero, one] = [0, delta].map(|offset| self.hashes(&taken, &sender.q, offset, [self.party.0, peer]));
            let ands = self.triples.ands_of(&taken, self.party.0);
            let mut mask = BitMatrix::zeros(ands.len(), instances);
            for (place, (and, row)) in ands.into_iter().enumerate() {
                self.triples.c.xor_row(and, zero.row(row));
                for words in [zero.row(row), one.row(row), self.triples.a.row(and)] {
                    mask.xor_row(place, words);
                }
            }
            masks.push(mask.encode());
        }
        Ok((Masking(self), masks))
    }

    /// The low bits of the hashes of transfers from one party to another for some groups, a row for each of their ANDs.
    fn hashes(&self, taken: &[usize], words: &[u128], offset: u128, [from, to]: [u8; 2]) -> BitMatrix {
        let instances = self.batch.instances();
        let groups = &self.triples.groups;
        let mut bits = BitMatrix::zeros(taken.iter().map(|group| groups[*group].ands()).sum(), instances);
        let (mut tweaks, mut hashed, mut scratch, mut first) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (words, group) in words.chunks_exact(instances).zip(taken) {
            let usage = (*group as u64) << 16 | u64::from(from) << 8 | u64::from(to);
            tweaks.clear();
            tweaks.extend((0..instances).map(|instance| self.batch.tweak(instance, usage)));
            hashed.clear();
            hashed.extend(words.iter().map(|word| word ^ offset));
            self.batch.hash(&tweaks, &mut hashed, &mut scratch);
            let ands = groups[*group].ands();
            match ands {
                1 => {
                    let packed = bits.row_mut(first).iter_mut().zip(lowest_bits(&hashed));
                    packed.for_each(|(bits, lowest)| *bits = lowest);
                }
                _ => {
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
    /// The group of each AND.
    pub(crate) fn members(&self) -> impl Iterator<Item = usize> + '_ {
        let groups = self.groups.iter().enumerate();
        groups.flat_map(|(place, group)| std::iter::repeat_n(place, group.ands()))
    }

    /// The ANDs of some groups, in ascending order, to whose left operands a party's words matter; with each its row among all ANDs of those groups.
    fn ands_of(&self, taken: &[usize], from: u8) -> Vec<(usize, usize)> {
        let ands = self.groups.iter().enumerate();
        let ands = ands.flat_map(|(group, of)| of.left.iter().map(move |left| (group, *left)));
        let ands = ands.enumerate().filter(|(_, (group, _))| taken.binary_search(group).is_ok());
        let rows = ands.enumerate().filter(|(_, (_, (_, left)))| has(*left, from));
        rows.map(|(row, (and, _))| (and, row)).collect()
    }

    /// The product of a row of bits with b of an AND's group.
    fn product(&self, bits: &[u64], group: usize) -> Vec<u64> {
        bits.iter().zip(self.b.row(group)).map(|(bits, b)| bits & b).collect()
    }
}

/// The groups for which there is a transfer from one party to another.
fn taken(groups: &[Group], from: u8, to: u8) -> Vec<usize> {
    let groups = groups.iter().enumerate();
    groups
        .filter(|(_, group)| group.takes_transfer(from, to))
        .map(|(place, _)| place)
        .collect()
}

impl Masking {
    /// Takes each other party's masked bits, in order.
    pub fn finish<M: AsRef<[u8]>>(self, messages: &[M]) -> Result<Triples, MpcError> {
        let Self(mut maker) = self;
        expect("messages", maker.parties - 1, messages.len())?;
        let instances = maker.batch.instances();
        let mut c = std::mem::replace(&mut maker.triples.c, BitMatrix::zeros(0, 0));
        let members: Vec<usize> = maker.triples.members().collect();
        for (and, group) in members.iter().enumerate() {
            c.xor_row(and, &maker.triples.product(maker.triples.a.row(and), *group));
        }
        let receivers = std::mem::take(&mut maker.receivers);
        let pairs = receivers.iter().zip(peers(maker.party, maker.parties));
        for (index, ((receiver, peer), message)) in pairs.zip(messages).enumerate() {
            let taken = taken(&maker.triples.groups, peer, maker.party.0);
            let ands = maker.triples.ands_of(&taken, peer);
            let mask = BitMatrix::decode(ands.len(), instances, message.as_ref()).map_err(MpcError::of(index))?;
            let hashes = maker.hashes(&taken, &receiver.t, 0, [peer, maker.party.0]);
            for (place, (and, row)) in ands.into_iter().enumerate() {
                c.xor_row(and, hashes.row(row));
                c.xor_row(and, &maker.triples.product(mask.row(place), members[and]));
            }
        }
        maker.triples.c = c;
        Ok(maker.triples)
    }
}
