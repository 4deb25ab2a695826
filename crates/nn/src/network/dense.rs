//! Dense: y = xW + b, dW = x^T dy, db = sum of dy over the batch, dx = dy W^T.

use burn::tensor::{Tensor, module};

use super::batch::Batch;
use super::layer::{InputGradient, Layer};
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

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        let x = self.input.take().expect("forward_train came before");
        let gradient: Tensor<2> = gradient.squeeze_dim(1);
        self.weight.set_gradient(x.transpose().matmul(gradient.clone()));
        if let Some(bias) = &mut self.bias {
            bias.set_gradient(gradient.clone().sum_dim(0));
        }
        (wanted == InputGradient::Wanted).then(|| gradient.matmul(self.weight.tensor().transpose()).unsqueeze_dim(1))
    }

    fn parameters(&self) -> Vec<&Parameter> {
        std::iter::once(&self.weight).chain(&self.bias).collect()
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        std::iter::once(&mut self.weight).chain(&mut self.bias).collect()
    }
}
