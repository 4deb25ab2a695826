//! From nodes to layers: what each value of the graph is.

use std::collections::HashMap;

use ndarray::ArrayD;

use super::branches::Branches;
use super::constant::Constant;
use super::layers::{self, Made};
use super::message::{Graph, Model, Node};
use super::node::{At, named};
use super::{OnnxModel, onnx_error, shown};
use crate::spec::shapes_along;
use crate::{LayerSpec, MAX_PARAMETERS, MAX_SAMPLE_VALUES, ModelError, ModelSpec};

/// Oldest set of operators in which those that are read mean what they do today.
const OLDEST_OPERATORS: u64 = 7;

/// What a name of the graph stands for.
#[derive(Clone)]
pub(super) enum Value<'a> {
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
    pub values: HashMap<&'a str, Value<'a>>,
    pub points: Vec<Point>,
    notes: Vec<String>,
    /// Numbers of parameters taken.
    numbers: usize,
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
            "Transpose" if matches!(at.input(0)?, Value::Constant(_)) => Value::Constant(at.transposed_constant()?),
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
