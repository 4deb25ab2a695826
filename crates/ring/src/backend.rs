//! Which kernels run: chosen at run time, once per plan.

use crate::RingError;

/// A family of kernels. All families compute the same numbers; they differ in speed only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Backend {
    /// Portable 64-bit integer code: the reference.
    Scalar,
    /// 256-bit vectors with exact f64 arithmetic on fused multiply-add (x86-64).
    Avx2,
    /// 512-bit vectors with 52-bit integer multiply-add (x86-64).
    Avx512Ifma,
}

impl Backend {
    /// The fastest backend of this machine.
    pub fn detect() -> Self {
        [Backend::Avx512Ifma, Backend::Avx2]
            .into_iter()
            .find(|b| b.is_available())
            .unwrap_or(Backend::Scalar)
    }

    /// Every backend that this machine runs, slowest first.
    pub fn available() -> Vec<Self> {
        [Backend::Scalar, Backend::Avx2, Backend::Avx512Ifma]
            .into_iter()
            .filter(|b| b.is_available())
            .collect()
    }

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Scalar => "scalar",
            Backend::Avx2 => "avx2",
            Backend::Avx512Ifma => "avx512ifma",
        }
    }

    #[cfg(target_arch = "x86_64")]
    fn is_available(self) -> bool {
        match self {
            Backend::Scalar => true,
            Backend::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Backend::Avx512Ifma => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512ifma")
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn is_available(self) -> bool {
        self == Backend::Scalar
    }
}

/// A backend that has been seen to run here. The tokens inside are the licence to call its kernels: nothing but
/// [`Runnable::new`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runnable {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Ifma(Ifma),
}

/// Proof that the machine has AVX2 and FMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

/// Proof that the machine has AVX-512 F, DQ, VL and IFMA.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ifma(());

impl Runnable {
    pub(crate) fn new(backend: Backend) -> Result<Self, RingError> {
        if !backend.is_available() {
            return Err(RingError::Backend { actual: backend.name() });
        }
        Ok(match backend {
            #[cfg(target_arch = "x86_64")]
            Backend::Avx2 => Runnable::Avx2(Avx2(())),
            #[cfg(target_arch = "x86_64")]
            Backend::Avx512Ifma => Runnable::Ifma(Ifma(())),
            _ => Runnable::Scalar,
        })
    }

    pub(crate) fn detect() -> Self {
        // What was detected is available: the scalar kernels are never reached this way.
        Self::new(Backend::detect()).unwrap_or(Runnable::Scalar)
    }

    pub(crate) fn backend(self) -> Backend {
        match self {
            Runnable::Scalar => Backend::Scalar,
            #[cfg(target_arch = "x86_64")]
            Runnable::Avx2(_) => Backend::Avx2,
            #[cfg(target_arch = "x86_64")]
            Runnable::Ifma(_) => Backend::Avx512Ifma,
        }
    }
}
