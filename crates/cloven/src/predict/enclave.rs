//! Predicting under `enclave`: the client sends its trained network to the enclave again, if the evidence is right, and its rows.

use std::time::SystemTime;

use cloven_nn::Network;
use cloven_protocols::{
    ProtocolError, Queries,
    enclave::{Customer, predict},
};
use cloven_wire::{Channel, Link};
use ndarray::ArrayD;
use rand_chacha::rand_core::Rng;
use zeroize::Zeroizing;

use super::{Layers, Predictor};
use crate::{Error, party::fresh_randomness, reporter::Reporter};

impl Predictor {
    /// The outputs on all rows, at the client.
    pub(super) async fn enclave<C: Channel>(
        &self,
        links: &mut [Link<C>],
        reporter: &Reporter<'_>,
    ) -> Result<Option<ArrayD<f32>>, Error> {
        let (job, batch) = (&self.me.job, self.me.job.training.evaluation_batch);
        let mut observe = |event| reporter.observe(event);
        let mut secrets = Zeroizing::new([[0; 32]; 2]);
        for secret in secrets.iter_mut() {
            fresh_randomness()?.fill_bytes(secret);
        }
        let done: Result<_, ProtocolError> = match (&self.layers, &self.rows, links) {
            (Layers::Customer(network), Some(rows), [link]) => {
                let policy = self.me.attestation_policy()?;
                self.me.warn(policy.warnings(), reporter);
                let mut copy = Network::new(&job.cut()?.model, network.range(), job.seed)?;
                copy.set_parameters(&network.parameters())?;
                copy.set_buffers(&network.buffers())?;
                let me = Customer {
                    network: copy,
                    policy: (&policy, SystemTime::now()),
                    certificate: self.me.pinned(&job.enclave_terms()?.enclave)?,
                    nonce: secrets[0],
                    sealing_key: Zeroizing::new(secrets[1]),
                };
                let queries = Queries { x: &rows.x, batch };
                predict::customer(me, queries, link, &mut observe).await.map(Some)
            }
            (Layers::Worker, _, [link]) => self.me.accelerated()?.compute(link, &mut observe).await.map(|()| None),
            (Layers::Enclave, _, links) => {
                let attester = self.me.attester()?;
                self.me.warn(attester.warning().map(str::to_owned), reporter);
                let me = self.me.enclave_of(&attester, &secrets[0])?;
                predict::enclave(me, &job.enclave_terms()?, batch, links, &mut observe)
                    .await
                    .map(|()| None)
            }
            _ => {
                return Err(Error::configuration(
                    "parties",
                    format!("{} has no part in it", self.me.party),
                ));
            }
        };
        done.map_err(|cause| self.me.protocol_error(cause))
    }
}
