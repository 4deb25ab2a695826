//! The wide noise of decryption shares: three uniform words of t bits to a coefficient, in units of 2^-128 (`noise`).

use rand::Rng;
use zeroize::{Zeroize, Zeroizing};

use super::{Collective, PartySecret, party::words_of};
use crate::{spline, stream::Domain, stream::Stream};

const DIGEST: &str = "cloven v1 lattice collective: ciphertext";

impl Collective {
    /// The randomness of a share of a ciphertext, whose c1 is sent as `whole`, at the positions `wanted`: PRF(key, purpose, context, hash of c1, positions). A
    /// share is a function of these and of the secret, so that making it again gives away nothing more.
    pub(super) fn share_stream(
        &self,
        secret: &PartySecret,
        purpose: &'static str,
        context: &[u8],
        whole: &[u8],
        wanted: &[usize],
    ) -> Stream {
        let digest = blake3::Hasher::new_derive_key(DIGEST).update(whole).finalize();
        let mut words = words_of(&[digest.as_bytes()]);
        words.extend(wanted.iter().map(|&at| at as u64));
        secret.stream(purpose, Domain::Hiding, context, words)
    }

    /// Adds a smudge to every fraction.
    pub(super) fn smudge(&self, fractions: &mut [u128], randomness: &mut Stream) {
        let bits = self.noise.smudge_bits;
        let mut bytes = vec![0; 48 * fractions.len()];
        randomness.fill_bytes(&mut bytes);
        for (fraction, bytes) in fractions.iter_mut().zip(bytes.as_chunks::<48>().0) {
            let word = |index: usize| u128::from_le_bytes(std::array::from_fn(|i| bytes[16 * index + i]));
            let smudge = spline::sum([0, 1, 2].map(|index| word(index) >> (128 - bits)), bits);
            *fraction = fraction.wrapping_add(smudge);
        }
        bytes.zeroize();
    }

    /// Uniform words below 2^k.
    pub(super) fn masks(&self, count: usize, randomness: &mut Stream) -> Zeroizing<Vec<u64>> {
        let shift = u64::BITS - self.settings.ring_bits;
        let mut bytes = Zeroizing::new(vec![0; 8 * count]);
        randomness.fill_bytes(&mut bytes);
        let words = bytes.as_chunks::<8>().0.iter();
        Zeroizing::new(words.map(|word| u64::from_le_bytes(*word) >> shift).collect())
    }
}
