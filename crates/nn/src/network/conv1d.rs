//! Conv1d as a matrix product over windows laid out side by side: for each sample, y (channels x length) is the kernel
//! (channels x window) times its windows (window x length). On small batches that is about four times as fast as the
//! engine's own convolution, and the weight gradient uses the same windows again.

use burn::tensor::ops::{ConvTransposeOptions, PadMode};
use burn::tensor::{Tensor, module};

use super::batch::Batch;
use super::layer::{InputGradient, Layer};
use super::offload::{Form, LinearForm, Windows};
use super::parameter::Parameter;

/// Sizes of the convolution.
#[derive(Clone, Copy)]
pub struct Window {
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

pub struct Conv1d {
    /// (output channels) x (input channels * kernel).
    weight: Parameter,
    /// (output channels) x 1.
    bias: Option<Parameter>,
    window: Window,
    /// Of a sample.
    length: usize,
    saved: Option<Saved>,
}

struct Saved {
    input: [usize; 3],
    windows: Batch,
}

impl Conv1d {
    pub fn new(weight: Parameter, bias: Option<Parameter>, window: Window, length: usize) -> Self {
        Self {
            weight,
            bias,
            window,
            length,
            saved: None,
        }
    }

    /// `[batch, input channels * kernel, output length]`.
    fn windows(&self, x: Batch) -> Batch {
        let Window { kernel, stride, padding } = self.window;
        let [batch, channels, _] = x.dims();
        let padded = if padding == 0 {
            x
        } else {
            x.pad([(padding, padding)], PadMode::Constant(0.0))
        };
        let unfolded: Tensor<4> = padded.unfold(2, kernel, stride);
        let length = unfolded.dims()[2];
        unfolded.swap_dims(2, 3).reshape([batch, channels * kernel, length])
    }

    fn product(&self, windows: Batch) -> Batch {
        let y = self.weight.tensor().unsqueeze::<3>().matmul(windows);
        match &self.bias {
            Some(bias) => y + bias.tensor().unsqueeze::<3>(),
            None => y,
        }
    }

    fn input_gradient(&self, gradient: Batch, [_, channels, length]: [usize; 3]) -> Batch {
        let Window { kernel, stride, padding } = self.window;
        // Values at the end that no window reached.
        let unreached = (length + 2 * padding - kernel) % stride;
        let weight = self.weight.tensor();
        let outputs = weight.dims()[0];
        let options = ConvTransposeOptions::new([stride], [padding], [unreached], [1], 1);
        module::conv_transpose1d(gradient, weight.reshape([outputs, channels, kernel]), None, options)
    }
}

impl Layer for Conv1d {
    fn forward(&self, x: Batch) -> Batch {
        self.product(self.windows(x))
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        let input = x.dims();
        let windows = self.windows(x);
        self.saved = Some(Saved {
            input,
            windows: windows.clone(),
        });
        self.product(windows)
    }

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        let Saved { input, windows } = self.saved.take().expect("forward_train came before");
        let per_sample = gradient.clone().matmul(windows.swap_dims(1, 2));
        self.weight.set_gradient(per_sample.sum_dim(0).squeeze_dim(0));
        if let Some(bias) = &mut self.bias {
            bias.set_gradient(gradient.clone().sum_dim(2).sum_dim(0).squeeze_dim(0));
        }
        (wanted == InputGradient::Wanted).then(|| self.input_gradient(gradient, input))
    }

    fn form(&self) -> Option<Form> {
        let Window { kernel, stride, padding } = self.window;
        Some(Form::Linear(LinearForm::Convolution(Windows {
            channels: self.weight.shape()[1],
            image: [1, self.length],
            kernel: [1, kernel],
            stride,
            padding: [0, padding],
        })))
    }

    fn parameters(&self) -> Vec<&Parameter> {
        std::iter::once(&self.weight).chain(&self.bias).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        std::iter::once(&mut self.weight).chain(&mut self.bias).collect()
    }
}
