//! Reading and writing payloads: bounded, validated, never panicking.

use ndarray::{ArrayD, IxDyn};

/// Why a payload is not the message it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The payload ended early.
    #[error("expected {expected} more bytes, got {got}")]
    Truncated {
        /// Bytes the field needs.
        expected: usize,
        /// Bytes that were left.
        got: usize,
    },
    /// Bytes were left over.
    #[error("expected the end of the message, got {0} more bytes")]
    TooLong(usize),
    /// A tensor has another shape than the protocol's state demands.
    #[error("expected a tensor of shape {expected:?}, got {got:?}")]
    Shape {
        /// The shape the receiver's state demands.
        expected: Vec<usize>,
        /// The shape in the payload.
        got: Vec<usize>,
    },
    /// A number is NaN or infinite.
    #[error("expected finite numbers, got {value} at position {position}")]
    NotFinite {
        /// Index in row-major order.
        position: usize,
        /// `NaN`, `inf` or `-inf`.
        value: String,
    },
    /// A field lies outside its range.
    #[error("{field}: expected {expected}, got {got}")]
    Field {
        /// The field's name.
        field: &'static str,
        /// What is allowed.
        expected: String,
        /// What came.
        got: String,
    },
}

impl DecodeError {
    /// Its two halves.
    pub(crate) fn expected_and_got(&self) -> [Option<String>; 2] {
        let [expected, got] = match self {
            Self::Truncated { expected, got } => [format!("{expected} more bytes"), format!("{got} bytes")],
            Self::TooLong(more) => ["the end of the message".to_owned(), format!("{more} more bytes")],
            Self::Shape { expected, got } => [format!("shape {expected:?}"), format!("shape {got:?}")],
            Self::NotFinite { position, value } => ["finite numbers".to_owned(), format!("{value} at position {position}")],
            Self::Field { field, expected, got } => [format!("{field}: {expected}"), got.clone()],
        };
        [Some(expected), Some(got)]
    }
}

/// A cursor over a payload.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        let (head, tail) = self.rest.split_at_checked(n).ok_or(DecodeError::Truncated {
            expected: n,
            got: self.rest.len(),
        })?;
        self.rest = tail;
        Ok(head)
    }

    /// All bytes that are left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let mut out = [0; N];
        out.copy_from_slice(self.bytes(N)?);
        Ok(out)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// A little-endian `u16`.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// A little-endian `u32`.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// A little-endian `u64`.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A tensor written by [`put_f32_array`] that must have exactly the `expected` shape and only finite entries.
    pub fn f32_array(&mut self, expected: &[usize]) -> Result<ArrayD<f32>, DecodeError> {
        let rank = self.u8()? as usize;
        let mut shape = Vec::with_capacity(rank);
        for _ in 0..rank {
            shape.push(self.u32()? as usize);
        }
        if shape != expected {
            return Err(DecodeError::Shape {
                expected: expected.to_vec(),
                got: shape,
            });
        }
        let count: usize = expected.iter().product();
        let raw = self.bytes(count * 4)?;
        let data: Vec<f32> = raw
            .chunks_exact(4)
            .map(|c| f32::from_le_bytes([c[0], c[1], c[2], c[3]]))
            .collect();
        if let Some(position) = data.iter().position(|v| !v.is_finite()) {
            return Err(DecodeError::NotFinite {
                position,
                value: data[position].to_string(),
            });
        }
        ArrayD::from_shape_vec(IxDyn(expected), data).map_err(|_| DecodeError::Shape {
            expected: expected.to_vec(),
            got: shape,
        })
    }

    /// Fails unless everything was read.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.rest.len() {
            0 => Ok(()),
            n => Err(DecodeError::TooLong(n)),
        }
    }
}

/// Appends a tensor: rank `u8`, dimensions `u32`, entries `f32` in row-major order, little-endian.
pub fn put_f32_array(out: &mut Vec<u8>, array: &ArrayD<f32>) {
    out.reserve(f32_array_len(array.shape()));
    out.push(array.ndim() as u8);
    for &d in array.shape() {
        out.extend_from_slice(&(d as u32).to_le_bytes());
    }
    match array.as_slice() {
        Some(slice) => slice.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
        None => array.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes())),
    }
}

/// Encoded length in bytes of a tensor of this shape.
pub fn f32_array_len(shape: &[usize]) -> usize {
    1 + 4 * shape.len() + 4 * shape.iter().product::<usize>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn arrays_round_trip(rows in 0usize..5, cols in 0usize..7, seed in any::<u32>()) {
            let shape = [rows, cols];
            let values = (0..rows * cols).map(|i| (i as f32 - 3.0) * (seed as f32 / 1e6)).collect();
            let array = ArrayD::from_shape_vec(IxDyn(&shape), values).unwrap();
            let mut bytes = Vec::new();
            put_f32_array(&mut bytes, &array);
            prop_assert_eq!(bytes.len(), f32_array_len(&shape));
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.f32_array(&shape).unwrap(), array);
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn any_bytes_give_an_array_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Reader::new(&bytes).f32_array(&[2, 3]);
        }
    }

    #[test]
    fn wrong_shape_truncation_and_nan_are_named() {
        let array = ArrayD::from_shape_vec(IxDyn(&[2]), vec![1.0, f32::NAN]).unwrap();
        let mut bytes = Vec::new();
        put_f32_array(&mut bytes, &array);
        assert_eq!(
            Reader::new(&bytes).f32_array(&[3]).unwrap_err(),
            DecodeError::Shape {
                expected: vec![3],
                got: vec![2]
            }
        );
        assert_eq!(
            Reader::new(&bytes).f32_array(&[2]).unwrap_err(),
            DecodeError::NotFinite {
                position: 1,
                value: "NaN".into()
            }
        );
        assert_eq!(
            Reader::new(&bytes[..bytes.len() - 1]).f32_array(&[2]).unwrap_err(),
            DecodeError::Truncated { expected: 8, got: 7 }
        );
    }
}
