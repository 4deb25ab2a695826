//! The server's script: the hidden layers; without a coordinator also where to begin and when an epoch is settled.

use std::collections::BTreeMap;

use cloven_nn::{InputGradient as Wish, Network};
use cloven_wire::{Channel, Link, Party, Traffic};
use zeroize::Zeroizing;

use super::{
    Terms, arithmetic,
    coordinator::{announce, hear, hear_settled, of_holders, report, tell_settled},
    layer,
    msg::{Hidden, HiddenGradient, Positions, Seed, Work},
};
use crate::{AllSettled, Event, Keep, Observe, Position, ProtocolError, Service, Settled, checkpoint::part};

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
    let sessions = BTreeMap::new();
    let mut script = Script {
        me,
        terms,
        keep,
        sessions,
    };
    let end = terms.schedule.end();
    if service.alone {
        script.restore(end)?;
        return Ok(script.me.hidden);
    }
    let work = script.agree(&service, links).await?;
    if work.from == end {
        script.restore(end)?;
        return Ok(script.me.hidden);
    }
    script.sessions = script.meet(links).await?;
    script.restore(work.from)?;
    script.train(&service, links, work, observe).await?;
    Ok(script.me.hidden)
}

struct Script<'a> {
    me: Server<'a>,
    terms: &'a Terms,
    keep: Option<&'a dyn Keep>,
    /// The seed of each holder.
    sessions: BTreeMap<Party, Zeroizing<[u8; 32]>>,
}

fn traffic<C: Channel>(links: &[Link<C>]) -> Traffic {
    links.iter().map(Link::traffic).sum()
}

impl Script<'_> {
    /// Where to begin, with how many rows.
    async fn agree<C: Channel>(&self, service: &Service<'_>, links: &mut [Link<C>]) -> Result<Work, ProtocolError> {
        let own = self.keep.map(|keep| keep.positions()).unwrap_or_default();
        let complete = || Ok(service.keeps.iter().try_for_each(|keep| keep.complete())?);
        if let Some(coordinator) = &self.terms.coordinator {
            return report(self.terms, coordinator, own, links, complete).await;
        }
        let work = hear(self.terms, own, links).await?;
        if work.from == self.terms.schedule.end() {
            complete()?;
        }
        announce(self.terms, work, links).await?;
        Ok(work)
    }

    /// Gives each holder a seed that depends on the secrets of all of them and on the own one.
    async fn meet<C: Channel>(&self, links: &mut [Link<C>]) -> Result<BTreeMap<Party, Zeroizing<[u8; 32]>>, ProtocolError> {
        let mut hasher = blake3::Hasher::new_keyed(self.me.secret);
        hasher
            .update(b"cloven v1 vertical: session")
            .update(&self.terms.job)
            .update(&arithmetic());
        for link in of_holders(self.terms, links) {
            let Seed(part) = link.receive(0, &()).await?;
            hasher.update(&*part);
        }
        let (session, mut sessions) = (Zeroizing::new(*hasher.finalize().as_bytes()), BTreeMap::new());
        for link in of_holders(self.terms, links) {
            let of_holder = Zeroizing::new([&session[..], link.peer().as_str().as_bytes()].concat());
            let seed = Zeroizing::new(blake3::derive_key(
                "cloven v1 vertical: a holder's seed of a session",
                &of_holder,
            ));
            link.send(0, &Seed(seed.clone())).await?;
            sessions.insert(link.peer().clone(), seed);
        }
        Ok(sessions)
    }

    async fn train<C: Channel>(
        &mut self,
        service: &Service<'_>,
        links: &mut [Link<C>],
        work: Work,
        observe: &mut Observe<'_>,
    ) -> Result<(), ProtocolError> {
        let (schedule, from) = (self.terms.schedule, work.from);
        let [train_rows, test_rows] = [work.train_rows, work.test_rows].map(|rows| rows as usize);
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
                if let Some(coordinator) = &self.terms.coordinator {
                    let batch = batch as u32;
                    let reached = Positions(vec![Position { epoch, batch }]);
                    self.terms.link_to(coordinator, links)?.send(round, &reached).await?;
                }
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
        layer::send_gradient(self.terms, &self.sessions, links, round, delta).await?;
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
        match &self.terms.coordinator {
            Some(coordinator) => {
                let AllSettled { .. } = self.terms.link_to(coordinator, links)?.receive(round, &epoch).await?;
            }
            None => hear_settled(self.terms, epoch, round, links).await?,
        }
        service.keeps.iter().try_for_each(|keep| keep.flush())?;
        if Position::of_epoch(epoch) == self.terms.schedule.end() {
            // Before any holder hears of it: one that has heard may be gone for good.
            service.keeps.iter().try_for_each(|keep| keep.complete())?;
        }
        match &self.terms.coordinator {
            Some(coordinator) => {
                self.terms
                    .link_to(coordinator, links)?
                    .send(round, &Settled { epoch })
                    .await?
            }
            None => tell_settled(self.terms, epoch, round, links).await?,
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
