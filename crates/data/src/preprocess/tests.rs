use std::path::Path;

use ndarray::array;
use proptest::prelude::*;

use super::*;
use crate::standardise::Standardiser;

const NAN: f32 = f32::NAN;

/// A table of numbers, and a column of categories before them if there are any.
fn table(features: Array2<f32>, categories: &[&str]) -> VerticalTable {
    let ids = (0..features.nrows()).map(|row| vec![row.to_string()]).collect();
    let names: Vec<String> = (0..features.ncols()).map(|column| format!("c{column}")).collect();
    let mut table = VerticalTable::new(Path::new("t"), ids, features, &names, None).unwrap();
    if !categories.is_empty() {
        table.columns[0].categories = Some(categories.iter().map(|text| (*text).into()).collect());
    }
    table
}

fn options(missing: MissingValues) -> Preprocessing {
    Preprocessing {
        missing,
        ..Preprocessing::default()
    }
}

fn all(table: &VerticalTable) -> Vec<usize> {
    (0..table.len()).collect()
}

#[test]
fn missing_numbers_are_filled_from_the_training_rows() {
    let table = table(array![[1.0, 5.0], [NAN, 5.0], [2.0, 5.0], [6.0, 5.0], [100.0, NAN]], &[]);
    for (policy, expected) in [
        (MissingValues::Mean, 3.0),
        (MissingValues::Median, 2.0),
        (MissingValues::Zero, 0.0),
    ] {
        let fitted = Preprocessor::fit(&options(policy), &table, &[0, 1, 2, 3]).unwrap();
        let prepared = fitted.apply(&table, &[1, 4]).unwrap();
        let constant = if policy == MissingValues::Zero { 0.0 } else { 5.0 };
        assert_eq!(prepared.features, array![[expected, 5.0], [100.0, constant]], "{policy:?}");
        let counts: Vec<_> = prepared
            .counts
            .iter()
            .map(|count| (count.column.as_str(), count.missing))
            .collect();
        assert_eq!(counts, [("c0", 1), ("c1", 1)]);
    }
    let even = Preprocessor::fit(&options(MissingValues::Median), &table, &[0, 2, 3, 4]).unwrap();
    assert_eq!(even.apply(&table, &[1]).unwrap().features[[0, 0]], 4.0);
}

#[test]
fn missing_values_are_refused_only_in_rows_in_use() {
    let table = table(array![[1.0], [NAN], [3.0], [NAN]], &[]);
    let error = Preprocessor::fit(&options(MissingValues::Error), &table, &all(&table)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "t: data row 1 (counted from 0), column c0 is missing, 2 values missing in the rows in use; fill them in, or set missing = \"mean\", \"median\" or \"zero\""
    );
    let fitted = Preprocessor::fit(&options(MissingValues::Error), &table, &[0, 2]).unwrap();
    assert_eq!(fitted.apply(&table, &[2, 0]).unwrap().features, array![[3.0], [1.0]]);
    assert!(
        fitted
            .apply(&table, &[3])
            .unwrap_err()
            .to_string()
            .starts_with("t: data row 3")
    );
    let error = Preprocessor::fit(&options(MissingValues::Mean), &table, &[1, 3])
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "t: column c0 has no value in the 2 training rows, expected at least one to take the mean of"
    );
    assert!(Preprocessor::fit(&options(MissingValues::Zero), &table, &[1, 3]).is_ok());
    let error = Preprocessor::fit(&options(MissingValues::Zero), &table, &[])
        .unwrap_err()
        .to_string();
    assert_eq!(error, "t: expected at least one row of data, found none");
}

#[test]
fn indicators_stand_behind_columns_that_lack_values() {
    let table = table(array![[0.0, 1.0, 2.0], [NAN, NAN, 4.0], [1.0, 3.0, NAN]], &["b", "a"]);
    let indicating = Preprocessing {
        missing_indicator: true,
        ..options(MissingValues::Mean)
    };
    let fitted = Preprocessor::fit(&indicating, &table, &[0, 1]).unwrap();
    assert_eq!(fitted.names(), ["c0=b", "c0 is missing", "c1", "c1 is missing", "c2"]);
    let prepared = fitted.apply(&table, &all(&table)).unwrap();
    let expected = array![
        [1.0, 0.0, 1.0, 0.0, 2.0],
        [0.0, 1.0, 1.0, 1.0, 4.0],
        // "a" is unknown, and c2 lacked nothing in training.
        [0.0, 0.0, 3.0, 0.0, 3.0],
    ];
    assert_eq!(prepared.features, expected);
    let unknown: Vec<usize> = prepared.counts.iter().map(|count| count.unknown).collect();
    assert_eq!(unknown, [1, 0, 0]);
}

#[test]
fn categories_are_sorted_and_learnt_from_the_training_rows() {
    let table = table(array![[2.0], [0.0], [1.0], [0.0]], &["pear", "fig", "apple"]);
    let fitted = Preprocessor::fit(&Preprocessing::default(), &table, &[0, 1]).unwrap();
    assert_eq!(
        (fitted.names(), fitted.inputs(), fitted.width()),
        (vec!["c0=apple".into(), "c0=pear".into()], vec!["c0"], 2)
    );
    let prepared = fitted.apply(&table, &all(&table)).unwrap();
    assert_eq!(prepared.features, array![[1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 1.0]]);
    assert_eq!((prepared.counts[0].unknown, prepared.counts[0].missing), (1, 0));
    let strict = Preprocessing {
        unknown_category: UnknownCategory::Error,
        ..Preprocessing::default()
    };
    let fitted = Preprocessor::fit(&strict, &table, &[0, 1]).unwrap();
    assert!(fitted.apply(&table, &[3, 0]).unwrap().counts.is_empty());
    assert_eq!(
        fitted.apply(&table, &[0, 2]).unwrap_err().to_string(),
        "t: data row 2 (counted from 0), column c0 has the category \"fig\", which no training row has; set unknown_category = \"zeros\" to take it for none"
    );
}

#[test]
fn another_file_may_number_its_categories_otherwise() {
    let trained = table(array![[0.0], [1.0]], &["x", "y"]);
    let fitted = Preprocessor::fit(&Preprocessing::default(), &trained, &[0, 1]).unwrap();
    let later = table(array![[0.0], [1.0], [2.0]], &["z", "y", "x"]);
    let prepared = fitted.apply(&later, &all(&later)).unwrap();
    assert_eq!(prepared.features, array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]]);
}

#[test]
fn a_column_without_any_category_gives_no_feature() {
    let trained = table(array![[NAN], [0.0]], &["x"]);
    let strict = Preprocessing {
        unknown_category: UnknownCategory::Error,
        ..options(MissingValues::Zero)
    };
    let fitted = Preprocessor::fit(&strict, &trained, &[0]).unwrap();
    let prepared = fitted.apply(&trained, &[0]).unwrap();
    assert_eq!((prepared.features.dim(), prepared.counts[0].missing), ((1, 0), 1));
    assert!(fitted.apply(&trained, &[1]).is_err());
}

#[test]
fn tables_of_other_columns_are_refused() {
    let trained = table(array![[0.0, 1.0]], &["x"]);
    let fitted = Preprocessor::fit(&Preprocessing::default(), &trained, &[0]).unwrap();
    let refused = |table: &VerticalTable| fitted.apply(table, &[0]).unwrap_err().to_string();
    assert_eq!(
        refused(&table(array![[0.0]], &["x"])),
        "t: expected 2 feature columns, found 1 (target and dropped columns not counted)"
    );
    assert_eq!(
        refused(&table(array![[0.0, 1.0]], &[])),
        "t: column 0 is \"c0\", the train file has \"c0 (categories)\" there"
    );
    let mut renamed = trained.clone();
    renamed.columns[1].name = "d".into();
    assert_eq!(refused(&renamed), "t: column 1 is \"d\", the train file has \"c1\" there");
    assert_eq!(
        fitted.apply(&trained, &[1]).unwrap_err().to_string(),
        "row 1 of a table of 1 rows is asked for"
    );
}

#[test]
fn values_beyond_floats_after_standardisation_are_refused() {
    let table = table(array![[0.0], [1e-30], [3e38]], &[]);
    let standardising = Preprocessing {
        standardise: true,
        clip: Clip::Off,
        ..Preprocessing::default()
    };
    let fitted = Preprocessor::fit(&standardising, &table, &[0, 1]).unwrap();
    let error = fitted.apply(&table, &[0, 2]).unwrap_err().to_string();
    assert!(
        error.starts_with("t: data row 2 (counted from 0), feature c0 after preprocessing is inf"),
        "{error}"
    );
}

#[test]
fn standardised_numbers_far_out_are_clipped_and_counted() {
    // Mean 2 and deviation 1 over the training rows, 0 to 3.
    let table = table(
        array![
            [1.0, 7.0],
            [3.0, 7.0],
            [1.0, 7.0],
            [3.0, 7.0],
            [34.0, 40.0],
            [-1e30, 7.0],
            [3e38, NAN]
        ],
        &[],
    );
    let limited = |standardise, clip| {
        let options = Preprocessing {
            standardise,
            clip,
            ..options(MissingValues::Mean)
        };
        let fitted = Preprocessor::fit(&options, &table, &[0, 1, 2, 3]).unwrap();
        fitted.apply(&table, &[0, 4, 5, 6]).unwrap()
    };
    let usual = limited(true, Clip::default());
    assert_eq!(usual.features.column(0).to_vec(), [-1.0, 32.0, -32.0, 32.0]);
    // A constant column has deviation 1; 33 beyond it is too far.
    assert_eq!(usual.features.column(1).to_vec(), [0.0, 32.0, 0.0, 0.0]);
    let counts: Vec<_> = usual
        .counts
        .iter()
        .map(|count| (&*count.column, count.clipped, count.missing))
        .collect();
    assert_eq!(counts, [("c0", 2, 0), ("c1", 1, 1)]);
    assert_eq!(
        limited(true, Clip::At(2.5)).features.column(0).to_vec(),
        [-1.0, 2.5, -2.5, 2.5]
    );
    // Numbers as they are in the file have no deviation.
    let unlimited = limited(false, Clip::At(2.5));
    assert_eq!(unlimited.features[[1, 0]], 34.0);
    assert!(unlimited.counts.iter().all(|count| count.clipped == 0));
    assert_eq!(limited(true, Clip::Off).features[[1, 0]], 32.0);
}

#[test]
fn a_limit_is_a_positive_number_or_off() {
    let read = |text: &str| serde_json::from_str::<Preprocessing>(&format!(r#"{{"clip":{text}}}"#)).map(|read| read.clip);
    assert_eq!(serde_json::from_str::<Preprocessing>("{}").unwrap().clip, Clip::At(32.0));
    assert_eq!(read("8").unwrap(), Clip::At(8.0));
    assert_eq!(read("0.5").unwrap(), Clip::At(0.5));
    assert_eq!(read(r#""off""#).unwrap(), Clip::Off);
    for text in ["0", "-3", "1e99", r#""on""#, "true", "[1]"] {
        let error = read(text).unwrap_err().to_string();
        assert!(error.contains("number of standard deviations, or \"off\""), "{text}: {error}");
    }
    for clip in [Clip::Off, Clip::At(0.1)] {
        assert_eq!(
            serde_json::from_str::<Clip>(&serde_json::to_string(&clip).unwrap()).unwrap(),
            clip
        );
    }
}

#[test]
fn what_is_read_back_is_checked() {
    let number = r#"{"type":"number","name":"n","fill":null,"indicator":false,"mean":0.5,"std":2.0}"#;
    let read = |columns: &str| {
        let json = format!(r#"{{"columns":[{columns}],"unknown_category":"zeros"}}"#);
        serde_json::from_str::<Preprocessor>(&json).map_err(|error| error.to_string())
    };
    // Kept before there was a limit: none.
    assert_eq!((read(number).unwrap().width(), read(number).unwrap().clip), (1, Clip::Off));
    let categories =
        |list: &str| format!(r#"{{"type":"category","name":"c","categories":[{list}],"indicator":false,"takes_missing":true}}"#);
    assert_eq!(read(&categories(r#""a","b""#)).unwrap().width(), 2);
    let many: Vec<String> = (0..5000).map(|category| format!("\"{category:04}\"")).collect();
    let long = format!("\"{}\"", "x".repeat(70_000));
    let wide: Vec<String> = (0..25)
        .map(|column| categories(&many[..4096].join(",")).replace("\"c\"", &format!("\"{column}\"")))
        .collect();
    for (columns, expected) in [
        (number.replace("2.0", "0.0"), "no positive deviation"),
        (number.replace("2.0", "-1.0"), "no positive deviation"),
        (number.replace("0.5", "1e300"), "a statistic that is not finite"),
        (format!("{number},{number}"), "two columns have one name"),
        (categories(r#""b","a""#), "are not sorted"),
        (categories(r#""a","a""#), "is there twice"),
        (
            categories(&many.join(",")),
            "has 5000 categories, more than the limit of 4096",
        ),
        (categories(&long), "more than 65536 bytes"),
        (wide.join(","), "it has 102400 columns, more than the limit of 100000"),
        (number.replace("mean", "median"), "unknown field"),
    ] {
        let error = read(&columns).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

fn policies() -> impl Strategy<Value = MissingValues> {
    prop::sample::select(vec![MissingValues::Mean, MissingValues::Median, MissingValues::Zero])
}

fn values() -> impl Strategy<Value = Vec<[f32; 3]>> {
    let value = || prop_oneof![4 => -1e6f32..1e6, 1 => Just(NAN), 1 => -1f32..1.0];
    let row = (0u8..4, value(), value());
    let row = row.prop_map(|(category, a, b)| [if category == 3 { NAN } else { f32::from(category) }, a, b]);
    prop::collection::vec(row, 2..40)
}

proptest! {
    /// The rows to predict from play no part in what is learnt, and what is kept says all that matters, bit for bit.
    #[test]
    fn a_prediction_repeats_training_exactly(rows in values(), missing in policies(), standardise: bool, limit: bool, missing_indicator: bool, cut in 1usize..40) {
        let table = table(Array2::from(rows), &["m", "k", "n"]);
        let train: Vec<usize> = (0..cut.min(table.len())).collect();
        let clip = if limit { Clip::At(1.25) } else { Clip::default() };
        let options = Preprocessing { missing, missing_indicator, standardise, clip, ..Preprocessing::default() };
        let Ok(fitted) = Preprocessor::fit(&options, &table, &train) else { return Ok(()) };
        prop_assert_eq!(&fitted, &Preprocessor::fit(&options, &table.select(&train).unwrap(), &train).unwrap());
        let kept: Preprocessor = serde_json::from_str(&serde_json::to_string(&fitted).unwrap()).unwrap();
        prop_assert_eq!(&kept, &fitted);
        let prepared = fitted.apply(&table, &all(&table)).unwrap();
        prop_assert_eq!(prepared.features.ncols(), fitted.names().len());
        prop_assert_eq!(&kept.apply(&table, &all(&table)).unwrap(), &prepared);
        for row in 0..table.len() {
            let alone = fitted.apply(&table, &[row]).unwrap().features;
            prop_assert_eq!(alone.row(0), prepared.features.row(row));
        }
    }

    #[test]
    fn standardisation_is_that_of_other_data(rows in prop::collection::vec([-1e3f32..1e3, -1f32..1.0], 2..40)) {
        let table = table(Array2::from(rows), &[]);
        let options = Preprocessing { standardise: true, clip: Clip::Off, ..Preprocessing::default() };
        let ours = Preprocessor::fit(&options, &table, &all(&table)).unwrap().apply(&table, &all(&table)).unwrap().features;
        let mut theirs = table.features.clone().into_dyn();
        Standardiser::fit(&theirs).apply(&mut theirs).unwrap();
        for (ours, theirs) in ours.iter().zip(&theirs) {
            prop_assert!((ours - theirs).abs() < 1e-4, "{} and {}", ours, theirs);
        }
    }
}
