//! What a party asks its helpers, in bytes. Both sides are of one version.

use std::ops::Range;

use cloven_nn::LinearShape;
use cloven_wire::{DecodeError, Reader};
use zeroize::Zeroizing;

use crate::{encrypted_activation::Direction, message::within};

/// A task, or something that a helper must know for one. `of` tells apart what one helper holds for several parts or sessions.
#[derive(Debug, PartialEq)]
pub(crate) enum Request<'a> {
    /// `encrypted_model`: these blocks of inputs of a layer, of which nothing has come yet; takes the place of what `of` was.
    Layer { form: LayerForm, blocks: Range<usize> },
    /// The next blocks, as the client encrypted them.
    Fresh(&'a [u8]),
    /// The next blocks, as a helper gave them.
    Held(&'a [u8]),
    /// What the blocks add to the outputs of rows (integers at the scale of samples, the columns of these blocks only).
    Sums { rows: &'a [i16] },
    /// W <- W + x^T delta. Answered with nothing.
    Update { rows: &'a [i16], delta: &'a [u8] },
    /// Some of the blocks (counted from the helper's first) as they stand.
    Blocks(Range<usize>),
    /// `encrypted_activation`: a dense layer, its weight `[outputs, inputs]`, its bias perhaps; batches have at most `rows` rows.
    Dense {
        rows: usize,
        shape: [usize; 2],
        weight: &'a [f32],
        bias: Option<&'a [f32]>,
    },
    /// The product of a sealed batch with the layer.
    Sealed {
        direction: Direction,
        rows: usize,
        batch: &'a [u8],
    },
    /// `encrypted_samples`: the key under which rows of a first layer of this shape are encrypted.
    Key {
        shape: LinearShape,
        batch: usize,
        secret: &'a [u8; 32],
    },
    /// Enc(x) of these rows, the first of which has this number.
    Encrypt { first: u64, x: &'a [f32] },
}

/// How the layer of `encrypted_model` is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerForm {
    /// Inputs and outputs.
    pub shape: [usize; 2],
    pub bias: bool,
    pub input_bits: u32,
    /// Of the stride layout; none in block layout.
    pub packing: Option<usize>,
}

impl Request<'_> {
    /// As bytes, for what is called `of`. They may hold a key.
    pub fn encode(&self, of: usize) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(vec![self.verb()]);
        let sizes = |out: &mut Vec<u8>, sizes: &[usize]| {
            sizes.iter().for_each(|size| out.extend((*size as u64).to_le_bytes()));
        };
        sizes(&mut out, &[of]);
        match self {
            Self::Layer { form, blocks } => {
                let LayerForm {
                    shape: [inputs, outputs],
                    bias,
                    input_bits,
                    packing,
                } = *form;
                let numbers = [usize::from(bias), input_bits as usize, packing.unwrap_or(0)];
                sizes(&mut out, &[inputs, outputs]);
                sizes(&mut out, &numbers);
                sizes(&mut out, &[blocks.start, blocks.end]);
            }
            Self::Fresh(bytes) | Self::Held(bytes) => out.extend_from_slice(bytes),
            Self::Sums { rows } => put(&mut out, rows.iter().map(|x| x.to_le_bytes())),
            Self::Update { rows, delta } => {
                sizes(&mut out, &[rows.len()]);
                put(&mut out, rows.iter().map(|x| x.to_le_bytes()));
                out.extend_from_slice(delta);
            }
            Self::Blocks(blocks) => sizes(&mut out, &[blocks.start, blocks.end]),
            Self::Dense {
                rows,
                shape: [inputs, outputs],
                weight,
                bias,
            } => {
                sizes(&mut out, &[*rows, *inputs, *outputs, usize::from(bias.is_some())]);
                put(&mut out, weight.iter().map(|w| w.to_le_bytes()));
                put(&mut out, bias.iter().copied().flatten().map(|b| b.to_le_bytes()));
            }
            Self::Sealed { direction, rows, batch } => {
                sizes(&mut out, &[*direction as usize, *rows]);
                out.extend_from_slice(batch);
            }
            Self::Key { shape, batch, secret } => {
                sizes(&mut out, &[*batch]);
                match *shape {
                    LinearShape::Dense { inputs, outputs } => sizes(&mut out, &[0, inputs, outputs]),
                    LinearShape::Convolution {
                        channels,
                        image,
                        kernel,
                        stride,
                        padding,
                    } => {
                        sizes(
                            &mut out,
                            &[1, channels[0], channels[1], image[0], image[1], kernel, stride, padding],
                        );
                    }
                }
                out.extend_from_slice(*secret);
            }
            Self::Encrypt { first, x } => {
                out.extend(first.to_le_bytes());
                put(&mut out, x.iter().map(|x| x.to_le_bytes()));
            }
        }
        out
    }

    fn verb(&self) -> u8 {
        match self {
            Self::Layer { .. } => 1,
            Self::Fresh(_) => 2,
            Self::Held(_) => 3,
            Self::Sums { .. } => 4,
            Self::Update { .. } => 5,
            Self::Blocks(_) => 6,
            Self::Dense { .. } => 7,
            Self::Sealed { .. } => 8,
            Self::Key { .. } => 9,
            Self::Encrypt { .. } => 10,
        }
    }

    /// Reads what [`Request::encode`] wrote, and hands it to `take` together with what it is for. Numbers that are read belong to nobody after that.
    pub fn decode<T>(bytes: &[u8], take: impl FnOnce(usize, Request<'_>) -> T) -> Result<T, DecodeError> {
        let mut reader = Reader::new(bytes);
        let verb = within("request", 1, 10, reader.u8()?.into())?;
        let of = size(&mut reader)?;
        let (rows, weight, bias, secret);
        let request = match verb {
            1 => {
                let shape = [size(&mut reader)?, size(&mut reader)?];
                let [bias, input_bits, packing] = [size(&mut reader)?, size(&mut reader)?, size(&mut reader)?];
                let form = LayerForm {
                    shape,
                    bias: bias != 0,
                    input_bits: within("bits of samples", 0, 64, input_bits as u64)? as u32,
                    packing: (packing != 0).then_some(packing),
                };
                let blocks = size(&mut reader)?..size(&mut reader)?;
                Request::Layer { form, blocks }
            }
            2 => Request::Fresh(reader.rest()),
            3 => Request::Held(reader.rest()),
            4 => {
                rows = numbers(reader.rest(), i16::from_le_bytes)?;
                Request::Sums { rows: &rows }
            }
            5 => {
                let count = size(&mut reader)?;
                rows = numbers(reader.bytes(bytes_of(count, 2)?)?, i16::from_le_bytes)?;
                Request::Update {
                    rows: &rows,
                    delta: reader.rest(),
                }
            }
            6 => Request::Blocks(size(&mut reader)?..size(&mut reader)?),
            7 => {
                let [rows, inputs, outputs] = [size(&mut reader)?, size(&mut reader)?, size(&mut reader)?];
                let with_bias = size(&mut reader)? != 0;
                let count = inputs.saturating_mul(outputs);
                weight = numbers(reader.bytes(bytes_of(count, 4)?)?, f32::from_le_bytes)?;
                bias = match with_bias {
                    true => Some(numbers(reader.bytes(bytes_of(outputs, 4)?)?, f32::from_le_bytes)?),
                    false => None,
                };
                Request::Dense {
                    rows,
                    shape: [inputs, outputs],
                    weight: &weight,
                    bias: bias.as_deref(),
                }
            }
            8 => {
                let direction = match within("direction", 0, 1, size(&mut reader)? as u64)? {
                    0 => Direction::Forward,
                    _ => Direction::Backward,
                };
                Request::Sealed {
                    direction,
                    rows: size(&mut reader)?,
                    batch: reader.rest(),
                }
            }
            9 => {
                let batch = size(&mut reader)?;
                let shape = shape(&mut reader)?;
                secret = Zeroizing::new(reader.array()?);
                Request::Key {
                    shape,
                    batch,
                    secret: &secret,
                }
            }
            _ => {
                let first = reader.u64()?;
                weight = numbers(reader.rest(), f32::from_le_bytes)?;
                Request::Encrypt { first, x: &weight }
            }
        };
        match reader.rest().len() {
            0 => Ok(take(of, request)),
            more => Err(DecodeError::TooLong(more)),
        }
    }
}

fn put<const N: usize>(out: &mut Vec<u8>, numbers: impl Iterator<Item = [u8; N]>) {
    numbers.for_each(|bytes| out.extend_from_slice(&bytes));
}

fn size(reader: &mut Reader<'_>) -> Result<usize, DecodeError> {
    Ok(within("size", 0, 1 << 40, reader.u64()?)? as usize)
}

fn bytes_of(count: usize, each: usize) -> Result<usize, DecodeError> {
    Ok(within("numbers", 0, 1 << 40, count as u64)? as usize * each)
}

fn shape(reader: &mut Reader<'_>) -> Result<LinearShape, DecodeError> {
    let mut next = || size(reader);
    match within("shape", 0, 1, next()? as u64)? {
        0 => Ok(LinearShape::Dense {
            inputs: next()?,
            outputs: next()?,
        }),
        _ => Ok(LinearShape::Convolution {
            channels: [next()?, next()?],
            image: [next()?, next()?],
            kernel: next()?,
            stride: next()?,
            padding: next()?,
        }),
    }
}

fn numbers<T, const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> T) -> Result<Vec<T>, DecodeError> {
    let (whole, rest) = bytes.as_chunks::<N>();
    match rest.len() {
        0 => Ok(whole.iter().map(|bytes| read(*bytes)).collect()),
        got => Err(DecodeError::Truncated { expected: N, got }),
    }
}
