//! Eight residues at a time on the 52-bit multipliers of AVX-512 IFMA: Shoup and Barrett multiplication and the two
//! Harvey butterflies. A lane of the multiplier reads the low 52 bits of its operands.

use std::arch::x86_64::*;

/// floor(w * 2^52 / q).
pub(crate) fn shoup_quotient(w: u64, q: u64) -> u64 {
    ((u128::from(w) << 52) / u128::from(q)) as u64
}

/// Constant factors and their Shoup quotients, lane by lane.
#[derive(Clone, Copy)]
pub(crate) struct Constant {
    pub(crate) w: __m512i,
    pub(crate) quotient: __m512i,
}

impl Constant {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn splat([w, quotient]: [u64; 2]) -> Self {
        Self {
            w: _mm512_set1_epi64(w as i64),
            quotient: _mm512_set1_epi64(quotient as i64),
        }
    }
}

/// Multiples of the prime, splat.
#[derive(Clone, Copy)]
pub(crate) struct Field {
    q: __m512i,
    twice: __m512i,
    /// 2^52 - q: adding a multiple of it modulo 2^52 subtracts the multiple of q.
    minus_q: __m512i,
    low: __m512i,
}

impl Field {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn new(q: u64) -> Self {
        let splat = |v: u64| _mm512_set1_epi64(v as i64);
        Self {
            q: splat(q),
            twice: splat(2 * q),
            minus_q: splat((1 << 52) - q),
            low: splat((1 << 52) - 1),
        }
    }

    /// `x * w` in `0..2q`, for `x < 2^52`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn mul(&self, x: __m512i, c: Constant) -> __m512i {
        let zero = _mm512_setzero_si512();
        let estimate = _mm512_madd52hi_epu64(zero, x, c.quotient);
        let product = _mm512_madd52lo_epu64(zero, x, c.w);
        // The remainder is below 2q < 2^52: its low 52 bits are all of it.
        self.low_bits(self.subtract_multiple(product, estimate))
    }

    /// `x - multiple * q` in the low 52 bits of a lane; what is above them is of no account.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn subtract_multiple(&self, x: __m512i, multiple: __m512i) -> __m512i {
        _mm512_madd52lo_epu64(x, multiple, self.minus_q)
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn low_bits(&self, x: __m512i) -> __m512i {
        _mm512_and_si512(x, self.low)
    }

    /// `x + y` in `0..q`, for residues.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn add(&self, x: __m512i, y: __m512i) -> __m512i {
        self.below_q(_mm512_add_epi64(x, y))
    }

    /// `x - y` in `0..q`, for residues.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn sub(&self, x: __m512i, y: __m512i) -> __m512i {
        self.lift(_mm512_sub_epi64(x, y))
    }

    /// From `-q..q` to `0..q`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn lift(&self, x: __m512i) -> __m512i {
        _mm512_min_epu64(x, _mm512_add_epi64(x, self.q))
    }

    /// Cooley-Tukey: (x, y) to (x + wy, x - wy), all below 4q.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn forward(&self, x: __m512i, y: __m512i, w: Constant) -> (__m512i, __m512i) {
        let (x, t) = (self.below_2q(x), self.mul(y, w));
        (_mm512_add_epi64(x, t), _mm512_sub_epi64(_mm512_add_epi64(x, self.twice), t))
    }

    /// [`Self::forward`] when both results are multiplied next: only their low 52 bits are right.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn forward_low_bits(&self, x: __m512i, y: __m512i, c: Constant) -> (__m512i, __m512i) {
        let (zero, x) = (_mm512_setzero_si512(), self.below_2q(x));
        let estimate = _mm512_madd52hi_epu64(zero, y, c.quotient);
        let t = self.subtract_multiple(_mm512_madd52lo_epu64(zero, y, c.w), estimate);
        (_mm512_add_epi64(x, t), _mm512_sub_epi64(_mm512_add_epi64(x, self.twice), t))
    }

    /// Gentleman-Sande: (x, y) to (x + y, w(x - y)), all below 2q.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn inverse(&self, x: __m512i, y: __m512i, w: Constant) -> (__m512i, __m512i) {
        (self.below_2q(_mm512_add_epi64(x, y)), self.mul(self.difference(x, y), w))
    }

    /// The last inverse butterfly: both results times 1/N and fully reduced.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn inverse_scaled(&self, x: __m512i, y: __m512i, scale: Constant, w: Constant) -> (__m512i, __m512i) {
        let (sum, difference) = (_mm512_add_epi64(x, y), self.difference(x, y));
        (self.below_q(self.mul(sum, scale)), self.below_q(self.mul(difference, w)))
    }

    /// From `0..4q` to `0..2q`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn below_2q(&self, x: __m512i) -> __m512i {
        _mm512_min_epu64(x, _mm512_sub_epi64(x, self.twice))
    }

    /// From `0..2q` to `0..q`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn below_q(&self, x: __m512i) -> __m512i {
        _mm512_min_epu64(x, _mm512_sub_epi64(x, self.q))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    fn difference(&self, x: __m512i, y: __m512i) -> __m512i {
        _mm512_sub_epi64(_mm512_add_epi64(x, self.twice), y)
    }
}

/// Multiplication of two variable residues (Barrett).
#[derive(Clone, Copy)]
pub(crate) struct Barrett {
    field: Field,
    /// floor(2^(n+51) / q), n the bit length of q: between 2^51 and 2^52.
    ratio: __m512i,
    /// 52 - n.
    shift: __m512i,
}

impl Barrett {
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn new(q: u64) -> Self {
        let bits = u64::BITS - q.leading_zeros();
        let ratio = (1u128 << (bits + 51)) / u128::from(q);
        let splat = |v: u64| _mm512_set1_epi64(v as i64);
        Self {
            field: Field::new(q),
            ratio: splat(ratio as u64),
            shift: splat(u64::from(52 - bits)),
        }
    }

    /// `x * y` in `0..q`, for residues.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn mul(&self, x: __m512i, y: __m512i) -> __m512i {
        let zero = _mm512_setzero_si512();
        // head = floor(xy / 2^n) is below 2^n; the estimate of the quotient, floor(2 * head * ratio / 2^52), is short by
        // less than 3.5 (2 for the head, 1/2 for the ratio, 1 for itself): the remainder is below 4q < 2^52.
        let head = _mm512_madd52hi_epu64(zero, _mm512_sllv_epi64(x, self.shift), y);
        let estimate = _mm512_madd52hi_epu64(zero, _mm512_add_epi64(head, head), self.ratio);
        let remainder = self.field.subtract_multiple(_mm512_madd52lo_epu64(zero, x, y), estimate);
        self.field.below_q(self.field.below_2q(self.field.low_bits(remainder)))
    }
}

/// What it takes to reduce a sum of products that is kept as sums of low and of high halves.
pub(crate) struct Reduction {
    field: Field,
    /// 1, 2^52 and 2^104 modulo q.
    radix: [Constant; 3],
    four_q: __m512i,
}

impl Reduction {
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn new(q: u64) -> Self {
        let power = |bits: u32| ((1u128 << bits) % u128::from(q)) as u64;
        let constant = |w| Constant::splat([w, shoup_quotient(w, q)]);
        Self {
            field: Field::new(q),
            radix: [constant(1), constant(power(52)), constant(power(104))],
            four_q: _mm512_set1_epi64(4 * q as i64),
        }
    }

    /// `low + 2^52 * high + former` in `0..q`, for `high < 2^60` and `former < q`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
    pub(crate) fn reduce(&self, low: __m512i, high: __m512i, former: __m512i) -> __m512i {
        // Digits to base 2^52; the multiplier reads the low 52 bits of a lane, so only the lowest is masked, and below.
        let high = _mm512_add_epi64(high, _mm512_srli_epi64::<52>(low));
        let top = _mm512_srli_epi64::<52>(high);
        let [one, middle, third] = self.radix;
        let zero = _mm512_setzero_si512();
        // 2^52 * middle digit + 2^104 * top digit: below 2q and below 1.01q (the top digit is below 2^9), less than 2^52.
        let estimate = _mm512_madd52hi_epu64(_mm512_madd52hi_epu64(zero, high, middle.quotient), top, third.quotient);
        let upper = _mm512_madd52lo_epu64(_mm512_madd52lo_epu64(zero, high, middle.w), top, third.w);
        let upper = self.field.low_bits(self.field.subtract_multiple(upper, estimate));
        // The lowest digit comes below 2q as well, and the sum with the former value below 6.01q.
        let lower = self.field.low_bits(low);
        let lower = self.field.low_bits(
            self.field
                .subtract_multiple(lower, _mm512_madd52hi_epu64(zero, lower, one.quotient)),
        );
        let sum = _mm512_add_epi64(_mm512_add_epi64(upper, lower), former);
        let sum = _mm512_min_epu64(sum, _mm512_sub_epi64(sum, self.four_q));
        self.field.below_q(self.field.below_2q(sum))
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
pub(crate) fn load(words: &[u64; 8]) -> __m512i {
    // SAFETY: the reference covers 64 readable bytes, and the load asks for no alignment.
    unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,avx512dq,avx512vl,avx512ifma")]
pub(crate) fn store(words: &mut [u64; 8], v: __m512i) {
    // SAFETY: the reference covers 64 writable bytes, and the store asks for no alignment.
    unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), v) }
}
