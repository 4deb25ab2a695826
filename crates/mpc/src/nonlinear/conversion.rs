//! Additive shares of bits that parties share by XOR.
//!
//! Parties 0..p share bits b = b_0 ^ ... ^ b_(p-1). Step s takes b_s in: of additive shares A_i of b_0 ^ ... ^ b_(s-1), A (1 - 2 b_s) + b_s has the shares
//! A_i - 2 A_i b_s and b_s. A_i b_s is one transfer from i to s with choice b_s (Gilboa, Crypto 1999), so p (p - 1) / 2 transfers make a bit, in p - 1 rounds.
//! Bit i counts 2^i modulo 2^k, so its shares are modulo 2^(k-i), and a transfer's correction is a bit shorter.

use crate::{Batch, BitMatrix, MpcError, correlation::Delta, nonlinear::exchange::take};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Apart from the tweaks of triples and of garbling.
const USAGE: u64 = 1 << 61;

/// Additive shares of a layer's output bits at one party, for each bit a word per instance. Wiped on drop.
pub(super) struct Conversion {
    party: usize,
    parties: usize,
    /// k.
    ring: usize,
    batch: Batch,
    delta: Delta,
    /// Words q of the transfers to each later party, and t of those from each earlier one; a row per bit.
    sent: Vec<Vec<u128>>,
    received: Vec<Vec<u128>>,
    own: BitMatrix,
    shares: Vec<u64>,
    /// The party whose bits are taken in next, and whether this is it and waits for the corrections.
    step: usize,
    waiting: bool,
}

/// What a conversion ends with. Wiped on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Converted {
    /// The party's XOR shares.
    pub own: BitMatrix,
    /// Its additive shares of bit i modulo 2^(k-i), row after row.
    pub shares: Vec<u64>,
}

/// Room for the hashes of a row. Wiped on drop.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
struct Row {
    tweaks: Vec<u128>,
    zero: Vec<u128>,
    one: Vec<u128>,
    scratch: Vec<u128>,
}

impl Conversion {
    /// Begins with a party's XOR shares and its transfers to the parties behind it, and from those before it.
    pub fn start(
        (party, parties): (usize, usize),
        ring: usize,
        batch: Batch,
        own: BitMatrix,
        delta: Delta,
        [sent, received]: [Vec<Vec<u128>>; 2],
    ) -> Self {
        let mut shares = vec![0; own.rows() * own.columns()];
        if party == 0 {
            for (bit, shares) in shares.chunks_exact_mut(own.columns().max(1)).enumerate() {
                shares.copy_from_slice(&own.slice(bit, 1).to_values());
            }
        }
        Self {
            party,
            parties,
            ring,
            batch,
            delta,
            sent,
            received,
            own,
            shares,
            step: 1,
            waiting: false,
        }
    }

    /// Whether a step is left.
    pub fn goes_on(&self) -> bool {
        self.step < self.parties
    }

    /// The next step, if any is left: appends to the messages to the other parties, and adds what is to come from each.
    pub fn round(&mut self, outgoing: &mut [Vec<u8>], expected: &mut [usize]) {
        if !self.goes_on() {
            return;
        }
        match self.party.cmp(&self.step) {
            std::cmp::Ordering::Less => {
                let corrections = self.corrections();
                outgoing[self.step - 1].extend(corrections);
            }
            std::cmp::Ordering::Equal => {
                let bytes = self.message_bytes();
                expected[..self.party].iter_mut().for_each(|expected| *expected += bytes);
                self.waiting = true;
            }
            std::cmp::Ordering::Greater => {}
        }
        self.step += 1;
    }

    /// Takes what [`Self::round`] waits for off the front of the messages.
    pub fn receive(&mut self, messages: &mut [&[u8]]) -> Result<(), MpcError> {
        if !std::mem::take(&mut self.waiting) {
            return Ok(());
        }
        let (mut row, instances) = (Row::default(), self.own.columns());
        for bit in 0..self.own.rows() {
            let width = self.correction_bits(bit);
            let mut chosen = self.own.slice(bit, 1).to_values();
            let shares = &mut self.shares[bit * instances..][..instances];
            shares.copy_from_slice(&chosen);
            for (from, (message, words)) in messages.iter_mut().zip(&self.received).enumerate() {
                let bytes = take(message, BitMatrix::encoded_len(width, instances))?;
                let corrections = BitMatrix::decode(width, instances, bytes).map_err(MpcError::of(from))?;
                let corrections = corrections.to_values();
                let words = &words[bit * instances..][..instances];
                let hashes = row.one(&self.batch, usage(bit, from, self.party), words);
                for (((share, chosen), hash), correction) in shares.iter_mut().zip(&chosen).zip(hashes).zip(&corrections) {
                    let product = (*hash as u64).wrapping_add(correction & chosen.wrapping_neg());
                    *share = share.wrapping_sub(product << 1) & mask(width + 1);
                }
            }
            chosen.zeroize();
        }
        Ok(())
    }

    /// The shares, when no step is left.
    pub fn finish(mut self) -> Converted {
        Converted {
            own: std::mem::replace(&mut self.own, BitMatrix::zeros(0, 0)),
            shares: std::mem::take(&mut self.shares),
        }
    }

    /// At a party before the step's.
    fn corrections(&mut self) -> Vec<u8> {
        let (mut row, instances) = (Row::default(), self.own.columns());
        let (mut message, words) = (Vec::new(), &self.sent[self.step - self.party - 1]);
        for bit in 0..self.own.rows() {
            let width = self.ring - bit - 1;
            let words = &words[bit * instances..][..instances];
            let (zero, one) = row.both(&self.batch, usage(bit, self.party, self.step), words, &self.delta);
            let shares = &mut self.shares[bit * instances..][..instances];
            let mut corrections = Vec::with_capacity(instances);
            for ((share, zero), one) in shares.iter_mut().zip(zero).zip(one) {
                let (zero, one) = (*zero as u64, *one as u64);
                corrections.push(share.wrapping_add(zero).wrapping_sub(one));
                *share = share.wrapping_add(zero << 1) & mask(width + 1);
            }
            message.extend(BitMatrix::from_values(width, &corrections).encode());
            corrections.zeroize();
        }
        message
    }

    fn message_bytes(&self) -> usize {
        let bytes = |bit| BitMatrix::encoded_len(self.correction_bits(bit), self.own.columns());
        (0..self.own.rows()).map(bytes).sum()
    }

    fn correction_bits(&self, bit: usize) -> usize {
        self.ring - bit - 1
    }
}

impl Drop for Conversion {
    fn drop(&mut self) {
        self.sent.zeroize();
        self.received.zeroize();
        self.shares.zeroize();
    }
}

impl Row {
    fn both(&mut self, batch: &Batch, usage: u64, words: &[u128], delta: &Delta) -> (&[u128], &[u128]) {
        self.one(batch, usage, words);
        self.one.clear();
        self.one.extend(words.iter().map(|word| word ^ delta.value()));
        batch.hash(&self.tweaks, &mut self.one, &mut self.scratch);
        (&self.zero, &self.one)
    }

    fn one(&mut self, batch: &Batch, usage: u64, words: &[u128]) -> &[u128] {
        self.tweaks.clear();
        self.tweaks
            .extend((0..words.len()).map(|instance| batch.tweak(instance, usage)));
        self.zero.clear();
        self.zero.extend_from_slice(words);
        batch.hash(&self.tweaks, &mut self.zero, &mut self.scratch);
        &self.zero
    }
}

/// The low `bits` bits, at most 63.
pub(super) fn mask(bits: usize) -> u64 {
    (1 << bits) - 1
}

fn usage(bit: usize, from: usize, to: usize) -> u64 {
    USAGE | (bit as u64) << 16 | (from as u64) << 8 | to as u64
}
