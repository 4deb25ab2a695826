//! Convolutions as products: the windows of all samples below each other, (sample, position) x (place in the kernel, channel):
//! with the channels of a place side by side, in images too, what is copied are long runs.

use rayon::prelude::*;

use super::Matrices;
use crate::ModelError;

/// The geometry of a convolution; along one axis the height is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// Channels of an image.
    pub channels: usize,
    /// Height and width of an image.
    pub image: [usize; 2],
    /// Height and width of a window.
    pub kernel: [usize; 2],
    /// Steps between windows, down and across.
    pub stride: usize,
    /// Zeros around an image, above and below, left and right.
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

    /// The windows of images `[samples, height * width, channels]`: `[1, samples * positions, height * width of a window * channels]`.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for images of other sizes.
    pub fn unfold(self, images: &Matrices) -> Result<Matrices, ModelError> {
        let [samples, places, channels] = images.dims();
        self.expect("images", images, [samples, self.places(), self.channels])?;
        let mut windows = vec![0.0; samples * self.positions() * self.values()];
        let each = windows.par_chunks_exact_mut(self.positions() * self.values());
        let each = each.zip(images.values().par_chunks_exact(places * channels));
        each.for_each(|(windows, image)| {
            self.runs(|run| {
                windows[run.window..run.window + run.count].copy_from_slice(&image[run.sample..run.sample + run.count]);
            });
        });
        Matrices::new([1, samples * self.positions(), self.values()], windows)
    }

    /// The transpose of [`Windows::unfold`]: each value of the images is the sum of the windows' values that came from it.
    ///
    /// # Errors
    /// [`ModelError::Shape`] for windows of other sizes.
    pub fn fold(self, windows: &Matrices) -> Result<Matrices, ModelError> {
        let samples = windows.dims()[1] / self.positions();
        self.expect("windows", windows, [1, samples * self.positions(), self.values()])?;
        let mut images = vec![0.0; samples * self.sample()];
        let each = images.par_chunks_exact_mut(self.sample());
        let each = each.zip(windows.values().par_chunks_exact(self.positions() * self.values()));
        each.for_each(|(image, windows)| {
            self.runs(|run| {
                let to = &mut image[run.sample..run.sample + run.count];
                to.iter_mut()
                    .zip(&windows[run.window..run.window + run.count])
                    .for_each(|(to, from)| *to += from);
            });
        });
        Matrices::new([samples, self.places(), self.channels], images)
    }

    fn expect(self, what: &'static str, actual: &Matrices, expected: [usize; 3]) -> Result<(), ModelError> {
        match actual.dims() == expected {
            true => Ok(()),
            false => Err(ModelError::Shape {
                what,
                expected: format!("{expected:?}"),
                actual: actual.dims().to_vec(),
            }),
        }
    }

    /// The weight `[outputs, channels, kernel places]` as (place, channel) x output.
    pub(crate) fn weight(self, weight: Matrices) -> Matrices {
        let outputs = weight.values().len() / self.values();
        let taps = self.values() / self.channels;
        let by_place = weight.reshaped([outputs, self.channels, taps]).transposed();
        by_place.reshaped([1, outputs, self.values()]).transposed()
    }

    /// The opposite of [`Windows::weight`], for gradients.
    pub(crate) fn weight_gradient(self, gradient: Matrices) -> Matrices {
        let outputs = gradient.values().len() / self.values();
        let taps = self.values() / self.channels;
        let by_place = gradient.transposed().reshaped([outputs, taps, self.channels]).transposed();
        by_place.reshaped([1, outputs, self.values()])
    }

    /// Places of a sample.
    pub fn places(self) -> usize {
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
