//! The server's script.

use std::{ops::Range, slice::from_mut};

use cloven_lattice::{RelinearisationKey, linear::EncryptedMatrix};
use cloven_wire::{Channel, Link, Message};

use super::{
    msg::{EncryptedDelta, EncryptedGradient, EncryptedRows, Relinearisation, RowsHeld, Upload},
    store::RowStore,
};
use crate::{
    CheckpointError, Observe, Parts, Position, ProtocolError, Service, Shuffle,
    checkpoint::part,
    encrypted_model::{EncryptedOutput, EncryptedWeights, Fingerprint, HeldLayer, ProductEncryption},
    error::malformed,
    training::{self, Cohort, ServerRounds, Sessions},
};

/// Rows that are in memory at a time where a batch has more.
const ROWS: usize = 32;

/// What the server brings.
pub struct Server<'a> {
    /// Of its layer.
    pub encryption: ProductEncryption,
    /// The order of the training rows, the same as the client's.
    pub shuffle: Shuffle,
    /// Where it keeps encrypted rows.
    pub rows: &'a dyn RowStore,
}

/// Trains with the client at the other end of `link`; returns its layer.
pub async fn server<C: Channel>(
    me: Server<'_>,
    service: impl Into<Service<'_>>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<HeldLayer, ProtocolError> {
    let mut job = Job(Session {
        me,
        train_rows: 0,
        order: (0, Vec::new()),
        key: None,
        relinearisation: None,
        weights: None,
    });
    training::server(&mut job, service.into(), from_mut(link), observe).await?;
    let key = job.0.key.ok_or_else(nothing_held)?;
    let (weights, _) = job.0.weights.ok_or_else(nothing_held)?;
    Ok(HeldLayer { key, weights })
}

/// The one client's session.
struct Job<'a>(Session<'a>);

struct Session<'a> {
    me: Server<'a>,
    /// Test rows come after so many in the store.
    train_rows: usize,
    /// An epoch, and the order of its rows.
    order: (u32, Vec<usize>),
    key: Option<Fingerprint>,
    relinearisation: Option<RelinearisationKey>,
    /// Enc(W), as it came and ready to be multiplied.
    weights: Option<(Vec<u8>, EncryptedMatrix)>,
}

impl<'a, C: Channel> Sessions<C> for Job<'a> {
    type Session = Session<'a>;

    fn sessions(&mut self) -> &mut [Session<'a>] {
        from_mut(&mut self.0)
    }

    async fn begin(&mut self, links: &mut [Link<C>], cohort: &Cohort) -> Result<(), ProtocolError> {
        let (me, link) = (&mut self.0, &mut links[0]);
        me.train_rows = cohort.rows as usize;
        me.receive_rows(link, me.train_rows + cohort.test_rows[0] as usize).await?;
        me.relinearisation = Some(receive_relinearisation(&me.me.encryption, link, 0).await?);
        if cohort.from == [Position::START] {
            me.receive_weights(link, 0).await?;
        }
        Ok(())
    }

    async fn end_epoch(&mut self, _: &mut [Link<C>], _: &[u64], _: &Cohort) -> Result<(), ProtocolError> {
        Ok(())
    }
}

impl<C: Channel> ServerRounds<C> for Session<'_> {
    async fn train(&mut self, link: &mut Link<C>, round: u64, epoch: u32, rows: Range<usize>) -> Result<(), ProtocolError> {
        let batch = self.training_rows(epoch, rows)?;
        let (_, matrix) = self.weights.as_ref().ok_or_else(nothing_held)?;
        let relinearisation = self.relinearisation.as_ref().ok_or_else(nothing_held)?;
        let (encryption, product) = (&self.me.encryption, self.me.encryption.product());
        // 1.
        let output = EncryptedOutput(encryption.outputs_of(&batch, matrix, relinearisation)?);
        link.send(round, &output).await?;
        // 2.
        let groups: Vec<&[u8]> = batch.chunks(encryption.row_len()).collect();
        let EncryptedDelta(delta) = link.receive(round, &product.delta_len(groups.len())).await?;
        let delta = product.receive_delta(&delta, groups.len());
        let delta = delta.map_err(|cause| malformed(link.peer(), round, EncryptedDelta::NAME, cause))?;
        // 3.
        let gradient = product.gradient(&groups, &delta, relinearisation)?;
        link.send(round, &EncryptedGradient(gradient)).await?;
        // 4.
        self.receive_weights(link, round).await
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: Range<usize>) -> Result<(), ProtocolError> {
        let (_, matrix) = self.weights.as_ref().ok_or_else(nothing_held)?;
        let relinearisation = self.relinearisation.as_ref().ok_or_else(nothing_held)?;
        let rows: Vec<usize> = rows.map(|row| self.train_rows + row).collect();
        let mut output = Vec::with_capacity(self.me.encryption.product().outputs_len(rows.len()));
        for some in rows.chunks(ROWS) {
            let some = self.read(some)?;
            output.extend(self.me.encryption.outputs_of(&some, matrix, relinearisation)?);
        }
        Ok(link.send(round, &EncryptedOutput(output)).await?)
    }

    fn snapshot(&self) -> Result<Parts, ProtocolError> {
        let (weights, _) = self.weights.as_ref().ok_or_else(nothing_held)?;
        let key = self.key.ok_or_else(nothing_held)?;
        Ok([("W".to_owned(), weights.clone()), ("key".to_owned(), key.0.to_vec())].into())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        let kept = Fingerprint::kept(part(parts, "key")?)?;
        // A party that finishes alone has heard of no client's key.
        let client = *self.key.get_or_insert(kept);
        if client != kept {
            let why = format!("the weights kept here are under another encryption key than the client's, {client}");
            return Err(CheckpointError { why }.into());
        }
        let weights = part(parts, "W")?.to_vec();
        let matrix = self.me.encryption.product().receive_weights(&weights)?;
        self.weights = Some((weights, matrix));
        Ok(())
    }
}

impl Session<'_> {
    /// Says which rows are held, and receives the others.
    async fn receive_rows<C: Channel>(&mut self, link: &mut Link<C>, all: usize) -> Result<(), ProtocolError> {
        let (store, encryption) = (self.me.rows, &self.me.encryption);
        let held = store.held();
        let upload: Upload = link.receive(0, &held.map(|(upload, _)| upload)).await?;
        self.key = Some(upload.key);
        if held.is_none() {
            store.begin(upload)?;
        }
        let held = held.map_or(0, |(_, rows)| rows as usize);
        let missing = all.checked_sub(held).ok_or_else(|| CheckpointError {
            why: format!("{held} encrypted rows are held, of a training with {all}"),
        })?;
        link.send(0, &RowsHeld(held as u64)).await?;
        for rows in encryption.row_parts(missing) {
            let EncryptedRows(bytes) = link.receive(0, &(rows * encryption.row_len())).await?;
            let checked = encryption.product().receive_rows(&bytes, rows).map(drop);
            checked.map_err(|cause| malformed(link.peer(), 0, EncryptedRows::NAME, cause))?;
            store.append(&bytes)?;
        }
        Ok(store.flush()?)
    }

    /// The rows of a batch.
    fn training_rows(&mut self, epoch: u32, rows: Range<usize>) -> Result<Vec<u8>, ProtocolError> {
        if self.order.0 != epoch {
            self.order = (epoch, self.me.shuffle.order(epoch, self.train_rows));
        }
        self.read(&self.order.1[rows])
    }

    fn read(&self, rows: &[usize]) -> Result<Vec<u8>, ProtocolError> {
        let mut bytes = Vec::with_capacity(rows.len() * self.me.encryption.row_len());
        rows.iter().try_for_each(|&row| self.me.rows.read(row, &mut bytes))?;
        Ok(bytes)
    }

    async fn receive_weights<C: Channel>(&mut self, link: &mut Link<C>, round: u64) -> Result<(), ProtocolError> {
        let EncryptedWeights(weights) = link.receive(round, &self.me.encryption.weights_len()).await?;
        let matrix = self.me.encryption.product().receive_weights(&weights);
        let matrix = matrix.map_err(|cause| malformed(link.peer(), round, EncryptedWeights::NAME, cause))?;
        self.weights = Some((weights, matrix));
        Ok(())
    }
}

pub(super) async fn receive_relinearisation<C: Channel>(
    encryption: &ProductEncryption,
    link: &mut Link<C>,
    round: u64,
) -> Result<RelinearisationKey, ProtocolError> {
    let product = encryption.product();
    let Relinearisation(key) = link.receive(round, &product.relinearisation_key_len()).await?;
    let key = product.receive_relinearisation_key(&key);
    key.map_err(|cause| malformed(link.peer(), round, Relinearisation::NAME, cause))
}

/// The training loop asks for nothing before it has been received or restored.
fn nothing_held() -> ProtocolError {
    let why = "no encrypted weights, or no key to them, are held".into();
    CheckpointError { why }.into()
}
