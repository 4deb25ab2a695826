//! How the learning rate changes from update to update.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::{check, not_negative};
use crate::ModelError;

/// A factor on the optimiser's learning rate: a function of the update's number only, from 1, so that parties who count the same
/// updates agree.
///
/// The first `warm_up` updates rise in equal steps to the full rate (of `power`, its first), update `u` having `u / warm_up` of it; the rest of the schedule
/// begins after them. Without a warm-up, `step` and `cosine` give the rates of PyTorch's `StepLR` and `CosineAnnealingLR` (stepped after
/// every update, up to the last update named).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum LearningRateSchedule {
    /// The same rate at every update.
    Constant {
        /// Updates on the way to the full rate.
        #[serde(default)]
        warm_up: u64,
    },
    /// The rate times `factor` after every so many updates, again and again.
    Step {
        /// Updates between two changes, at least 1.
        every: u64,
        /// What each change multiplies the rate by, in 0..=1 and not 0.
        #[serde(default = "tenth")]
        factor: f64,
        /// Updates on the way to the full rate.
        #[serde(default)]
        warm_up: u64,
    },
    /// The rate times `(offset + t)^-gamma`, where `t` counts the updates before this one, the warm-up not included: the schedule
    /// `a (b + t)^-gamma` of Welling and Teh (2011), with `a` the optimiser's learning rate.
    Power {
        /// `b`, at least 1. The larger, the longer the rate stays near its first value, `a b^-gamma`.
        #[serde(default = "one")]
        offset: f64,
        /// How fast the rate falls, in 0..=1; for Langevin dynamics above 0.5, so that the squares of the rates have a finite sum.
        #[serde(default = "gamma")]
        gamma: f64,
        /// Updates on the way to the schedule's first rate.
        #[serde(default)]
        warm_up: u64,
    },
    /// Half a cosine wave from the full rate down to `final`, which stays.
    Cosine {
        /// The number of updates after which the rate is `final`, the warm-up included.
        updates: u64,
        /// Updates on the way to the full rate; fewer than `updates`.
        #[serde(default)]
        warm_up: u64,
        /// The rate at the end, from 0 to the optimiser's.
        #[serde(default, rename = "final")]
        last: f64,
    },
}

impl Default for LearningRateSchedule {
    fn default() -> Self {
        Self::Constant { warm_up: 0 }
    }
}

impl LearningRateSchedule {
    /// Whether every update has the full rate.
    pub fn is_constant(&self) -> bool {
        *self == Self::default()
    }

    /// The learning rate at update `update`, from 1, where the optimiser's is `full`. The settings are those of an optimiser that
    /// [`validate`](crate::OptimiserSpec::validate) found in range.
    pub fn rate(&self, full: f64, update: u64) -> f64 {
        let warm_up = self.warm_up();
        if update <= warm_up {
            return self.first(full) * (update as f64 / warm_up as f64);
        }
        let after = update.saturating_sub(warm_up).saturating_sub(1);
        match *self {
            Self::Constant { .. } => full,
            Self::Step { every, factor, .. } => full * factor.powi(i32::try_from(after / every).unwrap_or(i32::MAX)),
            Self::Power { offset, gamma, .. } => full * (offset + after as f64).powf(-gamma),
            Self::Cosine { updates, last, .. } => {
                let progress = (after as f64 / updates.saturating_sub(warm_up) as f64).min(1.0);
                last + (full - last) * (1.0 + (std::f64::consts::PI * progress).cos()) / 2.0
            }
        }
    }

    /// Checks that every setting is in range, for an optimiser with this learning rate.
    pub(super) fn validate(&self, full: f64) -> Result<(), ModelError> {
        match *self {
            Self::Constant { .. } => Ok(()),
            Self::Step { every, factor, .. } => {
                check("schedule.every", every as f64, every > 0, "at least 1")?;
                let fine = factor > 0.0 && factor <= 1.0;
                check("schedule.factor", factor, fine, "a number above 0 and at most 1")
            }
            Self::Power { offset, gamma, .. } => {
                let fine = offset >= 1.0 && offset.is_finite();
                check("schedule.offset", offset, fine, "a number of at least 1")?;
                check("schedule.gamma", gamma, (0.0..=1.0).contains(&gamma), "a number in 0..=1")
            }
            Self::Cosine { updates, warm_up, last } => {
                let fine = updates > warm_up;
                check("schedule.updates", updates as f64, fine, "more updates than the warm-up has")?;
                not_negative("schedule.final", last)?;
                check("schedule.final", last, last <= full, "at most the learning rate")
            }
        }
    }

    fn warm_up(&self) -> u64 {
        match *self {
            Self::Constant { warm_up }
            | Self::Step { warm_up, .. }
            | Self::Power { warm_up, .. }
            | Self::Cosine { warm_up, .. } => warm_up,
        }
    }

    /// The rate to which the warm-up rises.
    fn first(&self, full: f64) -> f64 {
        match *self {
            Self::Power { offset, gamma, .. } => full * offset.powf(-gamma),
            Self::Constant { .. } | Self::Step { .. } | Self::Cosine { .. } => full,
        }
    }
}

fn one() -> f64 {
    1.0
}

fn gamma() -> f64 {
    0.55
}

fn tenth() -> f64 {
    0.1
}
