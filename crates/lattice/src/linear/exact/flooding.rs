//! What hides a response's noise: a spline of [`crate::spline`] of t = [`BITS`].

use rand::Rng;
use zeroize::Zeroize;

use crate::{spline, stream::Stream};

/// t.
pub(super) const BITS: u32 = 62;

/// Largest magnitude, in units.
#[cfg(test)]
pub(super) fn bound() -> f64 {
    1.5 * 2f64.powi(BITS as i32)
}

/// A result's mask, and what is added to its coefficient of c0: mask 2^64 and the flooding, in units of 2^-128.
pub(super) struct Cover {
    pub(super) mask: u64,
    pub(super) added: u128,
}

/// Reads `count` covers from a stream: four words each.
pub(super) fn draw(randomness: &mut Stream, count: usize) -> Vec<Cover> {
    let mut bytes = vec![0; count * 32];
    randomness.fill_bytes(&mut bytes);
    let covers = bytes.as_chunks::<32>().0.iter().map(cover).collect();
    bytes.zeroize();
    covers
}

fn cover(bytes: &[u8; 32]) -> Cover {
    let word = |index: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[8 * index + i]));
    let flood = spline::sum(std::array::from_fn(|index| u128::from(word(index + 1) >> (64 - BITS))), BITS);
    let mask = word(0);
    Cover {
        mask,
        added: (u128::from(mask) << 64).wrapping_add(flood),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Domain;

    #[test]
    fn covers_are_centred_and_of_the_stated_width() {
        let covers = draw(&mut Stream::new(Domain::Hiding, &[3; 32]), 4096);
        let floods: Vec<f64> = covers
            .iter()
            .map(|c| c.added.wrapping_sub(u128::from(c.mask) << 64) as i128 as f64)
            .collect();
        assert!(floods.iter().all(|f| f.abs() <= bound()));
        let unit = 2f64.powi(BITS as i32);
        let mean = floods.iter().sum::<f64>() / 4096.0 / unit;
        // Three uniforms of variance 1/12.
        let variance = floods.iter().map(|f| (f / unit).powi(2)).sum::<f64>() / 4096.0;
        assert!(mean.abs() < 0.04, "{mean}");
        assert!((0.23..0.27).contains(&variance), "{variance}");
        let ones: u32 = covers.iter().map(|c| c.mask.count_ones()).sum();
        assert!((ones as i32 - 32 * 4096).abs() < 5 * 256, "{ones}");
    }
}
