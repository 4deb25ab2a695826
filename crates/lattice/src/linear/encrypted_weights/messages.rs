//! What travels in every batch, and the key holder's side of it: deltas there, responses back.

use std::ops::Range;

use super::{
    WeightProduct,
    matrix::{DECRYPT, ENCRYPT},
};
use crate::{
    LatticeError, RandomnessKey, SecretKey, Upload,
    linear::fixed::{Integers, lifted, rows_of},
    parallel,
    wire::check_len,
};

impl WeightProduct {
    /// Bytes of the encrypted delta of `rows` rows.
    pub fn delta_len(&self, rows: usize) -> usize {
        self.delta_groups(rows) * self.output_blocks() * Upload::exact_len(&self.parameters)
    }

    /// Bytes of the response for `rows` rows.
    pub fn response_len(&self, rows: usize) -> usize {
        self.responses(rows).map(|(r, rows)| self.one_len(r, rows.len())).sum()
    }

    /// Encrypts -`rate` delta of a batch, row-major: one ciphertext per output block and [`WeightProduct::samples`] rows.
    pub fn encrypt_delta(
        &self,
        delta: &[f32],
        rate: f32,
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        let rows = rows_of("delta", delta, self.outputs)?;
        let step: Vec<f32> = delta.iter().map(|d| -rate * d).collect();
        let integers = Integers::new("delta", &step, self.scales.weight - self.scales.input, &self.parameters)?;
        let mut out = Vec::with_capacity(self.delta_len(rows));
        let groups = self.delta_groups(rows);
        parallel::append(groups * self.output_blocks(), self.cost(ENCRYPT), &mut out, |index, out| {
            let (r, g) = (index / groups, index % groups);
            let mut coefficients = vec![0; self.parameters.degree()];
            let rows = integers.values.chunks(self.outputs).skip(g * self.samples());
            for (i, row) in rows.take(self.samples()).enumerate() {
                for (j, &value) in row[r * self.block_outputs()..][..self.width(r)].iter().enumerate() {
                    let (at, negative) = self.packing.delta_at(i, j);
                    coefficients[at] = if negative { -value } else { value };
                }
            }
            let plaintext = lifted(&self.parameters, &coefficients, integers.lift)?;
            let context = [context, &(g as u64).to_le_bytes(), &(r as u64).to_le_bytes()].concat();
            secret.encrypt(&plaintext, key, &context)?.encode_exact(out);
            Ok(())
        })?;
        Ok(out)
    }

    /// Reads a response: `rows` x outputs, row-major. A result beyond [`WeightProduct::output_bound`] is an error.
    pub fn decrypt(&self, response: &[u8], rows: usize, secret: &SecretKey) -> Result<Vec<f32>, LatticeError> {
        check_len(self.response_len(rows), response)?;
        let unit = self.compression.unit() * self.scales.step();
        let responses: Vec<_> = self.responses(rows).collect();
        let mut starts = vec![0];
        for (r, rows) in &responses {
            starts.push(starts[starts.len() - 1] + self.one_len(*r, rows.len()));
        }
        let results = parallel::map(responses.len(), self.cost(DECRYPT), |index| {
            let (r, rows) = &responses[index];
            let wanted: Vec<usize> = self.wanted(*r, rows.len()).collect();
            let packed = &response[starts[index]..starts[index + 1]];
            self.compression.read(packed, wanted.into_iter(), secret)
        })?;
        let mut y = vec![0.0; rows * self.outputs];
        for ((r, rows), steps) in responses.into_iter().zip(results) {
            for (i, steps) in rows.zip(steps.chunks(self.width(r))) {
                let first = i * self.outputs + r * self.block_outputs();
                for (j, step) in steps.iter().enumerate() {
                    y[first + j] = self.result(*step as f64 * unit, first + j)?;
                }
            }
        }
        Ok(y)
    }

    fn result(&self, value: f64, position: usize) -> Result<f32, LatticeError> {
        let bound = self.output_bound();
        match value.abs() < bound {
            true => Ok(value as f32),
            false => Err(LatticeError::Range {
                what: "output",
                position,
                value,
                bound,
            }),
        }
    }
}

/// How a batch is spread over ciphertexts.
impl WeightProduct {
    /// Output block and rows of every response, in order.
    pub(super) fn responses(&self, rows: usize) -> impl Iterator<Item = (usize, Range<usize>)> + use<> {
        let (merged, groups) = (self.merged_rows(), self.response_groups(rows));
        let of_group = move |g: usize| g * merged..rows.min((g + 1) * merged);
        (0..self.output_blocks()).flat_map(move |r| (0..groups).map(move |g| (r, of_group(g))))
    }

    /// The wanted coefficients of a response of `rows` rows, in order.
    pub(super) fn wanted(&self, r: usize, rows: usize) -> impl Iterator<Item = usize> + use<> {
        let (packing, width) = (self.packing, self.width(r));
        (0..rows).flat_map(move |i| (0..width).map(move |j| packing.output_at(i, j)))
    }

    /// Bytes of a response of `rows` rows.
    fn one_len(&self, r: usize, rows: usize) -> usize {
        self.compression.len(rows * self.width(r))
    }

    /// Responses of one output block.
    pub(super) fn response_groups(&self, rows: usize) -> usize {
        rows.div_ceil(self.merged_rows())
    }

    /// Deltas of one output block.
    pub(super) fn delta_groups(&self, rows: usize) -> usize {
        rows.div_ceil(self.samples())
    }
}
