//! Shamir shares of degree one: worker z gets x + z R, for a uniform R of which it has no other share.

use super::{
    Quantised, WORKERS,
    stream::{MaskBuffer, MaskStream},
};
use crate::{AccelError, Backend, PRIMES, Residues, backend::vectorised, parallel};
use rand::CryptoRng;
use zeroize::Zeroizing;

/// Elements of one task, a part of an operand. Masks depend on it.
const PART: usize = 1 << 14;

/// Makes shares under one key, each operand under masks of its own. The key is drawn here and cannot be had or set: masks of an earlier process are not
/// used again after a restart.
pub struct Blinder {
    stream: MaskStream,
    /// Of the next operand.
    next: u64,
    /// Of all operands so far.
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
    pub fn share(&mut self, operand: &Quantised) -> Result<[Residues; WORKERS], AccelError> {
        self.share_on(Backend::best(), operand)
    }

    /// [`Self::share`] on a backend of choice.
    pub fn share_on(&mut self, backend: Backend, operand: &Quantised) -> Result<[Residues; WORKERS], AccelError> {
        let integers = operand.integers().values();
        let elements = self.elements + integers.len() as u64;
        if elements > Self::MAX_ELEMENTS {
            return Err(AccelError::MasksUsedUp { max: Self::MAX_ELEMENTS });
        }
        let number = self.next;
        (self.next, self.elements) = (number + 1, elements);
        let mut shares: [Vec<i8>; WORKERS] = std::array::from_fn(|_| vec![0; PRIMES.len() * integers.len()]);
        let tasks = tasks(integers, &mut shares);
        parallel::for_each(tasks, PART * 2, |task| self.share_part(backend, number, task));
        Ok(shares.map(|values| Residues::from_centred(operand.integers().shape(), values)))
    }

    /// As if that many elements had been masked.
    #[cfg(test)]
    pub(super) fn use_up(&mut self, elements: u64) {
        self.elements += elements;
    }

    fn share_part(&self, backend: Backend, number: u64, task: Task) {
        let mut masks = MaskBuffer::new(task.integers.len());
        let mut residues = Zeroizing::new(vec![0u128; task.integers.len().div_ceil(16)]);
        let residues = &mut bytemuck::cast_slice_mut(&mut residues)[..task.integers.len()];
        for (prime, shares) in task.shares.into_iter().enumerate() {
            let masks = self
                .stream
                .residues(number, task.part, prime, task.integers.len(), &mut masks);
            least_residues(backend, PRIMES[prime], task.integers, &mut *residues);
            mask(backend, PRIMES[prime] as u8, &*residues, masks, shares);
        }
    }
}

/// One part of an operand, and where its shares go: for every prime, for every worker.
struct Task<'a> {
    part: u32,
    integers: &'a [i32],
    shares: [[&'a mut [i8]; WORKERS]; PRIMES.len()],
}

fn tasks<'a>(integers: &'a [i32], shares: &'a mut [Vec<i8>; WORKERS]) -> Vec<Task<'a>> {
    let mut workers = shares.each_mut().map(|values| values.chunks_mut(integers.len().max(1)));
    let mut planes: [[_; WORKERS]; PRIMES.len()] = std::array::from_fn(|_| {
        workers
            .each_mut()
            .map(|planes| planes.next().unwrap_or_default().chunks_mut(PART))
    });
    let parts = integers.chunks(PART).zip(0..);
    let task = |(integers, part)| Task {
        part,
        integers,
        shares: planes
            .each_mut()
            .map(|workers| workers.each_mut().map(|parts| parts.next().unwrap_or_default())),
    };
    parts.map(task).collect()
}

vectorised! {
    /// Integers of at most 2^20 in magnitude modulo a prime, in `0..prime`.
    fn least_residues(prime: i32, integers: &[i32], out: &mut [u8]) {
        const ROUNDING: f32 = 12_582_912.0;
        let inverse = 1.0 / prime as f32;
        for (out, &integer) in out.iter_mut().zip(integers) {
            // The quotient is below 2^13 and at least 1/(2p) away from a tie, more than its error.
            let quotient = ((integer as f32 * inverse + ROUNDING).to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32);
            let centred = integer - quotient * prime;
            *out = (centred + (prime & centred >> 31)) as u8;
        }
    }
}

vectorised! {
    /// `residues + z masks` for every z, centred.
    fn mask(prime: u8, residues: &[u8], masks: &[u8], shares: [&mut [i8]; WORKERS]) {
        let [first, second, third] = shares;
        let operands = residues.iter().zip(masks);
        let shares = first.iter_mut().zip(second).zip(third);
        for (((first, second), third), (&residue, &mask)) in shares.zip(operands) {
            // A sum of residues does not fit a byte; a difference with what is missing to the prime does.
            let less = prime - mask;
            let sum = subtract(prime, residue, less);
            *first = centre(prime, sum);
            let sum = subtract(prime, sum, less);
            *second = centre(prime, sum);
            *third = centre(prime, subtract(prime, sum, less));
        }
    }
}

/// `residue - less` modulo the prime, for `less` up to the prime.
#[inline(always)]
fn subtract(prime: u8, residue: u8, less: u8) -> u8 {
    let lift = if residue < less { prime } else { 0 };
    residue.wrapping_sub(less).wrapping_add(lift)
}

#[inline(always)]
fn centre(prime: u8, residue: u8) -> i8 {
    let drop = if residue > prime / 2 { prime } else { 0 };
    residue.wrapping_sub(drop) as i8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_shares_of_all_residues_are_right() {
        for p in PRIMES {
            for residue in 0..p {
                let masks: Vec<u8> = (0..p).map(|mask| mask as u8).collect();
                let residues = vec![residue as u8; masks.len()];
                let mut shares: [Vec<i8>; 3] = std::array::from_fn(|_| vec![0; masks.len()]);
                mask(
                    Backend::best(),
                    p as u8,
                    &residues,
                    &masks,
                    shares.each_mut().map(|share| share.as_mut_slice()),
                );
                for (z, share) in (1..).zip(shares) {
                    for (share, mask) in share.into_iter().zip(&masks) {
                        let difference = residue + z * i32::from(*mask) - i32::from(share);
                        assert!(difference % p == 0 && i32::from(share).abs() <= p / 2);
                    }
                }
            }
        }
    }

    #[test]
    fn least_residues_of_the_whole_range() {
        let integers: Vec<i32> = (-(1 << 20)..=1 << 20).collect();
        for p in PRIMES {
            let mut out = vec![0; integers.len()];
            least_residues(Backend::best(), p, &integers, &mut out);
            assert!(
                integers
                    .iter()
                    .zip(out)
                    .all(|(x, residue)| i32::from(residue) == x.rem_euclid(p))
            );
        }
    }
}
