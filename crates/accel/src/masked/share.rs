//! Shamir shares of degree one: worker z gets x + z R modulo M, for a uniform R of which it has no other share.

use super::{
    Quantised, WORKERS,
    stream::{MaskBuffer, MaskStream},
};
use crate::{
    AccelError, Backend, Words,
    backend::vectorised,
    parallel,
    words::{M, least, subtract},
};
use rand::CryptoRng;

/// Elements that an operand counts as beside its own, for blocks that it does not use up: so two elements take a block at most.
const BESIDE: u64 = 32;

/// Elements of one task, a part of an operand. Masks depend on it. Masks and shares of a part stay in the second cache.
const PART: usize = 1 << 12;

/// An operand, and the number of its masks: what its shares are functions of. They can be made again, so that nobody keeps them.
pub struct MaskedOperand {
    integers: Quantised,
    number: u64,
}

impl MaskedOperand {
    /// The operand.
    pub fn integers(&self) -> &Quantised {
        &self.integers
    }
}

/// Makes shares under one key, each operand under masks of its own. The key is drawn here and cannot be had or set: masks of an earlier process are not
/// used again after a restart.
pub struct Blinder {
    stream: MaskStream,
    /// Of the next operand.
    next: u64,
    /// Of all operands so far, [`BESIDE`] included.
    elements: u64,
}

impl Blinder {
    /// Elements that one key masks: 2^44 blocks of the cipher, which are told from uniform ones with a probability of at most 2^-41. Then another one is due.
    pub const MAX_ELEMENTS: u64 = 1 << 45;

    /// With a fresh key.
    pub fn new(rng: &mut impl CryptoRng) -> Self {
        Self {
            stream: MaskStream::new(rng),
            next: 0,
            elements: 0,
        }
    }

    /// The shares of an operand for workers 1, 2 and 3, in this order. A share may be used in any number of products with other operands' shares.
    pub fn share(&mut self, operand: &Quantised) -> Result<[Words; WORKERS], AccelError> {
        self.share_on(Backend::best(), operand)
    }

    /// [`Self::share`] on a backend of choice.
    pub fn share_on(&mut self, backend: Backend, operand: &Quantised) -> Result<[Words; WORKERS], AccelError> {
        let number = self.number(operand)?;
        Ok(self.shares_on(backend, operand, number))
    }

    /// Gives an operand masks of its own.
    pub fn masked(&mut self, integers: Quantised) -> Result<MaskedOperand, AccelError> {
        let number = self.number(&integers)?;
        Ok(MaskedOperand { integers, number })
    }

    /// The shares of an operand that this blinder gave its masks, as [`Self::share`]: the same every time.
    pub fn shares(&self, operand: &MaskedOperand) -> [Words; WORKERS] {
        self.shares_on(Backend::best(), &operand.integers, operand.number)
    }

    /// The next number of masks.
    fn number(&mut self, operand: &Quantised) -> Result<u64, AccelError> {
        let elements = self.elements + operand.integers().values().len() as u64 + BESIDE;
        if elements > Self::MAX_ELEMENTS {
            return Err(AccelError::MasksUsedUp { max: Self::MAX_ELEMENTS });
        }
        let number = self.next;
        (self.next, self.elements) = (number + 1, elements);
        Ok(number)
    }

    fn shares_on(&self, backend: Backend, operand: &Quantised, number: u64) -> [Words; WORKERS] {
        let integers = operand.integers().values();
        let mut shares: [Vec<u32>; WORKERS] = std::array::from_fn(|_| vec![0; integers.len()]);
        let mut parts = shares.each_mut().map(|share| share.chunks_mut(PART));
        let tasks = integers.chunks(PART).zip(0..).map(|(integers, part)| {
            let shares = parts.each_mut().map(|parts| parts.next().unwrap_or_default());
            (part, integers, shares)
        });
        parallel::for_each(tasks.collect(), PART * 2, |(part, integers, shares)| {
            let mut masks = MaskBuffer::new(integers.len());
            let masks = self.stream.words(number, part, integers.len(), &mut masks);
            mask(backend, integers, masks, shares);
        });
        shares.map(|words| Words::from_least(operand.integers().with_values(words)))
    }

    /// As if that many elements had been masked.
    #[cfg(test)]
    pub(super) fn use_up(&mut self, elements: u64) {
        self.elements += elements;
    }
}

vectorised! {
    /// `integers + z masks` modulo M for every z.
    fn mask(integers: &[i32], masks: &[u32], shares: [&mut [u32]; WORKERS]) {
        let [first, second, third] = shares;
        let operands = integers.iter().zip(masks);
        let shares = first.iter_mut().zip(second).zip(third);
        for (((first, second), third), (&integer, &mask)) in shares.zip(operands) {
            // A sum of words does not fit one; a difference with what is missing to M does.
            let less = M - mask;
            let sum = subtract(least(integer), less);
            *first = sum;
            let sum = subtract(sum, less);
            *second = sum;
            *third = subtract(sum, less);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MODULUS;
    use proptest::prelude::*;

    fn check(pairs: &[(i32, u32)]) {
        let (integers, masks): (Vec<i32>, Vec<u32>) = pairs.iter().copied().unzip();
        for backend in Backend::available() {
            let mut shares: [Vec<u32>; WORKERS] = std::array::from_fn(|_| vec![0; masks.len()]);
            mask(
                backend,
                &integers,
                &masks,
                shares.each_mut().map(|share| share.as_mut_slice()),
            );
            for (z, share) in (1..).zip(shares) {
                for (share, (integer, mask)) in share.into_iter().zip(pairs) {
                    let expected = (i64::from(*integer) + z * i64::from(*mask)).rem_euclid(MODULUS);
                    assert_eq!(
                        i64::from(share),
                        expected,
                        "share {z} of {integer} with {mask} on {}",
                        backend.name()
                    );
                }
            }
        }
    }

    #[test]
    fn shares_at_the_edges_are_right() {
        let integers = [0, 1, -1, 1 << 20, -(1 << 20), 12345, -54321];
        let masks = [
            0,
            1,
            2,
            M / 3,
            M / 3 + 1,
            M / 2,
            M / 2 + 1,
            2 * (M / 3) + 1,
            1 << 31,
            M - (1 << 20),
            M - 1,
        ];
        let pairs = integers.into_iter().flat_map(|integer| masks.map(|mask| (integer, mask)));
        check(&pairs.collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn shares_are_sums_modulo_the_modulus(pairs in proptest::collection::vec((-(1i32 << 20)..=1 << 20, 0..M), 0..100)) {
            check(&pairs);
        }
    }
}
