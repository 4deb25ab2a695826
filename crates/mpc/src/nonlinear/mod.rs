//! Non-linear layers.
mod boolean;
mod conversion;
mod exchange;
mod garbled;
mod layer;
mod online;
mod preparation;
mod setup;
#[cfg(test)]
mod tests;

pub use exchange::{Exchange, Next, Resume};
pub use layer::{Engine, Layer, MAX_CLASSES, MAX_OUTPUTS, MAX_WINDOW, Operation, Ring};
pub use online::{Online, Outcome};
pub use preparation::{Preparation, Prepared};
pub use setup::{Preparer, Setup};
