//! Labels that a file to predict from happens to carry.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;

use cloven_data::{Expectation, FeatureOptions, GivenLabels, Targets, read_features, read_labels};

/// Reads features and labels of a table of two features, as after a training with these `[csv]` options.
fn labels(csv: &str, classes: Option<&[&str]>, text: &str) -> Result<Option<GivenLabels>, String> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("p.csv");
    fs::write(&file, text).unwrap();
    let mut options: FeatureOptions = toml::from_str(&format!("[csv]\n{csv}")).unwrap();
    options.feature_names = Some(vec!["age".into(), "height".into()]).filter(|_| !csv.contains("header = false"));
    let expected = Expectation {
        shape: vec![2],
        classes: None,
        multi_label: false,
    };
    let features = read_features(&file, &options, &expected).unwrap();
    let classes: Option<Vec<String>> = classes.map(|names| names.iter().map(|name| name.to_string()).collect());
    read_labels(&file, &options, &expected, &features, classes.as_deref()).map_err(|error| error.to_string())
}

#[test]
fn labels_are_found_by_name_and_missing_ones_left_out() {
    let text = "age,outcome,height\n1,yes,2\n3,?,4\n5,no,6\n?,yes,7\n8,yes,9\n";
    let dropping = "target = \"outcome\"\non_missing = \"drop-row\"";
    let given = labels(dropping, Some(&["no", "yes"]), text).unwrap().unwrap();
    // The fourth row is dropped for its missing feature: the fifth is at position 3.
    assert_eq!(given.positions, [0, 2, 3]);
    let Targets::Classes { index, names } = given.targets else {
        panic!("classes")
    };
    assert_eq!((index, names), (vec![1, 0, 1], vec!["no".to_string(), "yes".into()]));
}

#[test]
fn without_a_target_column_or_a_label_there_is_nothing() {
    let named = "target = \"outcome\"";
    assert_eq!(labels(named, Some(&["no"]), "age,height\n1,2\n").unwrap(), None);
    assert_eq!(labels(named, Some(&["no"]), "age,outcome,height\n1,?,2\n").unwrap(), None);
    let numbered = "header = false\ntarget = 2";
    assert_eq!(labels(numbered, Some(&["0", "1"]), "1,2\n3,4\n").unwrap(), None);
    let given = labels(numbered, Some(&["0", "1"]), "1,2,1\n3,4,0\n").unwrap().unwrap();
    assert_eq!(given.positions, [0, 1]);
}

#[test]
fn another_class_is_named_and_measured_values_are_numbers() {
    let named = "target = \"outcome\"";
    let error = labels(named, Some(&["no", "yes"]), "age,outcome,height\n1,perhaps,2\n").unwrap_err();
    assert!(
        error.ends_with("line 2 has the label \"perhaps\", expected one of no, yes"),
        "{error}"
    );
    let given = labels(named, None, "age,outcome,height\n1,2.5,2\n").unwrap().unwrap();
    assert_eq!(given.targets, Targets::Values(ndarray::array![[2.5]]));
    assert!(labels(named, None, "age,outcome,height\n1,no,2\n").is_err());
}
