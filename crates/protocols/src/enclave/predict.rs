//! Predicting with the customer's network, in an enclave, by the workers.
//!
//! They meet as for training (steps 1 to 3). Then, for each batch of rows x:
//!
//! 1. customer: x                                      → enclave
//! 2. enclave: the products of a forward pass, blinded → workers; checked and unblinded as in training
//! 3. enclave: the outputs                             → customer
//!
//! Before the first batch the customer sends `ask`, the number of rows. The enclave keeps nothing.
//!
//! **Who learns what.** As in training ([`Terms::leaks`]), of these rows, and nobody anything of labels or gradients.

use cloven_wire::{Channel, Link, Message};
use ndarray::ArrayD;

use super::{
    Customer, Enclave, Terms,
    customer::meet as meet_enclave,
    msg::{Challenge, EnclaveEvidence, Outputs, Samples, SealingKey, TrainedNetwork, WorkerAnswer, WorkerJob},
    products::Teller,
    server,
};
use crate::{Ask, Observe, ProtocolError, Queries, inference};

/// The name and kind of every message, in the order of first use. A worker's script is that of training.
pub const MESSAGES: [(&str, u8); 9] = [
    (Challenge::NAME, Challenge::KIND),
    (EnclaveEvidence::NAME, EnclaveEvidence::KIND),
    (SealingKey::NAME, SealingKey::KIND),
    (TrainedNetwork::NAME, TrainedNetwork::KIND),
    (Ask::NAME, Ask::KIND),
    (Samples::NAME, Samples::KIND),
    (WorkerJob::NAME, WorkerJob::KIND),
    (WorkerAnswer::NAME, WorkerAnswer::KIND),
    (Outputs::NAME, Outputs::KIND),
];

/// The outputs of `me.network` on the customer's rows, in order: `[rows, outputs]`. The sealing key may be any.
///
/// # Errors
/// [`ProtocolError`]; before the enclave's evidence is accepted nothing but a nonce is sent.
pub async fn customer<C: Channel>(
    me: Customer<'_>,
    queries: Queries<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<ArrayD<f32>, ProtocolError> {
    let network = meet_enclave(me, link).await?;
    inference::client(queries, link, observe, async |link: &mut Link<C>, round, x: &ArrayD<f32>| {
        link.send(round, &Samples(x.clone())).await?;
        let shape = [&x.shape()[..1], network.output_shape()].concat();
        let Outputs(outputs) = link.receive(round, &shape[..]).await?;
        Ok(outputs)
    })
    .await
}

/// Answers until the customer has all it asked for; `batch` is the job's.
///
/// # Errors
/// As [`super::enclave`].
pub async fn enclave<C: Channel>(
    me: Enclave<'_>,
    terms: &Terms,
    batch: usize,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let teller = Teller::new(observe);
    let server::Met {
        customer: [customer],
        network,
        mut products,
        ..
    } = server::meet(me, terms, links, &teller).await?
    else {
        return Err(ProtocolError::Structure("expected one customer".into()));
    };
    let observe: &mut Observe<'_> = &mut |event| teller.tell(event);
    inference::server(batch, customer, observe, async |link: &mut Link<C>, round, rows| {
        server::answer(&network, &mut products, link, round, rows).await
    })
    .await?;
    products.end().await;
    Ok(())
}
