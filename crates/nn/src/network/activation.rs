//! Activations: value by value, with a derivative that the output alone determines.

use burn::tensor::activation;

use super::batch::{Batch, zip_map};
use super::layer::{InputGradient, Layer};

/// The function applied to each value.
#[derive(Clone, Copy)]
pub enum Function {
    Relu,
    LeakyRelu { slope: f32 },
    Sigmoid,
    Tanh,
}

pub struct Activation {
    function: Function,
    output: Option<Batch>,
}

impl Activation {
    pub fn new(function: Function) -> Self {
        Self { function, output: None }
    }
}

impl Layer for Activation {
    fn forward(&self, x: Batch) -> Batch {
        match self.function {
            Function::Relu => activation::relu(x),
            Function::LeakyRelu { slope } => activation::leaky_relu(x, f64::from(slope)),
            Function::Sigmoid => activation::sigmoid(x),
            Function::Tanh => x.tanh(),
        }
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        let y = self.forward(x);
        self.output = Some(y.clone());
        y
    }

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        let output = self.output.take().expect("forward_train came before");
        if wanted == InputGradient::NotWanted {
            return None;
        }
        Some(match self.function {
            Function::Relu => zip_map(gradient, output, |d, y| if y > 0.0 { d } else { 0.0 }),
            // A slope is not negative, so the output is positive exactly where the input is.
            Function::LeakyRelu { slope } => zip_map(gradient, output, |d, y| if y > 0.0 { d } else { d * slope }),
            Function::Sigmoid => zip_map(gradient, output, |d, y| d * y * (1.0 - y)),
            Function::Tanh => zip_map(gradient, output, |d, y| d * (1.0 - y * y)),
        })
    }
}
