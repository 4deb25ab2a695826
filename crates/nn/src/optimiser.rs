//! Optimisers. All work element by element, which is why a cut network trains exactly as the whole one.

mod schedule;
#[cfg(test)]
mod tests;

pub use self::schedule::LearningRateSchedule;
use serde::{Deserialize, Serialize};

use crate::ModelError;
use crate::streams::Stream;

/// How parameters follow their gradients; formulas and defaults are PyTorch's where it has the optimiser.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum OptimiserSpec {
    /// `v <- momentum v + (g + weight_decay w)`, `w <- w - learning_rate v`.
    Sgd {
        /// Step size, positive; the full rate of a schedule.
        learning_rate: f64,
        /// Share of the last step that is kept, in 0..1.
        #[serde(default)]
        momentum: f64,
        /// L2 penalty, at least 0.
        #[serde(default)]
        weight_decay: f64,
        /// How the rate changes from update to update; the same rate if not given.
        #[serde(default, skip_serializing_if = "LearningRateSchedule::is_constant")]
        schedule: LearningRateSchedule,
    },
    /// Adam with decoupled weight decay; plain Adam when `weight_decay` is 0.
    #[serde(rename = "adamw")]
    AdamW {
        /// Step size, positive; the full rate of a schedule.
        learning_rate: f64,
        /// Decay of the mean of gradients, in 0..1.
        #[serde(default = "beta1")]
        beta1: f64,
        /// Decay of the mean of squared gradients, in 0..1.
        #[serde(default = "beta2")]
        beta2: f64,
        /// Added to the root of the second mean, positive.
        #[serde(default = "epsilon")]
        epsilon: f64,
        /// Share of each weight lost per step is `learning_rate * weight_decay`; at least 0.
        #[serde(default)]
        weight_decay: f64,
        /// How the rate changes from update to update; the same rate if not given.
        #[serde(default, skip_serializing_if = "LearningRateSchedule::is_constant")]
        schedule: LearningRateSchedule,
    },
    /// Stochastic gradient Langevin dynamics (Welling and Teh, 2011): `w <- w - eps_t / 2 (g + weight_decay w) + N(0, temperature eps_t)`,
    /// with `eps_t` the rate at update `t`, usually of the schedule `power`.
    ///
    /// `g` is the gradient of the *mean* loss of a batch, as for the other optimisers. With `temperature = 1` that is the update that SPNN
    /// names (arXiv 2012.09364), whose noise is large beside such gradients. Samples of the posterior of N training rows under a Gaussian prior are
    /// drawn with `temperature = 1 / N`: their step sizes are then `eps_t / N`, their gradient N times the mean, and the prior's precision is N
    /// `weight_decay`.
    ///
    /// The noise is a function of the parameter's name, the number of the update and a key: the model's seed, which is public, or one's own
    /// ([`Network::with_noise_key`](crate::Network::with_noise_key)). Noise from a public seed hides nothing from anyone who knows the seed.
    Sgld {
        /// Step size, positive; the full rate of a schedule, its `a`.
        learning_rate: f64,
        /// Variance of the noise over the step size, at least 0.
        #[serde(default = "temperature")]
        temperature: f64,
        /// L2 penalty, at least 0: a Gaussian prior.
        #[serde(default)]
        weight_decay: f64,
        /// How the rate changes from update to update; the same rate if not given.
        #[serde(default, skip_serializing_if = "LearningRateSchedule::is_constant")]
        schedule: LearningRateSchedule,
    },
}

/// One update of SGD: `v <- momentum v + (g + decay w)`, `w <- w - rate v`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// The learning rate at this update.
    pub rate: f32,
    /// The weight decay.
    pub decay: f32,
    /// The share of the last velocity that is kept; without any nothing is remembered.
    pub momentum: f32,
}

/// What the optimiser remembers about one parameter: SGD the velocity, AdamW both means, SGLD nothing. Empty until first used.
#[derive(Clone, Debug, Default)]
pub(crate) struct Moments {
    pub first: Vec<f32>,
    pub second: Vec<f32>,
}

impl OptimiserSpec {
    /// The weight decay, whatever the kind.
    pub fn weight_decay(&self) -> f64 {
        match self {
            Self::Sgd { weight_decay, .. } | Self::AdamW { weight_decay, .. } | Self::Sgld { weight_decay, .. } => *weight_decay,
        }
    }

    /// The learning rate at update `update`, from 1.
    pub fn rate(&self, update: u64) -> f64 {
        match self {
            Self::Sgd {
                learning_rate, schedule, ..
            }
            | Self::AdamW {
                learning_rate, schedule, ..
            }
            | Self::Sgld {
                learning_rate, schedule, ..
            } => schedule.rate(*learning_rate, update),
        }
    }

    /// The standard deviation of the noise that update `update`, from 1, adds to every parameter; 0 without noise.
    pub fn noise_deviation(&self, update: u64) -> f64 {
        match self {
            Self::Sgld { temperature, .. } => (temperature * self.rate(update)).sqrt(),
            Self::Sgd { .. } | Self::AdamW { .. } => 0.0,
        }
    }

    /// Whether a step is the gradient times a rate, and perhaps decay: SGD without momentum, which keeps nothing from step to step.
    pub fn is_memoryless(&self) -> bool {
        matches!(self, Self::Sgd { momentum: 0.0, .. })
    }

    /// Update `update`, from 1, of SGD; `None` of others.
    pub fn sgd_step(&self, update: u64) -> Option<SgdStep> {
        match *self {
            Self::Sgd {
                momentum, weight_decay, ..
            } => Some(SgdStep {
                rate: self.rate(update) as f32,
                decay: weight_decay as f32,
                momentum: momentum as f32,
            }),
            Self::AdamW { .. } | Self::Sgld { .. } => None,
        }
    }

    /// Checks that every setting is finite and in range.
    ///
    /// # Errors
    /// [`ModelError::Optimiser`] naming the first setting that is not.
    pub fn validate(&self) -> Result<(), ModelError> {
        match *self {
            Self::Sgd {
                learning_rate,
                momentum,
                weight_decay,
                schedule,
            } => {
                positive("learning_rate", learning_rate)?;
                schedule.validate(learning_rate)?;
                fraction("momentum", momentum)?;
                not_negative("weight_decay", weight_decay)
            }
            Self::AdamW {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
                schedule,
            } => {
                positive("learning_rate", learning_rate)?;
                schedule.validate(learning_rate)?;
                fraction("beta1", beta1)?;
                fraction("beta2", beta2)?;
                positive("epsilon", epsilon)?;
                not_negative("weight_decay", weight_decay)
            }
            Self::Sgld {
                learning_rate,
                temperature,
                weight_decay,
                schedule,
            } => {
                positive("learning_rate", learning_rate)?;
                schedule.validate(learning_rate)?;
                not_negative("temperature", temperature)?;
                not_negative("weight_decay", weight_decay)
            }
        }
    }

    /// How many arrays of moments, each as large as the parameter, this optimiser keeps.
    pub(crate) fn moment_count(&self) -> usize {
        match *self {
            Self::Sgd { momentum: 0.0, .. } | Self::Sgld { .. } => 0,
            Self::Sgd { .. } => 1,
            Self::AdamW { .. } => 2,
        }
    }

    /// One step of one parameter; `update` counts from 1. All slices have one length; `noise` is this parameter's at this update.
    pub(crate) fn step(
        &self,
        update: u64,
        weights: &mut [f32],
        gradient: &[f32],
        moments: &mut Moments,
        noise: impl FnOnce() -> Stream,
    ) {
        match *self {
            Self::Sgd {
                learning_rate,
                momentum,
                weight_decay,
                schedule,
            } => {
                let (rate, decay) = (schedule.rate(learning_rate, update) as f32, weight_decay as f32);
                if momentum == 0.0 {
                    sgd(weights, gradient, rate, decay);
                } else {
                    moments.first.resize(weights.len(), 0.0);
                    sgd_momentum(weights, gradient, &mut moments.first, rate, decay, momentum as f32);
                }
            }
            Self::AdamW {
                learning_rate,
                beta1,
                beta2,
                epsilon,
                weight_decay,
                schedule,
            } => {
                let learning_rate = schedule.rate(learning_rate, update);
                moments.first.resize(weights.len(), 0.0);
                moments.second.resize(weights.len(), 0.0);
                let update = i32::try_from(update).unwrap_or(i32::MAX);
                // PyTorch's grouping: both bias corrections are scalars, worked out in f64.
                let scalars = AdamScalars {
                    keep: (1.0 - learning_rate * weight_decay) as f32,
                    beta1: beta1 as f32,
                    beta2: beta2 as f32,
                    rest1: (1.0 - beta1) as f32,
                    rest2: (1.0 - beta2) as f32,
                    rate: (learning_rate / (1.0 - beta1.powi(update))) as f32,
                    root: (1.0 / (1.0 - beta2.powi(update)).sqrt()) as f32,
                    epsilon: epsilon as f32,
                };
                adamw(weights, gradient, &mut moments.first, &mut moments.second, scalars);
            }
            Self::Sgld {
                learning_rate,
                weight_decay,
                schedule,
                ..
            } => {
                let half = (schedule.rate(learning_rate, update) / 2.0) as f32;
                sgd(weights, gradient, half, weight_decay as f32);
                match self.noise_deviation(update) {
                    0.0 => {}
                    deviation => add_noise(weights, deviation, &mut noise()),
                }
            }
        }
    }
}

struct AdamScalars {
    keep: f32,
    beta1: f32,
    beta2: f32,
    rest1: f32,
    rest2: f32,
    rate: f32,
    root: f32,
    epsilon: f32,
}

// Plain loops, because the compiler vectorises them into one pass over memory: the engine's own AdamW makes about ten
// passes and takes 4 times (100,000 weights) to 12 times (preset m1) as long.

fn sgd(weights: &mut [f32], gradient: &[f32], rate: f32, decay: f32) {
    for (w, g) in weights.iter_mut().zip(gradient) {
        *w -= rate * (g + decay * *w);
    }
}

fn sgd_momentum(weights: &mut [f32], gradient: &[f32], velocity: &mut [f32], rate: f32, decay: f32, momentum: f32) {
    for ((w, g), v) in weights.iter_mut().zip(gradient).zip(velocity) {
        *v = momentum * *v + (g + decay * *w);
        *w -= rate * *v;
    }
}

// Not inlined: only as arguments are the slices known not to overlap, without which the loop stays scalar.
#[inline(never)]
fn adamw(weights: &mut [f32], gradient: &[f32], first: &mut [f32], second: &mut [f32], s: AdamScalars) {
    for ((w, g), (m, v)) in weights.iter_mut().zip(gradient).zip(first.iter_mut().zip(second)) {
        *m = s.beta1 * *m + s.rest1 * g;
        *v = s.beta2 * *v + s.rest2 * g * g;
        *w = s.keep * *w - s.rate * *m / (v.sqrt() * s.root + s.epsilon);
    }
}

fn add_noise(weights: &mut [f32], deviation: f64, noise: &mut Stream) {
    for pair in weights.chunks_mut(2) {
        for (w, normal) in pair.iter_mut().zip(noise.normal_pair()) {
            *w += (deviation * normal) as f32;
        }
    }
}

fn positive(setting: &'static str, value: f64) -> Result<(), ModelError> {
    // In f32, in which it is used.
    check(
        setting,
        value,
        value as f32 > 0.0 && (value as f32).is_finite(),
        "a positive number",
    )
}

fn not_negative(setting: &'static str, value: f64) -> Result<(), ModelError> {
    check(
        setting,
        value,
        value >= 0.0 && (value as f32).is_finite(),
        "a number of at least 0",
    )
}

fn fraction(setting: &'static str, value: f64) -> Result<(), ModelError> {
    check(setting, value, (0.0..1.0).contains(&value), "a number in 0..1")
}

fn check(setting: &'static str, actual: f64, fine: bool, expected: &'static str) -> Result<(), ModelError> {
    if fine {
        Ok(())
    } else {
        Err(ModelError::Optimiser {
            setting,
            expected,
            actual,
        })
    }
}

fn temperature() -> f64 {
    1.0
}

fn beta1() -> f64 {
    0.9
}

fn beta2() -> f64 {
    0.999
}

fn epsilon() -> f64 {
    1e-8
}
