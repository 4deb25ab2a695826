//! Several primes at once: the residue number system a polynomial lives in.

use crate::backend::Runnable;
use crate::{Backend, Modulus, NttPlan, RingError, pointwise};
use std::fmt;
use std::sync::Arc;

/// A degree N, distinct primes that are 1 modulo 2N, and their transforms. Clones share one copy of the tables.
#[derive(Clone)]
pub struct RnsBasis(Arc<Inner>);

struct Inner {
    degree: usize,
    moduli: Vec<Modulus>,
    plans: Vec<NttPlan>,
    runnable: Runnable,
}

impl RnsBasis {
    /// The basis of `degree` (a power of two, 2 to 32,768) and `moduli`, on the fastest backend of this machine.
    pub fn new(degree: usize, moduli: &[Modulus]) -> Result<Self, RingError> {
        Self::with_backend(degree, moduli, Backend::detect())
    }

    /// The same, on a backend of choice; an error if this machine cannot run it.
    pub fn with_backend(degree: usize, moduli: &[Modulus], backend: Backend) -> Result<Self, RingError> {
        if moduli.is_empty() {
            return Err(RingError::NoPrimes);
        }
        if let Some(i) = (1..moduli.len()).find(|&i| moduli[..i].contains(&moduli[i])) {
            return Err(RingError::RepeatedPrime {
                actual: moduli[i].value(),
            });
        }
        let plans = moduli
            .iter()
            .map(|&q| NttPlan::with_backend(degree, q, backend))
            .collect::<Result<_, _>>()?;
        Ok(Self(Arc::new(Inner {
            degree,
            moduli: moduli.to_vec(),
            plans,
            runnable: Runnable::new(backend)?,
        })))
    }

    /// N.
    pub fn degree(&self) -> usize {
        self.0.degree
    }

    /// The primes, in the order of the residues.
    pub fn moduli(&self) -> &[Modulus] {
        &self.0.moduli
    }

    /// The transforms, in the order of the primes.
    pub fn plans(&self) -> &[NttPlan] {
        &self.0.plans
    }

    /// The backend asked for.
    pub fn backend(&self) -> Backend {
        self.0.runnable.backend()
    }

    /// Words of a polynomial: N for every prime.
    pub fn words(&self) -> usize {
        self.0.degree * self.0.moduli.len()
    }

    /// Writes the residues of `factor` times any integers modulo the prime of this number, for a factor below it. In constant time.
    ///
    /// # Errors
    /// [`RingError::Length`] unless there is a residue for each integer.
    pub fn multiples_of(&self, prime: usize, factor: u64, integers: &[i64], residues: &mut [u64]) -> Result<(), RingError> {
        if integers.len() != residues.len() {
            return Err(RingError::Length {
                what: "residues of integers",
                expected: integers.len(),
                actual: residues.len(),
            });
        }
        pointwise::multiples_of(self.runnable(), &self.0.moduli[prime], factor, integers, residues);
        Ok(())
    }

    pub(crate) fn runnable(&self) -> Runnable {
        self.0.runnable
    }

    /// Refuses another basis.
    pub(crate) fn check_same(&self, other: &Self) -> Result<(), RingError> {
        match self == other {
            true => Ok(()),
            false => Err(self.mismatch(other)),
        }
    }

    /// Refuses a basis that does not begin with this one's primes.
    pub(crate) fn check_first(&self, other: &Self) -> Result<(), RingError> {
        match self.degree() == other.degree() && other.moduli().starts_with(self.moduli()) {
            true => Ok(()),
            false => Err(self.mismatch(other)),
        }
    }

    fn mismatch(&self, other: &Self) -> RingError {
        RingError::BasisMismatch {
            expected: format!("{self:?}"),
            actual: format!("{other:?}"),
        }
    }
}

/// Equal degree and equal primes, in the same order. The roots of unity follow from these, so residues agree whatever the
/// backend. One pointer comparison for clones of one basis.
impl PartialEq for RnsBasis {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.degree == other.0.degree && self.0.moduli == other.0.moduli)
    }
}

impl Eq for RnsBasis {}

impl fmt::Debug for RnsBasis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let primes: Vec<u64> = self.0.moduli.iter().map(Modulus::value).collect();
        write!(f, "N={} primes={primes:?}", self.0.degree)
    }
}
