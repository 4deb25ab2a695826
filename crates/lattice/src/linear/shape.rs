//! Shapes of the linear layers whose products are computed with all operands encrypted.

/// Most numbers in a row, an output or a kernel, and the largest stride and padding: bounds what a layout's tables take.
const MOST: usize = 1 << 24;

/// A linear layer: what a row of its input, a row of its output and its weights are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinearShape {
    /// y = x W. Weights are inputs x outputs, row-major.
    Dense {
        /// Numbers in a row of x.
        inputs: usize,
        /// Numbers in a row of y.
        outputs: usize,
    },
    /// Cross-correlation of pictures, as PyTorch's `Conv2d` without dilation and groups. A row of x is channels x height x width, row-major, and so is a row of
    /// y. Weights are [outputs, inputs, kernel height, kernel width], row-major.
    Convolution {
        /// Input and output channels.
        channels: [usize; 2],
        /// Height and width of a channel of the input.
        image: [usize; 2],
        /// Height and width of the kernel.
        kernel: [usize; 2],
        /// Rows and columns from one output to the next.
        stride: [usize; 2],
        /// Rows of zeros above and below, columns of zeros left and right.
        padding: [usize; 2],
    },
}

impl LinearShape {
    /// Numbers in a row of the input; the largest `usize` if there are more.
    pub fn inputs(&self) -> usize {
        match *self {
            Self::Dense { inputs, .. } => inputs,
            Self::Convolution { channels, image, .. } => product([channels[0], image[0], image[1]]),
        }
    }

    /// Numbers in a row of the output; 0 where the kernel does not fit the padded picture, or the stride is 0.
    pub fn outputs(&self) -> usize {
        match *self {
            Self::Dense { outputs, .. } => outputs,
            Self::Convolution { channels, .. } => {
                let [height, width] = self.output_image();
                product([channels[1], height, width])
            }
        }
    }

    /// Number of weights.
    pub fn weights(&self) -> usize {
        match *self {
            Self::Dense { inputs, outputs } => product([inputs, outputs]),
            Self::Convolution { channels, kernel, .. } => product([product(channels), kernel[0], kernel[1]]),
        }
    }

    /// Height and width of a channel of the output; 1 x 1 for a dense layer.
    pub fn output_image(&self) -> [usize; 2] {
        match *self {
            Self::Dense { .. } => [1, 1],
            Self::Convolution {
                image,
                kernel,
                stride,
                padding,
                ..
            } => [0, 1].map(|axis| places(image[axis], kernel[axis], stride[axis], padding[axis])),
        }
    }

    /// All sizes, and what kind it is.
    pub(crate) fn numbers(&self) -> [u64; 11] {
        let numbers = match *self {
            Self::Dense { inputs, outputs } => [0, inputs, outputs, 0, 0, 0, 0, 0, 0, 0, 0],
            Self::Convolution {
                channels: [c, d],
                image: [h, w],
                kernel: [i, j],
                stride: [s, t],
                padding: [p, q],
            } => [1, c, d, h, w, i, j, s, t, p, q],
        };
        numbers.map(|number| number as u64)
    }

    /// Whether there is something to compute, of a size that can be laid out.
    pub(crate) fn is_reasonable(&self) -> bool {
        let steps = match *self {
            Self::Dense { .. } => [1; 4],
            Self::Convolution { stride, padding, .. } => [
                stride[0],
                stride[1],
                padding[0].saturating_add(1),
                padding[1].saturating_add(1),
            ],
        };
        let sizes = [self.inputs(), self.outputs(), self.weights()];
        sizes.iter().chain(&steps).all(|size| (1..=MOST).contains(size))
    }
}

/// Places of a kernel along one axis.
fn places(image: usize, kernel: usize, stride: usize, padding: usize) -> usize {
    let padded = padding.checked_mul(2).and_then(|both| image.checked_add(both));
    match padded.and_then(|padded| padded.checked_sub(kernel)) {
        Some(room) if stride > 0 && kernel > 0 && image > 0 => room / stride + 1,
        _ => 0,
    }
}

fn product<const COUNT: usize>(factors: [usize; COUNT]) -> usize {
    factors.into_iter().fold(1, usize::saturating_mul)
}
