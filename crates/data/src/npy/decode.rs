//! One npy array: the mark `\x93NUMPY`, a version, the length of the header, the header, the elements.

use std::io::{self, Read};
use std::path::Path;

use ndarray::{ArrayD, IxDyn, ShapeBuilder};

use super::header::{self, Element, Header, Kind, MAX_HEADER};
use crate::error::DataError;
use crate::input;
use crate::numbers::{self, Elements, Numbers, checked_size};
use crate::source::Format;

/// Decodes one array that must fill the stream exactly, and names its element type; `name` is its name within an archive.
pub(super) fn decode(mut stream: impl Read, name: &str, file: &Path) -> Result<(Numbers, String), DataError> {
    let place = match name {
        "" => "the file".to_string(),
        name => format!("data set {name}"),
    };
    let malformed = |reason: String| DataError::Malformed {
        file: file.into(),
        format: Format::Npy,
        reason: format!("{place}: {reason}"),
    };
    let io = |error| input::read_error(file, Format::Npy, error);
    let text = header_text(&mut stream).map_err(io)?.map_err(malformed)?;
    let header = header::parse(&text, &place, file)?;
    let expected = checked_size(&header.shape, header.element.size.into(), file)?;
    let bytes = numbers::read_announced(&mut stream, &header.shape, expected)
        .map_err(io)?
        .map_err(malformed)?;
    let elements = elements(&header, &bytes).ok_or_else(|| DataError::ElementType {
        file: file.into(),
        place: place.clone(),
        expected: "64-bit integers below 2^63",
        actual: "a larger one".into(),
    })?;
    let numbers = Numbers {
        name: name.into(),
        shape: header.shape,
        elements,
    };
    Ok((numbers, header.element.name()))
}

/// The text of the header; the inner error says how it is malformed.
fn header_text(stream: &mut impl Read) -> io::Result<Result<Vec<u8>, String>> {
    let mut head = [0; 8];
    stream.read_exact(&mut head)?;
    let length = match head {
        [0x93, b'N', b'U', b'M', b'P', b'Y', 1, _] => {
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            u16::from_le_bytes(length).into()
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', 2 | 3, _] => {
            let mut length = [0; 4];
            stream.read_exact(&mut length)?;
            u32::from_le_bytes(length)
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', version, _] => {
            return Ok(Err(format!("its version is {version}, expected 1, 2 or 3")));
        }
        _ => return Ok(Err("it does not begin with the npy mark".into())),
    };
    if length > MAX_HEADER {
        return Ok(Err(format!(
            "its header takes {length} bytes, more than the limit of {MAX_HEADER}"
        )));
    }
    let mut text = vec![0; length as usize];
    stream.read_exact(&mut text)?;
    Ok(Ok(text))
}

/// The elements in row-major order, or nothing when an integer does not fit.
fn elements(header: &Header, bytes: &[u8]) -> Option<Elements> {
    let Element { kind, size, big_endian } = header.element;
    macro_rules! each {
        ($read:ty => $variant:ident) => {{
            let decode = if big_endian {
                <$read>::from_be_bytes
            } else {
                <$read>::from_le_bytes
            };
            let values = bytes.as_chunks().0.iter().map(|&chunk| decode(chunk).into());
            Elements::$variant(row_major(header, values.collect()))
        }};
    }
    Some(match (kind, size) {
        (Kind::Unsigned, 1) => Elements::U8(row_major(header, bytes.to_vec())),
        // Not as bytes, which may be scaled.
        (Kind::Bool, _) => Elements::I16(row_major(header, bytes.iter().map(|&byte| (byte != 0).into()).collect())),
        (Kind::Signed, 1) => each!(i8 => I16),
        (Kind::Signed, 2) => each!(i16 => I16),
        (Kind::Signed, 4) => each!(i32 => I32),
        (Kind::Signed, _) => each!(i64 => I64),
        (Kind::Unsigned, 2) => each!(u16 => I32),
        (Kind::Unsigned, 4) => each!(u32 => I64),
        (Kind::Unsigned, _) => {
            let decode = if big_endian { u64::from_be_bytes } else { u64::from_le_bytes };
            let values = bytes.as_chunks().0.iter().map(|&chunk| i64::try_from(decode(chunk)).ok());
            Elements::I64(row_major(header, values.collect::<Option<_>>()?))
        }
        (Kind::Float, 4) => each!(f32 => F32),
        (Kind::Float, _) => each!(f64 => F64),
    })
}

fn row_major<T: Clone>(header: &Header, values: Vec<T>) -> Vec<T> {
    if !header.fortran || header.shape.len() < 2 || values.is_empty() {
        return values;
    }
    match ArrayD::from_shape_vec(IxDyn(&header.shape).f(), values) {
        Ok(array) => array.as_standard_layout().into_owned().into_raw_vec_and_offset().0,
        // As many values as the shape says were read, so that this is not reached.
        Err(_) => Vec::new(),
    }
}
