//! Modular matrix products of the linear core: block-constant polynomials times polynomials, many at once.
//!
//! With kw * nw = N, multiplying evaluations by a polynomial in X^nw multiplies each of the kw blocks of nw slots by a
//! scalar (see [`crate::NttPlan`]). So, with one scalar `u[i][t][class]` for output i, term t and class,
//!
//! ```text
//! output[i][slot] (+)= sum_t  u[i][t][class of slot] * input[t][slot]   mod q
//! ```
//!
//! is an integer matrix product for every class. The forward product has the samples as outputs and the blocks of the
//! weights as terms; the update has the blocks as outputs and the samples as terms, with the mirrored classes.
//!
//! The scalars are packed once ([`Scalars`]) and serve every component of a ciphertext. Every kernel keeps a tile of
//! outputs in registers and sums unreduced halves of the products, for [`MAX_TERMS`] terms at most; each output is
//! reduced once. Control flow and addresses depend on the shape alone.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod ifma;
pub(crate) mod scalar;

use crate::backend::Runnable;
use crate::pointwise::Former;
use crate::{Backend, Modulus, RingError};

/// Most terms of one sum: 4,096 low halves below 2^52 still fit a 64-bit word.
pub const MAX_TERMS: usize = 4096;
/// Slots of a tile: inputs are packed, and outputs computed, this many at a time.
const TILE: usize = 16;

/// In which order the classes of the given scalars are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Classes {
    /// As the transform of length kw gives them: multiplication by f(X^nw).
    Natural,
    /// Read backwards: multiplication by f(X^-nw).
    Mirrored,
}

/// The shape of a product: `outputs` sums of `terms` products, `classes` (kw) scalars to each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Polynomials that come out.
    pub outputs: usize,
    /// Polynomials that go in.
    pub terms: usize,
    /// Blocks of a polynomial with a scalar of their own.
    pub classes: usize,
}

/// The scalar side of a product, checked and packed for the kernels.
#[derive(Clone, Debug)]
pub struct Scalars {
    shape: Shape,
    modulus: Modulus,
    /// `[class][term][output]`.
    words: Vec<u64>,
}

impl Scalars {
    /// Packs `values`, laid out `[output][term][class]`: the forward product, whose rows are the samples.
    pub fn by_output(modulus: &Modulus, shape: Shape, order: Classes, values: &[u64]) -> Result<Self, RingError> {
        let at = |output, term| (output * shape.terms + term) * shape.classes;
        Self::pack(modulus, shape, order, values, at)
    }

    /// Packs `values`, laid out `[term][output][class]`: the update, which takes the same array with the roles swapped.
    pub fn by_term(modulus: &Modulus, shape: Shape, order: Classes, values: &[u64]) -> Result<Self, RingError> {
        let at = |output, term| (term * shape.outputs + output) * shape.classes;
        Self::pack(modulus, shape, order, values, at)
    }

    fn pack(
        modulus: &Modulus,
        shape: Shape,
        order: Classes,
        values: &[u64],
        at: impl Fn(usize, usize) -> usize,
    ) -> Result<Self, RingError> {
        let expected = shape.words()?;
        if values.len() != expected {
            return Err(RingError::Length {
                what: "scalars of a product",
                expected,
                actual: values.len(),
            });
        }
        crate::words::check_reduced(values, modulus)?;
        let mut words = vec![0; expected];
        // Row by row of the result: the writes are contiguous, and one cache line of the source serves eight classes.
        for (class, packed) in words.chunks_exact_mut(shape.outputs * shape.terms).enumerate() {
            let class = if order == Classes::Natural {
                class
            } else {
                shape.classes - 1 - class
            };
            for (term, row) in packed.chunks_exact_mut(shape.outputs).enumerate() {
                for (output, word) in row.iter_mut().enumerate() {
                    *word = values[at(output, term) + class];
                }
            }
        }
        Ok(Self {
            shape,
            modulus: *modulus,
            words,
        })
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The prime the scalars are reduced by.
    pub fn modulus(&self) -> &Modulus {
        &self.modulus
    }
}

impl Shape {
    /// Number of scalars, if the shape is one the kernels take.
    fn words(&self) -> Result<usize, RingError> {
        let smallest = self.outputs.min(self.terms).min(self.classes);
        if smallest == 0 {
            return Err(RingError::Shape {
                expected: "no dimension of zero",
                actual: 0,
            });
        }
        if self.terms > MAX_TERMS {
            return Err(RingError::TooManyTerms {
                max: MAX_TERMS,
                actual: self.terms,
            });
        }
        let words = self.outputs.checked_mul(self.terms).and_then(|w| w.checked_mul(self.classes));
        words.ok_or(RingError::Shape {
            expected: "a number of scalars that fits a word",
            actual: self.outputs,
        })
    }
}

/// The kernel of the products of one machine.
#[derive(Clone, Debug)]
pub struct MatrixProduct {
    runnable: Runnable,
}

impl MatrixProduct {
    /// On the fastest backend of this machine.
    pub fn new() -> Self {
        Self {
            runnable: Runnable::detect(),
        }
    }

    /// On a backend of choice; an error if this machine cannot run it.
    pub fn with_backend(backend: Backend) -> Result<Self, RingError> {
        Ok(Self {
            runnable: Runnable::new(backend)?,
        })
    }

    /// `outputs[i][slot] = sum_t u[i][t][class] * inputs[t][slot]`.
    ///
    /// Every polynomial is a slice of the same number of reduced evaluations modulo the prime of `scalars`, a multiple of
    /// the number of classes.
    pub fn assign(&self, scalars: &Scalars, inputs: &[&[u64]], outputs: &mut [&mut [u64]]) -> Result<(), RingError> {
        self.run(scalars, inputs, outputs, Former::Replaced)
    }

    /// `outputs[i][slot] += sum_t u[i][t][class] * inputs[t][slot]`; the operands as in [`Self::assign`].
    pub fn add_assign(&self, scalars: &Scalars, inputs: &[&[u64]], outputs: &mut [&mut [u64]]) -> Result<(), RingError> {
        self.run(scalars, inputs, outputs, Former::Added)
    }

    fn run(&self, scalars: &Scalars, inputs: &[&[u64]], outputs: &mut [&mut [u64]], former: Former) -> Result<(), RingError> {
        let slots = check(scalars, inputs, outputs)?;
        let (shape, width) = (scalars.shape, slots / scalars.shape.classes);
        let mut panel = vec![[0; TILE]; shape.terms];
        let of_class = scalars.words.chunks_exact(shape.outputs * shape.terms);
        for (class, factors) in of_class.enumerate() {
            for start in (0..width).step_by(TILE) {
                let first = class * width + start;
                let tile = first..first + TILE.min(width - start);
                for (packed, input) in panel.iter_mut().zip(inputs) {
                    let slots = &input[tile.clone()];
                    match slots.first_chunk() {
                        Some(whole) => *packed = *whole,
                        None => packed[..slots.len()].copy_from_slice(slots),
                    }
                }
                let job = Tile {
                    modulus: &scalars.modulus,
                    factors,
                    panel: &panel,
                    slots: tile,
                    former,
                };
                self.run_tile(job, outputs);
            }
        }
        Ok(())
    }

    fn run_tile(&self, job: Tile<'_>, outputs: &mut [&mut [u64]]) {
        match self.runnable {
            Runnable::Scalar => scalar::run(job, outputs),
            #[cfg(target_arch = "x86_64")]
            Runnable::Avx2(licence) => avx2::run(licence, job, outputs),
            #[cfg(target_arch = "x86_64")]
            Runnable::Ifma(licence) => ifma::run(licence, job, outputs),
        }
    }
}

impl Default for MatrixProduct {
    fn default() -> Self {
        Self::new()
    }
}

/// At most [`TILE`] slots of one class, for all outputs.
struct Tile<'a> {
    modulus: &'a Modulus,
    /// `[term][output]`.
    factors: &'a [u64],
    /// The slots of every input side by side; what lies beyond the slots of the tile is of no account.
    panel: &'a [[u64; TILE]],
    slots: std::ops::Range<usize>,
    former: Former,
}

impl Tile<'_> {
    /// Writes the reduced sums of one output.
    fn write(&self, sums: &[u64; TILE], output: &mut [u64]) {
        let output = &mut output[self.slots.clone()];
        match self.former {
            Former::Replaced => output.copy_from_slice(&sums[..output.len()]),
            Former::Added => output
                .iter_mut()
                .zip(sums)
                .for_each(|(old, &sum)| *old = self.modulus.add(*old, sum)),
        }
    }
}

/// The number of slots, once every length agrees.
fn check(scalars: &Scalars, inputs: &[&[u64]], outputs: &[&mut [u64]]) -> Result<usize, RingError> {
    let shape = scalars.shape;
    let length = |what, expected, actual| {
        if expected == actual {
            Ok(())
        } else {
            Err(RingError::Length { what, expected, actual })
        }
    };
    length("inputs of a product", shape.terms, inputs.len())?;
    length("outputs of a product", shape.outputs, outputs.len())?;
    let slots = inputs[0].len();
    if slots == 0 || !slots.is_multiple_of(shape.classes) {
        return Err(RingError::Shape {
            expected: "a multiple of the classes as number of slots",
            actual: slots,
        });
    }
    inputs
        .iter()
        .try_for_each(|input| length("an input of a product", slots, input.len()))?;
    outputs
        .iter()
        .try_for_each(|output| length("an output of a product", slots, output.len()))?;
    debug_assert!(
        inputs.iter().copied().flatten().all(|&v| v < scalars.modulus.value()),
        "an input is not reduced"
    );
    Ok(slots)
}
