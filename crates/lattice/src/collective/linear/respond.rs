//! Per inference: products with masks, their sum, and its shares.

use cloven_ring::{Coefficients, Evaluations, Poly, sample};
use zeroize::{Zeroize, Zeroizing};

use super::{EncryptedLayer, SecretLinear};
use crate::{
    Ciphertext, LatticeError, PublicKey,
    collective::{Compressed, PartySecret, ToShares, check_count},
    linear::fixed::check_size,
    parallel,
    randomness::words_of,
    stream::{Domain, Stream},
    wire::{check_len, read_fractions},
};

const PURPOSE: &str = "cloven v1 lattice purpose: collective response";
/// Nanoseconds to a residue of a block's transform, of its product with a ciphertext, and of a response's way to the wire.
const TRANSFORM: usize = 6;
const PRODUCT: usize = 1;
const FINISH: usize = 20;

impl SecretLinear {
    /// r_j Enc(F) for a party's share of the inputs (batch x inputs, row-major, words below 2^k): re-randomised under the collective key and compressed. `context` names the inference; the
    /// randomness is PRF(key, context, r_j, layer, collective key), so that the same step repeats its bytes and no other shares them.
    pub fn respond(
        &self,
        layer: &EncryptedLayer,
        inputs: &[u64],
        public: &PublicKey,
        secret: &PartySecret,
        context: &[u8],
    ) -> Result<Vec<u8>, LatticeError> {
        check_size("inputs", self.batch * self.shape.inputs(), inputs.len())?;
        check_size("ciphertexts of a layer", self.ciphertexts(), layer.ciphertexts.len())?;
        self.collective.encoding.check_words("inputs", inputs)?;
        secret.check(&self.collective)?;
        self.collective.check_key(public)?;
        let products = self.products(layer, inputs)?;
        let mut words = words_of(&[&public.digest(), &layer.digest]);
        words.extend(self.layout.numbers());
        words.extend(inputs);
        let words = Zeroizing::new(words);
        let mut out = Vec::with_capacity(self.response_len());
        let cost = FINISH * self.collective.parameters.basis().words();
        parallel::append(self.responses(), cost, &mut out, |response, out| {
            let indexed = words.iter().copied().chain([response as u64]).collect();
            let mut randomness = secret.stream(PURPOSE, Domain::Public, context, indexed);
            let (c0, c1) = self.randomised(&products[response], public, &mut randomness)?;
            self.collective.compress_coefficients(c0, c1, &self.wanted_of(response), out)
        })?;
        // r_j can be read from them: c1 is a known polynomial times it.
        products.into_iter().for_each(|mut product| {
            product.c0.zeroize();
            product.c1.zeroize();
        });
        Ok(out)
    }

    /// A product and a fresh encryption of zero, (b u + e0, a u + e1), in coefficients.
    fn randomised(
        &self,
        product: &Ciphertext,
        public: &PublicKey,
        randomness: &mut Stream,
    ) -> Result<(Poly<Coefficients>, Poly<Coefficients>), LatticeError> {
        let basis = self.collective.parameters.basis();
        let mut u: Poly<Evaluations> = sample::ternary(randomness, basis).into_evaluations();
        let mut sum = product.clone();
        let added = public.add_multiple(&u, &mut sum);
        u.zeroize();
        added?;
        let (mut c0, mut c1) = (sum.c0.into_coefficients(), sum.c1.into_coefficients());
        for component in [&mut c0, &mut c1] {
            let mut error = sample::gaussian(randomness, basis);
            let added = component.add_assign(&error);
            error.zeroize();
            added?;
        }
        Ok((c0, c1))
    }

    /// Enc(F r), from the responses of all parties.
    pub fn sum(&self, responses: &[impl AsRef<[u8]>]) -> Result<Vec<Compressed>, LatticeError> {
        check_count("responses", self.collective.settings.parties, responses.len())?;
        let mut sums: Vec<Compressed> = Vec::new();
        for bytes in responses {
            let read = self.read_response(bytes.as_ref())?;
            match sums.is_empty() {
                true => sums = read,
                false => sums.iter_mut().zip(&read).try_for_each(|(sum, one)| sum.add_assign(one))?,
            }
        }
        Ok(sums)
    }

    /// What the aggregator sends to every other party.
    pub fn query(&self, sums: &[Compressed]) -> Result<Vec<u8>, LatticeError> {
        check_count("ciphertexts of a response", self.responses(), sums.len())?;
        let mut out = Vec::with_capacity(self.query_len());
        sums.iter().for_each(|sum| self.collective.write_whole(sum, &mut out));
        Ok(out)
    }

    /// A party's answer to the query, and its additive share of F r: batch x outputs, row-major.
    pub fn to_shares(&self, query: &[u8], secret: &PartySecret, context: &[u8]) -> Result<ToShares, LatticeError> {
        check_len(self.query_len(), query)?;
        let cost = FINISH * self.collective.parameters.basis().words();
        let parts = parallel::map(self.responses(), cost, |response| {
            let whole = &query[response * self.collective.whole_len()..][..self.collective.whole_len()];
            let context = [context, &(response as u64).to_le_bytes()].concat();
            self.collective.to_shares(whole, &self.wanted_of(response), secret, &context)
        })?;
        let mut message = Vec::with_capacity(self.answer_len());
        let mut shares = Vec::with_capacity(parts.len());
        for part in parts {
            message.extend(part.message);
            shares.push(part.share);
        }
        Ok(ToShares {
            message,
            share: self.joined(shares),
        })
    }

    /// The aggregator's additive share of F r, from the answers of all others.
    pub fn last_share(
        &self,
        sums: &[Compressed],
        secret: &PartySecret,
        answers: &[impl AsRef<[u8]>],
    ) -> Result<Vec<u64>, LatticeError> {
        check_count("ciphertexts of a response", self.responses(), sums.len())?;
        let answers: Vec<&[u8]> = answers.iter().map(AsRef::as_ref).collect();
        answers.iter().try_for_each(|answer| check_len(self.answer_len(), answer))?;
        let mut starts = vec![0];
        starts.extend(self.wanted().map(|wanted| self.collective.wanted_len(wanted.len())));
        (1..starts.len()).for_each(|index| starts[index] += starts[index - 1]);
        let cost = FINISH * self.collective.parameters.basis().words();
        let parts = parallel::map(self.responses(), cost, |response| {
            let of_response = |answer: &&[u8]| answer[starts[response]..starts[response + 1]].to_vec();
            let messages: Vec<Vec<u8>> = answers.iter().map(of_response).collect();
            self.collective
                .last_share(&sums[response], &self.wanted_of(response), secret, &messages)
        })?;
        Ok(self.joined(parts))
    }

    /// Whether bytes are a response: for whoever wants to know which of several is none.
    pub fn check_response(&self, bytes: &[u8]) -> Result<(), LatticeError> {
        self.read_response(bytes).map(drop)
    }

    /// Whether bytes are an answer, the message of [`SecretLinear::to_shares`].
    pub fn check_answer(&self, bytes: &[u8]) -> Result<(), LatticeError> {
        check_len(self.answer_len(), bytes)?;
        let mut rest = bytes;
        self.wanted().try_for_each(|wanted| {
            let (one, tail) = rest.split_at(self.collective.wanted_len(wanted.len()));
            rest = tail;
            read_fractions(one, self.collective.wanted_bits(), wanted.len()).map(drop)
        })
    }

    /// sum_b r_j[b] Enc(F)[b], for every response.
    pub(in crate::collective) fn products(
        &self,
        layer: &EncryptedLayer,
        inputs: &[u64],
    ) -> Result<Vec<Ciphertext>, LatticeError> {
        let groups = 0..self.layout.groups();
        let products: Result<Vec<Vec<Ciphertext>>, LatticeError> =
            groups.map(|group| self.products_of(layer, inputs, group)).collect();
        Ok(products?.into_iter().flatten().collect())
    }

    fn products_of(&self, layer: &EncryptedLayer, inputs: &[u64], group: usize) -> Result<Vec<Ciphertext>, LatticeError> {
        let (blocks, outputs) = (self.layout.blocks(), self.layout.outputs());
        let parameters = &self.collective.parameters;
        let cost = (TRANSFORM + 2 * PRODUCT * outputs) * parameters.basis().words();
        let share = parallel::share(blocks, cost);
        let zeros = || -> Vec<Ciphertext> { (0..outputs).map(|_| Ciphertext::zero(parameters)).collect() };
        let sums = parallel::map(blocks.div_ceil(share), share * cost, |piece| {
            let mut sums = zeros();
            for block in piece * share..blocks.min((piece + 1) * share) {
                let mut factor = self.factor(inputs, group, block);
                for (sum, ciphertext) in sums.iter_mut().zip(&layer.ciphertexts[block * outputs..]) {
                    sum.c0.mul_add_assign(&ciphertext.c0, &factor)?;
                    sum.c1.mul_add_assign(&ciphertext.c1, &factor)?;
                }
                factor.zeroize();
            }
            Ok(sums)
        })?;
        let mut all = sums.into_iter();
        let mut total = all.next().unwrap_or_else(zeros);
        for part in all {
            total.iter_mut().zip(&part).try_for_each(|(sum, one)| sum.add_assign(one))?;
        }
        Ok(total)
    }

    /// A block of a group of inputs as a polynomial.
    fn factor(&self, inputs: &[u64], group: usize, block: usize) -> Poly<Evaluations> {
        let bits = self.collective.settings.ring_bits;
        let placed = Zeroizing::new(self.layout.factor(inputs, group, block, bits));
        self.collective.encoding.centred(placed.iter().copied()).into_evaluations()
    }

    /// What was read of every response, at the places of the batch's outputs.
    fn joined(&self, parts: Vec<Vec<u64>>) -> Vec<u64> {
        let mut outputs = vec![0; self.batch * self.shape.outputs()];
        for (response, part) in parts.into_iter().enumerate() {
            let places = self.layout.wanted(response).into_iter().zip(part);
            places.for_each(|((_, output), value)| outputs[output] = value);
        }
        outputs
    }

    fn read_response(&self, bytes: &[u8]) -> Result<Vec<Compressed>, LatticeError> {
        check_len(self.response_len(), bytes)?;
        let mut rest = bytes;
        let read = |wanted: Vec<usize>| {
            let (one, tail) = rest.split_at(self.collective.compressed_len(wanted.len()));
            rest = tail;
            self.collective.read_compressed(one, wanted.len())
        };
        self.wanted().map(read).collect()
    }
}
