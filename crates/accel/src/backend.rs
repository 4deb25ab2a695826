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
}

/// Functions that run a loop compiled for the vectors of a backend, which becomes their first argument. What a loop calls must always be inlined; a closure
/// that is handed on would be compiled for the vectors of none.
macro_rules! vectorised {
    ($(#[$about:meta])* $seen:vis fn $name:ident $(<const $n:ident: usize>)? ($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$about])*
        #[allow(unsafe_code)]
        $seen fn $name $(<const $n: usize>)? (backend: $crate::Backend, $($argument: $type),*) $(-> $result)? {
            #[inline(always)]
            fn body $(<const $n: usize>)? ($($argument: $type),*) $(-> $result)? $body
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2")]
            fn avx2 $(<const $n: usize>)? ($($argument: $type),*) $(-> $result)? {
                body$(::<$n>)?($($argument),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512 $(<const $n: usize>)? ($($argument: $type),*) $(-> $result)? {
                body$(::<$n>)?($($argument),*)
            }
            match backend.0 {
                $crate::backend::Instructions::Scalar => body$(::<$n>)?($($argument),*),
                // SAFETY: a backend of this kind exists only where the features were detected.
                #[cfg(target_arch = "x86_64")]
                $crate::backend::Instructions::Avx2 => unsafe { avx2$(::<$n>)?($($argument),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::backend::Instructions::Avx512Vnni => unsafe { avx512$(::<$n>)?($($argument),*) },
            }
        }
    };
}

pub(crate) use vectorised;
