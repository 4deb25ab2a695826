use super::*;
use crate::LocalData;

fn parse(text: &str) -> Result<LocalData, String> {
    LocalData::try_from(toml::from_str::<toml::Table>(text).unwrap())
}

#[test]
fn ids_make_a_table_of_a_source() {
    let text = "train = \"rows.csv\"\nids = [\"company\", 1]\ncategorical = [\"ward\"]\npreprocess = { missing = \"mean\", clip = \"off\" }\n[csv]\ntarget = \"outcome\"";
    let LocalData::Table(table) = parse(text).unwrap() else {
        panic!("no table")
    };
    assert_eq!(table.options.ids.columns, [Column::Name("company".into()), Column::Number(1)]);
    assert_eq!(table.preprocess.missing, cloven_data::MissingValues::Mean);
    assert_eq!(table.preprocess.clip, cloven_data::Clip::Off);
    // What is written for another process is what was read.
    let again = LocalData::try_from(toml::Table::from(LocalData::Table(table.clone()))).unwrap();
    assert_eq!(again, LocalData::Table(table.clone()));
    let whole = table.without_ids();
    assert_eq!(whole.csv.unwrap().drop, table.options.ids.columns);

    let folded = parse("train = \"rows.parquet\"\nids = { columns = [\"email\"], fold_case = true }").unwrap();
    let LocalData::Table(folded) = folded else {
        panic!("no table")
    };
    assert!(folded.options.ids.fold_case);
    assert_eq!(folded.without_ids().parquet.unwrap().drop, folded.options.ids.columns);
}

#[test]
fn what_does_not_go_with_ids_is_refused() {
    for (text, expected) in [
        ("ids = [\"a\"]", "expected train"),
        ("train = \"x.csv\"\nids = [\"a\"]\ntest = \"y.csv\"", "leave `test` out"),
        ("train = \"x.csv\"\nids = \"a\"", "ids"),
        (
            "train = \"x.csv\"\nids = [\"a\"]\npreprocess = { standardise = true }",
            "the job says",
        ),
        ("train = \"x.csv\"\nids = [\"a\"]\nembedded = \"wdbc\"", "embedded"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn a_range_of_columns_is_two_numbers() {
    let range = crate::ColumnRange::try_from("3 .. 12".to_owned()).unwrap();
    assert_eq!(String::from(range), "3..12");
    for text in ["3", "12..3", "a..b", "..", "1..=2"] {
        assert!(crate::ColumnRange::try_from(text.to_owned()).is_err(), "{text}");
    }
}
