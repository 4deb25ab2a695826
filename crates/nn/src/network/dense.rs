//! Dense: y = xW + b, dW = x^T dy, db = sum of dy over the rows, dx = dy W^T. A row is a sample, or a token of one.

use burn::tensor::{Tensor, module};

use super::batch::Batch;
use super::layer::{InputGradient, Layer, Linear};
use super::offload::{Form, LinearForm};
use super::parameter::Parameter;

pub struct Dense {
    weight: Parameter,
    bias: Option<Parameter>,
    /// Rows of a sample: its tokens, or one.
    rows: usize,
    input: Option<Tensor<2>>,
}

impl Dense {
    /// On samples of so many rows.
    pub fn new(weight: Parameter, bias: Option<Parameter>, rows: usize) -> Self {
        Self {
            weight,
            bias,
            rows,
            input: None,
        }
    }

    fn product(&self, x: Tensor<2>) -> Batch {
        let bias = self.bias.as_ref().map(|bias| bias.tensor().flatten(0, 1));
        self.in_samples(module::linear(x, self.weight.tensor(), bias))
    }

    fn in_samples(&self, rows: Tensor<2>) -> Batch {
        let [all, values] = rows.dims();
        rows.reshape([all / self.rows, self.rows, values])
    }
}

fn rows(x: Batch) -> Tensor<2> {
    x.flatten(0, 1)
}

impl Layer for Dense {
    fn forward(&self, x: Batch) -> Batch {
        self.product(rows(x))
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        let x = rows(x);
        self.input = Some(x.clone());
        self.product(x)
    }

    fn backward(&mut self, dy: Batch, wanted: InputGradient) -> Option<Batch> {
        let x = self.input.take().expect("forward_train came before");
        let gradient = rows(dy.clone());
        self.weight.set_gradient(x.transpose().matmul(gradient.clone()));
        self.set_bias_gradient(&dy);
        (wanted == InputGradient::Wanted).then(|| self.in_samples(gradient.matmul(self.weight.tensor().transpose())))
    }

    fn form(&self) -> Option<Form> {
        Some(Form::Linear(LinearForm::Dense { rows: self.rows }))
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
            bias.set_gradient(rows(dy.clone()).sum_dim(0));
        }
    }
}
