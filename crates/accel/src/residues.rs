//! Integers modulo four primes below 256, in centred residues: what the products of `masked` are computed in.

use crate::{AccelError, Backend, Shape, backend::vectorised, error::expect};
use zeroize::Zeroize;

/// The four largest primes whose centred residues fit a signed byte and whose product leaves 2^30 room for a sign.
pub const PRIMES: [i32; 4] = [251, 241, 239, 233];

/// 251 * 241 * 239 * 233, about 2^31.65.
pub const MODULUS: i64 = 251 * 241 * 239 * 233;

/// The largest centred residue modulo prime `index`.
pub(crate) const fn largest(index: usize) -> i8 {
    ((PRIMES[index] - 1) / 2) as i8
}

/// A batch of matrices modulo the four primes: a plane of residues in `-(p-1)/2..=(p-1)/2` for each.
#[derive(Clone, PartialEq, Eq)]
pub struct Residues {
    shape: Shape,
    values: Vec<i8>,
}

impl Residues {
    /// Planes in the order of [`PRIMES`], each as [`crate::Matrices`] has its values; fails on another number of them and on a residue that is not centred.
    pub fn new(shape: Shape, values: Vec<i8>) -> Result<Self, AccelError> {
        expect("residues", PRIMES.len() * shape.elements(), values.len())?;
        for (prime, plane) in planes(shape, &values).enumerate() {
            let max = largest(prime);
            if widest(Backend::best(), plane) > max.unsigned_abs() {
                let beyond = |value: &i8| value.unsigned_abs() > max.unsigned_abs();
                let index = plane.iter().position(beyond).unwrap_or_default();
                let actual = plane[index];
                return Err(AccelError::Residue {
                    index,
                    prime: PRIMES[prime],
                    max,
                    actual,
                });
            }
        }
        Ok(Self { shape, values })
    }

    /// Residues that are centred by construction.
    pub(crate) fn from_centred(shape: Shape, values: Vec<i8>) -> Self {
        debug_assert_eq!(values.len(), PRIMES.len() * shape.elements());
        Self { shape, values }
    }

    /// Integers modulo each prime.
    pub fn of_integers(shape: Shape, integers: &[i32]) -> Result<Self, AccelError> {
        expect("integers", shape.elements(), integers.len())?;
        let mut values = vec![0; PRIMES.len() * integers.len()];
        for (prime, plane) in values.chunks_mut(integers.len().max(1)).enumerate() {
            reduce(Backend::best(), prime, integers, plane);
        }
        Ok(Self { shape, values })
    }

    /// The shape.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// All planes.
    pub fn values(&self) -> &[i8] {
        &self.values
    }

    /// The plane of prime number `index`.
    pub fn plane(&self, index: usize) -> &[i8] {
        &self.values[index * self.shape.elements()..][..self.shape.elements()]
    }
}

impl Zeroize for Residues {
    fn zeroize(&mut self) {
        self.values.zeroize();
    }
}

// Shares are secret to all but one worker: only the shape is shown.
impl std::fmt::Debug for Residues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Residues({:?})", self.shape)
    }
}

fn planes(shape: Shape, values: &[i8]) -> impl Iterator<Item = &[i8]> {
    (0..PRIMES.len()).map(move |prime| &values[prime * shape.elements()..][..shape.elements()])
}

vectorised! {
    /// The largest magnitude; 0 of none.
    fn widest(values: &[i8]) -> u8 {
        values.iter().fold(0, |widest, value| widest.max(value.unsigned_abs()))
    }
}

/// Adding it to a number below 2^51 in magnitude rounds it to the nearest integer and leaves that in the low bits.
const ROUNDING: f64 = 6_755_399_441_055_744.0;

/// Sums modulo prime number `prime`, centred.
pub(crate) fn reduce(backend: Backend, prime: usize, sums: &[i32], out: &mut [i8]) {
    reduce_all(backend, PRIMES[prime], sums, out);
}

vectorised! {
    /// Sums modulo a prime, centred.
    fn reduce_all(prime: i32, sums: &[i32], out: &mut [i8]) {
        let inverse = 1.0 / f64::from(prime);
        for (out, &sum) in out.iter_mut().zip(sums) {
            // The quotient is at least 1/(2p) away from a tie, far more than its error.
            let quotient = (f64::from(sum) * inverse + ROUNDING).to_bits() as i32;
            *out = sum.wrapping_sub(quotient.wrapping_mul(prime)) as i8;
        }
    }
}

/// Planes of a result from those of an operand.
pub(crate) fn map_planes(
    operand: &Residues,
    shape: Shape,
    mut plane: impl FnMut(usize, &[i8], &mut [i8]) -> Result<(), AccelError>,
) -> Result<Residues, AccelError> {
    let mut values = vec![0; PRIMES.len() * shape.elements()];
    for (prime, out) in values.chunks_mut(shape.elements().max(1)).enumerate() {
        plane(prime, operand.plane(prime), out)?;
    }
    Ok(Residues::from_centred(shape, values))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_modulus_is_their_product_and_leaves_room() {
        assert_eq!(MODULUS, PRIMES.iter().map(|p| i64::from(*p)).product::<i64>());
        const { assert!(MODULUS / 2 > 1 << 30 && MODULUS / 2 < 1 << 31) };
        for p in PRIMES {
            assert!((2..p).all(|d| d * d > p || p % d != 0), "{p} is prime");
        }
    }

    #[test]
    fn residues_that_are_not_centred_are_refused() {
        let shape = Shape::matrix(1, 2).unwrap();
        let values = |at: usize, value| {
            let mut values = vec![0; 8];
            values[at] = value;
            Residues::new(shape, values)
        };
        for (prime, p) in PRIMES.iter().enumerate() {
            let max = largest(prime);
            assert!(values(2 * prime + 1, max).is_ok() && values(2 * prime + 1, -max).is_ok());
            for actual in [max.wrapping_add(1), -max - 1, i8::MIN] {
                let expected = AccelError::Residue {
                    index: 1,
                    prime: *p,
                    max,
                    actual,
                };
                assert_eq!(values(2 * prime + 1, actual).unwrap_err(), expected);
            }
        }
        assert!(Residues::new(shape, vec![0; 7]).is_err());
    }

    proptest! {
        #[test]
        fn sums_are_reduced_exactly(mut sums in proptest::collection::vec(any::<i32>(), 0..50)) {
            sums.extend([i32::MIN, i32::MAX, 0, 125, 126, -126]);
            for backend in Backend::available() {
                for (prime, p) in PRIMES.iter().enumerate() {
                    let mut out = vec![0; sums.len()];
                    reduce(backend, prime, &sums, &mut out);
                    for (sum, residue) in sums.iter().zip(out) {
                        let remainder = sum.rem_euclid(*p);
                        let centred = if remainder > p / 2 { remainder - p } else { remainder };
                        prop_assert_eq!(i32::from(residue), centred, "{} modulo {} on {}", sum, p, backend.name());
                    }
                }
            }
        }
    }
}
