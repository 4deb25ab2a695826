//! The dealer's script: for every product between two holders it sends one of them its share of the product of their masks. It sees no data.

use std::collections::BTreeMap;

use cloven_mpc::triples::{DataShape, Dealer};
use cloven_wire::{Channel, Link, Traffic};
use zeroize::Zeroizing;

use super::{
    Gradient, Terms,
    layer::STRIP,
    msg::{Seed, TripleShares, Work},
    predict,
    products::{Direction, Step, dealt_seed, id},
};
use crate::{Ask, Event, Observe, ProtocolError, schedule::sizes};

/// Deals for a training; `links` are in the order of names.
///
/// # Errors
/// [`ProtocolError`], naming the party that sent what cannot be.
pub async fn dealer<C: Channel>(
    secret: &[u8; 32],
    terms: &Terms,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let work: Work = terms.link_to(terms.scheduler(), links)?.receive(0, &None).await?;
    let [train_rows, test_rows] = [work.train_rows, work.test_rows].map(|rows| rows as usize);
    let (schedule, from) = (terms.schedule, work.from);
    if from == schedule.end() {
        return Ok(());
    }
    let mut deal = Deal::new(secret, terms, train_rows + test_rows, links).await?;
    let traffic = |links: &[Link<C>]| -> Traffic { links.iter().map(Link::traffic).sum() };
    // All that it ever sends.
    let prepared = |links: &[Link<C>]| Event::Preprocessing { traffic: traffic(links) };
    observe(prepared(links))?;
    observe(Event::Started {
        epochs: schedule.epochs,
        train_rows,
        test_rows,
        batches: schedule.batches(train_rows),
        from,
        traffic: traffic(links),
    })?;
    let all: Vec<usize> = (0..train_rows + test_rows).collect();
    if terms.gradient == Gradient::Open {
        for (round, rows) in (0..).zip(all.chunks(STRIP)) {
            let direction = Direction::Forward;
            let step = Step {
                once: true,
                direction,
                round,
            };
            deal.step(step, rows, links).await?;
        }
        observe(prepared(links))?;
        return Ok(());
    }
    let mut round = schedule.rounds_before(from, train_rows, test_rows);
    for epoch in from.epoch..=schedule.epochs {
        let order = terms.shuffle.order(epoch, train_rows);
        let done = if epoch == from.epoch { from.batch as usize } else { 0 };
        for (rows, batch) in order.chunks(schedule.batch).zip(1..).skip(done) {
            round += 1;
            for direction in [Direction::Forward, Direction::Backward] {
                deal.step(Step::of_batch(direction, round), rows, links).await?;
            }
            observe(prepared(links))?;
            let (rows, loss, traffic) = (rows.len(), None, traffic(links));
            observe(Event::Batch {
                epoch,
                batch,
                rows,
                loss,
                traffic,
            })?;
        }
        round += 1;
        let (loss, bytes) = (None, traffic(links));
        observe(Event::Epoch {
            epoch,
            loss,
            traffic: bytes,
        })?;
        if schedule.evaluates_after(epoch) && test_rows > 0 {
            for rows in all[train_rows..].chunks(schedule.evaluation_batch) {
                round += 1;
                deal.step(Step::of_batch(Direction::Forward, round), rows, links).await?;
            }
            observe(prepared(links))?;
            let (evaluation, subsets, traffic) = (None, BTreeMap::new(), traffic(links));
            observe(Event::Evaluated {
                epoch,
                evaluation,
                subsets,
                traffic,
            })?;
        }
        round += u64::from(schedule.checkpoint_every > 0);
    }
    Ok(())
}

/// Deals for a prediction.
///
/// # Errors
/// As [`dealer`].
pub async fn predicting_dealer<C: Channel>(
    secret: &[u8; 32],
    terms: &Terms,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<(), ProtocolError> {
    let terms = &predict::once(terms);
    let Ask { rows } = terms.link_to(&terms.server, links)?.receive(0, &()).await?;
    let rows = rows as usize;
    let traffic = |links: &[Link<C>]| -> Traffic { links.iter().map(Link::traffic).sum() };
    observe(Event::Asked {
        rows,
        traffic: traffic(links),
    })?;
    let mut deal = Deal::new(secret, terms, rows, links).await?;
    let mut done = 0;
    for (round, size) in (1..).zip(sizes(rows, terms.schedule.evaluation_batch)) {
        let batch: Vec<usize> = (done..done + size).collect();
        deal.step(Step::of_batch(Direction::Forward, round), &batch, links).await?;
        done += size;
        observe(Event::Predicted {
            rows: done,
            traffic: traffic(links),
        })?;
    }
    Ok(())
}

struct Deal<'a> {
    terms: &'a Terms,
    dealer: Dealer,
}

impl<'a> Deal<'a> {
    /// Agrees on a seed with every holder.
    async fn new<C: Channel>(
        secret: &[u8; 32],
        terms: &'a Terms,
        rows: usize,
        links: &mut [Link<C>],
    ) -> Result<Self, ProtocolError> {
        let mut holders = Vec::new();
        let names: Vec<_> = terms.columns.keys().cloned().collect();
        for (place, (name, columns)) in names.iter().zip(terms.widths()).enumerate() {
            let link = terms.link_to(name, links)?;
            let context = [&secret[..], name.as_str().as_bytes()].concat();
            let own = Zeroizing::new(blake3::derive_key(
                "cloven v1 vertical: the dealer's half of a seed",
                &context,
            ));
            let Seed(half) = link.receive(0, &()).await?;
            link.send(0, &Seed(own.clone())).await?;
            holders.push((dealt_seed(terms, place, [&half, &own]), DataShape { rows, columns }));
        }
        Ok(Self {
            terms,
            dealer: Dealer::new(holders)?,
        })
    }

    async fn step<C: Channel>(&mut self, step: Step, rows: &[usize], links: &mut [Link<C>]) -> Result<(), ProtocolError> {
        let holders = self.terms.columns.len();
        for (operand, name) in self.terms.columns.keys().enumerate() {
            let mut bytes = Vec::new();
            for data in (0..holders).filter(|data| *data != operand) {
                bytes.extend(self.dealer.deal(id(step, data, operand), rows, self.terms.width)?);
            }
            self.terms
                .link_to(name, links)?
                .send(step.round, &TripleShares(bytes))
                .await?;
        }
        Ok(())
    }
}
