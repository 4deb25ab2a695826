//! Writing npy files: version 1.0, little-endian, row-major.

use std::io::Write;
use std::path::Path;

use ndarray::{Array, Dimension};
use tempfile::NamedTempFile;

use crate::error::DataError;

/// The elements' place in the file is a multiple of this, as NumPy has it.
const ALIGNMENT: usize = 64;

/// An element that npy files are written of.
pub trait NpyElement: Copy {
    /// NumPy's short name of the type.
    const DESCR: &str;

    /// Appends the element's bytes, little-endian.
    fn append(self, bytes: &mut Vec<u8>);
}

macro_rules! npy_element {
    ($($element:ty => $descr:literal),*) => {$(
        impl NpyElement for $element {
            const DESCR: &str = $descr;

            fn append(self, bytes: &mut Vec<u8>) {
                bytes.extend(self.to_le_bytes());
            }
        }
    )*};
}

npy_element!(f32 => "<f4", f64 => "<f8", u8 => "|u1", u32 => "<u4", i64 => "<i8");

/// The content of an npy file that holds `array`.
pub fn npy_bytes<T: NpyElement, D: Dimension>(array: &Array<T, D>) -> Vec<u8> {
    let sizes: String = array.shape().iter().map(|size| format!("{size}, ")).collect();
    // The comma stays only where Python needs it, after a single size.
    let sizes = if array.ndim() == 1 {
        sizes.trim_end()
    } else {
        sizes.trim_end_matches(", ")
    };
    let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({sizes}), }}", T::DESCR);
    let used = 10 + header.len() + 1;
    header.extend(std::iter::repeat_n(' ', used.next_multiple_of(ALIGNMENT) - used));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    // At most some hundred bytes, however many dimensions ndarray allows in practice.
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.reserve(array.len() * size_of::<T>());
    array.iter().for_each(|&value| value.append(&mut bytes));
    bytes
}

/// Writes `array` to `file`, which appears whole or not at all.
///
/// # Errors
///
/// When the folder does not exist or cannot be written to.
pub fn write_npy<T: NpyElement, D: Dimension>(file: &Path, array: &Array<T, D>) -> Result<(), DataError> {
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let write = || {
        let mut temporary = NamedTempFile::new_in(folder)?;
        temporary.write_all(&npy_bytes(array))?;
        temporary.as_file().sync_all()?;
        temporary.persist(file).map_err(|error| error.error)
    };
    write().map(|_| ()).map_err(|source| DataError::Write {
        file: file.into(),
        source,
    })
}
