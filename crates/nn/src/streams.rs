//! The randomness of a model. Every layer draws from its own ChaCha20 stream, so it gets the same weights and the same
//! dropout masks whichever party holds it and whatever else that party computes.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of uniform numbers, a function of its four key words only.
pub struct Stream(ChaCha20Rng);

#[derive(Clone, Copy)]
enum Purpose {
    Weights = 0,
    Dropout = 1,
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

    fn keyed(seed: u64, layer: u64, step: u64, purpose: Purpose) -> Self {
        let mut key = [0; 32];
        for (bytes, word) in key.chunks_exact_mut(8).zip([seed, layer, step, purpose as u64]) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Self(ChaCha20Rng::from_seed(key))
    }
}
