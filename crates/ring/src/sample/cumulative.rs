//! The table of the error distribution, and the reference sampler.

/// Parameter of the error distribution: the probability of x is proportional to exp(-x^2 / (2 SIGMA^2)).
pub const SIGMA: f64 = 3.19;

/// Largest magnitude of an error. What is cut off, 30 and beyond, has probability 2^-65.7; every probability of the table is
/// exact to 2^-64.
pub const TAIL: i64 = 29;

/// Entry k is 2^63 times the probability of a magnitude of at most k, rounded; entry 29 would be 2^63 itself.
pub(super) const TABLE: [u64; TAIL as usize] = [
    0x1001_f9a1_b2ca_9468,
    0x2e7c_f3ef_0783_6cb6,
    0x48ca_7e85_d834_a57a,
    0x5d5d_5177_8f76_0881,
    0x6bf3_5598_5504_21b0,
    0x7552_dc90_807b_bed6,
    0x7ac8_8205_61a4_c975,
    0x7daa_6596_524b_7ffd,
    0x7f0b_8114_bba4_ecb9,
    0x7fa4_a9fc_5ea5_74e9,
    0x7fe0_e107_7aef_391a,
    0x7ff6_563f_810f_15d0,
    0x7ffd_4490_999b_c595,
    0x7fff_4c08_04cd_386e,
    0x7fff_d5e1_8e7f_da18,
    0x7fff_f709_c679_c2ee,
    0x7fff_fe44_5c79_0f6c,
    0x7fff_ffb2_0f7a_a54a,
    0x7fff_fff3_903d_235d,
    0x7fff_fffe_32b0_6d1d,
    0x7fff_ffff_c351_25cc,
    0x7fff_ffff_f8c1_1765,
    0x7fff_ffff_ff36_fe33,
    0x7fff_ffff_ffec_3bf8,
    0x7fff_ffff_fffe_3c8b,
    0x7fff_ffff_ffff_db75,
    0x7fff_ffff_ffff_fd51,
    0x7fff_ffff_ffff_ffd2,
    0x7fff_ffff_ffff_fffd,
];

/// One coefficient from one random word: constant time, by comparison with the whole table.
pub(super) fn fill(words: &[u64], coefficients: &mut [i64]) {
    for (&word, c) in words.iter().zip(coefficients) {
        let uniform = word >> 1;
        // Both are below 2^63: the sign of the difference is the comparison.
        let magnitude: u64 = TABLE.iter().map(|&bound| (bound - 1).wrapping_sub(uniform) >> 63).sum();
        let minus = ((word & 1) as i64).wrapping_neg();
        *c = (magnitude as i64 ^ minus) - minus;
    }
}
