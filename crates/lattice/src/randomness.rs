//! Where encryption randomness comes from: a pseudorandom function of the data.

use cloven_ring::{Coefficients, Poly};
use zeroize::{Zeroize, Zeroizing};

use crate::stream::{Domain, Stream};

/// Length of the seed of a public polynomial in bytes.
pub(crate) const SEED: usize = 32;

/// The key of the pseudorandom function that encryption randomness comes from. Wiped on drop.
///
/// Randomness is PRF(key, context, plaintext): the same step on the same data gives the same bytes, on other data independent ones, so a
/// retried step can never encrypt two messages under one mask.
pub struct RandomnessKey([u8; 32]);

impl RandomnessKey {
    /// Wraps 32 secret uniform bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// An independent key for another purpose than symmetric encryption: contexts of different purposes cannot collide.
    pub(crate) fn for_purpose(&self, purpose: &'static str) -> Self {
        Self(blake3::derive_key(purpose, &self.0))
    }

    /// The seed of the public mask and the stream of the secret error for one ciphertext.
    pub(crate) fn derive(&self, context: &[u8], plaintext: &Poly<Coefficients>) -> ([u8; SEED], Stream) {
        seed_and_errors(self.output(context, &[plaintext]))
    }

    /// The same for a plaintext that is a function of `words`.
    pub(crate) fn derive_from_words(&self, context: &[u8], words: Vec<u64>) -> ([u8; SEED], Stream) {
        seed_and_errors(self.output_of_words(context, words))
    }

    /// For one operand of `words` in `count` ciphertexts that share masks: the seed of its public masks, and that of each ciphertext's secret error.
    pub(crate) fn derive_shared(
        &self,
        context: &[u8],
        words: Vec<u64>,
        count: usize,
    ) -> ([u8; SEED], Zeroizing<Vec<[u8; SEED]>>) {
        let mut output = self.output_of_words(context, words);
        let mut mask = [0; SEED];
        output.fill(&mut mask);
        let mut errors = Zeroizing::new(vec![[0; SEED]; count]);
        errors.iter_mut().for_each(|seed| output.fill(seed));
        (mask, errors)
    }

    /// One secret stream that depends on `context` and all of `data`.
    pub(crate) fn stream<D: cloven_ring::Domain>(&self, domain: Domain, context: &[u8], data: &[&Poly<D>]) -> Stream {
        secret_stream(&mut self.output(context, data), domain)
    }

    /// One secret stream that depends on `context` and `words`.
    pub(crate) fn stream_of_words(&self, domain: Domain, context: &[u8], words: Vec<u64>) -> Stream {
        secret_stream(&mut self.output_of_words(context, words), domain)
    }

    fn output<D: cloven_ring::Domain>(&self, context: &[u8], data: &[&Poly<D>]) -> blake3::OutputReader {
        let mut words: Vec<u64> = Vec::with_capacity(data.iter().map(|poly| poly.basis().words()).sum());
        for poly in data {
            for prime in 0..poly.basis().moduli().len() {
                words.extend(poly.residues(prime));
            }
        }
        self.output_of_words(context, words)
    }

    fn output_of_words(&self, context: &[u8], mut words: Vec<u64>) -> blake3::OutputReader {
        words.iter_mut().for_each(|word| *word = word.to_le());
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        // In one piece and first: the hash is fastest on many whole chunks at once. Read from its end, the input tells its parts.
        hasher.update(bytemuck::cast_slice(&words));
        hasher.update(context).update(&(context.len() as u64).to_le_bytes());
        words.zeroize();
        hasher.finalize_xof()
    }
}

impl Drop for RandomnessKey {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// The words of digests or seeds, for the PRF.
pub(crate) fn words_of(digests: &[&[u8; SEED]]) -> Vec<u64> {
    let words = digests.iter().flat_map(|digest| digest.as_chunks::<8>().0);
    words.map(|word| u64::from_le_bytes(*word)).collect()
}

fn seed_and_errors(mut output: blake3::OutputReader) -> ([u8; SEED], Stream) {
    let mut mask = [0; SEED];
    output.fill(&mut mask);
    (mask, secret_stream(&mut output, Domain::Error))
}

fn secret_stream(output: &mut blake3::OutputReader, domain: Domain) -> Stream {
    let mut seed = [0; SEED];
    output.fill(&mut seed);
    let stream = Stream::new(domain, &seed);
    seed.zeroize();
    stream
}
