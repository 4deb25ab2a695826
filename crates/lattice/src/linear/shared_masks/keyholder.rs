//! The key holder's side: secrets, encrypting the operands, reading the answer.

use cloven_ring::{Coefficients, Evaluations, Modulus, Poly, sample};
use zeroize::Zeroize;

use super::SharedProduct;
use crate::{
    LatticeError, Parameters, RandomnessKey,
    bits::{packed_len, unpack},
    linear::{
        Layout,
        fixed::{Integers, check_size},
    },
    parallel,
    stream::{Domain, Stream},
    wire::{check_len, read_residues, write_residues},
};

/// Nanoseconds of encrypting a block, of reading a polynomial of the answer, and of one product.
const ENCRYPTION: usize = 12_000;
const READING: usize = 6_000;
const DECRYPTION: usize = 6_000;
/// Purposes of the randomness.
const SECRETS: &str = "cloven v1 lattice purpose: secrets of shared masks";
const OPERANDS: &str = "cloven v1 lattice purpose: encryption with shared masks";

/// The secrets z_0, z_1, ...: uniform ternary polynomials. Wiped on drop; neither `Debug` nor `Clone`.
pub struct SharedSecrets(pub(super) Vec<Poly<Evaluations>>);

impl SharedSecrets {
    /// `count` secrets; the same key gives the same ones.
    pub fn derive(parameters: &Parameters, key: &RandomnessKey, count: usize) -> Self {
        let key = key.for_purpose(SECRETS);
        let secret = |index: usize| {
            let mut stream = key.stream_of_words(Domain::Secret, &(index as u64).to_le_bytes(), Vec::new());
            sample::ternary(&mut stream, parameters.basis()).into_evaluations()
        };
        Self((0..count).map(secret).collect())
    }

    fn check(&self, product: &SharedProduct) -> Result<(), LatticeError> {
        match self.0.len() >= product.secrets() {
            true => Ok(()),
            false => check_size("secrets of a product with shared masks", product.secrets(), self.0.len()),
        }
    }
}

impl Drop for SharedSecrets {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(Zeroize::zeroize);
    }
}

/// What stands in a block: its secret, its mask, and (coefficient, position in the matrix).
struct Block {
    secret: usize,
    mask: usize,
    entries: Vec<(usize, usize)>,
}

impl SharedProduct {
    /// Encrypts A, row-major. `context` must not repeat (see [`RandomnessKey`]).
    pub fn encrypt_left(
        &self,
        numbers: &[f32],
        secrets: &SharedSecrets,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        check_size("left matrix", self.rows * self.layout.inputs, numbers.len())?;
        let integers = Integers::new("left matrix", numbers, self.scales.left, &self.parameters)?;
        let [rows, terms, _] = self.blocks();
        let block = |index: usize| self.left_block(index / terms, index % terms);
        let context = [context, b"left"].concat();
        self.encrypt(&integers.values, rows * terms, block, secrets, key, &context)
    }

    /// Encrypts B, row-major. `context` must not repeat.
    pub fn encrypt_right(
        &self,
        numbers: &[f32],
        secrets: &SharedSecrets,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        check_size("right matrix", self.layout.inputs * self.layout.outputs, numbers.len())?;
        let integers = Integers::new("right matrix", numbers, self.scales.right, &self.parameters)?;
        let [_, terms, columns] = self.blocks();
        let block = |index: usize| self.right_block(index / columns, index % columns);
        let context = [context, b"right"].concat();
        self.encrypt(&integers.values, terms * columns, block, secrets, key, &context)
    }

    /// Reads A B, row-major. A result beyond [`SharedProduct::bound`] is an error.
    pub fn decrypt(&self, answer: &[u8], secrets: &SharedSecrets) -> Result<Vec<f32>, LatticeError> {
        check_len(self.answer_len(), answer)?;
        secrets.check(self)?;
        let [rows, _, columns] = self.blocks();
        let (d, rest) = answer.split_at(self.block_len());
        let d: Poly<Evaluations> = read_residues(self.parameters.basis(), 0, d)?;
        let (whole, mut products) = rest.split_at((rows + columns) * self.whole_len());
        let whole: Vec<&[u8]> = whole.chunks(self.whole_len()).collect();
        // u_i, then v_j - d z_j.
        let mut polys = parallel::map(whole.len(), READING, |index| {
            let mut poly = self.whole(whole[index])?;
            if let Some(j) = index.checked_sub(rows) {
                let mut part = d.clone();
                part.mul_assign(&secrets.0[j])?;
                poly.sub_assign(&part)?;
                part.zeroize();
            }
            Ok(poly)
        })?;
        let products: Vec<&[u8]> = (0..rows)
            .map(|i| {
                let (of_row, rest) = products.split_at(self.products_len(i));
                products = rest;
                of_row
            })
            .collect();
        let mut results = vec![0.0; self.rows * self.layout.outputs];
        let together = parallel::share(rows, columns * DECRYPTION);
        let size = self.layout.samples * self.layout.outputs;
        let (us, vs) = polys.split_at(rows);
        let read = parallel::chunks_mut(&mut results, together * size, |first, results| {
            for (index, results) in results.chunks_mut(size).enumerate() {
                let i = first / size + index;
                self.read_row(i, products[i], [&us[i], &secrets.0[i]], [vs, &secrets.0], results)?;
            }
            Ok(())
        });
        polys.iter_mut().for_each(Zeroize::zeroize);
        read.map(|()| results)
    }

    /// The rows of A B in block `i`, from what is wanted of c_ij for all j.
    fn read_row(
        &self,
        i: usize,
        mut packed: &[u8],
        [u, z]: [&Poly<Evaluations>; 2],
        [vs, zs]: [&[Poly<Evaluations>]; 2],
        results: &mut [f32],
    ) -> Result<(), LatticeError> {
        let (modulus, bound) = (self.parameters.basis().moduli()[0], self.bound());
        let lift = Lift::new(&modulus, self.scales.response);
        let first = i * self.layout.samples * self.layout.outputs;
        for (j, (v, z_j)) in vs.iter().zip(zs).enumerate() {
            let mut sum = Poly::zero(self.parameters.basis());
            sum.add_products([[u, z_j], [v, z]])?;
            let mut sum: Poly<Coefficients> = sum.into_coefficients();
            let targets = self.layout.outputs_of(i, j, self.rows);
            let (wanted, rest) = packed.split_at(self.wanted_len(i, j));
            packed = rest;
            let c = unpack(wanted, self.scales.response, targets.len())?;
            let residues = sum.residues(0);
            for ((at, position), c) in targets.into_iter().zip(c) {
                let integer = modulus.centred(modulus.sub(lift.apply(c), residues[at]));
                let value = integer as f64 * self.step();
                if value.abs() >= bound {
                    return Err(LatticeError::Range {
                        what: "product",
                        position,
                        value,
                        bound,
                    });
                }
                results[position - first] = value as f32;
            }
            // With the answer, it tells the secrets.
            sum.zeroize();
        }
        Ok(())
    }

    /// A polynomial of the answer, back modulo q.
    fn whole(&self, packed: &[u8]) -> Result<Poly<Evaluations>, LatticeError> {
        let modulus = self.parameters.basis().moduli()[0];
        let lift = Lift::new(&modulus, self.scales.response);
        debug_assert_eq!(packed.len(), packed_len(self.parameters.degree(), self.scales.response));
        let values = unpack(packed, self.scales.response, self.parameters.degree())?;
        let mut poly: Poly<Coefficients> = Poly::zero(self.parameters.basis());
        let residues = poly.residues_mut(0).iter_mut().zip(values);
        residues.for_each(|(residue, value)| *residue = lift.apply(value));
        Ok(poly.into_evaluations())
    }

    fn encrypt(
        &self,
        integers: &[i64],
        count: usize,
        block: impl Fn(usize) -> Block + Sync,
        secrets: &SharedSecrets,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        secrets.check(self)?;
        let basis = self.parameters.basis();
        let modulus = basis.moduli()[0];
        // The same numbers in other places are another message.
        let context = [context, &self.place()].concat();
        let words = integers.iter().map(|&integer| integer as u64).collect();
        let (seed, errors) = key.for_purpose(OPERANDS).derive_shared(&context, words, count);
        let masks = self.masks(seed);
        let mut out = Vec::with_capacity(seed.len() + count * self.block_len());
        out.extend_from_slice(&seed);
        parallel::append(count, ENCRYPTION, &mut out, |index, out| {
            let Block { secret, mask, entries } = block(index);
            let mut noisy = sample::gaussian(&mut Stream::new(Domain::Error, &errors[index]), basis);
            let residues = noisy.residues_mut(0);
            for (at, position) in entries {
                residues[at] = plus(&modulus, residues[at], integers[position]);
            }
            let mut b = noisy.into_evaluations();
            // a z alone, which would give the secret away, is never in memory.
            b.mul_add_assign(&masks[mask], &secrets.0[secret])?;
            write_residues(&b, 0, out);
            Ok(())
        })?;
        Ok(out)
    }

    fn left_block(&self, i: usize, t: usize) -> Block {
        let layout = &self.layout;
        let (rows, columns) = (layout.samples_in(i, self.rows), layout.depth(t));
        let mut entries = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            let first = (i * layout.samples + row) * layout.inputs + t * layout.block_inputs;
            entries.extend((0..columns).map(|c| (layout.input_at(row, c), first + c)));
        }
        Block {
            secret: i,
            mask: t,
            entries,
        }
    }

    fn right_block(&self, t: usize, j: usize) -> Block {
        let layout = &self.layout;
        let (rows, columns) = (layout.depth(t), layout.width(j));
        let mut entries = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            let first = (t * layout.block_inputs + row) * layout.outputs + j * layout.block_outputs;
            entries.extend((0..columns).map(|c| (layout.weight_at(row, c), first + c)));
        }
        Block {
            secret: j,
            mask: t,
            entries,
        }
    }

    /// What decides which number stands where.
    fn place(&self) -> Vec<u8> {
        let Layout {
            degree,
            inputs,
            outputs,
            samples,
            block_inputs,
            block_outputs,
        } = self.layout;
        let numbers = [self.rows, degree, inputs, outputs, samples, block_inputs, block_outputs];
        numbers.iter().flat_map(|&number| (number as u64).to_le_bytes()).collect()
    }
}

/// `residue` + `integer` modulo q, for an integer below q in magnitude; without a branch.
fn plus(modulus: &Modulus, residue: u64, integer: i64) -> u64 {
    let q = modulus.value();
    let lifted = (integer as u64).wrapping_add(q & (integer >> 63) as u64);
    let sum = residue + lifted;
    sum.min(sum.wrapping_sub(q))
}

/// round(c q / 2^B) modulo q for c < 2^B.
struct Lift {
    factor: f64,
    modulus: u64,
}

impl Lift {
    /// 2^52: adding it to a number below 2^51 leaves the number, rounded, in the low bits.
    const MAGIC: f64 = 4_503_599_627_370_496.0;

    fn new(modulus: &Modulus, bits: u32) -> Self {
        Self {
            factor: modulus.value() as f64 / 2f64.powi(bits as i32),
            modulus: modulus.value(),
        }
    }

    fn apply(&self, c: u64) -> u64 {
        let exact = f64::from_bits(c | Self::MAGIC.to_bits()) - Self::MAGIC;
        let rounded = (exact * self.factor + Self::MAGIC).to_bits() ^ Self::MAGIC.to_bits();
        rounded.min(rounded.wrapping_sub(self.modulus))
    }
}
