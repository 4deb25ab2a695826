//! Windows on planes: what pooling adds up or compares.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::{Ring, fixed_error};
use crate::{MAX_PARAMETERS, MAX_SAMPLE_VALUES, ModelError};

/// The windows on each channel of a sample `[channels, height, width]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Channels, height and width of the input.
    pub image: [usize; 3],
    /// Height and width of a window.
    pub size: [usize; 2],
    /// Step between windows, both ways.
    pub stride: usize,
    /// By how much windows reach beyond the plane at each side; places there do not count.
    pub padding: usize,
}

impl Window {
    /// Number of values of a sample at the input.
    pub fn inputs(self) -> usize {
        self.image.iter().product()
    }

    /// Number of values of a sample at the output: channels times windows on a plane.
    pub fn outputs(self) -> usize {
        self.output().iter().product()
    }

    /// Shape of a sample at the output.
    pub fn output(self) -> [usize; 3] {
        let along = |axis: usize| (self.image[axis + 1] + 2 * self.padding - self.size[axis]) / self.stride + 1;
        [self.image[0], along(0), along(1)]
    }

    /// Values in a window that lies wholly on the plane.
    pub fn values(self) -> usize {
        self.size[0] * self.size[1]
    }

    /// For each output in turn, the positions of its window in the flat input, in reading order.
    pub fn places(self) -> impl Iterator<Item = impl Iterator<Item = usize>> {
        let ([channels, rows, columns], [_, height, width]) = (self.output(), self.image);
        (0..channels * rows * columns).map(move |output| {
            let plane = output / (rows * columns) * height * width;
            let lines = self.along(output / columns % rows, 0);
            let places = self.along(output % columns, 1);
            lines.flat_map(move |line| places.clone().map(move |place| plane + line * width + place))
        })
    }

    /// Where window number `at` lies along height (0) or width (1).
    fn along(self, at: usize, axis: usize) -> Range<usize> {
        let start = at * self.stride;
        start.saturating_sub(self.padding)..(start + self.size[axis] - self.padding).min(self.image[axis + 1])
    }

    /// The sum of each window, modulo 2^64: right modulo any 2^k, of values as of additive shares.
    pub fn sums(self, values: &[u64]) -> Vec<u64> {
        let sum = |places: &mut dyn Iterator<Item = usize>| places.fold(0, |sum: u64, at| sum.wrapping_add(values[at]));
        self.places().map(|mut places| sum(&mut places)).collect()
    }

    /// The largest of `least` and the signed values of each window.
    pub(super) fn largest(self, ring: Ring, values: &[u64], least: i64) -> Vec<i64> {
        let value = |at: usize| ring.signed(values[at]);
        self.places().map(|places| places.map(value).fold(least, i64::max)).collect()
    }

    /// Checks that the windows lie on the plane and are not too many.
    pub(super) fn check(self) -> Result<(), ModelError> {
        let most = MAX_SAMPLE_VALUES;
        let numbers = self.image.iter().chain(&self.size).chain([&self.stride]);
        let possible = numbers.into_iter().all(|number| (1..=most).contains(number))
            && self.padding <= self.size[0].min(self.size[1]) / 2
            && (0..2).all(|axis| self.size[axis] <= self.image[axis + 1] + 2 * self.padding)
            && product(&self.image).is_some_and(|values| values <= most)
            && product(&self.output()).is_some_and(|values| values <= most)
            && product(&[&self.output()[..], &self.size].concat()).is_some_and(|values| values <= MAX_PARAMETERS);
        match possible {
            true => Ok(()),
            false => Err(fixed_error("window", "windows on a plane", format!("{self:?}"))),
        }
    }
}

/// `None` when it overflows.
pub(super) fn product(numbers: &[usize]) -> Option<usize> {
    numbers
        .iter()
        .try_fold(1usize, |product, number| product.checked_mul(*number))
}
