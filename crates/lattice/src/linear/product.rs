//! Sizes, and the key holder's side: encrypting rows and reading responses.

use super::{
    compression::Compression,
    fixed::{Integers, lifted, rows_of},
    layout::Layout,
};
use crate::{LatticeError, Parameters, RandomnessKey, SecretKey, Upload, wire::check_len};

/// Fixed-point scales and response precision, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scales {
    /// sx: rows are rounded to multiples of 2^-sx.
    pub input: u32,
    /// sw: the matrix is rounded to multiples of 2^-sw.
    pub weight: u32,
    /// B: responses are switched to the modulus 2^B.
    pub response: u32,
}

/// Encrypted rows times a plaintext matrix, as both parties compute it.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    pub(super) parameters: Parameters,
    pub(super) layout: Layout,
    pub(super) scales: Scales,
    pub(super) compression: Compression,
}

impl Product {
    /// The product of batches of `rows` rows with an inputs x outputs matrix; the layout is the one with the fewest bytes.
    pub fn new(parameters: &Parameters, shape: [usize; 3], scales: Scales) -> Result<Self, LatticeError> {
        let upload = Upload::encoded_len(parameters);
        let compression = Compression::new(parameters, scales.response, 1)?;
        let response = compression.len(0);
        let layout = Layout::choose(parameters.degree(), shape, upload, response)?;
        Ok(Self {
            parameters: parameters.clone(),
            layout,
            scales,
            compression,
        })
    }

    /// How it is laid out.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Bytes that the key holder sends for `rows` rows.
    pub fn upload_len(&self, rows: usize) -> usize {
        self.layout.groups(rows) * self.layout.input_blocks() * Upload::encoded_len(&self.parameters)
    }

    /// Bytes of the response for `rows` rows.
    pub fn response_len(&self, rows: usize) -> usize {
        let one = |g, r| self.compression.len(self.layout.samples_in(g, rows) * self.layout.width(r));
        self.blocks(rows).map(|(g, r)| one(g, r)).sum()
    }

    /// The largest result that is surely read right.
    pub fn output_bound(&self) -> f64 {
        2f64.powf(self.parameters.log2_modulus() - 2.0 - f64::from(self.scales.input + self.scales.weight))
    }

    /// Encrypts `x`, row-major, as many rows as it holds. `context` must not repeat (see [`RandomnessKey`]).
    pub fn encrypt(&self, x: &[f32], secret: &SecretKey, key: &RandomnessKey, context: &[u8]) -> Result<Vec<u8>, LatticeError> {
        let rows = rows_of("rows", x, self.layout.inputs)?;
        let integers = Integers::new("input", x, self.scales.input, &self.parameters)?;
        let mut out = Vec::with_capacity(self.upload_len(rows));
        for g in 0..self.layout.groups(rows) {
            for q in 0..self.layout.input_blocks() {
                let plaintext = lifted(&self.parameters, &self.row_block(&integers.values, rows, g, q), integers.lift)?;
                let context = [context, &(g as u64).to_le_bytes(), &(q as u64).to_le_bytes()].concat();
                secret.encrypt(&plaintext, key, &context)?.encode(&self.parameters, &mut out);
            }
        }
        Ok(out)
    }

    /// Reads a response: `rows` x outputs, row-major. A result beyond [`Product::output_bound`] is an error.
    pub fn decrypt(&self, response: &[u8], rows: usize, secret: &SecretKey) -> Result<Vec<f32>, LatticeError> {
        check_len(self.response_len(rows), response)?;
        let layout = &self.layout;
        let mut y = vec![0.0; rows * layout.outputs];
        let mut rest = response;
        for (g, r) in self.blocks(rows) {
            let wanted: Vec<usize> = layout.wanted(g, r, rows).collect();
            let (packed, tail) = rest.split_at(self.compression.len(wanted.len()));
            rest = tail;
            for (index, value) in self
                .compression
                .read(packed, wanted.into_iter(), secret)?
                .into_iter()
                .enumerate()
            {
                let (i, j) = (index / layout.width(r), index % layout.width(r));
                let position = (g * layout.samples + i) * layout.outputs + r * layout.block_outputs + j;
                y[position] = self.read(value, position)?;
            }
        }
        Ok(y)
    }

    /// (group, output block) of every response, in order.
    pub(super) fn blocks(&self, rows: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let blocks = self.layout.output_blocks();
        (0..self.layout.groups(rows)).flat_map(move |g| (0..blocks).map(move |r| (g, r)))
    }

    /// X[g,q] of the layout.
    fn row_block(&self, integers: &[i64], rows: usize, g: usize, q: usize) -> Vec<i64> {
        let layout = &self.layout;
        let mut coefficients = vec![0; layout.degree];
        let first = q * layout.block_inputs;
        for i in 0..layout.samples_in(g, rows) {
            let row = &integers[(g * layout.samples + i) * layout.inputs..][..layout.inputs];
            for (c, value) in row[first..].iter().take(layout.block_inputs).enumerate() {
                coefficients[layout.input_at(i, c)] = *value;
            }
        }
        coefficients
    }

    fn read(&self, value: i64, position: usize) -> Result<f32, LatticeError> {
        let unit = self.compression.unit() * 2f64.powi(-((self.scales.input + self.scales.weight) as i32));
        let (value, bound) = (value as f64 * unit, self.output_bound());
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
