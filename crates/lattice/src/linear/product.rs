//! Sizes, and the key holder's side: encrypting rows and reading responses.

use cloven_ring::{Coefficients, Poly};

use super::layout::Layout;
use crate::{
    LatticeError, Parameters, RandomnessKey, SecretKey, Upload,
    bits::{packed_len, unpack},
    encryption::fresh_variance,
};

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
}

impl Product {
    /// The product of batches of `rows` rows with an inputs x outputs matrix; the layout is the one with the fewest bytes. The modulus must
    /// be one prime.
    pub fn new(parameters: &Parameters, shape: [usize; 3], scales: Scales) -> Result<Self, LatticeError> {
        let upload = Upload::encoded_len(parameters);
        let response = packed_len(parameters.degree(), scales.response);
        let layout = Layout::choose(parameters.degree(), shape, upload, response)?;
        Ok(Self {
            parameters: parameters.clone(),
            layout,
            scales,
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
        let one = |g, r| {
            packed_len(
                self.layout.degree + self.layout.samples_in(g, rows) * self.layout.width(r),
                self.scales.response,
            )
        };
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
        let n = self.layout.degree as f64;
        let fresh = fresh_variance(&self.parameters) * (column * unit(self.scales.input)).powi(2);
        let rounded = ((row * unit(self.scales.weight)).powi(2) + (column * unit(self.scales.input)).powi(2)) / 12.0;
        let step =
            2f64.powf(self.parameters.log2_modulus() - f64::from(self.scales.response + self.scales.input + self.scales.weight));
        (fresh + rounded + step * step * (1.0 + n * 2.0 / 3.0) / 12.0).sqrt()
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
        let expected = self.response_len(rows);
        if response.len() != expected {
            return Err(LatticeError::Length {
                expected,
                actual: response.len(),
            });
        }
        let layout = &self.layout;
        let mut y = vec![0.0; rows * layout.outputs];
        let mut rest = response;
        for (g, r) in self.blocks(rows) {
            let count = layout.degree + layout.samples_in(g, rows) * layout.width(r);
            let (packed, tail) = rest.split_at(packed_len(count, self.scales.response));
            rest = tail;
            let values = unpack(packed, self.scales.response, count)?;
            let (c1, c0) = values.split_at(layout.degree);
            let products = self.times_secret(c1, secret)?;
            let modulus = self.parameters.basis().moduli()[0];
            for (index, (at, c0)) in layout.wanted(g, r, rows).zip(c0).enumerate() {
                let (i, j) = (index / layout.width(r), index % layout.width(r));
                let position = (g * layout.samples + i) * layout.outputs + r * layout.block_outputs + j;
                y[position] = self.read(modulus.centred(products.residues(0)[at]).wrapping_add(*c0 as i64), position)?;
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

    /// c1 s over the integers, for c1 modulo 2^B taken centred: N 2^(B-1) must stay below q/2.
    fn times_secret(&self, c1: &[u64], secret: &SecretKey) -> Result<Poly<Coefficients>, LatticeError> {
        let basis = self.parameters.basis();
        let (half, lift) = (
            1 << (self.scales.response - 1),
            basis.moduli()[0].value() - (1 << self.scales.response),
        );
        let mut centred = Poly::zero(basis);
        for (residue, &c) in centred.residues_mut(0).iter_mut().zip(c1) {
            *residue = c + if c < half { 0 } else { lift };
        }
        secret.times(centred)
    }

    fn read(&self, value: i64, position: usize) -> Result<f32, LatticeError> {
        let centred = centre(value, self.scales.response) as f64;
        let unit = 2f64.powf(
            self.parameters.log2_modulus() - f64::from(self.scales.response) - f64::from(self.scales.input + self.scales.weight),
        );
        let (value, bound) = (centred * unit, self.output_bound());
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

/// The representative of `value` modulo 2^bits in [-2^(bits-1), 2^(bits-1)).
fn centre(value: i64, bits: u32) -> i64 {
    (value << (64 - bits)) >> (64 - bits)
}

/// Rounds numbers to integers at scale 2^`scale`, which must stay below 2^`log2_bound`.
pub(super) fn fixed(what: &'static str, values: &[f32], scale: u32, log2_bound: i32) -> Result<Vec<i64>, LatticeError> {
    let factor = 2f64.powi(scale as i32);
    let bound = 2f64.powi(log2_bound);
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
