use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::options::{
    BeatClasses, Cifar10Options, Column, CsvOptions, Hdf5Options, IdxOptions, Normalise, NpyOptions, OnMissing, ParquetOptions,
    WfdbOptions,
};
use crate::error::DataError;

mod options;

/// Where a party's data lies and how to read it: the `[data]` table of its `local.toml`.
///
/// ```toml
/// [data]
/// train = "train_ecg.hdf5"
/// test = "test_ecg.hdf5"
/// test_subsets = { disjoint = "test_disjoint_rows.idx.gz" }
/// ```
///
/// Relative paths start at the folder that is passed to [`load`](crate::load()), which is that of `local.toml`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The file to train on, and to cut a test part from when no `test` is given.
    pub train: PathBuf,
    /// The file to test on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<PathBuf>,
    /// The format of both files; told from their names when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// How to read CSV.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvOptions>,
    /// How to read HDF5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hdf5: Option<Hdf5Options>,
    /// How to read IDX.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idx: Option<IdxOptions>,
    /// How to read npy and npz.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub npy: Option<NpyOptions>,
    /// How to cut beats from WFDB records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wfdb: Option<WfdbOptions>,
    /// How to read Parquet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parquet: Option<ParquetOptions>,
    /// How to read CIFAR-10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cifar10: Option<Cifar10Options>,
    /// How the train file is cut where there is no `test`, instead of by rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub groups: Option<Groups>,
    /// The names of the labels, in the order of their columns, where a job has `multi_label`; their numbers when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_names: Option<Vec<String>>,
    /// Named parts of the test file to report on separately: IDX files of 0-based row numbers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub test_subsets: BTreeMap<String, PathBuf>,
}

/// A file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text table, one row per line, also gzipped.
    Csv,
    /// Hierarchical Data Format 5.
    Hdf5,
    /// The layout of the MNIST files: a short header and big-endian elements, also gzipped.
    Idx,
    /// NumPy's files: `.npy`, one array, also gzipped, or `.npz`, several.
    Npy,
    /// Records of PhysioNet's waveform databases: a folder of them, or the header `.hea` of one.
    Wfdb,
    /// Apache Parquet: a table in columns.
    Parquet,
    /// The "binary version" of CIFAR-10: a file of 3,073-byte records, also gzipped, or the folder of them.
    Cifar10,
}

/// A cut between train and test part that leaves groups of rows whole, such as patients or the folds of a publication.
///
/// ```toml
/// [data]
/// groups = { file = "meta.csv", column = "strat_fold", test = [9, 10] }
/// ```
///
/// Both parts keep the file's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Groups {
    /// A CSV file with a header and a line for each row of the data, in the same order.
    pub file: PathBuf,
    /// The column that says which group a row belongs to.
    pub column: Column,
    /// The groups to test on; when absent, a share of all groups, drawn with the job's seed, of
    /// [`Split::test_fraction`](crate::Split).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Vec<Group>>,
}

/// The name of a group of rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected the name or the number of a group")]
pub enum Group {
    /// An integer; `9` is also spelt `9.0` in files.
    Number(i64),
    /// Text as it stands in the column.
    Name(String),
}

impl Group {
    /// Whether this text in a file is this group.
    pub(crate) fn is(&self, text: &str) -> bool {
        match self {
            Group::Number(number) => text.parse() == Ok(*number) || text.parse() == Ok(*number as f64),
            Group::Name(name) => name == text,
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Group::Number(number) => write!(f, "{number}"),
            Group::Name(name) => write!(f, "{name:?}"),
        }
    }
}

impl Format {
    /// The format that a file name stands for, such as `.csv.gz` or `-ubyte.gz`.
    pub fn of(file: &Path) -> Option<Format> {
        let name = file.file_name()?.to_str()?.to_ascii_lowercase();
        if name.ends_with(".hdf5") || name.ends_with(".h5") {
            return Some(Format::Hdf5);
        }
        let plain = name.strip_suffix(".gz").unwrap_or(&name);
        if plain.ends_with(".csv") || plain.ends_with(".data") {
            Some(Format::Csv)
        } else if plain.ends_with(".idx") || plain.ends_with("-ubyte") {
            Some(Format::Idx)
        } else if plain.ends_with(".npy") || name.ends_with(".npz") {
            Some(Format::Npy)
        } else if name.ends_with(".hea") {
            Some(Format::Wfdb)
        } else if name.ends_with(".parquet") {
            Some(Format::Parquet)
        } else if plain.ends_with(".bin") {
            Some(Format::Cifar10)
        } else {
            None
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Format::Csv => "CSV",
            Format::Hdf5 => "HDF5",
            Format::Idx => "IDX",
            Format::Npy => "npy",
            Format::Wfdb => "WFDB",
            Format::Parquet => "Parquet",
            Format::Cifar10 => "CIFAR-10",
        })
    }
}

impl Source {
    /// Makes every relative path count from `base`.
    pub fn resolve(&mut self, base: &Path) {
        let idx = self
            .idx
            .iter_mut()
            .flat_map(|idx| [&mut idx.train_labels, &mut idx.test_labels]);
        let npy = self
            .npy
            .iter_mut()
            .flat_map(|npy| [&mut npy.train_labels, &mut npy.test_labels]);
        let optional = idx.chain(npy).chain([&mut self.test]).filter_map(Option::as_mut);
        let groups = self.groups.iter_mut().map(|groups| &mut groups.file);
        for path in optional
            .chain(groups)
            .chain(self.test_subsets.values_mut())
            .chain([&mut self.train])
        {
            *path = base.join(&*path);
        }
    }

    /// The format of the train and test file, which must agree with each other and with the option tables given.
    pub(crate) fn resolve_format(&self) -> Result<Format, DataError> {
        let of = |file: &PathBuf| match Format::of(file) {
            // The name of a folder of records or images says nothing.
            None if self.wfdb.is_some() => Ok(Format::Wfdb),
            None if self.cifar10.is_some() => Ok(Format::Cifar10),
            format => format.ok_or_else(|| DataError::UnknownFormat { file: file.clone() }),
        };
        let format = self.format.map_or_else(|| of(&self.train), Ok)?;
        if self.format.is_none()
            && let Some(test) = &self.test
        {
            let actual = of(test)?;
            if actual != format {
                let what = format!("the test file {} is {actual}", test.display());
                return Err(DataError::FormatMismatch {
                    file: self.train.clone(),
                    format,
                    what,
                });
            }
        }
        let tables = [
            (Format::Csv, self.csv.is_some()),
            (Format::Hdf5, self.hdf5.is_some()),
            (Format::Idx, self.idx.is_some()),
            (Format::Npy, self.npy.is_some()),
            (Format::Wfdb, self.wfdb.is_some()),
            (Format::Parquet, self.parquet.is_some()),
            (Format::Cifar10, self.cifar10.is_some()),
        ];
        for (table, given) in tables {
            if given && table != format {
                let what = format!("options for {table} are set");
                return Err(DataError::FormatMismatch {
                    file: self.train.clone(),
                    format,
                    what,
                });
            }
        }
        Ok(format)
    }
}
