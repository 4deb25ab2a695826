use super::*;
use crate::{
    AccelError, Backend, Kind, MODULUS, Matrices, PRIMES, Shape, Words, float_products,
    shape::Lines,
    words::{M, subtract, word_products},
};
use proptest::prelude::*;
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// Numbers in -1..1 times a factor.
fn numbers(shape: Shape, factor: f32, rng: &mut ChaCha20Rng) -> Matrices<f32> {
    let values = (0..shape.elements()).map(|_| (rng.next_u32() as f32 / 2f32.powi(31) - 1.0) * factor);
    Matrices::new(shape, values.collect()).unwrap()
}

fn shapes(kind: Kind, batch: usize, [m, k, n]: [usize; 3]) -> [Shape; 2] {
    let (left, right) = match kind {
        Kind::Forward => ([m, k], [k, n]),
        Kind::WeightGradient => ([k, m], [k, n]),
        Kind::InputGradient => ([m, k], [n, k]),
    };
    [left, right].map(|[rows, columns]| Shape::new(batch, rows, columns).unwrap())
}

fn quantised(kind: Kind, left: &Matrices<f32>, right: &Matrices<f32>) -> [Quantised; 2] {
    let depth = kind.dimensions(left.shape(), right.shape()).unwrap().depth;
    let norms = [left, right].map(|operand| Norms::of(operand).unwrap());
    let (f, g) = balanced_scales(kind, depth, &norms[0], &norms[1]).unwrap();
    [(left, norms[0], f), (right, norms[1], g)].map(|(operand, norms, scale)| Quantised::new(operand, norms, scale).unwrap())
}

fn exact(kind: Kind, left: &Matrices<i32>, right: &Matrices<i32>) -> Vec<i64> {
    let d = kind.dimensions(left.shape(), right.shape()).unwrap();
    let mut out = Vec::new();
    for b in 0..d.batch {
        let (x, y) = (
            Lines::left(kind, left.shape(), left.values(), b),
            Lines::right(kind, right.shape(), right.values(), b),
        );
        for i in 0..d.rows {
            out.extend((0..d.columns).map(|j| {
                (0..d.depth)
                    .map(|p| i64::from(x.get(i, p)) * i64::from(y.get(j, p)))
                    .sum::<i64>()
            }));
        }
    }
    out
}

/// What three workers and the enclave do.
fn masked_product(blinder: &mut Blinder, kind: Kind, left: &Quantised, right: &Quantised) -> Decoded {
    let exponent = product_exponent(kind, left, right).unwrap();
    let (left, right) = (blinder.share(left).unwrap(), blinder.share(right).unwrap());
    let answers: [Words; 3] = std::array::from_fn(|z| word_products(kind, &left[z], &right[z]));
    decode(answers.each_ref(), exponent).unwrap()
}

proptest! {
    #[test]
    fn a_masked_product_is_the_exact_integer_product(
        kind in 0usize..3, batch in 0usize..3, sizes in [0usize..20, 0usize..30, 0usize..40], seed in any::<u64>(), size in -20i32..20,
    ) {
        let (kind, rng) = (Kind::ALL[kind], &mut rng(seed));
        let [left, right] = shapes(kind, batch, sizes);
        let (left, right) = (numbers(left, 2f32.powi(size), rng), numbers(right, 3.0, rng));
        let [x, y] = quantised(kind, &left, &right);
        let product = masked_product(&mut Blinder::new(rng), kind, &x, &y);
        let expected = exact(kind, x.integers(), y.integers());
        prop_assert!(product.integers().values().iter().map(|v| i64::from(*v)).eq(expected.iter().copied()));
        prop_assert!(expected.iter().all(|v| v.abs() <= 1 << PRODUCT_BITS));
        // The scales leave no more than a bit or two of the room unused, so that numbers are close.
        let plain = float_products(kind, &left, &right).unwrap();
        let scale = 2f32.powi(size) * 3.0 * (sizes[1] as f32).sqrt();
        for (masked, plain) in product.numbers().unwrap().values().iter().zip(plain.values()) {
            prop_assert!((masked - plain).abs() <= 2e-3 * scale, "{masked} {plain}");
        }
    }
}

#[test]
fn products_at_the_edge_of_the_range_are_exact() {
    // 2^30 and its neighbours as products of two integers, at a depth of one, and sums that cancel.
    let one = |x: f32| Matrices::new(Shape::matrix(1, 1).unwrap(), vec![x]).unwrap();
    let norms = |x: f32| Norms {
        largest: x.abs(),
        row: f64::from(x.abs()),
        column: f64::from(x.abs()),
    };
    let scale = Scale::new(0).unwrap();
    for (x, y) in [
        (32767.0, 32766.0),
        (-32767.0, 32766.0),
        (1_048_576.0, 1023.0),
        (-1_048_576.0, 1023.0),
        (0.0, 5.0),
    ] {
        let [left, right] = [x, y].map(|x| Quantised::new(&one(x), norms(x), scale).unwrap());
        let product = masked_product(&mut Blinder::new(&mut rng(1)), Kind::Forward, &left, &right);
        assert_eq!(i64::from(product.integers().values()[0]), x as i64 * y as i64);
    }
}

#[test]
fn shares_and_decoding_are_the_same_on_every_backend_and_number_of_threads() {
    let rng = &mut rng(3);
    let operand = numbers(Shape::new(2, 150, 211).unwrap(), 1.0, rng);
    let operand = Quantised::new(&operand, Norms::of(&operand).unwrap(), Scale::new(14).unwrap()).unwrap();
    let shares = |backend, threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut blinder = Blinder::new(&mut self::rng(9));
        pool.install(|| blinder.share_on(backend, &operand).unwrap())
    };
    let expected = shares(Backend::SCALAR, 1);
    for backend in Backend::available() {
        let shares = shares(backend, 3);
        assert_eq!(shares, expected, "{}", backend.name());
        let decoded = decode_on(backend, shares.each_ref(), 14).unwrap();
        // Shares of degree one are of degree two as well.
        assert_eq!(decoded.integers(), operand.integers(), "{}", backend.name());
    }
}

#[test]
fn a_share_is_uniform_whatever_the_operand() {
    // Chi-square of the words of one worker, by their remainders and by their size: the mean is one less than the classes, and the deviation the root of twice that;
    // 6 deviations are passed once in 10^8.
    const SIDE: usize = 300;
    let shape = Shape::matrix(SIDE, SIDE).unwrap();
    let zeros = Matrices::new(shape, vec![0.0; SIDE * SIDE]).unwrap();
    let ones = Matrices::new(shape, vec![1.0; SIDE * SIDE]).unwrap();
    let blinder = &mut Blinder::new(&mut rng(5));
    for operand in [zeros, ones, numbers(shape, 100.0, &mut rng(6))] {
        let operand = Quantised::new(&operand, Norms::of(&operand).unwrap(), Scale::new(7).unwrap()).unwrap();
        for (z, share) in blinder.share(&operand).unwrap().iter().enumerate() {
            let classes = PRIMES.map(|p| p as u32).map(|p| (p, 1)).into_iter().chain([(M, M / 256 + 1)]);
            for (p, size) in classes {
                // Remainders modulo p in classes of one size, of which the last may be smaller.
                let mut counts = vec![0f64; p.div_ceil(size) as usize];
                share
                    .values()
                    .iter()
                    .for_each(|word| counts[(word % p / size) as usize] += 1.0);
                let expected = |class: usize| (SIDE * SIDE) as f64 * f64::from(size.min(p - class as u32 * size)) / f64::from(p);
                let terms = counts
                    .iter()
                    .enumerate()
                    .map(|(class, count)| (count - expected(class)).powi(2) / expected(class));
                let (chi, free) = (terms.sum::<f64>(), (counts.len() - 1) as f64);
                assert!(
                    (chi - free).abs() < 6.0 * (2.0 * free).sqrt(),
                    "worker {z}, modulo {p}: {chi}"
                );
            }
        }
    }
}

#[test]
fn no_two_operands_share_masks() {
    let shape = Shape::matrix(20, 20).unwrap();
    let operand = Quantised::new(
        &numbers(shape, 1.0, &mut rng(1)),
        Norms {
            largest: 1.0,
            row: 5.0,
            column: 5.0,
        },
        Scale::new(10).unwrap(),
    )
    .unwrap();
    let [mut one, mut other] = [7, 8].map(|seed| Blinder::new(&mut rng(seed)));
    let shares = [
        one.share(&operand).unwrap(),
        one.share(&operand).unwrap(),
        other.share(&operand).unwrap(),
    ];
    for (i, first) in shares.iter().enumerate() {
        for second in &shares[..i] {
            // The masks of two operands agree at a place once in 2^32 times, modulo a prime once in p times.
            for p in [M, 251, 241, 239, 233] {
                let pairs = first[0].values().iter().zip(second[0].values());
                let same = pairs.filter(|(a, b)| *a % p == *b % p).count();
                assert!(same < if p == M { 2 } else { 20 });
            }
        }
    }
    // Nor do two workers' shares hide the operand: their difference is the mask.
    let [first, second, third] = shares[0].each_ref().map(Words::values);
    let masks = || first.iter().zip(second).map(|(a, b)| subtract(*b, *a));
    let opened = first.iter().zip(masks()).map(|(share, mask)| subtract(*share, mask));
    assert!(
        opened.eq(operand
            .integers()
            .values()
            .iter()
            .map(|x| i64::from(*x).rem_euclid(MODULUS) as u32)),
        "two workers that collude have the operand"
    );
    assert!(third.iter().zip(second).map(|(c, b)| subtract(*c, *b)).eq(masks()));
}

#[test]
fn shares_are_made_again_as_they_were() {
    let shape = Shape::matrix(70, 90).unwrap();
    let quantised = |seed| {
        let operand = numbers(shape, 1.0, &mut rng(seed));
        Quantised::new(&operand, Norms::of(&operand).unwrap(), Scale::new(10).unwrap()).unwrap()
    };
    let blinder = &mut Blinder::new(&mut rng(3));
    let [first, second] = [1, 2].map(|seed| blinder.masked(quantised(seed)).unwrap());
    let [shares, others] = [&first, &second].map(|operand| blinder.shares(operand));
    assert!(blinder.shares(&first) == shares && blinder.shares(&second) == others);
    for (shares, operand) in [(&shares, &first), (&others, &second)] {
        let decoded = decode(shares.each_ref(), 0).unwrap();
        assert_eq!(decoded.integers(), operand.integers().integers());
    }
    // The same operand gets other masks.
    let again = blinder.masked(quantised(1)).unwrap();
    assert!(blinder.shares(&again)[0] != shares[0]);
}

#[test]
fn a_key_ends_before_its_masks_repeat() {
    let mut blinder = Blinder::new(&mut rng(1));
    let operand = Quantised::new(
        &numbers(Shape::matrix(1, 1).unwrap(), 1.0, &mut rng(1)),
        Norms {
            largest: 1.0,
            row: 1.0,
            column: 1.0,
        },
        Scale::new(0).unwrap(),
    )
    .unwrap();
    // An operand of one element counts as 33.
    blinder.use_up(Blinder::MAX_ELEMENTS - 33);
    assert!(blinder.share(&operand).is_ok());
    let error = AccelError::MasksUsedUp {
        max: Blinder::MAX_ELEMENTS,
    };
    assert_eq!(blinder.share(&operand).unwrap_err(), error);
}

#[test]
fn what_would_wrap_is_refused() {
    let shape = Shape::matrix(1, 100).unwrap();
    let ones = Matrices::new(shape, vec![1.0; 100]).unwrap();
    let norms = Norms::of(&ones).unwrap();
    assert!((norms.row - 10.0).abs() < 0.1 && (norms.column - 1.0).abs() < 0.01 && norms.largest == 1.0);
    let at = |scale| Quantised::new(&ones, norms, Scale::new(scale).unwrap()).unwrap();
    // 100 terms of 2^22 are below 2^30, of 2^24 beyond.
    assert_eq!(product_exponent(Kind::InputGradient, &at(11), &at(11)), Ok(22));
    let error = product_exponent(Kind::InputGradient, &at(12), &at(12)).unwrap_err();
    assert!(
        matches!(
            error,
            AccelError::Scale {
                left: 12,
                right: 12,
                max: 30,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(
        error.to_string(),
        "scales 2^12 and 2^12: expected a product of at most 30 bits, got a bound of 30.7"
    );
    let fitting = fitting_scale(
        Kind::InputGradient,
        100,
        (&norms, Scale::new(12).unwrap(), Side::Left),
        &norms,
    )
    .unwrap();
    assert_eq!(
        product_exponent(Kind::InputGradient, &at(12), &at(fitting.exponent())),
        Ok(23)
    );
}

#[test]
fn numbers_out_of_range_are_refused() {
    let norms = Norms {
        largest: 1.0,
        row: 1.0,
        column: 1.0,
    };
    let quantise = |value: f32, scale| {
        let operand = Matrices::new(Shape::matrix(1, 2).unwrap(), vec![0.0, value]).unwrap();
        (
            Norms::of(&operand),
            Quantised::new(&operand, norms, Scale::new(scale).unwrap()).map(|q| q.integers().values()[1]),
        )
    };
    assert_eq!(quantise(1.5, 0).1, Ok(2));
    assert_eq!(quantise(-2.5, 0).1, Ok(-2));
    assert_eq!(quantise(1.0, 20).1, Ok(MAX_OPERAND));
    assert_eq!(
        quantise(3.0, 19).1,
        Err(AccelError::Overflow {
            index: 1,
            max: MAX_OPERAND,
            actual: 1_572_864.0
        })
    );
    for value in [f32::NAN, f32::INFINITY] {
        let (norms, integer) = quantise(value, 0);
        for error in [norms.unwrap_err(), integer.unwrap_err()] {
            assert!(matches!(error, AccelError::NotFinite { index: 1, .. }), "{error}");
        }
    }
    let large = quantise(3e38, 0).0.unwrap();
    assert!(large.row.is_finite() && large.row >= 3e38);
    assert!(Scale::new(101).is_err() && Scale::new(-101).is_err() && Scale::new(i32::MIN).is_err());
}

#[test]
fn norms_are_bounds_of_rows_and_columns() {
    let rng = &mut rng(2);
    for [rows, columns] in [[1, 1], [7, 33], [40, 16], [1000, 3], [0, 5], [5, 0]] {
        let operand = numbers(Shape::new(2, rows, columns).unwrap(), 10.0, rng);
        let norms = Norms::of(&operand).unwrap();
        let norm = |values: Vec<f32>| values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let (mut row, mut column) = (0f64, 0f64);
        for b in 0..2 {
            let matrix = operand.matrix(b);
            (0..rows).for_each(|r| row = row.max(norm(matrix[r * columns..][..columns].to_vec())));
            (0..columns).for_each(|c| column = column.max(norm((0..rows).map(|r| matrix[r * columns + c]).collect())));
        }
        assert!(norms.row >= row && norms.row <= 1.01 * row && norms.column >= column && norms.column <= 1.01 * column);
    }
}
