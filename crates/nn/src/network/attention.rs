//! Self-attention between its two projections: `[batch, tokens, 3 width]` (queries, keys and values side by side, in each the heads side by side)
//! to `[batch, tokens, width]`. For each head, `size` = width / heads wide: P = softmax of each row of Q K^T / sqrt(size), O = P V;
//! dP = dO V^T, dV = P^T dO, dS = P (dP - sum over the row of dP P) / sqrt(size), dQ = dS K, dK = dS^T Q.

use burn::tensor::Tensor;

use super::batch::{Batch, read, tensor};
use super::layer::{InputGradient, Layer, Place};
use super::offload::{AttentionForm, Form};

pub struct Attention {
    place: Place,
    form: AttentionForm,
    saved: Option<Saved>,
}

struct Saved {
    /// Queries, keys and values: (batch * heads) x tokens x size.
    parts: [Tensor<3>; 3],
    /// (batch * heads) x tokens x tokens.
    probabilities: Tensor<3>,
}

impl Attention {
    pub fn new(place: Place, form: AttentionForm) -> Self {
        Self {
            place,
            form,
            saved: None,
        }
    }

    /// Queries, keys, values and probabilities.
    fn probabilities(&self, x: Batch) -> (Heads, Saved) {
        let heads = Heads::of(&x, self.form.heads, 3);
        let data = x.into_data();
        let parts = heads.split::<3>(read(&data)).map(|part| tensor(part, heads.dims()));
        let scores = parts[0].clone().matmul(parts[1].clone().transpose()).into_data();
        let mut values = read(&scores).to_vec();
        heads.softmax(&mut values);
        let probabilities = tensor(values, heads.score_dims());
        (heads, Saved { parts, probabilities })
    }

    fn output(heads: Heads, saved: &Saved) -> Batch {
        let output = saved.probabilities.clone().matmul(saved.parts[2].clone()).into_data();
        heads.join([read(&output)])
    }
}

impl Layer for Attention {
    fn forward(&self, x: Batch) -> Batch {
        let (heads, saved) = self.probabilities(x);
        Self::output(heads, &saved)
    }

    fn forward_train(&mut self, _step: u64, x: Batch) -> Batch {
        let (heads, saved) = self.probabilities(x);
        let y = Self::output(heads, &saved);
        self.saved = Some(saved);
        y
    }

    fn backward(&mut self, gradient: Batch, wanted: InputGradient) -> Option<Batch> {
        let Saved { parts, probabilities } = self.saved.take().expect("forward_train came before");
        if wanted == InputGradient::NotWanted {
            return None;
        }
        let heads = Heads::of(&gradient, self.form.heads, 1);
        let [query, key, value] = parts;
        let data = gradient.into_data();
        let [output] = heads.split::<1>(read(&data)).map(|part| tensor::<3>(part, heads.dims()));
        let of_value = probabilities.clone().transpose().matmul(output.clone()).into_data();
        let of_probabilities = output.matmul(value.transpose()).into_data();
        let mut scores = read(&of_probabilities).to_vec();
        heads.softmax_gradient(&mut scores, read(&probabilities.into_data()));
        let scores: Tensor<3> = tensor(scores, heads.score_dims());
        let of_query = scores.clone().matmul(key).into_data();
        let of_key = scores.transpose().matmul(query).into_data();
        Some(heads.join([read(&of_query), read(&of_key), read(&of_value)]))
    }

    fn form(&self) -> Option<Form> {
        Some(Form::Attention(self.form))
    }

    fn place(&self) -> &str {
        self.place.layer()
    }
}

/// Sizes of the heads of a batch. One matrix for each head of each sample, sample by sample.
#[derive(Clone, Copy)]
pub struct Heads {
    batch: usize,
    heads: usize,
    tokens: usize,
    /// Numbers of a token that belong to a head.
    size: usize,
}

impl Heads {
    /// Of `[batch, tokens, parts * width]`.
    pub fn of(x: &Batch, heads: usize, parts: usize) -> Self {
        let [batch, tokens, width] = x.dims();
        let size = width / (parts * heads);
        Self {
            batch,
            heads,
            tokens,
            size,
        }
    }

    /// Of queries, keys, values and outputs.
    pub fn dims(self) -> [usize; 3] {
        [self.batch * self.heads, self.tokens, self.size]
    }

    /// Of scores and probabilities.
    pub fn score_dims(self) -> [usize; 3] {
        [self.batch * self.heads, self.tokens, self.tokens]
    }

    /// From a row for each token, with all parts and heads side by side, to the matrices of each part.
    pub fn split<const PARTS: usize>(self, x: &[f32]) -> [Vec<f32>; PARTS] {
        let width = self.heads * self.size;
        std::array::from_fn(|part| {
            let mut values = Vec::with_capacity(x.len() / PARTS);
            for sample in x.chunks_exact(self.tokens * PARTS * width) {
                for head in 0..self.heads {
                    let start = part * width + head * self.size;
                    let rows = sample.chunks_exact(PARTS * width);
                    rows.for_each(|row| values.extend_from_slice(&row[start..start + self.size]));
                }
            }
            values
        })
    }

    /// The opposite of [`Heads::split`].
    pub fn join<const PARTS: usize>(self, parts: [&[f32]; PARTS]) -> Batch {
        let width = self.heads * self.size;
        let mut values = Vec::with_capacity(PARTS * parts[0].len());
        for (sample, token) in (0..self.batch).flat_map(|sample| (0..self.tokens).map(move |token| (sample, token))) {
            for part in parts {
                for head in 0..self.heads {
                    let start = ((sample * self.heads + head) * self.tokens + token) * self.size;
                    values.extend_from_slice(&part[start..start + self.size]);
                }
            }
        }
        tensor(values, [self.batch, self.tokens, PARTS * width])
    }

    /// Products of queries and keys become probabilities.
    pub fn softmax(self, scores: &mut [f32]) {
        let scale = self.scale();
        for row in scores.chunks_exact_mut(self.tokens) {
            let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            row.iter_mut().for_each(|score| *score = ((*score - largest) * scale).exp());
            let sum: f64 = row.iter().map(|power| f64::from(*power)).sum();
            let share = (1.0 / sum) as f32;
            row.iter_mut().for_each(|power| *power *= share);
        }
    }

    /// Gradients of probabilities become those of the products of queries and keys.
    pub fn softmax_gradient(self, gradient: &mut [f32], probabilities: &[f32]) {
        let scale = self.scale();
        let rows = gradient.chunks_exact_mut(self.tokens);
        for (row, probabilities) in rows.zip(probabilities.chunks_exact(self.tokens)) {
            let along: f64 = row
                .iter()
                .zip(probabilities)
                .map(|(d, p)| f64::from(*d) * f64::from(*p))
                .sum();
            let along = along as f32;
            let pairs = row.iter_mut().zip(probabilities);
            pairs.for_each(|(d, p)| *d = scale * p * (*d - along));
        }
    }

    fn scale(self) -> f32 {
        1.0 / (self.size as f32).sqrt()
    }
}
