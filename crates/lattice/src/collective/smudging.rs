//! The wide noise of decryption shares: three uniform words of t bits to a coefficient, in units of 2^-128 (`noise`).

use super::{Collective, PartySecret};
use crate::{
    randomness::words_of,
    spline,
    stream::{Domain, Stream},
};

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
        spline::add(fractions, self.noise.smudge_bits, randomness);
    }
}
