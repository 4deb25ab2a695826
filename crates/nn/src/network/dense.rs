//! Dense: y = xW + b, dW = x^T dy, db = sum of dy over the batch, dx = dy W^T.

use burn::tensor::{Tensor, module};

use super::batch::Batch;
use super::layer::{InputGradient, Layer, Linear};
use super::parameter::Parameter;

pub struct Dense {
    weight: Parameter,
    bias: Option<Parameter>,
    input: Option<Tensor<2>>,
}

impl Dense {
    pub fn new(weight: Parameter, bias: Option<Parameter>) -> Self {
        Self {
            weight,
            bias,
            input: None,
        }
    }

    fn product(&self, x: Tensor<2>) -> Batch {
        let bias = self.bias.as_ref().map(|bias| bias.tensor().flatten(0, 1));
        module::linear(x, self.weight.tensor(), bias).unsqueeze_dim(1)
    }
}

impl Layer for Dense {
    fn forward(&self, x: Batch) -> Batch {
        self.product(x.squeeze_dim(1))
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        let x: Tensor<2> = x.squeeze_dim(1);
        self.input = Some(x.clone());
        self.product(x)
    }

    fn backward(&mut self, dy: Batch, wanted: InputGradient) -> Option<Batch> {
        let x = self.input.take().expect("forward_train came before");
        let gradient: Tensor<2> = dy.clone().squeeze_dim(1);
        self.weight.set_gradient(x.transpose().matmul(gradient.clone()));
        self.set_bias_gradient(&dy);
        (wanted == InputGradient::Wanted).then(|| gradient.matmul(self.weight.tensor().transpose()).unsqueeze_dim(1))
    }

    fn linear(&self) -> Option<&dyn Linear> {
        Some(self)
    }

    fn linear_mut(&mut self) -> Option<&mut dyn Linear> {
        Some(self)
    }

    fn parameters(&self) -> Vec<&Parameter> {
        std::iter::once(&self.weight).chain(&self.bias).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        std::iter::once(&mut self.weight).chain(&mut self.bias).collect()
    }
}

impl Linear for Dense {
    fn add_bias(&self, product: Batch) -> Batch {
        match &self.bias {
            Some(bias) => product + bias.tensor().unsqueeze_dim(1),
            None => product,
        }
    }

    fn set_bias_gradient(&mut self, dy: &Batch) {
        if let Some(bias) = &mut self.bias {
            bias.set_gradient(dy.clone().squeeze_dim::<2>(1).sum_dim(0));
        }
    }
}
