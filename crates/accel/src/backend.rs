//! Which instructions run: chosen at run time. All give the same numbers.

/// An implementation of the integer arithmetic that this machine can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend(pub(crate) Instructions);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Instructions {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

impl Backend {
    /// The plain loops that the others are compared with.
    pub const SCALAR: Self = Self(Instructions::Scalar);

    /// All that this machine can run, the fastest last.
    #[cfg(target_arch = "x86_64")]
    pub fn available() -> Vec<Self> {
        let avx2 = is_x86_feature_detected!("avx2");
        let vnni = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        let vectors = [(avx2, Instructions::Avx2), (avx2 && vnni, Instructions::Avx512Vnni)];
        let vectors = vectors.into_iter().filter(|(there, _)| *there).map(|(_, kind)| Self(kind));
        std::iter::once(Self::SCALAR).chain(vectors).collect()
    }

    /// All that this machine can run, the fastest last.
    #[cfg(not(target_arch = "x86_64"))]
    pub fn available() -> Vec<Self> {
        vec![Self::SCALAR]
    }

    /// The fastest that this machine can run.
    pub fn best() -> Self {
        Self::available().last().copied().unwrap_or(Self::SCALAR)
    }

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self.0 {
            Instructions::Scalar => "scalar",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Vnni => "avx512vnni",
        }
    }

    /// Runs a loop over elements, compiled for this backend's vectors. What it calls must be inlined to gain by it.
    #[inline(always)]
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        match self.0 {
            Instructions::Scalar => work(),
            // SAFETY: a backend of this kind exists only where the feature was detected.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => unsafe { on_avx2(work) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512Vnni => unsafe { on_avx512(work) },
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn on_avx2<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
fn on_avx512<T>(work: impl FnOnce() -> T) -> T {
    work()
}
