//! What can be asked of a node: its inputs and attributes, or an error that names it.

use ndarray::ArrayD;

use super::constant::Constant;
use super::graph::{Reading, Value};
use super::message::{Attribute, Node};
use super::{onnx_error, shown};
use crate::ModelError;

/// A node that is being read, with all that can be asked of it.
pub(super) struct At<'a, 'r> {
    pub node: &'a Node<'a>,
    pub reading: &'r Reading<'a>,
}

/// A node as errors and notes name it.
pub(super) fn named(node: &Node<'_>) -> String {
    let name = match (node.name, node.outputs.first()) {
        ("", Some(output)) => output,
        (name, _) => name,
    };
    format!("node {} ({})", shown(name), shown(node.operator).trim_matches('"'))
}

impl<'a> At<'a, '_> {
    pub fn error(&self, expected: impl Into<String>, actual: impl ToString) -> ModelError {
        onnx_error(named(self.node), expected, actual)
    }

    /// Whether an optional input is there.
    pub fn has(&self, input: usize) -> bool {
        self.node.inputs.get(input).is_some_and(|name| !name.is_empty())
    }

    pub fn input(&self, input: usize) -> Result<&Value<'a>, ModelError> {
        let Some(name) = self.node.inputs.get(input) else {
            return Err(self.error(format!("{} inputs", input + 1), self.node.inputs.len()));
        };
        match self.reading.values.get(name) {
            Some(value) => Ok(value),
            None => Err(self.error("inputs that are computed before", shown(name))),
        }
    }

    /// The point that an input is.
    pub fn point(&self, input: usize) -> Result<usize, ModelError> {
        match self.input(input)? {
            Value::Point(point) => Ok(*point),
            Value::Constant(_) => Err(self.error("values of the sample as its input", "a constant")),
            Value::Gone => Err(self.error("an input that is used once", "one to which a bias was added")),
            Value::End { .. } => Err(self.error("nothing after the scores", "it")),
        }
    }

    /// Shape of a sample at an input.
    pub fn shape(&self, input: usize) -> Result<&[usize], ModelError> {
        Ok(&self.reading.points[self.point(input)?].shape)
    }

    /// The constant that an input is; `what` says what it is for.
    pub fn constant(&self, input: usize, what: &str) -> Result<&Constant<'a>, ModelError> {
        match self.input(input)? {
            Value::Constant(constant) => Ok(constant),
            _ => Err(self.error(format!("a constant {what}"), "a computed one")),
        }
    }

    /// The numbers of a constant of known shape.
    pub fn floats(&self, input: usize, what: &str) -> Result<ArrayD<f32>, ModelError> {
        let floats = self.constant(input, what)?.floats();
        floats.map_err(|actual| self.error(format!("floating-point numbers as {what}"), actual))
    }

    /// The integers of a constant.
    pub fn integers(&self, input: usize, what: &str) -> Result<Vec<i64>, ModelError> {
        let integers = self.constant(input, what)?.integers();
        integers.map_err(|actual| self.error(format!("a few integers as {what}"), actual))
    }

    /// Whether more than the first output is asked for.
    pub fn has_second_output(&self) -> bool {
        self.node.outputs.iter().skip(1).any(|name| !name.is_empty())
    }

    pub fn attribute(&self, name: &str) -> Option<&Attribute<'a>> {
        self.node.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// An integer attribute, or its default.
    pub fn integer(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, |attribute| attribute.integer)
    }

    /// A floating-point attribute, or its default.
    pub fn float(&self, name: &str, default: f32) -> f64 {
        // Written in decimal as it was: 1e-5, not the f32 nearest to it.
        let float = self.attribute(name).map_or(default, |attribute| attribute.float);
        float.to_string().parse().unwrap_or(f64::from(float))
    }

    /// Checks that an integer attribute has the one value that is supported.
    pub fn require(&self, name: &str, default: i64, expected: i64) -> Result<(), ModelError> {
        match self.integer(name, default) {
            value if value == expected => Ok(()),
            value => Err(self.error(format!("{name} {expected}"), value)),
        }
    }

    pub fn constant_value(&self) -> Result<Constant<'a>, ModelError> {
        let tensor = self.node.attributes.iter().find(|attribute| attribute.name == "value");
        let Some(tensor) = tensor.and_then(|attribute| attribute.tensor.as_ref()) else {
            return Err(self.error("a tensor as value", "something else"));
        };
        Constant::of(tensor).map_err(|actual| self.error("its numbers in the file", actual))
    }

    pub fn reshaped_constant(&self) -> Result<Constant<'a>, ModelError> {
        let axes = self.integers(1, "shape")?;
        let reshaped = self.constant(0, "weight")?.reshaped(&axes);
        reshaped.ok_or_else(|| self.error("a shape of as many values", format!("{axes:?}")))
    }

    pub fn transposed_constant(&self) -> Result<Constant<'a>, ModelError> {
        let order = self.attribute("perm").map_or(&[1, 0][..], |attribute| &attribute.integers);
        let transposed = self.constant(0, "weight")?.transposed().filter(|_| order == [1, 0]);
        transposed.ok_or_else(|| self.error("a matrix and its two axes exchanged", format!("{order:?}")))
    }

    /// The scores that a softmax takes: along the classes.
    pub fn scores(&self) -> Result<usize, ModelError> {
        let (point, axis) = (self.point(0)?, self.integer("axis", -1));
        match (self.shape(0)?, axis) {
            ([_], 1 | -1) => Ok(point),
            (shape, _) => Err(self.error("scores [batch, classes] and axis 1", format!("{shape:?} and {axis}"))),
        }
    }

    /// The scores of which the position of the largest is asked.
    pub fn arg_max(&self) -> Result<usize, ModelError> {
        self.require("select_last_index", 0, 0)?;
        let point = match self.input(0)? {
            Value::End { point, arg_max: false } => *point,
            _ => self.point(0)?,
        };
        match (&self.reading.points[point].shape[..], self.integer("axis", 0)) {
            ([_], 1 | -1) => Ok(point),
            (shape, axis) => Err(self.error("scores [batch, classes] and axis 1", format!("{shape:?} and {axis}"))),
        }
    }
}
