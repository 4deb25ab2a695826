//! Ids of rows, and the cut by their hash.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use cloven_data::{Column, CsvOptions, Expectation, FeatureOptions, HashSplit, IdOptions, Ids, read_features, read_ids};

fn id_options(names: &[&str]) -> IdOptions {
    IdOptions {
        columns: names.iter().map(|name| Column::Name((*name).into())).collect(),
        fold_case: false,
    }
}

fn read(text: &str, options: &IdOptions) -> Result<Ids, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("t.csv");
    fs::write(&file, text).unwrap();
    read_ids(&file, options, &FeatureOptions::default())
        .map_err(|error| error.to_string().replace(&file.display().to_string(), "t.csv"))
}

fn id(parts: &[&str]) -> Option<Vec<String>> {
    Some(parts.iter().map(|part| part.to_string()).collect())
}

#[test]
fn ids_are_trimmed_texts_in_the_order_of_the_file() {
    let text = "name,x,year\n \tAda ,1, 07\nada,2,7\nBob,3,\n?,4,7\n\u{a0}Bob,5,7.0\nÄDA,6,7\n";
    let ids = read(text, &id_options(&["year", "name"])).unwrap();
    let last = [id(&["7.0", "Bob"]), id(&["7", "ÄDA"])];
    let expected = [vec![id(&["07", "Ada"]), id(&["7", "ada"]), None, None], last.to_vec()].concat();
    assert_eq!((ids.rows.as_slice(), ids.missing), (&expected[..], 2));
    let folded = IdOptions {
        fold_case: true,
        ..id_options(&["name"])
    };
    let ids = read(text, &folded).unwrap();
    assert_eq!(ids.rows[..2], [id(&["ada"]), id(&["ada"])]);
    assert_eq!(ids.rows[5], id(&["äda"]));
}

#[test]
fn faults_are_one_sentence() {
    let cases = [
        (
            "a,b\n1,2\n",
            vec![],
            "id columns must be at least one column, got an empty list",
        ),
        (
            "a,b\n1,2\n",
            vec!["a", "a"],
            "id columns must be columns that differ, got column 0 twice",
        ),
        ("a,b\n1,2\n", vec!["c"], "t.csv: no column \"c\"; the file has a, b"),
        ("a,b\n", vec!["a"], "t.csv: expected at least one row of data, found none"),
    ];
    for (text, columns, expected) in cases {
        assert_eq!(read(text, &id_options(&columns)).unwrap_err(), expected);
    }
    let error = read_ids(Path::new("t.npy"), &id_options(&["a"]), &FeatureOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "t.npy: ids stand in columns of CSV and Parquet files, but the file is read as npy"
    );
}

fn real(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CLOVEN_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("CLOVEN_DATA is not set: real-data check not run");
    }
    Some(folder?.join("tabular").join(name))
}

fn whole(ids: Ids) -> Vec<Vec<String>> {
    assert_eq!(ids.missing, 0);
    ids.rows.into_iter().flatten().collect()
}

#[test]
fn two_holders_of_credit_data_cut_alike() {
    let Some(file) = real("UCI_Credit_Card.csv.gz") else { return };
    let options = FeatureOptions {
        csv: Some(CsvOptions {
            target: Some(Column::Name("default.payment.next.month".into())),
            drop: vec![Column::Name("ID".into())],
            ..CsvOptions::default()
        }),
        ..FeatureOptions::default()
    };
    let expected = Expectation {
        shape: vec![23],
        classes: None,
        multi_label: false,
    };
    let ids = whole(read_ids(&file, &id_options(&["ID"]), &options).unwrap());
    let features = read_features(&file, &options, &expected).unwrap();
    assert_eq!((ids.len(), features.rows.len()), (30_000, 30_000));
    assert_eq!((ids[0][0].as_str(), features.x[[0, 0]]), ("1", 20_000.0));

    let split = HashSplit {
        test: 0.2,
        salt: "credit".into(),
    };
    let (train, test) = split.rows(&ids).unwrap();
    assert!((test.len() as f64 - 6000.0).abs() < 5.0 * 4800f64.sqrt(), "{}", test.len());
    // The other holder has every third row, in reverse.
    let theirs: Vec<_> = ids.iter().step_by(3).rev().cloned().collect();
    let (_, their_test) = split.rows(&theirs).unwrap();
    let tested: BTreeSet<_> = test.iter().map(|&row| &ids[row]).collect();
    let trained: BTreeSet<_> = train.iter().map(|&row| &ids[row]).collect();
    let theirs_tested: BTreeSet<_> = their_test.iter().map(|&row| &theirs[row]).collect();
    for id in &theirs {
        assert!(tested.contains(id) != trained.contains(id));
        assert_eq!(theirs_tested.contains(id), tested.contains(id));
    }
}

#[test]
fn companies_stay_whole() {
    let Some(file) = real("financial_distress.csv.gz") else {
        return;
    };
    let options = FeatureOptions::default();
    let ids = whole(read_ids(&file, &id_options(&["Company", "Time"]), &options).unwrap());
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 3672);
    let companies = whole(read_ids(&file, &id_options(&["Company"]), &options).unwrap());
    let split = HashSplit {
        test: 0.2,
        salt: "distress".into(),
    };
    let (train, test) = split.rows(&companies).unwrap();
    assert_eq!(train.len() + test.len(), 3672);
    let mut parts: BTreeMap<&str, BTreeSet<bool>> = BTreeMap::new();
    for (rows, tested) in [(&train, false), (&test, true)] {
        for &row in rows {
            parts.entry(&companies[row][0]).or_default().insert(tested);
        }
    }
    assert_eq!(parts.len(), 422);
    assert!(parts.values().all(|sides| sides.len() == 1));
    let tested = parts.values().filter(|sides| sides.contains(&true)).count() as f64;
    assert!((tested - 84.4).abs() < 5.0 * (422.0 * 0.16f64).sqrt(), "{tested}");
}
