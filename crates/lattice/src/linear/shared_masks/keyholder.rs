//! The key holder's side: secrets, encrypting the operands, reading the answer.

use cloven_ring::{Evaluations, Modulus, Poly, sample};
use zeroize::{Zeroize, Zeroizing};

use super::{
    EncryptedFactor, SharedProduct,
    server::{FINISH, PRODUCT},
};
use crate::{
    LatticeError, Parameters, RandomnessKey,
    bits::unpack,
    linear::{
        Layout,
        fixed::{Integers, check_size},
    },
    parallel,
    stream::{Domain, Stream},
    wire::{check_len, write_residues},
};

/// Nanoseconds of encrypting a block.
const ENCRYPTION: usize = 12_000;
/// Purposes of the randomness.
const SECRETS: &str = "cloven v1 lattice purpose: secrets of shared masks";
const OPERANDS: &str = "cloven v1 lattice purpose: encryption with shared masks, spaced";

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

/// What stands in a block: its secret, its mask, and of each number (coefficient, whether its sign is turned, position in the matrix).
struct Block {
    secret: usize,
    mask: usize,
    entries: Vec<(usize, bool, usize)>,
}

/// An operand on its way to the server, and what the key holder keeps of it to read the answer.
pub type Encrypted<T> = (Vec<u8>, T);

impl SharedProduct {
    /// Encrypts A, row-major; the bytes are what the server gets. `context` must not repeat (see [`RandomnessKey`]).
    pub fn encrypt_left(
        &self,
        numbers: &[f32],
        secrets: &SharedSecrets,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Encrypted<EncryptedFactor>, LatticeError> {
        check_size("left matrix", self.rows * self.layout.inputs, numbers.len())?;
        let integers = Integers::new("left matrix", numbers, self.scales.left, &self.parameters)?;
        let [rows, terms, _] = self.blocks();
        let block = |index: usize| self.left_block(index / terms, index % terms);
        let context = [context, b"left"].concat();
        self.encrypt(&integers.values, rows * terms, block, secrets, key, &context)
    }

    /// Encrypts B, row-major; the bytes are what the server gets. `context` must not repeat.
    pub fn encrypt_right(
        &self,
        numbers: &[f32],
        secrets: &SharedSecrets,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Encrypted<EncryptedFactor>, LatticeError> {
        check_size("right matrix", self.layout.inputs * self.layout.outputs, numbers.len())?;
        let integers = Integers::new("right matrix", numbers, self.scales.right, &self.parameters)?;
        let [_, terms, columns] = self.blocks();
        let block = |index: usize| self.right_block(index / columns, index % columns);
        let context = [context, b"right"].concat();
        self.encrypt(&integers.values, terms * columns, block, secrets, key, &context)
    }

    /// Reads A B, row-major, from the answer about these ciphertexts. A result beyond [`SharedProduct::bound`] is an error.
    pub fn decrypt(
        &self,
        answer: &[u8],
        [left, right]: [&EncryptedFactor; 2],
        secrets: &SharedSecrets,
    ) -> Result<Vec<f32>, LatticeError> {
        check_len(self.answer_len(), answer)?;
        self.check_factors(left, right)?;
        secrets.check(self)?;
        let [rows, _, columns] = self.blocks();
        let mut polys = self.parts(left, right, secrets)?;
        let (us, vs) = polys.split_at(rows);
        // What each c_ij is multiplied from: z_j u_i + (v_j - d z_j) z_i.
        let rights: Vec<&[u64]> = secrets
            .0
            .iter()
            .zip(vs)
            .flat_map(|(z, v)| [z.residues(0), v.residues(0)])
            .collect();
        let answers = self.answer_rows(answer);
        let mut results = vec![0.0; self.rows * self.layout.outputs];
        let together = parallel::share(rows, columns * (2 * PRODUCT + FINISH));
        let size = self.layout.samples * self.layout.outputs;
        let read = parallel::chunks_mut(&mut results, together * size, |first, results| {
            for (index, results) in results.chunks_mut(size).enumerate() {
                let i = first / size + index;
                let lefts = [us[i].residues(0), secrets.0[i].residues(0)];
                self.read_row(i, answers[i], [&lefts, &rights], results)?;
            }
            Ok(())
        });
        polys.iter_mut().for_each(Zeroize::zeroize);
        read.map(|()| results)
    }

    /// u_i for all i, then v_j - d z_j for all j.
    fn parts(
        &self,
        left: &EncryptedFactor,
        right: &EncryptedFactor,
        secrets: &SharedSecrets,
    ) -> Result<Vec<Poly<Evaluations>>, LatticeError> {
        let [rows, terms, columns] = self.blocks();
        let sum = |pairs: &mut dyn Iterator<Item = (&Poly<Evaluations>, &Poly<Evaluations>)>| {
            let mut sum = Poly::zero(self.parameters.basis());
            sum.add_products(pairs.map(|(left, right)| [left, right]))?;
            Ok::<_, LatticeError>(sum)
        };
        let mut minus_d = sum(&mut left.masks.iter().zip(&right.masks))?;
        minus_d.neg_assign();
        parallel::map(rows + columns, (terms + 1) * PRODUCT, |index| match index.checked_sub(rows) {
            None => sum(&mut left.blocks[index * terms..][..terms].iter().zip(&right.masks)),
            Some(j) => {
                let column = right.blocks.iter().skip(j).step_by(columns);
                sum(&mut left.masks.iter().zip(column).chain([(&minus_d, &secrets.0[j])]))
            }
        })
    }

    /// What the answer says of each block of rows.
    fn answer_rows<'a>(&self, mut answer: &'a [u8]) -> Vec<&'a [u8]> {
        let rows = (0..self.blocks()[0]).map(|i| {
            let (row, rest) = answer.split_at(self.answer_row_len(i));
            answer = rest;
            row
        });
        rows.collect()
    }

    /// The rows of A B in block `i`.
    fn read_row(
        &self,
        i: usize,
        packed: &[u8],
        [lefts, rights]: [&[&[u64]]; 2],
        results: &mut [f32],
    ) -> Result<(), LatticeError> {
        let (modulus, bound, columns) = (self.parameters.basis().moduli()[0], self.bound(), self.layout.outputs);
        let lift = Lift::new(&modulus, self.scales.response);
        // With the answer, they tell the secrets.
        let mut sums = Zeroizing::new(vec![0; self.blocks()[2] * self.spaced.wanted()]);
        self.spaced.coefficients(lefts, rights, &mut sums)?;
        let answers = unpack(packed, self.scales.response, self.numbers_of(i))?;
        let rows = answers.chunks_exact(columns).zip(results.chunks_exact_mut(columns));
        for (row, (answers, results)) in rows.enumerate() {
            for (j, sums) in sums.chunks_exact(self.spaced.wanted()).enumerate() {
                for (at, column) in self.wanted_of(row, j) {
                    let integer = modulus.centred(modulus.sub(lift.apply(answers[column]), sums[at]));
                    let value = integer as f64 * self.step();
                    if value.abs() >= bound {
                        return Err(LatticeError::Range {
                            what: "product",
                            position: (i * self.layout.samples + row) * columns + column,
                            value,
                            bound,
                        });
                    }
                    results[column] = value as f32;
                }
            }
        }
        Ok(())
    }

    fn encrypt(
        &self,
        integers: &[i64],
        count: usize,
        block: impl Fn(usize) -> Block + Sync,
        secrets: &SharedSecrets,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Encrypted<EncryptedFactor>, LatticeError> {
        secrets.check(self)?;
        let basis = self.parameters.basis();
        let modulus = basis.moduli()[0];
        // The same numbers in other places are another message.
        let context = [context, &self.place()].concat();
        let words = integers.iter().map(|&integer| integer as u64).collect();
        let (seed, errors) = key.for_purpose(OPERANDS).derive_shared(&context, words, count);
        let masks = self.masks(seed);
        let encrypted = parallel::map(count, ENCRYPTION, |index| {
            let Block { secret, mask, entries } = block(index);
            let mut noisy = sample::gaussian(&mut Stream::new(Domain::Error, &errors[index]), basis);
            let residues = noisy.residues_mut(0);
            for (at, turned, position) in entries {
                let integer = integers[position];
                residues[at] = plus(&modulus, residues[at], if turned { -integer } else { integer });
            }
            let mut b = noisy.into_evaluations();
            // a z alone, which would give the secret away, is never in memory.
            b.mul_add_assign(&masks[mask], &secrets.0[secret])?;
            let mut bytes = Vec::with_capacity(self.block_len());
            write_residues(&b, 0, &mut bytes);
            Ok((bytes, b))
        })?;
        let mut out = Vec::with_capacity(seed.len() + count * self.block_len());
        out.extend_from_slice(&seed);
        let blocks = encrypted.into_iter().map(|(bytes, block)| {
            out.extend_from_slice(&bytes);
            block
        });
        let blocks = blocks.collect();
        Ok((out, EncryptedFactor { blocks, masks }))
    }

    fn left_block(&self, i: usize, t: usize) -> Block {
        let (layout, spacing) = (&self.layout, self.spaced.spacing());
        let (rows, columns) = (layout.samples_in(i, self.rows), layout.depth(t));
        let mut entries = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            let first = (i * layout.samples + row) * layout.inputs + t * layout.block_inputs;
            let at = spacing * layout.block_outputs * row;
            entries.extend((0..columns).map(|c| (at + c, false, first + c)));
        }
        Block {
            secret: i,
            mask: t,
            entries,
        }
    }

    fn right_block(&self, t: usize, j: usize) -> Block {
        let (layout, spacing) = (&self.layout, self.spaced.spacing());
        let (rows, columns) = (layout.depth(t), layout.width(j));
        let mut entries = Vec::with_capacity(rows * columns);
        for row in 0..rows {
            let first = (t * layout.block_inputs + row) * layout.outputs + j * layout.block_outputs;
            entries.extend((0..columns).map(|c| match (spacing * c).checked_sub(row) {
                Some(at) => (at, false, first + c),
                // X^-row = -X^(N-row).
                None => (layout.degree - row, true, first + c),
            }));
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
