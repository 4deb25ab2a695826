//! From nodes to layers: what each value of the graph is.

use std::collections::HashMap;

use ndarray::ArrayD;

use super::branches::Branches;
use super::constant::Constant;
use super::layers::{self, Made};
use super::message::{Attribute, Graph, Model, Node};
use super::{OnnxModel, onnx_error, shown};
use crate::spec::shapes_along;
use crate::{LayerSpec, MAX_PARAMETERS, MAX_SAMPLE_VALUES, ModelError, ModelSpec};

/// Oldest set of operators in which those that are read mean what they do today.
const OLDEST_OPERATORS: u64 = 7;

/// What a name of the graph stands for.
#[derive(Clone)]
enum Value<'a> {
    Constant(Constant<'a>),
    /// A point of the computation.
    Point(usize),
    /// A point that has been used up: a bias was added to it.
    Gone,
    /// The output of something that may only stand at the end.
    End {
        point: usize,
        arg_max: bool,
    },
}

/// A point of the computation: the input, or the output of a layer or of a sum.
pub(super) struct Point {
    pub origin: Origin,
    /// Of a sample.
    pub shape: Vec<usize>,
    /// How often it is used.
    uses: usize,
    /// The node, as errors name it.
    pub node: String,
}

pub(super) enum Origin {
    Input,
    Layer { from: usize, made: Made },
    Sum([usize; 2]),
}

/// The computation as far as it has been read.
pub(super) struct Reading<'a> {
    values: HashMap<&'a str, Value<'a>>,
    points: Vec<Point>,
    notes: Vec<String>,
    /// Numbers of parameters taken.
    numbers: usize,
}

/// A node that is being read, with all that can be asked of it.
pub(super) struct At<'a, 'r> {
    pub node: &'a Node<'a>,
    reading: &'r Reading<'a>,
}

pub(super) fn read(model: &Model<'_>) -> Result<OnnxModel, ModelError> {
    let graph = model.graph.as_ref().ok_or_else(|| onnx_error("model", "a graph", "none"))?;
    if model.operators < OLDEST_OPERATORS {
        let expected = format!("operator set {OLDEST_OPERATORS} or later");
        return Err(onnx_error("model", expected, model.operators));
    }
    let mut reading = Reading::new(graph)?;
    let input = reading.points[0].shape.clone();
    for node in &graph.nodes {
        reading.node(node)?;
    }
    let [output] = graph.outputs[..] else {
        return Err(onnx_error("graph", "one output", graph.outputs.len()));
    };
    let (end, arg_max) = match reading.values.get(output) {
        Some(Value::Point(point)) => (*point, false),
        Some(Value::End { point, arg_max }) => (*point, *arg_max),
        _ => {
            return Err(onnx_error(
                format!("output {}", shown(output)),
                "a node that computes it",
                "none",
            ));
        }
    };
    let (layers, arrays) = Branches::new(reading.points)?.layers(end)?;
    let (buffers, parameters) = arrays.into_iter().partition(|(name, _)| name.contains(".running_"));
    Ok(OnnxModel {
        model: ModelSpec { input, layers },
        parameters,
        buffers,
        notes: reading.notes,
        arg_max,
    })
}

impl<'a> Reading<'a> {
    fn new(graph: &'a Graph<'a>) -> Result<Self, ModelError> {
        let mut values = HashMap::new();
        for tensor in &graph.initializers {
            let place = || format!("initializer {}", shown(tensor.name));
            let constant = Constant::of(tensor).map_err(|actual| onnx_error(place(), "its numbers in the file", actual))?;
            values.insert(tensor.name, Value::Constant(constant));
        }
        let mut inputs = graph.inputs.iter().filter(|input| !values.contains_key(input.name));
        let (Some(input), None) = (inputs.next(), inputs.next()) else {
            return Err(onnx_error("graph", "one input", "none or several"));
        };
        let axis = |axis: &Option<i64>| {
            usize::try_from((*axis)?)
                .ok()
                .filter(|axis| (1..=MAX_SAMPLE_VALUES).contains(axis))
        };
        let sample = input.axes.get(1..).unwrap_or_default();
        let shape: Option<Vec<usize>> = sample.iter().map(axis).collect();
        let Some(shape) = shape.filter(|shape| (1..=3).contains(&shape.len())) else {
            let place = format!("input {}", shown(input.name));
            return Err(onnx_error(
                place,
                "a batch axis and 1 to 3 axes of known length",
                format!("{:?}", input.axes),
            ));
        };
        values.insert(input.name, Value::Point(0));
        let origin = Point {
            origin: Origin::Input,
            shape,
            uses: 0,
            node: format!("input {}", shown(input.name)),
        };
        Ok(Self {
            values,
            points: vec![origin],
            notes: Vec::new(),
            numbers: 0,
        })
    }

    fn node(&mut self, node: &'a Node<'a>) -> Result<(), ModelError> {
        let at = At { node, reading: self };
        if !matches!(node.domain, "" | "ai.onnx") {
            return Err(at.error("an operator of ONNX itself", format!("one of {}", shown(node.domain))));
        }
        let Some(output) = node.outputs.first() else {
            return Err(at.error("an output", "none"));
        };
        let value = match node.operator {
            "Constant" => Value::Constant(at.constant_value()?),
            "Reshape" if matches!(at.input(0)?, Value::Constant(_)) => Value::Constant(at.reshaped_constant()?),
            "Identity" if matches!(at.input(0)?, Value::Constant(_)) => at.input(0)?.clone(),
            "Identity" | "Dropout" => {
                let point = at.point(0)?;
                self.points[point].uses += 1;
                if node.operator == "Dropout" {
                    self.notes.push(format!("{} left out: it does nothing in use", named(node)));
                }
                Value::Point(point)
            }
            "Softmax" | "LogSoftmax" => {
                let point = at.scores()?;
                self.notes
                    .push(format!("{} left out: what comes out are scores", named(node)));
                Value::End { point, arg_max: false }
            }
            "ArgMax" => {
                let point = at.arg_max()?;
                self.notes
                    .push(format!("{} left out: what comes out are scores", named(node)));
                Value::End { point, arg_max: true }
            }
            "Add" => self.add(node)?,
            _ => match layers::of(&at)? {
                Some(made) => {
                    let from = at.point(0)?;
                    Value::Point(self.layer(node, from, made)?)
                }
                None => {
                    let point = at.point(0)?;
                    self.points[point].uses += 1;
                    Value::Point(point)
                }
            },
        };
        match self.values.insert(output, value) {
            None => Ok(()),
            Some(_) => Err(onnx_error(named(node), "an output of its own", "one that exists already")),
        }
    }

    /// A point after a layer.
    fn layer(&mut self, node: &Node<'_>, from: usize, made: Made) -> Result<usize, ModelError> {
        let input = &self.points[from].shape;
        let mut shapes = vec![input.clone()];
        for layer in &made.layers {
            let shape = shapes_along(std::slice::from_ref(layer), "", &shapes[shapes.len() - 1]);
            let shape = shape.map_err(|error| onnx_error(named(node), "a layer that fits", error))?;
            shapes.extend(shape.into_iter().nth(1));
        }
        self.numbers += made.arrays.iter().map(|(_, array)| array.len()).sum::<usize>();
        if self.numbers > MAX_PARAMETERS {
            return Err(onnx_error(
                named(node),
                format!("at most {MAX_PARAMETERS} parameters"),
                "more",
            ));
        }
        self.points[from].uses += 1;
        self.points.push(Point {
            origin: Origin::Layer { from, made },
            shape: shapes.pop().unwrap_or_default(),
            uses: 0,
            node: named(node),
        });
        Ok(self.points.len() - 1)
    }

    /// A bias of the product before, or the end of a residual block.
    fn add(&mut self, node: &'a Node<'a>) -> Result<Value<'a>, ModelError> {
        let at = At { node, reading: self };
        let (left, right) = (at.input(0)?, at.input(1)?);
        match (left, right) {
            (Value::Point(left), Value::Point(right)) => {
                let operands = [*left, *right];
                let shapes = operands.map(|point| self.points[point].shape.clone());
                if shapes[0] != shapes[1] {
                    return Err(at.error("branches of the same shape", format!("{shapes:?}")));
                }
                let [shape, _] = shapes;
                for point in operands {
                    self.points[point].uses += 1;
                }
                self.points.push(Point {
                    origin: Origin::Sum(operands),
                    shape,
                    uses: 0,
                    node: named(node),
                });
                Ok(Value::Point(self.points.len() - 1))
            }
            (Value::Point(point), Value::Constant(bias)) | (Value::Constant(bias), Value::Point(point)) => {
                let (point, bias) = (*point, bias.clone());
                let name = node
                    .inputs
                    .iter()
                    .find(|name| matches!(self.values.get(*name), Some(Value::Point(_))));
                let name = *name.ok_or_else(|| at.error("two inputs", "others"))?;
                self.add_bias(node, point, &bias)?;
                self.values.insert(name, Value::Gone);
                Ok(Value::Point(point))
            }
            _ => Err(at.error("two branches, or a product and a bias", "something else")),
        }
    }

    fn add_bias(&mut self, node: &Node<'_>, point: usize, constant: &Constant<'_>) -> Result<(), ModelError> {
        let error = |actual: &str| onnx_error(named(node), "the bias of a product that nothing else uses", actual);
        let Point {
            origin: Origin::Layer { made, .. },
            uses: 0,
            shape,
            ..
        } = &mut self.points[point]
        else {
            return Err(error("another constant"));
        };
        let [LayerSpec::Dense { bias, .. } | LayerSpec::Conv2d { bias, .. } | LayerSpec::Conv1d { bias, .. }] =
            &mut made.layers[..]
        else {
            return Err(error("a constant after another layer"));
        };
        // Against [batch, channels, ...], from the right: all axes 1 but that of the channels.
        let axes = constant.shape();
        let channels_at = axes.len().checked_sub(shape.len());
        let others_are_1 = axes
            .iter()
            .enumerate()
            .all(|(at, axis)| Some(at) == channels_at || *axis == 1);
        if constant.len() != shape[0] || axes.len() > shape.len() + 1 || !others_are_1 {
            return Err(error(&format!("a constant of shape {axes:?}")));
        }
        let numbers = constant.floats().map_err(|actual| error(&actual))?;
        let numbers = numbers.into_iter().collect::<Vec<f32>>();
        if !std::mem::replace(bias, true) {
            made.arrays.push(("bias", ArrayD::zeros(vec![numbers.len()])));
        }
        if let Some((_, array)) = made.arrays.iter_mut().find(|(name, _)| *name == "bias") {
            array.iter_mut().zip(numbers).for_each(|(to, value)| *to += value);
        }
        Ok(())
    }
}

/// A node as errors and notes name it.
fn named(node: &Node<'_>) -> String {
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

    fn input(&self, input: usize) -> Result<&Value<'a>, ModelError> {
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

    fn constant_value(&self) -> Result<Constant<'a>, ModelError> {
        let tensor = self.node.attributes.iter().find(|attribute| attribute.name == "value");
        let Some(tensor) = tensor.and_then(|attribute| attribute.tensor.as_ref()) else {
            return Err(self.error("a tensor as value", "something else"));
        };
        Constant::of(tensor).map_err(|actual| self.error("its numbers in the file", actual))
    }

    fn reshaped_constant(&self) -> Result<Constant<'a>, ModelError> {
        let axes = self.integers(1, "shape")?;
        let reshaped = self.constant(0, "weight")?.reshaped(&axes);
        reshaped.ok_or_else(|| self.error("a shape of as many values", format!("{axes:?}")))
    }

    /// The scores that a softmax takes: along the classes.
    fn scores(&self) -> Result<usize, ModelError> {
        let (point, axis) = (self.point(0)?, self.integer("axis", -1));
        match (self.shape(0)?, axis) {
            ([_], 1 | -1) => Ok(point),
            (shape, _) => Err(self.error("scores [batch, classes] and axis 1", format!("{shape:?} and {axis}"))),
        }
    }

    /// The scores of which the position of the largest is asked.
    fn arg_max(&self) -> Result<usize, ModelError> {
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
