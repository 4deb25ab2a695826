//! The key holder: encrypting the matrix and reading responses.

use cloven_ring::{Coefficients, Modulus, Poly};
use zeroize::Zeroize;

use super::{
    ExactProduct,
    wire::{self, WHOLE_BITS},
};
use crate::{LatticeError, RandomnessKey, SecretKey, linear::fixed::check_size, parallel, residue::low_word, wire::check_len};

/// Purpose of the randomness, apart from that of other encryptions under the same key.
const PURPOSE: &str = "cloven v1 lattice purpose: exact encryption";
/// Nanoseconds to a residue of an upload, and of a response read modulo two primes.
pub(super) const ENCRYPT: usize = 9;
pub(super) const DECRYPT: usize = 12;

impl ExactProduct {
    /// Encrypts W (inner x columns, row-major), and appends what goes to the responder. `context` names the product and must not repeat for another purpose; randomness is
    /// PRF(key, context, W).
    pub fn encrypt(
        &self,
        w: &[u64],
        secret: &SecretKey,
        key: &RandomnessKey,
        context: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), LatticeError> {
        let [_, inner, columns] = self.shape;
        check_size("matrix to encrypt", inner * columns, w.len())?;
        self.check_secret(secret)?;
        let (key, blocks) = (key.for_purpose(PURPOSE), self.layout.output_blocks());
        out.reserve(self.upload_len());
        parallel::append(
            self.uploads(),
            ENCRYPT * self.parameters.basis().words(),
            out,
            |index, out| {
                let (mut plaintext, words) = self.encoded(w, index / blocks, index % blocks)?;
                let context = [context, &(index as u64).to_le_bytes()].concat();
                let (seed, mut errors) = key.derive_from_words(&context, words);
                let pair = secret.encrypt_pair_from(&plaintext, seed, &mut errors);
                plaintext.zeroize();
                pair?.encode(out);
                Ok(())
            },
        )
    }

    /// Reads a response: X W + R modulo 2^64, rows x columns, row-major; the key holder's share.
    pub fn decrypt(&self, response: &[u8], secret: &SecretKey) -> Result<Vec<u64>, LatticeError> {
        let [rows, _, columns] = self.shape;
        check_len(self.response_len(), response)?;
        self.check_secret(secret)?;
        let blocks: Vec<(usize, usize)> = self.layout.responses(rows).collect();
        let wanted = |(g, r): (usize, usize)| self.layout.samples_in(g, rows) * self.layout.width(r);
        let starts = blocks.iter().scan(0, |end, &block| {
            let start = *end;
            *end += wire::len(wanted(block));
            Some(start)
        });
        let starts: Vec<usize> = starts.collect();
        let read = parallel::map(blocks.len(), DECRYPT * self.layout.degree, |index| {
            let (g, r) = blocks[index];
            let bytes = &response[starts[index]..][..wire::len(wanted((g, r)))];
            self.read_response(bytes, &self.layout.wanted(g, r, rows).collect::<Vec<_>>(), secret)
        })?;
        let mut share = vec![0; rows * columns];
        for (&(g, r), values) in blocks.iter().zip(read) {
            for ((_, position), value) in self.layout.outputs_of(g, r, rows).into_iter().zip(values) {
                share[position] = (value.wrapping_add(1 << 63) >> 64) as u64;
            }
        }
        Ok(share)
    }

    /// W[q,r], encoded; and its words, as they stand in the polynomial.
    pub(super) fn encoded(&self, w: &[u64], q: usize, r: usize) -> Result<(Poly<Coefficients>, Vec<u64>), LatticeError> {
        let (layout, basis) = (&self.layout, self.parameters.basis());
        let low = low_word(basis.moduli());
        let mut words = vec![0; layout.depth(q) * layout.block_outputs];
        let rows = w.chunks(layout.outputs).skip(q * layout.block_inputs);
        for (row, laid) in rows.zip(words.chunks_mut(layout.block_outputs)) {
            let width = layout.width(r);
            laid[..width].copy_from_slice(&row[r * layout.block_outputs..][..width]);
        }
        // round(q m / 2^64) is (q m - r) / 2^64, with r the centred q m modulo 2^64; q m vanishes modulo the primes.
        let mut rest: Vec<i64> = words.iter().map(|&m| low.wrapping_mul(m) as i64).collect();
        let mut plaintext = Poly::zero(basis);
        for (prime, &factor) in self.minus_inverses.iter().enumerate() {
            let residues = &mut plaintext.residues_mut(prime)[..rest.len()];
            basis.multiples_of(prime, factor, &rest, residues)?;
        }
        rest.zeroize();
        Ok((plaintext, words))
    }

    /// The wanted coefficients of c0 + c1 s, in units of 2^-128.
    pub(super) fn read_response(&self, bytes: &[u8], wanted: &[usize], secret: &SecretKey) -> Result<Vec<u128>, LatticeError> {
        let received = wire::read(bytes, wanted.len())?;
        let c1 = self.centred([0, 1].map(|half| received.whole[half].as_slice()))?;
        let mut product = secret.evaluated_powers(vec![c1])?.into_runs(&self.runs);
        let pair = CrtPair::new(self.reading.moduli());
        let of = |(c0, &at): (u128, &usize)| {
            let [low, high] = [0, 1].map(|prime| product.residues(prime)[at]);
            // The low bits are all that the modulus 2^76 leaves.
            c0.wrapping_add((pair.join(low, high) as u128) << (128 - WHOLE_BITS))
        };
        let values = received.wanted.into_iter().zip(wanted).map(of).collect();
        // With the response, it tells the secret.
        product.zeroize();
        Ok(values)
    }

    /// c1, taken centred, modulo the two primes that hold it times the secret: 2^75 N < 2^98.
    fn centred(&self, [low, high]: [&[u64]; 2]) -> Result<Poly<Coefficients>, LatticeError> {
        let unused = u64::BITS - WHOLE_BITS / 2;
        let signed: Vec<i64> = high.iter().map(|&h| (h << unused) as i64 >> unused).collect();
        let mut c1 = Poly::zero(&self.reading);
        for (prime, modulus) in self.reading.moduli().iter().enumerate() {
            let residues = c1.residues_mut(prime);
            let shift = modulus.reduce(1 << (WHOLE_BITS / 2));
            self.reading.multiples_of(prime, shift, &signed, residues)?;
            let pairs = residues.iter_mut().zip(low);
            // Below 2^38, and so below the prime.
            pairs.for_each(|(residue, &low)| *residue = modulus.add(*residue, low));
        }
        Ok(c1)
    }

    fn check_secret(&self, secret: &SecretKey) -> Result<(), LatticeError> {
        let (expected, actual) = (self.parameters.basis(), secret.parameters().basis());
        match expected == actual {
            true => Ok(()),
            false => Err(cloven_ring::RingError::BasisMismatch {
                expected: format!("{expected:?}"),
                actual: format!("{actual:?}"),
            }
            .into()),
        }
    }
}

/// Two primes of the same length, the larger first, as one modulus.
struct CrtPair {
    second: Modulus,
    /// The first prime.
    radix: u128,
    /// Its inverse modulo the second.
    inverse: u64,
    whole: u128,
}

impl CrtPair {
    fn new(moduli: &[Modulus]) -> Self {
        let (first, second) = (moduli[0], moduli[1]);
        Self {
            second,
            radix: first.value().into(),
            inverse: second.inv(second.reduce(first.value())).unwrap_or_default(),
            whole: u128::from(first.value()) * u128::from(second.value()),
        }
    }

    /// The centred integer with these residues.
    fn join(&self, first: u64, second: u64) -> i128 {
        // The first prime is below twice the second.
        let reduced = first.min(first.wrapping_sub(self.second.value()));
        let digit = self.second.mul(self.second.sub(second, reduced), self.inverse);
        let value = u128::from(first) + self.radix * u128::from(digit);
        let above_half = ((self.whole / 2).wrapping_sub(value) as i128 >> 127) as u128;
        value.wrapping_sub(self.whole & above_half) as i128
    }
}
