//! The messages of `enclave`.

use cloven_wire::{DecodeError, Message, Reader};
use zeroize::Zeroizing;

use crate::{
    AllSettled, Begin, Settled, Start,
    message::{bounded_message, tensor_message},
};

/// The name and kind of every message, in the order of first use.
pub const MESSAGES: [(&str, u8); 14] = [
    (Challenge::NAME, Challenge::KIND),
    (EnclaveEvidence::NAME, EnclaveEvidence::KIND),
    (SealingKey::NAME, SealingKey::KIND),
    (TrainedNetwork::NAME, TrainedNetwork::KIND),
    (Start::NAME, Start::KIND),
    (Begin::NAME, Begin::KIND),
    (Settled::NAME, Settled::KIND),
    (AllSettled::NAME, AllSettled::KIND),
    (Samples::NAME, Samples::KIND),
    (Targets::NAME, Targets::KIND),
    (WorkerJob::NAME, WorkerJob::KIND),
    (WorkerAnswer::NAME, WorkerAnswer::KIND),
    (BatchLoss::NAME, BatchLoss::KIND),
    (Outputs::NAME, Outputs::KIND),
];

tensor_message!(
    /// Customer to enclave: the rows of a batch, `[rows, sample...]`.
    Samples, 105, "samples"
);
tensor_message!(
    /// Customer to enclave: their targets: `[rows]` numbers of classes, or values in the outputs' shape.
    Targets, 106, "targets"
);
tensor_message!(
    /// Enclave to customer: the network's outputs for a batch.
    Outputs, 108, "outputs of the enclave"
);

bounded_message!(
    /// Enclave to customer, once: [`cloven_attest::Evidence`].
    EnclaveEvidence, 102, "evidence of the enclave"
);
bounded_message!(
    /// Customer to enclave, once, the network to begin with; enclave to customer, after every epoch: [`cloven_nn::Network::checkpoint`].
    TrainedNetwork, 104, "network"
);
bounded_message!(
    /// Enclave to worker: [`cloven_accel::job::Job`]; an empty one ends the work.
    WorkerJob, 109, "products to compute"
);
bounded_message!(
    /// Worker to enclave: [`cloven_accel::job::Answer`].
    WorkerAnswer, 110, "computed products"
);

/// Customer to enclave, first: what its evidence must be fresh for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge(pub [u8; 32]);

impl Message for Challenge {
    const KIND: u8 = 101;
    const NAME: &'static str = "challenge";
    type Expect = ();

    fn max_len((): &()) -> usize {
        32
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        reader.array().map(Self)
    }
}

/// Customer to enclave, once, when its evidence is accepted: under what the enclave seals its state.
#[derive(Clone)]
pub struct SealingKey(pub Zeroizing<[u8; 32]>);

impl Message for SealingKey {
    const KIND: u8 = 103;
    const NAME: &'static str = "sealing key";
    type Expect = ();

    fn max_len((): &()) -> usize {
        32
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&*self.0);
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        Ok(Self(Zeroizing::new(reader.array()?)))
    }
}

/// Enclave to customer: the mean loss of a batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BatchLoss(pub f64);

impl Message for BatchLoss {
    const KIND: u8 = 107;
    const NAME: &'static str = "loss of a batch";
    type Expect = ();

    fn max_len((): &()) -> usize {
        8
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_le_bytes());
    }

    fn decode(reader: &mut Reader<'_>, (): &()) -> Result<Self, DecodeError> {
        match f64::from_le_bytes(reader.array()?) {
            loss if loss.is_finite() => Ok(Self(loss)),
            loss => Err(DecodeError::Field {
                field: "loss",
                expected: "a finite number".into(),
                got: loss.to_string(),
            }),
        }
    }
}
