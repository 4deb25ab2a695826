//! Convolutions as products: the windows of all samples below each other, (sample, position) x (place in the kernel, channel):
//! with the channels of a place side by side, what is copied are long runs.

use rayon::prelude::*;

use super::Matrices;
use super::matrices::transpose;

/// Sizes of a convolution; along one axis the height is 1.
#[derive(Clone, Copy)]
pub struct Windows {
    pub channels: usize,
    pub image: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: usize,
    pub padding: [usize; 2],
}

impl Windows {
    fn outputs(self) -> [usize; 2] {
        [0, 1].map(|axis| (self.image[axis] + 2 * self.padding[axis] - self.kernel[axis]) / self.stride + 1)
    }

    /// Windows on one sample.
    pub fn positions(self) -> usize {
        self.outputs().iter().product()
    }

    /// Values of one window.
    pub fn values(self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// Values of one sample.
    pub fn sample(self) -> usize {
        self.channels * self.image[0] * self.image[1]
    }

    /// The windows of samples that stand one after the other.
    pub fn lay_out(self, samples: &[f32]) -> Vec<f32> {
        let mut windows = vec![0.0; samples.len() / self.sample() * self.positions() * self.values()];
        let each = windows.par_chunks_exact_mut(self.positions() * self.values());
        let scratch = || vec![0.0; self.sample()];
        let each = each.zip(samples.par_chunks_exact(self.sample()));
        each.for_each_init(scratch, |places, (windows, sample)| {
            transpose(sample, places, self.channels, self.places());
            self.runs(|run| {
                windows[run.window..run.window + run.count].copy_from_slice(&places[run.sample..run.sample + run.count])
            });
        });
        windows
    }

    /// The transpose of [`Windows::lay_out`]: each value of the samples is the sum of the windows' values that came from it.
    pub fn add_back(self, windows: &[f32]) -> Vec<f32> {
        let per_sample = self.positions() * self.values();
        let mut samples = vec![0.0; windows.len() / per_sample * self.sample()];
        let each = samples.par_chunks_exact_mut(self.sample());
        let scratch = || vec![0.0; self.sample()];
        let each = each.zip(windows.par_chunks_exact(per_sample));
        each.for_each_init(scratch, |places, (sample, windows)| {
            places.fill(0.0);
            self.runs(|run| {
                let to = &mut places[run.sample..run.sample + run.count];
                to.iter_mut()
                    .zip(&windows[run.window..run.window + run.count])
                    .for_each(|(to, from)| *to += from);
            });
            transpose(places, sample, self.places(), self.channels);
        });
        samples
    }

    /// The weight `[outputs, channels, kernel places]` as (place, channel) x output.
    pub fn weight(self, weight: Matrices) -> Matrices {
        let outputs = weight.values().len() / self.values();
        let taps = self.values() / self.channels;
        let by_place = weight.reshaped([outputs, self.channels, taps]).transposed();
        by_place.reshaped([1, outputs, self.values()]).transposed()
    }

    /// The opposite of [`Windows::weight`], for gradients.
    pub fn weight_gradient(self, gradient: Matrices) -> Matrices {
        let outputs = gradient.values().len() / self.values();
        let taps = self.values() / self.channels;
        let by_place = gradient.transposed().reshaped([outputs, taps, self.channels]).transposed();
        by_place.reshaped([1, outputs, self.values()])
    }

    /// Places of a sample.
    fn places(self) -> usize {
        self.image[0] * self.image[1]
    }

    /// The places of one sample's windows that lie on the sample (place x channel), by runs within a row of a kernel.
    fn runs(self, mut visit: impl FnMut(Run)) {
        let ([height, width], [down, across]) = (self.image, self.outputs());
        for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
            let window = (y * across + x) * self.values();
            let (top, left) = (y * self.stride, x * self.stride);
            let taps = |start: usize, axis: usize, length: usize| {
                let padding = self.padding[axis];
                padding.saturating_sub(start)..(length + padding).saturating_sub(start).min(self.kernel[axis])
            };
            let (inside, along) = (taps(top, 0, height), taps(left, 1, width));
            if along.is_empty() {
                continue;
            }
            for row in inside {
                let line = top + row - self.padding[0];
                visit(Run {
                    sample: (line * width + left + along.start - self.padding[1]) * self.channels,
                    window: window + (row * self.kernel[1] + along.start) * self.channels,
                    count: along.len() * self.channels,
                });
            }
        }
    }
}

/// Neighbours in the sample that are neighbours in a window.
struct Run {
    sample: usize,
    window: usize,
    count: usize,
}
