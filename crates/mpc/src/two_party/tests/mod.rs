mod costs;
mod exact;
mod hostile;
mod simulation;
mod views;

use super::*;
use crate::nonlinear::{Next, Operation, Ring};

fn ring(bits: usize, truncation: usize) -> Ring {
    Ring { bits, truncation }
}

fn layer(operation: Operation, bits: usize, truncation: usize) -> Layer {
    Layer::new(operation, ring(bits, truncation)).unwrap()
}

/// A script that waits for messages may go on in another thread.
const _: fn() = || {
    fn travels<T: Send>() {}
    travels::<(Next<gateway::Setup>, gateway::Preparer, gateway::Prepared)>();
    travels::<(Next<user::Setup>, user::Preparer, user::Prepared)>();
    travels::<(Next<gateway::Preparation<'_, '_>>, Next<user::Preparation<'_, '_>>)>();
    travels::<(Next<gateway::Online<'_>>, Next<user::Online<'_>>)>();
};
