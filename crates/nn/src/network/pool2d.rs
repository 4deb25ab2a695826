//! Pooling over square windows of each channel, and over whole channels, in plain loops.

use std::ops::Range;

use super::batch::{Batch, read, tensor};
use super::layer::{InputGradient, Layer};

/// The windows on a plane of `height` x `width`. They may reach beyond it by `padding`, but only places on it count.
#[derive(Clone, Copy)]
pub struct Pool2d {
    pub height: usize,
    pub width: usize,
    pub size: usize,
    pub stride: usize,
    pub padding: usize,
}

impl Pool2d {
    fn outputs(self) -> [usize; 2] {
        [self.height, self.width].map(|length| (length + 2 * self.padding - self.size) / self.stride + 1)
    }

    fn positions(self) -> usize {
        self.outputs().iter().product()
    }

    /// Rows and columns of each window in turn.
    fn windows(self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let [rows, columns] = self.outputs();
        let along = move |at: usize, length: usize| {
            let start = at * self.stride;
            start.saturating_sub(self.padding)..(start + self.size - self.padding).min(length)
        };
        (0..rows).flat_map(move |row| (0..columns).map(move |column| (along(row, self.height), along(column, self.width))))
    }
}

pub struct MaxPool2d {
    pool: Pool2d,
    /// Channels of all samples, and for each window the place of the largest in its plane.
    saved: Option<([usize; 2], Vec<u32>)>,
}

impl MaxPool2d {
    pub fn new(pool: Pool2d) -> Self {
        Self { pool, saved: None }
    }

    /// The largest of each window; `choose` is told its place.
    fn reduce(&self, x: Batch, mut choose: impl FnMut(usize)) -> Batch {
        let [batch, channels, positions] = x.dims();
        let data = x.into_data();
        let mut values = Vec::with_capacity(batch * channels * self.pool.positions());
        for plane in read(&data).chunks_exact(positions) {
            for (rows, columns) in self.pool.windows() {
                let best = largest(plane, self.pool.width, rows, columns);
                choose(best);
                values.push(plane[best]);
            }
        }
        tensor(values, [batch, channels, self.pool.positions()])
    }
}

/// Place of the largest value of a window, the first of equals; a NaN wins, so that it is not lost.
fn largest(plane: &[f32], width: usize, rows: Range<usize>, columns: Range<usize>) -> usize {
    let mut best = rows.start * width + columns.start;
    for row in rows {
        for at in row * width + columns.start..row * width + columns.end {
            if plane[at] > plane[best] || (plane[at].is_nan() && !plane[best].is_nan()) {
                best = at;
            }
        }
    }
    best
}

impl Layer for MaxPool2d {
    fn forward(&self, x: Batch) -> Batch {
        self.reduce(x, |_| ())
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        let [batch, channels, _] = x.dims();
        let mut chosen = Vec::with_capacity(batch * channels * self.pool.positions());
        let y = self.reduce(x, |place| chosen.push(place as u32));
        self.saved = Some(([batch, channels], chosen));
        y
    }

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        let ([batch, channels], chosen) = self.saved.take().expect("forward_train came before");
        if wanted == InputGradient::NotWanted {
            return None;
        }
        let (positions, outputs) = (self.pool.height * self.pool.width, self.pool.positions());
        let data = gradient.into_data();
        let mut values = vec![0.0; batch * channels * positions];
        let planes = values.chunks_exact_mut(positions);
        for ((plane, gradients), chosen) in planes
            .zip(read(&data).chunks_exact(outputs))
            .zip(chosen.chunks_exact(outputs))
        {
            for (gradient, place) in gradients.iter().zip(chosen) {
                plane[*place as usize] += gradient;
            }
        }
        Some(tensor(values, [batch, channels, positions]))
    }
}

pub struct AvgPool2d(Pool2d);

impl AvgPool2d {
    pub fn new(pool: Pool2d) -> Self {
        Self(pool)
    }

    fn share(&self) -> f32 {
        1.0 / (self.0.size * self.0.size) as f32
    }
}

impl Layer for AvgPool2d {
    fn forward(&self, x: Batch) -> Batch {
        let [batch, channels, positions] = x.dims();
        let data = x.into_data();
        let mut values = Vec::with_capacity(batch * channels * self.0.positions());
        for plane in read(&data).chunks_exact(positions) {
            for (rows, columns) in self.0.windows() {
                let row_sum = |row: usize| plane[row * self.0.width..][columns.clone()].iter().sum::<f32>();
                values.push(rows.map(row_sum).sum::<f32>() * self.share());
            }
        }
        tensor(values, [batch, channels, self.0.positions()])
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        self.forward(x)
    }

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        if wanted == InputGradient::NotWanted {
            return None;
        }
        let [batch, channels, outputs] = gradient.dims();
        let positions = self.0.height * self.0.width;
        let data = gradient.into_data();
        let mut values = vec![0.0; batch * channels * positions];
        for (plane, gradients) in values.chunks_exact_mut(positions).zip(read(&data).chunks_exact(outputs)) {
            for (gradient, (rows, columns)) in gradients.iter().zip(self.0.windows()) {
                for row in rows {
                    let window = &mut plane[row * self.0.width..][columns.clone()];
                    window.iter_mut().for_each(|value| *value += gradient * self.share());
                }
            }
        }
        Some(tensor(values, [batch, channels, positions]))
    }
}

/// The mean of each channel.
#[derive(Default)]
pub struct GlobalAvgPool {
    positions: Option<usize>,
}

impl Layer for GlobalAvgPool {
    fn forward(&self, x: Batch) -> Batch {
        let [batch, channels, positions] = x.dims();
        let data = x.into_data();
        let mean = |plane: &[f32]| (plane.iter().map(|value| f64::from(*value)).sum::<f64>() / positions as f64) as f32;
        let values = read(&data).chunks_exact(positions).map(mean).collect();
        tensor(values, [batch, channels, 1])
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        self.positions = Some(x.dims()[2]);
        self.forward(x)
    }

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        let positions = self.positions.take().expect("forward_train came before");
        if wanted == InputGradient::NotWanted {
            return None;
        }
        let [batch, channels, _] = gradient.dims();
        let data = gradient.into_data();
        let spread = |gradient: &f32| std::iter::repeat_n(gradient / positions as f32, positions);
        let values = read(&data).iter().flat_map(spread).collect();
        Some(tensor(values, [batch, channels, positions]))
    }
}
