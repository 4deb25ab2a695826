//! A large table as a holder of a vertical job reads it: seconds, of which the processor was at work, and the process's peak memory.
//!
//!     cargo bench -p cloven-data --bench vertical -- 1000000 40

#![allow(clippy::unwrap_used, reason = "a bench fails by panicking")]

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use cloven_data::{HashSplit, MissingValues, Preprocessing, Preprocessor, VerticalOptions, read_vertical};

fn main() {
    let sizes: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let (rows, columns) = match sizes[..] {
        [rows, columns, ..] => (rows, columns),
        _ => (1_000_000, 40),
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("large.csv");
    write(&file, rows, columns);
    let bytes = file.metadata().unwrap().len();
    println!("{rows} rows, {columns} columns, {:.0} MB of CSV", bytes as f64 / 1e6);

    let options: VerticalOptions =
        toml::from_str("ids.columns = ['id']\ncategorical = ['c0', 'c1']\ncsv.target = 'label'").unwrap();
    let (mut start, mut worked) = (Instant::now(), processor());
    let mut step = |what: &str| {
        let (elapsed, work) = (start.elapsed().as_secs_f64(), processor() - worked);
        println!("{what}: {elapsed:.2} s, processor {work:.2} s, peak {:.0} MB", peak());
        (start, worked) = (Instant::now(), processor());
    };
    let mut table = read_vertical(&file, &options).unwrap();
    step("read");
    let reversed: Vec<usize> = (0..table.len()).rev().collect();
    table = table.select(&reversed).unwrap();
    step("aligned");
    let split = HashSplit {
        test: 0.2,
        salt: "bench".into(),
    };
    let (train, test) = table.split(&split).unwrap();
    step("split");
    let preprocessing = Preprocessing {
        missing: MissingValues::Median,
        standardise: true,
        ..Preprocessing::default()
    };
    let preprocessor = Preprocessor::fit(&preprocessing, &table, &train).unwrap();
    step("fitted");
    let prepared = [train, test].map(|rows| preprocessor.apply(&table, &rows).unwrap());
    step("applied");
    assert_eq!(prepared.iter().map(|part| part.features.nrows()).sum::<usize>(), rows);
}

/// A hundredth of the numbers is missing; two columns hold categories.
fn write(file: &Path, rows: usize, columns: usize) {
    let mut out = BufWriter::new(File::create(file).unwrap());
    let names: Vec<String> = (0..columns).map(|column| format!("c{column}")).collect();
    writeln!(out, "id,label,{}", names.join(",")).unwrap();
    let mut state = 1u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 33
    };
    for row in 0..rows {
        write!(out, "p{row:09},{}", next() % 2).unwrap();
        for column in 0..columns {
            match (column, next()) {
                (0 | 1, value) => write!(out, ",k{}", value % 20),
                (_, value) if value % 100 == 0 => write!(out, ","),
                (_, value) => write!(out, ",{}", value as f64 / 1e5 - 1e4),
            }
            .unwrap();
        }
        writeln!(out).unwrap();
    }
}

/// Seconds that this process has computed, as Linux counts them; 0 elsewhere.
fn processor() -> f64 {
    let text = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

/// In MB, as Linux counts it; 0 elsewhere.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or_default() / 1e3
}
