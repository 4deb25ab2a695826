//! Pooling along the length, in plain loops: burn's indexed pooling and its scatter take about ten times as long.

use burn::tensor::TensorData;

use super::batch::{Batch, read, tensor};
use super::layer::{InputGradient, Layer};

/// The windows of a pooling layer; they never reach beyond the sample.
#[derive(Clone, Copy)]
pub struct Pool {
    pub size: usize,
    pub stride: usize,
}

/// Shape of the input of a pooling layer, and for the maximum the position of each in its window.
struct Saved {
    input: [usize; 3],
    chosen: Vec<u32>,
}

pub struct MaxPool1d {
    pool: Pool,
    saved: Option<Saved>,
}

pub struct AvgPool1d {
    pool: Pool,
    input: Option<[usize; 3]>,
}

impl Pool {
    fn outputs(self, length: usize) -> usize {
        (length - self.size) / self.stride + 1
    }

    /// One value for each window of `x`.
    fn reduce(self, x: Batch, mut reduce: impl FnMut(&[f32]) -> f32) -> Batch {
        let [batch, channels, length] = x.dims();
        let outputs = self.outputs(length);
        let data: TensorData = x.into_data();
        let mut values = Vec::with_capacity(batch * channels * outputs);
        for row in read(&data).chunks_exact(length) {
            values.extend(row.windows(self.size).step_by(self.stride).map(&mut reduce));
        }
        tensor(values, [batch, channels, outputs])
    }

    /// A zero batch of shape `input`, to whose windows `spread` adds each gradient; its number comes third.
    fn spread(self, gradient: Batch, input: [usize; 3], spread: impl Fn(&mut [f32], f32, usize)) -> Batch {
        let [batch, channels, length] = input;
        let outputs = self.outputs(length);
        let data = gradient.into_data();
        let mut values = vec![0.0; batch * channels * length];
        for (number, gradient) in read(&data).iter().enumerate() {
            let start = number / outputs * length + number % outputs * self.stride;
            spread(&mut values[start..start + self.size], *gradient, number);
        }
        tensor(values, input)
    }
}

impl MaxPool1d {
    pub fn new(pool: Pool) -> Self {
        Self { pool, saved: None }
    }
}

impl Layer for MaxPool1d {
    fn forward(&self, x: Batch) -> Batch {
        self.pool.reduce(x, |window| window[first_largest(window)])
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        let input = x.dims();
        let mut chosen = Vec::with_capacity(x.shape().num_elements() / self.pool.stride);
        let y = self.pool.reduce(x, |window| {
            let position = first_largest(window);
            chosen.push(position as u32);
            window[position]
        });
        self.saved = Some(Saved { input, chosen });
        y
    }

    fn backward(&mut self, gradient: Batch, _wanted: InputGradient) -> Option<Batch> {
        let Saved { input, chosen } = self.saved.take().expect("forward_train came before");
        Some(self.pool.spread(gradient, input, |window, gradient, number| {
            window[chosen[number] as usize] += gradient
        }))
    }
}

impl AvgPool1d {
    pub fn new(pool: Pool) -> Self {
        Self { pool, input: None }
    }
}

impl Layer for AvgPool1d {
    fn forward(&self, x: Batch) -> Batch {
        let size = self.pool.size as f32;
        self.pool.reduce(x, |window| window.iter().sum::<f32>() / size)
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        self.input = Some(x.dims());
        self.forward(x)
    }

    fn backward(&mut self, gradient: Batch, _wanted: InputGradient) -> Option<Batch> {
        let input = self.input.take().expect("forward_train came before");
        let size = self.pool.size as f32;
        Some(self.pool.spread(gradient, input, |window, gradient, _| {
            window.iter_mut().for_each(|value| *value += gradient / size);
        }))
    }
}

/// Position of the largest value, the first of equals; a NaN wins, so that it is not lost.
fn first_largest(window: &[f32]) -> usize {
    let mut best = 0;
    for (position, value) in window.iter().enumerate().skip(1) {
        if *value > window[best] || (value.is_nan() && !window[best].is_nan()) {
            best = position;
        }
    }
    best
}
