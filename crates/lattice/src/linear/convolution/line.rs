//! One axis of a picture: which input, which tap and which output meet, and where they stand.

/// Inputs, taps and outputs of one axis, cut to those that take part in some product.
///
/// In padded coordinates output p is the sum over taps a of w[a] x[s p + a]. With a = s A + d and the input at s U + d that is, for every phase d of the
/// stride, a sum over A of w[A] x[p + A]: stride 1. Phases that no tap has are left out.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    stride: usize,
    padding: usize,
    /// Phases that taps have.
    phases: usize,
    /// First and last U, A and p.
    inputs: [isize; 2],
    taps: [isize; 2],
    outputs: [isize; 2],
}

impl Line {
    /// `None` if no tap ever meets an input. The sizes are at least 1.
    pub(super) fn new(image: usize, kernel: usize, stride: usize, padding: usize, places: usize) -> Option<Self> {
        let phases = kernel.min(stride);
        let padded = (padding..padding + image).filter(|u| u % stride < phases);
        let inputs = padded.map(|u| (u / stride) as isize);
        let mut line = Self {
            stride,
            padding,
            phases,
            inputs: [inputs.clone().min()?, inputs.max()?],
            taps: [0, (kernel as isize - 1) / stride as isize],
            outputs: [0, places as isize - 1],
        };
        while line.cut() {}
        let ranges = [line.inputs, line.taps, line.outputs];
        ranges.iter().all(|[first, last]| first <= last).then_some(line)
    }

    /// Phases of the stride: each makes a channel of its own.
    pub(super) fn phases(&self) -> usize {
        self.phases
    }

    /// R: |U - A - p| is smaller, whichever of them are taken together.
    pub(super) fn length(&self) -> usize {
        let [inputs, taps, outputs] = [self.inputs, self.taps, self.outputs];
        let most = (inputs[1] - taps[0] - outputs[0]).max(outputs[1] + taps[1] - inputs[0]);
        most as usize + 1
    }

    /// Phase and place of an input, if it takes part: U less the first.
    pub(super) fn input(&self, position: usize) -> Option<(usize, usize)> {
        let padded = position + self.padding;
        let (phase, place) = (padded % self.stride, (padded / self.stride) as isize);
        let kept = phase < self.phases && within(self.inputs, place);
        kept.then(|| (phase, (place - self.inputs[0]) as usize))
    }

    /// Phase and place of a tap: the last A less it.
    pub(super) fn tap(&self, position: usize) -> Option<(usize, usize)> {
        let (phase, place) = (position % self.stride, (position / self.stride) as isize);
        within(self.taps, place).then(|| (phase, (self.taps[1] - place) as usize))
    }

    /// Place of an output: the sum of the places of the inputs and taps that it is computed from.
    pub(super) fn output(&self, position: usize) -> Option<usize> {
        let place = position as isize;
        within(self.outputs, place).then(|| (place - self.inputs[0] + self.taps[1]) as usize)
    }

    /// Cuts every range to what the two others reach through U = p + A; whether that changed any.
    fn cut(&mut self) -> bool {
        let [inputs, taps, outputs] = [self.inputs, self.taps, self.outputs];
        self.inputs = common(inputs, [outputs[0] + taps[0], outputs[1] + taps[1]]);
        self.taps = common(taps, [inputs[0] - outputs[1], inputs[1] - outputs[0]]);
        self.outputs = common(outputs, [inputs[0] - taps[1], inputs[1] - taps[0]]);
        let some = self.inputs[0] <= self.inputs[1] && self.taps[0] <= self.taps[1] && self.outputs[0] <= self.outputs[1];
        some && [inputs, taps, outputs] != [self.inputs, self.taps, self.outputs]
    }
}

fn within([first, last]: [isize; 2], place: isize) -> bool {
    (first..=last).contains(&place)
}

fn common(a: [isize; 2], b: [isize; 2]) -> [isize; 2] {
    [a[0].max(b[0]), a[1].min(b[1])]
}
