//! Writes ONNX bytes: protobuf by hand, sharing nothing with the reader.

use ndarray::ArrayD;

/// One field after the other.
#[derive(Clone, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    fn varint(&mut self, mut number: u64) {
        while number >= 128 {
            self.0.push(number as u8 | 128);
            number >>= 7;
        }
        self.0.push(number as u8);
    }

    pub fn number(mut self, field: u64, number: i64) -> Self {
        self.varint(field << 3);
        self.varint(number as u64);
        self
    }

    pub fn bytes(mut self, field: u64, bytes: &[u8]) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn float(mut self, field: u64, float: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend_from_slice(&float.to_le_bytes());
        self
    }

    pub fn message(self, field: u64, message: &Message) -> Self {
        self.bytes(field, &message.0)
    }

    pub fn messages(self, field: u64, messages: &[Message]) -> Self {
        messages.iter().fold(self, |to, message| to.message(field, message))
    }

    /// Integers of a repeated field, packed as proto3 does.
    pub fn packed(self, field: u64, numbers: &[i64]) -> Self {
        let mut inner = Self::default();
        numbers.iter().for_each(|number| inner.varint(*number as u64));
        self.bytes(field, &inner.0)
    }
}

fn little_endian(array: &ArrayD<f32>) -> Vec<u8> {
    array.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn axes(array: &ArrayD<f32>) -> Vec<i64> {
    array.shape().iter().map(|axis| *axis as i64).collect()
}

/// A tensor of raw numbers, as PyTorch writes it.
pub fn raw(name: &str, array: &ArrayD<f32>) -> Message {
    // proto2, as ONNX's is: axes one by one.
    let tensor = axes(array)
        .iter()
        .fold(Message::default(), |tensor, axis| tensor.number(1, *axis));
    tensor.number(2, 1).bytes(8, name.as_bytes()).bytes(9, &little_endian(array))
}

/// A tensor of listed numbers.
pub fn listed(name: &str, array: &ArrayD<f32>) -> Message {
    let tensor = Message::default().packed(1, &axes(array)).number(2, 1);
    tensor.bytes(4, &little_endian(array)).bytes(8, name.as_bytes())
}

/// A tensor of integers in one axis.
pub fn integers(name: &str, numbers: &[i64]) -> Message {
    let tensor = Message::default().number(1, numbers.len() as i64).number(2, 7);
    let raw: Vec<u8> = numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
    tensor.bytes(8, name.as_bytes()).bytes(9, &raw)
}

pub fn node(operator: &str, inputs: &[&str], output: &str, attributes: &[Message]) -> Message {
    let node = inputs
        .iter()
        .fold(Message::default(), |node, input| node.bytes(1, input.as_bytes()));
    let node = node
        .bytes(2, output.as_bytes())
        .bytes(3, format!("{operator}_{output}").as_bytes());
    node.bytes(4, operator.as_bytes()).messages(5, attributes)
}

pub fn int(name: &str, number: i64) -> Message {
    Message::default().bytes(1, name.as_bytes()).number(3, number).number(20, 2)
}

pub fn ints(name: &str, numbers: &[i64]) -> Message {
    let attribute = Message::default().bytes(1, name.as_bytes());
    numbers
        .iter()
        .fold(attribute, |attribute, number| attribute.number(8, *number))
        .number(20, 7)
}

pub fn float(name: &str, number: f32) -> Message {
    Message::default().bytes(1, name.as_bytes()).float(2, number).number(20, 1)
}

pub fn text(name: &str, text: &str) -> Message {
    Message::default()
        .bytes(1, name.as_bytes())
        .bytes(4, text.as_bytes())
        .number(20, 3)
}

pub fn tensor(name: &str, tensor: &Message) -> Message {
    Message::default().bytes(1, name.as_bytes()).message(5, tensor).number(20, 4)
}

/// An input or output; the batch axis has a name.
pub fn input(name: &str, sample: &[usize]) -> Message {
    let batch = Message::default().bytes(2, b"N");
    let rest = sample.iter().map(|axis| Message::default().number(1, *axis as i64));
    let shape = rest.fold(Message::default().message(1, &batch), |shape, axis| shape.message(1, &axis));
    let kind = Message::default().number(1, 1).message(2, &shape);
    Message::default()
        .bytes(1, name.as_bytes())
        .message(2, &Message::default().message(1, &kind))
}

/// Messages of a graph, from the input "x" to the output "y".
#[derive(Clone, Default)]
pub struct Graph {
    pub nodes: Vec<Message>,
    pub initializers: Vec<Message>,
    pub sample: Vec<usize>,
    pub output: String,
}

impl Graph {
    pub fn message(&self) -> Message {
        let graph = Message::default()
            .messages(1, &self.nodes)
            .bytes(2, b"graph")
            .messages(5, &self.initializers);
        graph
            .message(11, &input("x", &self.sample))
            .message(12, &input(&self.output, &[]))
    }

    pub fn model(&self) -> Vec<u8> {
        let operators = Message::default().bytes(1, b"").number(2, 13);
        let model = Message::default().number(1, 8).bytes(2, b"test").message(8, &operators);
        model.message(7, &self.message()).0
    }
}
