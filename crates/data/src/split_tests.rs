use ndarray::Array2;
use proptest::prelude::*;

use super::*;

fn classes(index: Vec<u32>, count: usize) -> Targets {
    Targets::Classes {
        index,
        names: (0..count).map(|class| class.to_string()).collect(),
    }
}

fn split(test_fraction: f64, seed: u64) -> Split {
    Split {
        test_fraction,
        seed,
        ..Split::default()
    }
}

/// Pinned: a change here changes every split that anyone has published results on.
#[test]
fn the_rows_of_a_seed_are_fixed_for_ever() {
    let targets = classes((0..100).map(|row| row % 3).collect(), 3);
    let (train, test) = split(0.2, 0).rows(&targets).unwrap();
    assert_eq!(
        (&train[..8], &test[..8]),
        (&[17, 63, 39, 18, 37, 24, 75, 1][..], &[52, 95, 19, 65, 43, 64, 53, 31][..])
    );
    let (train, test) = split(0.2, 0x0123_4567_89ab_cdef).rows(&targets).unwrap();
    assert_eq!(
        (&train[..8], &test[..8]),
        (&[84, 65, 43, 10, 82, 61, 91, 40][..], &[49, 96, 88, 3, 29, 27, 24, 13][..])
    );
}

#[test]
fn regression_is_split_without_strata() {
    let (train, test) = split(0.25, 3).rows(&Targets::Values(Array2::zeros((10, 2)))).unwrap();
    assert_eq!((train.len(), test.len()), (7, 3));
}

#[test]
fn a_fraction_out_of_range_is_refused() {
    for fraction in [0.0, 1.0, -0.1, 1.5, f64::NAN] {
        let error = split(fraction, 0).rows(&classes(vec![0; 4], 1)).unwrap_err().to_string();
        assert_eq!(error, format!("test_fraction must be above 0 and below 1, got {fraction}"));
    }
}

#[test]
fn draws_are_uniform() {
    let mut rng = rng(7);
    let mut counts = [0u32; 6];
    (0..60_000).for_each(|_| counts[below(6, &mut rng) as usize] += 1);
    // Five standard deviations of a binomial with 60,000 draws and p = 1/6.
    assert!(counts.iter().all(|&count| count.abs_diff(10_000) < 460), "{counts:?}");
}

proptest! {
    #[test]
    fn each_row_is_in_one_part_and_classes_keep_their_share(
        index in proptest::collection::vec(0u32..4, 1..300),
        fraction in 0.05f64..0.95,
        seed in any::<u64>(),
    ) {
        let targets = classes(index.clone(), 4);
        let (train, test) = split(fraction, seed).rows(&targets).unwrap();
        let mut all: Vec<usize> = train.iter().chain(&test).copied().collect();
        all.sort_unstable();
        prop_assert_eq!(all, (0..index.len()).collect::<Vec<_>>());
        for class in 0..4 {
            let count = |rows: &[usize]| rows.iter().filter(|&&row| index[row] == class).count() as f64;
            let total = count(&train) + count(&test);
            prop_assert!((count(&test) - total * fraction).abs() <= 0.5 + 1e-9);
        }
        prop_assert_eq!(split(fraction, seed).rows(&targets).unwrap(), (train, test));
    }
}
