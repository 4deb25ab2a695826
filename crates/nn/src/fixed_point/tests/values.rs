//! Values: the evaluation is the slow one's, wrapping or not; products are right on shares; ranges are those of the values.

use proptest::prelude::*;

use super::*;

#[test]
fn the_evaluation_is_that_of_definitions_in_wide_integers() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for (name, model) in models() {
        for ring_bits in [24, 32, 41, 48] {
            for ending in [Ending::Scores, Ending::ArgMax] {
                let fixed = converted(&model, ring_bits, 8).with_ending(ending).unwrap();
                let values: usize = model.input.iter().product();
                // Inputs of ordinary size, and of all sizes: the latter wrap around everywhere.
                for above in [54, 0] {
                    let sample: Vec<i64> = (0..values).map(|_| (rng.next_u64() as i64) >> above).collect();
                    let expected = oracle::evaluate(&fixed, &sample);
                    assert_eq!(fixed.evaluate(&sample).unwrap(), expected, "{name} {ring_bits}");
                }
            }
        }
    }
}

#[test]
fn many_samples_are_evaluated_as_each() {
    let fixed = converted(&models()[1].1, 32, 10);
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let samples: Vec<Vec<i64>> = (0..9)
        .map(|_| (0..2 * 9 * 11).map(|_| i64::from(rng.next_u32() as i32 >> 20)).collect())
        .collect();
    let all = fixed.evaluate_many(&samples).unwrap();
    for (sample, output) in samples.iter().zip(&all) {
        assert_eq!(&fixed.evaluate(sample).unwrap(), output);
    }
    assert!(all[0] != all[1]);
}

#[test]
fn sizes_are_those_of_the_values() {
    for (name, model) in models() {
        let fixed = converted(&model, 32, 8);
        let values: usize = model.input.iter().product();
        let mut seen = Vec::new();
        evaluate::run(&fixed.structure, &fixed.weights, Ring::WIDE, vec![0; values], |_, values| {
            seen.push(values.len())
        });
        assert_eq!(fixed.structure().sizes().unwrap(), seen, "{name}");
    }
}

#[test]
fn floors_and_halves() {
    // One weight of 1, no bias: the product is x 2^f, and the truncation gives x back; with half a unit it rounds to nearest.
    let model = spec(&[1], vec![LayerSpec::Dense { outputs: 1, bias: false }, RELU]);
    let weight = |value: f32| vec![("0.weight".to_owned(), ArrayD::from_elem(vec![1, 1], value))];
    let at = |weight: f32, x: i64| {
        let arrays = vec![("0.weight".to_owned(), ArrayD::from_elem(vec![1, 1], weight))];
        let fixed = FixedModel::convert(&model, &arrays, 32, 4, Ending::Scores).unwrap();
        fixed.evaluate(&[x]).unwrap()[0]
    };
    assert_eq!([at(1.0, 5), at(1.0, -5), at(-1.0, -5)], [5, 0, 5]);
    // 3 * 0.5 = 1.5 and 5 * 0.5 = 2.5 in units: halves go up.
    assert_eq!([at(0.5, 3), at(0.5, 5), at(0.25, 5), at(0.25, 7)], [2, 3, 1, 2]);
    let truncate = spec(&[1], vec![LayerSpec::Dense { outputs: 1, bias: false }; 2]);
    let mut arrays = weight(0.5);
    arrays.push(("1.weight".to_owned(), ArrayD::from_elem(vec![1, 1], 1.0)));
    let fixed = FixedModel::convert(&truncate, &arrays, 32, 4, Ending::Scores).unwrap();
    // -1.5 units become -1 (the nearest, halves up), -1.0 units stay, at scale 8.
    for (x, y) in [(-3, -1), (-2, -1), (-5, -2), (3, 2)] {
        assert_eq!(fixed.evaluate(&[x]).unwrap(), [16 * y]);
    }
}

proptest! {
    #[test]
    fn words_and_signed_values_are_of_one_class(value: i64, bits in Ring::MIN_BITS..=Ring::MAX_BITS) {
        let ring = Ring::new(bits).unwrap();
        let (word, half) = (ring.word(value), 1i128 << (bits - 1));
        prop_assert_eq!((i128::from(value) - i128::from(word)).rem_euclid(2 * half), 0);
        prop_assert!(i128::from(word) < 2 * half);
        prop_assert_eq!((i128::from(ring.signed(word)) + half).rem_euclid(2 * half), (i128::from(value) + half).rem_euclid(2 * half));
        prop_assert!((-half..half).contains(&i128::from(ring.signed(word))));
    }

    #[test]
    fn products_and_sums_of_shares_are_shares(seed: u64, kernel in 1usize..4, stride in 1usize..4, padding in 0usize..3) {
        let shape = LinearShape::Convolution { channels: [2, 3], image: [5, 4], kernel, stride, padding: padding.min(kernel - 1) };
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut words = |count: usize| (0..count).map(|_| rng.next_u64()).collect::<Vec<u64>>();
        let (w, w1, x, x1) = (words(6 * kernel * kernel), words(6 * kernel * kernel), words(40), words(40));
        let rest = |all: &[u64], share: &[u64]| all.iter().zip(share).map(|(a, s)| a.wrapping_sub(*s)).collect::<Vec<u64>>();
        let sum = |parts: &[Vec<u64>]| (0..parts[0].len()).map(|at| parts.iter().fold(0u64, |s, part| s.wrapping_add(part[at]))).collect::<Vec<u64>>();
        let (w2, x2) = (rest(&w, &w1), rest(&x, &x1));
        let parts: Vec<Vec<u64>> = [(&w1, &x1), (&w1, &x2), (&w2, &x1), (&w2, &x2)].iter().map(|(w, x)| shape.wrapping_product(w, x)).collect();
        prop_assert_eq!(sum(&parts), shape.wrapping_product(&w, &x));
        let window = Window { image: [2, 5, 4], size: [2, 3], stride: 1, padding: 0 };
        prop_assert_eq!(sum(&[window.sums(&x1), window.sums(&x2)]), window.sums(&x));
    }
}

#[test]
fn ranges_are_the_largest_values_before_each_truncation() {
    let model = spec(&[2], vec![dense(1), RELU, dense(2)]);
    let array =
        |name: &str, shape: &[usize], values: &[f32]| (name.to_owned(), ArrayD::from_shape_vec(shape, values.to_vec()).unwrap());
    let arrays = [
        array("0.weight", &[1, 2], &[2.0, -1.0]),
        array("0.bias", &[1], &[0.5]),
        array("2.weight", &[2, 1], &[1.0, -3.0]),
        array("2.bias", &[2], &[0.0, 0.0]),
    ];
    let fixed = FixedModel::convert(&model, &arrays, 24, 4, Ending::Scores).unwrap();
    // In units of 2^-8: 2 * 3 - 1 * 1 + 0.5 = 5.5 and 2 * -4 + 0.5 = -7.5, each plus half a unit of 2^-4.
    let samples = fixed
        .quantise(&ArrayD::from_shape_vec(vec![2, 2], vec![3.0, 1.0, -4.0, 0.0]).unwrap())
        .unwrap();
    let ranges = fixed.ranges(&samples).unwrap();
    let seen: Vec<(usize, &str, i64)> = ranges.iter().map(|r| (r.step, r.what.as_str(), r.largest)).collect();
    assert_eq!(seen, [(1, "1 relu", 1920 - 8), (3, "scores", 5 * 768 + 384)]);
    assert!((ranges[0].room - (23.0 - 1912f64.log2())).abs() < 1e-9);
    assert!(!ranges[0].is_tight());
    assert_eq!(fixed.require_room(&samples, 5.0).unwrap(), ranges);
    let error = refused(fixed.require_room(&samples, 12.0));
    assert!(error.starts_with("fixed point: scores: expected 12 bits of room"), "{error}");
    // What wraps around in the ring is still measured as it is.
    let large = vec![vec![1 << 22, 0]];
    let error = refused(fixed.require_room(&large, 1.0));
    assert!(error.contains("got -4.0"), "{error}");
    let error = refused(fixed.ranges(&[vec![1 << 60, 0]]));
    assert!(error.contains("before step 0"), "{error}");
}

#[test]
fn calibration_finds_the_most_fraction_bits_that_leave_room() {
    for (name, model) in models() {
        let (_, arrays, x) = network(&model, 4);
        let of = |ring_bits, room| FixedModel::convert_calibrated(&model, &arrays, ring_bits, Ending::Scores, &x, room);
        let (fixed, ranges) = of(32, 2.0).unwrap();
        let worst = ranges.iter().map(|range| range.room).fold(f64::INFINITY, f64::min);
        let bits = fixed.structure().fraction_bits;
        assert!(worst >= 2.0, "{name} {worst}");
        if bits < 16 {
            let more = FixedModel::convert(&model, &arrays, 32, bits + 1, Ending::Scores).unwrap();
            assert!(more.require_room(&more.quantise(&x).unwrap(), 2.0).is_err(), "{name} {bits}");
        }
        let error = refused(of(24, 20.0));
        assert!(error.contains("20 bits of room"), "{error}");
    }
}

#[test]
fn two_parts_compute_what_the_whole_does() {
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    for (name, model) in models() {
        let whole = || converted(&model, 32, 8);
        let values: usize = model.input.iter().product();
        let sample: Vec<i64> = (0..values).map(|_| i64::from(rng.next_u32() as i32 >> 22)).collect();
        let (expected, mut parts) = (whole().evaluate(&sample).unwrap(), 0);
        let steps = whole().structure().steps.len();
        for layers in 0..=model.layers.len() + 1 {
            let Ok((first, rest)) = whole().split(layers) else { continue };
            parts += 1;
            let between = first.evaluate(&sample).unwrap();
            assert_eq!(rest.evaluate(&between).unwrap(), expected, "{name}, {layers}");
            assert_eq!(
                rest.structure().input_scale,
                first.structure().output_scale().ok(),
                "{name}, {layers}"
            );
            assert_eq!(first.structure().steps.len() + rest.structure().steps.len(), steps);
            assert_eq!(first.structure().layer_ends.len(), layers);
            // What a file keeps of it is the same.
            let read = FixedModel::from_bytes(&rest.to_bytes().unwrap()).unwrap();
            assert_eq!(read.structure(), rest.structure());
            assert_eq!(read.evaluate(&between).unwrap(), expected);
        }
        assert!(parts > 0 || model.layers.len() < 2, "{name}");
        assert!(
            whole().split(0).is_err() && whole().split(model.layers.len()).is_err(),
            "{name}"
        );
    }
}

#[test]
fn a_pooling_that_is_computed_with_a_relu_goes_with_it() {
    let model = spec(&[1, 4, 4], vec![conv(1, 3, 1, 1), RELU, max_pool(2, 2, 0), FLATTEN, dense(2)]);
    let split = |layers| converted(&model, 32, 8).split(layers).unwrap().0;
    assert_eq!(split(1).structure().outputs().unwrap(), 16);
    for layers in 2..=4 {
        assert_eq!(split(layers).structure().outputs().unwrap(), 4, "{layers}");
    }
}
