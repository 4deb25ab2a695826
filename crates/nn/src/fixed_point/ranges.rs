//! How large the values become on samples, and the number of fraction bits that leaves room.

use ndarray::ArrayD;
use rayon::prelude::*;
use serde::Serialize;

use super::convert::Plan;
use super::{Ending, FixedModel, LinearWeights, Ring, Step, evaluate, fixed_error};
use crate::{ModelError, ModelSpec};

/// Number of fraction bits with which measuring begins.
const FIRST_TRY: u32 = 8;
/// Fewest fraction bits that a conversion chooses by itself.
const LEAST_FRACTION: u32 = 4;
/// Most fraction bits that a conversion chooses by itself: weights of more are no longer worth their room.
const MOST_FRACTION: u32 = 16;
/// From here on 64 bits may no longer hold a value.
const HELD: f64 = (1u64 << 62) as f64;

/// The largest value that came to one non-linear step, or to the end of the model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepRange {
    /// Number of the step; of the end, the number of steps.
    pub step: usize,
    /// The layer and its operation: "3 relu"; of the end, "scores".
    pub what: String,
    /// The largest magnitude, as an integer at the scale that it has there.
    pub largest: i64,
    /// Bits left before values of this magnitude wrap around: k - 1 - log2(largest).
    pub room: f64,
}

impl StepRange {
    /// Less than one bit is left: a comparison can go wrong, and slightly larger inputs wrap around.
    pub fn is_tight(&self) -> bool {
        self.room < 1.0
    }
}

impl FixedModel {
    /// [`FixedModel::convert`] with as many fraction bits (4 to 16) as leave `room` bits everywhere on calibration samples `[batch, sample...]`,
    /// which should look like those in use; and the ranges measured. Two bits of room are usual.
    ///
    /// # Errors
    /// As [`FixedModel::convert`] and [`FixedModel::quantise`]; [`ModelError::FixedPoint`] if no number of bits leaves that room.
    pub fn convert_calibrated(
        model: &ModelSpec,
        arrays: &[(String, ArrayD<f32>)],
        ring_bits: u32,
        ending: Ending,
        calibration: &ArrayD<f32>,
        room: f64,
    ) -> Result<(Self, Vec<StepRange>), ModelError> {
        let plan = Plan::read(model, arrays, ring_bits, ending)?;
        let measured = |fraction_bits: u32| {
            let fixed = plan.at(fraction_bits)?;
            let ranges = fixed.ranges(&fixed.quantise(calibration)?)?;
            Ok((fixed, ranges))
        };
        // One fraction bit more makes most values four times as large.
        let (_, ranges) = measured(FIRST_TRY)?;
        let guess = (f64::from(FIRST_TRY) + (worst(&ranges) - room) / 2.0).floor() + 1.0;
        let first = guess.clamp(f64::from(LEAST_FRACTION), f64::from(MOST_FRACTION)) as u32;
        for fraction_bits in (LEAST_FRACTION..=first).rev() {
            // Weights may not fit the ring at this number of bits, but at a smaller one.
            let Ok((fixed, ranges)) = measured(fraction_bits) else {
                continue;
            };
            if worst(&ranges) >= room {
                return Ok((fixed, ranges));
            }
        }
        let expected = format!("{room} bits of room with {LEAST_FRACTION} fraction bits or more (a larger ring has more)");
        Err(fixed_error("range", expected, format!("less in {ring_bits} bits")))
    }

    /// The largest values that come to each non-linear step and to the end on these samples (integers at scale f, as from
    /// [`FixedModel::quantise`]), computed without wrapping around.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for samples of another size; [`ModelError::FixedPoint`] for values too large to be measured.
    pub fn ranges(&self, samples: &[Vec<i64>]) -> Result<Vec<StepRange>, ModelError> {
        samples.iter().try_for_each(|sample| self.check_sample(sample))?;
        let gains = self.gains();
        let largest = samples
            .par_iter()
            .map(|sample| self.largest(sample))
            .reduce(|| vec![0; gains.len() + 1], |left, right| zip_max(&left, &right));
        for (step, (largest, gain)) in largest.iter().zip(&gains).enumerate() {
            if *largest as f64 * gain.factor + gain.more >= HELD {
                let expected = format!("values below {HELD} before step {step}");
                return Err(fixed_error("range", expected, largest));
            }
        }
        Ok(self.reported(&largest))
    }

    /// [`FixedModel::ranges`], where each must leave `room` bits.
    ///
    /// # Errors
    /// As [`FixedModel::ranges`]; [`ModelError::FixedPoint`] that names the first step with less room.
    pub fn require_room(&self, samples: &[Vec<i64>], room: f64) -> Result<Vec<StepRange>, ModelError> {
        let ranges = self.ranges(samples)?;
        match ranges.iter().find(|range| range.room < room) {
            Some(range) => {
                let expected = format!("{room} bits of room (choose fewer fraction bits or a larger ring)");
                Err(fixed_error(&range.what, expected, format!("{:.1}", range.room)))
            }
            None => Ok(ranges),
        }
    }

    /// The largest magnitude before each step and at the end, of one sample.
    fn largest(&self, sample: &[i64]) -> Vec<u64> {
        let mut largest = Vec::with_capacity(self.structure.steps.len() + 1);
        let words = sample.iter().map(|value| *value as u64).collect();
        evaluate::run(&self.structure, &self.weights, Ring::WIDE, words, |_, values| {
            let magnitudes = values.iter().map(|value| Ring::WIDE.signed(*value).unsigned_abs());
            largest.push(magnitudes.max().unwrap_or(0));
        });
        largest
    }

    /// By how much each step can make the largest magnitude grow.
    fn gains(&self) -> Vec<Gain> {
        let mut weights = self.weights.iter();
        let gain = |step: &Step| match step {
            Step::Linear { .. } => weights.next().map(Gain::of).unwrap_or_default(),
            Step::SumPool { window, multiplier, .. } => Gain::by(window.values() as f64 * *multiplier as f64),
            Step::Offset { value } => Gain {
                factor: 1.0,
                more: value.unsigned_abs() as f64,
            },
            // Of a join, the other summand is shifted too; before its step it was the output of a step that was looked at.
            Step::Join {
                body_shift,
                shortcut_shift,
            } => Gain::by(2f64.powi(*body_shift.max(shortcut_shift) as i32 + 1)),
            Step::NonLinear { .. } | Step::Fork | Step::Turn => Gain::by(1.0),
        };
        self.structure.steps.iter().map(gain).collect()
    }

    fn reported(&self, largest: &[u64]) -> Vec<StepRange> {
        let range = |step: usize, what: String| StepRange {
            step,
            what,
            largest: largest[step] as i64,
            room: f64::from(self.structure.ring_bits - 1) - (largest[step].max(1) as f64).log2(),
        };
        let steps = self.structure.steps.iter().enumerate();
        let non_linear = steps.filter_map(|(number, step)| match step {
            Step::NonLinear { layer, operation, .. } => Some(range(number, format!("{layer} {}", operation.name()))),
            _ => None,
        });
        non_linear
            .chain([range(self.structure.steps.len(), "scores".to_owned())])
            .collect()
    }
}

/// A magnitude m becomes at most m `factor` + `more`.
#[derive(Default)]
struct Gain {
    factor: f64,
    more: f64,
}

impl Gain {
    fn by(factor: f64) -> Self {
        Self { factor, more: 0.0 }
    }

    fn of(linear: &LinearWeights) -> Self {
        let magnitude = |value: &i64| value.unsigned_abs() as f64;
        let row = linear.weight.len() / linear.bias.len();
        let rows = linear.weight.chunks_exact(row);
        Self {
            factor: rows.map(|row| row.iter().map(magnitude).sum::<f64>()).fold(0.0, f64::max),
            more: linear.bias.iter().map(magnitude).fold(0.0, f64::max),
        }
    }
}

fn worst(ranges: &[StepRange]) -> f64 {
    ranges.iter().map(|range| range.room).fold(f64::INFINITY, f64::min)
}

fn zip_max(left: &[u64], right: &[u64]) -> Vec<u64> {
    left.iter().zip(right).map(|(left, right)| *left.max(right)).collect()
}
