//! Real tables cut into columns for several holders, where `CLOVEN_DATA` names their folder.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use cloven_data::{HashSplit, Preprocessing, Preprocessor, Targets, VerticalOptions, VerticalTable, read_vertical};
use flate2::read::GzDecoder;
use ndarray::{Array2, Axis, concatenate, s};

fn real(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("CLOVEN_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("CLOVEN_DATA is not set: real-data check not run");
    }
    Some(folder?.join("tabular").join(name))
}

/// The lines of a gzipped table without quotes, the first of which holds the names.
fn lines(file: &Path) -> Vec<Vec<String>> {
    let mut text = String::new();
    GzDecoder::new(fs::File::open(file).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let fields = |line: &str| line.split(',').map(|field| field.trim_matches('"').to_owned()).collect();
    text.lines().map(fields).collect()
}

/// The order of the rows at one holder, another for each `step`, which shares no factor with their number.
fn shuffled(rows: usize, step: usize) -> Vec<usize> {
    let order: Vec<usize> = (0..rows).map(|row| (row * step + 3) % rows).collect();
    assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), rows);
    order
}

/// Writes these columns of the table, its rows in this order.
fn write(file: &Path, table: &[Vec<String>], columns: &[usize], order: &[usize]) {
    let line = |row: &Vec<String>| {
        columns
            .iter()
            .map(|&column| row[column].as_str())
            .collect::<Vec<_>>()
            .join(",")
            + "\n"
    };
    let rows = order.iter().map(|&row| line(&table[row + 1]));
    fs::write(file, std::iter::once(line(&table[0])).chain(rows).collect::<String>()).unwrap();
}

/// The rows in the order of their ids as text, as holders may agree on.
fn aligned(table: &VerticalTable) -> VerticalTable {
    let by_id: BTreeMap<&[String], usize> = table.ids.iter().enumerate().map(|(row, id)| (&id[..], row)).collect();
    table.select(&by_id.into_values().collect::<Vec<_>>()).unwrap()
}

fn options(toml: &str) -> VerticalOptions {
    toml::from_str(toml).unwrap()
}

fn prepared(table: &VerticalTable, split: &HashSplit) -> [Array2<f32>; 2] {
    let (train, test) = table.split(split).unwrap();
    let standardising = Preprocessing {
        standardise: true,
        ..Preprocessing::default()
    };
    let preprocessor = Preprocessor::fit(&standardising, table, &train).unwrap();
    [train, test].map(|rows| preprocessor.apply(table, &rows).unwrap().features)
}

fn classes(table: &VerticalTable) -> &[u32] {
    match &table.targets {
        Some(Targets::Classes { index, .. }) => index,
        other => panic!("expected classes, got {other:?}"),
    }
}

const CREDIT: &str = "ids.columns = ['ID']\ncategorical = ['SEX', 'EDUCATION', 'MARRIAGE']";
const DEFAULT: &str = "default.payment.next.month";

#[test]
fn credit_data_cut_and_shuffled_are_the_pooled_data() {
    let Some(file) = real("UCI_Credit_Card.csv.gz") else { return };
    let text = lines(&file);
    let split = HashSplit {
        test: 0.2,
        salt: "credit".into(),
    };
    let pooled = read_vertical(&file, &options(&format!("{CREDIT}\ncsv.target = '{DEFAULT}'"))).unwrap();
    assert_eq!((pooled.len(), pooled.columns.len(), pooled.missing_ids), (30_000, 23, 0));
    let pooled = aligned(&pooled);
    assert_eq!(classes(&pooled).iter().filter(|class| **class == 1).count(), 6636);
    let expected = prepared(&pooled, &split);
    // 20 numbers and 2 + 7 + 4 categories.
    assert_eq!(expected[0].ncols(), 33);
    let column = expected[0].column(0);
    assert!(column.mean().unwrap().abs() < 1e-4 && (column.std(0.0) - 1.0).abs() < 1e-4);
    let one_hot = expected[0].slice(s![.., 1..14]);
    assert!(one_hot.sum_axis(Axis(1)).iter().all(|sum| *sum == 3.0));

    let folder = tempfile::tempdir().unwrap();
    let steps = [7, 11, 13, 17, 19];
    for holders in [2, 3, 5] {
        let mut parts: [Vec<Array2<f32>>; 2] = Default::default();
        for (holder, step) in steps.into_iter().enumerate().take(holders) {
            let file = folder.path().join(format!("{holders}-{holder}.csv"));
            let columns: Vec<usize> = (1..24).filter(|column| (column - 1) * holders / 23 == holder).collect();
            // The last holder has the labels too.
            let labels = (holder == holders - 1).then_some(24);
            let written: Vec<usize> = columns.iter().copied().chain(labels).chain([0]).collect();
            write(&file, &text, &written, &shuffled(30_000, step));
            let categorical = ["SEX", "EDUCATION", "MARRIAGE"]
                .into_iter()
                .filter(|name| columns.iter().any(|&c| text[0][c] == *name));
            let categorical: Vec<String> = categorical.map(|name| format!("'{name}'")).collect();
            let target = labels.map_or(String::new(), |_| format!("csv.target = '{DEFAULT}'"));
            let toml = format!("ids.columns = ['ID']\ncategorical = [{}]\n{target}", categorical.join(","));
            let table = aligned(&read_vertical(&file, &options(&toml)).unwrap());
            assert_eq!(table.ids, pooled.ids);
            match labels {
                Some(_) => assert_eq!(classes(&table), classes(&pooled)),
                None => assert_eq!(table.targets, None),
            }
            for (parts, part) in parts.iter_mut().zip(prepared(&table, &split)) {
                parts.push(part);
            }
        }
        for (parts, expected) in parts.iter().zip(&expected) {
            let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
            assert_eq!(concatenate(Axis(1), &views).unwrap(), expected, "{holders} holders");
        }
    }
}

#[test]
fn labels_alone_belong_to_the_rows_of_the_others() {
    let Some(file) = real("UCI_Credit_Card.csv.gz") else { return };
    let labels = format!("ids.columns = ['ID']\ncsv = {{ include = [], target = '{DEFAULT}' }}");
    let labels = read_vertical(&file, &options(&labels)).unwrap();
    assert_eq!((labels.features.dim(), classes(&labels).len()), ((30_000, 0), 30_000));
    let folder = tempfile::tempdir().unwrap();
    let shuffled_file = folder.path().join("labels.csv");
    write(&shuffled_file, &lines(&file), &[24, 0], &shuffled(30_000, 29));
    let toml = format!("ids.columns = ['ID']\ncsv.target = '{DEFAULT}'");
    assert_eq!(
        aligned(&read_vertical(&shuffled_file, &options(&toml)).unwrap()).targets,
        aligned(&labels).targets
    );
}

#[test]
fn companies_of_the_distress_data_stay_whole_at_both_holders() {
    let Some(file) = real("financial_distress.csv.gz") else {
        return;
    };
    let text = lines(&file);
    let base = "ids.columns = ['Company', 'Time']\nsplit_by = ['Company']";
    let pooled = read_vertical(&file, &options(&format!("{base}\ncsv.target = 'Financial Distress'"))).unwrap();
    assert_eq!((pooled.len(), pooled.columns.len()), (3672, 83));
    let pooled = aligned(&pooled);
    assert_eq!(classes(&pooled).iter().filter(|class| **class == 1).count(), 136);
    let split = HashSplit {
        test: 0.2,
        salt: "distress".into(),
    };
    let (train, test) = pooled.split(&split).unwrap();
    let companies = |rows: &[usize]| {
        rows.iter()
            .map(|&row| pooled.ids[row][0].clone())
            .collect::<BTreeSet<String>>()
    };
    let (trained, tested) = (companies(&train), companies(&test));
    assert!(trained.is_disjoint(&tested));
    assert_eq!(trained.len() + tested.len(), 422);

    let folder = tempfile::tempdir().unwrap();
    let expected = prepared(&pooled, &split);
    let [left, right] = [(3..45, 5, ""), (45..86, 7, "csv.target = 'Financial Distress'")].map(|(features, step, target)| {
        let file = folder.path().join(format!("{step}.csv"));
        let labels = (!target.is_empty()).then_some(2);
        let columns: Vec<usize> = [1, 0].into_iter().chain(features).chain(labels).collect();
        write(&file, &text, &columns, &shuffled(3672, step));
        let table = aligned(&read_vertical(&file, &options(&format!("{base}\n{target}"))).unwrap());
        assert_eq!((&table.ids, table.targets.is_some()), (&pooled.ids, labels.is_some()));
        prepared(&table, &split)
    });
    for part in [0, 1] {
        assert_eq!((left[part].ncols(), right[part].ncols()), (42, 41));
        assert_eq!(
            concatenate(Axis(1), &[left[part].view(), right[part].view()]).unwrap(),
            expected[part]
        );
    }
}
