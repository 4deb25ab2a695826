//! The layers that nodes are.

use ndarray::ArrayD;

use super::constant::target;
use super::node::At;
use crate::{LayerSpec, ModelError};

/// One layer, or a few that stand for one node, with the arrays of the first.
pub(super) struct Made {
    pub layers: Vec<LayerSpec>,
    /// By the end of their names: "weight".
    pub arrays: Vec<(&'static str, ArrayD<f32>)>,
}

impl From<LayerSpec> for Made {
    fn from(layer: LayerSpec) -> Self {
        Self {
            layers: vec![layer],
            arrays: Vec::new(),
        }
    }
}

/// What a node is; `None` if it does nothing.
pub(super) fn of(at: &At<'_, '_>) -> Result<Option<Made>, ModelError> {
    let made = match at.node.operator {
        "Conv" => convolution(at)?,
        "Gemm" => gemm(at)?,
        "MatMul" => product(at)?,
        "BatchNormalization" => batch_norm(at)?,
        "Relu" => LayerSpec::Relu {}.into(),
        "LeakyRelu" => LayerSpec::LeakyRelu {
            slope: at.float("alpha", 0.01),
        }
        .into(),
        "Sigmoid" => LayerSpec::Sigmoid {}.into(),
        "Tanh" => LayerSpec::Tanh {}.into(),
        "MaxPool" | "AveragePool" => pool(at)?,
        "GlobalAveragePool" => global_average(at)?.into(),
        "ReduceMean" => reduce_mean(at)?,
        "Flatten" | "Reshape" => return flatten(at),
        _ => return Err(at.error("an operator that this crate's layers can do", "another")),
    };
    Ok(Some(made))
}

fn convolution(at: &At<'_, '_>) -> Result<Made, ModelError> {
    at.require("group", 1, 1)?;
    let (axes, weight) = (at.shape(0)?.len(), at.constant(1, "weight")?.shape().to_vec());
    if weight.len() != axes + 1 || !(2..=3).contains(&axes) || weight[1] != at.shape(0)?[0] {
        let expected = format!("a weight for {:?}", at.shape(0)?);
        return Err(at.error(expected, format!("{weight:?}")));
    }
    let kernel = same(at, "kernel", weight[2..].iter().map(|size| *size as i64))?;
    let (stride, padding) = strides(at, kernel)?;
    let (channels, bias) = (weight[0], at.has(2));
    let mut arrays = vec![("weight", at.floats(1, "weight")?)];
    if bias {
        arrays.push(("bias", vector(at, 2, "bias", channels)?));
    }
    let layer = match axes {
        3 => LayerSpec::Conv2d {
            channels,
            kernel,
            stride,
            padding,
            bias,
        },
        _ => LayerSpec::Conv1d {
            channels,
            kernel,
            stride,
            padding,
            bias,
        },
    };
    Ok(Made {
        layers: vec![layer],
        arrays,
    })
}

/// `alpha A B + beta C`, where A is the sample.
fn gemm(at: &At<'_, '_>) -> Result<Made, ModelError> {
    at.require("transA", 0, 0)?;
    let transposed = at.integer("transB", 0) != 0;
    let weight = matrix(at, transposed)? * at.float("alpha", 1.0) as f32;
    let (outputs, bias) = (weight.shape()[0], at.has(2));
    let mut arrays = vec![("weight", weight)];
    if bias {
        let numbers = match at.constant(2, "bias")?.len() {
            1 => {
                let number = at.floats(2, "bias")?.first().copied().unwrap_or(0.0);
                ArrayD::from_elem(vec![outputs], number)
            }
            _ => vector(at, 2, "bias", outputs)?,
        };
        arrays.push(("bias", numbers * at.float("beta", 1.0) as f32));
    }
    Ok(Made {
        layers: vec![LayerSpec::Dense { outputs, bias }],
        arrays,
    })
}

fn product(at: &At<'_, '_>) -> Result<Made, ModelError> {
    let weight = matrix(at, false)?;
    Ok(Made {
        layers: vec![LayerSpec::Dense {
            outputs: weight.shape()[0],
            bias: false,
        }],
        arrays: vec![("weight", weight)],
    })
}

/// The constant of a product, as `[out, in]`; in the file it is `[in, out]` unless `transposed`.
fn matrix(at: &At<'_, '_>, transposed: bool) -> Result<ArrayD<f32>, ModelError> {
    let shape = at.constant(1, "matrix")?.shape();
    match (at.shape(0)?, shape) {
        ([inputs], [_, columns]) if transposed && inputs == columns => at.floats(1, "matrix"),
        ([inputs], [rows, _]) if !transposed && inputs == rows => Ok(at.floats(1, "matrix")?.reversed_axes()),
        (sample, _) => {
            let actual = format!("{sample:?} and {shape:?}");
            Err(at.error("samples [features] and a matrix that fits them", actual))
        }
    }
}

fn batch_norm(at: &At<'_, '_>) -> Result<Made, ModelError> {
    at.require("training_mode", 0, 0)?;
    let channels = at.shape(0)?[0];
    let names = ["weight", "bias", "running_mean", "running_var"];
    let arrays = names
        .iter()
        .zip(1..)
        .map(|(name, input)| Ok((*name, vector(at, input, name, channels)?)));
    Ok(Made {
        arrays: arrays.collect::<Result<_, ModelError>>()?,
        layers: vec![LayerSpec::BatchNorm {
            epsilon: at.float("epsilon", 1e-5),
            // ONNX counts what stays, this crate what comes.
            momentum: 1.0 - at.float("momentum", 0.9),
        }],
    })
}

fn pool(at: &At<'_, '_>) -> Result<Made, ModelError> {
    let sizes = at.attribute("kernel_shape").map_or(&[][..], |attribute| &attribute.integers);
    let axes = at.shape(0)?.len();
    if sizes.len() + 1 != axes {
        return Err(at.error(format!("a window of {} axes", axes - 1), format!("{sizes:?}")));
    }
    let size = same(at, "window", sizes.iter().copied())?;
    let (stride, padding) = strides(at, size)?;
    let stride = Some(stride);
    let layer = match (at.node.operator, axes, padding) {
        ("MaxPool", 3, _) => LayerSpec::MaxPool2d { size, stride, padding },
        ("MaxPool", 2, 0) => LayerSpec::MaxPool1d { size, stride },
        ("AveragePool", 3, 0) => LayerSpec::AvgPool2d { size, stride },
        ("AveragePool", 2, 0) => LayerSpec::AvgPool1d { size, stride },
        _ => return Err(at.error("no padding of these windows", padding)),
    };
    if at.has_second_output() {
        return Err(at.error("one output", "positions too"));
    }
    Ok(layer.into())
}

fn global_average(at: &At<'_, '_>) -> Result<LayerSpec, ModelError> {
    match at.shape(0)? {
        [_, _] => Ok(LayerSpec::GlobalAvgPool1d {}),
        [_, _, _] => Ok(LayerSpec::GlobalAvgPool2d {}),
        shape => Err(at.error("samples with channels", format!("{shape:?}"))),
    }
}

/// The mean over all axes after the channels.
fn reduce_mean(at: &At<'_, '_>) -> Result<Made, ModelError> {
    let axes = match at.attribute("axes") {
        Some(attribute) => attribute.integers.clone(),
        None if at.has(1) => at.integers(1, "axes")?,
        None => Vec::new(),
    };
    let rank = at.shape(0)?.len() as i64 + 1;
    let mut places: Vec<i64> = axes
        .iter()
        .map(|axis| if *axis < 0 { axis.saturating_add(rank) } else { *axis })
        .collect();
    places.sort_unstable();
    if places != (2..rank).collect::<Vec<_>>() {
        return Err(at.error("a mean over all axes after the channels", format!("{axes:?}")));
    }
    let mut layers = vec![global_average(at)?];
    if at.integer("keepdims", 1) == 0 {
        layers.push(LayerSpec::Flatten {});
    }
    Ok(Made {
        layers,
        arrays: Vec::new(),
    })
}

/// To `[batch, features]`, or to the shape that a sample has already.
fn flatten(at: &At<'_, '_>) -> Result<Option<Made>, ModelError> {
    let shape = at.shape(0)?;
    let wanted = match at.node.operator {
        "Flatten" => {
            let axis = at.integer("axis", 1);
            let rank = shape.len() as i64 + 1;
            (axis == 1 || axis.checked_add(rank) == Some(1)).then(|| vec![shape.iter().product()])
        }
        _ => {
            at.require("allowzero", 0, 0)?;
            let axes = at.integers(1, "shape")?;
            // One sample, whose batch axis may be given as it is, as 1 or as what is left: in each case the rest is the sample's.
            match axes.split_first() {
                Some((-1, rest)) => target(shape, &moved(shape, rest)),
                Some((0 | 1, _)) => {
                    let batch = [&[1], shape].concat();
                    let wanted = target(&batch, &axes).filter(|wanted| wanted[0] == 1);
                    wanted.map(|wanted| wanted[1..].to_vec())
                }
                _ => None,
            }
        }
    };
    match wanted {
        Some(wanted) if wanted == shape => Ok(None),
        Some(wanted) if wanted.len() == 1 => Ok(Some(LayerSpec::Flatten {}.into())),
        _ => Err(at.error("[batch, features] as the new shape", format!("another of {shape:?}"))),
    }
}

/// Axes after the batch's, in which 0 (as before) counts from the sample's first.
fn moved(shape: &[usize], axes: &[i64]) -> Vec<i64> {
    let before = |at: usize| shape.get(at).map_or(-2, |axis| *axis as i64);
    let axis = |(at, axis): (usize, &i64)| match axis {
        0 => before(at),
        // The batch's axis is the one that is left open: no other may be.
        -1 => -2,
        _ => *axis,
    };
    axes.iter().enumerate().map(axis).collect()
}

/// Stride and padding, the same along all axes and on both sides, of windows of one size.
fn strides(at: &At<'_, '_>, size: usize) -> Result<(usize, usize), ModelError> {
    let lengths = &at.shape(0)?[1..];
    let list = |name: &str| at.attribute(name).map_or(Vec::new(), |attribute| attribute.integers.clone());
    if list("dilations").iter().any(|dilation| *dilation != 1) {
        return Err(at.error("windows without gaps", "dilations"));
    }
    let or = |given: Vec<i64>, default: i64, count: usize| if given.is_empty() { vec![default; count] } else { given };
    let given = or(list("strides"), 1, lengths.len());
    let stride = same(at, "stride", given.into_iter())?.max(1);
    let padding = match at.attribute("auto_pad").map_or(&b""[..], |attribute| attribute.text) {
        b"" | b"NOTSET" => same(at, "padding", or(list("pads"), 0, 2 * lengths.len()).into_iter())?,
        b"VALID" => 0,
        b"SAME_UPPER" | b"SAME_LOWER" => {
            let total = |length: &usize| {
                (length.div_ceil(stride) - 1)
                    .saturating_mul(stride)
                    .saturating_add(size)
                    .saturating_sub(*length)
            };
            let totals = same(at, "padding", lengths.iter().map(|length| total(length) as i64))?;
            match totals % 2 {
                0 => totals / 2,
                _ => return Err(at.error("the same padding on both sides", format!("{totals} in all"))),
            }
        }
        _ => return Err(at.error("a known way of padding", "another")),
    };
    let left = |length: &usize| {
        (length + 2 * padding)
            .checked_sub(size)
            .is_some_and(|rest| rest % stride != 0)
    };
    if at.integer("ceil_mode", 0) != 0 && lengths.iter().any(left) {
        return Err(at.error("windows that do not reach beyond the padding", "ceil_mode"));
    }
    Ok((stride, padding))
}

/// The one number that all are.
fn same(at: &At<'_, '_>, what: &str, mut numbers: impl Iterator<Item = i64>) -> Result<usize, ModelError> {
    let all: Vec<i64> = numbers.by_ref().collect();
    let first = all.first().and_then(|first| u32::try_from(*first).ok());
    match first.filter(|first| all.iter().all(|number| *number == i64::from(*first))) {
        Some(number) => Ok(number as usize),
        None => Err(at.error(
            format!("the same {what} along all axes and on both sides"),
            format!("{all:?}"),
        )),
    }
}

/// A constant of so many numbers, in one axis.
fn vector(at: &At<'_, '_>, input: usize, what: &str, count: usize) -> Result<ArrayD<f32>, ModelError> {
    let shape = at.constant(input, what)?.shape();
    let others_are_1 = shape.iter().rev().skip(1).all(|axis| *axis == 1);
    if shape.last() != Some(&count) || !others_are_1 {
        return Err(at.error(format!("{count} numbers as {what}"), format!("{shape:?}")));
    }
    let numbers = at.floats(input, what)?;
    numbers
        .into_shape_with_order(vec![count])
        .map_err(|error| at.error(format!("{count} numbers as {what}"), error))
}
