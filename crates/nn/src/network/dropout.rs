//! Dropout: the mask is a function of (seed, layer, step), so a repeated step drops the same values.

use super::batch::{Batch, tensor};
use super::layer::{InputGradient, Layer};
use crate::streams::Stream;

pub struct Dropout {
    layer: u64,
    rate: f64,
    seed: u64,
    mask: Option<Batch>,
}

impl Dropout {
    pub fn new(layer: u64, rate: f64, seed: u64) -> Self {
        Self {
            layer,
            rate,
            seed,
            mask: None,
        }
    }
}

impl Layer for Dropout {
    fn forward(&self, x: Batch) -> Batch {
        x
    }

    fn forward_train(&mut self, step: u64, x: Batch) -> Batch {
        let shape = x.dims();
        let kept = (1.0 / (1.0 - self.rate)) as f32;
        let values = Stream::dropout(self.seed, self.layer, step).mask(shape.iter().product(), self.rate, kept);
        let mask = tensor(values, shape);
        self.mask = Some(mask.clone());
        x * mask
    }

    fn backward(&mut self, gradient: Batch, _wanted: InputGradient) -> Option<Batch> {
        let mask = self.mask.take().expect("forward_train came before");
        Some(gradient * mask)
    }
}
