use super::*;
use crate::{Kind, float_products};
use proptest::prelude::*;
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn numbers(rows: usize, columns: usize, rng: &mut ChaCha20Rng) -> Matrices<f32> {
    let shape = Shape::matrix(rows, columns).unwrap();
    let values = (0..shape.elements()).map(|_| rng.next_u32() as i32 as f32 / 2f32.powi(31));
    Matrices::new(shape, values.collect()).unwrap()
}

/// Within 1e-4 of the largest element.
fn close(actual: &Matrices<f32>, expected: &Matrices<f32>) -> bool {
    let largest = expected.values().iter().fold(0f32, |largest, v| largest.max(v.abs()));
    let pairs = actual.values().iter().zip(expected.values());
    actual.shape() == expected.shape() && pairs.into_iter().all(|(a, e)| (a - e).abs() <= 1e-4 * largest)
}

proptest! {
    #[test]
    fn products_of_blinded_operands_are_blinded_products(m in 0usize..40, k in 0usize..60, n in 0usize..30, seed in any::<u64>()) {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let (x, w, g) = (numbers(m, k, rng), numbers(k, n, rng), numbers(m, n, rng));
        let mut keys = LayerKeys::new(k, n, rng).unwrap();
        let mut blinded_w = keys.blind_weights(&w).unwrap();
        for _ in 0..2 {
            let rows = LayerKeys::rows(m, rng).unwrap();
            let (bx, bg) = (keys.blind_input(&rows, &x).unwrap(), keys.blind_gradient(&rows, &g).unwrap());
            let y = float_products(Kind::Forward, &bx, &blinded_w).unwrap();
            prop_assert!(close(&keys.unblind_output(&rows, &y).unwrap(), &float_products(Kind::Forward, &x, &w).unwrap()));
            let dw = float_products(Kind::WeightGradient, &bx, &bg).unwrap();
            prop_assert!(close(&keys.unblind_weights(&dw).unwrap(), &float_products(Kind::WeightGradient, &x, &g).unwrap()));
            let dx = float_products(Kind::InputGradient, &bg, &blinded_w).unwrap();
            prop_assert!(close(&keys.unblind_input(&rows, &dx).unwrap(), &float_products(Kind::InputGradient, &g, &w).unwrap()));
            // A second round under other keys.
            blinded_w = keys.rekey(&blinded_w, rng).unwrap();
            prop_assert_eq!(&keys.unblind_weights(&blinded_w).unwrap(), &w);
        }
    }

    #[test]
    fn unblinding_gives_back_every_bit(batch in 0usize..3, m in 0usize..20, n in 0usize..20, seed in any::<u64>()) {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let (p, q) = (SignedPermutation::random(m, rng).unwrap(), SignedPermutation::random(n, rng).unwrap());
        let shape = Shape::new(batch, m, n).unwrap();
        let plain = Matrices::new(shape, numbers(1, shape.elements(), rng).into_values()).unwrap();
        prop_assert_eq!(unblind(&p, &q, &blind(&p, &q, &plain).unwrap()).unwrap(), plain);
    }
}

#[test]
fn a_worker_may_update_blinded_weights() {
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    let (w, dw) = (numbers(7, 5, rng), numbers(7, 5, rng));
    let keys = LayerKeys::new(7, 5, rng).unwrap();
    let step = |w: &Matrices<f32>, dw: &Matrices<f32>| {
        let values = w.values().iter().zip(dw.values()).map(|(w, dw)| w - 0.1 * dw).collect();
        Matrices::new(w.shape(), values).unwrap()
    };
    let there = step(&keys.blind_weights(&w).unwrap(), &keys.blind_weights(&dw).unwrap());
    assert_eq!(keys.unblind_weights(&there).unwrap(), step(&w, &dw));
}

#[test]
fn permutations_are_uniform_and_keys_change() {
    let rng = &mut ChaCha20Rng::seed_from_u64(2);
    // 6 orders times 8 signs of length 3: chi-square with 47 degrees of freedom, 6 deviations.
    let mut counts = std::collections::BTreeMap::new();
    const DRAWS: usize = 48_000;
    for _ in 0..DRAWS {
        let permutation = SignedPermutation::random(3, rng).unwrap();
        *counts
            .entry((permutation.order.clone(), permutation.signs.clone()))
            .or_insert(0f64) += 1.0;
    }
    let expected = DRAWS as f64 / 48.0;
    let chi: f64 = counts.values().map(|count| (count - expected).powi(2) / expected).sum();
    assert!(counts.len() == 48 && (chi - 47.0).abs() < 6.0 * 94f64.sqrt(), "{chi}");
    let w = numbers(30, 30, rng);
    let mut keys = LayerKeys::new(30, 30, rng).unwrap();
    let before = keys.blind_weights(&w).unwrap();
    assert_ne!(before, keys.rekey(&before, rng).unwrap());
}

#[test]
fn keys_of_another_size_are_refused() {
    let rng = &mut ChaCha20Rng::seed_from_u64(3);
    let keys = LayerKeys::new(3, 4, rng).unwrap();
    let error = keys.blind_weights(&numbers(4, 3, rng)).unwrap_err();
    assert_eq!(
        error,
        AccelError::Size {
            what: "rows of the matrix",
            expected: 3,
            actual: 4
        }
    );
    let rows = LayerKeys::rows(5, rng).unwrap();
    assert!(keys.blind_input(&rows, &numbers(5, 4, rng)).is_err());
}

/// What the module says of its security: zeros and magnitudes are there to be seen.
#[test]
fn magnitudes_survive() {
    let rng = &mut ChaCha20Rng::seed_from_u64(4);
    let w = numbers(6, 6, rng);
    let sorted = |w: &Matrices<f32>| {
        let mut sizes: Vec<f32> = w.values().iter().map(|v| v.abs()).collect();
        sizes.sort_by(f32::total_cmp);
        sizes
    };
    assert_eq!(
        sorted(&LayerKeys::new(6, 6, rng).unwrap().blind_weights(&w).unwrap()),
        sorted(&w)
    );
}

#[test]
fn patches_are_blinded_as_rows_and_folded_in_their_order() {
    let rng = &mut ChaCha20Rng::seed_from_u64(9);
    let window = Window {
        channels: 3,
        image: [5, 6],
        kernel: [3, 2],
        stride: [2, 1],
        padding: [1, 1],
    };
    let shape = window.images(4).unwrap();
    let images = Matrices::new(shape, numbers(1, shape.elements(), rng).into_values()).unwrap();
    let patches = window.unfold(&images).unwrap();
    let keys = LayerKeys::new(patches.shape().columns, 5, rng).unwrap();
    let rows = LayerKeys::rows(patches.shape().rows, rng).unwrap();
    let blinded = keys.blind_patches(&rows, &window, &images).unwrap();
    assert!(blinded == keys.blind_input(&rows, &patches).unwrap());
    // Bit for bit, as sums of f32 depend on their order.
    assert!(keys.unblind_patches(&rows, &window, &blinded).unwrap() == window.fold(&patches).unwrap());
    let fewer = LayerKeys::rows(patches.shape().rows - 1, rng).unwrap();
    assert!(keys.blind_patches(&fewer, &window, &images).is_err());
    assert!(keys.unblind_patches(&fewer, &window, &blinded).is_err());
}
