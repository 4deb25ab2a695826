use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::labels;
use crate::samples::{Samples, Targets};
use crate::source::Column;

fn options(target: &str) -> CsvOptions {
    CsvOptions {
        target: Some(Column::Name(target.into())),
        ..CsvOptions::default()
    }
}

fn headless(target: usize) -> CsvOptions {
    CsvOptions {
        header: false,
        target: Some(Column::Number(target)),
        ..CsvOptions::default()
    }
}

fn read(text: &str, options: &CsvOptions) -> Result<Samples, DataError> {
    let table = parse(text.as_bytes(), Path::new("t.csv"), options)?;
    let targets = labels::number(std::slice::from_ref(&table), options.classes.as_deref())?.swap_remove(0);
    Ok(table.into_samples(targets))
}

fn refused(text: &str, options: &CsvOptions) -> String {
    read(text, options).expect_err("the table is faulty").to_string()
}

fn classes(samples: &Samples) -> (&[u32], Vec<&str>) {
    match &samples.targets {
        Targets::Classes { index, names } => (index, names.iter().map(String::as_str).collect()),
        _ => panic!("expected classes"),
    }
}

#[test]
fn reads_features_and_classes_by_name() {
    let samples = read("a,b,kind\n1, 2.5 ,yes\n-3,4e1,no\n", &options("kind")).unwrap();
    assert_eq!(samples.x.shape(), [2, 2]);
    assert_eq!(samples.x.as_slice().unwrap(), [1.0, 2.5, -3.0, 40.0]);
    assert_eq!(samples.feature_names.as_deref(), Some(&["a".to_string(), "b".into()][..]));
    assert_eq!(classes(&samples), (&[1, 0][..], vec!["no", "yes"]));
    assert_eq!(samples.class_counts(), [1, 1]);
}

#[test]
fn reads_without_a_header_by_number_and_drops_columns() {
    let options = CsvOptions {
        drop: vec![Column::Number(0)],
        ..headless(2)
    };
    let samples = read("1001,5,4\n1002,6,2\n", &options).unwrap();
    assert_eq!(samples.x.as_slice().unwrap(), [5.0, 6.0]);
    assert_eq!(samples.feature_names, None);
    assert_eq!(classes(&samples), (&[1, 0][..], vec!["2", "4"]));
}

fn including(columns: &[&str], options: CsvOptions) -> CsvOptions {
    let include = columns.iter().map(|name| Column::Name((*name).into())).collect();
    CsvOptions {
        include: Some(include),
        ..options
    }
}

#[test]
fn included_columns_come_in_the_order_asked_for() {
    let text = "a,b,c,y\n1,2,3,0\n4,5,x,1\n";
    let samples = read(text, &including(&["b", "a"], options("y"))).unwrap();
    assert_eq!(samples.x.as_slice().unwrap(), [2.0, 1.0, 5.0, 4.0]);
    assert_eq!(samples.feature_names.as_deref(), Some(&["b".to_string(), "a".into()][..]));
    let by_number = CsvOptions {
        include: Some(vec![Column::Number(2), Column::Number(0)]),
        ..headless(3)
    };
    assert_eq!(read("1,2,3,0\n", &by_number).unwrap().x.as_slice().unwrap(), [3.0, 1.0]);
}

#[test]
fn included_columns_that_cannot_be_are_named() {
    let text = "a,b,y\n1,2,0\n";
    let dropping = CsvOptions {
        drop: vec![Column::Name("b".into())],
        ..options("y")
    };
    for (options, expected) in [
        (
            including(&["a", "d"], options("y")),
            "t.csv: no column \"d\"; the file has a, b, y",
        ),
        (
            including(&["a", "a"], options("y")),
            "csv.include must be columns that differ, got column 0 twice",
        ),
        (
            including(&["a", "y"], options("y")),
            "csv.include must be a list of columns other than the target and dropped ones, got a list with column 2",
        ),
        (
            including(&["b"], dropping),
            "csv.include must be a list of columns other than the target and dropped ones, got a list with column 1",
        ),
        (
            including(&[], options("y")),
            "t.csv: not a valid CSV file: no feature column is left beside the target",
        ),
    ] {
        assert_eq!(refused(text, &options), expected);
    }
}

#[test]
fn integer_classes_sort_as_numbers_and_others_as_text() {
    let samples = read("x,y\n1,10\n1,9\n1,2.0\n", &options("y")).unwrap();
    assert_eq!(classes(&samples), (&[2, 1, 0][..], vec!["2", "9", "10"]));
    let samples = read("x,y\n1,10\n1,9\n1,b\n", &options("y")).unwrap();
    assert_eq!(classes(&samples), (&[0, 1, 2][..], vec!["10", "9", "b"]));
}

#[test]
fn given_classes_fix_the_order() {
    let given = |names: &[&str]| CsvOptions {
        classes: Some(names.iter().map(|n| n.to_string()).collect()),
        ..options("y")
    };
    let samples = read("x,y\n1,sick\n2,well\n", &given(&["well", "sick", "unknown"])).unwrap();
    assert_eq!(classes(&samples), (&[1, 0][..], vec!["well", "sick", "unknown"]));
    assert_eq!(
        refused("x,y\n1,sick\n2,dead\n", &given(&["well", "sick"])),
        "t.csv: line 3 has the label \"dead\", expected one of well, sick"
    );
}

#[test]
fn regression_keeps_values() {
    let samples = read(
        "x,y\n1,0.5\n2,7\n",
        &CsvOptions {
            regression: true,
            ..options("y")
        },
    )
    .unwrap();
    assert_eq!(samples.targets, Targets::Values(ndarray::array![[0.5], [7.0]]));
    assert!(samples.class_counts().is_empty());
}

#[test]
fn missing_values_are_named_and_counted() {
    let text = "id,age,bmi,y\n1,50,,0\n2,?,NA,1\n3,40,20,1\n";
    assert_eq!(
        refused(text, &options("y")),
        "t.csv: line 2, column bmi is missing (\"\"), 3 missing values in all; fill them in or set on_missing = \"drop-row\""
    );
    let table = parse(
        text.as_bytes(),
        Path::new("t.csv"),
        &CsvOptions {
            on_missing: OnMissing::DropRow,
            ..options("y")
        },
    )
    .unwrap();
    assert_eq!((table.x.shape(), table.dropped), (&[1, 3][..], 2));
    // Columns that are not read may have holes.
    let options = CsvOptions {
        drop: vec![Column::Name("bmi".into()), Column::Name("age".into())],
        ..options("y")
    };
    assert_eq!(read(text, &options).unwrap().rows(), 3);
}

#[test]
fn lines_are_counted_as_an_editor_does() {
    for text in ["a,y\n1,0\n\n\"2\n\",0\nx,1\n", "a,y\r\n1,0\r\n\r\n\"2\r\n\",0\r\nx,1\r\n"] {
        assert_eq!(
            refused(text, &options("y")),
            "t.csv: line 6, column a: expected a number, found \"x\"; list the column under drop if it is no feature",
            "{text:?}"
        );
    }
    for text in [
        "a,y\r\n1,0\r\n?,0\r\n",
        "a,y\n1,0\n?,0",
        "\n\na,y\n?,0",
        "a,y\n\n\n\"?\",0",
        "a,y\r\n1,0\r\n \"?\",0",
    ] {
        let line = text.lines().position(|line| line.contains('?')).unwrap() + 1;
        assert_eq!(
            refused(text, &options("y")).split(',').next(),
            Some(format!("t.csv: line {line}").as_str()),
            "{text:?}"
        );
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_name() {
    assert_eq!(read("\u{feff}y,a\n0,1\n", &options("y")).unwrap().rows(), 1);
}

#[test]
fn values_that_are_not_finite_are_refused() {
    let none_missing = CsvOptions {
        missing: Vec::new(),
        ..options("y")
    };
    for value in ["inf", "-Infinity", "NaN", "1e39"] {
        assert_eq!(
            refused(&format!("a,y\n{value},0\n"), &none_missing),
            format!("t.csv: line 2, column a is {value}, expected a finite 32-bit number")
        );
    }
}

#[test]
fn faults_of_form_are_one_sentence() {
    let cases = [
        ("", options("y"), "t.csv: expected at least one row of data, found none"),
        ("a,y\n", options("y"), "t.csv: expected at least one row of data, found none"),
        ("a,y\n1,0\n1,0,7\n", options("y"), "t.csv: line 3 has 3 fields, expected 2"),
        ("a,b\n1,0\n", options("y"), "t.csv: no column \"y\"; the file has a, b"),
        (
            "1,0\n",
            headless(2),
            "t.csv: no column 2; the file has no header and the columns 0 to 1",
        ),
        (
            "y,y\n1,0\n",
            options("y"),
            "t.csv: the column name \"y\" occurs 2 times; name it by its number",
        ),
        (
            "y\n1\n",
            options("y"),
            "t.csv: not a valid CSV file: no feature column is left beside the target",
        ),
        (
            "a,y\n1,0\n",
            CsvOptions::default(),
            "t.csv: csv.target is not set; name the column to predict; the file has a, y",
        ),
        (
            "a,y\n1,0\n",
            CsvOptions {
                delimiter: 'é',
                ..options("y")
            },
            "csv.delimiter must be one ASCII character, got 'é'",
        ),
        (
            "a,y\n1,0\n",
            CsvOptions {
                drop: vec![Column::Number(1)],
                ..options("y")
            },
            "csv.drop must be a list of columns other than the target, got a list with column 1",
        ),
        (
            "6,148,0.6,1\n1,85,0.3,0\n",
            options("y"),
            "t.csv: expected column names in the first line, found only numbers (6, 148, 0.6, 1); set header = false if the file has no header",
        ),
    ];
    for (text, options, expected) in cases {
        assert_eq!(refused(text, &options), expected);
    }
    let latin = parse(&b"a,y\n1,\xe9\n"[..], Path::new("t.csv"), &options("y")).unwrap_err();
    assert_eq!(latin.to_string(), "t.csv: not a valid CSV file: line 2 is not UTF-8 text");
}

#[test]
fn rising_numbers_may_be_names() {
    assert_eq!(read("0,1,2\n5,6,1\n", &options("2")).unwrap().rows(), 1);
}

#[test]
fn too_many_classes_point_to_regression() {
    let text: String = (0..5000).map(|row| format!("1,{}\n", f64::from(row) / 7.0)).collect();
    assert!(refused(&text, &headless(1)).contains("set regression = true"));
}

proptest! {
    #[test]
    fn any_bytes_give_a_table_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = parse(&bytes[..], Path::new("t.csv"), &headless(0));
        let _ = parse(&bytes[..], Path::new("t.csv"), &options("y"));
    }

    #[test]
    fn numbers_survive(rows in proptest::collection::vec((-1e30f32..1e30, 0u8..5), 1..40)) {
        let text: String = rows.iter().map(|(value, class)| format!("{value},{class}\n")).collect();
        let samples = read(&text, &headless(1)).unwrap();
        let values: Vec<f32> = rows.iter().map(|row| row.0).collect();
        prop_assert_eq!(samples.x.as_slice().unwrap(), &values[..]);
    }
}
