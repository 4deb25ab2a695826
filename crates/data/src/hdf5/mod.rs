//! HDF5 through `hdf5-reader`.
//!
//! Of the two pure-Rust readers, `hdf5-reader` and `hdf5-pure` gave the same numbers on the MIT-BIH files at the same speed
//! (13.7 MB in 0.03 s), and neither panicked on 2,126 truncated or mutated copies. `hdf5-reader` was chosen for its explicit caps on
//! what a read, a chunk and an object header may allocate; `hdf5-pure` writes the files of the tests.

use std::path::Path;
use std::sync::Arc;

pub(crate) use hdf5_reader::Hdf5File as File;
use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::{Dataset, Datatype, FileStorage, H5Type, OpenOptions};

use crate::data_sets::{Part, Wanted, choose};
use crate::error::DataError;
use crate::input::{self, MAX_BYTES};
use crate::labels::Table;
use crate::numbers::{Elements, Numbers};
use crate::source::{Format, Hdf5Options};

#[cfg(test)]
mod tests;

/// Groups are followed to this depth: links may form circles.
const MAX_DEPTH: usize = 8;
/// The most data sets that are listed.
const MAX_DATA_SETS: usize = 1000;

/// Reads the features and labels of one part.
pub(crate) fn read_table(file: &Path, options: &Hdf5Options, part: Part) -> Result<Table, DataError> {
    let content = open(file)?;
    let names = data_sets(&content, file)?;
    let (x, y, x_option, y_option) = match part {
        Part::Train => (&options.x, &options.y, "hdf5.x", "hdf5.y"),
        Part::Test => (&options.test_x, &options.test_y, "hdf5.test_x", "hdf5.test_y"),
    };
    let pick = |named: &Option<String>, train: &Option<String>, prefix, option| {
        let wanted = Wanted {
            named: named.as_ref(),
            // A test file that has the train file's names is read by them.
            preferred: [train.as_ref().filter(|_| part == Part::Test), None],
            prefix,
            option,
        };
        choose(file, &names, &wanted)
    };
    let x_name = pick(x, &options.x, 'x', x_option)?;
    let y_name = pick(y, &options.y, 'y', y_option)?;
    let x = read(&content, file, &x_name)?.to_features(file, false)?;
    let labels = read(&content, file, &y_name)?.into_labels(file, options.regression)?;
    Table::new(file, x, file, labels)
}

/// Reads the wanted data set of numbers.
pub(crate) fn read_wanted(file: &Path, wanted: &Wanted) -> Result<Numbers, DataError> {
    let content = open(file)?;
    let name = choose(file, &data_sets(&content, file)?, wanted)?;
    read(&content, file, &name)
}

/// Opens a file; only its superblock is read.
pub(crate) fn open(file: &Path) -> Result<File, DataError> {
    let failed = |error| malformed(file, error);
    let storage = FileStorage::from_file(input::open_plain(file)?).map_err(failed)?;
    let limit = usize::try_from(MAX_BYTES).unwrap_or(usize::MAX);
    File::from_storage_with_options(Arc::new(storage), OpenOptions::default().with_max_read_bytes(limit)).map_err(failed)
}

/// The paths of all data sets, those of groups as "group/name".
pub(crate) fn data_sets(content: &File, file: &Path) -> Result<Vec<String>, DataError> {
    let mut found = Vec::new();
    let root = content.root_group().map_err(|error| malformed(file, error))?;
    list(&root, "", 0, &mut found).map_err(|error| malformed(file, error))?;
    Ok(found)
}

/// Reads one data set of numbers.
pub(crate) fn read(content: &File, file: &Path, name: &str) -> Result<Numbers, DataError> {
    let failed = |error| malformed(file, error);
    let set = content.dataset(name).map_err(failed)?;
    let shape = checked_shape(&set, file, name)?;
    let elements = read_elements(&set).map_err(failed)?.ok_or_else(|| DataError::ElementType {
        file: file.into(),
        place: format!("data set {name}"),
        expected: "integers or 32- or 64-bit floats",
        actual: type_name(set.dtype()),
    })?;
    Ok(Numbers {
        name: name.into(),
        shape,
        elements,
    })
}

/// The shape of a data set, rows first, and a short name of its element type, such as "i64".
pub(crate) fn shape_and_type(content: &File, file: &Path, name: &str) -> Result<(Vec<u64>, String), DataError> {
    let set = content.dataset(name).map_err(|error| malformed(file, error))?;
    Ok((set.shape().to_vec(), type_name(set.dtype())))
}

fn type_name(datatype: &Datatype) -> String {
    match datatype {
        Datatype::FixedPoint { size, signed, .. } => format!("{}{}", if *signed { "i" } else { "u" }, u32::from(*size) * 8),
        Datatype::FloatingPoint { size, .. } => format!("f{}", u32::from(*size) * 8),
        Datatype::String { .. } => "text".into(),
        Datatype::VarLen { .. } => "variable-length elements".into(),
        Datatype::Compound { .. } => "compound elements".into(),
        Datatype::Array { .. } => "array elements".into(),
        Datatype::Enum { .. } => "enumeration elements".into(),
        Datatype::Opaque { .. } => "opaque elements".into(),
        Datatype::Reference { .. } => "references".into(),
        Datatype::Bitfield { .. } => "bit fields".into(),
    }
}

fn list(group: &Group, prefix: &str, depth: usize, found: &mut Vec<String>) -> Result<(), Error> {
    let (groups, sets) = group.member_names()?;
    let room = MAX_DATA_SETS.saturating_sub(found.len());
    found.extend(sets.into_iter().take(room).map(|name| format!("{prefix}{name}")));
    if depth < MAX_DEPTH && found.len() < MAX_DATA_SETS {
        for name in groups {
            list(&group.group(&name)?, &format!("{prefix}{name}/"), depth + 1, found)?;
        }
    }
    Ok(())
}

fn checked_shape(set: &Dataset, file: &Path, name: &str) -> Result<Vec<usize>, DataError> {
    let count = set
        .shape()
        .iter()
        .fold(1u128, |product, &size| product.saturating_mul(size.into()));
    // Eight bytes is the widest element that is read.
    let actual = count.saturating_mul(8);
    if actual > MAX_BYTES.into() {
        let what = format!("data set {name} of shape {:?}", set.shape());
        return Err(DataError::TooLarge {
            file: file.into(),
            what,
            actual,
            limit: MAX_BYTES,
        });
    }
    Ok(set.shape().iter().map(|&size| size as usize).collect())
}

/// The elements, or nothing when they are no numbers that fit.
fn read_elements(set: &Dataset) -> Result<Option<Elements>, Error> {
    Ok(Some(match set.dtype() {
        Datatype::FixedPoint {
            size: 1, signed: false, ..
        } => Elements::U8(flat(set)?),
        Datatype::FixedPoint {
            size: 1, signed: true, ..
        } => Elements::I16(widened::<i8, _>(set)?),
        Datatype::FixedPoint {
            size: 2, signed: true, ..
        } => Elements::I16(flat(set)?),
        Datatype::FixedPoint {
            size: 2, signed: false, ..
        } => Elements::I32(widened::<u16, _>(set)?),
        Datatype::FixedPoint {
            size: 4, signed: true, ..
        } => Elements::I32(flat(set)?),
        Datatype::FixedPoint {
            size: 4, signed: false, ..
        } => Elements::I64(widened::<u32, _>(set)?),
        Datatype::FixedPoint {
            size: 8, signed: true, ..
        } => Elements::I64(flat(set)?),
        Datatype::FixedPoint {
            size: 8, signed: false, ..
        } => {
            let values = flat::<u64>(set)?.into_iter().map(i64::try_from).collect::<Result<_, _>>();
            return Ok(values.ok().map(Elements::I64));
        }
        Datatype::FloatingPoint { size: 4, .. } => Elements::F32(flat(set)?),
        Datatype::FloatingPoint { size: 8, .. } => Elements::F64(flat(set)?),
        _ => return Ok(None),
    }))
}

fn widened<T: H5Type, U: From<T>>(set: &Dataset) -> Result<Vec<U>, Error> {
    Ok(flat::<T>(set)?.into_iter().map(U::from).collect())
}

fn flat<T: H5Type>(set: &Dataset) -> Result<Vec<T>, Error> {
    let array = set.read_array::<T>()?;
    Ok(match array.as_slice() {
        Some(values) => values.to_vec(),
        None => array.iter().cloned().collect(),
    })
}

fn malformed(file: &Path, error: Error) -> DataError {
    match error {
        Error::Io(source) => DataError::Io {
            file: file.into(),
            source,
        },
        other => DataError::Malformed {
            file: file.into(),
            format: Format::Hdf5,
            reason: other.to_string(),
        },
    }
}
