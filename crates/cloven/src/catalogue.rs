//! Data sets known by name: some inside the program, and public ones looked for in the folder that `CLOVEN_DATA` names.

use std::path::{Path, PathBuf};

use cloven_data::{CsvOptions, IdxOptions, Samples, Source, embedded};

use crate::{Error, LocalData};

/// Known names, and what they are.
pub const DATASETS: [(&str, &str); 4] = [
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
];

type Maker = fn() -> Samples;

/// Those inside the program.
const EMBEDDED: [(&str, Maker); 2] = [("wdbc", embedded::wdbc), ("digits", embedded::digits)];

/// Where a known data set is; an error says what to do about an unknown or absent one.
pub(crate) fn find(name: &str) -> Result<LocalData, Error> {
    if EMBEDDED.iter().any(|(known, _)| *known == name) {
        return Ok(LocalData::Embedded(name.to_owned()));
    }
    let source: fn(&Path) -> Source = match name {
        "mitbih" => mitbih,
        "mnist" => mnist,
        _ => {
            let known: Vec<_> = DATASETS.iter().map(|(known, _)| *known).collect();
            let problem = format!(
                "{name:?} is not a data set known by name ({}); say where it is in the client's local.toml (`cloven init`)",
                known.join(", ")
            );
            return Err(Error::configuration("data.name", problem));
        }
    };
    let folder = std::env::var_os("CLOVEN_DATA").map(PathBuf::from).ok_or_else(|| {
        Error::configuration(
            "data.name",
            format!("{name} is looked for in the folder that CLOVEN_DATA names, which is not set"),
        )
    })?;
    let folder = std::path::absolute(&folder).map_err(Error::file(&folder))?;
    Ok(LocalData::Files(Box::new(source(&folder.join(name)))))
}

/// A data set inside the program.
pub(crate) fn inside(name: &str) -> Result<Samples, Error> {
    let found = EMBEDDED.iter().find(|(known, _)| *known == name);
    found.map(|(_, samples)| samples()).ok_or_else(|| {
        let known: Vec<_> = EMBEDDED.iter().map(|(known, _)| *known).collect();
        Error::configuration("data.embedded", format!("expected one of {}, got {name:?}", known.join(", ")))
    })
}

/// The columns of the embedded table, for files of the same form.
pub(crate) fn embedded_columns() -> CsvOptions {
    CsvOptions {
        target: Some(cloven_data::Column::Name("diagnosis".into())),
        ..CsvOptions::default()
    }
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

/// What `cloven init` writes for data of the user's own: a CSV file to be replaced.
pub(crate) fn own() -> LocalData {
    LocalData::Files(Box::new(Source {
        train: "train.csv".into(),
        csv: Some(CsvOptions {
            target: Some(cloven_data::Column::Name("label".into())),
            ..CsvOptions::default()
        }),
        ..Source::default()
    }))
}
