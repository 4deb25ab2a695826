//! Layer normalisation. With x^ = (x - mean) / sqrt(var + eps) over each group of n values, the last axes of a sample: y = w x^ + b,
//! db = sum of dy and dw = sum of dy x^ over the groups, dx = (g - mean of g - x^ mean of g x^) / sqrt(var + eps) where g = w dy.

use burn::tensor::Device;

use super::batch::{Batch, read, tensor, write};
use super::layer::{InputGradient, Layer, Place};
use super::normalise::{dot, sum};
use super::parameter::Parameter;

pub struct LayerNorm {
    weight: Parameter,
    bias: Parameter,
    /// Values in a group.
    size: usize,
    epsilon: f64,
    saved: Option<Saved>,
}

struct Saved {
    /// x^.
    normalised: Batch,
    /// 1 / sqrt(var + eps) of each group.
    scale: Vec<f64>,
}

impl LayerNorm {
    /// Over groups of the shape `axes`.
    pub fn new(place: &Place, axes: &[usize], epsilon: f64) -> Self {
        let constant = |name, value| Parameter::constant(place.name(name), axes.to_vec(), value);
        Self {
            weight: constant("weight", 1.0),
            bias: constant("bias", 0.0),
            size: axes.iter().product(),
            epsilon,
            saved: None,
        }
    }

    /// x^ and the scale of each group.
    fn normalise(&self, x: Batch) -> Saved {
        let mut data = x.into_data();
        let values = write(&mut data);
        let mut scale = Vec::with_capacity(values.len() / self.size);
        for group in values.chunks_exact_mut(self.size) {
            let mean = sum(group, |x| x) / self.size as f64;
            let variance = sum(group, |x| (x - mean) * (x - mean)) / self.size as f64;
            let factor = 1.0 / (variance + self.epsilon).sqrt();
            let (mean, narrow) = (mean as f32, factor as f32);
            group.iter_mut().for_each(|x| *x = (*x - mean) * narrow);
            scale.push(factor);
        }
        let normalised = Batch::from_data(data, &Device::flex());
        Saved { normalised, scale }
    }

    fn scale_and_shift(&self, normalised: Batch) -> Batch {
        let (weight, bias) = (self.weight.tensor().into_data(), self.bias.tensor().into_data());
        let mut data = normalised.into_data();
        for group in write(&mut data).chunks_exact_mut(self.size) {
            for (x, (w, b)) in group.iter_mut().zip(read(&weight).iter().zip(read(&bias))) {
                *x = *x * w + b;
            }
        }
        Batch::from_data(data, &Device::flex())
    }
}

impl Layer for LayerNorm {
    fn forward(&self, x: Batch) -> Batch {
        self.scale_and_shift(self.normalise(x).normalised)
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        let saved = self.normalise(x);
        let y = self.scale_and_shift(saved.normalised.clone());
        self.saved = Some(saved);
        y
    }

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        let Saved { normalised, scale } = self.saved.take().expect("forward_train came before");
        let (mut gradient, normalised) = (gradient.into_data(), normalised.into_data());
        let weight = self.weight.tensor().into_data();
        let (mut weight_gradient, mut bias_gradient) = (vec![0.0; self.size], vec![0.0; self.size]);
        let groups = write(&mut gradient).chunks_exact_mut(self.size);
        for ((dy, x), scale) in groups.zip(read(&normalised).chunks_exact(self.size)).zip(scale) {
            let sums = weight_gradient.iter_mut().zip(&mut bias_gradient);
            for ((dy, x), (dw, db)) in dy.iter().zip(x).zip(sums) {
                *dw += f64::from(*dy) * f64::from(*x);
                *db += f64::from(*dy);
            }
            if wanted == InputGradient::Wanted {
                input_gradient(dy, x, read(&weight), scale);
            }
        }
        let narrow = |sums: Vec<f64>| tensor(sums.into_iter().map(|sum| sum as f32).collect(), [1, self.size]);
        let (weight_gradient, bias_gradient) = (narrow(weight_gradient), narrow(bias_gradient));
        self.weight.set_gradient(weight_gradient);
        self.bias.set_gradient(bias_gradient);
        (wanted == InputGradient::Wanted).then(|| Batch::from_data(gradient, &Device::flex()))
    }

    fn parameters(&self) -> Vec<&Parameter> {
        vec![&self.weight, &self.bias]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        vec![&mut self.weight, &mut self.bias]
    }
}

/// dy of one group becomes dx.
fn input_gradient(dy: &mut [f32], x: &[f32], weight: &[f32], scale: f64) {
    dy.iter_mut().zip(weight).for_each(|(dy, w)| *dy *= w);
    let mean = (sum(dy, |g| g) / dy.len() as f64) as f32;
    let along = (dot(dy, x) / dy.len() as f64) as f32;
    let scale = scale as f32;
    dy.iter_mut().zip(x).for_each(|(g, x)| *g = scale * (*g - mean - x * along));
}
