//! A holder's script: its columns, its labels, or both.

use std::collections::BTreeMap;

use cloven_nn::{BatchTargets, Evaluation, InputGradient as Wish, Network, WeightedLoss};
use cloven_wire::{Channel, Link, Party};
use ndarray::{Array2, Axis, concatenate};
use zeroize::Zeroizing;

use super::{
    Terms, arithmetic,
    layer::Layer,
    msg::{Hidden, HiddenGradient, Seed},
    peers::Peers,
};
use crate::{
    AllSettled, Begin, CheckpointError, Event, Keep, Observe, Parts, Position, ProtocolError, Settled, Start,
    checkpoint::{number, part},
};

/// Parts of a checkpoint.
const SHARES: &str = "shares";
const TAIL: &str = "tail";
const LOSS: &str = "loss";
const SESSION: &str = "session";

/// A holder's columns of the common rows, in the common order.
#[derive(Clone)]
pub struct Columns {
    /// Training rows, `[rows, columns]`.
    pub train: Array2<f32>,
    /// Test rows.
    pub test: Array2<f32>,
}

/// The label holder's part.
pub struct Labels<'a> {
    /// The layers after the server's.
    pub tail: Network,
    /// The loss at the network's output.
    pub loss: WeightedLoss,
    /// A target for each training row.
    pub train: &'a BatchTargets,
    /// A target for each test row.
    pub test: &'a BatchTargets,
}

/// What a holder brings.
pub struct Holder<'a> {
    /// Its name.
    pub party: Party,
    /// Its columns, if it has any.
    pub columns: Option<Columns>,
    /// Labels, at the label holder.
    pub labels: Option<Labels<'a>>,
    /// All its randomness comes from here; the same when a training goes on.
    pub secret: &'a [u8; 32],
}

/// What a holder has after the training.
pub struct TrainedHolder {
    /// Its shares of the first layer's weights: for each holder in the order of names a matrix `[columns, width]` (the first one's with a last row for the
    /// bias) of words, lowest byte first. Empty without columns. All holders' words add up to the weights at 2^42, modulo 2^64.
    pub shares: Vec<u8>,
    /// The label holder's layers.
    pub tail: Option<Network>,
}

/// Trains with the other parties; `links` are in the order of names. Checkpoints go to `keep`, the one for the link with the server. `alone`: the
/// training is complete, take the last state from `keep` and send nothing.
///
/// # Errors
/// [`ProtocolError`], naming the party that sent what cannot be.
pub async fn holder<C: Channel>(
    me: Holder<'_>,
    terms: &Terms,
    keep: Option<&dyn Keep>,
    alone: bool,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<TrainedHolder, ProtocolError> {
    let secret = &*secret_of_data(&me);
    let mut script = Script::new(me, terms, keep, secret)?;
    let end = terms.schedule.end();
    if alone {
        script.restore(end, false)?;
        return Ok(script.trained());
    }
    // A holder that asks whether the training is complete has a link to the server alone.
    let scheduler = if links.len() == 1 { &terms.server } else { terms.scheduler() };
    let from = script.agree(terms.link_to(scheduler, links)?).await?;
    if from == end {
        script.restore(end, false)?;
        keep.map_or(Ok(()), |keep| keep.complete())?;
        return Ok(script.trained());
    }
    let session = meet(secret, terms.link_to(&terms.server, links)?).await?;
    let mut peers = Peers::new(&script.party, terms, links)?;
    if let Some(layer) = &mut script.layer {
        layer.begin(from, &session, &mut peers).await?;
    }
    script.restore(from, true)?;
    script.train(&mut peers, from, observe).await?;
    Ok(script.trained())
}

struct Script<'a> {
    party: Party,
    terms: &'a Terms,
    keep: Option<&'a dyn Keep>,
    layer: Option<Layer<'a>>,
    labels: Option<Labels<'a>>,
    train_rows: usize,
    test_rows: usize,
    /// Sum of the losses of the epoch's rows so far.
    loss: f64,
}

impl<'a> Script<'a> {
    fn new(me: Holder<'a>, terms: &'a Terms, keep: Option<&'a dyn Keep>, secret: &[u8; 32]) -> Result<Self, ProtocolError> {
        let of_columns = me
            .columns
            .as_ref()
            .map(|columns| [columns.train.nrows(), columns.test.nrows()]);
        let of_labels = me.labels.as_ref().map(|labels| [labels.train.len(), labels.test.len()]);
        let rows = of_columns.or(of_labels).unwrap_or_default();
        if [of_columns, of_labels].into_iter().flatten().any(|other| other != rows) || rows[0] == 0 {
            let why =
                format!("expected as many labels as rows, and a training row; got rows {of_columns:?}, labels {of_labels:?}");
            return Err(ProtocolError::Alignment(why));
        }
        let layer = match (me.columns, terms.place(&me.party)) {
            (Some(columns), Some(place)) => Some(Layer::new(place, terms, &columns, secret)?),
            _ => None,
        };
        Ok(Self {
            party: me.party,
            terms,
            keep,
            layer,
            labels: me.labels,
            train_rows: rows[0],
            test_rows: rows[1],
            loss: 0.0,
        })
    }

    /// Says how many rows there are here and where this party could go on; hears where all go on.
    async fn agree<C: Channel>(&self, scheduler: &mut Link<C>) -> Result<Position, ProtocolError> {
        let mut positions = self.keep.map(|keep| keep.positions()).unwrap_or_default();
        positions.sort_unstable();
        positions.drain(..positions.len().saturating_sub(Start::MAX_POSITIONS));
        let start = Start {
            train_rows: self.train_rows as u64,
            test_rows: self.test_rows as u64,
            positions,
        };
        scheduler.send(0, &start).await?;
        // Every holder has the same rows: as if there were one.
        let begin: Begin = scheduler.receive(0, &(1, start)).await?;
        Ok(begin.from)
    }

    async fn train<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        from: Position,
        observe: &mut Observe<'_>,
    ) -> Result<(), ProtocolError> {
        let schedule = self.terms.schedule;
        observe(prepared(peers))?;
        observe(Event::Started {
            epochs: schedule.epochs,
            train_rows: self.train_rows,
            test_rows: self.test_rows,
            batches: schedule.batches(self.train_rows),
            from,
            traffic: peers.traffic(),
        })?;
        let mut round = schedule.rounds_before(from, self.train_rows, self.test_rows);
        for epoch in from.epoch..=schedule.epochs {
            let done = if epoch == from.epoch { from.batch } else { 0 };
            self.epoch(peers, Position { epoch, batch: done }, &mut round, observe)
                .await?;
            // The round that other protocols end an epoch in.
            round += 1;
            let loss = std::mem::take(&mut self.loss) / self.train_rows as f64;
            observe(Event::Epoch {
                epoch,
                loss: self.labels.is_some().then_some(loss),
                traffic: peers.traffic(),
            })?;
            if schedule.evaluates_after(epoch) && self.test_rows > 0 {
                let evaluation = self.evaluate(peers, &mut round).await?;
                observe(prepared(peers))?;
                observe(Event::Evaluated {
                    epoch,
                    evaluation,
                    subsets: BTreeMap::new(),
                    traffic: peers.traffic(),
                })?;
            }
            if schedule.checkpoint_every > 0 {
                round += 1;
                self.settle(peers, epoch + 1, round).await?;
            }
        }
        Ok(())
    }

    async fn epoch<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        Position { epoch, batch: done }: Position,
        round: &mut u64,
        observe: &mut Observe<'_>,
    ) -> Result<(), ProtocolError> {
        let schedule = self.terms.schedule;
        let order = self.terms.shuffle.order(epoch, self.train_rows);
        let batches = schedule.batches(order.len());
        for (rows, batch) in order.chunks(schedule.batch).zip(1..).skip(done as usize) {
            *round += 1;
            let update = u64::from(epoch - 1) * batches as u64 + batch as u64;
            let loss = self.batch(peers, (*round, update), rows).await?;
            self.loss += loss.unwrap_or_default() * rows.len() as f64;
            observe(prepared(peers))?;
            observe(Event::Batch {
                epoch,
                batch,
                rows: rows.len(),
                loss,
                traffic: peers.traffic(),
            })?;
            if let Some(keep) = self.keep.filter(|_| schedule.keeps_after(batch, batches)) {
                let batch = batch as u32;
                keep.save(Position { epoch, batch }, self.snapshot()?)?;
            }
        }
        Ok(())
    }

    /// Trains on these training rows in the update of this number, from 1; the mean loss, where there are labels.
    async fn batch<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        (round, update): (u64, u64),
        rows: &[usize],
    ) -> Result<Option<f64>, ProtocolError> {
        // 0., 1., 2.
        if let Some(layer) = &mut self.layer {
            layer.send_outputs(peers, round, rows, true).await?;
        }
        // 4.
        let loss = match &mut self.labels {
            Some(labels) => Some(labels.train(peers.server, round, rows).await?),
            None => None,
        };
        // 6.
        if let Some(layer) = &mut self.layer {
            layer.step(peers, (round, update), rows).await?;
        }
        Ok(loss)
    }

    async fn evaluate<C: Channel>(
        &mut self,
        peers: &mut Peers<'_, C>,
        round: &mut u64,
    ) -> Result<Option<Evaluation>, ProtocolError> {
        let all: Vec<usize> = (self.train_rows..self.train_rows + self.test_rows).collect();
        let mut parts = Vec::new();
        for rows in all.chunks(self.terms.schedule.evaluation_batch) {
            *round += 1;
            if let Some(layer) = &mut self.layer {
                layer.send_outputs(peers, *round, rows, false).await?;
            }
            if let Some(labels) = &self.labels {
                let Hidden(y) = peers.server.receive(*round, &labels.tail.batch_shape(rows.len())[..]).await?;
                parts.push(labels.tail.forward(&y)?);
            }
        }
        let Some(labels) = &self.labels else { return Ok(None) };
        let views: Vec<_> = parts.iter().map(|part| part.view()).collect();
        let outputs = concatenate(Axis(0), &views).expect("every part has the network's output shape");
        Ok(Some(Evaluation::new(labels.loss.clone(), &outputs, labels.test)?))
    }

    /// Keeps the end of an epoch, and waits until every party has.
    async fn settle<C: Channel>(&self, peers: &mut Peers<'_, C>, epoch: u32, round: u64) -> Result<(), ProtocolError> {
        if let Some(keep) = self.keep {
            keep.save(Position::of_epoch(epoch), self.snapshot()?)?;
            keep.flush()?;
        }
        let scheduler = peers.scheduler();
        scheduler.send(round, &Settled { epoch }).await?;
        let AllSettled { .. } = scheduler.receive(round, &epoch).await?;
        let Some(keep) = self.keep else { return Ok(()) };
        if Position::of_epoch(epoch) == self.terms.schedule.end() {
            keep.complete()?;
        }
        Ok(keep.settled(epoch)?)
    }

    fn snapshot(&self) -> Result<Parts, ProtocolError> {
        let mut parts = Parts::from([(LOSS.to_owned(), self.loss.to_bits().to_le_bytes().to_vec())]);
        if let Some(layer) = &self.layer {
            parts.insert(SHARES.to_owned(), layer.state());
            parts.insert(SESSION.to_owned(), layer.session().to_vec());
        }
        if let Some(labels) = &self.labels {
            parts.insert(TAIL.to_owned(), labels.tail.checkpoint()?);
        }
        Ok(parts)
    }

    fn restore(&mut self, from: Position, begun: bool) -> Result<(), ProtocolError> {
        let (Some(keep), true) = (self.keep, from != Position::START) else {
            return Ok(());
        };
        let parts = keep.load(from)?;
        if let Some(layer) = &mut self.layer {
            // Shares are of one sharing only while all draw what they drew before.
            if begun && part(&parts, SESSION)? != layer.session() {
                let why = "since this state was kept, a party has lost its secret, changed its rows or labels, or moved to another version or kind of \
                           processor: the training cannot go on, only begin anew";
                return Err(CheckpointError { why: why.into() }.into());
            }
            layer.restore(part(&parts, SHARES)?)?;
        }
        if let Some(labels) = &mut self.labels {
            labels.tail.restore(part(&parts, TAIL)?)?;
        }
        self.loss = f64::from_bits(number(&parts, LOSS)?);
        Ok(())
    }

    fn trained(self) -> TrainedHolder {
        TrainedHolder {
            shares: self.layer.map(|layer| layer.state()).unwrap_or_default(),
            tail: self.labels.map(|labels| labels.tail),
        }
    }
}

/// The secret of a training on this holder's rows: with others, or other labels, gradients are others, and no mask may serve for both.
fn secret_of_data(me: &Holder<'_>) -> Zeroizing<[u8; 32]> {
    let mut hasher = blake3::Hasher::new_keyed(me.secret);
    hasher.update(b"cloven v1 vertical: training on these rows");
    let mut numbers = |all: &mut dyn Iterator<Item = u32>| {
        all.for_each(|number| {
            hasher.update(&number.to_le_bytes());
        });
    };
    if let Some(Columns { train, test }) = &me.columns {
        numbers(&mut train.iter().chain(test).map(|value| value.to_bits()));
    }
    if let Some(labels) = &me.labels {
        match labels.train {
            BatchTargets::Classes(classes) => numbers(&mut classes.iter().copied()),
            BatchTargets::Values(values) => numbers(&mut values.iter().map(|value| value.to_bits())),
        }
        hasher.update(&arithmetic());
    }
    Zeroizing::new(*hasher.finalize().as_bytes())
}

/// A seed from the server that is another one as soon as any party has lost its secret, and with it weights, or has other data: whatever this holder draws depends on it.
async fn meet<C: Channel>(secret: &[u8; 32], server: &mut Link<C>) -> Result<Zeroizing<[u8; 32]>, ProtocolError> {
    let own = Zeroizing::new(blake3::derive_key("cloven v1 vertical: a holder's part of a session", secret));
    server.send(0, &Seed(own)).await?;
    let Seed(session) = server.receive(0, &()).await?;
    Ok(session)
}

fn prepared<C: Channel>(peers: &Peers<'_, C>) -> Event {
    let traffic = peers.prepared;
    Event::Preprocessing { traffic }
}

impl Labels<'_> {
    async fn train<C: Channel>(&mut self, server: &mut Link<C>, round: u64, rows: &[usize]) -> Result<f64, ProtocolError> {
        let targets = self.train.select(rows);
        let Hidden(y) = server.receive(round, &self.tail.batch_shape(rows.len())[..]).await?;
        let z = self.tail.forward_train(round, &y)?;
        let (loss, dz) = self.loss.value_and_gradient(&z, &targets)?;
        let dy = self.tail.backward(&dz, Wish::Wanted)?.unwrap_or(dz);
        server.send(round, &HiddenGradient(dy)).await?;
        self.tail.update()?;
        Ok(loss)
    }
}
