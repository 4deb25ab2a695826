//! Integers modulo M = 251 * 241 * 239 * 233 as words of 32 bits: the form of shares, and of what workers answer, between enclave and worker. A worker computes
//! on their [`Residues`]; here is the way there, by remainders, and the way back, by the Chinese remainder theorem. Both are exact.

use crate::{
    AccelError, Backend, MODULUS, Matrices, PRIMES, Residues, Shape, backend::vectorised, error::expect, parallel,
    residues::reduce,
};
use zeroize::Zeroize;

/// M, just below 2^32.
pub(crate) const M: u32 = MODULUS as u32;

/// Elements of one task.
const PART: usize = 1 << 13;

/// A batch of matrices modulo M: words in `0..M`.
#[derive(Clone, PartialEq)]
pub struct Words(Matrices<u32>);

impl Words {
    /// Fails on a word that is not below M.
    pub fn new(words: Matrices<u32>) -> Result<Self, AccelError> {
        if largest(Backend::best(), words.values()) >= M {
            let index = words.values().iter().position(|word| *word >= M).unwrap_or_default();
            let actual = words.values()[index];
            return Err(AccelError::Word { index, actual });
        }
        Ok(Self(words))
    }

    /// Words that are below M by construction.
    pub(crate) fn from_least(words: Matrices<u32>) -> Self {
        debug_assert!(words.values().iter().all(|word| *word < M));
        Self(words)
    }

    /// Integers modulo M.
    pub fn of_integers(shape: Shape, integers: &[i32]) -> Result<Self, AccelError> {
        expect("integers", shape.elements(), integers.len())?;
        let words = integers.iter().map(|integer| i64::from(*integer).rem_euclid(MODULUS) as u32);
        Ok(Self::from_least(Matrices::new(shape, words.collect())?))
    }

    /// The integers modulo M with these residues.
    pub fn of_residues(residues: &Residues) -> Result<Self, AccelError> {
        Self::of_residues_on(Backend::best(), residues)
    }

    /// [`Self::of_residues`] on a backend of choice.
    pub fn of_residues_on(backend: Backend, residues: &Residues) -> Result<Self, AccelError> {
        let mut words = vec![0; residues.shape().elements()];
        let parts = words.chunks_mut(PART).enumerate().collect();
        parallel::for_each(parts, PART, |(part, out): (usize, &mut [u32])| {
            let planes = std::array::from_fn(|prime| &residues.plane(prime)[part * PART..][..out.len()]);
            combine(backend, planes, out);
        });
        Ok(Self::from_least(Matrices::new(residues.shape(), words)?))
    }

    /// Their residues modulo the four primes.
    pub fn residues(&self) -> Residues {
        self.residues_on(Backend::best())
    }

    /// [`Self::residues`] on a backend of choice.
    pub fn residues_on(&self, backend: Backend) -> Residues {
        let words = self.0.values();
        let mut values = vec![0; PRIMES.len() * words.len()];
        let mut planes = values.chunks_mut(words.len().max(1));
        let mut planes: [_; PRIMES.len()] = std::array::from_fn(|_| planes.next().unwrap_or_default().chunks_mut(PART));
        let parts = words.chunks(PART).map(|words| {
            let planes = planes.each_mut().map(|plane| plane.next().unwrap_or_default());
            (words, planes)
        });
        parallel::for_each(parts.collect(), 2 * PART, |(words, planes)| {
            let mut integers = [0; BLOCK];
            let mut planes = planes.map(|plane| plane.chunks_mut(BLOCK));
            for words in words.chunks(BLOCK) {
                let integers = &mut integers[..words.len()];
                centre_all(backend, words, integers);
                for (prime, plane) in planes.iter_mut().enumerate() {
                    reduce(backend, prime, integers, plane.next().unwrap_or_default());
                }
            }
        });
        Residues::from_centred(self.shape(), values)
    }

    /// The integers in `-(M-1)/2..=(M-1)/2` that they stand for.
    pub fn centred(&self) -> Matrices<i32> {
        let mut integers = vec![0; self.0.values().len()];
        centre_all(Backend::best(), self.0.values(), &mut integers);
        self.0.with_values(integers)
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.0.shape()
    }

    /// All words.
    pub fn values(&self) -> &[u32] {
        self.0.values()
    }

    /// The words as matrices.
    pub fn matrices(&self) -> &Matrices<u32> {
        &self.0
    }
}

impl Zeroize for Words {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

// Shares are secret to all but one worker: only the shape is shown.
impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Words({:?})", self.shape())
    }
}

/// Words whose centred integers stay in the first cache while they are reduced by every prime.
const BLOCK: usize = 1024;

/// `left - right` modulo M, for `right` up to M.
#[inline(always)]
pub(crate) fn subtract(left: u32, right: u32) -> u32 {
    let lift = if left < right { M } else { 0 };
    left.wrapping_sub(right).wrapping_add(lift)
}

/// The integer of at most (M-1)/2 in magnitude that a word stands for.
#[inline(always)]
pub(crate) fn centre(word: u32) -> i32 {
    let drop = if word > M / 2 { M } else { 0 };
    word.wrapping_sub(drop) as i32
}

/// The word of an integer of less than M in magnitude.
#[inline(always)]
pub(crate) fn least(integer: i32) -> u32 {
    (integer as u32).wrapping_add(M & (integer >> 31) as u32)
}

vectorised! {
    /// The largest word; 0 of none.
    fn largest(words: &[u32]) -> u32 {
        words.iter().fold(0, |largest, word| largest.max(*word))
    }
}

vectorised! {
    /// What words stand for.
    fn centre_all(words: &[u32], out: &mut [i32]) {
        for (out, word) in out.iter_mut().zip(words) {
            *out = centre(*word);
        }
    }
}

/// Of each prime the integer of at most M/2 in magnitude that is 1 modulo it and 0 modulo the others, and its fraction of M.
const BASIS: [(i32, f32); PRIMES.len()] = [basis(0), basis(1), basis(2), basis(3)];

const fn basis(index: usize) -> (i32, f32) {
    let p = PRIMES[index] as i64;
    let others = MODULUS / p;
    let mut inverse = 1;
    while others % p * inverse % p != 1 {
        inverse += 1;
    }
    let least = others * inverse;
    let centred = if least > MODULUS / 2 { least - MODULUS } else { least };
    (centred as i32, (centred as f64 / MODULUS as f64) as f32)
}

vectorised! {
    /// S = the sum of residues times their basis, less the nearest multiple of M: S is at most 250 M in magnitude, so f32 has S / M right to 2^-13, and what
    /// is left is at most M/2 and a little more in magnitude: it fits 32 bits, of which alone the rest is computed, and is below M once it is not negative.
    fn combine(planes: [&[i8]; PRIMES.len()], out: &mut [u32]) {
        const ROUNDING: f32 = 12_582_912.0;
        let [first, second, third, fourth] = planes;
        let residues = first.iter().zip(second).zip(third.iter().zip(fourth));
        for (out, ((first, second), (third, fourth))) in out.iter_mut().zip(residues) {
            let (mut sum, mut fraction) = (0i32, 0f32);
            for (residue, (basis, part)) in [*first, *second, *third, *fourth].into_iter().zip(BASIS) {
                sum = sum.wrapping_add(i32::from(residue).wrapping_mul(basis));
                fraction += f32::from(residue) * part;
            }
            let quotient = ((fraction + ROUNDING).to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32);
            *out = least(sum.wrapping_sub(quotient.wrapping_mul(M as i32)));
        }
    }
}

/// What a worker answers.
#[cfg(test)]
pub(crate) fn word_products(kind: crate::Kind, left: &Words, right: &Words) -> Words {
    let product = crate::residue_products(kind, &left.residues(), &right.residues());
    product.and_then(|product| Words::of_residues(&product)).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(values: Vec<u32>) -> Matrices<u32> {
        Matrices::new(Shape::matrix(1, values.len()).unwrap(), values).unwrap()
    }

    /// Remainders one by one.
    fn slow_residues(word: u32) -> [i8; 4] {
        PRIMES.map(|p| {
            let remainder = (i64::from(word) % i64::from(p)) as i32;
            (if remainder > p / 2 { remainder - p } else { remainder }) as i8
        })
    }

    /// The word with these residues, by trying from the largest prime on.
    fn slow_word(residues: [i8; 4]) -> u32 {
        let (mut word, mut step) = (0i64, 1i64);
        for (residue, p) in residues.into_iter().zip(PRIMES.map(i64::from)) {
            while word.rem_euclid(p) != i64::from(residue).rem_euclid(p) {
                word += step;
            }
            step *= p;
        }
        word as u32
    }

    fn check(values: Vec<u32>) {
        let words = Words::new(words(values)).unwrap();
        for backend in Backend::available() {
            let residues = words.residues_on(backend);
            for (at, word) in words.values().iter().enumerate() {
                let actual = std::array::from_fn(|prime| residues.plane(prime)[at]);
                assert_eq!(actual, slow_residues(*word), "{word} on {}", backend.name());
            }
            let back = Words::of_residues_on(backend, &residues).unwrap();
            assert_eq!(back, words, "{}", backend.name());
        }
    }

    #[test]
    fn words_at_the_edges_are_their_residues() {
        let edges = [0, M / 2, M, 1 << 31, 1 << 16, 1 << 24].into_iter();
        let mut all: Vec<u32> = edges
            .flat_map(|edge: u32| (0..3000).map(move |i| edge.wrapping_sub(1500).wrapping_add(i)))
            .collect();
        for p in PRIMES {
            all.extend((0..1000).map(|i| (M / p as u32 / 2).wrapping_mul(i)));
        }
        all.retain(|word| *word < M);
        check(all);
        check(Vec::new());
    }

    #[test]
    fn the_largest_residues_and_ties_give_the_right_words() {
        // Words nearest to M/2, where the nearest multiple of M is undecided, and residues of the largest sums.
        let sides = PRIMES.map(|p| [(p / 2) as i8, -(p / 2) as i8]);
        let all: Vec<[i8; 4]> = (0..16)
            .map(|bits| std::array::from_fn(|prime| sides[prime][bits >> prime & 1]))
            .collect();
        let planes: Vec<i8> = (0..4)
            .flat_map(|prime| all.iter().map(move |residues| residues[prime]))
            .collect();
        let residues = Residues::new(Shape::matrix(4, 4).unwrap(), planes).unwrap();
        for backend in Backend::available() {
            let words = Words::of_residues_on(backend, &residues).unwrap();
            assert!(
                words
                    .values()
                    .iter()
                    .zip(&all)
                    .all(|(word, residues)| *word == slow_word(*residues))
            );
        }
    }

    #[test]
    fn words_that_are_too_large_are_refused() {
        for actual in [M, M + 1, u32::MAX] {
            let mut values = vec![M - 1; 100];
            values[70] = actual;
            assert_eq!(Words::new(words(values)), Err(AccelError::Word { index: 70, actual }));
        }
        assert!(Words::new(words(vec![M - 1, 0])).is_ok());
    }

    #[test]
    fn words_and_their_integers() {
        let integers = [
            0,
            1,
            -1,
            i32::MAX,
            i32::MIN + 1,
            1 << 20,
            -(1 << 20),
            -1_684_281_158,
            1_684_281_158,
        ];
        let shape = Shape::matrix(3, 3).unwrap();
        let words = Words::of_integers(shape, &integers).unwrap();
        assert_eq!(words.residues(), Residues::of_integers(shape, &integers).unwrap());
        for (integer, word) in integers.into_iter().zip(words.values()) {
            assert_eq!(i64::from(integer).rem_euclid(MODULUS), i64::from(*word));
            assert_eq!(least(integer), *word);
        }
        let small = integers.map(|integer| integer / 2);
        assert_eq!(Words::of_integers(shape, &small).unwrap().centred().values(), small);
        assert!(Words::of_integers(shape, &[0; 8]).is_err());
        assert_eq!(format!("{words:?}"), "Words(Shape { batch: 1, rows: 3, columns: 3 })");
    }

    proptest! {
        #[test]
        fn words_are_their_residues(values in proptest::collection::vec(0..M, 0..200)) {
            check(values);
        }

        #[test]
        fn residues_are_those_of_one_word(residues in [-125i8..=125, -120i8..=120, -119i8..=119, -116i8..=116]) {
            let planes = Residues::new(Shape::matrix(1, 1).unwrap(), residues.to_vec()).unwrap();
            let words = Words::of_residues(&planes).unwrap();
            prop_assert_eq!(words.values(), [slow_word(residues)]);
        }

        #[test]
        fn differences(left in 0..M, right in 0..=M) {
            prop_assert_eq!(i64::from(subtract(left, right)), (i64::from(left) - i64::from(right)).rem_euclid(MODULUS));
        }
    }
}
