//! The randomness of a model. Every layer draws from its own ChaCha20 stream, so it gets the same weights and the same
//! dropout masks whichever party holds it and whatever else that party computes.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use zeroize::Zeroizing;

#[cfg(test)]
#[path = "streams_tests.rs"]
mod tests;

/// A stream of numbers, a function of its four key words only.
pub struct Stream(ChaCha20Rng);

#[derive(Clone, Copy)]
enum Purpose {
    Weights = 0,
    Dropout = 1,
    Noise = 2,
}

/// What the noise of an optimiser is drawn from: for each parameter and update a stream of its own, whichever party holds the layer.
pub struct NoiseKey(Zeroizing<[u8; 32]>);

impl NoiseKey {
    /// The key that every party works out from the model's public seed.
    pub fn public(seed: u64) -> Self {
        Self(Zeroizing::new(key([seed, 0, 0, Purpose::Noise as u64])))
    }

    /// A key of one's own.
    pub fn secret(key: [u8; 32]) -> Self {
        Self(Zeroizing::new(key))
    }

    /// The noise of one parameter at one update.
    ///
    /// A tree of keys: the name's length, then each 8 bytes of it, choose which of 2^64 keys follows, so that no name's way is the
    /// beginning of another's; the update chooses the stream at the leaf.
    pub fn stream(&self, parameter: &str, update: u64) -> Stream {
        let word = |bytes: &[u8]| bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        let words = std::iter::once(parameter.len() as u64).chain(parameter.as_bytes().chunks(8).map(word));
        let mut key = self.0.clone();
        for word in words {
            let mut rng = ChaCha20Rng::from_seed(*key);
            rng.set_stream(word);
            rng.fill_bytes(&mut key[..]);
        }
        let mut rng = ChaCha20Rng::from_seed(*key);
        rng.set_stream(update);
        Stream(rng)
    }
}

impl Stream {
    /// The initial weights of one layer.
    pub fn weights(seed: u64, layer: u64) -> Self {
        Self::keyed(seed, layer, 0, Purpose::Weights)
    }

    /// The dropout mask of one layer at one training step.
    pub fn dropout(seed: u64, layer: u64, step: u64) -> Self {
        Self::keyed(seed, layer, step, Purpose::Dropout)
    }

    /// `count` numbers, uniform in [-bound, bound).
    pub fn uniform(&mut self, count: usize, bound: f32) -> Vec<f32> {
        const UNIT: f32 = 1.0 / (1 << 24) as f32;
        (0..count)
            .map(|_| ((self.0.next_u32() >> 8) as f32 * UNIT * 2.0 - 1.0) * bound)
            .collect()
    }

    /// `count` numbers, 0 with probability `rate`, else `kept`.
    pub fn mask(&mut self, count: usize, rate: f64, kept: f32) -> Vec<f32> {
        let threshold = (rate * 2f64.powi(32)) as u64;
        (0..count)
            .map(|_| if u64::from(self.0.next_u32()) < threshold { 0.0 } else { kept })
            .collect()
    }

    /// Two independent numbers of mean 0 and variance 1, by the method of Box and Muller.
    pub fn normal_pair(&mut self) -> [f64; 2] {
        const UNIT: f64 = 1.0 / (1u64 << 53) as f64;
        // The first is above 0, where the logarithm is finite.
        let uniform = [1, 0].map(|least| ((self.0.next_u64() >> 11) + least) as f64 * UNIT);
        let radius = (-2.0 * uniform[0].ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * uniform[1]).sin_cos();
        [radius * cosine, radius * sine]
    }

    fn keyed(seed: u64, layer: u64, step: u64, purpose: Purpose) -> Self {
        Self(ChaCha20Rng::from_seed(key([seed, layer, step, purpose as u64])))
    }
}

fn key(words: [u64; 4]) -> [u8; 32] {
    let mut key = [0; 32];
    for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    key
}
