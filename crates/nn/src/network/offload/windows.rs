//! Convolutions as products: the windows of all samples below each other, (sample, position) x (channel, place in the kernel).

use rayon::prelude::*;

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
        each.zip(samples.par_chunks_exact(self.sample()))
            .for_each(|(windows, sample)| {
                self.runs(|run| {
                    let (from, to) = (&sample[run.sample..], &mut windows[run.window..]);
                    match (run.count, from, &mut *to) {
                        // The usual kernel, without a call for so little.
                        (3, [a, b, c, ..], [x, y, z, ..]) => (*x, *y, *z) = (*a, *b, *c),
                        _ => to[..run.count].copy_from_slice(&from[..run.count]),
                    }
                });
            });
        windows
    }

    /// The transpose of [`Windows::lay_out`]: each value of the samples is the sum of the windows' values that came from it.
    pub fn add_back(self, windows: &[f32]) -> Vec<f32> {
        let per_sample = self.positions() * self.values();
        let mut samples = vec![0.0; windows.len() / per_sample * self.sample()];
        let each = samples.par_chunks_exact_mut(self.sample());
        each.zip(windows.par_chunks_exact(per_sample)).for_each(|(sample, windows)| {
            self.runs(|run| {
                let to = &mut sample[run.sample..run.sample + run.count];
                to.iter_mut().zip(&windows[run.window..]).for_each(|(to, from)| *to += from);
            });
        });
        samples
    }

    /// The places of one sample's windows that lie on the sample, by runs within a row of a kernel.
    fn runs(self, mut visit: impl FnMut(Run)) {
        let ([height, width], [rows, columns]) = (self.image, self.kernel);
        let [down, across] = self.outputs();
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
            for channel in 0..self.channels {
                for row in inside.clone() {
                    let line = channel * height + top + row - self.padding[0];
                    visit(Run {
                        sample: line * width + left + along.start - self.padding[1],
                        window: window + (channel * rows + row) * columns + along.start,
                        count: along.len(),
                    });
                }
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
