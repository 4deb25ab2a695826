//! A worker's recording as operands.

use std::{collections::BTreeMap, path::Path};

use cloven_accel::{
    Words,
    job::{Job, Step, Tensor},
};
use cloven_audit::permuted::{Operand, SeenProduct};
use cloven_nn::offload::Windows;
use cloven_protocols::enclave::{Blinding, SLOTS, WorkerJob, images};
use cloven_wire::{
    Message,
    recording::{Received, RecordingError},
};
use ndarray::Array2;

use super::known::KnownProduct;
use crate::Error;

/// The first tensor that was put into each slot for X or W: the first two of a product's.
pub(super) struct WorkerView(BTreeMap<u32, Tensor>);

impl WorkerView {
    /// Looks at the messages that ask a worker for products; `place` is the recording's file.
    ///
    /// # Errors
    /// [`Error::Configuration`] for a damaged recording, or such a message that is no job.
    pub(super) fn read(
        messages: impl IntoIterator<Item = Result<Received, RecordingError>>,
        place: &Path,
    ) -> Result<Self, Error> {
        let mut first = BTreeMap::new();
        for message in messages {
            let message = message.map_err(|e| Error::configuration(place.display(), e))?;
            // An empty one ends the work.
            if message.name != WorkerJob::NAME || message.payload.is_empty() {
                continue;
            }
            let job = Job::decode(&message.payload).map_err(|e| {
                let problem = format!("recorded {} of round {}: {e}", message.name, message.round);
                Error::configuration(place.display(), problem)
            })?;
            for step in job.0 {
                if let Step::Put { slot, tensor } = step
                    && slot % SLOTS < 2
                {
                    first.entry(slot).or_insert(tensor);
                }
            }
        }
        Ok(Self(first))
    }

    /// Operands of a product; `None` if its weights are not recorded.
    ///
    /// # Errors
    /// [`Error::Configuration`] for operands of other shapes than the product's.
    pub(super) fn take(&mut self, product: &KnownProduct, place: &Path) -> Result<Option<SeenProduct>, Error> {
        let first = (product.number as u32).saturating_mul(SLOTS);
        let Some(weights) = self.0.remove(&(first + 1)).map(operand) else {
            return Ok(None);
        };
        let (inner, columns) = product.weights.dim();
        let inputs = self.0.remove(&first).map(|x| operand(unfolded(x, product.windows)));
        // Some rows or some columns of W, where it is not all at every worker.
        let found = weights.as_ref().map_or((0, 0), |weights| weights.values().dim());
        let of_weights = found.0 <= inner && found.1 <= columns && (found.0 == inner || found.1 == columns);
        let fits = |operand: &Option<Operand>| operand.as_ref().is_some_and(|x| x.values().ncols() == found.0);
        match (weights, inputs) {
            (Some(weights), inputs) if of_weights && inputs.as_ref().is_none_or(fits) => Ok(Some(SeenProduct {
                name: product.name.clone(),
                known: product.weights.clone(),
                weights,
                inputs: inputs.flatten(),
                samples: product.inputs.clone(),
            })),
            _ => {
                let problem = format!(
                    "expected weights {} of {inner} x {columns} and rows of {inner} numbers, got others: the recording is of another network",
                    product.name
                );
                Err(Error::configuration(place.display(), problem))
            }
        }
    }
}

/// X as rows: of images the worker makes them.
fn unfolded(x: Tensor, windows: Option<Windows>) -> Tensor {
    let Some(windows) = windows else { return x };
    let rows = match &x {
        Tensor::Words(shares) => images(Blinding::Masked, windows)
            .map(|window| window.unfold(shares.matrices()).and_then(Words::new).map(Tensor::Words)),
        Tensor::Floats(numbers) => images(Blinding::None, windows).map(|window| window.unfold(numbers).map(Tensor::Floats)),
    };
    rows.and_then(Result::ok).unwrap_or(x)
}

/// The only matrix of a tensor; `None` where there are several or none.
fn operand(tensor: Tensor) -> Option<Operand> {
    let shape = tensor.shape();
    let matrix = |values| Array2::from_shape_vec((shape.rows, shape.columns), values).ok();
    match tensor {
        Tensor::Floats(floats) => matrix(floats.into_values()).map(Operand::Numbers),
        Tensor::Words(share) => matrix(numbers(&share)).map(Operand::Share),
    }
}

/// The integers between -M/2 and M/2 that words stand for.
fn numbers(share: &Words) -> Vec<f32> {
    share.centred().values().iter().map(|integer| *integer as f32).collect()
}

#[cfg(test)]
mod tests {
    use cloven_accel::Shape;

    use super::*;

    #[test]
    fn words_are_the_numbers_that_they_stand_for() {
        let integers = [0, 1, -1, 250, -125, 70_000, -999_999, 1 << 20, 1_000_000_000, -1_600_000_000];
        let share = Words::of_integers(Shape::matrix(2, 5).unwrap(), &integers).unwrap();
        assert_eq!(numbers(&share), integers.map(|integer| integer as f32));
    }
}
