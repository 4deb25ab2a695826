//! Batch normalisation. With x^ = (x - mean) / sqrt(var + eps) over the n values of a channel: y = w x^ + b, db = sum dy,
//! dw = sum dy x^, dx = w / sqrt(var + eps) (dy - db / n - x^ dw / n).

use burn::tensor::Device;

use super::batch::{Batch, read, tensor, write};
use super::buffer::Buffer;
use super::layer::{InputGradient, Layer, Place};
use super::normalise::{dot, sum};
use super::parameter::Parameter;

pub struct BatchNorm {
    place: Place,
    weight: Parameter,
    bias: Parameter,
    mean: Buffer,
    variance: Buffer,
    /// Values of a channel in one sample.
    positions: usize,
    epsilon: f64,
    momentum: f64,
    saved: Option<Saved>,
}

struct Saved {
    /// x^.
    normalised: Batch,
    /// 1 / sqrt(var + eps) of each channel.
    scale: Vec<f64>,
}

impl BatchNorm {
    pub fn new(place: Place, channels: usize, positions: usize, epsilon: f64, momentum: f64) -> Self {
        let constant = |name, value| Parameter::constant(place.name(name), vec![channels], value);
        Self {
            weight: constant("weight", 1.0),
            bias: constant("bias", 0.0),
            mean: Buffer::new(place.name("running_mean"), channels, 0.0, f32::MIN),
            variance: Buffer::new(place.name("running_var"), channels, 1.0, 0.0),
            place,
            positions,
            epsilon,
            momentum,
            saved: None,
        }
    }

    fn channels(&self) -> usize {
        self.mean.values().len()
    }

    /// Where in a batch of `len` values those of a channel lie, sample by sample.
    fn planes(&self, channel: usize, len: usize) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (positions, sample) = (self.positions, self.positions * self.channels());
        let starts = (channel * positions..len).step_by(sample);
        starts.map(move |start| start..start + positions)
    }

    /// Mean of a channel and the sum of its squared deviations.
    fn statistics(&self, values: &[f32], channel: usize) -> (f64, f64) {
        let planes = || self.planes(channel, values.len());
        let count = (values.len() / self.channels()) as f64;
        let mean = planes().map(|plane| sum(&values[plane], |x| x)).sum::<f64>() / count;
        let squares = planes().map(|plane| sum(&values[plane], |x| (x - mean) * (x - mean))).sum();
        (mean, squares)
    }

    /// Moves the running statistics towards a batch's, with the unbiased variance.
    fn follow(&mut self, channel: usize, mean: f64, unbiased: f64) {
        let momentum = self.momentum;
        let follow = |value: &mut f32, to: f64| *value = ((1.0 - momentum) * f64::from(*value) + momentum * to) as f32;
        follow(&mut self.mean.values_mut()[channel], mean);
        follow(&mut self.variance.values_mut()[channel], unbiased);
    }

    /// Changes every value together with two numbers of its channel.
    fn map(&self, batch: Batch, of_channel: &[[f32; 2]], change: impl Fn(f32, [f32; 2]) -> f32) -> Batch {
        let mut data = batch.into_data();
        for sample in write(&mut data).chunks_exact_mut(self.positions * self.channels()) {
            for (plane, numbers) in sample.chunks_exact_mut(self.positions).zip(of_channel) {
                plane.iter_mut().for_each(|x| *x = change(*x, *numbers));
            }
        }
        Batch::from_data(data, &Device::flex())
    }

    /// Weight and bias of each channel.
    fn factors(&self) -> Vec<[f32; 2]> {
        let (weight, bias) = (self.weight.tensor().into_data(), self.bias.tensor().into_data());
        read(&weight).iter().zip(read(&bias)).map(|(w, b)| [*w, *b]).collect()
    }
}

impl Layer for BatchNorm {
    fn forward(&self, x: Batch) -> Batch {
        let running = self.mean.values().iter().zip(self.variance.values());
        let factor = |([w, b], (mean, variance)): ([f32; 2], (&f32, &f32))| {
            let factor = f64::from(w) / (f64::from(*variance) + self.epsilon).sqrt();
            [factor as f32, (f64::from(b) - f64::from(*mean) * factor) as f32]
        };
        let factors: Vec<_> = self.factors().into_iter().zip(running).map(factor).collect();
        self.map(x, &factors, |x, [factor, shift]| x * factor + shift)
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        let (mut scale, mut centring) = (Vec::new(), Vec::new());
        let data = x.clone().into_data();
        let count = (read(&data).len() / self.channels()) as f64;
        for channel in 0..self.channels() {
            let (mean, squares) = self.statistics(read(&data), channel);
            self.follow(channel, mean, squares / (count - 1.0));
            scale.push(1.0 / (squares / count + self.epsilon).sqrt());
            centring.push([mean as f32, scale[channel] as f32]);
        }
        drop(data);
        let normalised = self.map(x, &centring, |x, [mean, scale]| (x - mean) * scale);
        let y = self.map(normalised.clone(), &self.factors(), |x, [w, b]| x * w + b);
        self.saved = Some(Saved { normalised, scale });
        y
    }

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        let Saved { normalised, scale } = self.saved.take().expect("forward_train came before");
        let (mut gradient, normalised) = (gradient.into_data(), normalised.into_data());
        let (dy, x) = (write(&mut gradient), read(&normalised));
        let count = (x.len() / self.channels()) as f64;
        let weight = self.weight.tensor().into_data();
        let (mut weight_gradient, mut bias_gradient) = (Vec::new(), Vec::new());
        for (channel, scale) in scale.iter().enumerate() {
            let planes = || self.planes(channel, x.len());
            let total: f64 = planes().map(|plane| sum(&dy[plane], |dy| dy)).sum();
            let along: f64 = planes().map(|plane| dot(&dy[plane.clone()], &x[plane])).sum();
            weight_gradient.push(along as f32);
            bias_gradient.push(total as f32);
            if wanted == InputGradient::Wanted {
                let factor = (f64::from(read(&weight)[channel]) * scale) as f32;
                let (total, along) = ((total / count) as f32, (along / count) as f32);
                for plane in planes() {
                    for (dy, x) in dy[plane.clone()].iter_mut().zip(&x[plane]) {
                        *dy = factor * (*dy - total - x * along);
                    }
                }
            }
        }
        let channels = self.channels();
        self.weight.set_gradient(tensor(weight_gradient, [1, channels]));
        self.bias.set_gradient(tensor(bias_gradient, [1, channels]));
        (wanted == InputGradient::Wanted).then(|| Batch::from_data(gradient, &Device::flex()))
    }

    fn parameters(&self) -> Vec<&Parameter> {
        vec![&self.weight, &self.bias]
    }

    fn parameters_mut(&mut self) -> Vec<&mut Parameter> {
        vec![&mut self.weight, &mut self.bias]
    }

    fn buffers(&self) -> Vec<&Buffer> {
        vec![&self.mean, &self.variance]
    }

    fn buffers_mut(&mut self) -> Vec<&mut Buffer> {
        vec![&mut self.mean, &mut self.variance]
    }

    fn needs_rows(&self) -> Option<&str> {
        (self.positions == 1).then(|| self.place.layer())
    }
}
