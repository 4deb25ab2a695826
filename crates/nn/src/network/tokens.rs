//! Samples as tokens: from planes to rows of tokens, an embedding of their positions, and the mean over them.

use super::batch::{Batch, read, tensor, write};
use super::layer::{InputGradient, Layer};
use super::parameter::Parameter;
use burn::tensor::Device;

/// `[width, tokens]` to `[tokens, width]`.
pub struct TokensFirst;

impl Layer for TokensFirst {
    fn forward(&self, x: Batch) -> Batch {
        x.swap_dims(1, 2)
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        self.forward(x)
    }

    fn backward(&mut self, gradient: Batch, _wanted: InputGradient) -> Option<Batch> {
        Some(gradient.swap_dims(1, 2))
    }
}

/// Adds a learned number to each value of a sample.
pub struct Positions(Parameter);

impl Positions {
    /// The weight has the sample's shape.
    pub fn new(weight: Parameter) -> Self {
        Self(weight)
    }
}

impl Layer for Positions {
    fn forward(&self, x: Batch) -> Batch {
        let (mut data, weight) = (x.into_data(), self.0.tensor().into_data());
        let weight = read(&weight);
        for sample in write(&mut data).chunks_exact_mut(weight.len()) {
            sample.iter_mut().zip(weight).for_each(|(x, w)| *x += w);
        }
        Batch::from_data(data, &Device::flex())
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        self.forward(x)
    }

    fn backward(&mut self, gradient: Batch, _wanted: InputGradient) -> Option<Batch> {
        let [_, tokens, width] = gradient.dims();
        let data = gradient.clone().into_data();
        let mut sums = vec![0.0; tokens * width];
        for sample in read(&data).chunks_exact(tokens * width) {
            sums.iter_mut().zip(sample).for_each(|(sum, d)| *sum += d);
        }
        self.0.set_gradient(tensor(sums, [1, tokens * width]));
        Some(gradient)
    }

    fn parameters(&self) -> Vec<&Parameter> {
        vec![&self.0]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        vec![&mut self.0]
    }
}

/// The mean over the tokens.
#[derive(Default)]
pub struct MeanTokens {
    tokens: Option<usize>,
}

impl Layer for MeanTokens {
    fn forward(&self, x: Batch) -> Batch {
        let [batch, tokens, width] = x.dims();
        let data = x.into_data();
        let mut values = Vec::with_capacity(batch * width);
        for sample in read(&data).chunks_exact(tokens * width) {
            let mut sums = vec![0.0; width];
            for token in sample.chunks_exact(width) {
                sums.iter_mut().zip(token).for_each(|(sum, x)| *sum += f64::from(*x));
            }
            values.extend(sums.into_iter().map(|sum| (sum / tokens as f64) as f32));
        }
        tensor(values, [batch, 1, width])
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        self.tokens = Some(x.dims()[1]);
        self.forward(x)
    }

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        let tokens = self.tokens.take().expect("forward_train came before");
        if wanted == InputGradient::NotWanted {
            return None;
        }
        let [batch, _, width] = gradient.dims();
        let data = gradient.into_data();
        let mut values = Vec::with_capacity(batch * tokens * width);
        for sample in read(&data).chunks_exact(width) {
            let share = sample.iter().map(|d| d / tokens as f32);
            (0..tokens).for_each(|_| values.extend(share.clone()));
        }
        Some(tensor(values, [batch, tokens, width]))
    }
}
