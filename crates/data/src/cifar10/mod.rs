//! CIFAR-10's own "binary version": records of 3,073 bytes, a label and then 32 x 32 pixels of red, of green and of blue, row by row.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ndarray::ArrayD;

use crate::error::DataError;
use crate::input::{self, MAX_BYTES};
use crate::labels::{Labels, MAX_CLASSES, Table};
use crate::numbers::{Elements, Numbers};
use crate::source::{Cifar10Options, Format};

#[cfg(test)]
mod tests;

const PIXELS: usize = 3 * 32 * 32;
const RECORD: usize = 1 + PIXELS;
/// So many images take the cap as 32-bit features.
const MAX_RECORDS: usize = MAX_BYTES as usize / (PIXELS * size_of::<f32>());

/// The train and, where there is one, the test file of the folder that the published archive unpacks to.
const TRAIN_PREFIX: &str = "data_batch_";
const TEST_NAME: &str = "test_batch.bin";

/// Images and labels of one or several files.
pub(crate) struct Images {
    pixels: Vec<u8>,
    pub(crate) labels: Vec<u8>,
}

/// Reads the images of a file, or of all training files of a folder.
pub(crate) fn read_table(path: &Path, options: &Cifar10Options) -> Result<Table, DataError> {
    let classes = checked_classes(options)?;
    let mut images = Images::none();
    for file in train_files(path)? {
        images.add(&file, input::open(&file)?, classes)?;
    }
    let labels = Labels::Integers(images.labels.iter().map(|&label| label.into()).collect());
    Table::new(path, images.features(path, options)?, path, labels)
}

/// Reads the images of a file; its labels, which need not be meant, are left aside.
pub(crate) fn read_features(file: &Path, options: &Cifar10Options) -> Result<ArrayD<f32>, DataError> {
    read(file, usize::from(u8::MAX) + 1)?.features(file, options)
}

/// Reads one file whose labels are those of CIFAR-10.
pub(crate) fn read_whole(file: &Path) -> Result<Images, DataError> {
    read(file, Cifar10Options::default().classes.len())
}

/// The file to test on that lies in the same folder as the training files.
pub(crate) fn test_file(train: &Path) -> Option<PathBuf> {
    let names = [TEST_NAME.to_string(), format!("{TEST_NAME}.gz")];
    names.iter().map(|name| train.join(name)).find(|file| file.is_file())
}

impl Images {
    fn none() -> Self {
        Images {
            pixels: Vec::new(),
            labels: Vec::new(),
        }
    }

    /// The pixels as `[rows, channels, height, width]`.
    pub(crate) fn into_numbers(self) -> (Numbers, Vec<u8>) {
        let numbers = Numbers {
            name: "images".into(),
            shape: vec![self.labels.len(), 3, 32, 32],
            elements: Elements::U8(self.pixels),
        };
        (numbers, self.labels)
    }

    fn features(self, file: &Path, options: &Cifar10Options) -> Result<ArrayD<f32>, DataError> {
        self.into_numbers().0.to_features(file, options.scale)
    }

    /// Adds the records of a stream, each label below `classes`.
    fn add(&mut self, file: &Path, mut stream: impl Read, classes: usize) -> Result<(), DataError> {
        let malformed = |reason| DataError::Malformed {
            file: file.into(),
            format: Format::Cifar10,
            reason,
        };
        let mut record = [0; RECORD];
        for number in 0.. {
            let length = fill(&mut stream, &mut record).map_err(|error| input::read_error(file, Format::Cifar10, error))?;
            match length {
                0 if number == 0 => return Err(DataError::Empty { file: file.into() }),
                0 => break,
                RECORD => {}
                _ => {
                    return Err(malformed(format!(
                        "{length} bytes after {number} records, expected records of {RECORD}"
                    )));
                }
            }
            let [label, pixels @ ..] = &record;
            if usize::from(*label) >= classes {
                return Err(malformed(format!(
                    "record {number} begins with the label {label}, expected 0 to {}",
                    classes.saturating_sub(1)
                )));
            }
            if self.labels.len() == MAX_RECORDS {
                return Err(DataError::TooLarge {
                    file: file.into(),
                    what: format!("a data set of more than {MAX_RECORDS} images"),
                    actual: u128::from(MAX_BYTES) + 1,
                    limit: MAX_BYTES,
                });
            }
            self.labels.push(*label);
            self.pixels.extend_from_slice(pixels);
        }
        Ok(())
    }
}

fn read(file: &Path, classes: usize) -> Result<Images, DataError> {
    let mut images = Images::none();
    images.add(file, input::open(file)?, classes)?;
    Ok(images)
}

/// Reads until the buffer is full or the stream ends, and says how much that was.
fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match stream.read(&mut buffer[length..]) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

/// How many classes the options name.
fn checked_classes(options: &Cifar10Options) -> Result<usize, DataError> {
    let names: std::collections::BTreeSet<&String> = options.classes.iter().collect();
    match options.classes.len() {
        count if names.len() == count && (1..=MAX_CLASSES).contains(&count) => Ok(count),
        count => Err(DataError::Option {
            option: "cifar10.classes",
            expected: "a name of its own for each class",
            actual: format!("{count} names, {} of them different", names.len()),
        }),
    }
}

/// The file itself, or the training files of a folder in the order of their names.
fn train_files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    if !path.is_dir() {
        return Ok(vec![path.into()]);
    }
    let entries = fs::read_dir(path).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>());
    let mut files = entries.map_err(|source| DataError::Io {
        file: path.into(),
        source,
    })?;
    let is_train = |file: &PathBuf| {
        let name = file.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.starts_with(TRAIN_PREFIX)) && Format::of(file) == Some(Format::Cifar10)
    };
    files.retain(is_train);
    files.sort();
    match files.is_empty() {
        false => Ok(files),
        true => Err(DataError::Records {
            file: path.into(),
            reason: format!("the folder has no files {TRAIN_PREFIX}*.bin or {TRAIN_PREFIX}*.bin.gz"),
        }),
    }
}
