//! The server's script.

use std::{ops::Range, slice::from_mut};

use cloven_lattice::linear::EncryptedWeights as NoWeights;
use cloven_wire::{Channel, Link, Message};

use super::{
    first_layer::{FirstLayer, LayerRows},
    key::Fingerprint,
    layer::LayerEncryption,
    msg::{EncryptedOutput, EncryptedStep, EncryptedWeights, HeldWeights, Key, MergeKeys, Samples},
    products::{HeldProducts, ProductLayer},
    samples::Rows,
};
use crate::{
    CheckpointError, Observe, Parts, Position, ProtocolError, Service, Shuffle,
    checkpoint::part,
    error::{blamed, malformed},
    helpers::Helpers,
    training::{self, Cohort, ServerRounds, Sessions},
};

/// What the server brings.
pub struct Server<'h> {
    /// Of its first layer.
    pub encryption: LayerEncryption,
    /// Its layers after the first.
    pub inner: Vec<ProductLayer>,
    /// The order of the training rows, the same as the client's.
    pub shuffle: Shuffle,
    /// Who hold its first layer, instead of this process.
    pub helpers: Option<&'h dyn Helpers>,
}

/// A server's layers: ciphertexts under the client's key.
pub struct HeldLayers {
    /// Which key.
    pub key: Fingerprint,
    /// Enc(W) of each: of the first as [`super::LayerKey::decrypt_layer`] reads it where samples are in the clear, of the others as they came.
    pub weights: Vec<Vec<u8>>,
}

/// Trains with the client at the other end of `link`; returns its layers.
pub async fn server<C: Channel>(
    me: Server<'_>,
    service: impl Into<Service<'_>>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<HeldLayers, ProtocolError> {
    let mut job = Job(Session {
        train: Rows::new(&me.encryption),
        test: Rows::new(&me.encryption),
        encryption: me.encryption,
        inner: HeldProducts::new(me.inner),
        shuffle: me.shuffle,
        order: (0, Vec::new()),
        key: None,
        merge_keys: None,
        helpers: me.helpers,
        layer: None,
    });
    training::server(&mut job, service.into(), from_mut(link), observe).await?;
    let (first, key) = (job.0.layer()?.hold_all().await?, job.0.key()?);
    let weights = [vec![first], job.0.inner.into_weights()].concat();
    Ok(HeldLayers { key, weights })
}

/// The one client's session.
struct Job<'h>(Session<'h>);

struct Session<'h> {
    encryption: LayerEncryption,
    inner: HeldProducts,
    shuffle: Shuffle,
    train: Rows,
    test: Rows,
    /// An epoch, and the order of its rows.
    order: (u32, Vec<usize>),
    key: Option<Fingerprint>,
    merge_keys: Option<Vec<u8>>,
    helpers: Option<&'h dyn Helpers>,
    layer: Option<FirstLayer<'h>>,
}

impl<'h, C: Channel> Sessions<C> for Job<'h> {
    type Session = Session<'h>;

    fn sessions(&mut self) -> &mut [Session<'h>] {
        from_mut(&mut self.0)
    }

    async fn begin(&mut self, links: &mut [Link<C>], cohort: &Cohort) -> Result<(), ProtocolError> {
        let (me, link) = (&mut self.0, &mut links[0]);
        let Key(key) = link.receive(0, &None).await?;
        me.key = Some(key);
        me.merge_keys = Some(receive_merge_keys(&me.encryption, link, 0).await?);
        let (encryption, train, test) = (&me.encryption, &mut me.train, &mut me.test);
        receive_samples(encryption, train, cohort.rows as usize, link).await?;
        receive_samples(encryption, test, cohort.test_rows[0] as usize, link).await?;
        me.inner.receive_relinearisation(link, 0).await?;
        if cohort.from == [Position::START] {
            me.receive_weights(link, 0).await?;
            me.inner.receive_weights(link, 0).await?;
        }
        Ok(())
    }

    async fn end_epoch(&mut self, _: &mut [Link<C>], _: &[u64], _: &Cohort) -> Result<(), ProtocolError> {
        Ok(())
    }
}

impl<C: Channel> ServerRounds<C> for Session<'_> {
    async fn train(&mut self, link: &mut Link<C>, round: u64, epoch: u32, rows: Range<usize>) -> Result<(), ProtocolError> {
        let x = self.training_rows(epoch, rows.clone())?;
        // 1.
        self.send_output(link, round, &x).await?;
        self.inner.forward(0, rows.len(), true, link, round).await?;
        // 2.
        self.inner.backward(None, rows.len(), link, round).await?;
        let EncryptedStep { refresh, delta } = link.receive(round, &self.encryption.delta_len(rows.len())).await?;
        let updated = link.wait_while(self.layer()?.update(&x, &delta)).await;
        updated.map_err(|cause| blamed(cause, link.peer(), round, EncryptedStep::NAME))?;
        // 3.
        if refresh {
            self.refresh(link, round).await?;
        }
        self.inner.receive_weights(link, round).await
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: Range<usize>) -> Result<(), ProtocolError> {
        let samples = rows.clone().map(|row| self.test.row(row));
        let x = self.held()?.rows(&self.encryption, samples)?;
        self.send_output(link, round, &x).await?;
        self.inner.forward(0, rows.len(), false, link, round).await
    }

    async fn snapshot(&mut self) -> Result<Parts, ProtocolError> {
        let held = self.layer()?.hold_all().await?;
        let own = [("W".to_owned(), held), ("key".to_owned(), self.key()?.0.to_vec())];
        Ok(self.inner.snapshot().chain(own).collect())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        let kept = Fingerprint::kept(part(parts, "key")?)?;
        // A party that finishes alone has heard of no client's key.
        let client = *self.key.get_or_insert(kept);
        if client != kept {
            let why = format!("the weights kept here are under another encryption key than the client's, {client}");
            return Err(CheckpointError { why }.into());
        }
        let mut layer = match self.merge_keys {
            Some(_) => self.nothing_yet()?,
            // This party finishes alone: nothing will be multiplied.
            None => FirstLayer::Here(self.encryption.clone(), NoWeights::empty()),
        };
        layer.restore(part(parts, "W")?)?;
        self.layer = Some(layer);
        self.inner.restore(parts)
    }
}

impl<'h> Session<'h> {
    /// The rows of a batch, prepared for its products.
    fn training_rows(&mut self, epoch: u32, rows: Range<usize>) -> Result<LayerRows, ProtocolError> {
        if self.order.0 != epoch {
            self.order = (epoch, self.shuffle.order(epoch, self.train.len()));
        }
        let rows = self.order.1[rows].iter();
        self.held()?.rows(&self.encryption, rows.map(|&row| self.train.row(row)))
    }

    async fn send_output<C: Channel>(&mut self, link: &mut Link<C>, round: u64, x: &LayerRows) -> Result<(), ProtocolError> {
        let output = link.wait_while(self.layer()?.forward(x)).await?;
        Ok(link.send(round, &EncryptedOutput(output)).await?)
    }

    async fn receive_weights<C: Channel>(&mut self, link: &mut Link<C>, round: u64) -> Result<(), ProtocolError> {
        let mut layer = self.nothing_yet()?;
        for blocks in self.encryption.weight_parts() {
            self.receive_part(&mut layer, blocks, link, round).await?;
        }
        self.layer = Some(layer);
        Ok(())
    }

    /// Gives W away and takes it back freshly encrypted, part by part.
    async fn refresh<C: Channel>(&mut self, link: &mut Link<C>, round: u64) -> Result<(), ProtocolError> {
        let (mut held, mut fresh) = (self.layer.take().ok_or_else(nothing_held)?, self.nothing_yet()?);
        for blocks in self.encryption.weight_parts() {
            let part = link.wait_while(held.hold(blocks.clone())).await?;
            link.send(round, &HeldWeights(part)).await?;
            self.receive_part(&mut fresh, blocks, link, round).await?;
        }
        self.layer = Some(fresh);
        Ok(())
    }

    /// A matrix of which no part has come yet.
    fn nothing_yet(&self) -> Result<FirstLayer<'h>, ProtocolError> {
        let keys = self.merge_keys.as_ref().ok_or_else(nothing_held)?;
        FirstLayer::new(&self.encryption, keys, self.helpers)
    }

    async fn receive_part<C: Channel>(
        &self,
        layer: &mut FirstLayer<'_>,
        blocks: Range<usize>,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<(), ProtocolError> {
        let EncryptedWeights(fresh) = link.receive(round, &self.encryption.fresh_len(blocks.len())).await?;
        let received = layer.receive(blocks, &fresh);
        received.map_err(|cause| blamed(cause, link.peer(), round, EncryptedWeights::NAME))
    }

    fn layer(&mut self) -> Result<&mut FirstLayer<'h>, ProtocolError> {
        self.layer.as_mut().ok_or_else(nothing_held)
    }

    fn held(&self) -> Result<&FirstLayer<'h>, ProtocolError> {
        self.layer.as_ref().ok_or_else(nothing_held)
    }

    fn key(&self) -> Result<Fingerprint, ProtocolError> {
        self.key.ok_or_else(nothing_held)
    }
}

/// The keys that responses are merged with, valid ones; none in block layout.
pub(super) async fn receive_merge_keys<C: Channel>(
    encryption: &LayerEncryption,
    link: &mut Link<C>,
    round: u64,
) -> Result<Vec<u8>, ProtocolError> {
    let len = encryption.merge_keys_len();
    if len == 0 {
        return Ok(Vec::new());
    }
    let MergeKeys(keys) = link.receive(round, &len).await?;
    let given = encryption.give_merge_keys(&mut NoWeights::empty(), &keys);
    given.map_err(|cause| malformed(link.peer(), round, MergeKeys::NAME, cause))?;
    Ok(keys)
}

async fn receive_samples<C: Channel>(
    encryption: &LayerEncryption,
    into: &mut Rows,
    rows: usize,
    link: &mut Link<C>,
) -> Result<(), ProtocolError> {
    for rows in encryption.sample_parts(rows) {
        let Samples(numbers) = link.receive(0, &(rows * encryption.inputs())).await?;
        into.extend(&numbers);
    }
    Ok(())
}

/// The training loop asks for nothing before weights have been received or restored.
pub(super) fn nothing_held() -> ProtocolError {
    let why = "no encrypted weights are held".into();
    CheckpointError { why }.into()
}
