//! Files in, arrays out: readers for CIFAR-10, CSV, HDF5, IDX, npy, Parquet and WFDB, class names, splits and standardisation.
//!
//! [`load`] turns a party's [`Source`] (the `[data]` table of its `local.toml`) into a [`Dataset`] of train and test
//! [`Samples`]; [`read_features`] reads rows to predict from; [`inspect()`] describes any readable file without a job; [`embedded`] holds the data the tool carries along.
//!
//! A holder of some columns of rows that others have too reads a [`VerticalTable`] with [`read_vertical`], and brings its rows into form
//! with a [`Preprocessor`] fitted on the training rows.
//!
//! Everything read is treated as hostile: sizes are capped before memory is allocated, and every fault is one
//! [`DataError`] sentence that names the file, what was expected and what was found. A value that is not a finite number
//! never reaches training.

mod cifar10;
mod columns;
mod csv;
mod data_sets;
mod dataset;
pub mod embedded;
mod error;
mod expectation;
mod features;
mod given_labels;
mod groups;
mod hash_split;
mod hdf5;
mod ids;
mod idx;
mod input;
mod inspect;
mod labels;
mod load;
mod npy;
mod numbers;
mod parquet;
mod preprocess;
mod samples;
mod source;
mod split;
mod standardise;
mod vertical;
mod wfdb;

pub use dataset::Dataset;
pub use error::DataError;
pub use expectation::Expectation;
pub use features::{FeatureOptions, Features, read_features};
pub use given_labels::{GivenLabels, read_labels};
pub use hash_split::HashSplit;
pub use ids::{IdOptions, Ids, read_ids};
pub use input::MAX_BYTES;
pub use inspect::{ArraySummary, FileSummary, InspectOptions, Inspection, inspect};
pub use labels::MAX_CLASSES;
pub use load::load;
pub use npy::{NpyElement, npy_bytes, write_npy};
pub use preprocess::{Clip, ColumnCount, MissingValues, Prepared, Preprocessing, Preprocessor, UnknownCategory};
pub use samples::{Samples, Targets};
pub use source::{
    BeatClasses, Cifar10Options, Column, CsvOptions, Format, Group, Groups, Hdf5Options, IdxOptions, Normalise, NpyOptions,
    OnMissing, ParquetOptions, Source, WfdbOptions,
};
pub use split::Split;
pub use standardise::Standardiser;
pub use vertical::{VerticalColumn, VerticalOptions, VerticalTable, read_vertical};
