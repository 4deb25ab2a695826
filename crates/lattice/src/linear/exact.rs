//! Exact products modulo 2^64: a plaintext matrix times an encrypted one, result in additive shares.
//!
//! The key holder has W (inner x columns, any words), the *responder* X (rows x inner, signed integers). The key holder sends Enc(W); the
//! responder multiplies, adds a uniform mask R and answers; the key holder decrypts X W + R, every bit of it, and the responder keeps -R.
//!
//! | party | learns |
//! |---|---|
//! | responder | nothing of W: ciphertexts under a key that it does not have (RLWE) |
//! | key holder | X W + R modulo 2^64, uniform; that what it sees says more of X has statistical distance 2^-40 over all coefficients of the job, beside RLWE |
//!
//! Both follow the protocol. A key holder who puts more noise into its ciphertexts than [`ExactProduct::encrypt`] does sees more of X.
//!
//! **Encoding** is scale-invariant: m stands as round(q m / 2^64), so that m + 2^64 is the same as m modulo q, and products with integers wrap
//! at 2^64 by themselves. The rounding's part of the noise is multiplied by X as the encryption's is (`noise`).
//!
//! **Layout** is that of [`Layout`]: S rows of X to a polynomial, kw of inner and nw columns to a block, S kw nw <= N; no rotation, no key but
//! the public one. With Q = ceil(inner / kw), C = ceil(columns / nw) and G = ceil(rows / S) there are Q C uploads and G C responses. Where S kw nw = N, a
//! smaller kw means more uploads and fewer responses: S results need kw S coefficients, whatever the layout, because results must miss all cross
//! terms. [`ExactProduct::for_shapes`] takes the layout that takes the least time on a link of a gigabit: bytes both ways, and what both parties compute.
//!
//! **Response.** c1 is re-randomised: c1 + a u + e1 under the receiver's public key (b, a), with u ternary and e1 Gaussian, is uniform to whoever does not know
//! u. c0 + b u is flooded (`flooding`), which hides the noise X e + e u + e1 s with everything in it that depends on X; an error of its own it needs
//! none. Then both are switched from q to powers of two: all of c1 with [`WHOLE_BITS`] bits, and of c0 the wanted coefficients only, with [`WANTED_BITS`].
//! Flooding and mask are added on the way, where a coefficient of c0 is the fraction c / q to 128 bits (`fraction`): the flooding is 2^62 wide there whatever q
//! is, and the mask, a multiple of 2^-64, is exact.
//!
//! **Counts**, for n primes (three for 20-bit X, four for 64 bits) and N = 8192:
//!
//! | step | transforms | products of N residues | samples |
//! |---|---|---|---|
//! | encrypt | n Q C forward | n Q C | n N uniform and N Gaussian an upload |
//! | prepare | n G Q forward, of length N / 2^k where 2^k is the largest power of two in nw | | |
//! | respond | n forward and 2n inverse a response | 2 n G C Q, and 2n a response | n N uniform an upload; N ternary, N Gaussian and 4 words a result, a response |
//! | decrypt | 2 forward and 2 inverse a response | 2 a response | |
//!
//! Of c0, and of what is decrypted, only the coefficients with results are transformed back ([`Runs`]): one in kw, which spares three quarters of the stages past
//! the first log2(kw nw) where kw = 4.
//!
//! So 1024 x 12 x 8 at 20 bits (kw = 4, S = 256: three uploads, four responses) takes 9 transforms to encrypt, 36 eighths to prepare, 36 and 96 products to
//! respond, 16 to decrypt.

mod choose;
mod flooding;
mod keyholder;
mod noise;
mod plaintext;
mod responder;
#[cfg(test)]
mod tests;
mod wire;

use choose::choose;
use keyholder::{DECRYPT, ENCRYPT};
pub use noise::STATISTICAL_BITS;
use noise::Secrecy;
pub use plaintext::ExactPlaintext;
pub use responder::{ExactResponse, Masking};
use responder::{MULTIPLY, READ, RESPOND};
pub use wire::{WANTED_BITS, WHOLE_BITS};

use cloven_ring::{FractionLimbs, NttPlan, RnsBasis, Runs};

use super::layout::Layout;
use crate::{LatticeError, Parameters, encryption::SeededPair, fraction::Fractions, residue::minus_inverse};

/// log2(N): at half this degree the security table has no room for the flooding.
const LOG2_DEGREE: u32 = 13;
/// Most numbers of a matrix: bounds what a layout's tables take.
const MOST: usize = 1 << 26;
/// The first two primes have this many bits: they alone hold a response times the secret.
const FIRST_BITS: u32 = 50;
/// Nanoseconds of a byte on its way.
const BYTE: usize = 8;
/// No prime is shorter than this: there are enough of every length from here on.
const LEAST_BITS: u32 = 20;

/// A plaintext matrix times an encrypted matrix modulo 2^64, as both parties compute it.
#[derive(Debug, Clone)]
pub struct ExactProduct {
    /// Rows of X, columns of X and rows of W, columns of W.
    shape: [usize; 3],
    plaintext_bits: u32,
    parameters: Parameters,
    layout: Layout,
    /// The coefficients of a response that have results.
    runs: Runs,
    /// The first two primes, which hold a response times the secret.
    reading: RnsBasis,
    /// -2^-64 modulo every prime.
    minus_inverses: Vec<u64>,
    fractions: Fractions,
    limbs: FractionLimbs,
    /// For every prime, the transform of X's polynomials.
    subrings: Vec<NttPlan>,
}

impl ExactProduct {
    /// The product of a rows x inner matrix, integers from -2^(`plaintext_bits`-1) to 2^(`plaintext_bits`-1), with an encrypted inner x columns
    /// matrix. `revealed` is the number of results that the key holder decrypts in the whole job, under whatever keys.
    pub fn new(shape: [usize; 3], plaintext_bits: u32, revealed: u64) -> Result<Self, LatticeError> {
        let mut products = Self::for_shapes(&[shape], plaintext_bits, revealed)?;
        products.pop().ok_or(no_layout(shape))
    }

    /// Products of several shapes with the same parameters, so that one key serves them all: those of a job's directions and of its last, smaller
    /// batches.
    pub fn for_shapes(shapes: &[[usize; 3]], plaintext_bits: u32, revealed: u64) -> Result<Vec<Self>, LatticeError> {
        let secrecy = Secrecy::new(plaintext_bits, revealed)?;
        let layouts = shapes.iter().map(|&shape| {
            check_shape(shape)?;
            choose(1 << LOG2_DEGREE, shape, |layout| {
                cost(layout, shape[0], secrecy.log2_modulus(layout))
            })
        });
        let layouts: Vec<Layout> = layouts.collect::<Result<_, _>>()?;
        let needed = layouts.iter().map(|layout| secrecy.log2_modulus(layout));
        let parameters = parameters(needed.fold(0.0, f64::max))?;
        let moduli = parameters.basis().moduli();
        let reading = RnsBasis::new(parameters.degree(), &moduli[..2])?;
        let of_layout = |(&shape, layout): (_, Layout)| {
            let classes = layout.degree / plaintext::width(&layout);
            let subrings = parameters.basis().plans().iter().map(|plan| plan.subring(classes));
            Ok(Self {
                shape,
                plaintext_bits,
                parameters: parameters.clone(),
                runs: layout.runs()?,
                layout,
                reading: reading.clone(),
                minus_inverses: moduli.iter().map(minus_inverse).collect(),
                fractions: Fractions::new(moduli),
                limbs: FractionLimbs::new(parameters.basis()),
                subrings: subrings.collect::<Result<_, _>>()?,
            })
        };
        shapes.iter().zip(layouts).map(of_layout).collect()
    }

    /// Ring degree and primes: what the keys are made for ([`crate::SecretKey::generate`], [`crate::PublicKey::generate`]).
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Rows, inner and columns.
    pub fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// Ciphertexts that the key holder sends.
    pub fn uploads(&self) -> usize {
        self.layout.input_blocks() * self.layout.output_blocks()
    }

    /// Ciphertexts that come back.
    pub fn responses(&self) -> usize {
        self.layout.groups(self.shape[0]) * self.layout.output_blocks()
    }

    /// Bytes of [`ExactProduct::encrypt`].
    pub fn upload_len(&self) -> usize {
        self.uploads() * SeededPair::encoded_len(&self.parameters)
    }

    /// Bytes of a response.
    pub fn response_len(&self) -> usize {
        let of = |(g, r)| wire::len(self.layout.samples_in(g, self.shape[0]) * self.layout.width(r));
        self.layout.responses(self.shape[0]).map(of).sum()
    }
}

/// Nanoseconds of a product with a modulus of so many bits: of bytes both ways, and of both parties' work.
fn cost(layout: &Layout, rows: usize, log2_modulus: f64) -> usize {
    let (uploads, responses) = (
        layout.input_blocks() * layout.output_blocks(),
        layout.groups(rows) * layout.output_blocks(),
    );
    let bits = log2_modulus.ceil() as usize;
    let words = layout.degree * prime_bits(bits as u32).len();
    let upload = BYTE * layout.degree * bits / 8 + (ENCRYPT + READ) * words;
    // What is wanted of c0 is the same in all layouts.
    let response = BYTE * wire::len(0) + (layout.input_blocks() * MULTIPLY + RESPOND) * words + DECRYPT * layout.degree;
    uploads * upload + responses * response
}

/// The set with a modulus of at least 2^`log2_modulus`.
fn parameters(log2_modulus: f64) -> Result<Parameters, LatticeError> {
    let mut bits = log2_modulus.ceil() as u32;
    loop {
        let parameters = Parameters::new(LOG2_DEGREE, &prime_bits(bits))?;
        if parameters.log2_modulus() >= log2_modulus {
            return Ok(parameters);
        }
        bits += 1;
    }
}

/// As few primes as add up to `bits`, the first two of [`FIRST_BITS`].
fn prime_bits(bits: u32) -> Vec<u32> {
    let rest = bits.saturating_sub(2 * FIRST_BITS).max(LEAST_BITS);
    let others = rest.div_ceil(FIRST_BITS);
    let share = |index: u32| (rest + index) / others;
    let mut all = vec![FIRST_BITS; 2];
    all.extend((0..others).rev().map(share));
    all
}

fn check_shape(shape: [usize; 3]) -> Result<(), LatticeError> {
    let [rows, inner, columns] = shape;
    let sizes = [
        rows.saturating_mul(inner),
        inner.saturating_mul(columns),
        rows.saturating_mul(columns),
    ];
    match sizes.iter().all(|size| (1..=MOST).contains(size)) {
        true => Ok(()),
        false => Err(no_layout(shape)),
    }
}

fn no_layout([_, inner, columns]: [usize; 3]) -> LatticeError {
    LatticeError::NoLayout {
        inputs: inner,
        outputs: columns,
        degree: 1 << LOG2_DEGREE,
    }
}
