//! Sums of products with polynomials of low degree, many at once and two halves at a time.
//!
//! With polynomials `f[i][t]` of `coefficients` = T coefficients (a power of two) and pairs of polynomials in evaluations, as the two halves of a
//! ciphertext are,
//!
//! ```text
//! outputs[i][h] += sum_t  f[i][t](X) * inputs[t][h]          or f[i][t](X^-1)
//! ```
//!
//! An evaluation of f is a *pruned* transform. Of the log2(N) stages all but the last log2(T) have zeros on the right of every butterfly and
//! only copy; what is left is, for every T neighbouring slots, a transform of length T with the roots of its place. So the evaluations
//! are computed where they are used, slots of a tile at a time, and never kept: for 60 rows of 784 inputs with T = 4 they would fill 193 MB.
//!
//! The lanes of a vector are eight *outputs* at one slot. Butterflies then need no shuffles, their roots and the inputs are broadcast, and an
//! evaluation serves both halves. For every output, term and slot, in instructions for eight lanes (IFMA):
//!
//! ```text
//! multiply and add, both halves      4 of the multiplier, 1 load and 2 broadcasts
//! evaluation                         log2(T) / 2 butterflies of 3 of the multiplier and 6 others
//! ```
//!
//! Memory: the slots of a tile of every input are packed once for all outputs; the factors, 8 T bytes for an output and term, are read once
//! for each of N / 16 tiles from the second-level cache. Control flow and addresses depend on the shape alone.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx2;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod ifma;
mod scalar;

use std::ops::Range;

use crate::backend::Runnable;
use crate::{Modulus, NttPlan, RingError};

/// Outputs that are computed side by side.
pub const LANES: usize = 8;
/// Slots of a tile, unless a factor has more coefficients.
const TILE: usize = 16;
/// Terms whose evaluations are kept at a time: 32 KiB for a tile of 16 slots.
const CHUNK: usize = 32;
/// Most terms of an unreduced sum: where evaluations are left below 4q (IFMA), 1,024 high halves of products stay below 2^60.
const MAX_TERMS: usize = 1024;
/// Words of an unreduced sum: what the AVX2 kernel takes; the others take two.
const PARTS: usize = 3;

/// One number of every lane, on a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Lanes([u64; LANES]);

/// Which polynomial a factor stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// f(X).
    Plain,
    /// f(X^-1).
    Inverse,
}

/// The shape of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Pairs that come out.
    pub outputs: usize,
    /// Pairs that go in.
    pub terms: usize,
    /// Coefficients of a factor: a power of two.
    pub coefficients: usize,
}

/// The factors of a product, checked and packed for the kernels.
#[derive(Clone, Debug)]
pub struct Factors {
    shape: Shape,
    modulus: Modulus,
    /// `[outputs / 8][term][coefficient]`; lanes beyond the outputs are zero.
    lanes: Vec<Lanes>,
}

impl Factors {
    /// Packs the residues `value(output, term, coefficient)`.
    pub fn new(modulus: &Modulus, shape: Shape, value: impl Fn(usize, usize, usize) -> u64) -> Result<Self, RingError> {
        let smallest = shape.outputs.min(shape.terms);
        if smallest == 0 || !shape.coefficients.is_power_of_two() {
            return Err(RingError::Shape {
                expected: "outputs, terms and a power of two as number of coefficients",
                actual: smallest.min(shape.coefficients),
            });
        }
        let of_group = shape.terms * shape.coefficients;
        let mut lanes = vec![Lanes([0; LANES]); shape.outputs.div_ceil(LANES) * of_group];
        for (group, lanes) in lanes.chunks_exact_mut(of_group).enumerate() {
            for (index, Lanes(words)) in lanes.iter_mut().enumerate() {
                let (term, coefficient) = (index / shape.coefficients, index % shape.coefficients);
                let outputs = group * LANES..shape.outputs.min((group + 1) * LANES);
                for (output, word) in outputs.zip(words.iter_mut()) {
                    *word = value(output, term, coefficient);
                }
                crate::words::check_reduced(words, modulus)?;
            }
        }
        Ok(Self {
            shape,
            modulus: *modulus,
            lanes,
        })
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The factors of some terms of a group of outputs.
    fn of(&self, group: usize, terms: Range<usize>) -> &[Lanes] {
        let (first, of) = (group * self.shape.terms, self.shape.coefficients);
        &self.lanes[(first + terms.start) * of..(first + terms.end) * of]
    }
}

/// The kernel of one degree, prime and backend.
#[derive(Clone, Debug)]
pub struct LowDegreeProduct {
    modulus: Modulus,
    degree: usize,
    kernel: Kernel,
}

/// The roots of all stages, as the kernels read them.
#[derive(Clone, Debug)]
enum Kernel {
    Scalar(Vec<u64>),
    #[cfg(target_arch = "x86_64")]
    Avx2(crate::backend::Avx2, Vec<[f64; 2]>),
    #[cfg(target_arch = "x86_64")]
    Ifma(crate::backend::Ifma, Vec<[u64; 2]>),
}

impl LowDegreeProduct {
    /// Products of evaluations in the order of `plan`, whose degree is at least 16, on its backend.
    pub fn new(plan: &NttPlan) -> Result<Self, RingError> {
        if plan.degree() < TILE {
            return Err(RingError::Shape {
                expected: "a degree of at least 16",
                actual: plan.degree(),
            });
        }
        let (q, roots) = (plan.modulus().value(), plan.forward_roots());
        let kernel = match plan.runnable() {
            Runnable::Scalar => Kernel::Scalar(roots),
            #[cfg(target_arch = "x86_64")]
            Runnable::Avx2(licence) => {
                let constants = roots.iter().map(|&w| crate::simd256::constant(w, q));
                Kernel::Avx2(licence, constants.collect())
            }
            #[cfg(target_arch = "x86_64")]
            Runnable::Ifma(licence) => {
                let constants = roots.iter().map(|&w| [w, crate::simd512::shoup_quotient(w, q)]);
                Kernel::Ifma(licence, constants.collect())
            }
        };
        Ok(Self {
            modulus: *plan.modulus(),
            degree: plan.degree(),
            kernel,
        })
    }

    /// Adds the sums of the outputs from number `first` (a multiple of [`LANES`]) on, as many as `outputs` has.
    ///
    /// Every polynomial is a slice of N reduced evaluations modulo the prime of `factors`.
    pub fn add_assign(
        &self,
        factors: &Factors,
        argument: Argument,
        first: usize,
        inputs: &[[&[u64]; 2]],
        outputs: &mut [[&mut [u64]; 2]],
    ) -> Result<(), RingError> {
        self.check(factors, first, inputs, outputs)?;
        let tile = TILE.max(factors.shape.coefficients);
        let mut scratch = Scratch::new(tile, factors.shape);
        for part in (0..inputs.len()).step_by(MAX_TERMS) {
            let terms = part..inputs.len().min(part + MAX_TERMS);
            for start in (0..self.degree).step_by(tile) {
                scratch.pack(&inputs[terms.clone()], start);
                // f(X^-1) at a slot is f at the slot's mirror.
                let evaluated = match argument {
                    Argument::Plain => start,
                    Argument::Inverse => self.degree - tile - start,
                };
                for (group, outputs) in outputs.chunks_mut(LANES).enumerate() {
                    self.sum(
                        factors,
                        argument,
                        first / LANES + group,
                        terms.clone(),
                        evaluated,
                        &mut scratch,
                    );
                    self.add(&scratch.sums, start, outputs);
                }
            }
        }
        Ok(())
    }

    /// The reduced sums of one group of outputs over one tile.
    fn sum(
        &self,
        factors: &Factors,
        argument: Argument,
        group: usize,
        terms: Range<usize>,
        evaluated: usize,
        scratch: &mut Scratch,
    ) {
        let tile = scratch.tile;
        scratch.partial.fill(Lanes([0; LANES]));
        for start in terms.clone().step_by(CHUNK) {
            let chunk = start..terms.end.min(start + CHUNK);
            let panel = &scratch.panel[2 * tile * (start - terms.start)..2 * tile * (chunk.end - terms.start)];
            let job = Chunk {
                modulus: &self.modulus,
                degree: self.degree,
                tile,
                coefficients: factors.shape.coefficients,
                factors: factors.of(group, chunk.clone()),
                first_slot: evaluated,
                argument,
                panel,
            };
            let values = &mut scratch.evaluated[..chunk.len() * job.stride()];
            match &self.kernel {
                Kernel::Scalar(roots) => scalar::run(&job, roots, values, &mut scratch.partial),
                #[cfg(target_arch = "x86_64")]
                Kernel::Avx2(licence, roots) => avx2::run(*licence, &job, roots, values, &mut scratch.partial),
                #[cfg(target_arch = "x86_64")]
                Kernel::Ifma(licence, roots) => ifma::run(*licence, &job, roots, values, &mut scratch.partial),
            }
        }
        match &self.kernel {
            Kernel::Scalar(_) => scalar::reduce(&self.modulus, &scratch.partial, &mut scratch.sums),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(licence, _) => avx2::reduce(*licence, &self.modulus, &scratch.partial, &mut scratch.sums),
            #[cfg(target_arch = "x86_64")]
            Kernel::Ifma(licence, _) => ifma::reduce(*licence, &self.modulus, &scratch.partial, &mut scratch.sums),
        }
    }

    /// From lanes to the slots of the outputs. `sums` is `[slot][half]`.
    fn add(&self, sums: &[Lanes], start: usize, outputs: &mut [[&mut [u64]; 2]]) {
        for half in 0..2 {
            match &self.kernel {
                #[cfg(target_arch = "x86_64")]
                Kernel::Ifma(licence, _) => ifma::add(*licence, &self.modulus, sums, half, start, outputs),
                _ => scalar::add_to(&self.modulus, sums, half, start, outputs),
            }
        }
    }

    fn check(
        &self,
        factors: &Factors,
        first: usize,
        inputs: &[[&[u64]; 2]],
        outputs: &[[&mut [u64]; 2]],
    ) -> Result<(), RingError> {
        let length = |what, expected, actual| match expected == actual {
            true => Ok(()),
            false => Err(RingError::Length { what, expected, actual }),
        };
        let shape = factors.shape;
        if shape.coefficients > self.degree || factors.modulus != self.modulus {
            return Err(RingError::Shape {
                expected: "factors modulo the same prime, of no more coefficients than the degree",
                actual: shape.coefficients,
            });
        }
        if !first.is_multiple_of(LANES) || first + outputs.len() > shape.outputs {
            return Err(RingError::Shape {
                expected: "outputs of the factors from a multiple of eight on",
                actual: first,
            });
        }
        length("inputs of a product", shape.terms, inputs.len())?;
        let inputs = inputs.iter().flatten().map(|input| input.len());
        let outputs = outputs.iter().flatten().map(|output| output.len());
        inputs
            .chain(outputs)
            .try_for_each(|words| length("an operand of a product", self.degree, words))
    }
}

/// Some terms of a group of outputs, over one tile.
struct Chunk<'a> {
    modulus: &'a Modulus,
    degree: usize,
    /// Slots.
    tile: usize,
    /// T.
    coefficients: usize,
    /// `[term][coefficient]`.
    factors: &'a [Lanes],
    /// The first slot at which the factors are evaluated.
    first_slot: usize,
    argument: Argument,
    /// `[term][half][slot]`.
    panel: &'a [u64],
}

impl Chunk<'_> {
    /// Evaluations of a factor: one for every slot, or a single one if it is a constant.
    fn stride(&self) -> usize {
        if self.coefficients == 1 { 1 } else { self.tile }
    }
}

/// Memory of one call.
struct Scratch {
    tile: usize,
    /// `[term][half][slot]`.
    panel: Vec<u64>,
    /// `[term][slot]`.
    evaluated: Vec<Lanes>,
    /// `[slot][half]` unreduced sums.
    partial: Vec<Lanes>,
    /// `[slot][half]`.
    sums: Vec<Lanes>,
}

impl Scratch {
    fn new(tile: usize, shape: Shape) -> Self {
        let zero = Lanes([0; LANES]);
        Self {
            tile,
            panel: vec![0; 2 * tile * shape.terms.min(MAX_TERMS)],
            evaluated: vec![zero; tile * shape.terms.min(CHUNK)],
            partial: vec![zero; PARTS * 2 * tile],
            sums: vec![zero; 2 * tile],
        }
    }

    fn pack(&mut self, inputs: &[[&[u64]; 2]], start: usize) {
        let halves = inputs.iter().flatten();
        for (packed, input) in self.panel.chunks_exact_mut(self.tile).zip(halves) {
            let slots = &input[start..start + self.tile];
            match (packed.first_chunk_mut::<TILE>(), slots.first_chunk()) {
                (Some(packed), Some(slots)) if self.tile == TILE => *packed = *slots,
                _ => packed.copy_from_slice(slots),
            }
        }
    }
}
