//! The operands of the first batch, as the attacker knows them or the audit is scored by.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use cloven_nn::{
    InputGradient, ModelError, Network,
    offload::{Job, LocalProducts, Matrices, OffloadedNetwork, Products, Windows},
};
use ndarray::{Array2, ArrayD};

use crate::Error;

/// A product whose W is a parameter.
pub(super) struct KnownProduct {
    /// Its number in the network.
    pub(super) number: usize,
    pub(super) name: String,
    /// W0, `[inner, columns]`.
    pub(super) weights: Array2<f32>,
    /// Of a convolution.
    pub(super) windows: Option<Windows>,
    /// X of the first batch, `[rows, inner]`: of the first product only. Those of later ones differ in the last bits with the order of sums at the workers.
    pub(super) inputs: Option<Array2<f32>>,
}

/// All products of weights, in the order of a pass forward in training.
///
/// # Errors
/// [`Error::Model`] for a batch that the network does not take.
pub(super) fn known_products(network: Network, batch: &ArrayD<f32>) -> Result<Vec<KnownProduct>, Error> {
    let mut network = OffloadedNetwork::new(network, InputGradient::NotWanted);
    let parameters = network
        .products()
        .iter()
        .map(|product| product.parameter.then(|| product.name.clone()));
    let mut taken = TakenDown {
        parameters: parameters.collect(),
        known: Vec::new(),
    };
    {
        let forward = pin!(network.forward_train(&mut taken, 1, batch));
        // Nothing in it waits: products are computed here.
        if let Poll::Ready(result) = forward.poll(&mut Context::from_waker(Waker::noop())) {
            result?;
        }
    }
    Ok(taken.known)
}

/// Computes products here and keeps the operands of those with weights.
struct TakenDown {
    /// Names, `None` where both operands are activations.
    parameters: Vec<Option<String>>,
    known: Vec<KnownProduct>,
}

impl Products for TakenDown {
    type Error = ModelError;

    async fn multiply(&mut self, jobs: Vec<Job>) -> Result<Vec<Matrices>, ModelError> {
        for job in &jobs {
            if let Some(Some(name)) = self.parameters.get(job.product) {
                let first = self.known.is_empty();
                let inputs = || match job.windows {
                    Some(windows) => windows.unfold(&job.left).and_then(|rows| matrix(&rows)),
                    None => matrix(&job.left),
                };
                self.known.push(KnownProduct {
                    number: job.product,
                    name: name.clone(),
                    weights: matrix(&job.right)?,
                    windows: job.windows,
                    inputs: first.then(inputs).transpose()?,
                });
            }
        }
        jobs.iter().map(LocalProducts::product).collect()
    }
}

/// The only matrix of an operand.
fn matrix(matrices: &Matrices) -> Result<Array2<f32>, ModelError> {
    let [count, rows, columns] = matrices.dims();
    Array2::from_shape_vec((rows, columns), matrices.values().to_vec()).map_err(|_| ModelError::Shape {
        what: "operands of weights",
        expected: "one matrix".to_owned(),
        actual: vec![count, rows, columns],
    })
}
