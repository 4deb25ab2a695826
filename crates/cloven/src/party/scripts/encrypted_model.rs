//! `encrypted-model`, with samples in the clear and encrypted.

use cloven_nn::Network;
use cloven_protocols::{
    Observe,
    encrypted_model::{self, LayerKey, ProductKey, encrypted_samples},
};
use cloven_wire::{Channel, Link};

use super::{Encrypted, Outcome, Trained};
use crate::{
    Error,
    encrypted_layer::KeptKey,
    encrypted_rows::EncryptedRows,
    job::{Cut, InitialWeights},
    party::{Kept, Prepared, rows::ClientData},
};

impl Prepared {
    pub(super) async fn model_client<C: Channel>(
        &self,
        data: &ClientData,
        kept: &Kept<'_, '_>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let cut = self.job.cut()?;
        let key = LayerKey::new(self.job.layer_encryption()?, &kept.secret);
        let inner = self.job.product_keys(&kept.secret)?;
        let mut layer = self.random_network(&cut, self.job.first_encrypted(&cut)?, self.job.seed)?;
        let given = self.begins_with_given(&mut layer)?;
        let tail = self.encrypted_network(&cut, &inner)?;
        if !given && self.job.initial_weights() == InitialWeights::Secret {
            key.draw_weights(&mut layer).map_err(|cause| self.protocol_error(cause))?;
        }
        let me = encrypted_model::Client {
            layer,
            tail,
            key,
            inner,
            optimiser: self.job.training.optimiser.clone(),
            precision: self.job.precision(),
        };
        let me = encrypted_model::client(me, self.task(data, kept), link, observe).await;
        Ok(me.map(|me| Trained {
            parts: vec![me.tail],
            encrypted: Some(Encrypted::Key(KeptKey {
                secret: kept.secret.clone(),
                factor: me.factor,
            })),
            ..Trained::default()
        }))
    }

    pub(super) async fn model_server<C: Channel>(
        &self,
        kept: &Kept<'_, '_>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let keeps = kept.keeps();
        let me = encrypted_model::Server {
            encryption: self.job.layer_encryption()?,
            inner: self.job.product_layers()?,
            shuffle: self.job.shuffle(),
            helpers: self.helpers(),
        };
        let me = encrypted_model::server(me, self.service(kept, &keeps), link, observe).await;
        Ok(me.map(|layers| Trained {
            encrypted: Some(Encrypted::Layers(layers)),
            ..Trained::default()
        }))
    }

    pub(super) async fn samples_client<C: Channel>(
        &self,
        data: &ClientData,
        kept: &Kept<'_, '_>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let cut = self.job.cut()?;
        let keys = self.job.product_keys(&kept.secret)?;
        let network = self.encrypted_network(&cut, &keys)?;
        let helpers = self.helpers().map(|helpers| (helpers, &*kept.secret));
        let me = encrypted_samples::Client { network, keys, helpers };
        let me = encrypted_samples::client(me, self.task(data, kept), link, observe).await;
        Ok(me.map(|network| Trained {
            parts: vec![network],
            encrypted: Some(Encrypted::Key(KeptKey {
                secret: kept.secret.clone(),
                factor: 1.0,
            })),
            ..Trained::default()
        }))
    }

    pub(super) async fn samples_server<C: Channel>(
        &self,
        kept: &Kept<'_, '_>,
        link: &mut Link<C>,
        observe: &mut Observe<'_>,
    ) -> Outcome {
        let keeps = kept.keeps();
        let rows = EncryptedRows::open(&kept.rows, self.job.digest(), self.job.first_product()?.row_len());
        let me = encrypted_samples::Server {
            layers: self.job.product_layers()?,
            shuffle: self.job.shuffle(),
            rows: &rows,
        };
        let me = encrypted_samples::server(me, self.service(kept, &keeps), link, observe).await;
        Ok(me.map(|layers| Trained {
            encrypted: Some(Encrypted::Layers(layers)),
            ..Trained::default()
        }))
    }

    /// The client's part of the network under `encrypted-model`, with secret weights where the server computes products.
    fn encrypted_network(&self, cut: &Cut, keys: &[ProductKey]) -> Result<Network, Error> {
        let mut network = self
            .job
            .client_network(cut)?
            .with_optimiser(self.job.training.optimiser.clone())?;
        let given = self.begins_with_given(&mut network)?;
        if !given && self.job.initial_weights() == InitialWeights::Secret {
            let names: Vec<String> = network.outside().iter().map(|layer| layer.weight.clone()).collect();
            for (key, weight) in keys.iter().zip(&names) {
                let drawn = key.draw_weights(&mut network, weight);
                drawn.map_err(|cause| self.protocol_error(cause))?;
            }
        }
        Ok(network)
    }
}
