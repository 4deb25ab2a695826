//! What a script tells its observer.

use std::collections::BTreeMap;

use cloven_nn::Evaluation;
use cloven_wire::{Party, Traffic};
use serde::{Deserialize, Serialize};

use crate::{Halted, Position};

/// Progress of one party. Traffic is cumulative at this party's side of the link.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The parties agreed on the amount of work.
    Started {
        /// Epochs to train.
        epochs: u32,
        /// Training rows.
        train_rows: usize,
        /// Test rows.
        test_rows: usize,
        /// Batches in an epoch.
        batches: usize,
        /// Where training goes on; of several clients, the batches of all.
        from: Position,
        /// Bytes of the set-up.
        traffic: Traffic,
    },
    /// What has crossed so far that depends on no weights, no gradients and no labels: random numbers for products and activations to come, and such numbers
    /// times columns (triples by encryption). Told before the event whose bytes it is a part of.
    Preprocessing {
        /// Bytes so far, of [`Started`](Event::Started)'s and later ones'.
        traffic: Traffic,
    },
    /// A training batch is done.
    Batch {
        /// Epoch, from 1.
        epoch: u32,
        /// Batch in the epoch, from 1.
        batch: usize,
        /// Rows in the batch.
        rows: usize,
        /// Mean loss over the batch, where this party knows it.
        loss: Option<f64>,
        /// Bytes so far.
        traffic: Traffic,
    },
    /// A training epoch is done.
    Epoch {
        /// Epoch, from 1.
        epoch: u32,
        /// Mean loss over the epoch, where this party knows it.
        loss: Option<f64>,
        /// Bytes so far.
        traffic: Traffic,
    },
    /// The test rows were evaluated.
    Evaluated {
        /// After this epoch.
        epoch: u32,
        /// The result, where this party knows it.
        evaluation: Option<Evaluation>,
        /// The same on named subsets of the test rows.
        subsets: BTreeMap<String, Evaluation>,
        /// Bytes so far.
        traffic: Traffic,
    },
    /// A prediction begins: the parties agreed on the number of rows.
    Asked {
        /// Rows to predict.
        rows: usize,
        /// Bytes of the set-up.
        traffic: Traffic,
    },
    /// The servers of a service have met: keys, encrypted weights and transfers are set up.
    Met {
        /// Bytes of it.
        traffic: Traffic,
    },
    /// A server has waited for work, and begins some.
    Working {
        /// Bytes so far.
        traffic: Traffic,
    },
    /// One more inference of a service is prepared.
    Prepared {
        /// Prepared ones that wait to be used.
        ready: usize,
        /// How many are kept prepared.
        wanted: usize,
        /// Bytes so far.
        traffic: Traffic,
    },
    /// A server has done its part of one more inference of a service.
    Answered {
        /// Inferences so far.
        inferences: u64,
        /// Bytes so far.
        traffic: Traffic,
    },
    /// What a server of a service has sent the others for each layer; told when their connections end.
    Layers {
        /// In the order of the model.
        layers: Vec<LayerBytes>,
    },
    /// An enclave's worker has done one more job.
    Computed {
        /// Jobs so far.
        jobs: u64,
        /// Bytes so far.
        traffic: Traffic,
    },
    /// An enclave does without a worker from here on.
    WorkerDropped {
        /// The worker.
        party: Party,
        /// What it did.
        why: String,
    },
    /// A batch of a prediction is done.
    Predicted {
        /// Rows done so far.
        rows: usize,
        /// Bytes so far.
        traffic: Traffic,
    },
}

impl Event {
    /// With bytes of other links on top.
    pub(crate) fn with(mut self, more: Traffic) -> Self {
        match &mut self {
            Self::Started { traffic, .. }
            | Self::Preprocessing { traffic }
            | Self::Batch { traffic, .. }
            | Self::Epoch { traffic, .. }
            | Self::Evaluated { traffic, .. }
            | Self::Asked { traffic, .. }
            | Self::Met { traffic }
            | Self::Working { traffic }
            | Self::Prepared { traffic, .. }
            | Self::Answered { traffic, .. }
            | Self::Computed { traffic, .. }
            | Self::Predicted { traffic, .. } => *traffic = [*traffic, more].into_iter().sum(),
            Self::Layers { .. } | Self::WorkerDropped { .. } => (),
        }
        self
    }
}

/// Bytes that were sent for a layer of a network, at the socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerBytes {
    /// Its name in the model: "3", "3.body.0"; `arg-max`; or, of all that is no layer's, `input and output`.
    pub layer: String,
    /// Before inputs were known.
    pub preparing: u64,
    /// On inputs.
    pub answering: u64,
}

/// Receives events; an error stops the script.
pub type Observe<'a> = dyn FnMut(Event) -> Result<(), Halted> + 'a;
