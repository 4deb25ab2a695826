//! Rows to predict from: features without labels.

use std::path::Path;

use ndarray::ArrayD;
use serde::{Deserialize, Serialize};

use crate::cifar10;
use crate::csv;
use crate::data_sets::Wanted;
use crate::dataset::Dataset;
use crate::error::DataError;
use crate::expectation::Expectation;
use crate::hdf5;
use crate::idx;
use crate::npy;
use crate::parquet;
use crate::source::{
    Cifar10Options, CsvOptions, Format, Hdf5Options, IdxOptions, NpyOptions, ParquetOptions, Source, WfdbOptions,
};
use crate::wfdb;

/// How to read rows to predict from, so that they become what the training rows became.
///
/// It is kept beside a trained model: [`after_training`](Self::after_training) takes it from the training files. The file to predict
/// from may be of another format than those.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FeatureOptions {
    /// The file's format; told from its name when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// The data set of an HDF5 file or the array of an npz file. When absent: the one that held features in training, if the file
    /// has it, or else the only one whose name starts with `x`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_set: Option<String>,
    /// The names of the training file's features, in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature_names: Option<Vec<String>>,
    /// How the training files were read, where they were CSV: `target`, `drop` and what is not in `include` are left out here too, if they
    /// are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub csv: Option<CsvOptions>,
    /// How the training files were read, where they were HDF5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hdf5: Option<Hdf5Options>,
    /// How the training files were read, where they were IDX: IDX files are scaled alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idx: Option<IdxOptions>,
    /// How the training files were read, where they were npy or npz: bytes are scaled alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub npy: Option<NpyOptions>,
    /// How beats were cut from the training records: they are cut alike, and every beat is read, whatever its class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wfdb: Option<WfdbOptions>,
    /// How the training files were read, where they were Parquet; for CSV and Parquet files, the options of the one serve for the
    /// other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parquet: Option<ParquetOptions>,
    /// How the training files were read, where they were CIFAR-10: images in that format are scaled alike.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cifar10: Option<Cifar10Options>,
}

/// Rows to predict from.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// The features, of shape `[rows, sample shape...]`; every value is finite. Not standardised: that is
    /// [`Standardiser::apply`](crate::Standardiser::apply) on this array, with the standardiser of the training rows.
    pub x: ArrayD<f32>,
    /// For each row of `x`, the number of the file's data row (of WFDB records: of the beat, over all records), counted from 0: numbers
    /// are left out where rows with a missing value were dropped, or beats that are not whole.
    pub rows: Vec<usize>,
    /// Names of the features in order, where the file or the training file has any.
    pub names: Option<Vec<String>>,
}

impl FeatureOptions {
    /// What a prediction with the model trained on `dataset`, read from `source`, needs. It holds no path.
    pub fn after_training(source: &Source, dataset: &Dataset) -> Self {
        let without_labels = |idx: &IdxOptions| IdxOptions {
            train_labels: None,
            test_labels: None,
            ..idx.clone()
        };
        let without_label_files = |npy: &NpyOptions| NpyOptions {
            train_labels: None,
            test_labels: None,
            ..npy.clone()
        };
        let without_records = |wfdb: &WfdbOptions| WfdbOptions {
            records: None,
            test_records: None,
            ..wfdb.clone()
        };
        FeatureOptions {
            format: None,
            data_set: None,
            feature_names: dataset.train.feature_names.clone(),
            csv: source.csv.clone(),
            hdf5: source.hdf5.clone(),
            idx: source.idx.as_ref().map(without_labels),
            npy: source.npy.as_ref().map(without_label_files),
            wfdb: source.wfdb.as_ref().map(without_records),
            parquet: source.parquet.clone(),
            cifar10: source.cifar10.clone(),
        }
    }
}

impl FeatureOptions {
    pub(crate) fn csv(&self) -> CsvOptions {
        let from_parquet = || {
            let parquet = self.parquet.clone().unwrap_or_default();
            CsvOptions {
                target: parquet.target,
                include: parquet.include,
                drop: parquet.drop,
                classes: parquet.classes,
                regression: parquet.regression,
                on_missing: parquet.on_missing,
                ..CsvOptions::default()
            }
        };
        self.csv.clone().unwrap_or_else(from_parquet)
    }

    pub(crate) fn parquet(&self) -> ParquetOptions {
        let from_csv = || {
            let csv = self.csv.clone().unwrap_or_default();
            ParquetOptions {
                target: csv.target,
                include: csv.include,
                drop: csv.drop,
                classes: csv.classes,
                regression: csv.regression,
                on_missing: csv.on_missing,
            }
        };
        self.parquet.clone().unwrap_or_else(from_csv)
    }
}

/// Reads rows to predict from, and brings samples into the expected shape as [`load`](crate::load()) does.
///
/// Columns of CSV and Parquet files are matched with the training file's features by name where both are known, whatever their order, and
/// otherwise by position. The number of classes that is `expected` plays no part.
///
/// # Errors
///
/// When the file is missing, damaged or too large, has no row, holds a value that is missing (unless rows with one are dropped) or
/// not finite, lacks a feature column, has a column that is neither feature nor left out, or samples of another shape.
pub fn read_features(file: &Path, options: &FeatureOptions, expected: &Expectation) -> Result<Features, DataError> {
    let records = || (file.is_dir() && options.wfdb.is_some()).then_some(Format::Wfdb);
    let format = options.format.or_else(|| Format::of(file)).or_else(records);
    let mut features = match format.ok_or_else(|| DataError::UnknownFormat { file: file.into() })? {
        Format::Csv => {
            let count = expected.shape.iter().product();
            csv::read_features(file, &options.csv(), options.feature_names.as_deref(), count)?
        }
        Format::Parquet => {
            let count = expected.shape.iter().product();
            parquet::read_features(file, &options.parquet(), options.feature_names.as_deref(), count)?
        }
        Format::Hdf5 => {
            let trained = options.hdf5.as_ref().map(|hdf5| [&hdf5.x, &hdf5.test_x]);
            let wanted = wanted(options, trained);
            Features::numbered(hdf5::read_wanted(file, &wanted)?.to_features(file, false)?)
        }
        Format::Idx => {
            let options = options.idx.clone().unwrap_or_default();
            Features::numbered(idx::read_features(file, &options)?)
        }
        Format::Npy => {
            let trained = options.npy.as_ref().map(|npy| [&npy.x, &npy.test_x]);
            let scale = options.npy.as_ref().is_some_and(|npy| npy.scale);
            Features::numbered(npy::read(file, &wanted(options, trained))?.to_features(file, scale)?)
        }
        Format::Cifar10 => {
            let options = options.cifar10.clone().unwrap_or_default();
            Features::numbered(cifar10::read_features(file, &options)?)
        }
        Format::Wfdb => wfdb::read_features(file, &options.wfdb.clone().unwrap_or_default())?,
    };
    expected.fit_shape(file, &mut features.x)?;
    Ok(features)
}

fn wanted<'a>(options: &'a FeatureOptions, trained: Option<[&'a Option<String>; 2]>) -> Wanted<'a> {
    Wanted {
        named: options.data_set.as_ref(),
        preferred: trained.unwrap_or([&None, &None]).map(Option::as_ref),
        prefix: 'x',
        option: "data_set",
    }
}

impl Features {
    fn numbered(x: ArrayD<f32>) -> Self {
        let rows = (0..x.shape().first().copied().unwrap_or(0)).collect();
        Features { x, rows, names: None }
    }
}
