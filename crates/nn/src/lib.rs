//! Layers, losses, optimisers and the split: everything Cloven knows about neural networks.
//!
//! A [`ModelSpec`] describes a whole model. A [`Network`] is the contiguous range of its layers that one party holds;
//! parties that hold neighbouring ranges train together by handing [`ndarray::ArrayD<f32>`] activations forward and
//! gradients back, and arrive at bit-identical weights whether the model is cut or whole.
//!
//! ```
//! use cloven_nn::{BatchTargets, InputGradient, LearningRateSchedule, Loss, Network, OptimiserSpec, preset};
//! use ndarray::ArrayD;
//!
//! # fn main() -> Result<(), cloven_nn::ModelError> {
//! let m1 = preset("m1")?;
//! let schedule = LearningRateSchedule::default();
//! let sgd = OptimiserSpec::Sgd { learning_rate: 0.01, momentum: 0.9, weight_decay: 0.0, schedule };
//! let mut front = Network::new(&m1.model, 0..m1.server.start, 7)?.with_optimiser(sgd.clone())?;
//! let mut server = Network::new(&m1.model, m1.server.clone(), 7)?.with_optimiser(sgd)?;
//!
//! let x = ArrayD::from_elem(vec![4, 1, 128], 0.5);
//! let cut = front.forward_train(0, &x)?; // client -> server
//! let logits = server.forward_train(0, &cut)?; // server -> client
//! let (loss, delta) = Loss::CrossEntropy.value_and_gradient(&logits, &BatchTargets::Classes(vec![0, 1, 2, 3]))?;
//! let at_cut = server.backward(&delta, InputGradient::Wanted)?.expect("it was wanted"); // server -> client
//! front.backward(&at_cut, InputGradient::NotWanted)?;
//! server.update()?;
//! front.update()?;
//! assert!(loss > 0.0);
//! # Ok(())
//! # }
//! ```
//!
//! The tensor engine (burn) stays inside this crate: arrays in and out are `ndarray`.

mod error;
pub mod fixed_point;
mod loss;
mod metrics;
mod network;
mod onnx;
mod optimiser;
mod preset;
mod spec;
mod streams;

pub use error::ModelError;
pub use loss::{BatchTargets, ClassWeights, Loss, WeightedLoss};
pub use metrics::{Evaluation, area_under_curve, average_precision};
pub use network::offload;
pub use network::{InputGradient, Network, Weights, save_safetensors};
pub use onnx::OnnxModel;
pub use optimiser::{LearningRateSchedule, OptimiserSpec, SgdStep};
pub use preset::{Preset, preset, preset_names};
pub use spec::{LayerSpec, LinearLayer, LinearShape, MAX_LAYERS, MAX_NESTING, MAX_PARAMETERS, MAX_SAMPLE_VALUES, ModelSpec};
