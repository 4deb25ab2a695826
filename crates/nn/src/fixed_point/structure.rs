//! What every server may know of a model in fixed point: its steps and their shapes, but no weight.

use serde::{Deserialize, Serialize};

use super::{Ring, Window};
use crate::{LinearShape, ModelError};

/// The steps of a model in fixed point, on one sample. Values are integers modulo 2^k; a value v at scale s stands for v / 2^s. The input and what
/// leaves a [`Step::NonLinear`] is at scale f, what lies between at larger ones.
///
/// A sample is a flat row of values in the order of `[channels, height, width]`; flattening it changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Structure {
    /// Shape of a sample at the input.
    pub input: Vec<usize>,
    /// Scale of the input where it is not f: of a network's later part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_scale: Option<u32>,
    /// k: everything is modulo 2^k.
    pub ring_bits: u32,
    /// f: the scale of the input, unless it says otherwise, and of what leaves a non-linear step.
    pub fraction_bits: u32,
    /// First to last.
    pub steps: Vec<Step>,
    /// For each layer of the model, how many steps end with it or before; a step that does the work of two layers belongs to the first. Empty where
    /// that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub layer_ends: Vec<usize>,
    /// What comes out at the end.
    pub ending: Ending,
}

/// One step on a current row of values and a stack of waiting ones (for residual blocks).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    /// The product with a secret weight at scale f, plus a secret bias for each output channel; raises the scale by f.
    Linear {
        /// The layer of the model, as in parameter names: "3", "3.body.0".
        layer: String,
        /// Which product; the weight is laid out row-major as in [`LinearShape::weight`].
        shape: LinearShape,
    },
    /// The sum of each window, times a public number: an average whose division is left to a later truncation.
    SumPool {
        /// The windows, which do not reach beyond the plane.
        window: Window,
        /// The number; 1 where the window's size is a power of two or the step before took the division over.
        multiplier: i64,
        /// By how much this raises the scale.
        scale_bits: u32,
    },
    /// A public number added to every value: the half that makes the truncation after it round to nearest.
    Offset {
        /// The number.
        value: i64,
    },
    /// What needs a secure computation: an operation on signed values, then the floor of the division by 2^truncation.
    NonLinear {
        /// The layer of the model: the one that operates, or for a truncation the one before which it stands.
        layer: String,
        /// The operation.
        operation: Operation,
        /// Bits taken away at the low end; the output is at scale f.
        truncation: u32,
    },
    /// A residual block begins: its input is kept for the shortcut, and the body goes on with it.
    Fork,
    /// The body has ended: its output is kept, and the shortcut goes on with the block's input.
    Turn,
    /// The shortcut has ended: the two are brought to the same scale by shifting left, and added.
    Join {
        /// Bits by which the body's output is shifted.
        body_shift: u32,
        /// Bits by which the shortcut's output is shifted.
        shortcut_shift: u32,
    },
}

/// What a [`Step::NonLinear`] does before it truncates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Operation {
    /// Nothing.
    Truncate,
    /// `max(x, 0)`.
    Relu,
    /// The largest value of each window; places beyond the plane do not count.
    MaxPool(Window),
    /// The largest of 0 and the values of each window.
    MaxPoolRelu(Window),
}

/// What comes out at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The values as they are, at the [`Structure::output_scale`].
    Scores,
    /// The position of the largest value, of equals the first.
    ArgMax,
}

impl Operation {
    /// Number of values that come out of `values`.
    pub fn outputs(self, values: usize) -> usize {
        match self {
            Self::Truncate | Self::Relu => values,
            Self::MaxPool(window) | Self::MaxPoolRelu(window) => window.outputs(),
        }
    }

    /// As in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncate => "truncate",
            Self::Relu => "relu",
            Self::MaxPool(_) => "max-pool",
            Self::MaxPoolRelu(_) => "max-pool-relu",
        }
    }
}

impl Structure {
    /// The ring.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] for an impossible number of bits.
    pub fn ring(&self) -> Result<Ring, ModelError> {
        Ring::new(self.ring_bits)
    }

    /// As text.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a structure has only string keys and whole numbers")
    }

    /// A checked structure of such a text, whoever wrote it.
    ///
    /// # Errors
    /// [`ModelError::FixedPoint`] for anything else.
    pub fn from_json(text: &[u8]) -> Result<Self, ModelError> {
        let structure: Self =
            serde_json::from_slice(text).map_err(|error| super::file::problem("a structure", error.to_string()))?;
        structure.check()?;
        Ok(structure)
    }

    /// The products, in the order in which an evaluation comes to them.
    pub fn linear(&self) -> impl Iterator<Item = LinearShape> {
        self.steps.iter().filter_map(|step| match step {
            Step::Linear { shape, .. } => Some(*shape),
            _ => None,
        })
    }
}
