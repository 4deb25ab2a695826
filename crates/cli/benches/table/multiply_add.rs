//! How many 52-bit multiply-adds of eight lanes this machine does in a second: the rate that products are measured by.

/// Instructions of one call of the work that [`work`] returns.
pub const INSTRUCTIONS: f64 = (ROUNDS * CHAINS) as f64;

const ROUNDS: usize = 4096;
/// Independent sums: enough to hide the latency of the instruction on two ports.
const CHAINS: usize = 16;

/// Does [`INSTRUCTIONS`] multiply-adds a call; none on a machine without them.
#[cfg(target_arch = "x86_64")]
pub fn work() -> Option<fn()> {
    let there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
    there.then_some(run as fn())
}

/// None: the instruction is one of x86-64.
#[cfg(not(target_arch = "x86_64"))]
pub fn work() -> Option<fn()> {
    None
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn run() {
    // SAFETY: `work`, which alone hands this function out, has seen both features.
    std::hint::black_box(unsafe { chains(std::hint::black_box(0x000f_1234_5678_9abc)) });
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512ifma")]
fn chains(factor: i64) -> i64 {
    use std::arch::x86_64::*;
    let factors = _mm512_set1_epi64(factor);
    // No two alike, or the compiler would compute them once.
    let mut sums = [_mm512_setzero_si512(); CHAINS];
    for (i, sum) in sums.iter_mut().enumerate() {
        *sum = _mm512_set1_epi64(i as i64);
    }
    for _ in 0..ROUNDS {
        for pair in sums.as_chunks_mut::<2>().0 {
            pair[0] = _mm512_madd52lo_epu64(pair[0], factors, factors);
            pair[1] = _mm512_madd52hi_epu64(pair[1], factors, factors);
        }
    }
    let mut total = 0i64;
    for sum in sums {
        total = total.wrapping_add(_mm512_reduce_add_epi64(sum));
    }
    total
}
