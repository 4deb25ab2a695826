use std::path::PathBuf;

use crate::source::Format;

/// Why data could not be read or does not fit; each variant prints as one sentence with the file, what was expected and
/// what was found.
///
/// A message may quote a value of the data: it is for the party that owns the file, never for a peer.
#[expect(missing_docs, reason = "each variant's message says what its fields are")]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The path names nothing.
    #[error("{file}: no such file or folder; relative paths start at the folder of local.toml")]
    NotFound { file: PathBuf },

    /// The operating system refused or broke off reading.
    #[error("{file}: cannot be read: {source}")]
    Io { file: PathBuf, source: std::io::Error },

    /// The operating system refused or broke off writing.
    #[error("{file}: cannot be written: {source}")]
    Write { file: PathBuf, source: std::io::Error },

    /// The file name ends in nothing that is known.
    #[error(
        "{file}: the format cannot be told from the name; end it in .csv, .data, .hdf5, .h5, .idx, -ubyte, .npy, .npz, .parquet, .bin (CIFAR-10) or .hea (CSV, IDX, npy and .bin also with .gz), or set format"
    )]
    UnknownFormat { file: PathBuf },

    /// Train and test files, or a file and its option table, disagree about the format.
    #[error("{file}: {what}, but the file is read as {format}")]
    FormatMismatch { file: PathBuf, format: Format, what: String },

    /// The bytes are not what the format prescribes (truncated, damaged, trailing bytes, another format).
    #[error("{file}: not a valid {format} file: {reason}")]
    Malformed { file: PathBuf, format: Format, reason: String },

    /// The gzip layer is truncated or damaged, or is followed by other bytes.
    #[error("{file}: the gzip stream is damaged: {reason}")]
    Gzip { file: PathBuf, reason: String },

    /// The content would need more memory than the cap allows.
    #[error("{file}: {what} needs {actual} bytes, more than the limit of {limit}")]
    TooLarge {
        file: PathBuf,
        what: String,
        actual: u128,
        limit: u64,
    },

    /// Records, or leads of records, are not there or not as the options name them.
    #[error("{file}: {reason}")]
    Records { file: PathBuf, reason: String },

    /// There is not a single row.
    #[error("{file}: expected at least one row of data, found none")]
    Empty { file: PathBuf },

    /// An option has a value that cannot be used.
    #[error("{option} must be {expected}, got {actual}")]
    Option {
        option: &'static str,
        expected: &'static str,
        actual: String,
    },

    /// An option is needed for this file and was not given.
    #[error("{file}: {option} is not set; {hint}")]
    OptionMissing {
        file: PathBuf,
        option: &'static str,
        hint: String,
    },

    /// The first line of a CSV file with `header = true` holds numbers.
    #[error(
        "{file}: expected column names in the first line, found only numbers ({first_line}); set header = false if the file has no header"
    )]
    NoHeader { file: PathBuf, first_line: String },

    /// A column that the options name does not exist.
    #[error("{file}: no column {column}; the file has {available}")]
    UnknownColumn {
        file: PathBuf,
        column: String,
        available: String,
    },

    /// A column that the options name occurs more than once.
    #[error("{file}: the column name {column} occurs {times} times; name it by its number")]
    AmbiguousColumn { file: PathBuf, column: String, times: usize },

    /// A feature of the training file is not among the columns of a file to predict from.
    #[error("{file}: the feature column {column} is missing; the file has {available}")]
    MissingColumn {
        file: PathBuf,
        column: String,
        available: String,
    },

    /// A column of a file to predict from that is matched by its name occurs more than once.
    #[error("{file}: the feature column {column} occurs {times} times")]
    AmbiguousFeature { file: PathBuf, column: String, times: usize },

    /// A file to predict from has a column that the training file does not have.
    #[error("{file}: the column {column} is no feature of the training file; remove it, or list it under drop")]
    ExtraColumn { file: PathBuf, column: String },

    /// A file to predict from has a number of columns that leaves open which are the features.
    #[error("{file}: expected {expected} feature columns, found {actual} (target and dropped columns not counted)")]
    FeatureCount { file: PathBuf, expected: usize, actual: usize },

    /// The test file's columns are not the train file's.
    #[error("{file}: column {column} is {actual:?}, the train file has {expected:?} there")]
    ColumnDiffers {
        file: PathBuf,
        column: usize,
        expected: String,
        actual: String,
    },

    /// A CSV line has more or fewer fields than the first.
    #[error("{file}: line {line} has {actual} fields, expected {expected}")]
    FieldCount {
        file: PathBuf,
        line: u64,
        expected: usize,
        actual: usize,
    },

    /// A CSV field that should be a number is other text.
    #[error(
        "{file}: line {line}, column {column}: expected a number, found {value:?}; list the column under drop if it is no feature"
    )]
    NotANumber {
        file: PathBuf,
        line: u64,
        column: String,
        value: String,
    },

    /// CSV fields are empty or hold one of the markers of a missing value, or Parquet values are null or NaN.
    #[error(
        "{file}: {place}, column {column} is missing ({value:?}), {total} missing values in all; fill them in or set on_missing = \"drop-row\""
    )]
    Missing {
        file: PathBuf,
        place: String,
        column: String,
        value: String,
        total: u64,
    },

    /// A feature that is not declared to hold categories is text.
    #[error(
        "{file}: {place}, column {column}: expected a number, found {value}; list the column under categorical, or under drop if it is no feature"
    )]
    TextFeature {
        file: PathBuf,
        place: String,
        column: String,
        value: String,
    },

    /// A feature is missing in a row that is used, and the job does not say what to put there.
    #[error(
        "{file}: data row {row} (counted from 0), column {column} is missing, {total} values missing in the rows in use; fill them in, or set missing = \"mean\", \"median\" or \"zero\""
    )]
    MissingFeature {
        file: PathBuf,
        row: usize,
        column: String,
        total: usize,
    },

    /// A column without a value in the training rows has neither mean nor median.
    #[error("{file}: column {column} has no value in the {rows} training rows, expected at least one to take the {statistic} of")]
    NothingToFillFrom {
        file: PathBuf,
        column: String,
        rows: usize,
        statistic: &'static str,
    },

    /// A category that no training row has, where the job refuses such.
    #[error(
        "{file}: data row {row} (counted from 0), column {column} has the category {value:?}, which no training row has; set unknown_category = \"zeros\" to take it for none"
    )]
    UnknownCategory {
        file: PathBuf,
        row: usize,
        column: String,
        value: String,
    },

    /// What was kept of the training columns is damaged or not what this version wrote.
    #[error("the description of the training columns is invalid: {reason}")]
    Preprocessor { reason: String },

    /// Rows are asked for that a table does not have.
    #[error("row {actual} of a table of {rows} rows is asked for")]
    NoSuchRow { rows: usize, actual: usize },

    /// Arrays of one table that have different numbers of rows or columns.
    #[error("a table of {ids} ids has {what} {actual}, expected {expected}")]
    TableShape {
        ids: usize,
        what: &'static str,
        expected: usize,
        actual: usize,
    },

    /// A value is NaN, infinite or beyond 32-bit floats.
    #[error("{file}: {place} is {value}, expected a finite 32-bit number")]
    NotFinite { file: PathBuf, place: String, value: String },

    /// A data set (HDF5) or array (npz) that the options name does not exist.
    #[error("{file}: no data set {name:?}; the file has {available}")]
    UnknownDataSet { file: PathBuf, name: String, available: String },

    /// No data set or array is named and the names in the file do not settle it.
    #[error(
        "{file}: expected exactly one data set whose name starts with {prefix:?}, found {found}; set {option} to one of {available}"
    )]
    AmbiguousDataSet {
        file: PathBuf,
        prefix: char,
        found: usize,
        option: &'static str,
        available: String,
    },

    /// The elements are of a type that cannot be used as numbers.
    #[error("{file}: {place} holds {actual}, expected {expected}")]
    ElementType {
        file: PathBuf,
        place: String,
        expected: &'static str,
        actual: String,
    },

    /// Features and labels have different numbers of rows.
    #[error("{labels_file}: {labels} labels for {rows} rows of {file}")]
    RowCount {
        file: PathBuf,
        labels_file: PathBuf,
        rows: usize,
        labels: usize,
    },

    /// A label is not a class number or not one of the given class names.
    #[error("{file}: {place} has the label {label}, expected {expected}")]
    Label {
        file: PathBuf,
        place: String,
        label: String,
        expected: String,
    },

    /// So many different labels that they are hardly classes.
    #[error(
        "{file}: the labels take more than {limit} different values, too many for classes; set regression = true if they are measured values"
    )]
    TooManyClasses { file: PathBuf, limit: usize },

    /// Samples are of another shape than expected.
    #[error("{file}: samples have shape {actual:?}, the job expects {expected:?}")]
    Shape {
        file: PathBuf,
        expected: Vec<usize>,
        actual: Vec<usize>,
    },

    /// The test file's samples are of another shape than the train file's.
    #[error("{file}: samples have shape {actual:?}, those of {train} have {expected:?}")]
    ShapesDiffer {
        file: PathBuf,
        train: PathBuf,
        expected: Vec<usize>,
        actual: Vec<usize>,
    },

    /// There are more classes than expected, or values instead of classes.
    #[error("{file}: the targets are {actual}, the job expects {expected} classes")]
    ClassCount { file: PathBuf, expected: usize, actual: String },

    /// There are more or fewer labels per row than expected, or something else instead of labels.
    #[error("{file}: the targets are {actual}, the job expects {expected} labels of 0 or 1 per row (multi_label = true)")]
    LabelCount { file: PathBuf, expected: usize, actual: String },

    /// Train and test targets are of different kinds or widths.
    #[error("{file}: the targets are {actual}, those of {train} are {expected}")]
    TargetsDiffer {
        file: PathBuf,
        train: PathBuf,
        expected: String,
        actual: String,
    },

    /// A split would leave the train or the test part empty.
    #[error("{file}: splitting {rows} rows or records with test_fraction = {test_fraction} leaves {empty} empty")]
    EmptySplit {
        file: PathBuf,
        rows: usize,
        test_fraction: f64,
        empty: &'static str,
    },

    /// The groups of rows to split by cannot be used.
    #[error("{file}: {reason}")]
    Groups { file: PathBuf, reason: String },

    /// A test subset is not a list of row numbers of the test set.
    #[error("{file}: {reason}")]
    Subset { file: PathBuf, reason: String },

    /// A standardiser was fitted on samples of another width.
    #[error("the standardiser was fitted on {expected} features, the samples have {actual}")]
    StandardiserWidth { expected: usize, actual: usize },
}
