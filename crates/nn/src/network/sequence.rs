//! Layers one after the other: a whole network, or a branch of a residual block.

use super::batch::Batch;
use super::buffer::Buffer;
use super::layer::{InputGradient, Layer};
use super::parameter::Parameter;

/// The layers, first to last; without any, what comes in goes out.
pub struct Sequence(Vec<Box<dyn Layer>>);

impl Sequence {
    pub fn new(layers: Vec<Box<dyn Layer>>) -> Self {
        Self(layers)
    }

    /// As [`Layer::forward`].
    pub fn forward(&self, x: Batch) -> Batch {
        self.0.iter().fold(x, |x, layer| layer.forward(x))
    }

    /// As [`Layer::forward_train`].
    pub fn forward_train(&mut self, step: u64, x: Batch) -> Batch {
        self.0.iter_mut().fold(x, |x, layer| layer.forward_train(step, x))
    }

    /// As [`Layer::backward`]: goes back through the layers, no further than somebody needs.
    pub fn backward(&mut self, gradient: Batch, input_gradient: InputGradient) -> Option<Batch> {
        let first = match input_gradient {
            InputGradient::Wanted => 0,
            InputGradient::NotWanted => self.0.iter().position(|layer| !layer.parameters().is_empty())?,
        };
        let mut gradient = Some(gradient);
        for (index, layer) in self.0.iter_mut().enumerate().skip(first).rev() {
            let wanted = if index > first {
                InputGradient::Wanted
            } else {
                input_gradient
            };
            gradient = layer.backward(gradient?, wanted);
        }
        gradient
    }

    pub fn parameters(&self) -> impl Iterator<Item = &Parameter> {
        self.0.iter().flat_map(|layer| layer.parameters())
    }

    pub fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Parameter> {
        self.0.iter_mut().flat_map(|layer| layer.parameters_mut())
    }

    pub fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        self.0.iter().flat_map(|layer| layer.buffers())
    }

    pub fn buffers_mut(&mut self) -> impl Iterator<Item = &mut Buffer> {
        self.0.iter_mut().flat_map(|layer| layer.buffers_mut())
    }

    /// As [`Layer::needs_rows`].
    pub fn needs_rows(&self) -> Option<&str> {
        self.0.iter().find_map(|layer| layer.needs_rows())
    }
}
