//! What the key holder derives from its one secret, whichever layers it is for.

use std::fmt;

use cloven_lattice::{Parameters, RandomnessKey, SecretKey};
use cloven_nn::Network;
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
use zeroize::Zeroizing;

use crate::{CheckpointError, ProtocolError};

/// Which key ciphertexts are under; tells nothing else about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; Fingerprint::LEN]);

impl Fingerprint {
    /// Bytes.
    pub const LEN: usize = 16;

    /// Of a checkpoint.
    pub(super) fn kept(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let array = bytes.try_into().map_err(|_| CheckpointError {
            why: format!("expected {} bytes of a key's fingerprint, got {}", Self::LEN, bytes.len()),
        })?;
        Ok(Self(array))
    }

    fn of(digest: &[u8; 32]) -> Self {
        let mut short = [0; Self::LEN];
        short.copy_from_slice(&digest[..Self::LEN]);
        Self(short)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Neither `Debug` nor `Clone`; wiped on drop.
pub(super) struct Secrets {
    pub(super) secret: SecretKey,
    pub(super) randomness: RandomnessKey,
    pub(super) fingerprint: Fingerprint,
    weights: Zeroizing<[u8; 32]>,
    rows: Zeroizing<[u8; 32]>,
}

impl Secrets {
    /// Derived from 32 secret bytes; the same bytes give the same secrets.
    pub(super) fn new(parameters: &Parameters, secret: &[u8; 32]) -> Self {
        let derive = |purpose| Zeroizing::new(blake3::derive_key(purpose, secret));
        let mut rng = ChaCha20Rng::from_seed(*derive("cloven v1 encrypted model: secret key"));
        Self {
            secret: SecretKey::generate(parameters, &mut rng),
            randomness: RandomnessKey::new(*derive("cloven v1 encrypted model: randomness")),
            fingerprint: Fingerprint::of(&derive("cloven v1 encrypted model: fingerprint")),
            weights: derive("cloven v1 encrypted model: initial weights"),
            rows: derive("cloven v1 encrypted model: fingerprint of samples"),
        }
    }

    /// Gives the layer at `place` of a network ("0", "3.body.0") initial weights that only the key holder knows: uniform in +-1/sqrt(`fan_in`), as PyTorch's.
    pub(super) fn draw_weights(&self, network: &mut Network, place: &str, fan_in: usize) -> Result<(), ProtocolError> {
        let seed = Zeroizing::new(*blake3::keyed_hash(&self.weights, place.as_bytes()).as_bytes());
        let mut rng = ChaCha20Rng::from_seed(*seed);
        let bound = 1.0 / (fan_in as f32).sqrt();
        let mut parameters = network.parameters();
        let of_layer = |name: &str| name.rsplit_once('.').is_some_and(|(layer, _)| layer == place);
        for (_, value) in parameters.iter_mut().filter(|(name, _)| of_layer(name)) {
            for value in value.iter_mut() {
                let unit = (rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32;
                *value = (unit * 2.0 - 1.0) * bound;
            }
        }
        Ok(network.set_parameters(&parameters)?)
    }

    /// Tells these rows from others to whoever is shown it twice, and nothing else about them: a pseudorandom function.
    pub(super) fn fingerprint_of<'a>(&self, numbers: impl Iterator<Item = &'a f32>) -> Fingerprint {
        let mut hasher = blake3::Hasher::new_keyed(&self.rows);
        for number in numbers {
            hasher.update(&number.to_le_bytes());
        }
        Fingerprint::of(hasher.finalize().as_bytes())
    }
}
