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
            let rows = keys.batch(m, rng).unwrap();
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
    let rows = keys.batch(5, rng).unwrap();
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

fn images(window: &Window, count: usize, rng: &mut ChaCha20Rng) -> Matrices<f32> {
    let shape = window.images(count).unwrap();
    Matrices::new(shape, numbers(1, shape.elements(), rng).into_values()).unwrap()
}

proptest! {
    #[test]
    fn products_of_blinded_images_are_blinded_products(
        channels in 1usize..5, image in [3usize..8, 3usize..8], kernel in [1usize..4, 1usize..4], stride in 1usize..3, count in 0usize..4, outputs in 1usize..9, seed in any::<u64>(),
    ) {
        let rng = &mut ChaCha20Rng::seed_from_u64(seed);
        let window = Window { channels, image, kernel, stride: [stride; 2], padding: kernel.map(|size| size / 2) };
        let patches = window.patches(count).unwrap();
        let (x, w, g) = (images(&window, count, rng), numbers(patches.columns, outputs, rng), numbers(patches.rows, outputs, rng));
        let mut keys = LayerKeys::of_images(window, outputs, rng).unwrap();
        let mut blinded_w = keys.blind_weights(&w).unwrap();
        for _ in 0..2 {
            let batch = keys.batch(count, rng).unwrap();
            let (bx, bg) = (keys.blind_input(&batch, &x).unwrap(), keys.blind_gradient(&batch, &g).unwrap());
            prop_assert_eq!(&keys.unblind_input(&batch, &bx).unwrap(), &x);
            let y = window.unfolded_floats(Kind::Forward, &bx, &blinded_w).unwrap();
            prop_assert!(close(&keys.unblind_output(&batch, &y).unwrap(), &window.unfolded_floats(Kind::Forward, &x, &w).unwrap()));
            let dw = window.unfolded_floats(Kind::WeightGradient, &bx, &bg).unwrap();
            prop_assert!(close(&keys.unblind_weights(&dw).unwrap(), &window.unfolded_floats(Kind::WeightGradient, &x, &g).unwrap()));
            let dx = window.folded_floats(Kind::InputGradient, &bg, &blinded_w).unwrap();
            prop_assert!(close(&keys.unblind_input(&batch, &dx).unwrap(), &window.folded_floats(Kind::InputGradient, &g, &w).unwrap()));
            blinded_w = keys.rekey(&blinded_w, rng).unwrap();
            prop_assert_eq!(&keys.unblind_weights(&blinded_w).unwrap(), &w);
        }
    }
}

#[test]
fn images_of_another_geometry_are_refused() {
    let rng = &mut ChaCha20Rng::seed_from_u64(9);
    let window = Window {
        channels: 3,
        image: [5, 6],
        kernel: [3, 2],
        stride: [2, 1],
        padding: [1, 1],
    };
    let keys = LayerKeys::of_images(window, 5, rng).unwrap();
    let batch = keys.batch(4, rng).unwrap();
    assert!(keys.blind_input(&batch, &images(&window, 3, rng)).is_err());
    let other = Window { image: [6, 5], ..window };
    assert!(keys.blind_input(&batch, &images(&other, 4, rng)).is_ok(), "as many pixels");
    let other = Window { channels: 2, ..window };
    assert!(keys.blind_input(&batch, &images(&other, 4, rng)).is_err());
    assert!(
        LayerKeys::of_images(
            Window {
                kernel: [9, 9],
                ..window
            },
            5,
            rng
        )
        .is_err()
    );
}

/// What the module says of windows: permuted one by one, they show which columns are one channel, and which of them is which element of the kernel.
#[test]
fn magnitudes_in_permuted_windows_give_channels_and_neighbours_away() {
    let rng = &mut ChaCha20Rng::seed_from_u64(10);
    let window = Window {
        channels: 4,
        image: [12, 12],
        kernel: [3, 3],
        stride: [1, 1],
        padding: [1, 1],
    };
    let patches = window.unfold(&images(&window, 2, rng)).unwrap();
    let [rows, columns] = [patches.shape().rows, patches.shape().columns];
    let keys = LayerKeys::new(columns, 5, rng).unwrap();
    let batch = keys.batch(rows, rng).unwrap();
    let seen = keys.blind_input(&batch, &patches).unwrap();

    // Where each magnitude is: rows and columns of the pixel's windows.
    let mut places = std::collections::BTreeMap::<u32, Vec<[usize; 2]>>::new();
    for (at, value) in seen.values().iter().enumerate().filter(|(_, value)| **value != 0.0) {
        places
            .entry(value.abs().to_bits())
            .or_default()
            .push([at / columns, at % columns]);
    }
    let channel = |column: usize| keys.inner.order[column] as usize % window.channels;
    let element = |column: usize| keys.inner.order[column] as usize / window.channels;
    let pixel = |row: usize| batch.rows.order[row] as usize;
    let mut neighbours = 0;
    for places in places.values() {
        for [[row, column], [other_row, other_column]] in places.windows(2).map(|pair| [pair[0], pair[1]]) {
            assert_eq!(channel(column), channel(other_column));
            // So many pixels apart as the elements of the kernel, in the other direction.
            let apart = |e: usize, f: usize| {
                [e / 3, e % 3]
                    .map(|x| x as i64)
                    .iter()
                    .zip([f / 3, f % 3])
                    .map(|(e, f)| f as i64 - e)
                    .collect::<Vec<_>>()
            };
            let place = |row: usize| [pixel(row) % 144 / 12, pixel(row) % 12].map(|x| x as i64);
            let moved: Vec<i64> = place(row).iter().zip(place(other_row)).map(|(from, to)| from - to).collect();
            assert_eq!(moved, apart(element(column), element(other_column)));
            neighbours += 1;
        }
    }
    // Of every pixel with all its nine windows, in each channel.
    assert!(neighbours >= 2 * 100 * 8 * window.channels);
}
