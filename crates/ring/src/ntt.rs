//! The negacyclic number-theoretic transform: `R_q = Z_q[X]/(X^N + 1)` to its N evaluations and back.
//!
//! # Order of the evaluations
//!
//! Let psi be the plan's primitive 2N-th root of unity and rev(j) the reversal of the log2(N) bits of j. Slot j holds
//! the value at psi^(2 rev(j) + 1).
//!
//! For kw * nw = N, slots c*nw .. (c+1)*nw are therefore exactly the roots of X^nw = zeta_c, where
//! zeta_c = (psi^nw)^(2 rev_kw(c) + 1) and zeta_c^kw = -1: a polynomial in X^nw is constant on each such *block*.
//! [`NttPlan::subring`] is the transform of length kw that gives these kw constants, in the order of the blocks.
//! The inverse of zeta_c is zeta of block kw - 1 - c, so the constants of f(X^-nw) are those of f(X^nw) read backwards.

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod avx2;
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
mod ifma;
mod roots;
mod scalar;

use crate::backend::Runnable;
use crate::{Backend, Modulus, RingError};
use roots::Roots;
use std::ops::Range;

/// Smallest and largest degree of a plan.
const DEGREES: std::ops::RangeInclusive<usize> = 2..=32768;
/// Below this length the vector kernels have nothing to fill their registers with.
const SHORTEST_VECTOR: usize = 16;

/// Some coefficients of every `stride`: those of X^k with k modulo `stride` in `run`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Runs {
    stride: usize,
    run: Range<usize>,
}

impl Runs {
    /// The stride is a power of two; the run ends within it.
    pub fn new(stride: usize, run: Range<usize>) -> Result<Self, RingError> {
        let max = *DEGREES.end();
        if !stride.is_power_of_two() || stride > max {
            let (min, actual) = (1, stride);
            return Err(RingError::Degree { min, max, actual });
        }
        match run.start <= run.end && run.end <= stride {
            true => Ok(Self { stride, run }),
            false => Err(RingError::Length {
                what: "coefficients of a run",
                expected: stride,
                actual: run.start.max(run.end),
            }),
        }
    }

    /// All coefficients.
    pub fn all() -> Self {
        Self { stride: 1, run: 0..1 }
    }

    /// Sets all others to zero.
    fn clear_others(&self, values: &mut [u64]) {
        for part in values.chunks_mut(self.stride) {
            part[..self.run.start].fill(0);
            part[self.run.end..].fill(0);
        }
    }
}

/// The tables of one transform: a degree, a prime and a backend.
#[derive(Clone, Debug)]
pub struct NttPlan {
    modulus: Modulus,
    degree: usize,
    runnable: Runnable,
    root: u64,
    kernel: Kernel,
}

#[derive(Clone, Debug)]
enum Kernel {
    Scalar(scalar::Tables),
    #[cfg(target_arch = "x86_64")]
    Avx2(avx2::Tables),
    #[cfg(target_arch = "x86_64")]
    Ifma(ifma::Tables),
}

impl NttPlan {
    /// The plan for `degree` (a power of two, 2 to 32,768) modulo a prime that is 1 modulo twice the degree, on the
    /// fastest backend of this machine. Degrees below 16 run the scalar kernel whatever the backend.
    pub fn new(degree: usize, modulus: Modulus) -> Result<Self, RingError> {
        Self::with_backend(degree, modulus, Backend::detect())
    }

    /// The same, on a backend of choice; an error if this machine cannot run it.
    pub fn with_backend(degree: usize, modulus: Modulus, backend: Backend) -> Result<Self, RingError> {
        check_degree(degree)?;
        let root = roots::primitive_root(&modulus, degree)?;
        Ok(Self::with_root(degree, modulus, Runnable::new(backend)?, root))
    }

    fn with_root(degree: usize, modulus: Modulus, runnable: Runnable, root: u64) -> Self {
        let roots = Roots::new(&modulus, degree, root);
        let kernel = match runnable {
            #[cfg(target_arch = "x86_64")]
            Runnable::Avx2(token) if degree >= SHORTEST_VECTOR => Kernel::Avx2(avx2::Tables::new(token, &modulus, &roots)),
            #[cfg(target_arch = "x86_64")]
            Runnable::Ifma(token) if degree >= SHORTEST_VECTOR => Kernel::Ifma(ifma::Tables::new(token, &modulus, &roots)),
            _ => Kernel::Scalar(scalar::Tables::new(&modulus, &roots)),
        };
        Self {
            modulus,
            degree,
            runnable,
            root,
            kernel,
        }
    }

    /// The transform of length `classes` (kw: a power of two, 2 to N) for polynomials in Y = X^(N/kw): from the
    /// coefficients of Y^0 .. Y^(kw-1) to the constants of the kw blocks (see the module's page).
    pub fn subring(&self, classes: usize) -> Result<Self, RingError> {
        if !classes.is_power_of_two() || !(2..=self.degree).contains(&classes) {
            return Err(RingError::Degree {
                min: 2,
                max: self.degree,
                actual: classes,
            });
        }
        let root = self.modulus.pow(self.root, (self.degree / classes) as u64);
        Ok(Self::with_root(classes, self.modulus, self.runnable, root))
    }

    /// From coefficients, X^0 first, to evaluations in the order of the module's page. Residues in `0..q`, both ways.
    ///
    /// # Panics
    /// If `values` does not hold N words.
    pub fn forward(&self, values: &mut [u64]) {
        self.check(values);
        match &self.kernel {
            Kernel::Scalar(tables) => tables.forward(values),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(tables) => tables.forward(values),
            #[cfg(target_arch = "x86_64")]
            Kernel::Ifma(tables) => tables.forward(values),
        }
    }

    /// From evaluations back to coefficients, the factor 1/N included. Residues in `0..q`, both ways.
    ///
    /// # Panics
    /// If `values` does not hold N words.
    pub fn inverse(&self, values: &mut [u64]) {
        self.check(values);
        match &self.kernel {
            Kernel::Scalar(tables) => tables.inverse(values),
            #[cfg(target_arch = "x86_64")]
            Kernel::Avx2(tables) => tables.inverse(values),
            #[cfg(target_arch = "x86_64")]
            Kernel::Ifma(tables) => tables.inverse(values),
        }
    }

    /// [`Self::inverse`] for some coefficients; all others become zero. The fewer they are, and the longer their runs (from eight), the less there is to do.
    ///
    /// # Panics
    /// If `values` does not hold N words, or the stride of the runs is longer.
    pub fn inverse_runs(&self, values: &mut [u64], runs: &Runs) {
        self.check(values);
        assert!(
            runs.stride <= self.degree,
            "runs {runs:?} beyond {} coefficients",
            self.degree
        );
        match &self.kernel {
            #[cfg(target_arch = "x86_64")]
            Kernel::Ifma(tables) => tables.inverse_runs(values, runs),
            _ => self.inverse(values),
        }
        runs.clear_others(values);
    }

    /// N.
    pub fn degree(&self) -> usize {
        self.degree
    }

    /// q.
    pub fn modulus(&self) -> &Modulus {
        &self.modulus
    }

    /// The backend asked for.
    pub fn backend(&self) -> Backend {
        self.runnable.backend()
    }

    /// psi, the primitive 2N-th root of unity that fixes the order of the evaluations.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// The twiddles of the forward butterflies: entry m + i is that of group i in the stage that has m groups.
    pub(crate) fn forward_roots(&self) -> Vec<u64> {
        Roots::new(&self.modulus, self.degree, self.root).forward
    }

    pub(crate) fn runnable(&self) -> Runnable {
        self.runnable
    }

    fn check(&self, values: &[u64]) {
        assert_eq!(
            values.len(),
            self.degree,
            "a transform of degree {} got {} words",
            self.degree,
            values.len()
        );
        debug_assert!(
            values.iter().all(|&v| v < self.modulus.value()),
            "an operand of a transform is not reduced"
        );
    }
}

/// Refuses a degree the transforms are not built for.
pub(crate) fn check_degree(degree: usize) -> Result<(), RingError> {
    if degree.is_power_of_two() && DEGREES.contains(&degree) {
        return Ok(());
    }
    Err(RingError::Degree {
        min: *DEGREES.start(),
        max: *DEGREES.end(),
        actual: degree,
    })
}
