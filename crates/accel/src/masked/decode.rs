//! A product from its three shares: y = 3 y1 - 3 y2 + y3 modulo each prime, then the one integer below half of the modulus that has these residues.

use super::WORKERS;
use crate::{AccelError, Backend, MODULUS, Matrices, PRIMES, Residues, backend::vectorised, error::expect, parallel};

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
pub fn decode(answers: [&Residues; WORKERS], exponent: i32) -> Result<Decoded, AccelError> {
    decode_on(Backend::best(), answers, exponent)
}

/// [`decode`] on a backend of choice.
pub fn decode_on(backend: Backend, answers: [&Residues; WORKERS], exponent: i32) -> Result<Decoded, AccelError> {
    let shape = answers[0].shape();
    for answer in answers {
        expect("matrices of an answer", shape.batch, answer.shape().batch)?;
        expect("rows of an answer", shape.rows, answer.shape().rows)?;
        expect("columns of an answer", shape.columns, answer.shape().columns)?;
    }
    let mut integers = vec![0; shape.elements()];
    let parts = integers.chunks_mut(PART).enumerate().collect();
    parallel::for_each(parts, PART, |(part, out): (usize, &mut [i32])| {
        let planes = std::array::from_fn(|prime| answers.map(|answer| &answer.plane(prime)[part * PART..][..out.len()]));
        combine(backend, planes, out);
    });
    Ok(Decoded {
        integers: Matrices::new(shape, integers)?,
        exponent,
    })
}

/// Of one prime p: what each worker's answer is multiplied by so that the sum t has y = sum of t M/p modulo M.
struct Weights {
    workers: [i32; WORKERS],
    /// M/p modulo 2^32.
    cofactor: i32,
    /// 1/p.
    inverse: f32,
}

const WEIGHTS: [Weights; PRIMES.len()] = [weights(0), weights(1), weights(2), weights(3)];

const fn weights(index: usize) -> Weights {
    let p = PRIMES[index];
    let cofactor = MODULUS / p as i64;
    let mut inverse = 1;
    while cofactor % p as i64 * inverse % p as i64 != 1 {
        inverse += 1;
    }
    Weights {
        workers: [centred(3 * inverse, p), centred(-3 * inverse, p), centred(inverse, p)],
        cofactor: cofactor as i32,
        inverse: 1.0 / p as f32,
    }
}

const fn centred(value: i64, p: i32) -> i32 {
    let remainder = value.rem_euclid(p as i64) as i32;
    if remainder > p / 2 { remainder - p } else { remainder }
}

/// Elements that are computed side by side.
const LANES: usize = 16;

vectorised! {
    /// Elements of a product from the residues of every prime from every worker.
    fn combine(planes: [[&[i8]; WORKERS]; PRIMES.len()], out: &mut [i32]) {
        for (block, out) in out.chunks_mut(LANES).enumerate() {
            // A last block that is shorter is computed with zeros behind it.
            let mut lanes = [[[0i8; LANES]; WORKERS]; PRIMES.len()];
            for (lanes, planes) in lanes.as_flattened_mut().iter_mut().zip(planes.as_flattened()) {
                let plane = &planes[block * LANES..];
                match plane.first_chunk() {
                    Some(whole) if out.len() == LANES => *lanes = *whole,
                    _ => lanes[..out.len()].copy_from_slice(&plane[..out.len()]),
                }
            }
            out.copy_from_slice(&combine_lanes(&lanes)[..out.len()]);
        }
    }
}

/// y = sum of t M/p - M round(sum of t/p). With |y| <= 2^30 the sum of t/p, below 750, is 0.18 away from a tie: f32 rounds it rightly.
#[inline(always)]
fn combine_lanes(planes: &[[[i8; LANES]; WORKERS]; PRIMES.len()]) -> [i32; LANES] {
    const ROUNDING: f32 = 12_582_912.0;
    let (mut sums, mut fractions) = ([0i32; LANES], [0f32; LANES]);
    for ([first, second, third], weights) in planes.iter().zip(&WEIGHTS) {
        let [a, b, c] = weights.workers;
        for lane in 0..LANES {
            let t = a * i32::from(first[lane]) + b * i32::from(second[lane]) + c * i32::from(third[lane]);
            sums[lane] = sums[lane].wrapping_add(t.wrapping_mul(weights.cofactor));
            fractions[lane] += t as f32 * weights.inverse;
        }
    }
    let mut out = [0; LANES];
    for lane in 0..LANES {
        let quotient = ((fractions[lane] + ROUNDING).to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32);
        out[lane] = sums[lane].wrapping_sub(quotient.wrapping_mul(MODULUS as u32 as i32));
    }
    out
}

vectorised! {
    /// Numbers of integers.
    fn scale(integers: &[i32], factor: f64, out: &mut [f32]) {
        for (out, integer) in out.iter_mut().zip(integers) {
            *out = (f64::from(*integer) * factor) as f32;
        }
    }
}
