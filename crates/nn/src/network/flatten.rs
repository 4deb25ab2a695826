//! Flatten: the channels of a sample one after the other.

use super::batch::Batch;
use super::layer::{InputGradient, Layer};

#[derive(Default)]
pub struct Flatten {
    input: Option<[usize; 3]>,
}

impl Layer for Flatten {
    fn forward(&self, x: Batch) -> Batch {
        let [batch, channels, length] = x.dims();
        x.reshape([batch, 1, channels * length])
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        self.input = Some(x.dims());
        self.forward(x)
    }

    fn backward(&mut self, gradient: Batch, _wanted: InputGradient) -> Option<Batch> {
        let input = self.input.take().expect("forward_train came before");
        Some(gradient.reshape(input))
    }
}
