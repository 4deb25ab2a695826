//! GELU in its exact form: x P(X <= x) for a standard normal X, which PyTorch computes by default.

use std::f32::consts::FRAC_1_SQRT_2;

use super::batch::{Batch, zip_map};
use super::layer::{InputGradient, Layer};

#[derive(Default)]
pub struct Gelu {
    derivative: Option<Batch>,
}

impl Layer for Gelu {
    fn forward(&self, x: Batch) -> Batch {
        zip_map(x.clone(), cumulative(x), |x, cumulative| x * cumulative)
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        let cumulative = cumulative(x.clone());
        self.derivative = Some(zip_map(cumulative.clone(), x.clone(), |cumulative, x| {
            cumulative + x * density(x)
        }));
        zip_map(cumulative, x, |cumulative, x| x * cumulative)
    }

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        let derivative = self.derivative.take().expect("forward_train came before");
        (wanted == InputGradient::Wanted).then(|| gradient * derivative)
    }
}

/// P(X <= x).
fn cumulative(x: Batch) -> Batch {
    (x * FRAC_1_SQRT_2).erf().mul_scalar(0.5).add_scalar(0.5)
}

/// exp(-x^2 / 2) / sqrt(2 pi).
fn density(x: f32) -> f32 {
    const AT_ZERO: f32 = 0.398_942_3;
    (-0.5 * x * x).exp() * AT_ZERO
}
