//! A product of two encrypted matrices whose ciphertexts share masks: A (m x k) times B (k x n).
//!
//! **Ciphertexts.** With blocks A\[i,t\] (i < I, t < T) and B\[t,j\] (j < J), public masks a_t and a'_t, one for each t, and secret ternary
//! z_i, one for each i (and j):
//!
//! ```text
//! b_it = a_t z_i + e_it + A[i,t]          b'_tj = a'_t z_j + e'_tj + B[t,j]
//! sum_t A[i,t] B[t,j]  =  c_ij - u_i z_j - (v_j - d z_j) z_i            (plus noise)
//! c_ij = sum_t b_it b'_tj    u_i = sum_t b_it a'_t    v_j = sum_t a_t b'_tj    d = sum_t a_t a'_t
//! ```
//!
//! The I J polynomials c_ij are the server's work and its whole answer. The I + J + 1 others are public functions of the ciphertexts, and the key holder
//! has these: it made them, or (of a matrix that it has forgotten) can ask for them back. There is no relinearisation, no key for it, and no noise of it.
//!
//! **Blocks.** Rows r < S and columns c < kw <= D of A, rows c and columns j < nw of B, for D a power of two with S D nw <= N:
//!
//! ```text
//! A[i,t](X) = sum_{r,c} A[iS+r][t kw+c] X^(D nw r + c)        B[t,j](X) = sum_{c,j'} B[t kw+c][j nw+j'] X^(D j' - c)
//! coefficient D (nw r + j')  of  sum_t A[i,t] B[t,j]  =  (A B)[iS+r][j nw+j']
//! ```
//!
//! A term of the product has exponent D (nw r + j') + c - c' with |c - c'| < D: it is a multiple of D, also after X^N = -1, only for c = c'. So every
//! D-th coefficient is wanted, and no other; of c_ij, as of what the key holder takes from it, nothing else is ever computed
//! ([`cloven_ring::SpacedProduct`]): a product of blocks costs T dot products of N numbers, without a transform. So T = 1, with many products of few blocks, is best
//! where k allows it.
//!
//! **Security.** Ciphertexts with the same mask have independent secrets, and those with the same secret independent masks, drawn anew for every operand of
//! every message: RLWE with several secrets, which follows from RLWE by a hybrid over the secrets. The secrets are never encrypted.
//!
//! **Bytes** modulo a prime of 50 bits, N = 2048, B = 30: an operand 32 + 12,800 for each of its blocks (I T and T J); an answer 3.75 for each number of A B.
//! An operand that stands in two products is encrypted for each, in the layout that suits it.
//!
//! **Noise.** As in [`EncryptedProduct`](super::EncryptedProduct), but for relinearisation and for components that are rounded: e B + A e' + e e', and the
//! rounding of c_ij to B bits.

use std::sync::Arc;

use cloven_ring::SpacedProduct;

use super::{compression::Switch, fixed::ROUNDED, layout::Layout};
use crate::{
    LatticeError, Parameters,
    bits::{MAX_BITS, packed_len},
    encryption::exact_variance,
    randomness::SEED,
    wire::residues_len,
};

mod choose;
mod keyholder;
mod server;
#[cfg(test)]
mod tests;
mod training;

pub use keyholder::{Encrypted, SharedSecrets};
pub use server::EncryptedFactor;
pub use training::{SharedDelta, SharedRows, SharedTraining, SharedWeights};

/// Least D.
const LEAST_SPACING: usize = 8;

/// Fixed-point scales of the operands, and response precision, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FactorScales {
    /// A is rounded to multiples of 2^-left.
    pub left: u32,
    /// B is rounded to multiples of 2^-right.
    pub right: u32,
    /// The answer is rounded to so many bits.
    pub response: u32,
}

/// One product of encrypted matrices of fixed sizes, as both parties compute with it.
#[derive(Debug, Clone)]
pub struct SharedProduct {
    parameters: Parameters,
    /// k and n, and the sizes of blocks: S, kw and nw.
    layout: Layout,
    /// Products of blocks; D.
    spaced: Arc<SpacedProduct>,
    /// m.
    rows: usize,
    scales: FactorScales,
}

impl SharedProduct {
    /// For `rows` rows of A in blocks of these sizes, modulo one prime: with D the power of two from `block_inputs` on, 8 at least and N/2 at most,
    /// `samples` D `block_outputs` <= N. Scales are 44 bits at most.
    pub fn new(parameters: &Parameters, rows: usize, layout: Layout, scales: FactorScales) -> Result<Self, LatticeError> {
        check_layout(&layout, parameters.degree())?;
        let (bits, plan) = match (parameters.basis().moduli(), parameters.basis().plans()) {
            ([modulus], [plan]) => (modulus.bits(), plan),
            // Reading wider integers is for products under one secret.
            (several, _) => {
                return Err(LatticeError::Wide {
                    what: "number of primes of a product with shared masks",
                    allowed: 1,
                    actual: several.len() as u32,
                });
            }
        };
        let limits = [
            ("scale", ROUNDED, scales.left.max(scales.right)),
            ("response precision", MAX_BITS.min(bits - 1), scales.response.max(1)),
        ];
        for (what, allowed, actual) in limits {
            if actual > allowed {
                return Err(LatticeError::Wide { what, allowed, actual });
            }
        }
        Ok(Self {
            parameters: parameters.clone(),
            layout,
            spaced: Arc::new(SpacedProduct::new(plan, spacing(&layout))?),
            rows: rows.max(1),
            scales,
        })
    }

    /// The same blocks for matrices of other sizes: m, k, n, none of them empty.
    #[must_use]
    pub fn resized(&self, [rows, inputs, outputs]: [usize; 3]) -> Self {
        let layout = Layout {
            inputs: inputs.max(1),
            outputs: outputs.max(1),
            ..self.layout
        };
        Self {
            layout,
            rows: rows.max(1),
            ..self.clone()
        }
    }

    /// The blocks.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// I, T, J: blocks of rows of A, of its columns, and of columns of B.
    pub fn blocks(&self) -> [usize; 3] {
        [
            self.layout.groups(self.rows),
            self.layout.input_blocks(),
            self.layout.output_blocks(),
        ]
    }

    /// Secrets that it needs.
    pub fn secrets(&self) -> usize {
        let [i, _, j] = self.blocks();
        i.max(j)
    }

    /// Bytes of the encrypted A.
    pub fn left_len(&self) -> usize {
        let [i, t, _] = self.blocks();
        SEED + i * t * self.block_len()
    }

    /// Bytes of the encrypted B.
    pub fn right_len(&self) -> usize {
        let [_, t, j] = self.blocks();
        SEED + t * j * self.block_len()
    }

    /// Bytes of the answer A B.
    pub fn answer_len(&self) -> usize {
        (0..self.blocks()[0]).map(|i| self.answer_row_len(i)).sum()
    }

    /// The largest entry of A B that is surely read right; beyond twice of it a result wraps.
    pub fn bound(&self) -> f64 {
        2f64.powf(self.parameters.log2_modulus() - 2.0) * self.step()
    }

    /// Standard deviation of the error of an entry of A B, for the norms of all that stands in A's blocks \[i,t\] for all t (B's, \[t,j\]) and those of the row
    /// of A (the column of B).
    pub fn deviation(&self, left: super::OperandNorms, right: super::OperandNorms) -> f64 {
        let [a, b] = [self.scales.left, self.scales.right].map(|bits| 2f64.powi(-(bits as i32)));
        let (fresh, degree) = (exact_variance(), self.parameters.degree() as f64);
        let crossed = |a_norm: f64, b_norm: f64| (b_norm * a).powi(2) + (a_norm * b).powi(2);
        let noise = fresh * crossed(left.blocks, right.blocks);
        let squared = (fresh * a * b).powi(2) * degree * self.blocks()[1] as f64;
        let rounded = crossed(left.line, right.line) / 12.0;
        let unit = 2f64.powf(self.parameters.log2_modulus() - f64::from(self.scales.response));
        let answer = (a * b * unit).powi(2) / 12.0;
        (noise + squared + rounded + answer).sqrt()
    }

    /// One integer of the product in units of A B.
    fn step(&self) -> f64 {
        2f64.powi(-((self.scales.left + self.scales.right) as i32))
    }

    /// Bytes of one block of an operand.
    fn block_len(&self) -> usize {
        residues_len(self.parameters.basis(), 0)
    }

    /// Numbers of A B in block `i` of rows.
    fn numbers_of(&self, i: usize) -> usize {
        self.layout.samples_in(i, self.rows) * self.layout.outputs
    }

    /// Bytes of what is wanted of c_ij for all j.
    fn answer_row_len(&self, i: usize) -> usize {
        packed_len(self.numbers_of(i), self.scales.response)
    }

    /// (coefficient over D, column of A B) of row `row` of a block in product j.
    fn wanted_of(&self, row: usize, j: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let nw = self.layout.block_outputs;
        (0..self.layout.width(j)).map(move |column| (nw * row + column, nw * j + column))
    }

    fn switch(&self) -> Switch {
        Switch::new(self.parameters.basis().moduli()[0].value(), self.scales.response)
    }
}

/// D: 2^n, at least [`LEAST_SPACING`], that a block's columns of A fit between.
fn spacing(layout: &Layout) -> usize {
    layout.block_inputs.next_power_of_two().max(LEAST_SPACING)
}

fn check_layout(layout: &Layout, degree: usize) -> Result<(), LatticeError> {
    layout.check(degree)?;
    let (spacing, samples) = (spacing(layout), layout.samples);
    // Each is at most the degree: no overflow.
    match spacing <= degree / 2 && samples * spacing <= degree && samples * spacing * layout.block_outputs <= degree {
        true => Ok(()),
        false => Err(LatticeError::NoLayout {
            inputs: layout.inputs,
            outputs: layout.outputs,
            degree,
        }),
    }
}
