//! The bytes of steps and tensors.

use super::{MAX_STEPS, Step, Tensor};
use crate::{AccelError, Kind, Matrices, Shape, Words, convolution::Window, error::at_most};

/// Bytes that are left to be read.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, what: &'static str, count: usize) -> Result<&'a [u8], AccelError> {
        let bytes = self.0.split_off(..count);
        bytes.ok_or(AccelError::Bytes {
            what,
            expected: count,
            actual: self.0.len(),
        })
    }

    fn word(&mut self, what: &'static str) -> Result<[u8; 4], AccelError> {
        let bytes = self.take(what, 4)?;
        Ok([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    fn number(&mut self, what: &'static str) -> Result<u32, AccelError> {
        self.word(what).map(u32::from_le_bytes)
    }

    fn tag(&mut self, what: &'static str, max: u8) -> Result<u8, AccelError> {
        match self.take(what, 1)?[0] {
            tag if tag <= max => Ok(tag),
            actual => Err(AccelError::Tag { what, max, actual }),
        }
    }

    /// How many steps or tensors follow; each has at least five bytes.
    pub(super) fn count(&mut self) -> Result<usize, AccelError> {
        let count = self.number("count")? as usize;
        at_most("steps or tensors", MAX_STEPS, count)?;
        Ok(count)
    }

    /// That nothing is left.
    pub(super) fn end(&self) -> Result<(), AccelError> {
        match self.0.len() {
            0 => Ok(()),
            actual => Err(AccelError::Bytes {
                what: "end",
                expected: 0,
                actual,
            }),
        }
    }
}

pub(super) fn put(out: &mut Vec<u8>, number: u32) {
    out.extend_from_slice(&number.to_le_bytes());
}

/// Numbers of four bytes, all at once where they stand in memory as in the message.
fn put_all<T: bytemuck::Pod>(out: &mut Vec<u8>, numbers: &[T], bytes: impl Fn(T) -> [u8; 4]) {
    match cfg!(target_endian = "little") {
        true => out.extend_from_slice(bytemuck::cast_slice(numbers)),
        false => out.extend(numbers.iter().flat_map(|number| bytes(*number))),
    }
}

impl Tensor {
    pub(super) fn encoded_len(&self) -> usize {
        13 + 4 * self.shape().elements()
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.push(matches!(self, Self::Floats(_)).into());
        let shape = self.shape();
        // Each is below 2^29.
        [shape.batch, shape.rows, shape.columns]
            .into_iter()
            .for_each(|size| put(out, size as u32));
        match self {
            Self::Words(words) => put_all(out, words.values(), u32::to_le_bytes),
            Self::Floats(floats) => put_all(out, floats.values(), f32::to_le_bytes),
        }
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, AccelError> {
        let floats = reader.tag("form of a tensor", 1)? == 1;
        let mut size = || reader.number("size of a tensor").map(|size| size as usize);
        let shape = Shape::new(size()?, size()?, size()?)?;
        let bytes = reader.take("tensor", 4 * shape.elements())?;
        let bytes = bytes.as_chunks().0;
        match floats {
            false => {
                let words = bytes.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect();
                Words::new(Matrices::new(shape, words)?).map(Self::Words)
            }
            true => Matrices::new(shape, finite(bytes)?).map(Self::Floats),
        }
    }
}

impl Step {
    pub(super) fn encoded_len(&self) -> usize {
        match self {
            Self::Put { tensor, .. } => 5 + tensor.encoded_len(),
            Self::Product { keep, .. } => 11 + if keep.is_some() { 4 } else { 0 },
            Self::Add { .. } => 13,
            Self::Unfold { .. } | Self::Fold { .. } => 45,
            Self::Read { .. } | Self::Free { .. } => 5,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Put { slot, tensor } => {
                out.push(0);
                put(out, *slot);
                tensor.encode(out);
            }
            Self::Product { kind, left, right, keep } => {
                out.extend([1, kind_tag(*kind)]);
                put(out, *left);
                put(out, *right);
                out.push(keep.is_some().into());
                keep.iter().for_each(|slot| put(out, *slot));
            }
            Self::Add { to, from, factor } => {
                out.push(2);
                put(out, *to);
                put(out, *from);
                out.extend_from_slice(&factor.to_le_bytes());
            }
            Self::Unfold { from, to, window } => put_window(out, 5, [*from, *to], window),
            Self::Fold { from, to, window } => put_window(out, 6, [*from, *to], window),
            Self::Read { slot } => {
                out.push(3);
                put(out, *slot);
            }
            Self::Free { slot } => {
                out.push(4);
                put(out, *slot);
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader) -> Result<Self, AccelError> {
        Ok(match reader.tag("step", 6)? {
            0 => Self::Put {
                slot: reader.number("slot")?,
                tensor: Tensor::decode(reader)?,
            },
            1 => Self::Product {
                kind: Kind::ALL[usize::from(reader.tag("kind of a product", 2)?)],
                left: reader.number("slot")?,
                right: reader.number("slot")?,
                keep: match reader.tag("whether a product is kept", 1)? {
                    0 => None,
                    _ => Some(reader.number("slot")?),
                },
            },
            2 => Self::Add {
                to: reader.number("slot")?,
                from: reader.number("slot")?,
                factor: factor(reader)?,
            },
            3 => Self::Read {
                slot: reader.number("slot")?,
            },
            4 => Self::Free {
                slot: reader.number("slot")?,
            },
            5 => Self::Unfold {
                from: reader.number("slot")?,
                to: reader.number("slot")?,
                window: window(reader)?,
            },
            _ => Self::Fold {
                from: reader.number("slot")?,
                to: reader.number("slot")?,
                window: window(reader)?,
            },
        })
    }
}

/// Numbers, none of which is infinite or not a number. They are looked at block by block, while a block is in the first cache, and each block to its end, so that the
/// compiler's vectors apply.
fn finite(bytes: &[[u8; 4]]) -> Result<Vec<f32>, AccelError> {
    const BLOCK: usize = 1 << 11;
    let mut values = Vec::with_capacity(bytes.len());
    for block in bytes.chunks(BLOCK) {
        let first = values.len();
        values.extend(block.iter().map(|bytes| f32::from_le_bytes(*bytes)));
        let block: &[f32] = &values[first..];
        let all = block.iter().fold(true, |finite, value| finite & value.is_finite());
        let wrong = || block.iter().zip(first..).find(|(value, _)| !value.is_finite());
        if !all && let Some((&actual, index)) = wrong() {
            return Err(AccelError::NotFinite { index, actual });
        }
    }
    Ok(values)
}

fn factor(reader: &mut Reader) -> Result<f32, AccelError> {
    match f32::from_le_bytes(reader.word("factor")?) {
        factor if factor.is_finite() => Ok(factor),
        actual => Err(AccelError::NotFinite { index: 0, actual }),
    }
}

fn put_window(out: &mut Vec<u8>, tag: u8, slots: [u32; 2], window: &Window) {
    out.push(tag);
    slots.into_iter().for_each(|slot| put(out, slot));
    let sizes = [window.image, window.kernel, window.stride, window.padding];
    // A window of another size than 32 bits is refused wherever it is used.
    let sizes = [window.channels].into_iter().chain(sizes.into_iter().flatten());
    sizes.for_each(|size| put(out, u32::try_from(size).unwrap_or(u32::MAX)));
}

fn window(reader: &mut Reader) -> Result<Window, AccelError> {
    let mut size = || reader.number("size of a window").map(|size| size as usize);
    let window = Window {
        channels: size()?,
        image: [size()?, size()?],
        kernel: [size()?, size()?],
        stride: [size()?, size()?],
        padding: [size()?, size()?],
    };
    window.check()?;
    Ok(window)
}

/// Its place in [`Kind::ALL`].
fn kind_tag(kind: Kind) -> u8 {
    match kind {
        Kind::Forward => 0,
        Kind::WeightGradient => 1,
        Kind::InputGradient => 2,
    }
}
