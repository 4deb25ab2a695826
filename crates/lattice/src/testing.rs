//! Numbers for the tests.

/// Integers below 2^bits in magnitude from a linear congruential sequence.
pub(crate) fn integers(count: usize, bits: u32, seed: u64) -> Vec<i64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state as i64) >> (63 - bits)
    };
    (0..count).map(|_| next()).collect()
}
