//! The server's script: the hidden layers, where to begin, when an epoch is settled.

use std::collections::BTreeMap;

use cloven_nn::{InputGradient as Wish, Network};
use cloven_wire::{Channel, Link, Traffic};
use zeroize::Zeroizing;

use super::{
    Terms, layer,
    msg::{Hidden, HiddenGradient, Seed, Work},
};
use crate::{AllSettled, Begin, Event, Keep, Observe, Position, ProtocolError, Service, Settled, Start, checkpoint::part};

const HIDDEN: &str = "hidden";

/// What the server brings.
pub struct Server<'a> {
    /// The layers between the first and the label holder's.
    pub hidden: Network,
    /// Shares of gradients are drawn from here; the same when a training goes on.
    pub secret: &'a [u8; 32],
}

/// Serves the training of all other parties; `links` are in the order of names, `service.keeps` one for each. The state is kept with the first.
///
/// # Errors
/// [`ProtocolError`], naming the party that sent what cannot be.
pub async fn server<C: Channel>(
    me: Server<'_>,
    terms: &Terms,
    service: Service<'_>,
    links: &mut [Link<C>],
    observe: &mut Observe<'_>,
) -> Result<Network, ProtocolError> {
    let keep = service.keeps.first().copied();
    let mut script = Script { me, terms, keep };
    let end = terms.schedule.end();
    if service.alone {
        script.restore(end)?;
        return Ok(script.me.hidden);
    }
    let (rows, from) = script.agree(&service, links).await?;
    if from == end {
        script.restore(end)?;
        return Ok(script.me.hidden);
    }
    script.meet(links).await?;
    script.restore(from)?;
    script.train(&service, links, rows, from, observe).await?;
    Ok(script.me.hidden)
}

struct Script<'a> {
    me: Server<'a>,
    terms: &'a Terms,
    keep: Option<&'a dyn Keep>,
}

fn traffic<C: Channel>(links: &[Link<C>]) -> Traffic {
    links.iter().map(Link::traffic).sum()
}

/// The newest position that all have. At the end of an epoch everybody has its beginning, so there is always one.
fn common(all: &[Vec<Position>]) -> Position {
    let Some((first, others)) = all.split_first() else {
        return Position::START;
    };
    let everywhere = |position: &&Position| others.iter().all(|positions| positions.contains(position));
    first.iter().filter(everywhere).max().copied().unwrap_or(Position::START)
}

impl Script<'_> {
    /// Hears how many rows the holders have and where each could go on; tells all where to begin.
    async fn agree<C: Channel>(
        &self,
        service: &Service<'_>,
        links: &mut [Link<C>],
    ) -> Result<([usize; 2], Position), ProtocolError> {
        let holders = self.terms.holders().count();
        let mut starts: Vec<Start> = Vec::with_capacity(holders);
        for link in links
            .iter_mut()
            .filter(|link| Some(link.peer()) != self.terms.dealer.as_ref())
        {
            let start: Start = link.receive(0, &()).await?;
            if let Some(first) = starts.first()
                && [first.train_rows, first.test_rows] != [start.train_rows, start.test_rows]
            {
                return Err(ProtocolError::Alignment(format!(
                    "{} has {} training and {} test rows, others have {} and {}",
                    link.peer(),
                    start.train_rows,
                    start.test_rows,
                    first.train_rows,
                    first.test_rows
                )));
            }
            starts.push(start);
        }
        let own = self.keep.map(|keep| keep.positions()).unwrap_or_default();
        let positions: Vec<_> = std::iter::once(own)
            .chain(starts.iter().map(|start| start.positions.clone()))
            .collect();
        let from = common(&positions);
        if from == self.terms.schedule.end() {
            service.keeps.iter().try_for_each(|keep| keep.complete())?;
        }
        let Some(Start {
            train_rows, test_rows, ..
        }) = starts.into_iter().next()
        else {
            return Err(ProtocolError::Alignment("nobody has rows".into()));
        };
        for link in links {
            match Some(link.peer()) == self.terms.dealer.as_ref() {
                true => {
                    link.send(
                        0,
                        &Work {
                            train_rows,
                            test_rows,
                            from,
                        },
                    )
                    .await?
                }
                false => {
                    link.send(
                        0,
                        &Begin {
                            clients: 1,
                            train_rows,
                            from,
                        },
                    )
                    .await?
                }
            }
        }
        Ok(([train_rows as usize, test_rows as usize], from))
    }

    /// Gives each holder a seed that depends on the secrets of all of them and on the own one.
    async fn meet<C: Channel>(&self, links: &mut [Link<C>]) -> Result<(), ProtocolError> {
        let mut hasher = blake3::Hasher::new_keyed(self.me.secret);
        hasher.update(b"cloven v1 vertical: session");
        let dealer = self.terms.dealer.as_ref();
        for link in links.iter_mut().filter(|link| Some(link.peer()) != dealer) {
            let Seed(part) = link.receive(0, &()).await?;
            hasher.update(&*part);
        }
        let session = Zeroizing::new(*hasher.finalize().as_bytes());
        for link in links.iter_mut().filter(|link| Some(link.peer()) != dealer) {
            let of_holder = Zeroizing::new([&session[..], link.peer().as_str().as_bytes()].concat());
            let seed = blake3::derive_key("cloven v1 vertical: a holder's seed of a session", &of_holder);
            link.send(0, &Seed(Zeroizing::new(seed))).await?;
        }
        Ok(())
    }

    async fn train<C: Channel>(
        &mut self,
        service: &Service<'_>,
        links: &mut [Link<C>],
        [train_rows, test_rows]: [usize; 2],
        from: Position,
        observe: &mut Observe<'_>,
    ) -> Result<(), ProtocolError> {
        let schedule = self.terms.schedule;
        let batches = schedule.batches(train_rows);
        observe(Event::Started {
            epochs: schedule.epochs,
            train_rows,
            test_rows,
            batches,
            from,
            traffic: traffic(links),
        })?;
        let mut round = schedule.rounds_before(from, train_rows, test_rows);
        for epoch in from.epoch..=schedule.epochs {
            let done = if epoch == from.epoch { from.batch as usize } else { 0 };
            for (rows, batch) in schedule.training_sizes(train_rows).zip(1..).skip(done) {
                round += 1;
                self.batch(links, round, rows).await?;
                observe(Event::Batch {
                    epoch,
                    batch,
                    rows,
                    loss: None,
                    traffic: traffic(links),
                })?;
                if let Some(keep) = self.keep.filter(|_| schedule.keeps_after(batch, batches)) {
                    let batch = batch as u32;
                    keep.save(Position { epoch, batch }, self.snapshot()?)?;
                }
            }
            round += 1;
            observe(Event::Epoch {
                epoch,
                loss: None,
                traffic: traffic(links),
            })?;
            if schedule.evaluates_after(epoch) && test_rows > 0 {
                for rows in schedule.evaluation_sizes(test_rows) {
                    round += 1;
                    let h1 = layer::outputs(self.terms, links, round, rows).await?;
                    let y = self.me.hidden.forward(&h1)?;
                    self.terms
                        .link_to(&self.terms.label_holder, links)?
                        .send(round, &Hidden(y))
                        .await?;
                }
                observe(Event::Evaluated {
                    epoch,
                    evaluation: None,
                    subsets: BTreeMap::new(),
                    traffic: traffic(links),
                })?;
            }
            if schedule.checkpoint_every > 0 {
                round += 1;
                self.settle(service, links, epoch + 1, round).await?;
            }
        }
        Ok(())
    }

    async fn batch<C: Channel>(&mut self, links: &mut [Link<C>], round: u64, rows: usize) -> Result<(), ProtocolError> {
        // 3.
        let h1 = layer::outputs(self.terms, links, round, rows).await?;
        let hidden = &mut self.me.hidden;
        let y = Hidden(hidden.forward_train(round, &h1)?);
        let link = self.terms.link_to(&self.terms.label_holder, links)?;
        link.send(round, &y).await?;
        let HiddenGradient(dy) = link.receive(round, y.0.shape()).await?;
        // 5.
        let rate = self.terms.rate(hidden.updates() + 1);
        let delta = hidden
            .backward(&dy, Wish::Wanted)?
            .unwrap_or(dy)
            .mapv(|value| (f64::from(value) * rate) as f32);
        layer::send_gradient(self.terms, self.me.secret, links, round, delta).await?;
        Ok(self.me.hidden.update()?)
    }

    /// Keeps the end of an epoch when every holder has, and tells them so.
    async fn settle<C: Channel>(
        &self,
        service: &Service<'_>,
        links: &mut [Link<C>],
        epoch: u32,
        round: u64,
    ) -> Result<(), ProtocolError> {
        if let Some(keep) = self.keep {
            keep.save(Position::of_epoch(epoch), self.snapshot()?)?;
        }
        let dealer = self.terms.dealer.as_ref();
        for link in links.iter_mut().filter(|link| Some(link.peer()) != dealer) {
            let Settled { .. } = link.receive(round, &epoch).await?;
        }
        service.keeps.iter().try_for_each(|keep| keep.flush())?;
        if Position::of_epoch(epoch) == self.terms.schedule.end() {
            // Before anybody hears of it: a holder that has heard may be gone for good.
            service.keeps.iter().try_for_each(|keep| keep.complete())?;
        }
        for link in links.iter_mut().filter(|link| Some(link.peer()) != dealer) {
            link.send(round, &AllSettled { epoch }).await?;
        }
        Ok(service.keeps.iter().try_for_each(|keep| keep.settled(epoch))?)
    }

    fn snapshot(&self) -> Result<crate::Parts, ProtocolError> {
        Ok([(HIDDEN.to_owned(), self.me.hidden.checkpoint()?)].into())
    }

    fn restore(&mut self, from: Position) -> Result<(), ProtocolError> {
        let (Some(keep), true) = (self.keep, from != Position::START) else {
            return Ok(());
        };
        Ok(self.me.hidden.restore(part(&keep.load(from)?, HIDDEN)?)?)
    }
}
