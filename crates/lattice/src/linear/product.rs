//! Sizes, and the key holder's side: encrypting rows and reading responses.

use cloven_ring::{Coefficients, Poly};

use super::{compression::Compression, layout::Layout};
use crate::{LatticeError, Parameters, RandomnessKey, SecretKey, Upload, encryption::fresh_variance, wire::check_len};

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
        let compression = Compression::new(parameters, scales.response)?;
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

    /// Standard deviation of the error of one output: `column` is the Euclidean norm of its column of W, `row` that of its row of x.
    /// Fresh noise times W, rounding of W and x, and the response's rounding, whose part from c1 is multiplied by the secret.
    pub fn error_deviation(&self, row: f64, column: f64) -> f64 {
        let unit = |bits: u32| 2f64.powi(-(bits as i32));
        let fresh = fresh_variance(&self.parameters) * (column * unit(self.scales.input)).powi(2);
        let rounded = ((row * unit(self.scales.weight)).powi(2) + (column * unit(self.scales.input)).powi(2)) / 12.0;
        let step = unit(self.scales.input + self.scales.weight);
        (fresh + rounded + step * step * self.compression.variance()).sqrt()
    }

    /// Encrypts `x`, row-major, as many rows as it holds. `context` must not repeat (see [`RandomnessKey`]).
    pub fn encrypt(&self, x: &[f32], secret: &SecretKey, key: &RandomnessKey, context: &[u8]) -> Result<Vec<u8>, LatticeError> {
        let rows = self.rows_of("rows", x, self.layout.inputs)?;
        let integers = fixed("input", x, self.scales.input, self.parameters.log2_modulus() as i32 - 2)?;
        let mut out = Vec::with_capacity(self.upload_len(rows));
        for g in 0..self.layout.groups(rows) {
            for q in 0..self.layout.input_blocks() {
                let plaintext = self.plaintext(&integers, rows, g, q)?;
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

    pub(super) fn rows_of(&self, what: &'static str, values: &[f32], width: usize) -> Result<usize, LatticeError> {
        match values.len().is_multiple_of(width) && !values.is_empty() {
            true => Ok(values.len() / width),
            false => Err(LatticeError::Size {
                what,
                expected: values.len().div_ceil(width).max(1) * width,
                actual: values.len(),
            }),
        }
    }

    /// X[g,q] of the layout.
    fn plaintext(&self, integers: &[i64], rows: usize, g: usize, q: usize) -> Result<Poly<Coefficients>, LatticeError> {
        let layout = &self.layout;
        let mut coefficients = vec![0; layout.degree];
        let first = q * layout.block_inputs;
        for i in 0..layout.samples_in(g, rows) {
            let row = &integers[(g * layout.samples + i) * layout.inputs..][..layout.inputs];
            for (c, value) in row[first..].iter().take(layout.block_inputs).enumerate() {
                coefficients[layout.input_at(i, c)] = *value;
            }
        }
        Ok(Poly::from_signed(self.parameters.basis(), &coefficients)?)
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

/// Rounds numbers to integers at scale 2^`scale`, which must stay below 2^`log2_bound` and 2^62.
pub(super) fn fixed(what: &'static str, values: &[f32], scale: u32, log2_bound: i32) -> Result<Vec<i64>, LatticeError> {
    let factor = 2f64.powi(scale as i32);
    let bound = 2f64.powi(log2_bound.min(62));
    // Added and taken away again, it leaves a number below 2^51 rounded to an integer.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let round = |(position, &value): (usize, &f32)| {
        let scaled = f64::from(value) * factor;
        match scaled.abs() < bound {
            true => Ok((scaled + MAGIC - MAGIC) as i64),
            false => Err(LatticeError::Range {
                what,
                position,
                value: value.into(),
                bound: bound / factor,
            }),
        }
    };
    values.iter().enumerate().map(round).collect()
}
