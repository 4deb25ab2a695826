//! Files of fixed-point models and of shares of them, in the safetensors format.
//!
//! Metadata: `format` ("cloven-fixed-model" or "cloven-fixed-share"), `version` ("1"), `structure` (a [`Structure`] as JSON, which holds k and f);
//! of a share also `model` (32 hexadecimal digits, the same in shares that were made together), `server` and `servers` (numbers).
//!
//! Arrays: "{n}.weight" and "{n}.bias" of product number n, in the order of [`Structure::linear`]. Those of a model are `I32` where k <= 32, else
//! `I64`, in -2^(k-1)..2^(k-1); those of a share are `U32` where k <= 32, else `U64`, below 2^k. A share that comes from a seed has instead one array
//! "seed", `U8`, of 32 bytes.

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use zeroize::Zeroizing;

use super::share::LinearShare;
use super::{FixedModel, Holder, LinearWeights, ModelShare, Structure, fixed_error};
use crate::network::{file_error, read_bytes, write_bytes};
use crate::{LinearShape, MAX_PARAMETERS, ModelError};

/// Largest header, with all metadata.
const MAX_HEADER: u64 = 4 << 20;
/// Largest file.
const MAX_FILE: u64 = MAX_PARAMETERS as u64 * 8 + MAX_HEADER;
/// Names of the two formats.
const MODEL: &str = "cloven-fixed-model";
const SHARE: &str = "cloven-fixed-share";
const VERSION: &str = "1";
/// The array of a share from a seed.
const SEED: &str = "seed";

type Metadata = HashMap<String, String>;

impl FixedModel {
    /// The content of a model file: weights in the clear.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] if the format cannot hold it.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, ModelError> {
        let linear = self.weights.iter();
        let numbers = linear.map(|linear| [&linear.weight, &linear.bias].map(|values| bytemuck::cast_slice(values)));
        let arrays = arrays(&self.structure, numbers.collect(), [Dtype::I32, Dtype::I64]);
        write(arrays, metadata(MODEL, &self.structure))
    }

    /// The model of such a content.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let file = Content::parse(bytes, MODEL)?;
        let ring = file.structure.ring()?;
        let signed = |value: u64| ring.signed(ring.reduce(value)) == value as i64;
        let numbers = file.linear([Dtype::I32, Dtype::I64], signed)?;
        let signed = |values: Vec<u64>| values.into_iter().map(|value| value as i64).collect();
        let weights = numbers.into_iter().map(|[weight, bias]| LinearWeights {
            weight: signed(weight),
            bias: signed(bias),
        });
        Ok(Self {
            weights: weights.collect(),
            structure: file.structure,
        })
    }

    /// Writes [`FixedModel::to_bytes`]. The file appears whole or not at all, is on disk when this returns, and only its owner may read it where
    /// the system has such a thing.
    ///
    /// # Errors
    /// [`ModelError::File`] if it cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        write_bytes(path, &self.to_bytes()?)
    }

    /// Reads a file of [`FixedModel::save`].
    ///
    /// # Errors
    /// [`ModelError::File`] for a file that is unreadable, too large or something else.
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        of_file(path, Self::from_bytes)
    }
}

impl ModelShare {
    /// The content of a share file: as secret as the share.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] if the format cannot hold it.
    pub fn to_bytes(&self) -> Result<Zeroizing<Vec<u8>>, ModelError> {
        let mut metadata = metadata(SHARE, &self.structure);
        let Holder { server, servers, model } = self.holder;
        let digits = model.iter().map(|byte| format!("{byte:02x}")).collect();
        for (name, value) in [
            ("model", digits),
            ("server", server.to_string()),
            ("servers", servers.to_string()),
        ] {
            metadata.insert(name.to_owned(), value);
        }
        let arrays = match &self.seed {
            Some(seed) => vec![Array {
                name: SEED.to_owned(),
                kind: Dtype::U8,
                shape: vec![seed.len()],
                bytes: Zeroizing::new(seed.to_vec()),
            }],
            None => {
                let words = self.weights().map(|(weight, bias)| [weight, bias]).collect();
                arrays(&self.structure, words, [Dtype::U32, Dtype::U64])
            }
        };
        write(arrays, metadata)
    }

    /// The share of such a content.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ModelError> {
        let file = Content::parse(bytes, SHARE)?;
        let holder = file.holder()?;
        if let Some(seed) = file.seed()? {
            return Self::from_seed(file.structure, holder, seed);
        }
        let ring = file.structure.ring()?;
        let numbers = file.linear([Dtype::U32, Dtype::U64], |word| ring.reduce(word) == word)?;
        let words = numbers.into_iter().map(|[weight, bias]| LinearShare { weight, bias });
        Ok(Self::from_words(file.structure, holder, words.collect()))
    }

    /// Writes [`ModelShare::to_bytes`], as [`FixedModel::save`] does.
    ///
    /// # Errors
    /// As [`FixedModel::save`].
    pub fn save(&self, path: &Path) -> Result<(), ModelError> {
        write_bytes(path, &self.to_bytes()?)
    }

    /// Reads a file of [`ModelShare::save`].
    ///
    /// # Errors
    /// As [`FixedModel::load`].
    pub fn load(path: &Path) -> Result<Self, ModelError> {
        of_file(path, Self::from_bytes)
    }
}

/// An array to be written.
struct Array {
    name: String,
    kind: Dtype,
    shape: Vec<usize>,
    bytes: Zeroizing<Vec<u8>>,
}

/// A file whose metadata are right.
struct Content<'a> {
    tensors: SafeTensors<'a>,
    metadata: Metadata,
    structure: Structure,
}

impl<'a> Content<'a> {
    fn parse(bytes: &'a [u8], format: &str) -> Result<Self, ModelError> {
        let header = bytes.first_chunk().map(|length| u64::from_le_bytes(*length));
        if header.is_none_or(|length| length > MAX_HEADER) || bytes.len() as u64 > MAX_FILE {
            return Err(problem("a header and numbers within the limits", "another content"));
        }
        let malformed = |error| problem("the safetensors format", format!("{error}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
        let metadata = header.metadata().clone().unwrap_or_default();
        for (name, expected) in [("format", format), ("version", VERSION)] {
            if metadata.get(name).is_none_or(|actual| actual != expected) {
                let actual = metadata.get(name).map_or("none".to_owned(), |actual| format!("{actual:?}"));
                return Err(problem(format!("{name} {expected:?}"), actual));
            }
        }
        let text = metadata.get("structure").map_or("", String::as_str);
        let structure = Structure::from_json(text.as_bytes())?;
        Ok(Self {
            tensors: SafeTensors::deserialize(bytes).map_err(malformed)?,
            metadata,
            structure,
        })
    }

    fn holder(&self) -> Result<Holder, ModelError> {
        let entry = |name: &str| self.metadata.get(name).map_or("", String::as_str);
        let number = |name: &str| {
            let wrong = || problem(format!("a number as {name}"), format!("{:?}", entry(name)));
            entry(name).parse().map_err(|_| wrong())
        };
        let digits = entry("model");
        let byte = |at: usize| u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok();
        let mut model = [0; 16];
        let hexadecimal = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        for (at, to) in model.iter_mut().enumerate() {
            let wrong = || problem("32 hexadecimal digits as model", format!("{digits:?}"));
            *to = byte(at).filter(|_| hexadecimal).ok_or_else(wrong)?;
        }
        let holder = Holder {
            server: number("server")?,
            servers: number("servers")?,
            model,
        };
        holder.check().map(|()| holder)
    }

    /// The seed, if the file has one and nothing else.
    fn seed(&self) -> Result<Option<Zeroizing<[u8; 32]>>, ModelError> {
        let Ok(view) = self.tensors.tensor(SEED) else {
            return Ok(None);
        };
        match (self.tensors.len(), view.dtype(), view.shape(), view.data().try_into()) {
            (1, Dtype::U8, [32], Ok(seed)) => Ok(Some(Zeroizing::new(seed))),
            _ => Err(problem("a seed of 32 bytes alone", "something else")),
        }
    }

    /// Weight and bias of each product, nothing else, each number an `allowed` one. Signed numbers come sign-extended.
    fn linear(&self, kinds: [Dtype; 2], allowed: impl Fn(u64) -> bool) -> Result<Vec<[Vec<u64>; 2]>, ModelError> {
        let (shapes, kind) = (self.structure.linear(), kind(&self.structure, kinds));
        let numbers = shapes.enumerate().map(|(number, shape)| {
            let [weight, bias] = array_shapes(number, shape).map(|(name, shape)| self.array(&name, kind, &shape, &allowed));
            Ok([weight?, bias?])
        });
        let numbers: Vec<[Vec<u64>; 2]> = numbers.collect::<Result<_, ModelError>>()?;
        match self.tensors.len() == 2 * numbers.len() {
            true => Ok(numbers),
            false => Err(problem(format!("{} arrays", 2 * numbers.len()), self.tensors.len())),
        }
    }

    fn array(&self, name: &str, kind: Dtype, shape: &[usize], allowed: impl Fn(u64) -> bool) -> Result<Vec<u64>, ModelError> {
        let Ok(view) = self.tensors.tensor(name) else {
            return Err(problem(format!("an array {name:?}"), "none"));
        };
        if (view.dtype(), view.shape()) != (kind, shape) {
            let actual = format!("{:?} {:?}", view.dtype(), view.shape());
            return Err(problem(format!("{name:?} to be {kind:?} {shape:?}"), actual));
        }
        let values = numbers(kind, view.data());
        match values.iter().all(|value| allowed(*value)) {
            true => Ok(values),
            false => Err(problem(format!("{name:?} within the ring"), "a larger number")),
        }
    }
}

/// Numbers of a kind that this module writes.
fn numbers(kind: Dtype, data: &[u8]) -> Vec<u64> {
    let short = || data.as_chunks::<4>().0.iter();
    match kind {
        Dtype::I32 => short().map(|bytes| i64::from(i32::from_le_bytes(*bytes)) as u64).collect(),
        Dtype::U32 => short().map(|bytes| u64::from(u32::from_le_bytes(*bytes))).collect(),
        _ => data.as_chunks().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect(),
    }
}

/// The short kind of two where it holds the ring.
fn kind(structure: &Structure, [short, long]: [Dtype; 2]) -> Dtype {
    if structure.ring_bits <= 32 { short } else { long }
}

/// Names and shapes of weight and bias of a product.
fn array_shapes(number: usize, shape: LinearShape) -> [(String, Vec<usize>); 2] {
    [
        (format!("{number}.weight"), shape.weight()),
        (format!("{number}.bias"), vec![shape.channels_out()]),
    ]
}

/// Weights and biases; of signed numbers the low half is the short kind's too.
fn arrays(structure: &Structure, numbers: Vec<[&[u64]; 2]>, kinds: [Dtype; 2]) -> Vec<Array> {
    let kind = kind(structure, kinds);
    let bytes = |values: &[u64]| {
        let size = kind.bitsize() / 8;
        let mut bytes = Zeroizing::new(Vec::with_capacity(values.len() * size));
        values
            .iter()
            .for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()[..size]));
        bytes
    };
    let products = structure.linear().enumerate().zip(numbers);
    let arrays = products.flat_map(|((number, shape), values)| {
        array_shapes(number, shape)
            .into_iter()
            .zip(values)
            .map(|((name, shape), values)| Array {
                name,
                kind,
                shape,
                bytes: bytes(values),
            })
    });
    arrays.collect()
}

fn metadata(format: &str, structure: &Structure) -> Metadata {
    let entries = [
        ("format", format.to_owned()),
        ("version", VERSION.to_owned()),
        ("structure", structure.to_json()),
    ];
    entries.map(|(name, value)| (name.to_owned(), value)).into()
}

fn write(arrays: Vec<Array>, metadata: Metadata) -> Result<Zeroizing<Vec<u8>>, ModelError> {
    let malformed = |error| problem("numbers for the safetensors format", format!("{error}"));
    let mut views = Vec::new();
    for array in &arrays {
        views.push((
            &array.name,
            TensorView::new(array.kind, array.shape.clone(), &array.bytes).map_err(malformed)?,
        ));
    }
    let bytes = serialize(views, Some(metadata)).map_err(malformed)?;
    Ok(Zeroizing::new(bytes))
}

fn of_file<T>(path: &Path, parse: impl FnOnce(&[u8]) -> Result<T, ModelError>) -> Result<T, ModelError> {
    let bytes = Zeroizing::new(read_bytes(path, MAX_FILE)?);
    parse(&bytes).map_err(|error| file_error(path, error.to_string()))
}

pub(super) fn problem(expected: impl Into<String>, actual: impl ToString) -> ModelError {
    fixed_error("content", expected, actual)
}
