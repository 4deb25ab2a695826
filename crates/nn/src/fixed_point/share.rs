//! Weights as additive shares modulo 2^k, one for each server.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{CryptoRng, Rng, SeedableRng};
use zeroize::{Zeroize, Zeroizing};

use super::{FixedModel, LinearWeights, Ring, Structure, fixed_error};
use crate::{LinearShape, ModelError};

/// Fewest servers that shares are made for.
pub const MIN_SERVERS: usize = 2;
/// Most servers that shares are made for.
pub const MAX_SERVERS: usize = 64;

/// What one server holds of a model: the structure, and numbers modulo 2^k that are uniform whatever the weights are. Those of all servers add up
/// to the weights; those of all but one say nothing about them. It has no `Debug`, and its numbers are erased when it goes.
pub struct ModelShare {
    pub(super) structure: Structure,
    pub(super) holder: Holder,
    /// Where the words come from, unless this is the share that completes the sum.
    pub(super) seed: Option<Zeroizing<[u8; 32]>>,
    words: Vec<LinearShare>,
}

/// Whose share it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// From 0.
    pub server: usize,
    /// Number of servers.
    pub servers: usize,
    /// Random; the same in all shares that were made together.
    pub model: [u8; 16],
}

/// Words of one product: weight, then bias.
pub(super) struct LinearShare {
    pub weight: Vec<u64>,
    pub bias: Vec<u64>,
}

impl Drop for LinearShare {
    fn drop(&mut self) {
        self.weight.zeroize();
        self.bias.zeroize();
    }
}

impl FixedModel {
    /// A share of all weights and biases for each of `servers` servers. Those of servers 1, 2, ... come from seeds of 32 bytes, so that their
    /// files are small; that of server 0 makes the sum right.
    ///
    /// `rng` must be one for secrets: the shares hide the weights as well as it does.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] unless there are [`MIN_SERVERS`] to [`MAX_SERVERS`] servers.
    pub fn share(&self, servers: usize, rng: &mut impl CryptoRng) -> Result<Vec<ModelShare>, ModelError> {
        let mut model = [0; 16];
        rng.fill_bytes(&mut model);
        let holder = |server| Holder { server, servers, model };
        holder(0).check()?;
        let mut shares = vec![];
        let ring = self.structure.ring()?;
        let mut rest: Vec<LinearShare> = self.weights.iter().map(|linear| linear.words(ring)).collect();
        for server in 1..servers {
            let mut seed = Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut seed[..]);
            let share = ModelShare::from_seed(self.structure.clone(), holder(server), seed)?;
            for (rest, share) in rest.iter_mut().zip(&share.words) {
                subtract(ring, &mut rest.weight, &share.weight);
                subtract(ring, &mut rest.bias, &share.bias);
            }
            shares.push(share);
        }
        let first = ModelShare::from_words(self.structure.clone(), holder(0), rest);
        shares.insert(0, first);
        Ok(shares)
    }

    /// The model that shares were made of: all of them, in any order.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] for shares that were not made together, or not for exactly these servers.
    pub fn from_shares(shares: &[ModelShare]) -> Result<Self, ModelError> {
        let Some(first) = shares.first() else {
            return Err(fixed_error("shares", "at least one", 0));
        };
        let mut servers: Vec<usize> = shares.iter().map(|share| share.holder.server).collect();
        servers.sort_unstable();
        if servers != (0..first.holder.servers).collect::<Vec<_>>() {
            let expected = format!("those of all {} servers", first.holder.servers);
            return Err(fixed_error("shares", expected, format!("those of {servers:?}")));
        }
        let together = |share: &&ModelShare| {
            (share.holder.model, share.holder.servers) == (first.holder.model, first.holder.servers)
                && share.structure == first.structure
        };
        if !shares.iter().all(|share| together(&share)) {
            return Err(fixed_error("shares", "shares that were made together", "others"));
        }
        let ring = first.structure.ring()?;
        let sum = |of: &dyn Fn(&ModelShare) -> &[u64]| -> Vec<i64> {
            let total = |at: usize| shares.iter().fold(0u64, |sum, share| sum.wrapping_add(of(share)[at]));
            (0..of(first).len()).map(|at| ring.signed(ring.reduce(total(at)))).collect()
        };
        let linear = |number: usize| LinearWeights {
            weight: sum(&|share| &share.words[number].weight),
            bias: sum(&|share| &share.words[number].bias),
        };
        Ok(Self {
            structure: first.structure.clone(),
            weights: (0..first.words.len()).map(linear).collect(),
        })
    }
}

impl ModelShare {
    /// The steps and their shapes, the same for all servers.
    pub fn structure(&self) -> &Structure {
        &self.structure
    }

    /// Whose share it is.
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// This server's words of the weight (row-major as in [`LinearShape::weight`]) and of the bias (one for each output channel) of each product,
    /// in the order of [`Structure::linear`]. The biases are at the output's scale and hold the halves for rounding.
    pub fn weights(&self) -> impl Iterator<Item = (&[u64], &[u64])> {
        self.words.iter().map(|share| (&share.weight[..], &share.bias[..]))
    }

    /// The structure must be a checked one.
    pub(super) fn from_seed(structure: Structure, holder: Holder, seed: Zeroizing<[u8; 32]>) -> Result<Self, ModelError> {
        let ring = structure.ring()?;
        let words = structure.linear().enumerate();
        Ok(Self {
            words: words
                .map(|(number, shape)| expanded(ring, &seed, number as u64, shape))
                .collect(),
            structure,
            holder,
            seed: Some(seed),
        })
    }

    /// The words must be those of a checked structure's products.
    pub(super) fn from_words(structure: Structure, holder: Holder, words: Vec<LinearShare>) -> Self {
        Self {
            structure,
            holder,
            seed: None,
            words,
        }
    }
}

impl Holder {
    pub(super) fn check(self) -> Result<(), ModelError> {
        if !(MIN_SERVERS..=MAX_SERVERS).contains(&self.servers) {
            return Err(fixed_error(
                "servers",
                format!("{MIN_SERVERS} to {MAX_SERVERS}"),
                self.servers,
            ));
        }
        match self.server < self.servers {
            true => Ok(()),
            false => Err(fixed_error("server", format!("a number below {}", self.servers), self.server)),
        }
    }
}

impl LinearWeights {
    fn words(&self, ring: Ring) -> LinearShare {
        let words = |values: &[i64]| values.iter().map(|value| ring.word(*value)).collect();
        LinearShare {
            weight: words(&self.weight),
            bias: words(&self.bias),
        }
    }
}

/// Words of one product from a seed, which gives each product a stream of its own. A seed serves nothing else.
fn expanded(ring: Ring, seed: &[u8; 32], product: u64, shape: LinearShape) -> LinearShare {
    let mut rng = ChaCha20Rng::from_seed(*seed);
    rng.set_stream(product);
    let mut words = |count: usize| (0..count).map(|_| ring.reduce(rng.next_u64())).collect();
    LinearShare {
        weight: words(shape.weight().iter().product()),
        bias: words(shape.channels_out()),
    }
}

fn subtract(ring: Ring, from: &mut [u64], values: &[u64]) {
    for (from, value) in from.iter_mut().zip(values) {
        *from = ring.reduce(from.wrapping_sub(*value));
    }
}
