//! Data sets known by name: some inside the program, and public ones looked for in the folder that `CLOVEN_DATA` names.

use std::path::{Path, PathBuf};

use cloven_data::{
    Column, CsvOptions, Group, Groups, IdOptions, IdxOptions, Preprocessing, Samples, Source, VerticalOptions, WfdbOptions,
    embedded,
};

use crate::{Error, LocalData, TableSource};

/// Known names, and what they are.
pub const DATASETS: [(&str, &str); 9] = [
    (
        "wdbc",
        "breast cancer Wisconsin (diagnostic), 569 x 30, 2 classes; inside the program",
    ),
    (
        "digits",
        "handwritten digits (UCI optical recognition), 1,797 x (1, 8, 8), 10 classes; inside the program",
    ),
    (
        "mitbih",
        "heart beats of the MIT-BIH arrhythmia database, 13,245 + 13,245 x (1, 128), 5 classes; CLOVEN_DATA/mitbih",
    ),
    (
        "mnist",
        "handwritten digits, 60,000 + 10,000 x (1, 28, 28), 10 classes; CLOVEN_DATA/mnist",
    ),
    (
        "cifar10",
        "pictures, the first 4,000 of CIFAR-10 and 1,000 for testing, (3, 32, 32), 10 classes; CLOVEN_DATA/cifar10",
    ),
    (
        "ptbxl",
        "twelve-lead ECGs, the first 500 of PTB-XL, 500 x (12, 1000) in millivolt, 5 labels; CLOVEN_DATA/ptbxl500",
    ),
    (
        "mitdb",
        "heart beats cut from the records of the MIT-BIH arrhythmia database, (1, 128), 5 classes; CLOVEN_DATA/mitdb",
    ),
    (
        "credit",
        "default of credit card clients (UCI), 30,000 x 23 with ids, 2 classes; CLOVEN_DATA/tabular",
    ),
    (
        "distress",
        "financial distress of companies, 3,672 x 83 with ids, 2 classes; CLOVEN_DATA/tabular",
    ),
];

type Maker = fn() -> Samples;

/// Those inside the program.
const EMBEDDED: [(&str, Maker); 2] = [("wdbc", embedded::wdbc), ("digits", embedded::digits)];

/// Where a known data set is; an error says what to do about an unknown or absent one.
pub(crate) fn find(name: &str) -> Result<LocalData, Error> {
    if EMBEDDED.iter().any(|(known, _)| *known == name) {
        return Ok(LocalData::Embedded(name.to_owned()));
    }
    let (folder, source): (_, fn(&Path) -> LocalData) = match name {
        "mitbih" => ("mitbih", |folder| files(mitbih(folder))),
        "mnist" => ("mnist", |folder| files(mnist(folder))),
        "cifar10" => ("cifar10", |folder| files(cifar10(folder))),
        "ptbxl" => ("ptbxl500", |folder| files(ptbxl(folder))),
        "mitdb" => ("mitdb", |folder| files(mitdb(folder))),
        "credit" => ("tabular", credit),
        "distress" => ("tabular", distress),
        _ => {
            let known: Vec<_> = DATASETS.iter().map(|(known, _)| *known).collect();
            let problem = format!(
                "{name:?} is not a data set known by name ({}); say where it is in the client's local.toml (`cloven init`)",
                known.join(", ")
            );
            return Err(Error::configuration("data.name", problem));
        }
    };
    let data = std::env::var_os("CLOVEN_DATA").map(PathBuf::from).ok_or_else(|| {
        Error::configuration(
            "data.name",
            format!("{name} is looked for in the folder that CLOVEN_DATA names, which is not set"),
        )
    })?;
    let data = std::path::absolute(&data).map_err(Error::file(&data))?;
    Ok(source(&data.join(folder)))
}

/// A data set inside the program.
pub(crate) fn inside(name: &str) -> Result<Samples, Error> {
    let found = EMBEDDED.iter().find(|(known, _)| *known == name);
    found.map(|(_, samples)| samples()).ok_or_else(|| {
        let known: Vec<_> = EMBEDDED.iter().map(|(known, _)| *known).collect();
        Error::configuration("data.embedded", format!("expected one of {}, got {name:?}", known.join(", ")))
    })
}

fn files(source: Source) -> LocalData {
    LocalData::Files(Box::new(source))
}

/// A table with columns that are the ids of its rows.
fn table(file: PathBuf, target: Option<&str>, ids: &[&str]) -> LocalData {
    let name = |name: &&str| Column::Name((*name).to_owned());
    let csv = CsvOptions {
        target: target.as_ref().map(name),
        ..CsvOptions::default()
    };
    let ids = IdOptions {
        columns: ids.iter().map(name).collect(),
        fold_case: false,
    };
    LocalData::Table(Box::new(TableSource {
        file,
        options: VerticalOptions {
            ids,
            split_by: Vec::new(),
            categorical: Vec::new(),
            format: None,
            csv: Some(csv),
            parquet: None,
        },
        preprocess: Preprocessing::default(),
    }))
}

fn credit(folder: &Path) -> LocalData {
    table(
        folder.join("UCI_Credit_Card.csv.gz"),
        Some("default.payment.next.month"),
        &["ID"],
    )
}

/// A company's row of each period.
fn distress(folder: &Path) -> LocalData {
    table(
        folder.join("financial_distress.csv.gz"),
        Some("Financial Distress"),
        &["Company", "Time"],
    )
}

fn mitbih(folder: &Path) -> Source {
    Source {
        train: folder.join("train_ecg.hdf5"),
        test: Some(folder.join("test_ecg.hdf5")),
        // 3,678 test rows also occur among the training rows; these are the ones that do not.
        test_subsets: [("disjoint".to_owned(), folder.join("test_disjoint_rows.idx.gz"))].into(),
        ..Source::default()
    }
}

fn mnist(folder: &Path) -> Source {
    Source {
        train: folder.join("train-images-idx3-ubyte.gz"),
        test: Some(folder.join("t10k-images-idx3-ubyte.gz")),
        idx: Some(IdxOptions {
            train_labels: Some(folder.join("train-labels-idx1-ubyte.gz")),
            test_labels: Some(folder.join("t10k-labels-idx1-ubyte.gz")),
            ..IdxOptions::default()
        }),
        ..Source::default()
    }
}

fn cifar10(folder: &Path) -> Source {
    Source {
        train: folder.join("lossless_train4000.bin.gz"),
        test: Some(folder.join("lossless_test1000.bin.gz")),
        ..Source::default()
    }
}

/// The five diagnostic superclasses; folds 9 and 10 are for testing, as the authors of PTB-XL recommend of fold 10.
fn ptbxl(folder: &Path) -> Source {
    Source {
        train: folder.join("x_100hz_i16.idx.gz"),
        idx: Some(IdxOptions {
            train_labels: Some(folder.join("y_superclass5.idx.gz")),
            // Microvolt to millivolt.
            divide_by: Some(1000.0),
            ..IdxOptions::default()
        }),
        groups: Some(Groups {
            file: folder.join("meta.csv"),
            column: Column::Name("strat_fold".into()),
            test: Some(vec![Group::Number(9), Group::Number(10)]),
        }),
        label_names: Some(["NORM", "MI", "STTC", "CD", "HYP"].map(String::from).into()),
        ..Source::default()
    }
}

/// Records are drawn for testing with the job's seed: no patient's beats are in both parts, but for 201 and 202, which are of one.
fn mitdb(folder: &Path) -> Source {
    Source {
        train: folder.to_owned(),
        wfdb: Some(WfdbOptions::default()),
        ..Source::default()
    }
}

/// The same for a holder: the label holder's has a target.
pub(crate) fn own_table(labelled: bool) -> LocalData {
    table("train.csv".into(), labelled.then_some("label"), &["id"])
}

/// What `cloven init` writes for data of the user's own: a CSV file to be replaced.
pub(crate) fn own() -> LocalData {
    LocalData::Files(Box::new(Source {
        train: "train.csv".into(),
        csv: Some(CsvOptions {
            target: Some(Column::Name("label".into())),
            ..CsvOptions::default()
        }),
        ..Source::default()
    }))
}
