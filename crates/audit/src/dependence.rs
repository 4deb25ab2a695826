//! How much two things have to do with each other: distance correlation and dynamic time warping.

use ndarray::{Array2, ArrayView1};

/// The distance correlation of rows of `a` with rows of `b` (Székely, Rizzo, Bakirov 2007): 0 for independent ones in the limit, 1 for
/// similar ones. A finite number of rows gives independent ones more than 0: compare with [`rotated`] rows.
pub fn distance_correlation(a: &Array2<f32>, b: &Array2<f32>) -> f64 {
    let (a, b) = (centred_distances(a), centred_distances(b));
    let mean = |x: &Array2<f64>, y: &Array2<f64>| (x * y).mean().unwrap_or(0.0);
    let scale = (mean(&a, &a) * mean(&b, &b)).sqrt();
    if scale > 0.0 {
        (mean(&a, &b).max(0.0) / scale).sqrt()
    } else {
        0.0
    }
}

/// The rows, each in another's place: what belongs together no longer does.
pub fn rotated(rows: &Array2<f32>, by: usize) -> Array2<f32> {
    let n = rows.nrows();
    let order: Vec<usize> = (0..n).map(|i| (i + by) % n.max(1)).collect();
    rows.select(ndarray::Axis(0), &order)
}

fn centred_distances(rows: &Array2<f32>) -> Array2<f64> {
    let n = rows.nrows();
    // |x - y|^2 = x.x + y.y - 2 x.y: one matrix product.
    let products = rows.dot(&rows.t());
    let mut d = Array2::from_shape_fn((n, n), |(i, j)| {
        f64::from(products[[i, i]] + products[[j, j]] - 2.0 * products[[i, j]])
            .max(0.0)
            .sqrt()
    });
    let means: Vec<f64> = d.rows().into_iter().map(|row| row.mean().unwrap_or(0.0)).collect();
    let all = means.iter().sum::<f64>() / n.max(1) as f64;
    d.indexed_iter_mut().for_each(|((i, j), v)| *v += all - means[i] - means[j]);
    d
}

/// The dynamic-time-warping distance of two series, each brought to mean 0 and deviation 1, with steps of at most `band` apart after both
/// are brought to the shorter's length.
pub fn time_warping(a: ArrayView1<f32>, b: ArrayView1<f32>, band: usize) -> f64 {
    let length = a.len().min(b.len());
    let (a, b) = (standard(&resampled(a, length)), standard(&resampled(b, length)));
    let mut before = vec![f64::INFINITY; length + 1];
    before[0] = 0.0;
    for i in 1..=length {
        let mut now = vec![f64::INFINITY; length + 1];
        for j in i.saturating_sub(band).max(1)..=(i + band).min(length) {
            let step = (a[i - 1] - b[j - 1]).abs();
            now[j] = step + before[j].min(before[j - 1]).min(now[j - 1]);
        }
        before = now;
    }
    before[length]
}

fn resampled(series: ArrayView1<f32>, length: usize) -> Vec<f64> {
    let n = series.len();
    let part = |k: usize| {
        let (from, to) = (k * n / length, ((k + 1) * n / length).max(k * n / length + 1));
        (from..to).map(|i| f64::from(series[i])).sum::<f64>() / (to - from) as f64
    };
    (0..length).map(part).collect()
}

fn standard(series: &[f64]) -> Vec<f64> {
    let n = series.len().max(1) as f64;
    let mean = series.iter().sum::<f64>() / n;
    let deviation = (series.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n).sqrt();
    let scale = if deviation > 0.0 { 1.0 / deviation } else { 0.0 };
    series.iter().map(|v| (v - mean) * scale).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::Array1;

    use super::*;

    /// A fixed linear congruential sequence.
    fn noise(rows: usize, columns: usize, mut state: u32) -> Array2<f32> {
        Array2::from_shape_simple_fn((rows, columns), || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 24) as f32 - 0.5
        })
    }

    #[test]
    fn similar_rows_have_distance_correlation_one_and_independent_ones_that_of_rotated_ones() {
        let a = noise(120, 4, 1);
        assert!((distance_correlation(&a, &(&a * -3.0 + 1.0)) - 1.0).abs() < 1e-4);
        // A dependence that has no linear correlation.
        let square = a.mapv(|v| v * v);
        let independent = noise(120, 4, 77);
        let chance = distance_correlation(&a, &rotated(&independent, 31));
        assert!((distance_correlation(&a, &independent) - chance).abs() < 0.1);
        assert!(distance_correlation(&a, &square) > chance + 0.1);
    }

    #[test]
    fn warping_forgives_shifts_and_nothing_else() {
        let wave = |shift: f32| Array1::from_iter((0..128).map(|i| ((i as f32 + shift) * 0.2).sin()));
        let (same, shifted) = (wave(0.0), wave(3.0));
        assert!(time_warping(same.view(), same.view(), 8) < 1e-9);
        let near = time_warping(same.view(), shifted.view(), 8);
        let other = Array1::from_iter((0..128).map(|i| (i as f32 * 0.9).sin()));
        assert!(near * 5.0 < time_warping(same.view(), other.view(), 8));
        // Another length and scale make no difference.
        let coarse = Array1::from_iter((0..32).map(|i| 5.0 * ((i as f32 * 4.0 + 1.5) * 0.2).sin()));
        assert!(time_warping(same.view(), coarse.view(), 4) < 3.0);
    }
}
