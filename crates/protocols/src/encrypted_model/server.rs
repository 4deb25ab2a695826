//! The server's script.

use std::{ops::Range, slice::from_mut};

use cloven_lattice::linear::{EncodedRows, EncryptedWeights as Weights};
use cloven_wire::{Channel, Link, Message};

use super::{
    key::Fingerprint,
    layer::LayerEncryption,
    msg::{EncryptedOutput, EncryptedStep, EncryptedWeights, HeldWeights, Key, MergeKeys, Samples},
    products::{HeldProducts, ProductLayer},
    samples::Rows,
};
use crate::{
    CheckpointError, Observe, Parts, Position, ProtocolError, Service, Shuffle,
    checkpoint::part,
    error::malformed,
    training::{self, Cohort, ServerRounds, Sessions},
};

/// What the server brings.
pub struct Server {
    /// Of its first layer.
    pub encryption: LayerEncryption,
    /// Its layers after the first.
    pub inner: Vec<ProductLayer>,
    /// The order of the training rows, the same as the client's.
    pub shuffle: Shuffle,
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
    me: Server,
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
        weights: None,
    });
    training::server(&mut job, service.into(), from_mut(link), observe).await?;
    let (first, key) = (job.0.hold()?, job.0.key()?);
    let weights = [vec![first], job.0.inner.into_weights()].concat();
    Ok(HeldLayers { key, weights })
}

/// The one client's session.
struct Job(Session);

struct Session {
    encryption: LayerEncryption,
    inner: HeldProducts,
    shuffle: Shuffle,
    train: Rows,
    test: Rows,
    /// An epoch, and the order of its rows.
    order: (u32, Vec<usize>),
    key: Option<Fingerprint>,
    merge_keys: Option<Vec<u8>>,
    weights: Option<Weights>,
}

impl<C: Channel> Sessions<C> for Job {
    type Session = Session;

    fn sessions(&mut self) -> &mut [Session] {
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

impl<C: Channel> ServerRounds<C> for Session {
    async fn train(&mut self, link: &mut Link<C>, round: u64, epoch: u32, rows: Range<usize>) -> Result<(), ProtocolError> {
        let x = self.training_rows(epoch, rows.clone())?;
        // 1.
        self.send_output(link, round, &x).await?;
        self.inner.forward(0, rows.len(), true, link, round).await?;
        // 2.
        self.inner.backward(None, rows.len(), link, round).await?;
        let EncryptedStep { refresh, delta } = link.receive(round, &self.encryption.delta_len(rows.len())).await?;
        let weights = self.weights.as_mut().ok_or_else(nothing_held)?;
        let updated = self.encryption.update(weights, &x, &delta);
        updated.map_err(|cause| malformed(link.peer(), round, EncryptedStep::NAME, cause))?;
        // 3.
        if refresh {
            self.refresh(link, round).await?;
        }
        self.inner.receive_weights(link, round).await
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: Range<usize>) -> Result<(), ProtocolError> {
        let x = self.encryption.encode(rows.clone().map(|row| self.test.row(row)))?;
        self.send_output(link, round, &x).await?;
        self.inner.forward(0, rows.len(), false, link, round).await
    }

    fn snapshot(&self) -> Result<Parts, ProtocolError> {
        let own = [("W".to_owned(), self.hold()?), ("key".to_owned(), self.key()?.0.to_vec())];
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
        let mut weights = self.encryption.held(part(parts, "W")?)?;
        if let Some(keys) = &self.merge_keys {
            self.encryption.give_merge_keys(&mut weights, keys)?;
        }
        self.weights = Some(weights);
        self.inner.restore(parts)
    }
}

impl Session {
    /// The rows of a batch, prepared for its products.
    fn training_rows(&mut self, epoch: u32, rows: Range<usize>) -> Result<EncodedRows, ProtocolError> {
        if self.order.0 != epoch {
            self.order = (epoch, self.shuffle.order(epoch, self.train.len()));
        }
        let rows = self.order.1[rows].iter();
        Ok(self.encryption.encode(rows.map(|&row| self.train.row(row)))?)
    }

    async fn send_output<C: Channel>(&self, link: &mut Link<C>, round: u64, x: &EncodedRows) -> Result<(), ProtocolError> {
        let weights = self.weights.as_ref().ok_or_else(nothing_held)?;
        let output = EncryptedOutput(self.encryption.forward(weights, x)?);
        Ok(link.send(round, &output).await?)
    }

    async fn receive_weights<C: Channel>(&mut self, link: &mut Link<C>, round: u64) -> Result<(), ProtocolError> {
        let mut weights = self.nothing_yet()?;
        for blocks in self.encryption.weight_parts() {
            self.receive_part(&mut weights, blocks.len(), link, round).await?;
        }
        self.weights = Some(weights);
        Ok(())
    }

    /// Gives W away and takes it back freshly encrypted, part by part.
    async fn refresh<C: Channel>(&mut self, link: &mut Link<C>, round: u64) -> Result<(), ProtocolError> {
        let (held, mut fresh) = (self.weights.take().ok_or_else(nothing_held)?, self.nothing_yet()?);
        for blocks in self.encryption.weight_parts() {
            let part = HeldWeights(self.encryption.hold(&held, blocks.clone())?);
            link.send(round, &part).await?;
            self.receive_part(&mut fresh, blocks.len(), link, round).await?;
        }
        self.weights = Some(fresh);
        Ok(())
    }

    /// A matrix of which no part has come yet.
    fn nothing_yet(&self) -> Result<Weights, ProtocolError> {
        let mut weights = Weights::empty();
        let keys = self.merge_keys.as_ref().ok_or_else(nothing_held)?;
        self.encryption.give_merge_keys(&mut weights, keys)?;
        Ok(weights)
    }

    async fn receive_part<C: Channel>(
        &self,
        weights: &mut Weights,
        blocks: usize,
        link: &mut Link<C>,
        round: u64,
    ) -> Result<(), ProtocolError> {
        let EncryptedWeights(fresh) = link.receive(round, &self.encryption.fresh_len(blocks)).await?;
        let received = self.encryption.receive(weights, &fresh);
        received.map_err(|cause| malformed(link.peer(), round, EncryptedWeights::NAME, cause))
    }

    fn hold(&self) -> Result<Vec<u8>, ProtocolError> {
        let weights = self.weights.as_ref().ok_or_else(nothing_held)?;
        Ok(self.encryption.hold_all(weights)?)
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
    let given = encryption.give_merge_keys(&mut Weights::empty(), &keys);
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
