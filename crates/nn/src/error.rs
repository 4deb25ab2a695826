//! What can go wrong with a model, told in one sentence each.

use std::ops::Range;

/// Every failure of this crate. Texts name what was expected and what was there instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// One layer of a model does not fit what precedes it, or has an impossible setting.
    #[error("layer {layer} ({kind}): expected {expected}, got {actual}")]
    Layer {
        /// Position in the model, from 0, as in parameter names: "3", or "3.body.0" inside a residual block.
        layer: String,
        /// The layer's type as written in a job file.
        kind: &'static str,
        /// What would have been right.
        expected: String,
        /// What was there.
        actual: String,
    },
    /// The model as a whole is impossible.
    #[error("model: expected {expected}, got {actual}")]
    Model {
        /// What would have been right.
        expected: String,
        /// What was there.
        actual: String,
    },
    /// No preset has this name.
    #[error("model preset: expected one of {}, got {name:?}", crate::preset_names().join(", "))]
    UnknownPreset {
        /// The name asked for.
        name: String,
    },
    /// A party's range of layers does not lie in the model.
    #[error("layers held: expected a range within 0..{layers}, got {}..{}", range.start, range.end)]
    Range {
        /// The range asked for.
        range: Range<usize>,
        /// Number of layers of the model.
        layers: usize,
    },
    /// An array has the wrong shape.
    #[error("{what}: expected shape {expected}, got {actual:?}")]
    Shape {
        /// Which array.
        what: &'static str,
        /// The right shape; `batch` stands for any number of samples from 1.
        expected: String,
        /// The shape it has.
        actual: Vec<usize>,
    },
    /// Targets of the wrong kind, number or value.
    #[error("targets: expected {expected}, got {actual}")]
    Targets {
        /// What would have been right.
        expected: String,
        /// What was there.
        actual: String,
    },
    /// Weights of classes that do not belong to the loss or the model.
    #[error("class_weights: expected {expected}, got {actual}")]
    ClassWeights {
        /// What would have been right.
        expected: String,
        /// What was there.
        actual: String,
    },
    /// An optimiser setting is out of range.
    #[error("optimiser {setting}: expected {expected}, got {actual}")]
    Optimiser {
        /// The setting as written in a job file.
        setting: &'static str,
        /// The allowed values.
        expected: &'static str,
        /// The value given.
        actual: f64,
    },
    /// A call came before the one it builds on.
    #[error("{call} was called without {missing} before it")]
    Order {
        /// The call made.
        call: &'static str,
        /// The call that must come first.
        missing: &'static str,
    },
    /// Training left the finite numbers: a smaller learning rate usually helps.
    #[error("training diverged: {what} is not finite")]
    Diverged {
        /// What became infinite or NaN.
        what: &'static str,
    },
    /// Parameters that are not this network's.
    #[error("parameter {name:?}: expected {expected}, got {actual}")]
    Parameter {
        /// The parameter's name, such as "3.weight".
        name: String,
        /// What would have been right.
        expected: String,
        /// What was there.
        actual: String,
    },
    /// A model file that cannot be read or written.
    #[error("model file {path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A model in fixed point that is impossible, does not fit its ring, or is not what it should be.
    #[error("fixed point: {what}: expected {expected}, got {actual}")]
    FixedPoint {
        /// Which part of it.
        what: String,
        /// What would have been right.
        expected: String,
        /// What was there.
        actual: String,
    },
    /// An ONNX model that is malformed or has what Cloven's networks do not.
    #[error("ONNX {place}: expected {expected}, got {actual}")]
    Onnx {
        /// The node by name and operator, or the part of the model.
        place: String,
        /// What would have been right.
        expected: String,
        /// What was there.
        actual: String,
    },
}
