use super::*;
use crate::{MpcError, PartySecret, Session, circuit::Party};
use proptest::prelude::*;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

fn random(rows: usize, columns: usize, seed: u64) -> Matrix {
    Matrix::random(rows, columns, &mut ChaCha20Rng::seed_from_u64(seed)).unwrap()
}

fn transposed(matrix: &Matrix) -> Matrix {
    let (rows, columns) = (matrix.rows(), matrix.columns());
    let words = (0..rows * columns).map(|at| matrix.words()[at % rows * columns + at / rows]);
    Matrix::new(columns, rows, words.collect()).unwrap()
}

/// The definition, in integers that cannot wrap unnoticed.
fn oracle(left: &Matrix, right: &Matrix) -> Matrix {
    let word = |row: usize, column: usize| {
        (0..left.columns()).fold(0u128, |sum, p| {
            let [x, y] = [
                left.words()[row * left.columns() + p],
                right.words()[p * right.columns() + column],
            ]
            .map(u128::from);
            (sum + x * y) & u128::from(u64::MAX)
        }) as u64
    };
    let words = (0..left.rows() * right.columns()).map(|at| word(at / right.columns(), at % right.columns()));
    Matrix::new(left.rows(), right.columns(), words.collect()).unwrap()
}

/// Seeds that every two of `parties` have in common.
pub(crate) fn pairwise(parties: usize) -> Vec<PairwiseSeeds> {
    let start = |party: usize| {
        let session = Session::new(&PartySecret::new([party as u8; 32]), b"zero");
        PairwiseSetup::start(&session, Party(party as u8), parties).unwrap()
    };
    let (setups, sent): (Vec<_>, Vec<_>) = (0..parties).map(start).unzip();
    let slot = |from: usize, to: usize| if to < from { to } else { to - 1 };
    let finish = |(to, setup): (usize, PairwiseSetup)| {
        let messages: Vec<_> = (0..parties)
            .filter(|from| *from != to)
            .map(|from| &*sent[from][slot(from, to)])
            .collect();
        setup.finish(&messages).unwrap()
    };
    setups.into_iter().enumerate().map(finish).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    #[test]
    fn products_are_those_of_the_definition(rows in 0usize..20, depth in 0usize..40, columns in 0usize..20, deep in any::<bool>(), seed in any::<u64>()) {
        // Two panels and a rest, or less than one.
        let depth = if deep { 512 + depth } else { depth };
        let (left, right) = (random(rows, depth, seed), random(depth, columns, !seed));
        let expected = oracle(&left, &right);
        let turned = transposed(&left);
        for backend in Backend::available() {
            prop_assert!(left.times_on(backend, &right).unwrap() == expected, "{}", backend.name());
            prop_assert!(turned.transposed_times_on(backend, &right).unwrap() == expected, "{} transposed", backend.name());
        }
        prop_assert!(left.times(&right).unwrap() == expected);
    }

    #[test]
    fn shares_add_up(rows in 0usize..9, columns in 0usize..9, peers in 1usize..6, seed in any::<u64>()) {
        let secret = random(rows, columns, seed);
        let (own, seeds) = share(&secret, peers, &mut ChaCha20Rng::seed_from_u64(!seed)).unwrap();
        let mut shares = vec![own];
        shares.extend(seeds.iter().map(|seed| expand(rows, columns, &**seed).unwrap()));
        prop_assert_eq!(shares.len(), peers + 1);
        prop_assert!(reconstruct(&shares).unwrap() == secret);
        // Any share missing, nothing is right: 81 words agree by chance never.
        if rows * columns > 0 {
            prop_assert!(shares.iter().all(|share| *share != secret));
            prop_assert!(reconstruct(&shares[1..]).unwrap() != secret);
        }
    }

    #[test]
    fn zero_shares_add_up_to_zero(parties in 2usize..6, rows in 1usize..6, columns in 1usize..6, index in 0u64..u64::MAX) {
        let mut shares = Vec::new();
        for seeds in &mut pairwise(parties) {
            shares.push(seeds.zero_shares("h1").unwrap().share(index, rows, columns).unwrap());
        }
        prop_assert!(reconstruct(&shares).unwrap() == Matrix::zeros(rows, columns).unwrap());
        prop_assert!(shares.iter().all(|share| share.words().iter().all(|word| *word != 0)));
        prop_assert!(parties == 2 || reconstruct(&shares[1..]).unwrap() != shares[1]);
    }

    #[test]
    fn numbers_come_back(bits in 0u32..=62, values in prop::collection::vec(-1.0f64..1.0, 1..20)) {
        let fixed = FixedPoint::new(bits).unwrap();
        let values: Vec<f64> = values.iter().map(|value| value * 2f64.powi(62 - bits as i32)).collect();
        let matrix = fixed.encode(1, values.len(), &values).unwrap();
        for (value, back) in values.iter().zip(fixed.decode_all(&matrix)) {
            // Half a unit of the last place, besides the 53 bits of an f64.
            prop_assert!((value - back).abs() <= 0.5f64 * 2f64.powi(-(bits as i32)));
        }
    }
}

#[test]
fn sums_differences_and_batches() {
    let (left, right) = (random(5, 3, 1), random(5, 3, 2));
    let mut sum = left.clone();
    sum.add_assign(&right).unwrap();
    let mut negated = right.clone();
    negated.negate();
    sum.add_assign(&negated).unwrap();
    assert!(sum == left);
    sum.sub_assign(&left).unwrap();
    assert!(sum == Matrix::zeros(5, 3).unwrap());
    let batch = left.select(&[4, 0, 4]).unwrap();
    let rows: Vec<&[u64]> = [4, 0, 4].iter().map(|row| &left.words()[row * 3..][..3]).collect();
    assert_eq!(batch.words(), rows.concat());
    let outside = MpcError::Count {
        what: "as a row's number",
        min: 0,
        max: 4,
        actual: 5,
    };
    assert_eq!(left.select(&[5]).err(), Some(outside));
    assert!(sum.add_assign(&random(3, 5, 1)).is_err());
    assert!(left.times(&right).is_err() && left.transposed_times(&random(3, 5, 1)).is_err());
}

#[test]
fn numbers_that_do_not_fit_are_refused() {
    let fixed = FixedPoint::new(20).unwrap();
    assert_eq!(fixed.decode(fixed.encode(1, 1, &[-1.5f32]).unwrap().words()[0]), -1.5);
    assert_eq!(fixed.encode(1, 2, &[-2f64.powi(43), 0.0]).unwrap().words(), [1 << 63, 0]);
    let refused = |value: f64| fixed.encode(1, 2, &[1.0, value]).err();
    for value in [2f64.powi(43), -2f64.powi(43) * 1.001, f64::NAN, f64::INFINITY, f64::MAX] {
        assert_eq!(refused(value), Some(MpcError::Range { index: 1, bits: 43 }), "{value}");
    }
    assert!(fixed.encode(2, 2, &[1.0f64]).is_err());
    assert!(FixedPoint::new(63).is_err());
    assert_eq!(fixed.of_products(fixed).unwrap().bits(), 40);
    assert!(fixed.of_products(FixedPoint::new(43).unwrap()).is_err());
}

#[test]
fn randomness_differs_by_purpose_and_index_and_is_given_once() {
    let mut seeds = pairwise(2).swap_remove(0);
    let (mut first, mut second) = (seeds.zero_shares("h1").unwrap(), seeds.zero_shares("gradient").unwrap());
    let used = |what, index| Some(MpcError::Used { what, index });
    assert_eq!(seeds.zero_shares("h1").err(), used("the shares of zero for this purpose", 0));
    let shares = [first.share(3, 2, 2), first.share(4, 2, 2), second.share(3, 2, 2)].map(Result::unwrap);
    assert!(shares[0] != shares[1] && shares[0] != shares[2]);
    for index in [0, 3, 4] {
        assert_eq!(first.share(index, 2, 2).err(), used("a share of zero", index));
    }
    assert!(first.share(u64::MAX - 1, 1, 1).is_ok());
    assert_eq!(first.share(u64::MAX, 1, 1).err(), used("a share of zero", u64::MAX));

    // The same words, however they are cut.
    let stream = WordStream::new("test", &[1; 32], &[b"a"]);
    let mut whole = [0; 300];
    stream.fill(0, &mut whole);
    let mut part = [0; 7];
    stream.fill(20, &mut part);
    assert_eq!(part, whole[40..47]);
    let mut other = [0; 7];
    WordStream::new("test", &[1; 32], &[b"", b"a"]).fill(20, &mut other);
    assert_ne!(part, other);
}

#[test]
fn wrong_shapes_and_lengths_are_refused() {
    let matrix = random(3, 2, 1);
    let bytes = matrix.encode();
    assert!(Matrix::decode(3, 2, &bytes).unwrap() == matrix);
    let length = |expected, actual| Some(MpcError::Length { expected, actual });
    assert_eq!(Matrix::decode(3, 2, &bytes[1..]).err(), length(48, 47));
    assert_eq!(Matrix::decode(2, 2, &bytes).err(), length(32, 48));
    // Refused before anything is allocated.
    for (rows, columns) in [(usize::MAX, usize::MAX), (1 << 40, 1), (1 << 14, (1 << 13) + 1)] {
        assert!(matches!(
            Matrix::decode(rows, columns, &bytes).err(),
            Some(MpcError::Count { .. })
        ));
        assert!(Matrix::zeros(rows, columns).is_err());
    }
    assert!(Matrix::new(2, 2, vec![0; 5]).is_err());
    assert_eq!(expand(1, 1, &[0; 31]).err(), length(32, 31));
    assert!(reconstruct(&[]).is_err() && reconstruct(&[random(1, 2, 1), random(2, 1, 1)]).is_err());
    let rng = &mut ChaCha20Rng::seed_from_u64(1);
    assert!(share(&matrix, 0, rng).is_err() && share(&matrix, 64, rng).is_err());

    let session = Session::new(&PartySecret::new([1; 32]), b"zero");
    let setup = || PairwiseSetup::start(&session, Party(1), 3).unwrap().0;
    assert_eq!(setup().finish(&[[0; 32].to_vec(), vec![0; 33]]).err(), length(32, 33));
    assert!(setup().finish(&[[0; 32]]).is_err());
    assert!(PairwiseSetup::start(&session, Party(2), 2).is_err() && PairwiseSetup::start(&session, Party(0), 1).is_err());
}
