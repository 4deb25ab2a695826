//! The server's script.

use std::{ops::Range, slice::from_mut};

use cloven_wire::{Channel, Link, Message};

use super::{
    msg::{EncryptedRows, RowsHeld, Upload},
    store::RowStore,
};
use crate::{
    CheckpointError, Observe, Parts, Position, ProtocolError, Service, Shuffle,
    checkpoint::part,
    encrypted_model::{
        EncryptedOutput, Fingerprint, HeldLayers,
        products::{HeldProducts, ProductLayer},
    },
    error::malformed,
    training::{self, Cohort, ServerRounds, Sessions},
};

/// Rows that are in memory at a time where a batch has more.
const ROWS: usize = 32;

/// What the server brings.
pub struct Server<'a> {
    /// Its layers; the rows of the first are stored.
    pub layers: Vec<ProductLayer>,
    /// The order of the training rows, the same as the client's.
    pub shuffle: Shuffle,
    /// Where it keeps encrypted rows.
    pub rows: &'a dyn RowStore,
}

/// Trains with the client at the other end of `link`; returns its layers.
pub async fn server<C: Channel>(
    me: Server<'_>,
    service: impl Into<Service<'_>>,
    link: &mut Link<C>,
    observe: &mut Observe<'_>,
) -> Result<HeldLayers, ProtocolError> {
    let mut job = Job(Session {
        products: HeldProducts::new(me.layers.clone()),
        me,
        train_rows: 0,
        order: (0, Vec::new()),
        key: None,
    });
    training::server(&mut job, service.into(), from_mut(link), observe).await?;
    let key = job.0.key.ok_or_else(nothing_held)?;
    let weights = job.0.products.into_weights();
    Ok(HeldLayers { key, weights })
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
    products: HeldProducts,
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
        me.products.receive_relinearisation(link, 0).await?;
        if cohort.from == [Position::START] {
            me.products.receive_weights(link, 0).await?;
        }
        Ok(())
    }

    async fn end_epoch(&mut self, _: &mut [Link<C>], _: &[u64], _: &Cohort) -> Result<(), ProtocolError> {
        Ok(())
    }
}

impl<C: Channel> ServerRounds<C> for Session<'_> {
    async fn train(&mut self, link: &mut Link<C>, round: u64, epoch: u32, rows: Range<usize>) -> Result<(), ProtocolError> {
        let batch = self.training_rows(epoch, rows.clone())?;
        let products = &mut self.products;
        // 1.
        let output = EncryptedOutput(products.outputs(0, rows.len(), &batch)?);
        link.send(round, &output).await?;
        products.forward(1, rows.len(), true, link, round).await?;
        // 2. and 3.
        products.backward(Some(&batch), rows.len(), link, round).await?;
        // 4.
        products.receive_weights(link, round).await
    }

    async fn outputs(&mut self, link: &mut Link<C>, round: u64, rows: Range<usize>) -> Result<(), ProtocolError> {
        let (count, mut output) = (rows.len(), Vec::new());
        let rows: Vec<usize> = rows.map(|row| self.train_rows + row).collect();
        for some in rows.chunks(ROWS) {
            let bytes = self.read(some)?;
            output.extend(self.products.outputs(0, some.len(), &bytes)?);
        }
        link.send(round, &EncryptedOutput(output)).await?;
        self.products.forward(1, count, false, link, round).await
    }

    async fn snapshot(&mut self) -> Result<Parts, ProtocolError> {
        let key = self.key.ok_or_else(nothing_held)?;
        let key = [("key".to_owned(), key.0.to_vec())];
        Ok(self.products.snapshot().chain(key).collect())
    }

    fn restore(&mut self, parts: &Parts) -> Result<(), ProtocolError> {
        let kept = Fingerprint::kept(part(parts, "key")?)?;
        // A party that finishes alone has heard of no client's key.
        let client = *self.key.get_or_insert(kept);
        if client != kept {
            let why = format!("the weights kept here are under another encryption key than the client's, {client}");
            return Err(CheckpointError { why }.into());
        }
        self.products.restore(parts)
    }
}

impl Session<'_> {
    /// Says which rows are held, and receives the others.
    async fn receive_rows<C: Channel>(&mut self, link: &mut Link<C>, all: usize) -> Result<(), ProtocolError> {
        let (store, encryption) = (self.me.rows, &self.me.layers[0].encryption);
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
            let checked = encryption.check_rows(&bytes, rows);
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
        let mut bytes = Vec::with_capacity(rows.len() * self.me.layers[0].encryption.row_len());
        rows.iter().try_for_each(|&row| self.me.rows.read(row, &mut bytes))?;
        Ok(bytes)
    }
}

/// The training loop asks for nothing before it has been received or restored.
fn nothing_held() -> ProtocolError {
    let why = "no encrypted weights, or no key to them, are held".into();
    CheckpointError { why }.into()
}
