//! The three products of training with both operands encrypted under one key: x W, x^T delta and delta W^T.
//!
//! The key holder encrypts x, W and delta; the other party multiplies ciphertexts and answers; the key holder decrypts. The key holder keeps the
//! optimiser: it decrypts x^T delta, changes W in the clear and encrypts it afresh. So noise never grows, and small scales do: N = 2048 with one
//! 50-bit prime. Rows are uploaded once and stored, or sent with every batch (the layers after the first).
//!
//! **Layout** ([`Layout`] of a dense layer; that of a convolution is in `convolution`): delta stands with its coefficients reversed. All three products are then plain tensor products under s of the same
//! ciphertexts. With delta in natural order two of them would take the other operand's image under X -> X^-1: four components, in 1, s, s(X^-1) and
//! s s(X^-1).
//!
//! **Bytes.** With Q input blocks, R output blocks and G groups of S rows, an operand block takes N log2(q) / 8 bytes and a seed (12,832). A response is a
//! tensor product: c0 where it is wanted, c1 and c2 whole, at N = 2048 and 34 bits 17.4 kB and more (B is 6 bits longer than without c2, whose rounding is
//! multiplied by s^2). It is relinearised instead: at the products' scale, 2^40, the noise of two 18-bit digits, the 14 lowest bits dropped, is 2^-16, and
//! c1 alone at B = 30 takes 7.7 kB. That costs the server two transforms a response and spares the key holder one. The key for it, once 25.7 kB, rests on
//! the encryption of s^2 under s being as safe as any other.
//!
//! | per batch | ciphertexts | products of ciphertexts |
//! |---|---|---|
//! | rows, delta, W | G Q, G R, Q R up | |
//! | x W | G R down | G Q R |
//! | x^T delta | Q R down | G Q R |
//! | delta W^T | G Q down | G Q R |
//!
//! **Stored rows** stay in the form in which they came: the seed of c1 and the packed evaluations of c0. A block of it is 12.8 kB and read in 4.7 us; both
//! halves packed would be 25.6 kB and 3.6 us, in plain words 32.8 kB and 3.0 us, and a disk of 2 GB/s takes 6 us for every 12.8 kB. They are read anew for
//! every product, so a batch needs no memory beyond its bytes.
//!
//! **Scales.** x at 2^sx, W at 2^sw, delta at 2^sd; products must stay below a quarter of q: with 20, 20 and 26 outputs below 2^8, gradients below 2^2.
//! Products are linear in delta: a key holder whose gradients are smaller multiplies delta and divides the results. In training on MNIST
//! (784-128-32-10, batches of 60) the outputs of the first layer are then off by 4e-5, its gradient by 6e-7 (root mean square), the largest of them
//! are 5 and 0.1.

use super::{LinearShape, compression::Compression, layout::Layout};
use crate::{Gadget, LatticeError, Parameters, encryption::SeededPair, switching};
use packing::Packing;

mod choose;
mod keyholder;
mod noise;
mod packing;
mod server;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_convolution;

pub use choose::RowSource;
pub use noise::OperandNorms;
pub use server::{EncryptedDelta, EncryptedMatrix};

/// Relinearisation modulo one prime: two digits over its top bits, where the noise of the digits and of what is dropped are about the same.
const DIGIT: u32 = 18;
/// Digits of relinearisation modulo several primes, of which nothing can be dropped.
const EXACT_DIGIT: u32 = 17;

/// Fixed-point scales of the three operands and response precision, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TrainingScales {
    /// sx: rows are rounded to multiples of 2^-sx.
    pub input: u32,
    /// sw: the matrix is rounded to multiples of 2^-sw.
    pub weight: u32,
    /// sd: delta is rounded to multiples of 2^-sd.
    pub delta: u32,
    /// B: responses are switched to the modulus 2^B.
    pub response: u32,
}

/// Rows, matrix and delta, all encrypted, as both parties compute with them.
#[derive(Debug, Clone, PartialEq)]
pub struct EncryptedProduct {
    parameters: Parameters,
    packing: Packing,
    scales: TrainingScales,
    compression: Compression,
}

/// Which of the three products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// x W: responses by group and output block.
    Outputs { rows: usize },
    /// x^T delta: by input block and output block.
    Gradient,
    /// delta W^T: by group and input block.
    InputGradient { rows: usize },
}

impl EncryptedProduct {
    /// Products of a dense layer in a layout, such as one of [`Layout::for_training`].
    pub fn new(parameters: &Parameters, layout: Layout, scales: TrainingScales) -> Result<Self, LatticeError> {
        layout.check(parameters.degree())?;
        Self::packed(parameters, Packing::Dense(layout), scales)
    }

    fn packed(parameters: &Parameters, packing: Packing, scales: TrainingScales) -> Result<Self, LatticeError> {
        Ok(Self {
            parameters: parameters.clone(),
            packing,
            scales,
            compression: Compression::new(parameters, scales.response, 1)?,
        })
    }

    /// The layer.
    pub fn shape(&self) -> LinearShape {
        self.packing.shape()
    }

    /// How a dense layer is laid out; `None` for a convolution.
    pub fn layout(&self) -> Option<&Layout> {
        match &self.packing {
            Packing::Dense(layout) => Some(layout),
            Packing::Convolution(..) => None,
        }
    }

    /// Inputs and outputs that share a block; of a convolution, channels (input channels once for every phase of the stride).
    pub fn blocks(&self) -> [usize; 2] {
        self.packing.blocks()
    }

    /// Ciphertexts that hold one block of inputs of a batch of `rows` rows.
    pub fn groups(&self, rows: usize) -> usize {
        self.packing.groups(rows)
    }

    /// Bytes of one encrypted group of rows: what is stored and drawn.
    pub fn group_len(&self) -> usize {
        self.packing.input_blocks() * self.block_len()
    }

    /// Bytes of `rows` encrypted rows.
    pub fn rows_len(&self, rows: usize) -> usize {
        self.packing.groups(rows) * self.group_len()
    }

    /// Bytes of the encrypted matrix.
    pub fn weights_len(&self) -> usize {
        self.packing.input_blocks() * self.packing.output_blocks() * self.block_len()
    }

    /// Bytes of the encrypted delta of `rows` rows.
    pub fn delta_len(&self, rows: usize) -> usize {
        self.packing.groups(rows) * self.packing.output_blocks() * self.block_len()
    }

    /// Bytes of the relinearisation key.
    pub fn relinearisation_key_len(&self) -> usize {
        crate::RelinearisationKey::encoded_len(&self.parameters, self.gadget())
    }

    /// Bytes of the answer x W for `rows` rows.
    pub fn outputs_len(&self, rows: usize) -> usize {
        self.answer_len(Kind::Outputs { rows })
    }

    /// Bytes of the answer x^T delta.
    pub fn gradient_len(&self) -> usize {
        self.answer_len(Kind::Gradient)
    }

    /// Bytes of the answer delta W^T for `rows` rows.
    pub fn input_gradient_len(&self, rows: usize) -> usize {
        self.answer_len(Kind::InputGradient { rows })
    }

    fn answer_len(&self, kind: Kind) -> usize {
        let wanted = self.packing.wanted(kind);
        wanted.iter().flatten().map(|&wanted| self.compression.len(wanted)).sum()
    }

    /// How relinearisation cuts what it multiplies.
    fn gadget(&self) -> Gadget {
        match self.parameters.basis().moduli() {
            [modulus] => Gadget {
                digit: DIGIT,
                dropped: modulus.bits().saturating_sub(2 * DIGIT),
            },
            _ => Gadget::exact(EXACT_DIGIT),
        }
    }

    /// Bytes of one block of an operand.
    fn block_len(&self) -> usize {
        SeededPair::encoded_len(&self.parameters)
    }

    /// Bits of the products' scale.
    fn scale(&self, kind: Kind) -> u32 {
        match kind {
            Kind::Outputs { .. } => self.scales.input + self.scales.weight,
            Kind::Gradient => self.scales.input + self.scales.delta,
            Kind::InputGradient { .. } => self.scales.delta + self.scales.weight,
        }
    }

    /// Variance of what relinearisation and switching add to a coefficient, in integers of the product.
    fn answer_variance(&self) -> f64 {
        switching::noise_variance(&self.parameters, self.gadget()) + self.compression.variance()
    }
}
