//! NumPy's array files: `.npy` holds one array, `.npz` is a zip archive of them.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::data_sets::{Part, Wanted, choose};
use crate::error::DataError;
use crate::input;
use crate::labels::Table;
use crate::numbers::Numbers;
use crate::source::{Format, NpyOptions};

mod decode;
mod header;
#[cfg(test)]
mod tests;
mod write;
mod zip;

use decode::decode;
pub use write::{NpyElement, npy_bytes, write_npy};
use zip::Archive;

/// Reads the features and labels of one part; `labels_file` is needed where the file itself is a single array.
pub(crate) fn read_table(
    file: &Path,
    labels_file: Option<PathBuf>,
    options: &NpyOptions,
    part: Part,
) -> Result<Table, DataError> {
    let mut content = Content::open(file)?;
    let (x, y, x_option, y_option) = match part {
        Part::Train => (&options.x, &options.y, "npy.x", "npy.y"),
        Part::Test => (&options.test_x, &options.test_y, "npy.test_x", "npy.test_y"),
    };
    // A test file that has the train file's names is read by them.
    let [train_x, train_y] = [&options.x, &options.y].map(|name| name.as_ref().filter(|_| part == Part::Test));
    let x = content.read(&Wanted {
        named: x.as_ref(),
        preferred: [train_x, None],
        prefix: 'x',
        option: x_option,
    })?;
    let wanted = Wanted {
        named: y.as_ref(),
        preferred: [train_y, None],
        prefix: 'y',
        option: y_option,
    };
    let (labels, labels_file) = match (labels_file, &mut content) {
        (Some(labels_file), _) => (Content::open(&labels_file)?.read(&wanted)?, labels_file),
        (None, Content::Archive(_)) => (content.read(&wanted)?, file.into()),
        (None, Content::Array(_)) => {
            let hint = "an npy file holds one array, so that its labels lie in another file".into();
            let option = match part {
                Part::Train => "npy.train_labels",
                Part::Test => "npy.test_labels",
            };
            return Err(DataError::OptionMissing {
                file: file.into(),
                option,
                hint,
            });
        }
    };
    let x = x.to_features(file, options.scale)?;
    let labels = labels.into_labels(&labels_file, options.regression)?;
    Table::new(file, x, &labels_file, labels)
}

/// Reads the wanted array; of a file that is one array, that.
pub(crate) fn read(file: &Path, wanted: &Wanted) -> Result<Numbers, DataError> {
    Content::open(file)?.read(wanted)
}

/// Every array of a file, one after the other, with the name of its element type, such as "i64".
pub(crate) fn for_each(file: &Path, mut each: impl FnMut(Result<(Numbers, String), Unreadable>)) -> Result<(), DataError> {
    let mut unless_text = |array: Result<(Numbers, String), DataError>, name: &str| {
        each(match array {
            Ok(array) => Ok(array),
            Err(DataError::ElementType { actual, .. }) => Err(Unreadable {
                name: name.into(),
                what: actual,
            }),
            Err(error) => return Err(error),
        });
        Ok(())
    };
    match Content::open(file)? {
        Content::Array(file) => unless_text(decode(input::open(&file)?, "", &file), ""),
        Content::Archive(mut archive) => {
            for name in archive.names() {
                unless_text(decode(archive.entry(&name)?, &name, file), &name)?;
            }
            Ok(())
        }
    }
}

/// An array whose elements are no numbers.
pub(crate) struct Unreadable {
    pub(crate) name: String,
    /// What the elements are.
    pub(crate) what: String,
}

enum Content {
    /// One array, also gzipped.
    Array(PathBuf),
    Archive(Archive),
}

impl Content {
    fn open(file: &Path) -> Result<Self, DataError> {
        let mut handle = input::open_plain(file)?;
        Ok(match is_zip(&mut handle, file)? {
            true => Content::Archive(Archive::open(handle, file)?),
            false => Content::Array(file.into()),
        })
    }

    fn read(&mut self, wanted: &Wanted) -> Result<Numbers, DataError> {
        let (numbers, _) = match self {
            Content::Array(file) => decode(input::open(file)?, "", file)?,
            Content::Archive(archive) => {
                let name = choose(&archive.file.clone(), &archive.names(), wanted)?;
                let file = archive.file.clone();
                decode(archive.entry(&name)?, &name, &file)?
            }
        };
        Ok(numbers)
    }
}

fn is_zip(handle: &mut File, file: &Path) -> Result<bool, DataError> {
    let mut head = Vec::new();
    let read = handle.take(4).read_to_end(&mut head);
    read.map_err(|error| input::read_error(file, Format::Npy, error))?;
    // The second mark is that of an archive without a member.
    Ok(head == b"PK\x03\x04" || head == b"PK\x05\x06")
}
