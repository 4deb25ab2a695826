//! What all parties agree on: how many they are, the ring, and how much is to be hidden.

use super::noise::Noise;
use crate::{LatticeError, Parameters, PublicKey, encoding::Encoding, linear::LinearShape};

/// log2(N): at half this degree the security table has no room for the smudging.
pub(super) const LOG2_DEGREE: u32 = 13;
/// Purpose of the digest.
const DIGEST: &str = "cloven v1 lattice collective: parameters";
const RING_BITS: std::ops::RangeInclusive<u32> = 16..=48;
const PARTIES: std::ops::RangeInclusive<usize> = 2..=64;
/// Most coefficients revealed, and lambda: beyond, little of the modulus would be left; with less, results could be wrong.
const LOG2_REVEALED: u32 = 40;
const STATISTICAL_BITS: std::ops::RangeInclusive<u32> = 20..=64;

/// What a [`Collective`] is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CollectiveSettings {
    /// n, 2 to 64.
    pub parties: usize,
    /// k, 16 to 48: messages are integers modulo 2^k.
    pub ring_bits: u32,
    /// lambda: everything that decryptions reveal stays within statistical distance 2^-lambda of what the results alone give. 20 to 64.
    pub statistical_bits: u32,
    /// Coefficients decrypted under one collective key, in all its life. At most 2^40.
    pub revealed: u64,
    /// Most inputs of a layer's batch that share a response. At most 1,024.
    pub inputs: usize,
}

impl CollectiveSettings {
    /// With distance 2^-40 over 2^30 revealed coefficients, one input to a response.
    pub fn new(parties: usize, ring_bits: u32) -> Self {
        Self {
            parties,
            ring_bits,
            statistical_bits: 40,
            revealed: 1 << 30,
            inputs: 1,
        }
    }

    fn check(&self) -> Result<(), LatticeError> {
        let log2_revealed = u64::BITS - self.revealed.max(1).leading_zeros() - 1;
        let limits = [
            ("parties", *PARTIES.start() as u64, *PARTIES.end() as u64, self.parties as u64),
            (
                "ring bits",
                u64::from(*RING_BITS.start()),
                u64::from(*RING_BITS.end()),
                self.ring_bits.into(),
            ),
            (
                "statistical bits",
                u64::from(*STATISTICAL_BITS.start()),
                u64::from(*STATISTICAL_BITS.end()),
                self.statistical_bits.into(),
            ),
            (
                "log2 of the revealed coefficients",
                0,
                LOG2_REVEALED.into(),
                log2_revealed.into(),
            ),
        ];
        match limits
            .into_iter()
            .find(|(_, least, most, actual)| !(least..=most).contains(&actual))
        {
            None => Ok(()),
            Some((what, least, most, actual)) => Err(LatticeError::Setting {
                what,
                least,
                most,
                actual,
            }),
        }
    }
}

/// The agreed parameters: ring degree and primes inside the security table, with room for the noise of all layers and for smudging.
#[derive(Debug, Clone)]
pub struct Collective {
    pub(super) settings: CollectiveSettings,
    pub(super) parameters: Parameters,
    pub(super) noise: Noise,
    pub(super) encoding: Encoding,
}

impl Collective {
    /// Chooses the smallest modulus in which the noise of every one of `layers` (none: of encryptions alone) can be smudged as `settings` demand, with a decryption
    /// failing with probability below 2^-64. Settings without room for that are refused, with what they have and what they need.
    pub fn new(settings: CollectiveSettings, layers: &[LinearShape]) -> Result<Self, LatticeError> {
        settings.check()?;
        let degree = 1 << LOG2_DEGREE;
        if let Some(layer) = layers.iter().find(|layer| !layer.is_reasonable()) {
            return Err(LatticeError::NoLayout {
                inputs: layer.inputs(),
                outputs: layer.outputs(),
                degree,
            });
        }
        let noise = Noise::new(&settings, layers)?;
        let parameters = Parameters::of_modulus(LOG2_DEGREE, noise.log2_modulus())?;
        Ok(Self {
            settings,
            noise,
            encoding: Encoding::new(parameters.basis(), settings.ring_bits),
            parameters,
        })
    }

    /// What it was made for.
    pub fn settings(&self) -> &CollectiveSettings {
        &self.settings
    }

    /// Tells it from every other, so that parties can see whether they agree.
    pub fn digest(&self) -> [u8; 32] {
        let (settings, noise) = (&self.settings, &self.noise);
        let numbers = [
            settings.parties as u64,
            settings.ring_bits.into(),
            settings.statistical_bits.into(),
            settings.revealed,
            settings.inputs as u64,
            noise.bound.to_bits(),
            noise.smudge_bits.into(),
            noise.whole_bits.into(),
            noise.wanted_bits.into(),
            noise.switched_bits.into(),
        ];
        let primes = self.parameters.basis().moduli().iter().map(|modulus| modulus.value());
        let mut hasher = blake3::Hasher::new_derive_key(DIGEST);
        numbers.into_iter().chain(primes).for_each(|number| {
            hasher.update(&number.to_le_bytes());
        });
        *hasher.finalize().as_bytes()
    }

    /// Ring degree and primes.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Largest noise of a ciphertext, in units of 1/q, that smudging was sized for. What is decrypted must not have more.
    pub fn noise_bound(&self) -> f64 {
        self.noise.bound
    }

    /// Bits to which a coefficient of a compressed c1 is sent.
    pub fn whole_bits(&self) -> u32 {
        self.noise.whole_bits
    }

    /// Bits to which a coefficient of a compressed c0, or of a decryption share, is sent.
    pub fn wanted_bits(&self) -> u32 {
        self.noise.wanted_bits
    }

    /// Refuses a public key of other parameters.
    pub(super) fn check_key(&self, key: &PublicKey) -> Result<(), LatticeError> {
        match key.parameters() == &self.parameters {
            true => Ok(()),
            false => Err(LatticeError::OtherProduct { what: "public key" }),
        }
    }
}

/// The ring degree.
pub(super) fn degree() -> f64 {
    f64::from(1u32 << LOG2_DEGREE)
}
