//! `cloven data inspect`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use common::{fail, json, succeed, text};

#[test]
fn a_table_is_described_for_people_and_for_programs() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/wdbc.csv");
    let printed = succeed(&["data", "inspect", &text(&file)]);
    for part in ["569", "mean_radius", "malignant", "212"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
    let described = json(&succeed(&["data", "inspect", &text(&file), "--json"]));
    assert_eq!(described["files"][0]["arrays"].as_array().unwrap().len(), 31);
}

#[test]
fn a_missing_file_is_a_data_error() {
    let error = fail(4, &["data", "inspect", "nothing.csv"]);
    assert!(error.contains("nothing.csv"), "{error}");
}
