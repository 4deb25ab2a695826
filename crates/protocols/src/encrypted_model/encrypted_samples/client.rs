//! The client's script.

use std::ops::Range;

use cloven_nn::{BatchTargets, InputGradient as Wish, Network};
use cloven_wire::{Channel, Link};
use futures_util::stream::{self, StreamExt};
use ndarray::{ArrayD, Axis};
use tokio::sync::Mutex;

use super::msg::{EncryptedRows, RowsHeld, Upload};
use crate::{
    Observe, Parts, Position, ProtocolError, Task,
    checkpoint::part,
    encrypted_model::{ProductKey, products::Products},
    helpers::{Helpers, Request, Station},
    training::{self, ClientRounds, Cohort},
};

/// Parts that a helper has, or is being sent, at a time.
const STATIONS: usize = 2;

/// What the client brings.
pub struct Client<'a> {
    /// The whole network with its initial weights and its optimiser, any; the products of the server's layers are
    /// [outside](Network::with_products_outside).
    pub network: Network,
    /// The key of each layer outside.
    pub keys: Vec<ProductKey>,
    /// Who encrypt its rows, instead of this process, and the secret that the keys are made of.
    pub helpers: Option<(&'a dyn Helpers, &'a [u8; 32])>,
}

/// Trains with the server at the other end of `link`; returns the whole network.
pub async fn client<C: Channel>(
    me: Client<'_>,
    task: Task<'_>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<Network, ProtocolError> {
    let mut rounds = Rounds {
        network: me.network,
        products: Products::new(me.keys),
        helpers: me.helpers,
        task,
    };
    training::client(&mut rounds, &task, link, observe).await?;
    Ok(rounds.network)
}

struct Rounds<'a> {
    network: Network,
    products: Products,
    helpers: Option<(&'a dyn Helpers, &'a [u8; 32])>,
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
        let Self {
            network, products, task, ..
        } = self;
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
        let mut first = held as usize;
        let mut parts = Vec::new();
        for rows in key.encryption().row_parts(train + test - first) {
            parts.push(first..first + rows);
            first += rows;
        }
        match self.helpers {
            None => {
                for rows in parts {
                    let encrypted = key.encrypt_samples(&self.samples(&rows), rows.start as u64)?;
                    link.send(0, &EncryptedRows(encrypted)).await?;
                }
            }
            Some((helpers, secret)) => self.upload_helped(key, parts, (helpers, secret), link).await?,
        }
        Ok(())
    }

    /// Has helpers encrypt these parts, and sends them in order.
    async fn upload_helped<C: Channel>(
        &self,
        key: &ProductKey,
        parts: Vec<Range<usize>>,
        (helpers, secret): (&dyn Helpers, &[u8; 32]),
        link: &mut Link<C>,
    ) -> Result<(), ProtocolError> {
        let encryption = key.encryption();
        let before = [Request::Key {
            shape: encryption.shape(),
            batch: encryption.batch(),
            secret,
        }];
        // Every station has one part at a time; a helper with two stations need not wait for the next.
        let stations = (0..STATIONS * helpers.count()).map(|of| Mutex::new(Station::new(helpers, of)));
        let stations: Vec<_> = stations.collect();
        let encrypted = parts.into_iter().enumerate().map(async |(index, rows)| {
            let x = self.samples(&rows);
            let request = Request::Encrypt {
                first: rows.start as u64,
                x: &x,
            };
            let mut station = stations[index % stations.len()].lock().await;
            station.ask(&before, &request).await
        });
        let mut encrypted = stream::iter(encrypted).buffered(stations.len());
        while let Some(part) = link.wait_while(encrypted.next()).await {
            link.send(0, &EncryptedRows(part?)).await?;
        }
        Ok(())
    }

    /// Rows of training, then of test, flat.
    fn samples(&self, rows: &Range<usize>) -> Vec<f32> {
        let [train, test] = [&self.task.train.x, &self.task.test.x];
        let of_train = train.len_of(Axis(0));
        let all = train
            .axis_iter(Axis(0))
            .skip(rows.start)
            .take(rows.len().min(of_train.saturating_sub(rows.start)));
        let begun = rows.start.max(of_train);
        let of_test = test
            .axis_iter(Axis(0))
            .skip(begun - of_train)
            .take(rows.end.saturating_sub(begun));
        all.chain(of_test).flat_map(|row| row.into_iter().copied()).collect()
    }
}
