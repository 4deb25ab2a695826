//! Residual block: y = body(x) + shortcut(x), dx = both branches' dx.

use super::batch::Batch;
use super::buffer::Buffer;
use super::layer::{InputGradient, Layer};
use super::parameter::Parameter;
use super::sequence::Sequence;

pub struct Residual {
    body: Sequence,
    /// Without layers, the identity.
    shortcut: Sequence,
}

impl Residual {
    pub fn new(body: Sequence, shortcut: Sequence) -> Self {
        Self { body, shortcut }
    }
}

impl Layer for Residual {
    fn forward(&self, x: Batch) -> Batch {
        self.body.forward(x.clone()) + self.shortcut.forward(x)
    }

    fn forward_train(&mut self, step: u64, x: Batch) -> Batch {
        self.body.forward_train(step, x.clone()) + self.shortcut.forward_train(step, x)
    }

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        let body = self.body.backward(gradient.clone(), wanted);
        let shortcut = self.shortcut.backward(gradient, wanted);
        (wanted == InputGradient::Wanted).then_some(body? + shortcut?)
    }

    fn parameters(&self) -> Vec<&Parameter> {
        self.body.parameters().chain(self.shortcut.parameters()).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        self.body.parameters_mut().chain(self.shortcut.parameters_mut()).collect()
    }

    fn buffers(&self) -> Vec<&Buffer> {
        self.body.buffers().chain(self.shortcut.buffers()).collect()
    }

    fn buffers_mut(&mut self) -> Vec<&mut Buffer> {
        self.body.buffers_mut().chain(self.shortcut.buffers_mut()).collect()
    }

    fn needs_rows(&self) -> Option<&str> {
        self.body.needs_rows().or(self.shortcut.needs_rows())
    }
}
