use proptest::prelude::*;

use super::*;

fn split(test: f64, salt: &str) -> HashSplit {
    HashSplit { test, salt: salt.into() }
}

fn ids(count: usize) -> Vec<Vec<String>> {
    (0..count).map(|id| vec![id.to_string()]).collect()
}

#[test]
fn the_share_of_test_rows_is_close_to_the_fraction() {
    for test in [0.05, 0.2, 0.5, 0.9] {
        let (train, test_rows) = split(test, "a").rows(&ids(40_000)).unwrap();
        assert_eq!(train.len() + test_rows.len(), 40_000);
        let share = test_rows.len() as f64 / 40_000.0;
        // Five standard deviations.
        assert!(
            (share - test).abs() < 5.0 * (test * (1.0 - test) / 40_000.0).sqrt(),
            "{share}"
        );
    }
}

#[test]
fn another_salt_cuts_independently() {
    let parts = ["a", "b"].map(|salt| split(0.5, salt).rows(&ids(40_000)).unwrap().1);
    let both = parts[0].iter().filter(|row| parts[1].binary_search(row).is_ok()).count();
    assert!((both as f64 - 10_000.0).abs() < 5.0 * 7500f64.sqrt(), "{both}");
}

#[test]
fn a_fraction_out_of_range_is_refused() {
    for test in [0.0, 1.0, -0.1, f64::NAN] {
        let error = split(test, "a").rows(&ids(1)).unwrap_err().to_string();
        assert!(error.starts_with("test must be above 0 and below 1, got"), "{error}");
        assert!(split(test, "a").is_test(&["1".into()]).is_err());
    }
}

#[test]
fn parts_are_kept_apart() {
    let hash = |parts: &[&str]| split(0.5, "s").hash(&parts.iter().map(|part| part.to_string()).collect::<Vec<_>>());
    let all = [
        hash(&["a", "bc"]),
        hash(&["ab", "c"]),
        hash(&["abc"]),
        hash(&["abc", ""]),
        hash(&[]),
    ];
    assert!((1..all.len()).all(|n| !all[..n].contains(&all[n])), "{all:?}");
}

proptest! {
    #[test]
    fn order_and_other_rows_play_no_part(mut ids in proptest::collection::vec(proptest::collection::vec(".{0,6}", 1..3), 1..40), test in 0.01f64..0.99) {
        let split = split(test, "salt");
        let (train, tested) = split.rows(&ids).unwrap();
        for (rows, expected) in [(train, false), (tested, true)] {
            for row in rows {
                prop_assert_eq!(split.is_test(&ids[row]).unwrap(), expected);
            }
        }
        let before: std::collections::BTreeMap<_, _> = ids.iter().map(|id| (id.clone(), split.is_test(id).unwrap())).collect();
        ids.reverse();
        let (_, tested) = split.rows(&ids).unwrap();
        for (row, id) in ids.iter().enumerate() {
            prop_assert_eq!(tested.binary_search(&row).is_ok(), before[id]);
        }
    }

    #[test]
    fn a_larger_fraction_keeps_the_test_rows(test in 0.01f64..0.5) {
        let (_, few) = split(test, "a").rows(&ids(300)).unwrap();
        let (_, more) = split(test * 1.9, "a").rows(&ids(300)).unwrap();
        prop_assert!(few.iter().all(|row| more.binary_search(row).is_ok()));
    }
}
