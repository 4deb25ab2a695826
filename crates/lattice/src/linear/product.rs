//! Sizes, and the key holder's side: encrypting rows and reading responses.

use super::{
    compression::Compression,
    fixed::{Integers, lifted, rows_of},
    layout::Layout,
    outputs::Outputs,
};
use crate::{LatticeError, Parameters, RandomnessKey, SecretKey, Upload};

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

impl Scales {
    /// One integer in units of the outputs: 2^-(sx+sw).
    pub(super) fn step(&self) -> f64 {
        2f64.powi(-((self.input + self.weight) as i32))
    }

    /// The largest output that is surely read right: a quarter of the modulus.
    pub(super) fn output_bound(&self, parameters: &Parameters) -> f64 {
        2f64.powf(parameters.log2_modulus() - 2.0) * self.step()
    }
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
        self.outputs().len(rows)
    }

    /// The largest result that is surely read right.
    pub fn output_bound(&self) -> f64 {
        self.scales.output_bound(&self.parameters)
    }

    /// Encrypts `x`, row-major, as many rows as it holds. `context` must not repeat (see [`RandomnessKey`]).
    pub fn encrypt(&self, x: &[f32], secret: &SecretKey, key: &RandomnessKey, context: &[u8]) -> Result<Vec<u8>, LatticeError> {
        let rows = rows_of("rows", x, self.layout.inputs)?;
        let integers = Integers::new("input", x, self.scales.input, &self.parameters)?;
        let mut out = Vec::with_capacity(self.upload_len(rows));
        for g in 0..self.layout.groups(rows) {
            for q in 0..self.layout.input_blocks() {
                let plaintext = lifted(
                    &self.parameters,
                    &self.layout.row_block(&integers.values, rows, g, q),
                    integers.lift,
                )?;
                let context = [context, &(g as u64).to_le_bytes(), &(q as u64).to_le_bytes()].concat();
                secret.encrypt(&plaintext, key, &context)?.encode(&self.parameters, &mut out);
            }
        }
        Ok(out)
    }

    /// Reads a response: `rows` x outputs, row-major. A result beyond [`Product::output_bound`] is an error.
    pub fn decrypt(&self, response: &[u8], rows: usize, secret: &SecretKey) -> Result<Vec<f32>, LatticeError> {
        self.outputs().read(response, rows, secret)
    }

    fn outputs(&self) -> Outputs<'_> {
        Outputs {
            layout: &self.layout,
            compression: &self.compression,
            step: self.scales.step(),
            bound: self.output_bound(),
        }
    }
}
