//! The few fields of ONNX's protobuf messages that matter, read in place: strings and raw numbers stay slices of the file.

use micropb::{PbDecoder, WIRE_TYPE_I32, WIRE_TYPE_I64, WIRE_TYPE_LEN, WIRE_TYPE_VARINT};

use super::onnx_error;
use crate::ModelError;

/// Most entries of one repeated field other than numbers of weights. Models have some hundreds.
const MAX_ENTRIES: usize = 8_000;
/// Most inputs, outputs, attributes, axes or small numbers of one node.
const MAX_OF_NODE: usize = 32;

/// A model: its graph, and the version of the operators that it means.
#[derive(Default)]
pub(super) struct Model<'a> {
    pub graph: Option<Graph<'a>>,
    pub operators: u64,
}

#[derive(Default)]
pub(super) struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
    pub initializers: Vec<Tensor<'a>>,
    pub inputs: Vec<Input<'a>>,
    pub outputs: Vec<&'a str>,
}

#[derive(Default)]
pub(super) struct Node<'a> {
    pub name: &'a str,
    pub operator: &'a str,
    pub domain: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    pub attributes: Vec<Attribute<'a>>,
}

#[derive(Default)]
pub(super) struct Attribute<'a> {
    pub name: &'a str,
    pub float: f32,
    pub integer: i64,
    pub integers: Vec<i64>,
    pub text: &'a [u8],
    pub tensor: Option<Tensor<'a>>,
}

/// An input of the graph; an axis without a number is `None`.
#[derive(Default)]
pub(super) struct Input<'a> {
    pub name: &'a str,
    pub axes: Vec<Option<i64>>,
}

/// A constant.
#[derive(Clone, Default)]
pub(super) struct Tensor<'a> {
    pub name: &'a str,
    pub axes: Vec<i64>,
    /// ONNX's number of the type of its numbers.
    pub kind: u64,
    pub raw: Option<&'a [u8]>,
    pub floats: Vec<f32>,
    pub integers: Vec<i64>,
    /// Its numbers are in another file.
    pub external: bool,
}

impl<'a> Model<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut model = Self::default();
        for field in fields(bytes, "model") {
            match field? {
                (7, Value::Bytes(graph)) => model.graph = Some(Graph::read(graph)?),
                (8, Value::Bytes(set)) => model.operators = model.operators.max(operators(set)?),
                _ => {}
            }
        }
        Ok(model)
    }
}

/// The version of a set of operators; 0 if it is not ONNX's own.
fn operators(bytes: &[u8]) -> Result<u64, ModelError> {
    let (mut own, mut version) = (true, 0);
    for field in fields(bytes, "operator set") {
        match field? {
            (1, Value::Bytes(domain)) => own = domain.is_empty() || domain == b"ai.onnx",
            (2, Value::Number(number)) => version = number,
            _ => {}
        }
    }
    Ok(if own { version } else { 0 })
}

impl<'a> Graph<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut graph = Self::default();
        for field in fields(bytes, "graph") {
            match field? {
                (1, Value::Bytes(node)) => push(&mut graph.nodes, Node::read(node)?, MAX_ENTRIES, "nodes")?,
                (5, Value::Bytes(tensor)) => push(&mut graph.initializers, Tensor::read(tensor)?, MAX_ENTRIES, "initializers")?,
                (11, Value::Bytes(input)) => push(&mut graph.inputs, Input::read(input)?, MAX_ENTRIES, "inputs")?,
                (12, Value::Bytes(output)) => push(&mut graph.outputs, Input::read(output)?.name, MAX_ENTRIES, "outputs")?,
                _ => {}
            }
        }
        Ok(graph)
    }
}

impl<'a> Node<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut node = Self::default();
        for field in fields(bytes, "node") {
            match field? {
                (1, Value::Bytes(name)) => push(&mut node.inputs, text(name)?, MAX_OF_NODE, "inputs of a node")?,
                (2, Value::Bytes(name)) => push(&mut node.outputs, text(name)?, MAX_OF_NODE, "outputs of a node")?,
                (3, Value::Bytes(name)) => node.name = text(name)?,
                (4, Value::Bytes(operator)) => node.operator = text(operator)?,
                (5, Value::Bytes(attribute)) => {
                    let attribute = Attribute::read(attribute)?;
                    push(&mut node.attributes, attribute, MAX_OF_NODE, "attributes of a node")?;
                }
                (7, Value::Bytes(domain)) => node.domain = text(domain)?,
                _ => {}
            }
        }
        Ok(node)
    }
}

impl<'a> Attribute<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut attribute = Self::default();
        for field in fields(bytes, "attribute") {
            match field? {
                (1, Value::Bytes(name)) => attribute.name = text(name)?,
                (2, Value::Fixed32(bits)) => attribute.float = f32::from_bits(bits),
                (3, Value::Number(number)) => attribute.integer = number as i64,
                (4, Value::Bytes(text)) => attribute.text = text,
                (5, Value::Bytes(tensor)) => attribute.tensor = Some(Tensor::read(tensor)?),
                (8, value) => integers(&mut attribute.integers, value)?,
                _ => {}
            }
        }
        Ok(attribute)
    }
}

impl<'a> Input<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut input = Self::default();
        for field in fields(bytes, "input") {
            match field? {
                (1, Value::Bytes(name)) => input.name = text(name)?,
                // Type, tensor type, shape, axis: messages inside each other.
                (2, Value::Bytes(kind)) => {
                    for shape in inside(kind, 1, "input")?
                        .into_iter()
                        .flat_map(|tensor| inside(tensor, 2, "input"))
                    {
                        for axes in shape {
                            for axis in inside(axes, 1, "shape")? {
                                push(&mut input.axes, length(axis)?, MAX_OF_NODE, "axes")?;
                            }
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(input)
    }
}

/// The number of an axis that has one.
fn length(bytes: &[u8]) -> Result<Option<i64>, ModelError> {
    let mut length = None;
    for field in fields(bytes, "axis") {
        if let (1, Value::Number(number)) = field? {
            length = Some(number as i64);
        }
    }
    Ok(length)
}

/// The messages in a field of a message.
fn inside<'a>(bytes: &'a [u8], number: u32, what: &'static str) -> Result<Vec<&'a [u8]>, ModelError> {
    let mut messages = Vec::new();
    for field in fields(bytes, what) {
        match field? {
            (at, Value::Bytes(message)) if at == number => push(&mut messages, message, MAX_OF_NODE, what)?,
            _ => {}
        }
    }
    Ok(messages)
}

impl<'a> Tensor<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let mut tensor = Self::default();
        for field in fields(bytes, "tensor") {
            match field? {
                (1, value) => integers(&mut tensor.axes, value)?,
                (2, Value::Number(kind)) => tensor.kind = kind,
                // As large in memory as in the file.
                (4, Value::Fixed32(bits)) => tensor.floats.push(f32::from_bits(bits)),
                (4, Value::Bytes(packed)) => {
                    let floats = packed.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
                    tensor.floats.extend(floats);
                }
                (7, value) => integers(&mut tensor.integers, value)?,
                (8, Value::Bytes(name)) => tensor.name = text(name)?,
                (9, Value::Bytes(raw)) => tensor.raw = Some(raw),
                (13, _) => tensor.external = true,
                (14, Value::Number(place)) => tensor.external |= place != 0,
                _ => {}
            }
        }
        Ok(tensor)
    }
}

/// A field's content.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
    Fixed64,
}

/// Number and content of each field of a message; `what` names it in errors.
fn fields<'a>(bytes: &'a [u8], what: &'static str) -> impl Iterator<Item = Result<(u32, Value<'a>), ModelError>> {
    let mut decoder = PbDecoder::new(bytes);
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || decoder.as_reader().is_empty() {
            return None;
        }
        let field = field(&mut decoder);
        failed = field.is_none();
        Some(field.ok_or_else(|| onnx_error(what, "a protobuf message", "something else")))
    })
}

fn field<'a>(decoder: &mut PbDecoder<&'a [u8]>) -> Option<(u32, Value<'a>)> {
    let tag = decoder.decode_tag().ok()?;
    let value = match tag.wire_type() {
        WIRE_TYPE_VARINT => Value::Number(decoder.decode_varint64().ok()?),
        WIRE_TYPE_I32 => Value::Fixed32(decoder.decode_fixed32().ok()?),
        WIRE_TYPE_I64 => {
            decoder.decode_fixed64().ok()?;
            Value::Fixed64
        }
        WIRE_TYPE_LEN => {
            let length = decoder.decode_varint32().ok()? as usize;
            let rest: &'a [u8] = decoder.as_reader();
            let bytes = rest.get(..length)?;
            decoder.skip_bytes(length).ok()?;
            Value::Bytes(bytes)
        }
        _ => return None,
    };
    Some((tag.field_num(), value))
}

/// Integers of a repeated field, packed or not.
fn integers(to: &mut Vec<i64>, value: Value<'_>) -> Result<(), ModelError> {
    match value {
        Value::Number(number) => push(to, number as i64, MAX_OF_NODE, "numbers of a list"),
        Value::Bytes(packed) => {
            let mut decoder = PbDecoder::new(packed);
            while !decoder.as_reader().is_empty() {
                let number = decoder.decode_varint64();
                let number = number.map_err(|_| onnx_error("list", "numbers", "something else"))?;
                push(to, number as i64, MAX_OF_NODE, "numbers of a list")?;
            }
            Ok(())
        }
        Value::Fixed32(_) | Value::Fixed64 => Err(onnx_error("list", "integers", "something else")),
    }
}

fn push<T>(to: &mut Vec<T>, value: T, most: usize, what: &'static str) -> Result<(), ModelError> {
    if to.len() == most {
        return Err(onnx_error("model", format!("at most {most} {what}"), "more"));
    }
    to.push(value);
    Ok(())
}

fn text(bytes: &[u8]) -> Result<&str, ModelError> {
    std::str::from_utf8(bytes).map_err(|_| onnx_error("name", "UTF-8", "other bytes"))
}
