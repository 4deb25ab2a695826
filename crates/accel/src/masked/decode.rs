//! A product from its three shares: y = 3 y1 - 3 y2 + y3 modulo M, and the one integer below half of M in magnitude that this stands for.

use super::WORKERS;
use crate::{
    AccelError, Backend, Matrices, Words,
    backend::vectorised,
    error::expect,
    parallel,
    words::{centre, subtract},
};

/// Elements of one task.
const PART: usize = 1 << 14;

/// A product in integers, and what one of them is worth.
#[derive(Debug)]
pub struct Decoded {
    integers: Matrices<i32>,
    exponent: i32,
}

impl Decoded {
    /// The integers: the exact product of the operands' integers, if all three answers are right.
    pub fn integers(&self) -> &Matrices<i32> {
        &self.integers
    }

    /// Changes one integer, as a worker that lies could.
    #[cfg(test)]
    pub(crate) fn tamper(&mut self, at: usize) {
        let values = self.integers.values_mut();
        let at = at % values.len();
        values[at] ^= 1;
    }

    /// The numbers: integers over 2^exponent, rounded once to f32.
    pub fn numbers(&self) -> Result<Matrices<f32>, AccelError> {
        let factor = f64::from(-self.exponent).exp2();
        let mut numbers = vec![0.0; self.integers.values().len()];
        let parts = numbers.chunks_mut(PART).zip(self.integers.values().chunks(PART)).collect();
        let backend = Backend::best();
        parallel::for_each(parts, PART / 8, |(out, integers): (&mut [f32], &[i32])| {
            scale(backend, integers, factor, out);
        });
        Matrices::new(self.integers.shape(), numbers)
    }
}

/// The product from the answers of workers 1, 2 and 3, in this order; `exponent` is the product's ([`super::product_exponent`]). Anything may come out if
/// an answer is wrong: check it ([`crate::freivalds`]).
pub fn decode(answers: [&Words; WORKERS], exponent: i32) -> Result<Decoded, AccelError> {
    decode_on(Backend::best(), answers, exponent)
}

/// [`decode`] on a backend of choice.
pub fn decode_on(backend: Backend, answers: [&Words; WORKERS], exponent: i32) -> Result<Decoded, AccelError> {
    let shape = answers[0].shape();
    for answer in answers {
        expect("matrices of an answer", shape.batch, answer.shape().batch)?;
        expect("rows of an answer", shape.rows, answer.shape().rows)?;
        expect("columns of an answer", shape.columns, answer.shape().columns)?;
    }
    let mut integers = vec![0; shape.elements()];
    let parts = integers.chunks_mut(PART).enumerate().collect();
    parallel::for_each(parts, PART / 2, |(part, out): (usize, &mut [i32])| {
        let answers = answers.map(|answer| &answer.values()[part * PART..][..out.len()]);
        combine(backend, answers, out);
    });
    Ok(Decoded {
        integers: Matrices::new(shape, integers)?,
        exponent,
    })
}

vectorised! {
    /// Elements of a product from the words of every worker: 3 (y1 - y2) + y3 modulo M, centred.
    fn combine(answers: [&[u32]; WORKERS], out: &mut [i32]) {
        let [first, second, third] = answers;
        for (out, ((first, second), third)) in out.iter_mut().zip(first.iter().zip(second).zip(third)) {
            // A difference of words fits one, a sum does not: y2 - y1 is taken from y3 three times.
            let less = subtract(*second, *first);
            let sum = subtract(subtract(subtract(*third, less), less), less);
            *out = centre(sum);
        }
    }
}

vectorised! {
    /// Numbers of integers.
    fn scale(integers: &[i32], factor: f64, out: &mut [f32]) {
        for (out, integer) in out.iter_mut().zip(integers) {
            *out = (f64::from(*integer) * factor) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MODULUS, words::M};
    use proptest::prelude::*;

    fn check(all: &[[u32; 3]]) {
        let answers = [0, 1, 2].map(|worker| all.iter().map(|words| words[worker]).collect::<Vec<_>>());
        for backend in Backend::available() {
            let mut out = vec![0; all.len()];
            combine(backend, answers.each_ref().map(Vec::as_slice), &mut out);
            for (words, integer) in all.iter().zip(out) {
                let [first, second, third] = words.map(i64::from);
                let least = (3 * first - 3 * second + third).rem_euclid(MODULUS);
                let centred = if least > MODULUS / 2 { least - MODULUS } else { least };
                assert_eq!(i64::from(integer), centred, "{words:?} on {}", backend.name());
            }
        }
    }

    #[test]
    fn words_at_the_edges_are_combined_exactly() {
        let edges = [
            0,
            1,
            2,
            M / 6,
            M / 3,
            M / 3 + 1,
            M / 2 - 1,
            M / 2,
            M / 2 + 1,
            1 << 31,
            M - 2,
            M - 1,
        ];
        let pairs = edges.iter().flat_map(|a| edges.map(|b| [*a, b]));
        let all = pairs.flat_map(|[a, b]| edges.map(|c| [a, b, c]));
        check(&all.collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn words_are_combined_exactly(all in proptest::collection::vec([0..M, 0..M, 0..M], 0..100)) {
            check(&all);
        }
    }
}
