//! One axis of a convolution, by phases: see `layer_layout`.

/// One phase of one axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Phase {
    pub(super) first: usize,
    /// Kernel indices, and their t.
    pub(super) taps: Vec<(usize, isize)>,
    /// Pixels that some output meets.
    pub(super) pixels: usize,
}

/// One axis of a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Axis {
    pub(super) stride: usize,
    pub(super) phases: Vec<Phase>,
    pub(super) outputs: usize,
}

impl Axis {
    pub(super) fn new(image: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        let outputs = (image + 2 * padding - kernel) / stride + 1;
        let phases = (0..stride.min(image)).filter_map(|first| Phase::new(first, [image, kernel, stride, padding], outputs));
        Self {
            stride,
            phases: phases.collect(),
            outputs,
        }
    }

    /// S, where this axis is that of columns.
    pub(super) fn row(&self) -> usize {
        let needed = |phase: &Phase| (phase.pixels as isize - phase.least()).max(self.outputs as isize + phase.most());
        let widest = self.phases.iter().map(needed).max().unwrap_or_default();
        self.outputs.max(widest.unsigned_abs())
    }

    /// Least and largest place of any product, of taps and pixels of different phases too: they meet where slots differ.
    pub(super) fn reach(&self) -> [isize; 2] {
        let taps = || self.phases.iter().map(|phase| [phase.least(), phase.most()]);
        let least = taps().map(|[least, _]| least).min().unwrap_or_default();
        let most = taps().map(|[_, most]| most).max().unwrap_or_default();
        let pixels = self.phases.iter().map(|phase| phase.pixels as isize).max().unwrap_or(1);
        [-most, pixels - 1 - least]
    }
}

impl Phase {
    /// None where no output meets a pixel of it.
    fn new(first: usize, [image, kernel, stride, padding]: [usize; 4], outputs: usize) -> Option<Self> {
        let length = (image - first).div_ceil(stride) as isize;
        let shift = |tap: usize| tap as isize - padding as isize - first as isize;
        // A tap that meets padding only is left out.
        let met = |t: isize| t < length && t + outputs as isize > 0;
        let taps = (0..kernel).filter(|&tap| shift(tap).rem_euclid(stride as isize) == 0);
        let taps: Vec<(usize, isize)> = taps
            .map(|tap| (tap, shift(tap).div_euclid(stride as isize)))
            .filter(|&(_, t)| met(t))
            .collect();
        let most = taps.iter().map(|&(_, t)| t).max()?;
        Some(Self {
            first,
            taps,
            pixels: length.min(outputs as isize + most).unsigned_abs(),
        })
    }

    /// Least and largest t.
    fn least(&self) -> isize {
        self.taps.iter().map(|&(_, t)| t).min().unwrap_or_default()
    }

    fn most(&self) -> isize {
        self.taps.iter().map(|&(_, t)| t).max().unwrap_or_default()
    }
}
