//! The side that holds the rows and the encrypted matrix: forward products and updates, all in evaluations.
//!
//! A row's block becomes kw scalars by a transform of length kw; xfwd reads them mirrored. For every component, prime and output block the
//! whole batch is then one modular matrix product.

use cloven_ring::{
    Evaluations, Poly,
    product::{Classes, Scalars, Shape},
};

use super::WeightProduct;
use crate::{
    Ciphertext, LatticeError, Upload,
    linear::{
        fixed::{check_size, fixed, rows_of},
        hide::Hiding,
    },
    wire::check_len,
};

/// An encrypted matrix, updated in place.
pub struct EncryptedWeights {
    /// W[q,r], at index r * input blocks + q.
    pub(in crate::linear) blocks: Vec<Ciphertext>,
    /// The sum of the squared norms, in integers, of all rows that updated it; infinite where they are not known.
    pub(in crate::linear) energy: f64,
}

/// A batch of rows, transformed once for its forward product and its update.
pub struct EncodedRows {
    rows: usize,
    /// For every prime: `[row][input block][class]`.
    scalars: Vec<Vec<u64>>,
    /// Squared norms of the rows, in integers.
    squares: Vec<f64>,
}

impl WeightProduct {
    /// Reads what [`WeightProduct::encrypt_weights`] wrote. Every residue is checked.
    pub fn receive_weights(&self, bytes: &[u8]) -> Result<EncryptedWeights, LatticeError> {
        check_len(self.weights_len(), bytes)?;
        let one = Upload::exact_len(&self.parameters);
        let at = |r: usize, q: usize| &bytes[(q * self.output_blocks() + r) * one..][..one];
        let blocks = (0..self.output_blocks()).flat_map(|r| (0..self.input_blocks()).map(move |q| (r, q)));
        Ok(EncryptedWeights {
            blocks: blocks
                .map(|(r, q)| Upload::decode_exact(&self.parameters, at(r, q)))
                .collect::<Result<_, _>>()?,
            energy: 0.0,
        })
    }

    /// Rounds and transforms a batch of rows, row-major.
    pub fn encode_rows(&self, x: &[f32]) -> Result<EncodedRows, LatticeError> {
        let rows = rows_of("rows", x, self.inputs)?;
        let integers = fixed("input", x, self.scales.input, self.parameters.log2_modulus() as i32 - 2)?;
        let (kw, basis) = (self.block_inputs(), self.parameters.basis());
        let mut scalars = Vec::with_capacity(basis.moduli().len());
        for (modulus, subring) in basis.moduli().iter().zip(&self.subrings) {
            let mut of_prime = vec![0; rows * self.input_blocks() * kw];
            let padded = of_prime.chunks_exact_mut(self.input_blocks() * kw);
            for (row, padded) in integers.chunks(self.inputs).zip(padded) {
                let residues = row.iter().map(|&x| modulus.from_signed(x));
                padded.iter_mut().zip(residues).for_each(|(slot, x)| *slot = x);
                padded.chunks_exact_mut(kw).for_each(|block| subring.forward(block));
            }
            scalars.push(of_prime);
        }
        let square = |row: &[i64]| row.iter().map(|&x| (x as f64).powi(2)).sum();
        Ok(EncodedRows {
            rows,
            scalars,
            squares: integers.chunks(self.inputs).map(square).collect(),
        })
    }

    /// Multiplies, and compresses the products. The key holder can compute the rows from the response.
    pub fn forward(&self, weights: &EncryptedWeights, x: &EncodedRows) -> Result<Vec<u8>, LatticeError> {
        self.respond(weights, x, |_, _| Ok(()))
    }

    /// The same for a key holder who must not learn the rows. Rows and updates with more noise than the flooding hides are refused. The
    /// secrecy holds for a matrix and deltas that the key holder encrypted as stated.
    pub fn forward_hidden(
        &self,
        weights: &EncryptedWeights,
        x: &EncodedRows,
        hiding: &Hiding<'_>,
    ) -> Result<Vec<u8>, LatticeError> {
        let square = x.squares.iter().copied().fold(0.0, f64::max);
        hiding.check_noise(self.noise_of(square, weights.energy))?;
        self.respond(weights, x, |response, index| hiding.apply(response, index))
    }

    /// W <- W - eta x^T delta. Nothing is changed if any byte of `delta` is wrong.
    pub fn update(&self, weights: &mut EncryptedWeights, x: &EncodedRows, delta: &[u8]) -> Result<(), LatticeError> {
        self.check_weights(weights)?;
        check_len(self.delta_len(x.rows), delta)?;
        let uploads = delta.chunks(Upload::exact_len(&self.parameters));
        let deltas: Vec<Ciphertext> = uploads
            .map(|bytes| Upload::decode_exact(&self.parameters, bytes))
            .collect::<Result<_, _>>()?;
        let shape = Shape {
            outputs: self.input_blocks(),
            terms: x.rows,
            classes: self.block_inputs(),
        };
        for (prime, (modulus, values)) in self.parameters.basis().moduli().iter().zip(&x.scalars).enumerate() {
            let scalars = Scalars::by_term(modulus, shape, Classes::Natural, values)?;
            for (blocks, deltas) in weights.blocks.chunks_mut(self.input_blocks()).zip(deltas.chunks(x.rows)) {
                for component in COMPONENTS {
                    let inputs: Vec<&[u64]> = deltas.iter().map(|d| component.of(d).residues(prime)).collect();
                    let outputs = blocks.iter_mut().map(|w| component.of_mut(w).residues_mut(prime));
                    self.kernel.add_assign(&scalars, &inputs, &mut outputs.collect::<Vec<_>>())?;
                }
            }
        }
        weights.energy += x.squares.iter().sum::<f64>();
        Ok(())
    }

    fn respond(
        &self,
        weights: &EncryptedWeights,
        x: &EncodedRows,
        hide: impl Fn(&mut Ciphertext, usize) -> Result<(), LatticeError>,
    ) -> Result<Vec<u8>, LatticeError> {
        self.check_weights(weights)?;
        let shape = Shape {
            outputs: x.rows,
            terms: self.input_blocks(),
            classes: self.block_inputs(),
        };
        let of_prime = self.parameters.basis().moduli().iter().zip(&x.scalars);
        let scalars: Vec<Scalars> = of_prime
            .map(|(modulus, values)| Scalars::by_output(modulus, shape, Classes::Mirrored, values))
            .collect::<Result<_, _>>()?;
        let mut out = Vec::with_capacity(self.response_len(x.rows));
        for (r, blocks) in weights.blocks.chunks(self.input_blocks()).enumerate() {
            for (i, mut response) in self.multiply(&scalars, blocks, x.rows)?.into_iter().enumerate() {
                hide(&mut response, r * x.rows + i)?;
                let (c0, c1) = (response.c0.into_coefficients(), response.c1.into_coefficients());
                self.compression.write(&c0, &[&c1], 0..self.width(r), &mut out);
            }
        }
        Ok(out)
    }

    /// sum_q W[q] xfwd[i,q] for every row i.
    fn multiply(&self, scalars: &[Scalars], blocks: &[Ciphertext], rows: usize) -> Result<Vec<Ciphertext>, LatticeError> {
        let zero = || Poly::<Evaluations>::zero(self.parameters.basis());
        let mut products: Vec<Ciphertext> = (0..rows).map(|_| Ciphertext { c0: zero(), c1: zero() }).collect();
        for (prime, scalars) in scalars.iter().enumerate() {
            for component in COMPONENTS {
                let inputs: Vec<&[u64]> = blocks.iter().map(|w| component.of(w).residues(prime)).collect();
                let outputs = products.iter_mut().map(|y| component.of_mut(y).residues_mut(prime));
                self.kernel.assign(scalars, &inputs, &mut outputs.collect::<Vec<_>>())?;
            }
        }
        Ok(products)
    }

    fn check_weights(&self, weights: &EncryptedWeights) -> Result<(), LatticeError> {
        let expected = self.input_blocks() * self.output_blocks();
        check_size("blocks of the encrypted matrix", expected, weights.blocks.len())
    }
}

/// One half of a ciphertext.
#[derive(Clone, Copy)]
enum Component {
    C0,
    C1,
}

const COMPONENTS: [Component; 2] = [Component::C0, Component::C1];

impl Component {
    fn of(self, ciphertext: &Ciphertext) -> &Poly<Evaluations> {
        match self {
            Self::C0 => &ciphertext.c0,
            Self::C1 => &ciphertext.c1,
        }
    }

    fn of_mut(self, ciphertext: &mut Ciphertext) -> &mut Poly<Evaluations> {
        match self {
            Self::C0 => &mut ciphertext.c0,
            Self::C1 => &mut ciphertext.c1,
        }
    }
}
