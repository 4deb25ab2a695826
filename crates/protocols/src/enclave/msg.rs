//! The messages of `enclave`.

use cloven_accel::job::{Answer, Job};
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
/// Enclave to worker: products to compute; none ends the work. Encoded and decoded in place: jobs are many megabytes.
#[derive(Clone, PartialEq)]
pub struct WorkerJob(pub Job);

impl Message for WorkerJob {
    const KIND: u8 = 109;
    const NAME: &'static str = "products to compute";
    /// The most bytes.
    type Expect = usize;

    fn max_len(most: &usize) -> usize {
        *most
    }

    fn encode(&self, out: &mut Vec<u8>) {
        if !self.0.0.is_empty() {
            self.0.encode_into(out);
        }
    }

    fn decode(reader: &mut Reader<'_>, most: &usize) -> Result<Self, DecodeError> {
        match at_most(reader.rest(), *most)? {
            [] => Ok(Self(Job(Vec::new()))),
            bytes => match Job::decode(bytes) {
                Ok(job) if job.0.is_empty() => Err(refused_job("no step".into())),
                Ok(job) => Ok(Self(job)),
                Err(cause) => Err(refused_job(cause.to_string())),
            },
        }
    }
}

/// That a worker will not do a job.
pub(super) fn refused_job(got: String) -> DecodeError {
    DecodeError::Field {
        field: "job",
        expected: "steps within the worker's limits".into(),
        got,
    }
}

fn at_most(bytes: &[u8], most: usize) -> Result<&[u8], DecodeError> {
    match bytes.len() <= most {
        true => Ok(bytes),
        false => Err(DecodeError::Field {
            field: "length",
            expected: format!("at most {most} bytes"),
            got: bytes.len().to_string(),
        }),
    }
}

/// Worker to enclave: the products that were asked for.
#[derive(Clone, PartialEq)]
pub struct WorkerAnswer(pub Answer);

impl Message for WorkerAnswer {
    const KIND: u8 = 110;
    const NAME: &'static str = "computed products";
    /// The most bytes.
    type Expect = usize;

    fn max_len(most: &usize) -> usize {
        *most
    }

    fn encode(&self, out: &mut Vec<u8>) {
        self.0.encode_into(out);
    }

    fn decode(reader: &mut Reader<'_>, most: &usize) -> Result<Self, DecodeError> {
        let answer = Answer::decode(at_most(reader.rest(), *most)?);
        answer.map(Self).map_err(|cause| DecodeError::Field {
            field: "products",
            expected: "products that were asked for".into(),
            got: cause.to_string(),
        })
    }
}

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
