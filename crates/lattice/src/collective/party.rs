//! A party's secrets.

use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use super::Collective;
use crate::{LatticeError, RandomnessKey, SecretKey, randomness::SEED, stream::Domain, stream::Stream};

const SECRET: &str = "cloven v1 lattice collective: secret";
const RANDOMNESS: &str = "cloven v1 lattice collective: randomness";
const CONTRIBUTION: &str = "cloven v1 lattice purpose: contribution to a common reference";

/// One party's additive share of the collective secret, and the key of all its randomness. Wiped on drop; neither `Debug` nor `Clone`.
pub struct PartySecret {
    pub(super) secret: SecretKey,
    key: RandomnessKey,
}

impl PartySecret {
    /// From 32 secret uniform bytes; the same bytes give the same secrets, after a restart too.
    pub fn new(collective: &Collective, seed: &[u8; 32]) -> Self {
        let derived = Zeroizing::new(blake3::derive_key(SECRET, seed));
        let mut rng = ChaCha20Rng::from_seed(*derived);
        Self {
            secret: SecretKey::generate(&collective.parameters, &mut rng),
            key: RandomnessKey::new(blake3::derive_key(RANDOMNESS, seed)),
        }
    }

    /// This party's part of [`super::CommonReference::joint`]: a function of its key, the context and the data that it is going to encrypt, of which it
    /// tells nothing.
    pub fn contribution(&self, context: &[u8], data: &[u64]) -> [u8; SEED] {
        let mut bytes = [0; SEED];
        let mut stream = self.stream(CONTRIBUTION, Domain::Hiding, context, data.to_vec());
        rand::Rng::fill_bytes(&mut stream, &mut bytes);
        bytes
    }

    /// PRF(key, purpose, context, words).
    pub(super) fn stream(&self, purpose: &'static str, domain: Domain, context: &[u8], words: Vec<u64>) -> Stream {
        self.key.for_purpose(purpose).stream_of_words(domain, context, words)
    }

    /// Refuses the secret of another collective.
    pub(super) fn check(&self, collective: &Collective) -> Result<(), LatticeError> {
        match self.secret.parameters() == &collective.parameters {
            true => Ok(()),
            false => Err(LatticeError::OtherProduct { what: "secret" }),
        }
    }
}
