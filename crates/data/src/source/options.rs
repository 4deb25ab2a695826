//! How to read each format: the tables below `[data]`.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How to read CSV files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvOptions {
    /// Whether the first line holds column names.
    pub header: bool,
    /// The character between fields.
    pub delimiter: char,
    /// The column to predict; needed for training, not for [`inspect`](crate::inspect()).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Column>,
    /// The classes in the order of their numbers; when absent, those that occur, sorted (numerically if all are integers).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// The only columns that are features, in this order; every column but target and dropped ones when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<Column>>,
    /// Columns that are neither feature nor target, such as a record number.
    pub drop: Vec<Column>,
    /// What stands for a missing value, compared after trimming blanks.
    pub missing: Vec<String>,
    /// What to do about a missing value in a feature or target.
    pub on_missing: OnMissing,
    /// Whether the target is a real value instead of a class.
    pub regression: bool,
}

/// A column of a table, by name or by 0-based number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a column name or a column number counted from 0")]
pub enum Column {
    /// By its 0-based number.
    Number(usize),
    /// By its name.
    Name(String),
}

/// What to do about a missing value.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnMissing {
    /// Refuse the file, naming the first missing value.
    #[default]
    Error,
    /// Leave out rows with a missing value.
    DropRow,
}

/// Which data sets of HDF5 files to read, each by its path in the file.
///
/// Without a name, the one data set whose name starts with `x` holds the features and the one that starts with `y` the labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hdf5Options {
    /// Features of the train file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Labels of the train file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Features of the test file; the name of `x` when absent and the test file has it. Without a test file, the train file is
    /// taken for both parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_x: Option<String>,
    /// Labels of the test file; the name of `y` when absent and the test file has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_y: Option<String>,
    /// Whether the labels are real values instead of classes.
    pub regression: bool,
}

/// How to read IDX files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IdxOptions {
    /// The labels of the train file; always needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_labels: Option<PathBuf>,
    /// The labels of the test file; needed with a test file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_labels: Option<PathBuf>,
    /// Whether features stored as bytes are divided by 255; other element types are taken as they are.
    pub scale: bool,
    /// What features are divided by, of whatever type, instead of `scale`: with 1000, microvolts become millivolts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub divide_by: Option<f64>,
    /// Whether the labels are real values instead of classes.
    pub regression: bool,
}

/// How to read npy files, each one array, and npz files, archives of named arrays.
///
/// In an archive, without a name, the one array whose name starts with `x` holds the features and the one that starts with `y` the
/// labels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NpyOptions {
    /// Features of the train archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    /// Labels of the train archive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Features of the test archive; the name of `x` when absent and the test archive has it. Without a test file, the train archive
    /// is taken for both parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_x: Option<String>,
    /// Labels of the test archive; the name of `y` when absent and the test archive has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_y: Option<String>,
    /// The file of the train labels; needed when the train file is a single array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub train_labels: Option<PathBuf>,
    /// The file of the test labels; needed when the test file is a single array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_labels: Option<PathBuf>,
    /// Whether features stored as unsigned bytes are divided by 255.
    pub scale: bool,
    /// Whether the labels are real values instead of classes.
    pub regression: bool,
}

/// How to read Parquet files: columns of integers, floats, decimals, booleans and, as target, text. Null and NaN are missing values.
///
/// Columns within groups are called `group.column`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParquetOptions {
    /// The column to predict; needed for training, not for [`inspect`](crate::inspect()).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<Column>,
    /// The classes in the order of their numbers; when absent, those that occur, sorted (numerically if all are integers).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classes: Option<Vec<String>>,
    /// The only columns that are features, in this order; every column but target and dropped ones when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include: Option<Vec<Column>>,
    /// Columns that are neither feature nor target, such as a record number.
    pub drop: Vec<Column>,
    /// What to do about a missing value in a feature or target.
    pub on_missing: OnMissing,
    /// Whether the target is a real value instead of a class.
    pub regression: bool,
}

/// How to read CIFAR-10 in its "binary version": records of a label byte and 3 x 32 x 32 pixel bytes; samples of shape `[3, 32, 32]`.
///
/// ```toml
/// [data]
/// train = "cifar-10-batches-bin"      # a folder: its data_batch_*.bin, and its test_batch.bin to test on
/// [data.cifar10]
/// ```
///
/// A single file needs no table when its name ends in `.bin` or `.bin.gz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cifar10Options {
    /// Whether pixels are divided by 255.
    pub scale: bool,
    /// The classes in the order of their numbers; a label beyond them is an error.
    pub classes: Vec<String>,
}

/// How to cut heart beats from WFDB records: a window around each annotated beat, brought to a number of points by linear
/// interpolation and normalised by itself. Beats whose window reaches beyond the record are left out.
///
/// Train and test part never share a record. The records of the test part are those of [`Source::test`](crate::Source::test), or those named in
/// `test_records`, or else a share of all records, drawn with the job's seed, of [`Split::test_fraction`](crate::Split). Several
/// records of one patient (201 and 202 of the MIT-BIH arrhythmia database) are to be named on the same side.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WfdbOptions {
    /// The records to read from the train folder, such as `100`; all that are annotated when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<Vec<String>>,
    /// The records to test on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_records: Option<Vec<String>>,
    /// The signal, by name (`MLII`) or 0-based number; the first when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lead: Option<Column>,
    /// The ending of the annotation files.
    pub annotator: String,
    /// Seconds of the window before the annotation.
    pub before: f64,
    /// Seconds of the window after the annotation.
    pub after: f64,
    /// Points of a sample; its shape is `[1, points]`.
    pub points: usize,
    /// What is done to the values of each beat.
    pub normalise: Normalise,
    /// Which beats are read, and what they are called.
    pub classes: BeatClasses,
}

/// What is done to the values of each beat.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Normalise {
    /// From 0, its smallest value, to 1, its largest.
    #[default]
    MinMax,
    /// To mean 0 and standard deviation 1.
    ZScore,
    /// Nothing: physical units, such as millivolts.
    None,
}

/// Classes of heart beats, by the symbols of the MIT-BIH annotations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BeatClasses {
    /// Five symbols as they are: normal `N`, left `L` and right `R` bundle branch block, atrial premature `A`, premature ventricular
    /// `V`. Other beats are left out.
    #[default]
    Nlrav,
    /// The five groups of the AAMI: `N` of N, L, R, e, j; `S` (supraventricular) of A, a, J, S; `V` (ventricular) of V, E; `F`
    /// (fusion) of F; `Q` (paced or unknown) of /, f, Q. Other beats are left out.
    Aami,
}

impl Default for CsvOptions {
    fn default() -> Self {
        Self {
            header: true,
            delimiter: ',',
            target: None,
            classes: None,
            include: None,
            drop: Vec::new(),
            missing: ["", "?", "NA", "NaN", "nan"].map(String::from).to_vec(),
            on_missing: OnMissing::Error,
            regression: false,
        }
    }
}

impl Default for IdxOptions {
    fn default() -> Self {
        Self {
            train_labels: None,
            test_labels: None,
            scale: true,
            divide_by: None,
            regression: false,
        }
    }
}

impl Default for Cifar10Options {
    /// Pixels from 0 to 1, and the ten classes of CIFAR-10.
    fn default() -> Self {
        let classes = [
            "airplane",
            "automobile",
            "bird",
            "cat",
            "deer",
            "dog",
            "frog",
            "horse",
            "ship",
            "truck",
        ];
        Self {
            scale: true,
            classes: classes.map(String::from).to_vec(),
        }
    }
}

impl Default for WfdbOptions {
    fn default() -> Self {
        Self {
            records: None,
            test_records: None,
            lead: None,
            annotator: "atr".into(),
            before: 0.3,
            after: 0.4,
            points: 128,
            normalise: Normalise::MinMax,
            classes: BeatClasses::Nlrav,
        }
    }
}

impl fmt::Display for Column {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Column::Number(number) => write!(f, "{number}"),
            Column::Name(name) => write!(f, "{name:?}"),
        }
    }
}
