//! The client's script.

use cloven_nn::{BatchTargets, InputGradient as Wish, Network};
use cloven_wire::{Channel, Link};
use ndarray::{ArrayD, Axis, Slice};

use super::msg::{EncryptedRows, RowsHeld, Upload};
use crate::{
    Observe, Parts, Position, ProtocolError, Task,
    checkpoint::part,
    encrypted_model::{ProductKey, product::Purpose, products::Products},
    training::{self, ClientRounds, Cohort},
};

/// What the client brings.
pub struct Client {
    /// The whole network with its initial weights and its optimiser, any; the products of the server's layers are
    /// [outside](Network::with_products_outside).
    pub network: Network,
    /// The key of each layer outside.
    pub keys: Vec<ProductKey>,
}

/// Trains with the server at the other end of `link`; returns the whole network.
pub async fn client<C: Channel>(
    me: Client,
    task: Task<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<Network, ProtocolError> {
    let mut rounds = Rounds {
        network: me.network,
        products: Products::new(me.keys),
        task,
    };
    training::client(&mut rounds, &task, link, observe).await?;
    Ok(rounds.network)
}

struct Rounds<'a> {
    network: Network,
    products: Products,
    task: Task<'a>,
}

impl<C: Channel> ClientRounds<C> for Rounds<'_> {
    async fn begin(&mut self, link: &mut Link<C>, cohort: &Cohort) -> Result<(), ProtocolError> {
        self.upload(link).await?;
        self.products.send_relinearisation(link, 0).await?;
        if cohort.from == [Position::START] {
            self.products.send_weights(&self.network, link, 0).await?;
        }
        Ok(())
    }

    async fn train(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>, t: &BatchTargets) -> Result<f64, ProtocolError> {
        let Self { network, products, task } = self;
        // 1.
        let z = products.forward_train(network, x, link, round).await?;
        // 2. and 3.
        let (loss, dz) = task.weighted_loss().value_and_gradient(&z, t)?;
        products.backward(network, &dz, Wish::NotWanted, link, round).await?;
        // 4.
        network.update()?;
        products.send_weights(network, link, round).await?;
        Ok(loss)
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, x: &ArrayD<f32>) -> Result<ArrayD<f32>, ProtocolError> {
        self.products.forward(&self.network, x, link, round).await
    }

    fn snapshot(&self) -> Result<Parts, ProtocolError> {
        Ok([("network".to_owned(), self.network.checkpoint()?)].into())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        self.products.forget_weights();
        Ok(self.network.restore(part(parts, "network")?)?)
    }
}

impl Rounds<'_> {
    /// Sends the rows that the server does not have: of training, then of test.
    async fn upload<C: Channel>(&self, link: &mut Link<C>) -> Result<(), ProtocolError> {
        let (key, sets) = (&self.products.keys()[0], [&self.task.train.x, &self.task.test.x]);
        let upload = Upload {
            key: key.fingerprint(),
            rows: key.secrets.fingerprint_of(sets.iter().flat_map(|x| x.iter())),
        };
        link.send(0, &upload).await?;
        let [train, test] = sets.map(|x| x.len_of(Axis(0)));
        let RowsHeld(held) = link.receive(0, &((train + test) as u64)).await?;
        let mut done = held as usize;
        for rows in key.encryption().row_parts(train + test - done) {
            let mut part = Vec::new();
            for (x, first, end) in [(sets[0], 0, train), (sets[1], train, train + test)] {
                let (from, to) = (done.max(first), (done + rows).min(end));
                if from < to {
                    let x = x.slice_axis(Axis(0), Slice::from(from - first..to - first)).to_owned();
                    part.extend(key.encrypt_rows(&x, |index| Purpose::Row((from + index) as u64))?.0);
                }
            }
            link.send(0, &EncryptedRows(part)).await?;
            done += rows;
        }
        Ok(())
    }
}
