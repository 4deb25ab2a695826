use super::*;
use crate::Shape;
use proptest::prelude::*;

/// Operands of a kind for a product of these sizes.
fn operands(kind: Kind, batch: usize, [rows, depth, columns]: [usize; 3]) -> [Shape; 2] {
    let (left, right) = match kind {
        Kind::Forward => ([rows, depth], [depth, columns]),
        Kind::WeightGradient => ([depth, rows], [depth, columns]),
        Kind::InputGradient => ([rows, depth], [columns, depth]),
    };
    [left, right].map(|[rows, columns]| Shape::new(batch, rows, columns).unwrap())
}

/// The definition, with indices of the operands as they are written in the documentation of [`Kind`].
fn slow(kind: Kind, left: &Matrices<i8>, right: &Matrices<i8>) -> Vec<i64> {
    let d = kind.dimensions(left.shape(), right.shape()).unwrap();
    let at = |m: &Matrices<i8>, b: usize, row: usize, column: usize| {
        i64::from(m.values()[(b * m.shape().rows + row) * m.shape().columns + column])
    };
    let term = |b, i, j, p| match kind {
        Kind::Forward => at(left, b, i, p) * at(right, b, p, j),
        Kind::WeightGradient => at(left, b, p, i) * at(right, b, p, j),
        Kind::InputGradient => at(left, b, i, p) * at(right, b, j, p),
    };
    let mut out = Vec::new();
    for b in 0..d.batch {
        for i in 0..d.rows {
            out.extend((0..d.columns).map(|j| (0..d.depth).map(|p| term(b, i, j, p)).sum::<i64>()));
        }
    }
    out
}

/// Bytes of at most 125 in magnitude from a seed; all 125 for seed 0.
fn bytes(shape: Shape, seed: u64) -> Matrices<i8> {
    let mut state = seed;
    let mut byte = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) % 251) as i16 - 125
    };
    let values = (0..shape.elements()).map(|_| if seed == 0 { 125 } else { byte() as i8 });
    Matrices::new(shape, values.collect()).unwrap()
}

fn check(kind: Kind, batch: usize, sizes: [usize; 3], seed: u64) {
    let [left, right] = operands(kind, batch, sizes);
    let (left, right) = (bytes(left, seed), bytes(right, seed.wrapping_mul(3)));
    let expected = slow(kind, &left, &right);
    for backend in Backend::available() {
        let product = byte_products(backend, kind, &left, &right).unwrap();
        assert_eq!(
            product.shape(),
            kind.dimensions(left.shape(), right.shape()).unwrap().product()
        );
        let same = product.values().iter().map(|v| i64::from(*v)).eq(expected.iter().copied());
        assert!(same, "{kind:?} of {batch} {sizes:?} on {}", backend.name());
    }
}

proptest! {
    #[test]
    fn every_backend_gives_the_exact_product(kind in 0usize..3, batch in 0usize..4, sizes in [0usize..40, 0usize..40, 0usize..70], seed in any::<u64>()) {
        check(Kind::ALL[kind], batch, sizes, seed);
    }
}

#[test]
fn tiles_panels_and_tasks_fit_together() {
    for kind in Kind::ALL {
        for sizes in [
            [1, 1, 1],
            [13, 769, 33],
            [12, 768, 32],
            [7, 1539, 17],
            [400, 5, 401],
            [205, 770, 3],
        ] {
            check(kind, 1, sizes, 5);
            check(kind, 2, sizes, 0);
        }
    }
}

#[test]
fn the_deepest_sums_are_exact() {
    let [left, right] = operands(Kind::Forward, 1, [2, MAX_DEPTH, 1]).map(|shape| bytes(shape, 0));
    for backend in Backend::available() {
        let product = byte_products(backend, Kind::Forward, &left, &right).unwrap();
        assert_eq!(product.values(), [125 * 125 * MAX_DEPTH as i32; 2], "{}", backend.name());
    }
    let [left, right] = operands(Kind::Forward, 1, [1, MAX_DEPTH + 1, 1])
        .map(|shape| Residues::new(shape, vec![0; 4 * shape.elements()]).unwrap());
    let error = residue_products(Kind::Forward, &left, &right).unwrap_err();
    assert!(matches!(error, AccelError::TooMany { max: MAX_DEPTH, .. }), "{error}");
}

#[test]
fn residues_multiply_as_integers_do_on_any_number_of_threads() {
    let sizes = [500, 70, 40];
    for kind in Kind::ALL {
        let integers = operands(kind, 2, sizes).map(|shape| {
            let values: Vec<i32> = bytes(shape, 9).values().iter().map(|v| i32::from(*v) * 97 + 13).collect();
            (shape, values)
        });
        let [left, right] = integers
            .each_ref()
            .map(|(shape, values)| Residues::of_integers(*shape, values).unwrap());
        let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        let several = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let product = single.install(|| residue_products(kind, &left, &right).unwrap());
        for backend in Backend::available() {
            assert_eq!(
                several.install(|| residue_products_on(backend, kind, &left, &right).unwrap()),
                product
            );
        }
        // An element of the product in integers.
        let lines = |(shape, values): &(Shape, Vec<i32>), right: bool| -> Vec<i32> {
            let lines = match right {
                false => Lines::left(kind, *shape, values, 1),
                true => Lines::right(kind, *shape, values, 1),
            };
            (0..lines.depth).map(|depth| lines.get(3, depth)).collect()
        };
        let terms = lines(&integers[0], false).into_iter().zip(lines(&integers[1], true));
        let sum: i64 = terms.map(|(x, y)| i64::from(x) * i64::from(y)).sum();
        for (prime, p) in PRIMES.iter().enumerate() {
            let at = product.shape().matrix_elements() + 3 * product.shape().columns + 3;
            assert_eq!((sum - i64::from(product.plane(prime)[at])) % i64::from(*p), 0);
        }
    }
}

#[test]
fn operands_that_do_not_fit_are_refused() {
    let zeros = |batch, rows, columns| {
        let shape = Shape::new(batch, rows, columns).unwrap();
        Residues::new(shape, vec![0; 4 * shape.elements()]).unwrap()
    };
    for (kind, fits) in [
        (Kind::Forward, [3, 4]),
        (Kind::WeightGradient, [2, 4]),
        (Kind::InputGradient, [4, 3]),
    ] {
        assert!(residue_products(kind, &zeros(2, 2, 3), &zeros(2, fits[0], fits[1])).is_ok());
        assert!(residue_products(kind, &zeros(2, 2, 3), &zeros(1, fits[0], fits[1])).is_err());
        assert!(residue_products(kind, &zeros(2, 2, 3), &zeros(2, 5, 5)).is_err());
    }
}
