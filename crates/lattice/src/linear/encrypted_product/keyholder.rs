//! The key holder's side: encrypting the operands and reading the answers.

use super::{EncryptedProduct, Kind};
use crate::{
    LatticeError, RandomnessKey, RelinearisationKey, SecretKey,
    linear::fixed::{Integers, check_size, lifted, rows_of},
    parallel,
    wire::check_len,
};

/// Nanoseconds of one encryption.
const ENCRYPTION: usize = 20_000;
/// Nanoseconds of reading one response.
const DECRYPTION: usize = 12_000;

/// Responses to a thread that are read before their results are summed.
const TOGETHER: usize = 32;

/// Whose ciphertexts, and of which message: the domain of their randomness.
struct Purpose<'a> {
    secret: &'a SecretKey,
    key: &'a RandomnessKey,
    context: &'a [u8],
    operand: &'static [u8],
}

impl EncryptedProduct {
    /// The wire form of the relinearisation key that the other party needs, once. `context` names it.
    pub fn relinearisation_key(&self, secret: &SecretKey, key: &RandomnessKey, context: &[u8]) -> Result<Vec<u8>, LatticeError> {
        let mut out = Vec::with_capacity(self.relinearisation_key_len());
        RelinearisationKey::generate(secret, self.gadget(), key, context)?.encode(&mut out);
        Ok(out)
    }

    /// Encrypts `x`, row-major, as many rows as it holds, group after group. `context` must not
    /// repeat (see [`RandomnessKey`]).
    pub fn encrypt_rows(
        &self,
        x: &[f32],
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        let rows = rows_of("rows", x, self.shape().inputs())?;
        let integers = Integers::new("input", x, self.scales.input, &self.parameters)?;
        let purpose = Purpose {
            secret,
            key,
            context,
            operand: b"rows",
        };
        let shape = [self.packing.groups(rows), self.packing.input_blocks()];
        self.encrypt_blocks(shape, integers.lift, &purpose, |g, q| {
            self.packing.row_block(&integers.values, rows, g, q)
        })
    }

    /// Encrypts the weights, in the order of [`LinearShape`](crate::linear::LinearShape). `context` must not repeat.
    pub fn encrypt_weights(
        &self,
        matrix: &[f32],
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        check_size("matrix", self.shape().weights(), matrix.len())?;
        let integers = Integers::new("weight", matrix, self.scales.weight, &self.parameters)?;
        let purpose = Purpose {
            secret,
            key,
            context,
            operand: b"weights",
        };
        let shape = [self.packing.input_blocks(), self.packing.output_blocks()];
        self.encrypt_blocks(shape, integers.lift, &purpose, |q, r| {
            self.packing.weight_block(&integers.values, q, r)
        })
    }

    /// Encrypts delta of a batch, rows x outputs, row-major, in the order of the batch's rows. `context` must not repeat.
    pub fn encrypt_delta(
        &self,
        delta: &[f32],
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        let rows = rows_of("delta", delta, self.shape().outputs())?;
        let integers = Integers::new("delta", delta, self.scales.delta, &self.parameters)?;
        let purpose = Purpose {
            secret,
            key,
            context,
            operand: b"delta",
        };
        let shape = [self.packing.groups(rows), self.packing.output_blocks()];
        self.encrypt_blocks(shape, integers.lift, &purpose, |g, r| {
            self.packing.delta_block(&integers.values, rows, g, r)
        })
    }

    /// Reads x W of `rows` rows: rows x outputs, row-major. A result beyond [`EncryptedProduct::output_bound`] is an error.
    pub fn decrypt_outputs(&self, answer: &[u8], rows: usize, secret: &SecretKey) -> Result<Vec<f32>, LatticeError> {
        self.read(
            "output",
            Kind::Outputs { rows },
            rows * self.shape().outputs(),
            answer,
            secret,
        )
    }

    /// Reads x^T delta, in the weights' order. A result beyond [`EncryptedProduct::gradient_bound`] is an error.
    pub fn decrypt_gradient(&self, answer: &[u8], secret: &SecretKey) -> Result<Vec<f32>, LatticeError> {
        let count = self.shape().weights();
        self.read("gradient", Kind::Gradient, count, answer, secret)
    }

    /// Reads delta W^T of `rows` rows: rows x inputs, row-major. A result beyond [`EncryptedProduct::input_gradient_bound`] is an error.
    pub fn decrypt_input_gradient(&self, answer: &[u8], rows: usize, secret: &SecretKey) -> Result<Vec<f32>, LatticeError> {
        let count = rows * self.shape().inputs();
        self.read("gradient of the input", Kind::InputGradient { rows }, count, answer, secret)
    }

    fn encrypt_blocks(
        &self,
        [first, second]: [usize; 2],
        lift: u32,
        purpose: &Purpose<'_>,
        block: impl Fn(usize, usize) -> Vec<i64> + Sync,
    ) -> Result<Vec<u8>, LatticeError> {
        let mut out = Vec::with_capacity(first * second * self.block_len());
        parallel::append(first * second, ENCRYPTION, &mut out, |index, out| {
            let (i, j) = (index / second, index % second);
            let plaintext = lifted(&self.parameters, &block(i, j), lift)?;
            let place = [(i as u64).to_le_bytes(), (j as u64).to_le_bytes()].concat();
            let context = [purpose.context, purpose.operand, &place].concat();
            let pair = purpose.secret.encrypt_pair(&plaintext, purpose.key, &context)?;
            pair.encode(out);
            Ok(())
        })?;
        Ok(out)
    }

    fn read(
        &self,
        what: &'static str,
        kind: Kind,
        count: usize,
        answer: &[u8],
        secret: &SecretKey,
    ) -> Result<Vec<f32>, LatticeError> {
        check_len(self.answer_len(kind), answer)?;
        let wanted = self.packing.wanted(kind);
        let shapes = wanted.iter().enumerate();
        let shapes = shapes.flat_map(|(i, wanted)| wanted.iter().enumerate().map(move |(j, &wanted)| (i, j, wanted)));
        let mut rest = answer;
        let responses: Vec<(usize, usize, &[u8])> = shapes
            .map(|(i, j, wanted)| {
                let (packed, tail) = rest.split_at(self.compression.len(wanted));
                rest = tail;
                (i, j, packed)
            })
            .collect();
        let (unit, bound) = (self.compression.unit() * self.step(kind), self.bound(kind));
        let mut results = vec![0.0; count];
        // What is listed and read, of some responses at a time.
        for responses in responses.chunks(TOGETHER * rayon::current_num_threads()) {
            let read = parallel::map(responses.len(), DECRYPTION, |index| {
                let (i, j, packed) = responses[index];
                let targets = self.packing.targets(kind, i, j);
                let steps = self.compression.read(packed, targets.iter().map(|(at, _)| *at), secret)?;
                Ok((targets, steps))
            })?;
            for (targets, steps) in read {
                for ((_, position), step) in targets.into_iter().zip(steps) {
                    let value = step as f64 * unit;
                    if value.abs() >= bound {
                        return Err(LatticeError::Range {
                            what,
                            position,
                            value,
                            bound,
                        });
                    }
                    // In overlapping groups results come in parts.
                    results[position] += value as f32;
                }
            }
        }
        Ok(results)
    }
}
