//! Four residues at a time in exact f64 arithmetic (AVX2 and FMA).
//!
//! A residue is an integer of absolute value at most 2^53 in an f64, any representative of its class; reduced operands
//! are below q < 2^50. Correctness of [`Field::mul`] for |x| <= beta q, beta <= 8, and |w| <= q/2:
//!
//! * h = fl(xw) and l = fma(x, w, -h) give xw = h + l exactly, and both are integers;
//! * c = round(fl(x * fl(w/q))) is an integer, and |xw/q - c| <= 1/2 + 2^-52 |xw/q| <= 1/2 + beta/8;
//! * h - cq is an integer, and |h - cq| <= |xw - cq| + |l| <= 1.5 q + 2^49 < 2^53, so fma(-c, q, h) is exact;
//! * its sum with l is xw - cq, an integer of absolute value at most (1/2 + beta/8) q, so it is exact too.
//!
//! The same holds for two variable operands in `0..q`, with c = round(fl(h * fl(1/q))): it is off by at most 1/2 + 3/8.

use std::arch::x86_64::*;

/// Constant factors, centred, and their quotients by q.
#[derive(Clone, Copy)]
pub(crate) struct Constant {
    w: __m256d,
    ratio: __m256d,
}

/// A centred factor and its quotient by q: what a table holds.
pub(crate) fn constant(w: u64, q: u64) -> [f64; 2] {
    let centred = if w > q / 2 { w as i64 - q as i64 } else { w as i64 } as f64;
    [centred, centred / q as f64]
}

impl Constant {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn splat([w, ratio]: [f64; 2]) -> Self {
        Self {
            w: _mm256_set1_pd(w),
            ratio: _mm256_set1_pd(ratio),
        }
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn new(w: __m256d, ratio: __m256d) -> Self {
        Self { w, ratio }
    }
}

/// The prime and its inverse, splat.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    q: __m256d,
    inverse: __m256d,
    /// 2^52: adding it leaves a small integer in the low bits of the f64.
    integer: __m256d,
}

impl Field {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn new(q: u64) -> Self {
        let q = q as f64;
        Self {
            q: _mm256_set1_pd(q),
            inverse: _mm256_set1_pd(1.0 / q),
            integer: _mm256_set1_pd((1u64 << 52) as f64),
        }
    }

    /// `x * w`, for `|x| <= 8q`: absolute value at most (1/2 + |x|/8q) q.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn mul(&self, x: __m256d, c: Constant) -> __m256d {
        self.remainder(x, c.w, _mm256_mul_pd(x, c.w), _mm256_mul_pd(x, c.ratio))
    }

    /// `x * y`, for operands in `0..q`: absolute value below 0.9 q.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn mul_residues(&self, x: __m256d, y: __m256d) -> __m256d {
        let product = _mm256_mul_pd(x, y);
        self.remainder(x, y, product, _mm256_mul_pd(product, self.inverse))
    }

    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn remainder(&self, x: __m256d, y: __m256d, product: __m256d, quotient: __m256d) -> __m256d {
        let low = _mm256_fmsub_pd(x, y, product);
        _mm256_add_pd(_mm256_fnmadd_pd(round(quotient), self.q, product), low)
    }

    /// The same class, for `|x| <= 8q` or `|x| <= 2^50`: absolute value at most 0.6 q.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn centre(&self, x: __m256d) -> __m256d {
        _mm256_fnmadd_pd(round(_mm256_mul_pd(x, self.inverse)), self.q, x)
    }

    /// The residue in `0..q` as an integer, for `|x| <= 8q`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn words(self, x: __m256d) -> __m256i {
        // Rounding to even may leave x a hair outside +-q/2, never outside +-q: one correction makes it a residue.
        let x = self.centre(x);
        let negative = _mm256_cmp_pd::<_CMP_LT_OQ>(x, _mm256_setzero_pd());
        let residue = _mm256_add_pd(x, _mm256_and_pd(negative, self.q));
        _mm256_castpd_si256(_mm256_xor_pd(_mm256_add_pd(residue, self.integer), self.integer))
    }

    /// Words below 2^52 as f64.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn numbers(self, x: __m256i) -> __m256d {
        _mm256_sub_pd(_mm256_or_pd(_mm256_castsi256_pd(x), self.integer), self.integer)
    }

    /// [`Self::words`] for words that travel in f64 registers.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn packed(self, x: __m256d) -> __m256d {
        _mm256_castsi256_pd(self.words(x))
    }

    /// [`Self::numbers`] for words that travel in f64 registers.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn unpacked(self, x: __m256d) -> __m256d {
        self.numbers(_mm256_castpd_si256(x))
    }

    /// Cooley-Tukey: (x, y) to (x + wy, x - wy).
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn forward(&self, x: __m256d, y: __m256d, w: Constant) -> (__m256d, __m256d) {
        let t = self.mul(y, w);
        (_mm256_add_pd(x, t), _mm256_sub_pd(x, t))
    }

    /// Gentleman-Sande: (x, y) to (x + y, w(x - y)).
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub(crate) fn inverse(&self, x: __m256d, y: __m256d, w: Constant) -> (__m256d, __m256d) {
        (_mm256_add_pd(x, y), self.mul(_mm256_sub_pd(x, y), w))
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn round(x: __m256d) -> __m256d {
    _mm256_round_pd::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x)
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn load(words: &[u64; 4]) -> __m256i {
    // SAFETY: the reference covers 32 readable bytes, and the load asks for no alignment.
    unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn store(words: &mut [u64; 4], v: __m256i) {
    // SAFETY: the reference covers 32 writable bytes, and the store asks for no alignment.
    unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), v) }
}

/// Words that hold the bits of f64 numbers.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn load_pd(words: &[u64; 4]) -> __m256d {
    _mm256_castsi256_pd(load(words))
}

#[inline]
#[target_feature(enable = "avx2,fma")]
pub(crate) fn store_pd(words: &mut [u64; 4], v: __m256d) {
    store(words, _mm256_castpd_si256(v));
}
