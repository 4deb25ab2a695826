use super::*;
use crate::{
    MODULUS, Matrices, Residues, Words, float_products,
    masked::{Blinder, Decoded, Norms, Quantised, balanced_scales, decode, product_exponent},
    residue_products,
    words::word_products,
};
use proptest::prelude::*;
use rand::Rng;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn operands(kind: Kind, batch: usize, [m, k, n]: [usize; 3], rng: &mut ChaCha20Rng) -> [Matrices<f32>; 2] {
    let (left, right) = match kind {
        Kind::Forward => ([m, k], [k, n]),
        Kind::WeightGradient => ([k, m], [k, n]),
        Kind::InputGradient => ([m, k], [n, k]),
    };
    [left, right].map(|[rows, columns]| {
        let shape = Shape::new(batch, rows, columns).unwrap();
        let values = (0..shape.elements()).map(|_| rng.next_u32() as i32 as f32 / 2f32.powi(31));
        Matrices::new(shape, values.collect()).unwrap()
    })
}

struct Masked {
    operands: [Quantised; 2],
    answers: [Words; 3],
    exponent: i32,
}

impl Masked {
    fn new(kind: Kind, batch: usize, sizes: [usize; 3], rng: &mut ChaCha20Rng) -> Self {
        let operands = operands(kind, batch, sizes, rng);
        let norms = operands.each_ref().map(|operand| Norms::of(operand).unwrap());
        let (left, right) = balanced_scales(kind, sizes[1], &norms[0], &norms[1]).unwrap();
        let left = Quantised::new(&operands[0], norms[0], left).unwrap();
        let right = Quantised::new(&operands[1], norms[1], right).unwrap();
        let mut blinder = Blinder::new(rng);
        let [x, w] = [&left, &right].map(|operand| blinder.share(operand).unwrap());
        let answers = std::array::from_fn(|z| word_products(kind, &x[z], &w[z]));
        let exponent = product_exponent(kind, &left, &right).unwrap();
        Self {
            operands: [left, right],
            answers,
            exponent,
        }
    }

    fn decoded(&self) -> Decoded {
        decode(self.answers.each_ref(), self.exponent).unwrap()
    }

    fn check(&self, kind: Kind, seed: u64) -> Result<(), AccelError> {
        check_integers(kind, &self.operands[0], &self.operands[1], &self.decoded(), &mut rng(seed))
    }
}

proptest! {
    #[test]
    fn right_products_pass_and_any_changed_word_is_found(
        kind in 0usize..3, sizes in [1usize..30, 0usize..40, 1usize..60], seed in any::<u64>(), worker in 0usize..3, at in any::<usize>(), change in 1..MODULUS as u32,
    ) {
        let (kind, batch) = (Kind::ALL[kind], 2);
        let mut product = Masked::new(kind, batch, sizes, &mut rng(seed));
        prop_assert_eq!(product.check(kind, seed), Ok(()));
        let mut values = product.answers[worker].values().to_vec();
        let at = at % values.len();
        values[at] = crate::words::subtract(values[at], change);
        product.answers[worker] = Words::new(Matrices::new(product.answers[worker].shape(), values).unwrap()).unwrap();
        let index = at / (sizes[0] * sizes[2]);
        prop_assert_eq!(product.check(kind, seed), Err(AccelError::WrongProduct { index }));
    }
}

proptest! {
    #[test]
    fn the_liar_is_named(kind in 0usize..3, sizes in [1usize..20, 0usize..30, 1usize..30], seed in any::<u64>(), liar in 0usize..3, at in any::<usize>()) {
        let (kind, rng) = (Kind::ALL[kind], &mut rng(seed));
        let product = Masked::new(kind, 2, sizes, rng);
        let mut blinder = Blinder::new(rng);
        let [x, w] = product.operands.each_ref().map(|operand| blinder.share(operand).unwrap().map(|share| share.residues()));
        let mut answers: Vec<_> = (0..3).map(|z| residue_products(kind, &x[z], &w[z]).unwrap()).collect();
        let mut values = answers[liar].values().to_vec();
        let at = at % values.len();
        values[at] -= values[at].signum() * 2 - 1;
        answers[liar] = Residues::new(answers[liar].shape(), values).unwrap();
        let index = at % (2 * sizes[0] * sizes[2]) / (sizes[0] * sizes[2]);
        for (z, answer) in answers.iter().enumerate() {
            let expected = if z == liar { Err(AccelError::WrongProduct { index }) } else { Ok(()) };
            prop_assert_eq!(check_residues(kind, &x[z], &w[z], answer, rng), expected);
        }
    }
}

/// Which coefficients hide a lie: the check is as strong as they are secret.
#[test]
fn a_lie_that_knows_the_coefficients_passes() {
    use crate::shape::Lines;
    let mut product = Masked::new(Kind::Forward, 1, [1, 8, 2], &mut rng(1));
    // Columns have the coefficients; their difference r1 E_0 - r0 E_1 vanishes along r. Small coefficients, so that the lie fits an integer.
    let shape = Shape::matrix(1, 2).unwrap();
    let lie = |r: [i64; 2]| [r[1] as i32, -r[0] as i32];
    let r = [12, 7];
    let limbs = field::Limbs::<2>::new(&r.map(|r| r as u64));
    let honest = product.decoded().integers().values().to_vec();
    let lied: Vec<i32> = honest.iter().zip(lie(r)).map(|(y, d)| y + d).collect();
    let along = |values: &[i32]| integer::times(Lines::rows(shape, values, 0), &limbs);
    assert_eq!(along(&honest), along(&lied));
    // With coefficients that it does not know it is found.
    product.answers = Words::of_integers(shape, &lied)
        .map(|lied| [lied.clone(), lied.clone(), lied])
        .unwrap();
    assert_eq!(product.check(Kind::Forward, 3), Err(AccelError::WrongProduct { index: 0 }));
}

/// The bound of 2^-42 counts on uniform coefficients of 42 bits.
#[test]
fn coefficients_have_42_bits() {
    let all = coefficients(4096, &mut rng(8));
    assert!(all.iter().all(|coefficient| *coefficient < 1 << 42));
    for bit in 0..42 {
        let ones = all.iter().filter(|coefficient| *coefficient >> bit & 1 == 1).count();
        // Half of them, within six deviations.
        assert!((2048 - 192..=2048 + 192).contains(&ones), "bit {bit}: {ones}");
    }
}

/// Along a line, SIZE coefficients out of SIZE^2 hide a lie about two elements at most.
#[test]
fn one_coefficient_in_the_size_of_their_set_hides_a_lie() {
    use crate::shape::Lines;
    const SIZE: u64 = 17;
    for lie in [[1, 0], [0, -3], [5, 2], [1, -1], [1 << 30, 1 << 30]] {
        let shape = Shape::matrix(1, 2).unwrap();
        let along = |r: [u64; 2]| integer::times(Lines::rows(shape, &lie, 0), &field::Limbs::<2>::new(&r));
        let pairs = (0..SIZE).flat_map(|a| (0..SIZE).map(move |b| [a, b]));
        let hidden = pairs.filter(|r| along(*r) == [0]).count() as u64;
        assert!((1..=SIZE).contains(&hidden), "{lie:?}: {hidden}");
    }
}

#[test]
fn long_sums_are_reduced_in_time() {
    use crate::shape::Lines;
    // 5000 terms of 2^31 times 2^21: beyond 64 bits without reduction.
    let count = 5000;
    let matrix = vec![i32::MIN; 3 * count];
    let coefficients = vec![(1u64 << 42) - 1; count];
    let expected = (i128::from(i32::MIN) * ((1i128 << 42) - 1) * count as i128).rem_euclid(i128::from(field::P)) as u64;
    let limbs = field::Limbs::<2>::new(&coefficients);
    for shape in [Shape::matrix(3, count), Shape::matrix(count, 3)] {
        let lines = Lines::rows(shape.unwrap(), &matrix, 0);
        let lines = if lines.depth == count { lines } else { lines.transposed() };
        assert_eq!(integer::times(lines, &limbs), [expected; 3]);
    }
}

proptest! {
    #[test]
    fn honest_float_products_pass_and_lies_beyond_the_tolerance_do_not(
        kind in 0usize..3, sizes in [1usize..30, 1usize..600, 1usize..60], seed in any::<u64>(), at in any::<usize>(),
    ) {
        let (kind, rng) = (Kind::ALL[kind], &mut rng(seed));
        let [left, right] = operands(kind, 2, sizes, rng);
        let mut product = float_products(kind, &left, &right).unwrap();
        prop_assert_eq!(check_floats(kind, &left, &right, &product, 2, rng), Ok(()));
        // Norms of lines are below sqrt(depth), of the other operand below sqrt(depth) times the root of its lines.
        let tolerance = 8.0 * (sizes[1] as f32).powf(1.5) * (sizes[0].min(sizes[2]).max(1) as f32).sqrt() / 2f32.powi(24);
        let at = at % product.values().len();
        let index = at / (sizes[0] * sizes[2]);
        // A lie of 2^12 T passes two rounds once in 2^24.
        product.values_mut()[at] += 4096.0 * tolerance;
        prop_assert_eq!(check_floats(kind, &left, &right, &product, 2, rng), Err(AccelError::WrongProduct { index }));
        product.values_mut()[at] = f32::NAN;
        prop_assert_eq!(check_floats(kind, &left, &right, &product, 1, rng), Err(AccelError::WrongProduct { index }));
    }
}

/// Equal terms are rounded alike, the least favourable case for a tolerance that counts on chance.
#[test]
fn products_of_constants_pass_and_the_smallest_lies_too() {
    for [x, w] in [[1.0, 0.1], [0.3, 0.7], [1e-3, 3e4]] {
        let shape = |rows, columns| Shape::matrix(rows, columns).unwrap();
        let left = Matrices::new(shape(40, 4608), vec![x; 40 * 4608]).unwrap();
        let right = Matrices::new(shape(4608, 64), vec![w; 4608 * 64]).unwrap();
        let mut product = float_products(Kind::Forward, &left, &right).unwrap();
        assert_eq!(check_floats(Kind::Forward, &left, &right, &product, 4, &mut rng(2)), Ok(()));
        product.values_mut()[5] *= 1.0 + 1e-6;
        assert_eq!(
            check_floats(Kind::Forward, &left, &right, &product, 4, &mut rng(2)),
            Ok(()),
            "a lie below the tolerance"
        );
        product.values_mut()[5] *= 1.01;
        assert!(check_floats(Kind::Forward, &left, &right, &product, 4, &mut rng(2)).is_err());
    }
}

#[test]
fn products_of_another_shape_are_refused() {
    let [left, right] = operands(Kind::Forward, 1, [2, 3, 4], &mut rng(1));
    let product = Matrices::new(Shape::matrix(4, 2).unwrap(), vec![0.0; 8]).unwrap();
    let error = check_floats(Kind::Forward, &left, &right, &product, 1, &mut rng(1)).unwrap_err();
    assert_eq!(
        error,
        AccelError::Size {
            what: "rows of the product",
            expected: 2,
            actual: 4
        }
    );
}
